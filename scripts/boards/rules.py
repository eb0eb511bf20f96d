"""Board `rules`: do the seventeen rules speak where they should, and are they silent where they must be?

A local Hub serves small trained models and what can be made of them: copies, quantised, masked and rounded ones,
merges, disguises, models inside models. Eleven stand in an index. The others are audited under labelled cards, one
after the other, through the real client: at least 25 cards for each rule on which it has to speak, and as many on which
it must not. They were written from the rules' pages before anything was run; many are one card in other words of YAML,
other languages, other line ends. A third of them was *held* back until the rules had been put right on the others.

*Recall*: the rule spoke, and not louder than the card allows. *False*: errors and warnings that no label allows, of
whatever rule. Intervals are exact (Clopper-Pearson, 95 %). Each suggested patch is made and read again with another
YAML library: only the keys that it means may differ. HD012 to HD014 count the cards of cards/licences.toml, too. The
vectors of behaviour that HD017 asks for are drawn (`rule_behaviour.py`); the shipped classifier says what they mean.

*Real claims*: what 385 public models say of their base (cards/mteb.toml), each as the card of a repository without
weights. *Hostile cards*: markup, mentions, escapes, formulas in every place that findings quote, through every
report; and cards that are too large, against the time of a plain one.

Before anything was put right, the rules spoke on 94 % to 100 % of the cards that were not held back, but for HD004
(13 of 16) and HD009 (10 of 16, all of them hidden units that were shuffled); 19 warnings were false: 16 called a
vision tower a base, 3 read "from scratch" into a denial, a plan and another model's history. No error was false. Five
labels were wrong, too, and were put right from the pages: a model that was pruned and trained on is no mask, a copy is
HD008's. The held cards, when they were looked at, showed two more false warnings (a name between Chinese letters, a
Japanese denial), a language that was missing (Dutch), and two labels that were wrong; these are put right as well, so
the figures below are no longer those of unseen cards.

Bar: recall of each rule at least 0.85 at the lower end; no false error and no false warning; no wrong patch; every
real claim read back as it is, a path on a disk named by HD007, no error; nothing of a hostile card comes through, and a
large one costs at most 100 plain ones and 500 MB.

    python scripts/boards/rules.py [--quick] [--fresh] [--part tune|held|all]
"""

from __future__ import annotations

import hashlib
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ["HF_HUB_DISABLE_XET"] = "1"  # read when huggingface_hub is imported
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import board
import hubdna
import licence_cards
import rule_cards
import rule_claims
import rule_hostile
import rule_patches
from hubdna.records import Audit
from hubdna.rules import RULES
from rule_cards import Card, Desk

RECALL = 0.85
PLAIN = b"---\nlicense: mit\n---\n# x\n"
GATHERING = ("audit", "bases", "inquiry", "lookalikes", "verdict", "behaviour/likeness", "behaviour/stored")
"""Modules of hubdna that build what rules look at."""


def main() -> int:
    """Measure what is missing, then report."""
    args = board.arguments(__doc__, part="all")
    started = time.perf_counter()
    rows = board.Rows("rules", args, scheme=scheme())
    cards = [c for c in rule_cards.load() if args.part == "all" or c.held == (args.part == "held")]
    if args.quick:
        cards = quick([card for card in cards if not card.held])
    with tempfile.TemporaryDirectory() as folder, Desk(Path(folder)) as desk:
        for card in sorted(cards, key=lambda c: c.weights):
            rows.measure(card.key, lambda card=card: measure(desk, card))
        claims = [] if args.quick else measure_claims(rows)
        hostile = measure_hostile(desk, rows, args.quick)
        large = measure_large(desk, rows, args.quick)
    ok = [report(cards, rows), report_claims(claims, rows), report_hostile(hostile, large, rows)]
    return board.finish("rules", all(ok), started, n=len(cards), claims=len(claims), hostile=len(hostile))


def scheme() -> str:
    """A hash of what rows depend on besides the reading of weights: models, rules, and how cards are read.

    Labels are no part of it: a row holds what was said.
    """
    ours, theirs = Path(__file__).parent, Path(hubdna.__file__).parent
    files = [ours / "rule_models.py", ours / "rule_behaviour.py", *theirs.glob("rules/*.py"), *theirs.glob("card/*.py")]
    files += [*theirs.glob("licences/*"), *(theirs / f"{name}.py" for name in GATHERING)]
    digest = hashlib.sha256()
    for file in sorted(file for file in files if file.is_file()):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def digest_of(module: ModuleType) -> str:
    """A hash of a part of the board: its rows are measured again when it changes."""
    return hashlib.sha256(Path(str(module.__file__)).read_bytes()).hexdigest()[:8]


