"""Prints what the pair sets in the cache look like, as tables for the README: sizes, losses, disguises, cost.

python scripts/zoo/pair_report.py            # one row per set
python scripts/zoo/pair_report.py SET        # one row per model of a set
"""

import json
import sys

from pair_catalog import SETS, cache


def main() -> None:
    """Prints the overview, or one set."""
    if len(sys.argv) > 1:
        _one(sys.argv[1])
        return
    print("| set | models | pairs | of these independent | root's loss | largest function change | CPU s |")
    print("|---|---|---|---|---|---|---|")
    for name in SETS:
        folder = cache() / "pairs" / name
        if not (folder / "pairs.json").exists():
            continue
        notes = json.loads((folder / "models.json").read_text())
        pairs = json.loads((folder / "pairs.json").read_text())
        strangers = sum(not pair["related"] for pair in pairs)
        change = max(note.get("function_change", 0) for note in notes.values())
        spent = sum(note.get("cpu_seconds", note["seconds"]) for note in notes.values())
        row = [name, len(notes), len(pairs), strangers, _loss(notes["base"]), f"{change:.1e}", f"{spent:.0f}"]
        print("| " + " | ".join(map(str, row)) + " |")
        worse = [model for model, note in notes.items() if note.get("loss_after", -1) >= note.get("loss_before", 0)]
        if worse:
            print(f"  did not learn: {', '.join(worse)}", file=sys.stderr)


def _one(name: str) -> None:
    """Prints the models of one set."""
    print("| model | parent | relation | loss | function change |")
    print("|---|---|---|---|---|")
    for model, note in json.loads((cache() / "pairs" / name / "models.json").read_text()).items():
        change = f"{note['function_change']:.1e}" if "function_change" in note else ""
        print(f"| {model} | {note['parent']} | {note['relation']} | {_loss(note)} | {change} |")


def _loss(note: dict[str, float]) -> str:
    """Returns a model's held-out loss before and after its training."""
    return f"{note['loss_before']:.2f} to {note['loss_after']:.2f}" if "loss_after" in note else ""


if __name__ == "__main__":
    main()
