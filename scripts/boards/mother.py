"""MoTHer, a rival's way from weights to a directed tree, written after its paper and measured on the family trees.

Horwitz, Shul and Hoshen, *Unsupervised Model Tree Heritage Recovery* (ICLR 2025, arXiv 2405.18432). Models of one
cluster, all related, become one tree:

    D_ij    the largest element of W_i - W_j over all square attention matrices, each matrix's differences first scaled
            by the least and the largest element that the differences of any pair have
    k_i     sum of the excess kurtosis of the square matrices that write an attention layer's answer
    T_ij    1 where the child's kurtosis lies on the wrong side of the parent's, else 0
    M       D + 0.3 mean(D) T; the tree is the minimum arborescence of M (Edmonds)

For trees of adapters D_ij is the sum of the ranks of W_i - W_j. Clusters come from Ward's linkage of mean |W_i - W_j|;
their number has to be told. The sign of the kurtosis's change has to be told too: the paper says that fine-tuning
lowers it and pre-training raises it. `mother_tree` takes either, and a measurement should report the better one.

Deviations, each where the paper's models do not cover ours:

- Convolutional nets have no attention. Where no square attention matrix is common to two models of the cluster, all
  tensors of two or more dimensions count, flattened to [out, rest], for D and for k.
- A pair is measured on the matrices that it has in common (name and shape): that is how models of another depth or
  vocabulary take part. A pair without any gets the largest distance of all; so in the clusters, where the published
  code would give it none.
- The published code takes the signed difference in the order of the models' names; so does `minmax`. `norm` takes the
  Frobenius norm of the difference, scaled in the same way, which no order changes. Report the better one.
- Ties of M are left to the order of the names, which say nothing; the published code sorts by names that hold the
  answer.
- The kurtosis of a model is its mean over matrices, not the sum: the same within equal architectures, and fair to
  models with more layers.
- Of models that are equal bit for bit one is kept: D is zero between them, and nothing could order them.

    HUBDNA_ZOO=DIR python scripts/boards/mother.py [TREE ...]   # prints a table; no bar, no committed rows
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Literal

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

import board
import forest_score

Weights = Mapping[str, NDArray[np.float32]]
Matrix = NDArray[np.float64]
Distance = Literal["minmax", "norm", "rank"]
LAMBDA = 0.3
ATTENTION = re.compile(r".*(?:attn|attention).*weight")
ANSWER = re.compile(r".*(?:attention\.output\.dense|o_proj|attn\.proj)\.weight")


def mother_tree(
    models: Mapping[str, Weights], distance: Distance = "minmax", rises: bool = False, penalty: float = LAMBDA
) -> list[tuple[str, str]]:
    """The directed tree of one cluster.

    Args:
        models: weights by tensor name, by model; fused projections split (q, k and v apart).
        distance: see the module's docstring; `rank` is for trees of adapters.
        rises: whether training raises the kurtosis; the paper's fine-tunes lower it.
        penalty: lambda of the paper.

    Returns:
        Edges (parent, child), one less than models; which model is the root follows.
    """
    names = sorted(models)
    if len(names) < 2:
        return []
    kinds = [{n for n, w in models[m].items() if _square_attention(n, w)} for m in names]
    attention = any(a & b for a, b in itertools.combinations(kinds, 2))
    parts = {m: _matrices(models[m], attention) for m in names}
    far = distances(parts, names, distance)
    tails = np.array([kurtosis(parts[m]) for m in names])
    wrong = np.subtract.outer(tails, tails) < 0  # [parent, child]: the child's is larger
    cost = far + penalty * far.mean() * (wrong.T if rises else wrong)
    graph = nx.DiGraph()
    graph.add_weighted_edges_from((a, b, cost[i, j]) for (i, a), (j, b) in itertools.permutations(enumerate(names), 2))
    return sorted(nx.minimum_spanning_arborescence(graph).edges)


def distances(models: Mapping[str, Weights], names: Sequence[str], distance: Distance) -> Matrix:
    """D [models, models], symmetric, zeros on the diagonal; what counts was chosen before."""
    far = np.full((len(names), len(names)), np.nan)
    for key in sorted({(n, w.shape) for m in names for n, w in models[m].items()}):
        held = [i for i, m in enumerate(names) if key[0] in models[m] and models[m][key[0]].shape == key[1]]
        pairs = list(itertools.combinations(held, 2))
        if not pairs:
            continue
        stack = {i: models[names[i]][key[0]].astype(np.float64) for i in held}
        found = _apart([stack[i] - stack[j] for i, j in pairs], distance)
        join = np.nansum if distance == "rank" else np.nanmax
        for (i, j), value in zip(pairs, found, strict=True):
            far[i, j] = far[j, i] = join([far[i, j], value])
    far[np.isnan(far)] = np.nanmax(far) if np.isfinite(far).any() else 1.0
    np.fill_diagonal(far, 0.0)
    return far


def kurtosis(weights: Weights) -> float:
    """Mean excess kurtosis of the matrices that write an attention layer's answer, or of all, where none does."""
    answers = [w for n, w in weights.items() if ANSWER.fullmatch(n)] or list(weights.values())
    return float(np.mean([stats.kurtosis(w.astype(float), axis=None) for w in answers])) if answers else 0.0


