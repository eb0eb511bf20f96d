"""Odd indexes: empty, one model, copies only, a thousand copies of one model, nothing in common, a buffer in all."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gaussian_models import add, child, dna_of, draw, renamed

from hubdna.records import ModelRef
from hubdna.search import MIN_CANDIDATES, nearest
from hubdna.store import IndexDir
from hubdna.store.vectors import Vectors

N_COPIES = 1000


def names(found) -> list[str]:
    return [m.ref.repo_id for m in found]


@pytest.fixture(scope="module")
def popular(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IndexDir]:
    """A thousand copies of model 1, two weak children of it, ten strangers."""
    with IndexDir(tmp_path_factory.mktemp("index"), create=True) as index:
        model = dna_of("copy/0000", draw(1))
        for i in range(N_COPIES):
            add(index, renamed(model, f"copy/{i:04d}"), f"2025-01-01T00:{i // 60:02d}:{i % 60:02d}")
        for seed in (2, 3):
            add(index, dna_of(f"child/{seed}", child(draw(1), 0.5, seed)))
        for seed in range(10, 20):
            add(index, dna_of(f"stranger/{seed}", draw(seed)))
        yield index


class TestManyCopiesOfOneModel:
    def test_they_are_one_match_named_by_the_first_that_was_published(self, popular: IndexDir) -> None:
        first, *others = nearest(dna_of("my/model", child(draw(1), 0.9, 4)), popular)
        assert first.ref.repo_id == "copy/0000" and first.verdict.origin == "common"
        assert len(first.copies) == N_COPIES - 1 and ModelRef("copy/0999", "main", "0" * 40) in first.copies
        assert sorted(names(others)) == ["child/2", "child/3"]

    def test_one_of_them_finds_all_others(self, popular: IndexDir) -> None:
        first, *others = nearest(dna_of("copy/0000", draw(1)), popular)
        assert (first.ref.repo_id, first.verdict.origin) == ("copy/0001", "identical")
        assert len(first.copies) == N_COPIES - 2 and "copy/0000" not in {r.repo_id for r in first.copies}
        assert sorted(names(others)) == ["child/2", "child/3"]

    def test_they_take_one_place_among_the_candidates(self, popular: IndexDir) -> None:
        candidates = popular.candidates(dna_of("my/model", child(draw(1), 0.9, 4)), MIN_CANDIDATES)
        assert [e.ref.repo_id for e in candidates].count("copy/0000") == 1
        assert not {e.ref.repo_id for e in candidates} & {f"copy/{i:04d}" for i in range(1, N_COPIES)}

    def test_they_are_one_distinct_sketch_a_gene(self, popular: IndexDir) -> None:
        table = popular.vectors.table
        assert len(table.ids) == 3 * (N_COPIES + 12) and len(table.starts) == 3 * 13

    def test_a_copy_that_is_removed_is_a_copy_less(self, popular: IndexDir) -> None:
        gone = popular.get("copy/0500")
        assert gone is not None and popular.remove("copy/0500")
        assert len(nearest(dna_of("my/model", child(draw(1), 0.9, 4)), popular)[0].copies) == N_COPIES - 2
        add(popular, dna_of("copy/0500", draw(1)), gone.created_at)
        popular.sync()
        assert len(nearest(dna_of("my/model", child(draw(1), 0.9, 4)), popular)[0].copies) == N_COPIES - 1


class TestOddIndexes:
    def test_an_empty_one_finds_nothing(self, index: IndexDir) -> None:
        assert nearest(dna_of("a/b", draw(1)), index) == []
        assert index.rebuild() == 0 and index.verify() == []

    @pytest.mark.parametrize(("name", "found"), [("a/b", []), ("c/d", ["a/b"])])
    def test_one_model_is_found_unless_it_is_the_query(self, index: IndexDir, name: str, found: list[str]) -> None:
        add(index, dna_of("a/b", draw(1)))
        assert names(nearest(dna_of(name, child(draw(1), 0.8, 2)), index)) == found

    def test_one_stranger_is_no_match(self, index: IndexDir) -> None:
        add(index, dna_of("a/b", draw(1)))
        assert nearest(dna_of("c/d", draw(2)), index) == []

    def test_copies_only_are_one_match(self, index: IndexDir) -> None:
        for i in range(20):
            add(index, dna_of(f"a/{i:02d}", draw(1)))
        (found,) = nearest(dna_of("c/d", draw(1)), index, 5)
        assert (found.ref.repo_id, found.verdict.origin, len(found.copies)) == ("a/00", "identical", 19)

    def test_models_of_other_shapes_are_no_candidates(self, index: IndexDir) -> None:
        for i in range(5):
            add(index, dna_of(f"a/{i}", draw(i, (96, 200 + i))))
        assert index.candidates(dna_of("c/d", draw(9)), 40) == []
        assert nearest(dna_of("c/d", draw(9)), index) == []

    def test_models_without_genes_take_no_part(self, index: IndexDir) -> None:
        add(index, dna_of("a/none", []))
        add(index, dna_of("a/b", draw(1)))
        assert names(nearest(dna_of("c/d", child(draw(1), 0.8, 2)), index)) == ["a/b"]
        assert nearest(dna_of("c/none", []), index, 3)[0].ref.repo_id == "a/none"  # equal bits: of nothing

    def test_an_index_stays_below_its_memory_a_model(self, popular: IndexDir) -> None:
        vectors = Vectors()
        assert vectors.layout.slots * vectors.layout.bits // 8 <= 1024
        for i in range(20):
            vectors.add(i, dna_of("a/b", [w for layer in range(3) for w in draw(3 * i + layer)][:8]))
        assert vectors.table.n_bytes / 20 <= 1.2 * 1024


class TestSharedBuffers:
    """A layer of fixed numbers stands in many unrelated models."""

    BUFFER = draw(999)[0]

    def with_buffer(self, weights):
        return [self.BUFFER, *weights[1:]]

    def test_a_buffer_that_everybody_has_does_not_bury_a_weak_relative(self, index: IndexDir) -> None:
        for i in range(100, 100 + 2 * MIN_CANDIDATES):
            add(index, dna_of(f"stranger/{i}", self.with_buffer(draw(i))))
        add(index, dna_of("parent/model", draw(1)))  # it has no buffer
        query = dna_of("my/model", self.with_buffer(child(draw(1), 0.3, 2)))
        assert index.candidates(query, 1)[0].ref.repo_id == "parent/model"
        assert names(nearest(query, index))[0] == "parent/model"

    def test_a_layer_that_many_fine_tunes_kept_is_no_buffer(self, index: IndexDir) -> None:
        """Forty models of one origin share a frozen layer: one origin, so the layer keeps its weight."""
        for i in range(40):
            add(index, dna_of(f"tune/{i}", self.with_buffer(child(draw(1), 0.9, 100 + i))))
        for i in range(10):
            add(index, dna_of(f"stranger/{i}", draw(200 + i)))
        query = dna_of("my/model", self.with_buffer(draw(5)))  # it kept nothing else
        votes = dict(index.vectors.vote(query.genes))
        assert len(votes) == 40 and min(votes.values()) > 20

    def test_the_same_layer_in_as_many_unrelated_models_weighs_little(self, index: IndexDir) -> None:
        for i in range(40):
            add(index, dna_of(f"stranger/{i}", self.with_buffer(draw(100 + i))))
        query = dna_of("my/model", self.with_buffer(draw(5)))
        assert max(v for _, v in index.vectors.vote(query.genes)) < 5

    def test_copies_of_those_models_change_no_weight(self, index: IndexDir) -> None:
        """Uploads are not origins: 5 origins with the buffer stay 5 when one of them has 100 copies."""
        for i in range(30):
            add(index, dna_of(f"stranger/{i}", draw(300 + i)))
        for i in range(5):
            add(index, dna_of(f"holder/{i}", self.with_buffer(draw(100 + i))))
        query = dna_of("my/model", self.with_buffer(draw(5)))
        before = dict(index.vectors.vote(query.genes))[index.get("holder/0").id]
        for i in range(100):
            add(index, renamed(dna_of("holder/0", self.with_buffer(draw(100))), f"copy/{i}"))
        index.sync()
        assert dict(index.vectors.vote(query.genes))[index.get("holder/0").id] == pytest.approx(before, rel=0.05)


def test_the_order_in_which_models_come_changes_no_ranking(tmp_path: Path) -> None:
    rankings = []
    for order in (range(12), reversed(range(12))):
        with IndexDir(tmp_path / str(len(rankings)), create=True) as index:
            for i in order:
                add(index, dna_of(f"a/{i}", child(draw(1), 0.2 + 0.05 * i, 50 + i)))
            rankings.append(names(nearest(dna_of("c/d", draw(1)), index, 12)))
    assert rankings[0] == rankings[1] and len(rankings[0]) == 12


def test_sketches_of_an_older_format_are_made_anew(index: IndexDir) -> None:
    add(index, dna_of("a/b", draw(1)))
    index.sync()
    said = (index.path / "sketches.json").read_text()
    (index.path / "sketches.json").write_text(said.replace("sketches/2", "sketches/1"))
    with IndexDir(index.path) as again:
        assert names(nearest(dna_of("c/d", child(draw(1), 0.5, 2)), again)) == ["a/b"]
    assert (index.path / "sketches.json").read_text() == said


def test_a_file_of_other_sketches_is_refused(index: IndexDir, tmp_path: Path) -> None:
    import faiss

    faiss.write_index_binary(faiss.IndexBinaryFlat(256), str(tmp_path / "other.faiss"))
    with pytest.raises(ValueError, match="not sketches of"):
        Vectors(tmp_path / "other.faiss")


def test_adding_and_removing_leaves_what_was_there() -> None:
    vectors = Vectors()
    for i in range(6):
        vectors.add(i, dna_of("a/b", draw(i)))
    before = vectors.table
    vectors.add(77, dna_of("a/b", draw(3)))
    assert 77 in vectors.model_ids and vectors.holds(77, dna_of("a/b", draw(3)))
    vectors.remove({77, 12345})
    for name in ("ids", "codes", "starts", "by_model", "models", "first", "sheets"):
        np.testing.assert_array_equal(getattr(vectors.table, name), getattr(before, name))
