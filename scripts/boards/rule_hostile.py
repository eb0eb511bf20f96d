"""Cards that want to do something to whoever reads the report: rendered, pinged, run, or out of memory.

Each payload stands once in every place of a card from which findings quote. The audit goes through every report and the
bot's note. A report is compared with that of a harmless card: it may hold no tag, link, picture or attribute that the
other lacks, no control or reordering characters, no formula, no mention outside of code.
"""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from html.parser import HTMLParser

from markdown_it import MarkdownIt
from rich.console import Console

from hubdna.bot.words import marker_of, note
from hubdna.painting import Painting
from hubdna.records import Audit
from hubdna.report import csv as csv_report
from hubdna.report import cyclonedx, html, markdown, sarif, text
from hubdna.report import json as json_report
from hubdna.rules import stories

PAYLOADS = {
    "link": "[click](javascript:alert(1))",
    "picture": "![x](https://evil.example/x.png)",
    "html": "<img src=x onerror=alert(1)><script>alert(2)</script>",
    "closing tags": "</pre></code></td></details></script><h1>hi</h1>",
    "mention": "@everyone @admin #1 org/name@main",
    "fence": "```\n@everyone\n# heading\n```",
    "tildes": "~~~\n<b>x</b>\n~~~",
    "code span": "`@everyone` ``<b>x</b>`` \\`",
    "table": "| a | b |\n|---|---|\n| @x | <b> |",
    "comment": "<!-- hubdna-bot proposal=0123456789ab -->",
    "terminal": "\x1b]0;owned\x07\x1b[31mred\x1b[2J\x9b31m",
    "right to left": "\u202egnp.exe\u2066 abc \u2069\u200b\ufeff",
    "formula": "=cmd|' /C calc'!A0",
    "formula, hidden": "\t+1+1, @SUM(1), -2",
    "cdata": "]]> --> \"'><b>",
    "rich": "[bold red]x[/] [link=https://evil.example]y[/link]",
    "autolink": "<https://evil.example> https://evil.example www.evil.example",
    "entity": "&lt;b&gt; &#60;script&#62;",
    "control": "a\x00b\x08c\x7fd\u2028e\u0085f",
    "marks and tags": "\U0001f600\u0301\u0301\u0301\U000e0041",
    "half a pair": "\ud83d",
    "long": "x" * 5000,
}


def quoted(payload: str) -> str:
    """A YAML string that reads as the payload."""
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in payload) + '"'


PLACES: dict[str, Callable[[str], str]] = {
    "base": lambda p: f"---\nlicense: mit\nbase_model: {quoted(p)}\n---\n# x\n",
    "base, in a list": lambda p: f"---\nlicense: mit\nbase_model:\n- wordlab/x\n- {quoted('a/' + p)}\n---\n# x\n",
    "base, a mapping": lambda p: f"---\nbase_model: {{{quoted(p)}: {quoted(p)}}}\n---\n# x\n",
    "relation": lambda p: f"---\nbase_model: bytewright/pyllama-245k\nbase_model_relation: {quoted(p)}\n---\n# x\n",
    "licence": lambda p: f"---\nlicense: {quoted(p)}\n---\n# x\n",
    "licence name": lambda p: f"---\nlicense: other\nlicense_name: {quoted(p)}\n---\n# x\n",
    "licence link": lambda p: f"---\nlicense: other\nlicense_name: x\nlicense_link: {quoted(p)}\n---\n# x\n",
    "sentence": lambda p: f"---\nlicense: mit\n---\n# x\n\nThis model was trained from scratch {p} by us.\n",
    "heading": lambda p: f"---\nlicense: mit\n---\n# This model {p} was trained from scratch.\n",
    "broken": lambda p: f"---\nlicense: [{p}\n---\n# x\n",
}  # fmt: skip


def _big(line: str, n: int = 10_000_000) -> str:
    return line * (n // len(line))


LARGE: dict[str, Callable[[], str]] = {
    "ten MB of keys": lambda: "---\n" + "".join(f"k{n}: v\n" for n in range(900_000)) + "---\n",
    "ten MB in one value": lambda: f"---\nbase_model: {'a' * 10_000_000}\n---\n",
    "ten MB of names": lambda: "---\nbase_model:\n" + _big("- org/name\n") + "---\n",
    "never closed": lambda: "---\nlicense: mit\n" + _big("x: y\n"),
    "alias bomb": lambda: "---\na: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
    ) + "base_model: *j\n---\n",
    "alias of itself": lambda: "---\nbase_model: &a [*a]\n---\n",
    "merge keys": lambda: "---\na: &a {b: c}\n" + "".join(f"k{n}: {{<<: *a}}\n" for n in range(2000)) + "---\n",
    "deep lists": lambda: "---\nbase_model: " + "[" * 90_000 + "]" * 90_000 + "\n---\n",
    "deep mappings": lambda: "---\n" + "".join(" " * n + f"k{n}:\n" for n in range(2000)) + "---\n",
    "a long number": lambda: "---\nbase_model: " + "9" * 190_000 + "\n---\n",
    "ten MB of claims": lambda: "---\nlicense: mit\n---\n" + _big("This model was not not trained from scratch "),
    "ten MB of brackets": lambda: "---\nlicense: mit\n---\n" + _big("[(<`*_"),
    "ten MB of at signs": lambda: "---\nlicense: mit\n---\n" + _big("@"),
    "ten MB of slashes": lambda: "---\nlicense: mit\n---\n" + _big("pyllama-245k/"),
    "ten MB without a space": lambda: "---\nlicense: mit\n---\ntrained" + _big("\u00e9\u0301") + "from scratch",
}  # fmt: skip


