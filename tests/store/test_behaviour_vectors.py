"""Vectors of behaviour in an index directory: sound or refused, never mixed, never in the way of the weights."""

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubdna.errors import BehaviourError, IndexDirError
from hubdna.records import BehaviourDNA, ModelRef
from hubdna.store.behaviours import FILE, BehaviourVectors

D = 64
SCHEME = f"behaviour-dna-1/vision=1a2b3c4d/net=5e6f7a8b/d={D}"


def dna(seed: int, scheme: str = SCHEME) -> BehaviourDNA:
    vector = np.random.default_rng(seed).normal(size=D).astype(np.float32)
    return BehaviourDNA(scheme, "vision", vector / np.linalg.norm(vector), 0.5)


def ref(name: str) -> ModelRef:
    return ModelRef(f"org/{name}", sha="ab" * 20)


@pytest.fixture
def full(tmp_path: Path) -> Path:
    with BehaviourVectors(tmp_path, create=True) as vectors:
        for n in range(20):
            vectors.add(ref(f"m{n}"), dna(n))
    return tmp_path


def test_what_was_stored_is_found_by_cosine(full: Path) -> None:
    near = dna(7).vector + 0.05 * dna(99).vector
    asked = replace(dna(7), vector=near / np.linalg.norm(near))
    with BehaviourVectors(full) as vectors:
        found = vectors.nearest(asked, 5)
        everything = {ref.repo_id: float(one.vector @ asked.vector) for ref, one in vectors.all("vision")}
        assert vectors.verify() == []
    assert len(everything) == 20
    assert [r.repo_id for r, _ in found] == sorted(everything, key=lambda name: -everything[name])[:5]
    assert found[0][0] == ref("m7")


def test_a_model_is_stored_once_and_a_later_commit_takes_its_place(full: Path) -> None:
    later = ModelRef("org/m1", sha="cd" * 20)
    with BehaviourVectors(full, create=True) as vectors:
        assert vectors.is_done(ref("m1"), "") and not vectors.is_done(later, "")
        vectors.add(later, dna(50))
        held = vectors.get("org/m1")
        assert held is not None and held[0].sha == later.sha and np.array_equal(held[1].vector, dna(50).vector)
        assert sum(1 for _ in vectors.all("vision")) == 20


def test_what_cannot_be_seen_is_not_tried_again_under_the_same_limits(full: Path) -> None:
    with BehaviourVectors(full, create=True) as vectors:
        vectors.skip(ref("bad"), "only pickled weights", "2 GB")
        assert vectors.is_done(ref("bad"), "2 GB") and not vectors.is_done(ref("bad"), "4 GB")
        assert [(s.subject, s.reason) for s in vectors.skips()] == [("org/bad", "only pickled weights")]
        vectors.add(ref("bad"), dna(60))
        assert vectors.skips() == []


def test_two_schemes_never_mix(full: Path) -> None:
    other = dna(1, SCHEME.replace("5e6f7a8b", "00000000"))
    with BehaviourVectors(full, create=True) as vectors:
        with pytest.raises(IndexDirError, match=r"holds .*net=5e6f7a8b.*computes .*net=00000000.*use a new index"):
            vectors.add(ref("new"), other)
        with pytest.raises(IndexDirError, match="they do not compare"):
            vectors.nearest(other, 3)
        assert vectors.get("org/new") is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"vector": np.full(D, np.nan, np.float32)}, "not finite"),
        ({"vector": np.full(D, np.inf, np.float32)}, "not finite"),
        ({"vector": np.zeros(D, np.float32)}, "length 0.000"),
        ({"vector": np.ones(D, np.float32)}, "length 8.000"),
        ({"vector": np.ones(D + 1, np.float32) / D}, r"expected float32 \(64,\)"),
        ({"vector": np.ones(D) / D}, "vector of float64"),
        ({"familiar": float("nan")}, "not finite"),
        ({"scheme": "behaviour-dna-1/vision=1a2b3c4d"}, "names no dimension"),
        ({"scheme": SCHEME.replace("d=64", "d=999999")}, "names no dimension"),
        ({"modality": "text"}, "does not fit scheme"),
    ],
)
def test_a_vector_that_is_not_sound_is_neither_stored_nor_asked_with(
    full: Path, changed: dict[str, Any], reason: str
) -> None:
    bad = replace(dna(1), **changed)
    with BehaviourVectors(full, create=True) as vectors:
        with pytest.raises(BehaviourError, match=reason):
            vectors.add(ref("bad"), bad)
        with pytest.raises(BehaviourError, match=reason):
            vectors.nearest(bad, 3)
        assert vectors.get("org/bad") is None


def test_folders_of_this_machine_are_not_named_in_an_index(full: Path) -> None:
    with BehaviourVectors(full, create=True) as vectors, pytest.raises(BehaviourError, match="a model of the Hub"):
        vectors.add(ModelRef("./secret", sha="ab" * 20), dna(1))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE vectors SET vector = zeroblob(256) WHERE repo_id = 'org/m3'",
        "UPDATE vectors SET vector = x'0000' WHERE repo_id = 'org/m3'",
        "UPDATE vectors SET vector = 'text' WHERE repo_id = 'org/m3'",
        "UPDATE vectors SET vector = (SELECT vector FROM vectors WHERE repo_id = 'org/m4') WHERE repo_id = 'org/m3'",
        "UPDATE vectors SET familiar = 1 WHERE repo_id = 'org/m3'",
        "UPDATE vectors SET familiar = 'x' WHERE repo_id = 'org/m3'",
        "UPDATE vectors SET sha = 'other' WHERE repo_id = 'org/m3'",
    ],
)
def test_a_row_that_was_changed_is_named_and_not_believed(full: Path, change: str) -> None:
    with sqlite3.connect(full / FILE) as db:
        db.execute(change)
    db.close()
    with BehaviourVectors(full) as vectors:
        (problem,) = vectors.verify()
        assert "org/m3" in problem and "damaged" in problem
        with pytest.raises(IndexDirError, match="org/m3"):
            vectors.nearest(dna(1), 3)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 100)
    with BehaviourVectors(tmp_path) as vectors, pytest.raises(IndexDirError, match="cannot be used"):
        vectors.nearest(dna(1), 3)


def test_an_index_without_vectors_says_how_to_make_some(tmp_path: Path) -> None:
    with pytest.raises(IndexDirError, match="hubdna index behaviour"):
        BehaviourVectors(tmp_path)
