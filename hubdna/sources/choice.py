"""Which of a repository's files are the model. Decided from names alone, by tables that can be read.

A repository is a folder of everything: the model in three formats, quantised copies of it, what training left behind,
adapters, files of other engines. Every file is looked up in `RULES`, the first row that fits says what it is. Of what
can be read one model is chosen: unquantised before quantised, safetensors before PyTorch before ONNX before GGUF, the
root before folders, whole weights before half ones, common names before others; all shards of it, or all components
of a pipeline. Everything else that is weights of some kind is named in `rejected`, with a reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from posixpath import basename, dirname

from hubdna.errors import FormatError
from hubdna.records import Choice, Kind, Skipped
from hubdna.sources import safetensors

FORMATS: tuple[Kind, ...] = ("safetensors", "torch", "onnx", "gguf")
"""In order of preference."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of file.

    Attributes:
        pattern: of the lower-case path, below any folder.
        kind: "none" for what is not read.
        what: in words.
        beside: file names of which one must lie in the same folder, `*` for the name without its ending.
    """

    pattern: str
    kind: Kind
    what: str
    beside: tuple[str, ...] = ()


_WEIGHTS = r"(safetensors|bin|pt|pth|ckpt|pkl|h5|msgpack|gguf|onnx)"
_VOCABULARIES = tuple(f"{a}vocabulary.{b}" for a in ("", "shared_", "source_") for b in ("txt", "json"))
RULES: tuple[Rule, ...] = (
    # what training leaves behind
    Rule(r"training_args\.(bin|pt)|trainer_state\.(bin|pt)", "none", "training arguments"),
    Rule(r"(\w+_)?optim(izer)?s?([-_.][^/]*)?\.(pt|pth|bin|safetensors)", "none", "state of an optimizer"),
    Rule(r"(lr_)?scheduler([-_.][^/]*)?\.(pt|pth|bin)", "none", "state of a learning-rate schedule"),
    Rule(r"(rng_state|random_state)s?[^/]*\.(pth|pt|pkl)", "none", "state of random numbers"),
    Rule(r"(grad_)?scaler\.(pt|pth|bin)", "none", "state of loss scaling"),
    Rule(r"[^/]*(zero_pp_rank|optim_states|model_states)[^/]*\.pt|[^/]*\.distcp", "none", "part of a training state"),
    Rule(r"receipt/(states/[^/]*|samples\.bin)", "none", "part of a training receipt"),
    Rule(rf"(checkpoint|global_step|epoch|step)[-_]?\d+/.*\.{_WEIGHTS}", "none", "an intermediate checkpoint"),
    Rule(r"(mp_rank|tp_rank|iter)_\d+(_\d+)?/.*\.pt", "none", "model-parallel slices: only whole tensors are read"),
    Rule(r"consolidated\.\d\d\.pth", "none", "a model-parallel slice: only whole tensors are read",
         ("consolidated.01.pth",)),
    # other engines, some of which call their files .bin
    Rule(r".*\.(mlpackage|mlmodelc)/.*|[^/]*\.mlmodel", "none", "Core ML"),
    Rule(r"openvino[^/]*\.(bin|xml)", "none", "OpenVINO"),
    Rule(r"[^/]*\.bin", "none", "OpenVINO", ("*.xml",)),
    Rule(r"[^/]*\.bin", "none", "ncnn", ("*.param",)),
    Rule(r"model\.bin", "none", "CTranslate2", _VOCABULARIES),
    Rule(r"params_shard_\d+\.bin", "none", "MLC"),
    Rule(r"(cc\.\w+\.300|wiki\.\w+|lid\.\d+|[^/]*fasttext[^/]*)\.bin|[^/]*\.(ftz|vec)", "none", "fastText"),
    Rule(r"(ggml[^/]*|[^/]*[-_.](ggml|ggjt)[^/]*)\.bin|[^/]*\.ggml", "none", "ggml as of before GGUF"),
    Rule(r"[^/]*\.ckpt", "none", "TensorFlow checkpoint", ("*.ckpt.meta", "*.ckpt.index")),
    Rule(r"[^/]*\.data-\d{5}-of-\d{5}|[^/]*ckpt[^/]*\.(index|meta)", "none", "TensorFlow checkpoint"),
    # parts of no model, or of another one
    Rule(r"[^/]*mmproj[^/]*\.gguf", "none", "the projector beside a language model"),
    Rule(r"[^/]*imatrix[^/]*\.(gguf|dat)", "none", "importance matrix of a quantisation"),
    Rule(r"(\d+_(dense|pooling|normalize|layernorm)\w*|safety_checker)/.*\." + _WEIGHTS, "none",
         "a fixed part of the pipeline around the model"),
    Rule(r"(vocab|voices?/)[^/]*\.(pt|bin)|pytorch_model_head\.bin", "none", "no model's weights"),
    # adapters
    Rule(r"(adapter_model|pytorch_adapter|pytorch_lora_weights|learned_embeds|ip[-_]adapter|lora)([-_.][^/]*)?"
         r"\.(safetensors|bin|pt|pth)|[^/]*[-_.]lora([-_.][^/]*)?\.(safetensors|bin|pt)", "adapter", "an adapter"),
    # what is read
    Rule(r"[^/]*\.safetensors", "safetensors", "safetensors"),
    Rule(r"[^/]*\.(bin|pt|pth|ckpt|jit|torchscript|ptl)", "torch", "PyTorch"),
    Rule(r"[^/]*\.onnx", "onnx", "ONNX"),
    Rule(r"[^/]*\.gguf", "gguf", "GGUF"),
    # everything else that holds weights
    Rule(r"[^/]*\.onnx[._]data(_\d+)?", "none", "data of an ONNX file"),
    Rule(r"[^/]*\.(h5|hdf5|keras)", "none", "Keras"),
    Rule(r"saved_model\.pbtxt|[^/]*\.pb", "none", "TensorFlow SavedModel or graph"),
    Rule(r"[^/]*\.msgpack", "none", "Flax"),
    Rule(r"[^/]*\.(tflite|lite|task|litertlm)", "none", "TensorFlow Lite"),
    Rule(r"[^/]*\.(pdparams|pdmodel|pdiparams|pdopt)", "none", "Paddle"),
    Rule(r"[^/]*\.nemo", "none", "NeMo archive"),
    Rule(r"[^/]*\.llamafile", "none", "llamafile: a program"),
    Rule(r"[^/]*\.(rknn|om|hef|dlc|axmodel|bmodel|espdl|pte|mnn|tnn|tmfile|kmodel)", "none", "compiled for a device"),
    Rule(r"[^/]*\.(engine|plan|trt)", "none", "TensorRT engine: compiled for one GPU"),
    Rule(r"[^/]*-py3-none-any\.whl|(ner|tagger|parser|tok2vec|textcat)/model|[^/]*\.spacy", "none", "spaCy"),
    Rule(r"[^/]*\.(pkl|pickle|joblib|dill|skops)", "none", "pickled Python objects: never loaded"),
    Rule(r"[^/]*\.(npz|npy)", "none", "NumPy arrays"),
    Rule(r"[^/]*\.(ot|t7|caffemodel|params|weights|mar|pmml|cbm|ubj|bst|kv|wv)", "none", "another library's model"),
    Rule(r"[^/]*\.(tar|tgz|tar\.\w+|zip|7z|rar)", "none", "a packed archive"),
)  # fmt: skip
"""The first row that fits a file is the one."""

VARIANTS: tuple[tuple[str, int, str], ...] = (
    (r"int[248]|uint[48]|[248]-?bit|w[48]a\d+|q[2-8](_\w+|f16)?|fp[48]|f8|nf4|awq|gptq|bnb4?|exl[23]|quant(ized)?|e4m3fn",
     8, "a quantised copy"),
    (r"non[-_]?ema|ema", 2, "a variant"),
    (r"fp16|f16|half|float16", 2, "a half-precision copy"),
    (r"bf16|bfloat16", 1, "a half-precision copy"),
)  # fmt: skip
"""Words between separators of a path: what they cost, and what they say. From 8 on a copy is quantised."""
GGUF_TYPES = (
    "F32 BF16 F16 Q8_0 Q8_K Q6_K_L Q6_K Q5_K_L Q5_K_M Q5_K Q5_1 Q5_K_S Q5_0 Q4_K_L Q4_K_M Q4_K Q4_1 Q4_K_S Q4_0 MXFP4"
    " IQ4_NL IQ4_XS Q3_K_XL Q3_K_L Q3_K_M Q3_K Q3_K_S IQ3_M IQ3_S IQ3_XS IQ3_XXS Q2_K_L Q2_K Q2_K_S IQ2_M IQ2_S IQ2_XS"
    " IQ2_XXS TQ2_0 TQ1_0 IQ1_M IQ1_S"
).split()
"""From the most exact one down."""
COMMON: dict[Kind, tuple[str, ...]] = {
    "safetensors": ("model", "diffusion_pytorch_model", "pytorch_model", "open_clip_model", "consolidated"),
    "torch": ("pytorch_model", "diffusion_pytorch_model", "model", "open_clip_pytorch_model", "best_model", "best"),
    "onnx": ("model", "encoder_model", "decoder_model_merged", "decoder_model"),
    "gguf": (),
}
"""File names that a model of this format usually has, before all others."""
FOLDERS = ("", "onnx", "0_transformer", "model", "pytorch", "original")
"""Where a model lies, before all other folders."""
COMPONENTS = ("transformer", "unet", "prior", "decoder", "controlnet", "vae", "text_encoder")
"""Order of a pipeline's components: what was trained for it first."""

