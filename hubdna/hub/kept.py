"""A model's data files on this machine, for what has to run it: within bounds, and nothing else of its repository.

A few kinds of file are taken (`TEXTS`, and safetensors or ONNX): no code, no pickle. Names of files are picked from the
listing, never made from what a file says; all sizes are known before the first weight is fetched. What was fetched is
kept in a folder of the user's cache, by commit, and the oldest goes when there is no more room.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

from hubdna.errors import BehaviourError, HubError
from hubdna.hub.client import Hub
from hubdna.hub.folder import Taken, fetch, list_folder
from hubdna.hub.reader import HubReader
from hubdna.records import ModelRef
from hubdna.sources.safetensors import indexed_shards

LIMIT = 2_000_000_000
"""Bytes of one model, if nobody says otherwise."""
ROOM = 10_000_000_000
"""Bytes of all that are kept; a larger limit of one model makes more."""
TEXTS = ("config.json", "preprocessor_config.json", "tokenizer.json", "vocab.txt")
MAX_TEXT = 50_000_000
WHOLE, SHARDED = "model.safetensors", "model.safetensors.index.json"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def cache() -> Path:
    """Where this user's are."""
    from platformdirs import user_cache_path

    return user_cache_path("hubdna") / "models"


def keep(hub: Hub, ref: ModelRef, limit: int = LIMIT, at: Path | None = None, taken: Taken = lambda n: None) -> Path:
    """Fetch what it takes to run a model, unless it is here.

    Args:
        hub: where it is.
        ref: the model; its revision is resolved to a commit first.
        limit: bytes of all its files.
        at: folder of all that is kept; None means `cache()`.
        taken: told of every piece: its bytes.

    Returns:
        A folder with config.json, safetensors and texts beside it, or an ONNX file.

    Raises:
        BehaviourError: it has no such files, or more bytes than the limit.
        HubError, FormatError: the Hub does not give them as it listed them, or its index of shards is not sound.
    """
    found = hub.snapshot(ref).ref
    if not re.fullmatch("[0-9a-f]{7,64}", found.sha or ""):  # it becomes the name of a folder
        raise BehaviourError(f"{ref}: the Hub names commit {ascii(found.sha)[:80]}, expected hexadecimal digits")
    at = at or cache()
    place = at / hashlib.sha256(f"{hub.endpoint}/{found.repo_id}".encode()).hexdigest()[:16] / str(found.sha)
    sizes, reader = list_folder(hub, found, ""), hub.reader(found)

    def bring(names: list[str]) -> None:
        if (n := sum(sizes[name] for name in names)) > limit:
            raise BehaviourError(f"{ref}: running it takes {_gb(n)} of files, more than the limit of {_gb(limit)}")
        for name in names:
            target = place / name
            if not (target.is_file() and target.stat().st_size == sizes[name]):
                target.parent.mkdir(parents=True, exist_ok=True)
                fetch(reader, name, sizes[name], target, taken)
                _check(reader, name, target)

    names = [name for name in TEXTS if name in sizes]
    if large := next((name for name in (*names, SHARDED) if sizes.get(name, 0) > MAX_TEXT), None):
        raise BehaviourError(f"{ref}: {large} has {sizes[large]} bytes, more than {MAX_TEXT}")
    try:
        weights = _weights(ref, sizes)
        if weights == [SHARDED]:
            bring(weights)
            beside = [name for name in sizes if "/" not in name]
            weights += dict.fromkeys(indexed_shards(SHARDED, (place / SHARDED).read_bytes(), beside))
        _make_room(at, max(ROOM, limit) - sum(sizes[name] for name in names + weights), place)
        bring(names + weights)
    except OSError as error:
        raise BehaviourError(f"{ref}: cannot be kept in {at}: {error.strerror}") from None
    return place


def _weights(ref: ModelRef, sizes: dict[str, int]) -> list[str]:
    """Files of weights; of a sharded model its index. Raises BehaviourError."""
    if "config.json" in sizes:
        for name in (WHOLE, SHARDED):
            if name in sizes:
                return [name]
    graphs = [name for name in sizes if re.fullmatch(r"(onnx/)?[^/\\]+\.onnx", name) and name.isprintable()]
    if graphs:
        return [min(graphs, key=lambda name: (Path(name).name != "model.onnx", name))]
    if any(name.endswith(PICKLED) for name in sizes):
        raise BehaviourError(f"{ref}: only pickled weights: they are never loaded, safetensors or ONNX are needed")
    raise BehaviourError(f"{ref}: expected config.json with {WHOLE} beside it, or an ONNX file; found neither")


def _check(reader: HubReader, name: str, target: Path) -> None:
    """Hold a file that was fetched, perhaps in several goes, against the Hub's SHA-256 where there is one."""
    expected = reader.sha256(name)
    with target.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if expected not in (None, found):
        target.unlink()
        raise HubError(f"{reader.ref}/{name}: expected SHA-256 {expected}, found {found}; dropped, try again")


def _make_room(at: Path, room: int, place: Path) -> None:
    """Drop what was fetched longest ago until the rest fits; `place` stays."""
    there = [folder for folder in at.glob("*/*") if folder.is_dir() and not folder.is_symlink() and folder != place]
    for folder in sorted(there, key=lambda folder: folder.stat().st_mtime, reverse=True):
        room -= sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())
        if room < 0:
            shutil.rmtree(folder)


def _gb(n: int) -> str:
    return f"{n / 1e9:.2f} GB" if n >= 10_000_000 else f"{n} bytes"
