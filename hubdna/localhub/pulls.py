"""Pull requests: opening one, committing to it, what it changes, merging it.

A pull request changes whole files: two changes of one file are a conflict wherever in it they are, while git would
look at lines. A merge makes one commit on `main` with all that changed; the Hub does the same.

Every function that changes something takes and releases `hub.writing`, so that the number of a pull request, its
files and its discussion come into being together.
"""

import difflib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hubdna.localhub import commits, events
from hubdna.localhub.discussions import (
    Discussion,
    check_enabled,
    check_open,
    commented,
    keep,
    new_discussion,
    read_discussion,
    with_event,
    with_status,
)
from hubdna.localhub.drafts import Draft, read_draft
from hubdna.localhub.files import RepoFile, identity_of, pointer_of
from hubdna.localhub.refusals import not_now, revision_not_found
from hubdna.localhub.repos import MAIN_REF, Commit, Hub, Repo, find_repo, read_meta_json, read_repo, sha_of
from hubdna.localhub.revisions import MAIN, PULL_REF, as_pull, pull_folder, read_pull

#: What of `.hub.json` belongs to files and goes with them into a pull request.
OF_FILES = ("sha", "lfs_sha256", "history", "last_modified")
#: Largest and longest file and most files shown as a diff. Comparing lines takes the square of their number.
DIFF_BYTES = 256 * 1024
DIFF_LINES = 2000
DIFF_FILES = 100
#: Text that comes with a pull request made by a commit without a description.
NO_TEXT = "(no description)"


def commit(hub: Hub, repo_id: str, revision: str, raw: bytes, author: str) -> Commit:
    """Apply a commit to `main` or to a pull request.

    Raises:
        Refusal: 400 for a malformed one, 404 for another revision, 412 if the revision has moved on from the parent
            that the commit names, 409 if the pull request is not open any more or the folder is in the way.
    """
    draft = read_draft(raw)
    with hub.writing:
        main = find_repo(hub, repo_id, authorized=True)
        if revision in MAIN:
            commits.check_parent(draft, main)
            return _to_main(hub, main, draft, author)
        match = PULL_REF.fullmatch(revision)
        head = read_pull(hub, main, int(match[1])) if match else None
        if match is None or head is None:
            raise revision_not_found(revision)
        return _push(hub, main, head, read_discussion(main, int(match[1])), draft, author)


def open_pull(
    hub: Hub, repo_id: str, title: object, text: object, author: str, draft: Draft | None = None
) -> tuple[Discussion, Commit | None]:
    """Open a pull request from the head of `main`: with a commit, or empty and a draft.

    Raises:
        Refusal: as `commit` does; 403 where discussions are disabled.
    """
    with hub.writing:
        main = find_repo(hub, repo_id, authorized=True)
        check_enabled(main)
        if draft is not None:
            commits.check_parent(draft, main)
        discussion = new_discussion(main, title, text, author, "open" if draft else "draft", pull=True)
        home = pull_folder(main, discussion.num)
        commits.own_folder(main)
        with tempfile.TemporaryDirectory(dir=commits.work_folder(hub)) as folder:
            for side in ("base", "head"):
                _fork(hub, main, Path(folder, side))
            made = None
            if draft is not None:
                found = read_repo(hub, main.id, Path(folder, "head"))
                assert found is not None
                made = commits.apply(hub, as_pull(main, discussion.num, found), draft, author, main)
                discussion = _with_commit(main, discussion, made)
            keep(hub, main, discussion)
            home.mkdir(parents=True, exist_ok=True)
            for side in ("base", "head"):
                shutil.rmtree(home / side, ignore_errors=True)
                Path(folder, side).rename(home / side)
        events.discussion_made(hub, main, discussion)
        events.ref_changed(hub, main, f"refs/pr/{discussion.num}", None, made.id if made else sha_of(main))
    return discussion, made


def merge(hub: Hub, repo_id: str, num: int, author: str, text: object = None) -> Discussion:
    """Bring the changes of a pull request to `main`.

    Raises:
        Refusal: 404 if there is no such pull request, 409 if it is a draft, closed, merged, or in conflict.
    """
    with hub.writing:
        main = find_repo(hub, repo_id, authorized=True)
        check_enabled(main)
        discussion = read_discussion(main, num)
        base, head = _sides(hub, main, num)
        if discussion.status != "open":
            raise not_now(f"This pull request cannot be merged: it is {discussion.status}")
        if clash := conflicts(main, base, head):
            raise not_now(f"This pull request cannot be merged: conflict in {', '.join(clash)}")
        if text is not None:
            check_open(discussion)
            discussion = commented(main, discussion, text, author)
        merged = with_status(main, discussion, "merged", author)
        made = _to_main(hub, main, _merge_draft(merged, base, head), author)
        merged = replace(merged, merge_commit=made.id)
        keep(hub, main, merged)
        if text is not None:
            events.comment_made(hub, main, merged, discussion.events[-1])
        events.discussion_changed(hub, main, merged)
    return merged


