"""A fix writes what the audit suggested: into a folder at once or not at all, to the Hub as a pull request."""

import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import HfApi
from typer.testing import CliRunner

from hubdna.audit import Auditor
from hubdna.card import patch_base_model, read_claim
from hubdna.cli import app, main
from hubdna.crawl import crawl
from hubdna.errors import CardError, HubError, UsageError
from hubdna.fix import fix_folder, open_pull_request
from hubdna.hub import Hub
from hubdna.localhub import LocalHub
from hubdna.models import Loader
from hubdna.records import Audit, Claim, Finding, ModelRef
from hubdna.store import IndexDir

CARD = "---\nlicense: mit # why\n---\n# A model\n"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    from hubdna.demo import HERE

    folder = tmp_path_factory.mktemp("fix") / "index"
    with LocalHub(HERE / "models") as server, IndexDir(folder, create=True) as made:
        client = Hub(server.endpoint)
        assert all(step.outcome != "skipped" for step in crawl(client, made, client.models()))
    yield folder


@pytest.fixture
def model(demo_models: Path, tmp_path: Path) -> Path:
    """A folder with a model whose card names no base."""
    return Path(shutil.copytree(demo_models / "quietlab/doc-writer", tmp_path / "model"))


def audit_of(folder: Path | str, text: str, *bases: str, severity: str = "warning", sha: str | None = None) -> Audit:
    ref = ModelRef(str(folder), sha=sha)
    patches = [patch_base_model(text, (base,), f"name {base}") for base in bases]
    findings = tuple(Finding("HD001", severity, ref, 3, "said", ("seen",), patch) for patch in patches)  # type: ignore[arg-type]
    return Audit(ref, Claim(), (), findings, None)


def run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


