"""The audit rules: one function each, ids never reused. A rule reads a Case and yields findings."""

import sys
from collections.abc import Callable, Iterator

from hubdna.records import Finding, Severity
from hubdna.rules.case import Ancestor, Case, Declared
from hubdna.rules.hd001 import undeclared_base
from hubdna.rules.hd002 import wrong_base
from hubdna.rules.hd003 import unsupported_base
from hubdna.rules.hd004 import wrong_relation
from hubdna.rules.hd005 import missing_parent
from hubdna.rules.hd006 import grandparent_declared
from hubdna.rules.hd007 import unfollowable_base
from hubdna.rules.hd008 import identical_reupload
from hubdna.rules.hd009 import disguised_copy
from hubdna.rules.hd010 import scratch_contradicted
from hubdna.rules.hd011 import unnamed_component
from hubdna.rules.hd012 import missing_licence
from hubdna.rules.hd013 import weaker_licence
from hubdna.rules.hd014 import unmet_duties
from hubdna.rules.hd015 import old_weights
from hubdna.rules.hd016 import not_auditable
from hubdna.rules.hd017 import behaves_alike

Rule = Callable[[Case], Iterator[Finding]]

RULES: dict[str, Rule] = {
    "HD001": undeclared_base,
    "HD002": wrong_base,
    "HD003": unsupported_base,
    "HD004": wrong_relation,
    "HD005": missing_parent,
    "HD006": grandparent_declared,
    "HD007": unfollowable_base,
    "HD008": identical_reupload,
    "HD009": disguised_copy,
    "HD010": scratch_contradicted,
    "HD011": unnamed_component,
    "HD012": missing_licence,
    "HD013": weaker_licence,
    "HD014": unmet_duties,
    "HD015": old_weights,
    "HD016": not_auditable,
    "HD017": behaves_alike,
}
"""Rule id -> function, in the order of reports."""


def stories() -> dict[str, str]:
    """What each rule is about: rule id -> the first line of its module, without the id."""
    modules = {rule_id: sys.modules[rule.__module__].__doc__ or "" for rule_id, rule in RULES.items()}
    return {rule_id: doc.splitlines()[0].removeprefix(rule_id).strip() for rule_id, doc in modules.items()}


def severities() -> dict[str, tuple[Severity, ...]]:
    """How grave a finding of each rule can be, gravest first: `SEVERITIES` of its module."""
    return {rule_id: sys.modules[rule.__module__].SEVERITIES for rule_id, rule in RULES.items()}


__all__ = ["RULES", "Ancestor", "Case", "Declared", "severities", "stories"]
