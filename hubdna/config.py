"""The user's word on an audit: which rules speak, how loudly at most, what is known and accepted, which index.

It stands in `hubdna.toml`, or under `[tool.hubdna]` in `pyproject.toml`, in the working directory or in the nearest
folder above it. A severity says how certain a finding is, so it can be lowered here and never raised. What is ignored
is not gone: it stays in the report with its reason, and an entry that has expired ignores nothing.

The file may be another's (who audits a folder that was downloaded often stands in it), so it is read within bounds,
and whatever it says that is not understood is an error.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from hubdna.errors import UsageError
from hubdna.records import Audit, Finding, Ignored, Severity
from hubdna.rules import RULES

Level = Literal["off", "info", "warning", "error"]
FILES = ("hubdna.toml", "pyproject.toml")
"""Names that are looked for in a folder, the first one first."""
MAX_FILE_BYTES = 200_000
MAX_PARTS = 32
"""Parts of a dotted key: reading one takes `tomllib` time in the square of them, minutes for one of 50,000."""
MAX_TEXT = 500
"""Characters of a reason or a pattern; beyond it nobody reads and `fnmatch` may take its time."""

_T = TypeVar("_T")
_SEVERITIES: tuple[Severity, ...] = get_args(Severity)


@dataclass(frozen=True, slots=True)
class Ignore:
    """One kind of finding that is known and accepted.

    Attributes:
        repo: a model's name, or a pattern of `fnmatch` in which `*` also stands for slashes.
        until: the last day on which it holds, in UTC.
    """

    rule: str
    repo: str
    reason: str
    until: date | None = None

    def covers(self, finding: Finding, today: date) -> bool:
        """Whether a finding is meant, and today is not past the last day."""
        return self.rule == finding.rule_id and not self.expired(today) and fnmatchcase(finding.ref.repo_id, self.repo)

    def expired(self, today: date) -> bool:
        """Whether its last day is over."""
        return self.until is not None and self.until < today


@dataclass(frozen=True, slots=True)
class Config:
    """What a configuration says; nothing, when it was read from no file.

    Attributes:
        path: the file it was read from.
        index: the folder of the index, relative names taken from where the file stands.
        levels: rule id -> the gravest severity that its findings may have, or `off`.
    """

    path: Path | None = None
    index: Path | None = None
    levels: dict[str, Level] = field(default_factory=dict)
    ignores: tuple[Ignore, ...] = ()

    @property
    def changes(self) -> tuple[str, ...]:
        """What it changes about rules, for a report: `HD003=off`."""
        return tuple(f"{rule}={level}" for rule, level in sorted(self.levels.items()) if level != "error")

    def apply(self, audit: Audit, today: date) -> Audit:
        """An audit as the user wants it: rules switched off, severities lowered, accepted findings set aside."""
        heard = [lowered for f in audit.findings if (lowered := self._lowered(f)) is not None]
        aside = [(f, entry) for f in heard if (entry := self._ignoring(f, today)) is not None]
        ignored = tuple(Ignored(f, by.reason, by.until.isoformat() if by.until else None) for f, by in aside)
        kept = tuple(f for f in heard if self._ignoring(f, today) is None)
        return replace(audit, findings=kept, ignored=ignored)

    def describe(self, today: date) -> Iterator[str]:
        """Lines for people: which file, what it changes, and which of its entries hold no longer."""
        if self.path is None:
            return
        yield f"Configured by {self.path}{': ' if self.changes else ''}{', '.join(self.changes)}."
        for entry in self.ignores:
            if entry.expired(today):
                yield f"No longer ignored, since {entry.until} is over: {entry.rule} for {entry.repo} ({entry.reason})."

    def _lowered(self, finding: Finding) -> Finding | None:
        level = self.levels.get(finding.rule_id, "error")
        if level == "off":
            return None
        mildest = max(finding.severity, level, key=_SEVERITIES.index)
        return replace(finding, severity=mildest)

    def _ignoring(self, finding: Finding, today: date) -> Ignore | None:
        return next((entry for entry in self.ignores if entry.covers(finding, today)), None)


def find_config(folder: Path) -> Path | None:
    """The configuration for work in a folder: of the nearest one, upwards from it, that has any. Raises UsageError."""
    for place in (folder, *folder.absolute().parents):
        for name in FILES:
            path = place / name
            if _is_file(path) and (name != "pyproject.toml" or _own_table(_parsed(path)) is not None):
                return path
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that may not be looked into has no configuration for us
        return False


def read_config(path: Path) -> Config:
    """Read a configuration; every key, rule, type and date of it is checked. Raises UsageError."""
    data = _parsed(path)
    own = _own_table(data) if path.name == "pyproject.toml" else data
    if own is None:
        raise UsageError(f"{path}: expected a table [tool.hubdna], found none")
    table = _typed(own, dict, f"{path}: tool.hubdna", "a table")
    _check_keys(table, ("index", "rules", "ignore"), f"{path}: ")
    rules = _typed(table.get("rules", {}), dict, f"{path}: rules", "a table, rule = severity")
    ignores = _typed(table.get("ignore", []), list, f"{path}: ignore", "entries [[ignore]]")
    _check_keys(rules, RULES, f"{path}: rules.", "a rule")
    return Config(
        path,
        path.parent / _text(table, "index", f"{path}: ") if "index" in table else None,
        {rule: _level(value, f"{path}: rules.{rule}") for rule, value in rules.items()},
        tuple(_ignore(entry, f"{path}: ignore[{n}]") for n, entry in enumerate(ignores, 1)),
    )


def _parsed(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise UsageError(
                f"{path}: expected a configuration of at most {MAX_FILE_BYTES:,} bytes, found a longer one"
            )
        text = data.decode()
        if any(_n_parts(piece) > MAX_PARTS for line in text.splitlines() for piece in re.split("[=,]", line)):
            raise UsageError(f"{path}: expected names of at most {MAX_PARTS} parts with dots between, found more")
        return tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:  # also no UTF-8, numbers without end, brackets without end
        raise UsageError(f"{path}: expected TOML, found something else: {_short(error)}; see --no-config") from None


def _n_parts(text: str) -> int:
    return sum(bool(part.strip()) for part in text.split("."))


def _own_table(data: dict[str, Any]) -> object | None:
    """What stands at `tool.hubdna`, a table or not."""
    tool = data.get("tool")
    return tool.get("hubdna") if isinstance(tool, dict) else None


def _level(value: object, where: str) -> Level:
    if isinstance(value, bool):
        return "error" if value else "off"
    levels = get_args(Level)
    if value not in levels or not isinstance(value, str):
        said = ", ".join(f'"{level}"' for level in levels)
        raise UsageError(f"{where}: expected true, false, {said}, found {_found(value)}{_meant(value, levels)}")
    level: Level = value  # type: ignore[assignment]
    return level


def _ignore(entry: object, where: str) -> Ignore:
    table = _typed(entry, dict, where, "a table with rule, repo, reason and perhaps until")
    _check_keys(table, ("rule", "repo", "reason", "until"), f"{where}.")
    rule, repo, reason = (_text(table, key, f"{where}.") for key in ("rule", "repo", "reason"))
    if rule not in RULES:
        raise UsageError(f"{where}.rule: expected a rule, found {_found(rule)}{_meant(rule, RULES)}")
    until = table.get("until")
    if until is not None and (not isinstance(until, date) or isinstance(until, datetime)):
        raise UsageError(f"{where}.until: expected a date without quotes or time, 2027-01-31, found {_found(until)}")
    return Ignore(rule, repo, reason, until)


def _text(table: dict[str, Any], key: str, where: str) -> str:
    """A line of text. Raises UsageError."""
    text = _typed(table.get(key, ""), str, f"{where}{key}", "text").strip()
    if not text or len(text) > MAX_TEXT or not text.isprintable():
        found = "none" if not text else f"{len(text):,} characters: {_found(text)}"
        raise UsageError(f"{where}{key}: expected a line of 1 to {MAX_TEXT} characters, found {found}")
    return text


def _check_keys(table: dict[str, Any], known: Iterable[str], where: str, what: str = "a key") -> None:
    names = list(known)
    for key in table:
        if key not in names:
            said = _meant(key, names) or f"; expected {what} out of {', '.join(names)}"
            raise UsageError(f"{where}{_short(key)}: not {what} of the configuration{said}")


def _typed(value: object, kind: type[_T], where: str, expected: str) -> _T:
    if not isinstance(value, kind):
        raise UsageError(f"{where}: expected {expected}, found {_found(value)}")
    return value


def _meant(value: object, known: Iterable[str]) -> str:
    """The nearest right name, when there is one."""
    near = get_close_matches(value[:60], list(known), 1, 0.5) if isinstance(value, str) else []
    return f"; did you mean {near[0]}?" if near else ""


_KINDS = {dict: "a table", list: "a list", bool: "true or false", int: "a number", float: "a number"}


def _found(value: object) -> str:
    """A value in a message: short, and never a whole tree."""
    if isinstance(value, str):
        return f'"{_short(value)}"'
    return str(value) if isinstance(value, date | bool) else _KINDS.get(type(value), type(value).__name__)


def _short(text: object) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= 100 else f"{line[:99]}…"
