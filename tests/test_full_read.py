"""What a few MB cannot settle needs a full read, and the verdict says how much that is."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hubdna.compare import compare_models
from hubdna.localhub import LocalHub
from hubdna.models import Loader
from hubdna.records import ModelRef, ReadLevel

D, FFN, VOCAB = 1024, 3072, 4096
SHARDS = 2 * (VOCAB * D + FFN * D), 2 * 2 * FFN * D
"""Bytes of the weights in the two shards of a model: its table and one map, its two other maps."""


def write(folder: Path, table: np.ndarray, maps: list[np.ndarray]) -> None:
    """A language model of one layer in two shards, 27 MB."""
    folder.mkdir(parents=True)
    gate, up, down = (f"model.layers.0.mlp.{n}_proj.weight" for n in ("gate", "up", "down"))
    save_file({"model.embed_tokens.weight": table, gate: maps[0]}, folder / "model-00001-of-00002.safetensors")
    save_file({up: maps[1], down: maps[2]}, folder / "model-00002-of-00002.safetensors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a copy with shuffled hidden units, and one small enough to be read whole with the same table."""
    root, rng = tmp_path_factory.mktemp("full"), np.random.default_rng(3)
    table = rng.standard_normal((VOCAB, D)).astype(np.float16)
    gate, up, down = (rng.standard_normal(s).astype(np.float16) for s in ((FFN, D), (FFN, D), (D, FFN)))
    order = rng.permutation(FFN)
    write(root / "one" / "model", table, [gate, up, down])
    write(root / "two" / "shuffled", table, [gate[order], up[order], np.ascontiguousarray(down[:, order])])
    write(root / "two" / "small", table, [m[:128] for m in (gate[order], up[order])] + [down[:, order[:128]].copy()])
    return root


@pytest.fixture(scope="module")
def hub(folder: Path) -> Iterator[LocalHub]:
    with LocalHub(folder) as running:
        yield running


def because(a: ModelRef, b: ModelRef, loader: Loader) -> str:
    verdict = compare_models(a, b, loader).verdict
    assert verdict.origin == "undecided"
    return verdict.undecided_because or ""


def test_a_folder_says_how_much_a_full_read_is(folder: Path) -> None:
    a, b = (ModelRef(str(folder / name)) for name in ("one/model", "two/shuffled"))
    assert 2 * sum(SHARDS) == pytest.approx(54.5e6, rel=1e-3)
    assert because(a, b, Loader()).endswith("; needs --read full, 54.5 MB")


def test_the_hub_says_the_same(hub: LocalHub) -> None:
    text = because(ModelRef("one/model"), ModelRef("two/shuffled"), Loader(hub.endpoint))
    assert text.endswith("; needs --read full, 54.5 MB")


def test_a_model_that_was_read_whole_costs_nothing_more(hub: LocalHub, folder: Path) -> None:
    """9 MB of table and maps fit the budget of a standard read."""
    assert Loader().load(ModelRef(str(folder / "two/small"))).dna.n_bytes_unread == 0
    text = because(ModelRef("one/model"), ModelRef("two/small"), Loader(hub.endpoint))
    assert text.endswith("; needs --read full, 27.3 MB")


def test_a_size_that_no_read_has_shown_is_left_out(hub: LocalHub) -> None:
    """A small read stays in the first shard; how long the second one is was never asked."""
    level: ReadLevel = "small"
    text = because(ModelRef("one/model"), ModelRef("two/shuffled"), Loader(hub.endpoint, level=level))
    assert text.endswith("; needs --read full")


def test_the_full_read_settles_it(folder: Path) -> None:
    a, b = (ModelRef(str(folder / name)) for name in ("one/model", "two/shuffled"))
    result = compare_models(a, b, Loader(level="full"))
    assert result.verdict.origin == "common"
    assert result.n_bytes_read >= 2 * sum(SHARDS)
