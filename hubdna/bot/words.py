"""The Markdown that the bot writes. Of a repository nothing is rendered in it, nobody is called, nothing is hidden.

Names, messages and cards are other people's text. Whatever is not a plain word stands in a code span
(`hubdna.report.markdown.prose`); invisible and reordering characters are spelled out (U+202E); and since nobody
documents whether a mention in a code span still calls somebody, an @ before a name is followed by a zero-width joiner.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hubdna.bot.nouns import Said
from hubdna.bot.policy import OPT_OUT_KEY
from hubdna.records import Audit, CardPatch, Finding, Provenance
from hubdna.report.markdown import code, prose

TITLE = "Where this model comes from: a note on its card"
"""Of every discussion that the bot opens; nothing of the repository is in it."""
MAX_TEXT = 1_000
"""Characters of one message or line of evidence."""
MAX_LINES = 8
"""Lines of evidence of one finding."""
MAX_NOTE = 40_000
"""Characters of all findings; the Hub takes comments of 65,536."""
MAX_DIFF = 4_000
"""Characters of one patch."""

_MARKER = re.compile(r"<!-- hubdna-bot proposal=([0-9a-f]{12}) -->")


def note(audit: Audit, contact: str = "") -> str:
    """What is said about a model: evidence, how sure it is, how it was computed, how to dispute it, how to opt out.

    Args:
        audit: its findings of severity `info` are left out.
        contact: how to reach the people who run the bot, beside the discussion itself.
    """
    told = [f for f in audit.findings if f.severity != "info"]
    lines = [
        "This note was written by a program, hubdna. It is sent only when a person agreed, or when the owner of this "
        "model asked for such notes.",
        "",
    ]
    room = MAX_NOTE
    for n, finding in enumerate(told):
        part = list(_finding(finding))
        room -= sum(len(line) + 1 for line in part)
        if room < 0:
            lines += [f"And {len(told) - n} more: `hubdna audit` lists them.", ""]
            break
        lines += part
    lines += [*_how_sure(), *_computed(audit), *_your_turn(contact)]
    return defused("\n".join(lines).rstrip())


def edited(body: str, date: str, is_pull_request: bool = False) -> str:
    """A note that takes the place of an earlier one in the same comment."""
    stale = " **The change that this pull request holds is from before: do not merge it as it is.**"
    return (
        f"*Edited on {date}: the facts changed. What was said before is in the history of this comment.*"
        f"{stale if is_pull_request else ''}\n\n{body}"
    )


def closing(date: str, sha: str) -> str:
    """What the comment says when the card was fixed."""
    return (
        f"**Settled on {date}.** The card was changed, and at commit {code(sha)} nothing is left to say. Thank you.\n\n"
        "What was said before is in the history of this comment. This discussion is closed by the bot."
    )


def withdrawal(date: str, reason: str, was: Sequence[Said]) -> str:
    """What the comment says when its statement is taken back."""
    rules = ", ".join(dict.fromkeys(one.rule_id for one in was))
    return defused(
        f"**Withdrawn on {date}.** This comment made a statement ({rules}) that is taken back: "
        f"{prose(shown(reason[:MAX_TEXT]))}\n\n"
        "Please do not rely on what it said. The withdrawal is kept in the log of corrections of whoever runs this "
        "bot; what was said before is in the history of this comment. This discussion is closed by the bot."
    )


def signed(body: str, proposal_id: str) -> str:
    """A body with the hidden marker by which the bot knows its own comment."""
    return f"{body}\n\n<!-- hubdna-bot proposal={proposal_id} -->"


def marker_of(text: str | None) -> str | None:
    """The proposal that a comment was made from: its last line is the marker, or it is not the bot's."""
    lines = (text or "").rstrip().rsplit("\n", 1)
    found = _MARKER.fullmatch(lines[-1])
    return found[1] if found else None


def shown(text: object) -> str:
    """Text of others with everything invisible, and everything that turns reading direction, spelled out."""
    return "".join(_shown(c) for c in str(text))


def defused(markdown: str) -> str:
    """Markdown in which no @ stands before a name."""
    return re.sub(r"@(?=\w)", "@\N{ZERO WIDTH JOINER}", markdown)


def _shown(char: str) -> str:
    if char.isprintable() or char == "\n":
        return char
    return " " if char in "\t\r" else f"U+{ord(char):04X}"


def _quoted(text: str) -> str:
    whole = shown(text[: MAX_TEXT + 1])
    return prose(whole if len(whole) <= MAX_TEXT else whole[:MAX_TEXT] + " ...")


def _finding(finding: Finding) -> Iterator[str]:
    where = f", line {finding.line} of `README.md`" if finding.line else ""
    yield from (f"**{finding.rule_id} {finding.severity}**{where}: {_quoted(finding.message)}", "")
    if finding.evidence:
        yield from ("Evidence:", "")
        yield from (*(f"- {_quoted(line)}" for line in finding.evidence[:MAX_LINES]), "")
    if finding.patch is not None:
        yield from _patch(finding.patch)


def _patch(patch: CardPatch) -> Iterator[str]:
    diff = "\n".join(shown(line) for line in patch.diff.rstrip("\n").split("\n"))
    if len(diff) > MAX_DIFF:
        yield from (f"A patch is too long for a comment; `hubdna audit --fix` makes it: {_quoted(patch.reason)}.", "")
        return
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", diff)), 3)
    yield from (f"A patch, to {_quoted(patch.reason)}:", "", f"{fence}diff", diff, fence, "")


def _how_sure() -> Iterator[str]:
    yield from (
        "**How sure is this?** Where a p-value is given, it bounds the chance that two models which were initialised "
        "independently match this well. An origin in common is not descent: it does not say by itself which model "
        "came first, and both may come from a third. Equal names, sizes or configs played no part.",
        "",
    )


def _computed(audit: Audit) -> Iterator[str]:
    made: Provenance | None = audit.provenance
    at = f" at commit {code(audit.ref.sha)}" if audit.ref.sha else ""
    against = ""
    if made is not None:
        against = (
            f", by hubdna {made.version} on {made.date}, against an index of {made.n_models} models "
            f"(digest {code(made.index_digest)}, scheme {code(made.scheme)})"
        )
    yield from (
        f"**How was it computed?** From the weights and the card{at}{against}. "
        f"Repeat it with {code(f'hubdna audit {shown(audit.ref.repo_id)}')}.",
        "",
    )


def _your_turn(contact: str) -> Iterator[str]:
    reach = f" They can also be reached here: {prose(shown(contact))}." if contact else ""
    yield from (
        "**Is it wrong?** Reply in this discussion: the people who run this bot can correct or withdraw this note, and "
        f"withdrawals are logged.{reach}",
        "",
        f"**No such notes?** Close this discussion, or write `{OPT_OUT_KEY}: false` into the front matter of the card; "
        "the bot then says nothing more about this model. There is one note per model; it is edited when facts change "
        "and closed when the card is fixed. The bot answers nobody, neither people nor other bots.",
    )
