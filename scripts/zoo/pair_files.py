"""The folders of the pair sets: one model each, as it would lie on the Hub.

Layouts: ``plain`` (safetensors), ``pickle`` (pytorch_model.bin only), ``int8``, ``int4`` and ``fp8`` (`packed_files`),
``gguf`` (Q8_0), ``adapter`` (peft). A folder appears under its name only when it is complete.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import gguf
import numpy as np
import packed_files
import pair_text
import torch
from pair_kinds import KINDS, Net
from safetensors.torch import load_file, save_file

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
GGUF_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
GGUF_TOP = {"model.embed_tokens": "token_embd", "lm_head": "output", "model.norm": "output_norm"}


def write(folder: Path, kind: str, net: Net, layout: str = "plain", dtype: str = "F32", claims: str = "") -> None:
    """Writes one model's folder; through a temporary one, so that a folder is complete or absent.

    Args:
        folder: where it goes; what is there is replaced.
        kind: the architecture.
        net: the model.
        layout: see the module's docstring.
        dtype: of the float tensors of the plain layout.
        claims: the base_model its card names.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    (temporary / "README.md").write_text(_card(folder.name, claims), encoding="utf-8")
    if layout == "gguf":
        _write_gguf(net, temporary / f"{folder.name}-q8_0.gguf")
    else:
        _write_tensors(temporary, kind, net, layout, dtype)
        vocabulary = KINDS[kind].tokenizer(net.config.get("text_config", net.config)) if layout != "adapter" else ""
        if vocabulary:
            pair_text.save(vocabulary, temporary)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def read(folder: Path) -> Net:
    """Returns the model of a plain folder, of an adapter's, or, as float32, of one in int8 or fp8."""
    adapter = folder / "adapter_config.json"
    path = adapter if adapter.exists() else folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    weights = "adapter_model.safetensors" if adapter.exists() else "model.safetensors"
    config.pop("quantization_config", None)
    return Net(config, packed_files.unpack(load_file(folder / weights)))


def _write_tensors(folder: Path, kind: str, net: Net, layout: str, dtype: str) -> None:
    """Writes config and tensors of every layout but GGUF."""
    state = {n: t.to(DTYPES[dtype]) if t.is_floating_point() else t for n, t in net.state.items()}
    state = {n: t.contiguous().clone() for n, t in state.items()}
    config = dict(net.config)
    if layout in packed_files.METHODS:
        config["quantization_config"] = {"quant_method": packed_files.METHODS[layout]}
    if "dtype" in config:
        config["dtype"] = str(DTYPES[dtype]).removeprefix("torch.")
    name = "adapter_config.json" if layout == "adapter" else "config.json"
    (folder / name).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    if layout == "pickle":
        torch.save(state, folder / "pytorch_model.bin")
        return
    weights = "adapter_model.safetensors" if layout == "adapter" else "model.safetensors"
    packed = packed_files.pack(layout, kind, state) if layout in packed_files.PACKERS else state
    save_file(packed, folder / weights, metadata={"format": "pt"})


def _card(name: str, claims: str) -> str:
    """Returns a short model card; it says nothing of the truth."""
    head = ["---", "license: mit", *([f"base_model: {claims}"] if claims else []), "---"]
    return "\n".join([*head, f"# {name}", "", "A small model trained for lineage tests.", ""])


def _write_gguf(net: Net, path: Path) -> None:
    """Writes a Llama as llama.cpp's converter does: Q8_0 matrices, rows of query and key interleaved."""
    config, writer = net.config, gguf.GGUFWriter(str(path), "llama")
    heads = config["num_attention_heads"]
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["hidden_size"] // heads)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    for name, tensor in net.state.items():
        array = tensor.float().numpy()
        if re.search(r"[qk]_proj", name):
            array = array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        if array.ndim == 2:
            packed = gguf.quants.quantize(np.ascontiguousarray(array), gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(_gguf_name(name), packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(_gguf_name(name), array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _gguf_name(name: str) -> str:
    """Returns llama.cpp's name of a Llama tensor."""
    stem = name.removesuffix(".weight")
    if stem in GGUF_TOP:
        return f"{GGUF_TOP[stem]}.weight"
    _, _, layer, rest = stem.split(".", 3)
    return f"blk.{layer}.{GGUF_NAMES[rest]}.weight"
