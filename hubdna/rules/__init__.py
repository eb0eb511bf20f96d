"""The audit rules: one function each, ids never reused. A rule reads a Case and yields findings."""

from hubdna.rules.case import Case, Declared
from hubdna.rules.hd001 import undeclared_base
from hubdna.rules.hd002 import wrong_base
from hubdna.rules.hd003 import unsupported_base

RULES = {"HD001": undeclared_base, "HD002": wrong_base, "HD003": unsupported_base}
"""Rule id -> function, in the order of reports."""

__all__ = ["RULES", "Case", "Declared"]
