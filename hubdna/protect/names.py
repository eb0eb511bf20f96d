"""Which of a file's tensors is which of a loaded module's: frameworks rename when they load.

Told by the bytes, not by rules of a framework: every tensor of the file has to be in the module, bit for bit, and the
other way round. Tensors of equal bytes that stayed under their name are paired by it; of those left over with equal
bytes any pairing is right, since they are equal, but for weights that a mask covers, which part when it is put on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from hubdna.errors import MaskError
from hubdna.protect.mask import Weights
from hubdna.roots import array_digest


def names_in_file(held: Weights, loaded: Weights, covered: Iterable[str]) -> dict[str, str]:
    """Name in the module -> name in the file.

    Args:
        held: a file's tensors.
        loaded: the module's, loaded from it.
        covered: names in the module of those that must not be mistaken for one another.

    Raises:
        MaskError: not the same tensors, or covered ones cannot be told apart.
    """
    file, module = _bits(held), _bits(loaded)
    found = {name: name for name in file.keys() & module.keys() if file[name] == module[name]}
    left: dict[bytes, list[str]] = defaultdict(list)
    for name in sorted(file.keys() - found.keys()):
        left[file[name]].append(name)
    watched = set(covered)
    for name in sorted(module.keys() - found.keys()):
        alike = left[module[name]]
        if not alike:
            raise MaskError(
                f"{name[:80]!r} is not in the file, bit for bit: no whole classifier of float32 (convert it)"
            )
        if len(alike) > 1 and name in watched:
            raise MaskError(f"{name[:80]!r}: {len(alike)} tensors of the file are equal to it")
        found[name] = alike.pop()
    if more := [name for alike in left.values() for name in alike]:
        raise MaskError(f"{min(more)[:80]!r} is not in the model, bit for bit: convert the file first")
    return found


def _bits(weights: Weights) -> dict[str, bytes]:
    return {name: array_digest("", a.dtype.name, a.shape, a.tobytes()) for name, a in weights.items()}
