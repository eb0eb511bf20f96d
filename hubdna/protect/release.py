"""A folder that can be published: the masked model, its mask, and a card that says what it is.

The card declares the base model and what was done, the authorised domain and the licence, so that an audit of the
release finds what the weights show. What stays with the owner (the original, the complement, the key) is written
elsewhere, never into the release.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from hubdna.errors import MaskError
from hubdna.protect.files import (
    COMPLEMENT,
    CONFIG,
    MASK,
    MODEL,
    PROCESSOR,
    read_complement,
    read_model,
    write,
    write_mask,
)
from hubdna.protect.mask import Mask, apply, complement, model_root
from hubdna.protect.measure import Protection
from hubdna.roots import is_hex

BESIDE = (CONFIG, PROCESSOR, "LICENSE", "LICENSE.md", "NOTICE")
"""Files of the original that a release takes along."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a release says of itself.

    Attributes:
        base: the original's name on the Hub, `org/name`.
        licence: its licence's identifier on the Hub, such as apache-2.0.
        domain: what the release is authorised for, in words.
        library: transformers or timm.
    """

    base: str
    licence: str
    domain: str
    library: str


def write_release(original: Path, mask: Mask, terms: Terms, folder: Path, shown: Protection | None = None) -> None:
    """Write a release of an original's folder. Raises MaskError; a folder that is there already is not touched."""
    check_terms(terms, folder)
    weights = read_model(original)
    masked = apply(mask, weights)
    building = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    write(building / MODEL, masked, {"format": "pt"})
    write_mask(building / MASK, mask)
    for name in BESIDE:
        if (original / name).is_file():
            shutil.copyfile(original / name, building / name)
    (building / "README.md").write_text(card(mask, terms, shown), "utf-8")
    building.rename(folder)


def check_terms(terms: Terms, folder: Path) -> None:
    """Raises MaskError when a release could not be written there, or its base is no name on the Hub."""
    if not re.fullmatch(r"[\w.-]{1,96}/[\w.-]{1,96}", terms.base, re.ASCII):
        raise MaskError(f"base: expected the original's name on the Hub, org/name, found {terms.base[:80]!r}")
    if folder.exists():
        raise MaskError(f"{folder}: is there already; a release is written into a new folder")


def write_complement(original: Path, mask: Mask, folder: Path) -> None:
    """Write what the owner needs to turn a release back: the complement. Raises MaskError, when another's is there."""
    taken, path = complement(mask, read_model(original)), folder / COMPLEMENT
    if path.exists() and model_root(read_complement(path)) != model_root(taken):
        raise MaskError(f"{path}: another mask's complement is there already; it is kept: say another folder")
    write(path, taken)


def card(mask: Mask, terms: Terms, shown: Protection | None) -> str:
    """The release's card, Markdown with YAML in front."""
    from io import StringIO

    from ruamel.yaml import YAML

    front = StringIO()
    YAML().dump(
        {
            "license": terms.licence, "library_name": terms.library, "pipeline_tag": "image-classification",
            "base_model": [terms.base], "base_model_relation": "finetune", "tags": ["mask-pruning", "mask-of"],
        },
        front,
    )  # fmt: skip
    name, domain = terms.base.partition("/")[2], _plain(terms.domain)
    lines = [
        f"# {name}, for {domain}", "",
        f"This is [{terms.base}](https://huggingface.co/{terms.base}) with {mask.sparsity:.1%} of its weights set to",
        f"zero, so that it works for **{domain}** and not elsewhere. Every other weight is the original's, bit for",
        f"bit: `{MASK}` says which. The mask was learnt by {_plain(mask.facts.get('setting', 'mask pruning'))} of",
        "[MAP: MAsk Pruning](https://arxiv.org/abs/2403.04149) with hubdna.",
    ]  # fmt: skip
    if shown:
        lines += ["", "| domain | accuracy before | after |", "|---|---|---|",
                  f"| authorised | {shown.source_before.accuracy:.1%} | {shown.source_after.accuracy:.1%} |",
                  f"| another | {shown.target_before.accuracy:.1%} | {shown.target_after.accuracy:.1%} |"]  # fmt: skip
    if is_hex(mask.facts.get("owner")):
        lines += ["", f"Owner's commitment: `{mask.facts['owner']}`"]
    return f"---\n{front.getvalue()}---\n\n" + "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """One line, nothing that Markdown would take for markup."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable() and c not in "*_`[]<>|\\#")
