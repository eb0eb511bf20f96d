"""A receipt is a folder. Here: its files, how they are written without loss, and how a stranger's are read.

    claim.json              what was fixed before the first step
    samples.bin             32 bytes for each sample of the data: its digest
    chain.jsonl             one line a stored state, in order; each holds the digest of the line before
    states/00000.safetensors    weights and optimiser state after interval 0, 1, ...; the first is the start
                            (00000.zst where the claim says that states are compressed)
    calibration.json        how far repetitions lie apart, measured by the author
    signature.json          the root over all of it, and the author's signature; its presence means: finished

No file names another file: names follow from numbers, so no path can lead out of the folder. Links, pipes, and any
file that is not in this list are refused. Every size is checked before it is read. Nothing here is a pickle, and
nothing here needs torch.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hubdna.errors import ReceiptError
from hubdna.proof.claim import MAX_TEXT, Claim, parse_claim
from hubdna.roots import N_BYTES, canonical, digest, file_digest, is_hex, merkle_root

CLAIM, SAMPLES, CHAIN, STATES = "claim.json", "samples.bin", "chain.jsonl", "states"
CALIBRATION, SIGNATURE = "calibration.json", "signature.json"
FILES = frozenset({CLAIM, SAMPLES, CHAIN, STATES, CALIBRATION, SIGNATURE})
MAX_JSON, MAX_LINE, MAX_STATE = 1_000_000, 10_000, 200 * 10**9
"""Bytes of a JSON file, of a line of the chain, of a state file (hashed piece by piece, not loaded)."""
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Link:
    """One stored state in the chain.

    Attributes:
        index: 0 for the start; `step` is the number of training steps before it.
        state: digest of the state's file; `weights` is the root over its weights alone. Hexadecimal, like all here.
        order: digest of what the interval before it was trained on; of the start, of nothing.
        moved: l2 distance of its weights from those of the state before.
        environment: versions and device, where they differ from those of the link before; else empty.
        previous: digest of the link before; of the start, of the claim.
    """

    index: int
    step: int
    state: str
    weights: str
    order: str
    moved: float
    environment: dict[str, str]
    previous: str

    def digest(self) -> str:
        """What the next link, or the signature, holds of this one."""
        return digest("link", canonical(asdict(self))).hex()


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt whose files were read and hold what they should; of the states only names and sizes are known yet.

    Attributes:
        samples: uint8[n_samples, 32].
        root: hexadecimal, computed from the files; None when the training is not finished.
        signature: hexadecimal, likewise.
        calibration: metric -> {"noise", "reference"}; empty when not finished.
    """

    folder: Path
    claim: Claim
    links: tuple[Link, ...]
    samples: NDArray[np.uint8]
    calibration: dict[str, dict[str, float]]
    root: str | None
    signature: str | None

    @property
    def finished(self) -> bool:
        """Whether it was signed."""
        return self.signature is not None


def state_name(index: int, storage: str = "plain") -> str:
    """Where a state is in the folder."""
    return f"{STATES}/{index:05d}.{'safetensors' if storage == 'plain' else 'zst'}"


def root_of(claim: Claim, head: str, calibration: bytes) -> bytes:
    """What is signed: claim, data, all states and their order, and the calibration. All else follows from these."""
    return digest("receipt", claim.digest(), bytes.fromhex(head), digest("calibration", calibration))


