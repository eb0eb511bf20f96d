"""Masks that are learnt: the authorised domain lives, the other one does not; and what cannot be masked says so."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from protect_bench import SHAPE, Arrays, bench
from safetensors.torch import load_file, save_file
from torch import nn

from hubdna.errors import MaskError
from hubdna.protect.arrays import arrays, put
from hubdna.protect.cover import covered
from hubdna.protect.data import Pictures
from hubdna.protect.mask import Mask, apply
from hubdna.protect.measure import Protection, score, st_d
from hubdna.protect.neighbours import CHANGES, neighbours, shaken
from hubdna.protect.settings import train_mask
from hubdna.protect.straight import Masked
from hubdna.protect.train import Recipe
from hubdna.protect.watermark import commitment, verify

RECIPE = Recipe(steps=150, batch=48, rate=0.005, weight=0.5)  # short, so fast
KEY = b"an owner's secret key"


def released(mask: Mask) -> nn.Module:
    net = bench().net()
    put(net, apply(mask, bench().weights))
    return net


def shown(mask: Mask) -> Protection:
    b, before, after = bench(), bench().net(), released(mask)
    return Protection(score(before, b.held_source), score(after, b.held_source), score(before, b.held_target),
                      score(after, b.held_target), 10)  # fmt: skip


def same(a: Mask, b: Mask) -> bool:
    return a.kept.keys() == b.kept.keys() and all((a.kept[n] == b.kept[n]).all() for n in a.kept)


def test_with_both_domains_the_authorised_one_lives_and_the_other_does_not() -> None:
    b = bench()
    mask = train_mask(b.net(), source=b.source, target=b.target, recipe=RECIPE)
    found = shown(mask)
    assert found.source_before.accuracy > 0.9 and found.target_before.accuracy > 0.9
    assert found.source_after.accuracy > found.source_before.accuracy - 0.05
    assert found.target_after.accuracy < 0.25
    assert 0 < mask.sparsity < 0.5 and mask.facts["setting"] == "SA-MAP"


def test_without_the_source_its_pictures_are_made_up() -> None:
    mask = train_mask(bench().net(), target=bench().target, recipe=RECIPE)
    found = shown(mask)
    assert found.source_after.accuracy > 0.6 and found.lost > 0.6
    assert mask.facts["setting"] == "SF-MAP"


def test_without_any_data_a_mask_is_learnt_and_spares_the_source() -> None:
    mask = train_mask(bench().net(), shape=SHAPE, recipe=RECIPE)
    assert mask.facts["setting"] == "DF-MAP" and mask.sparsity > 0
    assert shown(mask).source_after.accuracy > 0.6


def test_the_model_itself_is_never_changed() -> None:
    net = bench().net()
    train_mask(net, source=bench().source, target=bench().target, recipe=replace(RECIPE, steps=3))
    assert all((array == bench().weights[name]).all() for name, array in arrays(net).items())
    assert not net.training


def test_the_same_seed_gives_the_same_mask_and_an_interrupted_training_goes_on(tmp_path: Path) -> None:
    b, short = bench(), replace(RECIPE, steps=60)

    def learn(checkpoint: Path | None = None, stop: int = 10**9) -> Mask:
        def progress(step: int, kept: float, spoilt: float) -> None:
            if step == stop:
                raise KeyboardInterrupt

        return train_mask(
            b.net(), source=b.source, target=b.target, recipe=short, checkpoint=checkpoint, progress=progress
        )

    whole = learn()
    assert same(whole, learn())
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "unfinished", stop=55)
    assert (tmp_path / "unfinished").exists()
    assert same(whole, learn(tmp_path / "unfinished"))


@pytest.mark.parametrize("damage", [
    lambda t: {n: v for n, v in t.items() if not n.startswith("score")},
    lambda t: {n: v * math.nan for n, v in t.items()},
    lambda t: {n: v[None] for n, v in t.items()},
])  # fmt: skip
def test_another_trainings_checkpoint_is_refused(tmp_path: Path, damage: object) -> None:
    b, path = bench(), tmp_path / "unfinished"
    learn = {"source": b.source, "target": b.target, "checkpoint": path, "recipe": replace(RECIPE, steps=50)}
    train_mask(b.net(), **learn)
    save_file(damage(load_file(path)), path, {"step": "50", "weight": "0.5", "size": "1.0"})
    with pytest.raises(MaskError, match="delete it"):
        train_mask(b.net(), **learn)


def test_a_checkpoint_is_not_gone_on_with_by_another_training(tmp_path: Path) -> None:
    b, path, short = bench(), tmp_path / "unfinished", replace(RECIPE, steps=50)
    train_mask(b.net(), source=b.source, target=b.target, recipe=short, checkpoint=path)
    for data, recipe in (
        ({"source": b.target, "target": b.source}, short),
        ({"source": b.source, "target": b.target}, replace(short, seed=1)),
    ):  # fmt: skip
        with pytest.raises(MaskError, match="another model, other pictures, another recipe or key"):
            train_mask(b.net(), **data, recipe=recipe, checkpoint=path)


def test_pictures_that_do_not_fit_the_model_are_refused_before_training() -> None:
    b = bench()
    wide = Pictures(torch.zeros(4, 1, 16, 16), torch.tensor([0, 1, 0, 1]))
    many = Pictures(b.source.x[:2], torch.tensor([0, 10]))
    for data, says in (
        ({"source": b.source, "target": wide}, "one shape"), ({"source": wide}, "does not take"),
        ({"source": many}, "0 to 9"),
    ):  # fmt: skip
        with pytest.raises(MaskError, match=says):
            train_mask(b.net(), **data)


# The owner's mark.


def test_an_owners_mark_is_found_and_no_other_key_is() -> None:
    b = bench()
    mask = train_mask(b.net(), source=b.source, target=b.target, key=KEY, recipe=replace(RECIPE, steps=250))
    net = released(mask)
    found = verify(net, b.held_source, KEY)
    assert found.verified and found.p <= 0.01 and mask.facts["owner"] == commitment(KEY)
    assert not verify(net, b.held_source, b"somebody else's key").verified
    assert not verify(b.net(), b.held_source, KEY).verified


def test_keys_that_a_model_does_not_know_have_uniform_ranks() -> None:
    """P(p <= a) <= a for a model and keys that do not know each other, whatever patterns do to its accuracy."""
    b, r = bench(), np.random.default_rng(0)
    few = Pictures(b.held_source.x[:60], b.held_source.y[:60])
    ranks = [verify(b.net(), few, r.bytes(32), n_others=99).p for _ in range(60)]
    assert sum(p <= 0.25 for p in ranks) <= 25  # 15 expected; 26 and more has a probability of 0.002


def test_a_short_key_and_too_few_other_keys_are_refused() -> None:
    with pytest.raises(MaskError, match="16 random bytes"):
        commitment(b"short")
    with pytest.raises(MaskError, match="at least 99"):
        verify(bench().net(), bench().held_source, KEY, n_others=50)


# Figures.


@pytest.mark.parametrize(("accuracies", "expected"), [
    ((0.9, 0.81, 0.8, 0.4), 0.2), ((0.9, 0.9, 0.8, 0.1), 0.0), ((0.9, 0.95, 0.8, 0.1), 0.0),
    ((0.9, 0.9, 0.8, 0.8), math.inf),
    ((0.9, 0.1, 0.8, 0.9), math.inf), ((0.0, 0.0, 0.8, 0.1), 0.0), ((0.9, 0.8, 0.0, 0.0), math.inf),
])  # fmt: skip
def test_st_d_is_defined_where_nothing_drops_too(accuracies: tuple[float, ...], expected: float) -> None:
    assert st_d(*accuracies) == pytest.approx(expected)


# What cannot be masked.


class NoHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class OneClass(NoHead):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).mean((1, 2, 3))[:, None]


@pytest.mark.parametrize("net", [NoHead(), OneClass()], ids=["feature maps", "one class"])
def test_a_model_without_a_classifiers_head_is_refused(net: nn.Module) -> None:
    b = bench()
    for data in ({"source": b.source, "target": b.target}, {"target": b.target}, {"shape": SHAPE}):
        with pytest.raises(MaskError, match="no classifier"):
            train_mask(net, **data, recipe=RECIPE)


def test_a_model_with_nothing_to_mask_is_refused() -> None:
    with pytest.raises(MaskError, match="no linear or convolutional layer"):
        train_mask(nn.Sequential(nn.Flatten(), nn.Softmax(1)), source=bench().source, target=bench().target)


def test_no_data_need_a_shape() -> None:
    with pytest.raises(MaskError, match="shape"):
        train_mask(bench().net())


@pytest.mark.parametrize(("x", "y", "says"), [
    (torch.zeros(4, 1, 8, 8), torch.zeros(4, dtype=torch.long), "one class"),
    (torch.full((4, 1, 8, 8), math.nan), torch.tensor([0, 1, 0, 1]), "finite"),
    (torch.zeros(4, 1, 8), torch.tensor([0, 1, 0, 1]), "expected x"),
    (torch.zeros(4, 1, 8, 8), torch.tensor([0, 1]), "expected x"),
    (torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.long), "n > 0"),
    (torch.zeros(4, 1, 8, 8), torch.tensor([0.0, 1, 0, 1]), "whole numbers"),
])  # fmt: skip
def test_pictures_that_are_none_are_refused(x: torch.Tensor, y: torch.Tensor, says: str) -> None:
    with pytest.raises(MaskError, match=says):
        Pictures(x, y)


def test_weights_that_are_not_numbers_are_refused() -> None:
    net = bench().net()
    net.head.weight.data[0, 0] = math.nan
    with pytest.raises(MaskError, match="NaN"):
        train_mask(net, source=bench().source, target=bench().target)


# Parts.


def test_a_mask_covers_linear_and_convolutional_weights_and_a_shared_one_once() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 72), nn.Linear(72, 72))
    net[4].weight = net[3].weight
    assert covered(net) == ("0.weight", "3.weight")


def test_arrays_are_copies() -> None:
    net = bench().net()
    original = arrays(net)
    put(net, {"head.weight": np.zeros_like(original["head.weight"])})
    assert original["head.weight"].any() and not arrays(net)["head.weight"].any()


def test_scores_that_stay_above_zero_change_nothing() -> None:
    masked, x = Masked(bench().net()), bench().held_source.x
    assert torch.equal(masked(x), masked.original(x))
    assert float(masked.taken().detach()) == 0


@pytest.mark.parametrize("change", [neighbours, shaken, *CHANGES], ids=lambda c: c.__name__)
@pytest.mark.parametrize("shape", [(5, 1, 8, 8), (3, 3, 17, 24)], ids=str)
def test_changes_keep_shape_and_range_and_follow_their_generator(change: object, shape: tuple[int, ...]) -> None:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(3)) * 2 - 1

    def once() -> torch.Tensor:
        return change(x, torch.Generator().manual_seed(1))

    made = once()
    assert made.shape == x.shape and torch.isfinite(made).all() and torch.equal(made, once())
    if change in (neighbours, shaken):
        assert x.min() - 1e-5 <= made.min() and made.max() <= x.max() + 1e-5


def test_arrays_come_back_into_a_module_of_every_type() -> None:
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        net = bench().net().to(dtype)
        found: Arrays = {name: array.copy() for name, array in arrays(net).items()}
        other = type(net)().to(dtype)
        put(other, found)
        assert all(
            torch.equal(a, b) for a, b in zip(net.state_dict().values(), other.state_dict().values(), strict=True)
        )
    with pytest.raises(MaskError, match="no tensor"):
        put(bench().net(), {"stranger": np.zeros(3, np.float32)})
