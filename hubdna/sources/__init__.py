"""Bytes -> named tensors: reading weights by ranges, without running anything of a repository.

`interface.py` says what a reader gives (Tensors that can be asked for units), `choice.py` which of a repository's files
are the model, `formats.py` which reader opens which file. One module a format: `safetensors.py`, `torch_zip.py` (over
`pickles.py`), `gguf_file.py`, `onnx_file.py` (over `protobuf.py`); `layouts/` composes quantised safetensors into
weights, `canonical.py` splits fused weights into the several they stand for (over `views.py`), `adapter.py` reads the
difference that an adapter is.
"""
