"""Board `plugs`: the same audit from `hubdna`, `hf dna` and the GitHub Action, and reports that other readers accept.

All models of the demo are audited on the local Hub against an index of them, in three ways: by the program, by the Hub
CLI through an extension that was installed as it installs one, and by the script of `action.yml` in the shell that it
names. Each format is then written by the program, with a configuration that ignores a finding and a model that is not
there, and read by others: the published schemas, sarif-tools, cyclonedx-python-lib, markdown-it, Chromium.

Bar: every way gives the same findings (model, rule, level, line, message) on every model, and the exit codes that are
documented: 0 clean, 1 findings with `--fail-on`, 2 misused, 3 a model could not be read. Every format validates, SARIF
opens in sarif-tools with all its results, CycloneDX is the same after reading and writing, HTML asks Chromium for
nothing and makes it complain of nothing.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import board
import plug_ways
import report_checks

os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
HONEST, FAULTY = "northbyte/pyllama-245k-scratch", "quietlab/doc-writer"
EXITS = {
    0: ([HONEST], ["--fail-on", "warning"]),
    1: ([HONEST, FAULTY], ["--fail-on", "warning"]),
    2: (["not/a/name"], []),
    3: ([HONEST, "nobody/nothing"], ["--fail-on", "warning"]),
}
REASON = "accepted on this board"
CONFIG = f'[[ignore]]\nrule = "HD001"\nrepo = "{FAULTY}"\nreason = "{REASON}"\n'
WAYS = ("hubdna", "hf dna", "action")
Ask = Callable[[list[str], list[str]], plug_ways.Answer]


class Bench:
    """The demo's Hub, an index of it, and the three ways to ask; the extension is installed when it is first asked."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        from hubdna.crawl import crawl
        from hubdna.hub import Hub
        from hubdna.store import IndexDir

        self.folder, self.index, self.home = folder, folder / "index", folder / "home"
        self.env = {"HF_ENDPOINT": endpoint, "XDG_DATA_HOME": str(folder / "nothing")}
        client = Hub(endpoint)
        with IndexDir(self.index, create=True) as index:
            list(crawl(client, index, client.models()))

    def ask(self, way: str, refs: list[str], options: list[str]) -> plug_ways.Answer:
        """Audit models one way; options are at most `--fail-on`."""
        if way == "action":
            inputs = {"models": "\n".join(refs), "index": str(self.index), "fail-on": "".join(options[1:])}
            return plug_ways.action_audit(inputs, self.folder, **self.env)[0]
        options = [*options, "--index", str(self.index)]
        if way == "hubdna":
            return plug_ways.program(refs, options, self.folder, **self.env)
        if not self.home.exists():
            plug_ways.lay_out(self.home)
        return plug_ways.extension(refs, options, self.folder, self.home, **self.env)

    def findings(self, models: list[str]) -> dict[str, Any]:
        """How many findings each way gives on all models, and on how many models it gives what the program gives."""
        answers = {way: self.ask(way, models, []) for way in WAYS}
        own, row = answers["hubdna"].findings or (), {"models": len(models)}
        for way, answer in answers.items():
            theirs = answer.findings or ()
            same = [m for m in models if [f for f in theirs if f[0] == m] == [f for f in own if f[0] == m]]
            row |= {way: len(theirs), f"{way} same": len(same)}
        return row

    def exits(self, code: int) -> dict[str, int]:
        """The exit code of each way in one case."""
        return {way: self.ask(way, *EXITS[code]).code for way in WAYS}

    def report(self, form: str, models: list[str]) -> dict[str, Any]:
        """One format of all models: its size and its faults."""
        (self.folder / "own.toml").write_text(CONFIG)
        path = self.folder / f"audit.{form}"
        options = ["--index", str(self.index), "--format", form, "--output", str(path), "--config", "own.toml"]
        command = [str(plug_ways.BIN / "hubdna"), "audit", *options, "--", *models, "nobody/nothing"]
        code = plug_ways.run(command, self.folder, self.env).returncode
        with path.open(encoding="utf-8", newline="") as file:
            text = file.read()
        ignored = REASON in text
        return {"exit": code, "kb": round(len(text) / 1000, 1), "ignored": ignored,
                "faults": report_checks.CHECKS[form](text)}  # fmt: skip


def main() -> int:
    """Ask, compare, check, judge."""
    from hubdna.demo import HERE, planted
    from hubdna.dna.read import SCHEME
    from hubdna.localhub import LocalHub
    from hubdna.rules import RULES

    args = board.arguments(__doc__)
    rows = board.Rows("plugs", args, scheme=f"{SCHEME} {' '.join(RULES)}")
    models = [HONEST, FAULTY] if args.quick else [model["repo_id"] for model in planted()]
    codes = [1] if args.quick else list(EXITS)
    forms = [form for form in report_checks.CHECKS if form != "html" or not args.quick]
    keys = ["findings", *(f"exit {code}" for code in codes), *(f"format {form}" for form in forms)]
    if any(key not in rows for key in keys):
        with tempfile.TemporaryDirectory() as folder, LocalHub(HERE / "models") as hub:
            bench = Bench(Path(folder), hub.endpoint)
            rows.measure("findings", lambda: bench.findings(models))
            for code in codes:
                rows.measure(f"exit {code}", lambda code=code: bench.exits(code))
            for form in forms:
                rows.measure(f"format {form}", lambda form=form: bench.report(form, models))
    exits = {code: rows[f"exit {code}"] for code in codes}
    return _judge(rows["findings"], exits, {form: rows[f"format {form}"] for form in forms})


def _judge(found: dict[str, Any], exits: dict[int, dict[str, int]], forms: dict[str, dict[str, Any]]) -> int:
    lines = [[w, found[w], f"{found[f'{w} same']} of {found['models']}", *(e[w] for e in exits.values())] for w in WAYS]
    header = ["way", "findings", "models with the same", *(f"documented: {code}" for code in exits)]
    board.table("The same audit in three ways, and its exit codes", header, lines)
    shown = [
        [form, row["kb"], row["exit"], "yes" if row["ignored"] else "no", len(row["faults"])]
        for form, row in forms.items()
    ]
    board.table("Reports read by others", ["format", "kB", "exit code", "shows what is ignored", "faults"], shown)
    same = found["hubdna"] > 0 and all(found[f"{way} same"] == found["models"] for way in WAYS)
    codes = all(given == code for code, row in exits.items() for given in row.values())
    valid = all(row["exit"] == 3 and row["ignored"] and not row["faults"] for row in forms.values())
    return board.finish("plugs", same and codes and valid, n=found["models"], same=same, codes=codes, valid=valid)


if __name__ == "__main__":
    sys.exit(main())
