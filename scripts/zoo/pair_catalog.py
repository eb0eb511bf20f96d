"""The recipe table of the pair sets: every model, what it was made from and how, and which disguise it wears.

A set is one architecture at one size and seed. Its models stand in the order in which they are made. A row gives a
pair (the model, `against`); `EXTRA` lists the pairs that no single row gives. Steps and learning rates are shares of
those of the set's root, so that one table serves all architectures. What a row's fields mean: `pair_rows`.
"""

import os
from dataclasses import replace
from pathlib import Path

from pair_rows import PairSet, Recipe, disguises, layers, lora, masked, root, surgery, tune
from pair_text import CUT, RESERVED, WORDS

COMMON = [
    root("base", against="-"),
    root("indep", order_as="base", note="same data in the same order"),
    root("indep_wide", shape="wide", note="another width"),
    Recipe("init", "initialisation", "", "fresh", init_as="base", against="-", note="the base before training"),
    tune("ft_a", "a", note="its card claims training from scratch"),
    tune("ft_b", "b"),
    tune("ft_heavy", "a", length=1, rate=2 / 3, note="heavy"),
    tune("ft_of_ft", "b", parent="ft_a", against="base", note="grandchild"),
    tune("indep_ft", "a", "independent", parent="indep", against="base", related=False, claims="zoo/base"),
    tune("cpt", "far", "continued-pretraining", length=3, rate=1, note="very heavy"),
    Recipe("copy", "identical"),
    Recipe("copy_bf16", "cast", dtype="BF16"),
    Recipe("copy_fp16", "cast", dtype="F16"),
    *(
        Recipe(f"rtn_int{bits}_dequant", "quantized", how="rounded", options={"bits": bits}, dtype="F16",
               detail={"bits": bits}) for bits in (8, 4, 2)
    ),
    Recipe("mask_50", "mask-of", how="pruned", note="survivors keep their bits"),
    Recipe("pruned_ft", "pruned", how="pruned", data="a", length=1 / 6, sparse=True, note="half zero, then tuned"),
    Recipe("merge_60_40", "merge", "ft_a", "merged", {"share": 0.6}, ("ft_b",)),
    Recipe("merge_cross", "merge", "base", "merged", {"share": 0.5}, ("indep",), note="with an unrelated model"),
    Recipe("head_new", "head", how="reheaded", data="a", rate=1 / 3),
    root("distilled", relation="distilled", related=True, teacher="base", note="no weight of the teacher in it"),
    root("twin_order", relation="shared-initialisation", related=True, init_as="base", note="same data, other order"),
    replace(root("twin_data", relation="shared-initialisation", related=True, init_as="base"), data="far"),
]  # fmt: skip
EXTRA = [
    ("base", "init", "initialisation", True),
    ("ft_a", "ft_b", "sibling", True),
    ("ft_heavy", "ft_b", "sibling", True),
    ("cpt", "ft_a", "sibling", True),
    ("merge_60_40", "base", "merge", True),
    ("merge_cross", "indep", "merge", True),
    ("twin_order", "twin_data", "shared-initialisation", True),
    ("indep", "ft_heavy", "independent", False),
    ("indep_ft", "ft_a", "independent", False),
    ("indep_wide", "indep", "independent", False),
    ("indep", "cpt", "independent", False),
    ("indep_ft", "twin_data", "independent", False),
    ("indep", "distilled", "independent", False),
    ("indep_ft", "merge_60_40", "independent", False),
    ("indep_all_ways", "ft_all_ways", "independent", False),
    ("indep", "mask_50", "independent", False),
]
MERGED_LAYERS = Recipe("merge_layers", "merge", "ft_a", "interleaved", {}, ("ft_b",))
NARROWED = surgery("pruned_width", "width", "narrowed", note="a quarter of the hidden units dropped")

DECODER = [
    *COMMON,
    MERGED_LAYERS,
    *disguises(
        ("units", "heads", "scales", "signs", "norms", "rotation"),
        {
            "perm_mlp": ("units",),
            "perm_heads": ("heads",),
            "perm_all": ("units", "heads", "residual"),
            "rotated": ("norms", "rotation"),
            "rescaled": ("scales",),
            "sign_flips": ("signs",),
            "norms_folded": ("norms",),
        },
    ),
    masked("ft_perm_all", "units", "heads", "residual", parent="ft_a"),
    masked("ft_rotated", "norms", "rotation", parent="ft_a"),
    *lora(),
    Recipe("int8_stored", "quantized", layout="int8", detail={"bits": 8}, note="int8 and a scale per row, stored"),
    Recipe("gguf_q8", "quantized", layout="gguf", detail={"bits": 8}, note="GGUF, Q8_0"),
    Recipe("ft_a_bin", "finetune", "ft_a", layout="pickle", against="base", note="pickle only"),
    *layers((0, 1, 2, 5), (0, 1, 2, 3, 2, 3, 4, 5), (0, 3, 2, 1, 4, 5)),
    NARROWED,
    surgery("vocab_plus64", "vocabulary", "revocabulary", {"words": 64}, note="64 tokens more"),
    surgery("vocab_cut", "vocabulary", "revocabulary", {"words": CUT}, note="the first 768 tokens only"),
    surgery("moe_upcycled", "upcycled", "upcycled", length=0.25, kind="moe"),
    replace(root("vit_base", kind="hub-vit", against="-"), length=2, rate=0.5),
    tune("vit_ft", "a", parent="vit_base", kind="hub-vit", length=0.5),
    replace(root("vit_indep", kind="hub-vit", against="vit_base"), length=2, rate=0.5),
    Recipe("llava", "component", "base", "combined", {}, ("vit_base",), note="decoder and tower frozen"),
    Recipe("llava_tuned", "component", "ft_a", "combined", {}, ("vit_base",), against="base", note="decoder tuned"),
]  # fmt: skip
DECODER_EXTRA = [
    *EXTRA,
    ("ft_a_bin", "ft_a", "converted", True),
    ("merge_layers", "base", "merge", True),
    ("lora_merged", "ft_b", "sibling", True),
    ("pruned_depth", "ft_b", "sibling", True),
    ("llava", "vit_base", "component", True),
    ("llava_tuned", "vit_base", "component", True),
    ("llava_tuned", "ft_a", "component", True),
    ("indep", "rotated", "independent", False),
    ("indep_ft", "lora_merged", "independent", False),
    ("indep", "moe_upcycled", "independent", False),
    ("indep", "depth_up", "independent", False),
    ("indep", "llava", "independent", False),
    ("vit_indep", "llava", "independent", False),
]


