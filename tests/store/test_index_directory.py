"""The index directory: models come, change and go; its digest is canonical; other people's files are refused."""

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from store_models import MODELS, add_all, entry_of

from hubdna.dna import codec
from hubdna.errors import IndexDirError
from hubdna.records import Claim, ModelRef
from hubdna.store import IndexDir


def files(folder: Path) -> dict[str, str]:
    return {
        str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in folder.rglob("*") if f.is_file()
    }


def dna_files(folder: Path) -> list[str]:
    return sorted(f.stem for f in folder.glob("dna/*/*.dna"))


class TestModels:
    def test_what_was_added_is_read_back(self, index: IndexDir) -> None:
        expected = add_all(index)
        assert [e.ref.repo_id for e in index.entries()] == sorted(MODELS)
        for entry, data in expected:
            stored = index.get(entry.ref.repo_id)
            assert stored is not None
            assert replace(stored, id=-1) == entry
            assert codec.encode(index.dna(stored)) == data
        assert index.verify() == []

    def test_a_model_that_changed_replaces_its_row_and_its_file(self, index: IndexDir) -> None:
        add_all(index)
        old, new = index.get(MODELS[0]), entry_of(MODELS[1])
        assert old is not None
        index.add(replace(new[0], ref=replace(old.ref, sha="f" * 40)), new[1])
        assert len(list(index.entries())) == len(MODELS)
        assert old.dna not in dna_files(index.path)
        assert index.verify() == []
        found = index.get(MODELS[0])
        assert found is not None and found.dna == new[0].dna and found.id != old.id

    def test_exact_copies_share_one_file_until_the_last_of_them_goes(self, index: IndexDir) -> None:
        entry, data = entry_of(MODELS[0])
        index.add(entry, data)
        index.add(replace(entry, ref=ModelRef("copy/cat", sha="1" * 40)), data)
        assert dna_files(index.path) == [entry.dna]
        assert index.remove(MODELS[0])
        assert dna_files(index.path) == [entry.dna]
        assert index.verify() == []
        assert index.remove("copy/cat")
        assert dna_files(index.path) == []

    def test_a_removed_model_leaves_nothing_behind(self, index: IndexDir) -> None:
        add_all(index)
        gone = index.get(MODELS[0])
        assert gone is not None
        assert gone.id in index.vectors.model_ids
        assert index.remove(MODELS[0])
        assert index.get(MODELS[0]) is None
        assert gone.id not in index.vectors.model_ids
        assert gone.dna not in dna_files(index.path)
        assert not index.remove(MODELS[0])
        index.close()
        with IndexDir(index.path) as again:
            assert gone.id not in again.vectors.model_ids
            assert again.verify() == []

    def test_a_skip_is_remembered_for_its_commit_and_forgotten_when_the_model_comes(self, index: IndexDir) -> None:
        entry, data = entry_of(MODELS[0])
        index.skip(entry.ref, "broken header", permanent=True)
        assert index.catalogue.skipped_for_good(entry.ref)
        assert not index.catalogue.skipped_for_good(replace(entry.ref, sha="0" * 40))
        assert [(s.subject, s.reason) for s in index.skips()] == [(MODELS[0], "broken header")]
        index.skip(entry.ref, "429", permanent=False)
        assert not index.catalogue.skipped_for_good(entry.ref)
        index.add(entry, data)
        assert index.skips() == []

    def test_info_counts_what_is_there(self, index: IndexDir) -> None:
        add_all(index)
        index.skip(ModelRef("a/b", sha="2" * 40), "gated", permanent=False)
        info = index.info()
        assert (info.n_models, info.n_skipped, info.published) == (len(MODELS), 1, False)
        assert info.n_bytes >= sum(f.stat().st_size for f in index.path.rglob("*.dna"))
        assert info.digest == index.digest()

    def test_candidates_of_a_model_begin_with_itself(self, index: IndexDir) -> None:
        for entry, data in add_all(index):
            first = index.candidates(codec.decode(data, "x"), 3)[0]
            assert first.ref == entry.ref

    def test_names_and_claims_in_any_script_are_kept(self, index: IndexDir) -> None:
        entry, data = entry_of(MODELS[0])
        odd = replace(
            entry, ref=ModelRef("o'brien/模型", "réf", "3" * 40), claim=Claim(("'; DROP TABLE models; --",), "🤗", "ü"),
            author="Ünïcode",
        )  # fmt: skip
        index.add(odd, data)
        found = index.get("o'brien/模型")
        assert found is not None and replace(found, id=-1) == odd
        assert index.verify() == []


