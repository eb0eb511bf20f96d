"""Board `behaviour`: does behaviour DNA tell what was made from a root, of roots that nobody looked at?

Models: the behaviour zoo (scripts/zoo/make_behaviour.py). Roots of one recipe differ in their seeds alone. A positive
pair is a root and something made from it; its negatives are all other roots of that recipe with things of the same
kind; for students, the student's control counts as one too (same start and data, no teacher). Roots 7 to 13 of each
recipe are fresh: no choice was made by looking at them and the shipped network did not learn from them.

* `fresh`: the shipped network and classifier, and the plain measures, on the fresh roots. AUC is over all recipes of a
  modality together, so that one line has to do for all; a plain measure's line is the best one on the other roots.
  Intervals and differences are from a bootstrap over roots.
* `own data`: students on 256 held-out pictures of their teacher's data, the paper's setting (`behaviour_own.py`).
* `splits`: the same with roots dealt anew five times, a fifth of them for the test, everything learned anew.
* `ablations`: on two of the splits, AUC of the mean of the four cosines, no classifier. Without the data part all
  probes have one code; without the model part nothing tells models apart, by construction. Probes are limited to what
  is shipped (128 texts, 192 pictures); 512 and 1,024 of the same makers are shown to 7 roots of each recipe
  (`behaviour_many.py`), beside the shipped ones on those: 4 to learn from and 3 for the test.
* `bfloat16`: models of fresh roots seen again in it, on the CPU (`behaviour_dtype.py`); GPU: where there is one.
* `unknown`: each recipe in turn is not learned from: how often the classifier abstains, how many of the strangers that
  are judged it calls similar at 1 %, and how many of the children.

The lines were raised once after the fresh roots had been read, for what `unknown` showed then (strangers of recipes not
learned from were called similar); the network stayed as it was, bit for bit, so AUC and balanced accuracy did too.

Bars (fresh roots): balanced accuracy >= .95, AUC >= .98 and above every plain measure; each tuned kind AUC >= .95;
students of the same architecture AUC >= .90; false alarms inside the 95 % interval of what is stated, or fewer.

    HUBDNA_ZOO=DIR python scripts/boards/behaviour_seen.py   # first; minutes to an hour
    HUBDNA_ZOO=DIR python scripts/boards/behaviour_many.py text|vision
    HUBDNA_ZOO=DIR python scripts/boards/behaviour.py [--fresh]
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "behaviour"))

import numpy as np
import torch
import zoo_sketches
from learn import TUNED, Options, Zoo, learn, network_of, pair_cosines

import behaviour_cost as costs
import behaviour_dtype as dtypes
import behaviour_many as many
import behaviour_own as own
import behaviour_plain as plain
import behaviour_zest as zest
import board
from behaviour_score import KINDS, auc, balanced, bootstrap, interval
from hubdna.behaviour.fingerprints import familiarity, scheme, shipped
from hubdna.behaviour.fragments import sketch
from hubdna.behaviour.likeness import scores

SPLITS, SIZES, PROBES = range(5), (32, 64, 256, 512), (16, 32, 64, 128)
MODALITIES = ("text", "vision")
RECIPES = {
    "text": ("decoder-code", "decoder-reference", "encoder-code", "encoder-reference"),
    "vision": ("convnext-digits", "resnet-clothes", "vit-clothes", "vit-digits"),
}


@functools.cache
def zoo(modality: str) -> Zoo:
    """The models of a modality, loaded when something is to be measured."""
    return zoo_sketches.load(modality)


def fresh(modality: str) -> dict[str, Any]:
    """The shipped network on the fresh roots, beside the plain measures."""
    test, network = zoo(modality).roots(zoo_sketches.FRESH), shipped(modality)
    pairs, related = test.pairs()
    found = scores(pair_cosines(test, network, pairs), network)
    families = test.root[pairs[:, 0]]
    row: dict[str, Any] = {"pairs": len(related), "related": int(related.sum()), "auc": auc(found, related)}
    row["auc_interval"] = interval(bootstrap(lambda kept: auc(found[kept], related[kept]), families))
    row["balanced"] = balanced(found, related, 0.0)
    row["balanced_interval"] = interval(bootstrap(lambda kept: balanced(found[kept], related[kept], 0.0), families))
    row["false_alarms"] = [int((found[~related] >= line).sum()) for line in network.lines[:2]]
    row["found"] = [float((found[related] >= line).mean()) for line in network.lines[:2]]
    row["abstains"] = float((familiarity(test.sketches, network) < network.least_familiar).mean())
    row["kinds"] = {}
    for kind in KINDS:
        some, truth = test.pairs((kind,))
        if len(truth) and truth.any():
            row["kinds"][kind] = auc(scores(pair_cosines(test, network, some), network), truth)
    models = zoo_sketches.models(modality, zoo_sketches.FRESH)
    row["plain"] = plain.measured(models, pairs, related, families, found)
    return row


def brief(whole: Zoo, seed: int, options: Options | None) -> dict[str, float]:
    """A split without a classifier, for ablations: AUC of the mean cosine."""
    numbers = np.random.default_rng(100 + seed).permutation(np.unique(whole.root))
    n = max(3, round(len(numbers) / len(SPLITS)))
    test = whole.roots(numbers[:n].tolist())
    network, row = network_of(whole.roots(numbers[n:].tolist()), options or Options()), {}
    for name, keys in {"auc": TUNED, "heavy": ("heavy",), "distilled": ("distilled",)}.items():
        pairs, related = test.pairs(keys)
        row[name] = auc(pair_cosines(test, network, pairs).mean(1), related)
    return row


def zest_row() -> Any:
    """Zest on the fresh roots' pairs."""
    test, network = zoo("vision").roots(zoo_sketches.FRESH), shipped("vision")
    pairs, related = test.pairs()
    found = scores(pair_cosines(test, network, pairs), network)
    return zest.measured(
        zoo_sketches.models("vision", zoo_sketches.FRESH), pairs, related, test.root[pairs[:, 0]], found
    )


