"""The demo: a Hub on loopback with 16 small, really trained models, and hubdna working on it as on the real one.

The models (`models/`) were trained by `scripts/zoo/train_demo.py`; `zoo.toml` says who descends from whom and which
card faults were planted. The pipeline does not read it: it is only used at the end, to say whether all was found.
"""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path
from typing import Any

from hubdna.errors import HubdnaError, UsageError

HERE = Path(__file__).parent


def planted() -> list[dict[str, Any]]:
    """The truth about the demo's models: repo_id, root, parent, relation, declared, fault, expected_other."""
    models: list[dict[str, Any]] = tomllib.loads((HERE / "zoo.toml").read_text("utf-8"))["model"]
    return models


def run_demo(keep: Path, *, quiet: bool = False) -> None:
    """Serve, crawl, index, search, compare, audit; write index and report under `keep`.

    Raises:
        HubdnaError: a planted fault was missed, or an honest card accused.
    """
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")  # read when huggingface_hub is imported
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from rich.console import Console

    from hubdna.demo.story import tell
    from hubdna.localhub import LocalHub

    try:
        keep.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--keep {keep}: {error.strerror}") from None
    with LocalHub(HERE / "models") as hub:
        audits = tell(
            hub.endpoint,
            keep,
            Console(highlight=False, soft_wrap=not sys.stdout.isatty()),
            Console(stderr=True, quiet=quiet),
        )
    if wrong := check(audits):
        raise HubdnaError("the demo did not come out as planted: " + "; ".join(wrong))


def check(audits: list[Any]) -> list[str]:
    """Compare findings with what was planted; the differences, in words."""
    wrong = []
    truth = {m["repo_id"]: m for m in planted()}
    if absent := truth.keys() - {a.ref.repo_id for a in audits}:
        wrong.append(f"not audited: {', '.join(sorted(absent))}")
    for audit in audits:
        fault, other = truth[audit.ref.repo_id].get("fault"), truth[audit.ref.repo_id].get("expected_other", "")
        if fault and not any(f.rule_id == fault and other in f.message for f in audit.findings):
            wrong.append(f"{audit.ref}: {fault} was planted and not found")
        if not fault and any(f.severity != "info" for f in audit.findings):
            wrong.append(f"{audit.ref}: an honest card was accused")
    return wrong
