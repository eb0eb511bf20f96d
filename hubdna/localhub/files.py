"""What the local Hub knows of one file: where it is, how it is stored, and which hashes name it.

Hashes are content, so they are computed once per state of a file: a `Stamp` (path, size, modification time, inode)
is the key of every cache. The Hub names large binary files by sha256 (Git LFS) and small text files by their git blob
id; clients see both, and the commit id of a repository is made from them.

Hashing a checkpoint of many gigabytes takes longer than a client waits for an answer. Above `HASH_LIMIT` a file is
therefore identified by size and time wherever an identity is enough (ETag, commit id) and hashed only where the
sha256 itself was asked for. A repository can declare the sha256 of its files and avoid even that.
"""

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from hubdna.localhub.refusals import bad_request

#: Largest file whose content is hashed to identify it: about a second of work on one core.
HASH_LIMIT = 256 * 2**20
#: Largest file the Hub keeps in git itself; a larger one goes to LFS whatever its name.
REGULAR_LIMIT = 10 * 10**6
#: Bytes per read while hashing or sending: the work in between is then small, and so is the memory of many requests.
CHUNK = 2**20
#: Longest file name in bytes: what every file system takes.
NAME_LIMIT = 255
#: Most folders around an uploaded file. Models need four or five; making and removing folders works by recursion.
FOLDER_LIMIT = 31
#: States of files remembered. An entry is some hundred bytes, so a folder of ten thousand models fits in 10 MB.
CACHE_SIZE = 65_536

#: Endings the Hub puts under LFS (its default `.gitattributes`).
LFS_SUFFIXES = frozenset(
    ".7z .arrow .bin .bz2 .ckpt .ftz .gguf .gz .h5 .joblib .mlmodel .model .msgpack .npy .npz .onnx .ot .parquet .pb"
    " .pickle .pkl .pt .pth .rar .safetensors .tar .tflite .tgz .wasm .xz .zip .zst".split()
)
#: The repository's own metadata: configuration of this server, never content.
META_NAME = ".hub.json"
#: The server's own folder. At the root uploads wait in it until they are checked; in a repository it holds discussions
#: and pull requests. On the same file system as what comes of it: a rename is atomic.
WORK_FOLDER = ".hub"
#: Folders that tools leave in a working copy; they are not part of a repository.
TOOL_FOLDERS = frozenset({".git", ".cache"})


@dataclass(frozen=True, slots=True)
class Stamp:
    """One state of one file on disk.

    The clock of a file system may stand still for some milliseconds; a commit renames a new file into place, and that
    has another inode.
    """

    path: Path
    size: int
    mtime_ns: int
    inode: int


def stamp_of(path: Path, state: os.stat_result) -> Stamp:
    """The stamp of a file that was just looked at."""
    return Stamp(path, state.st_size, state.st_mtime_ns, state.st_ino)


@dataclass(frozen=True, slots=True)
class RepoFile:
    """A file of a repository: its name there, its bytes on disk, and the sha256 its owner declared."""

    path: str
    stamp: Stamp
    declared_sha256: str | None = None

    @property
    def size(self) -> int:
        """Bytes of content."""
        return self.stamp.size

    @property
    def is_lfs(self) -> bool:
        """Whether the Hub would store it under LFS and serve it from its CDN."""
        return stored_as_lfs(self.path, self.size)


def stored_as_lfs(path: str, size: int) -> bool:
    """Whether a file of this name and size goes to LFS. Empty files never do."""
    return size > 0 and (PurePosixPath(path).suffix.lower() in LFS_SUFFIXES or size > REGULAR_LIMIT)


def safe_path(path: object) -> str:
    """A caller's file name, once it is certain that it stays inside its repository.

    Raises:
        Refusal: 400 for anything absolute, climbing, empty, hidden by this server, or not a string.
    """
    text = path if isinstance(path, str) else ""
    if text.count("/") > FOLDER_LIMIT or not all(map(_is_safe_name, text.split("/"))):
        raise bad_request(f"Invalid path: {path!r}")
    return text


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is no content: ours, or a tool's."""
    return name in (META_NAME, WORK_FOLDER) or name in TOOL_FOLDERS


def _is_safe_name(name: str) -> bool:
    if name in ("", ".", "..") or is_hidden(name) or set(name) & {"\\", "\0"}:
        return False
    return len(name.encode("utf-8", "replace")) <= NAME_LIMIT


@lru_cache(CACHE_SIZE)
def _sha256(stamp: Stamp) -> str:
    with stamp.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(CACHE_SIZE)
def _git_blob_id(stamp: Stamp) -> str:
    digest = hashlib.sha1(b"blob %d\0" % stamp.size, usedforsecurity=False)
    with stamp.path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of(file: RepoFile) -> str:
    """The sha256 of the content: declared, remembered, or computed now."""
    return file.declared_sha256 or _sha256(file.stamp)


def pointer_of(file: RepoFile) -> bytes:
    """The LFS pointer that stands for the file inside git."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256_of(file)}\nsize {file.size}\n".encode()


def blob_id(file: RepoFile) -> str:
    """The git blob id: of the content, or of the LFS pointer."""
    if not file.is_lfs:
        return _git_blob_id(file.stamp)
    pointer = pointer_of(file)
    return hashlib.sha1(b"blob %d\0" % len(pointer) + pointer, usedforsecurity=False).hexdigest()


def knows_content(file: RepoFile) -> bool:
    """Whether the sha256 is declared or quick to compute."""
    return file.declared_sha256 is not None or file.size <= HASH_LIMIT


def identity_of(file: RepoFile) -> str:
    """A name that changes when the file does, found in at most a second."""
    if not file.is_lfs:
        return _git_blob_id(file.stamp)
    return sha256_of(file) if knows_content(file) else f"{file.size:x}-{file.stamp.mtime_ns:x}"