def split(whole: Zoo, seed: int, options: Options | None = None) -> dict[str, float]:
    """Everything learned anew from four fifths of the roots, and tested on the others."""
    numbers = np.random.default_rng(100 + seed).permutation(np.unique(whole.root))
    n = round(len(numbers) / len(SPLITS))
    test = whole.roots(numbers[:n].tolist())
    network = learn(whole.roots(numbers[n:].tolist()), options)
    pairs, related = test.pairs()
    found = scores(pair_cosines(test, network, pairs), network)
    alarms = [float((found[~related] >= line).mean()) for line in network.lines[:2]]
    row = {"auc": auc(found, related), "balanced": balanced(found, related, 0.0), "at_5": alarms[0], "at_1": alarms[1]}
    for kind in ("heavy", "distilled", "distilled-other"):
        some, truth = test.pairs((kind,))
        row[kind] = auc(scores(pair_cosines(test, network, some), network), truth)
    return row


def unknown(whole: Zoo, recipe: str) -> dict[str, float]:
    """A recipe that was not learned from."""
    test, network = whole.of(whole.recipe == recipe), learn(whole.of(whole.recipe != recipe))
    pairs, related = test.pairs()
    found = scores(pair_cosines(test, network, pairs), network)
    strange = familiarity(test.sketches, network) < network.least_familiar
    judged = ~strange[pairs].any(1)
    wrong = float((found[judged & ~related] >= network.lines[1]).mean()) if (judged & ~related).any() else 0.0
    own = judged & related
    right = float((found[own] >= network.lines[1]).mean()) if own.any() else 0.0
    return {
        "abstains": float(1 - judged.mean()), "auc": auc(found, related), "alarms_at_1": wrong,
        "strangers": int((judged & ~related).sum()), "found_at_1": right,
    }  # fmt: skip


