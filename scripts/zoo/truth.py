"""Writes `hubdna/demo/zoo.toml`: the true family tree, and which card is wrong in which way."""

from pathlib import Path

from catalog import BY_ID, RECIPES, Recipe, root_of

PATH = Path(__file__).resolve().parents[2] / "hubdna" / "demo" / "zoo.toml"
HEADER = """\
# The truth about the demo zoo, written by scripts/zoo/train_demo.py. Do not edit.
#
# repo_id         the model
# root            the top of its true family tree (itself, for a root)
# parent          the model its weights were made from; absent for a root
# relation        root, finetune, copy, lora or pruned
# declared        what its card gives as base_model; absent where the card is silent
# fault           the rule that the card breaks on purpose; absent where the card is honest
#                 HD001 undeclared base, HD002 wrong base, HD007 base that is nowhere, HD008 copy without credit
# expected_other  the true base that an audit should name; absent where there is none
"""


def write() -> None:
    """Writes the truth file."""
    PATH.write_text(HEADER + "".join(_entry(recipe) for recipe in RECIPES), encoding="utf-8")


def _entry(recipe: Recipe) -> str:
    """Returns one model's table."""
    expected = recipe.parent if recipe.fault in ("HD001", "HD002") else None
    if expected and BY_ID[expected].created >= recipe.created:
        raise ValueError(f"{recipe.repo_id} is older than its parent {expected}")
    fields = {
        "repo_id": recipe.repo_id,
        "root": root_of(recipe),
        "parent": recipe.parent,
        "relation": recipe.relation,
        "declared": recipe.declared,
        "fault": recipe.fault,
        "expected_other": expected,
    }
    lines = [f'{key} = "{value}"' for key, value in fields.items() if value]
    return "\n".join(["", "[[model]]", *lines, ""])
