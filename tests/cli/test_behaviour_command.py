"""`hubdna compare --behaviour`: measures and what they do not mean; never a word on the origin."""

import json

import pytest
from cli_models import MODELS, Run

VIT, PRUNED = MODELS / "pixelworks/vit-digits", MODELS / "opticlab/vit-digits-pruned"
LM = MODELS / "bytewright/pyllama-245k"


def test_two_folders_are_compared_by_what_they_compute(run: Run) -> None:
    done = run("compare", VIT, PRUNED, "--behaviour")
    assert done.code == 0, done.err
    assert "Behaviour on 128 pictures" in done.out and "No verdict" in done.out
    assert "no evidence of origin" in " ".join(done.out.split())
    assert "common origin" not in done.out


def test_the_same_as_json(run: Run) -> None:
    report = json.loads(run("compare", VIT, PRUNED, "--behaviour", "--format", "json").out)
    assert next(iter(report)) == "schema" and report["schema"] == "hubdna.behaviour/1"
    assert not report.keys() & {"origin", "relation", "direction", "certainty", "log10_p"}
    assert list(report["alignment"]) == ["start", "quarter", "half", "three_quarters", "end", "answer"]
    assert all(0.5 < value <= 1 for value in report["alignment"].values())
    assert 0.5 < report["agreement"] <= 1


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("org/name", LM), 2, "--behaviour runs the model, so it needs a folder with all of it"),
        ((LM / "model.safetensors", LM), 2, "it needs a folder"),
        ((VIT, LM), 3, "seen on other probes"),
        ((MODELS / "mirrorhub/fast-code-lm", LM), 3, "weights and config disagree"),
        ((VIT, PRUNED, "--format", "html"), 2, "--behaviour has no html report"),
    ],
)
def test_what_cannot_be_compared_is_said(run: Run, args: tuple[object, ...], code: int, message: str) -> None:
    done = run("compare", *args, "--behaviour")
    assert (done.code, done.out) == (code, "")
    assert message in done.err and "Traceback" not in done.err
