"""A patch changes what it says and not one byte more: comments, order, quotes, indents, line ends, byte order mark."""

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from hubdna.card import apply, patch_base_model, read_claim, suggest
from hubdna.errors import CardError
from hubdna.records import CardEdit, CardPatch

DEMO_CARDS = sorted((Path(__file__).parent.parent / "hubdna/demo/models").glob("*/*/README.md"))


def edited(text: str, *edits: CardEdit) -> str:
    return apply(text, CardPatch("because", "", edits))


def bases(action: str, *names: str) -> CardEdit:
    return CardEdit("base_model", action, names)


def data(text: str) -> dict:
    """What the front matter says, by ruamel.yaml's own loader and not by the code under test."""
    front = re.match(r"\ufeff?\s*---[ \t]*\r?\n(.*?)^---", text, re.DOTALL | re.MULTILINE)
    return dict((front and YAML(typ="safe", pure=True).load(front[1])) or {})


def git_applied(text: str, diff: str, folder: Path) -> str:
    if text:
        (folder / "README.md").write_bytes(text.encode())
    command = ["git", "apply", "--unsafe-paths", "--whitespace=nowarn", "-"]
    subprocess.run(command, cwd=folder, input=diff.encode(), check=True)
    return (folder / "README.md").read_bytes().decode()


X, XY = bases("set", "acme/x"), bases("set", "acme/x", "acme/y")
ADD, DROP, KEY = bases("add", "acme/x"), bases("remove", "old/a"), bases("remove")

