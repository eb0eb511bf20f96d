"""The documents say what the program says: outputs, help, links, numbers. `python tests/test_docs.py` rewrites them.

Four markers are understood, each followed by a fenced block that belongs to this file:

    <!-- run: hubdna ... -->    standard output of the command, against the demo's local Hub; below the command itself,
                                unless the block is in another language than `console`
    <!-- help: search -->       `hubdna search --help`
    <!-- file: NAME -->         a file that the commands below it find in their folder
    <!-- python -->             code that must run; a following <!-- python output --> block holds what it prints
"""

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

os.environ["HF_HUB_DISABLE_XET"] = "1"  # read when huggingface_hub is imported

import pytest
import typer
from typer.testing import CliRunner

from hubdna.cli import app
from hubdna.crawl import crawl
from hubdna.demo import HERE
from hubdna.dna.read import SCHEME
from hubdna.hub import Hub
from hubdna.localhub import LocalHub
from hubdna.localhub.faults import Kind
from hubdna.rules import RULES, severities
from hubdna.store import IndexDir

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "index/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
WRITTEN_BY_A_SCRIPT = {ROOT / "docs" / "evidence.md"}
OURS = [page for page in PAGES if page not in WRITTEN_BY_A_SCRIPT]
TERMINAL = {"COLUMNS": "110", "TERMINAL_WIDTH": "110", "TERM": "dumb", "NO_COLOR": "1"}

