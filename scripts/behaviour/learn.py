"""How the DNA network and its classifier are learned, from sketches of models whose roots are known.

1. What a recipe's models have in common, for each kind of child, is projected out: the mean sketch over the roots of
   each (recipe, kind). Roots of a recipe differ in their seeds alone, so what is left is what the seed made.
2. The 128 strongest directions of what is left, per block, are the network's start.
3. The similarity loss (ours; the paper's formula could not be read): of all roots of its recipe, a child shall be most
   like its own, and the root most like its own child (cross entropy over cosines / `HEAT`), half of the sketch's
   buckets left out at random in each step.
4. The classifier is fitted on cosines between roots and models that the network had not seen: the roots are dealt into
   five folds, and each fold is judged by a network learned from the other four.
5. Strangers of a recipe that nobody learned from share more, for nobody took away what they have in common. So each
   recipe is left out in turn, and a line is high enough for all of them, too, as far as they are familiar.

Splits are by root throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hubdna.behaviour.fingerprints import Network, dna, familiarity, unit
from hubdna.behaviour.likeness import features

Floats = NDArray[np.float32]
HEAT, DROPPED, RATE, STEPS = 0.07, 0.5, 1e-3, 100
FOLDS, RIDGE, LEAST = 5, 1.0, 100
ROOT, CONTROLS = "root", {"distilled": "alone", "distilled-other": "alone-other"}
TUNED = ("light", "heavy", "other-data", "head", "lora", "frozen", "pruned", "quantized")
"""What is made from a root's weights; students are not."""


@dataclass(frozen=True)
class Options:
    """What ablations change.

    Attributes:
        size: of a block's part of the DNA.
        common: whether what a recipe has in common is projected out.
        steps: of the similarity loss; 0 leaves it out.
        seed: of everything random.
    """

    size: int = 128
    common: bool = True
    steps: int = STEPS
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Zoo:
    """Models of one modality.

    Attributes:
        sketches: float32 [n, 4, buckets].
        recipe, root, key: of each model; roots are numbered within their recipe.
    """

    sketches: Floats
    recipe: NDArray[np.str_]
    root: NDArray[np.int64]
    key: NDArray[np.str_]

    def of(self, chosen: NDArray[np.bool_]) -> Zoo:
        """Only some of the models."""
        return Zoo(self.sketches[chosen], self.recipe[chosen], self.root[chosen], self.key[chosen])

    def roots(self, numbers: Sequence[int]) -> Zoo:
        """Only the families of some roots."""
        return self.of(np.isin(self.root, numbers))

    def pairs(self, keys: Sequence[str] = TUNED) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(root, other) [n, 2], and which of them are a root and its child; all others are strangers of one recipe."""
        found, related = [], []
        for a in np.flatnonzero(self.key == ROOT):
            for b in np.flatnonzero((self.recipe == self.recipe[a]) & np.isin(self.key, keys)):
                found.append((a, b))
                related.append(self.root[a] == self.root[b])
            controls = [CONTROLS[key] for key in keys if key in CONTROLS]
            own = (self.recipe == self.recipe[a]) & (self.root == self.root[a])
            for b in np.flatnonzero(own & np.isin(self.key, controls)):
                found.append((a, b))
                related.append(False)
        return np.array(found), np.array(related)


def learn(zoo: Zoo, options: Options | None = None) -> Network:
    """Learn network, classifier and lines from the families of a zoo."""
    options = options or Options()
    numbers = np.random.default_rng(options.seed).permutation(np.unique(zoo.root))
    parts, related = [], []
    for fold in np.array_split(numbers, FOLDS):
        away = zoo.roots(fold.tolist())
        network = network_of(zoo.roots([n for n in numbers if n not in fold]), options)
        pairs, truth = away.pairs()
        parts.append(pair_cosines(away, network, pairs))
        related.append(truth)
    network = _judged(network_of(zoo, options), np.concatenate(parts), np.concatenate(related))
    return replace(network, lines=_raised(network, zoo, options))


def _raised(network: Network, zoo: Zoo, options: Options) -> NDArray[np.float64]:
    """The lines, raised to what strangers of recipes reach that were left out in turn."""
    lines = network.lines.copy()
    for recipe in np.unique(zoo.recipe) if len(np.unique(zoo.recipe)) > 1 else ():
        away, others = zoo.of(zoo.recipe == recipe), network_of(zoo.of(zoo.recipe != recipe), options)
        strange = familiarity(away.sketches, others) < others.least_familiar
        pairs, related = away.pairs()
        judged = ~strange[pairs].any(1) & ~related
        if judged.sum() >= LEAST:
            found = features(pair_cosines(away, others, pairs[judged])) @ network.judge
            lines[:2] = np.maximum(lines[:2], np.quantile(found, [0.95, 0.99]))
    return lines


def pair_cosines(zoo: Zoo, network: Network, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Cosines of the four parts for pairs [n, 2] of a zoo's models, [n, 4]."""
    made = dna(zoo.sketches, network).astype(np.float64)
    found: NDArray[np.float64] = (made[pairs[:, 0]] * made[pairs[:, 1]]).sum(2)
    return found


