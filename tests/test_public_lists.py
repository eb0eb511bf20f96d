"""The public pair lists are what they say they are, and their board runs from end to end on a local Hub."""

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from hubdna.localhub import LocalHub
from hubdna.records import ModelRef

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts" / "boards"))

import board
import public

LISTS = public.read_lists(public.LISTS)
TINY = """
name = "tiny"
pairs = [
  { a = "pixelworks/vit-digits", b = "pixelworks/vit-digits-inverted", label = "independent", corrected = "related" },
  { a = "pixelworks/vit-digits", b = "nobody/nothing", label = "related" },
]
independent_sets = [["pixelworks/vit-digits", "bytewright/pyllama-245k"]]
families = [["bytewright/pyllama-245k", "bytewright/pyllama-245k-docs"]]
"""


def test_there_are_the_three_lists() -> None:
    assert set(LISTS) == {"cisco", "awm", "zhu"}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_names_its_source_its_date_and_its_licence(name: str) -> None:
    data = LISTS[name]
    assert data["source"].startswith("https://github.com/") and data["date"].year >= 2025
    assert data["licence"] and data["title"] and data["complete"]


@pytest.mark.parametrize("name", LISTS)
def test_a_list_has_as_many_pairs_of_each_label_as_it_states(name: str) -> None:
    pairs = list(public.pairs_of(LISTS[name]))
    assert {"pairs": len(pairs), **Counter(p.listed for p in pairs)} == LISTS[name]["counts"]


@pytest.mark.parametrize("name", LISTS)
def test_no_pair_stands_twice_and_every_id_is_one_of_the_hub(name: str) -> None:
    pairs = list(public.pairs_of(LISTS[name]))
    assert len({frozenset((p.a, p.b)) for p in pairs}) == len(pairs)
    for model in {m for p in pairs for m in (p.a, p.b)}:
        ref = ModelRef.parse(model)
        assert ref.repo_id == model and not ref.is_local and model.count("/") == 1
    assert all(p.a != p.b for p in pairs)


@pytest.mark.parametrize("name", LISTS)
def test_labels_are_known_and_a_changed_one_has_a_reason(name: str) -> None:
    for p in public.pairs_of(LISTS[name]):
        assert p.listed in ("related", "independent") and p.label in public.LABELS
        assert p.listed == p.label or p.why
    assert all(p.get("corrected") != p["label"] for p in LISTS[name].get("pairs", ()))


def test_no_pair_has_two_truths() -> None:
    labels: dict[frozenset[str], set[str]] = {}
    for data in LISTS.values():
        for p in public.pairs_of(data):
            labels.setdefault(frozenset((p.a, p.b)), set()).add(p.label)
    assert all(len(of) == 1 for of in labels.values())


def test_a_family_relates_its_members_and_nobody_else() -> None:
    pairs = {(p.a, p.b): p.label for p in public.pairs_of({"families": [["o/a", "o/b"], ["o/c"]]})}
    assert pairs == {("o/a", "o/b"): "related", ("o/a", "o/c"): "independent", ("o/b", "o/c"): "independent"}


def test_one_row_says_what_was_found_and_what_each_model_took(demo_hub: LocalHub) -> None:
    loader = public.Remembering(demo_hub.endpoint)
    pair = public.Pair("pixelworks/vit-digits", "pixelworks/vit-digits-inverted", "related", "related")
    row = public.measure(pair, loader)
    asked = len(demo_hub.traffic.requests)
    assert row["origin"] == "common" and row["log10_p"] < -14 and all(row["at"])
    assert set(row["cost"]) == {pair.a, pair.b} and public.outcome(row, "related") == "hit"
    assert public.outcome(row, "independent") == "false" and public.outcome(row, "unknown") == "unknown"
    public.measure(pair, loader)
    assert len(demo_hub.traffic.requests) == asked  # a model is read once


def test_the_board_scores_both_labellings_and_gives_a_reason_for_what_it_skips(
    demo_hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    monkeypatch.setattr(board, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["public.py", "--endpoint", demo_hub.endpoint, "--lists", str(tmp_path)])
    assert public.main() == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["ok"] and said["n"] == 4 and said["measured"] == 3 and said["false_common"] == []
    assert said["listed"]["false"] == 1 and "false" not in said["corrected"]
    assert said["corrected"]["hit"] == 2 and said["corrected"]["skipped"] == 1
    assert said["most_mb"] <= 16 and said["most_requests"] <= public.MAX_REQUESTS
    assert not (tmp_path / "public.json").exists()


def test_rows_are_kept_and_only_skipped_ones_are_tried_again(
    demo_hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "RESULTS", tmp_path)
    monkeypatch.setattr(public, "LISTS", tmp_path)
    (tmp_path / "tiny.toml").write_text(TINY)
    monkeypatch.setattr(sys, "argv", ["public.py", "--endpoint", demo_hub.endpoint])
    public.main()
    rows = json.loads((tmp_path / "public.json").read_text())
    gone = rows["tiny pixelworks/vit-digits nobody/nothing"]
    assert gone["origin"] == "skipped" and gone["why"].startswith("NotFoundError: nobody/nothing")
    seen: list[str] = []
    monkeypatch.setattr(public, "measure", lambda pair, loader: seen.append(pair.b) or gone)
    public.main()
    assert seen == ["nobody/nothing"]
