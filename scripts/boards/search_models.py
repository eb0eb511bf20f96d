"""Who stands in the index of board `search`, and who asks.

Index: the zoo's bases and independents, a part of each null population, and synthetic models beside them: Gaussian
weights, so their sketches are uniform bits, in the zoo's shapes and in others. Queries: every other model of the pair
sets, children by noise, and models whose origin is not in the index.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from hubdna.dna.genes import MIN_SKETCHED, n_tested
from hubdna.dna.plan import BUDGETS
from hubdna.dna.roles import MIN_AXIS
from hubdna.models import Loader
from hubdna.records import Dna, Gene, ModelRef, ReadLevel

SETS = ("decoder-128-s1", "decoder-128-s0", "decoder-96-s0", "decoder-96-s1", "encoder", "vit", "resnet", "convnext",
        "moe")  # fmt: skip
ROOTS = ("decoder", "moe", "encoder", "mlp", "resnet", "convnext", "vit")
ORIGINS = ("base", "indep", "indep_wide", "vit_base", "vit_indep")
"""Models of a pair set that nothing else was made of: these stand in the index."""
PARENTS = (("indep_ft", "indep"), ("indep_all_ways", "indep"))
"""Kinships that the list of pairs leaves out."""
RHOS = (1.0, 0.9, 0.7, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1)
HIDDEN = {"base": "nothing", "rotated": "stream", "perm_res": "stream", "perm_mlp": "units", "perm_units": "units",
          "perm_all": "both", "all_ways": "both"}  # fmt: skip
"""What of them is disguised: the residual stream, hidden units, or both and more."""
MAX_GENES = 16
"""Genes that a synthetic model keeps of its template; no query needs more than the index takes."""


@dataclass(frozen=True, slots=True)
class Query:
    """A model that asks, what was done to it, the members of the index that it comes from, and its noise."""

    name: str
    kind: str
    origins: frozenset[str]
    path: Path
    rho: float = 1.0

    def dna(self) -> Dna:
        """Its DNA at the level that searches read at."""
        return noised(self.path, self.rho, self.name) if self.rho < 1 else load(self.path, self.name)


def load(path: Path, name: str, level: ReadLevel = "standard") -> Dna:
    """DNA of a folder or a file, under a name."""
    return replace(Loader(level=level).load(ModelRef(str(path))).dna, ref=ModelRef(name, "main", "0" * 40))


@contextmanager
def scarce(path: Path, small: float, standard: float) -> Iterator[None]:
    """Read budgets as scarce for this small model as for one of billions: these shares of its bytes."""
    n_bytes, before = sum(f.stat().st_size for f in path.glob("model.safetensors")), dict(BUDGETS)
    try:
        BUDGETS["small"] = replace(BUDGETS["small"], n_bytes=int(small * n_bytes))
        BUDGETS["standard"] = replace(BUDGETS["standard"], n_bytes=int(standard * n_bytes))
        yield
    finally:
        BUDGETS.update(before)


def members(zoo: Path, n_roots: int) -> Iterator[tuple[str, Path]]:
    """Trained models of the index."""
    for name in SETS:
        yield from ((f"{name}/{m}", p) for m in ORIGINS if (p := zoo / "pairs" / name / m).is_dir())
    for kind in ROOTS:
        yield from ((f"{kind}/{p.stem}", p) for p in _roots(zoo, kind)[:n_roots])


def strangers(zoo: Path, n_roots: int, n: int) -> Iterator[Query]:
    """Roots of the same populations that are not in the index."""
    for kind in ROOTS:
        for path in _roots(zoo, kind)[n_roots : n_roots + n]:
            yield Query(f"{kind}/{path.stem}", "independent", frozenset(), path)


def _roots(zoo: Path, kind: str) -> list[Path]:
    return sorted((zoo / "roots" / kind).glob("[0-9]*.safetensors"))


def relatives(zoo: Path, name: str) -> Iterator[Query]:
    """Every model of a pair set that is no member of the index, by what was done to it."""
    pairs = json.loads((zoo / "pairs" / name / "pairs.json").read_text())
    kin = [p for p in pairs if p["related"] and p["relation"] not in ("distilled", "adapter")]
    parents = [(p["target"], p["source"]) for p in kin] + list(PARENTS)
    kinds = {p["target"]: _kind(p) for p in reversed(pairs)}
    for model in dict.fromkeys(p["target"] for p in pairs if p["relation"] != "adapter"):
        if model not in ORIGINS:
            found = _ancestors(model, parents) & set(ORIGINS)
            origins = frozenset(f"{name}/{o}" for o in found)
            kind = "finetune" if model == "indep_ft" else kinds[model]  # of another root than its card says
            yield Query(f"{name}/{model}", kind, origins, zoo / "pairs" / name / model)


def _kind(pair: dict[str, object]) -> str:
    if disguised := pair["disguised"]:
        return "disguised: " + ", ".join(sorted(disguised))  # type: ignore[arg-type]
    return str(pair["relation"])


def _ancestors(model: str, parents: Sequence[tuple[str, str]]) -> set[str]:
    found, todo = set(), [model]
    while todo:
        child = todo.pop()
        new = {source for target, source in parents if target == child} - found
        found |= new
        todo += new
    return found


def children(zoo: Path, name: str) -> Iterator[Query]:
    """Noise on every matrix of the base and of its disguised copies."""
    for model, hidden in HIDDEN.items():
        path = zoo / "pairs" / name / model
        for rho in RHOS if path.is_dir() else ():
            yield Query(f"{name}/{model} {rho}", f"noise, {hidden}", frozenset([f"{name}/base"]), path, rho)


def root_children(zoo: Path, n_roots: int) -> Iterator[Query]:
    """Noise on every matrix of roots that are in the index."""
    for kind in ROOTS:
        for path in _roots(zoo, kind)[:n_roots]:
            name = f"{kind}/{path.stem}"
            for rho in RHOS[3:]:
                yield Query(f"{name} {rho}", "noise, nothing", frozenset([name]), path, rho)


def noised(model: Path, rho: float, seed: str) -> Dna:
    """DNA of weights of correlation rho with a model's (folder or file): every matrix gets noise of its own size."""
    rng = np.random.default_rng(list(seed.encode()))
    file = model / "model.safetensors" if model.is_dir() else model
    tensors = {k: np.asarray(v, np.float32) for k, v in load_file(file).items()}
    for name, w in tensors.items():
        if w.ndim > 1:
            noise = rng.standard_normal(w.shape, np.float32) * w.std()
            tensors[name] = np.float32(rho) * w + np.float32(np.sqrt(1 - rho**2)) * noise
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "model"
        if model.is_dir():
            shutil.copytree(model, copy, ignore=shutil.ignore_patterns("*.safetensors"))
        copy.mkdir(exist_ok=True)
        save_file(tensors, copy / "model.safetensors")
        return load(copy, seed)