_SHARD = re.compile(r"(.*?)[-_.]([0-9]{1,5})-of-([0-9]{1,5})((?:\.\w+)+)")
_GGUF_TYPE = re.compile(rf"(?:.*[-_./])?({'|'.join(sorted(GGUF_TYPES, key=len, reverse=True))})(?:[-_./].*)?", re.I)
_RULES = tuple((re.compile(rf"(?:.*/)?(?:{rule.pattern})"), rule) for rule in RULES)
_VARIANTS = tuple((re.compile(rf"(?:.*[-_./])?(?:{words})(?:[-_./].*)?"), n, what) for words, n, what in VARIANTS)
MAX_SHARDS, MAX_NAME = 10_000, 1_000


@dataclass(frozen=True, slots=True)
class _Group:
    """One file, or the shards of one."""

    kind: Kind
    folder: str
    stem: str
    files: tuple[str, ...]
    total: int
    cost: int
    variant: str

    @property
    def rank(self) -> tuple[object, ...]:
        """What makes one group better than another; smaller is better."""
        folder, stem = self.folder.lower(), re.split(r"[.]", self.stem.lower())[0]
        common = COMMON.get(self.kind, ())
        return (
            self.cost >= 8,
            FORMATS.index(self.kind) if self.kind in FORMATS else len(FORMATS),
            FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS) + folder.count("/"),
            self.cost,
            common.index(stem) if stem in common else len(common),
            len(self.files) < self.total,
            _SHARD.fullmatch(basename(self.files[0])) is not None,  # one file before shards, as transformers does
            not self.files[0].endswith(".safetensors"),  # of adapters
            _natural(self.files[0]),
        )


