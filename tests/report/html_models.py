"""Small nets of known descent, an index that holds some of them, and what of a page the tests look at."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from hubdna.dna import codec
from hubdna.models import Loader
from hubdna.painting import paint
from hubdna.records import Audit, Claim, Dna, ModelRef, Painting, Provenance
from hubdna.search import nearest
from hubdna.store import Entry, IndexDir

Tensors = dict[str, np.ndarray]
D, H, N_LAYERS = 64, 128, 4
SHAPES = {"attn.q_proj": (D, D), "mlp.gate_proj": (H, D), "mlp.up_proj": (H, D), "mlp.down_proj": (D, H)}
MADE = Provenance("ab" * 32, "/home/me/secret/index", 3, "weight-2/m=32", "0.1.0", "2026-11-24")


def net(seed: int) -> Tensors:
    rng = np.random.default_rng(seed)
    return {
        f"layers.{i}.{m}.weight": (rng.standard_normal(s) / 8).astype(np.float32)
        for i in range(N_LAYERS)
        for m, s in SHAPES.items()
    }


def tuned(model: Tensors, seed: int, size: float = 0.3) -> Tensors:
    rng = np.random.default_rng(seed)
    return {n: (w + size * w.std() * rng.standard_normal(w.shape)).astype(np.float32) for n, w in model.items()}


def layers(model: Tensors, *which: int) -> Tensors:
    return {n: w for n, w in model.items() if int(n.split(".")[1]) in which}


class Shelf:
    """An index that models are put into, and models that are audited against it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.index = folder, IndexDir(folder / "index", create=True)

    def dna(self, model: Tensors, name: str = "./model") -> Dna:
        path = self.folder / "model.safetensors"
        save_file({n: np.ascontiguousarray(w) for n, w in model.items()}, path)
        return replace(Loader(level="full").load(ModelRef(str(path))).dna, ref=ModelRef(name))

    def put(self, name: str, model: Tensors) -> None:
        dna = self.dna(model, name)
        data = codec.encode(dna)
        self.index.add(Entry(ModelRef(name), codec.digest(data), Claim(), len(dna.genes), "full", dna.content), data)

    def audit(self, model: Tensors, name: str = "./model") -> tuple[Audit, Painting]:
        """What an audit of a folder without findings gives."""
        self.index.sync()
        dna = self.dna(model, name)
        matches = tuple(nearest(dna, self.index))
        return Audit(dna.ref, Claim(), matches, (), MADE), paint(dna, matches, self.index)


def states(picture: Painting) -> list[str]:
    """For each layer the name of the relative it is painted with, else what the others say there."""
    names = [p.ref.repo_id for p in picture.relatives]
    seen = [{p.states[i] for p in picture.relatives} for i in range(len(picture.layers))]
    return [names[o] if o is not None else "/".join(sorted(s)) for o, s in zip(picture.owners, seen, strict=True)]


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, key: str) -> Iterator[str]:
        yield from (value or "" for _, attributes in self.tags for name, value in attributes.items() if name == key)
