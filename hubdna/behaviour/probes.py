"""The probes: what every model is shown, whatever its vocabulary or the size of its pictures.

Both sets are shipped and were made for this purpose (`probes/README.md`). They are no sample of anybody's training
data: where no data fixed an answer, two trainings of one recipe answer differently, and a fine-tune answers like its
parent. Two thirds of the pictures are drawn digits and clothes: a student follows its teacher where both were trained.
Pictures are resized and normalised as the model's own configuration says. Text is cut to as many tokens for every
probe, so that no padding enters.
"""

from __future__ import annotations

import functools
import hashlib
import zlib
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hubdna.errors import BehaviourError

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

N_PROBES = {"text": 128, "vision": 192}
TOKENS = 32
LETTERS = 240  # of each text probe; in a vocabulary whose words are longer on average, the probe is repeated
PICTURES = (N_PROBES["vision"], 32, 32, 3)
MIN_DISTINCT = 16
"""So many different tokens the probes must have: a vocabulary of 3 cannot tell texts apart."""
MAX_SIDE = 1024


@functools.cache
def _raw(name: str) -> bytes:
    return (files("hubdna.behaviour") / "probes" / name).read_bytes()


def scheme(modality: str) -> str:
    """Name every parameter that changes a behaviour: `behaviour-1/vision=1a2b3c4d/n=192/places=6`."""
    name = {"vision": "pictures.bin", "text": "text.txt"}[modality]
    return named(modality, hashlib.sha256(_raw(name)).hexdigest()[:8], N_PROBES[modality])


def named(modality: str, digest: str, n: int) -> str:
    """The scheme of probes of one kind, shipped or a user's own."""
    length = f"/tokens={TOKENS}" if modality == "text" else ""
    return f"behaviour-1/{modality}={digest}/n={n}{length}/places=6"


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """What models are shown.

    Attributes:
        pictures: uint8 [n, height, width, 3]; None where there are none.
        texts: n texts of 1 to 240 letters; None where there are none.
    """

    pictures: NDArray[np.uint8] | None
    texts: tuple[str, ...] | None

    def n(self, modality: str) -> int:
        """How many there are of a kind."""
        held = self.texts if modality == "text" else self.pictures
        return 0 if held is None else len(held)


def shipped() -> Probes:
    """The probes of this version, of both kinds."""
    return Probes(pictures(), texts())


@functools.cache
def pictures() -> NDArray[np.uint8]:
    """The picture probes, uint8 [192, 32, 32, 3]."""
    return np.frombuffer(zlib.decompress(_raw("pictures.bin")), np.uint8).reshape(PICTURES)


@functools.cache
def texts() -> tuple[str, ...]:
    """The 128 text probes."""
    return windows(N_PROBES["text"])


def windows(n: int) -> tuple[str, ...]:
    """So many windows of 240 letters, evenly spaced over the shipped text, which is read as a ring."""
    ring = _raw("text.txt").decode().replace("\\n", "\n")
    starts = np.linspace(0, len(ring), n, endpoint=False).astype(int)
    twice = ring + ring
    return tuple(twice[s : s + LETTERS] for s in starts)


def as_input(shown: Probes, size: tuple[int, int], channels: int, mean: list[float], std: list[float]) -> torch.Tensor:
    """The pictures as a network reads them: float32 [n, channels, *size].

    Raises:
        BehaviourError: a size or a number of channels that no network of pictures has; no pictures among the probes.
    """
    import torch
    from torch.nn import functional

    if not all(1 <= side <= MAX_SIDE for side in size) or channels not in (1, 3, 4):
        raise BehaviourError(
            f"pictures of {channels} x {size[0]} x {size[1]}: expected 1, 3 or 4 channels of 1 to {MAX_SIDE} pixels"
        )
    if shown.pictures is None:
        raise BehaviourError("it reads pictures, and the probes are texts")
    x = torch.tensor(shown.pictures).permute(0, 3, 1, 2).float() / 255
    if channels == 1:
        x = (x * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    elif channels == 4:
        x = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    x = functional.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)
    return (x - _column(mean, channels, 0.5)) / _column(std, channels, 0.5).clamp_min(1e-3)


def _column(values: Any, channels: int, default: float) -> torch.Tensor:
    """Mean or deviation of each channel; a list of another length counts by its average."""
    import torch

    found = [float(v) for v in values] if isinstance(values, list | tuple) else []
    found = found if len(found) == channels else [sum(found) / len(found) if found else default] * channels
    return torch.tensor(found).view(1, -1, 1, 1)


def as_tokens(shown: Probes, tokenizer: Tokenizer | None, vocabulary: int, longest: int) -> torch.Tensor:
    """The texts as token ids: int64 [n, T], T the smaller of 32 and what the model takes.

    Args:
        shown: the probes.
        tokenizer: the model's; None gives bytes.
        vocabulary: rows of the embedding.
        longest: positions of the model.

    Raises:
        BehaviourError: the tokenizer does not fit the model, or cannot tell texts apart; no texts among the probes.
    """
    import torch

    if shown.texts is None:
        raise BehaviourError("it reads text, and the probes are pictures")
    length = max(1, min(TOKENS, longest))
    if tokenizer is None and vocabulary < 256:
        raise BehaviourError(f"no tokenizer, and a vocabulary of {vocabulary} is too small for bytes (256)")
    rows = []
    for text in shown.texts:
        ids = list(text.encode()) if tokenizer is None else list(tokenizer.encode(text).ids)
        if not ids:
            raise BehaviourError(f"the tokenizer gives no tokens for a text of {len(text)} letters")
        rows.append((ids * (1 + length // len(ids)))[:length])
    if (largest := max(map(max, rows))) >= vocabulary:
        raise BehaviourError(f"the tokenizer gives token {largest}, the model has {vocabulary}")
    if (n := len({i for row in rows for i in row})) < MIN_DISTINCT:
        raise BehaviourError(
            f"the vocabulary gives {n} different tokens for {len(rows)} texts, at least {MIN_DISTINCT} are needed"
        )
    return torch.tensor(rows)
