"""One reader per shipped layout: a file or folder in, `{tensor name: array}` out.

Names and shapes stay as the layout has them. That is the point of this collection: a TensorFlow.js copy of
a TFLite model holds the same numbers under other names, with every kernel's axes in another order, and a
lineage test has to see through that. Readers that need more than numpy and safetensors import it when
called.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from readers import ani, keras_h5, safetensors_file, tfjs, tflite_file, torch_zip, torchscript

Reader = Callable[[Path], dict[str, np.ndarray]]

READERS: dict[str, Reader] = {
    "ani": ani.read,
    "keras_h5": keras_h5.read,
    "safetensors": safetensors_file.read,
    "tfjs": tfjs.read,
    "tflite": tflite_file.read,
    "torch_zip": torch_zip.read,
    "torchscript": torchscript.read,
}
