"""How states lie on the disk; chosen when a training is recorded, and part of what is signed.

    plain   safetensors: exactly the state, readable by anybody
    zstd    exactly the state: its bits less those of the state before (XOR), in planes of bytes, compressed by zstd
    bf16    half of that: weights as bfloat16 differences from the state before, what the optimiser keeps as
            bfloat16; then in planes and compressed, too

With bf16 *the training goes on from the rounded state*: what is stored is where the next interval starts, and a replay,
rounded likewise, ends at the same bits. (Rounding a copy only costs a replay 0.1 to 24 % of what another order of the
data does, measured on digits; a line needs 1 %.) A difference is rounded relative to itself, so
the training loses a 2^-9th of each interval's movement, however small that is. Every sixteenth state stands alone, and
it, the first and the last one are exact: whoever wants one state reads at most fifteen others.

Nothing is unpacked before its size is known and found possible: a frame says how large it will be, and is refused when
that is more than the verifier's own model needs.
"""

from __future__ import annotations

import torch
import zstandard

from hubdna.errors import ReceiptError
from hubdna.proof.claim import Recipe
from hubdna.proof.tensors import Form, State, Tensors, checked, decode, encode, named, unnamed

KEYFRAME = 16
"""Every so many states one stands alone."""
LEVEL = 3
"""Of zstd: its default."""
MAX_WINDOW = 1 << 27
"""Bytes of the past that a frame may refer to; zstd's own bound."""


def alone(index: int) -> bool:
    """Whether a state is stored without regard to the one before."""
    return index % KEYFRAME == 0


def settle(state: State, before: State | None, recipe: Recipe, index: int) -> tuple[Tensors, State]:
    """What of a state is written, by name, and the state that a reader will find.

    Args:
        state: as the training has it.
        before: the state before, as stored; of no account where a state stands alone.
        recipe: says how to store.
        index: of the state, from 0.
    """
    if not _inexact(recipe, index):
        return named(state), state
    base = named(before) if before else {}
    written, found = {}, {}
    for name, tensor in named(state).items():
        written[name] = found[name] = tensor
        if _rounded(name, tensor.dtype, recipe, index):
            written[name] = _less(name, tensor, base.get(name))
            found[name] = _plus(name, written[name], base.get(name), tensor.dtype)
    return written, unnamed(found, state.buffers)


def pack(written: Tensors, before: State | None, recipe: Recipe, index: int) -> bytes:
    """The file of what `settle` says is to be written."""
    if recipe.storage == "plain":
        return encode(written)
    base = {} if alone(index) or before is None else named(before)
    planes = {
        name: _planes(t) if _rounded(name, t.dtype, recipe, index) else _planes(t) ^ _planes_or_zero(base.get(name), t)
        for name, t in written.items()
    }
    return zstandard.ZstdCompressor(level=LEVEL).compress(encode(planes))


def unpack(raw: bytes, before: State | None, form: Form, recipe: Recipe, index: int, where: str) -> State:
    """Read a state's file. Raises ReceiptError: not one, of another form, or larger than it can be."""
    if recipe.storage == "plain":
        return checked(decode(raw, where), form, recipe, where)
    base = {} if alone(index) or before is None else named(before)
    found = {}
    for name, planes in decode(_unzip(raw, form, where), where).items():
        expected = form.tensor(name)
        if expected is None:
            raise ReceiptError(f"{where}: {name[:80]!r} is nothing that this model or its optimiser keeps")
        dtype, shape = expected
        small = _rounded(name, dtype, recipe, index)
        kind, n = torch.bfloat16 if small else dtype, torch.Size(shape).numel()
        if planes.dtype != torch.uint8 or tuple(planes.shape) != (kind.itemsize, n):
            raise ReceiptError(f"{where}: {name[:80]}: expected {kind.itemsize} planes of {n} bytes")
        origin = base.get(name)
        if small:
            found[name] = _plus(name, _whole(planes, kind, shape), origin, dtype)
        else:
            found[name] = _whole(planes ^ _planes_or_zero(origin, torch.empty(shape, dtype=dtype)), dtype, shape)
    return checked(found, form, recipe, where)


def _rounded(name: str, dtype: torch.dtype, recipe: Recipe, index: int) -> bool:
    """Whether a tensor of a state is stored rounded: no counters, and none of the states that are exact."""
    return _inexact(recipe, index) and dtype.is_floating_point and not name.startswith("o.step.")


def _inexact(recipe: Recipe, index: int) -> bool:
    return recipe.storage == "bf16" and not alone(index) and index != recipe.n_intervals


def _unzip(raw: bytes, form: Form, where: str) -> bytes:
    try:
        said = zstandard.get_frame_parameters(raw)
        if not 0 < said.content_size <= form.n_bytes:
            raise ReceiptError(f"{where}: unpacks to {said.content_size} bytes, at most {form.n_bytes} can be right")
        return zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompress(raw, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ReceiptError(f"{where}: not a frame of zstd: {str(error)[:80]}") from None


def _less(name: str, tensor: torch.Tensor, origin: torch.Tensor | None) -> torch.Tensor:
    """A weight's difference from the state before, or what the optimiser keeps; rounded to bfloat16."""
    exact = tensor.double() - origin.double() if name.startswith("w.") and origin is not None else tensor
    return exact.to(torch.bfloat16)


def _plus(name: str, small: torch.Tensor, origin: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor:
    """What a rounded value stands for; one addition in double, so all machines get the same bits."""
    exact = small.double() + origin.double() if name.startswith("w.") and origin is not None else small
    return exact.to(dtype)


def _planes(tensor: torch.Tensor) -> torch.Tensor:
    """uint8[bytes of a value, values]: all first bytes, all second bytes, ...: those with the sign compress."""
    flat = tensor.detach().contiguous().reshape(-1)
    return flat.view(torch.uint8).reshape(flat.numel(), tensor.itemsize).T.contiguous()


def _planes_or_zero(tensor: torch.Tensor | None, like: torch.Tensor) -> torch.Tensor:
    fits = tensor is not None and tensor.dtype == like.dtype and tensor.shape == like.shape
    return _planes(tensor) if fits and tensor is not None else torch.zeros((), dtype=torch.uint8)


def _whole(planes: torch.Tensor, dtype: torch.dtype, shape: tuple[int, ...]) -> torch.Tensor:
    return planes.T.contiguous().reshape(-1).view(dtype).reshape(shape)
