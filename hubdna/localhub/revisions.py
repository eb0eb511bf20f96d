"""Which files a revision names: `main`, a pull request, or the head commit of either.

A pull request is two repository folders, kept inside the repository: `.hub/pulls/<n>/base`, the files it was opened
from, and `.hub/pulls/<n>/head`, the files it proposes. Both are made of hard links, so a pull request takes the space
of what it changes. Commits rename new files into place and leave the linked ones alone; who edits a file of the folder
in place edits it in its pull requests, too. Only heads are kept, so no other commit can be read.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hubdna.localhub.files import WORK_FOLDER
from hubdna.localhub.refusals import revision_not_found
from hubdna.localhub.repos import MAIN_REF, Hub, Repo, read_repo, sha_of

#: Spellings of the only branch.
MAIN = frozenset({"main", "HEAD", MAIN_REF})
PULL_REF = re.compile(r"refs/pr/([1-9][0-9]{0,5})")
SHA1 = re.compile(r"[0-9a-f]{40}")


def at_revision(hub: Hub, main: Repo, revision: str) -> Repo:
    """The repository with the files that a revision names.

    Raises:
        Refusal: 404 if it names none that is kept.
    """
    if revision in MAIN:
        return main
    if match := PULL_REF.fullmatch(revision):
        found = read_pull(hub, main, int(match[1]))
    elif SHA1.fullmatch(revision):
        heads = (main, *pulls_of(hub, main))
        found = next((repo for repo in heads if sha_of(repo) == revision), None)
    else:
        found = None
    if found is None:
        raise revision_not_found(revision)
    return found


def pull_folder(main: Repo, num: int) -> Path:
    """Where a pull request's files lie or would lie."""
    return main.folder / WORK_FOLDER / "pulls" / str(num)


def read_pull(hub: Hub, main: Repo, num: int, side: str = "head") -> Repo | None:
    """The files of a pull request, or None if there is none of this number.

    Args:
        hub: The Hub.
        main: The repository it belongs to.
        num: The number of the pull request.
        side: `head`, what it proposes, or `base`, what it was opened from.
    """
    found = read_repo(hub, main.id, pull_folder(main, num) / side)
    return found and as_pull(main, num, found)


def as_pull(main: Repo, num: int, found: Repo) -> Repo:
    """A folder as a revision of its repository: what concerns files is its own, the rest is the repository's."""
    own = found.meta
    meta = replace(
        main.meta, sha=own.sha, lfs_sha256=own.lfs_sha256, history=own.history, last_modified=own.last_modified
    )
    return replace(found, meta=meta, ref=f"refs/pr/{num}")


def pulls_of(hub: Hub, main: Repo) -> Iterator[Repo]:
    """The heads of all pull requests, in order of number."""
    folder = pull_folder(main, 0).parent
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    for num in sorted(int(name) for name in names if PULL_REF.fullmatch(f"refs/pr/{name}")):
        if head := read_pull(hub, main, num):
            yield head
