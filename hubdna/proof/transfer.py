"""A receipt on its way: which files go out, and how a stranger's come in. Whoever talks to the Hub is handed in.

What comes in is never named by the other side: names follow from numbers, and a listing that says anything else is
refused before the first byte. Small files come first and have to fit together; only then states are fetched, each is
hashed when it is there, and the folder gets its name when all of it is sound. A transfer that was cut off goes on: what
lies in `DIR.part` is kept as far as its bytes are those that the chain commits to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hubdna.errors import ReceiptError, UsageError
from hubdna.proof.claim import MAX_INTERVALS, MAX_SAMPLES
from hubdna.proof.keys import signed_by
from hubdna.proof.layout import (
    CALIBRATION,
    CHAIN,
    CLAIM,
    MAX_JSON,
    MAX_LINE,
    SAMPLES,
    SIGNATURE,
    STATES,
    Link,
    Receipt,
    check_states,
    open_receipt,
    state_name,
)
from hubdna.roots import N_BYTES

FOLDER = "receipt"
"""Of a repository: where a model's receipt is looked for."""
SMALL = {
    CLAIM: MAX_JSON, SIGNATURE: MAX_JSON, CALIBRATION: MAX_JSON, SAMPLES: MAX_SAMPLES * N_BYTES,
    CHAIN: (MAX_INTERVALS + 1) * MAX_LINE,
}  # fmt: skip
"""Files beside the states, and the most bytes of each."""
MAX_RECEIPT = 20 * 10**9
"""Bytes of a whole receipt that are taken unless told otherwise."""

Fetch = Callable[[str, int, Path], None]
"""(name in the folder, its bytes, where to put it) -> nothing; goes on with what an earlier call left."""


def outgoing(folder: Path | str) -> dict[str, Path]:
    """All files of a finished receipt, by their name in its folder; every byte was checked. Raises ReceiptError."""
    receipt = _sound(Path(folder))
    check_states(receipt)
    names = [*SMALL, *(_name(receipt, link) for link in receipt.links)]
    return {name: receipt.folder / name for name in names}


def receive(sizes: Mapping[str, int], fetch: Fetch, folder: Path | str, most: int = MAX_RECEIPT) -> Receipt:
    """Fetch a receipt into a new folder.

    Args:
        sizes: what the other side lists: name -> bytes.
        fetch: gets one file.
        folder: where; it must not be there yet.
        most: bytes in all.

    Returns:
        The receipt; signature and every byte are in order. Nothing of it was trained again.

    Raises:
        UsageError: the folder is there.
        ReceiptError: the listing or a file is not what a receipt holds.
    """
    folder = Path(folder)
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder}: expected a new folder, found something there")
    states = _check_listing(sizes, most)
    part = folder.with_name(folder.name + ".part")
    _clear(part, states)
    for name in SMALL:
        fetch(name, sizes[name], part / name)
    receipt = _sound(part, states=False)
    if [_name(receipt, link) for link in receipt.links] != states:
        raise ReceiptError(f"{STATES}: the chain has {len(receipt.links)} states, other ones than the listing")
    for link in receipt.links:
        _take(receipt, link, sizes, fetch)
    _sound(part)
    part.replace(folder)
    return open_receipt(folder)


def _check_listing(sizes: Mapping[str, int], most: int) -> list[str]:
    """Names of the states. Raises ReceiptError for a name, a number or a size that no receipt has."""
    if absent := sorted(SMALL.keys() - sizes.keys()):
        raise ReceiptError(f"receipt: expected {absent[0]}, and it is not there")
    n_states = len(sizes) - len(SMALL)
    if not 2 <= n_states <= MAX_INTERVALS + 1:
        raise ReceiptError(f"receipt: {n_states} files besides, expected 2 to {MAX_INTERVALS + 1} states")
    plain = state_name(0) in sizes
    states = [state_name(index, "plain" if plain else "compressed") for index in range(n_states)]
    if strangers := sorted(sizes.keys() - {*SMALL, *states}):
        raise ReceiptError(f"receipt: holds {strangers[0][:80]!r}, which is no part of a receipt of {n_states} states")
    for name, limit in SMALL.items():
        if sizes[name] > limit:
            raise ReceiptError(f"{name}: {sizes[name]} bytes, at most {limit} can be right: not fetched")
    if (total := sum(sizes.values())) > most:
        raise ReceiptError(f"receipt: {total / 1e9:.1f} GB, more than the {most / 1e9:.1f} GB allowed: not fetched")
    return states


def _clear(part: Path, states: Sequence[str]) -> None:
    """Of an earlier transfer only states are kept, whole ones and the one that was under way."""
    (part / STATES).mkdir(parents=True, exist_ok=True)
    kept = {part / name for name in states}
    kept |= {place.with_name(place.name + ".tmp") for place in kept}
    for place in [*part.iterdir(), *(part / STATES).iterdir()]:
        if place not in kept and place != part / STATES:
            place.unlink()


def _take(receipt: Receipt, link: Link, sizes: Mapping[str, int], fetch: Fetch) -> None:
    """One state, unless an earlier transfer left it here whole. Raises ReceiptError."""
    name = _name(receipt, link)
    place = receipt.folder / name
    if place.exists():
        try:
            return check_states(receipt, [link])
        except ReceiptError:
            place.unlink()
    fetch(name, sizes[name], place)
    try:
        check_states(receipt, [link])
    except ReceiptError as error:
        place.unlink()
        raise ReceiptError(f"{error}; try again, or tell its author") from None


def _name(receipt: Receipt, link: Link) -> str:
    return state_name(link.index, receipt.claim.recipe.storage)


def _sound(folder: Path, *, states: bool = True) -> Receipt:
    """A finished receipt with its author's signature. Raises ReceiptError."""
    receipt = open_receipt(folder, states=states)
    if receipt.root is None or receipt.signature is None:
        raise ReceiptError(f"{folder}: expected a finished receipt, found one without a signature")
    if not signed_by(receipt.claim.author, bytes.fromhex(receipt.root), receipt.signature):
        raise ReceiptError(f"{SIGNATURE}: not a signature of the named author over these files")
    return receipt
