"""What a model card and the files beside it say: metadata, tags, base models, library.

The Hub derives tags from the YAML block at the head of README.md and from the names of the files. The rules for
`base_model` follow what can be seen on the Hub: a declared relation wins, several parents are a merge, adapter files
make an adapter, GGUF files or a quantised config make a quantisation, anything else is a fine-tune.

Cards are hostile input. A block that is too long, nested too deeply, or that uses aliases (a few hundred bytes of them
unfold into gigabytes) is answered as "no metadata", never with an error.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

from hubdna.localhub.files import CACHE_SIZE, Stamp
from hubdna.localhub.repos import Repo, find_file

#: Longest metadata block that is read. The longest on the Hub, benchmark tables, are of this order.
CARD_LIMIT = 256 * 1024
#: Deepest nesting. A benchmark table, the deepest thing in a card, has eight levels.
DEPTH_LIMIT = 32
#: Largest JSON file read for metadata: the Hub's own limit for a file kept in git.
JSON_LIMIT = 10 * 10**6

FRONT_MATTER = re.compile(r"\ufeff?\s*---[ \t]*\r?\n(.*?)(?:^|\n)---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
#: Files whose presence is a tag of its own.
FORMAT_TAGS = {".safetensors": "safetensors", ".gguf": "gguf", ".onnx": "onnx", ".bin": "pytorch", ".pt": "pytorch"}
#: The parts of config.json that the Hub repeats in `config`. Sizes are not among them, here as there.
CONFIG_KEYS = ("architectures", "model_type", "auto_map", "quantization_config")


class MetadataError(ValueError):
    """A metadata block that is not read, and why."""


def parse_metadata(text: str) -> dict[str, Any]:
    """Read a YAML block as plain JSON values.

    Raises:
        MetadataError: with a message for the author of the card.
    """
    if len(text) > CARD_LIMIT:
        raise MetadataError(f"metadata is longer than {CARD_LIMIT} characters")
    try:
        _check_shape(text)
        data = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise MetadataError(str(error)) from error
    if data is not None and not isinstance(data, dict):
        raise MetadataError("metadata is not a mapping")
    plain: dict[str, Any] = _plain(data or {})
    return plain


def metadata_block(readme: str) -> str | None:
    """The text between the two `---` lines at the head of a README."""
    match = FRONT_MATTER.match(readme)
    return match.group(1) if match else None


def card_of(repo: Repo) -> Mapping[str, Any]:
    """The metadata of the repository's card; empty if there is none that can be read."""
    readme = find_file(repo, "README.md")
    return _read_card(readme.stamp) if readme else {}


def config_of(repo: Repo) -> dict[str, Any] | None:
    """The excerpt of config.json and adapter_config.json that the Hub publishes as `config`."""
    full = read_json(repo, "config.json")
    excerpt = {key: full[key] for key in CONFIG_KEYS if key in full}
    if adapter := read_json(repo, "adapter_config.json"):
        excerpt["peft"] = {k: adapter[k] for k in ("base_model_name_or_path", "task_type") if k in adapter}
    return excerpt or None


def read_json(repo: Repo, path: str) -> Mapping[str, Any]:
    """A JSON object among the files; empty if it is missing, too large, or not one."""
    file = find_file(repo, path)
    return _read_json(file.stamp) if file and file.size <= JSON_LIMIT else {}


def library_of(repo: Repo) -> str | None:
    """The library that loads the model: declared, else guessed from the files as the Hub does."""
    declared = card_of(repo).get("library_name")
    if isinstance(declared, str):
        return declared
    names = {file.path for file in repo.files}
    if "adapter_config.json" in names:
        return "peft"
    if "model_index.json" in names:
        return "diffusers"
    return "transformers" if "model_type" in read_json(repo, "config.json") else None


def base_models_of(repo: Repo) -> tuple[str | None, list[str]]:
    """The relation and the parents that the card declares."""
    card = card_of(repo)
    parents = _strings(card.get("base_model"))
    if not parents:
        return None, []
    declared = card.get("base_model_relation")
    if isinstance(declared, str):
        return declared, parents
    names = {file.path.rpartition("/")[2] for file in repo.files}
    if len(parents) > 1:
        return "merge", parents
    if any(name.startswith("adapter_") for name in names):
        return "adapter", parents
    quantized = any(name.endswith(".gguf") for name in names) or "quantization_config" in (config_of(repo) or {})
    return ("quantized" if quantized else "finetune"), parents


def tags_of(repo: Repo) -> list[str]:
    """All tags, each once: what `filter=` is matched against."""
    return list(dict.fromkeys(_tags(repo)))


def _tags(repo: Repo) -> Iterator[str]:
    card = card_of(repo)
    if library := library_of(repo):
        yield library
    for file in repo.files:
        if tag := FORMAT_TAGS.get(PurePosixPath(file.path).suffix):
            yield tag
    model_type = read_json(repo, "config.json").get("model_type")
    yield from _strings(model_type)
    yield from _strings(card.get("pipeline_tag"))
    yield from _strings(card.get("tags"))
    yield from _strings(card.get("language"))
    yield from (f"dataset:{name}" for name in _strings(card.get("datasets")))
    relation, parents = base_models_of(repo)
    for parent in parents:
        yield f"base_model:{parent}"
        yield f"base_model:{relation}:{parent}"
    yield from (f"license:{name}" for name in _strings(card.get("license")))
    if repo.meta.gated:
        yield "gated"


def _strings(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, str) and item]


def _check_shape(text: str) -> None:
    depth = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        if isinstance(event, AliasEvent):
            raise MetadataError("metadata uses YAML aliases")
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > DEPTH_LIMIT:
            raise MetadataError(f"metadata is nested deeper than {DEPTH_LIMIT} levels")


def _plain(value: Any) -> Any:
    """YAML knows dates, sets, bytes and infinities; JSON does not. Half a pair of UTF-16 is no text to either."""
    if isinstance(value, dict):
        return {_text(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, int | float) else _text(str(value))


def _text(text: str) -> str:
    """Text that can be sent: halves of pairs joined, or replaced where the other half is missing."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@lru_cache(CACHE_SIZE)
def _read_card(stamp: Stamp) -> Mapping[str, Any]:
    try:
        with stamp.path.open("rb") as file:
            # Four bytes is the longest character of UTF-8, and eight characters are the two marker lines.
            head = file.read(4 * (CARD_LIMIT + 8)).decode("utf-8", "replace")
        return parse_metadata(metadata_block(head) or "")
    except (OSError, MetadataError):
        return {}


@lru_cache(CACHE_SIZE)
def _read_json(stamp: Stamp) -> Mapping[str, Any]:
    try:
        data = _plain(json.loads(stamp.path.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
