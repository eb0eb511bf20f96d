"""The rules: who is spoken to, how loudly, and who is left alone."""

from dataclasses import replace

import pytest

from hubdna.records import Claim, Evidence, Match, ModelRef, Verdict
from hubdna.rules import RULES, Case, Declared

EVIDENCE = Evidence((), -35.0, 0.9, 1, 32, 0, (0, 0), None, True, 0.05)
README = "---\nlicense: mit\n---\nHello\n"


def verdict(origin: str = "common", similarity: float = 0.9, because: str | None = None) -> Verdict:
    return Verdict(origin, None, "undirected", "none", -35.0, similarity, (), EVIDENCE, because)


def match(name: str, created: str | None, **more) -> Match:
    return Match(ModelRef(name), 1, verdict(**more), created)


def findings(**case) -> list[tuple[str, str]]:
    defaults = {"ref": ModelRef("me/model"), "claim": Claim(line=3), "card": README, "created_at": "2026-06"}
    built = Case(**(defaults | case))
    built = replace(built, claim=replace(built.claim, license="mit"))  # licences have tests of their own
    return [(f.rule_id, f.severity) for rule in RULES.values() for f in rule(built)]


def test_the_likely_child_of_a_foundation_model_is_warned() -> None:
    assert findings(matches=(match("big/base", "2026-01"),), foundations=frozenset({"big/base"})) == [
        ("HD001", "warning")
    ]


def test_the_likely_child_of_a_declared_base_is_warned() -> None:
    bases = {"lab/base": frozenset({"other/child"})}
    assert findings(matches=(match("lab/base", "2026-01"),), bases=bases) == [("HD001", "warning")]


def test_our_own_declaration_does_not_make_a_base_known() -> None:
    assert findings(matches=(match("lab/base", "2026-01"),), bases={"lab/base": frozenset({"me/model"})}) == [
        ("HD001", "info")
    ]


def test_a_foundation_model_is_not_accused_because_of_its_descendants() -> None:
    later = (match("some/child", "2026-09"), match("some/copy", "2026-08", origin="identical"))
    assert findings(matches=later, foundations=frozenset({"me/model"})) == []
    assert findings(matches=later, bases={"me/model": frozenset({"some/child"})}) == []


def test_an_earlier_model_is_left_alone_even_when_nobody_declares_it() -> None:
    assert findings(matches=(match("some/child", "2026-09"),)) == []


@pytest.mark.parametrize("created", ["2026-01", None])
def test_when_neither_side_is_likely_it_is_info(created: str | None) -> None:
    assert findings(matches=(match("some/sibling", created),)) == [("HD001", "info")]


def test_a_weak_correlation_is_info_since_a_shared_seed_could_explain_it() -> None:
    weak = (match("big/base", "2026-01", similarity=0.4),)
    assert findings(matches=weak, foundations=frozenset({"big/base"})) == [("HD001", "info")]


def test_a_later_foundation_model_is_not_our_base() -> None:
    assert findings(matches=(match("big/base", "2026-09"),), foundations=frozenset({"big/base"})) == []


def test_undecided_and_independent_matches_are_no_findings() -> None:
    for origin in ("undecided", "no-evidence"):
        one = (match("big/base", "2026-01", origin=origin),)
        assert findings(matches=one, foundations=frozenset({"big/base"})) == []


def test_a_supported_declaration_is_clean_whatever_else_is_related() -> None:
    matches = (match("big/base", "2026-01"), match("some/sibling", "2026-02"))
    declared = (Declared("big/base", verdict()),)
    claim = Claim(("big/base",), line=2)
    assert findings(matches=matches, declared=declared, claim=claim, foundations=frozenset({"big/base"})) == []


def test_a_wrong_base_is_named_with_the_right_one() -> None:
    claim, declared = Claim(("wrong/base",), line=2), (Declared("wrong/base", verdict("no-evidence", 0.0)),)
    right = (match("right/base", "2026-01"),)
    assert findings(claim=claim, declared=declared, matches=right, foundations=frozenset({"right/base"})) == [
        ("HD002", "warning")
    ]
    assert findings(claim=claim, declared=declared, matches=right) == [("HD002", "info")]


def test_a_child_of_ours_does_not_make_our_base_wrong() -> None:
    claim, declared = (
        Claim(("distilled/teacher",), line=2),
        (Declared("distilled/teacher", verdict("no-evidence", 0.0)),),
    )
    child = (match("some/child", "2026-01"),)
    assert findings(claim=claim, declared=declared, matches=child, bases={"me/model": frozenset({"some/child"})}) == [
        ("HD003", "info")
    ]


@pytest.mark.parametrize(
    "declared",
    [
        Declared("gone/base", None, "gone/base: not found"),
        Declared("odd/base", verdict("undecided", because="no comparable genes")),
        Declared("far/base", verdict("no-evidence", 0.0)),
    ],
)
def test_an_unsupported_claim_is_only_ever_info(declared: Declared) -> None:
    assert findings(claim=Claim((declared.repo_id,), line=2), declared=(declared,)) == [("HD003", "info")]


def test_one_supported_base_of_two_silences_hd002() -> None:
    claim = Claim(("a/a", "b/b"), line=2)
    declared = (Declared("a/a", verdict()), Declared("b/b", verdict("no-evidence", 0.0)))
    assert findings(claim=claim, declared=declared, matches=(match("a/a", "2026-01"),)) == [("HD003", "info")]


def test_a_finding_carries_line_evidence_and_patch() -> None:
    case = Case(
        ModelRef("me/model"),
        Claim(line=3),
        README,
        "2026-06",
        (match("big/base", "2026-01"),),
        (),
        frozenset({"big/base"}),
    )
    (finding,) = RULES["HD001"](case)
    assert finding.line == 3 and finding.evidence
    assert finding.patch is not None and "+base_model: big/base" in finding.patch.diff
    assert "shares its origin with big/base" in finding.message and "derived" not in finding.message


def test_a_foundation_model_that_was_uploaded_anew_is_not_accused() -> None:
    earlier = (match("some/child", "2026-01"),)
    bases = {"some/child": frozenset({"some/grandchild"})}
    assert findings(matches=earlier, bases=bases, foundations=frozenset({"me/model"})) == []
    assert findings(matches=earlier, bases=bases) == [("HD001", "warning")]


def test_identical_bits_need_no_correlation_to_be_close() -> None:
    copy = (match("big/base", "2026-01", origin="identical", similarity=None),)
    named = README + "A copy of big/base.\n"
    assert findings(matches=copy, foundations=frozenset({"big/base"}), card=named) == [("HD001", "warning")]


@pytest.mark.parametrize("base", ["../../etc/passwd", "/etc/passwd", "./model", "not a name", "a/b/c"])
def test_a_card_cannot_make_the_auditor_read_local_files(base: str, demo_models, tmp_path) -> None:
    from hubdna.audit import Auditor
    from hubdna.models import Loader
    from hubdna.store import IndexDir

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").symlink_to(demo_models / "pixelworks/vit-digits/model.safetensors")
    (folder / "README.md").write_text(f"---\nlicense: mit\nbase_model: {base!r}\n---\n")
    with IndexDir(tmp_path / "index", create=True) as index:
        (audit,) = Auditor(index, Loader("http://127.0.0.1:9")).audit([ModelRef(str(folder))])
    (finding,) = audit.findings
    assert finding.rule_id == "HD007" and "not the name of a model" in finding.message
