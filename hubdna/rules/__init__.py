"""The audit rules: one function each, ids never reused. A rule reads a Case and yields findings."""

import sys

from hubdna.records import Severity
from hubdna.rules.case import Case, Declared
from hubdna.rules.hd001 import undeclared_base
from hubdna.rules.hd002 import wrong_base
from hubdna.rules.hd003 import unsupported_base
from hubdna.rules.hd012 import missing_licence
from hubdna.rules.hd013 import weaker_licence
from hubdna.rules.hd014 import unmet_duties

RULES = {
    "HD001": undeclared_base,
    "HD002": wrong_base,
    "HD003": unsupported_base,
    "HD012": missing_licence,
    "HD013": weaker_licence,
    "HD014": unmet_duties,
}
"""Rule id -> function, in the order of reports."""


def stories() -> dict[str, str]:
    """What each rule is about: rule id -> the first line of its module, without the id."""
    modules = {rule_id: sys.modules[rule.__module__].__doc__ or "" for rule_id, rule in RULES.items()}
    return {rule_id: doc.splitlines()[0].removeprefix(rule_id).strip() for rule_id, doc in modules.items()}


def severities() -> dict[str, tuple[Severity, ...]]:
    """How grave a finding of each rule can be, gravest first: `SEVERITIES` of its module."""
    return {rule_id: sys.modules[rule.__module__].SEVERITIES for rule_id, rule in RULES.items()}


__all__ = ["RULES", "Case", "Declared", "severities", "stories"]