class TestDigest:
    def test_it_depends_neither_on_order_nor_on_cost(self, tmp_path: Path) -> None:
        digests = set()
        for i, order in enumerate([MODELS, MODELS[::-1], MODELS[1:] + MODELS[:1]]):
            with IndexDir(tmp_path / str(i), create=True) as index:
                for name in order:
                    entry, data = entry_of(name)
                    index.add(replace(entry, n_bytes=i * 1000 + 1, n_requests=i), data)
                digests.add(index.digest())
        assert len(digests) == 1

    def test_adding_and_removing_restores_it(self, index: IndexDir) -> None:
        add_all(index)
        before = index.digest()
        entry, data = entry_of(MODELS[0])
        index.add(replace(entry, ref=ModelRef("x/y", sha="4" * 40)), data)
        assert index.digest() != before
        index.remove("x/y")
        assert index.digest() == before

    @pytest.mark.parametrize("field", ["claim", "created_at", "visibility", "dna"])
    def test_it_changes_with_what_is_said_about_a_model(self, index: IndexDir, field: str) -> None:
        add_all(index)
        before = index.digest()
        entry, data = entry_of(MODELS[0])
        other, other_data = entry_of(MODELS[1])
        changes = {"claim": Claim(("x/y",)), "created_at": "1999-01-01", "visibility": "gated", "dna": other.dna}
        index.add(replace(entry, **{field: changes[field]}), other_data if field == "dna" else data)
        assert index.digest() != before


class TestOpening:
    def test_reading_only_writes_nothing_and_answers_the_same(self, index: IndexDir) -> None:
        add_all(index)
        index.sync()
        digest, voted = index.digest(), [e.ref for e in index.candidates(codec.decode(entry_of(MODELS[0])[1], "x"), 5)]
        index.close()
        (index.path / "sketches.faiss").unlink()
        before = files(index.path)
        for path in (index.path, *index.path.iterdir()):
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            with IndexDir(index.path, read_only=True) as again:
                assert again.digest() == digest
                assert [e.ref for e in again.candidates(codec.decode(entry_of(MODELS[0])[1], "x"), 5)] == voted
                assert again.verify() == []
        finally:
            for path in (index.path, *index.path.iterdir()):
                path.chmod(0o755 if path.is_dir() else 0o644)
        assert files(index.path) == before

    def test_an_absent_index_is_not_made_by_looking(self, tmp_path: Path) -> None:
        with pytest.raises(IndexDirError, match="no index there"):
            IndexDir(tmp_path / "none")
        assert list(tmp_path.iterdir()) == []

    def test_an_index_below_a_file_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(IndexDirError, match="cannot be made"):
            IndexDir(tmp_path / "file" / "index", create=True)

    @pytest.mark.parametrize("content", [b"not a database", b"SQLite format 3\0" + b"\xff" * 5000, os.urandom(8192)])
    @pytest.mark.parametrize("read_only", [True, False])
    def test_a_file_that_is_no_database_is_refused(self, tmp_path: Path, content: bytes, read_only: bool) -> None:
        (tmp_path / "catalogue.sqlite").write_bytes(content)
        with pytest.raises(IndexDirError, match="not a catalogue of hubdna"):
            IndexDir(tmp_path, read_only=read_only)
        assert (tmp_path / "catalogue.sqlite").read_bytes() == content

    @pytest.mark.parametrize(("key", "reason"), [("scheme", "holds scheme other"), ("schema", "found other")])
    @pytest.mark.parametrize("read_only", [True, False])
    def test_an_index_of_another_version_is_refused(
        self, index: IndexDir, key: str, reason: str, read_only: bool
    ) -> None:
        index.catalogue.set_about(key, "other/1")
        index.close()
        with pytest.raises(IndexDirError, match=reason):
            IndexDir(index.path, read_only=read_only)

    def test_a_row_cannot_name_a_file_outside_the_index(self, index: IndexDir) -> None:
        entry, data = entry_of(MODELS[0])
        index.add(entry, data)
        victim = index.path.parent / "victim.dna"
        victim.write_bytes(b"precious")
        with sqlite3.connect(index.path / "catalogue.sqlite") as db:
            db.execute("UPDATE models SET dna = '../../../victim'")
        with pytest.raises(IndexDirError):
            index.remove(entry.ref.repo_id)
        assert victim.read_bytes() == b"precious"


WRITER = """
import json, sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from store_models import MODELS, entry_of
from hubdna.records import ModelRef
from hubdna.store import IndexDir
entry, data = entry_of(MODELS[0])
with IndexDir(Path(sys.argv[1])) as index:
    print("open", flush=True)
    for i in range(300):
        index.add(replace(entry, ref=ModelRef(f"copy/{i:04d}", sha="5" * 40)), data)
    index.sync()
"""


def test_readers_see_a_growing_sound_index_while_a_writer_writes(index: IndexDir) -> None:
    index.close()
    command = [sys.executable, "-c", WRITER, str(index.path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == "open\n"
        counts = []
        while writer.poll() is None:
            with IndexDir(index.path) as reader:
                names = [e.ref.repo_id for e in reader.entries()]
                assert names == [f"copy/{i:04d}" for i in range(len(names))]
                assert reader.catalogue.damaged() == []
            counts.append(len(names))
    assert writer.returncode == 0
    assert counts == sorted(counts)
    with IndexDir(index.path) as reader:
        assert len(list(reader.entries())) == 300
        assert reader.verify() == []


def test_the_sidecar_names_the_file_it_belongs_to(index: IndexDir) -> None:
    add_all(index)
    index.sync()
    said = json.loads((index.path / "sketches.json").read_text())
    assert said["sha256"] == hashlib.sha256((index.path / "sketches.faiss").read_bytes()).hexdigest()
    assert not list(index.path.rglob("*.tmp"))
