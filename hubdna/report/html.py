"""An audit, or a pair, as one HTML file: what was found, the painting, the family graph, and how to repeat it.

Nothing in it asks for an address; it is read as well without scripts, in light and in dark, and without colours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from hubdna.records import Audit, Comparison, Finding, Match, Painting, Provenance, Severity
from hubdna.report import svg
from hubdna.report.forest import MEANINGS, Layout, Line, lay_out, line
from hubdna.report.html_page import esc, facts, name, page, table
from hubdna.report.html_style import DEFINITIONS
from hubdna.report.painting import painting, unmet
from hubdna.report.text import clean, cost, count, direction, headline, ignored, skipped
from hubdna.report.wording import evidence_lines, explain, receipt

_SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


def audits(results: Iterable[tuple[Audit, Painting]]) -> str:
    """Several audits on one page, each with its painting."""
    done = list(results)
    counts = count([audit for audit, _ in done]).partition(": ")[2]
    head = [f"<h1>Audit of {_number(len(done), 'model')}</h1>", f'<p class="say">{counts}</p>']
    if len(done) > 1:
        links = (f'<li><a href="#m{i}">{name(a.ref)}</a> {_short(a)}</li>' for i, (a, _) in enumerate(done))
        head.append(f"<nav><ul>{''.join(links)}</ul></nav>")
    sections = [part for i, (audit, picture) in enumerate(done) for part in _section(f"m{i}", audit, picture)]
    made = [_computed(p) for p in dict.fromkeys(audit.provenance for audit, _ in done) if p is not None]
    body = [DEFINITIONS, "<header>", *head, "</header>", *sections, "<footer>", *made, "</footer>"]
    return page(f"hubdna: audit of {_number(len(done), 'model')}", body)


def comparison(result: Comparison, picture: Painting, scheme: str, version: str, date: str) -> str:
    """A pair: the verdict, what changed layer by layer, and how to repeat it.

    Args:
        result: the pair and its verdict.
        picture: A painted with B.
        scheme: of the DNA; empty where none was made.
        version: of hubdna.
        date: of today, as ISO 8601 has it.
    """
    v = result.verdict
    grounds = "".join(f"<li>{esc(line)}</li>" for line in explain(v))
    said = f"Undecided: {v.undecided_because}" if v.undecided_because else _capital(headline(v))
    way = f"<p>Direction: {esc(direction(v))}.</p>" if v.origin in ("identical", "common") else ""
    body = [
        DEFINITIONS, "<header>", f"<h1>{name(result.a)} beside {name(result.b)}</h1>",
        f'<p class="say">{esc(said)}.</p>', way, "</header>",
        "<section>", "<h2>Layer by layer</h2>",
        f'<p class="soft">Layers of A, {name(result.a)}, beside those of B, {name(result.b)}.</p>'
        if picture.layers
        else "",
        painting(picture, ["b"], "B"), unmet(picture), "</section>",
        "<section>", "<h2>What the verdict rests on</h2>",
        f'<details id="b" class="relative" open><summary>{name(result.b)}</summary><ul>{grounds or "<li>nothing</li>"}'
        f"</ul></details></section>", "<footer>", "<h3>To repeat this</h3>",
        facts(
            [
                ("A", _model(result.a)), ("B", _model(result.b)),
                ("read", esc(cost(result.n_bytes_read, result.n_requests))), *_tool(scheme, version, date),
            ]
        ),
        "</footer>",
    ]  # fmt: skip
    return page(f"hubdna: {clean(result.a)} beside {clean(result.b)}", body)


def _section(at: str, audit: Audit, picture: Painting) -> Iterator[str]:
    yield f'<section id="{at}">'
    yield f"<h2>{name(audit.ref)}</h2>"
    yield f'<p class="soft">{_revision(audit)}</p>'
    unread = [s for s in audit.skipped if s.subject == str(audit.ref)]
    for one in audit.skipped:
        yield f'<p class="warning">Skipped: {esc(skipped(one))}</p>'
    if not unread:
        yield "<h3>Findings</h3>"
        yield _findings(audit) if audit.findings else f"<p>{_nothing(audit)}</p>"
        yield from (f'<p class="soft">Ignored: {esc(ignored(one))}</p>' for one in audit.ignored)
        if audit.receipt:
            yield f"<h3>Training receipt</h3><p>{esc(_capital(receipt(audit.receipt)))}.</p>"
        yield "<h3>Ancestry painting</h3>"
        yield painting(picture, _links(at, audit.matches, picture))
        yield from _graph(at, audit, picture)
        yield "<h3>Relatives in the index</h3>"
        yield from (_relative(f"{at}-r{i}", match) for i, match in enumerate(audit.matches))
        if not audit.matches:
            yield "<p>Nothing in the index matches this model.</p>"
    yield "</section>"


def _nothing(audit: Audit) -> str:
    if audit.ignored:
        return "No finding but what is ignored."
    return "Nothing to report." if not audit.skipped else "No finding; see above for what was skipped."


def _revision(audit: Audit) -> str:
    if audit.ref.is_local:
        return "local files"
    commit = f"commit <code>{esc(audit.ref.sha)}</code>" if audit.ref.sha else "commit not known"
    return f"revision <code>{esc(audit.ref.revision)}</code>, {commit}"


def _links(at: str, matches: Sequence[Match], picture: Painting) -> list[str]:
    number = {m.ref.repo_id: i for i, m in enumerate(matches)}
    return [f"{at}-r{number[p.ref.repo_id]}" for p in picture.relatives]


def _findings(audit: Audit) -> str:
    heads = (("rule", ""), ("line", "num"), ("finding", "long"))
    rows = [
        [f'<b class="tag {f.severity}">{esc(f.rule_id)} {f.severity}</b>', str(f.line or "-"), _finding(f)]
        for f in audit.findings
    ]
    return table(heads, rows)


def _finding(finding: Finding) -> str:
    lines = "".join(f"<li>{esc(line)}</li>" for line in finding.evidence)
    evidence = f"<details><summary>evidence</summary><ul>{lines}</ul></details>" if lines else ""
    if finding.patch is None:
        return esc(finding.message) + evidence
    diff = "\n".join(esc(line) for line in finding.patch.diff.rstrip("\n").split("\n"))
    patch = f"<details><summary>patch: {esc(finding.patch.reason)}</summary><pre>{diff}</pre></details>"
    return esc(finding.message) + evidence + patch


def _graph(at: str, audit: Audit, picture: Painting) -> Iterator[str]:
    """The family, each box leading to the evidence on it."""
    if picture.family is None:
        return
    layout = lay_out(picture.family)
    where = {m.ref.repo_id: f"#{at}-r{i}" for i, m in enumerate(audit.matches)}
    where |= {picture.ref.repo_id: f"#{at}"}
    yield "<h3>Family graph</h3>"
    yield f'<div class="forest" tabindex="0">{svg.tree(layout, where.get, picture.ref.repo_id)}</div>'
    kinds = _kinds(layout)
    yield f'<ul class="lines">{"".join(f"<li>{svg.sample(k)}{esc(MEANINGS[k])}</li>" for k in kinds)}</ul>'


def _kinds(layout: Layout) -> list[Line]:
    drawn = {line(e) for edges in (*layout.below.values(), layout.beside) for e in edges}
    return [kind for kind in MEANINGS if kind in drawn]


def _relative(at: str, match: Match) -> str:
    lines = "".join(f"<li>{esc(one)}</li>" for one in evidence_lines(match))
    because = f"<li>{esc(match.verdict.undecided_because)}</li>" if match.verdict.undecided_because else ""
    alike = [] if match.verdict.similarity is None else [("similarity", f"{match.verdict.similarity:.3f}")]
    rows = [
        ("direction", esc(_seen_from(match))), *alike, ("published", esc((match.created_at or "not known")[:10])),
        ("commit", f"<code>{esc(match.ref.sha)}</code>" if match.ref.sha else "not known"),
        *((("same weights", ", ".join(name(c) for c in match.copies)),) if match.copies else ()),
    ]  # fmt: skip
    return (
        f'<details class="relative" id="{at}"><summary>{name(match.ref)}<span class="tag-right">'
        f"{esc(headline(match.verdict))}</span></summary><ul>{lines}{because}</ul>{facts(rows)}</details>"
    )


def _seen_from(match: Match) -> str:
    """A match's verdict has the audited model as A."""
    said = direction(match.verdict)
    return said.replace("A from B", "the audited model from this one").replace("B from A", "this one from the audited")


