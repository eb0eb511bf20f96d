"""What mergekit 0.1.5 computes, written again from a reading of its source, one function a method.

Every tensor goes the same way: each input is read and rounded to `dtype`, if the configuration has one; the inputs are
promoted to one type (bfloat16 with float16 or float32 gives float32); the method runs; the result is rounded to
`out_dtype`, if there is one. The formulas stand in the README beside this file.

Every function works in the type of the tensors it is given: in double precision it is the formula, in mergekit's own
type it takes the same steps and rounds where mergekit does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from merge_catalog import Merge, Weight

Tensors = list[torch.Tensor]
NORMAL = {"linear", "ties", "della"}  # those that divide by the weights unless told otherwise
SIGNED = {"ties", "dare_ties", "della", "breadcrumbs_ties"}
RESCALED = {"dare_linear", "dare_ties", "della", "della_linear"}
RANDOM = RESCALED
COLLINEAR = 0.9995


@dataclass(frozen=True)
class Inputs:
    """One tensor of all sources of a merge.

    Attributes:
        parents: in the merge's order, in the type to work in.
        base: the base's, where the method has one.
        weights: of the parents, at this layer.
        options: of the merge, at this tensor.
        kept: which weights of each parent's difference were kept, for methods that drop some.
    """

    parents: Tensors
    base: torch.Tensor | None
    weights: list[float]
    options: dict[str, Any]
    kept: Tensors


def at(setting: Any, name: str, t: float) -> Any:
    """Returns a setting's value for one tensor: a number, a gradient, or a list of filters with such values."""
    if isinstance(setting, list) and setting and isinstance(setting[0], dict):
        chosen = next(part for part in setting if "filter" not in part or part["filter"] in name)
        return at(chosen["value"], name, t)
    return graded(tuple(setting) if isinstance(setting, list) else setting, t)


def graded(weight: Weight, t: float) -> float:
    """Returns a weight at a depth from 0 to 1: linear between the values of a gradient."""
    if not isinstance(weight, tuple):
        return weight
    place = t * (len(weight) - 1)
    low = int(place)
    high = min(len(weight) - 1, low + 1)
    return (1 - (place - low)) * weight[low] + (place - low) * weight[high]


def result(merge: Merge, inputs: Inputs) -> torch.Tensor:
    """Returns the merged tensor, in the type of the inputs."""
    if merge.method == "linear":
        return _linear(inputs, inputs.options.get("normalize", True))
    if merge.method == "slerp":
        x0, x1 = inputs.parents
        wide = _wide(x0)
        first, second = slerp_coefficients(x0, x1, inputs.options["t"])
        return (first * x0.to(wide) + second * x1.to(wide)).to(x0.dtype)
    if merge.method == "model_stock":
        assert inputs.base is not None
        t = stock(inputs.parents, inputs.base)
        return t * (sum(inputs.parents) / len(inputs.parents)) + (1 - t) * inputs.base
    return _sum_of_differences(merge.method, inputs)


def _linear(inputs: Inputs, normal: bool) -> torch.Tensor:
    """Returns the weighted mean or sum."""
    first = inputs.parents[0]
    weights = torch.tensor(inputs.weights, dtype=_wide(first))
    total = torch.zeros_like(first, dtype=_wide(first))
    for tensor, weight in zip(inputs.parents, weights, strict=True):
        total.addcmul_(tensor, weight.reshape([1] * tensor.ndim))
    return (total / weights.sum() if normal else total).to(first.dtype)


