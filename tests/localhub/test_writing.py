"""Uploads and commits through the unmodified client."""

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    ModelCard,
)
from huggingface_hub.errors import BadRequestError, HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.utils import get_session
from localhub_repos import CARD, MakeRepo, weights

from hubdna.localhub import LocalHub

REPO = "alice/model"
AUTH = {"Authorization": "Bearer hf_alice"}


@pytest.fixture
def repo(api: HfApi) -> str:
    return api.create_repo("model").repo_id


def test_whoami_is_the_name_in_the_token(api: HfApi) -> None:
    assert api.whoami()["name"] == "alice"
    assert api.whoami(token="hf_../..")["name"] == "local"


def test_create_and_delete(api: HfApi, root: Path) -> None:
    url = api.create_repo("org/new", private=True)
    assert url.repo_id == "org/new"
    assert api.model_info("org/new").private
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo("org/new")
    assert api.create_repo("org/new", exist_ok=True).repo_id == "org/new"
    api.delete_repo("org/new")
    assert not (root / "org/new").exists()
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo("org/new")
    api.delete_repo("org/new", missing_ok=True)


def test_only_models(api: HfApi) -> None:
    with pytest.raises(BadRequestError, match="models only"):
        api.create_repo("org/data", repo_type="dataset")


def test_upload_through_lfs(api: HfApi, hub: LocalHub, repo: str, root: Path) -> None:
    done = api.upload_file(path_or_fileobj=weights(1), path_in_repo="sub/model.safetensors", repo_id=repo)
    assert (root / REPO / "sub/model.safetensors").read_bytes() == weights(1)
    assert done.oid == api.model_info(repo).sha
    assert any(request.method == "PUT" and not request.authorized for request in hub.traffic.requests)
    assert not list((root / ".hub").rglob("*.*")) and not list((root / ".hub" / "lfs").iterdir())


def test_one_commit_of_everything(api: HfApi, repo: str, root: Path) -> None:
    api.create_commit(
        repo,
        [
            CommitOperationAdd("README.md", CARD.encode()),
            CommitOperationAdd("model.safetensors", io.BytesIO(weights(1))),
            CommitOperationAdd("old/a.txt", b"a"),
            CommitOperationAdd("old/deep/b.txt", b"b"),
            CommitOperationAdd("gone.txt", b"gone"),
            CommitOperationAdd("empty.bin", b""),
        ],
        commit_message="first",
        commit_description="why",
    )
    api.create_commit(
        repo,
        [
            CommitOperationDelete("old/"),
            CommitOperationDelete("gone.txt"),
            CommitOperationCopy("model.safetensors", "copy.safetensors"),
            CommitOperationCopy("README.md", "COPY.md"),
        ],
        commit_message="second",
    )
    assert api.list_repo_files(repo) == ["COPY.md", "README.md", "copy.safetensors", "empty.bin", "model.safetensors"]
    assert (root / REPO / "copy.safetensors").read_bytes() == weights(1)
    assert not (root / REPO / "old").exists()
    commits = api.list_repo_commits(repo)
    assert [(commit.title, commit.message, commit.authors) for commit in commits] == [
        ("second", "", ["alice"]),
        ("first", "why", ["alice"]),
    ]
    assert commits[0].commit_id == api.model_info(repo).sha


def test_upload_folder_and_again(api: HfApi, hub: LocalHub, repo: str, tmp_path: Path) -> None:
    (tmp_path / "up" / "sub").mkdir(parents=True)
    (tmp_path / "up" / "config.json").write_text("{}")
    (tmp_path / "up" / "sub" / "w.bin").write_bytes(weights(5))
    api.upload_folder(repo_id=repo, folder_path=tmp_path / "up")
    first = api.model_info(repo).sha
    hub.reset_traffic()
    api.upload_folder(repo_id=repo, folder_path=tmp_path / "up")
    assert api.model_info(repo).sha == first
    assert not any(request.method == "PUT" for request in hub.traffic.requests)


def test_parent_commit_guards_against_overwriting(api: HfApi, repo: str) -> None:
    parent = api.model_info(repo).sha
    add = CommitOperationAdd("a.txt", b"1")
    api.create_commit(repo, [add], commit_message="one", parent_commit=parent)
    with pytest.raises(HfHubHTTPError, match="412"):
        api.create_commit(repo, [CommitOperationAdd("a.txt", b"2")], commit_message="two", parent_commit=parent)


