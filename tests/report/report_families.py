"""Families made by hand: every kind of edge, and names that try to break out of a format."""

from hubdna.records import Edge, Family, LayerSource, Member, Mixture, ModelRef

HOSTILE = [
    'a/quote"s"', "a/<script>alert(1)</script>", "a/new\nline\r\n", "a/\u202eright-to-left\u202c\u200f", "a/cdata]]>x",
    'a/x"--> <b> & amp; &#34;', "a/end];} graph TD", "a/back\\slash\\N\\", "a/`tick` #quot; ${x} {{y}}",
    "a/nul\x00\x1b[31m",
    "a/|pipe| %% comment", "a/'apostrophe'", "a/\ud800surrogate", "a/" + "long-" * 60 + "end", "a/名前は長い" * 12, "/",
]  # fmt: skip


def edge(parent: str, child: str, certainty: str = "likely", relation: str | None = None, chance: float = 0.9) -> Edge:
    return Edge(ModelRef(parent), ModelRef(child), certainty, chance, relation, ("a reason",))  # type: ignore[arg-type]


def family(*edges: Edge, members: tuple[str, ...] = (), copies: dict[str, list[str]] | None = None) -> Family:
    names = dict.fromkeys([*members, *(m.repo_id for e in edges for m in (e.parent, e.child))])
    return Family(
        tuple(ModelRef(n) for n in names),
        tuple((ModelRef(n), tuple(ModelRef(c) for c in same)) for n, same in (copies or {}).items()),
        edges,
    )


EVERY_KIND = family(
    edge("org/base", "org/rounded", "certain", "cast", 1.0),
    edge("org/base", "org/tuned", chance=0.998),
    edge("org/tuned", "org/deeper"),
    edge("org/other", "org/deeper-too", chance=0.95),
    edge("org/base", "org/other", "none"),
    edge("org/deeper", "org/merged", relation="merge"),
    edge("org/other", "org/merged", relation="merge"),
    copies={"org/base": ["org/copy-1", "org/copy-2", "org/copy-3", "org/copy-4"], "org/tuned": ["org/copy-5"]},
)
WITHOUT_DIRECTION = family(*(edge("o/hub", f"o/{i}", "none") for i in range(4)), edge("o/2", "o/far", "none"))
CYCLE = family(edge("o/a", "o/b", chance=0.96), edge("o/b", "o/c"), edge("o/c", "o/a", chance=0.99))
CERTAIN_CYCLE = family(edge("o/a", "o/b", "certain"), edge("o/b", "o/a", relation="merge"))
TWO_PARTS = family(  # one part is met at a model that has a parent itself
    edge("o/r", "o/x"), edge("o/r", "o/y"), edge("o/p", "o/q"), edge("o/q", "o/x", "none"), edge("o/y", "o/z", "none")
)
ALONE = family(members=("o/alone",))
NASTY = family(
    *(edge(a, b, c) for a, b, c in zip(HOSTILE[:-1], HOSTILE[1:], ["certain", "likely", "none"] * 5, strict=True)),
    Edge(ModelRef(HOSTILE[0]), ModelRef(HOSTILE[4]), "likely", 1.0, "merge", ('"] --> n0 <!-- ]]> \n',)),
    copies={HOSTILE[1]: HOSTILE[2:4]},
)
ALL = [EVERY_KIND, WITHOUT_DIRECTION, CYCLE, CERTAIN_CYCLE, TWO_PARTS, ALONE, NASTY]
MIXTURE = Mixture(
    "linear",
    (Member(ModelRef("o/a"), 0.6, (0.6,)), Member(ModelRef("o/b"), 0.4, (0.4,))),
    None,
    ("w",),
    0.0,
    True,
    (LayerSource(1, ModelRef("o/b"), 7),),
)
