"""Quantised layouts of safetensors files: groups of raw tensors become single float tensors.

A file says nothing about how its integers are meant, and config.json may be absent or wrong. So a group is recognised
by the names, types and shapes of its tensors, which must all agree exactly; the config only decides what they leave
open. A group that does not fit stays what it was, raw integers that nothing is read from.

    tensors, quantisation = compose(tensors, config, reader)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hubdna.sources.interface import ByteReader, Tensor
from hubdna.sources.layouts import awq, bnb4, bnb8, compressed, fp8, gptq, hqq, mlx, mxfp4, nvfp4
from hubdna.sources.layouts.base import Group, Pool

LAYOUTS: tuple[Callable[[Pool], Iterator[Group]], ...] = (
    bnb4.find, bnb8.find, gptq.find, awq.find, compressed.find, nvfp4.find, mxfp4.find, mlx.find, hqq.find, fp8.find,
)  # fmt: skip
"""Tried in this order; no two fit the same tensors. Plain 8-bit floats last, since others have scales of that type."""
MAX_PEEKS = 32
"""Requests for shapes that the header does not give: a language model has 7 kinds of maps, a composite one three times
as many."""


def compose(
    tensors: Sequence[Tensor],
    config: Mapping[str, Any] | None = None,
    reader: ByteReader | None = None,
    max_peeks: int = MAX_PEEKS,
) -> tuple[list[Tensor], str | None]:
    """Replace groups of raw tensors by the weights they stand for.

    Args:
        tensors: of all files of the model that were opened.
        config: config.json, a hint only.
        reader: for the layouts that keep shapes outside the header (bitsandbytes 4-bit, HQQ, packed
            compressed-tensors); without it those stay raw.
        max_peeks: how many requests those may take.

    Returns:
        The tensors, each group in the place of its first part; and the dtype that most quantised weights have, or
        None when there are none.

    Raises:
        FormatError: a file is shorter than its header says.
        HubError: the bytes could not be had.
    """
    pool = Pool(tensors, config, reader, max_peeks)
    taken: dict[str, Tensor] = {}
    names: set[str] = set()
    for find in LAYOUTS:
        for group in find(pool):
            if group.tensor.info.name not in names and pool.take(group):
                names.add(group.tensor.info.name)
                taken.update(dict.fromkeys(group.parts, group.tensor))
    composed = list(dict.fromkeys(taken.get(t.info.name, t) for t in tensors))
    sizes: Counter[str] = Counter()
    for tensor in dict.fromkeys(taken.values()):
        sizes[tensor.info.dtype] += math.prod(tensor.info.shape)
    return composed, sizes.most_common(1)[0][0] if sizes else None
