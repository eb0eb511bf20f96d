"""Board `behaviour`: what plain measures of behaviour say about descent. The baselines that behaviour DNA has to beat.

Models: the behaviour zoo (scripts/zoo/make_behaviour.py). Roots of one recipe differ in their seeds alone. A positive
pair is a root and something made from it; its negatives are all other roots of that recipe with the same thing; of a
distilled student besides the root with the student's control, which had the same start and data and no teacher.
Measured, for each recipe and relation: how often a positive pair scores higher than a negative one (AUC), with a 95 %
interval from a bootstrap over roots (seven a recipe: the intervals are rough). Measures: alignment (CKA) of the
relations, averaged over the places, and at the answer; agreement of the likeliest answers; cosine of random projections
of the answers' relations. None is trained and none has a threshold.

Bar: none yet; ok when every recipe of the zoo is complete and every model was seen.

    HUBDNA_ZOO=DIR python scripts/boards/behaviour_seen.py   # first; minutes to an hour
    HUBDNA_ZOO=DIR python scripts/boards/behaviour.py [--quick] [--fresh]
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

import behaviour_seen as zoo
import board
from hubdna.behaviour import measures, scheme
from hubdna.records import Behaviour

N_BOOTSTRAP = 1_000
ROOT, CONTROL = "root", {"distilled": "alone", "distilled-other": "alone-other"}
N_RECIPES, N_ROOTS, N_KEYS = 8, 7, 14
Score = Callable[[Behaviour, Behaviour], float | None]
Seen = dict[str, dict[str, Behaviour]]  # family -> key -> behaviour


def mean_cka(a: Behaviour, b: Behaviour) -> float | None:
    """Alignment over the places that both could be looked at."""
    found = [value for value in measures.all_cka(a, b) if value is not None]
    return float(np.mean(found)) if found else None


def answer_cka(a: Behaviour, b: Behaviour) -> float | None:
    """Alignment of the answers."""
    return measures.cka(a, b, -1)


def projected(a: Behaviour, b: Behaviour) -> float:
    """Cosine of random projections."""
    return float(measures.projection(a) @ measures.projection(b))


SCORES: dict[str, Score] = {
    "cka": mean_cka, "cka of answers": answer_cka, "agreement": measures.agreement, "projection": projected,
}  # fmt: skip


def auc(positive: list[float], negative: list[float]) -> float:
    """How often a positive scores higher than a negative; ties count half."""
    p, n = np.array(positive)[:, None], np.array(negative)[None]
    return float((p > n).mean() + 0.5 * (p == n).mean())


def pairs(seen: Seen, key: str, score: Score) -> tuple[dict[str, float], dict[tuple[str, str], float]]:
    """Scores of the positive pairs, by family, and of the negative ones, by (root's family, child's family)."""
    positive: dict[str, float] = {}
    negative: dict[tuple[str, str], float] = {}
    for family, models in seen.items():
        if ROOT not in models or key not in models:
            continue
        for other, theirs in seen.items():
            if ROOT in theirs and (value := score(theirs[ROOT], models[key])) is not None:
                if other == family:
                    positive[family] = value
                else:
                    negative[other, family] = value
        control = CONTROL.get(key)
        if control in models and (value := score(models[ROOT], models[control])) is not None:
            negative[family, family] = value
    return positive, negative


def measured(seen: Seen, key: str, score: Score) -> dict[str, Any] | None:
    """AUC with its interval, over all roots of a recipe; None without both kinds of pairs."""
    positive, negative = pairs(seen, key, score)
    if not positive or not negative:
        return None
    rng, families, draws = np.random.default_rng(7), sorted(positive), []
    for _ in range(N_BOOTSTRAP):
        drawn = set(rng.choice(families, len(families)))
        chosen = [value for (a, b), value in negative.items() if a in drawn and b in drawn]
        if chosen:
            draws.append(auc([positive[f] for f in sorted(drawn)], chosen))
    low, high = np.percentile(draws, [2.5, 97.5]) if draws else (float("nan"),) * 2
    return {
        "auc": auc(list(positive.values()), list(negative.values())), "low": float(low), "high": float(high),
        "positives": len(positive), "negatives": len(negative),
    }  # fmt: skip


def load() -> tuple[dict[str, Seen], int, int]:
    """Recipe -> what was seen, and how many models are there and were not seen."""
    found: dict[str, Seen] = defaultdict(lambda: defaultdict(dict))
    n = missing = 0
    for model in zoo.models():
        behaviour, n = zoo.seen(model), n + 1
        if behaviour is None:
            missing += 1
        else:
            found[model.recipe][model.family][model.key] = behaviour
    return found, n, missing


def main() -> int:
    """Measures what is missing, and prints a table a recipe."""
    args = board.arguments(__doc__)
    rows = board.Rows("behaviour", args, scheme=scheme("text") + " " + scheme("vision"))
    found, n, missing = load()
    complete = []
    for recipe, seen in found.items():
        keys = list(dict.fromkeys(key for models in seen.values() for key in models))
        whole = len(seen) == N_ROOTS and all(len(models) == N_KEYS for models in seen.values())
        complete += [recipe] * whole
        lines: list[list[Any]] = []
        for key in keys:
            if key == ROOT or key in CONTROL.values():
                continue
            line: list[Any] = [key]
            for name, score in SCORES.items():
                run = lambda key=key, score=score, seen=seen: measured(seen, key, score)  # noqa: E731
                row = rows.measure(f"{recipe} {key} {name}", run) if whole else run()
                line.append("" if row is None else f"{row['auc']:.2f} ({row['low']:.2f}-{row['high']:.2f})")
            lines.append(line)
        state = f"{len(seen)} roots" + ("" if whole else ", not complete")
        board.table(f"{recipe}: AUC of a root and its child against strangers ({state})", ["child", *SCORES], lines)
    ok = len(complete) == N_RECIPES and not missing
    return board.finish("behaviour", ok=ok, recipes=len(complete), models=n, not_seen=missing)


if __name__ == "__main__":
    sys.exit(main())
