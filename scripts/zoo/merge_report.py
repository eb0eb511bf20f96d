"""Prints what the merge families in the cache look like, as tables for the README: members, cost, exactness.

python scripts/zoo/merge_report.py            # the families, and each method
python scripts/zoo/merge_report.py FAMILY     # the merges of one family
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from typing import Any

from pair_catalog import cache

FEW = 1e-3  # a coefficient with a smaller standard error is known


def main() -> None:
    """Prints the overview, or one family."""
    found = [json.loads(path.read_text()) for path in sorted((cache() / "merges").glob("*/truth.json"))]
    if len(sys.argv) > 1:
        _merges(next(truth for truth in found if truth["family"] == sys.argv[1]))
        return
    _families(found)
    _methods(found)


def _families(found: list[dict[str, Any]]) -> None:
    """Prints a row for each family."""
    print("| family | width, layers | stored | members | merges | base's loss | CPU s |")
    print("|---|---|---|---|---|---|---|")
    for truth in found:
        root, shape = truth["members"][0], truth["shape"]
        spent = sum(member.get("cpu_seconds", 0) for member in truth["members"])
        sizes = f"{shape['hidden_size']}, {shape['num_hidden_layers']}"
        loss = f"{root['loss_before']:.2f} to {root['loss_after']:.2f}"
        row = [truth["family"], sizes, root["stored"], len(truth["members"]), len(truth["merges"]), loss]
        print(f"| {' | '.join(map(str, row))} | {spent:.0f} |")
        worse = [m["name"] for m in truth["members"] if m.get("loss_after", -1) >= m.get("loss_before", 0)]
        if worse:
            print(f"  did not learn: {', '.join(worse)}", file=sys.stderr)


def _methods(found: list[dict[str, Any]]) -> None:
    """Prints a row for each method: merges, shares of weights that come out bit for bit, how well a fit agrees."""
    rows = defaultdict(list)
    for truth in found:
        for merge in truth["merges"]:
            rows[merge["method"]].append(merge)
    ways = ("float32", "float32, then 16 bits", "16 bits")
    print(f"\n| method | merges | {' | '.join(ways)} | stepwise | fit and formula |")
    print("|---|---|---|---|---|---|---|")
    for method, merges in rows.items():
        cells = [_span([m["equal"]["plain"] for m in merges if _arithmetic(m) == way]) for way in ways]
        cells += [_span([m["equal"]["stepwise"] for m in merges]), _agreement(merges)]
        print(f"| {method} | {len(merges)} | {' | '.join(cells)} |")


def _arithmetic(merge: dict[str, Any]) -> str:
    """Returns what a merge was computed and stored in."""
    if merge["stored"] == "F32":
        return "float32"
    return "float32, then 16 bits" if merge["dtype"] == "float32" else "16 bits"


def _span(values: list[float]) -> str:
    """Returns the least and the largest of some shares, in per cent."""
    low, high = (f"{100 * value:.5g}" for value in (min(values), max(values))) if values else ("", "")
    return low if low == high else f"{low} to {high}"


def _agreement(merges: list[dict[str, Any]]) -> str:
    """Returns how far fitted coefficients are from the formula, of matrices, where the fit knows them; and how many."""
    gaps = [
        abs(fit - formula)
        for merge in merges
        for name, row in merge.get("tensors", {}).items()
        for fit, formula, error in zip(row["fit"], row["formula"], row["error"], strict=True)
        if error is not None and error < FEW and "norm" not in name
    ]
    return f"{max(gaps):.1g} of {len(gaps)}" if gaps else ""


def _merges(truth: dict[str, Any]) -> None:
    """Prints a row for each merge of a family."""
    print("| merge | method | dtype | stored | plain | stepwise | residual | coefficients |")
    print("|---|---|---|---|---|---|---|---|")
    for merge in truth["merges"]:
        equal = [f"{100 * merge['equal'][way]:.4g}" for way in ("plain", "stepwise")]
        left = max((row["residual"] for row in merge.get("tensors", {}).values()), default=0)
        shown = ", ".join(f"{value:.3g}" for value in merge["coefficients"] or [])
        row = [merge["name"], merge["method"], merge["dtype"], merge["stored"], *equal, f"{left:.3g}", shown]
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
