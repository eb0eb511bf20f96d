"""Pull requests through the unmodified client."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import (
    CommitInfo,
    CommitOperationAdd,
    CommitOperationDelete,
    DiscussionCommit,
    HfApi,
    HfFileSystem,
    hf_hub_download,
)
from huggingface_hub.errors import BadRequestError, HfHubHTTPError, RevisionNotFoundError
from localhub_repos import CARD, MakeRepo, weights

from hubdna.localhub import LocalHub

REPO = "acme/model"
FIXED = CARD.replace("acme/base", "acme/true-base")


@pytest.fixture(autouse=True)
def folder(make_repo: MakeRepo) -> Path:
    return make_repo(REPO)


def propose(api: HfApi, path: str = "README.md", content: bytes = FIXED.encode(), **more: Any) -> CommitInfo:
    """A pull request with one file."""
    add = CommitOperationAdd(path, content)
    return api.create_commit(REPO, [add], commit_message="Fix", create_pr=True, **more)


def text_at(hub: LocalHub, revision: str, path: str = "README.md") -> str:
    return Path(hf_hub_download(REPO, path, revision=revision, endpoint=hub.endpoint)).read_text()


def test_a_commit_opens_a_pull_request(api: HfApi, hub: LocalHub) -> None:
    main = api.model_info(REPO).sha
    made = propose(api, commit_description="why", parent_commit=main)
    assert (made.pr_num, made.pr_revision) == (1, "refs/pr/1")
    assert made.pr_url == f"{hub.endpoint}/{REPO}/discussions/1"
    details = api.get_discussion_details(REPO, 1)
    assert (details.is_pull_request, details.status, details.title) == (True, "open", "Fix")
    assert (details.target_branch, details.merge_commit_oid, details.conflicting_files) == ("refs/heads/main", None, [])
    opening, commit = details.events
    assert opening.content == "why"
    assert isinstance(commit, DiscussionCommit) and (commit.oid, commit.summary) == (made.oid, "Fix")
    assert "-base_model: acme/base\n+base_model: acme/true-base\n" in details.diff
    assert api.model_info(REPO).sha == main


def test_its_files_can_be_read_and_listed(api: HfApi, hub: LocalHub) -> None:
    made = propose(api)
    api.upload_file(path_or_fileobj=weights(2), path_in_repo="sub/new.safetensors", repo_id=REPO, revision="refs/pr/1")
    info = api.model_info(REPO, revision="refs/pr/1", files_metadata=True)
    assert info.card_data.base_model == "acme/true-base"
    assert [file.rfilename for file in info.siblings] == ["README.md", "model.safetensors", "sub/new.safetensors"]
    assert info.sha not in (made.oid, api.model_info(REPO).sha)
    for revision in ("refs/pr/1", info.sha):
        assert text_at(hub, revision) == FIXED
        assert {item.path for item in api.list_repo_tree(REPO, revision=revision)} == {
            "README.md",
            "model.safetensors",
            "sub",
        }
        assert api.get_paths_info(REPO, ["sub/new.safetensors"], revision=revision)[0].lfs.size == len(weights(2))
        path = hf_hub_download(REPO, "sub/new.safetensors", revision=revision, endpoint=hub.endpoint)
        assert Path(path).read_bytes() == weights(2)
    assert [commit.title for commit in api.list_repo_commits(REPO, revision="refs/pr/1")][-1] == "Fix"
    assert text_at(hub, "main") == CARD
    assert api.list_repo_files(REPO) == ["README.md", "model.safetensors"]
    with HfFileSystem(endpoint=hub.endpoint, token="hf_alice").open(f"{REPO}@refs/pr/1/README.md", "r") as file:
        assert file.read() == FIXED


def test_refs(api: HfApi) -> None:
    main, made = api.model_info(REPO).sha, propose(api)
    api.create_pull_request(REPO, "Empty")
    refs = api.list_repo_refs(REPO, include_pull_requests=True)
    assert [(ref.name, ref.target_commit) for ref in refs.branches] == [("main", main)]
    assert [(ref.ref, ref.target_commit) for ref in refs.pull_requests] == [
        ("refs/pr/1", made.oid),
        ("refs/pr/2", main),
    ]
    assert api.list_repo_refs(REPO).pull_requests is None


def test_a_pull_request_may_start_empty(api: HfApi) -> None:
    made = api.create_pull_request(REPO, "Soon", description="d")
    assert (made.status, made.diff, made.git_reference) == ("draft", "", "refs/pr/1")
    with pytest.raises(HfHubHTTPError, match=r"(?s)409.*draft"):
        api.merge_pull_request(REPO, 1)
    api.upload_file(
        path_or_fileobj=b"x", path_in_repo="a.txt", repo_id=REPO, revision="refs/pr/1", commit_message="One"
    )
    api.change_discussion_status(REPO, 1, "open")
    assert [event.type for event in api.get_discussion_details(REPO, 1).events] == [
        "comment",
        "commit",
        "status-change",
    ]
    api.merge_pull_request(REPO, 1)
    assert "a.txt" in api.list_repo_files(REPO)


def test_merging(api: HfApi, hub: LocalHub, folder: Path) -> None:
    operations = [
        CommitOperationAdd("README.md", FIXED.encode()),
        CommitOperationAdd("new.safetensors", weights(3)),
        CommitOperationDelete("model.safetensors"),
    ]
    api.create_commit(REPO, operations, commit_message="Fix", create_pr=True)
    api.upload_file(path_or_fileobj=b"m", path_in_repo="meanwhile.txt", repo_id=REPO)
    api.merge_pull_request(REPO, 1, comment="Thank you")
    assert api.list_repo_files(REPO) == ["README.md", "meanwhile.txt", "new.safetensors"]
    assert (folder / "README.md").read_text() == FIXED
    assert (folder / "new.safetensors").read_bytes() == weights(3)
    newest = api.list_repo_commits(REPO)[0]
    details = api.get_discussion_details(REPO, 1)
    assert (details.status, details.merge_commit_oid, details.conflicting_files) == ("merged", newest.commit_id, [])
    assert (newest.commit_id, newest.title) == (api.model_info(REPO).sha, "Fix (#1)")
    assert [event.type for event in details.events] == ["comment", "commit", "comment", "status-change"]
    assert text_at(hub, "refs/pr/1") == FIXED
    for refused in (
        lambda: api.merge_pull_request(REPO, 1),
        lambda: api.change_discussion_status(REPO, 1, "open"),
        lambda: api.upload_file(path_or_fileobj=b"x", path_in_repo="a", repo_id=REPO, revision="refs/pr/1"),
    ):
        with pytest.raises(HfHubHTTPError, match="409"):
            refused()
    assert api.comment_discussion(REPO, 1, "Welcome")


def test_what_comes_after_leaves_a_pull_request_alone(api: HfApi, hub: LocalHub, folder: Path) -> None:
    propose(api, "a.txt", b"proposed")
    api.upload_file(path_or_fileobj=b"changed", path_in_repo="README.md", repo_id=REPO)
    shutil.copyfile(folder / "README.md", folder / "copied.txt")
    api.delete_file("model.safetensors", REPO)
    assert text_at(hub, "refs/pr/1") == CARD
    assert api.list_repo_files(REPO, revision="refs/pr/1") == ["README.md", "a.txt", "model.safetensors"]


def test_a_conflict_is_named_and_not_merged(api: HfApi, folder: Path) -> None:
    propose(api)
    api.upload_file(path_or_fileobj=b"changed", path_in_repo="README.md", repo_id=REPO)
    assert api.get_discussion_details(REPO, 1).conflicting_files == ["README.md"]
    with pytest.raises(HfHubHTTPError, match=r"(?s)409.*README\.md"):
        api.merge_pull_request(REPO, 1)
    assert (folder / "README.md").read_bytes() == b"changed"
    assert api.get_discussion_details(REPO, 1).status == "open"
    api.upload_file(path_or_fileobj=FIXED.encode(), path_in_repo="README.md", repo_id=REPO)
    assert api.get_discussion_details(REPO, 1).conflicting_files == []
    api.merge_pull_request(REPO, 1)


def test_a_stale_parent_is_refused(api: HfApi) -> None:
    parent = api.model_info(REPO).sha
    api.upload_file(path_or_fileobj=b"m", path_in_repo="meanwhile.txt", repo_id=REPO)
    with pytest.raises(HfHubHTTPError, match="412"):
        propose(api, parent_commit=parent)
    assert list(api.get_repo_discussions(REPO)) == []
    first = propose(api).oid
    api.upload_file(path_or_fileobj=b"1", path_in_repo="a", repo_id=REPO, revision="refs/pr/1", parent_commit=first)
    with pytest.raises(HfHubHTTPError, match="412"):
        api.upload_file(path_or_fileobj=b"2", path_in_repo="a", repo_id=REPO, revision="refs/pr/1", parent_commit=first)


def test_a_commit_that_fails_opens_nothing(api: HfApi, root: Path, folder: Path) -> None:
    with pytest.raises(HfHubHTTPError, match="404"):
        api.create_commit(REPO, [CommitOperationDelete("nothing")], commit_message="x", create_pr=True)
    with pytest.raises(BadRequestError):
        api.create_commit(REPO, [CommitOperationAdd("README.md/x", b"")], commit_message="x", create_pr=True)
    assert list(api.get_repo_discussions(REPO)) == []
    assert not list((root / ".hub" / "tmp").iterdir()) and not (folder / ".hub" / "pulls").exists()
    assert propose(api).pr_num == 1


def test_a_closed_pull_request_is_neither_merged_nor_changed(api: HfApi) -> None:
    propose(api)
    api.change_discussion_status(REPO, 1, "closed")
    with pytest.raises(HfHubHTTPError, match=r"(?s)409.*closed"):
        api.merge_pull_request(REPO, 1)
    with pytest.raises(HfHubHTTPError, match=r"(?s)409.*closed"):
        api.upload_file(path_or_fileobj=b"x", path_in_repo="a", repo_id=REPO, revision="refs/pr/1")


def test_a_discussion_is_not_merged(api: HfApi) -> None:
    api.create_discussion(REPO, "A question")
    with pytest.raises(HfHubHTTPError, match="404"):
        api.merge_pull_request(REPO, 1)
    with pytest.raises(RevisionNotFoundError):
        api.model_info(REPO, revision="refs/pr/1")


@pytest.mark.parametrize(
    "revision", ["refs/pr/2", "refs/pr/0", "refs/pr/../1", "refs/pr/1/../1", "pr/1", "refs/pr/" + "9" * 40]
)
def test_no_other_revision(api: HfApi, revision: str) -> None:
    propose(api)
    with pytest.raises(RevisionNotFoundError):
        api.model_info(REPO, revision=revision)


CARD_CALLS = """
from huggingface_hub import ModelCard, metadata_update
card = ModelCard.load("acme/model")
card.data.base_model = "acme/true-base"
card.push_to_hub("acme/model", token="hf_alice", create_pr=True)
metadata_update("acme/model", {"license": "mit"}, overwrite=True, create_pr=True, token="hf_alice")
"""


def test_the_cards_own_calls_open_pull_requests(api: HfApi, hub: LocalHub) -> None:
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint}  # read when the client is imported
    subprocess.run([sys.executable, "-c", CARD_CALLS], env=environment, check=True)
    assert api.model_info(REPO, revision="refs/pr/1").card_data.base_model == "acme/true-base"
    assert api.model_info(REPO, revision="refs/pr/2").card_data.license == "mit"


def test_declared_hashes_and_ids_hold_in_a_pull_request(api: HfApi, make_repo: MakeRepo) -> None:
    make_repo(REPO, lfs_sha256={"model.safetensors": "ab" * 32}, sha="cd" * 20, downloads=3)
    api.create_pull_request(REPO, "Empty")
    assert api.model_info(REPO, revision="refs/pr/1").sha == "cd" * 20
    propose(api)
    info = api.model_info(REPO, revision="refs/pr/2", files_metadata=True)
    assert (info.siblings[1].lfs.sha256, info.downloads) == ("ab" * 32, 3)
    assert info.sha != "cd" * 20


def test_files_are_linked_and_not_copied(api: HfApi, folder: Path) -> None:
    propose(api)
    inode = (folder / "model.safetensors").stat().st_ino
    for side in ("base", "head"):
        assert (folder / ".hub" / "pulls" / "1" / side / "model.safetensors").stat().st_ino == inode


def test_a_linked_file_is_copied_as_it_is(api: HfApi, folder: Path, hub: LocalHub) -> None:
    """A link inside the root counts as the file it leads to."""
    (folder / "link.txt").symlink_to(folder / "README.md")
    propose(api, "a.txt", b"a")
    assert text_at(hub, "refs/pr/1", "link.txt") == CARD


def test_long_and_binary_files_have_no_diff(api: HfApi) -> None:
    for path, content in (("long.txt", b"x\n" * 3000), ("wide.txt", b"x" * 300_000), ("zero.txt", b"\0")):
        propose(api, path, content)
    propose(api, "w.safetensors", weights(4))
    for num, path in ((1, "long.txt"), (2, "wide.txt"), (3, "zero.txt")):
        assert api.get_discussion_details(REPO, num).diff.endswith(f"Binary files a/{path} and b/{path} differ\n")
    assert "+oid sha256:" in api.get_discussion_details(REPO, 4).diff
