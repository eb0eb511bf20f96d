"""Callers who mean harm: no file outside the root, no traceback, no 5xx."""

import json
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import BadRequestError, HfHubHTTPError
from huggingface_hub.utils import get_session
from localhub_repos import MakeRepo

from hubdna.localhub import LocalHub
from hubdna.localhub.caller import BODY_LIMIT

REPO = "acme/model"
SECRET = "TOP-SECRET"
CONFIG = r'{"model_type": "\ud83d"}'
AUTH = {"Authorization": "Bearer hf_alice"}


@pytest.fixture(autouse=True)
def neighbourhood(make_repo: MakeRepo, root: Path) -> None:
    """A repository with secrets all around it."""
    folder = make_repo(REPO, {"README.md": "hello", "w.bin": b"w"}, note=SECRET)
    make_repo("acme/.hidden", {"x": SECRET})
    make_repo("acme/tools", {"README.md": "x", ".git/config": SECRET, ".cache/x": SECRET})
    (root / "secret.txt").write_text(SECRET)
    (root.parent / "secret.txt").write_text(SECRET)
    (folder / "out.txt").symlink_to(root.parent / "secret.txt")
    (folder / "folder").symlink_to(root.parent)
    (root / "acme" / "linked").symlink_to(root.parent)
    os.mkfifo(folder / "pipe")


def raw(endpoint: str, target: str, method: str = "GET", host: str = "localhost", body: bytes = b"") -> bytes:
    """Send a request line exactly as written: clients tidy up paths."""
    address = urlsplit(endpoint)
    head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer hf_x\r\nConnection: close\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return b"".join(iter(lambda: connection.recv(65536), b""))


PATHS = [
    "../../secret.txt",
    "../../../secret.txt",
    "..%2f..%2fsecret.txt",
    "%2e%2e/%2e%2e/secret.txt",
    "..%5c..%5csecret.txt",
    "%252e%252e/secret.txt",
    "/secret.txt",
    "%2fetc%2fpasswd",
    "//etc/passwd",
    "a/../../../secret.txt",
    "./../../secret.txt",
    ".hub.json",
    "a/../.hub.json",
    "out.txt",
    "folder/secret.txt",
    "pipe",
    "w.bin%00",
    "%ff%fe",
    "",
]


@pytest.mark.parametrize(
    "prefix", [f"/{REPO}/resolve/main/", f"/api/models/{REPO}/tree/main/", f"/api/models/{REPO}/safetensors-metadata/"]
)
def test_no_path_leads_out(hub: LocalHub, prefix: str) -> None:
    for path in PATHS:
        answer = raw(hub.endpoint, prefix + path)
        status = int(answer.split()[1])
        assert status in (400, 404) or (status == 200 and path == "" and "tree" in prefix), path
        assert not any(leak in answer for leak in (SECRET.encode(), b"root:", b"Traceback")), path


def test_the_cdn_serves_nothing_unsigned(hub: LocalHub) -> None:
    for path in PATHS:
        answer = raw(hub.cdn_endpoint, f"/{REPO}/{path}?Expires=99999999999&Signature=00")
        assert answer.split()[1] in (b"403", b"404"), path


@pytest.mark.parametrize(
    "repo", ["..", "../..", "%2e%2e/%2e%2e", ".hub/lfs", "acme/.hidden", "acme/linked", "acme%2fmodel/x"]
)
def test_no_repo_id_leads_out(hub: LocalHub, repo: str) -> None:
    for target in (f"/{repo}/resolve/main/secret.txt", f"/api/models/{repo}", f"/api/models/{repo}/tree/main"):
        answer = raw(hub.endpoint, target)
        assert answer.split()[1] == b"404"
        assert SECRET.encode() not in answer


def test_listings_show_only_what_is_content(api: HfApi) -> None:
    assert {model.id for model in api.list_models()} == {"acme/tools", REPO}
    assert api.list_repo_files(REPO) == ["README.md", "w.bin"]
    assert api.list_repo_files("acme/tools") == ["README.md"]


