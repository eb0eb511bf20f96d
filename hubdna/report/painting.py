"""A painting as HTML: a row a layer, its bar in the pattern of the relative that the layer matches.

The bar of a layer is as long as its correlation, from 0 to 1; of a merge it is cut by the parents' shares. Half its
height means that no test could be run and exact weights resemble each other. Every row opens to its figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import takewhile

from hubdna.records import LayerEvidence, LayerState, Painted, Painting
from hubdna.report.html_page import esc, name, table
from hubdna.report.html_style import LETTERS
from hubdna.report.wording import p_value

HEIGHT = 20
MAX_ROWS = 400
"""Layers drawn; more would make a page that no browser scrolls well."""
_SHORT = 2
"""Per cent of the bar's length that is left of a tiny correlation."""

MEANINGS: dict[LayerState, str] = {
    "same": "all that was compared is equal, bit for bit",
    "shared": "shares its origin: the layer's own test passes the line",
    "alike": "resembles it; no test could be run here, so there is no p-value",
    "open": "undecided: between the lines of the test",
    "none": "matches none: tested, and a correlation of 0.3 would have shown",
    "unlike": "resembles none; no test could be run here",
    "untested": "not tested: too little to test, or disguised",
}
_SAYS: dict[LayerState, str] = {
    "same": "equal bits", "shared": "shares its origin", "alike": "resembles, no test", "open": "undecided",
    "none": "matches none", "unlike": "resembles none, no test", "untested": "not tested",
}  # fmt: skip
_VIEWS = {"rows": "by their weights", "response": "by their response to the same inputs"}


def painting(picture: Painting, links: Sequence[str], letters: str = LETTERS) -> str:
    """The picture with its legend.

    Args:
        picture: what to draw; with a note in place of layers it is that sentence.
        links: for each relative, where in the page its evidence is.
        letters: for each relative its letter and pattern.
    """
    if picture.note:
        return f"<p>No painting: {esc(picture.note)}.</p>"
    if not picture.layers:
        return "<p>No painting: no matrix of this model could be looked at.</p>"
    labels = _labels(picture.layers)
    rows = [_row(picture, i, labels[i], letters) for i in range(min(len(picture.layers), MAX_ROWS))]
    more = len(picture.layers) - MAX_ROWS
    left = f'<p class="soft">and {more} more layers</p>' if more > 0 else ""
    lengths = "shares of the parents" if _is_sum(picture) else "correlation, 0 to 1"
    heads = (
        f'<div class="row heads" aria-hidden="true"><span>layer</span><span>{lengths}</span><span>matches</span>'
        '<span class="num optional">correlation</span><span class="num optional">p, paid</span></div>'
    )
    return "\n".join(
        [
            f'<p class="say">{summary(picture, letters)}</p>', _legend(picture, links, letters),
            f'<div class="painting">{heads}', *rows, left, "</div>", f'<p class="soft">{_paid(picture)}</p>',
        ]
    )  # fmt: skip


def summary(picture: Painting, letters: str = LETTERS) -> str:
    """The picture in a sentence, as HTML."""
    n = len(picture.layers)
    if not picture.relatives:
        return f"Nothing in the index matches this model: none of its {_layers(n)} is painted."
    counts = Counter(owner for owner in picture.owners if owner is not None)
    named = [f"{letters[r]}, {name(p.ref)}" for r, p in enumerate(picture.relatives)]
    said = []
    if _is_sum(picture):
        members = " and ".join(f"{letters[r]} ({name(picture.relatives[r].ref)})" for r in _members(picture))
        said.append(f"The weights are sums of those of {members}, to rounding: bars are cut by their shares.")
    elif list(counts.values()) == [n]:
        said.append(f"{'The one layer matches' if n == 1 else f'All {n} layers match'} {named[next(iter(counts))]}.")
    elif counts:
        parts = [f"{k} match{'es' if k == 1 else ''} {named[r]}" for r, k in sorted(counts.items())]
        said.append(f"Of {_layers(n)} " + "; ".join(parts) + ".")
    return " ".join([*said, *_leftover(picture)])


def _layers(n: int) -> str:
    return f"{n} layer{'' if n == 1 else 's'}"


def _is_sum(picture: Painting) -> bool:
    return picture.mixture is not None and picture.mixture.kind == "linear"


def _members(picture: Painting) -> list[int]:
    return [r for r, p in enumerate(picture.relatives) if any(share is not None for share in p.shares)]


def _leftover(picture: Painting) -> Iterator[str]:
    """Sentences on the layers that no relative has."""
    rest = Counter(_state(picture, i) for i, owner in enumerate(picture.owners) if owner is None)
    if k := rest["none"]:
        yield f"{_layers(k)} match{'es' if k == 1 else ''} none: trained anew, or from elsewhere."
    if k := rest["open"]:
        yield f"{_layers(k)} {'is' if k == 1 else 'are'} undecided."
    if k := rest["unlike"]:
        yield f"{_layers(k)} resemble{'s' if k == 1 else ''} none, without a test."
    if k := rest["untested"]:
        yield f"{_layers(k)} could not be tested."


