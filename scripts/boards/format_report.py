"""Board `formats`: which rows are as they should be, and the tables."""

from __future__ import annotations

from collections import Counter
from typing import Any

import board
import format_models

FORMS = {
    "torch": "identical", "onnx net": "converted", "onnx numbered": "converted", "onnx external": "converted",
    "onnx constants_fp16": "cast", "gguf F32": "converted", "gguf F16": "cast", "gguf BF16": "converted",
}  # fmt: skip
"""What small forms are to their originals (the decoder's weights are BF16); all others are quantised."""
MAX_MIB, MAX_MB, MAX_REQUESTS = 300, 16, 64
VERDICT = ("origin", "relation", "direction", "log10_p", "similarity", "mb", "requests")
Row = dict[str, Any]


def holds(key: str, row: Row, rows: dict[str, Row]) -> bool:
    """Whether one row is as it should be; `rows` are all, since the largest file is compared with the smaller."""
    kind, _, rest = key.partition(" ")
    if kind == "giant":
        small = rows.get(key.replace("10 GB", "1 GB"), row)
        fits = row["mib"] < MAX_MIB and row["bytes"] <= MAX_MB * 1_000_000 and row["requests"] <= MAX_REQUESTS
        return fits and row["genes"] > 0 and row["bytes"] <= 1.01 * small["bytes"]
    judges = {
        "values": lambda: row["deviation"] is not None and row["deviation"] <= 2**-11,
        "blocks": lambda: row["wrong"] == 0,
        "rows": lambda: format_models.holds(row),
        "model": lambda: format_models.verdict_holds(row),
        "forms": lambda: True,
        "cost": lambda: row["mb"] <= MAX_MB and row["requests"] <= MAX_REQUESTS,
        "copy": lambda: (row["relation"], row["direction"]) == ("quantized", "a-from-b"),
        "same": lambda: row["equal"],
        "real": lambda: _real_holds(rest, row),
        "form": lambda: _form_holds(rest, row),
    }
    return bool(judges[kind]())


def _real_holds(rest: str, row: Row) -> bool:
    if row["label"] == "independent":
        return row["origin"] in ("no-evidence", "undecided")
    related = row["origin"] in ("common", "identical") and (row["label"] == "related" or row["relation"] == "quantized")
    return related or (rest.endswith("standard") and row["origin"] == "undecided")


def _form_holds(rest: str, row: Row) -> bool:
    expected = next((word for start, word in FORMS.items() if rest.startswith(start)), "quantized")
    return format_models.verdict_holds(row | {"expected": expected})


def tables(rows: dict[str, Row]) -> None:
    """Print all rows."""

    def of(*kinds: str) -> list[tuple[str, Row]]:
        return [(k, r) for k, r in rows.items() if k.split()[0] in kinds]

    read = [[k.removeprefix("values "), r["tensors"], r["deviation"]] for k, r in of("values")]
    board.table("Values against the libraries' own readers", ["file", "tensors", "largest deviation"], read)
    blocks = [[k.removeprefix("blocks "), r["values"], r["wrong"]] for k, r in of("blocks")]
    board.table("Random valid blocks", ["type", "values", "values that differ"], blocks)
    forms, left_out = _models(of("rows"), rows)
    header = ["model and form", "tensors", "equal", "deviation", "is", "origin", "relation", "direction", "MB"]
    board.table("Models in every container and layout: our rows against the writer's, verdict", header, forms)
    counts = Counter(r["writer"] for _, r in of("rows") if "writer" in r)
    board.table("Who wrote them", ["writer", "forms"], [list(item) for item in counts.items()])
    board.table("Left out", ["model and form", "why"], left_out)
    notes = [[k.removeprefix("model "), r["note"]] for k, r in of("model") if "note" in r]
    board.table("Forms that are asked for their origin only", ["model and form", "why"], notes)
    pairs = [[k, *(r.get(c) for c in VERDICT)] for k, r in of("form", "real", "copy", "cost")]
    board.table("Forms and real files", ["pair", *VERDICT], pairs)
    same = [[k.removeprefix("same "), r["equal"], r["dna_bytes"][0]] for k, r in of("same")]
    board.table("Pickle and safetensors: .dna files", ["pair", "equal", "bytes"], same)
    columns = ("gb", "mib", "bytes", "requests", "genes")
    giants = [[k.removeprefix("giant "), *(r[c] for c in columns)] for k, r in of("giant")]
    board.table("Sparse giants at level standard", ["file", "GB", "MiB at the peak", *columns[2:]], giants)


def _models(found: list[tuple[str, Row]], rows: dict[str, Row]) -> tuple[list[list[object]], list[list[object]]]:
    """Lines of forms, and of those left out: one for each reason."""
    forms: list[list[object]] = []
    reasons: dict[tuple[str, str], list[str]] = {}
    for key, row in found:
        _, model, form = key.split(" ", 2)
        if "left_out" in row:
            reasons.setdefault((model, row["left_out"]), []).append(form)
            continue
        said = rows.get(f"model {model} {form}", {})
        verdict = [said.get(c) for c in ("origin", "relation", "direction", "mb")]
        seen = [row["tensors"], row["exact"], row["deviation"]]
        forms.append([f"{model} {form}", *seen, row["expected"], *verdict])
    shown = [f if len(f) < 4 else [*f[:3], f"and {len(f) - 3} more"] for f in reasons.values()]
    lines = zip(reasons, shown, strict=True)
    return forms, [[f"{model}: {', '.join(names)}", reason] for (model, reason), names in lines]
