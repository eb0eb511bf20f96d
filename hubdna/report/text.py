"""Reports for people, as rich renderables: what was found first, then what it rests on, then what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from hubdna.records import Audit, Comparison, Dna, Finding, Ignored, IndexInfo, Match, Skipped, Verdict
from hubdna.report.wording import explain, p_value, receipt

_COLOURS = {
    "identical": "bold magenta", "common": "bold green", "no-evidence": "cyan", "undecided": "yellow",
    "error": "bold red", "warning": "yellow", "info": "blue",
}  # fmt: skip
_MEANINGS = {
    "identical": "The two hold the same weights.",
    "common": "They share an origin: one was made from the other, both from a third, or both from one initialisation.",
    "no-evidence": "The two look as independently initialised models do. A disguised copy is not excluded.",
    "undecided": "The weights that were read do not settle it.",
}
_RELATIONS = {
    "converted": "under other names or in another layout", "cast": "one is the other, rounded",
    "quantized": "one is the other on a grid", "mask-of": "one is the other with weights set to zero",
    "pruned": "one has weights set to zero", "adapter-merged": "they differ by a change of low rank",
    "depth": "layers were dropped, repeated or moved", "width": "hidden layers have other widths",
    "vocabulary": "token tables of other lengths", "upcycled": "hidden layers became experts",
    "component": "one is a part of the other",
}  # fmt: skip
_WORDS = {"none": "", "likely": "likely ", "certain": "", "attested": "attested "}


def clean(text: object) -> str:
    """Text of others without terminal escapes or other control characters."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in str(text))


def dna(result: Dna) -> RenderableType:
    """A model's DNA at a glance."""
    table = Table(title=f"Weight DNA of {escape(clean(result.ref))}", title_justify="left")
    for column in ("layer", "view", "role", "shape", "units", "tensor"):
        table.add_column(column, overflow="fold")
    for gene in result.genes[:40]:
        shape = "x".join(str(n) for n in gene.shape)
        layer = "" if gene.layer < 0 else str(gene.layer)
        table.add_row(
            layer, gene.view, gene.role, shape, f"{int(gene.live.sum())} of {gene.n_units}", escape(clean(gene.tensor))
        )
    more = f"... and {len(result.genes) - 40} more genes\n" if len(result.genes) > 40 else ""
    aside = ", ".join(f"{n} {reason}" for reason, n in result.reasons.items())
    facts = f"{more}scheme   {clean(result.scheme)}\ncost     {cost(result.n_bytes_read, result.n_requests)}"
    return Group(table, Text(facts + (f"\nset aside  {aside}" if aside else "") + _choice(result)))


def _choice(result: Dna) -> str:
    """Which files were read, and which were not."""
    if result.choice is None:
        return ""
    files = result.choice.files
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    lines = [
        f"\nread     {clean(files[0])}{more}" + (f" ({clean(result.quantization)})" if result.quantization else "")
    ]
    lines += [f"\nnote     {clean(result.choice.note)}"] if result.choice.note else []
    lines += [f"\nnot read {skipped(s)}" for s in result.choice.rejected[:10]]
    return "".join(lines)


def comparison(result: Comparison) -> RenderableType:
    """One pair, explained."""
    v = result.verdict
    lines = [
        Text.assemble("A  ", (clean(result.a), "bold")),
        Text.assemble("B  ", (clean(result.b), "bold")),
        Text(),
        Text.assemble("Verdict     ", (headline(v), _COLOURS[v.origin])),
        Text(f"            {_MEANINGS[v.origin]}"),
    ]
    if v.undecided_because:
        lines.append(Text(f"because     {clean(v.undecided_because)}"))
    lines += [Text(f"{'rests on' if i == 0 else '':12}{line}") for i, line in enumerate(explain(v))]
    if v.similarity is not None:
        lines.append(
            Text(f"similarity  {v.similarity:.3f} (correlation of the units compared; says nothing by itself)")
        )
    if v.disguise:
        lines.append(Text(f"disguise    {', '.join(v.disguise)}"))
    if v.origin in ("identical", "common"):
        lines.append(Text(f"direction   {direction(v)}"))
    if v.origin == "no-evidence" and v.evidence.detectable is not None:
        lines.append(Text(f"power       a correlation of {v.evidence.detectable:.2f} would have shown"))
    return Group(*lines, Text(f"cost        {cost(result.n_bytes_read, result.n_requests)}"))


def headline(v: Verdict) -> str:
    """`common origin (p <= 1e-35), cast`."""
    name = {"identical": "identical", "common": "common origin", "no-evidence": "no evidence of a common origin"}
    text = name.get(v.origin, f"undecided: {(v.undecided_because or '').partition(':')[0]}")
    if v.origin in ("common", "no-evidence"):
        text += f" ({p_value(v.log10_p)})"
    return text + (f", {_RELATIONS.get(v.relation, v.relation)}" if v.relation and v.relation != v.origin else "")


def direction(v: Verdict) -> str:
    """Who came from whom, or that this is not known."""
    if v.direction == "undirected" and v.evidence.receipts:
        return "undirected: what speaks for a direction contradicts itself"
    if v.direction == "undirected":
        return "undirected: the weights do not show which came first"
    return f"{_WORDS[v.certainty]}{'A from B' if v.direction == 'a-from-b' else 'B from A'}"


