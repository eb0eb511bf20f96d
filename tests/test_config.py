"""Configurations: what they do, and that whatever is not understood is an error with a name and a next step."""

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubdna.config import MAX_FILE_BYTES, Config, Ignore, find_config, read_config
from hubdna.errors import UsageError
from hubdna.records import Audit, Claim, Finding, ModelRef, Severity
from hubdna.rules import RULES, severities

TODAY = date(2026, 11, 30)
SEVERITIES: list[Severity] = ["error", "warning", "info"]
EVERYTHING = """
index = "dna/index"
[rules]
HD001 = "info"
HD002 = true
HD003 = false
[[ignore]]
rule = "HD001"
repo = "org/*"
reason = "known"
until = 2027-06-30
[[ignore]]
rule = "HD002"
repo = "org/name"
reason = "accepted for ever"
"""
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a configuration, by default `hubdna.toml`."""

    def call(text: str | bytes, name: str = "hubdna.toml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return call


def finding(rule: str = "HD001", severity: Severity = "warning", repo: str = "org/name") -> Finding:
    return Finding(rule, severity, ModelRef(repo), 3, "It is.")


def applied(config: Config, *findings: Finding, today: date = TODAY) -> Audit:
    return config.apply(Audit(ModelRef("org/name"), Claim(), (), findings, None), today)


class TestReading:
    def test_every_key_is_read(self, write: Write, tmp_path: Path) -> None:
        config = read_config(write(EVERYTHING))
        assert config.path == tmp_path / "hubdna.toml"
        assert config.index == tmp_path / "dna" / "index"
        assert config.levels == {"HD001": "info", "HD002": "error", "HD003": "off"}
        assert config.ignores == (
            Ignore("HD001", "org/*", "known", date(2027, 6, 30)),
            Ignore("HD002", "org/name", "accepted for ever"),
        )
        assert config.changes == ("HD001=info", "HD003=off")

    def test_a_pyproject_says_the_same_below_its_table(self, write: Write) -> None:
        inner = re.sub(r"^(\[+)(rules|ignore)", r"\1tool.hubdna.\2", EVERYTHING, flags=re.MULTILINE)
        project = read_config(write(f'[project]\nname = "x"\n[tool.hubdna]{inner}', "pyproject.toml"))
        own = read_config(write(EVERYTHING))
        assert (project.index, project.levels, project.ignores) == (own.index, own.levels, own.ignores)

    def test_an_absolute_index_stays_where_it_is(self, write: Write) -> None:
        assert read_config(write('index = "/data/dna"')).index == Path("/data/dna")

    @pytest.mark.parametrize("text", ["", "# nothing\n", "[rules]\n", "ignore = []\n"])
    def test_a_configuration_may_say_nothing(self, write: Write, text: str) -> None:
        config = read_config(write(text))
        assert (config.index, config.levels, config.ignores, config.changes) == (None, {}, (), ())

    @pytest.mark.parametrize("rule", RULES)
    def test_every_rule_can_be_named(self, write: Write, rule: str) -> None:
        assert read_config(write(f"[rules]\n{rule} = false")).levels == {rule: "off"}


class TestSearch:
    def test_the_nearest_folder_with_a_configuration_is_taken(self, write: Write, tmp_path: Path) -> None:
        deep = tmp_path / "a" / "b"
        deep.mkdir(parents=True)
        top = write("")
        assert find_config(deep) == top
        project = write("[tool.hubdna]", "a/pyproject.toml")
        assert find_config(deep) == project
        assert find_config(tmp_path) == top
        assert find_config(deep / "not" / "there") == project

    def test_in_one_folder_the_own_file_goes_first(self, write: Write, tmp_path: Path) -> None:
        write("[tool.hubdna]", "pyproject.toml")
        own = write("")
        assert find_config(tmp_path) == own

    def test_a_pyproject_of_others_and_a_folder_of_that_name_are_passed_over(
        self, write: Write, tmp_path: Path
    ) -> None:
        top = write("")
        write("[tool.ruff]\nline-length = 120", "a/pyproject.toml")
        (tmp_path / "a" / "hubdna.toml").mkdir()
        assert find_config(tmp_path / "a") == top

    def test_a_broken_pyproject_on_the_way_is_told(self, write: Write, tmp_path: Path) -> None:
        write("[tool.hubdna", "pyproject.toml")
        with pytest.raises(UsageError, match=r"pyproject.toml: expected TOML.*--no-config"):
            find_config(tmp_path / "a")

    def test_links_in_a_circle_are_no_configuration(self, write: Write, tmp_path: Path) -> None:
        top = write("")
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "hubdna.toml").symlink_to("hubdna.toml")
        assert find_config(tmp_path / "a") == top


ENTRY = '[[ignore]]\nrule = "HD001"\nrepo = "a/b"\nreason = "known"\n'
WRONG = {
    "an unknown key": ("indexx = 'a'", "indexx: not a key of the configuration; did you mean index?"),
    "a key without a likeness": ("zzz = 1", "zzz: not a key of the configuration; expected a key out of index, rules"),
    "an unknown rule": ("[rules]\nHD0001 = false", "rules.HD0001: not a rule of the configuration; did you mean HD001"),
    "a rule in small letters": ("[rules]\nhd001 = false", "rules.hd001: not a rule"),
    "a severity that is none": ("[rules]\nHD001 = 'warn'", "rules.HD001: expected.*\"warn\"; did you mean warning"),
    "a number for a severity": ("[rules]\nHD001 = 0", "rules.HD001: expected true, false.*found a number"),
    "a list for a severity": ("[rules]\nHD001 = ['info']", "rules.HD001: expected true, false.*found a list"),
    "rules that are no table": ("rules = ['HD001']", "rules: expected a table, rule = severity, found a list"),
    "an index that is no text": ("index = 1", "index: expected text, found a number"),
    "an empty index": ("index = ''", "index: expected a line of 1 to 500 characters, found none"),
    "an index with a zero byte": ('index = "a\\u0000b"', "index: expected a line"),
    "ignore that is no list": ("[ignore]\nrule = 'HD001'", r"ignore: expected entries \[\[ignore\]\], found a table"),
    "an entry that is no table": ("ignore = ['HD001']", r"ignore\[1\]: expected a table with rule.*found \"HD001\""),
    "an entry without a reason": (ENTRY.replace("reason", "# "), r"ignore\[1\].reason: expected a line.*found none"),
    "a blank reason": (ENTRY.replace("known", "  "), r"ignore\[1\].reason: expected a line of.*found none"),
    "a reason without end": (ENTRY.replace("known", "x" * 501), r"ignore\[1\].reason: .*found 501 characters"),
    "a pattern without end": (ENTRY.replace("a/b", "*a" * 300), r"ignore\[1\].repo: .*found 600 characters"),
    "an entry without a rule": (ENTRY.replace("rule", "# "), r"ignore\[1\].rule: expected a line.*found none"),
    "an entry for no rule": (ENTRY.replace("HD001", "HD0001"), r'ignore\[1\].rule: expected a rule, found "HD0001"'),
    "a key of an entry": (ENTRY + "unti = 2027-01-01", r"ignore\[1\].unti: not a key.*; did you mean until\?"),
    "a date in quotes": (ENTRY + "until = '2027-01-01'", r'until: expected a date without.*found "2027-01-01"'),
    "a date with a time": (ENTRY + "until = 2027-01-01T00:00:00Z", "until: expected a date without quotes or time"),
    "a time": (ENTRY + "until = 10:00:00", "until: expected a date without quotes or time"),
    "a year": (ENTRY + "until = 2027", "until: expected a date without quotes or time.*found a number"),
    "a day that is none": (ENTRY + "until = 2027-02-30", "expected TOML, found something else"),
    "the second entry": (ENTRY + ENTRY.replace("HD001", "X"), r"ignore\[2\].rule: expected a rule"),
    "the table of a pyproject": ("[tool.hubdna]", "tool: not a key of the configuration"),
    "a key twice": ("index = 'a'\nindex = 'b'", "expected TOML, found something else: Cannot overwrite"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_not_understood_is_named_with_what_was_expected(write: Write, wrong: str) -> None:
    text, message = WRONG[wrong]
    with pytest.raises(UsageError, match=f"hubdna.toml: .*{message}") as raised:
        read_config(write(text))
    assert len(str(raised.value)) < 400


def test_a_pyproject_without_the_table_cannot_be_asked_for(write: Write) -> None:
    with pytest.raises(UsageError, match=r"expected a table \[tool.hubdna\], found none"):
        read_config(write("[tool.hubdnaa]", "pyproject.toml"))


def test_what_is_no_table_there_is_not_passed_over(write: Write, tmp_path: Path) -> None:
    path = write('[tool]\nhubdna = "off"', "pyproject.toml")
    assert find_config(tmp_path) == path
    with pytest.raises(UsageError, match=r'tool.hubdna: expected a table, found "off"'):
        read_config(path)


def test_patterns_of_the_greatest_length_take_no_time() -> None:
    slow = Ignore("HD001", "*a" * 250, "known")
    assert not slow.covers(finding(repo="a" * 96), TODAY) and Ignore("HD001", "*?" * 96, "known").covers(
        finding(repo="a" * 96), TODAY
    )


HOSTILE = {
    "one byte too many": b"#" * (MAX_FILE_BYTES + 1),
    "no UTF-8": b"index = '\xff\xfe'",
    "UTF-16": 'index = "a"'.encode("utf-16"),
    "a zero byte": b"index = 'a\x00b'",
    "lists without end": b"index = " + b"[" * (MAX_FILE_BYTES - 10),
    "tables without end": b"index = " + b"{a=" * (MAX_FILE_BYTES // 4),
    "a number without end": b"index = " + b"9" * (MAX_FILE_BYTES - 10),
    "a key of many parts": b"a." * 90_000 + b"a = 1",
    "a table of many parts": b"[" + b"a." * 90_000 + b"a]",
    "a key of many parts inside": b"x = {b = 1, " + b"'a' . " * 30_000 + b"a = 1}",
    "deep tables, many keys": b"[tool" + b".a" * 31 + b"]\n" + b"".join(b"k%d=1\n" % n for n in range(20_000)),
    "a long name": b"x" * 50_000 + b" = 1",
    "many unknown rules": b"[rules]\n" + b"".join(b"R%d = 1\n" % n for n in range(8_000)),
    "terminal escapes": b'"\\u001b[31m" = 1',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_an_error_and_nothing_else(write: Write, name: str) -> None:
    with pytest.raises(UsageError, match=r"hubdna\.toml: ") as raised:
        read_config(write(HOSTILE[name]))
    assert len(str(raised.value)) < 400


def test_dots_elsewhere_are_no_parts(write: Write) -> None:
    text = f"# {'.' * 200}\n[rules]\nHD003 = false # {', '.join(['1.5'] * 200)}\n"
    assert read_config(write(text)).levels == {"HD003": "off"}


def test_a_file_of_the_greatest_length_is_read(write: Write) -> None:
    assert read_config(write(b"#" * MAX_FILE_BYTES)).levels == {}


@pytest.mark.parametrize("where", [".", "not/there.toml"])
def test_what_is_no_file_is_an_error(tmp_path: Path, where: str) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_config(tmp_path / where)


_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.dates() | st.sampled_from([*RULES, "off"])
)
_KEYS = st.sampled_from(["index", "rules", "ignore", "rule", "repo", "reason", "until", *RULES]) | st.text(max_size=4)
_TREES = st.recursive(
    _SCALARS, lambda t: st.lists(t, max_size=3) | st.dictionaries(_KEYS, t, max_size=4), max_leaves=12
)


def _toml(value: object) -> str:
    """A value as inline TOML."""
    import json

    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return value.isoformat() if isinstance(value, date) else json.dumps(value)


@given(st.dictionaries(_KEYS, _TREES, max_size=4))
def test_no_tree_of_values_does_anything_but_read_or_raise(tmp_path_factory, tree: dict[str, object]) -> None:
    path = tmp_path_factory.mktemp("tree") / "hubdna.toml"
    path.write_text("\n".join(f"{_toml({k: v})[1:-1]}" for k, v in tree.items()), "utf-8")
    try:
        config = read_config(path)
    except UsageError as error:
        assert "hubdna.toml" in str(error)
    else:
        assert config.levels.keys() <= RULES.keys() and all(entry.reason for entry in config.ignores)


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_read_or_raise(tmp_path_factory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("bytes") / "hubdna.toml"
    path.write_bytes(data)
    try:
        read_config(path)
    except UsageError as error:
        assert "hubdna.toml" in str(error)


class TestWhatItDoes:
    @pytest.mark.parametrize("severity", SEVERITIES)
    @pytest.mark.parametrize("level", [*SEVERITIES, "off"])
    def test_a_severity_goes_down_and_never_up(self, severity: Severity, level: str) -> None:
        found = applied(Config(levels={"HD001": level}), finding(severity=severity)).findings
        if level == "off":
            assert found == ()
        else:
            expected = SEVERITIES[max(SEVERITIES.index(severity), SEVERITIES.index(level))]
            assert [f.severity for f in found] == [expected]

    def test_other_rules_are_left_alone(self) -> None:
        others = (finding("HD002"), finding("HD003", "info"))
        config = Config(levels={"HD001": "off"}, ignores=(Ignore("HD001", "*", "known"),))
        assert applied(config, *others) == applied(Config(), *others)

    @pytest.mark.parametrize(
        ("pattern", "repo", "covered"),
        [("org/name", "org/name", True), ("org/*", "org/name", True), ("*", "./my/model", True),
         ("org/na?e", "org/name", True), ("org/[mn]ame", "org/name", True), ("org/*", "other/org/name", False),
         ("org/name", "org/names", False), ("org/name", "Org/name", False), ("org", "org/name", False),
         ("org/(.*)", "org/name", False)],
    )  # fmt: skip
    def test_patterns(self, pattern: str, repo: str, covered: bool) -> None:
        audit = applied(Config(ignores=(Ignore("HD001", pattern, "known"),)), finding(repo=repo))
        assert (len(audit.findings), len(audit.ignored)) == ((0, 1) if covered else (1, 0))

    def test_what_is_ignored_keeps_its_reason_and_its_last_day(self) -> None:
        entry = Ignore("HD001", "org/*", "known", date(2027, 1, 31))
        kept, aside = finding("HD003", "info"), finding()
        audit = applied(Config(levels={"HD001": "info"}, ignores=(entry,)), aside, kept)
        assert audit.findings == (kept,)
        (ignored,) = audit.ignored
        assert (ignored.reason, ignored.until, ignored.finding.severity) == ("known", "2027-01-31", "info")

    @pytest.mark.parametrize(("today", "holds"), [("2027-01-30", True), ("2027-01-31", True), ("2027-02-01", False)])
    def test_an_entry_holds_up_to_its_last_day(self, today: str, holds: bool) -> None:
        day = date.fromisoformat(today)
        config = Config(Path("x.toml"), ignores=(Ignore("HD001", "org/*", "known", date(2027, 1, 31)),))
        assert bool(applied(config, finding(), today=day).ignored) is holds
        said = "\n".join(config.describe(day))
        assert ("No longer ignored, since 2027-01-31 is over: HD001 for org/*" in said) is not holds

    def test_an_expired_entry_does_not_hide_one_that_holds(self) -> None:
        old, new = Ignore("HD001", "*", "old", date(2020, 1, 1)), Ignore("HD001", "*", "new")
        assert [i.reason for i in applied(Config(ignores=(old, new)), finding()).ignored] == ["new"]

    def test_without_a_file_there_is_nothing_to_say(self) -> None:
        assert list(Config().describe(TODAY)) == [] and Config().changes == ()


def test_the_severities_of_rules_are_known_and_in_order() -> None:
    assert severities().keys() == RULES.keys()
    for rule, own in severities().items():
        assert own and sorted(own, key=SEVERITIES.index) == list(own), rule


def test_the_examples_of_the_page_are_configurations(write: Write) -> None:
    page = Path(__file__).parents[1] / "docs" / "configuration.md"
    examples = re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)
    assert len(examples) >= 2
    read = [read_config(write(text)) for text in examples]
    assert read[0].levels and read[0].ignores and read[0].index