def decoder(width: int, seed: int) -> PairSet:
    """The decoder set of one width and seed; odd seeds have reserved tokens in the vocabulary."""
    words = WORDS + RESERVED * (seed % 2)
    base = {"vocab_size": words, "hidden_size": width, "intermediate_size": 3 * width, "num_hidden_layers": 6}
    wide = {"hidden_size": width + 32, "intermediate_size": 2 * width}
    recipes = [replace(r, options={"words": words + 64}) if r.name == "vocab_plus64" else r for r in DECODER]
    return PairSet("decoder", seed, base, wide, 240, 3e-3, recipes, DECODER_EXTRA)


DEPTHS = layers((0, 1, 3), (0, 1, 2, 1, 2, 3), (0, 2, 1, 3))
BOTH = ("units", "heads", "residual")
MOE = [
    *COMMON,
    MERGED_LAYERS,
    *disguises(
        ("units", "heads", "experts", "scales", "signs", "norms", "rotation"),
        {
            "perm_mlp": ("units",),
            "perm_heads": ("heads",),
            "perm_res": ("residual",),
            "perm_experts": ("experts",),
            "perm_all": (*BOTH, "experts"),
            "rotated": ("norms", "rotation"),
            "rescaled": ("scales",),
            "sign_flips": ("signs",),
        },
    ),
    *lora(),
    *DEPTHS,
    NARROWED,
]
ENCODER = [
    *COMMON,
    MERGED_LAYERS,
    *disguises(
        (*BOTH, "scales", "signs"),
        {
            "perm_mlp": ("units",),
            "perm_heads": ("heads",),
            "perm_res": ("residual",),
            "perm_all": BOTH,
            "rescaled": ("scales",),
            "sign_flips": ("signs",),
        },
    ),
    *lora(),
    *DEPTHS,
    NARROWED,
]
VIT = [
    *COMMON,
    MERGED_LAYERS,
    *disguises(
        ("units", "heads", "scales", "signs", "norms", "rotation"),
        {
            "perm_mlp": ("units",),
            "perm_heads": ("heads",),
            "perm_res": ("residual",),
            "perm_all": BOTH,
            "rotated": ("norms", "rotation"),
            "rescaled": ("scales",),
            "sign_flips": ("signs",),
        },
    ),
    *lora(),
    *DEPTHS,
    NARROWED,
]
CONV_WAYS = {
    "perm_units": ("units",),
    "perm_res": ("residual",),
    "perm_all": ("units", "residual"),
    "rescaled": ("scales",),
    "sign_flips": ("signs",),
    "norms_folded": ("norms",),
}
CONV = [*COMMON, *disguises(("units", "residual", "scales", "signs", "norms"), CONV_WAYS)]
RESNET = [*CONV, *layers((0,), (0, 1, 1))]
CONVNEXT = [*CONV, *layers((0,), (0, 1, 0, 1), (1, 0))]
SMALL = {"hidden_size": 96, "num_hidden_layers": 4}
SETS = {
    "decoder-128-s1": decoder(128, 1),
    "encoder": PairSet(
        "encoder", 0, SMALL | {"intermediate_size": 384}, {"hidden_size": 128, "intermediate_size": 256},
        300, 1.5e-3, ENCODER, EXTRA,
    ),
    "vit": PairSet("vit", 0, {}, {"embed_dim": 96, "mlp_ratio": 2}, 400, 2e-3, VIT, EXTRA),
    "resnet": PairSet("resnet", 0, {}, {"channels": (64, 96, 96, 128)}, 150, 2e-3, RESNET, EXTRA),
    "convnext": PairSet("convnext", 0, {}, {"dims": (48, 64, 96, 128)}, 200, 3e-3, CONVNEXT, EXTRA),
    "moe": PairSet(
        "moe", 0, SMALL | {"vocab_size": WORDS + RESERVED, "intermediate_size": 192},
        {"hidden_size": 128, "intermediate_size": 128}, 200, 3e-3, MOE, EXTRA,
    ),
    "decoder-128-s0": decoder(128, 0),
    "decoder-96-s0": decoder(96, 0),
    "decoder-96-s1": decoder(96, 1),
}  # fmt: skip


def cache() -> Path:
    """Returns the zoo's folder: $HUBDNA_ZOO, or one in the user's cache."""
    return Path(os.environ.get("HUBDNA_ZOO") or Path.home() / ".cache" / "hubdna-zoo")
