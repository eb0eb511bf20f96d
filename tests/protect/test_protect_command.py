"""`hubdna protect` from the shell: train, apply, measure, release, audit, remove; with a real transformers model."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

os.environ["HF_HUB_DISABLE_XET"] = "1"  # read when huggingface_hub is imported

import pytest
import torch
from PIL import Image
from protect_bench import bench
from safetensors.numpy import save_file
from torch.nn import functional
from transformers import ResNetConfig, ResNetForImageClassification, ViTImageProcessor

from hubdna import audit
from hubdna.crawl import crawl
from hubdna.errors import MaskError
from hubdna.hub import Hub
from hubdna.localhub import LocalHub
from hubdna.protect.data import Pictures
from hubdna.protect.files import COMPLEMENT, MASK, MODEL, read_mask, read_model
from hubdna.protect.folder import load_classifier, load_pictures
from hubdna.protect.mask import model_root
from hubdna.protect.release import Terms, card, write_release
from hubdna.store import IndexDir

ROOT = Path(__file__).parents[2]
SIDE = 16


def picture(x: torch.Tensor) -> Image.Image:
    grey = Image.fromarray(((x[0] + 1) * 127.5).round().to(torch.uint8).numpy(), "L")
    return grey.resize((SIDE, SIDE), Image.Resampling.NEAREST).convert("RGB")


def lay(folder: Path, pictures: Pictures, n: int) -> None:
    for index in range(n):
        place = folder / str(int(pictures.y[index]))
        place.mkdir(parents=True, exist_ok=True)
        picture(pictures.x[index]).save(place / f"{index}.png")


def hubdna(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "hubdna", *args], cwd=cwd, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained transformers model, pictures of both domains, and a mask that was learnt from them."""
    b, root = bench(), tmp_path_factory.mktemp("shop")
    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic", num_labels=10,
                          downsample_in_first_stage=False)  # fmt: skip
    config.id2label = {i: str(i) for i in range(10)}
    model = ResNetForImageClassification(config)
    processor = ViTImageProcessor(size={"height": SIDE, "width": SIDE}, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    both = Pictures(torch.cat([b.source.x, b.target.x]), torch.cat([b.source.y, b.target.y]))
    optimizer = torch.optim.AdamW(model.parameters(), 4e-3)
    for step in range(150):
        x, y = both.batch(64, 0, step)
        x = functional.interpolate(x, size=(SIDE, SIDE)).expand(-1, 3, -1, -1)
        optimizer.zero_grad()
        functional.cross_entropy(model(x).logits, y).backward()
        optimizer.step()
    model.eval().save_pretrained(root / "model")
    processor.save_pretrained(root / "model")
    lay(root / "ours", b.source, 500)
    lay(root / "theirs", b.target, 500)
    lay(root / "held/ours", b.held_source, 200)
    lay(root / "held/theirs", b.held_target, 200)
    data = ["--source", "./ours", "--target", "./theirs", "--steps", "120", "--quiet"]
    done = hubdna("protect", "train", "./model", MASK, *data, cwd=root)
    assert done.returncode == 0 and "learning" not in done.stderr, done.stderr
    return root


def test_an_owner_releases_a_model_and_takes_it_back(shop: Path) -> None:
    (shop / "key").write_bytes(b"the owner's secret bytes")
    held = ["--source", "./held/ours", "--target", "./held/theirs"]
    told = hubdna("protect", "measure", "./model", MASK, *held, "--key", "key", "--format", "json", cwd=shop)
    found = json.loads(told.stdout)
    section = (ROOT / "docs/formats.md").read_text().split("### hubdna.protect.measure/1\n")[1].split("\n#")[0]
    assert keys(found) <= set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`]*)`", section))))
    assert found["schema"] == "hubdna.protect.measure/1" and found["owner"]["verified"] is False
    assert found["source"]["after"]["accuracy"] > found["source"]["before"]["accuracy"] - 0.1
    assert found["target"]["after"]["accuracy"] < found["target"]["before"]["accuracy"] - 0.4
    assert "ST-D" in hubdna("protect", "measure", "./model", MASK, *held, cwd=shop).stdout
    terms = ["--base", "acme/digits", "--license", "mit", "--domain", "our <scanners>"]
    done = hubdna("protect", "release", "./model", MASK, "./release", *terms, "--keep", "./safe", *held, cwd=shop)
    assert done.returncode == 0, done.stderr
    text = (shop / "release/README.md").read_text()
    assert "base_model:\n- acme/digits" in text and "our scanners" in text and "| authorised |" in text
    assert sorted(p.name for p in (shop / "release").iterdir()) == [
        "README.md", "config.json", MASK, MODEL, "preprocessor_config.json",
    ]  # fmt: skip
    back = hubdna("protect", "remove", "./release", MASK, f"./safe/{COMPLEMENT}", "./original.safetensors", cwd=shop)
    assert back.returncode == 0, back.stderr
    assert model_root(read_model(shop / "original.safetensors")) == model_root(read_model(shop / "model"))
    released = load_classifier(shop / "release")  # it runs like the original
    assert released(load_pictures(shop / "held/ours", released).x).shape == (200, 10)


def keys(found: object) -> set[str]:
    if not isinstance(found, dict):
        return set()
    return set(found) | {key for value in found.values() for key in keys(value)}


def test_a_release_is_found_as_a_mask_of_its_parent_and_its_card_passes_the_audit(shop: Path, tmp_path: Path) -> None:
    shutil.copytree(shop / "model", tmp_path / "hub/acme/digits")
    (tmp_path / "hub/acme/digits/README.md").write_text("---\nlicense: mit\n---\n# Digits\n")
    terms = Terms("acme/digits", "mit", "our scanners", "transformers")
    write_release(shop / "model", read_mask(shop / MASK), terms, tmp_path / "hub/acme/digits-scans")
    with LocalHub(tmp_path / "hub") as hub, IndexDir(tmp_path / "index", create=True) as index:
        client = Hub(hub.endpoint)
        assert [step.outcome for step in crawl(client, index, client.models())] == ["stored", "stored"]
        parent, release = audit(
            "acme/digits", "acme/digits-scans", index=tmp_path / "index", endpoint=hub.endpoint
        )  # fmt: skip
    assert parent.findings == release.findings == () and parent.skipped == release.skipped == ()
    verdict = release.matches[0].verdict
    assert release.matches[0].ref.repo_id == "acme/digits"
    assert (verdict.relation, verdict.direction, verdict.certainty) == ("mask-of", "a-from-b", "likely")


def test_a_wrong_key_and_a_complement_in_the_release_are_refused(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"short")
    done = hubdna("protect", "train", f"{shop}/model", "out", "--key", "short", cwd=tmp_path)
    assert done.returncode == 2 and "16 to 1024 random bytes" in done.stderr
    done = hubdna("protect", "train", f"{shop}/model", "out", "--key", "/dev/zero", cwd=tmp_path)
    assert done.returncode == 2 and "found more" in done.stderr
    terms = ["--base", "acme/digits", "--license", "mit", "--domain", "ours"]
    args = [f"{shop}/model", f"{shop}/{MASK}", "out", *terms]
    done = hubdna("protect", "release", *args, "--keep", "out/safe", cwd=tmp_path)
    assert done.returncode == 2 and "stays with you" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["short"]


def test_mistakes_are_told_and_nothing_is_written(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for args, says in (
        (["apply", f"{shop}/nothing", f"{shop}/{MASK}", "out"], "no such file"),
        (["apply", f"{shop}/model", f"{shop}/model/{MODEL}", "out"], "not a mask"),
        (["train", f"{tmp_path}/empty", "out", "--quiet"], "config.json"),
        (["train", f"{shop}/model", "out", "--target", f"{tmp_path}/empty", "--quiet"], "no pictures"),
        (["remove", f"{shop}/model", f"{shop}/{MASK}", f"{shop}/{MASK}", "out"], "complement"),
    ):
        done = hubdna("protect", *args, cwd=tmp_path)
        assert done.returncode == 3 and says in done.stderr and "Traceback" not in done.stderr, (args, done.stderr)
        assert not (tmp_path / "out").exists()


def test_wrong_masks_weights_and_pictures_are_told_and_nothing_is_written(shop: Path, tmp_path: Path) -> None:
    raw = bytearray((shop / MASK).read_bytes())
    raw[-1] ^= 1
    (tmp_path / "tampered").write_bytes(raw)
    for name, value in (("other", 0.5), ("broken", float("nan"))):
        shutil.copytree(shop / "model", tmp_path / name)
        weights = {key: array.copy() for key, array in read_model(shop / "model").items()}
        weights["classifier.1.weight"][0, 0] = value
        save_file(weights, tmp_path / name / MODEL, {"format": "pt"})
    shutil.copytree(shop / "held/ours/3", tmp_path / "lonely/3")
    domains = ["--source", f"{shop}/held/ours", "--target", f"{shop}/held/theirs", "--steps", "2", "--quiet"]
    for args, says in (
        (["apply", "other", f"{shop}/{MASK}", "out"], "made for the model with root"),
        (["apply", f"{shop}/model", "tampered", "out"], "tampered"),
        (["train", "broken", "out", *domains], "NaN"),
        (["train", f"{shop}/model", "out", "--source", "lonely", *domains[2:]], "one class"),
    ):
        done = hubdna("protect", *args, cwd=tmp_path)
        assert done.returncode == 3 and says in done.stderr and "Traceback" not in done.stderr, (args, done.stderr)
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_a_folder_whose_class_is_its_own_code_is_not_run(shop: Path, tmp_path: Path, name: str) -> None:
    evil = tmp_path / "evil"
    shutil.copytree(shop / "model", evil)
    config = json.loads((evil / name).read_text())
    named = {"AutoModelForImageClassification": "m.Evil", "AutoImageProcessor": "m.Evil"}
    (evil / name).write_text(json.dumps(config | {"auto_map": named}))
    (evil / "m.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(MaskError, match="not run"):
        load_classifier(evil)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "config", ["{", "[]", '{"architecture": "no_such_net"}', '{"model_type": "nothing"}', "x" * 2_000_000]
)
def test_a_hostile_config_is_refused(shop: Path, tmp_path: Path, config: str) -> None:
    (tmp_path / MODEL).write_bytes((shop / "model" / MODEL).read_bytes())
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(MaskError):
        load_classifier(tmp_path)


def test_what_an_owner_writes_cannot_break_the_card(shop: Path) -> None:
    text = card(read_mask(shop / MASK), Terms("acme/x", "mit", "a\n---\n# <b>*x*</b> [y](z)", "timm"), None)
    assert text.count("\n---\n") == 1 and "<b>" not in text and "](z)" not in text
