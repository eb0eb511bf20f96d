"""JSON takes up to sixty times its bytes in memory; whatever fits in 25 MB must not cost more than 300 MiB."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sources_files import NAME, container

from hubdna.sources.safetensors import MAX_HEADER

MAX_MIB = 300
MAX_S = 10

CHILD = """
import sys, time
from pathlib import Path
from hubdna.errors import FormatError
from hubdna.sources.interface import LocalReader
from hubdna.sources.safetensors import indexed_shards, read_header
folder, name = Path(sys.argv[1]), sys.argv[2]
begin = time.perf_counter()
try:
    if name.endswith(".json"):
        indexed_shards(name, (folder / name).read_bytes(), ())
    else:
        read_header(LocalReader(folder), name)
    said = "nothing was refused"
except FormatError as error:
    said = str(error)
seconds = time.perf_counter() - begin
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak) // 1024, seconds, ascii(said))
"""


def measured(folder: Path, name: str) -> tuple[int, float, str]:
    """MiB at the peak of a process that reads one file, its seconds, and what it said."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), name], capture_output=True, text=True, timeout=60, check=True
    )
    mib, seconds, said = done.stdout.split(" ", 2)
    return int(mib), float(seconds), said


def many(begin: str, item: Callable[[int], str], end: str, n: int) -> str:
    """`n` items in brackets, or as many as 25 MB hold."""
    n = min(n, (MAX_HEADER - len(begin) - len(end)) // (len(item(0).encode()) + 1))
    return begin + ",".join(map(item, range(n))) + end


WIDE = '"\U0001f600":1,'
BOMBS: dict[str, Callable[[], str]] = {
    "all the lists that fit": lambda: "[" + "[]," * 8_300_000 + "[]]",
    "lists just below the limit": lambda: many("[", lambda i: "[1111,1111,1111,1111]", "]", 399_990),
    "all the objects that fit": lambda: "[" + "{}," * 8_300_000 + "{}]",
    "objects just below the limit": lambda: many("[", lambda i: '{"a":1111}', "]", 199_990),
    "all the strings that fit": lambda: "[" + '"ab",' * 4_900_000 + '""]',
    "strings just below the limit": lambda: many("[", lambda i: f'"{i:07d}"', "]", 1_199_990),
    "all the numbers that fit": lambda: "[" + "1111," * 4_900_000 + "1]",
    "numbers just below the limit": lambda: many("[", lambda i: f"1.{i:07d}", "]", 2_399_990),
    "one flat object": lambda: many("{", lambda i: f'"{i:07d}":{i + 1000}', "}", 1_199_990),
    "one flat object, wide text": lambda: many("{" + WIDE, lambda i: f'"{i:07d}":{i + 1000}', "}", 1_199_980),
    "metadata just below the limit": lambda: many(
        '{"__metadata__":{', lambda i: f'"{i:07d}":"{i}"', '},"t":1}', 199_990
    ),
    "entries with other keys": lambda: many(
        "{",
        lambda i: f'"{i:09d}kkkkkkkkkk":{{"{i}aaaaaaaaaaaa":1000,"{i}bbbbbbbbbbbb":2000,"{i}c":3000}}',
        "}",
        199_980,
    ),
    "entries with lists under other keys": lambda: many(
        "{" + WIDE,
        lambda i: f'"{i:09d}":{{"{i}xaaaaaa":[1111,1111,1111,1111],"{i}y":[1111,1111,1111]}}',
        "}",
        199_990,
    ),
    "entries with long shapes": lambda: many(
        "{",
        lambda i: f'"{i:030d}":{{"dtype":"{i:06d}","shape":[1111,1111,1111,1111],"data_offsets":[1111,1111]}}',
        "}",
        199_990,
    ),
    "a tensor for each of 200,000 names": lambda: many(
        "{", lambda i: f'"{i:040d}":{{"dtype":"F32","shape":[],"data_offsets":[{4 * i},{4 * i + 4}]}}', "}", 199_990
    ),
    "a million tensors": lambda: "{" + '"t":{"dtype":"U8"},' * 1_000_000 + "}",
    "one long name": lambda: '{"' + "n" * (MAX_HEADER - 6) + '":1}',
    "one long name in wide text": lambda: '{"\U0001f600' + "n" * (MAX_HEADER - 10) + '":1}',
    "one long name of escapes": lambda: '{"' + "\\u20ac" * 4_100_000 + '":1}',
    "lists nested a million deep": lambda: '{"t":' + "[" * 1_000_000,
    "lists nested as deep as the count allows": lambda: '{"t":' + "[" * 399_000 + "]" * 399_000 + "}",
    "objects nested as deep as the count allows": lambda: '{"t":' * 199_000 + "1" + "}" * 199_000,
    "one int of 25 MB": lambda: '{"t":' + "1" * (MAX_HEADER - 10) + "}",
    "white space": lambda: " " * MAX_HEADER,
}


@pytest.mark.parametrize("kind", BOMBS)
def test_no_header_costs_much_memory_or_time(tmp_path: Path, kind: str) -> None:
    content = container(BOMBS[kind]())
    assert len(content) <= MAX_HEADER + 8
    (tmp_path / NAME).write_bytes(content)
    mib, seconds, said = measured(tmp_path, NAME)
    assert said.startswith(f"'{NAME}: ") or said.startswith(f'"{NAME}: ')
    assert len(said) < 600
    assert mib < MAX_MIB
    assert seconds < MAX_S


@pytest.mark.parametrize("kind", ["all the lists that fit", "one flat object, wide text", "one long name"])
def test_no_shard_index_costs_much_memory_or_time(tmp_path: Path, kind: str) -> None:
    (tmp_path / "m.safetensors.index.json").write_text(BOMBS[kind](), "utf-8")
    mib, seconds, said = measured(tmp_path, "m.safetensors.index.json")
    assert "m.safetensors.index.json: " in said
    assert mib < MAX_MIB
    assert seconds < MAX_S


def test_a_claim_of_five_gigabytes_in_a_file_of_five_gigabytes_reads_one_range(tmp_path: Path) -> None:
    with (tmp_path / NAME).open("wb") as file:
        file.write((5_000_000_000).to_bytes(8, "little"))
        file.truncate(5_000_000_100)  # sparse: takes no disk
    mib, seconds, said = measured(tmp_path, NAME)
    assert "header length 5000000000 is outside" in said
    assert mib < 60
    assert seconds < 1


def test_a_sound_header_beside_five_gigabytes_of_weights_reads_one_range(tmp_path: Path) -> None:
    n = 5_000_000_000
    header = json.dumps({"t": {"dtype": "U8", "shape": [n], "data_offsets": [0, n]}}).encode()
    with (tmp_path / NAME).open("wb") as file:
        file.write(container(header))
        file.truncate(8 + len(header) + n)
    mib, _, said = measured(tmp_path, NAME)
    assert "nothing was refused" in said
    assert mib < 60
