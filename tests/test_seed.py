"""The shipped seed: sound, small, without weights, and honest about its size."""

from pathlib import Path

import pytest

from hubdna import seed
from hubdna.errors import IndexDirError
from hubdna.records import Claim, ModelRef
from hubdna.store import Entry, IndexDir


def test_the_seed_is_sound_and_published() -> None:
    with IndexDir(seed.seed_dir(), read_only=True) as index:
        assert index.verify() == []
        assert index.info().published and index.info().n_models >= 40
        assert all(g.rows is None for entry in index.entries() for g in index.dna(entry).genes)


def test_the_seed_is_read_without_writing() -> None:
    before = {f: f.stat().st_mtime_ns for f in seed.seed_dir().rglob("*")}
    with IndexDir(seed.seed_dir(), read_only=True) as index:
        entry = next(index.entries())
        index.candidates(index.dna(entry), 5)
    assert {f: f.stat().st_mtime_ns for f in seed.seed_dir().rglob("*")} == before


def test_the_recipe_lists_about_300_foundations_once_each() -> None:
    names = seed.foundations()
    assert 280 <= len(names) <= 330 and len(set(names)) == len(names)


def test_without_an_index_the_users_own_comes_before_the_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seed, "user_index", lambda: tmp_path / "mine")
    with seed.open_index(None) as index:
        assert index.path == seed.seed_dir() and "sample" in seed.describe(index)
    IndexDir(tmp_path / "mine", create=True).close()
    with seed.open_index(None) as index:
        assert index.path == tmp_path / "mine" and "(0 models)" in seed.describe(index)


def test_models_of_which_nothing_can_be_tested_are_counted_where_the_index_is_named(tmp_path: Path) -> None:
    with IndexDir(tmp_path, create=True) as index:
        index.add(Entry(ModelRef("a/mute"), "0" * 64, Claim(), 0, "small"), b"no DNA is read here")
        assert seed.describe(index) == f"{tmp_path} (1 model, 1 of which nothing can be tested)"
        index.add(Entry(ModelRef("a/other"), "1" * 64, Claim(), 3, "small"), b"no DNA is read here")
        assert seed.describe(index) == f"{tmp_path} (2 models, 1 of which nothing can be tested)"


def test_a_malformed_recipe_is_refused_by_name(tmp_path: Path) -> None:
    for text in ("not toml [", "other = 1", "foundation = [1]"):
        (tmp_path / "recipe.toml").write_text(text)
        with pytest.raises(IndexDirError, match=r"recipe\.toml"):
            seed.foundations(tmp_path / "recipe.toml")