def choose(files: tuple[str, ...], read_index: Callable[[str], bytes] | None = None) -> Choice:
    """Choose the files that are the model.

    Args:
        files: every file name of the repository.
        read_index: called with the name of a shard index when shard names do not speak for themselves; its bytes.

    Raises:
        FormatError: a shard that the numbering or the index names is absent.
    """
    here = {f.lower() for f in files}
    rules = {f: rule for f in dict.fromkeys(files) if _is_sound(f) and (rule := _rule(f, here)) is not None}
    groups = sorted(_groups((f, rule) for f, rule in rules.items() if rule.kind != "none"), key=lambda g: g.rank)
    models = [g for g in groups if g.kind != "adapter"]
    chosen = _components(models) if "model_index.json" in files else []
    note = f"components: {', '.join(g.folder for g in chosen)}" if chosen else None
    if not chosen:
        chosen = (models or groups)[:1]
        note = _note(chosen, models)
    names = tuple(f for group in chosen for f in _all_files(group, files, read_index))
    taken, group_of = set(names), {f: group for group in groups for f in group.files}
    rejected = [Skipped(f, _reason(rules[f], group_of.get(f), chosen)) for f in rules if f not in taken]
    rejected += [Skipped(ascii(f[:80]), "not a sound file name") for f in files if not _is_sound(f)]
    return Choice(names, chosen[0].kind if chosen else "none", tuple(rejected), note)


def _is_sound(name: str) -> bool:
    parts = name.split("/")
    return name.isprintable() and 0 < len(name) <= MAX_NAME and "\\" not in name and not {"", ".", ".."} & set(parts)


def _rule(file: str, here: set[str]) -> Rule | None:
    """The first row that fits; None for what has nothing to do with weights."""
    path = file.lower()
    folder, stem = dirname(path), basename(path).rpartition(".")[0]
    for pattern, rule in _RULES:
        if pattern.fullmatch(path):
            beside = [f"{folder}/{name.replace('*', stem)}".lstrip("/") for name in rule.beside]
            if not beside or not here.isdisjoint(beside):
                return rule
    return None


