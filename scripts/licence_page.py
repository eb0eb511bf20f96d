"""hubdna/licences/table.toml -> docs/licences.md: what each licence asks of a derived model, with its source.

python scripts/licence_page.py     writes the page; a test compares it with the table
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hubdna.licences import DOUBTS, KINDS, TABLE, Licence

PAGE = Path(__file__).parent.parent / "docs" / "licences.md"
HEAD = """\
# Licences

<!-- written by scripts/licence_page.py; edit that, or hubdna/licences/table.toml -->

What the rules [HD012](rules/HD012.md), [HD013](rules/HD013.md) and [HD014](rules/HD014.md) know of licences: the ids of
the Hub's list ([source](https://huggingface.co/docs/hub/repositories-licenses), November 2026) and common names of
`license: other`.

**This is not legal advice.** The table holds a few facts of each text, chosen to find cards that do not fit together.
It leaves out most of what the texts say. Whether weights are protected by copyright at all, and whether weights made
from weights are an adapted version, depends on the country and is not settled everywhere. Read the text itself; ask a
lawyer where it matters.

## How two licences are compared

`hubdna.licences.step(parent, child)` compares a model's licence with that of the model it was made from:

| verdict | means |
|---|---|
| `fine` | the same licence, one that the parent's accepts, or a parent that asks for no more than a notice |
| `less-restrictive` | the child's allows what the parent's forbids: commercial use, or uses that stay forbidden |
| `incompatible` | the parent's licence does not let derived models carry the child's: share-alike, no derivatives |
| `unclear` | it depends on what two ids do not tell, on a text that was not read, or on law that is not settled |

Whoever wrote a licence is not bound by it: models of its author's accounts, such as `google` of the Gemma terms, are
left out, and so is a parent of the same owner.

A stricter child of a permissive parent is fine. Apache 2.0, MIT, BSD and CC BY are not held against each other: each
asks that notices are kept, which a card does not show.

<!-- python -->
```python
from hubdna.licences import find, step

found = step(find("cc-by-nc-4.0"), find("Apache 2.0"))
print(f"{found.verdict}: cc-by-nc-4.0 {found.why}")
print(step(find("apache-2.0"), find("cc-by-nc-4.0")).verdict)
```

<!-- python output -->
```text
less-restrictive: cc-by-nc-4.0 does not allow commercial use, while apache-2.0 does
fine
```

Spellings are read as a person reads them (`Apache License, Version 2.0`, `llama-3.1`, `GPLv3`), and nothing is guessed:
`cc-by-nc` without a version is no licence of the table.
"""
FOOT = """\
The last column says when a copy of the text, or of the clauses that count, was read. Where it is empty, the facts are
as commonly known, and the address was not opened. A maker's own licence that was not read is marked unclear.
"""
UNASKED = {"public domain": "nothing", "family": "its members differ"}


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_sections()]).rstrip("\n") + "\n"


def _sections() -> Iterator[str]:
    for kind in KINDS:
        rows = [one for one in TABLE.values() if one.kind == kind and kind != "none"]
        if rows:
            yield f"## {kind[0].upper()}{kind[1:]}\n"
            if kind in DOUBTS:
                said = DOUBTS[kind].removeprefix("it ")
                yield f"Findings on them are never more than `info`: such a licence {said}.\n"
            yield "| id | licence | asks of a derived model | source | read |"
            yield "|---|---|---|---|---|"
            yield from (_row(one) for one in rows)
            yield ""
    yield "`unknown` and `other` stand for no licence."
    yield ""
    yield FOOT.rstrip("\n")


def _row(one: Licence) -> str:
    listed = f"`{one.id}`" + ("" if one.hub else " (a `license_name`)")
    spdx = f" ({one.spdx})" if one.spdx and one.spdx.casefold() != one.id else ""
    asks = "; ".join(_asks(one)) or UNASKED.get(one.kind, "its notices are kept")
    cells = [listed, one.name.replace("*", r"\*") + spdx, asks, f"[text]({one.source})", one.read or ""]
    return f"| {' | '.join(cells)} |"


def _asks(one: Licence) -> Iterator[str]:
    said = {
        "no commercial use": not one.commercial,
        "not to be passed on in adapted versions": not one.derivatives,
        "the same licence": one.share_alike,
        "some uses stay forbidden": one.use_restrictions,
        "its text, or its terms, go along": one.passes_on,
        "other terms are possible besides": one.other_terms,
    }
    yield from (words for words, holds in said.items() if holds)
    if one.accepts:
        yield f"also met by {', '.join(f'`{other}`' for other in one.accepts)}"
    if one.threshold:
        yield f"a permission of its own for: {one.threshold}"
    if one.name_begins:
        yield f'a name that begins with "{one.name_begins}"'
    if one.display:
        yield "to show " + " or ".join(f'"{words}"' for words in one.display)
    if one.notice:
        yield f'a Notice file: "{one.notice}"'
    if one.unclear:
        yield f"**unclear**: {one.unclear}"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
