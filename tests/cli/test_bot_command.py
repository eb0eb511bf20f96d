"""`hubdna bot` as people use it: run, queue, show, approve, reject, withdraw, log; messages and exit codes."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_models import MODELS, Run

from hubdna.localhub import LocalHub

CHILD, HONEST = "quietlab/doc-writer", "bytewright/pyllama-245k-docs"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A Hub of its own: the bot writes into it."""
    root = tmp_path_factory.mktemp("bot-cli")
    for owner in ("bytewright", "quietlab"):
        shutil.copytree(MODELS / owner, root / owner)
    with LocalHub(root) as hub:
        yield hub.endpoint, root


@pytest.fixture
def bot(run: Run, hub: tuple[str, Path], index: Path, tmp_path: Path) -> Run:
    """`hubdna bot COMMAND ...` on one state; `run` is told where the Hub is."""

    def call(command: str, *args: object) -> object:
        more = ("--endpoint", hub[0], "--index", index, "--token", "hf_clibot") if command == "run" else ()
        return run("bot", command, *args, "--state", tmp_path / "state", *more)

    return call


def discussions(root: Path) -> list[dict]:
    folder = root / CHILD / ".hub" / "discussions"
    return [json.loads(p.read_bytes()) for p in folder.glob("*.json")] if folder.is_dir() else []


def test_from_a_model_to_a_comment_and_back(bot: Run, hub: tuple[str, Path]) -> None:
    done = bot("run", CHILD, HONEST)
    assert done.code == 0 and f"queued  say  {CHILD}" in done.out and HONEST not in done.out
    queue = json.loads(bot("queue", "--format", "json").out)
    assert queue["schema"] == "hubdna.bot.queue/1"
    (one,) = queue["proposals"]
    assert one["repo_id"] == CHILD and one["said"][0]["rule_id"] == "HD001"
    assert bot("show", one["id"]).out == one["body"] + "\n"
    assert discussions(hub[1]) == []
    assert bot("approve", one["id"], "--by", "ann").code == 0
    again = bot("approve", one["id"])
    assert again.code == 2 and "is approved, so it cannot be approved any more" in again.err
    assert bot("run").code == 0 and discussions(hub[1]) == []  # a dry run
    assert bot("run", "--post").code == 0
    (thread,) = discussions(hub[1])
    assert thread["author"] == "clibot" and thread["events"][0]["data"]["latest"]["raw"].startswith(one["body"])
    assert bot("queue").out == "nothing waits\n"
    assert "posted" in bot("queue", "--all").out
    assert bot("withdraw", CHILD, "--reason", "a test", "--by", "ann").code == 0
    assert bot("run", "--post").code == 0
    assert discussions(hub[1])[0]["status"] == "closed"
    assert f"{CHILD}#1 HD001 withdrawn by ann: a test" in bot("log").out
    log = json.loads(bot("log", "--format", "json").out)
    assert log["schema"] == "hubdna.bot.log/1" and log["corrections"][0]["told"]


def test_rejecting_is_for_good(bot: Run) -> None:
    bot("run", CHILD)
    (one,) = json.loads(bot("queue", "--format", "json").out)["proposals"]
    assert bot("reject", one["id"], "--reason", "known").code == 0
    assert bot("run", CHILD).out == "nothing waits\n"


def test_blocking_and_opting_in(bot: Run) -> None:
    bot("run", CHILD)
    assert bot("block", "quietlab").out == "quietlab is on the block list\n"
    assert bot("queue").out == "nothing waits\n"
    assert bot("run", CHILD).out == "nothing waits\n"
    assert bot("block", "quietlab", "--off").code == 0
    assert bot("optin", "quietlab", "HD001").code == 0
    assert "approved  say" in bot("run", CHILD).out
    assert bot("optin", "quietlab", "HD001", "--off").code == 0


@pytest.mark.parametrize("rule", ["HD012", "HD013", "HD014"])
def test_an_accusation_cannot_be_switched_on(bot: Run, rule: str) -> None:
    bot("run", HONEST)
    done = bot("optin", "quietlab", rule)
    assert done.code == 2 and "never posted without a person's approval" in done.err


def test_what_makes_no_sense_is_told(bot: Run, run: Run, tmp_path: Path) -> None:
    assert "found none" in bot("queue").err
    assert not (tmp_path / "state").exists()
    assert bot("run", "./folder").code == 2
    assert bot("run", "org/name@dev").code == 2
    gone = bot("run", "nobody/nothing")
    assert gone.code == 3 and "nobody/nothing" in gone.err
    assert bot("optin", "quietlab", "HD999").code == 2
    missing = bot("show", "\x1b[31mred")
    assert missing.code == 3 and "\x1b" not in missing.err
    assert bot("withdraw", CHILD, "--reason", "x").code == 3
    served = run("bot", "serve", "--state", tmp_path / "state", "--port", "0")
    assert served.code == 2 and "at least 16 characters" in served.err
