"""Families of an index: who belongs together, who came from whom, and what is left open."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from hubdna.dna import codec
from hubdna.lineage import descendants, families
from hubdna.models import Loader
from hubdna.records import Claim, Dna, Edge, Family, ModelRef
from hubdna.store import Entry, IndexDir

Tensors = dict[str, np.ndarray]
D, H = 64, 128


def net(seed: int) -> Tensors:
    """Four blocks of a gated feed-forward net."""
    rng = np.random.default_rng(seed)
    shapes = {"gate_proj": (H, D), "up_proj": (H, D), "down_proj": (D, H)}
    return {f"layers.{i}.mlp.{p}.weight": (rng.standard_normal(s) / 8).astype(np.float32)
            for i in range(4) for p, s in shapes.items()}  # fmt: skip


def tuned(model: Tensors, size: float, seed: int) -> Tensors:
    rng = np.random.default_rng(seed)
    return {n: (w + size * w.std() * rng.standard_normal(w.shape)).astype(np.float32) for n, w in model.items()}


def cast(model: Tensors) -> Tensors:
    return {n: w.astype(np.float16) for n, w in model.items()}


def pruned(model: Tensors) -> Tensors:
    return {n: np.where(np.abs(w) < np.median(np.abs(w)), 0, w).astype(w.dtype) for n, w in model.items()}


class Shelf:
    """An index that models are put into one by one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.index = folder, IndexDir(folder / "index", create=True)

    def dna(self, model: Tensors) -> Dna:
        path = self.folder / "model.safetensors"
        save_file({n: np.ascontiguousarray(w) for n, w in model.items()}, path)
        return Loader(level="full").load(ModelRef(str(path))).dna

    def put(self, name: str, model: Tensors | Dna, base: str | None = None, date: str | None = None) -> ModelRef:
        dna = model if isinstance(model, Dna) else self.dna(model)
        data, claim = codec.encode(dna), Claim(base_models=(base,) if base else ())
        entry = Entry(ModelRef(name), codec.digest(data), claim, len(dna.genes), "full", dna.content)
        self.index.add(replace(entry, created_at=date), data)
        return entry.ref

    def families(self, *names: str, **more: Any) -> list[Family]:
        self.index.sync()
        return list(families(self.index, [ModelRef(n) for n in names], **more))


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path)
    yield shelf
    shelf.index.close()


def told(edge: Edge) -> tuple[str, str, str]:
    return str(edge.parent), str(edge.child), edge.certainty


def members(family: Family) -> set[str]:
    return {str(m) for m in family.members} | {str(c) for _, same in family.copies for c in same}


# Who belongs together.


def test_an_empty_index_has_no_family(shelf: Shelf) -> None:
    assert shelf.families() == [] == shelf.families("a/absent")


def test_a_lone_model_is_a_family_only_when_it_is_asked_for(shelf: Shelf) -> None:
    shelf.put("a/one", net(0))
    assert shelf.families() == []
    (family,) = shelf.families("a/one")
    assert members(family) == {"a/one"} and family.edges == () == family.copies


def test_strangers_of_one_shape_are_no_family(shelf: Shelf) -> None:
    for seed in range(4):
        shelf.put(f"a/{seed}", net(seed))
    assert shelf.families() == []
    assert [members(f) for f in shelf.families("a/0", "a/1")] == [{"a/0"}, {"a/1"}]


def test_families_do_not_mix_and_each_is_told_once(shelf: Shelf) -> None:
    for seed in range(3):
        shelf.put(f"f{seed}/base", net(seed))
        for i in range(2 if seed < 2 else 0):
            shelf.put(f"f{seed}/ft{i}", tuned(net(seed), 0.1, 10 + i))
    found = shelf.families()
    assert sorted(map(members, found), key=min) == [{f"f{s}/base", f"f{s}/ft0", f"f{s}/ft1"} for s in (0, 1)]
    assert all(len(f.edges) == 2 for f in found)
    assert shelf.families("f0/base", "f0/ft1") == [f for f in found if "f0/base" in members(f)]


def test_copies_of_one_model_are_one_member(shelf: Shelf) -> None:
    dna = shelf.dna(net(0))
    for i in range(60):
        shelf.put(f"c/{i:02d}", dna, date=f"2024-01-{1 + (i + 3) % 28:02d}")
    (family,) = shelf.families()
    assert len(family.members) == 1 and family.edges == () and len(members(family)) == 60
    first = shelf.index.copies(shelf.index.get("c/00"))[0].ref
    assert family.members == (first,) == (family.copies[0][0],)


