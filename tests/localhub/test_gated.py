"""Gated repositories through the unmodified client."""

import json
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import BadRequestError, GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.utils import get_session
from localhub_repos import CARD, MakeRepo, weights

from hubdna.localhub import Fault, LocalHub

REPO = "acme/model"
FILE = "model.safetensors"


@pytest.fixture
def bob(hub: LocalHub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token="hf_bob")


@pytest.fixture
def nobody(hub: LocalHub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=False)


def ask(api: HfApi) -> None:
    """What the button on a model's page sends; the client has no call for it."""
    headers = {"Authorization": f"Bearer {api.token}"}
    answer = get_session().post(f"{api.endpoint}/{REPO}/ask-access", headers=headers, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{api.endpoint}/{REPO}")


def requests(api: HfApi) -> tuple[list[str | None], ...]:
    """Who waits, who was accepted, who was rejected."""
    lists = (api.list_pending_access_requests, api.list_accepted_access_requests, api.list_rejected_access_requests)
    return tuple([entry.username for entry in call(REPO)] for call in lists)


@pytest.mark.parametrize("gated", ["auto", "manual"])
def test_files_need_access_and_everything_else_does_not(
    nobody: HfApi, bob: HfApi, make_repo: MakeRepo, gated: str
) -> None:
    make_repo(REPO, gated=gated)
    for api in (nobody, bob):
        assert api.model_info(REPO).gated == gated
        assert [model.gated for model in api.list_models(gated=True, full=True)] == [gated]
        assert api.list_repo_files(REPO) == ["README.md", FILE]
        assert Path(api.hf_hub_download(REPO, "README.md")).read_text() == CARD
        for refused in (
            lambda api=api: api.hf_hub_download(REPO, FILE),
            lambda api=api: api.auth_check(REPO),
            lambda api=api: api.get_safetensors_metadata(REPO),
        ):
            with pytest.raises(GatedRepoError):
                refused()


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("hf_bob", 403)])
def test_the_refusal_as_the_hub_words_it(hub: LocalHub, make_repo: MakeRepo, token: str | None, status: int) -> None:
    make_repo(REPO, gated="manual")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    for method in ("GET", "HEAD"):
        answer = get_session().request(method, f"{hub.endpoint}/{REPO}/resolve/main/{FILE}", headers=headers)
        assert (answer.status_code, answer.headers["x-error-code"]) == (status, "GatedRepo")
        assert REPO in answer.headers["x-error-message"]


def test_the_owner_needs_no_grant(hub: LocalHub, make_repo: MakeRepo) -> None:
    make_repo(REPO, gated="manual")
    owner = HfApi(endpoint=hub.endpoint, token="hf_acme")
    owner.auth_check(REPO)
    assert Path(owner.hf_hub_download(REPO, FILE)).read_bytes() == weights(1)


def test_auto_grants_at_once(bob: HfApi, api: HfApi, make_repo: MakeRepo) -> None:
    make_repo(REPO, gated="auto")
    ask(bob)
    assert bob.hf_hub_download(REPO, FILE)
    assert requests(api) == ([], ["bob"], [])
    with pytest.raises(GatedRepoError):
        api.auth_check(REPO)


def test_manual_waits_for_an_answer(bob: HfApi, api: HfApi, make_repo: MakeRepo) -> None:
    make_repo(REPO, gated="manual")
    ask(bob)
    with pytest.raises(GatedRepoError, match="awaiting a review"):
        bob.auth_check(REPO)
    (waiting,) = api.list_pending_access_requests(REPO)
    assert (waiting.username, waiting.status) == ("bob", "pending")
    api.accept_access_request(REPO, "bob")
    bob.auth_check(REPO)
    assert bob.hf_hub_download(REPO, FILE)
    assert requests(api) == ([], ["bob"], [])
    assert next(iter(api.list_accepted_access_requests(REPO))).timestamp == waiting.timestamp


def test_what_was_granted_can_be_taken_away(bob: HfApi, api: HfApi, make_repo: MakeRepo) -> None:
    make_repo(REPO, gated="manual")
    api.grant_access(REPO, "bob")
    bob.auth_check(REPO)
    api.cancel_access_request(REPO, "bob")
    with pytest.raises(GatedRepoError, match="awaiting"):
        bob.auth_check(REPO)
    api.reject_access_request(REPO, "bob", rejection_reason="no")
    with pytest.raises(GatedRepoError, match="rejected"):
        bob.hf_hub_download(REPO, FILE)
    ask(bob)
    assert requests(api) == ([], [], ["bob"])


def test_a_request_can_be_named_by_its_id(bob: HfApi, api: HfApi, make_repo: MakeRepo) -> None:
    make_repo(REPO, gated="manual")
    ask(bob)
    (waiting,) = api.list_pending_access_requests(REPO)
    api.accept_access_request(REPO, request_id=waiting.request_id)
    bob.auth_check(REPO)
    with pytest.raises(HfHubHTTPError, match="404"):
        api.reject_access_request(REPO, request_id="0" * 24, rejection_reason=None)


