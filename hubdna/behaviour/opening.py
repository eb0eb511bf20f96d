"""A local snapshot -> a module that computes, without running anything of the repository.

Only files of data are looked at: `config.json`, `*.safetensors`, `tokenizer.json`, `vocab.txt`,
`preprocessor_config.json`, `*.onnx`. They are linked into an empty folder, so that a library that looks around finds
no code, no pickle and no adapter. Classes are those of the installed libraries, named by the configuration's type; keys
that would fetch code or load other files are refused or dropped. Runs in the child process only (`child`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from hubdna.behaviour import probes
from hubdna.behaviour.probes import Probes
from hubdna.errors import BehaviourError
from hubdna.records.behaviour import Modality

if TYPE_CHECKING:
    import torch
    from torch import nn

MAX_JSON = 50_000_000  # bytes; large tokenizers have 30 MB
Look = Callable[["torch.Tensor"], tuple[list["torch.Tensor"], "torch.Tensor | None"]]


@dataclass(frozen=True, slots=True)
class Subject:
    """A model ready to be shown probes.

    Attributes:
        modality: which probes.
        loader: the library that opened it.
        inputs: all probes as the model reads them, [n, ...].
        look: a batch of inputs -> (pooled states by depth, [b, width] each; scores of the answer [b, k] or None).
        module: what computes, if it is one of PyTorch.
        notes: what a reader should know.
    """

    modality: Modality
    loader: str
    inputs: torch.Tensor
    look: Look
    module: nn.Module | None = None
    notes: list[str] = field(default_factory=list)


def open_subject(folder: Path, shown: Probes | None = None) -> Subject:
    """Open whatever the folder holds, to be shown these probes or the shipped ones.

    Raises:
        BehaviourError: with the reason why not.
    """
    shown = shown or probes.shipped()
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else None
    safe = sorted(folder.glob("*.safetensors"))
    if config is not None and safe:
        if "architecture" in config and "model_type" not in config:
            from hubdna.behaviour.open_timm import open_timm

            return open_timm(folder, config, shown)
        from hubdna.behaviour.open_transformers import open_transformers

        return open_transformers(folder, config, shown)
    graphs = sorted([*folder.glob("*.onnx"), *folder.glob("onnx/*.onnx")])
    if graphs:
        from hubdna.behaviour.open_onnx import open_onnx

        return open_onnx(min(graphs, key=lambda path: (path.name != "model.onnx", path.name)), folder, shown)
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")) or any(folder.glob("*.pth")):
        raise BehaviourError("only pickled weights: they are never loaded, safetensors or ONNX are needed")
    raise BehaviourError("no config.json with safetensors weights beside it, and no ONNX file")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of reasonable size. Raises BehaviourError."""
    if path.stat().st_size > MAX_JSON:
        raise BehaviourError(f"{path.name}: {path.stat().st_size} bytes, more than {MAX_JSON}")
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BehaviourError(f"{path.name}: not JSON ({type(error).__name__})") from None
    if not isinstance(found, dict):
        raise BehaviourError(f"{path.name}: expected an object, found {type(found).__name__}")
    return found


def text_inputs(shown: Probes, folder: Path, vocabulary: int, longest: int, notes: list[str]) -> torch.Tensor:
    """The text probes under the folder's own vocabulary, or as bytes where it has none. Raises BehaviourError."""
    from tokenizers import Tokenizer

    made = None
    try:
        if (path := folder / "tokenizer.json").is_file():
            made = Tokenizer.from_str(json.dumps(read_json(path)))
            made.no_padding()
            made.no_truncation()
        elif (path := folder / "vocab.txt").is_file():
            made = _word_pieces(path)
    except BehaviourError:
        raise
    except Exception as error:  # the library raises plain exceptions
        raise BehaviourError(f"{path.name}: no sound tokenizer ({str(error)[:120]})") from None
    if made is None:
        notes.append("no tokenizer.json and no vocab.txt: bytes were given as token ids")
    return probes.as_tokens(shown, made, vocabulary, longest)


def _word_pieces(path: Path) -> Any:
    """BERT's kind of tokenizer from its list of words."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    words = {word: n for n, word in enumerate(path.read_text("utf-8", "replace").split("\n")) if word}
    made = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    return made


def is_size(value: Any) -> TypeGuard[int]:
    """Whether a value of a configuration can be a size."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