def test_copies_of_one_model_are_looked_up_once(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look-up gives all of them: one for every copy would cost the square of their number."""
    dna = shelf.dna(net(0))
    for i in range(60):
        shelf.put(f"c/{i:02d}", dna)
    asked, ask = [], shelf.index.copies
    monkeypatch.setattr(shelf.index, "copies", lambda entry: asked.append(entry) or ask(entry))
    assert len(shelf.families()) == 1 and len(asked) < 10


def test_sixty_copies_hide_no_child(shelf: Shelf) -> None:
    dna = shelf.dna(net(0))
    for i in range(60):
        shelf.put(f"c/{i:02d}", dna)
    shelf.put("z/child", tuned(net(0), 0.1, 1))
    for asked in ((), ("z/child",), ("c/30",)):
        (family,) = shelf.families(*asked)
        assert len(members(family)) == 61 and len(family.edges) == 1


def test_an_index_without_rows_settles_nothing_and_reads_them_where_it_can(shelf: Shelf) -> None:
    """As published: sketches and hashes only."""
    whole = {f"a/{i}": shelf.dna(m) for i, m in enumerate((net(0), tuned(net(0), 0.1, 1), net(2)))}
    for name, dna in whole.items():
        shelf.put(name, replace(dna, genes=tuple(replace(g, rows=None, scales=None) for g in dna.genes)))
    assert shelf.families() == []
    assert [members(f) for f in shelf.families("a/0")] == [{"a/0"}]
    (family,) = shelf.families(rows=lambda entry: whole[entry.ref.repo_id])
    assert members(family) == {"a/0", "a/1"}


# Who came from whom.


def test_a_cast_and_a_mask_are_certain_children(shelf: Shelf) -> None:
    shelf.put("z/base", net(0))
    shelf.put("a/cast", cast(net(0)))
    shelf.put("m/mask", pruned(net(0)))
    (family,) = shelf.families()
    assert set(map(told, family.edges)) == {("z/base", "a/cast", "certain"), ("z/base", "m/mask", "certain")}
    assert {str(e.child) for e in descendants(family, ModelRef("z/base"))} == {"a/cast", "m/mask"}
    assert descendants(family, ModelRef("a/cast")) == []


def test_two_fine_tunes_alone_have_no_direction(shelf: Shelf) -> None:
    shelf.put("a/one", tuned(net(0), 0.1, 1))
    shelf.put("a/two", tuned(net(0), 0.1, 2))
    (family,) = shelf.families()
    (edge,) = family.edges
    assert edge.certainty == "none" and edge.chance == pytest.approx(0.5)
    assert descendants(family, edge.parent) == [] == descendants(family, edge.child)


def test_bases_declared_in_a_circle_prove_nothing(shelf: Shelf) -> None:
    shelf.put("a/one", net(0), base="b/two")
    shelf.put("b/two", tuned(net(0), 0.1, 1), base="a/one")
    (family,) = shelf.families()
    (edge,) = family.edges
    assert edge.certainty == "none" and edge.because == ("each is declared on the other's card",)


def test_a_declaration_against_the_edge_is_told_as_such(shelf: Shelf) -> None:
    shelf.put("z/base", net(0), base="a/cast")
    shelf.put("a/cast", cast(net(0)))
    (edge,) = shelf.families()[0].edges
    assert told(edge) == ("z/base", "a/cast", "certain")
    assert edge.because[-1] == "the other's card declares it as the base"


def test_a_model_that_declares_itself_has_no_edge(shelf: Shelf) -> None:
    shelf.put("a/one", net(0), base="a/one")
    assert shelf.families() == []
    (family,) = shelf.families("a/one")
    assert family.edges == ()


def test_dates_and_a_card_alone_make_no_direction(shelf: Shelf) -> None:
    shelf.put("a/one", net(0), base="b/two", date="2024-06-01T00:00:00Z")
    shelf.put("b/two", tuned(net(0), 0.1, 1), date="2024-01-01T00:00:00Z")
    (family,) = shelf.families()
    (edge,) = family.edges
    assert told(edge) == ("b/two", "a/one", "none") and edge.because == ("published later", "declared on its card")


@pytest.mark.parametrize("n", [1, 8])
def test_marks_win_over_dates_and_cards(shelf: Shelf, n: int) -> None:
    """A cast that was published first and declared as the base of all; its own fine-tunes speak for it, too."""
    shelf.put("z/base", net(0), base="a/cast", date="2024-06-01T00:00:00Z")
    shelf.put("a/cast", cast(net(0)), date="2024-01-01T00:00:00Z")
    half = {k: w.astype(np.float32) for k, w in cast(net(0)).items()}
    for i in range(n):
        shelf.put(f"t/{i}", tuned(half, 0.2, i), base="a/cast", date=f"2024-07-0{1 + i}T00:00:00Z")
    (family,) = shelf.families()
    (edge,) = [e for e in family.edges if {str(e.parent), str(e.child)} == {"z/base", "a/cast"}]
    assert told(edge) == ("z/base", "a/cast", "certain") and edge.chance > 0.99
    assert "published later" not in edge.because


@pytest.mark.parametrize("other", ["a/norms", "z/norms"])
def test_a_third_model_with_the_same_matrices_makes_no_wrong_certain_edge(shelf: Shelf, other: str) -> None:
    """The cast of a base, and a fine-tune of the base that trained nothing but vectors."""
    shelf.put("b/base", net(0) | {"norm.weight": np.ones(D, np.float32)})
    shelf.put(other, net(0) | {"norm.weight": np.full(D, 1.1, np.float32)})
    shelf.put("c/cast", cast(net(0) | {"norm.weight": np.ones(D, np.float32)}))
    (family,) = shelf.families()
    (edge,) = [e for e in family.edges if str(e.child) == "c/cast"]
    assert edge.certainty == "none" and edge.chance <= 0.5 and "another model" in " ".join(edge.because)


def test_generations_are_found_in_order_and_the_same_from_every_member(shelf: Shelf) -> None:
    base, child = net(0), tuned(net(0), 0.2, 1)
    grandchild = tuned(child, 0.1, 2)
    family_of = {"a": base, "b": child, "c": grandchild, "d": cast(grandchild), "e": tuned(base, 0.1, 3)}
    for name, model in family_of.items():
        shelf.put(f"m/{name}", model)
    (family,) = shelf.families()
    pairs = {frozenset((str(e.parent), str(e.child))) for e in family.edges}
    assert pairs == {frozenset(p) for p in (("m/a", "m/b"), ("m/b", "m/c"), ("m/c", "m/d"), ("m/a", "m/e"))}
    for name in "abcde":
        (again,) = shelf.families(f"m/{name}")
        assert {frozenset((str(e.parent), str(e.child))) for e in again.edges} == pairs


def test_descendants_follow_directed_edges_down_and_nothing_else() -> None:
    refs = {n: ModelRef(f"m/{n}") for n in "abcde"}
    edges = [("a", "b", "certain"), ("b", "c", "likely"), ("c", "d", "none"), ("a", "e", "likely")]
    found = Family(tuple(refs.values()), (), tuple(Edge(refs[p], refs[c], k, 1.0, None) for p, c, k in edges))  # type: ignore[arg-type]
    assert [str(e.child) for e in descendants(found, refs["a"])] == ["m/b", "m/e", "m/c"]
    assert [str(e.child) for e in descendants(found, refs["b"])] == ["m/c"]
    assert descendants(found, refs["d"]) == [] == descendants(found, ModelRef("x/y"))


# What a merge tells when the index lacks one of its parents.


def test_a_merge_that_lacks_a_parent_is_remarked_on_and_gets_no_edge_of_a_merge(shelf: Shelf) -> None:
    base = net(1)
    a, b, hidden = (tuned(base, 0.1, seed) for seed in (2, 3, 4))
    rng = np.random.default_rng(5)

    def half(model: Tensors, name: str) -> Any:
        return (model[name] - base[name]) * (rng.random(base[name].shape) < 0.5)

    merge = {n: (w + 0.7 * half(a, n) + 0.6 * half(hidden, n)).astype(np.float32) for n, w in base.items()}
    for name, model in {"o/base": base, "o/a": a, "o/b": b, "o/merge": merge}.items():
        shelf.put(name, model)
    (found,) = shelf.families("o/merge", remarks=True)
    ((ref, remark),) = found.remarks
    assert (str(ref), remark.kind, remark.directed) == ("o/merge", "sparse", False)
    assert remark.unexplained == pytest.approx(2 / 3, abs=0.05)
    assert found.mixtures == () and all(e.relation != "merge" for e in found.edges)
    (quiet,) = shelf.families("o/merge")
    assert quiet.remarks == () and quiet.edges == found.edges
