"""What follows from the author's key: the order of the data, and the seed of every interval.

Both are derived from the author's public key and the recipe's seed. So whoever signs somebody else's states with a key
of their own claims another order of the data, and the replay of any interval shows it. And an author cannot choose
an order that suits a forgery. Random numbers are PCG64's raw stream, which numpy keeps the same for ever
(https://numpy.org/neps/nep-0019-rng-policy.html); sorting them gives the permutation.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hubdna.proof.claim import Claim
from hubdna.roots import canonical, digest


def derive(claim: Claim, purpose: str, index: int) -> int:
    """A seed of 63 bits that only this author, at this recipe's seed, has for this purpose."""
    made = digest("seed", bytes.fromhex(claim.author), canonical([claim.recipe.seed, purpose, index]))
    return int.from_bytes(made[:8], "little") >> 1


def batch_indices(claim: Claim, step: int, purpose: str = "order") -> NDArray[np.int64]:
    """Which samples a step takes: int64[batch]. Another `purpose` gives another order, for comparison."""
    per_epoch = claim.n_samples // claim.recipe.batch
    epoch, place = divmod(step, per_epoch)
    begin = place * claim.recipe.batch
    return _permutation(derive(claim, purpose, epoch), claim.n_samples)[begin : begin + claim.recipe.batch]


def epoch_of(claim: Claim, step: int) -> int:
    """Which pass over the data a step belongs to, from 0."""
    return step // (claim.n_samples // claim.recipe.batch)


@lru_cache(maxsize=4)
def _permutation(seed: int, n: int) -> NDArray[np.int64]:
    shuffled = np.argsort(np.random.PCG64(seed).random_raw(n), kind="stable").astype(np.int64)
    shuffled.setflags(write=False)
    return shuffled


def order_digest(claim: Claim, steps: Iterable[int], samples: NDArray[np.uint8]) -> bytes:
    """What an interval was trained on: indices and digests of its samples, step after step.

    Args:
        claim: whose order.
        steps: of the interval; none: the digest of nothing.
        samples: uint8[n_samples, 32], the digests under the data's root.
    """
    made = digest("order")
    for step in steps:
        taken = batch_indices(claim, step)
        made = digest("order", made, taken.astype("<i8").tobytes(), samples[taken].tobytes())
    return made