def _labels(layers: Sequence[str]) -> list[str]:
    """Names without the words that all of them begin with, but for the last of these."""
    parts = [layer.split(".") for layer in layers]
    n_shared = len(list(takewhile(lambda words: len(set(words)) == 1, zip(*parts, strict=False))))
    start = max(0, min(n_shared, *(len(p) - 1 for p in parts)) - 1) if len(parts) > 1 else 0
    return [".".join(p[start:]) for p in parts]


def _state(picture: Painting, layer: int) -> LayerState:
    """What a layer says as a whole: of its owner, else the most that any relative leaves open."""
    owner = picture.owners[layer]
    if owner is not None:
        return picture.relatives[owner].states[layer]
    states = {p.states[layer] for p in picture.relatives}
    return next((state for state in ("open", "none", "unlike") if state in states), "untested")


def _paid(picture: Painting) -> str:
    if not picture.relatives:
        return "No layer was compared: the index holds no relative."
    if not picture.n_tests:
        return "No layer could be tested by itself."
    others = "" if picture.n_looked < 2 else f" of {picture.n_looked} relatives"
    return (
        f"Each p-value is of one layer alone, and paid for all {picture.n_tests} tests of all layers{others} "
        "(Bonferroni). It says that independently initialised layers would match this often. A match is an origin in "
        "common, and no direction. Layers that were not read are not drawn."
    )


def unmet(picture: Painting) -> str:
    """Of a pair, what the other model has beside: a sentence as HTML, or nothing."""
    if not picture.unmet:
        return ""
    named = ", ".join(f"<code>{esc(layer)}</code>" for layer in picture.unmet[:MAX_ROWS])
    return f"<p>Layers of B that none of A's was compared with: {named}.</p>"


def _row(picture: Painting, i: int, label: str, letters: str) -> str:
    owner, state = picture.owners[i], _state(picture, i)
    one = None if owner is None else picture.relatives[owner].layers[i]
    alike = None if one is None else _correlation(one)
    if shares := _shares(picture, i):
        bar = _mixed(shares, letters)
        who = " ".join(f'<span class="one">{letters[r]} {share:.2f}</span>' for r, share in shares)
    elif not picture.relatives:
        bar, who = _frame(), "-"
    elif owner is None:
        bar, who = _hole(state), {"none": "none", "unlike": "none", "open": "?"}.get(state, "-")
    else:
        bar = _single(letters[owner], alike or 0.0, state)
        who = letters[owner] + (" =" if state == "same" else "")
    p = "" if one is None or one.log10_p is None else p_value(one.log10_p).removeprefix("p <= ")
    whole = esc(picture.layers[i])
    cells = [
        f'<span class="layer-name" title="{whole}">{name(label)}</span>',
        f'<svg class="bar" height="{HEIGHT}" role="img" aria-label="{whole}: {MEANINGS[state]}">{bar}</svg>',
        f'<span class="who">{who}</span>',
        f'<span class="num optional">{"" if alike is None else f"{alike:.3f}"}</span>',
        f'<span class="num optional">{esc(p)}</span>',
    ]
    row = f'<summary class="row">{"".join(cells)}</summary>'
    return f'<details class="layer">{row}<div>{_figures(picture, i, letters)}</div></details>'


def _shares(picture: Painting, i: int) -> list[tuple[int, float]]:
    """(relative, share) of a layer that is a sum of several."""
    if not _is_sum(picture):
        return []
    given = [(r, p.shares[i]) for r, p in enumerate(picture.relatives)]
    return [(r, share) for r, share in given if share is not None]


def _mixed(shares: list[tuple[int, float]], letters: str) -> str:
    """Side by side; a share below nothing is drawn by its size, and told with its sign."""
    total = sum(abs(share) for _, share in shares) or 1.0
    parts, at = [], 0.0
    for r, share in shares:
        width = 100 * abs(share) / total
        parts.append(_piece(letters[r], at, width, HEIGHT))
        parts += [_letter(letters[r], at + 1)] if width > 6 else []
        at += width
    return "".join(parts)


def _single(letter: str, alike: float, state: LayerState) -> str:
    width = 100.0 if state == "same" else max(_SHORT, 100 * min(alike, 1.0))
    height = HEIGHT / 2 if state == "alike" else HEIGHT
    return _frame() + _piece(letter, 0, width, height) + _letter(letter + (" =" if state == "same" else ""), 1)


