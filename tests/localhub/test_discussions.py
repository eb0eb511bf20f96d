"""Discussions through the unmodified client."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import DiscussionComment, DiscussionStatusChange, DiscussionTitleChange, HfApi
from huggingface_hub.errors import BadRequestError, HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.utils import get_session
from localhub_repos import MakeRepo

from hubdna.localhub import Fault, LocalHub
from hubdna.localhub.discussions import COMMENT_LIMIT, EVENTS_LIMIT, TITLE_LIMIT

REPO = "acme/model"
AUTH = {"Authorization": "Bearer hf_alice"}


@pytest.fixture(autouse=True)
def folder(make_repo: MakeRepo) -> Path:
    return make_repo(REPO)


@pytest.fixture
def bob(hub: LocalHub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token="hf_bob")


def discussion_file(folder: Path, num: int = 1) -> Path:
    return folder / ".hub" / "discussions" / f"{num}.json"


def test_opening_a_discussion(api: HfApi, hub: LocalHub) -> None:
    made = api.create_discussion(REPO, " A question ", description="Why <b>so</b>?")
    assert (made.num, made.title, made.status, made.author) == (1, "A question", "open", "alice")
    assert (made.repo_id, made.repo_type, made.is_pull_request, made.git_reference) == (REPO, "model", False, None)
    assert (made.diff, made.target_branch, made.conflicting_files) == (None, None, None)
    assert made.url == f"{hub.endpoint}/{REPO}/discussions/1"
    (opening,) = made.events
    assert isinstance(opening, DiscussionComment)
    assert (opening.content, opening.author, opening.edited, opening.hidden) == (
        "Why <b>so</b>?",
        "alice",
        False,
        False,
    )
    assert opening.rendered == "<p>Why &lt;b&gt;so&lt;/b&gt;?</p>"
    assert api.create_discussion(REPO, "Another").num == 2


def test_it_is_no_content_of_the_repository(api: HfApi) -> None:
    before = api.model_info(REPO)
    api.create_discussion(REPO, "A question")
    after = api.model_info(REPO)
    assert (after.sha, len(after.siblings), after.last_modified) == (before.sha, 2, before.last_modified)


def test_comments(api: HfApi, bob: HfApi) -> None:
    api.create_discussion(REPO, "A question")
    said = bob.comment_discussion(REPO, 1, "An *answer*")
    assert (said.content, said.author, said.number_of_edits) == ("An *answer*", "bob", 0)
    edited = bob.edit_discussion_comment(REPO, 1, said.id, "A better answer")
    assert (edited.id, edited.content, edited.edited, edited.number_of_edits) == (said.id, "A better answer", True, 1)
    assert (edited.last_edited_by, edited.edit_history[0]["raw"]) == ("bob", "An *answer*")
    events = api.get_discussion_details(REPO, 1).events
    assert [event.content for event in events][1:] == ["A better answer"]
    assert len({event.id for event in events}) == 2


def test_a_hidden_comment_is_gone_for_ever(api: HfApi, folder: Path) -> None:
    api.create_discussion(REPO, "A question")
    said = api.comment_discussion(REPO, 1, "SECRET 1")
    api.edit_discussion_comment(REPO, 1, said.id, "SECRET 2")
    with pytest.warns(UserWarning, match="irreversible"):
        hidden = api.hide_discussion_comment(REPO, 1, said.id)
    assert hidden.hidden and "SECRET" not in hidden.content
    assert "SECRET" not in discussion_file(folder).read_text()
    with pytest.raises(HfHubHTTPError, match="409"):
        api.edit_discussion_comment(REPO, 1, said.id, "again")


def test_only_comments_are_edited_and_hidden(api: HfApi) -> None:
    api.create_discussion(REPO, "A question")
    event = api.rename_discussion(REPO, 1, "Another question")
    for comment_id in (event.id, "0" * 24):
        with pytest.raises(HfHubHTTPError, match="404"):
            api.edit_discussion_comment(REPO, 1, comment_id, "x")
        with pytest.raises(HfHubHTTPError, match="404"), pytest.warns(UserWarning):
            api.hide_discussion_comment(REPO, 1, comment_id)


def test_renaming(api: HfApi) -> None:
    api.create_discussion(REPO, "Old")
    event = api.rename_discussion(REPO, 1, "New")
    assert isinstance(event, DiscussionTitleChange)
    assert (event.old_title, event.new_title) == ("Old", "New")
    assert api.get_discussion_details(REPO, 1).title == "New"


def test_closing_and_opening_again(api: HfApi) -> None:
    api.create_discussion(REPO, "A question")
    event = api.change_discussion_status(REPO, 1, "closed", comment="Done.")
    assert isinstance(event, DiscussionStatusChange) and event.new_status == "closed"
    details = api.get_discussion_details(REPO, 1)
    assert details.status == "closed"
    assert [event.type for event in details.events] == ["comment", "comment", "status-change"]
    with pytest.raises(HfHubHTTPError, match=r"403.*closed"):
        api.comment_discussion(REPO, 1, "But")
    api.change_discussion_status(REPO, 1, "open")
    assert api.comment_discussion(REPO, 1, "But")


def test_a_locked_discussion_takes_no_comments(api: HfApi, folder: Path) -> None:
    said = api.create_discussion(REPO, "A question").events[0]
    raw = json.loads(discussion_file(folder).read_text())
    discussion_file(folder).write_text(json.dumps({**raw, "locked": True}))
    for refused in (
        lambda: api.comment_discussion(REPO, 1, "x"),
        lambda: api.edit_discussion_comment(REPO, 1, said.id, "x"),
        lambda: api.change_discussion_status(REPO, 1, "closed", comment="x"),
    ):
        with pytest.raises(HfHubHTTPError, match=r"403.*locked"):
            refused()
    assert len(api.get_discussion_details(REPO, 1).events) == 1


def test_disabled_discussions(api: HfApi, make_repo: MakeRepo) -> None:
    make_repo("acme/quiet", discussions_disabled=True)
    for refused in (
        lambda: api.create_discussion("acme/quiet", "x"),
        lambda: api.create_pull_request("acme/quiet", "x"),
        lambda: list(api.get_repo_discussions("acme/quiet")),
        lambda: api.comment_discussion("acme/quiet", 1, "x"),
        lambda: api.upload_file(path_or_fileobj=b"x", path_in_repo="a.txt", repo_id="acme/quiet", create_pr=True),
    ):
        with pytest.raises(HfHubHTTPError, match="Discussions are disabled"):
            refused()
    assert api.upload_file(path_or_fileobj=b"x", path_in_repo="a.txt", repo_id="acme/quiet")


def test_the_listing_has_pages_and_filters(api: HfApi, bob: HfApi, hub: LocalHub) -> None:
    for number in range(1, 6):
        (api if number % 2 else bob).create_discussion(REPO, f"Question {number}", pull_request=number > 3)
    api.change_discussion_status(REPO, 1, "closed")
    api.change_discussion_status(REPO, 5, "closed")
    hub.reset_traffic()
    found = list(api.get_repo_discussions(REPO))
    assert len(hub.traffic.requests) == 3  # pages of two
    assert [(item.num, item.status, item.is_pull_request) for item in found] == [
        (5, "closed", True),
        (4, "draft", True),
        (3, "open", False),
        (2, "open", False),
        (1, "closed", False),
    ]

    def nums(**filters: str) -> list[int]:
        return [item.num for item in api.get_repo_discussions(REPO, **filters)]

    assert nums(author="bob") == [4, 2]
    assert nums(discussion_type="pull_request") == [5, 4]
    assert nums(discussion_type="discussion", discussion_status="open") == [3, 2]
    assert nums(discussion_status="open") == [4, 3, 2]
    assert nums(discussion_status="closed", author="alice") == [5, 1]
    assert nums(author="carol") == []


def test_reading_needs_no_token_and_writing_does(hub: LocalHub, api: HfApi) -> None:
    api.create_discussion(REPO, "A question")
    nobody = HfApi(endpoint=hub.endpoint, token=False)
    assert [item.num for item in nobody.get_repo_discussions(REPO)] == [1]
    assert nobody.get_discussion_details(REPO, 1).title == "A question"
    for call in ("", "/1/comment", "/1/status", "/1/title", "/1/merge", "/1/comment/0/edit", "/1/comment/0/hide"):
        answer = get_session().post(f"{hub.endpoint}/api/models/{REPO}/discussions{call}", json={})
        assert answer.status_code == 401


def test_private_repositories_keep_their_discussions(hub: LocalHub, api: HfApi, make_repo: MakeRepo) -> None:
    make_repo("acme/private", private=True)
    api.create_discussion("acme/private", "A question")
    nobody = HfApi(endpoint=hub.endpoint, token=False)
    with pytest.raises(RepositoryNotFoundError):
        list(nobody.get_repo_discussions("acme/private"))
    with pytest.raises(RepositoryNotFoundError):
        nobody.get_discussion_details("acme/private", 1)


@pytest.mark.parametrize("num", [1, 999_999, 1_000_000, 10**30])
def test_no_such_discussion(api: HfApi, num: int) -> None:
    with pytest.raises(HfHubHTTPError, match="404"):
        api.get_discussion_details(REPO, num)
    with pytest.raises(HfHubHTTPError, match="404"):
        api.comment_discussion(REPO, num, "x")


def test_comments_at_once_are_all_kept(api: HfApi) -> None:
    api.create_discussion(REPO, "A question")
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda number: api.comment_discussion(REPO, 1, str(number)).content, range(24)))
    events = api.get_discussion_details(REPO, 1).events
    assert sorted(event.content for event in events[1:]) == sorted(said)
    assert len({event.id for event in events}) == 25


def test_discussions_opened_at_once_have_numbers_of_their_own(api: HfApi) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = pool.map(
            lambda number: api.create_discussion(REPO, str(number), pull_request=number % 2 == 0), range(12)
        )
        assert sorted(discussion.num for discussion in made) == list(range(1, 13))


def test_titles_and_comments_are_bounded(api: HfApi) -> None:
    api.create_discussion(REPO, "t" * TITLE_LIMIT, description="c" * COMMENT_LIMIT)
    for bad in (
        lambda: api.create_discussion(REPO, "t" * (TITLE_LIMIT + 1)),
        lambda: api.create_discussion(REPO, ""),
        lambda: api.rename_discussion(REPO, 1, " "),
        lambda: api.comment_discussion(REPO, 1, "c" * (COMMENT_LIMIT + 1)),
        lambda: api.comment_discussion(REPO, 1, ""),
    ):
        with pytest.raises(BadRequestError):
            bad()
    assert [item.num for item in api.get_repo_discussions(REPO)] == [1]
    assert len(api.get_discussion_details(REPO, 1).events) == 1


def test_the_number_of_comments_is_bounded(api: HfApi, folder: Path) -> None:
    said = api.create_discussion(REPO, "A question").events[0]._event
    raw = json.loads(discussion_file(folder).read_text())
    raw["events"] = [said] * (EVENTS_LIMIT - 1)
    discussion_file(folder).write_text(json.dumps(raw))
    assert api.comment_discussion(REPO, 1, "the last")
    with pytest.raises(BadRequestError, match=str(EVENTS_LIMIT)):
        api.comment_discussion(REPO, 1, "one too many")


def test_edits_are_bounded_too(api: HfApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubdna.localhub.discussions.FILE_LIMIT", 10_000)
    said = api.create_discussion(REPO, "A question").events[0]
    with pytest.raises(BadRequestError, match="10000"):
        for _ in range(10):
            api.edit_discussion_comment(REPO, 1, said.id, "x" * 4000)
    assert api.get_discussion_details(REPO, 1).events[0].number_of_edits < 10


def test_the_number_of_discussions_is_bounded(api: HfApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubdna.localhub.discussions.DISCUSSIONS_LIMIT", 2)
    for _ in range(2):
        api.create_discussion(REPO, "A question")
    for pull_request in (False, True):
        with pytest.raises(BadRequestError, match="at most 2"):
            api.create_discussion(REPO, "One too many", pull_request=pull_request)


BODIES = [b"{", b"[]", b"7", b"{}", b'{"title": 7}', b'{"title": "t", "description": {}}', b"[" * 100_000, b"\xff"]
CALLS = ["", "/1/comment", "/1/title", "/1/status", "/1/comment/{}/edit"]


@pytest.mark.parametrize("call", CALLS)
def test_bad_bodies_change_nothing(hub: LocalHub, api: HfApi, call: str) -> None:
    said = api.create_discussion(REPO, "A question").events[0]
    for body in BODIES if call != "/1/title" else BODIES[:-3]:
        url = f"{hub.endpoint}/api/models/{REPO}/discussions{call.format(said.id)}"
        assert get_session().post(url, content=body, headers=AUTH).status_code == 400, body
    (only,) = api.get_repo_discussions(REPO)
    assert (only.title, len(api.get_discussion_details(REPO, 1).events)) == ("A question", 1)


def test_half_a_character_is_no_defect(hub: LocalHub, api: HfApi) -> None:
    url = f"{hub.endpoint}/api/models/{REPO}/discussions"
    body = b'{"title": "\\ud800", "description": "\\udfff"}'
    assert get_session().post(url, content=body, headers=AUTH).status_code == 200
    assert api.get_discussion_details(REPO, 1).title == "?"


@pytest.mark.parametrize("query", ["p=-1", "p=x", "type=7", "status=merged", "p=" + "9" * 5000])
def test_bad_queries(hub: LocalHub, query: str) -> None:
    answer = get_session().get(f"{hub.endpoint}/api/models/{REPO}/discussions?{query}")
    assert answer.status_code == 400 or answer.json()["discussions"] == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"title": 7}', '{"num": 1, "title": "t"}', "[" * 100_000])
def test_a_broken_file_is_no_discussion(api: HfApi, folder: Path, content: str) -> None:
    api.create_discussion(REPO, "A question")
    api.create_discussion(REPO, "Another")
    discussion_file(folder).write_text(content)
    assert [item.num for item in api.get_repo_discussions(REPO)] == [2]
    with pytest.raises(HfHubHTTPError, match="404"):
        api.get_discussion_details(REPO, 1)


def test_nothing_is_written_through_a_link(api: HfApi, folder: Path, tmp_path: Path) -> None:
    (folder / ".hub").symlink_to(tmp_path)
    for pull_request in (False, True):
        with pytest.raises(HfHubHTTPError, match="409"):
            api.create_discussion(REPO, "A question", pull_request=pull_request)
    assert not list(tmp_path.glob("*s"))


@pytest.mark.parametrize("kind", ["429", "500"])
def test_faults_meet_discussions_too(hub: LocalHub, api: HfApi, kind: str) -> None:
    api.create_discussion(REPO, "A question")
    hub.misbehave(Fault(kind, repo=REPO, path="*/discussions/1/comment", times=1))  # type: ignore[arg-type]
    with pytest.raises(HfHubHTTPError, match=kind):
        api.comment_discussion(REPO, 1, "x")
    assert api.comment_discussion(REPO, 1, "x")
    assert len(api.get_discussion_details(REPO, 1).events) == 2


def test_deleting_a_repository_deletes_its_discussions(api: HfApi) -> None:
    api.create_discussion(REPO, "A question")
    api.delete_repo(REPO)
    api.create_repo(REPO)
    assert list(api.get_repo_discussions(REPO)) == []
