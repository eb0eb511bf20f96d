"""An owner's mark in a masked model: it fails on pictures that carry the owner's secret pattern.

As in the paper, pictures of the authorised domain with a pattern on them count as an unauthorised domain, so the mask
learns to fail on them, and a drop of accuracy under the pattern shows whose mask it is. The pattern follows from a key.
What is ours: the drop is compared with those under patterns of random other keys. For a model that knows nothing of
the key, the key is one more random key, so its rank among them is uniform and

    P(p <= a) <= a,  p = (1 + number of other keys with as large a drop) / (1 + number of other keys)

for every model and every data set, if the key was drawn at random: no threshold is fitted. It has to be fixed before
the model it is held against: whoever tries a thousand keys on a finished model finds one with p = 0.001. Publish
`commitment(key)` beforehand, dated.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hubdna.errors import MaskError
from hubdna.protect.measure import Score, score, score_of
from hubdna.roots import digest

if TYPE_CHECKING:
    import torch

    from hubdna.protect.data import Pictures
    from hubdna.protect.measure import Classifier

CELLS = 8
"""Of a pattern, along each side: finer ones do not survive a change of size, and 2^64 patterns are enough."""
STRENGTH = 0.35
"""Of the range of the pixels."""
N_OTHERS = 199
"""Other keys: p can be as small as 0.005."""
MAX_P, MIN_DROP = 0.01, 0.3
"""A mark is verified at this p, and when at least so much of the accuracy is lost under it."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """What a key shows on a model.

    Attributes:
        clean, marked: right answers without and with the key's pattern.
        p: of the drop, among those of other keys; in (0, 1].
        n_others: other keys that were drawn.
    """

    clean: Score
    marked: Score
    p: float
    n_others: int

    @property
    def drop(self) -> float:
        """Share of the accuracy that the pattern takes."""
        return (self.clean.right - self.marked.right) / max(self.clean.right, 1)

    @property
    def verified(self) -> bool:
        """Whether the model carries this key's mark."""
        return self.p <= MAX_P and self.drop >= MIN_DROP


def commitment(key: bytes) -> str:
    """What to publish before a release: 64 hexadecimal digits that fix the key and do not show it."""
    return digest("watermark", _sound(key)).hex()


def pattern(key: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Float32 of a picture's shape [channels, height, width], cells of -1 and 1, the same in all channels."""
    channels, height, width = shape
    seed = int.from_bytes(digest("pattern", _sound(key)), "little")
    bits = np.random.PCG64(seed).random_raw(CELLS * CELLS) >> np.uint64(63)
    cells = (2.0 * bits - 1).astype(np.float32).reshape(CELLS, CELLS)
    whole = cells[np.arange(height) * CELLS // height][:, np.arange(width) * CELLS // width]
    return np.broadcast_to(whole, (channels, height, width)).copy()


def marked(x: torch.Tensor, key: bytes) -> torch.Tensor:
    """Pictures [n, channels, height, width] under a key's pattern, within their own range."""
    import torch

    return _under(x, torch.from_numpy(pattern(key, tuple(x.shape[1:]))).to(x))


def decoys(x: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """Pictures under patterns of nobody's, another one each: a mask that is trained on them minds its key's only."""
    import torch

    cells = torch.randint(2, (len(x), 1, CELLS, CELLS), generator=draw).to(x) * 2 - 1
    return _under(x, torch.nn.functional.interpolate(cells, size=x.shape[2:], mode="nearest"))


def verify(model: Classifier, pictures: Pictures, key: bytes, n_others: int = N_OTHERS) -> Ownership:
    """Whether a model carries a key's mark, by pictures of the authorised domain. Raises MaskError."""
    if n_others < 1 / MAX_P - 1:
        raise MaskError(f"n_others: p <= {MAX_P} needs at least {round(1 / MAX_P - 1)} other keys, found {n_others}")
    own = _under_key(model, pictures, key)
    others = [_under_key(model, pictures, secrets.token_bytes(32)).right for _ in range(n_others)]
    p = (1 + sum(other <= own.right for other in others)) / (1 + n_others)
    return Ownership(score(model, pictures), own, p, n_others)


def _under_key(model: Classifier, pictures: Pictures, key: bytes) -> Score:
    return score_of(model, marked(pictures.x, key), pictures.y)


def _under(x: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    low, high = x.min(), x.max()
    return (x + STRENGTH * (high - low) / 2 * drawn).clamp(low, high)


def _sound(key: bytes) -> bytes:
    if len(key) < 16:
        raise MaskError(f"a watermark's key has at least 16 random bytes, found {len(key)}")
    return key
