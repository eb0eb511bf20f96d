"""The processes that open strangers' models: `python -m hubdna.behaviour.child`, started by `observation`.

    observation  --request, a line of JSON-->  this process  --fork-->  one process a model
                 <--answer, a line of JSON--                 <--file--

Importing the libraries takes many times longer than running a small model, so one process imports them and opens
nothing; every model gets a fork of it, with a limit of memory, that is killed when its time is over. None of them has
a token or a network. What was seen goes to a file of plain arrays.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

POLL = 0.01  # seconds
PRELOADED = (
    "torch", "safetensors.torch", "tokenizers", "transformers.modeling_utils", "transformers.generation.utils",
    "transformers.models.auto.modeling_auto", "timm",
)  # fmt: skip


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Open, look, write. Returns what the parent is told: {"loader", ...} or {"reason"}."""
    from hubdna.behaviour.devices import is_short
    from hubdna.errors import HubdnaError

    try:
        subject, arrays, seconds = _seen(request)
    except HubdnaError as error:
        return {"reason": str(error)}
    except Exception as error:  # whatever a library says of a stranger's files
        if is_short(error):
            return {"reason": f"out of memory: more than the {request['memory'] / 1e9:g} GB it was given"}
        return {"reason": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
    _save(Path(request["out"]), arrays)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    told = {"modality": subject.modality, "loader": subject.loader, "notes": subject.notes}
    return told | {"seconds": seconds, "peak": peak}


def _seen(request: dict[str, Any]) -> tuple[Any, Any, float]:
    """The opened model, what was seen of it, and the seconds that looking took. Raises whatever a library raises."""
    import torch

    from hubdna.behaviour.devices import BATCH, bound, chosen, placed
    from hubdna.behaviour.opening import open_subject
    from hubdna.behaviour.own_probes import load
    from hubdna.behaviour.relations import look

    torch.set_num_threads(request["threads"])
    device = chosen(request["device"])
    limit(request["memory"])
    shown = load(Path(request["probes"])) if request["probes"] else None
    subject = open_subject(Path(request["folder"]), shown)
    if device == "cuda":
        unlimit()
        bound(request["memory"])
    subject = placed(subject, device, request["dtype"])
    batch = request["batch"] or (BATCH if device == "cpu" else len(subject.inputs))
    begun = time.perf_counter()
    arrays = look(subject, batch)
    return subject, arrays, time.perf_counter() - begun


def _save(out: Path, arrays: Any) -> None:
    import numpy as np

    with out.open("wb") as file:
        for array in arrays:
            np.save(file, array, allow_pickle=False)


def limit(memory: int) -> None:
    """Lets the process take so many bytes of address space beyond what the libraries have taken already."""
    if sys.platform != "linux":
        return
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = taken + memory
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def unlimit() -> None:
    """Takes the limit back."""
    if sys.platform == "linux":
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Fork for one model, wait for it, and say how it ended."""
    report = Path(request["out"] + ".json")
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            os.setpgid(0, 0)
            report.write_text(json.dumps(run(request)), encoding="utf-8")
            code = 0
        os._exit(code)
    status = _wait(child, request["seconds"])
    if status is None:
        return {"reason": f"took longer than {request['seconds']:g} s"}
    if os.WIFSIGNALED(status):
        return {"reason": f"its process died of {signal.Signals(os.WTERMSIG(status)).name}"}
    try:
        found = json.loads(report.read_bytes())
    except (OSError, ValueError):
        return {"reason": f"its process ended with {os.waitstatus_to_exitcode(status)} and said nothing"}
    return found if isinstance(found, dict) else {"reason": "its process said nothing that makes sense"}


def _wait(child: int, seconds: float) -> int | None:
    """The status a process ended with; None if it had to be killed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(POLL)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.kill(child, signal.SIGKILL)  # it is not reaped yet, so the number is still its own
    os.waitpid(child, 0)
    return None


def main() -> None:
    """Import the libraries, then answer requests until there are no more."""
    told, sys.stdout = sys.stdout, sys.stderr
    for module in PRELOADED:
        with contextlib.suppress(ImportError):
            import_module(module)
    for line in sys.stdin:
        told.write(json.dumps(serve(json.loads(line))) + "\n")
        told.flush()


if __name__ == "__main__":
    main()
