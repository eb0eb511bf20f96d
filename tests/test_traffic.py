"""What a read costs, counted by the server: the budgets of DESIGN hold on a 7B-shaped sharded model."""

import sys
from pathlib import Path

import pytest

from hubdna.dna import codec
from hubdna.localhub import LocalHub
from hubdna.models import Loader
from hubdna.records import ModelRef

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts" / "boards"))
from llama_shape import write_repository


@pytest.fixture(scope="module")
def big_hub(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("hub")
    for seed, name in enumerate(("one/llama", "two/llama")):
        assert write_repository(root / name, seed) > 13e9
    with LocalHub(root) as hub:
        yield hub


@pytest.mark.parametrize(
    ("level", "n_bytes", "n_requests", "n_genes"), [("small", 4e6, 6, 4), ("standard", 16e6, 64, 18)]
)
def test_a_read_stays_in_its_budget(
    big_hub: LocalHub, level: str, n_bytes: float, n_requests: int, n_genes: int
) -> None:
    big_hub.reset_traffic()
    dna = Loader(big_hub.endpoint, level=level).load(ModelRef("one/llama")).dna
    sent = [r for r in big_hub.traffic.requests if r.path.endswith(".safetensors")]
    assert sum(r.n_bytes for r in sent) == dna.n_bytes_read <= n_bytes
    assert big_hub.traffic.n_resolve <= dna.n_requests <= n_requests
    assert sum(g.view == "rows" for g in dna.genes) >= n_genes
    assert {"rows", "response", "residual"} <= {g.view for g in dna.genes}
    assert len(codec.encode(dna)) <= 2**20
    assert not any(r.authorized for r in sent if r.host == "cdn")


def test_a_small_read_is_part_of_a_standard_one(big_hub: LocalHub) -> None:
    small, standard = (
        Loader(big_hub.endpoint, level=level).load(ModelRef("one/llama")).dna for level in ("small", "standard")
    )
    rows = {
        (g.view, g.tensor, g.axis): (g.rows.tobytes(), g.sketch.tobytes(), g.hashes.tobytes()) for g in standard.genes
    }
    assert all(
        rows[g.view, g.tensor, g.axis] == (g.rows.tobytes(), g.sketch.tobytes(), g.hashes.tobytes())
        for g in small.genes
        if g.view != "residual"  # as many columns as anchors
    )


def test_two_7b_models_of_noise_are_not_related(big_hub: LocalHub) -> None:
    from hubdna.compare import compare_models

    result = compare_models(ModelRef("one/llama"), ModelRef("two/llama"), Loader(big_hub.endpoint, level="small"))
    assert result.verdict.origin == "no-evidence"
    assert result.verdict.evidence.detectable < 0.03
