"""One folder of a repository as a whole: listed, fetched file by file, replaced in one commit."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.hf_api import RepoFile

from hubdna.errors import HubError, NotFoundError
from hubdna.hub.client import Hub
from hubdna.hub.reader import HubReader
from hubdna.records import ModelRef

PIECE = 8_000_000
"""Bytes of one request: what is lost at most when a download is cut off."""
MAX_LISTED = 100_000
"""Files of a folder that are listed."""

Taken = Callable[[int], object]
"""Told of every piece: its bytes."""


def list_folder(hub: Hub, ref: ModelRef, folder: str) -> dict[str, int]:
    """Files below a folder of one commit ("": of all), with their bytes; names are within the folder.

    Raises:
        NotFoundError: there is no such folder.
        HubError: the repository cannot be read, or lists more than MAX_LISTED files.
    """
    api = HfApi(hub.endpoint, hub.link.token, library_name="hubdna")

    def ask() -> list[Any]:
        tree = api.list_repo_tree(ref.repo_id, folder or None, recursive=True, revision=ref.sha or ref.revision)
        return [entry for entry in islice(tree, MAX_LISTED + 1) if isinstance(entry, RepoFile)]

    try:
        found = hub.patiently(f"{ref}/{folder}", ask)
    except NotFoundError:
        raise NotFoundError(f"{ref}: holds no folder {folder}/") from None
    if len(found) > MAX_LISTED:
        raise HubError(f"{ref}/{folder}: more than {MAX_LISTED} files")
    sizes = {entry.path.removeprefix(f"{folder}/" if folder else ""): entry.size for entry in found}
    if not all(type(size) is int and size >= 0 for size in sizes.values()):
        raise HubError(f"{ref}/{folder}: the Hub's listing holds a file without a size")
    return sizes


def fetch(reader: HubReader, name: str, size: int, target: Path, taken: Taken = lambda n: None) -> None:
    """Download a file of a known size; one that was cut off goes on where it stopped.

    Args:
        reader: of the commit.
        name: in the repository.
        size: bytes that were listed; no more is taken.
        target: where; until it is whole the file lies beside it, with `.tmp` behind its name.
        taken: told of every piece.

    Raises:
        HubError: it cannot be had, or has another size.
    """
    begun = target.with_name(target.name + ".tmp")
    with begun.open("ab") as file:
        if file.tell() > size:
            file.truncate(0)
        while (at := file.seek(0, os.SEEK_END)) < size:
            piece = reader.read(name, at, min(at + PIECE, size))
            if not piece or reader.size(name) != size:
                raise HubError(f"{reader.ref}/{name}: expected the {size} bytes that were listed, found another size")
            file.write(piece)
            taken(len(piece))
        file.flush()
        os.fsync(file.fileno())
    begun.replace(target)


def replace_folder(hub: Hub, ref: ModelRef, folder: str, files: Mapping[str, Path], message: str) -> str:
    """Make a folder hold these files and no others, in one commit on top of the present one.

    Args:
        hub: with a token that may write.
        ref: the repository; it has to exist.
        folder: in it.
        files: name within the folder -> file on this machine.
        message: of the commit.

    Returns:
        The address of the commit.

    Raises:
        NotFoundError, HubError: the repository is not there, has changed meanwhile, or may not be written.
    """
    before = hub.snapshot(ref)
    old = {name for name in before.files if name.startswith(f"{folder}/")}
    new = {f"{folder}/{name}": path for name, path in files.items()}
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        CommitOperationAdd(name, str(path)) for name, path in sorted(new.items())
    ]
    operations += [CommitOperationDelete(name) for name in sorted(old - new.keys())]
    api = HfApi(hub.endpoint, hub.link.token, library_name="hubdna")

    def send() -> str:
        try:
            done = api.create_commit(
                ref.repo_id, operations, commit_message=message, revision=ref.revision, parent_commit=before.ref.sha
            )
        except HfHubHTTPError as error:
            raise _refused(f"{ref}/{folder}", error) or error from None
        return str(done.commit_url)

    return hub.once(f"{ref}/{folder}", send)


def _refused(subject: str, error: HfHubHTTPError) -> HubError | None:
    """What a writer should be told; None where a reader's words will do."""
    status = error.response.status_code
    if status in (409, 412):
        return HubError(f"{subject}: the repository has changed meanwhile; nothing was written, push again")
    if status in (401, 403):
        return HubError(f"{subject}: HTTP {status}; expected a token that may write there: log in or pass --token")
    return None
