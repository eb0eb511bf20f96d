"""Model cards as people write them: front matter, a paragraph, a table of results, a snippet."""

from typing import Any

import yaml
from catalog import Recipe

TAGS = {
    "text": ["llama", "byte-level", "tiny"],
    "vit": ["timm", "vision-transformer", "digits"],
    "cnn": ["resnet", "digits"],
}
LIBRARY = {"text": "transformers", "vit": "timm", "cnn": "transformers"}
PIPELINE = {"text": "text-generation", "vit": "image-classification", "cnn": "image-classification"}
DATA = {
    "code": "the top-level modules of the Python standard library",
    "docs": "docstrings of the standard library and package READMEs",
    "reference": "the Python language reference and the docstrings of scikit-learn",
    "algebra": "the source of sympy",
    "tests": "the unit tests of the Python standard library",
    "plain": "scikit-learn digits (1 437 for training, 360 held out)",
    "inverted": "scikit-learn digits, inverted and with noise (1 437 for training, 360 held out)",
    "strokes": "scikit-learn digits, cut to black and white (1 437 for training, 360 held out)",
    "street": "scikit-learn digits on slanted low-contrast backgrounds (1 437 for training, 360 held out)",
}
SNIPPET = {
    "text": """import torch
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("{repo_id}")
prompt = torch.tensor([list(b"def main(")])
print(bytes(model.generate(prompt, max_new_tokens=80)[0].tolist()).decode(errors="replace"))""",
    "vit": """import timm

model = timm.create_model("hf_hub:{repo_id}", pretrained=True).eval()
scores = model(pictures)  # [n, 1, 16, 16], scaled to [-1, 1]""",
    "cnn": """from transformers import AutoModelForImageClassification

model = AutoModelForImageClassification.from_pretrained("{repo_id}")
scores = model(pictures).logits  # [n, 1, 32, 32], scaled to [-1, 1]""",
    "prefixed": """from huggingface_hub import hf_hub_download
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

model = LlamaForCausalLM(LlamaConfig.from_pretrained("{repo_id}"))
weights = load_file(hf_hub_download("{repo_id}", "model.safetensors"))
model.load_state_dict({{name.removeprefix("fast_code_lm."): weight for name, weight in weights.items()}})""",
}


def write(recipe: Recipe, measured: dict[str, float], params: int) -> str:
    """Returns the README.md of a model.

    Args:
        recipe: the model, with what its card claims.
        measured: what `publish.evaluate` found.
        params: the number of weights.
    """
    front = yaml.safe_dump(_front_matter(recipe, measured), sort_keys=False, width=100)
    name = recipe.repo_id.split("/")[1]
    parts = [f"---\n{front}---", f"# {name}", recipe.prose, "## Training", _training(recipe)]
    parts += ["## Results", _results(recipe, measured, params), "## Use"]
    snippet = SNIPPET.get(recipe.layout, SNIPPET[recipe.family]).format(repo_id=recipe.repo_id)
    parts += [f"```python\n{snippet}\n```", "## Limits", _limits(recipe)]
    return "\n\n".join(parts) + "\n"


def _front_matter(recipe: Recipe, measured: dict[str, float]) -> dict[str, Any]:
    """Returns the metadata at the head of a card."""
    front: dict[str, Any] = {"license": recipe.license}
    if recipe.family == "text":
        front["language"] = ["en", "code"] if recipe.data in ("code", "algebra", "tests") else ["en"]
    front["library_name"] = LIBRARY[recipe.family]
    front["pipeline_tag"] = PIPELINE[recipe.family]
    front["tags"] = TAGS[recipe.family] + (["lora"] if recipe.relation == "lora" else [])
    if recipe.declared:
        front["base_model"] = recipe.declared
    if recipe.family != "text":
        front["metrics"] = ["accuracy"]
    front["model-index"] = [{"name": recipe.repo_id.split("/")[1], "results": [_index_entry(recipe, measured)]}]
    return front


def _index_entry(recipe: Recipe, measured: dict[str, float]) -> dict[str, Any]:
    """Returns the result in the form that the Hub shows beside a card."""
    text = recipe.family == "text"
    metric = (
        {"type": "loss", "name": "Held-out loss (nats per byte)"} if text else {"type": "accuracy", "name": "Accuracy"}
    )
    metric["value"] = round(measured["loss" if text else "accuracy"], 4)
    return {
        "task": {"type": PIPELINE[recipe.family]},
        "dataset": {"type": recipe.data if text else "digits", "name": DATA[recipe.data]},
        "metrics": [metric],
    }


def _training(recipe: Recipe) -> str:
    """Returns how the model was trained, in the words of its card."""
    data = f"Data: {DATA[recipe.data]}."
    if recipe.relation == "copy":
        return data
    length = f"{recipe.steps} steps of 32 windows of 128 bytes" if recipe.family == "text" else f"{recipe.steps} epochs"
    shaken = "" if recipe.family == "text" else " Pictures are turned by up to 12 degrees and shifted a little."
    rate = f"peak learning rate {recipe.lr:g} with a cosine to a tenth"
    return f"{data} AdamW, {length}, {rate}, on one CPU core.{shaken}"


def _results(recipe: Recipe, measured: dict[str, float], params: int) -> str:
    """Returns the table of results."""
    rows = [("parameters", f"{params:,}"), ("weights stored as", recipe.dtype)]
    if recipe.family == "text":
        rows.append(("held-out loss", f"{measured['loss']:.3f} nats per byte ({measured['loss'] / 0.6931:.2f} bits)"))
        rows.append(("entropy of single bytes, same text", f"{measured['unigram']:.3f} nats per byte"))
    else:
        rows.append(("held-out accuracy", f"{100 * measured['accuracy']:.1f} %"))
    if "zeros" in measured:
        rows.append(("zeros in the pruned matrices", f"{100 * measured['zeros']:.0f} %"))
    return "\n".join(["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows)])


def _limits(recipe: Recipe) -> str:
    """Returns the closing caveat."""
    if recipe.family == "text":
        return "It has learned spelling, indentation and a little syntax. What it writes does not run."
    return "It has seen 1 437 pictures of one kind. Do not read cheques with it."
