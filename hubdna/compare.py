"""compare_models(A, B): load both, test, judge."""

from __future__ import annotations

from hubdna.evidence.compare import compare_dna
from hubdna.models import Loader
from hubdna.records import Comparison, ModelRef
from hubdna.verdict import judge


def compare_models(a: ModelRef, b: ModelRef, loader: Loader) -> Comparison:
    """Test whether two models share an origin. Raises HubdnaError when one of them cannot be read."""
    dna_a, dna_b = loader.load(a).dna, loader.load(b).dna
    verdict = judge(compare_dna(dna_a, dna_b))
    return Comparison(
        dna_a.ref, dna_b.ref, verdict, dna_a.n_bytes_read + dna_b.n_bytes_read, dna_a.n_requests + dna_b.n_requests
    )
