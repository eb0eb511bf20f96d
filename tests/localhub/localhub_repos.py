"""What the tests of the local Hub put into repositories."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import save

CARD = """---
license: apache-2.0
language: [en, "no"]
library_name: transformers
pipeline_tag: text-generation
base_model: acme/base
tags:
- tiny
---
# A model
"""


def weights(seed: int, rows: int = 64) -> bytes:
    """A safetensors file, the same for the same seed."""
    values = np.random.default_rng(seed).standard_normal((rows, 32)).astype(np.float32)
    return save({f"layer.{seed}.weight": values}, metadata={"format": "pt"})


MakeRepo = Callable[..., Path]
