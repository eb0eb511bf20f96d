"""Models are safetensors files in a temporary folder and go the way of every user: Loader, compare_models."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import ml_dtypes  # noqa: F401  (safetensors.numpy finds bfloat16 through it)
import numpy as np
from safetensors.numpy import save_file
from scipy import stats

from hubdna.compare import compare_models
from hubdna.models import Loader
from hubdna.records import Bucket, Dna, Evidence, ModelRef, Verdict

Tensors = dict[str, np.ndarray]
NETS = Path(__file__).resolve().parents[1] / "data" / "nets"


class Bench:
    """Writes tensors to files and compares the files."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.loader = folder, Loader(level="full")
        self.names: Iterator[int] = itertools.count()

    def ref(self, model: Tensors | str) -> ModelRef:
        """A model on disk: tensors to write, or the name of one of the trained nets."""
        if isinstance(model, str):
            return ModelRef(str(NETS / f"{model}.safetensors"))
        path = self.folder / f"{next(self.names)}.safetensors"
        save_file({name: np.ascontiguousarray(t) for name, t in model.items()}, path)
        return ModelRef(str(path))

    def dna(self, model: Tensors | str) -> Dna:
        return self.loader.load(self.ref(model)).dna

    def compare(self, a: Tensors | str, b: Tensors | str) -> Verdict:
        return compare_models(self.ref(a), self.ref(b), self.loader).verdict

    def unrelated(self, make: Callable[[np.random.Generator], Tensors], n: int = 5) -> list[Verdict]:
        """Verdicts of all pairs of n models drawn independently."""
        refs = [self.ref(make(np.random.default_rng([n, seed]))) for seed in range(n)]
        return [compare_models(a, b, self.loader).verdict for a, b in itertools.combinations(refs, 2)]


def plain(evidence: Evidence) -> list[Bucket]:
    """The tests of the units' own weights, signed: those that every model has."""
    return [b for b in evidence.buckets if b.view == "rows" and b.signed]


def fixed_points(verdicts: list[Verdict]) -> list[int]:
    """K of every plain test of every verdict."""
    return [bucket.fixed_points for v in verdicts for bucket in plain(v.evidence)]


def assert_null(verdicts: list[Verdict], at_least: int = 1) -> None:
    """No verdict of a common origin, and K one on average: its sum is that of Poisson counts (both tails 1e-4)."""
    assert len(fixed_points(verdicts)) >= at_least, "nothing was tested"
    assert not {v.origin for v in verdicts} & {"common", "identical"}
    by_kind: dict[tuple[str, bool], list[int]] = defaultdict(list)
    for bucket in (b for v in verdicts for b in v.evidence.buckets):
        by_kind[bucket.view, bucket.signed].append(bucket.fixed_points)
    for kind, ks in by_kind.items():
        assert stats.poisson.ppf(1e-4, len(ks)) <= sum(ks) <= stats.poisson.isf(1e-4, len(ks)), (kind, len(ks), sum(ks))


def weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random weights as they are initialised: Gaussian, scaled by the fan-in."""
    return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def diagonal(rng: np.random.Generator, rows: int, columns: int, share: float, offset: int = 0) -> np.ndarray:
    """Random weights with `share` of the energy on the diagonal that starts at column `offset`."""
    W = weights(rng, rows, columns)
    n = min(rows, columns - offset)
    W[np.arange(n), offset + np.arange(n)] += np.sqrt(share / (1 - share) * (W**2).sum() / n)
    return W


def mixed(a: np.ndarray, rho: float, rng: np.random.Generator) -> np.ndarray:
    """Weights whose correlation with `a` is rho."""
    noise = rng.standard_normal(a.shape).astype(a.dtype) * a.std()
    return rho * a + np.sqrt(1 - rho**2).astype(a.dtype) * noise