_BLOCK = re.compile(r"<!-- (run|help|file|python|python output)(?:: (.*?))? -->\n```(\w+)\n(.*?)```", re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_HUB_COMMANDS = ("dna", "compare", "search", "lineage", "audit", "crawl")


def names(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Shell"]:
    with Shell(tmp_path_factory.mktemp("docs")) as shell:
        yield shell


class Shell:
    """A folder with the demo's index in it, the demo's Hub beside it, and commands that run there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.hub = folder, LocalHub(HERE / "models")

    def __enter__(self) -> "Shell":
        self.hub.start()
        client = Hub(self.hub.endpoint)
        with IndexDir(self.folder / "hubdna-demo" / "index", create=True) as index:
            assert all(step.outcome != "skipped" for step in crawl(client, index, client.models()))
        shutil.copytree(HERE / "models/quietlab/doc-writer", self.folder / "doc-writer")
        shutil.copytree(ROOT / "index", self.folder / "index", ignore=shutil.ignore_patterns("sketches.*", "README.md"))
        return self

    def __exit__(self, *_: object) -> None:
        self.hub.stop()

    def run(self, command: str) -> str:
        """Standard output of one command line, as a person sees it."""
        program, *words = shlex.split(command)
        assert program == "hubdna", command
        if words[0] in _HUB_COMMANDS and "--help" not in words:
            words += ["--endpoint", self.hub.endpoint]
        with contextlib.chdir(self.folder), self._quiet_home():
            result = CliRunner().invoke(app, words, prog_name="hubdna", env=TERMINAL)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return _trimmed(_ANSI.sub("", result.stdout))

    def execute(self, code: str) -> str:
        """What a Python block prints; its Hub is the demo's."""
        code = code.replace("http://127.0.0.1:8080", self.hub.endpoint)
        printed = io.StringIO()
        with contextlib.chdir(self.folder), self._quiet_home(), contextlib.redirect_stdout(printed):
            exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
        return _trimmed(printed.getvalue())

    @contextlib.contextmanager
    def _quiet_home(self) -> Iterator[None]:
        """No index of the user's own."""
        with pytest.MonkeyPatch.context() as patch:
            for name in ("XDG_DATA_HOME", "HOME", "LOCALAPPDATA"):
                patch.setenv(name, str(self.folder / "home"))
            yield


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines()) + "\n"


def rewritten(text: str, shell: Shell) -> str:
    """A page with every marked block as it should be."""
    printed = ""

    def block(found: re.Match[str]) -> str:
        nonlocal printed
        kind, what, language, old = found.groups()
        marker = f"{kind}: {what}" if what else kind
        if kind == "file":
            body = old
            (shell.folder / what).write_text(old)
        elif kind == "run":
            body = (f"$ {what}\n" if language == "console" else "") + shell.run(what)
        elif kind == "help":
            body = shell.run(f"{what} --help")
        elif kind == "python":
            body, printed = old, shell.execute(old)
        else:
            body = printed
        return f"<!-- {marker} -->\n```{language}\n{body}```"

    return _BLOCK.sub(block, text)


def commands(group: typer.core.TyperGroup | None = None, prefix: str = "hubdna") -> dict[str, Callable[..., object]]:
    """Every command of the program by its full name."""
    group = group or typer.main.get_command(app)
    found: dict[str, Callable[..., object]] = {}
    for name, command in group.commands.items():
        nested = commands(command, f"{prefix} {name}") if hasattr(command, "commands") else {}
        found |= nested or {f"{prefix} {name}": command}
    return found


@pytest.mark.parametrize("page", OURS, ids=names)
def test_every_output_is_what_the_program_prints(page: Path, shell: Shell) -> None:
    text = page.read_text()
    new = rewritten(text, shell)
    assert _comparable(new) == _comparable(text), "out of date: run `python tests/test_docs.py`"


def _comparable(text: str) -> str:
    """Versions of the command line library draw help differently: of help only the words count."""

    def words(found: re.Match[str]) -> str:
        lines = [line for line in found[4].splitlines() if "Usage:" not in line]
        bare = re.sub(r"<[^<>]*>|\{[^{}]*\}|\[[^\[\]]*\]", " ", "\n".join(lines))
        return f"help {found[2]}: {' '.join(re.findall(r'[-a-z][-a-z.]+', bare))}"

    return _BLOCK.sub(lambda m: words(m) if m[1] == "help" else m[0], text)


def test_every_command_is_documented_with_its_help() -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    helps = set(re.findall(r"<!-- help: (.*?) -->", text))
    assert helps == {"hubdna", *commands()}
    for command in commands():
        assert f"## {command}\n" in text


def test_every_command_has_its_python_twin() -> None:
    text = (ROOT / "docs" / "python.md").read_text()
    for command in commands():
        assert f"`{command}`" in text, command


def test_every_rule_has_a_page_and_is_listed() -> None:
    listed = (ROOT / "docs" / "rules" / "README.md").read_text()
    pages = {page.stem for page in (ROOT / "docs" / "rules").glob("HD*.md")}
    assert pages == RULES.keys()
    for rule in RULES:
        assert f"[{rule}]({rule}.md)" in listed
        assert (ROOT / "docs" / "rules" / f"{rule}.md").read_text().startswith(f"# {rule}")


def test_the_list_of_rules_gives_their_severities() -> None:
    listed = (ROOT / "docs" / "rules" / "README.md").read_text()
    cells = {rule: re.search(rf"^\| \[{rule}\].* \| (.*) \|$", listed, re.MULTILINE)[1] for rule in RULES}
    assert {rule: tuple(re.findall("`(\\w+)`", cell)) for rule, cell in cells.items()} == severities()


JSON_REPORTS = {
    "hubdna.compare/1": "hubdna compare mirrorhub/fast-code-lm bytewright/pyllama-245k",
    "hubdna.behaviour/1": "hubdna compare ./doc-writer ./doc-writer --behaviour",
    "hubdna.behaviour-dna/1": "hubdna dna ./doc-writer --behaviour",
    "hubdna.search/1": "hubdna search bytewright/pyllama-245k --index hubdna-demo/index --descendants",
    "hubdna.lineage/1": "hubdna lineage --index hubdna-demo/index",
    "hubdna.audit/1": "hubdna audit quietlab/doc-writer --index hubdna-demo/index",
    "hubdna.dna/1": "hubdna dna streetvision/edge-ocr",
    "hubdna.index/1": "hubdna index info hubdna-demo/index",
    "hubdna.verify/1": "hubdna index verify hubdna-demo/index",
    "hubdna.rules/1": "hubdna rules",
    "hubdna.prove.verify/1": "hubdna prove verify shown-receipt --quiet",
    "hubdna.prove.inspect/1": "hubdna prove inspect shown-receipt",
}


@pytest.mark.parametrize("schema", JSON_REPORTS)
def test_every_key_of_a_json_report_is_described(schema: str, shell: Shell) -> None:
    text = (ROOT / "docs" / "formats.md").read_text()
    section = text.split(f"### {schema}\n")[1].split("\n#")[0]
    described = {
        key for row in re.findall(r"^\| (`.*?) \| ", section, re.MULTILINE) for key in re.findall("`(.*?)`", row)
    }
    if schema.startswith("hubdna.prove.") and not (shell.folder / "shown-receipt").exists():
        shell.run("hubdna prove record digits-mlp shown-receipt --key shown.pem --steps 4 --every 2 --quiet")
    report = json.loads(shell.run(f"{JSON_REPORTS[schema]} --format json"))
    assert next(iter(report)) == "schema" and report["schema"] == schema
    keys = {re.sub(r"(matches\[\])\..*", r"\1", key) if schema == "hubdna.audit/1" else key for key in leaves(report)}
    keys = {re.sub(r"^calibration\.\w+", "calibration.l2", key) for key in keys}  # a row a metric
    assert keys <= described


def leaves(value: object, path: str = "") -> Iterator[str]:
    """Paths of all values: `audits[].claim.line`."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for inner in value:
            yield from leaves(inner, f"{path}[]")
    else:
        yield path


def test_every_fault_of_the_local_hub_is_described() -> None:
    text = (ROOT / "docs" / "localhub.md").read_text()
    assert re.findall(r"^\| `([\w-]+)` \|", text.split("| kind |")[1], re.MULTILINE) == list(get_args(Kind))


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        if found in WRITTEN_BY_A_SCRIPT and not anchor:
            continue
        assert found.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in {_anchor(h) for h in re.findall(r"^#+ (.*)$", found.read_text(), re.MULTILINE)}, target


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_file_map_names_files_that_exist() -> None:
    text = (ROOT / "README.md").read_text()
    lines = re.search(r"## Where things are.*?```text\n(.*?)```", text, re.DOTALL)[1].splitlines()
    for line in lines:
        first, *others = re.split(r"  +", line)[0].split(", ")
        for name in (ROOT / first, *((ROOT / first.rstrip("/")).parent / other for other in others)):
            assert name.exists(), line


@pytest.mark.parametrize("page", OURS, ids=names)
def test_files_in_backticks_exist(page: Path) -> None:
    for name in re.findall(r"`((?:hubdna|scripts|tests|index|docs)/[\w./-]*)`", page.read_text()):
        assert (ROOT / name).exists() or ROOT / name in WRITTEN_BY_A_SCRIPT, f"{page.name}: {name}"


@pytest.mark.parametrize("page", OURS, ids=names)
def test_the_scheme_is_the_codes(page: Path) -> None:
    assert set(re.findall(r"weight-\d+/[\w=./-]*[\w]", page.read_text())) <= {SCHEME}


def test_the_cost_table_is_the_measurement() -> None:
    measured = json.loads((ROOT / "scripts" / "boards" / "results" / "traffic.json").read_text())
    text = (ROOT / "README.md").read_text()
    for level, row in measured.items():
        cells = re.search(rf"^\| `{level}` \| (.*) \|$", text, re.MULTILINE)[1].split(" | ")
        assert cells[1:4] == [f"{row['mb']:.2f}", str(row["for_bytes"]), str(row["resolve"])]
        assert f"({row['model_gb']} GB)" in text


def test_the_sketch_table_is_the_measurement() -> None:
    measured = json.loads((ROOT / "scripts" / "boards" / "results" / "sketch.json").read_text())
    text = (ROOT / "docs" / "design.md").read_text()
    rhos = [float(r) for r in re.search(r"^\| slots x bits \| (.*) \|$", text, re.MULTILINE)[1].split(" | ")]
    rows = re.findall(r"^\| (\d+) x (\d+) \| (.*) \|$", text, re.MULTILINE)
    layouts = measured.pop("layouts")
    assert len(rows) * len(rhos) == len(measured)
    for slots, bits, cells in rows:
        for rho, cell in zip(rhos, cells.split(" | "), strict=True):
            assert int(cell) == measured[f"{slots}x{bits} rho {rho}"]["vote 2.5"], (slots, bits, rho)
    columns = re.search(r"^\| layout \| (.*) \|$", text, re.MULTILINE)[1].split(" | ")
    assert len(columns) == len(layouts["2048: 4 rows"])
    for layout, row in layouts.items():
        cells = [str(row[c]) if c == "kib" else "/".join(map(str, row[c])) for c in columns]
        assert f"\n| {layout} | {' | '.join(cells)} |\n" in text


def test_the_index_card_lists_what_is_inside() -> None:
    text = (ROOT / "index" / "README.md").read_text()
    with IndexDir(ROOT / "index", read_only=True) as index:
        entries = list(index.entries())
        assert f"digest   {index.digest()}" in text
    for entry in entries:
        row = re.search(rf"^\| {re.escape(entry.ref.repo_id)} \| (.*) \|$", text, re.MULTILINE)
        assert row and row[1].split(" | ")[0] == entry.claim.license, entry.ref
    assert len(re.findall(r"^\| [\w.-]+/[\w.-]+ \|", text, re.MULTILINE)) == len(entries)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place, Shell(Path(place)) as here:
        for page in OURS:
            old = page.read_text()
            if (new := rewritten(old, here)) != old:
                page.write_text(new)
                print(f"{names(page)} rewritten", file=sys.stderr)
