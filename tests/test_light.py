"""What is installed without extras for models is light: no torch, a quick `--help`, and all data in the wheel."""

import ast
import os
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import hubdna
from hubdna.demo import planted
from hubdna.seed import seed_dir

pytestmark = pytest.mark.slow

CHECKOUT = Path(hubdna.__file__).parents[1]
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
CACHING = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Nothing is compiled at installation: the first run does it for those that follow."""
MODULES = """
import sys
sys.argv = ["hubdna", *sys.argv[1:]]
from hubdna.cli import main
try:
    main()
except SystemExit as left:
    assert not left.code, left.code
print(sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([*PIP, "wheel", "--no-deps", "--wheel-dir", folder, CHECKOUT], check=True, timeout=300)
    (built,) = folder.glob("hubdna-*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with nothing but the wheel and two extras."""
    folder = tmp_path_factory.mktemp("light") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=120)
    command = [*PIP, "--python", folder / "bin" / "python", "install", "--no-compile", f"{wheel}[cpu,localhub]"]
    subprocess.run(command, check=True, timeout=600)
    return folder / "bin" / "python"


def modules(python: Path, *args: object) -> set[str]:
    """Top-level modules that a command has imported when it is done."""
    command = [python, "-c", MODULES, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, cwd=python.parent)
    return set(ast.literal_eval(done.stdout.splitlines()[-1]))


def test_the_environment_holds_no_torch(python: Path) -> None:
    code = "from importlib.metadata import distributions as all; print(*(d.metadata['Name'].lower() for d in all()))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, cwd=python.parent)
    names = set(done.stdout.split())
    assert {"hubdna", "numpy", "faiss-cpu", "starlette"} <= names
    assert not {n for n in names if n.startswith(("torch", "nvidia", "transformers", "timm", "datasets", "triton"))}


def test_help_adds_less_than_a_third_of_a_second(python: Path) -> None:
    def seconds(*command: object) -> float:
        """Processor time: on a busy machine the clock on the wall measures the others."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=60, env=CACHING)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    pairs = [(seconds(python, "-c", "pass"), seconds(python.parent / "hubdna", "--help")) for _ in range(7)]
    assert min(helped for _, helped in pairs) - min(bare for bare, _ in pairs) <= 0.3, pairs


def test_help_imports_nothing_heavy(python: Path) -> None:
    found = modules(python, "--help")
    assert "typer" in found
    heavy = {
        "torch",
        "faiss",
        "scipy",
        "numpy",
        "huggingface_hub",
        "httpx2",
        "pyarrow",
        "networkx",
        "ruamel",
        "starlette",
        "fastapi",
        "uvicorn",
        "sqlite3",
        "cyclonedx",
    }
    assert found & heavy == set()


def test_comparing_two_local_models_imports_neither_faiss_nor_a_server(python: Path) -> None:
    models = python.parents[1] / "lib" / f"python3.{sys.version_info[1]}" / "site-packages/hubdna/demo/models"
    found = modules(python, "compare", models / "convfoundry/resnet-digits", models / "convfoundry/resnet-odd-even")
    assert "numpy" in found
    assert found & {"torch", "faiss", "starlette", "uvicorn", "pyarrow", "networkx", "cyclonedx"} == set()


def test_the_wheel_holds_the_seed_and_the_demo_models(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "hubdna/_seed/recipe.toml" in names
    for model in planted():
        folder = f"hubdna/demo/models/{model['repo_id']}"
        assert f"{folder}/README.md" in names
        assert any(n.startswith(folder) and n.endswith(".safetensors") for n in names)
    in_checkout = {p.relative_to(CHECKOUT).as_posix() for p in (CHECKOUT / "hubdna/demo").rglob("*") if p.is_file()}
    assert {n for n in in_checkout if "__pycache__" not in n} <= names
    assert not any(n.startswith(("tests/", "scripts/", "index/")) for n in names)


def test_the_seed_is_found_in_the_wheel(python: Path) -> None:
    code = "from hubdna.seed import seed_dir, foundations; print(seed_dir(), len(foundations()))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, cwd=python.parent)
    folder, count = done.stdout.split()
    assert folder.endswith("site-packages/hubdna/_seed")
    assert int(count) > 50


def test_the_seed_is_found_in_the_checkout() -> None:
    assert seed_dir() == CHECKOUT / "index"
