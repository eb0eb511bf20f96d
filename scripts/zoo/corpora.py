"""Real text for the byte-level decoders, all of it already on the machine.

Nothing is downloaded: the standard library and the installed packages hold several megabytes of human
writing. Each mix below is one "domain", so a decoder fine-tuned on another mix really does learn something.

* ``code``       the top-level modules of the standard library
* ``docs``       the docstrings of the standard library and the READMEs that packages carry in their metadata
* ``reference``  the Python language reference (``pydoc_data.topics``) and the docstrings of scikit-learn
* ``algebra``    the source of sympy: code, but with a voice of its own
* ``tests``      the unit tests of the standard library
"""

import ast
import functools
import hashlib
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

BYTE_LIMIT = 5_000_000
BLOCK = 4096  # the text is dealt out in blocks of this size; every twentieth is held out
STDLIB = Path(sysconfig.get_paths()["stdlib"])
PACKAGES = Path(sysconfig.get_paths()["purelib"])


def _sources(folder: Path, pattern: str) -> Iterator[str]:
    """Yields the text of every matching file, in a fixed order."""
    for path in sorted(folder.glob(pattern)):
        yield path.read_text(encoding="utf-8", errors="replace")


def _docstrings(sources: Iterable[str]) -> Iterator[str]:
    """Yields the docstrings of modules, classes and functions."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            text = ast.get_docstring(node) if isinstance(node, documented) else None
            if text and len(text) > 40:
                yield text + "\n\n"


def _readmes() -> Iterator[str]:
    """Yields the long descriptions of the installed packages (the part after the metadata headers)."""
    for text in _sources(PACKAGES, "*.dist-info/METADATA"):
        yield text.partition("\n\n")[2]


def _reference() -> Iterator[str]:
    """Yields the topics of Python's language reference."""
    from pydoc_data.topics import topics

    for name in sorted(topics):
        yield topics[name]


def _pieces(mix: str) -> Iterator[str]:
    """Yields the texts of one mix."""
    if mix == "code":
        yield from _sources(STDLIB, "*.py")
    elif mix == "docs":
        yield from _docstrings(_sources(STDLIB, "*.py"))
        yield from _readmes()
    elif mix == "reference":
        yield from _reference()
        yield from _docstrings(_sources(PACKAGES / "sklearn", "*/*.py"))
    elif mix == "algebra":
        yield from _sources(PACKAGES / "sympy", "*/*.py")
    elif mix == "tests":
        yield from _sources(STDLIB / "test", "test_*.py")
    else:
        raise ValueError(f"no such text mix: {mix}")


@functools.cache
def load(mix: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns (training bytes, held-out bytes) of a mix as integer tensors.

    Args:
        mix: the name of a mix, see the module's docstring.
    """
    raw = bytearray()
    for piece in _pieces(mix):
        raw += piece.encode("utf-8")
        if len(raw) >= BYTE_LIMIT:
            break
    blocks = len(raw) // BLOCK
    table = torch.from_numpy(np.frombuffer(raw[: blocks * BLOCK], dtype=np.uint8).reshape(blocks, BLOCK))
    held_out = torch.arange(blocks) % 20 == 19
    digest = hashlib.sha256(raw).hexdigest()[:12]
    print(f"    text '{mix}': {len(raw) / 1e6:.2f} MB, sha256 {digest}", flush=True)
    return table[~held_out].flatten().long(), table[held_out].flatten().long()


def unigram_entropy(tokens: torch.Tensor) -> float:
    """Returns the entropy in nats of single bytes: what a model that learned only frequencies would reach."""
    share = torch.bincount(tokens, minlength=256).double() / len(tokens)
    share = share[share > 0]
    return float(-(share * share.log()).sum())