def test_push_card(hub: LocalHub, api: HfApi, repo: str) -> None:
    card = ModelCard(CARD)
    api.upload_file(path_or_fileobj=str(card).encode(), path_in_repo="README.md", repo_id=repo)
    assert api.model_info(repo).card_data.base_model == "acme/base"


def test_of_commits_at_once_one_wins(api: HfApi, repo: str) -> None:
    parent = api.model_info(repo).sha

    def write(number: int) -> bool:
        add = CommitOperationAdd("a.txt", str(number).encode())
        try:
            return bool(api.create_commit(repo, [add], commit_message="race", parent_commit=parent))
        except HfHubHTTPError:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(8))) == 1
    assert len(api.list_repo_commits(repo)) == 1


@pytest.mark.parametrize("block", ["a: [", "- a list", "a: &x [1]\nb: *x", "[" * 99 + "]" * 99, "a: " + "x" * 300_000])
def test_bad_cards_are_not_accepted(hub: LocalHub, api: HfApi, repo: str, block: str) -> None:
    card = f"---\n{block}\n---\n"
    with pytest.raises((BadRequestError, ValueError)):
        api.upload_file(path_or_fileobj=card.encode(), path_in_repo="README.md", repo_id=repo)


def test_replacing_a_file_drops_what_was_declared(api: HfApi, make_repo: MakeRepo) -> None:
    make_repo(REPO, lfs_sha256={"model.safetensors": "ab" * 32}, sha="cd" * 20, downloads=3)
    api.upload_file(path_or_fileobj=weights(9), path_in_repo="model.safetensors", repo_id=REPO)
    info = api.model_info(REPO, files_metadata=True)
    assert info.siblings[1].lfs.sha256 == hashlib.sha256(weights(9)).hexdigest()
    assert info.sha != "cd" * 20
    assert info.downloads == 3


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/repos/create"),
        ("DELETE", "/api/repos/delete"),
        ("POST", f"/api/models/{REPO}/preupload/main"),
        ("POST", f"/api/models/{REPO}/commit/main"),
        ("POST", f"/{REPO}.git/info/lfs/objects/batch"),
        ("PUT", "/.hub/lfs/" + "0" * 64),
    ],
)
def test_writing_needs_permission(hub: LocalHub, repo: str, method: str, path: str) -> None:
    answer = get_session().request(method, hub.endpoint + path, json={"name": "model", "organization": "alice"})
    assert answer.status_code in (401, 403)
    assert len(list(HfApi(endpoint=hub.endpoint).list_models())) == 1


def upload_url(hub: LocalHub, content: bytes, size: int | None = None) -> str:
    item = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content) if size is None else size}
    url = f"{hub.endpoint}/{REPO}.git/info/lfs/objects/batch"
    return (
        get_session()
        .post(url, json={"objects": [item]}, headers=AUTH)
        .json()["objects"][0]["actions"]["upload"]["href"]
    )


def test_an_upload_counts_only_with_its_hash(hub: LocalHub, repo: str, root: Path) -> None:
    url = upload_url(hub, b"right")
    for wrong in (b"wrong", b"righ", b"right!" * 1000):
        assert get_session().put(url, content=wrong).status_code in (400, 413)
        assert not (root / ".hub" / "lfs").exists()
    assert not list((root / ".hub" / "tmp").iterdir())
    assert get_session().put(url, content=b"right").status_code == 200
    assert [path.read_bytes() for path in (root / ".hub" / "lfs").iterdir()] == [b"right"]


@pytest.mark.parametrize("revision", ["dev", "refs/pr/1", "refs/pr/0", "0" * 40])
@pytest.mark.parametrize("create_pr", [False, True])
def test_commits_to_other_branches_are_refused(api: HfApi, repo: str, revision: str, create_pr: bool) -> None:
    with pytest.raises(HfHubHTTPError, match="404"):
        api.upload_file(
            path_or_fileobj=b"x", path_in_repo="a.txt", repo_id=repo, revision=revision, create_pr=create_pr
        )
