"""Where a model runs: on the CPU, or on a GPU; in float32, or in bfloat16. What comes back is float32 on the CPU.

The two devices add in another order, and agree as batches of two sizes do (`relations.TOLERANCE`): TF32, which drops
13 bits of every factor, is switched off. bfloat16 rounds the weights too, and moves a behaviour further, which a note
says. Drivers of GPUs reserve more address space than a machine has memory, so the limit on it holds while a model is
opened, and gives way to one on the GPU's own memory when it moves there. In the child process only (`child`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from hubdna.errors import BehaviourError

if TYPE_CHECKING:
    import torch

    from hubdna.behaviour.opening import Look, Subject

DEVICES, DTYPES = ("auto", "cpu", "cuda"), ("float32", "bfloat16")
BATCH = 32
"""Probes at once on a CPU; a GPU takes all of them, and fewer where its memory does not do."""


def chosen(asked: str) -> str:
    """What one of `DEVICES` means here: "cpu" or "cuda". Raises BehaviourError: a GPU was asked for, there is none."""
    import torch

    there = asked != "cpu" and torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise BehaviourError("device cuda: PyTorch sees no GPU here; expected one, or device cpu")
    return "cuda" if there else "cpu"


def bound(memory: int) -> None:
    """Let the process take so many bytes of the GPU's memory."""
    import torch

    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, memory / total))


def placed(subject: Subject, device: str, dtype: str) -> Subject:
    """A subject whose model runs on a device, in a type. A graph of ONNX stays where it is."""
    import torch

    if device == "cpu" and dtype == "float32":
        return subject
    if subject.module is None:
        return replace(subject, notes=[*subject.notes, "ONNX runs on the CPU, in float32"])
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    kind = getattr(torch, dtype)
    subject.module.to(device, kind)
    where = f"ran on {torch.cuda.get_device_name()}" if device == "cuda" else ""
    told = [where] * bool(where) + ["ran in bfloat16, which moves a behaviour a little"] * (dtype != "float32")

    def look(rows: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        states, answer = subject.look(rows.to(device, kind if rows.is_floating_point() else rows.dtype))
        return [state.float().cpu() for state in states], None if answer is None else answer.float().cpu()

    return replace(subject, look=look, notes=[*subject.notes, *told])


def parts(look: Look, inputs: torch.Tensor, batch: int) -> Iterator[tuple[list[torch.Tensor], torch.Tensor | None]]:
    """What a model computes, batch by batch; a batch that does not fit into memory is halved, down to one probe."""
    import torch

    begun = 0
    while begun < len(inputs):
        try:
            seen = look(inputs[begun : begun + batch])
        except (MemoryError, RuntimeError) as error:
            if batch == 1 or not is_short(error):
                raise
            seen = None
        if seen is not None:
            begun += batch
            yield seen
            continue
        batch //= 2
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.empty_cache()  # by now the error is gone, and what it held


def is_short(error: Exception) -> bool:
    """Whether an error of a library says that memory ran out."""
    said = str(error)
    return isinstance(error, MemoryError) or any(s in said for s in ("allocate", "bad_alloc", "out of memory"))
