"""Many models -> index: in parallel, resumable, polite. One bad repository is one skipped row.

A crawl is a loop over a listing. What the index already holds at that commit is left alone, so a killed crawl is
resumed by running it again; an exact copy is known by the hashes on its redirects and costs no weight bytes. Workers
fetch and compute; only the caller's thread writes, one transaction a model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hubdna import __version__
from hubdna.card import claim_of_data
from hubdna.dna import codec
from hubdna.dna.model import choose_files, model_files, read_files
from hubdna.dna.read import SCHEME
from hubdna.errors import FormatError, HubdnaError, IndexDirError, SourceError
from hubdna.records import ModelRef, ReadLevel, Skipped, Snapshot
from hubdna.sources.choice import choose
from hubdna.store import Entry, IndexDir

if TYPE_CHECKING:  # the client takes a fifth of a second to import, and a folder needs none
    from hubdna.hub import Hub, HubReader


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one model of a crawl. `reason` says why it was skipped."""

    repo_id: str
    outcome: Literal["stored", "copy", "unchanged", "skipped"]
    reason: str | None = None
    n_bytes: int = 0
    n_requests: int = 0


@dataclass(frozen=True, slots=True)
class _Fetched:
    """What a worker hands over. `data` is None once the DNA file is known to be stored."""

    entry: Entry
    data: bytes | None
    is_copy: bool = False


_Known = dict[tuple[str, ...], _Fetched]
"""By hashes of the weights files; filled by the workers, so that a copy next to its original is noticed too."""


def crawl(
    hub: Hub,
    index: IndexDir,
    snapshots: Iterable[Snapshot | Skipped],
    *,
    level: ReadLevel = "small",
    workers: int = 8,
    private: bool = False,
) -> Iterator[Step]:
    """Bring models into an index.

    Args:
        hub: where the models are.
        index: where they go; closed by the caller.
        snapshots: what to crawl, for instance `hub.models(...)`; read lazily. A Skipped is recorded as it is.
        level: how much of each model is read.
        workers: models in flight.
        private: also take private and gated models, which otherwise stay out.

    Yields:
        One step a model, in the order of completion.

    Raises:
        HubError: the listing itself failed; everything stored so far stays.
    """
    known = {e.weights_sha256: _Fetched(e, None) for e in index.entries() if e.weights_sha256 and e.read == level}
    index.catalogue.set_about("crawl", "unfinished: run it again to go on")
    with ThreadPoolExecutor(workers, thread_name_prefix="crawl") as pool:
        running: dict[Future[_Fetched], Snapshot] = {}
        try:
            for snapshot in snapshots:
                if isinstance(snapshot, Skipped):
                    index.skip(ModelRef(snapshot.subject), snapshot.reason, permanent=False)
                    yield Step(snapshot.subject, "skipped", snapshot.reason)
                    continue
                step = _settle_without_reading(index, snapshot, level, private)
                if step is not None:
                    yield step
                    continue
                running[pool.submit(_fetch, hub, snapshot, level, known)] = snapshot
                if len(running) >= 2 * workers:
                    yield from _collect(index, running, known, level)
            while running:
                yield from _collect(index, running, known, level)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    index.sync()
    index.catalogue.set_about("crawl", "finished")


def resolve(hub: Hub, names: Iterable[str]) -> Iterator[Snapshot | Skipped]:
    """Resolve a list of models; one that cannot be had is a Skipped with its reason."""
    for name in names:
        try:
            yield hub.snapshot(ModelRef.parse(name))
        except HubdnaError as error:
            yield Skipped(name, str(error))


def in_shard(repo_id: str, shard: int, n_shards: int) -> bool:
    """Whether a model belongs to one of n shards of a distributed crawl; stable across machines."""
    return int.from_bytes(hashlib.sha256(repo_id.encode()).digest()[:8], "big") % n_shards == shard


def has_model(snapshot: Snapshot) -> bool:
    """Whether a repository seems to hold a model that can be read; from its file names."""
    try:
        return choose(snapshot.files).kind not in ("adapter", "none")
    except FormatError:
        return False