BY_HAND = [
    # one value for another: quotes, blanks, comments stay
    ("base_model: old/a", X, "base_model: acme/x"),
    ("base_model:    old/a   # why", X, "base_model:    acme/x   # why"),
    ("base_model: 'old/a'", X, "base_model: 'acme/x'"),
    ('base_model: "old/a"', X, 'base_model: "acme/x"'),
    ("'base_model' : old/a", X, "'base_model' : acme/x"),
    ('"base_model": old/a', X, '"base_model": acme/x'),
    ("? base_model\n: old/a", X, "? base_model\n: acme/x"),
    ("base_model:\n  old/a", X, "base_model:\n  acme/x"),
    ("base_model: >-\n  old/a\n\nx: 1", X, "base_model: acme/x\n\nx: 1"),
    ("base_model: |\n  old/a\n# c\nx: 1", X, "base_model: acme/x\n# c\nx: 1"),
    ("base_model:\told/a", X, "base_model:\tacme/x"),
    ("base_model: !!str old/a", X, "base_model: acme/x"),
    ("base_model: https://huggingface.co/acme/x", X, "base_model: acme/x"),
    ("base_model: 'acme/x '", X, "base_model: 'acme/x'"),
    ("base_model: 7", X, "base_model: acme/x"),
    ("base_model: {a: b}", X, "base_model: acme/x"),
    ("base_model:\n  name: old/a\n  by: me\nx: 1", X, "base_model:\n  acme/x\nx: 1"),
    ("{license: mit, base_model: old/a}", X, "{license: mit, base_model: acme/x}"),
    ("{license: mit, base_model: [old/a, old/b]}", X, "{license: mit, base_model: [acme/x]}"),
    ("tags: [&t old/a]\nbase_model: *t", X, "tags: [&t old/a]\nbase_model: acme/x"),
    ("a: &a {b: 1}\nc: *a\nbase_model: old/a", X, "a: &a {b: 1}\nc: *a\nbase_model: acme/x"),
    # nothing, and something
    ("base_model:", X, "base_model: acme/x"),
    ("base_model: # why", X, "base_model: acme/x # why"),
    ("base_model:\n# c\nx: 1", X, "base_model: acme/x\n# c\nx: 1"),
    ("base_model: null # none", X, "base_model: acme/x # none"),
    ("base_model: ~", XY, "base_model: [acme/x, acme/y]"),
    ("base_model: []", X, "base_model: [acme/x]"),
    ("base_model: ''", X, "base_model: 'acme/x'"),
    ("license: mit", X, "license: mit\nbase_model: acme/x"),
    ("license: mit # c\n# d", X, "license: mit # c\n# d\nbase_model: acme/x"),
    ("  license: mit\n  x: 1", X, "  license: mit\n  x: 1\n  base_model: acme/x"),
    ("license: mit\n\n", XY, "license: mit\n\n\nbase_model:\n- acme/x\n- acme/y"),
    ("x: |+\n  text\n\n", X, "x: |+\n  text\n\n\nbase_model: acme/x"),
    ("x: |\n  base_model: trap\n  ---", X, "x: |\n  base_model: trap\n  ---\nbase_model: acme/x"),
    ("nested:\n  base_model: stays", X, "nested:\n  base_model: stays\nbase_model: acme/x"),
    ("# only a comment", X, "# only a comment\nbase_model: acme/x"),
    ("Base_Model: old/a", X, "Base_Model: old/a\nbase_model: acme/x"),
    # lists
    ("base_model:\n- old/a", X, "base_model:\n- acme/x"),
    ("base_model: # c\n# d\n- 'old/a' # e\n# f\nx: 1", X, "base_model: # c\n# d\n- 'acme/x' # e\n# f\nx: 1"),
    ("base_model:\n  -   old/a\n  -   old/b # b\nx: 1", X, "base_model:\n  -   acme/x\nx: 1"),
    ("base_model:\n- old/a\n\n# c\n- old/b", X, "base_model:\n- acme/x\n\n# c"),
    ("base_model:\n-\n  old/a\nx: 1", XY, "base_model:\n-\n  acme/x\n- acme/y\nx: 1"),
    ("base_model:\n- acme/x\n- old/a", XY, "base_model:\n- acme/x\n- acme/y"),
    ("base_model:\n- acme/y", XY, "base_model:\n- acme/x\n- acme/y"),
    ("base_model:\n- - old/a\n- 7", X, "base_model:\n- acme/x"),
    ("base_model: [old/a,  'old/b' ]", XY, "base_model: [acme/x,  'acme/y' ]"),
    ("base_model: [\n  old/a,\n  old/b\n]", X, "base_model: [\n  acme/x\n]"),
    ("base_model: old/a # c", XY, "base_model: [acme/x, acme/y] # c"),
    # add
    ("base_model: old/a # c", ADD, "base_model: [old/a, acme/x] # c"),
    ("base_model: 'old/a'", ADD, "base_model: ['old/a', 'acme/x']"),
    ("base_model: >\n  old/a\nx: 1", ADD, "base_model: [old/a, acme/x]\nx: 1"),
    ("base_model:\n- old/a # c\n# d\nx: 1", ADD, "base_model:\n- old/a # c\n- acme/x\n# d\nx: 1"),
    ('base_model:\n  - "old/a"', ADD, 'base_model:\n  - "old/a"\n  - "acme/x"'),
    ("base_model: [old/a]", ADD, "base_model: [old/a, acme/x]"),
    ("base_model: [old/a,]", ADD, "base_model: [old/a, acme/x,]"),
    ("base_model: [7, old/a]", ADD, "base_model: [7, old/a, acme/x]"),
    ("base_model:\n- old/a\n- old/a", ADD, "base_model:\n- old/a\n- old/a\n- acme/x"),
    ("base_model: [acme/x.git]", ADD, "base_model: [acme/x.git]"),
    ("base_model: https://hf.co/acme/x", ADD, "base_model: https://hf.co/acme/x"),
    ("license: mit", ADD, "license: mit\nbase_model: acme/x"),
    # remove
    ("base_model: old/a # c\nx: 1", DROP, "x: 1"),
    ("base_model: other/a\nx: 1", DROP, "base_model: other/a\nx: 1"),
    ("# top\nbase_model:\n- old/a # c\n# d\n- old/b\nx: 1", DROP, "# top\nbase_model:\n# d\n- old/b\nx: 1"),
    ("base_model: [old/a, old/b]", DROP, "base_model: [old/b]"),
    ("base_model: [old/b, old/a]", DROP, "base_model: [old/b]"),
    ("base_model: [b/b, old/a, c/c]", DROP, "base_model: [b/b, c/c]"),
    ("base_model: [old/a]\nx: 1", DROP, "x: 1"),
    ("base_model: ['old/a.git', b/b]", DROP, "base_model: [b/b]"),
    ("x: 1\nbase_model:\n  # c\n  - a/b\n\n  - c/d # d\ny: 2", KEY, "x: 1\n  # c\n\ny: 2"),
    ("x: 1\nbase_model:\ny: 2", KEY, "x: 1\ny: 2"),
    ("x: 1\nbase_model: >-\n  a/b\n\ny: 2", KEY, "x: 1\n\ny: 2"),
    ("base_model: {a: b,\n  c: d}\ny: 2", KEY, "y: 2"),
    ("license: mit", KEY, "license: mit"),
    # the other keys
    ("license: mit # c", CardEdit("license", "set", ("apache-2.0",)), "license: apache-2.0 # c"),
    ("license:\n- 'mit'", CardEdit("license", "set", ("apache-2.0",)), "license:\n- 'apache-2.0'"),
    ("x: 1", CardEdit("license", "set", ("no",)), 'x: 1\nlicense: "no"'),
    ("license: mit\nx: 1", CardEdit("license", "remove"), "x: 1"),
    ("license: mit\nx: 1", CardEdit("license", "remove", ("gpl",)), "license: mit\nx: 1"),
    ("x: 1", CardEdit("base_model_relation", "set", ("merge",)), "x: 1\nbase_model_relation: merge"),
    (
        "base_model_relation: finetune",
        CardEdit("base_model_relation", "set", ("adapter",)),
        "base_model_relation: adapter",
    ),
]
BODIES = ["# A model\n\n---\nbase_model: in the text\n---\n", "# no line end", ""]


