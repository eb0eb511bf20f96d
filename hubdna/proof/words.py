"""What is told of a receipt, to people and to programs. No torch."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from hubdna.proof.keys import signed_by
from hubdna.proof.layout import Receipt
from hubdna.records import Coverage, ReceiptParent, ReceiptReport

CAVEAT = (
    "A consistent receipt is one that nothing contradicts, as far as was looked. It does not show who had these\n"
    "weights first, nor that the data are what their author calls them: docs/receipts.md"
)


def report_text(report: ReceiptReport) -> str:
    """The verdict, every check, and what the replays buy."""
    lines = [f"receipt: {report.verdict}", ""]
    if report.author:
        lines += [f"author   {report.author}", f"task     {report.task}", f"started  {_started(report.parent)}", ""]
    lines += [f"{c.name:<12} {c.outcome:<14} {c.says}" for c in report.checks]
    if report.coverage:
        lines += ["", *_bought(report.coverage)]
    return "\n".join([*lines, "", *([CAVEAT] if report.verdict == "consistent" else [])]).rstrip()


def report_json(report: ReceiptReport) -> str:
    """`hubdna.prove.verify/1`."""
    body = asdict(report)
    if report.coverage:
        odds = [{"forged": share, "detection": p} for share, p in report.coverage.detection]
        body["coverage"] |= {"replayed": list(report.coverage.replayed), "detection": odds}
    return _dump("hubdna.prove.verify/1", {"verdict": report.verdict, **body})


def receipt_text(receipt: Receipt) -> str:
    """What a receipt says of itself; nothing of it was trained again."""
    facts = _facts(receipt)
    recipe = receipt.claim.recipe
    settings = ", ".join(f"{k} {v}" for k, v in {**recipe.settings, **recipe.schedule_settings}.items())
    rows = {
        "author": facts["author"], "root": facts["root"] or "none: not finished", "signed": facts["signed"],
        "task": receipt.claim.task, "started": _started(receipt.claim.parent),
        "data": f"{receipt.claim.n_samples} samples, root {receipt.claim.data}",
        "recipe": f"{recipe.optimizer}, {recipe.schedule} ({settings}), {recipe.steps} steps of {recipe.batch} samples",
        "states": f"{len(receipt.links)}, every {recipe.every} steps; stands at step {receipt.links[-1].step}",
        "weights": f"root {receipt.links[-1].weights}",
        "trained on": "; ".join(" ".join(e.values()) for e in facts["environments"]),
    }  # fmt: skip
    return "\n".join(f"{name:<12} {_said(value)}" for name, value in rows.items())


def receipt_json(receipt: Receipt) -> str:
    """`hubdna.prove.inspect/1`."""
    return _dump("hubdna.prove.inspect/1", _facts(receipt))


def _facts(receipt: Receipt) -> dict[str, Any]:
    claim, last = receipt.claim, receipt.links[-1]
    signed = None if receipt.root is None or receipt.signature is None else (
        signed_by(claim.author, bytes.fromhex(receipt.root), receipt.signature)
    )  # fmt: skip
    return {
        "author": claim.author, "root": receipt.root, "signed": signed, "task": claim.task,
        "parent": claim.parent and asdict(claim.parent), "fresh": list(claim.fresh),
        "n_samples": claim.n_samples, "data": claim.data, "recipe": asdict(claim.recipe),
        "n_states": len(receipt.links), "step": last.step, "weights": last.weights,
        "environments": [link.environment for link in receipt.links if link.environment],
        "calibration": receipt.calibration or None,
    }  # fmt: skip


def _said(value: Any) -> str:
    words = {True: "yes", False: "NO: the signature is not the author's", None: "no"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def _started(parent: ReceiptParent | None) -> str:
    if parent is None:
        return "from an initialiser"
    return f"from {parent.repo_id}" + (f"@{parent.revision}" if parent.revision else "") + f", root {parent.root}"


def _bought(coverage: Coverage) -> list[str]:
    odds = ", ".join(f"{p:.0%} when {share:.0%}" for share, p in coverage.detection)
    return [
        f"trained again: {len(coverage.replayed)} of {coverage.n_intervals} intervals, {coverage.steps:.1%} of the "
        f"steps; {coverage.n_random} drawn at random (challenge {coverage.challenge})",
        f"the draw meets a forged interval with probability {odds} of them are forged",
    ]


def _dump(schema: str, body: dict[str, Any]) -> str:
    return json.dumps({"schema": schema, **body}, indent=2, allow_nan=False) + "\n"
