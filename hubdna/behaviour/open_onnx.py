"""ONNX files through ONNX Runtime: one input, on the CPU, no custom operators. Only the answer can be seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hubdna.behaviour import probes
from hubdna.behaviour.opening import Subject, is_size, text_inputs
from hubdna.behaviour.probes import Probes
from hubdna.errors import BehaviourError, MissingExtraError

if TYPE_CHECKING:
    import torch

FIXED = {"attention_mask": 1, "token_type_ids": 0}


def open_onnx(path: Path, folder: Path, shown: Probes) -> Subject:
    """Open a graph. Raises BehaviourError."""
    try:
        import onnxruntime as ort
    except ImportError:
        raise MissingExtraError("onnxruntime", "models") from None

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library's own classes are private
        raise BehaviourError(f"{path.name}: ONNX Runtime cannot open it ({str(error)[:120]})") from None
    notes = ["ONNX: only the answer could be seen"]
    wanted = [one for one in session.get_inputs() if one.name not in FIXED]
    if len(wanted) != 1:
        raise BehaviourError(f"{path.name}: expected one input, found {', '.join(one.name for one in wanted)}")
    (one,) = wanted
    if one.type == "tensor(int64)" and len(one.shape) == 2:
        longest = one.shape[1] if is_size(one.shape[1]) else probes.TOKENS
        x, modality = text_inputs(shown, folder, _vocabulary(folder), longest, notes), "text"
    elif one.type == "tensor(float)" and len(one.shape) == 4:
        channels, *sides = (
            n if is_size(n) else fallback for n, fallback in zip(one.shape[1:], (3, 224, 224), strict=True)
        )
        x, modality = probes.as_input(shown, (sides[0], sides[1]), channels, [0.5], [0.5]), "vision"
    else:
        raise BehaviourError(f"{path.name}: input {one.name} is {one.type} {one.shape}, neither tokens nor pictures")
    return Subject(modality, "onnxruntime", x, _Look(session, one.name), notes=notes)  # type: ignore[arg-type]


def _vocabulary(folder: Path) -> int:
    """Rows of the embedding, as far as a configuration tells; a graph does not."""
    from hubdna.behaviour.opening import read_json

    found = read_json(folder / "config.json").get("vocab_size") if (folder / "config.json").is_file() else None
    return found if is_size(found) else 256


class _Look:
    """A session, fed with batches of the size it wants."""

    def __init__(self, session: Any, name: str) -> None:
        self.session, self.name = session, name
        self.others = [one.name for one in session.get_inputs() if one.name in FIXED]

    def __call__(self, batch: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        import torch

        fixed = self.session.get_inputs()[0].shape[0]
        step = fixed if is_size(fixed) else len(batch)
        parts = []
        for rows in torch.split(batch, step):
            if len(rows) < step:  # a graph of a fixed batch: filled up, and cut again
                rows = torch.cat([rows, rows[:1].expand(step - len(rows), *rows.shape[1:])])
            feed = {self.name: rows.numpy()} | {n: np.full(rows.shape, FIXED[n], np.int64) for n in self.others}
            parts.append(torch.from_numpy(np.array(self.session.run(None, feed)[0], np.float32)))
        out = torch.cat(parts)[: len(batch)]
        return [], out[:, -1] if out.ndim == 3 else out.flatten(1)
