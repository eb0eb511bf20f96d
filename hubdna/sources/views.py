"""Parts of a tensor as tensors of their own, still read by ranges: some of its units, or some of its columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hubdna.sources.interface import MERGE_GAP, Extent, Tensor

MAX_GROUPS = 1_024
"""Groups that may be asked for one by one; of more the range is read that spans them all."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of an axis: of each of `n_groups` groups of `group` indices the `size` ones from `start` on.

    One group is a plain slice; groups of two indices are every other one; a group a head is how some models store the
    rows of q, k and v.
    """

    n_groups: int
    group: int
    start: int
    size: int

    @property
    def length(self) -> int:
        """Indices of the part."""
        return self.n_groups * self.size

    def places(self, first: int, n: int) -> NDArray[np.int64]:
        """Where indices first..first+n of the part stand on the axis."""
        part = np.arange(first, first + n, dtype=np.int64)
        places: NDArray[np.int64] = part // self.size * self.group + self.start + part % self.size
        return places

    def place(self, index: int) -> int:
        """Where one index of the part stands on the axis."""
        return index // self.size * self.group + self.start + index % self.size

    def span(self, first: int, n: int) -> tuple[int, int]:
        """The run (first, n) of the axis that holds indices first..first+n of the part, and what is between them."""
        if n == 0:
            return self.start, 0
        low = self.place(first)
        return low, self.place(first + n - 1) + 1 - low

    def runs(self, first: int, n: int) -> list[tuple[int, int]]:
        """The same as one run for each group, with nothing between."""
        stop, runs = first + n, []
        while first < stop:
            size = min(self.size - first % self.size, stop - first)
            runs.append((self.place(first), size))
            first += size
        return runs or [(self.start, 0)]


def units(base: Tensor, name: str, cut: Cut) -> Tensor:
    """Some units of a tensor's first axis. What lies between them is read along where it is little."""
    apart = 1 < cut.n_groups <= MAX_GROUPS and (cut.group - cut.size) * base.n_bytes(1) > MERGE_GAP

    def runs(first: int, n: int) -> list[tuple[int, int]]:
        return cut.runs(first, n) if apart else [cut.span(first, n)]

    def extents(first: int, n: int) -> list[Extent]:
        return [extent for run in runs(first, n) for extent in base.extents(*run)]

    def decode(data: Sequence[memoryview], first: int, n: int) -> NDArray[np.float32]:
        rest = iter(data)
        read = [base.decode([next(rest) for _ in base.extents(*run)], *run) for run in runs(first, n)]
        whole = np.concatenate(read) if len(read) > 1 else read[0]
        if len(whole) == n:
            return whole
        return np.ascontiguousarray(whole[cut.places(first, n) - cut.place(first)])

    info = replace(base.info, name=name, shape=(cut.length, *base.info.shape[1:]))
    return Tensor(info, extents, decode, base.quantised)


def columns(base: Tensor, name: str, cut: Cut) -> Tensor:
    """Some columns of a matrix. Whole rows are read."""

    def decode(data: Sequence[memoryview], first: int, n: int) -> NDArray[np.float32]:
        return np.ascontiguousarray(base.decode(data, first, n)[:, cut.places(0, cut.length)])

    info = replace(base.info, name=name, shape=(base.info.shape[0], cut.length))
    return Tensor(info, base.extents, decode, base.quantised)
