"""HD017: what behaves alike is named where the weights say nothing, and nowhere else."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rule_cases import README, case, declared, found, match, told

from hubdna.behaviour import judge_stored
from hubdna.behaviour.fingerprints import scheme
from hubdna.errors import BehaviourError, IndexDirError
from hubdna.lookalikes import lookalikes
from hubdna.records import BehaviourDNA, Likeness, Lookalike, ModelRef
from hubdna.rules import Declared
from hubdna.store import IndexDir
from hubdna.store.behaviours import FILE, BehaviourVectors

SIMILAR = Likeness(0.8, 0.99, "behaviourally similar", 0.01, "strangers reach this in 1% of all cases")
UNREAD = "me/model: no format that is read"
US = ModelRef("me/model", sha="a" * 40)


def alike(name: str = "big/base", created_at: str | None = "2026-01", n: int = 7, **said: Any) -> Lookalike:
    return Lookalike(ModelRef(name, sha="1" * 40), replace(SIMILAR, **said), n, created_at)


def spoke(**more: Any) -> bool:
    return "HD017" in [rule for rule, _ in told(case(**({"lookalikes": (alike(),)} | more)))]


def test_it_says_what_behaviour_is_worth_and_proposes_nothing() -> None:
    (_, finding) = found(case(lookalikes=(alike(), alike("a/second", probability=None)), unread=UNREAD))
    assert (finding.rule_id, finding.severity, finding.patch, finding.line) == ("HD017", "info", None, None)
    assert "behaves like big/base, a/second." in finding.message
    assert "1% of strangers" in finding.message and "7 vectors were compared" in finding.message
    assert finding.message.endswith("Behaviour is no evidence of origin.")
    assert "derived" not in finding.message and len(finding.evidence) == 2
    assert finding.evidence[0] == ("big/base: behaviourally similar at 1% error, similarity 0.80, probability 0.99")


def test_three_are_named_at_most() -> None:
    many = tuple(alike(f"a/m{n}") for n in range(9))
    assert len(found(case(lookalikes=many))[0].evidence) == 3


@pytest.mark.parametrize(
    "said",
    [
        {"verdict": "undecided", "error_rate": None},
        {"verdict": "not similar", "error_rate": None},
        {"error_rate": 0.05},
        {"error_rate": None},
    ],
)
def test_what_is_less_than_similar_at_one_per_cent_is_not_named(said: dict[str, Any]) -> None:
    assert spoke() and not spoke(lookalikes=(alike(**said),))


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"unread": UNREAD}, True),
        ({"matches": (match("other/model", origin="undecided"),)}, True),
        ({"matches": (match("other/model"),)}, False),
        ({"matches": (match("other/model", origin="identical"),)}, False),
        ({"names": ("my/base",), "declared": (declared("my/base", "undecided"),)}, True),
        ({"names": ("my/base",), "declared": (Declared("my/base", None, "not read"),)}, True),
        ({"names": ("my/base",), "declared": (declared("my/base", "no-evidence"),)}, False),
        ({"names": ("my/base",)}, False),
    ],
)
def test_where_the_weights_gave_a_verdict_behaviour_is_silent(more: dict[str, Any], expected: bool) -> None:
    assert spoke(**more) is expected


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"card": README + "Distilled from big/base."}, "the text credits it"),
        ({"names": ("big/base",), "declared": (declared("big/base", "undecided"),)}, "it is declared"),
        ({"names": ("old/base",), "declared": (Declared("old/base", None, "x", "renamed", "big/base"),)}, "renamed"),
        ({"bases": {"me/model": frozenset({"big/base"})}}, "it says itself that it was made from this one"),
        ({"foundations": frozenset({"me/model"})}, "a foundation model has many children"),
        ({"lookalikes": (alike(created_at="2026-09"),)}, "it came later"),
    ],
)
def test_who_is_left_alone(more: dict[str, Any], why: str) -> None:
    assert spoke() and not spoke(**more), why


@pytest.mark.parametrize("dates", [(None, "2026-06"), ("2026-01", None), (None, None)])
def test_without_dates_it_is_named(dates: tuple[str | None, str | None]) -> None:
    assert spoke(lookalikes=(alike(created_at=dates[0]),), created_at=dates[1])


class TestLookUp:
    """`lookalikes`: from the vectors of an index, judged by the shipped classifier."""

    @staticmethod
    def vector(seed: int, toward: int | None = None, net: str | None = None) -> BehaviourDNA:
        base = np.random.default_rng(seed).normal(size=(4, 128))
        base += 0 if toward is None else 5 * np.random.default_rng(toward).normal(size=(4, 128))
        parts = base / np.linalg.norm(base, axis=1, keepdims=True) / 2
        name = scheme("text") if net is None else scheme("text").replace("net=", f"net={net}")
        return BehaviourDNA(name, "text", parts.astype(np.float32).ravel(), 1.0)

    @pytest.fixture
    def index(self, tmp_path: Path) -> IndexDir:
        return IndexDir(tmp_path / "index", create=True)

    def fill(self, index: IndexDir, net: str | None = None) -> None:
        with BehaviourVectors(index.path, create=True) as vectors:
            for n in range(14):
                vectors.add(ModelRef(f"some/stranger-{n}", sha="2" * 40), self.vector(n, net=net))
            vectors.add(US, self.vector(99, toward=3, net=net))

    def test_the_nearest_are_judged_and_the_model_itself_is_none(self, index: IndexDir) -> None:
        self.fill(index)
        near = lookalikes(US, index, judge_stored)
        assert near[0].ref.repo_id == "some/stranger-3"
        assert near[0].likeness.error_rate == 0.01 and near[0].n_compared == 14
        assert len(near) == 10 and all(one.ref.repo_id != US.repo_id for one in near)
        assert [one for one in near[1:] if one.likeness.verdict == "behaviourally similar"] == []

    @pytest.mark.parametrize("ref", [replace(US, sha="b" * 40), ModelRef("no/body", sha="a" * 40), ModelRef("./us")])
    def test_only_a_model_that_was_seen_at_this_commit_has_some(self, index: IndexDir, ref: ModelRef) -> None:
        assert lookalikes(US, index, judge_stored) == ()  # no vectors at all
        self.fill(index)
        assert lookalikes(ref, index, judge_stored) == ()

    def test_vectors_of_another_network_are_not_judged_by_this_ones_lines(self, index: IndexDir) -> None:
        self.fill(index, net="0")
        with pytest.raises(BehaviourError, match="this version judges"):
            lookalikes(US, index, judge_stored)

    def test_a_damaged_row_is_said(self, index: IndexDir) -> None:
        self.fill(index)
        raw = (index.path / FILE).read_bytes()
        (index.path / FILE).write_bytes(raw.replace(b"some/stranger-3", b"some/stranger-x"))
        with pytest.raises(IndexDirError, match="is damaged"):
            lookalikes(US, index, judge_stored)
        (index.path / FILE).write_bytes(b"no database at all")
        with pytest.raises(IndexDirError, match="cannot be used"):
            lookalikes(US, index, judge_stored)
