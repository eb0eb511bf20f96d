"""A model seen layer by layer: which of its layers match which relative, and by how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hubdna.records.dna import View
from hubdna.records.evidence import Verdict
from hubdna.records.lineage import Family, Mixture
from hubdna.records.models import ModelRef

LayerState = Literal["same", "shared", "alike", "open", "none", "unlike", "untested"]


@dataclass(frozen=True, slots=True)
class LayerEvidence:
    """What one layer of A shows beside B.

    Attributes:
        layer: its name in A, the part that its tensors' names share.
        other: the layer of B that most of it was compared with, "" where there was none.
        n_rows: tested rows of paired matrices, `n_rows_equal` of them equal bit for bit.
        similarity: centred correlation of these rows, in [-1, 1]; None without any.
        view: what the units were seen by in the layer's best test; None when no test could be run.
        n_units: units of that test, `fixed_points` of them matched to themselves.
        n_tests: tests run on this layer.
        log10_p: of that test, paid for `n_tests` and for all layers of the pair; <= 0, None without a test.
        detectable: the correlation that nine draws of ten would have shown.
        n_weights: exact weights laid side by side (corners and samples of any matrix), `n_weights_equal` equal ones.
        resemblance: their correlation, in [-1, 1]; no test stands behind it. None without any.
        change: length of their difference over the length of A's weights, >= 0; None without any.
    """

    layer: str
    other: str = ""
    n_rows: int = 0
    n_rows_equal: int = 0
    similarity: float | None = None
    view: View | None = None
    n_units: int = 0
    fixed_points: int = 0
    n_tests: int = 0
    log10_p: float | None = None
    detectable: float | None = None
    n_weights: int = 0
    n_weights_equal: int = 0
    resemblance: float | None = None
    change: float | None = None

    @property
    def equal(self) -> bool:
        """Whether all that was compared is equal bit for bit."""
        n = self.n_rows + self.n_weights
        return n > 0 and self.n_rows_equal + self.n_weights_equal == n


@dataclass(frozen=True, slots=True)
class Painted:
    """A relative in a painting.

    Attributes:
        ref: which model.
        verdict: on the whole pair, seen from the painted model (A).
        layers: beside each layer of the painted model.
        states: what each of these says.
        shares: of a merge, what the relative's layers are multiplied by; None where it is no parent or not known.
    """

    ref: ModelRef
    verdict: Verdict
    layers: tuple[LayerEvidence, ...]
    states: tuple[LayerState, ...]
    shares: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Painting:
    """Every layer of a model beside its relatives.

    Attributes:
        ref: the painted model.
        layers: names of its layers, from input to output, as far as they were read.
        relatives: those it is painted with, the one that takes most layers first.
        owners: for each layer the relative (by number) that it is painted with, or None.
        n_tests: tests that every p-value here is paid for.
        n_looked: relatives that were compared layer by layer.
        family: the model among its relatives, or None.
        mixture: the model as a merge of its relatives, or None.
        unmet: of a pair, layers of the other model that none of this one's was compared with.
        note: why there is no picture, or None.
    """

    ref: ModelRef
    layers: tuple[str, ...] = ()
    relatives: tuple[Painted, ...] = ()
    owners: tuple[int | None, ...] = ()
    n_tests: int = 0
    n_looked: int = 0
    family: Family | None = None
    mixture: Mixture | None = None
    unmet: tuple[str, ...] = ()
    note: str | None = None
