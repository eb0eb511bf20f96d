"""Audits to report on in which every word of others is hostile."""

from hubdna.records import (
    Audit,
    CardPatch,
    Claim,
    Evidence,
    Finding,
    Ignored,
    Match,
    ModelRef,
    Provenance,
    ReceiptGlance,
    ReceiptParent,
    Skipped,
    Verdict,
)

MADE = Provenance("ab" * 32, "/home/me/secret/index", 16, "weight-2/m=32", "0.1.0", "2026-11-24")

HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "![x](https://evil.example/p.png)",
    "[click](javascript:alert(1))", "@everyone", "hello @someone/team", "https://evil.example/x", "www.evil.example",
    "evil.example/model", "me@evil.example", "<https://evil.example>", "`code` then <b>bold</b>", "``` fence",
    "a``b```c````<i>", "#1 GH-1 org/repo#1", "**bold** _it_ ~~no~~", "| a | b |", "$x$", "&lt;b&gt;", ":smile:",
    "[^1] [ref][1] - [ ] box", "\\<b>", "line\n# heading\n\n<hr>", "\r\n- item", "=1+1", "=cmd|' /C calc'!A0", "+1",
    "-1+2", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1+1", "a;=1", 'a",=1', "{0} {1}", "\x1b[31mred", "\u202egnp.exe", "\x00",
    "\n ", "\ud800", "`", "<!-- hubdna -->", "---", "1. one", "> quote",
]  # fmt: skip
"""What an author may write where a name or a reason should stand."""


def verdict(origin: str = "common", direction: str = "undirected", **more) -> Verdict:
    evidence = Evidence((), -35.0, 0.9, 1, 32, 0, (0, 0), None, True, 0.05)
    known = {"relation": None, "certainty": "none", "log10_p": -35.0, "similarity": 0.9, "disguise": ()} | more
    return Verdict(origin=origin, direction=direction, evidence=evidence, **known)


def hostile(text: str) -> Audit:
    """An audit in which every word that is other people's is `text`."""
    ref = ModelRef(f"./{text}")
    diff = f"--- a/README.md\n+++ b/README.md\n@@ -1,1 +1,2 @@\n {text.splitlines()[0]}\n+base_model: {text!r}\n"
    found = Finding("HD001", "warning", ref, 3, f"The base {text} is", (f"read {text}", text), CardPatch(text, diff))
    match = Match(ModelRef(text), 1, verdict(undecided_because=text), text, (ModelRef(text),))
    return Audit(
        ref,
        Claim((text,), text, text, 3, text, f"https://{text}", (4,), 5, 6, (Skipped(text, text),)),
        (match,),
        (found,),
        MADE,
        (Skipped(f"{ref}/README.md", text),),
        (Ignored(found, text, "2027-01-31"),),
        ReceiptGlance(None, text, text, text, ReceiptParent(text, text, text), text, 40),
    )
