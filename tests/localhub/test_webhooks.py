"""Webhooks through the unmodified client: made, delivered, and read by the client's own schema."""

import json
import socket
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import CommitOperationAdd, HfApi, WebhookPayload, WebhookWatchedItem
from huggingface_hub.errors import BadRequestError, HfHubHTTPError
from huggingface_hub.utils import get_session
from localhub_repos import CARD, MakeRepo

from hubdna.localhub import Fault, LocalHub

REPO = "acme/model"
AUTH = {"Authorization": "Bearer hf_alice"}
WATCHED: list[dict[str, str] | WebhookWatchedItem] = [{"type": "model", "name": REPO}]


@dataclass
class Receiver:
    """Somebody's bot: remembers what it was sent, answers as it is told."""

    url: str = ""
    got: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    answers: deque[int] = field(default_factory=deque)
    block: threading.Event = field(default_factory=threading.Event)

    @property
    def events(self) -> list[str]:
        """Action and scope of each."""
        return [f"{payload['event']['action']} {payload['event']['scope']}" for payload in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    made.block.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.block.wait(5)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = made.answers.popleft() if made.answers else 200
            made.headers.append(dict(self.headers))
            made.paths.append(self.path)
            if status == 200:
                payload = json.loads(body)
                WebhookPayload(**payload)
                made.got.append(payload)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", made.url + "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield made
    made.block.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def watch(api: HfApi, receiver: Receiver, make_repo: MakeRepo) -> str:
    """A repository and a webhook on it; the id of the webhook."""
    make_repo(REPO)
    return api.create_webhook(url=receiver.url + "/bot", watched=WATCHED, secret="s3cret").id


def test_making_and_listing(api: HfApi, hub: LocalHub) -> None:
    watched = [{"type": "user", "name": "bob"}, WebhookWatchedItem(type="org", name="acme")]
    made = api.create_webhook(url="http://localhost:1/x", watched=watched, domains=["discussion"], secret="s")
    assert (made.url, made.domains, made.secret, made.disabled) == ("http://localhost:1/x", ["discussion"], "s", False)
    assert [(item.type, item.name) for item in made.watched] == [("user", "bob"), ("org", "acme")]
    other = api.create_webhook(url="http://[::1]:1", watched=WATCHED)
    assert (other.domains, other.secret) == (["repo", "discussion"], None)
    assert api.list_webhooks() == [made, other]
    assert api.get_webhook(made.id) == made


def test_changing_and_deleting(api: HfApi) -> None:
    made = api.create_webhook(url="http://127.0.0.1:1", watched=WATCHED, secret="s")
    assert api.disable_webhook(made.id).disabled
    assert not api.enable_webhook(made.id).disabled
    changed = api.update_webhook(made.id, url="http://127.0.0.1:2", domains=["repo"])
    assert (changed.url, changed.domains, changed.watched, changed.secret) == (
        "http://127.0.0.1:2",
        ["repo"],
        made.watched,
        "s",
    )
    assert api.update_webhook(made.id, watched=[{"type": "user", "name": "u"}]).watched[0].name == "u"
    api.delete_webhook(made.id)
    assert api.list_webhooks() == []


def test_a_webhook_is_seen_by_its_owner_only(api: HfApi, hub: LocalHub) -> None:
    made = api.create_webhook(url="http://127.0.0.1:1", watched=WATCHED, secret="s")
    bob = HfApi(endpoint=hub.endpoint, token="hf_bob")
    assert bob.list_webhooks() == []
    calls: list[Callable[[str], object]] = [
        bob.get_webhook,
        bob.disable_webhook,
        bob.enable_webhook,
        bob.delete_webhook,
        lambda hook: bob.update_webhook(hook, url="http://127.0.0.1:2"),
    ]
    for call in calls:
        with pytest.raises(HfHubHTTPError, match="404"):
            call(made.id)
    assert api.list_webhooks() == [made]


def test_webhooks_need_a_token(hub: LocalHub) -> None:
    url = f"{hub.endpoint}/api/settings/webhooks"
    for method, call in (
        ("GET", ""),
        ("POST", ""),
        ("GET", "/0"),
        ("POST", "/0"),
        ("DELETE", "/0"),
        ("POST", "/0/enable"),
    ):
        assert get_session().request(method, url + call, json={}).status_code == 401


def test_secrets_are_kept_from_other_users_of_the_machine(api: HfApi, root: Path, watch: str) -> None:
    assert stat.S_IMODE((root / ".hub" / "webhooks.json").stat().st_mode) == 0o600


def test_a_delivery_carries_the_secret(api: HfApi, hub: LocalHub, receiver: Receiver, watch: str) -> None:
    api.create_discussion(REPO, "A question")
    assert hub.settle()
    assert receiver.headers[0]["X-Webhook-Secret"] == "s3cret"
    assert receiver.headers[0]["Content-Type"] == "application/json"
    assert receiver.paths == ["/bot"]
    assert receiver.got[0]["webhook"] == {"id": watch, "version": 3}
    (delivery,) = hub.deliveries
    assert (delivery.repo, delivery.event, delivery.hook, delivery.status, delivery.tries) == (
        REPO,
        "create/discussion",
        watch,
        200,
        1,
    )


def test_the_address_may_carry_a_query_and_there_may_be_no_secret(
    api: HfApi, hub: LocalHub, receiver: Receiver, make_repo: MakeRepo
) -> None:
    make_repo(REPO)
    api.create_webhook(url=receiver.url + "?secret=XXX", watched=WATCHED)
    api.create_discussion(REPO, "A question")
    assert hub.settle()
    assert receiver.paths == ["/?secret=XXX"]
    assert "X-Webhook-Secret" not in receiver.headers[0]


def test_what_a_discussion_says(api: HfApi, hub: LocalHub, receiver: Receiver, watch: str) -> None:
    api.create_discussion(REPO, "A question", description="Why?")
    assert hub.settle()
    payload = receiver.got[0]
    assert "headSha" not in payload["repo"] and "updatedRefs" not in payload
    assert payload["repo"]["name"] == REPO and payload["repo"]["url"]["web"] == f"{hub.endpoint}/{REPO}"
    assert payload["discussion"]["title"] == "A question" and "changes" not in payload["discussion"]
    assert payload["discussion"]["url"]["api"] == f"{hub.endpoint}/api/models/{REPO}/discussions/1"
    assert payload["discussion"]["author"] == payload["comment"]["author"] != payload["repo"]["owner"]
    opening = api.get_discussion_details(REPO, 1).events[0]
    assert (payload["comment"]["id"], payload["comment"]["content"]) == (opening.id, "Why?")
    assert payload["comment"]["url"]["web"].endswith(f"/{REPO}/discussions/1#{opening.id}")


def test_every_change_of_a_discussion_is_told(api: HfApi, hub: LocalHub, receiver: Receiver, watch: str) -> None:
    api.create_discussion(REPO, "A question")
    said = api.comment_discussion(REPO, 1, "one")
    api.edit_discussion_comment(REPO, 1, said.id, "two")
    with pytest.warns(UserWarning):
        api.hide_discussion_comment(REPO, 1, said.id)
    api.rename_discussion(REPO, 1, "Another")
    api.change_discussion_status(REPO, 1, "closed", comment="Bye")
    assert hub.settle()
    assert receiver.events == [
        "create discussion",
        "create discussion.comment",
        "update discussion.comment",
        "update discussion.comment",
        "update discussion",
        "create discussion.comment",
        "update discussion",
    ]
    assert [payload.get("comment", {}).get("content") for payload in receiver.got[1:4]] == ["one", "two", None]
    assert receiver.got[3]["comment"]["hidden"]
    assert [payload["discussion"]["title"] for payload in receiver.got[3:5]] == ["A question", "Another"]
    assert receiver.got[-1]["discussion"]["status"] == "closed"


def test_a_pull_request_is_a_new_reference_too(api: HfApi, hub: LocalHub, receiver: Receiver, watch: str) -> None:
    main = api.model_info(REPO).sha
    add = CommitOperationAdd("README.md", CARD.replace("acme/base", "acme/other").encode())
    made = api.create_commit(REPO, [add], commit_message="Fix", create_pr=True)
    pushed = api.upload_file(path_or_fileobj=b"x", path_in_repo="a", repo_id=REPO, revision="refs/pr/1")
    api.merge_pull_request(REPO, 1, comment="Thanks")
    assert hub.settle()
    assert receiver.events == [
        "create discussion",
        "update repo.content",
        "update repo.content",
        "update repo.content",
        "create discussion.comment",
        "update discussion",
    ]
    merged = api.model_info(REPO).sha
    assert [payload.get("updatedRefs") for payload in receiver.got[1:4]] == [
        [{"ref": "refs/pr/1", "oldSha": None, "newSha": made.oid}],
        [{"ref": "refs/pr/1", "oldSha": made.oid, "newSha": pushed.oid}],
        [{"ref": "refs/heads/main", "oldSha": main, "newSha": merged}],
    ]
    assert [payload["repo"]["headSha"] for payload in receiver.got[1:4]] == [main, main, merged]
    assert "base_model:acme/base" in receiver.got[2]["repo"]["tags"]
    assert "base_model:acme/other" in receiver.got[3]["repo"]["tags"]
    assert receiver.got[0]["discussion"]["changes"] == {"base": "refs/heads/main"}
    assert receiver.got[-1]["discussion"]["changes"] == {"base": "refs/heads/main", "mergeCommitId": merged}


def test_the_life_of_a_repository(api: HfApi, hub: LocalHub, receiver: Receiver) -> None:
    api.create_webhook(url=receiver.url, watched=[{"type": "user", "name": "alice"}])
    api.create_repo("alice/new")
    api.upload_file(path_or_fileobj=b"x", path_in_repo="a.txt", repo_id="alice/new")
    api.update_repo_settings("alice/new", private=True)
    api.update_repo_settings("alice/new", gated="auto")
    api.move_repo("alice/new", "alice/newer")
    api.delete_repo("alice/newer")
    api.create_repo("bob/new")
    assert hub.settle()
    assert receiver.events == [
        "create repo",
        "update repo.content",
        "update repo.config",
        "update repo.config",
        "move repo",
        "delete repo",
    ]
    _, content, private, gated, moved, deleted = receiver.got
    assert content["updatedRefs"][0]["ref"] == "refs/heads/main"
    assert (private["updatedConfig"], private["repo"]["private"]) == ({"private": True}, True)
    assert gated["updatedConfig"] == {}
    assert (moved["repo"]["name"], moved["movedTo"]["name"]) == ("alice/new", "alice/newer")
    assert {payload["repo"]["id"] for payload in receiver.got} == {deleted["repo"]["id"]}


def test_moving_takes_everything_along(api: HfApi, make_repo: MakeRepo) -> None:
    make_repo(REPO)
    api.create_discussion(REPO, "A question")
    sha = api.model_info(REPO).sha
    api.move_repo(REPO, "other/name")
    assert (api.model_info("other/name").sha, [item.num for item in api.get_repo_discussions("other/name")]) == (
        sha,
        [1],
    )
    assert api.model_info(REPO).id == "other/name", "an old name leads to the new one"
    assert api.model_info(REPO, revision="main").id == "other/name"
    make_repo(REPO)
    assert api.model_info(REPO).id == REPO
    for target in (REPO, "other/../x", ".hub/x", "a/b/c"):
        with pytest.raises((HfHubHTTPError, ValueError), match=r"409|400|Bad request|Invalid"):
            api.move_repo("other/name", target)


@pytest.mark.parametrize(
    ("watched", "domains", "expected"),
    [
        ({"type": "model", "name": REPO}, ["repo"], ["update repo.content"]),
        ({"type": "model", "name": REPO}, ["discussion"], ["create discussion"]),
        ({"type": "org", "name": "acme"}, None, ["create discussion", "update repo.content"]),
        ({"type": "user", "name": "acme"}, None, ["create discussion", "update repo.content"]),
        ({"type": "model", "name": "acme"}, None, []),
        ({"type": "dataset", "name": REPO}, None, []),
        ({"type": "user", "name": "alice"}, None, []),
        ({"type": "model", "name": "acme/models"}, None, []),
    ],
)
def test_only_what_is_watched_is_told(
    api: HfApi,
    hub: LocalHub,
    receiver: Receiver,
    make_repo: MakeRepo,
    watched: dict[str, str],
    domains: list[Any] | None,
    expected: list[str],
) -> None:
    make_repo(REPO)
    api.create_webhook(url=receiver.url, watched=[watched], domains=domains)
    api.create_pull_request(REPO, "Empty")
    assert hub.settle()
    assert receiver.events == expected


def test_a_disabled_webhook_is_told_nothing(api: HfApi, hub: LocalHub, receiver: Receiver, watch: str) -> None:
    api.disable_webhook(watch)
    api.create_discussion(REPO, "unheard")
    api.enable_webhook(watch)
    api.create_discussion(REPO, "heard")
    assert hub.settle()
    assert [payload["discussion"]["title"] for payload in receiver.got] == ["heard"]


def test_what_is_refused_is_not_told(api: HfApi, hub: LocalHub, receiver: Receiver, watch: str) -> None:
    with pytest.raises(HfHubHTTPError, match="412"):
        api.create_commit(
            REPO, [CommitOperationAdd("a", b"a")], commit_message="x", parent_commit="0" * 40, create_pr=True
        )
    with pytest.raises(BadRequestError):
        api.create_discussion(REPO, "x" * 1000)
    assert hub.settle()
    assert receiver.got == [] and hub.deliveries == ()


def titles(receiver: Receiver) -> list[str]:
    return [payload["discussion"]["title"] for payload in receiver.got]


def test_deliveries_of_a_repository_keep_their_order(api: HfApi, hub: LocalHub, receiver: Receiver, watch: str) -> None:
    receiver.answers.extend([500] * 2)
    for number in range(20):
        api.create_discussion(REPO, str(number))
    assert hub.settle()
    assert titles(receiver) == [str(number) for number in range(20)]


def test_a_call_does_not_wait_for_its_delivery(api: HfApi, hub: LocalHub, receiver: Receiver, watch: str) -> None:
    receiver.block.clear()
    assert api.create_discussion(REPO, "A question").num == 1
    assert not hub.settle(0.05) and receiver.got == []
    receiver.block.set()
    assert hub.settle() and titles(receiver) == ["A question"]


def test_a_receiver_that_hangs_holds_up_nobody_else(
    api: HfApi, hub: LocalHub, receiver: Receiver, make_repo: MakeRepo
) -> None:
    make_repo(REPO)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hangs = api.create_webhook(url=f"http://127.0.0.1:{silent.getsockname()[1]}", watched=WATCHED)
        quick = api.create_webhook(url=receiver.url, watched=WATCHED)
        for number in range(3):
            api.create_discussion(REPO, str(number))
        assert not hub.settle(0.5)
        assert titles(receiver) == ["0", "1", "2"]
        assert {delivery.hook for delivery in hub.deliveries} == {quick.id} != {hangs.id}
    assert hub.settle(20)


@pytest.mark.parametrize(
    ("answers", "status", "tries"),
    [([500, 503], 200, 3), ([500] * 9, 500, 4), ([400], 400, 1), ([302], 302, 1), ([429], 429, 1)],
)
def test_only_5xx_is_tried_again(
    api: HfApi, hub: LocalHub, receiver: Receiver, watch: str, answers: list[int], status: int, tries: int
) -> None:
    receiver.answers.extend(answers)
    api.create_discussion(REPO, "A question")
    assert hub.settle()
    (delivery,) = hub.deliveries
    assert (delivery.status, delivery.tries) == (status, tries)
    assert len(receiver.paths) == tries


def test_a_receiver_that_is_not_there(api: HfApi, hub: LocalHub, make_repo: MakeRepo) -> None:
    make_repo(REPO)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    api.create_webhook(url=f"http://127.0.0.1:{port}", watched=WATCHED)
    api.create_discussion(REPO, "A question")
    assert hub.settle()
    assert [(delivery.status, delivery.tries) for delivery in hub.deliveries] == [(0, 4)]


def test_dropped(api: HfApi, hub: LocalHub, receiver: Receiver, watch: str) -> None:
    hub.misbehave(Fault("drop", repo=REPO, path="create/discussion.*", times=1))
    api.create_discussion(REPO, "A question")
    for text in ("lost", "found"):
        api.comment_discussion(REPO, 1, text)
    assert hub.settle()
    assert [payload["comment"]["content"] for payload in receiver.got][1:] == ["found"]
    assert [(delivery.status, delivery.tries) for delivery in hub.deliveries] == [(200, 1), (0, 0), (200, 1)]


def test_duplicated(api: HfApi, hub: LocalHub, receiver: Receiver, watch: str) -> None:
    hub.misbehave(Fault("duplicate", times=1))
    for number in range(2):
        api.create_discussion(REPO, str(number))
    assert hub.settle()
    assert titles(receiver) == ["0", "0", "1"]


def test_reordered(api: HfApi, hub: LocalHub, receiver: Receiver, watch: str) -> None:
    hub.misbehave(Fault("reorder", times=1))
    for number in range(3):
        api.create_discussion(REPO, str(number))
    assert hub.settle()
    assert titles(receiver) == ["1", "0", "2"]


def test_a_delivery_without_a_next_one_waits_for_it_in_vain(
    api: HfApi, hub: LocalHub, receiver: Receiver, watch: str
) -> None:
    hub.misbehave(Fault("reorder", seconds=0.1))
    api.create_discussion(REPO, "alone")
    assert hub.settle()
    assert titles(receiver) == ["alone"]


def test_faults_meet_deliveries_or_requests_never_both(
    api: HfApi, hub: LocalHub, receiver: Receiver, watch: str
) -> None:
    for kind in ("drop", "duplicate", "reorder"):
        hub.misbehave(Fault(kind, host="hub"))  # type: ignore[arg-type]
    hub.misbehave(Fault("500", host="webhook"))
    api.create_discussion(REPO, "A question")
    assert hub.settle() and titles(receiver) == ["A question"]
    hub.calm()
    hub.misbehave(Fault("500", path="/api/settings/webhooks", times=1))
    with pytest.raises(HfHubHTTPError, match="500"):
        api.list_webhooks()
    assert len(api.list_webhooks()) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/x",
        "http://192.168.0.1/",
        "http://0.0.0.0/",
        "http://127.0.0.1.example.com/",
        "http://127.0.0.1@example.com/",
        "http://user@127.0.0.1/",
        "https://127.0.0.1/",
        "file:///etc/passwd",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/\r\nX: y",
        "http://127.0.0.1/" + "x" * 3000,
        "http://[::1",
        "",
        7,
    ],
)
def test_deliveries_stay_on_loopback(hub: LocalHub, api: HfApi, url: object) -> None:
    body = {"url": url, "watched": WATCHED}
    answer = get_session().post(f"{hub.endpoint}/api/settings/webhooks", json=body, headers=AUTH)
    assert answer.status_code == 400
    assert api.list_webhooks() == []


