"""Imports go downwards only. A module that is in no layer, or imports upwards, fails with the offending line."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import hubdna

ROOT = Path(hubdna.__file__).parent

LAYERS = [
    {"errors", "records", "roots", "writing", "calling"},
    {"sources", "dna", "evidence", "verdict", "card", "licences", "report"},
    {"hub", "store", "checked"},
    {"models", "compare", "crawl", "search", "lookalikes", "lineage", "descent", "painting", "seed"},
    {"config", "rules", "bases", "inquiry", "audit", "fix"},
    {"bot"},
    {"demo", "cli", "__main__"},
]
"""From the ground up; modules of one layer may import each other, without cycles."""
LEAVES = {"localhub", "behaviour", "proof", "protect"}
"""They import the ground layer only, and each can be deleted in one commit."""
USERS_OF_LEAVES = {"demo", "cli"}
PURE = LAYERS[0] | LAYERS[1]
NETWORK_OR_CLOCK = {
    "huggingface_hub", "httpx", "httpx2", "requests", "urllib3", "aiohttp", "socket", "http", "ssl", "sqlite3",
    "faiss", "datetime", "time", "subprocess", "random",
}  # fmt: skip
HEAVY = {
    "torch",
    "torchvision",
    "transformers",
    "timm",
    "datasets",
    "accelerate",
    "peft",
    "onnxruntime",
    "ray",
    "pickle",
}
HOMES = {"faiss": ("store/vectors.py",), "huggingface_hub": ("hub",), "httpx2": ("hub",), "sqlite3": ("store", "bot")}


def rank(module: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if module in layer)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import of a file, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.relative_to(ROOT.parent)}:{node.lineno}: a relative import"
            assert node.module is not None
            if node.module == "hubdna":
                yield from ((node.lineno, f"hubdna.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module


def part_of(dotted: str) -> str | None:
    """`store` of `hubdna.store.vectors`; None of anything else and of the package itself."""
    words = dotted.split(".")
    return words[1] if words[0] == "hubdna" and len(words) > 1 and words[1] != "__version__" else None


def own(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


FILES = sorted(p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py")
LINES = [(path, line, name) for path in FILES for line, name in imports(path)]


def offending(lines: list[tuple[Path, int, str]]) -> list[str]:
    return [f"{path.relative_to(ROOT.parent)}:{line}: imports {name}" for path, line, name in lines]


def test_every_module_has_its_layer() -> None:
    known = set().union(*LAYERS) | LEAVES
    assert {own(p) for p in FILES} <= known, "put the new module into LAYERS or LEAVES"
    assert len(LINES) > 200


def test_imports_go_downwards_only() -> None:
    upwards = [
        (path, line, name)
        for path, line, name in LINES
        if own(path) not in LEAVES
        and (target := part_of(name)) is not None
        and target not in LEAVES
        and rank(target) > rank(own(path))
    ]
    assert offending(upwards) == []


def test_leaves_import_the_ground_layer_only() -> None:
    outwards = [
        (path, line, name)
        for path, line, name in LINES
        if own(path) in LEAVES and part_of(name) not in {None, own(path), *LAYERS[0]}
    ]
    assert offending(outwards) == []


def test_only_the_command_line_and_the_demo_know_the_leaves() -> None:
    inwards = [
        (path, line, name)
        for path, line, name in LINES
        if part_of(name) in LEAVES and own(path) not in {part_of(name), *USERS_OF_LEAVES}
    ]
    assert offending(inwards) == []


def test_what_is_pure_knows_no_network_no_clock_and_no_database() -> None:
    impure = [
        (path, line, name)
        for path, line, name in LINES
        if own(path) in PURE and name.partition(".")[0] in NETWORK_OR_CLOCK
    ]
    assert offending(impure) == []


def test_nothing_imports_a_framework_or_a_pickle_loader() -> None:
    heavy = [
        (path, line, name)
        for path, line, name in LINES
        if name.partition(".")[0] in HEAVY and own(path) not in LEAVES - {"localhub"}
    ]
    assert offending(heavy) == []


@pytest.mark.parametrize("package", HOMES)
def test_a_package_has_one_home(package: str) -> None:
    found = [(path, line, name) for path, line, name in LINES if name.partition(".")[0] == package]
    strays = [
        (path, line, name)
        for path, line, name in found
        if path.relative_to(ROOT).as_posix() not in HOMES[package] and own(path) not in HOMES[package]
    ]
    assert found, f"nothing imports {package}: take it off the list"
    assert offending(strays) == []


def test_no_two_parts_import_each_other() -> None:
    below = {own(p): {t for q, _, n in LINES if own(q) == own(p) and (t := part_of(n)) and t != own(p)} for p in FILES}

    def reached(part: str, seen: frozenset[str]) -> Iterator[tuple[str, ...]]:
        for target in below.get(part, set()):
            if target in seen:
                yield (*sorted(seen), target)
            else:
                yield from reached(target, seen | {target})

    assert [cycle for part in below for cycle in reached(part, frozenset({part}))] == []


def test_nothing_of_a_repository_is_run() -> None:
    calls = [
        f"{path.relative_to(ROOT.parent)}:{node.lineno}: {node.func.id}()"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"eval", "exec", "compile"}
    ]
    assert calls == []
    text = "\n".join(p.read_text("utf-8") for p in FILES)
    assert "trust_remote_code" not in text
    assert "allow_pickle=True" not in text