def slerp_coefficients(x0: torch.Tensor, x1: torch.Tensor, t: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns what multiplies the two tensors on the arc between them."""
    wide = _wide(x0)
    a, b, place = x0.reshape(1, -1).to(wide), x1.reshape(1, -1).to(wide), torch.tensor(t, dtype=wide)
    cos = ((a / a.norm(dim=1)) * (b / b.norm(dim=1))).sum(dim=1).clamp(-1, 1).squeeze()
    if cos.abs() > COLLINEAR:
        return 1 - place, place
    angle = cos.acos()
    return ((1 - place) * angle).sin() / angle.sin(), (place * angle).sin() / angle.sin()


def stock(parents: Tensors, base: torch.Tensor) -> torch.Tensor:
    """Returns the t of `model_stock`: how far from the base to the parents' mean."""
    moved = [(tensor - base).flatten() for tensor in parents]
    pairs = [(a, b) for n, a in enumerate(moved) for b in moved[n + 1 :]]
    cosines = [((a * b).sum() / (a.norm() * b.norm()).clamp(min=1e-6)).clamp(-1, 1) for a, b in pairs]
    cos, count = torch.stack(cosines).mean(), len(parents)
    below = 1 + (count - 1) * cos
    return torch.zeros_like(cos) if below.abs() < 1e-6 else count * cos / below


def _sum_of_differences(method: str, inputs: Inputs) -> torch.Tensor:
    """Returns the base plus a sum of differences, of which a part may be dropped, rescaled or outvoted."""
    base = inputs.base
    assert base is not None
    moved = torch.stack([_kept(method, inputs, number) for number in range(len(inputs.parents))])
    weights = torch.tensor(inputs.weights, dtype=base.dtype).reshape([-1] + [1] * base.ndim)
    moved = moved * weights
    if method in SIGNED:
        majority = (moved.sum(0) >= 0) * 2 - 1
        agree = moved.sign() == majority
        total, divisor = (moved * agree).sum(0), (weights * agree).sum(0)
        divisor = torch.where(divisor == 0, 1, divisor)
    else:
        total, divisor = moved.sum(0), weights.sum(0)
    if inputs.options.get("normalize", method in NORMAL):
        total = total / divisor
    if inputs.options.get("lambda", 1.0) != 1.0:
        total = total * inputs.options["lambda"]
    return base + total


def _kept(method: str, inputs: Inputs, number: int) -> torch.Tensor:
    """Returns what is kept of one parent's difference from the base, rescaled where the method does so."""
    assert inputs.base is not None
    moved = inputs.parents[number] - inputs.base
    if not inputs.kept:
        return moved
    half = method in RANDOM and moved.dtype == torch.float16
    moved = moved.float() if half else moved
    kept = moved * inputs.kept[number]
    if method in RESCALED:
        kept = kept * _rescale(moved, kept)
    return kept.to(inputs.base.dtype)


def _rescale(moved: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """Returns what makes up for the dropped part of a difference."""
    before, after = moved.abs().sum(), kept.abs().sum()
    return torch.ones_like(before) if before < 1e-7 or after < 1e-7 else before / after


def rescaled(merge: Merge, inputs: Inputs) -> list[float] | None:
    """Returns what multiplies each parent's kept differences beside its coefficient, of methods that rescale them."""
    if merge.method not in RESCALED or not inputs.kept:
        return None
    assert inputs.base is not None
    moved = [parent - inputs.base for parent in inputs.parents]
    return [float(_rescale(one, one * mask)) for one, mask in zip(moved, inputs.kept, strict=True)]


def coefficients(merge: Merge, inputs: Inputs) -> Sequence[float]:
    """Returns what multiplies each parent, and then the base if the method has one, in double precision.

    Of a method that drops weights it is what multiplies a weight in the mean: the weights as the configuration states
    them, divided by their sum where the method divides.
    """
    weights, options = inputs.weights, inputs.options
    if merge.method == "slerp":
        return [float(value) for value in slerp_coefficients(*inputs.parents, options["t"])]
    if merge.method == "model_stock":
        assert inputs.base is not None
        t = float(stock(inputs.parents, inputs.base))
        return [*[t / len(inputs.parents)] * len(inputs.parents), 1 - t]
    total = sum(weights) if options.get("normalize", merge.method in NORMAL) else 1.0
    shares = [options.get("lambda", 1.0) * weight / total for weight in weights]
    return shares if inputs.base is None else [*shares, 1 - sum(shares)]


def _wide(tensor: torch.Tensor) -> torch.dtype:
    """Returns the type that `linear` and `slerp` compute in."""
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32