def matches(model: Dna, found: Sequence[Match], where: str, paid: tuple[int, int] = (0, 0)) -> RenderableType:
    """Relatives of one model; paid is (bytes, requests)."""
    table = Table(title=f"Nearest relatives of {escape(clean(model.ref))}", title_justify="left")
    for column, justify in (
        ("#", "right"),
        ("model", "left"),
        ("verdict", "left"),
        ("similarity", "right"),
        ("published", "left"),
    ):
        table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for m in found:
        similarity = "" if m.verdict.similarity is None else f"{m.verdict.similarity:.3f}"
        verdict = Text(headline(m.verdict), _COLOURS[m.verdict.origin])
        table.add_row(str(m.rank), _with_copies(m), verdict, similarity, escape(clean(m.created_at or "")[:10]))
    body: RenderableType = table if found else Text(_nothing_found(model))
    return Group(body, Text(f"Looked in {where}. Read {cost(*paid)}."))


def _nothing_found(model: Dna) -> str:
    """That there is no relative, or that of this model none but a copy can be found."""
    if model.genes:
        return f"No relatives of {clean(model.ref)} were found."
    why = ", ".join(f"{n} {reason}" for reason, n in model.reasons.items())
    aside = f" (tensors set aside: {why})" if why else ""
    return (
        f"No exact copies of {clean(model.ref)} were found. Other relatives cannot be: nothing of it can be"
        f" tested{aside}."
    )


def _with_copies(match: Match) -> str:
    """`org/name`, and below it how many others hold the same weights."""
    n = len(match.copies)
    more = f"\nand {n} identical cop{'y' if n == 1 else 'ies'}" if n else ""
    return escape(clean(match.ref) + more)


def audits(results: Iterable[Audit]) -> RenderableType:
    """Findings of several audits, then a count."""
    done = list(results)
    return Group(*map(_audit, done), Text(count(done), "bold"))


def count(done: Sequence[Audit]) -> str:
    """`2 models audited: 0 error, 1 warning, 0 info, 1 ignored`."""
    found = [finding.severity for audit in done for finding in audit.findings]
    counts = [f"{found.count(severity)} {severity}" for severity in ("error", "warning", "info")]
    n_ignored = sum(len(audit.ignored) for audit in done)
    counts += [f"{n_ignored} ignored"] if n_ignored else []
    return f"{len(done)} model{'s' if len(done) != 1 else ''} audited: {', '.join(counts)}"


def summary(done: Sequence[Audit]) -> Iterator[str]:
    """What was found, a line each, and a count: for whoever has the report in a file."""
    for audit in done:
        yield from (clean(f"{audit.ref}: skipped: {one.reason}") for one in audit.skipped)
        yield from (clean(f"{audit.ref}: {f.rule_id} {f.severity}: {f.message}") for f in audit.findings)
        yield from (f"{clean(audit.ref)}: ignored: {ignored(one)}" for one in audit.ignored)
    yield count(done)


def _audit(audit: Audit) -> RenderableType:
    lines: list[RenderableType] = [Text(clean(audit.ref), "bold")]
    lines += [Text(f"  skipped: {skipped(s)}", "yellow") for s in audit.skipped]
    lines += [_finding(f) for f in audit.findings]
    lines += [Text(f"  receipt: {clean(receipt(audit.receipt))}", "dim")] if audit.receipt else []
    lines += [Text(f"  ignored: {ignored(i)}", "dim") for i in audit.ignored]
    if not audit.findings and not audit.skipped and not audit.ignored:
        lines.append(Text("  nothing to report", "green"))
    return Group(*lines, Text())


def _finding(finding: Finding) -> RenderableType:
    where = f"README.md:{finding.line}  " if finding.line else ""
    head = Text.assemble(
        "  ",
        (f"{finding.rule_id} {finding.severity}", _COLOURS[finding.severity]),
        f"  {where}{clean(finding.message)}",
    )
    evidence = [Text(f"      {clean(line)}", "dim") for line in finding.evidence]
    patch = finding.patch.diff.split("\n")[2:] if finding.patch else []
    diff = [
        Text(f"      {clean(line)}", "green" if line[0] == "+" else "red") for line in patch if line[:1] in ("+", "-")
    ]
    return Group(head, *evidence, *diff)


def ignored(one: Ignored) -> str:
    """`HD001 warning at README.md:23: message (the reason; until 2027-01-31)`."""
    f = one.finding
    where = f" at README.md:{f.line}" if f.line else ""
    until = f"; until {one.until}" if one.until else ""
    return clean(f"{f.rule_id} {f.severity}{where}: {f.message} ({one.reason}{until})")


def index_info(info: IndexInfo, skips: Sequence[Skipped]) -> RenderableType:
    """An index at a glance."""
    kind = " (published: sketches and hashes, no rows)" if info.published else ""
    facts = (
        f"index    {info.location}\nmodels   {info.n_models}{kind}\nskipped  {info.n_skipped}\n"
        f"crawl    {info.last_crawl or 'never'}\n"
        f"size     {info.n_bytes / 1e6:.1f} MB\nscheme   {info.scheme}\ndigest   {info.digest}"
    )
    return Group(Text(facts), *(Text(f"  {skipped(s)}", "dim") for s in skips[:20]))


def skipped(one: Skipped) -> str:
    """`subject: reason`; most reasons name their subject themselves."""
    return clean(one.reason if one.reason.startswith(one.subject) else f"{one.subject}: {one.reason}")


def cost(n_bytes: int, n_requests: int) -> str:
    """`2.17 MB in 8 requests`."""
    return f"{n_bytes / 1e6:.2f} MB in {n_requests} request{'s' if n_requests != 1 else ''}"
