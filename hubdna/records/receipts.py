"""What checking a training receipt showed. Free of torch: all that the rest of hubdna may know of receipts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CheckOutcome = Literal["passed", "failed", "not-checkable"]
ReceiptVerdict = Literal["consistent", "inconsistent", "not-checkable"]


@dataclass(frozen=True, slots=True)
class ReceiptCheck:
    """One check: its name, how it ended, and what was found, in words."""

    name: str
    outcome: CheckOutcome
    says: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a receipt was trained again.

    Attributes:
        replayed: the intervals, ascending.
        n_random: how many of them were drawn at random (the others by the size of their update).
        n_intervals: of the whole receipt.
        steps: share of the receipt's training steps that was repeated, in [0, 1], calibration not counted.
        detection: (forged share, probability that at least one such interval was among the random ones).
        challenge: the seed of the random draw, so that it can be repeated; drawn by the verifier.
    """

    replayed: tuple[int, ...]
    n_random: int
    n_intervals: int
    steps: float
    detection: tuple[tuple[float, float], ...]
    challenge: int


@dataclass(frozen=True, slots=True)
class ReceiptParent:
    """The model that a training started from, as its receipt names it; `root` is over its tensors' bytes."""

    repo_id: str
    revision: str | None
    root: str


@dataclass(frozen=True, slots=True)
class ReceiptGlance:
    """What the small files of a receipt say, and who signed that. Nothing was trained again, no state was looked at.

    Attributes:
        problem: why it is no sound receipt, or None: claim, chain and signature fit together.
        author: hexadecimal Ed25519 public key that signed all of it; "" with a problem, like the texts below.
        root: hexadecimal SHA-256 that the author signed.
        parent: None: said to be trained from an initialiser.
        weights: root over the last state's tensors, as the chain says.
        steps: training steps claimed.
    """

    problem: str | None = None
    author: str = ""
    root: str = ""
    task: str = ""
    parent: ReceiptParent | None = None
    weights: str = ""
    steps: int = 0


@dataclass(frozen=True, slots=True)
class ReceiptReport:
    """The outcome of a verification.

    Attributes:
        author: hexadecimal Ed25519 public key, or "" where the receipt could not be read.
        root: hexadecimal SHA-256 that the author signed, or "" likewise.
        parent: None: trained from an initialiser, or not read.
        weights: root over the final weights' tensors.
    """

    checks: tuple[ReceiptCheck, ...]
    author: str = ""
    root: str = ""
    task: str = ""
    parent: ReceiptParent | None = None
    weights: str = ""
    coverage: Coverage | None = None

    @property
    def verdict(self) -> ReceiptVerdict:
        """`inconsistent` when a check failed, `not-checkable` when one could not be made, else `consistent`."""
        outcomes = {check.outcome for check in self.checks}
        if "failed" in outcomes:
            return "inconsistent"
        return "not-checkable" if "not-checkable" in outcomes or not outcomes else "consistent"


@dataclass(frozen=True, slots=True)
class Weights:
    """The exact weights of one model, in all the ways they are known by.

    Attributes:
        root: over its named tensors, as receipts have it.
        content: digest of all float tensors' bits, whatever the names and the files; as of a DNA that was read whole.
        scheme: of that DNA.
        sha256: of its weights files, in order.
    """

    root: str
    content: str | None
    scheme: str
    sha256: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckedReceipt:
    """A receipt that the user of this machine has verified: every interval was trained again, from and to these bytes.

    Attributes:
        author: hexadecimal Ed25519 public key.
        root: what the author signed.
        parent_name: what the receipt calls the parent; `parent` is what it was.
        n_intervals: all of which were repeated.
        date: of the verification, `2027-01-31`.
    """

    author: str
    root: str
    parent_name: str
    parent: Weights
    child: Weights
    n_intervals: int
    date: str