class TestFolders:
    def test_the_card_is_written_and_the_change_told(self, tmp_path: Path) -> None:
        (tmp_path / "README.md").write_text(CARD)
        done = fix_folder(audit_of(tmp_path, CARD, "acme/x"))
        assert (tmp_path / "README.md").read_text() == CARD.replace("---\n#", "base_model: acme/x\n---\n#")
        assert "+base_model: acme/x\n" in done.diff and done.reasons == ("name acme/x",) and done.url is None
        assert [p.name for p in tmp_path.iterdir()] == ["README.md"], "no temporary file is left"

    def test_a_card_that_does_not_exist_is_made(self, tmp_path: Path) -> None:
        done = fix_folder(audit_of(tmp_path, "", "acme/x"))
        assert (tmp_path / "README.md").read_text() == "---\nbase_model: acme/x\n---\n"
        assert done.diff.startswith("--- /dev/null\n")

    def test_nothing_is_written_where_there_is_no_patch(self, tmp_path: Path) -> None:
        assert fix_folder(audit_of(tmp_path, CARD)).diff == ""
        assert list(tmp_path.iterdir()) == []

    def test_of_two_patches_of_one_key_the_first_is_made(self, tmp_path: Path) -> None:
        (tmp_path / "README.md").write_text(CARD)
        done = fix_folder(audit_of(tmp_path, CARD, "acme/x", "acme/y", "acme/x"))
        assert read_claim((tmp_path / "README.md").read_text()).base_models == ("acme/x",)
        assert done.reasons == ("name acme/x", "name acme/x")

    def test_a_card_that_changed_since_the_audit_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "README.md").write_text(CARD.replace("mit", "gpl-3.0"))
        with pytest.raises(CardError, match="expected the card that was audited, found another"):
            fix_folder(audit_of(tmp_path, CARD, "acme/x"))
        assert (tmp_path / "README.md").read_text() == CARD.replace("mit", "gpl-3.0")

    @pytest.mark.parametrize("body", [b"caf\xe9\n", b"\xff\xfe\x00 \xed\xa0\x80", "ü\r\n\0".encode()])
    def test_bytes_of_the_body_that_are_no_text_stay(self, body: bytes, tmp_path: Path) -> None:
        old = b"---\r\nlicense: mit\r\n---\r\n" + body
        (tmp_path / "README.md").write_bytes(old)
        fix_folder(audit_of(tmp_path, old.decode("utf-8", "replace"), "acme/x"))
        assert (tmp_path / "README.md").read_bytes() == old.replace(
            b"---\r\n" + body, b"base_model: acme/x\r\n---\r\n" + body
        )

    def test_front_matter_that_is_no_text_is_refused(self, tmp_path: Path) -> None:
        old = b"---\nlicense: caf\xe9\n---\n"
        (tmp_path / "README.md").write_bytes(old)
        with pytest.raises(CardError, match="not YAML"):
            fix_folder(audit_of(tmp_path, old.decode("utf-8", "replace"), "acme/x"))
        assert (tmp_path / "README.md").read_bytes() == old

    def test_a_link_is_not_written_through_or_replaced(self, tmp_path: Path) -> None:
        blob = tmp_path / "blob"
        blob.write_text(CARD)
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "README.md").symlink_to(blob)
        with pytest.raises(CardError, match=r"expected a file, found a link"):
            fix_folder(audit_of(tmp_path / "model", CARD, "acme/x"))
        assert blob.read_text() == CARD and (tmp_path / "model" / "README.md").is_symlink()

    def test_a_card_of_more_than_a_megabyte_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "README.md").write_text(CARD + "x" * 1_000_000)
        with pytest.raises(CardError, match="at most 1000000 are patched"):
            fix_folder(audit_of(tmp_path, CARD, "acme/x"))
        assert (tmp_path / "README.md").stat().st_size == 1_000_000 + len(CARD)

    def test_the_mode_of_the_file_stays(self, tmp_path: Path) -> None:
        (tmp_path / "README.md").write_text(CARD)
        (tmp_path / "README.md").chmod(0o640)
        fix_folder(audit_of(tmp_path, CARD, "acme/x"))
        assert stat.S_IMODE((tmp_path / "README.md").stat().st_mode) == 0o640

    def test_a_write_that_fails_leaves_the_old_card(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "README.md").write_text(CARD)

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(CardError, match=r"README\.md: cannot be written: No space left"):
            fix_folder(audit_of(tmp_path, CARD, "acme/x"))
        assert (tmp_path / "README.md").read_text() == CARD
        assert [p.name for p in tmp_path.iterdir()] == ["README.md"]

    def test_only_folders_are_written(self, tmp_path: Path) -> None:
        for ref in (tmp_path / "model.dna", "acme/x"):
            with pytest.raises(UsageError, match="expected a folder"):
                fix_folder(audit_of(ref, CARD, "acme/x"))


