"""A stack of layers some of which are in no index is remarked on, and only where nothing else looks like it."""

from collections.abc import Mapping

import pytest
from test_mixture import BASE, FAMILY, A, B, C, Weights, dna, stacked, tuned

from hubdna.evidence.unmix import unmix
from hubdna.records import Mixture

HIDDEN = tuned(BASE, 8)


def remark(target: Weights, others: Mapping[str, Weights]) -> Mixture | None:
    found = unmix(dna("target", target), [dna(n, w) for n, w in others.items()], remarks=True)
    assert found is None or not found.directed
    return found


def test_two_versions_of_a_layer_one_of_which_is_nobodys_are_remarked_on() -> None:
    found = remark(stacked((A, 0), (A, 1), (A, 2), (HIDDEN, 1), (HIDDEN, 2), (HIDDEN, 3)), FAMILY)
    assert found is not None and found.kind == "layers" and found.unexplained == 0.5
    assert {m.ref.repo_id: m.share for m in found.parents} == {"a": 0.5}
    assert [(s.layer, s.ref.repo_id, s.source_layer) for s in found.layers] == [(i, "a", i) for i in range(3)]


def test_added_layers_that_were_trained_are_remarked_on() -> None:
    """Which is why the remark says that, too."""
    found = remark(stacked((A, 0), (A, 1), (tuned(A, 9), 1), (A, 2), (A, 3)), FAMILY)
    assert found is not None and found.unexplained == pytest.approx(0.2)


def test_frozen_layers_are_not() -> None:
    assert remark(tuned(A, 9, layers=(2, 3)), FAMILY) is None
    siblings = {"sibling": tuned(HIDDEN, 9, layers=(2, 3)), "base": BASE, "a": A}
    assert remark(tuned(HIDDEN, 10, layers=(2, 3)), siblings) is None


def test_a_sibling_of_partly_frozen_models_is_not() -> None:
    model = tuned(BASE, 9)
    children = {"lower": tuned(model, 10, layers=(0, 1)), "upper": tuned(model, 11, layers=(2, 3))}
    trained = tuned(model, 12, layers=(1, 2))
    assert remark(trained, FAMILY | children) is None


def test_a_part_of_a_stack_with_a_hidden_parent_is_not() -> None:
    """Seen from either, the one has some of the other's layers, and others of its own."""
    stack = stacked((A, 0), (A, 1), (HIDDEN, 2), (HIDDEN, 3))
    deeper = stacked((A, 0), (A, 1), (A, 2), (HIDDEN, 1), (HIDDEN, 2), (HIDDEN, 3))
    others = {n: w for n, w in FAMILY.items() if n != "a"}
    assert remark(A, others | {"stack": stack}) is None
    assert remark(A, others | {"deeper": deeper}) is None
    assert remark(stack, FAMILY) is None


def test_a_model_parts_of_which_were_taken_by_several_others_is_not() -> None:
    """A stack of three with one hidden looks the same, and is missed."""
    took = {"x": stacked((A, 0), (HIDDEN, 1), (HIDDEN, 2), (HIDDEN, 3)), "y": stacked((B, 0), (B, 1), (B, 2), (A, 3))}
    assert remark(A, {n: w for n, w in FAMILY.items() if n != "a"} | took) is None
    assert remark(stacked((A, 0), (HIDDEN, 1), (HIDDEN, 2), (B, 3)), FAMILY) is None


def test_a_child_of_a_stack_is_not() -> None:
    assert remark(tuned(stacked((A, 0), (A, 1), (B, 2), (C, 3)), 9), FAMILY) is None


def test_a_model_is_no_stack_of_the_deeper_stacks_that_took_its_layers() -> None:
    """Each holds a part of it beside layers of a hidden model; together they cover it."""
    other = tuned(BASE, 9)
    deeper = {
        "first": stacked((A, 0), (A, 1), (A, 2), (HIDDEN, 1), (HIDDEN, 2), (HIDDEN, 3)),
        "last": stacked((other, 0), (other, 1), (other, 2), (A, 1), (A, 2), (A, 3)),
    }
    others = {n: w for n, w in FAMILY.items() if n != "a"} | deeper
    found = unmix(dna("target", A), [dna(n, w) for n, w in others.items()])
    assert found is None or not found.directed
