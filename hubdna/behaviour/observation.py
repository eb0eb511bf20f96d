"""A folder -> its behaviour, or the reason why there is none: strangers' models run in processes of their own.

A model may be larger than the machine, may never end, may crash the library that reads it. None of this may take the
batch with it, so each is opened by a process of its own (`child`), with limits of memory and time, without network or
token, and what comes back is checked before it is believed.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from hubdna.behaviour import probes
from hubdna.behaviour.codec import ARRAYS, checked
from hubdna.behaviour.devices import DEVICES, DTYPES
from hubdna.behaviour.own_probes import OwnProbes, save
from hubdna.errors import BehaviourError, UsageError
from hubdna.records.behaviour import Behaviour

PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "LD_LIBRARY_PATH",
             "CUDA_VISIBLE_DEVICES")  # fmt: skip
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "USE_TF": "0",
           "TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}  # fmt: skip
MODALITIES = ("text", "vision")
MAX_TOLD = 100_000  # bytes of an answer
GRACE = 120.0  # seconds for the process at hand to import its libraries, and to notice that a model's time is over


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model may take.

    Attributes:
        seconds: for opening and looking.
        memory: bytes beyond what the libraries need themselves; on a GPU of its memory.
        threads: of computing, on the CPU.
        batch: probes at once; None for 32 on a CPU, all on a GPU. Halved where they do not fit.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        dtype: what the model computes in: "float32" or "bfloat16".

    Raises:
        UsageError: a device, a type or a batch that there is not.
    """

    seconds: float = 300.0
    memory: int = 16_000_000_000
    threads: int = 1
    batch: int | None = None
    device: str = "auto"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.device not in DEVICES or self.dtype not in DTYPES or (self.batch is not None and self.batch < 1):
            raise UsageError(
                f"device {self.device!r}, dtype {self.dtype!r}, batch {self.batch}: expected one of "
                f"{', '.join(DEVICES)}, one of {', '.join(DTYPES)}, and at least one probe"
            )


DEFAULT = Limits()


class Observer:
    """Shows models the probes, one after the other. Use it as a context; it keeps one process at hand.

    Args:
        limits: what each model may take.
        own: probes of one's own, in place of the shipped ones.
    """

    def __init__(self, limits: Limits = DEFAULT, own: OwnProbes | None = None) -> None:
        self.limits, self.own = limits, own
        self._work = tempfile.TemporaryDirectory()
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Observer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()
        self._work.cleanup()

    def observe(self, folder: str | Path, limits: Limits | None = None) -> Behaviour:
        """Show a local model all probes.

        Args:
            folder: a local snapshot: config.json and safetensors (of transformers or timm), or ONNX.
            limits: for this one, if it has its own.

        Raises:
            BehaviourError: the model was not seen; the message says which and why.
        """
        path = Path(folder).absolute()
        if not path.is_dir():
            raise BehaviourError(f"{folder}: expected a folder with a model")
        out = Path(self._work.name) / "seen"
        out.unlink(missing_ok=True)
        limits = limits or self.limits
        request = {"folder": str(path), "out": str(out), "probes": self._handed()}
        told = self._ask(request | asdict(limits), limits.seconds + GRACE)
        if "reason" in told:
            raise BehaviourError(f"{folder}: {told['reason']}")
        try:
            return _believed(out, told, self.own)
        except (ValueError, KeyError, TypeError, OSError, EOFError) as error:
            raise BehaviourError(f"{folder}: what came back is not sound ({error})") from None

    def _handed(self) -> str | None:
        """The file with the probes of one's own, written anew: a model's process could have changed it."""
        if self.own is None:
            return None
        path = Path(self._work.name) / "probes"
        save(path, self.own.shown)
        return str(path)

    def _ask(self, request: dict[str, Any], patience: float) -> dict[str, Any]:
        """Send one request, and return the answer; {"reason"} if none came."""
        child = self._child or self._start()
        assert child.stdin is not None
        try:
            child.stdin.write(json.dumps(request).encode() + b"\n")
            child.stdin.flush()
            told = json.loads(self._line(child, patience))
        except (OSError, ValueError, TimeoutError) as error:
            self._stop()
            return {"reason": f"the process that opens models broke down ({type(error).__name__})"}
        return told if isinstance(told, dict) else {"reason": "no answer that makes sense"}

    def _line(self, child: subprocess.Popen[bytes], seconds: float) -> bytes:
        """The next line that the process writes. Raises TimeoutError, EOFError as OSError."""
        assert child.stdout is not None
        with selectors.DefaultSelector() as waiting:
            waiting.register(child.stdout, selectors.EVENT_READ)
            if not waiting.select(seconds):
                raise TimeoutError
        return child.stdout.readline(MAX_TOLD)

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ} | OFFLINE
        environment |= {"OMP_NUM_THREADS": str(self.limits.threads), "HF_HOME": self._work.name}
        self._child = subprocess.Popen(
            [sys.executable, "-m", "hubdna.behaviour.child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env=environment, cwd=self._work.name, start_new_session=True,
        )  # fmt: skip
        return self._child

    def _stop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None


def observe(folder: str | Path, limits: Limits = DEFAULT) -> Behaviour:
    """Show one local model all probes; see `Observer.observe`. Raises BehaviourError."""
    with Observer(limits) as observer:
        return observer.observe(folder)


def _believed(out: Path, told: dict[str, Any], own: OwnProbes | None = None) -> Behaviour:
    """Check what a child wrote. Raises ValueError and its like."""
    with out.open("rb") as file:
        arrays = {name: np.load(file, allow_pickle=False) for name in ARRAYS}
    modality = told["modality"]
    if modality not in MODALITIES or (own is not None and modality != own.modality):
        raise ValueError(f"modality {str(modality)[:20]!r}")
    scheme, n = (probes.scheme(modality), probes.N_PROBES[modality]) if own is None else (own.scheme, own.n)
    seen = checked(arrays, told | {"scheme": scheme})
    if len(seen.top) != n:
        raise ValueError(f"{len(seen.top)} probes of {n}")
    return seen