class TestCommand:
    def test_fix_writes_the_card_and_prints_a_diff(self, model: Path, index: Path) -> None:
        old = (model / "README.md").read_text()
        code, out, err = run("audit", model, "--index", index, "--fix", "--fail-on", "info")
        new = (model / "README.md").read_text()
        assert code == 1 and "HD001 info" in err and "README.md is written" in err
        assert new == old.replace("\n---\n", "\nbase_model: bytewright/pyllama-245k\n---\n", 1)
        assert re.findall(r"^[+-](?![+-]).*", out, re.MULTILINE) == ["+base_model: bytewright/pyllama-245k"]

    def test_after_the_fix_there_is_nothing_left_to_fix(self, model: Path, index: Path) -> None:
        run("audit", model, "--index", index, "--fix")
        once = (model / "README.md").read_bytes()
        loader = Loader("http://127.0.0.1:9")
        with IndexDir(index) as store:
            (audit,) = Auditor(store, loader).audit([ModelRef(str(model))])
        assert audit.findings == () and audit.claim.base_models == ("bytewright/pyllama-245k",)
        assert run("audit", model, "--index", index, "--fix", "--fail-on", "info")[:2] == (0, "")
        assert (model / "README.md").read_bytes() == once

    def test_without_fix_nothing_is_written(self, model: Path, index: Path) -> None:
        old = (model / "README.md").read_bytes()
        code, out, _ = run("audit", model, "--index", index)
        assert code == 0 and "+base_model: bytewright/pyllama-245k" in out
        assert (model / "README.md").read_bytes() == old

    def test_a_folder_without_a_card_gets_one(self, model: Path, index: Path) -> None:
        (model / "README.md").unlink()
        assert run("audit", model, "--index", index, "--fix")[0] == 0
        assert (model / "README.md").read_text() == "---\nbase_model: bytewright/pyllama-245k\n---\n"

    def test_a_card_that_cannot_be_written_is_exit_code_3(self, model: Path, index: Path) -> None:
        (model / "README.md").rename(model / "card.md")
        (model / "README.md").symlink_to("card.md")
        code, out, err = run("audit", model, "--index", index, "--fix")
        assert code == 3 and out == "" and "found a link" in err

    def test_the_report_goes_to_a_file(self, model: Path, index: Path, tmp_path: Path) -> None:
        report = tmp_path / "report.json"
        code, out, _ = run("audit", model, "--index", index, "--fix", "--format", "json", "-o", report)
        assert code == 0 and out.startswith("--- a/README.md\n")
        (audit,) = json.loads(report.read_text())["audits"]
        assert audit["findings"][0]["patch"] == out

    @pytest.mark.parametrize(
        ("words", "reason"),
        [
            (("./m", "--create-pr"), "--create-pr: expected together with --fix"),
            (("acme/x", "--fix"), "acme/x: --fix writes cards of folders; add --create-pr"),
            (("./m", "--fix", "--format", "json"), "name a file for the report with --output"),
        ],
    )
    def test_options_that_make_no_sense_are_exit_code_2(
        self, words: tuple[str, ...], reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("sys.argv", ["hubdna", "audit", *words])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == 2 and reason in capsys.readouterr().err


def test_remarks_on_a_card_are_part_of_the_audit(model: Path, index: Path, demo_hub: LocalHub) -> None:
    (model / "README.md").write_text("---\nbase_model:\n- 7\n- 'acme/x\u200b'\n---\n")
    with IndexDir(index) as store:
        (audit,) = Auditor(store, Loader(demo_hub.endpoint)).audit([ModelRef(str(model))])
    assert audit.claim.base_models == ("acme/x",)
    assert [s.subject.rpartition("/")[2] for s in audit.skipped] == ["README.md:3", "README.md:4"]


def test_a_base_that_is_no_name_is_not_called_undeclared(model: Path, index: Path) -> None:
    (model / "README.md").write_text("---\nlicense: mit\nbase_model: 7\n---\n")
    with IndexDir(index) as store:
        (audit,) = Auditor(store, Loader("http://127.0.0.1:9")).audit([ModelRef(str(model))])
    (finding,) = audit.findings
    assert finding.message.startswith("The declared base_model names no model, but")
    assert finding.patch is not None and "-base_model: 7\n+base_model: bytewright/pyllama-245k\n" in finding.patch.diff


class TestPullRequests:
    @pytest.fixture
    def server(self, demo_models: Path, tmp_path: Path) -> Iterator[LocalHub]:
        shutil.copytree(demo_models / "opticlab/vit-strokes", tmp_path / "hub/opticlab/vit-strokes")
        with LocalHub(tmp_path / "hub") as server:
            yield server

    def audit(self, server: LocalHub, severity: str = "warning") -> tuple[Audit, Hub]:
        hub = Hub(server.endpoint, "hf_test")
        snapshot = hub.snapshot(ModelRef("opticlab/vit-strokes"))
        text = hub.card(snapshot.ref)
        assert text is not None
        return audit_of("opticlab/vit-strokes", text, "acme/x", severity=severity, sha=snapshot.ref.sha), hub

    def test_an_info_finding_is_never_proposed_to_others(self, server: LocalHub) -> None:
        audit, hub = self.audit(server, "info")
        assert open_pull_request(audit, hub).url is None

    def test_it_stands_on_the_audited_commit_and_says_what_was_seen(self, server: LocalHub) -> None:
        audit, hub = self.audit(server)
        before = hub.card(audit.ref)
        done = open_pull_request(audit, hub)
        api = HfApi(server.endpoint, "hf_test")
        details = api.get_discussion_details("opticlab/vit-strokes", 1)
        assert (details.is_pull_request, details.status) == (True, "open")
        assert details.title == "Model card: base_model: acme/x"
        said = details.events[0].content
        assert all(word in said for word in ("HD001", "said", "- seen", "acme/x", "is not descent"))
        assert done.url == details.url == f"{server.endpoint}/opticlab/vit-strokes/discussions/1"
        proposed = hub.card(ModelRef("opticlab/vit-strokes", "refs/pr/1"))
        assert proposed == before.replace("base_model: northbyte/vit-digits-b", "base_model: acme/x") != before
        assert hub.card(ModelRef("opticlab/vit-strokes")) == before, "main is as it was"
        assert "+base_model: acme/x" in done.diff

    def test_nothing_of_a_card_is_rendered_in_the_request(self, server: LocalHub) -> None:
        audit, hub = self.audit(server)
        hostile = "![x](https://evil/x.png) <img src=x> @everybody **bold** \u202e"
        told = replace(audit.findings[0], message=hostile, evidence=(hostile,))
        open_pull_request(replace(audit, findings=(told,)), hub)
        said = HfApi(server.endpoint, "hf_test").get_discussion_details("opticlab/vit-strokes", 1).events[0].content
        bare = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", said)
        assert not any(word in bare for word in ("](", "<img", "@everybody", "**bold", "\u202e")), bare

    def test_a_model_that_moved_on_gets_none(self, server: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
        audit, hub = self.audit(server)
        card = hub.card_bytes(audit.ref)  # the local Hub keeps no old commits, as the public one does
        monkeypatch.setattr(hub, "card_bytes", lambda _: card)
        api = HfApi(server.endpoint, "hf_other")
        api.upload_file(path_or_fileobj=b"x", path_in_repo="notes.txt", repo_id="opticlab/vit-strokes")
        with pytest.raises(HubError, match="has changed since it was audited; audit it again"):
            open_pull_request(audit, hub)
        assert list(api.get_repo_discussions("opticlab/vit-strokes")) == []

    def test_without_a_token_there_is_none(self, server: LocalHub) -> None:
        audit, _ = self.audit(server)
        with pytest.raises(HubError, match="HTTP 401; expected a token that may open discussions"):
            open_pull_request(audit, Hub(server.endpoint))

    def test_a_request_that_fails_is_not_sent_twice(self, server: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
        audit, hub = self.audit(server)
        calls = []

        def lost(*_: object, **__: object) -> None:
            calls.append(1)
            raise httpx2.ReadTimeout("lost")

        monkeypatch.setattr(HfApi, "create_commit", lost)
        with pytest.raises(HubError, match="not sure that it arrived"):
            open_pull_request(audit, hub)
        assert calls == [1]

    def test_the_command_opens_one_and_tells_its_address(self, index: Path, demo_models: Path, tmp_path: Path) -> None:
        shutil.copytree(demo_models, tmp_path / "hub")
        with LocalHub(tmp_path / "hub") as server:
            words = ["audit", "opticlab/vit-strokes", "--index", index, "--endpoint", server.endpoint]
            code, out, err = run(*words, "--token", "hf_me", "--fix", "--create-pr")
            assert code == 0 and f"pull request: {server.endpoint}/opticlab/vit-strokes/discussions/1" in err
            assert "-base_model: northbyte/vit-digits-b\n+base_model: pixelworks/vit-digits\n" in out
            code, out, err = run(*words, "--fix", "--create-pr")
            assert code == 3 and out == "" and "HTTP 401" in err
