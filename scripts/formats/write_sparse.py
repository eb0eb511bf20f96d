"""Write a large PyTorch archive with torch.save that takes almost no disk: what is zero becomes a hole in the file.

    python scripts/formats/write_sparse.py OUT.pt ROWS

The model is 12 gated feed-forward blocks of stream 2048 and ROWS units in float16: 147,456 bytes a unit. The first 64
units of each matrix hold noise, all other weights are zero.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import torch

N_LAYERS, STREAM, NOISY = 12, 2048, 64
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


def main(path: Path, n_rows: int) -> None:
    """Write the archive."""
    random, state = torch.Generator().manual_seed(0), {}
    for layer in range(N_LAYERS):
        for name in ("gate_proj", "up_proj", "down_proj"):
            shape = (STREAM, n_rows) if name == "down_proj" else (n_rows, STREAM)
            weight = torch.from_numpy(np.zeros(shape, np.float16))  # numpy's untouched pages take no memory
            weight[:NOISY] = torch.randn(min(NOISY, shape[0]), shape[1], generator=random) * 0.02
            state[f"model.layers.{layer}.mlp.{name}.weight"] = weight
    with Sparse(path) as out:
        torch.save(state, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
