"""Downloads and metadata through the unmodified client."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import (
    HfApi,
    HfFileSystem,
    RepoFile,
    RepoFolder,
    get_hf_file_metadata,
    hf_hub_url,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import get_session
from localhub_repos import CARD, MakeRepo, weights

from hubdna.localhub import LocalHub

REPO = "acme/model"
FILE = "model.safetensors"


def file_url(hub: LocalHub, path: str = FILE, repo: str = REPO) -> str:
    return hf_hub_url(repo, path, endpoint=hub.endpoint)


def test_model_info_says_what_the_card_and_the_files_say(api: HfApi, make_repo: MakeRepo) -> None:
    make_repo(REPO, {"README.md": CARD, FILE: weights(1), "config.json": '{"model_type": "llama", "hidden_size": 8}'})
    info = api.model_info(REPO)
    assert info.card_data.base_model == "acme/base"
    assert {"safetensors", "llama", "tiny", "en", "no", "license:apache-2.0", "transformers"} <= set(info.tags)
    assert {"base_model:acme/base", "base_model:finetune:acme/base"} <= set(info.tags)
    assert info.base_models["relation"] == "finetune"
    assert [model["id"] for model in info.base_models["models"]] == ["acme/base"]
    assert info.safetensors.parameters == {"F32": 2048}
    assert info.config == {"model_type": "llama"}  # an excerpt, as on the Hub
    assert (info.pipeline_tag, info.library_name, info.author) == ("text-generation", "transformers", "acme")


def test_meta_file_sets_what_files_cannot_say(api: HfApi, make_repo: MakeRepo) -> None:
    sha = "0123456789" * 4
    make_repo(REPO, created_at="2021-05-06T07:08:09Z", last_modified="2022-01-01", gated="auto", downloads=9, sha=sha)
    info = api.model_info(REPO)
    assert info.created_at.isoformat() == "2021-05-06T07:08:09+00:00"
    assert info.last_modified.isoformat() == "2022-01-01T00:00:00+00:00"
    assert (info.gated, info.downloads, info.sha) == ("auto", 9, sha)
    assert ".hub.json" not in [sibling.rfilename for sibling in info.siblings]


def test_broken_meta_file_hides_nothing(api: HfApi, make_repo: MakeRepo) -> None:
    folder = make_repo(REPO)
    for text in ("{", "[1]", '{"gated": 7, "created_at": "yesterday", "history": {"a": 1}, "downloads": "many"}'):
        (folder / ".hub.json").write_text(text)
        assert api.model_info(REPO).downloads == 0


def test_files_metadata_has_the_sha256(api: HfApi, make_repo: MakeRepo) -> None:
    make_repo(REPO)
    siblings = {item.rfilename: item for item in api.model_info(REPO, files_metadata=True).siblings}
    assert siblings[FILE].lfs.sha256 == hashlib.sha256(weights(1)).hexdigest()
    assert siblings[FILE].size == len(weights(1))
    readme = CARD.encode()
    assert siblings["README.md"].blob_id == hashlib.sha1(b"blob %d\0" % len(readme) + readme).hexdigest()
    assert siblings["README.md"].lfs is None


def test_equal_files_make_equal_commits(api: HfApi, make_repo: MakeRepo) -> None:
    make_repo(REPO)
    make_repo("acme/copy")
    first = api.model_info(REPO).sha
    assert api.model_info("acme/copy").sha == first
    make_repo(REPO, {"extra.txt": "x"})
    assert api.model_info(REPO).sha != first


@pytest.mark.parametrize(
    ("card", "files", "relation"),
    [
        ("base_model: [a/b, c/d]", {}, "merge"),
        ("base_model: a/b", {"adapter_config.json": "{}"}, "adapter"),
        ("base_model: a/b", {"m.gguf": b"GGUF"}, "quantized"),
        ("base_model: a/b", {"config.json": '{"quantization_config": {"bits": 4}}'}, "quantized"),
        ("base_model: a/b\nbase_model_relation: finetune", {"m.gguf": b"GGUF"}, "finetune"),
        ("base_model: a/b", {}, "finetune"),
        ("base_model: 7", {}, None),
    ],
)
def test_relation_is_inferred_as_on_the_hub(
    api: HfApi, make_repo: MakeRepo, card: str, files: dict[str, bytes | str], relation: str | None
) -> None:
    make_repo(REPO, {"README.md": f"---\n{card}\n---\n", **files})
    found = api.model_info(REPO, expand=["baseModels"]).base_models
    assert (found["relation"] if found else None) == relation


def test_small_text_is_answered_directly(hub: LocalHub, make_repo: MakeRepo) -> None:
    make_repo(REPO)
    answer = get_session().get(file_url(hub, "README.md"))
    assert (answer.status_code, answer.content, len(answer.history)) == (200, CARD.encode(), 0)
    assert hub.traffic.n_cdn == 0


def test_weights_are_redirected_to_the_cdn(hub: LocalHub, api: HfApi, make_repo: MakeRepo) -> None:
    make_repo(REPO)
    head = get_session().head(file_url(hub), follow_redirects=False)
    assert head.status_code == 302
    assert head.headers["location"].startswith(hub.cdn_endpoint)
    assert "Expires=" in head.headers["location"]
    assert "x-xet-hash" not in head.headers
    metadata = get_hf_file_metadata(file_url(hub))
    assert metadata.etag == hashlib.sha256(weights(1)).hexdigest()
    assert metadata.size == len(weights(1))
    assert metadata.commit_hash == api.model_info(REPO).sha


def test_the_token_stays_with_the_hub(hub: LocalHub, api: HfApi, make_repo: MakeRepo) -> None:
    make_repo(REPO)
    path = Path(api.hf_hub_download(REPO, FILE))
    assert path.read_bytes() == weights(1)
    seen = {request.host: request.authorized for request in hub.traffic.requests}
    assert seen == {"hub": True, "cdn": False}


@pytest.mark.parametrize("path", [FILE, "README.md"])
@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("bytes=0-99", 0, 100), ("bytes=100-", 100, None), ("bytes=-7", -7, None), ("bytes=3-999999", 3, None)],
)
def test_ranges(hub: LocalHub, make_repo: MakeRepo, path: str, asked: str, start: int, stop: int | None) -> None:
    content = (make_repo(REPO) / path).read_bytes()
    answer = get_session().get(file_url(hub, path), headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.content == content[start:stop]
    first = start % len(content)
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(answer.content) - 1}/{len(content)}"
    assert hub.traffic.n_bytes == len(answer.content)


def test_range_behind_the_end_is_416(hub: LocalHub, make_repo: MakeRepo) -> None:
    make_repo(REPO)
    answer = get_session().get(file_url(hub), headers={"Range": "bytes=999999-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(weights(1))}"


def test_changed_cdn_url_is_refused(hub: LocalHub, make_repo: MakeRepo) -> None:
    make_repo(REPO)
    make_repo("acme/other")
    url = get_session().head(file_url(hub), follow_redirects=False).headers["location"]
    for changed in (
        url.replace("model/", "other/"),
        url.replace("Expires=1", "Expires=9"),
        url[:-1],
        url.split("?")[0],
    ):
        assert get_session().get(changed).status_code == 403
    assert get_session().get(url).status_code == 200


def test_safetensors_metadata(api: HfApi, make_repo: MakeRepo) -> None:
    make_repo(REPO)
    metadata = api.get_safetensors_metadata(REPO)
    assert metadata.parameter_count == {"F32": 2048}


def test_sharded_safetensors_metadata(api: HfApi, make_repo: MakeRepo) -> None:
    shards = {"a.safetensors": weights(1), "b.safetensors": weights(2)}
    index = {
        "metadata": {"total_size": 16384},
        "weight_map": {"layer.1.weight": "a.safetensors", "layer.2.weight": "b.safetensors"},
    }
    make_repo(REPO, {**shards, "model.safetensors.index.json": json.dumps(index)})
    by_ranges = api.get_safetensors_metadata(REPO)
    at_once = api.get_sharded_safetensors_metadata(REPO)
    assert at_once.weight_map == by_ranges.weight_map == index["weight_map"]
    assert at_once.parameter_count == {"F32": 4096}


def test_tree_paths_refs_and_commits(api: HfApi, make_repo: MakeRepo) -> None:
    make_repo(REPO, {"README.md": CARD, "unet/a/w.safetensors": weights(1), "unet/b.txt": "b"})
    flat = [item.path for item in api.list_repo_tree(REPO)]
    assert flat == ["README.md", "unet"]
    deep = {item.path: type(item) for item in api.list_repo_tree(REPO, recursive=True, expand=True)}
    assert deep == {
        "README.md": RepoFile,
        "unet": RepoFolder,
        "unet/a": RepoFolder,
        "unet/a/w.safetensors": RepoFile,
        "unet/b.txt": RepoFile,
    }
    assert [item.path for item in api.list_repo_tree(REPO, "unet/a")] == ["unet/a/w.safetensors"]
    found = api.get_paths_info(REPO, ["unet/a/w.safetensors", "unet", "no/such"], expand=True)
    assert [type(item) for item in found] == [RepoFile, RepoFolder]
    assert found[0].lfs.sha256 == hashlib.sha256(weights(1)).hexdigest()
    sha = api.model_info(REPO).sha
    assert [(ref.name, ref.target_commit) for ref in api.list_repo_refs(REPO).branches] == [("main", sha)]
    assert [commit.commit_id for commit in api.list_repo_commits(REPO)] == [sha]


def test_large_tree_comes_in_pages(hub: LocalHub, api: HfApi, make_repo: MakeRepo) -> None:
    make_repo(REPO, {f"{number:04}.txt": "" for number in range(1001)})
    names = [item.path for item in api.list_repo_tree(REPO)]
    assert names == [f"{number:04}.txt" for number in range(1001)]
    assert hub.traffic.n_requests == 2


def test_filesystem_reads_exact_ranges(hub: LocalHub, make_repo: MakeRepo) -> None:
    make_repo(REPO)
    fs = HfFileSystem(endpoint=hub.endpoint, token=False, skip_instance_cache=True)
    hub.reset_traffic()
    assert fs.cat_file(f"{REPO}/{FILE}", start=50, end=150, cache_type="none") == weights(1)[50:150]
    cdn = [request for request in hub.traffic.requests if request.host == "cdn"]
    assert [request.n_bytes for request in cdn] == [100]
    assert sorted(fs.ls(REPO, detail=False)) == [f"{REPO}/README.md", f"{REPO}/{FILE}"]


def test_snapshot_download(api: HfApi, make_repo: MakeRepo) -> None:
    make_repo(REPO, {"README.md": CARD, FILE: weights(1), "sub/ü ?#%.txt": "odd name"}, downloads=1)
    folder = Path(api.snapshot_download(REPO))
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {"README.md", FILE, "sub/ü ?#%.txt"}
    assert (folder / "sub/ü ?#%.txt").read_text() == "odd name"


def test_model_card_load_through_hf_endpoint(hub: LocalHub, make_repo: MakeRepo, tmp_path: Path) -> None:
    """ModelCard.load takes no endpoint, so this is a process of its own, set up as a user would."""
    make_repo(REPO)
    code = f"from huggingface_hub import ModelCard; print(ModelCard.load({REPO!r}).data.base_model)"
    env = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "acme/base"


def test_revisions(api: HfApi, make_repo: MakeRepo) -> None:
    make_repo(REPO)
    sha = api.model_info(REPO).sha
    assert api.model_info(REPO, revision=sha).sha == api.model_info(REPO, revision="main").sha == sha
    assert api.file_exists(REPO, FILE, revision=sha)
    for revision in ("0" * 40, "v1.0", "refs/pr/1"):
        with pytest.raises(RevisionNotFoundError):
            api.model_info(REPO, revision=revision)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda api: api.model_info("acme/none"), RepositoryNotFoundError),
        (lambda api: api.model_info("gpt2"), RepositoryNotFoundError),
        (lambda api: api.hf_hub_download("acme/none", FILE), RepositoryNotFoundError),
        (lambda api: api.hf_hub_download(REPO, "none.bin"), EntryNotFoundError),
        (lambda api: api.hf_hub_download(REPO, FILE, revision="v9"), RevisionNotFoundError),
        (lambda api: list(api.list_repo_tree(REPO, "none")), EntryNotFoundError),
        (lambda api: api.get_sharded_safetensors_metadata(REPO), EntryNotFoundError),
    ],
)
@pytest.mark.parametrize("token", ["hf_alice", False])
def test_error_classes(
    hub: LocalHub,
    make_repo: MakeRepo,
    call: Callable[[HfApi], object],
    error: type[Exception],
    token: str | bool,
) -> None:
    make_repo(REPO)
    with pytest.raises(error):
        call(HfApi(endpoint=hub.endpoint, token=token))


def test_private_repos_do_not_exist_without_a_token(hub: LocalHub, api: HfApi, make_repo: MakeRepo) -> None:
    make_repo(REPO, private=True)
    nobody = HfApi(endpoint=hub.endpoint, token=False)
    assert list(nobody.list_models()) == []
    with pytest.raises(RepositoryNotFoundError):
        nobody.auth_check(REPO)
    assert [model.id for model in api.list_models()] == [REPO]


def test_a_file_of_14_gb_is_ranged_without_being_read(hub: LocalHub, api: HfApi, make_repo: MakeRepo) -> None:
    size = 14 * 10**9
    path = make_repo(REPO, {FILE: b""}) / FILE
    with path.open("r+b") as file:
        file.truncate(size)
        file.seek(size - 4)
        file.write(b"tail")
    answer = get_session().get(file_url(hub), headers={"Range": f"bytes={size - 8}-"})
    assert (answer.status_code, answer.content) == (206, b"\0\0\0\0tail")
    assert get_hf_file_metadata(file_url(hub)).size == size
    assert api.model_info(REPO).sha == api.model_info(REPO).sha
    assert hub.traffic.n_bytes < 10_000


def test_declared_sha256_is_believed(hub: LocalHub, api: HfApi, make_repo: MakeRepo) -> None:
    sha256 = "ab" * 32
    path = make_repo(REPO, {FILE: b"x"}, lfs_sha256={FILE: sha256}) / FILE
    with path.open("r+b") as file:
        file.truncate(14 * 10**9)
    assert api.model_info(REPO, files_metadata=True).siblings[0].lfs.sha256 == sha256
    assert get_hf_file_metadata(file_url(hub)).etag == sha256
