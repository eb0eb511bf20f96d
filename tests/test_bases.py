"""What stands above a model, on a real Hub: bases that are renamed, gated, gone, a circle; adapters; local files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from hubdna.audit import Auditor
from hubdna.bases import KEPT_S, Recent
from hubdna.crawl import crawl
from hubdna.errors import NotFoundError
from hubdna.hub import Hub
from hubdna.localhub import LocalHub
from hubdna.localhub.faults import Fault
from hubdna.models import Loader
from hubdna.records import Audit, Finding, ModelRef
from hubdna.store import IndexDir

ROOT, CHILD, GRANDCHILD = "lab/root", "shop/child", "me/grandchild"


def card(base: str | None = None, licence: str = "mit", text: str = "A model.") -> str:
    """A card with a base."""
    return f"---\nlicense: {licence}\n{f'base_model: {base}' if base else ''}\n---\n{text}\n"


class World:
    """A Hub in a folder, and an index of it."""

    def __init__(self, folder: Path, demo: Path) -> None:
        self.root, self.demo = folder / "hub", demo
        self.root.mkdir()
        self.index = folder / "index"

    def put(self, name: str, text: str, weights: str | None = "bytewright/pyllama-245k", **meta: object) -> Path:
        """Publish a model of the demo under another name; dates default to the order of the calls."""
        folder = self.root / name
        folder.mkdir(parents=True)
        for file in (self.demo / weights).iterdir() if weights else ():
            if file.name != "README.md":
                shutil.copy(file, folder)
        n = len(list(self.root.glob("*/*")))
        (folder / ".hub.json").write_text(json.dumps({"created_at": f"2026-01-{n:02}T00:00:00Z"} | meta))
        (folder / "README.md").write_text(text)
        return folder

    def audit(self, name: str, indexed: bool = True, online: bool = False) -> Audit:
        """Crawl the Hub and audit one model."""
        with LocalHub(self.root) as server, IndexDir(self.index, create=True) as index:
            hub = Hub(server.endpoint)
            if indexed:
                list(crawl(hub, index, hub.models()))
            (audit,) = Auditor(index, Loader(server.endpoint), online=online).audit([ModelRef.parse(name)])
        return audit


@pytest.fixture
def world(tmp_path: Path, demo_models: Path) -> Iterator[World]:
    yield World(tmp_path, demo_models)


def told(audit: Audit, *rules: str) -> list[Finding]:
    assert not [s for s in audit.skipped if "internal error" in s.reason], audit.skipped
    return [f for f in audit.findings if f.rule_id in rules]


def test_a_renamed_base_is_tested_under_its_new_name(world: World) -> None:
    world.put(ROOT, card())
    world.put(CHILD, card(ROOT), "bytewright/pyllama-245k-docs")
    with LocalHub(world.root) as server:
        HfApi(server.endpoint, token="t").move_repo(ROOT, "lab/renamed")
    audit = world.audit(CHILD)
    (finding,) = told(audit, "HD007", "HD003")
    assert (finding.rule_id, finding.severity) == ("HD007", "info")
    assert "goes by the name lab/renamed today" in finding.message
    assert finding.patch is not None and "+base_model: lab/renamed" in finding.patch.diff


def test_a_gated_base_in_the_index_is_tested_all_the_same(world: World) -> None:
    world.put(ROOT, card())
    world.put(CHILD, card(ROOT), "bytewright/pyllama-245k-docs")
    world.audit(CHILD)
    (world.root / ROOT / ".hub.json").write_text('{"gated": "manual", "created_at": "2026-01-01T00:00:00Z"}')
    assert [(f.rule_id, f.severity) for f in told(world.audit(CHILD, False), "HD007", "HD003")] == [("HD007", "info")]


def test_a_base_that_is_gone_is_said_once(world: World) -> None:
    world.put(CHILD, card("no/where"))
    assert [(f.rule_id, f.severity) for f in told(world.audit(CHILD), "HD003", "HD007")] == [("HD007", "warning")]


@pytest.mark.parametrize("name", [CHILD, f"https://huggingface.co/{CHILD}"])
def test_a_model_is_not_its_own_base(world: World, name: str) -> None:
    world.put(CHILD, card(name))
    (finding,) = told(world.audit(CHILD), "HD003", "HD007")
    assert finding.severity == "error" and finding.patch is not None and "-base_model" in finding.patch.diff


def test_a_model_named_by_an_old_name_of_its_own_is_its_own_base(world: World) -> None:
    world.put("me/old", card("me/old"))
    with LocalHub(world.root) as server:
        HfApi(server.endpoint, token="t").move_repo("me/old", "me/new")
    assert [f.severity for f in told(world.audit("me/new"), "HD007")] == ["error"]


def test_a_circle_is_told_with_all_its_members(world: World) -> None:
    world.put(ROOT, card(GRANDCHILD))
    world.put(CHILD, card(ROOT), "bytewright/pyllama-245k-docs")
    world.put(GRANDCHILD, card(CHILD), "quietlab/doc-writer")
    (finding,) = told(world.audit(GRANDCHILD), "HD007")
    assert "me/grandchild -> shop/child -> lab/root -> me/grandchild" in finding.message


def test_a_licence_is_followed_up_the_chain(world: World) -> None:
    world.put(ROOT, card(licence="cc-by-nc-4.0"))
    world.put(CHILD, card(ROOT, "cc-by-nc-4.0"), "bytewright/pyllama-245k-docs")
    world.put(GRANDCHILD, card(CHILD, "apache-2.0"), "quietlab/doc-writer")
    found = told(world.audit(GRANDCHILD), "HD013")
    assert found and found[0].severity == "warning" and "cc-by-nc-4.0" in found[0].message.casefold()


def test_a_base_outside_the_index_is_read_from_the_hub_with_its_licence(world: World) -> None:
    world.put(ROOT, card(licence="cc-by-nc-4.0"))
    world.put(CHILD, card(ROOT, "mit"), "bytewright/pyllama-245k-docs")
    audit = world.audit(CHILD, indexed=False)
    assert [f.severity for f in told(audit, "HD013", "HD003")] == ["warning"]


def test_an_adapter_is_audited_by_its_card(world: World) -> None:
    folder = world.put(CHILD, card("no/where"), None)
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "no/where", "peft_type": "LORA"}')
    shutil.copy(world.demo / "convfoundry/resnet-digits/model.safetensors", folder / "adapter_model.safetensors")
    audit = world.audit(CHILD)
    assert {(f.rule_id, f.severity) for f in audit.findings} == {("HD007", "warning"), ("HD016", "info")}
    assert not audit.skipped


def test_damaged_weights_are_told_and_are_no_clean_audit(world: World) -> None:
    folder = world.put(CHILD, card(), None)
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)
    audit = world.audit(CHILD)
    assert [f.rule_id for f in audit.findings] == ["HD016"]
    assert [s.subject for s in audit.skipped] == [CHILD]


class TestLocalFiles:
    """Nothing leaves the machine in an audit of a folder, unless it is asked for."""

    @pytest.fixture
    def folder(self, world: World, tmp_path: Path) -> str:
        world.put(ROOT, card())
        world.put("nobody/heard", card(), "pixelworks/vit-digits")
        shutil.copytree(world.put(CHILD, card("nobody/heard"), "bytewright/pyllama-245k-docs"), tmp_path / "mine")
        return str(tmp_path / "mine")

    def test_the_hub_is_not_asked(self, folder: str, tmp_path: Path) -> None:
        with IndexDir(tmp_path / "empty", create=True) as index:
            (audit,) = Auditor(index, Loader("http://127.0.0.1:9")).audit([ModelRef(folder)])
        (finding,) = told(audit, "HD003", "HD007")
        assert finding.rule_id == "HD003" and "--online" in finding.message

    def test_no_request_is_made(self, folder: str, world: World, tmp_path: Path) -> None:
        with LocalHub(world.root) as server, IndexDir(tmp_path / "empty", create=True) as index:
            for online, expected in ((False, False), (True, True)):
                server.reset_traffic()
                list(Auditor(index, Loader(server.endpoint), online=online).audit([ModelRef(folder)]))
                assert bool(server.traffic.requests) is expected

    def test_the_index_speaks_for_what_it_holds(self, folder: str, world: World) -> None:
        audit = world.audit(folder)
        (finding,) = told(audit, "HD002", "HD003", "HD007")
        assert finding.rule_id == "HD003" and "--online" not in finding.message, "it was tested"


def test_a_long_chain_and_many_bases_end(world: World) -> None:
    for n in range(12):
        world.put(f"chain/m{n}", card(f"chain/m{n + 1}"), "convfoundry/resnet-digits")
    names = "".join(f"\n- many/b{n}" for n in range(60))
    world.put(CHILD, card("chain/m0"), "convfoundry/resnet-digits")
    world.put("me/many", card(names), "convfoundry/resnet-digits")
    for name in (CHILD, "me/many"):
        assert not [f for f in world.audit(name).findings if f.severity == "error"]


def test_answers_grow_old_and_failures_are_not_remembered() -> None:
    now, asked = [0.0], []

    def ask(name: str) -> str:
        asked.append(name)
        if name == "fails":
            raise NotFoundError(name)
        return name

    known = Recent[str](2, lambda: now[0])
    for name in ("a", "a", "b", "c", "a"):
        known.get(name, lambda name=name: ask(name))
    assert asked == ["a", "b", "c", "a"], "two are kept"
    now[0] = KEPT_S
    known.get("a", lambda: ask("a"))
    assert asked[-1] == "a" and len(asked) == 5
    for _ in range(2):
        with pytest.raises(NotFoundError):
            known.get("fails", lambda: ask("fails"))
    assert asked.count("fails") == 2


def test_a_hub_that_fails_once_is_asked_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubdna.hub.client.N_TRIES", 1)  # the patience has tests of its own
    world.put(ROOT, card())
    world.put(CHILD, card(ROOT), "bytewright/pyllama-245k-docs")
    with LocalHub(world.root) as server, IndexDir(world.index, create=True) as index:
        auditor = Auditor(index, Loader(server.endpoint))
        server.misbehave(Fault("500", repo=ROOT))
        (first,) = auditor.audit([ModelRef(CHILD)])
        server.calm()
        (second,) = auditor.audit([ModelRef(CHILD)])
    assert [f.rule_id for f in first.findings] == ["HD003"] and second.findings == ()