@pytest.mark.parametrize(
    "change",
    [
        {"watched": None},
        {"watched": []},
        {"watched": [7]},
        {"watched": [{"type": "planet", "name": "x"}]},
        {"watched": [{"type": ["user"], "name": "x"}]},
        {"watched": [{"type": "user", "name": 7}]},
        {"watched": [{"type": "user", "name": "x"}] * 101},
        {"domains": []},
        {"domains": ["repo", "moon"]},
        {"domains": [["repo"]]},
        {"domains": "repo"},
        {"secret": "a\r\nX: y"},
        {"secret": "ä"},
        {"secret": "x" * 3000},
        {"secret": 7},
        {"jobSourceId": "x"},
    ],
)
def test_bad_webhooks_are_refused(hub: LocalHub, api: HfApi, change: dict[str, object]) -> None:
    body = {"url": "http://127.0.0.1:1", "watched": WATCHED, **change}
    answer = get_session().post(f"{hub.endpoint}/api/settings/webhooks", json=body, headers=AUTH)
    assert answer.status_code == 400
    assert api.list_webhooks() == []


def test_the_number_of_webhooks_is_bounded(api: HfApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubdna.localhub.hooks.HOOKS_LIMIT", 2)
    for _ in range(2):
        api.create_webhook(url="http://127.0.0.1:1", watched=WATCHED)
    with pytest.raises(BadRequestError, match="at most 2"):
        api.create_webhook(url="http://127.0.0.1:1", watched=WATCHED)


def test_what_waits_is_bounded(
    api: HfApi, hub: LocalHub, receiver: Receiver, watch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubdna.localhub.deliveries.LANE_LIMIT", 3)
    receiver.block.clear()
    for number in range(5):
        api.create_discussion(REPO, str(number))
    receiver.block.set()
    assert hub.settle()
    assert titles(receiver) == ["0", "1", "2"]
    assert sorted(delivery.tries for delivery in hub.deliveries) == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("content", ["", "{", "[7]", '[{"id": "x"}]', "7", "[" * 100_000])
def test_a_broken_file_is_no_webhooks(api: HfApi, root: Path, watch: str, content: str) -> None:
    (root / ".hub" / "webhooks.json").write_text(content)
    assert api.list_webhooks() == []
    assert api.create_discussion(REPO, "A question")


@pytest.mark.parametrize(
    "body", [{}, {"gated": "maybe"}, {"visibility": "protected"}, {"private": "yes"}, {"gated": []}]
)
def test_bad_settings_change_nothing(hub: LocalHub, api: HfApi, make_repo: MakeRepo, body: dict[str, object]) -> None:
    make_repo(REPO)
    url = f"{hub.endpoint}/api/models/{REPO}/settings"
    assert get_session().put(url, json=body, headers=AUTH).status_code == 400
    info = api.model_info(REPO)
    assert (info.gated, info.private) == (False, False)