BAD_NAMES = ["../../x.txt", "/x.txt", "a/../../x", ".hub.json", ".git/config", "a\\b", "", ".", "a\0", "x" * 300, 7]


@pytest.mark.parametrize("key", ["file", "lfsFile", "deletedFile", "deletedFolder"])
def test_commits_stay_inside(hub: LocalHub, root: Path, key: str) -> None:
    before = sorted(root.parent.rglob("*"))
    for path in BAD_NAMES:
        value = {"path": path, "content": "eA==", "encoding": "base64", "oid": "0" * 64}
        lines = [{"key": "header", "value": {"summary": "x"}}, {"key": key, "value": value}]
        body = "\n".join(map(json.dumps, lines))
        answer = get_session().post(f"{hub.endpoint}/api/models/{REPO}/commit/main", content=body, headers=AUTH)
        assert answer.status_code in (400, 404), path
        assert sorted(root.parent.rglob("*")) == before, path


def test_commits_do_not_write_through_links(hub: LocalHub, api: HfApi, root: Path) -> None:
    for path, reason in (("folder/x.txt", "Invalid path"), ("pipe/x.txt", "409")):
        with pytest.raises(HfHubHTTPError, match=reason):
            api.upload_file(path_or_fileobj=b"x", path_in_repo=path, repo_id=REPO)
    assert not (root.parent / "x.txt").exists()


def test_repos_are_not_made_through_links(api: HfApi, root: Path) -> None:
    (root / "away").symlink_to(root.parent)
    for repo in ("away/new", "secret.txt/new"):
        with pytest.raises(BadRequestError):
            api.create_repo(repo)
    assert not (root.parent / "new").exists()


def test_files_whose_names_are_not_text_are_left_out(api: HfApi, root: Path) -> None:
    Path(os.fsdecode(os.fsencode(root / REPO) + b"/\xff.txt")).write_text("x")
    assert api.list_repo_files(REPO) == ["README.md", "w.bin"]


def test_deep_folders(api: HfApi, make_repo: MakeRepo) -> None:
    deep = "d/" * 31 + "x"
    with pytest.raises(BadRequestError):
        api.upload_file(path_or_fileobj=b"x", path_in_repo="d/" * 1500 + "x", repo_id=REPO)
    make_repo(REPO, {deep: "x"})
    assert api.file_exists(REPO, deep) and deep in api.list_repo_files(REPO)


@pytest.mark.parametrize("name", ["..", "../x", ".hub", "a/b", "", "x" * 200, None, {"a": 1}, "-x"])
@pytest.mark.parametrize("field", ["name", "organization"])
def test_repo_names_stay_inside(hub: LocalHub, field: str, name: object) -> None:
    body = {"name": "fine", "organization": "fine", field: name}
    if field == "organization" and not name:
        return  # no organisation: the user's own
    for method, call in (("POST", "create"), ("DELETE", "delete")):
        answer = get_session().request(method, f"{hub.endpoint}/api/repos/{call}", json=body, headers=AUTH)
        assert answer.status_code in (400, 404)


BODIES = [
    b"",
    b"{",
    b"[]",
    b"7",
    b"[" * 100_000,
    b'{"files": 7}',
    b'{"objects": [1]}',
    b'{"files": [{"path": "a"}]}',
    b"\xff",
]
CALLS = [
    "/api/validate-yaml",
    "/api/repos/create",
    f"/api/models/{REPO}/preupload/main",
    f"/api/models/{REPO}/commit/main",
]


@pytest.mark.parametrize("call", [*CALLS, f"/{REPO}.git/info/lfs/objects/batch"])
def test_bad_bodies_are_400(hub: LocalHub, call: str) -> None:
    for body in BODIES:
        answer = get_session().post(hub.endpoint + call, content=body, headers=AUTH)
        assert answer.status_code == 400, body
        assert "error" in answer.json() or "errors" in answer.json()


