"""What the Hub tells webhooks: payloads of version 3, as its documentation shows them.

A repository has events of three scopes (`repo`, `repo.content`, `repo.config`), the community tab of two
(`discussion`, `discussion.comment`). A pull request is a new reference as well, so it makes a `repo.content` event
beside its own. Files that are changed in the folder by hand make no event.

Every function is called while `hub.writing` is held: events then leave in the order in which things happened.
"""

import json
from typing import Any

from hubdna.localhub.cards import tags_of
from hubdna.localhub.deliveries import Letter
from hubdna.localhub.discussions import Discussion, Event
from hubdna.localhub.fields import object_id, repo_object_id
from hubdna.localhub.hooks import Hook, watching
from hubdna.localhub.repos import MAIN_REF, Hub, Repo, sha_of

VERSION = 3
Payload = dict[str, Any]


def repo_made(hub: Hub, repo: Repo) -> None:
    """A repository was made."""
    _tell_repo(hub, repo, "create", "repo")


def repo_deleted(hub: Hub, repo: Repo) -> None:
    """A repository was deleted."""
    _tell_repo(hub, repo, "delete", "repo")


def repo_moved(hub: Hub, repo: Repo, new_id: str) -> None:
    """A repository has another name; who watched the old one is told."""
    owner = {"id": object_id(f"user/{new_id.partition('/')[0]}")}
    _tell_repo(hub, repo, "move", "repo", movedTo={"name": new_id, "owner": owner})


def config_changed(hub: Hub, repo: Repo, changed: dict[str, Any]) -> None:
    """Settings were changed; the Hub names `private` only."""
    told = {name: value for name, value in changed.items() if name == "private"}
    _tell_repo(hub, repo, "update", "repo.config", updatedConfig=told)


def ref_changed(hub: Hub, main: Repo, ref: str, old: str | None, new: str) -> None:
    """A reference has another commit, or is new. `main` is the repository as it is now."""
    updated = [{"ref": ref, "oldSha": old, "newSha": new}]
    _tell_repo(hub, main, "update", "repo.content", updatedRefs=updated)


def discussion_made(hub: Hub, repo: Repo, discussion: Discussion) -> None:
    """A discussion or pull request was opened; its first comment goes with it."""
    _tell_discussion(hub, repo, discussion, "create", "discussion", discussion.events[0])


def discussion_changed(hub: Hub, repo: Repo, discussion: Discussion) -> None:
    """Its title or status changed, or it was merged."""
    _tell_discussion(hub, repo, discussion, "update", "discussion", None)


def comment_made(hub: Hub, repo: Repo, discussion: Discussion, comment: Event) -> None:
    """A comment was added."""
    _tell_discussion(hub, repo, discussion, "create", "discussion.comment", comment)


def comment_changed(hub: Hub, repo: Repo, discussion: Discussion, comment: Event) -> None:
    """A comment was edited or hidden."""
    _tell_discussion(hub, repo, discussion, "update", "discussion.comment", comment)


def _tell_repo(hub: Hub, repo: Repo, action: str, scope: str, **more: Any) -> None:
    if hooks := watching(hub, repo, "repo"):  # else no file is hashed for nothing
        about = {**_repo(hub, repo), "headSha": sha_of(repo), "tags": tags_of(repo)}
        _tell(hub, repo, hooks, {"event": {"action": action, "scope": scope}, "repo": about, **more})


def _tell_discussion(
    hub: Hub, repo: Repo, discussion: Discussion, action: str, scope: str, comment: Event | None
) -> None:
    about = {"discussion": _discussion(hub, repo, discussion)}
    if comment is not None:
        about["comment"] = _comment(about["discussion"]["url"]["web"], comment)
    event = {"action": action, "scope": scope}
    _tell(hub, repo, watching(hub, repo, "discussion"), {"event": event, "repo": _repo(hub, repo), **about})


def _tell(hub: Hub, repo: Repo, hooks: list[Hook], payload: Payload) -> None:
    event = f"{payload['event']['action']}/{payload['event']['scope']}"
    for hook in hooks:
        body = json.dumps({**payload, "webhook": {"id": hook.id, "version": VERSION}}).encode()
        hub.courier.take(Letter(repo.id, event, hook.id, hook.url, hook.secret, body))


def _repo(hub: Hub, repo: Repo) -> Payload:
    return {
        "type": "model",
        "name": repo.id,
        "id": repo_object_id(repo),
        "private": repo.meta.private,
        "url": {"web": f"{hub.endpoint}/{repo.id}", "api": f"{hub.endpoint}/api/models/{repo.id}"},
        "owner": {"id": object_id(f"user/{repo.author}")},
    }


def _discussion(hub: Hub, repo: Repo, discussion: Discussion) -> Payload:
    page = f"{repo.id}/discussions/{discussion.num}"
    merged = {"mergeCommitId": discussion.merge_commit} if discussion.merge_commit else {}
    changes = {"changes": {"base": MAIN_REF, **merged}} if discussion.is_pull_request else {}
    return {
        "id": object_id(f"{repo_object_id(repo)}#{discussion.num}"),
        "title": discussion.title,
        "url": {"web": f"{hub.endpoint}/{page}", "api": f"{hub.endpoint}/api/models/{page}"},
        "status": discussion.status,
        "author": {"id": object_id(f"user/{discussion.author}")},
        "num": discussion.num,
        "isPullRequest": discussion.is_pull_request,
        **changes,
    }


def _comment(page: str, comment: Event) -> Payload:
    data = comment["data"]
    shown = {} if data["hidden"] else {"content": data["latest"]["raw"]}
    author = {"id": comment["author"]["_id"]}
    return {
        "id": comment["id"],
        "author": author,
        "hidden": data["hidden"],
        "url": {"web": f"{page}#{comment['id']}"},
        **shown,
    }