def synthetic(templates: Sequence[Dna], n: int, rng: np.random.Generator) -> Iterator[Dna]:
    """Models of Gaussian weights, without rows: half in the templates' shapes, half wider by a factor."""
    for i in range(n):
        template = templates[int(rng.integers(len(templates)))]
        factor = 1 if i % 2 == 0 else int(rng.integers(2, 9))
        some = [g for g in template.genes if g.n_sketched >= MIN_SKETCHED]
        chosen = sorted(rng.permutation(len(some))[:MAX_GENES].tolist())
        genes = tuple(_gaussian(some[j], factor, rng) for j in chosen)
        yield replace(template, ref=ModelRef(f"synthetic/{i}", "main", "0" * 40), genes=genes, blocks=(), content=None)


def _gaussian(gene: Gene, factor: int, rng: np.random.Generator) -> Gene:
    """A gene of the same shape (or `factor` times wider) whose sketch is that of independent weights."""
    shape = tuple(n * factor if n >= MIN_AXIS else n for n in gene.shape)
    m = len(gene.live) if gene.view == "unseen" else n_tested(shape[gene.axis])
    hashes = rng.integers(0, 2**63, (m if gene.view == "rows" else 0, 3), np.uint64)
    sketch = np.frombuffer(rng.bytes(gene.sketch.size), np.uint8)
    live = np.ones(m, bool)
    return replace(gene, shape=shape, rows=None, scales=None, live=live, hashes=hashes, sketch=sketch)


def with_rows(dna: Dna, seed: int) -> Dna:
    """A synthetic model's rows, as if they had been read again: noise."""
    rng = np.random.default_rng(seed)
    genes = [
        replace(g, rows=rng.integers(-99, 99, (len(g.live), 64), np.int8), scales=np.ones(len(g.live), np.float32))
        for g in dna.genes
    ]
    return replace(dna, genes=tuple(genes))
