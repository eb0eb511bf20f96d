"""A painting shows at a glance what was done to a model: one pattern, a mixture, blocks, a hole, nothing."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from html_models import N_LAYERS, Page, Shelf, layers, net, states, tuned

from hubdna.painting import pair, try_to_paint
from hubdna.records import ModelRef, Painting
from hubdna.report.painting import painting, summary
from hubdna.search import retest

BASE = net(1)
ATTENTION = "layers.0.attn.q_proj.weight"
LEFT, RIGHT, OTHER = tuned(BASE, 2), tuned(BASE, 3), tuned(BASE, 4)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path_factory.mktemp("painting"))
    for name, model in {"lab/base": BASE, "lab/left": LEFT, "lab/right": RIGHT, "lab/other": OTHER}.items():
        shelf.put(name, model)
    yield shelf
    shelf.index.close()


def drawn(picture: Painting) -> Page:
    return Page(painting(picture, [f"r{i}" for i in range(len(picture.relatives))]))


def bars(picture: Painting) -> list[set[str]]:
    """Which patterns stand in each layer's bar."""
    rows = painting(picture, ["x"] * len(picture.relatives)).split('<svg class="bar"')[1:]
    return [{p for p in "ABCDEF" if f"url(#p{p})" in row.split("</svg>")[0]} for row in rows]


def test_a_fine_tune_is_of_one_pattern(shelf: Shelf) -> None:
    picture = shelf.audit(tuned(LEFT, 5, 0.05))[1]
    assert states(picture) == ["lab/left"] * N_LAYERS and bars(picture) == [{"A"}] * N_LAYERS
    assert summary(picture) == "All 4 layers match A, <bdi>lab/left</bdi>."


def test_a_linear_merge_is_cut_by_its_shares(shelf: Shelf) -> None:
    merge = {n: (0.7 * LEFT[n] + 0.3 * RIGHT[n]).astype(np.float32) for n in BASE}
    picture = shelf.audit(merge)[1]
    assert bars(picture) == [{"A", "B"}] * N_LAYERS
    first, second = picture.relatives[:2]
    assert (first.ref.repo_id, second.ref.repo_id) == ("lab/left", "lab/right")
    assert first.shares == pytest.approx([0.7] * N_LAYERS, abs=0.01)
    assert second.shares == pytest.approx([0.3] * N_LAYERS, abs=0.01)
    assert "A 0.70" in drawn(picture).text and "B 0.30" in drawn(picture).text


def test_a_stack_is_blocks(shelf: Shelf) -> None:
    picture = shelf.audit(layers(LEFT, 0, 1) | layers(RIGHT, 2, 3))[1]
    assert states(picture) == ["lab/left", "lab/left", "lab/right", "lab/right"]
    assert bars(picture) == [{"A"}, {"A"}, {"B"}, {"B"}]
    assert all(p.states[i] == "same" for p, i in ((picture.relatives[0], 0), (picture.relatives[1], 3)))


def test_a_layer_that_was_trained_anew_is_a_hole(shelf: Shelf) -> None:
    picture = shelf.audit(tuned(BASE, 6, 0.05) | layers(net(7), 2))[1]
    assert states(picture) == ["lab/base", "lab/base", "none", "lab/base"]
    assert bars(picture)[2] == set() and "matches none" in drawn(picture).text
    assert "1 layer matches none: trained anew, or from elsewhere." in summary(picture)


def test_what_cannot_be_tested_is_told_by_its_exact_weights(tmp_path: Path) -> None:
    """Attention has no units to relabel: kept it is "alike" or equal, taken from elsewhere it is "unlike"."""
    end, elsewhere = ({"end.q_proj.weight": w} for w in (net(20)[ATTENTION], net(21)[ATTENTION]))
    shelf = Shelf(tmp_path)
    shelf.put("lab/base", BASE | end)
    said = {}
    for name, last in {"kept": end, "tuned": tuned(end, 22), "swapped": elsewhere}.items():
        picture = shelf.audit(tuned(BASE, 23, 0.05) | last)[1]
        said[name] = picture.relatives[0].states[picture.layers.index("end.q_proj")]
        assert picture.relatives[0].layers[picture.layers.index("end.q_proj")].log10_p is None
    shelf.index.close()
    assert said == {"kept": "same", "tuned": "alike", "swapped": "unlike"}
    assert "1 layer resembles none, without a test." in summary(picture) and "resembles none" in drawn(picture).text


def test_an_independent_model_is_empty_and_says_so(shelf: Shelf) -> None:
    picture = shelf.audit(net(8))[1]
    assert picture.relatives == () and bars(picture) == [set()] * N_LAYERS
    assert drawn(picture).text.startswith("Nothing in the index matches this model: none of its 4 layers is painted.")


def test_a_copy_is_equal_in_every_layer(shelf: Shelf) -> None:
    picture = shelf.audit(LEFT)[1]
    assert picture.relatives[0].verdict.origin == "identical"
    assert picture.relatives[0].states == ("same",) * N_LAYERS and states(picture) == ["lab/left"] * N_LAYERS


def test_the_family_holds_the_model_and_its_relatives(shelf: Shelf) -> None:
    picture = shelf.audit(tuned(LEFT, 5, 0.05))[1]
    assert picture.family is not None
    assert {str(m) for m in picture.family.members} == {"./model", "lab/base", "lab/left", "lab/right", "lab/other"}


def test_what_cannot_be_painted_says_why(shelf: Shelf) -> None:
    none = try_to_paint(ModelRef("./gone"), None, (), shelf.index, None)
    assert drawn(none).text == "No painting: the model was not read."


def test_figures_of_all_relatives_stand_under_every_layer(shelf: Shelf) -> None:
    picture = shelf.audit(tuned(LEFT, 5, 0.05))[1]
    page = drawn(picture)
    assert sum(tag == "details" for tag, _ in page.tags) == N_LAYERS
    assert page.text.count("32 of 32") >= N_LAYERS
    assert (
        f"paid for all {picture.n_tests} tests of all layers of {picture.n_looked} relatives (Bonferroni)" in page.text
    )


def test_p_values_are_paid_for_all_relatives(shelf: Shelf) -> None:
    picture = shelf.audit(tuned(LEFT, 5, 0.05))[1]
    alone = pair(shelf.dna(tuned(LEFT, 5, 0.05)), shelf.dna(LEFT), picture.relatives[0].verdict)
    one, more = alone.relatives[0].layers[0], picture.relatives[0].layers[0]
    assert one.fixed_points == more.fixed_points and alone.n_tests < picture.n_tests
    assert one.log10_p is not None and more.log10_p is not None
    assert more.log10_p - one.log10_p == pytest.approx(np.log10(picture.n_tests / alone.n_tests))


def test_a_pair_tells_which_layers_of_the_other_one_nothing_was_compared_with(shelf: Shelf) -> None:
    short = shelf.dna(layers(LEFT, 0, 1, 3))
    shelf.index.sync()
    entry = shelf.index.get("lab/left")
    assert entry is not None
    picture = pair(short, shelf.index.dna(entry), retest(short, entry, shelf.index))
    assert picture.unmet == ("layers.2",)
