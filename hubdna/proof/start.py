"""Where a training started: from a parent's exact bytes, or from an initialiser.

A seed that gives the initial weights bit for bit settles it. Where it does not (another version of torch), each
tensor's values are compared with freshly initialised ones by a two-sample Kolmogorov-Smirnov test, as in the paper. The
paper rejects when any tensor's p is below 1 %, which rejects an honest model of L tensors with probability 1 - 0.99^L.
Here both lines are shared among the tensors (Bonferroni), and 1 % only says that nothing can be said.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from hubdna.errors import ReceiptError
from hubdna.proof.claim import Claim
from hubdna.proof.replay import Bench
from hubdna.proof.task import Task
from hubdna.proof.tensors import build, bytes_of, weights_root
from hubdna.records import ReceiptCheck

KS_DOUBT, KS_LINE = 0.01, 1e-6
"""Chances to doubt, and to reject, a start that was drawn from the initialiser."""
N_FRESH = 4
"""Fresh initialisations that the initial weights are compared with, taken together."""
LEAST_INHERITED = 0.5
"""Share of the weights that must be the parent's; with less, the parent is one in name only."""

Weights = Mapping[str, torch.Tensor]


def read_weights(path: Path | str) -> dict[str, torch.Tensor]:
    """All tensors of a .safetensors file, or of all such files in a folder. Raises ReceiptError."""
    path = Path(path)
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if not files:
        raise ReceiptError(f"{path}: no .safetensors file there")
    found: dict[str, torch.Tensor] = {}
    for file in files:
        try:
            tensors = load_file(file)
        except (SafetensorError, OSError, ValueError) as error:
            raise ReceiptError(f"{file}: not safetensors: {str(error)[:80]}") from None
        if found.keys() & tensors.keys():
            raise ReceiptError(f"{path}: a tensor stands in two of its files; name one file")
        found |= tensors
    return found


def missing(weights: Weights, parent: Weights) -> tuple[str, ...]:
    """Names of a model's weights that a parent does not have, in that shape. Raises ReceiptError: too many."""
    fresh = tuple(sorted(n for n, t in weights.items() if n not in parent or parent[n].shape != t.shape))
    total, new = sum(t.numel() for t in weights.values()), sum(weights[n].numel() for n in fresh)
    if total - new < LEAST_INHERITED * total:
        raise ReceiptError(f"parent: has only {total - new} of {total} weights of this model: not its parent")
    return fresh


def initial(task: Task, claim: Claim, parent: Weights | None, seed: int | None = None) -> dict[str, torch.Tensor]:
    """The weights a training starts from, as claimed; with another seed, others from the same initialiser."""
    with torch.random.fork_rng():
        model = build(task, claim.recipe, claim.recipe.seed if seed is None else seed)
    weights = {name: t.detach().clone() for name, t in model.state_dict().items()}
    inherited = weights.keys() & parent.keys() - set(claim.fresh) if parent is not None else set()
    return weights | {name: parent[name].to(weights[name].dtype) for name in inherited if parent is not None}


def check_start(bench: Bench, stored: Weights, parent: Weights | None) -> ReceiptCheck:
    """Compare the stored start with the claimed one. Raises ReceiptError when it is another."""
    claim = bench.claim
    if claim.parent and parent is not None:
        if weights_root(parent) != claim.parent.root:
            raise ReceiptError("start: the parent at hand is not the one that the receipt names (another root)")
        if missing(stored, parent) != claim.fresh:
            raise ReceiptError("start: the receipt calls other weights fresh than the parent lacks")
    expected = initial(bench.task, claim, parent)
    differs = [name for name, tensor in stored.items() if bytes_of(tensor) != bytes_of(expected[name])]
    inherited = sorted(set(differs) - set(claim.fresh)) if claim.parent else []
    if inherited:
        raise ReceiptError(f"start: {inherited[0][:80]} is not the parent's, byte for byte")
    origin = f"the parent's exact bytes ({claim.parent.repo_id})" if claim.parent else "what the seed gives"
    if not differs:
        words = f"every weight is {origin}" + (", fresh ones are what the seed gives" if claim.fresh else "")
        return ReceiptCheck("start", "passed", words)
    name, p = _least_like_fresh(bench, stored, differs)
    if p < KS_LINE:
        raise ReceiptError(f"start: {name[:80]} is not distributed like the initialiser's weights (p = {p:.0e})")
    words = f"{len(differs)} tensors are not what the seed gives here, but distributed like the initialiser's"
    return ReceiptCheck("start", "not-checkable" if p < KS_DOUBT else "passed", f"{words} (p = {p:.2g})")


def _least_like_fresh(bench: Bench, stored: Weights, names: list[str]) -> tuple[str, float]:
    """Kolmogorov-Smirnov, tensor by tensor: the worst one, and its p-value times the number of tensors."""
    from scipy.stats import ks_2samp

    others = [initial(bench.task, bench.claim, None, seed) for seed in range(1, N_FRESH + 1)]
    found: dict[str, float] = {}
    for name in names:
        fresh = torch.cat([o[name].reshape(-1).double() for o in others])
        values = stored[name].reshape(-1).double()
        if bool((fresh == fresh[0]).all()):
            found[name] = float(bool((values == fresh[0]).all()))
        else:
            found[name] = min(1.0, float(ks_2samp(values.numpy(), fresh.numpy()).pvalue) * len(names))
    return min(found.items(), key=lambda item: item[1])
