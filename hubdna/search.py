"""nearest(dna, index): who are this model's relatives? Sketches propose, the exact test decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from hubdna.calling import make_callable
from hubdna.checked import believed
from hubdna.errors import HubdnaError
from hubdna.evidence.attested import with_receipts
from hubdna.evidence.compare import compare_dna
from hubdna.models import Loader
from hubdna.records import CheckedReceipt, Dna, Match, ModelRef, ReadLevel, Verdict
from hubdna.seed import open_index
from hubdna.store import Entry, IndexDir
from hubdna.verdict import NO_EVIDENCE_LOG10_P, judge

MIN_CANDIDATES = 40
"""Re-tests per query at least: about 10 ms each, so that a weak relative ranked low by sketches is still found."""
MAX_ASKED = 3
"""Of exact copies, how many are asked for rows that a published index does not hold."""
_ORDER = {"identical": 0, "common": 1, "undecided": 2, "no-evidence": 3}

Rows = Callable[[Entry], Dna]
"""Reads a candidate's rows again when a published index holds none; may raise HubdnaError."""


def search(
    ref: ModelRef | str,
    *,
    index: Path | str | None = None,
    k: int = 10,
    read: ReadLevel = "standard",
    endpoint: str | None = None,
    token: str | None = None,
    checked: Iterable[CheckedReceipt] | None = None,
) -> list[Match]:
    """Who are a model's nearest relatives? Twin of `hubdna search`.

    Args:
        ref: `org/name`, `org/name@revision`, or a path that starts with `.` or `/`.
        index: folder of an index (default: your own, else the shipped sample).
        k: matches at most.
        read: how much of the weights is read: 4 MB, 16 MB, or everything.
        endpoint: base address of the Hub (default: `HF_ENDPOINT`).
        token: access token (default: the one you are logged in with).
        checked: receipts that you verified (default: those kept by `hubdna prove verify --save`).

    Raises:
        HubdnaError: the model cannot be read, or the index is missing or damaged.
    """
    loader = Loader(endpoint, token, read)
    with open_index(None if index is None else Path(index)) as store:
        receipts = believed(checked)
        return nearest(loader.load(ModelRef.of(ref), store).dna, store, k, loader.rows, checked=receipts)


def nearest(
    dna: Dna,
    index: IndexDir,
    k: int = 10,
    rows: Rows | None = None,
    n_tested: int | None = None,
    checked: Sequence[CheckedReceipt] = (),
) -> list[Match]:
    """Find the nearest relatives of a model.

    Args:
        dna: of the query; an entry of the same name is left out.
        index: where to look.
        k: how many to return at most.
        rows: reads rows that a published index does not hold.
        n_tested: how many that the sketches propose are re-tested; None for 40, or 4 k where that is more.
        checked: receipts that this user verified.

    Returns:
        Matches by origin, p-value and similarity: identical and common ones, then pairs between the lines or whose
        rows are not at hand. Independent models are not matches. Exact copies of one model are one match: the one that
        was published first, with the others in `copies`.
    """
    found: list[tuple[list[Entry], Verdict]] = []
    for entry in index.candidates(dna, n_tested or max(MIN_CANDIDATES, 4 * k)):
        group = [e for e in index.copies(entry) if e.ref.repo_id != dna.ref.repo_id]
        if group:
            other = _rows_of_any(group, index, rows)
            verdict = judge(with_receipts(compare_dna(dna, other), dna, other, checked))
            if _worth_telling(verdict):
                found.append((group, verdict))
    found.sort(key=_rank)
    return [
        Match(first.ref, rank, verdict, first.created_at, tuple(e.ref for e in copies))
        for rank, ((first, *copies), verdict) in enumerate(found[:k], start=1)
    ]


def _rank(one: tuple[list[Entry], Verdict]) -> tuple[int, float, float, str]:
    (first, *_), v = one
    return _ORDER[v.origin], v.log10_p or 0.0, -(v.similarity or 0.0), first.ref.repo_id


def retest(dna: Dna, entry: Entry, index: IndexDir, rows: Rows | None = None) -> Verdict:
    """The verdict on one pair, whatever the sketches say."""
    return judge(compare_dna(dna, with_rows(index.dna(entry), entry, rows)))


def _rows_of_any(group: list[Entry], index: IndexDir, rows: Rows | None) -> Dna:
    """The DNA that all of a group have; rows that a published index lacks come from the first who still has them."""
    for entry in group[:MAX_ASKED]:
        dna = with_rows(index.dna(entry), entry, rows)
        if rows is None or all(g.rows is not None for g in dna.genes):
            break
    return dna


def with_rows(dna: Dna, entry: Entry, rows: Rows | None) -> Dna:
    """A model's DNA with its rows, read again if the index holds none and somebody can."""
    if rows is None or all(g.rows is not None for g in dna.genes):
        return dna
    try:
        return replace(rows(entry), content=dna.content)
    except HubdnaError:
        return dna  # the verdict says: rows not at hand


class Once:
    """Reads rows as another reader does, each model once: a search for families meets every model many times.

    Args:
        rows: the other reader.

    `failed` holds the names of models that could not be read. All DNAs stay in memory.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._read: dict[int, Dna | HubdnaError] = {}
        self.failed: set[str] = set()

    def __call__(self, entry: Entry) -> Dna:
        """Read one model. Raises HubdnaError, again and again if it did once."""
        if entry.id not in self._read:
            try:
                self._read[entry.id] = self._rows(entry)
            except HubdnaError as error:
                self._read[entry.id] = error
                self.failed.add(entry.ref.repo_id)
        found = self._read[entry.id]
        if isinstance(found, HubdnaError):
            raise found
        return found


def _worth_telling(verdict: Verdict) -> bool:
    if verdict.origin in ("identical", "common"):
        return True
    e = verdict.evidence
    between = verdict.log10_p is not None and verdict.log10_p <= NO_EVIDENCE_LOG10_P
    unread = e.untestable is not None and e.untestable.startswith("rows not at hand")
    return verdict.origin == "undecided" and (between or (unread and e.n_rows_equal > 0))


make_callable(__name__)
