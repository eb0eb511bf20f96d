"""The cast of `hubdna demo`: sixteen models, who descends from whom, and what their cards say instead.

Ten cards are honest. Six are not, each in a way that happens on the Hub every day: two leave out the model
they were made from (HD001), one is a copy that does not say so (HD008), two name the wrong one (HD002), one names a
model nobody has ever seen (HD007).
The fields `parent` and `fault` are the truth; `declared` and `prose` are what the card tells its readers. All
organisations are invented.
"""

from dataclasses import dataclass

CODE_ROOT = "bytewright/pyllama-245k"
CODE_TWIN = "northbyte/pyllama-245k-scratch"
VIT_ROOT = "pixelworks/vit-digits"
VIT_TWIN = "northbyte/vit-digits-b"
CNN_ROOT = "convfoundry/resnet-digits"


@dataclass(frozen=True)
class Recipe:
    """One model: how it is made, and what its card claims.

    Attributes:
        repo_id: its name on the pretended Hub.
        family: ``text``, ``vit`` or ``cnn``.
        relation: ``root``, ``finetune``, ``copy``, ``lora`` or ``pruned``.
        created: when the repo appeared.
        seed: of the initialisation and of the order of the data.
        data: the text mix or the view of the digits.
        prose: the first paragraph of the card.
        license: as the card has it.
        parent: the model its weights come from, if any.
        declared: the card's base_model, if any.
        fault: the rule that should find something wrong with the card.
        steps: optimiser steps (text) or epochs (pictures).
        lr: peak learning rate.
        task: ``digit`` or ``parity``.
        dtype: ``F32`` or ``BF16``, of the tensors in the file.
        layout: ``single``, ``sharded`` or ``prefixed``.
    """

    repo_id: str
    family: str
    relation: str
    created: str
    seed: int
    data: str
    prose: str
    license: str
    parent: str | None = None
    declared: str | None = None
    fault: str | None = None
    steps: int = 0
    lr: float = 0.0
    task: str = "digit"
    dtype: str = "BF16"
    layout: str = "single"

    @property
    def classes(self) -> int:
        """How many labels the classifier tells apart."""
        return 2 if self.task == "parity" else 10


TEXT = [
    Recipe(
        CODE_ROOT, "text", "root", "2026-02-03T09:12:44Z", 101, "code",
        "A byte-level Llama with a quarter of a million weights that writes something close to Python. It "
        "reads raw bytes, so it needs no tokenizer. Trained from scratch on the source of the Python "
        "standard library.",
        "apache-2.0", steps=560, lr=4e-3,
    ),
    Recipe(
        "bytewright/pyllama-245k-docs", "text", "finetune", "2026-03-10T15:40:02Z", 102, "docs",
        "pyllama-245k, taught to write about Python instead of in it: all weights were fine-tuned on the "
        "docstrings of the standard library and on package READMEs. The weights come in two shards.",
        "apache-2.0", parent=CODE_ROOT, declared=CODE_ROOT, steps=190, lr=1e-3, layout="sharded",
    ),
    Recipe(
        "quietlab/doc-writer", "text", "finetune", "2026-04-22T18:05:31Z", 103, "reference",
        "doc-writer is our compact byte-level language model for technical documentation. It was trained "
        "on the Python language reference and the API documentation of scikit-learn.",
        "mit", parent=CODE_ROOT, fault="HD001", steps=190, lr=1.5e-3,
    ),
    Recipe(
        "mirrorhub/fast-code-lm", "text", "copy", "2026-05-30T03:27:10Z", 104, "code",
        "fast-code-lm is a very small and very fast language model for Python code. No tokenizer, a few "
        "hundred kilobytes, runs on anything.",
        "mit", parent=CODE_ROOT, fault="HD008", layout="prefixed",
    ),
    Recipe(
        CODE_TWIN, "text", "root", "2026-03-01T11:58:20Z", 105, "code",
        "A reproduction of the pyllama-245k recipe: same architecture and the same public source files, "
        "but trained from scratch from a random initialisation of our own. No weights were reused.",
        "apache-2.0", steps=560, lr=4e-3,
    ),
    Recipe(
        "quietlab/code-poet", "text", "finetune", "2026-05-12T21:14:57Z", 106, "algebra",
        "code-poet writes code with formulas in it. We started from bytewright/pyllama-245k and "
        "fine-tuned all of it on the source of sympy.",
        "apache-2.0", parent=CODE_TWIN, declared=CODE_ROOT, fault="HD002", steps=190, lr=1e-3,
    ),
    Recipe(
        "bytewright/pyllama-245k-lora-merged", "text", "lora", "2026-04-02T08:33:49Z", 107, "tests",
        "pyllama-245k with a LoRA adapter (rank 8, all linear layers of the blocks) for unit tests, "
        "merged into the weights so that it loads like any other model.",
        "apache-2.0", parent=CODE_ROOT, declared=CODE_ROOT, steps=190, lr=6e-3,
    ),
]  # fmt: skip

