"""The scorer of forests counts what it says: on trees small enough to count by hand."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from hubdna.demo import HERE

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts" / "boards"))
sys.path.insert(0, str(Path(__file__).parent.parent / "scripts" / "formats"))

import write_gguf

import forest_score
from forest_score import Score, score

TRUE = [("root", "a"), ("root", "b"), ("a", "a1"), ("a1", "a2")]


def test_every_true_edge_is_right_reversed_undirected_or_missing() -> None:
    found = score(TRUE, [("root", "a"), ("b", "root")], [("a1", "a"), ("a", "b")])
    assert found == Score(right=1, reversed=1, undirected=1, missing=1, beside=1)
    assert (found.n_edges, found.wrong) == (4, 1)


def test_wrong_claims_are_told_apart() -> None:
    found = score(TRUE, [("root", "a2"), ("a2", "a"), ("b", "a2"), ("stranger", "b")])
    assert (found.skipping, found.backward, found.astray) == (1, 1, 2)
    assert (found.missing, found.wrong) == (4, 4)


def test_a_directed_claim_silences_an_undirected_one_of_the_same_pair() -> None:
    assert score(TRUE, [("root", "a")], [("a", "root")]) == Score(right=1, missing=3)


def test_equal_models_are_one_node() -> None:
    same = [["root", "copy"]]
    true = [("root", "copy"), ("copy", "a")]
    assert score(true, [("root", "a")], same=same) == Score(right=1)
    assert score(true, [("copy", "root"), ("a", "copy")], same=same) == Score(reversed=1)


def test_claims_in_both_directions_are_refused() -> None:
    with pytest.raises(ValueError, match="both directions"):
        score(TRUE, [("root", "a"), ("a", "root")])


def test_scores_add_up_and_their_intervals_hold_the_shares() -> None:
    total = Score(right=3, missing=1) + Score(right=5, reversed=1)
    assert total == Score(right=8, missing=1, reversed=1)
    low, high = total.recall
    assert low < 0.8 < high
    least, most = total.false_share
    assert least < 1 / 9 < most
    assert score([], []).recall == (0.0, 1.0)
    assert "8 of 10 edges right" in total.told()


def test_equal_groups_ignore_storage_and_see_one_bit() -> None:
    w = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    other = w.copy()
    other[2, 3] = np.nextafter(other[2, 3], np.float32(0))
    models = {"a": {"w": w}, "b": {"w": w.astype(np.float64)}, "c": {"w": other}, "d": {"v": w}}
    models["e"] = {"w": w.reshape(4, 3)}
    groups = forest_score.equal_groups(models)
    assert groups == [["a", "b"]]
    assert set(forest_score.distinct(models, groups)) == {"a", "c", "d", "e"}


def test_a_tree_is_read_as_it_lies_on_disk_gguf_under_the_names_of_the_others(tmp_path: Path) -> None:
    plain = HERE / "models" / "bytewright" / "pyllama-245k"
    (tmp_path / "a").symlink_to(plain)
    (tmp_path / "b").mkdir()
    write_gguf.write_llama(tmp_path / "b" / "b.gguf", *write_gguf.load(plain))
    said = {"root": "a", "models": {"a": {}, "b": {}}, "edges": [{"child": "b", "parent": "a", "kind": "converted"}]}
    (tmp_path / "truth.json").write_text(json.dumps(said))
    models = forest_score.weights(tmp_path)
    assert models["a"].keys() == models["b"].keys()
    assert forest_score.equal_groups(models) == [["a", "b"]]
    assert forest_score.truth(tmp_path) == [("a", "b")]


def test_fine_tunes_are_those_that_nothing_else_led_to(tmp_path: Path) -> None:
    steps = [("root", "a", "finetune"), ("root", "q", "quantized"), ("a", "a1", "finetune"), ("q", "q1", "finetune")]
    edges = [{"parent": a, "child": b, "kind": kind} for a, b, kind in steps]
    (tmp_path / "truth.json").write_text(json.dumps({"root": "root", "edges": edges}))
    assert forest_score.fine_tunes(tmp_path) == {"root", "a", "a1"}
