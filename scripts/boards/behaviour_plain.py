"""Plain measures of behaviour beside the network: what needs no training (`hubdna.behaviour.measures`).

Each gets the line that is best on roots 0 to 6, the network's own. `next answers (Holm)` is the test of Nikolić et al.:
the smallest p-value with which the child agrees with the root more than with each other fresh root of the recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import behaviour_seen as seen
from behaviour_score import auc, balanced, best_line, bootstrap, interval
from hubdna.behaviour import measures
from hubdna.records import Behaviour

TUNED_ON = range(7)


def mean_cka(a: Behaviour, b: Behaviour) -> float:
    """Alignment over the places that both could be looked at (REEF)."""
    found = [value for value in measures.all_cka(a, b) if value is not None]
    return float(np.mean(found)) if found else 0.0


def answer_cka(a: Behaviour, b: Behaviour) -> float:
    """Alignment of the answers."""
    return measures.cka(a, b, -1) or 0.0


def agreement(a: Behaviour, b: Behaviour) -> float:
    """Share of equal answers; 0 where answers are of other kinds."""
    return measures.agreement(a, b) or 0.0


def projected(a: Behaviour, b: Behaviour) -> float:
    """Cosine of random projections (LLM-DNA)."""
    return float(measures.projection(a) @ measures.projection(b))


MEASURES: dict[str, Callable[[Behaviour, Behaviour], float]] = {
    "alignment (CKA)": mean_cka, "alignment of answers": answer_cka, "agreement": agreement,
    "random projection": projected,
}  # fmt: skip


def measured(
    models: Sequence[seen.Model], pairs: NDArray[Any], related: NDArray[Any], families: NDArray[Any], dna: NDArray[Any]
) -> dict[str, Any]:
    """All plain measures on the board's own pairs."""
    held = [seen.seen(model) for model in models]
    rows = {}
    for name, measure in MEASURES.items():
        found = np.array([measure(held[a], held[b]) for a, b in pairs])
        rows[name] = row(found, related, families, dna, _line(models[0], measure))
    found = np.array([_agrees_more(models, held, a, b) for a, b in pairs])
    rows["next answers (Holm)"] = row(found, related, families, dna, float(-np.log(0.05)))
    return rows


def row(found: NDArray[Any], related: NDArray[Any], families: NDArray[Any], dna: NDArray[Any], line: float) -> Any:
    """How a measure does, and by how much the network's AUC is larger."""
    more = bootstrap(lambda kept: auc(dna[kept], related[kept]) - auc(found[kept], related[kept]), families)
    spread = bootstrap(lambda kept: auc(found[kept], related[kept]), families)
    return {
        "auc": auc(found, related), "auc_interval": interval(spread), "balanced": balanced(found, related, line),
        "dna_more": interval(more),
    }  # fmt: skip


def _line(like: seen.Model, measure: Callable[[Behaviour, Behaviour], float]) -> float:
    """The best line on the first seven roots."""
    import zoo_sketches

    text = like.recipe.startswith(("decoder", "encoder"))
    models = zoo_sketches.models("text" if text else "vision", TUNED_ON)
    held = [seen.seen(model) for model in models]
    zoo = zoo_sketches.made(models, lambda behaviour: np.zeros((4, 1), np.float32))
    pairs, related = zoo.pairs()
    return best_line(np.array([measure(held[a], held[b]) for a, b in pairs]), related)


def _agrees_more(models: Sequence[seen.Model], held: Sequence[Any], root: int, child: int) -> float:
    """-log of the p-value, corrected for as many roots as were compared."""
    others = [i for i, m in enumerate(models) if m.key == "root" and m.recipe == models[root].recipe and i != root]
    p = measures.agreement_test(held[child], held[root], [held[i] for i in others])
    return 0.0 if p is None else float(-np.log(min(1.0, p * (len(others) + 1)) + 1e-300))


def thinned(behaviour: Behaviour, n: int) -> Behaviour:
    """A behaviour on n of its probes, evenly spread."""
    kept = np.linspace(0, len(behaviour.top) - 1, n).round().astype(int)
    relations = behaviour.relations[:, kept][:, :, kept]
    centring = np.eye(n, dtype=np.float32) - np.float32(1 / n)
    return replace(
        behaviour, relations=centring @ relations @ centring, answers=behaviour.answers[kept], top=behaviour.top[kept]
    )