def changes(base: Repo, head: Repo) -> dict[str, tuple[RepoFile | None, RepoFile | None]]:
    """The files that differ, by path: as they were, and as they are proposed."""
    old, new = ({file.path: file for file in repo.files} for repo in (base, head))
    pairs = {path: (old.get(path), new.get(path)) for path in sorted(old | new)}
    return {path: pair for path, pair in pairs.items() if _identity(pair[0]) != _identity(pair[1])}


def conflicts(main: Repo, base: Repo, head: Repo) -> list[str]:
    """The files that were changed here and there, and not alike."""
    now = {file.path: file for file in main.files}
    return [
        path
        for path, (old, new) in changes(base, head).items()
        if _identity(now.get(path)) not in (_identity(old), _identity(new))
    ]


def files_with_conflicts(hub: Hub, main: Repo, discussion: Discussion) -> list[str]:
    """What would stand in the way of a merge now; nothing once it is merged."""
    return [] if discussion.status == "merged" else conflicts(main, *_sides(hub, main, discussion.num))


def diff(hub: Hub, main: Repo, num: int) -> str:
    """What a pull request changes, as git shows it; large files by their LFS pointers, long ones not at all."""
    pairs = list(changes(*_sides(hub, main, num)).items())
    return "".join("".join(_file_diff(path, *pair)) for path, pair in pairs[:DIFF_FILES])


def _to_main(hub: Hub, main: Repo, draft: Draft, author: str) -> Commit:
    old = sha_of(main)
    made = commits.apply(hub, main, draft, author)
    events.ref_changed(hub, find_repo(hub, main.id, authorized=True), MAIN_REF, old, made.id)
    return made


def _push(hub: Hub, main: Repo, head: Repo, discussion: Discussion, draft: Draft, author: str) -> Commit:
    check_enabled(main)
    if discussion.status not in ("open", "draft"):
        raise not_now(f"This pull request is {discussion.status}")
    commits.check_parent(draft, head)
    old = sha_of(head)
    made = commits.apply(hub, head, draft, author, main)
    keep(hub, main, _with_commit(main, discussion, made))
    events.ref_changed(hub, main, head.ref, old, made.id)
    return made


def _with_commit(main: Repo, discussion: Discussion, made: Commit) -> Discussion:
    return with_event(main, discussion, "commit", made.author, {"subject": made.title, "oid": made.id})


def _sides(hub: Hub, main: Repo, num: int) -> tuple[Repo, Repo]:
    base, head = (read_pull(hub, main, num, side) for side in ("base", "head"))
    if base is None or head is None:
        raise revision_not_found(f"refs/pr/{num}")
    return base, head


def _fork(hub: Hub, main: Repo, folder: Path) -> None:
    """Link all files into another folder; what `.hub.json` says of them goes along."""
    folder.mkdir()
    for file in main.files:
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        commits.link(file.stamp.path, target)
    raw = read_meta_json(main.folder)
    commits.write_meta(hub, folder, {name: raw[name] for name in OF_FILES if name in raw})


def _merge_draft(discussion: Discussion, base: Repo, head: Repo) -> Draft:
    pairs = changes(base, head)
    added = {path: new.stamp.path for path, (_, new) in pairs.items() if new}
    gone = {path for path, (_, new) in pairs.items() if new is None}
    return Draft(f"{discussion.title} (#{discussion.num})", added=dict(added), deleted=gone)


def _identity(file: RepoFile | None) -> str | None:
    return identity_of(file) if file else None


def _file_diff(path: str, old: RepoFile | None, new: RepoFile | None) -> Iterator[str]:
    yield f"diff --git a/{path} b/{path}\n"
    before, after = _lines(old), _lines(new)
    if before is None or after is None:
        yield f"Binary files a/{path} and b/{path} differ\n"
        return
    names = (f"a/{path}" if old else "/dev/null", f"b/{path}" if new else "/dev/null")
    for line in difflib.unified_diff(before, after, *names):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _lines(file: RepoFile | None) -> list[str] | None:
    """The lines of a text file; None for one that is too long to be compared, or no text."""
    if file is None:
        return []
    if file.size > DIFF_BYTES and not file.is_lfs:
        return None
    raw = pointer_of(file) if file.is_lfs else file.stamp.path.read_bytes()
    lines = raw.decode("utf-8", "replace").splitlines(keepends=True) if b"\0" not in raw else None
    return lines if lines is not None and len(lines) <= DIFF_LINES else None
