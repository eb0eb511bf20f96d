"""What the writers of write_models.py share: the model to be written, and the folder of its forms with their list."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForImageClassification

CLASSES = {"minilm": AutoModel, "decoder": AutoModelForCausalLM, "conv": AutoModelForImageClassification}
N_ROWS = 64
"""Rows of a reference; the board asks for the same ones."""
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Model:
    """What is written: its source folder, stored tensors, and a way to make the module."""

    name: str
    source: Path
    tensors: Tensors

    def module(self) -> torch.nn.Module:
        """The model as transformers loads it, in float32; called with `inputs` it gives plain tensors."""
        made = CLASSES[self.name].from_pretrained(self.source, dtype=torch.float32, attn_implementation="eager")
        causal = self.name == "decoder"

        class Plain(type(made)):  # exporters take no dictionaries; a wrapper would change the tensors' names
            def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
                options = {"use_cache": False, "attention_mask": torch.ones_like(x)} if causal else {}
                return tuple(v for v in super().forward(x, **options).values() if isinstance(v, torch.Tensor))

        made.__class__ = Plain
        return made.eval()

    def inputs(self) -> tuple[torch.Tensor, ...]:
        """An example for tracing."""
        return (torch.rand(1, 1, 8, 8),) if self.name == "conv" else (torch.arange(1, 17).reshape(1, 16),)


@dataclass(frozen=True)
class Made:
    """What a writer made.

    Attributes:
        writer: package and version.
        reference: tensors as the form's own library reads them, in the layout of the file as it is meant.
        expected: what the form is to the original: identical, converted (other names or axes), cast or quantized.
        bits: of the mantissa of what the library gives: 24 for float32, 8 where it computes in bfloat16.
        note: why `expected` can only be asked of the origin: something else changed, which no relation has a word for.
    """

    writer: str
    reference: Mapping[str, torch.Tensor]
    expected: str
    bits: int = 24
    note: str = ""


class Forms:
    """The folder of one model's forms, and its list."""

    def __init__(self, out: Path, only: str) -> None:
        self.out, self.only, self.path = out, re.compile(only), out / "forms.json"
        out.mkdir(parents=True, exist_ok=True)
        self.known: dict[str, Any] = json.loads(self.path.read_text()) if self.path.exists() else {}

    def write(self, form: str, make: Callable[[Path], Made]) -> None:
        """Write one form unless it is there; what fails is listed with its reason."""
        if form in self.known or not self.only.search(form):
            return
        folder = self.out / form
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            made = make(folder)
        except Exception as error:
            shutil.rmtree(folder)
            first, *_ = str(error).splitlines() or ["by the writer"]
            self.leave_out(form, f"{type(error).__name__}: {first[:200]}")
            return
        floats = {k: v for k, v in made.reference.items() if v.ndim and v.is_floating_point()}
        rows = {k: v[:: step(len(v))].float().contiguous() for k, v in floats.items()}
        save_file(rows, self.out / f"{form}.reference.safetensors")
        files = sorted(p.name for p in folder.iterdir() if p.suffix not in (".json", ".data"))
        about = {"writer": made.writer, "files": files, "expected": made.expected, "bits": made.bits}
        self.known[form] = about | ({"note": made.note} if made.note else {})
        self._save(form)

    def leave_out(self, form: str, reason: str) -> None:
        """List a form that this model does not come in."""
        if form not in self.known and self.only.search(form):
            self.known[form] = {"left_out": reason}
            self._save(form)

    def _save(self, form: str) -> None:
        self.path.write_text(json.dumps(self.known, indent=1))
        print(form, self.known[form], flush=True)


def step(n: int) -> int:
    """Every which row of n is kept."""
    return -(-n // N_ROWS) or 1


def by(package: str) -> str:
    """`torch 2.14.1`."""
    return f"{package} {version(package)}"


def stored_as(model: Model, found: Mapping[str, torch.Tensor], same: str = "identical") -> str:
    """What floats in another container are: `same` when all values are the original's, else cast."""
    return "cast" if _rounded(model, found) else same


def note_on(model: Model, found: Mapping[str, torch.Tensor]) -> str:
    """What else is different about floats in another container."""
    rounded, more = _rounded(model, found), [k for k, v in found.items() if k not in model.tensors]
    more = [k for k in more if found[k].is_floating_point()]
    if rounded and all(model.tensors[k].ndim < 2 for k in rounded):
        return "only vectors are rounded"
    return f"{len(more)} float buffers that the original does not store" if more else ""


def _rounded(model: Model, found: Mapping[str, torch.Tensor]) -> list[str]:
    """Floats whose values are not the original's."""
    floats = [k for k, v in model.tensors.items() if k in found and v.is_floating_point()]
    return [k for k in floats if not bool((model.tensors[k].float() == found[k].float()).all())]
