"""Small models as they lie on the Hub, and an ONNX file written byte by byte."""

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import hubdna

DEMO = Path(hubdna.__file__).parent / "demo" / "models"
VIT, VIT_CHILD, VIT_STRANGER = "pixelworks/vit-digits", "pixelworks/vit-digits-inverted", "northbyte/vit-digits-b"
LM, LM_CHILD, LM_STRANGER = "bytewright/pyllama-245k", "bytewright/pyllama-245k-docs", "northbyte/pyllama-245k-scratch"


def copy(name: str, folder: Path) -> Path:
    """A demo model, to be changed."""
    target = folder / name.replace("/", "-")
    shutil.copytree(DEMO / name, target)
    return target


def edit(folder: Path, name: str = "config.json", **values: Any) -> Path:
    """Changes keys of a JSON file; None takes a key out."""
    path = folder / name
    found = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({k: v for k, v in (found | values).items() if v is not None}))
    return folder


def edit_weights(folder: Path, change: Any) -> Path:
    """Passes all tensors through a function."""
    path = folder / "model.safetensors"
    save_file({n: t.contiguous() for n, t in change(load_file(path)).items()}, path, metadata={"format": "pt"})
    return folder


def llama(folder: Path, vocabulary: int, seed: int = 0, **config: Any) -> Path:
    """A Llama that learned nothing, of another width than the demo's."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    made = LlamaConfig(vocab_size=vocabulary, **shape, bos_token_id=None, eos_token_id=None, **config)
    LlamaForCausalLM(made).save_pretrained(folder)
    return folder


def words(folder: Path, vocabulary: dict[str, int]) -> Path:
    """Gives a model a tokenizer of words."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.save(str(folder / "tokenizer.json"))
    return folder


def agreement(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    """Correlation of what two models say of pairs of probes, over all places."""
    upper = np.triu_indices(a.shape[1], 1)
    return float(np.mean([np.corrcoef(x[upper], y[upper])[0, 1] for x, y in zip(a, b, strict=True)]))


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def _tensor(name: str, values: np.ndarray[Any, Any]) -> bytes:
    dims = b"".join(_field(1, n) for n in values.shape)
    kind = 7 if values.dtype == np.int64 else 1
    return dims + _field(2, kind) + _field(8, name.encode()) + _field(9, values.tobytes())


def _value(name: str, kind: int, shape: tuple[int, ...]) -> bytes:
    """0 stands for a size that is not fixed."""
    dims = b"".join(_field(1, _field(1, n) if n else _field(2, b"n")) for n in shape)
    return _field(1, name.encode()) + _field(2, _field(1, _field(1, kind) + _field(2, dims)))


def onnx_classifier(path: Path, batch: int = 0, operator: str = "MatMul") -> Path:
    """Pictures [n, 1, 8, 8] -> ten scores, one linear map."""
    rng = np.random.default_rng(0)
    flat = _field(1, b"x") + _field(2, b"flat") + _field(4, b"Flatten")
    product = _field(1, b"flat") + _field(1, b"w") + _field(2, b"y") + _field(4, operator.encode())
    weight = _tensor("w", rng.normal(size=(64, 10)).astype(np.float32))
    ends = _field(11, _value("x", 1, (batch, 1, 8, 8))) + _field(12, _value("y", 1, (batch, 10)))
    graph = _field(1, flat) + _field(1, product) + _field(2, b"g") + _field(5, weight) + ends
    path.write_bytes(_field(1, 8) + _field(7, graph) + _field(8, _field(1, b"") + _field(2, 13)))
    return path


def npy(value: Any) -> bytes:
    """An array as numpy stores it; one of objects is a pickle."""
    import io

    buffer = io.BytesIO()
    np.save(buffer, value, allow_pickle=True)
    return buffer.getvalue()


def header_only(path: Path, size: int) -> None:
    """A weights file that promises a tensor it does not hold."""
    head = json.dumps({"w": {"dtype": "F32", "shape": [size], "data_offsets": [0, 4 * size]}}).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head)
