"""One test per way to misbehave, seen from the client's side."""

import time
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.utils import get_session, parse_ratelimit_headers
from localhub_repos import CARD, MakeRepo, weights

from hubdna.localhub import Fault, LocalHub

REPO = "acme/model"
FILE = "model.safetensors"
FIRST_100 = {"Range": "bytes=0-99"}


@pytest.fixture(autouse=True)
def models(make_repo: MakeRepo) -> None:
    make_repo(REPO)
    make_repo("acme/other")


@pytest.fixture
def url(hub: LocalHub) -> str:
    return hf_hub_url(REPO, FILE, endpoint=hub.endpoint)


def get(url: str, headers: dict[str, str] = FIRST_100) -> httpx2.Response:
    return get_session().get(url, headers=headers)


def test_rate_limit_as_the_hub_words_it(hub: LocalHub, api: HfApi, url: str) -> None:
    hub.misbehave(Fault("429", times=2, seconds=0.5))
    for address, bucket in ((f"{hub.endpoint}/api/models/{REPO}", "api"), (url, "resolvers")):
        limit = parse_ratelimit_headers(get(address).headers)
        assert (limit.resource_type, limit.remaining, limit.reset_in_seconds) == (bucket, 0, 1)
    assert get(url).status_code == 206


def test_the_client_waits_out_a_rate_limit(hub: LocalHub, api: HfApi) -> None:
    hub.misbehave(Fault("429", path="/api/models", times=1, seconds=0))
    assert len(list(api.list_models())) == 2
    assert [request.status for request in hub.traffic.requests] == [429, 200]


def test_rate_limit_with_retry_after(hub: LocalHub, url: str) -> None:
    hub.misbehave(Fault("429-retry-after", host="cdn", seconds=7))
    answer = get(url)
    assert (answer.status_code, answer.headers["retry-after"], "ratelimit" in answer.headers) == (429, "7", False)


def test_internal_error(hub: LocalHub, api: HfApi) -> None:
    hub.misbehave(Fault("500", repo=REPO, times=1))
    with pytest.raises(HfHubHTTPError, match="500"):
        api.model_info(REPO)
    assert api.model_info(REPO)


def test_hang(hub: LocalHub, api: HfApi) -> None:
    hub.misbehave(Fault("hang", repo=REPO, seconds=0.3))
    with pytest.raises(httpx2.ReadTimeout):
        api.model_info(REPO, timeout=0.05)
    start = time.monotonic()
    assert api.model_info(REPO)
    assert time.monotonic() - start >= 0.3


def test_a_hanging_hub_stops_at_once(root: Path) -> None:
    with LocalHub(root) as hub:
        hub.misbehave(Fault("hang", seconds=60))
        with pytest.raises(httpx2.ReadTimeout):
            get_session().get(f"{hub.endpoint}/api/models", timeout=0.05)
        start = time.monotonic()
    assert time.monotonic() - start < 1


@pytest.mark.parametrize(("path", "host"), [(FILE, "cdn"), (FILE, None), ("README.md", "hub"), ("*.md", None)])
def test_range_ignored(hub: LocalHub, path: str, host: str | None) -> None:
    hub.misbehave(Fault("ignore-range", path=path, host=host, times=1))
    name = FILE if path == FILE else "README.md"
    url = hf_hub_url(REPO, name, endpoint=hub.endpoint)
    answer = get(url)
    assert (answer.status_code, "content-range" in answer.headers) == (200, False)
    assert answer.content == (weights(1) if name == FILE else CARD.encode())
    assert get(url).status_code == 206


def test_connection_cut(hub: LocalHub, url: str) -> None:
    hub.misbehave(Fault("cut", path=FILE, times=1))
    get_session().head(url)  # shows no body, uses nothing up
    with pytest.raises(httpx2.RemoteProtocolError, match="50 bytes, expected 100"):
        get(url)
    assert hub.traffic.requests[-1].n_bytes == 50
    assert get(url).content == weights(1)[:100]


def test_a_large_body_is_cut_in_the_middle(hub: LocalHub, make_repo: MakeRepo) -> None:
    make_repo(REPO, {"big.bin": bytes(1_000_000)})
    hub.misbehave(Fault("cut", path="big.bin", times=1))
    url = hf_hub_url(REPO, "big.bin", endpoint=hub.endpoint)
    with pytest.raises(httpx2.RemoteProtocolError):
        get(url, {})
    assert hub.traffic.n_bytes == 500_000