def clusters(models: Mapping[str, Weights], n_clusters: int) -> list[list[str]]:
    """Families: Ward's linkage of the mean |W_i - W_j| of square matrices, summed over them; their number is told.

    Without common square matrices all common ones count; without any, a pair is as far apart as the farthest.
    """
    names = sorted(models)
    far = np.full((len(names), len(names)), np.nan)
    for (i, a), (j, b) in itertools.combinations(enumerate(names), 2):
        common = [n for n, w in models[a].items() if w.ndim > 1 and n in models[b] and models[b][n].shape == w.shape]
        square = [n for n in common if _is_square(models[a][n])]
        if common:
            apart = sum(float(np.abs(models[a][n] - models[b][n]).mean()) for n in square or common)
            far[i, j] = far[j, i] = apart
    far[np.isnan(far)] = np.nanmax(far) if np.isfinite(far).any() else 1.0
    np.fill_diagonal(far, 0.0)
    labels = fcluster(linkage(squareform(far), "ward"), n_clusters, "maxclust")
    return [[n for n, own in zip(names, labels, strict=True) if own == label] for label in sorted(set(labels))]


def _apart(differences: list[Matrix], distance: Distance) -> NDArray[np.float64]:
    """How far each pair is apart in one matrix: a rank, or a share of the span over all pairs."""
    if distance == "rank":
        return np.array([np.linalg.matrix_rank(d.astype(np.float32)) for d in differences], float)
    if distance == "norm":
        values = np.array([np.linalg.norm(d) for d in differences])
        low, high = values.min(), values.max()
    else:
        values = np.array([d.max() for d in differences])
        low, high = min(d.min() for d in differences), values.max()
    return (values - low) / (high - low) if high > low else np.zeros(len(values))


def _matrices(weights: Weights, attention: bool) -> dict[str, NDArray[np.float32]]:
    """What counts of a model."""
    if attention:
        return {n: w for n, w in weights.items() if _square_attention(n, w)}
    return {n: w.reshape(len(w), -1) for n, w in weights.items() if w.ndim > 1}


def _square_attention(name: str, weights: NDArray[np.float32]) -> bool:
    return ATTENTION.fullmatch(name) is not None and _is_square(weights)


def _is_square(weights: NDArray[np.float32]) -> bool:
    return weights.ndim == 2 and weights.shape[0] == weights.shape[1]


VARIANTS: dict[str, tuple[Distance, bool]] = {
    f"{distance}, kurtosis {'rises' if rises else 'falls'}": (distance, rises)
    for distance in ("minmax", "norm")
    for rises in (False, True)
}  # fmt: skip


def measure(models: Mapping[str, Weights], truth: Sequence[forest_score.Edge]) -> dict[str, forest_score.Score]:
    """Every variant on the models of one tree, of which equal ones count as one."""
    same = forest_score.equal_groups(models)
    one = forest_score.distinct(models, same)
    return {v: forest_score.score(truth, mother_tree(one, *how), same=same) for v, how in VARIANTS.items()}


def main() -> None:
    """Print, per tree and variant, right and wrong edges: of all models, and of plain fine-tunes of the root alone."""
    whole, tuned = {}, {}
    for folder in forest_score.trees(sys.argv[1:]):
        models, truth = forest_score.weights(folder), forest_score.truth(folder)
        kept = forest_score.fine_tunes(folder)
        whole[folder.name] = measure(models, truth)
        edges = [(a, b) for a, b in truth if {a, b} <= kept]
        tuned[folder.name] = measure({m: w for m, w in models.items() if m in kept}, edges)
    for title, found in (("all models", whole), ("root and fine-tunes of all weights", tuned)):
        totals = {v: sum((s[v] for s in found.values()), forest_score.Score()) for v in VARIANTS}
        rows = [[name, *_cells(scores)] for name, scores in (*found.items(), ("all", totals))]
        board.table(f"MoTHer, right / wrong directed edges: {title}", ["tree", "edges", *VARIANTS], rows)
        for variant, score in totals.items():
            print(f"{variant}: {score.told()}")


def _cells(scores: Mapping[str, forest_score.Score]) -> list[object]:
    first = next(iter(scores.values()))
    return [first.n_edges, *(f"{score.right} / {score.wrong}" for score in scores.values())]


if __name__ == "__main__":
    main()
