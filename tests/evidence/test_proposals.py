"""An index proposes disguised relatives: a sketch of some view sees past each disguise."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from disguised_models import (
    N_LAYERS,
    Tensors,
    all_at_once,
    flipped,
    llama,
    permuted,
    rescaled,
    rotated,
    shuffled,
    write,
)

from hubdna.dna import codec
from hubdna.models import Loader
from hubdna.records import Claim, Dna, ModelRef
from hubdna.search import nearest
from hubdna.store import Entry, IndexDir

N_STRANGERS = 15


def dna(folder: Path, model: Tensors) -> Dna:
    return Loader().load(write(folder, model, reserved=True)).dna


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IndexDir]:
    """One parent, fifteen strangers of its config."""
    place = tmp_path_factory.mktemp("models")
    with IndexDir(place / "index", create=True) as index:
        for i in range(N_STRANGERS + 1):
            found = dna(place / str(i), llama(np.random.default_rng(i)))
            name = f"stranger/{i}" if i else "parent/model"
            data = codec.encode(found)
            ref = ModelRef(name, "main", f"{i:040x}")
            index.add(Entry(ref, codec.digest(data), Claim(), len(found.genes), "full", found.content), data)
        yield index


@pytest.mark.parametrize(
    "disguise", [rotated, permuted, shuffled, rescaled, flipped, all_at_once], ids=lambda f: f.__name__
)
def test_a_disguised_copy_is_proposed_and_listed_first(disguise, index: IndexDir, tmp_path: Path) -> None:
    rng = np.random.default_rng(100)
    query = dna(tmp_path / "copy", disguise(llama(np.random.default_rng(0)), rng))
    first, second, *_ = [v for _, v in index.vectors.vote(query.genes)] + [0.0]
    assert index.candidates(query, 1)[0].ref.repo_id == "parent/model" and first > 2 * second
    found = nearest(query, index)
    assert [m.ref.repo_id for m in found] == ["parent/model"]
    assert found[0].verdict.log10_p <= -14.3


def test_a_stranger_finds_nobody(index: IndexDir, tmp_path: Path) -> None:
    assert nearest(dna(tmp_path / "stranger", llama(np.random.default_rng(500))), index) == []


def renamed_and_transposed(model: Tensors) -> Tensors:
    return {f"t{i}": np.ascontiguousarray(model[name].T) for i, name in enumerate(sorted(model, reverse=True))}


def fused(model: Tensors) -> Tensors:
    """gate and up in one matrix, q, k and v in another, as some families store them."""
    new = dict(model)
    for i in range(N_LAYERS):
        layer = f"model.layers.{i}"
        parts = {"mlp.gate_up_proj": ("mlp.gate_proj", "mlp.up_proj"),
                 "self_attn.qkv_proj": [f"self_attn.{p}_proj" for p in "qkv"]}  # fmt: skip
        for whole, names in parts.items():
            new[f"{layer}.{whole}.weight"] = np.concatenate([new.pop(f"{layer}.{n}.weight") for n in names])
    return new


def rounded(model: Tensors) -> Tensors:
    """Every matrix on four bits, one scale a row."""
    steps = {name: np.abs(w).max(axis=-1, keepdims=True) / 7 for name, w in model.items() if w.ndim > 1}
    return {name: np.rint(w / steps[name]) * steps[name] if name in steps else w for name, w in model.items()}


@pytest.mark.parametrize("form", [renamed_and_transposed, fused, rounded], ids=lambda f: f.__name__)
def test_another_form_of_a_model_is_the_first_candidate_and_settled(form, index: IndexDir, tmp_path: Path) -> None:
    query = dna(tmp_path / "form", form(llama(np.random.default_rng(0))))
    assert index.candidates(query, 1)[0].ref.repo_id == "parent/model"
    (found,) = nearest(query, index)
    assert found.ref.repo_id == "parent/model" and found.verdict.origin in ("common", "identical")
