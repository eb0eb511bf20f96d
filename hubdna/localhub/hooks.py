"""Webhooks: what they watch, and where they are kept.

All lie in one file, `.hub/webhooks.json` at the root, which only its owner may read: secrets are in it. Everything in
a webhook comes from a caller, so it is checked: the address leads to loopback, a secret is one line of ASCII, lists
are short.
"""

import json
import logging
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from hubdna.localhub.commits import work_file
from hubdna.localhub.files import WORK_FOLDER
from hubdna.localhub.refusals import Refusal, bad_request
from hubdna.localhub.repos import Hub, Repo

logger = logging.getLogger(__name__)

DOMAINS = ("repo", "discussion")
KINDS = ("bucket", "dataset", "model", "org", "space", "user")
HOOKS_LIMIT = 100
WATCHED_LIMIT = 100
TEXT_LIMIT = 2048


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook.

    Attributes:
        id: 24 hex digits.
        owner: The user who made it; only this user sees it.
        url: An address on loopback.
        watched: Kind and name of each thing watched: `("model", "org/name")`, `("user", "alice")`, `("org", "acme")`.
        domains: `repo`, `discussion`, or both.
        secret: Sent with each delivery as `X-Webhook-Secret`.
        disabled: Whether nothing is delivered.
    """

    id: str
    owner: str
    url: str
    watched: tuple[tuple[str, str], ...]
    domains: tuple[str, ...]
    secret: str | None = None
    disabled: bool = False


def new_hook(owner: str, body: Mapping[str, Any]) -> Hook:
    """A webhook as a caller wants it.

    Raises:
        Refusal: 400 for an address, secret, domain or watched thing that cannot be one.
    """
    values = checked(body)
    if missing := {"url", "watched"} - values.keys():
        raise bad_request(f"A webhook needs {' and '.join(sorted(missing))}")
    return Hook(id=secrets.token_hex(12), owner=owner, **{"domains": DOMAINS, **values})


def checked(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a webhook that a body names, as `Hook` takes them. An empty `watched` says nothing."""
    if body.get("jobSourceId") is not None:
        raise bad_request("The local Hub runs no jobs")
    values: dict[str, Any] = {}
    if body.get("url") is not None:
        values["url"] = _url(body["url"])
    if body.get("watched"):
        values["watched"] = _watched(body["watched"])
    if body.get("domains") is not None:
        values["domains"] = _domains(body["domains"])
    if body.get("secret") is not None:
        values["secret"] = _secret(body["secret"])
    return values


def read_hooks(hub: Hub) -> tuple[Hook, ...]:
    """All webhooks, oldest first. A file that cannot be read is reported and ignored."""
    path = hub.root / WORK_FOLDER / "webhooks.json"
    try:
        return tuple(_parse(entry) for entry in json.loads(path.read_bytes()))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError, KeyError, RecursionError, Refusal) as error:
        logger.warning("%s is not read: %s", path, error)
        return ()


def keep_hooks(hub: Hub, hooks: Iterable[Hook]) -> None:
    """Write all webhooks in one step. The caller holds `hub.writing`."""
    kept = [asdict(hook) for hook in hooks]
    if len(kept) > HOOKS_LIMIT:
        raise bad_request(f"There are at most {HOOKS_LIMIT} webhooks")
    temporary = work_file(hub)
    temporary.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    temporary.replace(hub.root / WORK_FOLDER / "webhooks.json")


def watching(hub: Hub, repo: Repo, domain: str) -> list[Hook]:
    """The webhooks that want to hear of a repository."""
    names = {("model", repo.id), ("user", repo.author), ("org", repo.author)}
    return [
        hook for hook in read_hooks(hub) if not hook.disabled and domain in hook.domains and names & set(hook.watched)
    ]


def _parse(entry: dict[str, Any]) -> Hook:
    watched = [{"type": kind, "name": name} for kind, name in entry["watched"]]
    known = {field.name: entry[field.name] for field in fields(Hook) if field.name in entry}
    return Hook(**{**known, **checked({**entry, "watched": watched})})


def _url(value: object) -> str:
    text = value if isinstance(value, str) else ""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
        loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback or parts.scheme != "http" or parts.username is not None or not _is_line(text) or " " in text:
        raise bad_request("The local Hub delivers to http:// addresses on loopback only")
    return text


def _watched(value: object) -> tuple[tuple[str, str], ...]:
    items = value if isinstance(value, list) else []
    if not 0 < len(items) <= WATCHED_LIMIT or not all(isinstance(item, dict) for item in items):
        raise bad_request(f"watched is a list of 1 to {WATCHED_LIMIT} objects")
    pairs = [(item.get("type"), item.get("name")) for item in items]
    if not all(kind in KINDS and isinstance(name, str) and _is_line(name) for kind, name in pairs):
        raise bad_request(f"A watched item has a name and a type out of {', '.join(KINDS)}")
    return tuple((str(kind), str(name)) for kind, name in pairs)


def _domains(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value or not all(item in DOMAINS for item in value):
        raise bad_request(f"domains is a list of {' and '.join(DOMAINS)}")
    return tuple(dict.fromkeys(value))


def _secret(value: object) -> str:
    if not isinstance(value, str) or not _is_line(value):
        raise bad_request("A secret is a line of ASCII")
    return value


def _is_line(text: str) -> bool:
    """Whether it may stand in a header or a request line."""
    return 0 < len(text) <= TEXT_LIMIT and text.isascii() and text.isprintable() and text.strip() == text
