"""`hubdna compare --behaviour`: measures and what they do not mean; never a word on the origin."""

import json
from pathlib import Path

import numpy as np
import pytest
from cli_models import MODELS, Run
from PIL import Image

VIT, PRUNED = MODELS / "pixelworks/vit-digits", MODELS / "opticlab/vit-digits-pruned"
LM = MODELS / "bytewright/pyllama-245k"


def test_two_folders_are_compared_by_what_they_compute(run: Run) -> None:
    done = run("compare", VIT, PRUNED, "--behaviour")
    assert done.code == 0, done.err
    assert "Behaviour on 192 pictures" in done.out and "judged      " in done.out
    assert "no evidence of origin" in " ".join(done.out.split())
    assert "common origin" not in done.out


def test_the_same_as_json(run: Run) -> None:
    report = json.loads(run("compare", VIT, PRUNED, "--behaviour", "--format", "json").out)
    assert next(iter(report)) == "schema" and report["schema"] == "hubdna.behaviour/1"
    assert not report.keys() & {"origin", "relation", "direction", "certainty", "log10_p"}
    assert list(report["alignment"]) == ["start", "quarter", "half", "three_quarters", "end", "answer"]
    assert all(0.5 < value <= 1 for value in report["alignment"].values())
    assert 0.5 < report["agreement"] <= 1
    assert report["likeness"]["similarity"] > 0.9
    assert report["likeness"]["verdict"] in ("behaviourally similar", "not similar", "undecided")


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ((LM / "model.safetensors", LM), 2, "it takes a folder with all its files"),
        ((VIT, LM), 3, "seen on other probes"),
        ((MODELS / "mirrorhub/fast-code-lm", LM), 3, "weights and config disagree"),
        ((VIT, PRUNED, "--format", "html"), 2, "--behaviour has no html report"),
        ((VIT, PRUNED, "--probes", "./nowhere"), 2, "there is no such file or folder"),
        ((VIT, PRUNED, "--probes", LM), 3, "holds no data that is read"),
    ],
)
def test_what_cannot_be_compared_is_said(run: Run, args: tuple[object, ...], code: int, message: str) -> None:
    done = run("compare", *args, "--behaviour")
    assert (done.code, done.out) == (code, "")
    assert message in done.err and "Traceback" not in done.err


def test_probes_of_ones_own_give_measures_and_no_judgement(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (24, 16, 16, 3), dtype=np.uint8)
    for n, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(tmp_path / f"{n}.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "0.png").read_bytes()[:99])
    said = run("compare", VIT, PRUNED, "--behaviour", "--probes", tmp_path)
    assert said.code == 0, said.err
    flat = " ".join(said.out.split())
    assert f"Behaviour on 24 pictures of {tmp_path}" in flat and "1 left out: a picture that cannot be decoded" in flat
    assert "judged not at all" in flat and "probability 0" not in flat and "no evidence of origin" in flat
    report = json.loads(run("compare", VIT, PRUNED, "--behaviour", "--probes", tmp_path, "--format", "json").out)
    assert report["likeness"] is None and report["n_probes"] == 24 and report["probes"].startswith(str(tmp_path))
    assert 0.5 < report["agreement"] <= 1 and report["scheme"].startswith("behaviour-1/vision=")
    done = run("compare", VIT, PRUNED, "--probes", tmp_path)
    assert done.code == 2 and "expected together with --behaviour" in done.err


def test_models_of_the_hub_are_fetched_and_compared(
    run: Run, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names = "pixelworks/vit-digits", "opticlab/vit-digits-pruned@main"
    done = run("compare", *names, "--behaviour", "--format", "json", "--endpoint", endpoint)
    assert done.code == 0, done.err
    report, local = json.loads(done.out), json.loads(run("compare", VIT, PRUNED, "--behaviour", "--format", "json").out)
    assert report["a"] == "pixelworks/vit-digits" and report["alignment"] == local["alignment"]
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"config.json", "model.safetensors"}


def test_a_model_of_the_hub_that_is_too_large_or_absent_is_refused_before_it_is_fetched(
    run: Run, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    options = ("--behaviour", "--endpoint", endpoint, "--max-download", "0.0001")
    done = run("compare", "pixelworks/vit-digits", VIT, *options)
    assert (done.code, done.out) == (3, "")
    assert "pixelworks/vit-digits: running it takes" in done.err and "more than the limit of 100000 bytes" in done.err
    assert not list(tmp_path.rglob("*.safetensors*"))
    gone = run("compare", "nobody/nothing", LM, "--behaviour", "--endpoint", endpoint)
    assert gone.code == 3 and "no such model" in gone.err