@pytest.mark.parametrize(
    "lines",
    [
        [{"key": "file", "value": {"path": "a", "content": "eA==", "encoding": "base64"}}],
        [
            {"key": "header", "value": {"summary": "x"}},
            {"key": "file", "value": {"path": "a", "content": "!", "encoding": "base64"}},
        ],
        [{"key": "header", "value": {"summary": "x"}}, {"key": "file", "value": {"path": "w.bin/a", "content": ""}}],
        [{"key": "header", "value": {"summary": "x"}}, {"key": "lfsFile", "value": {"path": "a", "oid": "../../x"}}],
        [{"key": "header", "value": {"summary": "x"}}, {"key": "chmod", "value": {"path": "a"}}],
        [{"key": "header", "value": "x"}],
        [{"key": "header", "value": {"summary": "x", "parentCommit": ["a"]}}],
    ],
)
def test_bad_commits_change_nothing(hub: LocalHub, api: HfApi, lines: list[object]) -> None:
    before = api.model_info(REPO).sha
    body = "\n".join(map(json.dumps, lines))
    answer = get_session().post(f"{hub.endpoint}/api/models/{REPO}/commit/main", content=body, headers=AUTH)
    assert answer.status_code in (400, 412)
    assert api.model_info(REPO).sha == before


def test_bodies_are_capped(hub: LocalHub) -> None:
    answer = get_session().post(f"{hub.endpoint}/api/validate-yaml", content=bytes(BODY_LIMIT + 1), headers=AUTH)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "body", [b"", b"paths=" + b"%00", b"paths=..%2f..%2fsecret.txt", b"\xff\xfe", b"a=b&" * 10_000]
)
def test_paths_info_of_nothing(hub: LocalHub, body: bytes) -> None:
    answer = get_session().post(f"{hub.endpoint}/api/models/{REPO}/paths-info/main", content=body)
    assert (answer.status_code, answer.json()) == (200, [])


def test_other_hosts_are_refused(hub: LocalHub) -> None:
    """A page at evil.example whose name was made to point at 127.0.0.1."""
    for host in ("evil.example", "192.168.0.1", "", "["):
        assert raw(hub.endpoint, "/api/models", host=host).split()[1] in (b"403", b"400")


BOMB = "a0: &a0 [x,x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1},*a{i - 1}]\n" for i in range(1, 64))


@pytest.mark.parametrize(
    "block", [BOMB, "[" * 10_000, "a: " + "x" * 500_000, "a: !!python/object:os.system x", "? [", "\0", "x: .inf"]
)
def test_a_hostile_card_is_no_card(api: HfApi, make_repo: MakeRepo, block: str) -> None:
    make_repo(REPO, {"README.md": f"---\n{block}\n---\n"})
    info = api.model_info(REPO)
    assert not info.card_data or set(info.card_data.to_dict()) <= {"x"}


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 8, (2**40).to_bytes(8, "little"), b"\5\0\0\0\0\0\0\0[[[[[", b"\2\0\0\0\0\0\0\0[]"]
)
def test_a_forged_safetensors_header_counts_nothing(api: HfApi, make_repo: MakeRepo, content: bytes) -> None:
    make_repo(REPO, {"model.safetensors": content})
    assert api.model_info(REPO).safetensors is None


def test_half_a_pair_of_utf16_in_a_card_does_not_take_the_listing_away(make_repo: MakeRepo, hub: LocalHub) -> None:
    make_repo(
        "evil/half", {"README.md": '---\nlicense: "\\ud83d"\ntags: ["\\ud83d\\ude00"]\n---\n', "config.json": CONFIG}
    )
    api = HfApi(endpoint=hub.endpoint)
    assert "evil/half" in {m.id for m in api.list_models(full=True, cardData=True)}
    info = api.model_info("evil/half")
    assert info.card_data is not None and info.card_data.license == "\N{REPLACEMENT CHARACTER}"
    assert info.config is not None and info.config["model_type"] == "\N{REPLACEMENT CHARACTER}"
    assert "\N{GRINNING FACE}" in (info.tags or [])