def without_code(modality: str) -> Zoo:
    """Sketches whose probes all have one code: each probe's relations, sorted, so that no probe is known."""

    def make(behaviour: Any) -> Any:
        rows = np.sort(np.concatenate(list(behaviour.relations), 1), 1).mean(0)[:2048]
        return np.tile(np.pad(rows, (0, 2048 - len(rows))), (4, 1)).astype(np.float32)

    return zoo_sketches.made(zoo_sketches.models(modality), make)


def fewer(modality: str, n: int) -> Zoo:
    """Sketches of every so-manieth probe."""
    return zoo_sketches.made(zoo_sketches.models(modality), lambda seen: sketch(plain.thinned(seen, n)))


def ablations(modality: str, rows: board.Rows) -> list[list[Any]]:
    """What each part is worth."""
    ways: dict[str, Any] = {
        "as shipped": lambda: (zoo(modality), None),
        "without similarity loss": lambda: (zoo(modality), Options(steps=0)),
        "common part left in": lambda: (zoo(modality), Options(common=False)),
        "without data part": lambda: (without_code(modality), None),
    }  # fmt: skip
    ways |= {f"size {4 * (s // 4)}": lambda s=s: (zoo(modality), Options(size=s // 4)) for s in SIZES}
    ways |= {f"{n} probes": lambda n=n: (fewer(modality, n), None) for n in PROBES}
    ways["shipped probes, 7 roots"] = lambda: (zoo(modality).roots(zoo_sketches.FRESH), None)
    ways |= {f"{n} probes, 7 roots": lambda n=n: (many.zoo(modality, n), None) for n in (512, 1024)}
    lines = []
    for name, way in ways.items():
        run = lambda way=way: _twice(*way())  # noqa: E731
        found = rows.measure(f"{modality} ablation {name}", run)
        lines.append([name, *(f"{np.mean([row[key] for row in found]):.3f}" for key in ("auc", "heavy", "distilled"))])
    return lines


def _twice(whole: Zoo, options: Options | None) -> list[dict[str, float]]:
    return [brief(whole, seed, options) for seed in (0, 1)]


def main() -> int:
    """Measures what is missing, and prints the tables."""
    args = board.arguments(__doc__, upto="ablations")
    torch.set_num_threads(1)
    rows, ok = board.Rows("behaviour", args, scheme=f"{scheme('text')} {scheme('vision')}"), True
    for modality in MODALITIES:
        row = rows.measure(f"{modality} fresh", lambda modality=modality: fresh(modality))
        if modality == "vision":
            row = row | {"plain": row["plain"] | {"Zest": rows.measure("vision zest", zest_row)}}
        ok &= _fresh_table(modality, row)
        _cost_table(modality, rows.measure(f"{modality} cost", lambda modality=modality: costs.cost(modality)))
        _device_tables(modality, rows)
    found = rows.measure("vision own data", own.measured)
    board.table("vision: students on their teacher's own data", ["students", "AUC"], own.rows(found))
    for modality in MODALITIES if args.upto != "fresh" else ():
        found = [rows.measure(f"{modality} split {n}", lambda n=n, m=modality: split(zoo(m), n)) for n in SPLITS]
        lines = [[key, *board_mean([row[key] for row in found])] for key in found[0]]
        board.table(f"{modality}: five splits by root", ["figure", "mean", "95 %"], lines)
        lines = []
        for recipe in RECIPES[modality]:
            row = rows.measure(f"{modality} unknown {recipe}", lambda r=recipe, m=modality: unknown(zoo(m), r))
            figures = [f"{row[key]:.3f}" for key in ("abstains", "auc", "alarms_at_1", "found_at_1")]
            lines.append([recipe, *figures, row["strangers"]])
        head = ["recipe", "abstains", "AUC", "alarms at 1 %", "children found", "strangers judged"]
        board.table(f"{modality}: a recipe not learned from", head, lines)
    for modality in MODALITIES if args.upto == "ablations" else ():
        head = ["what", "AUC", "heavy", "distilled"]
        board.table(f"{modality}: ablations, two splits", head, ablations(modality, rows))
    return board.finish("behaviour", ok=ok)


def board_mean(values: list[float]) -> list[str]:
    """Mean and its interval (Student's t)."""
    from scipy.stats import t

    half = float(t.ppf(0.975, len(values) - 1)) * float(np.std(values, ddof=1)) / len(values) ** 0.5
    mean = float(np.mean(values))
    return [f"{mean:.3f}", f"{mean - half:.3f}-{mean + half:.3f}"]


def _fresh_table(modality: str, row: dict[str, Any]) -> bool:
    """Prints what the fresh roots say, and tells whether the bars hold."""
    lines = [["DNA", f"{row['auc']:.3f}", _span(row["auc_interval"]), f"{row['balanced']:.3f}", ""]]
    for name, one in row["plain"].items():
        lines.append(
            [name, f"{one['auc']:.3f}", _span(one["auc_interval"]), f"{one['balanced']:.3f}", _span(one["dna_more"])]
        )
    board.table(f"{modality}: fresh roots", ["measure", "AUC", "95 %", "balanced accuracy", "DNA's AUC more by"], lines)
    board.table(f"{modality}: AUC by kind", list(row["kinds"]), [[f"{value:.3f}" for value in row["kinds"].values()]])
    strangers = row["pairs"] - row["related"]
    rates = [f"{n} of {strangers} ({n / strangers:.3f})" for n in row["false_alarms"]]
    board.table(
        f"{modality}: lines", ["stated", "false alarms", "children found"],
        [["5 %", rates[0], f"{row['found'][0]:.3f}"], ["1 %", rates[1], f"{row['found'][1]:.3f}"]],
    )  # fmt: skip
    tuned = all(value >= 0.95 for kind, value in row["kinds"].items() if kind in TUNED)
    above = all(one["dna_more"][0] > 0 for one in row["plain"].values())
    return bool(row["auc"] >= 0.98 and row["balanced"] >= 0.95 and tuned and above and row["kinds"]["distilled"] >= 0.9)


def _cost_table(modality: str, row: dict[str, Any]) -> None:
    """Prints costs as multiples of one look at a model: absolute times are of no use."""
    unit, peak, batches = row["seeing, a model"], row["peak, MB"], row["probes a second"]
    times = [name for name in row if name.endswith(("a model", "a pair"))]
    title = f"{modality}: time, as a share of seeing a model once (peak {peak:.0f} MB)"
    board.table(title, ["what", "share"], [[name, f"{row[name] / unit:.4f}"] for name in times])
    lines = [[batch, f"{value / batches['1']:.1f}"] for batch, value in batches.items()]
    board.table(f"{modality}: probes a second, by batch", ["batch", "times a batch of 1"], lines)


def _device_tables(modality: str, rows: board.Rows) -> None:
    """Prints what bfloat16 moves, and what a GPU does in a second; a GPU is looked for until one has been there."""
    row = rows.measure(f"{modality} bfloat16", lambda: dtypes.moved(modality))
    lines = [[what, one["pairs"], one["changed"], f"{one['furthest']:.4f}"] for what, one in row["pairs"].items()]
    cosines = [f"{row[key]:.4f}" for key in ("mean", "least", "least of the trained")]
    title = (
        f"{modality}: bfloat16 beside float32, cosine of {row['models']} models, {row['trained']} trained to the end"
    )
    board.table(title, ["mean", "least", "least of the trained"], [cosines])
    board.table(
        f"{modality}: pairs in bfloat16", ["pairs", "of", "judged otherwise", "similarity moves at most"], lines
    )
    key = f"{modality} gpu"
    found = rows.get(key) or costs.on_gpu(modality)
    if found is None:
        print(f"{modality}: on a GPU not measured, none is here\n")
        return
    found = rows.measure(key, lambda: found)
    lines = [[dtype, *(f"{v / found['float32']['1']:.1f}" for v in one.values())] for dtype, one in found.items()]
    board.table(f"{modality}: on a GPU, times a batch of 1", ["dtype", *found["float32"]], lines)


def _span(pair: list[float]) -> str:
    return f"{pair[0]:.3f} to {pair[1]:.3f}"


if __name__ == "__main__":
    sys.exit(main())