def open_receipt(folder: Path | str, *, states: bool = True) -> Receipt:
    """Read a receipt's small files, and check that they belong together.

    Args:
        folder: the receipt.
        states: whether its state files have to be there; a receipt that is still on its way has none yet.

    Raises:
        ReceiptError: something is absent, too large, not in its form, or not what the rest commits to.
    """
    folder = Path(folder)
    _only_known_files(folder)
    claim = read_claim(folder)
    samples = np.frombuffer(read(folder, SAMPLES, claim.n_samples * N_BYTES), np.uint8)
    if samples.size != claim.n_samples * N_BYTES:
        raise ReceiptError(
            f"{SAMPLES}: expected {claim.n_samples} digests of {N_BYTES} bytes, found {samples.size} bytes"
        )
    samples = samples.reshape(claim.n_samples, N_BYTES)
    if merkle_root([row.tobytes() for row in samples]).hex() != claim.data:
        raise ReceiptError(f"{SAMPLES}: its Merkle root is not the claim's")
    links = tuple(read_chain(folder, claim))
    if states:
        _only_known_states(folder, len(links), claim.recipe.storage)
    if not (folder / SIGNATURE).exists():
        return Receipt(folder, claim, links, samples, {}, None, None)
    return Receipt(folder, claim, links, samples, *read_signature(folder, claim, links))


def read_signature(folder: Path, claim: Claim, links: Sequence[Link]) -> tuple[dict[str, dict[str, float]], str, str]:
    """Calibration, root and signature; whether the author's key made it is not checked. Raises ReceiptError."""
    if len(links) != claim.recipe.n_intervals + 1:
        raise ReceiptError(f"{CHAIN}: expected {claim.recipe.n_intervals + 1} states, found {len(links)}")
    signed, raw = _json(folder, SIGNATURE), read(folder, CALIBRATION, MAX_JSON)
    root = root_of(claim, links[-1].digest(), raw).hex()
    if not isinstance(signed, dict) or signed.keys() != {"root", "signature"} or not is_hex(signed["signature"], 64):
        raise ReceiptError(f"{SIGNATURE}: expected root and signature, hexadecimal")
    if signed["root"] != root:
        raise ReceiptError(f"{SIGNATURE}: signs another root than that of these files")
    return parse_calibration(raw), root, signed["signature"]


def read_claim(folder: Path) -> Claim:
    """What was fixed before the first step. Raises ReceiptError."""
    return parse_claim(_json(folder, CLAIM))


def read_chain(folder: Path, claim: Claim) -> Iterator[Link]:
    """The links, each checked against the one before. Raises ReceiptError."""
    raw = read(folder, CHAIN, (claim.recipe.n_intervals + 1) * MAX_LINE)
    lines = raw.split(b"\n")
    if lines.pop():
        raise ReceiptError(f"{CHAIN}: its last line is cut short")
    if not 0 < len(lines) <= claim.recipe.n_intervals + 1:
        raise ReceiptError(f"{CHAIN}: {len(lines)} states, the claim has room for {claim.recipe.n_intervals + 1}")
    previous = claim.digest().hex()
    for index, line in enumerate(lines):
        link = _link(line, index)
        if link.previous != previous:
            raise ReceiptError(f"{CHAIN}: link {index} does not follow from the one before it")
        if link.step != min(index * claim.recipe.every, claim.recipe.steps):
            raise ReceiptError(f"{CHAIN}: link {index} stands at step {link.step}, the recipe puts it elsewhere")
        previous = link.digest()
        yield link


def _link(line: bytes, index: int) -> Link:
    where = f"{CHAIN}: link {index}"
    found = _parse(line, where)
    try:
        link = Link(**found)
        fits = link.index == index and _fits(link) and canonical(found) == line
    except (TypeError, ValueError, AttributeError) as error:
        raise ReceiptError(f"{where}: not what a link holds: {str(error)[:80]}") from None
    if not fits:
        raise ReceiptError(f"{where}: a value is not of its kind, or not written as it would be")
    return link


def _fits(link: Link) -> bool:
    """Whether every field is of its kind; raises what Python raises when it is not even close."""
    facts = [text for pair in link.environment.items() for text in pair]
    return (
        type(link.index) is type(link.step) is int
        and type(link.moved) is float
        and 0 <= link.moved < float("inf")
        and all(map(is_hex, (link.state, link.weights, link.order, link.previous)))
        and len(facts) <= 40
        and all(isinstance(text, str) and len(text) <= MAX_TEXT and text.isprintable() for text in facts)
    )


