"""Board `power`: how weak a relation may be, at each read level, plain and disguised.

A model of Llama's shape (10 layers, width 512, hidden layers of 1,408, 8,000 tokens of which 64 are reserved, 64 MB of
bfloat16) and relatives whose every matrix, token table included, correlates with its own by rho. Each relative comes
plain, with its residual stream rotated, with its hidden units shuffled, and with both.

Predictions. K of 32 reaches 18 in nine draws of ten when rho sqrt(D) >= 2.4, D the columns that are looked at. Plain:
D is the sum over the genes' columns. Rotated: the signal is a product of two noisy ones, rho_E rho_W sqrt(n M), n
labelled inputs and M matrices, so the floor is the square root. Shuffled: a whole read has all units, and the sketch
of a product of two noisy matrices correlates by rho squared.

Bar: the plain and the rotated floor (smallest rho that is `common`, of those tried) is at most 1.6 times the
prediction, at every read level, and nothing below half of the prediction is `common`.

    python scripts/boards/power.py [--quick] [--fresh]
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

import board
from hubdna.compare import compare_models
from hubdna.dna.read import SCHEME
from hubdna.evidence.fixed_points import POWER_Z
from hubdna.models import Loader
from hubdna.records import ModelRef

LAYERS, WIDTH, INNER, TOKENS, RESERVED = 10, 512, 1408, 8000, 64
RHOS = (1.0, 0.7, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.015, 0.01)
DISGUISES = ("plain", "rotated", "shuffled", "both")
LEVELS = ("small", "standard", "full")
Weights = dict[str, NDArray[np.float32]]


def make(seed: int) -> Weights:
    """Random weights of Llama's shape, scaled by the fan-in."""
    rng = np.random.default_rng(seed)
    shapes = {"model.embed_tokens.weight": (TOKENS, WIDTH), "lm_head.weight": (TOKENS, WIDTH)}
    for i in range(LAYERS):
        block = f"model.layers.{i}"
        shapes |= {f"{block}.self_attn.{p}_proj.weight": (WIDTH, WIDTH) for p in "qkvo"}
        shapes |= {f"{block}.mlp.{p}_proj.weight": (INNER, WIDTH) for p in ("gate", "up")}
        shapes[f"{block}.mlp.down_proj.weight"] = (WIDTH, INNER)
    return {n: rng.standard_normal(s, np.float32) / np.float32(math.sqrt(s[-1])) for n, s in shapes.items()}


def relative(a: Weights, rho: float) -> Weights:
    """Weights whose correlation with A's is rho."""
    noise = make(2)
    return {n: np.float32(rho) * w + np.float32(math.sqrt(1 - rho**2)) * noise[n] for n, w in a.items()}


def disguised(b: Weights, how: str) -> Weights:
    """The same function, other weights: a rotated stream, shuffled units, or both."""
    rng, out = np.random.default_rng(3), dict(b)
    Q = np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))[0].astype(np.float32)
    for i in range(LAYERS):
        order = rng.permutation(INNER)
        gate, up, down = (f"model.layers.{i}.mlp.{p}_proj.weight" for p in ("gate", "up", "down"))
        if how in ("shuffled", "both"):
            out[gate], out[up], out[down] = out[gate][order], out[up][order], out[down][:, order]
    if how in ("rotated", "both"):
        writes = ("o_proj", "down_proj")
        out = {n: Q.T @ w if any(p in n for p in writes) else w @ Q for n, w in out.items()}
    return out


def write(folder: Path, weights: Weights) -> ModelRef:
    """A repository: bfloat16 weights, a config, a tokenizer that names its reserved tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({n: np.ascontiguousarray(w).astype(ml_dtypes.bfloat16) for n, w in weights.items()},
              folder / "model.safetensors")  # fmt: skip
    tokens = {str(i): {"content": f"<|reserved_special_token_{i}|>"} for i in range(TOKENS - RESERVED, TOKENS)}
    (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": tokens}))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    return ModelRef(str(folder))


def row(a: ModelRef, b: ModelRef, level: str) -> dict[str, Any]:
    """K and p of the best test of each view, and the verdict."""
    v = compare_models(a, b, Loader(level=level)).verdict  # type: ignore[arg-type]
    best: dict[str, list[float]] = {}
    for bucket in sorted(v.evidence.buckets, key=lambda x: x.log10_p, reverse=True):
        best[bucket.view] = [bucket.fixed_points, round(bucket.log10_p, 1), bucket.n_columns]
    return {"origin": v.origin, "disguise": list(v.disguise), "views": best}


def predicted(how: str, views: dict[str, list[float]]) -> float | None:
    """The smallest rho that should show; from the columns that the tests looked at."""
    if how == "plain" and "rows" in views:
        return POWER_Z / math.sqrt(views["rows"][2])
    if how == "rotated" and "response" in views:
        return math.sqrt(POWER_Z / math.sqrt(views["response"][2]))
    return None


def measure(rows: board.Rows, quick: bool) -> None:
    """Fill in what is missing, one relative at a time."""
    with tempfile.TemporaryDirectory() as place:
        base = make(1)
        a = write(Path(place) / "a", base)
        for rho in (0.5, 0.02) if quick else RHOS:
            for how in DISGUISES:
                keys = {level: f"{rho} {how} {level}" for level in LEVELS}
                if all(key in rows for key in keys.values()):
                    continue
                b = write(Path(place) / "b", disguised(relative(base, rho), how))
                for level, key in keys.items():
                    rows.measure(key, lambda b=b, level=level: row(a, b, level))


def main() -> int:
    """Measure, print, judge."""
    args = board.arguments(__doc__)
    rows = board.Rows("power", args, SCHEME)
    measure(rows, args.quick)
    rhos = sorted({float(k.split()[0]) for k in rows if k != "scheme"}, reverse=True)
    lines, wrong = [], []
    for how in DISGUISES:
        for level in LEVELS:
            found = {rho: rows[f"{rho} {how} {level}"] for rho in rhos}
            common = [rho for rho, r in found.items() if r["origin"] in ("common", "identical")]
            floor, said = min(common, default=None), predicted(how, found[rhos[-1]]["views"])
            lines.append([how, level, said or "", floor or "none", *(_cell(found[rho]) for rho in rhos)])
            if said is not None and ((floor or 9) > 1.6 * said or any(rho < said / 2 for rho in common)):
                wrong.append(f"{how} {level}")
    header = ["relative", "read", "predicted", "floor", *map(str, rhos)]
    board.table("Largest K of any test, and C where the verdict is `common`, by correlation", header, lines)
    return board.finish("power", args.quick or not wrong, n=len(rows), wrong=wrong)


def _cell(result: dict[str, Any]) -> str:
    k = max((view[0] for view in result["views"].values()), default=0)
    return f"{k:.0f}{'C' if result['origin'] in ('common', 'identical') else ''}"


if __name__ == "__main__":
    sys.exit(main())
