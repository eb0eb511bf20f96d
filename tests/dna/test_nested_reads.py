"""What a smaller read finds, a larger read finds too, bit for bit; and none costs more than its budget."""

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from hubdna.dna.read import BUDGETS, read_dna
from hubdna.records import Dna, Gene, ModelRef, ReadLevel
from hubdna.sources.interface import LocalReader

LAYERS, WIDTH, INNER, VOCABULARY = 10, 512, 1408, 8000


def bits(rng: np.random.Generator, *shape: int) -> bytes:
    """Random bfloat16 between 2^-7 and 2^-6, as raw bits: cheap."""
    return (0x3C00 | rng.integers(0, 128, shape, np.uint16) | rng.integers(0, 2, shape, np.uint16) << 15).tobytes()


def write_shard(path: Path, tensors: dict[str, tuple[int, ...]], rng: np.random.Generator) -> None:
    header, position = {}, 0
    for name, shape in tensors.items():
        end = position + 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [position, end]}
        position = end
    raw = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        for shape in tensors.values():
            file.write(bits(rng, *shape))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sharded model of 64 MB with the layout of Llama."""
    folder, rng = tmp_path_factory.mktemp("llama"), np.random.default_rng(7)
    shards: list[dict[str, tuple[int, ...]]] = [{"model.embed_tokens.weight": (VOCABULARY, WIDTH)}, {}]
    for layer in range(LAYERS):
        block = f"model.layers.{layer}"
        shards[layer >= LAYERS // 2] |= {
            **{f"{block}.self_attn.{p}_proj.weight": (WIDTH, WIDTH) for p in "qkvo"},
            f"{block}.mlp.gate_proj.weight": (INNER, WIDTH),
            f"{block}.mlp.up_proj.weight": (INNER, WIDTH),
            f"{block}.mlp.down_proj.weight": (WIDTH, INNER),
            f"{block}.input_layernorm.weight": (WIDTH,),
        }
    for i, tensors in enumerate(shards, start=1):
        write_shard(folder / f"model-{i:05d}-of-00002.safetensors", tensors, rng)
    return folder


@pytest.fixture(scope="module")
def reads(llama: Path) -> dict[str, Dna]:
    files = sorted(f.name for f in llama.iterdir())
    levels: list[ReadLevel] = ["small", "standard", "full"]
    return {level: read_dna(ModelRef("./llama"), LocalReader(llama), files, level) for level in levels}


def key(gene: Gene) -> tuple[str, str, int]:
    return gene.view, gene.tensor, gene.axis


@pytest.mark.parametrize(("smaller", "larger"), [("small", "standard"), ("standard", "full"), ("small", "full")])
def test_the_genes_of_a_smaller_read_are_those_of_a_larger_one(
    reads: dict[str, Dna], smaller: str, larger: str
) -> None:
    there = {key(g): g for g in reads[larger].genes}
    assert 2 <= len(reads[smaller].genes) < len(there)
    for gene in (g for g in reads[smaller].genes if g.view != "residual"):  # that one has as many columns as anchors
        other = there[key(gene)]
        assert gene.rows is not None and other.rows is not None
        for field in ("rows", "scales", "live", "hashes", "sketch"):
            assert np.array_equal(getattr(gene, field), getattr(other, field)), (gene.tensor, field)
        assert (gene.shape, gene.dtype, gene.n_sketched) == (other.shape, other.dtype, other.n_sketched)


@pytest.mark.parametrize(("smaller", "larger"), [("small", "standard"), ("standard", "full")])
def test_the_labelled_inputs_of_a_smaller_read_are_the_first_of_a_larger_one(
    reads: dict[str, Dna], smaller: str, larger: str
) -> None:
    few, many = (next(g for g in reads[level].genes if g.view == "residual").rows for level in (smaller, larger))
    assert few is not None and many is not None and few.shape[1] <= many.shape[1]
    for a, b in zip(few, many[:, : few.shape[1]], strict=True):
        assert np.corrcoef(a, b)[0, 1] > 0.999  # each to 1/127 of its own largest


@pytest.mark.parametrize("level", ["small", "standard"])
def test_a_read_stays_within_its_budget(reads: dict[str, Dna], level: ReadLevel) -> None:
    dna, budget = reads[level], BUDGETS[level]
    assert 0 < dna.n_bytes_read <= budget.n_bytes
    assert 0 < dna.n_requests <= budget.n_requests


def test_a_full_read_reads_everything_once(reads: dict[str, Dna], llama: Path) -> None:
    size = sum(f.stat().st_size for f in llama.iterdir())
    assert reads["full"].n_bytes_read <= size + 2 * 100_000
    assert reads["full"].content is not None
    assert reads["standard"].content is None


def test_random_weights_of_two_models_share_nothing(reads: dict[str, Dna]) -> None:
    hashes = np.concatenate([g.hashes[:, 0] for g in reads["full"].genes])
    assert len(np.unique(hashes)) == len(hashes)


def test_the_bits_of_this_file_are_ordinary_weights() -> None:
    values = np.frombuffer(bits(np.random.default_rng(0), 1000), ml_dtypes.bfloat16).astype(np.float32)
    assert np.isfinite(values).all()
    assert (values < 0).any() and (values > 0).any() and np.abs(values).max() < 0.02
