"""Domains of one task, for masks: pictures [n, 3, side, side] in [-1, 1] whose classes mean the same in all of them.

Ten digits:

* ``pen``          the scans of scikit-learn, 8x8 pixels, enlarged
* ``pen-blend``    the same, each blended into a piece of a photograph (|photo - digit|, as MNIST-M is made)
* ``fonts``        digits of the machine's fonts, of many sizes, places and slants
* ``fonts-blend``  the same, blended

Ten kinds of clothes:

* ``fashion``         Fashion-MNIST
* ``fashion-blend``   the same, blended
* ``fashion-invert``  dark on light

Photographs are the two that scikit-learn ships. Fonts are those under /usr/share/fonts that have ten digits of their
own; a run says how many. Scans and clothes are split before anything is made of them; digits of fonts are drawn, then
split, so that a font may be on both sides.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from images import digits, fashion
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_sample_images
from torch.nn import functional

FONTS = Path("/usr/share/fonts")
N_FONT_DIGITS, N_FASHION = 3600, (6000, 1500)
TASKS = {
    "digits": ("pen", "pen-blend", "fonts", "fonts-blend"),
    "clothes": ("fashion", "fashion-blend", "fashion-invert"),
}
BACKGROUNDS = {"pen": 4, "fonts": 2, "fashion": 1}
"""Photographs behind each training picture: small sets are shown on several."""


@dataclass(frozen=True)
class Domain:
    """Pictures of one domain, split."""

    x: torch.Tensor
    y: torch.Tensor
    held_x: torch.Tensor
    held_y: torch.Tensor


@functools.cache
def domain(name: str, side: int = 24) -> Domain:
    """One of the domains above. Raises FileNotFoundError when its pictures or fonts are not on this machine."""
    kind, _, how = name.partition("-")
    x, y, held_x, held_y = {"pen": _pen, "fonts": _fonts, "fashion": _fashion}[kind](side)
    draw = torch.Generator().manual_seed(7)
    if how == "blend":
        times = BACKGROUNDS[kind]
        x, y = blended(x.repeat(times, 1, 1, 1), draw), y.repeat(times)
        held_x = blended(held_x, draw)
    elif how == "invert":
        x, held_x = 1 - x, 1 - held_x
    elif how:
        raise ValueError(f"no such domain: {name}")
    return Domain(x * 2 - 1, y, held_x * 2 - 1, held_y)


def blended(x: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """Pictures in [0, 1], each taken from a random piece of a photograph."""
    photos = [torch.from_numpy(p.copy()).permute(2, 0, 1).float() / 255 for p in load_sample_images().images]
    side, made = x.shape[-1], []
    for picture in x:
        photo = photos[int(torch.randint(len(photos), (1,), generator=draw))]
        top, left = (int(torch.randint(size - side, (1,), generator=draw)) for size in photo.shape[1:])
        made.append((photo[:, top : top + side, left : left + side] - picture).abs())
    return torch.stack(made)


def fonts_with_digits() -> list[Path]:
    """Fonts that draw ten digits, all of them other than what they draw for a character that they lack."""
    found = [path for ending in ("ttf", "otf") for path in sorted(FONTS.rglob(f"*.{ending}")) if _has_digits(path)]
    if not found:
        raise FileNotFoundError(f"{FONTS}: no fonts here; on Debian `apt-get install fonts-dejavu fonts-liberation`")
    return found


def _has_digits(path: Path) -> bool:
    try:
        font = ImageFont.truetype(path, 32)
        drawn = [bytes(font.getmask(sign)) for sign in ("\uffff", *"0123456789")]
    except OSError:
        return False
    return len(set(drawn)) == 11 and all(drawn[1:])


def _pen(side: int) -> tuple[torch.Tensor, ...]:
    x, y, held_x, held_y = digits()
    return _enlarged(x, side), y, _enlarged(held_x, side), held_y


def _fashion(side: int) -> tuple[torch.Tensor, ...]:
    x, y, held_x, held_y = fashion()
    chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(7))[: N_FASHION[0]]
    n = N_FASHION[1]
    return _enlarged(x[chosen], side), y[chosen], _enlarged(held_x[:n], side), held_y[:n]


def _fonts(side: int) -> tuple[torch.Tensor, ...]:
    random, fonts = np.random.default_rng(0), fonts_with_digits()
    pictures = [_glyph(random, fonts, index % 10, side) for index in range(N_FONT_DIGITS)]
    x, y = torch.from_numpy(np.stack(pictures))[:, None].repeat(1, 3, 1, 1), torch.arange(N_FONT_DIGITS) % 10
    order = torch.from_numpy(random.permutation(N_FONT_DIGITS))
    x, y, cut = x[order], y[order], N_FONT_DIGITS * 5 // 6
    return x[:cut], y[:cut], x[cut:], y[cut:]


def _glyph(random: np.random.Generator, fonts: list[Path], digit: int, side: int) -> np.ndarray:
    """One digit, drawn four times as large and made smaller: float32[side, side] in [0, 1]."""
    font, large = ImageFont.truetype(fonts[random.integers(len(fonts))], int(random.integers(44, 72))), 4 * side
    left, top, right, bottom = font.getbbox(str(digit))
    glyph = Image.new("L", (int(right - left) + 2, int(bottom - top) + 2))
    ImageDraw.Draw(glyph).text((1 - left, 1 - top), str(digit), fill=255, font=font)
    height = random.uniform(0.75, 1.0) * large
    width = min(large, height * glyph.width / glyph.height * random.uniform(0.9, 1.3))
    glyph = glyph.resize((max(8, int(width)), int(height)), Image.Resampling.BILINEAR)
    page = Image.new("L", (large, large))
    place = (large - glyph.width) / 2 + random.integers(-6, 7), (large - glyph.height) * random.uniform(0, 1)
    page.paste(glyph, (int(place[0]), int(place[1])))
    turned = page.rotate(random.uniform(-10, 10), resample=Image.Resampling.BILINEAR)
    return np.asarray(turned.resize((side, side), Image.Resampling.LANCZOS), np.float32) / 255


def _enlarged(x: torch.Tensor, side: int) -> torch.Tensor:
    return functional.interpolate(x, size=(side, side), mode="bilinear", align_corners=False).repeat(1, 3, 1, 1)
