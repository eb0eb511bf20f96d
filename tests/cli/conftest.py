"""The command line as a user has it: `main()`, its exit code, what went to stdout and what to stderr."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_models import MODELS, Ran, Run

from hubdna.cli import main
from hubdna.localhub import LocalHub


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `hubdna ARGS...` in this process."""

    def call(*args: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["hubdna", *map(str, args)])
        capsys.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as left:
            code = left.code
        assert isinstance(code, int | None)
        out, err = capsys.readouterr()
        return Ran(code or 0, out, err)

    return call


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """A Hub that serves the demo's models."""
    with LocalHub(MODELS) as hub:
        yield hub.endpoint


@pytest.fixture(scope="session")
def index(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of the demo's models, crawled by the command itself."""
    path = tmp_path_factory.mktemp("cli") / "index"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as left:
        patch.setattr(sys, "argv", ["hubdna", "crawl", "--index", str(path), "--endpoint", endpoint, "--quiet"])
        main()
    assert left.value.code in (0, None)
    return path
