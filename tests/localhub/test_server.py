"""Starting, stopping, and what an import costs."""

import subprocess
import sys
import threading
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import HfApi
from localhub_repos import MakeRepo

from hubdna.errors import MissingExtraError, UsageError
from hubdna.localhub import LocalHub, serve


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "example.com", "::", ""])
def test_only_loopback(root: Path, host: str) -> None:
    with pytest.raises(UsageError, match="loopback"):
        LocalHub(root, host=host)


def test_root_must_be_a_folder(root: Path) -> None:
    with pytest.raises(UsageError, match="not a folder"):
        LocalHub(root / "none")


def test_a_port_in_use_is_the_callers_error(root: Path) -> None:
    with LocalHub(root) as hub, pytest.raises(OSError, match="in use"):
        LocalHub(root, port=int(hub.endpoint.rpartition(":")[2])).start()


def test_two_hubs_and_a_restart(root: Path, make_repo: MakeRepo) -> None:
    make_repo("acme/model")
    hub = LocalHub(root)
    with hub, LocalHub(root) as other:
        assert hub.endpoint != other.endpoint
        assert HfApi(endpoint=other.endpoint).model_info("acme/model")
    with hub:
        assert HfApi(endpoint=hub.endpoint).model_info("acme/model")
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(hub.endpoint)


def test_sixteen_clients_at_once(hub: LocalHub, make_repo: MakeRepo) -> None:
    make_repo("acme/model")
    api, errors = HfApi(endpoint=hub.endpoint), []

    def work() -> None:
        try:
            for _ in range(5):
                api.get_safetensors_metadata("acme/model")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert hub.traffic.n_resolve == 16 * 5 * 2


def test_serve_announces_and_ends_on_interrupt(root: Path) -> None:
    seen: list[int] = []

    def announced(endpoint: str) -> None:
        seen.append(httpx2.get(f"{endpoint}/api/models").status_code)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        serve(root, port=0, announce=announced)
    assert seen == [200]


def test_importing_is_light() -> None:
    heavy = "huggingface_hub torch faiss starlette uvicorn numpy".split()
    code = f"import sys, hubdna.localhub; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_missing_package_names_the_extra(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingExtraError, match=r"hubdna\[localhub\]"):
        LocalHub(root)