@pytest.mark.parametrize("mark", ["", "\ufeff", "\n \n"], ids=["plain", "mark", "blanks"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize(("front", "edit", "wanted"), BY_HAND)
def test_an_edit_leaves_every_other_byte_alone(front: str, edit: CardEdit, wanted: str, end: str, mark: str) -> None:
    for body in BODIES:
        text, result = (f"{mark}---\n{f}\n---\n{body}".replace("\n", end) for f in (front, wanted))
        if not wanted:
            result = f"{mark}---\n---\n{body}".replace("\n", end)
        assert edited(text, edit) == result
        assert edited(result, edit) == result, "a second time"


REFUSED = [
    ("base_model: &a old/a\nx: *a", X, "expected a value without an anchor, found &a"),
    ("base_model: &a old/a\nx: *a", KEY, "cannot be made safely: then front matter has the alias"),
    ("base_model:\n- &a old/a\n- old/b", DROP, "expected an entry without an anchor"),
    ("base_model: &l\n- old/a\nx: *l", X, "other keys would change"),
    ("base_model: [\n  old/a, # why\n  old/b\n]", X, "expected entries without comments between them"),
    ("base_model: [\n  old/a, # why\n  old/b\n]", KEY, "expected a value without comments inside"),
    ("base_model:\n  name: old/a # c\n  by: me", X, "found one with a comment inside"),
    ("{license: mit}", X, "found braces; add base_model by hand"),
    ("{license: mit, base_model: old/a}", KEY, "expected base_model on a line of its own"),
    ("? base_model\n: old/a", KEY, "expected base_model on a line of its own"),
    ("base_model: {a: b}", ADD, "expected names, found a value that is none"),
    ("base_model: 7", ADD, "expected names, found a value that is none"),
    ("keep: |+\n  text\nbase_model: old/a\n\nx: 1", KEY, "other keys would change"),
    ("x: |\n  text\nbase_model:\n  - old/a\n  # c\n  - old/b", KEY, "other keys would change"),
    ("- a", X, "not a mapping"),
    ("a: [", X, "not YAML"),
    ("a: b\n...", X, "cannot be made safely"),
    ("base_model: a/b\nbase_model: c/d", X, "duplicate key 'base_model' on lines 2 and 3"),
    ("a: *b", X, "alias"),
    ("license: mit", bases("set"), "expected at least one value, found none"),
    ("license: mit", bases("set", ""), "expected a name that can be read back"),
    ("license: mit", bases("set", "a\nb"), "expected a name that can be read back"),
    ("license: mit", bases("set", " a/b"), "expected a name that can be read back"),
    ("license: mit", bases("set", "a/b\u200b"), "expected a name that can be read back"),
    ("license: mit", bases("set", "a/b.git"), "expected a name that can be read back"),
    ("license: mit", bases("set", "a\x1b[0m"), "expected a name that can be read back"),
    ("license: mit", bases("set", "a" * 1000), "expected a name that can be read back"),
    ("license: mit", CardEdit("license", "add", ("gpl",)), "expected one value to set or remove"),
    ("license: mit", CardEdit("license", "set", ("gpl", "mit")), "expected one value to set or remove"),
    ("license: mit", CardEdit("tags", "set", ("x",)), "of a key that is patched"),  # type: ignore[arg-type]
]  # fmt: skip


@pytest.mark.parametrize(("front", "edit", "reason"), REFUSED)
def test_what_is_not_safe_is_refused_with_its_reason(front: str, edit: CardEdit, reason: str) -> None:
    text = f"---\n{front}\n---\n# A model\n"
    with pytest.raises(CardError, match=r"^README\.md:") as caught:
        edited(text, edit)
    assert reason in str(caught.value)
    if edit.key == "base_model" and edit.action == "set":
        assert patch_base_model(text, edit.values, "because") is None


def test_a_refused_edit_undoes_the_ones_before_it() -> None:
    with pytest.raises(CardError):
        edited("---\nx: 1\n---\n", X, CardEdit("license", "set", ("a", "b")))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("body", ["", "# A model\n", "# A model", "\n# A\n", "---\nruler\n", "---", "\n\n", "----\n"])
def test_a_card_without_front_matter_gets_one(body: str, mark: str, end: str) -> None:
    body = body.replace("\n", end)
    first = end if "\n" in body else "\n"
    assert edited(mark + body, X) == f"{mark}---{first}base_model: acme/x{first}---{first}{body}"
    assert edited(mark + body, KEY) == mark + body


def test_a_card_that_does_not_exist_is_made(tmp_path: Path) -> None:
    patch = suggest("", (X, CardEdit("license", "set", ("mit",))), "because")
    assert apply("", patch) == "---\nbase_model: acme/x\nlicense: mit\n---\n"
    assert patch.diff.startswith("--- /dev/null\n+++ b/README.md\n@@ -0,0 +1,4 @@\n")
    assert git_applied("", patch.diff, tmp_path) == apply("", patch)


def test_front_matter_that_is_never_closed_is_not_patched() -> None:
    with pytest.raises(CardError, match="never closed"):
        edited("---\nlicense: mit\n# A model\n", X)


ODD_NAMES = [
    "null", "123", "1e5", "yes", "2001-01-01", "~", "a: b", "a #b", "-", "[x", "gpt2", "a'b", 'a"b', "a\\b",
    "组织/模型", "a/b-", "a/b.", "!x", "&x", "*x", "%x", "@x", "`x", "a,b", "?", "0x1f", "1_000", "12:30:45", ".inf",
    "<<", "=", "🤗/🤗", "./a", "/home/a", "C:\\a",
]  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_that_yaml_would_misread_are_quoted(name: str) -> None:
    for front in ("license: mit", "base_model: 'x/y'", "base_model: x/y", "base_model: [x/y]", "base_model:\n- x/y"):
        for edit in (bases("set", name), bases("set", name, "a/b"), bases("add", name)):
            result = edited(f"---\n{front}\n---\n", edit)
            said = data(result)["base_model"]
            assert name in (said if isinstance(said, list) else [said])
            assert name in read_claim(result).base_models


@pytest.mark.parametrize("path", DEMO_CARDS, ids=lambda path: path.parent.name)
@pytest.mark.parametrize("edit", [X, XY, ADD, KEY, CardEdit("license", "set", ("gpl-3.0",))], ids=lambda e: e.action)
def test_cards_of_the_demo(path: Path, edit: CardEdit, tmp_path: Path) -> None:
    text = path.read_text()
    patch = suggest(text, (edit,), "because")
    result = apply(text, patch)
    assert {k: v for k, v in data(text).items() if k != edit.key} == {
        k: v for k, v in data(result).items() if k != edit.key
    }
    plus = [line for line in patch.diff.split("\n")[2:] if line[:1] == "+"]
    minus = [line for line in patch.diff.split("\n")[2:] if line[:1] == "-"]
    assert len(plus) <= 3 and len(minus) <= 1
    if patch.diff:
        assert git_applied(text, patch.diff, tmp_path) == result
    else:
        assert result == text


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(("front", "edit", "wanted"), BY_HAND[::3])
def test_git_applies_the_diff(front: str, edit: CardEdit, wanted: str, end: str, tmp_path: Path) -> None:
    text = f"---\n{front}\n---\n# A model, no line end".replace("\n", end)
    patch = suggest(text, (edit,), "because")
    assert bool(patch.diff) is (front != wanted)
    if patch.diff:
        assert git_applied(text, patch.diff, tmp_path) == apply(text, patch)


def test_the_text_of_a_patch() -> None:
    patch = patch_base_model("---\nlicense: mit # c\nbase_model: old/base\n---\n# x\n", ("acme/x",), "why")
    assert patch is not None
    assert (patch.reason, patch.edits) == ("why", (X,))
    assert patch.diff == (
        "--- a/README.md\n+++ b/README.md\n@@ -1,5 +1,5 @@\n ---\n license: mit # c\n-base_model: old/base\n"
        "+base_model: acme/x\n ---\n # x\n"
    )


# Generated cards: what stands before and behind the edited key is known, so every byte of it can be looked for.

OTHERS = [
    "license_name: acme", "tags: [a,   b]   ", "list:\n    -   odd", "# a comment", "", " # an indented one",
    "x: 'it''s'", "folded: >\n  base_model: no\n\n  more", "literal: |-\n  base_model: no\n  # no comment",
    'quoted: "a\\nb: c"', "n: 1.50", "date: 2024-01-01", "flow: {a: [b, {c: d}], e: f}", "emoji: 🤗",
    "break: 'a\u2028b'", "none:", "null_: ~", "long: a\n  b\n  c", "deep:\n  - a:\n    - b: c\n      base_model: no",
    "? explicit\n: value", "anchored: &a {b: c}\nalias: *a", "'q' : 1", "multi: [\n  a, # c\n  b\n]", "true: yes",
    "url: http://a/b#c",
]  # fmt: skip
NAMES = st.lists(
    st.sampled_from(["old/a", "old/b", "org/Model-7B", "gpt2", "a'b/c", "组织/模型", "null"]),
    min_size=1, max_size=4, unique=True,
)  # fmt: skip
QUOTES = st.sampled_from(["'", '"', ""])


def _quoted(name: str, quote: str) -> str:
    if quote == "'" or (not quote and name in ("null", "a'b/c")):
        return "'" + name.replace("'", "''") + "'"
    return f'"{name}"' if quote else name


Card = tuple[str, str, str, str, list[str]]
"""Text before the key, the key, text behind it, the end of the front matter with the body; and the names."""


@st.composite
def keys(draw: st.DrawFn, key: str) -> tuple[str, list[str]]:
    """A key in one of the styles of YAML, and the names that it holds."""
    names, quote = draw(NAMES), draw(QUOTES)
    comment = draw(st.sampled_from(["", " # why", "  #"]))
    said = [_quoted(name, quote) for name in names]
    styles = [f"{key}: [{', '.join(said)}]{comment}", f"{key}:   [ {','.join([*said, ''])} ]"]
    styles.append(f"{key}: [\n  {f',{chr(10)}  '.join(said)}\n  ]{comment}")
    for indent in ("", "  ", "     "):
        for blank in (" ", "   ", f"\n{indent} "):
            lines = [f"{indent}-{blank}{one}{comment}" for one in said]
            between = draw(st.sampled_from(["\n", "\n\n", f"\n{indent}# between\n"]))
            styles.append(f"{key}:{comment}\n" + between.join(lines))
    if len(names) == 1:
        styles += [f"{key}: {said[0]}{comment}", f'"{key}"  :  {said[0]}{comment}', f"{key}:{comment}\n   {said[0]}"]
        styles += [f"{key}: >-{comment}\n  {names[0]}", f"{key}: |-\n    {names[0]}\n"]
    chosen = draw(st.sampled_from(styles))
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from([f"{key}:{comment}", f"{key}: null{comment}", f"{key}: ~"])), []
    return chosen, names


@st.composite
def cards(draw: st.DrawFn, key: str) -> Card:
    """A card in pieces."""
    others = draw(st.lists(st.sampled_from(OTHERS), max_size=6, unique=True))
    at = draw(st.integers(0, len(others)))
    has_key = draw(st.integers(0, 4)) > 0
    block, names = draw(keys(key)) if has_key else ("", [])
    indent = draw(st.sampled_from(["", "", "  "]))
    if any("\n:" in one or "\n]" in one or "'q'" in one for one in others):
        indent = ""
    lines = [
        "".join(indent * bool(line.strip()) + line + "\n" for line in part.split("\n")) if part or kind else ""
        for kind, part in ((1, "\n".join(others[:at])), (0, block), (1, "\n".join(others[at:])))
    ]
    begin = draw(st.sampled_from(["---\n", "\ufeff---\n", "\n---  \n"]))
    close = draw(st.sampled_from(["---\n", "---\t\n", "---"]))
    body = "" if close == "---" else draw(st.sampled_from(["", "\n# A model\n", "no end", "---\nbase_model: x\n---\n"]))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    pieces = [piece.replace("\n", end) for piece in (begin + lines[0], lines[1], lines[2], close + body)]
    return pieces[0], pieces[1], pieces[2], pieces[3], names


EDITS = st.builds(
    lambda action, names: bases(action, *names),
    st.sampled_from(["set", "add", "remove"]),
    st.lists(st.sampled_from(["acme/x", "old/a", "old/b", "gpt2", "acme/y z"]), min_size=1, max_size=3, unique=True),
) | st.just(bases("remove"))


def wanted(edit: CardEdit, names: list[str]) -> list[str]:
    if edit.action == "set":
        return list(edit.values)
    if edit.action == "add":
        return names + [n for n in edit.values if n not in names]
    return [n for n in names if n not in edit.values] if edit.values else []


@given(cards("base_model"), EDITS)
def test_generated_cards_differ_in_the_edited_key_only(card: Card, edit: CardEdit) -> None:
    before, block, behind, tail, names = card
    text = before + block + behind + tail
    try:
        result = edited(text, edit)
    except CardError as error:  # comments inside a list that goes would become text of a block above
        assert "other keys would change" in str(error) and "# between" in block and not wanted(edit, names)
        return
    said = data(result).get("base_model")
    assert (said if isinstance(said, list) else [] if said is None else [said]) == wanted(edit, names)
    assert {k: v for k, v in data(text).items() if k != "base_model"} == {
        k: v for k, v in data(result).items() if k != "base_model"
    }
    if not block:  # a new key stands last
        assert result.startswith(before + behind) and result.endswith(tail)
    else:
        assert result.startswith(before) and result.endswith(behind + tail)
        new = result[len(before) : len(result) - len(behind + tail)]
        assert new.count("# between") == block.count("# between"), "comments on lines of their own stay"
    assert ("\r\n" in text) is ("\r\n" in result) and not re.search(r"(?<!\r)\n", result) == ("\r\n" in text)
    assert edited(result, edit) == result


@given(cards("license"), st.sampled_from(["mit", "apache-2.0", "a b", "no"]))
def test_generated_cards_get_another_licence(card: Card, name: str) -> None:
    before, block, behind, tail, _ = card
    result = edited(before + block + behind + tail, CardEdit("license", "set", (name,)))
    assert data(result)["license"] in (name, [name])
    if block:
        assert result.startswith(before) and result.endswith(behind + tail)


@given(st.text(st.characters(exclude_categories=()), max_size=80) | st.text("-:{}[]*&!|>'\"# \n\tab,/?", max_size=80),
       EDITS)  # fmt: skip
def test_any_text_is_patched_and_read_back_or_refused(front: str, edit: CardEdit) -> None:
    for text in (front, f"---\n{front}\n---\nbody", f"---\nbase_model: {front}\nlicense: mit\n---\nbody"):
        try:
            old, result = read_claim(text), edited(text, edit)
        except CardError as error:
            assert str(error).startswith("README.md:")
            continue
        assert result.endswith("body") or not text.endswith("body")
        assert read_claim(result).license == old.license
        if edit.action == "set":
            assert read_claim(result).base_models == edit.values
