"""Numbers of 1 to 8 bits in bytes, and the 4-bit floats.

Every layout but HQQ and AWQ packs a row as one little-endian stream of bits: value i takes bits i*b .. i*b+b-1, bit 0
is the lowest of the first byte. Words of 32 bits make the same stream, since they are stored lowest byte first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)
"""Sign, two bits of exponent, one of mantissa (E2M1): OCP Microscaling Formats 1.0, section 5.3.3."""


def unpack(data: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Split the last axis, bytes of a stream, into as many whole values of `bits` bits as it holds."""
    if bits == 8:
        return data
    if 8 % bits == 0:
        shifts = np.arange(0, 8, bits, dtype=np.uint8)
        values: NDArray[np.uint8] = (data[..., None] >> shifts) & np.uint8((1 << bits) - 1)
        return values.reshape(*data.shape[:-1], data.shape[-1] * (8 // bits))
    stream = np.unpackbits(data, axis=-1, bitorder="little")
    n = stream.shape[-1] // bits
    split = stream[..., : n * bits].reshape(*data.shape[:-1], n, bits)
    return np.packbits(split, axis=-1, bitorder="little")[..., 0]
