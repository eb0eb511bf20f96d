"""Cases for rules, built by hand: a verdict, a relative, a declared base."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hubdna.records import Bucket, Claim, Evidence, Finding, Mark, Match, Member, Mixture, ModelRef, Verdict
from hubdna.rules import RULES, Case, Declared

EVIDENCE = Evidence((), -35.0, 0.9, 1, 32, 0, (0, 0), None, True, 0.05)
README = "---\nlicense: mit\n---\nHello.\n"
US = ModelRef("me/model", sha="0" * 40)


def verdict(origin: str = "common", similarity: float | None = 0.9, **more: Any) -> Verdict:
    """A verdict as the test gives it; fields of `Evidence` go there."""
    known = {k: more.pop(k) for k in list(more) if k in Evidence.__dataclass_fields__}
    evidence = replace(EVIDENCE, exact="content" if origin == "identical" else None, **known)
    basic = Verdict(origin, None, "undirected", "none", -35.0, similarity, (), evidence)  # type: ignore[arg-type]
    return replace(basic, **more)


def match(name: str, created: str | None = "2026-01", rank: int = 1, **more: Any) -> Match:
    """A relative in the index."""
    return Match(ModelRef(name), rank, verdict(**more), created)


def bucket(view: str = "rows", n_axis: int = 192, log10_p: float = -35.0) -> Bucket:
    """A test of one layer length; passed by default."""
    return Bucket(view, True, n_axis, 32, 8, 256, 32, 0, 0.9, log10_p)  # type: ignore[arg-type]


def declared(name: str, *args: Any, marks: tuple[Mark, ...] = (), **more: Any) -> Declared:
    """A declared base that was tested."""
    return Declared(name, verdict(*args, **more), marks=marks)


def mark(name: str, child: int = 0) -> Mark:
    """A certain mark; by default this model was made from the other."""
    return Mark(name, child, f"it is {name}")


def mixture(*names: str, directed: bool = True, kind: str = "linear") -> Mixture:
    """A merge of equal parts."""
    parts = tuple(Member(ModelRef(n), 1 / len(names), ()) for n in names)
    return Mixture(kind, parts, None, ("w",) * 9, 0.0, directed)  # type: ignore[arg-type]


def case(names: tuple[str, ...] = (), card: str = README, **more: Any) -> Case:
    """A case; `names` are what the card declares."""
    claim = more.pop("claim", Claim(names, line=2, license="mit", relation=more.pop("relation", None)))
    tested = more.pop("declared", ())
    built = Case(US, claim, card, more.pop("created_at", "2026-06"))
    tested = tested or tuple(Declared(name, verdict()) for name in names)
    return replace(built, declared=tested, **{k: v for k, v in more.items() if k != "known_bases"}, **_known(more))


def _known(more: dict[str, Any]) -> dict[str, Any]:
    names = more.get("known_bases", ())
    return {"bases": {n: frozenset({"other/child"}) for n in names}} if names else {}


def told(one: Case) -> list[tuple[str, str]]:
    """What all rules say, as (rule, severity)."""
    return [(f.rule_id, f.severity) for f in found(one)]


def found(one: Case) -> list[Finding]:
    """What all rules say."""
    return [f for rule in RULES.values() for f in rule(one)]
