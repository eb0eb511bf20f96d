"""A comment or a job summary: one section a model. Whatever is not a plain word stands in code.

Names, cards and error messages are other people's text. No escaping is the same in all dialects of Markdown, and an
escaped mention is still a mention to some. A code span is: nothing in it is a link, an image, HTML or a mention. So a
sentence keeps its plain words, and every run of other characters becomes a span with a fence longer than any in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from hubdna.records import Audit, Finding, Provenance
from hubdna.report.text import clean, count, headline, ignored, skipped
from hubdna.report.wording import receipt

MAX_MATCHES = 5
"""Relatives listed for a model; a comment is no table."""

_PLAIN = re.compile(r"<=|(?!\d+[.)]+\Z)\(?(?:[^\W\d_]+(?:['\u2019-][^\W\d_]+)*|\d+(?:\.\d+|e-\d+)?%?)[.,;:!?)]*")
"""Words, numbers, and the sign in `p <= 1e-35`. `GH-1`, `evil.com` and `1.`, which begins a list, are none of these."""
_ENDS = re.compile(r"(.*[^.,;:!?])([.,;:!?]*)", re.DOTALL)


def audits(results: Iterable[Audit]) -> str:
    """Sections of several audits, then a count and what it takes to repeat them."""
    done = list(results)
    lines = [line for audit in done for line in _section(audit)]
    lines += [f"**{count(done)}**", ""]
    for provenance in dict.fromkeys(audit.provenance for audit in done):
        lines += [] if provenance is None else [_computed(provenance), ""]
    return "\n".join(lines)


def prose(text: str) -> str:
    """A sentence of others in which nothing but code spans is Markdown; one line."""
    done: list[str] = []
    odd: list[str] = []
    for word in clean(text).split():
        if not _PLAIN.fullmatch(word):
            odd.append(word)
            continue
        done += [_span(odd)] if odd else []
        odd.clear()
        done.append(word)
    return " ".join(done + ([_span(odd)] if odd else []))


def code(text: object) -> str:
    """A code span; one line. Of nothing, nothing."""
    line = " ".join(clean(text).split())
    if not line:
        return ""
    fence = _fence(line, 1)
    space = " " if line[0] == "`" or line[-1] == "`" else ""
    return f"{fence}{space}{line}{space}{fence}"


def _span(words: list[str]) -> str:
    """Odd words in code; the punctuation that ends them belongs to the sentence."""
    whole = _ENDS.fullmatch(" ".join(words))
    return f"{code(whole[1])}{whole[2]}" if whole else code(" ".join(words))


def _fence(text: str, least: int) -> str:
    """More backticks than any run of them in a text."""
    return "`" * max([least, *(len(run) + 1 for run in re.findall("`+", text))])


def _section(audit: Audit) -> Iterator[str]:
    yield from (f"### {code(audit.ref)}", "")
    for one in audit.skipped:
        yield from (f"Skipped: {prose(skipped(one))}", "")
    for finding in audit.findings:
        yield from _finding(finding)
    for aside in audit.ignored:
        yield from (f"Ignored: {prose(ignored(aside))}", "")
    if not audit.findings and not audit.skipped and not audit.ignored:
        yield from ("Nothing to report.", "")
    if audit.matches:
        yield from ("Nearest in the index (an origin in common does not say who came first):", "")
        yield from (f"- {code(m.ref)}: {prose(headline(m.verdict))}" for m in audit.matches[:MAX_MATCHES])
        more = len(audit.matches) - MAX_MATCHES
        yield from ([f"- and {more} more", ""] if more > 0 else [""])
    if audit.receipt:
        yield from (f"Receipt: {prose(receipt(audit.receipt))}.", "")
    if audit.ref.sha:
        yield from (f"Read at commit {code(audit.ref.sha)}.", "")


def _finding(finding: Finding) -> Iterator[str]:
    where = f", line {finding.line} of `README.md`" if finding.line else ""
    yield from (f"**{finding.rule_id} {finding.severity}**{where}: {prose(finding.message)}", "")
    if finding.evidence:
        yield from (*(f"- {prose(line)}" for line in finding.evidence), "")
    if finding.patch:
        diff = "\n".join(clean(line) for line in finding.patch.diff.rstrip("\n").split("\n"))
        fence = _fence(diff, 3)
        yield from (f"A patch, to {prose(finding.patch.reason)}:", "", f"{fence}diff", diff, fence, "")


def _computed(made: Provenance) -> str:
    """How it was computed, for whoever wants to repeat it."""
    return (
        f"Computed by hubdna {made.version} on {made.date} from weights alone: an exact test against "
        f"{made.n_models} models. Index {code(made.index_digest)}, scheme {code(made.scheme)}."
        + (f" Configured: {code(', '.join(made.configuration))}." if made.configuration else "")
    )