def quick(cards: list[Card]) -> list[Card]:
    """The first card of each rule and way."""
    first: dict[tuple[str, str], Card] = {}
    for card in cards:
        first.setdefault((card.rule, card.way), card)
    return list(first.values())


def measure(desk: Desk, card: Card) -> dict[str, Any]:
    """Audit a card: what was said, what was skipped, and what is wrong with the patches."""
    audit = desk.audit(card.weights, card.readme, card.behaves)
    return {
        "said": [[f.rule_id, f.severity] for f in audit.findings],
        "skipped": [s.reason[:150] for s in audit.skipped],
        "patches": sum(f.patch is not None for f in audit.findings),
        "wrong": [f"{f.rule_id}: {w}" for f in audit.findings if f.patch for w in checked(audit, card, f.patch)],
    }


def checked(audit: Audit, card: Card, patch: Any) -> list[str]:
    """What is wrong with a patch."""
    return rule_patches.wrongs(card.readme.decode("utf-8"), patch)


def measure_hostile(desk: Desk, rows: board.Rows, quick: bool) -> list[str]:
    """Audit a card for each payload in each place; the keys of their rows."""
    keys, ours = [], digest_of(rule_hostile)
    for place, card in rule_hostile.PLACES.items():
        missing = [p for p in rule_hostile.PAYLOADS if f"hostile {place}: {p} {ours}" not in rows]
        harmless = [desk.audit("child", one) for one in (card("harmless").encode(), PLAIN)] if missing else []
        for name, payload in list(rule_hostile.PAYLOADS.items())[: 2 if quick else None]:
            keys.append(f"hostile {place}: {name} {ours}")
            rows.measure(keys[-1], lambda c=card(payload), h=harmless: _hostile(desk, c, h))
    return keys


def _hostile(desk: Desk, card: str, harmless: list[Audit]) -> dict[str, Any]:
    audit = desk.audit("child", card.encode("utf-8", "surrogatepass"))
    return {"wrong": rule_hostile.wrongs(audit, harmless), "told": _told(audit)}


def _told(audit: Audit) -> bool:
    """Whether anything was said of the card, and no defect of ours."""
    return bool(audit.findings or audit.skipped) and not any("internal error" in s.reason for s in audit.skipped)


def measure_large(desk: Desk, rows: board.Rows, quick: bool) -> list[str]:
    """Audit cards that are too large; the keys of their rows: time against a plain card, growth of memory."""
    keys = []
    for name, make in list(rule_hostile.LARGE.items())[: 2 if quick else None]:
        keys.append(f"large {name}")
        rows.measure(keys[-1], lambda make=make: _large(desk, make().encode()))
    return keys


def _large(desk: Desk, card: bytes) -> dict[str, Any]:
    plain = min(_seconds(desk, PLAIN)[0] for _ in range(2))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, audit = _seconds(desk, card)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    made = rule_hostile.reports(audit)
    return {
        "ratio": round(seconds / plain, 1), "grown_mb": round(grown), "told": _told(audit),
        "report_kb": round(max(map(len, made.values())) / 1000), "said": [s.reason[:150] for s in audit.skipped],
    }  # fmt: skip


def _seconds(desk: Desk, card: bytes) -> tuple[float, Audit]:
    started = time.process_time()
    audit = desk.audit("child", card)
    return time.process_time() - started, audit


def measure_claims(rows: board.Rows) -> list[str]:
    """Audit the real claims; the keys of their rows."""
    keys = [f"claim {model}" for model, _, _ in rule_claims.load()]
    if any(key not in rows for key in keys):
        with tempfile.TemporaryDirectory() as folder:
            for model, row in rule_claims.measure(Path(folder)):
                rows[f"claim {model}"] = row
        rows.save()
    return keys


def licences() -> list[tuple[str, str, bool, list[str]]]:
    """The cards of the rules on licences: (rule, way, right, false)."""
    found = []
    for row in licence_cards.load():
        said = [f.severity for f in RULES[row["rule"]](licence_cards.build(row))]
        wanted = licence_cards.expected(row)
        false = [f"{row['rule']} {s}" for s in said if s != "info" and s not in wanted]
        found.append((row["rule"], "fires" if wanted else "quiet", said == wanted, false))
    return found


