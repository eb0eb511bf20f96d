"""The nouns: frozen dataclasses that the steps hand to each other. Standard library only (numpy for annotations).

    ModelRef -> Snapshot -> Choice -> Dna (of Genes and Blocks) -> Evidence -> Verdict -> Match -> Finding -> Audit

*Parent* means one edge, *ancestor* the closure of edges, *origin* common descent without a direction.
"""

from hubdna.records.audit import (
    Audit,
    CardEdit,
    CardPatch,
    Claim,
    Finding,
    Fix,
    Ignored,
    IndexInfo,
    Provenance,
    Severity,
)
from hubdna.records.behaviour import Behaviour, BehaviourDNA, BehaviourPair, Likeness, Lookalike, Modality
from hubdna.records.dna import UNIT_VIEWS, Block, Dna, Gene, View
from hubdna.records.evidence import (
    Bucket,
    Certainty,
    Comparison,
    Difference,
    Direction,
    Evidence,
    Mark,
    Match,
    Origin,
    Verdict,
)
from hubdna.records.lineage import Descent, Edge, Family, LayerSource, Member, Mixture, MixtureKind
from hubdna.records.models import Choice, Kind, ModelRef, ReadLevel, Skipped, Snapshot, TensorInfo
from hubdna.records.painting import LayerEvidence, LayerState, Painted, Painting
from hubdna.records.receipts import (
    CheckedReceipt,
    CheckOutcome,
    Coverage,
    ReceiptCheck,
    ReceiptGlance,
    ReceiptParent,
    ReceiptReport,
    ReceiptVerdict,
    Weights,
)

__all__ = [
    "UNIT_VIEWS",
    "Audit",
    "Behaviour",
    "BehaviourDNA",
    "BehaviourPair",
    "Block",
    "Bucket",
    "CardEdit",
    "CardPatch",
    "Certainty",
    "CheckOutcome",
    "CheckedReceipt",
    "Choice",
    "Claim",
    "Comparison",
    "Coverage",
    "Descent",
    "Difference",
    "Direction",
    "Dna",
    "Edge",
    "Evidence",
    "Family",
    "Finding",
    "Fix",
    "Gene",
    "Ignored",
    "IndexInfo",
    "Kind",
    "LayerEvidence",
    "LayerSource",
    "LayerState",
    "Likeness",
    "Lookalike",
    "Mark",
    "Match",
    "Member",
    "Mixture",
    "MixtureKind",
    "Modality",
    "ModelRef",
    "Origin",
    "Painted",
    "Painting",
    "Provenance",
    "ReadLevel",
    "ReceiptCheck",
    "ReceiptGlance",
    "ReceiptParent",
    "ReceiptReport",
    "ReceiptVerdict",
    "Severity",
    "Skipped",
    "Snapshot",
    "TensorInfo",
    "Verdict",
    "View",
    "Weights",
]
