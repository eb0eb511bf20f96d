"""Every reader against what the guided fuzzer found, and against new changes that keep a file's structure.

The fuzzer itself is a board (`scripts/boards/fuzz_guided.py`); `scripts/fuzz/fuzz_keep.py` chose the inputs here: for
each reader the smallest that reaches each place where something is refused, some that are read, and canary pickles.
"""

import os
import pickle
import random
import struct
import sys
import time
from functools import cache
from pathlib import Path

import pytest
from gguf_bytes import container, info, pair
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "fuzz"))
from fuzz_mutators import change, scramble  # noqa: E402
from fuzz_readers import READERS, outcome, pack, unpack, watched  # noqa: E402
from fuzz_seeds import CANARY, SEEDS  # noqa: E402

CORPUS = ROOT / "tests" / "data" / "fuzz"


@cache
def sound(reader: str) -> list[bytes]:
    return list(SEEDS[reader]().values())


@pytest.mark.parametrize("reader", READERS)
def test_what_the_fuzzer_found_is_read_or_refused_at_once(reader: str) -> None:
    outcome(reader, sound(reader)[0])  # what is imported late is imported now
    paths = sorted((CORPUS / reader).iterdir())
    assert paths
    for path in paths:
        started = time.process_time()
        outcome(reader, path.read_bytes())
        assert time.process_time() - started < 1, path.name
    assert not CANARY.exists()


NUMBERS = pair("general.architecture", 9, struct.pack("<IQI", 5, 1, 7))
FOUND: dict[str, tuple[str, bytes]] = {
    "an architecture that is a list (TypeError)": (
        "gguf",
        pack(container([NUMBERS], [info("blk.0.attn_q.weight", [], 0)], bytes(4))),
    ),
}
"""Whatever got past the readers once, as small as it can be."""


@pytest.mark.parametrize("what", FOUND)
def test_what_got_past_the_readers_once_is_read_or_refused(what: str) -> None:
    outcome(*FOUND[what])


def test_the_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 200_000


@pytest.mark.parametrize("reader", READERS)
def test_sound_inputs_are_read(reader: str) -> None:
    said = [outcome(reader, data) for data in sound(reader)]
    assert said.count("read") >= (7 if reader == "pickle" else len(said) - 1)  # one archive is of the legacy kind


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 4))
def test_no_change_that_keeps_the_structure_does_harm(reader: str, seed: int, n: int) -> None:
    rng = random.Random(seed)
    data = rng.choice(sound(reader))
    for _ in range(n):
        data = change(reader, data, rng, lambda raw: scramble(raw, rng))
    started = time.process_time()
    outcome(reader, data)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("name", ["canary0", "canary2", "canary4"])
def test_a_canary_that_ran_would_be_noticed(name: str) -> None:
    with pytest.raises(AssertionError, match=r"touched the world|pickle\.find_class"), watched():
        pickle.loads(SEEDS["pickle"]()[name])
    assert not CANARY.exists()


def test_programs_and_files_would_be_noticed() -> None:
    with pytest.raises(AssertionError, match=r"os\.system"), watched():
        os.system(f"touch {CANARY}")
    with pytest.raises(AssertionError, match="open '/etc/passwd'"), watched():
        Path("/etc/passwd").read_bytes()
    assert not CANARY.exists()


@pytest.mark.parametrize("parts", [(), (b"",), (b"a", b"", b"bc")])
def test_parts_come_back(parts: tuple[bytes, ...]) -> None:
    assert unpack(pack(*parts), len(parts)) == list(parts)
