"""An index proposes disguised relatives: a sketch of some view sees past each disguise."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from disguised_models import Tensors, all_at_once, flipped, llama, permuted, rescaled, rotated, shuffled, write

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
