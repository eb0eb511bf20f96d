"""Receipts over a real Hub: pushed in one commit, pulled with every byte checked, goes on where it was cut off."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import proof_bench as bench
import pytest
import typer
from typer.testing import CliRunner

from hubdna.cli import app
from hubdna.errors import GatedError, HubdnaError, HubError, NotFoundError, ReceiptError, UsageError
from hubdna.localhub import LocalHub
from hubdna.proof import glance, open_receipt
from hubdna.proof.layout import check_states, state_name
from hubdna.proof.transfer import SMALL, outgoing, receive

REPO = "alice/digits"
CARD = "---\nlicense: mit\n---\n# Digits\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "hub" / REPO).mkdir(parents=True)
    (tmp_path / "hub" / REPO / "README.md").write_text(CARD)
    return tmp_path / "hub"


@pytest.fixture
def hub(root: Path) -> Iterator[LocalHub]:
    with LocalHub(root) as running:
        yield running


def prove(hub: LocalHub, *words: object, token: str | None = "hf_alice") -> int:
    options = ["--endpoint", hub.endpoint, *(["--token", token] if token else [])]
    done = CliRunner().invoke(app, ["prove", *map(str, words), *options])
    if done.exception and not isinstance(done.exception, SystemExit | typer.Exit):
        raise done.exception
    return done.exit_code


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_was_pushed_is_what_is_pulled(hub: LocalHub, root: Path, honest: SimpleNamespace, tmp_path: Path) -> None:
    assert prove(hub, "push", honest.folder, REPO) == 0
    assert bytes_of(root / REPO / "receipt") == bytes_of(honest.folder)
    assert (root / REPO / "README.md").read_text() == CARD
    assert prove(hub, "pull", REPO, tmp_path / "pulled") == 0
    assert bytes_of(tmp_path / "pulled") == bytes_of(honest.folder)
    assert not (tmp_path / "pulled.part").exists()


def test_push_is_one_commit_and_takes_away_what_is_no_part_of_it(
    hub: LocalHub, root: Path, honest: SimpleNamespace
) -> None:
    (root / REPO / "receipt" / "states").mkdir(parents=True)
    (root / REPO / "receipt" / "states" / "00099.safetensors").write_bytes(b"of another training")
    hub.reset_traffic()
    assert prove(hub, "push", honest.folder, REPO) == 0
    assert [r.path for r in hub.traffic.requests if "/commit/" in r.path] == [f"/api/models/{REPO}/commit/main"]
    assert bytes_of(root / REPO / "receipt") == bytes_of(honest.folder)


def test_only_sound_and_finished_receipts_are_pushed(hub: LocalHub, root: Path, copy: Path) -> None:
    state = copy / state_name(3)
    state.write_bytes(state.read_bytes()[:-1] + b"x")
    with pytest.raises(ReceiptError, match=r"states/00003.safetensors: its bytes are not those"):
        prove(hub, "push", copy, REPO)
    (copy / "signature.json").unlink()
    with pytest.raises(ReceiptError, match="finished"):
        prove(hub, "push", copy, REPO)
    assert not (root / REPO / "receipt").exists()


def test_who_may_not_write_is_told(hub: LocalHub, honest: SimpleNamespace) -> None:
    with pytest.raises(HubError, match="expected a token that may write there"):
        prove(hub, "push", honest.folder, REPO, token=None)
    with pytest.raises(NotFoundError, match="alice/none: no such model"):
        prove(hub, "push", honest.folder, "alice/none")
    with pytest.raises(UsageError, match="expected a model on the Hub"):
        prove(hub, "push", honest.folder, "./here")


def test_nothing_there_private_and_gated(hub: LocalHub, root: Path, honest: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"alice/digits.*: holds no folder receipt/"):
        prove(hub, "pull", REPO, tmp_path / "a")
    shutil.copytree(honest.folder, root / REPO / "receipt")
    (root / REPO / ".hub.json").write_text(json.dumps({"private": True}))
    with pytest.raises(NotFoundError, match="or it is private"):
        prove(hub, "pull", REPO, tmp_path / "a", token=None)
    (root / REPO / ".hub.json").write_text(json.dumps({"gated": "manual"}))
    with pytest.raises(GatedError, match="ask for access"):
        prove(hub, "pull", REPO, tmp_path / "a", token="hf_bob")
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="expected a new folder"):
        prove(hub, "pull", REPO, tmp_path / "there")
    assert not (tmp_path / "a").exists()


def test_a_pull_that_was_cut_off_goes_on(hub: LocalHub, root: Path, honest: SimpleNamespace, tmp_path: Path) -> None:
    shutil.copytree(honest.folder, root / REPO / "receipt")
    part = tmp_path / "pulled.part"
    (part / "states").mkdir(parents=True)
    kept, cut, wrong = (part / state_name(index) for index in (0, 1, 2))
    shutil.copy(honest.folder / state_name(0), kept)
    cut.with_name(cut.name + ".tmp").write_bytes((honest.folder / state_name(1)).read_bytes()[:1000])
    wrong.write_bytes(b"of another receipt")
    (part / "states" / "99999.safetensors").write_bytes(b"left by a larger one")
    (part / "claim.json").write_text("{}")
    hub.reset_traffic()
    assert prove(hub, "pull", REPO, tmp_path / "pulled") == 0
    asked = {r.path.rpartition("/")[2] for r in hub.traffic.requests if "/resolve/" in r.path}
    assert "00000.safetensors" not in asked
    assert {"00001.safetensors", "00002.safetensors"} <= asked
    assert bytes_of(tmp_path / "pulled") == bytes_of(honest.folder)


def test_bytes_that_change_on_the_way_are_refused_and_the_next_try_works(
    honest: SimpleNamespace, tmp_path: Path
) -> None:
    files = outgoing(honest.folder)
    sizes = {name: path.stat().st_size for name, path in files.items()}

    def bad(name: str, size: int, place: Path) -> None:
        data = files[name].read_bytes()
        place.write_bytes(data[:-1] + b"?" if name == state_name(4) else data)

    with pytest.raises(ReceiptError, match=r"states/00004.safetensors: its bytes are not those"):
        receive(sizes, bad, tmp_path / "in")
    assert not (tmp_path / "in").exists()
    receive(sizes, lambda name, size, place: place.write_bytes(files[name].read_bytes()) and None, tmp_path / "in")
    check_states(open_receipt(tmp_path / "in"))


def test_compressed_states_travel_too(tmp_path: Path) -> None:
    folder, _ = bench.record(tmp_path, replace(bench.SGD, steps=10, storage="zstd"))
    files = outgoing(folder)
    assert state_name(2, "zstd") in files
    sizes = {name: path.stat().st_size for name, path in files.items()}
    receive(sizes, lambda name, size, place: place.write_bytes(files[name].read_bytes()) and None, tmp_path / "in")
    assert bytes_of(tmp_path / "in") == bytes_of(folder)
    mixed = sizes | {state_name(1): 10}
    with pytest.raises(ReceiptError, match="no part of a receipt"):
        receive(mixed, lambda name, size, place: pytest.fail(name), tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"../../evil": 10}, "no part of a receipt"),
        ({"states/../../evil.safetensors": 10}, "no part of a receipt"),
        ({"model.pkl": 10}, "no part of a receipt"),
        ({"claim.json": 10**9}, "claim.json: 1000000000 bytes, at most"),
        ({"samples.bin": 10**12}, "samples.bin: .* not fetched"),
        ({"states/00001.safetensors": 10**12}, "1000.0 GB, more than the 20.0 GB allowed"),
        ({"chain.jsonl": None}, "expected chain.jsonl, and it is not there"),
        ({f"states/{i:05d}.safetensors": 1 for i in range(30_000)}, "30000 files besides"),
    ],
)
def test_a_listing_of_no_receipt_is_refused_before_the_first_byte(
    honest: SimpleNamespace, tmp_path: Path, change: dict[str, int | None], message: str
) -> None:
    sizes = {name: path.stat().st_size for name, path in outgoing(honest.folder).items()} | change
    sizes = {name: size for name, size in sizes.items() if size is not None}

    def never(name: str, size: int, place: Path) -> None:
        pytest.fail(f"{name} was fetched")

    with pytest.raises(ReceiptError, match=message):
        receive(sizes, never, tmp_path / "in")
    assert not list(tmp_path.iterdir())


def test_a_hostile_repository_is_refused_over_http(hub: LocalHub, root: Path, copy: Path, tmp_path: Path) -> None:
    """Sizes that lie, links, strangers, a chain that does not fit: an error with its reason, and no folder."""
    place = root / REPO / "receipt"
    shutil.copytree(copy, place)
    (place / "code.py").write_text("raise SystemExit")
    with pytest.raises(ReceiptError, match=r"'code\.py', which is no part of a receipt"):
        prove(hub, "pull", REPO, tmp_path / "in")
    (place / "code.py").unlink()
    (place / "chain.jsonl").write_bytes(b"".join((copy / "chain.jsonl").read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(ReceiptError, match="expected 9 states, found 8"):
        prove(hub, "pull", REPO, tmp_path / "in")
    with pytest.raises(ReceiptError, match=r"more than the 0\.0 GB allowed"):
        prove(hub, "pull", REPO, tmp_path / "in", "--max-size", "0.00001")
    assert not (tmp_path / "in").exists()


def test_a_glance_reads_four_files_and_says_what_is_signed(honest: SimpleNamespace) -> None:
    asked = []

    def read(name: str, n: int) -> bytes:
        asked.append(name)
        return (honest.folder / name).read_bytes()[:n]

    seen = glance(read)
    assert sorted(asked) == ["calibration.json", "chain.jsonl", "claim.json", "signature.json"]
    assert (seen.problem, seen.author, seen.root) == (None, honest.receipt.claim.author, honest.receipt.root)
    assert (seen.weights, seen.steps, seen.parent) == (honest.receipt.links[-1].weights, 40, None)


@pytest.mark.parametrize("name", sorted(set(SMALL) - {"samples.bin"}))
def test_a_glance_finds_what_was_tampered_with(copy: Path, name: str) -> None:
    raw = (copy / name).read_bytes()
    (copy / name).write_bytes(raw.replace(b"0", b"1", 1) if b"0" in raw else raw.replace(b"1", b"2", 1))
    seen = glance(lambda file, n: (copy / file).read_bytes()[:n])
    assert seen.problem is not None
    assert seen.author == seen.root == ""


def test_a_glance_takes_no_more_than_it_may(copy: Path) -> None:
    seen = glance(lambda file, n: b"x" * n)
    assert seen.problem and "too long for a glance" in seen.problem


def test_somebody_elses_signature_is_a_problem(copy: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from hubdna.proof.keys import sign
    from hubdna.roots import canonical

    said = json.loads((copy / "signature.json").read_bytes())
    forged = sign(Ed25519PrivateKey.generate(), bytes.fromhex(said["root"]))
    (copy / "signature.json").write_bytes(canonical(said | {"signature": forged}))
    seen = glance(lambda file, n: (copy / file).read_bytes()[:n])
    assert seen.problem == "signature.json: not a signature of the named author over these files"
    with pytest.raises(HubdnaError, match="not a signature of the named author"):
        outgoing(copy)
