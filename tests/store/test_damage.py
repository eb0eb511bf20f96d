"""One flipped bit anywhere it matters is found; derived data is made anew."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_models import MODELS, add_all, entry_of

from hubdna.dna import codec
from hubdna.errors import HubdnaError, IndexDirError
from hubdna.store import Entry, IndexDir


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "index"
    with IndexDir(path, create=True) as index:
        add_all(index)
        index.sync()
        assert index.verify() == []
    return path


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sound, tmp_path / "copy")


def flip(path: Path, at: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(bytes(data))


def problems(path: Path) -> list[str]:
    with IndexDir(path) as index:
        return index.verify()


def dna_file(path: Path) -> Path:
    return path / "dna" / entry_of(MODELS[0])[0].dna[:2] / f"{entry_of(MODELS[0])[0].dna}.dna"


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_flipped_bit_of_a_dna_file_is_found_and_not_used(copy: Path, share: float) -> None:
    file = dna_file(copy)
    flip(file, int(file.stat().st_size * share), 3)
    (problem,) = problems(copy)
    assert file.name in problem and MODELS[0] in problem
    with IndexDir(copy) as index, pytest.raises(IndexDirError, match="is damaged"):
        index.dna(index.get(MODELS[0]))  # type: ignore[arg-type]


def test_adding_the_model_again_repairs_its_damaged_file(copy: Path) -> None:
    flip(dna_file(copy), 1000)
    with IndexDir(copy) as index:
        index.add(*entry_of(MODELS[0]))
        index.sync()
    assert problems(copy) == []


def test_an_absent_dna_file_is_found(copy: Path) -> None:
    dna_file(copy).unlink()
    (problem,) = problems(copy)
    assert dna_file(copy).name in problem and "absent" in problem


def test_a_file_that_no_row_names_is_found_and_dropped(copy: Path) -> None:
    orphan = copy / "dna" / "ab" / f"{'ab' * 32}.dna"
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"x")
    (problem,) = problems(copy)
    assert orphan.name in problem and "no row names it" in problem
    with IndexDir(copy) as index:
        assert index.drop_orphans() == 1
    assert problems(copy) == []


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.95, 0.9999])
def test_a_flipped_bit_of_the_vectors_is_found_and_rebuilding_repairs_it(copy: Path, share: float) -> None:
    file = copy / "sketches.faiss"
    flip(file, int(file.stat().st_size * share), 5)
    assert any("sketches.faiss" in p for p in problems(copy))
    with IndexDir(copy) as index:
        assert index.rebuild() == len(MODELS)
    assert problems(copy) == []


@pytest.mark.parametrize("content", [b"", b"IBMp", None])
def test_half_written_vectors_are_made_anew(copy: Path, sound: Path, content: bytes | None) -> None:
    file = copy / "sketches.faiss"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with IndexDir(copy) as index:
        query = codec.decode(entry_of(MODELS[1])[1], "x")
        assert index.candidates(query, 3)[0].ref.repo_id == MODELS[1]
        assert len(index.vectors.model_ids) == len(MODELS)
    assert file.read_bytes() == whole or problems(copy) == []
    assert problems(copy) == []


@pytest.mark.parametrize("name", ["sketches.faiss", "sketches.json"])
def test_absent_derived_files_are_made_anew(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with IndexDir(copy) as index:
        assert len(index.vectors.model_ids) == len(MODELS)
    assert (copy / name).exists()
    assert problems(copy) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"sha256": 5}', b"\xff\xfe", b"null"])
def test_a_damaged_sidecar_is_found_and_does_not_stop_a_search(copy: Path, content: bytes) -> None:
    (copy / "sketches.json").write_bytes(content)
    assert any("sidecar" in p for p in problems(copy))
    (copy / "sketches.json").write_bytes(content)
    with IndexDir(copy) as index:
        assert len(index.vectors.model_ids) == len(MODELS)


def test_a_flipped_bit_of_the_sidecar_is_found(copy: Path) -> None:
    file = copy / "sketches.json"
    flip(file, file.read_text().index(json.loads(file.read_text())["sha256"]) + 10)
    assert any("sidecar" in p for p in problems(copy))


def said(path: Path) -> list[tuple[str, str]]:
    with IndexDir(path) as index:
        return [(e.canonical(), e.checksum()) for e in index.entries()]


def offsets(path: Path) -> Iterator[int]:
    """Every place of the rows' own text, and a raster over the rest of the file."""
    data = (path / "catalogue.sqlite").read_bytes()
    for entry, _ in (entry_of(name) for name in MODELS):
        for field in _texts(entry):
            at = data.find(field)
            while at >= 0:
                yield at + len(field) // 2
                at = data.find(field, at + 1)
    yield from range(0, len(data), 641)


def _texts(entry: Entry) -> list[bytes]:
    texts = [entry.ref.repo_id, entry.ref.sha, entry.dna, entry.content, "finetune", "acme/base", entry.created_at,
             "standard", "public", entry.checksum(), entry.weights_sha256[0]]  # fmt: skip
    return [t.encode() for t in texts if t]


def test_no_flipped_bit_of_the_catalogue_changes_a_row_unnoticed(sound: Path, tmp_path: Path) -> None:
    expected, places = said(sound), sorted(set(offsets(sound)))
    assert len(places) > 100
    found = 0
    path = shutil.copytree(sound, tmp_path / "copy")
    whole = (sound / "catalogue.sqlite").read_bytes()
    for at in places:
        changed = bytearray(whole)
        changed[at] ^= 1 << at % 7
        for stale in path.glob("catalogue.sqlite*"):
            stale.unlink()
        (path / "catalogue.sqlite").write_bytes(bytes(changed))
        try:
            with IndexDir(path) as index:
                damaged = index.catalogue.damaged()
                rows = None if damaged else [(e.canonical(), e.checksum()) for e in index.entries()]
        except HubdnaError:
            found += 1
            continue
        assert damaged or rows == expected, f"byte {at}: {whole[at - 20 : at + 20]!r}"
        found += bool(damaged)
    assert found > 40


@pytest.mark.parametrize("field", ["finetune", "acme/base", "2025-01-02"])
def test_verify_names_the_row_that_was_changed(copy: Path, field: str) -> None:
    file = copy / "catalogue.sqlite"
    flip(file, file.read_bytes().index(field.encode()) + 2, 1)
    (problem,) = problems(copy)
    assert "does not match its checksum" in problem


@pytest.mark.parametrize("cut", [0.05, 0.3, 0.6])
def test_a_truncated_catalogue_is_an_error_of_ours(copy: Path, cut: float) -> None:
    file = copy / "catalogue.sqlite"
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * cut)])
    try:
        found = problems(copy)
    except IndexDirError as error:
        found = [str(error)]
    assert any("catalogue.sqlite" in p for p in found)
