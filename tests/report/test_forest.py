"""Family trees in every format: each is read back by a parser of its own, whatever the names hold."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from io import BytesIO, StringIO

import networkx as nx
import pytest
from report_families import (
    ALL,
    ALONE,
    CERTAIN_CYCLE,
    CYCLE,
    EVERY_KIND,
    HOSTILE,
    MIXTURE,
    NASTY,
    TWO_PARTS,
    WITHOUT_DIRECTION,
    edge,
    family,
)  # fmt: skip
from rich.console import Console, RenderableType

from hubdna.descent import reachable
from hubdna.lineage import descendants
from hubdna.records import Descent, Family, ModelRef, Provenance
from hubdna.report import diagrams, svg, tree
from hubdna.report import json as report_json
from hubdna.report.forest import far_end, lay_out, layouts, plain, words

ORIGIN = Provenance("d", "here", 3, "s", "v", "2026-01-01")
FAMILIES = pytest.mark.parametrize("one", ALL, ids=lambda f: f"{len(f.members)} members")
SVG = "{http://www.w3.org/2000/svg}"
DOT_NODE = re.compile(r'  (n\d+) \[label="((?:[^"\\]|\\.)*)"\];')
DOT_EDGE = re.compile(
    r'  (n\d+) -> (n\d+) \[label="((?:[^"\\]|\\.)*)", '
    r'(?:style=(?:solid|dashed|dotted, dir=none)|color="black:invis:black")\];'
)
MERMAID_NODE = re.compile(r'  (n\d+)\["([^"\[\]{}<>`|&]*(?:<br/>[^"\[\]{}<>`|&]*)?)"\]')
MERMAID_EDGE = re.compile(r'  (n\d+) (-->|-\.->|-\.-|==>)\|"([^"\[\]{}<>`|&]*)"\| (n\d+)')


def names(one: Family) -> list[str]:
    return sorted(m.repo_id for m in one.members)


def shown(report: RenderableType) -> str:
    out = StringIO()
    Console(file=out, width=2000, color_system=None).print(report)
    return out.getvalue()


class TestLayout:
    @FAMILIES
    def test_every_member_and_every_edge_stands_once(self, one: Family) -> None:
        layout = lay_out(one)
        assert sorted(layout.walk()) == names(one)
        drawn = [*layout.beside, *(e for edges in layout.below.values() for e in edges)]
        assert sorted(map(repr, drawn)) == sorted(map(repr, one.edges))

    @pytest.mark.parametrize("one", [EVERY_KIND, TWO_PARTS, WITHOUT_DIRECTION], ids=["every", "parts", "none"])
    def test_arrows_lead_to_a_deeper_layer(self, one: Family) -> None:
        layer = lay_out(one).layer
        directed = [e for e in one.edges if e.certainty != "none"]
        assert all(layer[e.parent.repo_id] < layer[e.child.repo_id] for e in directed)

    def test_a_member_with_a_parent_hangs_on_no_neighbour_of_unknown_direction(self) -> None:
        layout = lay_out(TWO_PARTS)
        assert layout.roots == ("o/r", "o/p")
        assert [(e.parent.repo_id, e.child.repo_id) for e in layout.beside] == [("o/q", "o/x")]
        assert [far_end(e, "o/y") for e in layout.below["o/y"]] == ["o/z"]

    def test_without_any_direction_the_member_with_most_neighbours_is_on_top(self) -> None:
        assert lay_out(WITHOUT_DIRECTION).roots == ("o/hub",)

    def test_of_two_without_direction_the_likelier_parent_is_on_top(self) -> None:
        assert lay_out(family(edge("o/z", "o/a", "none"))).roots == ("o/z",)

    def test_a_cycle_is_cut_where_it_is_least_sure(self) -> None:
        assert [e.chance for e in lay_out(CYCLE).beside] == [0.9]
        assert [e.certainty for e in lay_out(CERTAIN_CYCLE).beside] == ["likely"]

    def test_a_chain_of_thousands_is_laid_out(self) -> None:
        chain = family(*(edge(f"o/{i:05}", f"o/{i + 1:05}") for i in range(3000)))
        assert max(lay_out(chain).layer.values()) == 3000
        assert len(svg.svg([chain])) > 3000

    def test_the_largest_family_is_first(self) -> None:
        sizes = [len(layout.layer) for layout in layouts(ALL)]
        assert sizes == sorted(sizes, reverse=True)

    def test_a_chance_is_never_rounded_up(self) -> None:
        assert words(edge("a", "b", chance=0.949)) == "likely 0.94"
        assert words(edge("a", "b", chance=0.999)) == "likely 0.99"


class TestGraphml:
    @FAMILIES
    def test_networkx_reads_it_back(self, one: Family) -> None:
        graph = nx.read_graphml(BytesIO(diagrams.graphml([one]).encode()))
        assert sorted(d["label"] for _, d in graph.nodes(data=True)) == sorted(plain(n) for n in names(one))
        label = dict(graph.nodes(data="label"))
        found = {(label[u], label[v], d["certainty"], d["directed"], d["chance"]) for u, v, d in graph.edges(data=True)}
        assert found == {
            (plain(e.parent.repo_id), plain(e.child.repo_id), e.certainty, e.certainty != "none", e.chance)
            for e in one.edges
        }

    def test_families_are_numbered_and_copies_named(self) -> None:
        graph = nx.read_graphml(BytesIO(diagrams.graphml(ALL).encode()))
        assert {d["family"] for _, d in graph.nodes(data=True)} == set(range(1, len(ALL) + 1))
        (copies,) = [d["copies"] for _, d in graph.nodes(data=True) if d["label"] == "org/tuned"]
        assert copies == "org/copy-5"


class TestDotAndMermaid:
    @FAMILIES
    def test_every_line_of_dot_is_a_node_or_an_edge(self, one: Family) -> None:
        head, shape, *lines, foot, empty = diagrams.dot([one]).split("\n")
        assert (head, shape, foot, empty) == ("digraph families {", "  node [shape=box];", "}", "")
        nodes = [m for text in lines if (m := DOT_NODE.fullmatch(text))]
        edges = [m for text in lines if (m := DOT_EDGE.fullmatch(text))]
        assert (len(nodes), len(edges), len(lines)) == (len(one.members), len(one.edges), len(nodes) + len(edges))
        ids = {m[1]: re.sub(r"\\(.)", lambda c: "\n" if c[1] == "n" else c[1], m[2]) for m in nodes}
        labels = sorted(text.partition("\n")[0].replace("&amp;", "&") for text in ids.values())
        assert labels == sorted(plain(n) for n in names(one))
        assert {u for m in edges for u in (m[1], m[2])} <= ids.keys()

    @FAMILIES
    def test_every_line_of_mermaid_is_a_node_or_an_edge(self, one: Family) -> None:
        head, *lines, empty = diagrams.mermaid([one]).split("\n")
        assert (head, empty) == ("graph TD", "")
        nodes = [m for text in lines if (m := MERMAID_NODE.fullmatch(text))]
        edges = [m for text in lines if (m := MERMAID_EDGE.fullmatch(text))]
        assert (len(nodes), len(edges), len(lines)) == (len(one.members), len(one.edges), len(nodes) + len(edges))
        read = sorted(re.sub(r"#(\d+);", lambda c: chr(int(c[1])), m[2].partition("<br/>")[0]) for m in nodes)
        assert read == sorted(plain(n) for n in names(one))

    def test_the_arrow_tells_the_kind(self) -> None:
        text = diagrams.mermaid([EVERY_KIND])
        label = {m[1]: m[2].partition("<br/>")[0] for m in MERMAID_NODE.finditer(text)}
        arrows = {(label[m[1]], label[m[4]]): m[2] for m in MERMAID_EDGE.finditer(text)}
        assert arrows["org/base", "org/rounded"] == "-->"
        assert arrows["org/base", "org/tuned"] == "-.->"
        assert arrows["org/base", "org/other"] == "-.-"
        assert arrows["org/other", "org/merged"] == arrows["org/deeper", "org/merged"] == "==>"


class TestSvg:
    @FAMILIES
    def test_it_is_well_formed_and_holds_whole_names(self, one: Family) -> None:
        root = ET.fromstring(svg.svg([one]))
        titles = [t.text or "" for t in root.iter(f"{SVG}title")]
        assert all(any(t.partition("; ")[0] == plain(name) or plain(name) in t for t in titles) for name in names(one))
        assert len(list(root.iter(f"{SVG}rect"))) == 1 + len(one.members)

    def test_names_bring_in_no_element_and_no_attribute(self) -> None:
        tame = family(*(edge(f"x/{i}", f"x/{i + 1}") for i in range(len(HOSTILE))))
        root = ET.fromstring(svg.svg([NASTY]))
        known = {e.tag for e in ET.fromstring(svg.svg([tame, EVERY_KIND])).iter()}
        attributes = {a for e in ET.fromstring(svg.svg([tame, EVERY_KIND])).iter() for a in e.attrib}
        assert {e.tag for e in root.iter()} <= known
        assert {a for e in root.iter() for a in e.attrib} <= attributes
        assert not any("http" in text for e in root.iter() for text in e.attrib.values())

    @FAMILIES
    def test_no_two_boxes_overlap_and_all_lie_on_the_ground(self, one: Family) -> None:
        root = ET.fromstring(svg.svg([one, EVERY_KIND]))
        ground, *rects = [[float(r.get(k, 0)) for k in ("x", "y", "width", "height")] for r in root.iter(f"{SVG}rect")]
        for i, (x, y, w, h) in enumerate(rects):
            assert 0 <= x and x + w <= ground[2] and 0 <= y and y + h <= ground[3]
            for x2, y2, w2, h2 in rects[:i]:
                assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y

    @FAMILIES
    def test_labels_stay_in_their_boxes(self, one: Family) -> None:
        for group in ET.fromstring(svg.svg([one])).iter(f"{SVG}g"):
            box = group.find(f"{SVG}rect")
            for text in group.iter(f"{SVG}text"):
                assert box is not None
                end = float(text.get("x", 0)) + float(text.get("textLength", 0))
                assert end <= float(box.get("x", 0)) + float(box.get("width", 0))

    def test_an_edge_without_direction_has_no_arrowhead_and_a_merge_two_lines(self) -> None:
        paths = [p for g in ET.fromstring(svg.svg([EVERY_KIND])).iter(f"{SVG}g") for p in g.iter(f"{SVG}path")]
        heads = {(p.get("class"), p.get("marker-end") is not None) for p in paths}
        kinds = {("certain", True), ("likely", True), ("open", False), ("merge", True), ("inner", False)}
        assert heads == kinds

    def test_equal_families_give_equal_bytes(self) -> None:
        turned = [Family(f.members[::-1], f.copies[::-1], f.edges[::-1], f.mixtures) for f in reversed(ALL)]
        for form in (svg.svg, diagrams.graphml, diagrams.dot, diagrams.mermaid):
            assert form(turned) == form(ALL)

    def test_a_line_without_direction_is_drawn_to_the_right(self) -> None:
        """To the left it would run below the box that it ends at."""
        chains = [edge(a, b) for a, b in (("o/r", "o/x"), ("o/x", "o/y"), ("o/y", "o/z"), ("o/p", "o/q"))]
        drawn = svg.svg([family(*chains, edge("o/z", "o/q", "none"))])
        (path,) = re.findall(r'class="open" d="([^"]*)"', drawn.split("o/z - o/q")[1])[:1]
        across = [float(x) for x in re.findall(r"([\d.]+) [\d.]+", path)]
        assert across == sorted(across)

    def test_a_long_name_is_cut_in_the_middle(self) -> None:
        assert svg.cut("organisation/" + "x" * 60 + "-final") == "organisation/xxxxx…xxxxxxxxxxx-final"
        assert svg.cut("short") == "short"

    def test_without_families_it_says_so(self) -> None:
        assert "No families" in "".join(ET.fromstring(svg.svg([])).itertext())


class TestJson:
    @FAMILIES
    def test_names_come_back_as_they_are(self, one: Family) -> None:
        (read,) = json.loads(report_json.lineage([one], ORIGIN))["families"]
        assert sorted(read["members"]) == names(one)
        assert [(e["parent"], e["child"], e["directed"]) for e in read["edges"]] == [
            (e.parent.repo_id, e.child.repo_id, e.certainty != "none") for e in one.edges
        ]

    def test_a_merge_names_its_parents_and_their_shares(self) -> None:
        merged = Family(ALONE.members, (), (), ((ModelRef("o/alone"), MIXTURE),))
        (read,) = json.loads(report_json.lineage([merged], ORIGIN))["families"]
        assert read["mixtures"] == [
            {"model": "o/alone", "kind": "linear", "directed": True, "unexplained": 0.0, "base": None,
             "parents": [{"model": "o/a", "share": 0.6}, {"model": "o/b", "share": 0.4}],
             "layers": [{"layer": 1, "model": "o/b", "source_layer": 7}]}
        ]  # fmt: skip

    def test_a_remark_is_no_mixture_and_names_nobody(self) -> None:
        lacking = replace(ALONE, remarks=((ModelRef("o/alone"), replace(MIXTURE, directed=False, unexplained=0.4)),))
        (read,) = json.loads(report_json.lineage([lacking], ORIGIN))["families"]
        assert read["mixtures"] == [] and read["edges"] == []
        (remark,) = read["remarks"]
        assert (remark["model"], remark["kind"], remark["unexplained"]) == ("o/alone", "linear", 0.4)
        assert "40%" in remark["text"] and "may be missing" in remark["text"] and "o/a" not in remark["text"]


class TestText:
    def test_a_remark_stands_below_its_member(self) -> None:
        of_layers = replace(MIXTURE, kind="layers", directed=False, unexplained=0.5)
        lines = shown(tree.lineage([replace(ALONE, remarks=((ModelRef("o/alone"), of_layers),))], "here")).splitlines()
        (at,) = [i for i, text in enumerate(lines) if "remark: 50% of its matrices" in text]
        assert "o/alone" in lines[at - 1]
        assert "a parent may be missing, or layers were trained on" in lines[at]

    @FAMILIES
    def test_every_member_has_its_line_and_no_control_character_is_left(self, one: Family) -> None:
        text = shown(tree.lineage([one], "here"))
        assert all(plain(name) in text for name in names(one))
        assert all(c.isprintable() or c == "\n" for c in text)

    def test_a_merge_names_all_its_parents(self) -> None:
        lines = shown(tree.lineage([EVERY_KIND], "here")).splitlines()
        at = next(i for i, text in enumerate(lines) if "org/merged" in text)
        assert "org/deeper " in lines[at - 1]
        assert "also from org/other" in lines[at + 1]

    def test_copies_are_counted_and_some_named(self) -> None:
        text = shown(tree.lineage([EVERY_KIND], "here"))
        assert "and 4 identical copies: org/copy-1, org/copy-2, org/copy-3, ...\n" in text
        assert "and 1 identical copy: org/copy-5\n" in text

    def test_neighbours_without_direction_carry_a_question_mark(self) -> None:
        text = shown(tree.lineage([WITHOUT_DIRECTION], "here"))
        assert len(re.findall(r"o/\w+  \?: a reason$", text, re.MULTILINE)) == 5

    def test_what_is_said_of_a_child_is_not_said_of_a_parent_that_is_drawn_below(self) -> None:
        turned = family(edge("o/a", "o/hub", "none"), edge("o/b", "o/hub", "none"))
        text = shown(tree.lineage([turned], "here"))
        assert len(re.findall(r"o/\w  \?$", text, re.MULTILINE)) == 2

    def test_relatives_beyond_an_edge_without_direction_may_be_descendants(self) -> None:
        base, tuned = ModelRef("org/base"), ModelRef("org/tuned")
        assert len(descendants(EVERY_KIND, base)) == 4
        assert reachable(EVERY_KIND, base) == 6
        assert len(descendants(EVERY_KIND, tuned)) == reachable(EVERY_KIND, tuned) == 2

    def test_descendants_say_what_was_left_out(self) -> None:
        ref = ModelRef("o/a")
        text = shown(tree.descent(Descent(ref, ref, (edge("o/a", "o/b"),), 3)))
        assert "o/b  likely 0.90: a reason (from o/a)" in text
        assert "3 more relatives are undirected" in text
        assert "crawl it" in shown(tree.descent(Descent(ref, ref, None, because="crawl it")))