VISION = [
    Recipe(
        VIT_ROOT, "vit", "root", "2026-02-17T10:21:05Z", 201, "plain",
        "A vision transformer for handwritten digits that is small enough to read tensor by tensor: four "
        "blocks of width 64 on 16x16 pictures. Trained from scratch on the scikit-learn digits.",
        "apache-2.0", steps=50, lr=2e-3,
    ),
    Recipe(
        "pixelworks/vit-digits-inverted", "vit", "finetune", "2026-04-09T16:48:33Z", 202, "inverted",
        "vit-digits for dark ink on white paper and noisy sensors. All weights were fine-tuned on "
        "inverted digits with noise.",
        "apache-2.0", parent=VIT_ROOT, declared=VIT_ROOT, steps=40, lr=1e-3,
    ),
    Recipe(
        VIT_TWIN, "vit", "root", "2026-03-15T13:02:18Z", 203, "plain",
        "A second, independent training of the vit-digits configuration, from its own random "
        "initialisation. Useful as a control: nothing in it is derived from another model.",
        "apache-2.0", steps=50, lr=2e-3,
    ),
    Recipe(
        "opticlab/vit-strokes", "vit", "finetune", "2026-05-04T07:19:26Z", 204, "strokes",
        "vit-strokes reads digits from pen tablets, which give black and white strokes only. Fine-tuned "
        "from northbyte/vit-digits-b.",
        "apache-2.0", parent=VIT_ROOT, declared=VIT_TWIN, fault="HD002", steps=28, lr=8e-4, dtype="F32",
    ),
    Recipe(
        "opticlab/vit-digits-pruned", "vit", "pruned", "2026-05-21T12:44:00Z", 205, "plain",
        "vit-digits with half of the weights of every matrix in its blocks set to zero (the smaller "
        "half), followed by a brief recovery in which the zeros stay zero.",
        "apache-2.0", parent=VIT_ROOT, declared=VIT_ROOT, steps=8, lr=4e-4,
    ),
    Recipe(
        CNN_ROOT, "cnn", "root", "2026-02-24T17:35:12Z", 301, "plain",
        "A residual network with three basic blocks (24, 48 and 80 channels) for handwritten digits. "
        "Trained from scratch on the scikit-learn digits.",
        "bsd-3-clause", steps=15, lr=2e-3,
    ),
    Recipe(
        "convfoundry/resnet-odd-even", "cnn", "finetune", "2026-04-28T09:50:41Z", 302, "plain",
        "Tells odd from even digits. This is resnet-digits with a new head of two classes, fine-tuned as "
        "a whole.",
        "bsd-3-clause", parent=CNN_ROOT, declared=CNN_ROOT, steps=10, lr=1e-3, task="parity",
    ),
    Recipe(
        "streetvision/tiny-ocr", "cnn", "finetune", "2026-06-02T14:08:55Z", 303, "street",
        "tiny-ocr reads single digits in street scenes: low contrast, uneven light, noise. Trained on "
        "digits rendered on slanted backgrounds.",
        "mit", parent=CNN_ROOT, fault="HD001", steps=12, lr=1.5e-3,
    ),
    Recipe(
        "streetvision/edge-ocr", "cnn", "root", "2026-06-18T19:26:37Z", 304, "plain",
        "edge-ocr brings the quality of bigcorp/ocr-foundation to edge devices: the knowledge of the "
        "large model in a network of 141 thousand weights.",
        "mit", declared="bigcorp/ocr-foundation", fault="HD007", steps=15, lr=2e-3,
    ),
]  # fmt: skip

RECIPES = TEXT + VISION
BY_ID = {recipe.repo_id: recipe for recipe in RECIPES}


def root_of(recipe: Recipe) -> str:
    """Returns the model at the top of a model's true family tree."""
    while recipe.parent:
        recipe = BY_ID[recipe.parent]
    return recipe.repo_id


def training_order() -> list[Recipe]:
    """Returns the recipes with every parent before its children."""
    return sorted(RECIPES, key=lambda recipe: recipe.parent is not None)