def network_of(zoo: Zoo, options: Options) -> Network:
    """The network without its classifier."""
    rows = unit(zoo.sketches)
    common = _common(zoo) if options.common else [np.zeros((0, rows.shape[2]), np.float32)] * rows.shape[1]
    left = unit(np.stack([rows[:, b] - rows[:, b] @ q.T @ q for b, q in enumerate(common)], 1))
    start = np.stack([np.linalg.svd(left[:, b], full_matrices=False)[2][: options.size] for b in range(left.shape[1])])
    turned = _turned(left, zoo, start, options) if options.steps else start
    project = np.stack([matrix - matrix @ q.T @ q for matrix, q in zip(turned, common, strict=True)])
    names = sorted(set(zoo.recipe.tolist()))
    known = unit(np.stack([zoo.sketches[zoo.recipe == name].mean(0) for name in names]))
    nothing = np.zeros(0)
    network = Network(project.astype(np.float32), known, -1.0, nothing, nothing)
    return replace(network, least_familiar=float(np.quantile(familiarity(rows, network), 0.01)))


def _common(zoo: Zoo) -> list[Floats]:
    """For each block, orthonormal directions that the models of a recipe and a kind share."""
    rows = unit(zoo.sketches)
    cells = sorted(set(zip(zoo.recipe.tolist(), zoo.key.tolist(), strict=True)))
    means = np.stack([rows[(zoo.recipe == recipe) & (zoo.key == key)].mean(0) for recipe, key in cells])
    found = []
    for block in range(rows.shape[1]):
        _, size, directions = np.linalg.svd(means[:, block], full_matrices=False)
        found.append(directions[size > 1e-3 * size[0]])
    return found


def _turned(left: Floats, zoo: Zoo, start: Floats, options: Options) -> Floats:
    """The projection after training by the similarity loss."""
    import torch
    from torch.nn import functional

    torch.manual_seed(options.seed)
    random = np.random.default_rng(options.seed)
    roots = np.flatnonzero(zoo.key == ROOT)
    children = [_children(zoo, a) for a in roots]
    strangers = torch.tensor(zoo.recipe[roots][:, None] != zoo.recipe[roots][None])
    rows, right = torch.tensor(left), torch.arange(len(roots))
    project = torch.nn.Parameter(torch.tensor(start))
    optimizer = torch.optim.Adam([project], RATE)

    def parts(models: Sequence[int], kept: torch.Tensor) -> torch.Tensor:
        return functional.normalize(torch.einsum("nbh,bdh->bnd", rows[list(models)] * kept, project), dim=2)

    for _ in range(options.steps):
        kept = (torch.rand(rows.shape[1:]) > DROPPED).float()
        drawn = [int(random.choice(own)) for own in children]
        alike = parts(roots, kept) @ parts(drawn, kept).mT / HEAT
        alike = alike.masked_fill(strangers, -1e9)
        loss = sum(functional.cross_entropy(block, right) + functional.cross_entropy(block.T, right) for block in alike)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return np.asarray(project.detach().numpy())


def _children(zoo: Zoo, root: int) -> NDArray[np.int64]:
    own = (zoo.recipe == zoo.recipe[root]) & (zoo.root == zoo.root[root])
    return np.flatnonzero(own & ~np.isin(zoo.key, [ROOT, *CONTROLS.values()]))


def _judged(network: Network, parts: NDArray[np.float64], related: NDArray[np.bool_]) -> Network:
    """The network with its classifier and lines, fitted on pairs that it had not seen."""
    from scipy.optimize import minimize

    x, weight = features(parts), np.where(related, 0.5 / related.sum(), 0.5 / (~related).sum())

    def loss(w: NDArray[np.float64]) -> float:
        return float((weight * np.logaddexp(0, np.where(related, -1, 1) * (x @ w))).sum() + 1e-4 * RIDGE * w @ w)

    fitted = minimize(loss, np.zeros(x.shape[1]), method="L-BFGS-B").x
    found = x @ fitted
    strangers = np.quantile(found[~related], [0.95, 0.99]).clip(0)  # at least as likely a child as a stranger
    lines = np.array([*strangers, np.quantile(found[related], 0.05)])
    return replace(network, judge=fitted, lines=lines)
