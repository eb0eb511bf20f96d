"""Probes of one's own: drawn from real files by `datasets`, shown to real models. Hostile data take nothing along."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import behaviour_bench as bench
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hubdna.behaviour import Limits, Observer, draw, fingerprint, pair, probes, sampling
from hubdna.behaviour.own_probes import OwnProbes, Source, load, save
from hubdna.behaviour.probes import Probes
from hubdna.errors import BehaviourError, UsageError
from hubdna.records import Behaviour

Observed = Callable[..., Behaviour]
WORDS = "the quick brown fox jumps over lazy dogs while seven wizards mix black quartz and judge vows".split()


def picture(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def noise(n: int, side: int = 12, seed: int = 0) -> list[bytes]:
    drawn = np.random.default_rng(seed).integers(0, 255, (n, side, side, 3), dtype=np.uint8)
    return [picture(one) for one in drawn]


def held(pictures: list[bytes]) -> list[dict[str, Any]]:
    """As `datasets` keeps pictures in parquet."""
    return [{"bytes": one, "path": f"{n}.png"} for n, one in enumerate(pictures)]


def sentences(n: int) -> list[str]:
    rng = np.random.default_rng(1)
    return [" ".join(rng.choice(WORDS, 30)) for _ in range(n)]


def parquet(path: Path, **columns: list[Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return str(path)


def here(text: str) -> OwnProbes:
    """As `draw` does, but in this process: a process of its own takes seconds to start."""
    source = Source.parse(text)
    shown, notes = sampling.draw(source.name, source.split, source.column)
    return OwnProbes(text, "text" if shown.pictures is None else "vision", shown, tuple(notes))


@pytest.fixture(scope="module")
def observed() -> Iterator[Observed]:
    """Shows probes to a model of the demo; one process for all, since importing torch takes longer than looking."""
    with Observer(Limits(seconds=120, memory=3_000_000_000)) as observer:

        def see(own: OwnProbes, name: str = bench.VIT) -> Behaviour:
            observer.own = own
            return observer.observe(bench.DEMO / name)

        yield see


class TestShown:
    """What a model computes on them."""

    def test_the_shipped_pictures_brought_along_give_what_the_shipped_ones_give(
        self, tmp_path: Path, demo: Callable[[str], Behaviour], observed: Observed
    ) -> None:
        path = parquet(tmp_path / "p.parquet", image=held([picture(one) for one in probes.pictures()]))
        own = draw(path)
        assert own.shown.pictures is not None and np.array_equal(own.shown.pictures, probes.pictures())
        seen, usual = observed(own), demo(bench.VIT)
        assert np.array_equal(seen.top, usual.top) and np.abs(seen.relations - usual.relations).max() < 1e-4
        assert seen.scheme == own.scheme != usual.scheme and "/n=192/" in own.scheme
        with pytest.raises(BehaviourError, match="the network was trained for"):
            fingerprint(seen)
        with pytest.raises(BehaviourError, match="do not compare"):
            pair("a", seen, "b", usual)

    def test_texts_are_shown_to_a_language_model_and_to_nothing_else(self, tmp_path: Path, observed: Observed) -> None:
        own = draw(parquet(tmp_path / "p.parquet", text=sentences(40)))
        seen = observed(own, bench.LM)
        assert (own.modality, len(seen.top), seen.modality) == ("text", 40, "text")
        assert seen.relations.shape == (6, 40, 40) and "/tokens=32/" in seen.scheme
        with pytest.raises(BehaviourError, match="it reads pictures, and the probes are texts"):
            observed(own)

    def test_texts_that_a_vocabulary_cannot_tell_apart_are_refused(self, tmp_path: Path, observed: Observed) -> None:
        own = draw(parquet(tmp_path / "p.parquet", text=["a" * n for n in range(1, 60)]))
        with pytest.raises(BehaviourError, match="gives 1 different tokens for 59 texts"):
            observed(own, bench.LM)


class TestDrawn:
    """Which samples are taken."""

    def test_another_sample_is_another_scheme(self, tmp_path: Path) -> None:
        names = [parquet(tmp_path / f"{n}.parquet", image=held(noise(20, seed=n))) for n in (0, 0, 1)]
        schemes = [here(name).scheme for name in names]
        assert schemes[0] == schemes[1] != schemes[2]

    def test_256_that_differ_are_taken_and_the_rest_is_left(self, tmp_path: Path) -> None:
        path = parquet(tmp_path / "p.parquet", label=list(range(600)), image=held([*noise(300), *noise(300)]))
        assert here(path).n == 256
        few = parquet(tmp_path / "q.parquet", image=held([*noise(20), *noise(20)]))
        assert here(few).n == 20

    def test_pictures_of_many_kinds_become_squares_in_colour(self, tmp_path: Path) -> None:
        made = [*noise(16), picture(np.zeros((9, 300), np.uint8)), picture(np.ones((5, 5, 4), np.uint8) * 9)]
        made += [picture(np.full((40, 30, 3), 99, np.uint8), "JPEG"), picture(np.full((8, 8), 7, np.uint8), "GIF")]
        own = here(parquet(tmp_path / "p.parquet", image=held(made)))
        assert own.shown.pictures is not None and own.shown.pictures.shape == (20, 224, 224, 3)

    def test_a_split_and_a_column_are_chosen(self, tmp_path: Path) -> None:
        parquet(tmp_path / "data/train-00000-of-00001.parquet", text=sentences(30), other=["x" * n for n in range(30)])
        parquet(tmp_path / "data/test-00000-of-00001.parquet", text=sentences(20), other=["y" * n for n in range(20)])
        assert (here(str(tmp_path)).n, here(f"{tmp_path}:test").n) == (30, 20)
        other = here(f"{tmp_path}:test:other")
        assert other.shown.texts is not None and set("".join(other.shown.texts)) == {"y"} and other.n == 19
        assert str(other) == f"{tmp_path}:test:other (column 'other' of 1 file; 1 left out: empty text)"

    @pytest.mark.parametrize(("name", "write"), [
        ("a.jsonl", lambda rows: "".join(json.dumps({"text": row, "n": 1}) + "\n" for row in rows)),
        ("a.csv", lambda rows: "n,text\n" + "".join(f"1,{row}\n" for row in rows)),
        ("a.txt", lambda rows: "\n".join(rows)),
    ])  # fmt: skip
    def test_other_files_with_texts(self, tmp_path: Path, name: str, write: Callable[[list[str]], str]) -> None:
        (tmp_path / name).write_text(write(sentences(25)))
        assert here(str(tmp_path / name)).shown.texts == tuple(sentences(25))
        assert here(str(tmp_path)).n == 25

    def test_a_folder_of_pictures_is_spread_and_nothing_else_in_it_is_read(self, tmp_path: Path) -> None:
        for n, one in enumerate(noise(600)):
            path = tmp_path / "data" / f"class-{n // 100}" / f"{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(one)
        mark = tmp_path / "ran"
        (tmp_path / "data/data.py").write_text(f"open({str(mark)!r}, 'w').write('x')")
        (tmp_path / "data/README.md").write_text("---\nconfigs:\n- config_name: x\n  data_files: /etc/passwd\n---\n")
        own = draw(str(tmp_path / "data"))
        assert own.n == 256 and own.modality == "vision" and not mark.exists()
        last = np.asarray(Image.open(tmp_path / "data/class-2/299.png"))  # by name, within the first half
        assert own.shown.pictures is not None and own.shown.pictures.shape[1:] == last.shape


def too_large() -> bytes:
    return picture(np.zeros((8000, 6000), np.uint8))


def bomb() -> bytes:
    file = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(file, "PNG")
    return file.getvalue()


class TestHostile:
    """What cannot be taken is said, and takes nothing along."""

    @pytest.mark.parametrize(("columns", "suffix", "message"), [
        ({"text": sentences(30)}, "::nothing", "no column 'nothing'; there are 'text'"),
        ({"text": sentences(30)}, ":train", "no parquet file names the split 'train'"),
        ({"text": []}, "", "holds 0 different texts or pictures"),
        ({"x": [float("nan")] * 30}, "", "neither text nor pictures in columns 'x'"),
        ({"x": [float("nan")] * 30}, "::x", "30 left out: float, neither text nor a picture"),
        ({"x": [[1.0, float("nan")]] * 30}, "::x", "30 left out: list, neither"),
        ({"text": [None] * 29 + ["a"]}, "::text", "holds 1 different texts, at least 16 are needed"),
        ({"text": list("abc") * 100}, "", "holds 3 different texts, at least 16 are needed"),
        ({"text": [" \n", "\t"] * 30}, "", "60 left out: empty text"),
        ({"image": held([too_large()] * 3)}, "", "3 left out: a picture of more than 40000000 pixels"),
        ({"image": held([bomb()] * 2)}, "", "2 left out: a picture that cannot be decoded"),
        ({"image": held([b"\x89PNG\r\n\x1a\n" + b"\0" * 90] * 20)}, "", "20 left out: a picture that cannot be"),
        ({"image": held([one[:200] for one in noise(20)])}, "", "20 left out: a picture that cannot be decoded"),
        ({"image": held([b"\0" * 20_000_001])}, "", "1 left out: a picture of more than 20000000 bytes"),
        ({"image": held([b"II*\0" + b"\0" * 90] * 20)}, "", "20 left out: a picture that cannot be decoded"),
        ({"image": [{"bytes": None, "path": "/etc/passwd"}] * 20}, "", "20 left out: a picture that is named, but not"),
        ({"image": [{"bytes": None, "path": "http://127.0.0.1:9/x.png"}] * 20}, "", "named, but not held"),
        ({"image": held([picture(np.zeros((4, 4), np.uint8))] * 40)}, "", "holds 1 different pictures"),
    ])  # fmt: skip
    def test_data(self, tmp_path: Path, columns: dict[str, list[Any]], suffix: str, message: str) -> None:
        path = parquet(tmp_path / "p.parquet", **columns)
        with pytest.raises(BehaviourError) as refused:
            here(path + suffix)
        assert message in str(refused.value)

    def test_a_file_that_unpacks_to_more_than_there_is_memory_for(self, tmp_path: Path) -> None:
        big = pa.array(["x" * 10_000_000]).dictionary_encode()
        column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2000, np.int32)), big.dictionary)
        pq.write_table(pa.table({"text": column}), tmp_path / "p.parquet")
        assert (tmp_path / "p.parquet").stat().st_size < 2_000_000
        with pytest.raises(BehaviourError, match="out of memory: more than the 1 GB it was given"):
            draw(str(tmp_path / "p.parquet"), memory=1_000_000_000)

    @pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\xff" * 200 + b"PAR1"])
    def test_files_that_are_none(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "p.parquet").write_bytes(content)
        with pytest.raises(BehaviourError, match=r"p\.parquet: [A-Z]"):
            draw(str(tmp_path / "p.parquet"))

    def test_what_takes_too_long_is_ended(self, tmp_path: Path) -> None:
        with pytest.raises(BehaviourError, match=r"took longer than 0.01 s"):
            draw(parquet(tmp_path / "p.parquet", text=sentences(30)), seconds=0.01)

    def test_a_folder_without_data(self, tmp_path: Path) -> None:
        (tmp_path / "load.py").write_text("raise SystemExit")
        with pytest.raises(BehaviourError, match=r"holds no data that is read: expected .parquet, .jsonl"):
            draw(str(tmp_path))

    @pytest.mark.parametrize(
        "text", ["", "a/b/c", "a b", "http://x/y", "org/na..me", "org/name:a/b", "./nowhere", ":train"]
    )
    def test_names_that_name_nothing(self, text: str) -> None:
        with pytest.raises(UsageError, match="--probes"):
            Source.parse(text)

    @pytest.mark.parametrize("array", [
        np.zeros((20, 300, 8, 3), np.uint8), np.zeros((15, 8, 8, 3), np.uint8), np.zeros((20, 8, 8, 1), np.uint8),
        np.zeros((20, 8, 8, 3), np.float32), np.frombuffer(b'["a"]', np.uint8), np.frombuffer(b"{}", np.uint8),
        np.frombuffer(json.dumps(["a" * 241] * 20).encode(), np.uint8), np.frombuffer(b"[[", np.uint8),
    ])  # fmt: skip
    def test_what_comes_back_is_believed_when_it_is_sound(self, tmp_path: Path, array: np.ndarray) -> None:
        np.save(tmp_path / "p.npy", array)
        with pytest.raises((ValueError, TypeError)):
            load(tmp_path / "p.npy")
        (tmp_path / "p.npy").write_bytes(b"\x93NUMPY\x01\0v\0{'descr': '|u1', 'fortran_order': False, "
                                         b"'shape': (200, 224, 224, 3), }".ljust(128) + b"\n")  # fmt: skip
        with pytest.raises(ValueError):
            load(tmp_path / "p.npy")
        save(tmp_path / "p.npy", Probes(None, tuple(sentences(16))))
        assert load(tmp_path / "p.npy").texts == tuple(sentences(16))


@pytest.mark.parametrize(("text", "expected"), [
    ("org/name", ("org/name", "", "")),
    ("org/name@v1.0:test", ("org/name@v1.0", "test", "")),
    ("imdb::text", ("imdb", "", "text")),
    ("org/name:test:a:b", ("org/name", "test", "a:b")),
])  # fmt: skip
def test_a_name_a_split_a_column(text: str, expected: tuple[str, str, str]) -> None:
    found = Source.parse(text)
    assert (found.name, found.split, found.column) == expected
