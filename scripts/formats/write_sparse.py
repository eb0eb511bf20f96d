"""Write a large PyTorch archive with torch.save that takes almost no disk: what is zero becomes a hole in the file.

    python scripts/formats/write_sparse.py OUT.pt LAYERS

The model is LAYERS gated feed-forward blocks of 2816 units and stream 1024 in float16: 17.3 MB a layer. The first 64
units of each matrix hold noise, all other weights are zero.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import torch

STREAM, HIDDEN, NOISY = 1024, 2816, 64
STEP = 1 << 20


class Sparse(io.RawIOBase):
    """A file that skips zeros instead of writing them, a MiB at a time."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb")
        self.zeros = bytes(STEP)

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: object) -> int:
        """Write, or seek over, all of `data`."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        for i in range(0, len(view), STEP):
            piece = view[i : i + STEP]
            if piece == self.zeros[: len(piece)]:
                self.file.seek(len(piece), 1)
            else:
                self.file.write(piece)
        return len(view)

    def close(self) -> None:
        """Give the file its length."""
        if not self.file.closed:
            self.file.truncate(self.file.tell())
            self.file.close()
        super().close()


def main(path: Path, n_layers: int) -> None:
    """Write the archive."""
    random, state = torch.Generator().manual_seed(0), {}
    for layer in range(n_layers):
        for name in ("gate_proj", "up_proj", "down_proj"):
            shape = (STREAM, HIDDEN) if name == "down_proj" else (HIDDEN, STREAM)
            weight = torch.from_numpy(np.zeros(shape, np.float16))  # numpy's untouched pages take no memory
            weight[:NOISY] = torch.randn(NOISY, shape[1], generator=random) * 0.02
            state[f"model.layers.{layer}.mlp.{name}.weight"] = weight
    with Sparse(path) as out:
        torch.save(state, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
