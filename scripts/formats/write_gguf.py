"""Write a llama-like or BERT checkpoint as GGUF the way llama.cpp's converter does, for tests and boards.

Names, dimension order, one-dimensional tensors in float32, and rows of q and k in rotary order (llama) follow
`convert_hf_to_gguf.py`; the container is written by the `gguf` package. Run it on a folder with `config.json` and
`model.safetensors`:

    python scripts/formats/write_gguf.py FOLDER OUT.gguf [Q8_0]
"""

from __future__ import annotations

import functools
import json
import re
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np

NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip
"""Hugging Face's name of a module -> GGUF's."""


def gguf_name(name: str) -> str:
    """`model.layers.0.mlp.up_proj.weight` -> `blk.0.ffn_up.weight`."""
    found = re.fullmatch(r"(?:model\.layers\.(\d+)\.)?(.+)\.(weight|bias)", name)
    if not found:
        raise ValueError(f"{name} is no name of a llama checkpoint")
    return (f"blk.{found[1]}." if found[1] else "") + f"{NAMES[found[2]]}.{found[3]}"


def rotary_order(weights: np.ndarray, n_heads: int) -> np.ndarray:
    """Rows as llama.cpp stores them: the two halves of each head in turn."""
    halves = weights.reshape(n_heads, 2, weights.shape[0] // n_heads // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def write_llama(
    path: Path,
    weights: dict[str, np.ndarray],
    config: dict[str, Any],
    kind: str = "F32",
    vocabulary: int = 0,
    split: int = 0,
) -> None:
    """Write a checkpoint under Hugging Face names.

    Args:
        path: the file.
        weights: float32 arrays by name.
        config: its `config.json`; head counts are read.
        kind: GGML type of the matrices, one that the `gguf` package can write.
        vocabulary: how many tokens, and as many merges, the tokenizer has; 0 writes none.
        split: tensors of a part; 0 writes one file.
    """
    q_heads = config["num_attention_heads"]
    k_heads = config.get("num_key_value_heads", q_heads)
    writer = gguf.GGUFWriter(path, "llama", split_max_tensors=split)
    writer.add_name(path.stem)
    writer.add_head_count(q_heads)
    writer.add_head_count_kv(k_heads)
    if vocabulary:
        writer.add_token_list([f"\u0120token{i}" for i in range(vocabulary)])
        writer.add_token_types([1] * vocabulary)
        writer.add_token_merges([f"\u0120to ken{i}" for i in range(vocabulary)])
    for name, array in weights.items():
        if "q_proj" in name or "k_proj" in name:
            array = rotary_order(array, q_heads if "q_proj" in name else k_heads)
        used = gguf.GGMLQuantizationType[kind if array.ndim > 1 else "F32"]
        array = np.ascontiguousarray(array, np.float32)
        writer.add_tensor(gguf_name(name), gguf.quants.quantize(array, used), raw_dtype=used)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def bert_name(name: str) -> str:
    """`encoder.layer.0.output.dense.weight` -> `blk.0.ffn_down.weight`; "" for what the converter leaves out."""
    stem, _, last = name.rpartition(".")
    return f"{found}.{last}" if (found := _bert_names().get_name(stem)) else ""


@functools.cache
def _bert_names() -> gguf.TensorNameMap:
    return gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, 100)


def write_bert(path: Path, weights: dict[str, np.ndarray], config: dict[str, Any], kind: str = "F32") -> None:
    """Write a BERT checkpoint under Hugging Face names; arguments as of `write_llama`.

    As in the converter the pooler is left out, tables of positions and token types stay float32, and a matrix whose
    rows are no whole blocks becomes F16.
    """
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name(path.stem)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    for name, array in weights.items():
        if target := bert_name(name):
            plain = array.ndim < 2 or target.startswith(("position_embd", "token_types"))
            used = gguf.GGMLQuantizationType["F32" if plain else kind]
            if array.shape[-1] % gguf.GGML_QUANT_SIZES[used][0]:
                used = gguf.GGMLQuantizationType.F16
            array = np.ascontiguousarray(array, np.float32)
            writer.add_tensor(target, gguf.quants.quantize(array, used), raw_dtype=used)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def load(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Weights (float32) and config of a folder with one safetensors file."""
    from hubdna.sources import safetensors
    from hubdna.sources.interface import LocalReader, read_units

    reader = LocalReader(folder)
    tensors = safetensors.read_tensors(reader, "model.safetensors")
    arrays = read_units(reader, [(t, 0, t.n_units) for t in tensors])
    weights = {t.info.name: w for t, w in zip(tensors, arrays, strict=True)}
    return weights, json.loads((folder / "config.json").read_text("utf-8"))


if __name__ == "__main__":
    source, target, *rest = sys.argv[1:]
    write_llama(Path(target), *load(Path(source)), *rest)