def _hole(state: LayerState) -> str:
    words = {"none": "matches none", "unlike": "resembles none", "open": "undecided", "untested": "not tested"}[state]
    frame = '<rect class="hole" x="1" y="1" width="99.5%" height="18" rx="3"/>'
    fill = "" if state in ("none", "unlike") else _piece("gap", 0, 100, HEIGHT if state == "open" else 4)
    return frame * (state != "untested") + fill + f'<text class="quiet" x="1%" y="14">{words}</text>'


def _frame() -> str:
    return '<rect class="frame" x="0.5" y="0.5" width="99.5%" height="19"/>'


def _piece(key: str, at: float, width: float, height: float) -> str:
    y = (HEIGHT - height) / 2
    return f'<rect x="{at:.1f}%" y="{y:g}" width="{width:.1f}%" height="{height:g}" fill="url(#p{key})"/>'


def _letter(text: str, at: float) -> str:
    return f'<text x="{at:.1f}%" y="14">{text}</text>'


def _correlation(one: LayerEvidence) -> float | None:
    return one.similarity if one.similarity is not None else one.resemblance


def _figures(picture: Painting, i: int, letters: str) -> str:
    heads = (
        ("", ""), ("relative", ""), ("its layer", ""), ("says", "says"), ("units matched", "num"), ("p, paid", "num"),
        ("correlation", "num"), ("rows equal", "num"), ("exact weights equal", "num"), ("their correlation", "num"),
        ("their change", "num"),
    )  # fmt: skip
    rows = [_cells(letters[r], p, i) for r, p in enumerate(picture.relatives)]
    return f"<p><code>{esc(picture.layers[i])}</code></p>" + (
        table(heads, rows) if rows else "<p>No relative to compare it with.</p>"
    )


def _cells(letter: str, painted: Painted, i: int) -> list[str]:
    one = painted.layers[i]
    units = "-" if one.view is None else f"{one.fixed_points} of {one.n_units}"
    how = "" if one.view is None else f"; {_VIEWS.get(one.view, one.view)}"
    return [
        letter,
        name(painted.ref),
        f"<code>{esc(one.other)}</code>" if one.other else "-",
        _SAYS[painted.states[i]] + how,
        units,
        "-" if one.log10_p is None else p_value(one.log10_p).removeprefix("p <= "),
        "-" if one.similarity is None else f"{one.similarity:.4f}",
        f"{one.n_rows_equal} of {one.n_rows}" if one.n_rows else "-",
        f"{one.n_weights_equal} of {one.n_weights}" if one.n_weights else "-",
        "-" if one.resemblance is None else f"{one.resemblance:.4f}",
        "-" if one.change is None else f"{one.change:.1%}",
    ]


def _legend(picture: Painting, links: Sequence[str], letters: str) -> str:
    """Patterns that are drawn, then what their shapes say; relatives that no layer is drawn with in one line."""
    drawn = {o for o in picture.owners if o is not None} | set(_members(picture))
    items, others = [], []
    for r, painted in enumerate(picture.relatives):
        link = f'{letters[r]}: <a href="#{links[r]}">{name(painted.ref)}</a>'
        if r not in drawn:
            others.append(link)
            continue
        swatch = f'<rect width="46" height="{HEIGHT}" fill="url(#p{letters[r]})"/>{_letter(letters[r], 10)}'
        items.append(f"{_swatch(swatch)}<span>{link}{_role(painted)}</span>")
    states = {_state(picture, i) for i in range(len(picture.layers))} if picture.relatives else set()
    items += [_swatch(_sample(state)) + f"<span>{esc(MEANINGS[state])}</span>" for state in MEANINGS if state in states]
    rest = f'<p class="soft">Compared as well, in the figures of each layer: {", ".join(others)}.</p>' if others else ""
    return (f'<div class="legend">{"".join(items)}</div>' if items else "") + rest


def _swatch(inner: str) -> str:
    return f'<svg class="swatch" width="46" height="{HEIGHT}" aria-hidden="true">{inner}</svg>'


def _sample(state: LayerState) -> str:
    full = {"same": 20, "shared": 20, "alike": 10, "open": 20, "untested": 4}.get(state)
    fill = "" if full is None else _piece("gap", 0, 100, full)
    frame = (
        '<rect class="hole" x="1" y="1" width="44" height="18" rx="3"/>' if state in ("none", "unlike", "open") else ""
    )
    return frame + fill + {"same": _letter("=", 35), "open": _letter("?", 38)}.get(state, "")


def _role(painted: Painted) -> str:
    told = [share for share in painted.shares if share is not None]
    if told:
        return f', <span class="soft">share {sum(told) / len(told):.2f} of the weights on average</span>'
    words = {
        "identical": "holds the same weights", "common": "shares its origin with the model",
        "no-evidence": "no evidence of a common origin", "undecided": "undecided",
    }[painted.verdict.origin]  # fmt: skip
    return f', <span class="soft">{words}</span>'