def test_the_client_recovers_from_a_cut(hub: LocalHub, api: HfApi, caplog: pytest.LogCaptureFixture) -> None:
    hub.misbehave(Fault("cut", host="cdn", times=1))
    assert Path(api.hf_hub_download(REPO, FILE)).read_bytes() == weights(1)
    assert [request.n_bytes for request in hub.traffic.requests if request.host == "cdn"] == [4156, 8312]
    assert not [record for record in caplog.records if record.name.startswith("hubdna")]


@pytest.mark.parametrize("size", [100, 1_000_000])
def test_truncated_body(hub: LocalHub, make_repo: MakeRepo, size: int) -> None:
    make_repo(REPO, {"big.bin": bytes(size)})
    hub.misbehave(Fault("truncated", path="big.bin", times=1))
    url = hf_hub_url(REPO, "big.bin", endpoint=hub.endpoint)
    answer = get(url, {"Range": "bytes=0-"})
    assert (answer.status_code, len(answer.content)) == (206, size // 2)
    assert answer.headers["content-length"] == str(size // 2)
    assert answer.headers["content-range"] == f"bytes 0-{size - 1}/{size}"
    assert len(get(url, {}).content) == size


def test_wrong_content_range(hub: LocalHub, url: str) -> None:
    hub.misbehave(Fault("wrong-range", times=1))
    answer = get(url)
    assert (answer.status_code, answer.headers["content-range"]) == (206, f"bytes 1-100/{len(weights(1))}")
    assert get(url).headers["content-range"] == f"bytes 0-99/{len(weights(1))}"


def test_gated(hub: LocalHub, api: HfApi) -> None:
    hub.misbehave(Fault("gated", repo=REPO))
    assert api.model_info(REPO)
    with pytest.raises(GatedRepoError):
        api.hf_hub_download(REPO, FILE)
    hub.calm()
    assert api.hf_hub_download(REPO, FILE)


@pytest.mark.parametrize(("token", "status"), [("hf_alice", 404), (False, 401)])
def test_vanished(hub: LocalHub, token: str | bool, status: int) -> None:
    hub.misbehave(Fault("vanished", repo="acme/mod*"))
    api = HfApi(endpoint=hub.endpoint, token=token)
    assert {model.id for model in api.list_models()} == {"acme/other", REPO}
    for call in (api.model_info, api.list_repo_refs, lambda repo: api.hf_hub_download(repo, FILE)):
        with pytest.raises(RepositoryNotFoundError):
            call(REPO)
    assert api.model_info("acme/other")
    assert {request.status for request in hub.traffic.for_repo(REPO).requests} == {status}


def test_expired_cdn_url(hub: LocalHub, url: str) -> None:
    hub.misbehave(Fault("expired", times=1))
    assert get(url).status_code == 403
    assert get(url).status_code == 206


def test_faults_meet_requests_in_the_order_they_were_set(hub: LocalHub, url: str) -> None:
    hub.misbehave(Fault("500", times=1))
    hub.misbehave(Fault("expired", times=1))
    hub.misbehave(Fault("429", repo="acme/other"))
    assert [get(url).status_code for _ in range(3)] == [500, 403, 206]


def test_unknown_fault_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected one of 429"):
        Fault("typo")  # type: ignore[arg-type]


def test_traffic_counts_by_repo(hub: LocalHub, api: HfApi, url: str) -> None:
    get(url)
    get_session().head(url)
    api.model_info("acme/other")
    traffic = hub.traffic
    mine = traffic.for_repo(REPO)
    assert (mine.n_requests, mine.n_resolve, mine.n_cdn, mine.n_bytes) == (4, 2, 2, 100)
    assert (traffic.n_requests, traffic.n_resolve) == (5, 2)
    first = mine.requests[1]
    assert (first.method, first.host, first.status, first.range) == ("GET", "cdn", 206, "bytes=0-99")
    hub.reset_traffic()
    assert hub.traffic.requests == ()
    assert mine.n_requests == 4
