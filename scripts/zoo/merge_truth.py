"""The truth of a merge family: who came from whom, and for merges what multiplies each source, with two checks.

`truth.json` of a family:

- `family`, `split`, `shape` (config), `root` (the base's folder)
- `members`: `id` (folder), `name`, `relation`, `parent` (folder or null), `stored`, `data`, losses
- `merges`: `id`, `name`, `method`; `parents`, `base` and `sources` (folders; sources are the parents, then the base if
  the method has one that is no parent); `weights`, `options`, `each` as the configuration has them, `each` holding
  density, gamma, epsilon per parent; `dtype` (arithmetic) and `stored`
- of a merge, `coefficients`: one a source, what multiplies it in weight space; null where they differ from tensor to
  tensor. `tensors` has them for each: `formula` (`merge_formulas`, double precision), `fit` (least squares over the
  whole tensor), `error` (its standard error; null for sources that hold one and the same tensor, of which only the sum
  can be known), `residual` (of that fit, over the largest distance between two sources)
- `layers` and `outer` instead, for `passthrough`: each layer's source and its number there; the source of the rest
- `leaves`: the coefficients after merges among the parents are replaced by their own parents, where all are global
- `equal`: the share of stored weights that the formula gives bit for bit: `plain` in double precision with one rounding
  at the end, `stepwise` in mergekit's type, rounding where it does; `ulp`, the largest distance of plain from stored,
  in units of the last place of the tensor's largest weight
- `withhold`: for each parent the folders to leave out so that it is in no index: itself and all files of its weights
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pair_files
import torch
from merge_catalog import COPIES, FAMILIES, MEMBERS, Family, Member, Merge, folder, merges, stored_as
from merge_formulas import Inputs, at, coefficients, graded, rescaled, result
from safetensors.torch import load_file

State = dict[str, torch.Tensor]
LAYER = re.compile(r"model\.layers\.(\d+)\.(.*)")
BITS = {torch.float32: torch.int32, torch.float16: torch.int16, torch.bfloat16: torch.int16}
STORED = {kind: name for name, kind in pair_files.DTYPES.items()}


def truth(root: Path, family: Family) -> dict[str, Any]:
    """Returns the truth of a family, of what there is of it.

    Args:
        root: the folder of all families.
        family: whose models are there, at least the members.
    """
    notes = json.loads((root / family.name / "models.json").read_text(encoding="utf-8"))
    made = [merge for merge in merges(family) if folder(root, family, merge.name).is_dir()]
    load = functools.cache(lambda name: load_file(folder(root, family, name) / "model.safetensors"))
    facts = [_merge(root, family, merge, load) for merge in made]
    by_id = {fact["id"]: fact for fact in facts}
    for fact in facts:
        fact["leaves"] = _leaves(fact, by_id)
    return {
        "family": family.name,
        "split": family.split,
        "shape": family.shape,
        "root": family.folder_of("base"),
        "members": [_member(family, member, notes[member.name]) for member in MEMBERS],
        "merges": facts,
    }


def _member(family: Family, member: Member, notes: dict[str, Any]) -> dict[str, Any]:
    """Returns the truth of a member."""
    parent = "base" if member.along else member.parent
    facts = {"id": family.folder_of(member.name), "name": member.name, "relation": member.relation}
    facts |= {"parent": family.folder_of(parent) if parent else None, "stored": stored_as(family, member)}
    return facts | {"along": member.along, "data": member.data, "at": member.at} | notes


def _merge(root: Path, family: Family, merge: Merge, load: Any) -> dict[str, Any]:
    """Returns the truth of a merge."""

    def ids(names: tuple[str, ...]) -> list[str]:
        return [folder(root, family, name).name for name in names]

    state = load(merge.name)
    fact: dict[str, Any] = {"id": family.folder_of(merge.name), "name": merge.name, "method": merge.method}
    sources = merge.parents + ((merge.base,) if merge.base and merge.base not in merge.parents else ())
    fact |= {"parents": ids(merge.parents), "base": ids((merge.base,))[0] if merge.base else None}
    fact |= {"sources": ids(sources), "weights": merge.weights, "options": merge.options, "each": merge.each}
    fact |= {"dtype": merge.dtype, "stored": STORED[next(iter(state.values())).dtype]}
    fact["withhold"] = [_files_of(root, family, name) for name in merge.parents]
    if merge.slices:
        return fact | _stacked(merge, state, load, ids)
    kept = _kept(root / family.name / "kept" / f"{fact['id']}.npz", state)
    tensors, counts = {}, []
    for name, tensor in state.items():
        tensors[name], count = _tensor(merge, name, tensor, [load(source)[name] for source in sources], kept, state)
        counts.append(count)
    same, near, ulp = (np.array(column) for column in zip(*counts, strict=True))
    total = sum(tensor.numel() for tensor in state.values())
    rows = [row["formula"] for row in tensors.values()]
    steady = bool(np.ptp(np.array(rows), axis=0).max() < 1e-12)
    return fact | {
        "coefficients": rows[0] if steady else None,
        "tensors": tensors,
        "equal": {"plain": same.sum() / total, "stepwise": near.sum() / total},
        "ulp": float(ulp.max()),
    }


def _tensor(
    merge: Merge, name: str, stored: torch.Tensor, sources: list[torch.Tensor], kept: dict[str, torch.Tensor],
    state: State,
) -> tuple[dict[str, Any], tuple[int, int, float]]:  # fmt: skip
    """Returns coefficients of one tensor; how many weights come out equal, plain and stepwise, and the distance."""
    own = functools.reduce(torch.promote_types, (tensor.dtype for tensor in sources))
    work = getattr(torch, merge.dtype) if merge.dtype else own
    match = LAYER.fullmatch(name)
    depth = 1 + max(int(found[1]) for found in map(LAYER.fullmatch, state) if found)
    t = int(match[1]) / (depth - 1) if match else 0.0
    options = {key: value if isinstance(value, bool) else at(value, name, t) for key, value in merge.options.items()}
    weights = [graded(weight, t) for weight in merge.weights]
    masks = [kept[f"{name}|{number}"] for number in range(len(merge.parents))] if kept else []
    read = [tensor.to(work) for tensor in sources]

    def inputs(dtype: torch.dtype) -> Inputs:
        given = [tensor.to(dtype) for tensor in read]
        count = len(merge.parents)
        return Inputs(given[:count], given[count] if len(given) > count else None, weights, options, masks)

    exact = result(merge, inputs(torch.float64))
    plain, stepwise = (tensor.to(stored.dtype) for tensor in (exact, result(merge, inputs(work))))
    same, near = (int((t.view(BITS[t.dtype]) == stored.view(BITS[t.dtype])).sum()) for t in (plain, stepwise))
    place = torch.finfo(stored.dtype).eps * 2.0 ** float(stored.double().abs().max().log2().floor())
    row = {"formula": list(coefficients(merge, inputs(torch.float64)))} | _fit(stored, sources)
    row |= {"rescaled": rescaled(merge, inputs(torch.float64))} if masks else {}
    return row, (same, near, float((plain.double() - stored.double()).abs().max()) / place)


def _fit(stored: torch.Tensor, sources: list[torch.Tensor]) -> dict[str, Any]:
    """Returns the least-squares coefficients of the sources, their standard errors, and what they leave."""
    table = torch.stack([tensor.double().flatten() for tensor in sources], 1)
    wanted = stored.double().flatten()
    left, sizes, right = torch.linalg.svd(table, full_matrices=False)
    inverse = torch.where(sizes > 1e-12 * sizes[0], 1 / sizes, 0)
    found = right.T @ (inverse * (left.T @ wanted))
    missed = (wanted - table @ found).norm()
    noise = missed / max(1, len(wanted) - len(found)) ** 0.5
    errors = noise * (right * inverse[:, None]).norm(dim=0)
    if not inverse.all():  # of sources that hold one and the same tensor, only the sum is known
        errors = torch.where(right[inverse == 0].norm(dim=0) > 1e-6, torch.inf, errors)
    apart = max(float(torch.dist(table[:, n], table[:, m])) for n in range(len(found)) for m in range(n))
    return {
        "fit": [round(float(value), 9) for value in found],
        "error": [float(f"{value:.2g}") if value < torch.inf else None for value in errors],
        "residual": round(float(missed) / apart, 9) if apart else 0.0,
    }


def _stacked(merge: Merge, state: State, load: Any, ids: Any) -> dict[str, Any]:
    """Returns the map of a merge that takes layers as they are, and how many weights bear it out."""
    layers = [(name, number) for name, first, last in merge.slices for number in range(first, last)]
    outer = {name: merge.slices[0 if "embed" in name else -1][0] for name in state if not LAYER.fullmatch(name)}
    same = 0
    for name, tensor in state.items():
        match = LAYER.fullmatch(name)
        origin, number = layers[int(match[1])] if match else (outer[name], 0)
        source = load(origin)[f"model.layers.{number}.{match[2]}" if match else name]
        source = source.to(getattr(torch, merge.dtype)) if merge.dtype else source
        same += int((source.to(tensor.dtype) == tensor).sum())
    share = same / sum(tensor.numel() for tensor in state.values())
    return {
        "layers": [[*ids((name,)), number] for name, number in layers],
        "outer": {name: ids((origin,))[0] for name, origin in outer.items()},
        "coefficients": None,
        "equal": {"plain": share, "stepwise": share},
    }


def _kept(path: Path, state: State) -> dict[str, torch.Tensor]:
    """Returns which weights were kept, by tensor and number of the parent; empty where none were dropped."""
    if not path.exists():
        return {}
    masks = {}
    with np.load(path) as file:
        for key in file.files:
            shape = state[key.split("|")[0]].shape
            bits = np.unpackbits(file[key], count=shape.numel())
            masks[key] = torch.from_numpy(bits).reshape(shape)
    return masks


def _files_of(root: Path, family: Family, name: str) -> list[str]:
    """Returns the folders that hold a parent's weights: its own, copies, casts, and its adapter at another scale."""
    other, _, own = name.rpartition("/")
    home = FAMILIES[other] if other else family
    copies = [m.name for m in MEMBERS if m.relation in COPIES and (m.along or m.parent) == own]
    return [folder(root, home, copy).name for copy in (own, *copies)]


def _leaves(fact: dict[str, Any], by_id: dict[str, dict[str, Any]]) -> dict[str, float] | None:
    """Returns a merge's coefficients over models that are no merges, or nothing where some are not global."""
    if fact["coefficients"] is None:
        return None
    total: dict[str, float] = {}
    for source, share in zip(fact["sources"], fact["coefficients"], strict=True):
        parts = _leaves(by_id[source], by_id) if source in by_id else {source: 1.0}
        if parts is None:
            return None
        for leaf, part in parts.items():
            total[leaf] = total.get(leaf, 0.0) + share * part
    return total
