"""A look at a receipt that somebody published: four small files, no state, no training, no torch.

What is read has to be a claim, a chain and a signature of the claim's author over both. That says who vouches for the
receipt, and what it would say if it held. Whether it holds, only `hubdna.proof.verify` can tell.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from hubdna.errors import ReceiptError
from hubdna.proof.keys import signed_by
from hubdna.proof.layout import (
    CALIBRATION,
    CHAIN,
    CLAIM,
    MAX_JSON,
    SIGNATURE,
    read_chain,
    read_claim,
    read_signature,
)
from hubdna.records import ReceiptGlance

MAX_CHAIN = 4_000_000
"""Bytes of a chain that is read at a glance: about 8,000 states."""
READ = {CLAIM: MAX_JSON, SIGNATURE: MAX_JSON, CALIBRATION: MAX_JSON, CHAIN: MAX_CHAIN}

Read = Callable[[str, int], bytes]
"""(name in the receipt's folder, n) -> its first n bytes. Raises HubdnaError."""


def glance(read: Read) -> ReceiptGlance:
    """Look at a receipt through a reader of its files; what is wrong with it is in `problem`.

    Raises:
        HubdnaError: what `read` raises.
        MissingExtraError: cryptography is not installed.
    """
    with TemporaryDirectory(prefix="hubdna-") as made:
        folder = Path(made)
        for name, most in READ.items():
            data = read(name, most + 1)
            if len(data) > most:
                return ReceiptGlance(f"{name}: more than {most} bytes, too long for a glance; pull and verify it")
            (folder / name).write_bytes(data)
        try:
            return _look(folder)
        except ReceiptError as error:
            return ReceiptGlance(str(error))


def _look(folder: Path) -> ReceiptGlance:
    """Through the same readers, with the same bounds, as a receipt that was pulled. Raises ReceiptError."""
    claim = read_claim(folder)
    links = list(read_chain(folder, claim))
    _, root, signature = read_signature(folder, claim, links)
    if not signed_by(claim.author, bytes.fromhex(root), signature):
        raise ReceiptError(f"{SIGNATURE}: not a signature of the named author over these files")
    return ReceiptGlance(None, claim.author, root, claim.task, claim.parent, links[-1].weights, claim.recipe.steps)