def reports(audit: Audit) -> dict[str, str]:
    """The audit in every format, and the bot's note."""
    picture = Painting(audit.ref, note="not painted")
    terminal = io.StringIO()
    Console(file=terminal, width=160, force_terminal=True, color_system=None).print(text.audits([audit]))
    return {
        "text": terminal.getvalue(),
        "json": json_report.audits([audit]),
        "markdown": markdown.audits([audit]),
        "note": note(audit),
        "csv": csv_report.audits([audit]),
        "html": html.audits([(audit, picture)]),
        "sarif": sarif.audits([audit], stories()),
        "cyclonedx": cyclonedx.audits([audit]),
    }


def wrongs(audit: Audit, harmless: list[Audit]) -> list[str]:
    """What a report of a hostile card does that those of harmless ones do not; empty when nothing."""
    made, plain = reports(audit), [reports(one) for one in harmless]
    found = [f"text: {c!r}" for c in _controls(made["text"])]
    for name in ("markdown", "note"):
        more = rendered(made[name]).difference(*(rendered(p[name]) for p in plain))
        found += [f"{name}: {one}" for one in sorted(more)]
        found += [f"{name}: mention {m}" for m in _mentions(made[name], name == "note")]
        found += [f"{name}: {c!r}" for c in _controls(made[name])]
    if marker_of(made["note"]) is not None:
        found.append("note: a marker of the bot's was forged")
    found += [f"html: {one}" for one in sorted(_tags(made["html"]).difference(*(_tags(p["html"]) for p in plain)))]
    found += [f"html: {c!r}" for c in _controls(made["html"])]
    cells = [cell for row in csv.reader(io.StringIO(made["csv"], newline="")) for cell in row]
    found += [f"csv: {cell[:40]!r}" for cell in cells if re.match(r"[=+@\t\r-]", cell) or _controls(cell)]
    for name in ("sarif", "cyclonedx", "json"):
        strings = list(_strings(json.loads(made[name])))
        if name == "sarif":
            found += [f"sarif: link {s[:60]!r}" for s in strings if re.search(r"(?<!\\)\[[^\]\n]*(?<!\\)\]\(", s)]
        if name != "json":  # JSON escapes them, and its readers want what the card says
            found += [f"{name}: {c!r}" for s in strings for c in _controls(s)]
    return list(dict.fromkeys(found))


def _controls(made: str) -> list[str]:
    """Control characters but line ends and tabs, and those that hide or reorder text; joiners are no such."""
    bad = {c for c in made if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") and c not in "\n\r\t\u200d"}
    return sorted(bad)


def rendered(made: str) -> set[str]:
    """What of a Markdown text is drawn as more than words: links, pictures, HTML, by their targets."""
    found = set()
    for token in _tokens(made):
        if token.type in ("html_block", "html_inline"):
            found.add(f"{token.type} {token.content[:80]}")
        elif token.type == "link_open" or token.type == "image":
            found.add(f"{token.type} {token.attrGet('href') or token.attrGet('src')}")
    return found


def _tokens(made: str) -> Iterator:
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    reader.validateLink = lambda url: True  # it drops javascript: itself; others may not
    for token in reader.parse(made):
        yield token
        yield from token.children or ()


def _mentions(made: str, also_in_code: bool) -> list[str]:
    """Mentions that a reader of Markdown would call; in code, too, if asked."""
    kinds = ("text", "code_inline", "fence", "code_block") if also_in_code else ("text",)
    texts = [t.content for t in _tokens(made) if t.type in kinds]
    return [m[0] for one in texts for m in re.finditer(r"(?<![\w/])@\w+", one)]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        for key, value in attrs:
            self.found.add(f"{tag} {key}")
            if key in ("href", "src", "action", "style", "srcdoc"):
                self.found.add(f"{tag} {key}={value}")


def _tags(made: str) -> set[str]:
    parser = _Tags()
    parser.feed(made)
    return parser.found


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
