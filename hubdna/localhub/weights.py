"""The headers of safetensors files: parameter counts for listings, whole headers for `safetensors-metadata`.

The header is JSON behind an eight-byte length. The length is checked against the file and a cap before anything is
read: a forged one must not make the server take memory.
"""

import json
from collections import Counter
from functools import lru_cache
from math import prod
from typing import Any

from hubdna.localhub.cards import read_json
from hubdna.localhub.files import CACHE_SIZE, Stamp
from hubdna.localhub.refusals import bad_request
from hubdna.localhub.repos import Repo, file_in

#: The largest header that the Hub's client accepts.
HEADER_LIMIT = 25 * 10**6


def header_at(stamp: Stamp) -> dict[str, Any] | None:
    """The header of a safetensors file; None if the file is not one."""
    with stamp.path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(HEADER_LIMIT, stamp.size - 8):
            return None
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError):
            return None
    return header if isinstance(header, dict) else None


def parameters_of(repo: Repo) -> dict[str, Any] | None:
    """Number of parameters by dtype over the safetensors files at the root, as the Hub shows them."""
    counts: Counter[str] = Counter()
    for file in repo.files:
        if file.path.endswith(".safetensors") and "/" not in file.path:
            counts.update(dict(_count(file.stamp)))
    return {"parameters": dict(counts), "total": counts.total()} if counts else None


def sharded_headers(repo: Repo, index_path: str) -> dict[str, Any]:
    """The metadata of an index and the headers of all its shards."""
    folder = file_in(repo, index_path).path.rpartition("/")[0]
    index = read_json(repo, index_path)
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict):
        raise bad_request(f"{index_path} is not a safetensors index")
    shards = sorted({str(shard) for shard in weight_map.values()})
    headers = {}
    for shard in shards:
        headers[shard] = header_at(file_in(repo, f"{folder}/{shard}".lstrip("/")).stamp)
        if headers[shard] is None:
            raise bad_request(f"{shard} is not a safetensors file")
    return {"index": {"metadata": index.get("metadata")}, "headers": headers}


@lru_cache(CACHE_SIZE)
def _count(stamp: Stamp) -> tuple[tuple[str, int], ...]:
    counts: Counter[str] = Counter()
    for name, tensor in (header_at(stamp) or {}).items():
        if name == "__metadata__" or not isinstance(tensor, dict):
            continue
        dtype, shape = tensor.get("dtype"), tensor.get("shape")
        if isinstance(dtype, str) and isinstance(shape, list) and all(isinstance(size, int) for size in shape):
            counts[dtype] += prod(shape)
    return tuple(counts.items())
