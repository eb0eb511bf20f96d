"""The properties of a repository as the API names them.

One table says how each property is made. `expand=` picks from it, a plain listing and a full answer are fixed
selections from it, and what is not asked for is not computed: a listing that shows no `sha` hashes no file.
"""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

from hubdna.localhub.cards import base_models_of, card_of, config_of, library_of, tags_of
from hubdna.localhub.files import RepoFile, blob_id, pointer_of, sha256_of
from hubdna.localhub.refusals import bad_request
from hubdna.localhub.repos import Repo, created_at, last_modified, sha_of
from hubdna.localhub.weights import parameters_of


def object_id(text: str) -> str:
    """A database id as the Hub has them: 24 hex digits, the same for the same name."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:24]


def repo_object_id(repo: Repo) -> str:
    """The database id of a repository. It stays when the repository is moved."""
    return repo.meta.object_id or object_id(repo.id)


def sibling(file: RepoFile) -> dict[str, Any]:
    """A file with its hashes, as `blobs=true` shows it."""
    entry: dict[str, Any] = {"rfilename": file.path, "size": file.size, "blobId": blob_id(file)}
    if file.is_lfs:
        entry["lfs"] = {"sha256": sha256_of(file), "size": file.size, "pointerSize": len(pointer_of(file))}
    return entry


def _base_models(repo: Repo) -> dict[str, Any] | None:
    relation, parents = base_models_of(repo)
    models = [{"_id": object_id(parent), "id": parent} for parent in parents]
    return {"relation": relation, "models": models} if models else None


FIELDS: dict[str, Callable[[Repo], Any]] = {
    "author": lambda repo: repo.author,
    "baseModels": _base_models,
    "cardData": lambda repo: dict(card_of(repo)) or None,
    "config": config_of,
    "createdAt": created_at,
    "disabled": lambda repo: False,
    "downloads": lambda repo: repo.meta.downloads,
    "downloadsAllTime": lambda repo: repo.meta.downloads,
    "gated": lambda repo: repo.meta.gated,
    "lastModified": last_modified,
    "library_name": library_of,
    "likes": lambda repo: repo.meta.likes,
    "model-index": lambda repo: card_of(repo).get("model-index"),
    "pipeline_tag": lambda repo: card_of(repo).get("pipeline_tag"),
    "private": lambda repo: repo.meta.private,
    "safetensors": parameters_of,
    "sha": sha_of,
    "siblings": lambda repo: [{"rfilename": file.path} for file in repo.files],
    "tags": tags_of,
    "trendingScore": lambda repo: 0,
    "usedStorage": lambda repo: sum(file.size for file in repo.files),
}
#: Properties that the Hub knows and a local one has nothing to say about: they may be asked for and are left out.
ABSENT = frozenset(
    "childrenModelCount evalResults gguf inference inferenceProviderMapping mask_token resourceGroup spaces"
    " transformersInfo widgetData".split()
)
#: What every entry of a listing shows.
BRIEF = ("likes", "trendingScore", "private", "downloads", "tags", "pipeline_tag", "library_name", "createdAt")
#: What `full=true` adds.
FULL = (*BRIEF, "author", "sha", "lastModified", "gated", "disabled", "siblings")
#: What the page of one model shows.
DETAIL = (*FULL, "cardData", "config", "safetensors", "baseModels", "model-index", "usedStorage")


def describe(repo: Repo, names: Iterable[str]) -> dict[str, Any]:
    """The chosen properties, without those that have no value."""
    values = {name: FIELDS[name](repo) for name in names if name in FIELDS}
    present = {name: value for name, value in values.items() if value is not None}
    return {"_id": repo_object_id(repo), "id": repo.id, "modelId": repo.id, **present}


def check_expand(names: list[str]) -> list[str]:
    """The properties asked for, if the Hub knows them all."""
    if unknown := sorted(set(names) - FIELDS.keys() - ABSENT):
        raise bad_request(f"Unknown property in expand: {', '.join(unknown)}")
    return names