def _groups(found: Iterable[tuple[str, Rule]]) -> list[_Group]:
    """Shards of one model together, everything else by itself."""
    grouped: dict[tuple[str, ...], list[str]] = {}
    kinds: dict[tuple[str, ...], Kind] = {}
    for file, rule in found:
        shard = _SHARD.fullmatch(basename(file))
        key = (dirname(file), *((shard[1], shard[3], shard[4]) if shard else (basename(file),)))
        grouped.setdefault(key, []).append(file)
        kinds[key] = rule.kind
    groups = []
    for key, of_one in grouped.items():
        stem, total = (key[1], int(key[2])) if len(key) > 2 else (key[1].rpartition(".")[0], 1)
        cost, variant = _variant(of_one[0].rpartition(".")[0], kinds[key])
        groups.append(_Group(kinds[key], key[0], stem, tuple(sorted(of_one, key=_natural)), total, cost, variant))
    return groups


def _variant(path: str, kind: Kind) -> tuple[int, str]:
    """What a file's name says about its precision: a cost, and words."""
    if kind == "gguf":
        found = _GGUF_TYPE.fullmatch(path)
        place = GGUF_TYPES.index(found[1].upper()) if found else GGUF_TYPES.index("Q8_0")
        return (place, "a half-precision copy") if place < 3 else (place + 8, "a quantised copy")
    return next(((n, what) for pattern, n, what in _VARIANTS if pattern.fullmatch(path.lower())), (0, ""))


def _components(models: list[_Group]) -> list[_Group]:
    """The best group of each folder of a pipeline."""
    best: dict[str, _Group] = {}
    for group in models:
        usual = re.split(r"[.]", group.stem)[0] in ("diffusion_pytorch_model", "model", "pytorch_model")
        if group.folder and "/" not in group.folder and usual and group.kind in ("safetensors", "torch"):
            best.setdefault(group.folder, group)

    def order(folder: str) -> tuple[int, str]:
        return next((i for i, name in enumerate(COMPONENTS) if folder.startswith(name)), len(COMPONENTS)), folder

    return [best[folder] for folder in sorted(best, key=order)]


def _note(chosen: list[_Group], models: list[_Group]) -> str | None:
    if not chosen:
        return None
    one = chosen[0]
    if one.kind == "adapter":
        return "an adapter: the difference to another model, no model"
    others = [g for g in models if g.kind == one.kind and g.cost == one.cost and g.folder == one.folder and g != one]
    if others and one.stem.lower() not in COMMON.get(one.kind, ()):
        return f"one of {len(others) + 1} {one.kind} models beside each other"
    return "quantised: no other copy is here" if one.cost >= 8 else None


def _all_files(group: _Group, files: tuple[str, ...], read_index: Callable[[str], bytes] | None) -> tuple[str, ...]:
    """A group's files in shard order. Raises FormatError when one is absent."""
    name, prefix = basename(group.files[0]), f"{group.folder}/" if group.folder else ""
    if shard := _SHARD.fullmatch(name):
        begin, end = shard.span(2)
        numbers = range(1, min(group.total, MAX_SHARDS) + 1)
        wanted = [f"{prefix}{name[:begin]}{i:0{end - begin}d}{name[end:]}" for i in numbers]
        absent = sorted(set(wanted) - set(files), key=_natural) if wanted else list(group.files)
        if absent:
            n = f"{len(absent)} of {len(wanted)} absent"
            raise FormatError(absent[0], f"shard is absent although the numbering of the shards names it ({n})")
        return tuple(wanted)
    if group.kind == "safetensors" and group.stem != "model" and read_index is not None:
        here = (f for f in files if dirname(f) == group.folder and not _SHARD.fullmatch(f) and _is_sound(f))
        beside = [f.removeprefix(prefix) for f in here]
        if index := min((f for f in beside if f.endswith(".safetensors.index.json")), default=None):
            shards = safetensors.indexed_shards(index, read_index(prefix + index), beside)
            return tuple(prefix + f for f in shards)
    return group.files


def _reason(rule: Rule, group: _Group | None, chosen: list[_Group]) -> str:
    """Why a file was not taken."""
    if group is None:
        return rule.what if ":" in rule.what else f"{rule.what}: not read"
    if group.kind == "adapter":
        return "an adapter: another one is taken" if chosen[0].kind == "adapter" else "an adapter beside the model"
    best = next((g for g in chosen if g.folder == group.folder), chosen[0])
    return f"{group.variant or rule.what}: {best.files[0]} comes before it"


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    return tuple((int(p), "") if p.isdecimal() else (-1, p) for p in re.split(r"(\d+)", name) if p)
