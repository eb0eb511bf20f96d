"""Bytes -> named tensors: reading weights by ranges, without running anything of a repository.

    interface.py     what a reader gives: Tensors that can be asked for units
    choice.py        which of a repository's files are the model
    formats.py       which reader opens which file; puts the shards together
    safetensors.py   and layouts/, which composes quantised files into weights
    torch_zip.py     over zip_entries.py (the archive), torch_pickle.py (what its pickle says), pickles.py (runs it)
    gguf_file.py     over gguf_header.py and gguf_blocks.py
    onnx_file.py     over protobuf.py; onnx_tensor.py, onnx_graph.py (what is kept), onnx_quantised.py, onnx_names.py
    canonical.py     fused weights become the several they stand for, whatever the format; over views.py
    adapter.py       the difference that an adapter is

Everything a file says is hostile until it was checked.
"""