def _settle_without_reading(index: IndexDir, snapshot: Snapshot, level: ReadLevel, private: bool) -> Step | None:
    ref = snapshot.ref
    entry = index.get(ref.repo_id)
    if entry is not None and entry.ref.sha == ref.sha and entry.read == level and index.has_dna(entry):
        return Step(ref.repo_id, "unchanged")
    if index.catalogue.skipped_for_good(ref, _circumstances(level)):
        return Step(ref.repo_id, "unchanged")
    if (snapshot.gated or snapshot.private) and not private:
        reason = f"{'private' if snapshot.private else 'gated'}: stays out unless its owner asks (--private)"
        index.skip(ref, reason, permanent=False)
        return Step(ref.repo_id, "skipped", reason)
    return None


def _circumstances(level: ReadLevel) -> str:
    """What a lasting reason depends on besides the commit: another read level or version may succeed."""
    return f"{level} {SCHEME} {__version__}"


def _fetch(hub: Hub, snapshot: Snapshot, level: ReadLevel, known: _Known) -> _Fetched:
    reader = hub.reader(snapshot.ref)
    files = model_files(choose_files(reader, snapshot), str(snapshot.ref))
    original = _exact_copy_of(reader, files, known)
    if original is not None:
        e = original.entry
        entry = _entry(snapshot, level, reader, e.dna, e.n_genes, e.content, e.weights_sha256)
        return _Fetched(entry, original.data, is_copy=True)
    dna = read_files(reader, snapshot, files, level)
    data = codec.encode(dna)
    entry = _entry(snapshot, level, reader, codec.digest(data), len(dna.genes), dna.content, dna.weights_sha256)
    fetched = _Fetched(entry, data)
    if entry.weights_sha256:
        known[entry.weights_sha256] = fetched
    return fetched


def _exact_copy_of(reader: HubReader, files: list[str], known: _Known) -> _Fetched | None:
    """A model whose DNA came from the same bytes: equal hashes of every file that was touched for it."""
    first = reader.ask_sha256(files[0]) if known else None
    for hashes, original in list(known.items()):
        if first and hashes[0] == first and len(hashes) == len(files):
            if all(not h or h == reader.ask_sha256(f) for f, h in zip(files, hashes, strict=True)):
                return original
    return None


def _entry(
    snapshot: Snapshot,
    level: ReadLevel,
    reader: HubReader,
    dna: str,
    n_genes: int,
    content: str | None,
    weights_sha256: tuple[str, ...],
) -> Entry:
    visibility = "private" if snapshot.private else "gated" if snapshot.gated else "public"
    return Entry(
        snapshot.ref, dna, claim_of_data(snapshot.card_data), n_genes, level, content, weights_sha256,
        snapshot.created_at, snapshot.author, visibility, reader.n_bytes, reader.n_requests,
    )  # fmt: skip


def _collect(
    index: IndexDir, running: dict[Future[_Fetched], Snapshot], known: _Known, level: ReadLevel
) -> Iterator[Step]:
    """Wait for at least one model and store what is done."""
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        snapshot = running.pop(future)
        try:
            fetched = future.result()
        except HubdnaError as error:
            lasting = isinstance(error, SourceError)
            index.skip(snapshot.ref, str(error), permanent=lasting, circumstances=_circumstances(level))
            yield Step(snapshot.ref.repo_id, "skipped", str(error))
            continue
        except Exception as error:  # a defect of ours, met by one model, must not end the crawl of a million others
            reason = f"internal error, please report it: {type(error).__name__}: {str(error)[:200]}"
            index.skip(snapshot.ref, reason, permanent=False)
            yield Step(snapshot.ref.repo_id, "skipped", reason)
            continue
        entry = fetched.entry
        try:
            index.add(entry, fetched.data)
        except IndexDirError as error:  # its original was replaced while this copy was on its way
            known.pop(entry.weights_sha256, None)
            index.skip(entry.ref, str(error), permanent=False)
            yield Step(entry.ref.repo_id, "skipped", str(error))
            continue
        if not fetched.is_copy and entry.weights_sha256:
            known[entry.weights_sha256] = _Fetched(entry, None)
        yield Step(entry.ref.repo_id, "copy" if fetched.is_copy else "stored", None, entry.n_bytes, entry.n_requests)
