"""PyTorch archives put together by hand, without torch."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np


class Call:
    """Pickles as a call of a global by name; nothing of that name exists here."""

    def __init__(self, module: str, name: str, *args: Any) -> None:
        self.module, self.name, self.args = module, name, args


class Global:
    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Outside:
    def __init__(self, id: Any) -> None:
        self.id = id


def program(value: Any) -> bytes:
    """A pickle without its frame: enough of the protocol for what checkpoints say."""
    if isinstance(value, Call):
        return program(Global(value.module, value.name)) + program(value.args) + b"R"
    if isinstance(value, Global):
        return f"c{value.module}\n{value.name}\n".encode()
    if isinstance(value, Outside):
        return program(value.id) + b"Q"
    if isinstance(value, dict):
        return b"}(" + b"".join(program(k) + program(v) for k, v in value.items()) + b"u"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(program, value)) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(map(program, value)) + b"e"
    return pickle.dumps(value, 2)[2:-1].split(b"q\x00")[0]


def storage(key: Any = "0", n: Any = 6, kind: str = "FloatStorage") -> Outside:
    return Outside(("storage", Global("torch", kind), key, "cpu", n))


def tensor(shape: Any = (2, 3), strides: Any = (3, 1), offset: Any = 0, of: Any = None) -> Call:
    return Call("torch._utils", "_rebuild_tensor_v2", of or storage(), offset, shape, strides, False, {})


FLOATS = np.arange(6, dtype="<f4").tobytes()


def written(
    folder: Path, value: Any, files: dict[str, bytes] | None = None, *, top: str = "m", method: int = zipfile.ZIP_STORED
) -> Path:
    """An archive as Python's zipfile makes it: not aligned, no descriptors."""
    path = folder / "m.pt"
    with zipfile.ZipFile(path, "w", method) as out:
        raw = value if isinstance(value, bytes) else b"\x80\x02" + program(value) + b"."
        out.writestr(f"{top}/data.pkl", raw)
        for name, data in ({f"{top}/data/0": FLOATS} if files is None else files).items():
            out.writestr(name, data)
    return path


def saved(folder: Path, name: str, arrays: dict[str, np.ndarray[Any, Any]]) -> None:
    """What `torch.save` writes of a state dict of float32 arrays."""
    state, files = {}, {}
    for i, (key, array) in enumerate(arrays.items()):
        strides = tuple(s // 4 for s in np.zeros(array.shape, np.float32).strides)
        state[key] = tensor(array.shape, strides, 0, storage(str(i), array.size))
        files[f"m/data/{i}"] = array.astype("<f4").tobytes()
    written(folder, state, files).rename(folder / name)
