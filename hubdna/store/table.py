"""Sketches of many models as plain arrays, in an order that makes equal ones neighbours.

A row is one sketch of one model; its id is key * 2^32 + model id, where the key says what two genes must share to be
compared (`slots.key_of`). Rows lie in the order of key and sketch, so that what may be compared lies together, and a
thousand copies of one sketch are one *distinct sketch*.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_MIX = np.arange(1, 65, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) | np.uint64(1)
"""Odd factors: equal sketches get equal sums, others hardly ever; a chance hit costs a place, never an answer."""
_MODEL = np.int64(0xFFFFFFFF)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Rows in order.

    Attributes:
        ids: int64 [n], key * 2^32 + model id; ascending keys.
        codes: uint8 [n, bits / 8].
        starts: int32 [d], the first row of each distinct sketch.
        by_model: int32 [n], rows in the order of their models.
        models: int64 [m], ascending; `first` int32 [m] is where each one's rows begin in `by_model`.
        sheets: uint64 [m], a hash of all sketches of a model: equal for exact copies.
    """

    ids: NDArray[np.int64]
    codes: NDArray[np.uint8]
    starts: NDArray[np.int32]
    by_model: NDArray[np.int32]
    models: NDArray[np.int64]
    first: NDArray[np.int32]
    sheets: NDArray[np.uint64]

    @property
    def n_bytes(self) -> int:
        """Memory of all arrays."""
        return sum(getattr(self, name).nbytes for name in self.__slots__)

    def models_of(self, rows: NDArray[np.integer]) -> NDArray[np.int64]:
        """int64 [r], whose rows these are."""
        whose: NDArray[np.int64] = self.ids[rows] & _MODEL
        return whose

    def rows_of(self, models: Iterable[int]) -> NDArray[np.int32]:
        """int32 [r], all rows of these models."""
        stops = np.append(self.first[1:], len(self.ids))
        at = np.flatnonzero(np.isin(self.models, np.fromiter(models, np.int64)))
        return self.by_model[_ranges(self.first[at], stops[at])]

    def distinct(self, key: int) -> tuple[int, int]:
        """Which distinct sketches have a key: the first, and the one after the last."""
        rows = np.searchsorted(self.ids, np.array([key, key + 1]) << 32)
        start, stop = np.searchsorted(self.starts, rows)
        return int(start), int(stop)

    def rows_with(self, sketches: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows that hold given distinct sketches: int64 [r] the rows, int64 [r] which one of `sketches` each holds."""
        stops = np.append(self.starts[1:], len(self.ids))[sketches]
        starts = self.starts[sketches]
        return _ranges(starts, stops), np.repeat(np.arange(len(sketches)), stops - starts)


def make_table(ids: NDArray[np.int64], codes: NDArray[np.uint8]) -> Table:
    """Put rows into order.

    Args:
        ids: int64 [n].
        codes: uint8 [n, bits / 8], bits a multiple of 64.
    """
    words = codes.view(np.uint64)
    mixed = (words * _MIX[: words.shape[1]]).sum(axis=1, dtype=np.uint64)
    mixed ^= mixed >> np.uint64(29)
    order = np.lexsort((ids, mixed, ids >> 32))
    ids, codes, mixed = ids[order], np.ascontiguousarray(codes[order]), mixed[order]
    new = np.ones(len(ids), bool)
    new[1:] = (ids[1:] >> 32 != ids[:-1] >> 32) | (codes[1:] != codes[:-1]).any(axis=1)
    whose = ids & _MODEL
    by_model = np.argsort(whose, kind="stable").astype(np.int32)
    models, first = np.unique(whose[by_model], return_index=True)
    said = (mixed ^ (ids >> 32).astype(np.uint64))[by_model]
    sheets = np.add.reduceat(said, first) if len(first) else np.zeros(0, np.uint64)
    return Table(ids, codes, np.flatnonzero(new).astype(np.int32), by_model, models, first.astype(np.int32), sheets)


def _ranges(starts: NDArray[np.integer], stops: NDArray[np.integer]) -> NDArray[np.int64]:
    """All numbers from each start up to its stop, end to end."""
    lengths = (stops - starts).astype(np.int64)
    numbers: NDArray[np.int64] = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return numbers + np.arange(len(numbers))
