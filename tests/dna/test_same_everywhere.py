"""One model has one DNA: in every process, however many threads, from a folder or over HTTP."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import hubdna.demo
from hubdna.dna import codec
from hubdna.models import Loader
from hubdna.records import ModelRef, ReadLevel

MODELS = Path(hubdna.demo.__file__).parent / "models"

GOLDEN = {
    "bytewright/pyllama-245k": "b7a3950269342460c8cb6b7fb3b4789f7fd8fa572b71fa295dc87b1e73f9838c",
    "convfoundry/resnet-digits": "6a0b21dcf406196626e6501dd60db76b919728209b08fa1132c584f62f960b30",
    "northbyte/vit-digits-b": "908cd6c0ab8d6dd5bf5cec0191fd2e148dd7b7e6d1059745464ea80ba8f7f06a",
}
"""SHA-256 of the .dna files of three demo models, standard read."""

CHILD = """
import sys
from hubdna.dna.codec import digest, encode
from hubdna.models import Loader
from hubdna.records import ModelRef
for folder in sys.argv[1:]:
    print(digest(encode(Loader().load(ModelRef(folder)).dna)))
"""


def digest(model: str, level: ReadLevel = "standard") -> str:
    return codec.digest(codec.encode(Loader(level=level).load(ModelRef(str(MODELS / model))).dna))


@pytest.mark.parametrize("model", GOLDEN)
def test_the_dna_of_a_known_model_has_not_changed(model: str) -> None:
    assert digest(model) == GOLDEN[model], (
        f"the DNA of {model} changed: two schemes must never mix. If that was intended, give SCHEME in "
        "hubdna/dna/read.py another name and put the new digest here; if not, something is no longer deterministic"
    )


@pytest.mark.parametrize(("seed", "threads"), [("0", "1"), ("12345", "2")])
def test_hash_seed_and_thread_count_do_not_change_the_bytes(seed: str, threads: str) -> None:
    env = os.environ | {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    command = [sys.executable, "-c", CHILD, *(str(MODELS / m) for m in GOLDEN)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == [digest(m) for m in GOLDEN]


@pytest.mark.parametrize("level", ["small", "full"])
def test_a_model_that_fits_every_budget_has_one_dna_at_every_level(level: ReadLevel) -> None:
    model = "convfoundry/resnet-digits"
    ours = Loader(level=level).load(ModelRef(str(MODELS / model))).dna
    standard = Loader().load(ModelRef(str(MODELS / model))).dna
    assert ours.content == standard.content
    assert [g.hashes.tobytes() for g in ours.genes] == [g.hashes.tobytes() for g in standard.genes]
    assert [g.sketch.tobytes() for g in ours.genes] == [g.sketch.tobytes() for g in standard.genes]


def test_the_name_of_the_folder_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").symlink_to(MODELS / "quietlab/code-poet")
    there = Loader().load(ModelRef(str(tmp_path / "elsewhere"))).dna
    assert codec.digest(codec.encode(there)) == digest("quietlab/code-poet")