def report(cards: list[Card], rows: dict[str, Any]) -> bool:
    """Print the tables; whether the bars hold."""
    results = [(c, rule_cards.judged(c, rows[c.key]["said"]), rows[c.key]) for c in cards]
    counted = [(c.rule, c.way, j["right"], j["false"], c.held) for c, j, _ in results]
    counted += [(*row, False) for row in licences()]
    lines, ok = [], True
    for rule in RULES:
        fires = [r for r in counted if r[0] == rule and r[1] == "fires"]
        quiet = [r for r in counted if r[0] == rule and r[1] == "quiet"]
        right, held = sum(r[2] for r in fires), [r[2] for r in fires if r[4]]
        low, high = board.interval(right, len(fires), 0.95)
        ok &= low >= RECALL
        spoke = sum(not r[2] for r in quiet)
        lines.append([rule, len(fires), right, f"{low:.3f}-{high:.3f}", f"{sum(held)}/{len(held)}", len(quiet), spoke])
    header = ["rule", "has to speak", "spoke", "recall", "of these held", "must not", "spoke there"]
    board.table("Labelled cards", header, lines)
    for card, judgement, row in results:
        if not judgement["right"] or judgement["false"] or row["wrong"]:
            print(f"  {card.key}: said {row['said']}, false {judgement['false']}, {row['skipped']} {row['wrong']}")
    false = [f for r in counted for f in r[3]]
    errors = [f for f in false if "error" in f]
    wrong = [w for _, _, row in results for w in row["wrong"]]
    patches = sum(row["patches"] for _, _, row in results)
    print(f"false errors: {len(errors)}; false warnings: {len(false) - len(errors)}; of {len(counted)} cards")
    print(f"patches: {patches}, wrong: {len(wrong)}")
    return ok and not false and not wrong


def report_claims(keys: list[str], rows: dict[str, Any]) -> bool:
    """Print what the real claims caused; whether their bar holds."""
    if not keys:
        return True
    found = [rows[key] for key in keys]
    said = Counter((rule, severity) for row in found for rule, severity in row["said"])
    lines = [[rule, *(said[rule, s] for s in ("error", "warning", "info"))] for rule in sorted({r for r, _ in said})]
    board.table(f"{len(found)} real claims", ["rule", "error", "warning", "info"], lines)
    read = sum(map(rule_claims.is_read_back, found))
    disks = [row for row in found if rule_claims.is_on_a_disk(row)]
    named = sum(["HD007", "warning"] in row["said"] for row in disks)
    errors = sum(n for (_, severity), n in said.items() if severity == "error")
    unnamed = [row for row in found if row["skipped"]]
    print(f"read back: {read} of {len(found)}; not audited, since the model's own name is none: {len(unnamed)}")
    print(f"paths on a disk: {len(disks)}, named by HD007: {named}; errors: {errors}")
    for row in found:
        if not rule_claims.is_read_back(row):
            print(f"  {row}")
    real = rule_claims.real_card()
    print(f"a real card: {real}")
    sound = real == {"base_models": [], "license": "apache-2.0", "remarks": 0}
    return read == len(found) and named == len(disks) and not errors and sound


def report_hostile(keys: list[str], large: list[str], rows: dict[str, Any]) -> bool:
    """Print what came through of hostile cards; whether their bar holds."""
    bad = [key for key in keys if rows[key]["wrong"]]
    silent = [key for key in (*keys, *large) if not rows[key]["told"]]
    for key in bad:
        print(f"  {key}: {rows[key]['wrong']}")
    print(f"hostile cards: {len(keys)}; something came through: {len(bad)}; nothing told: {silent or 0}")
    header = ["large card", "times a plain one", "memory, MB", "longest report, KB"]
    lines = [[k.removeprefix("large "), *(rows[k][f] for f in ("ratio", "grown_mb", "report_kb"))] for k in large]
    board.table("Large cards", header, lines)
    bounded = all(rows[k]["ratio"] <= 100 and rows[k]["grown_mb"] <= 500 for k in large)
    return not bad and not silent and bounded


if __name__ == "__main__":
    sys.exit(main())