def _short(audit: Audit) -> str:
    found = [f.severity for f in audit.findings]
    if any(s.subject == str(audit.ref) for s in audit.skipped):
        return '<span class="warning">skipped</span>'
    said = ", ".join(f'<span class="{s}">{found.count(s)} {s}</span>' for s in _SEVERITIES if s in found)
    return said or f'<span class="soft">{"ignored" if audit.ignored else "nothing to report"}</span>'


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _number(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _model(ref: object) -> str:
    sha = getattr(ref, "sha", None)
    return name(ref) + (f" at commit <code>{esc(sha)}</code>" if sha else "")


def _tool(scheme: str, version: str, date: str) -> list[tuple[str, str]]:
    made = [("hubdna", esc(version)), ("date", esc(date))]
    return ([("scheme", f"<code>{esc(scheme)}</code>")] if scheme else []) + made


def _computed(made: Provenance) -> str:
    """All but the folder of the index, which is nobody else's business."""
    rows = [
        ("index", f"<code>{esc(made.index_digest)}</code>, {_number(made.n_models, 'model')}"),
        *_tool(made.scheme, made.version, made.date),
        *((("configured", f"<code>{esc(', '.join(made.configuration))}</code>"),) if made.configuration else ()),
    ]
    return "<h3>To repeat this</h3>" + facts(rows)