def parse_calibration(raw: bytes) -> dict[str, dict[str, float]]:
    """Metric -> {"noise": largest, "reference": smallest distance}. Raises ReceiptError."""
    found = _parse(raw, CALIBRATION)
    fits = isinstance(found, dict) and 0 < len(found) <= 10 and all(
        isinstance(row, dict)
        and row.keys() == {"noise", "reference"}
        and all(type(v) is float and 0 <= v < float("inf") for v in row.values())
        for row in found.values()
    )  # fmt: skip
    if not fits:
        raise ReceiptError(f"{CALIBRATION}: expected noise and reference, both numbers >= 0, for each metric")
    return {metric: dict(row) for metric, row in found.items()}


def check_states(receipt: Receipt, links: Iterable[Link] | None = None) -> None:
    """Hash state files, all unless told which, against the chain. Raises ReceiptError."""
    for link in receipt.links if links is None else links:
        name = state_name(link.index, receipt.claim.recipe.storage)
        if file_digest(chunks(receipt.folder, name, MAX_STATE)).hex() != link.state:
            raise ReceiptError(f"{name}: its bytes are not those that the chain commits to")


def read(folder: Path, name: str, most: int) -> bytes:
    """All of one small file, at most `most` bytes. Raises ReceiptError."""
    return b"".join(chunks(folder, name, most))


def chunks(folder: Path, name: str, most: int) -> Iterator[bytes]:
    """A regular file of the receipt, piece by piece; links and pipes are not followed. Raises ReceiptError."""
    try:
        handle = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise ReceiptError(f"{name}: {error.strerror} (a receipt holds plain files, no links)") from None
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise ReceiptError(f"{name}: not a plain file")
        if about.st_size > most:
            raise ReceiptError(f"{name}: {about.st_size} bytes, at most {most} can be right: not read")
        while piece := file.read(CHUNK):
            yield piece


def write(folder: Path, name: str, data: bytes) -> None:
    """Temporary file, fsync, rename: a crash leaves the old bytes or the new ones."""
    place = folder / name
    temporary = place.with_name(place.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(place)


def append_link(folder: Path, link: Link) -> None:
    """One line at the end of the chain; on the disk before this returns."""
    with (folder / CHAIN).open("ab") as file:
        file.write(canonical(asdict(link)) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _json(folder: Path, name: str) -> Any:
    """A JSON file that is written in the one way there is: two files never say the same."""
    raw = read(folder, name, MAX_JSON)
    found = _parse(raw, name)
    try:
        fits = canonical(found) == raw
    except ValueError:
        fits = False
    if not fits:
        raise ReceiptError(f"{name}: not canonical JSON (sorted keys, no spaces, ASCII, finite numbers)")
    return found


def _parse(raw: bytes, where: str) -> Any:
    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(found)) != len(found):
            raise ReceiptError(f"{where}: a key appears twice")
        return dict(found)

    try:
        return json.loads(raw, object_pairs_hook=pairs)
    except (ValueError, RecursionError) as error:
        raise ReceiptError(f"{where}: not JSON: {str(error)[:80]}") from None


def _only_known_files(folder: Path) -> None:
    try:
        found = {entry.name: entry for entry in os.scandir(folder)}
    except OSError as error:
        raise ReceiptError(f"{folder}: not a receipt's folder: {error.strerror}") from None
    if strangers := sorted(found.keys() - FILES):
        raise ReceiptError(f"{folder}: holds {strangers[0][:80]!r}, which is no part of a receipt")
    if STATES not in found or not found[STATES].is_dir(follow_symlinks=False):
        raise ReceiptError(f"{folder}: expected a folder {STATES}, not a link")


def _only_known_states(folder: Path, n: int, storage: str) -> None:
    expected = {state_name(index, storage).partition("/")[2] for index in range(n)}
    found = {entry.name for entry in os.scandir(folder / STATES)}
    if found != expected:
        name = sorted(found ^ expected)[0]
        what = "is no part of this receipt" if name in found else "is absent"
        raise ReceiptError(f"{STATES}/{name[:80]} {what}")
