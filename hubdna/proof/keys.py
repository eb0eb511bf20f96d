"""Ed25519 keys: made, kept in files that only their owner may read, and used to sign a root.

A key file is the PEM of RFC 8410, not encrypted, mode 0600; whoever has it can sign in its owner's name. Publish the
public key (64 hexadecimal digits) where readers know it is yours: a receipt only says which key signed it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from hubdna.errors import MissingExtraError, ReceiptError
from hubdna.roots import digest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MAX_KEY = 10_000
"""Bytes of a key file."""


def create_key(path: Path | str) -> Ed25519PrivateKey:
    """Make a new key and write it, readable by its owner only. Raises ReceiptError when the file exists."""
    _need()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ReceiptError(f"key {path}: cannot be made: {error.strerror}") from None
    with os.fdopen(handle, "wb") as file:
        os.fchmod(file.fileno(), 0o600)  # whatever the umask is
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    return key


def load_key(path: Path | str) -> Ed25519PrivateKey:
    """Read a key. Raises ReceiptError: not there, no Ed25519 key, or readable by others."""
    _need()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        with Path(path).open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            pem = file.read(MAX_KEY)
    except OSError as error:
        raise ReceiptError(f"key {path}: {error.strerror}") from None
    if mode & 0o077:
        raise ReceiptError(f"key {path}: expected mode 600, found {mode:o}: others can read it (chmod 600 {path})")
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise ReceiptError(f"key {path}: not an unencrypted PEM key: {str(error)[:80]}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ReceiptError(f"key {path}: expected an Ed25519 key")
    return key


def public_of(key: Ed25519PrivateKey) -> str:
    """The public key, as receipts name authors: 64 hexadecimal digits."""
    return key.public_key().public_bytes_raw().hex()


def sign(key: Ed25519PrivateKey, root: bytes) -> str:
    """Signature of a root, hexadecimal."""
    return key.sign(digest("signature", root)).hex()


def signed_by(author: str, root: bytes, signature: str) -> bool:
    """Whether a signature is the author's, over this root."""
    _need()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(author))
        key.verify(bytes.fromhex(signature), digest("signature", root))
    except (InvalidSignature, ValueError):
        return False
    return True


def _need() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise MissingExtraError("cryptography", "proof") from None
