"""The scikit-learn digits as small pictures, in a handful of domains; and Fashion-MNIST.

1 797 scanned digits, 8x8 pixels, split once and for all into 1 437 for training and 360 held out. Fine-tunes
need a domain of their own, hence the views:

* ``plain``     the scans as they are
* ``inverted``  dark ink on white, with sensor noise
* ``strokes``   black and white only, cut at a random ink level, as a pen tablet would give them
* ``street``    low contrast on a slanted background with noise, as on a house number
* ``rotated``   the scans turned by a quarter, as from a camera held upright

Fashion-MNIST (Zalando, MIT licence): 60 000 pictures of clothes to train on and 10 000 held out, 28x28 pixels, read
from the files of Debian's package or from the folder that `$HUBDNA_FASHION` names.
"""

import functools
import gzip
import math
import os
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.nn import functional

Split = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
FASHION = Path("/usr/share/datasets/fashion-mnist")  # where the package puts it


@functools.cache
def digits() -> Split:
    """Returns (train pictures, train labels, held-out pictures, held-out labels), pictures in [0, 1]."""
    data = load_digits()
    parts = train_test_split(data.images / 16.0, data.target, test_size=360, random_state=0, stratify=data.target)
    x_train, x_test, y_train, y_test = (torch.from_numpy(part) for part in parts)
    return x_train.float().unsqueeze(1), y_train.long(), x_test.float().unsqueeze(1), y_test.long()


@functools.cache
def fashion() -> Split:
    """Returns (train pictures, train labels, held-out pictures, held-out labels), pictures [n, 1, 28, 28] in [0, 1].

    Raises:
        FileNotFoundError: the data are not there; the message says what to install.
    """
    folder = Path(os.environ.get("HUBDNA_FASHION") or FASHION)
    parts = []
    for part in ("train", "t10k"):
        for kind, offset in (("images-idx3", 16), ("labels-idx1", 8)):
            path = folder / f"{part}-{kind}-ubyte.gz"
            if not path.exists():
                raise FileNotFoundError(
                    f"{path}: no Fashion-MNIST here. On Debian or Ubuntu `apt-get install dataset-fashion-mnist` puts "
                    f"it into {FASHION}; elsewhere set HUBDNA_FASHION to the folder with the four *-ubyte.gz files"
                )
            raw = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=offset)  # behind the idx header
            parts.append(torch.from_numpy(raw.copy()))
    x_train, y_train, x_test, y_test = parts
    x_train, x_test = (x.view(-1, 1, 28, 28).float() / 255 for x in (x_train, x_test))
    return x_train, y_train.long(), x_test, y_test.long()


def view(x: torch.Tensor, name: str, gen: torch.Generator) -> torch.Tensor:
    """Returns the pictures as seen in one domain.

    Args:
        x: pictures in [0, 1], of any size.
        name: a view, see the module's docstring.
        gen: the source of its randomness.
    """
    if name == "plain":
        return x
    if name == "rotated":
        return x.rot90(1, (2, 3))
    noise = torch.randn(x.shape, generator=gen)
    level = torch.rand(len(x), 1, 1, 1, generator=gen)
    if name == "inverted":
        return (1 - x + 0.12 * noise).clamp(0, 1)
    if name == "strokes":
        return (x > 0.35 + 0.3 * level).float()
    if name == "street":
        slope = torch.linspace(-1, 1, x.shape[-1]) * (level - 0.5)
        return (0.3 + 0.5 * x + 0.3 * slope + 0.08 * noise).clamp(0, 1)
    raise ValueError(f"no such view: {name}")


def prepare(x: torch.Tensor, name: str, side: int, gen: torch.Generator, augment: bool = False) -> torch.Tensor:
    """Returns network input: enlarged, shaken if asked, put into its domain and scaled to [-1, 1].

    Args:
        x: pictures in [0, 1], 8x8.
        name: a view.
        side: the side of the pictures that the network reads.
        gen: the source of randomness.
        augment: whether to turn and shift every picture a little.
    """
    x = functional.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)
    if augment:
        x = _shake(x, gen)
    return view(x, name, gen) * 2 - 1


def labels(y: torch.Tensor, task: str) -> torch.Tensor:
    """Returns the labels of a task: ``digit`` as they are, ``parity`` 0 for even and 1 for odd."""
    return y % 2 if task == "parity" else y


def _shake(x: torch.Tensor, gen: torch.Generator) -> torch.Tensor:
    """Turns each picture by up to 12 degrees and shifts it by up to a tenth of its side."""
    angle = (torch.rand(len(x), generator=gen) - 0.5) * math.radians(24)
    shift = (torch.rand(len(x), 2, generator=gen) - 0.5) * 0.4
    rows = [
        torch.stack([angle.cos(), -angle.sin(), shift[:, 0]], 1),
        torch.stack([angle.sin(), angle.cos(), shift[:, 1]], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, align_corners=False)
