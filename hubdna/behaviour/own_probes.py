"""Probes of one's own: a data set or a folder -> at most 256 pictures or texts, with a digest of their own.

    own_probes --request, JSON--> a process (`sampling`) --a file of plain bytes--> own_probes --that file--> `child`

Data of strangers are read and decoded by a process with limits of memory and time, without a token; what comes back is
checked. A digest of what was drawn is part of the scheme, so that behaviours on other probes never compare. The network
learned from the shipped probes: for these there are plain measures, no vector and no probability.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hubdna.behaviour.probes import LETTERS, Probes, named
from hubdna.errors import BehaviourError, UsageError
from hubdna.records.behaviour import Modality

LEAST, MOST, SIDE = 16, 256, 224
"""Fewest and most probes; the longest side of a picture that is kept."""
SECONDS, MEMORY = 300.0, 4_000_000_000
"""For drawing them, beyond what the libraries take."""
MAX_FILE = 2 * MOST * SIDE * SIDE * 3
PASSED_ON = ("PATH", "LANG", "LC_ALL", "VIRTUAL_ENV", "PYTHONPATH", "LD_LIBRARY_PATH", "HF_ENDPOINT", "HTTPS_PROXY",
             "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")  # fmt: skip
QUIET = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1", "HF_HUB_DISABLE_XET": "1",
         "OMP_NUM_THREADS": "1", "USE_TORCH": "0", "USE_TF": "0", "USE_JAX": "0"}  # fmt: skip
_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?(@[\w.-]+)?", re.ASCII)
_SPLIT = re.compile(r"[\w.-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Source:
    """Where probes come from: `DATASET_OR_FOLDER[:split[:column]]`.

    Attributes:
        name: `org/name` or `org/name@revision` of a public data set on the Hub, or a path that starts with `.` or `/`.
        split: files whose path names it; empty for `train` where there is one, else for all.
        column: empty for the first that holds pictures, else for the first that holds text.
    """

    name: str
    split: str = ""
    column: str = ""

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return self.name.startswith((".", "/"))

    @classmethod
    def parse(cls, text: str) -> Source:
        """Read it as the command line has it. Raises UsageError."""
        if text.startswith((".", "/")) and Path(text).exists():
            return cls(text)
        name, _, rest = text.partition(":")
        split, _, column = rest.partition(":")
        made = cls(name, split, column)
        if not (made.is_local or (_NAME.fullmatch(name) and ".." not in name)) or not _SPLIT.fullmatch(split):
            raise UsageError(
                f"--probes {text!r}: expected org/name of a data set, or a path that starts with . or /, "
                "then :split and :column if you like"
            )
        if made.is_local and not Path(name).exists():
            raise UsageError(f"--probes {name}: there is no such file or folder")
        return made


@dataclass(frozen=True, slots=True, eq=False)
class OwnProbes:
    """Probes that were drawn.

    Attributes:
        name: what the user asked for.
        modality: pictures or texts; there are no others in it.
        shown: the probes.
        notes: what a reader should know: which column, what was left out.
    """

    name: str
    modality: Modality
    shown: Probes
    notes: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """How many there are, 16 to 256."""
        return self.shown.n(self.modality)

    @property
    def scheme(self) -> str:
        """As `probes.scheme`, by the digest of these. It is longer than that of the shipped ones, so never equal."""
        return named(self.modality, hashlib.sha256(as_bytes(self.shown)).hexdigest()[:16], self.n)

    def __str__(self) -> str:
        return f"{self.name} ({'; '.join(self.notes)})" if self.notes else self.name


def draw(text: str, endpoint: str | None = None, seconds: float = SECONDS, memory: int = MEMORY) -> OwnProbes:
    """Draw probes from a data set or a folder, in a process of its own.

    Args:
        text: `DATASET_OR_FOLDER[:split[:column]]`, as `Source.parse` reads it.
        endpoint: of the Hub; None as its client has it.
        seconds: that drawing may take.
        memory: bytes that it may take, beyond what the libraries need.

    Raises:
        UsageError: the text names nothing.
        BehaviourError: no probes could be drawn; the message says why.
    """
    source = Source.parse(text)
    with tempfile.TemporaryDirectory() as work:
        out = Path(work) / "probes.npy"
        name = str(Path(source.name).absolute()) if source.is_local else source.name
        request = {"name": name, "split": source.split, "column": source.column, "out": str(out), "memory": memory}
        told = _asked(request, _environment(work, source.is_local, endpoint), work, seconds)
        if "reason" in told:
            raise BehaviourError(f"--probes {text}: {str(told['reason'])[:300]}")
        try:
            shown = load(out)
        except (OSError, ValueError, TypeError) as error:
            raise BehaviourError(f"--probes {text}: what came back is not sound ({str(error)[:120]})") from None
    notes = told.get("notes")
    modality: Modality = "text" if shown.pictures is None else "vision"
    return OwnProbes(text, modality, shown, tuple(str(n)[:200] for n in notes) if isinstance(notes, list) else ())


def as_bytes(shown: Probes) -> bytes:
    """What a digest is made of: pictures with their shape, or texts."""
    if shown.pictures is not None:
        return repr(shown.pictures.shape).encode() + shown.pictures.tobytes()
    return json.dumps(shown.texts).encode()


def save(path: Path, shown: Probes) -> None:
    """Write probes as one array of bytes: pictures [n, h, w, 3], or JSON."""
    array = shown.pictures if shown.pictures is not None else np.frombuffer(json.dumps(shown.texts).encode(), np.uint8)
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def load(path: Path) -> Probes:
    """Read probes. Raises ValueError, TypeError or OSError for what are none."""
    if path.stat().st_size > MAX_FILE:
        raise ValueError(f"{path.stat().st_size} bytes, more than probes have ({MAX_FILE})")
    array = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    if array.dtype != np.uint8 or array.ndim not in (1, 4):
        raise ValueError(f"an array of {array.dtype} {array.shape}")
    if array.ndim == 4:
        n, high, wide, colours = array.shape
        if not (LEAST <= n <= MOST and 1 <= high <= SIDE and 1 <= wide <= SIDE and colours == 3):
            raise ValueError(f"pictures of shape {array.shape}")
        return Probes(array, None)
    texts = json.loads(array.tobytes())
    if not isinstance(texts, list) or not all(isinstance(one, str) and 0 < len(one) <= LETTERS for one in texts):
        raise TypeError(f"expected texts of 1 to {LETTERS} letters")
    if not LEAST <= len(texts) <= MOST:
        raise ValueError(f"{len(texts)} texts")
    return Probes(None, tuple(texts))


def _asked(request: dict[str, Any], environment: dict[str, str], work: str, seconds: float) -> dict[str, Any]:
    """What the process says; {"reason"} where it says nothing."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "hubdna.behaviour.sampling"], input=json.dumps(request).encode(), cwd=work,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, timeout=seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"reason": f"took longer than {seconds:g} s"}
    try:
        told = json.loads(done.stdout[-100_000:])
    except ValueError:
        return {"reason": f"the process that reads data ended with {done.returncode} and said nothing"}
    return told if isinstance(told, dict) else {"reason": "the process that reads data said nothing that makes sense"}


def _environment(work: str, is_local: bool, endpoint: str | None) -> dict[str, str]:
    made = (
        {name: os.environ[name] for name in PASSED_ON if name in os.environ} | QUIET | {"HOME": work, "HF_HOME": work}
    )
    if endpoint is not None:
        made["HF_ENDPOINT"] = endpoint
    return made | ({"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"} if is_local else {})
