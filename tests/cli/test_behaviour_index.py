"""Vectors of behaviour of models of a Hub: seen once each, skipped with reasons, found again.

The vectors here are random projections of what the real models compute, so that these tests need no trained network.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from cli_models import MODELS, Run

from hubdna.behaviour import Limits, Observer
from hubdna.cli.index_behaviour import fill
from hubdna.errors import IndexDirError
from hubdna.hub import Hub
from hubdna.hub.kept import keep
from hubdna.localhub import LocalHub
from hubdna.records import BehaviourDNA, ModelRef
from hubdna.store.behaviours import BehaviourVectors

D = 64
VIT, PRUNED, LM = "pixelworks/vit-digits", "opticlab/vit-digits-pruned", "bytewright/pyllama-245k"
BROKEN = "mirrorhub/fast-code-lm"
See = Callable[[ModelRef], BehaviourDNA]


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with LocalHub(MODELS) as local:
        yield Hub(local.endpoint)


@pytest.fixture(scope="module")
def see(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[See]:
    """Runs a model of the Hub, and projects what it computed."""
    kept = tmp_path_factory.mktemp("kept")
    with Observer(Limits(seconds=120, memory=3_000_000_000)) as observer:

        def look(ref: ModelRef) -> BehaviourDNA:
            seen = observer.observe(keep(hub, ref, at=kept))
            plane = np.random.default_rng(0).normal(size=(seen.relations[-2].size, D))
            vector = (seen.relations[-2].ravel() @ plane).astype(np.float32)
            scheme = f"behaviour-dna-1/{seen.modality}=1a2b3c4d/net=test/d={D}"
            return BehaviourDNA(scheme, seen.modality, vector / np.linalg.norm(vector), 1.0)

        yield look


def test_a_batch_stores_skips_and_goes_on_where_it_stood(hub: Hub, see: See, tmp_path: Path) -> None:
    seen: list[str] = []

    def counted(ref: ModelRef) -> BehaviourDNA:
        seen.append(ref.repo_id)
        return see(ref)

    names = [VIT, BROKEN, "nobody/nothing", "./folder", "no name", PRUNED, LM]
    with BehaviourVectors(tmp_path, create=True) as vectors:
        steps = fill(vectors, hub, names, counted, "2 GB")
        first = [next(steps) for _ in range(2)]  # and then the process is killed
    with BehaviourVectors(tmp_path, create=True) as vectors:
        rest = list(fill(vectors, hub, names, counted, "2 GB"))
        assert [s.subject for s in vectors.skips()] == [BROKEN]
        asked = vectors.get(VIT)
        assert asked is not None
        near = [ref.repo_id for ref, _ in vectors.nearest(asked[1], 5)]
    assert [outcome for _, outcome, _ in first] == ["stored", "skipped"]
    assert [outcome for _, outcome, _ in rest] == [
        "unchanged", "unchanged", "skipped", "skipped", "skipped", "stored", "stored",
    ]  # fmt: skip
    assert "weights and config disagree" in first[1][2] and "no such model" in rest[2][2]
    assert seen == [VIT, BROKEN, PRUNED, LM]
    assert near == [VIT, PRUNED]  # and no language model among pictures


def test_another_network_ends_the_batch(hub: Hub, see: See, tmp_path: Path) -> None:
    def other(ref: ModelRef) -> BehaviourDNA:
        made = see(ref)
        return BehaviourDNA(made.scheme.replace("net=test", "net=next"), made.modality, made.vector, 1.0)

    with BehaviourVectors(tmp_path, create=True) as vectors:
        assert [s[1] for s in fill(vectors, hub, [VIT], see, "")] == ["stored"]
        with pytest.raises(IndexDirError, match="they do not compare: use a new index"):
            list(fill(vectors, hub, [PRUNED], other, ""))


def test_a_vector_that_is_not_sound_is_one_skipped_row(hub: Hub, tmp_path: Path) -> None:
    def broken(ref: ModelRef) -> BehaviourDNA:
        scheme = f"behaviour-dna-1/vision=1a2b3c4d/net=test/d={D}"
        return BehaviourDNA(scheme, "vision", np.full(D, np.nan, np.float32), 1.0)

    with BehaviourVectors(tmp_path, create=True) as vectors:
        assert [s[1] for s in fill(vectors, hub, [VIT, PRUNED], broken, "")] == ["skipped", "skipped"]


def test_a_behaviour_is_shown_and_written(run: Run, endpoint: str, tmp_path: Path) -> None:
    import json

    from hubdna.behaviour.codec import load

    done = run("dna", VIT, "--behaviour", "--endpoint", endpoint, "-o", tmp_path / "seen", "--format", "json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report["schema"] == "hubdna.behaviour-dna/1" and report["n_probes"] == 192 and report["n_answers"] == 10
    assert len(report["vector"]) == 512 and report["scheme"].endswith("/d=512") and -1 <= report["familiar"] <= 1
    assert load(tmp_path / "seen").scheme == report["behaviour_scheme"]
    said = run("dna", MODELS / VIT, "--behaviour")
    assert said.code == 0 and "answers out of 10" in said.out and "derived" not in said.out


def test_models_are_stored_found_and_judged_by_the_shipped_network(run: Run, endpoint: str, tmp_path: Path) -> None:
    import json

    done = run("index", "behaviour", tmp_path, VIT, PRUNED, LM, "--endpoint", endpoint)
    assert done.code == 0, done.err
    found = run("search", VIT, "--by", "behaviour", "--index", tmp_path, "--endpoint", endpoint, "--format", "json")
    assert found.code == 0, found.err
    (match,) = json.loads(found.out)["matches"]
    pair = run("compare", PRUNED, VIT, "--behaviour", "--endpoint", endpoint, "--format", "json")
    likeness = json.loads(pair.out)["likeness"]
    assert match["ref"].startswith(PRUNED) and match["similarity"] > 0.9
    assert likeness["similarity"] == pytest.approx(match["similarity"], abs=1e-4)
    assert likeness["verdict"] == match["verdict"] and "derived" not in found.out + pair.out


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("search", VIT, "--by", "behaviour"), 3, "holds no vectors of behaviour; make some with"),
        (("index", "behaviour"), 2, "expected models"),
        (("dna", BROKEN, "--behaviour"), 3, "weights and config disagree"),
    ],
)
def test_what_cannot_be_done_is_said(
    run: Run, endpoint: str, tmp_path: Path, args: tuple[str, ...], code: int, message: str
) -> None:
    place = (str(tmp_path),) if args[0] == "index" else ("--index", str(tmp_path)) if args[0] == "search" else ()
    done = run(*args, *place, "--endpoint", endpoint)
    assert (done.code, done.out) == (code, "")
    assert message in done.err and "Traceback" not in done.err