def test_access_may_stand_in_the_folder(bob: HfApi, api: HfApi, make_repo: MakeRepo) -> None:
    make_repo(REPO, gated="manual", access={"bob": "accepted", "../x": "accepted", "carol": "king", "dave": 7})
    bob.auth_check(REPO)
    assert requests(api) == ([], ["bob"], [])


def test_what_cannot_be_decided(api: HfApi, make_repo: MakeRepo) -> None:
    make_repo(REPO, gated="manual", access={"bob": "accepted"})
    for user in ("carol", "bob"):  # did not ask; has it already
        with pytest.raises(HfHubHTTPError, match="404"):
            api.accept_access_request(REPO, user)
    with pytest.raises(BadRequestError, match="already has access"):
        api.grant_access(REPO, "bob")
    with pytest.raises(HfHubHTTPError, match="404"):
        api.grant_access(REPO, "../bob")
    make_repo("acme/open")
    with pytest.raises(BadRequestError, match="not gated"):
        api.grant_access("acme/open", "bob")


def test_the_gate_is_a_setting_and_requests_outlive_it(bob: HfApi, api: HfApi, make_repo: MakeRepo) -> None:
    make_repo(REPO)
    api.update_repo_settings(REPO, gated="manual")
    ask(bob)
    api.update_repo_settings(REPO, gated=False)
    assert bob.hf_hub_download(REPO, FILE)
    api.update_repo_settings(REPO, gated="auto")
    assert requests(api) == (["bob"], [], [])
    with pytest.raises(GatedRepoError):
        bob.auth_check(REPO)


def test_a_pull_request_is_gated_like_its_repository(bob: HfApi, make_repo: MakeRepo, nobody: HfApi) -> None:
    make_repo(REPO, gated="manual")
    bob.create_commit(REPO, [CommitOperationAdd("a.txt", b"a")], commit_message="x", create_pr=True)
    assert nobody.model_info(REPO, revision="refs/pr/1").siblings
    with pytest.raises(GatedRepoError):
        nobody.hf_hub_download(REPO, "a.txt", revision="refs/pr/1")


def test_a_commit_leaves_access_as_it_is(bob: HfApi, api: HfApi, make_repo: MakeRepo) -> None:
    make_repo(REPO, gated="manual", access={"bob": "accepted"})
    api.upload_file(path_or_fileobj=b"x", path_in_repo="a.txt", repo_id=REPO)
    assert Path(bob.hf_hub_download(REPO, "a.txt")).read_bytes() == b"x"


def test_deciding_needs_a_token(hub: LocalHub, api: HfApi, nobody: HfApi, make_repo: MakeRepo) -> None:
    make_repo(REPO, gated="manual")
    for call in ("handle", "grant"):
        answer = get_session().post(f"{hub.endpoint}/api/models/{REPO}/user-access-request/{call}", json={"user": "x"})
        assert answer.status_code == 401
    assert get_session().post(f"{hub.endpoint}/{REPO}/ask-access").status_code == 401
    with pytest.raises(HfHubHTTPError, match="401"):
        list(nobody.list_pending_access_requests(REPO))
    with pytest.raises(RepositoryNotFoundError):
        api.grant_access("acme/none", "bob")


@pytest.mark.parametrize("kind", ["429", "500"])
def test_faults_meet_requests_for_access_too(hub: LocalHub, api: HfApi, make_repo: MakeRepo, kind: str) -> None:
    make_repo(REPO, gated="manual")
    hub.misbehave(Fault(kind, repo=REPO, times=2))  # type: ignore[arg-type]
    with pytest.raises(HfHubHTTPError, match=kind):
        api.grant_access(REPO, "bob")
    headers = {"Authorization": "Bearer hf_bob"}
    assert get_session().post(f"{hub.endpoint}/{REPO}/ask-access", headers=headers).status_code == int(kind)
    assert requests(api) == ([], [], [])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user": "bob", "requestId": "0", "status": "accepted"},
        {"user": "bob", "status": "king"},
        {"user": "bob", "status": ["accepted"]},
        {"user": ["bob"], "status": "accepted"},
        {"requestId": {}, "status": "accepted"},
    ],
)
def test_bad_decisions_change_nothing(hub: LocalHub, api: HfApi, make_repo: MakeRepo, body: dict[str, object]) -> None:
    folder = make_repo(REPO, gated="manual", access={"bob": "pending"})
    before = (folder / ".hub.json").read_text()
    headers = {"Authorization": "Bearer hf_alice"}
    url = f"{hub.endpoint}/api/models/{REPO}/user-access-request/handle"
    assert get_session().post(url, json=body, headers=headers).status_code in (400, 404)
    assert json.loads((folder / ".hub.json").read_text()) == json.loads(before)


def test_the_number_of_users_is_bounded(api: HfApi, make_repo: MakeRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubdna.localhub.access.USERS_LIMIT", 2)
    make_repo(REPO, gated="manual")
    for user in ("a", "b"):
        api.grant_access(REPO, user)
    with pytest.raises(BadRequestError, match="at most 2"):
        api.grant_access(REPO, "c")
