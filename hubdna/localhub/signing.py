"""URLs that carry their own permission.

The Hub sends downloads and uploads of large files to addresses that work without a token, for a while. Such a URL
ends in an expiry and a signature over everything before it, so neither path, size nor expiry can be changed.
"""

import hashlib
import hmac
import time
from urllib.parse import parse_qs

from starlette.requests import Request

from hubdna.localhub.refusals import Refusal

#: Seconds a URL works: what the Hub's own CDN links last.
LIFETIME = 3600
MARK = "&Signature="


def signed(secret: bytes, path: str, query: str = "") -> str:
    """A quoted path (and query) with expiry and signature appended."""
    head = f"{path}?{query}{'&' if query else ''}Expires={int(time.time()) + LIFETIME}"
    return f"{head}{MARK}{_digest(secret, head)}"


def check_signature(secret: bytes, request: Request) -> None:
    """Refuse a URL that was changed or is out of date."""
    head, _, given = f"{request.scope['path']}?{request.url.query}".rpartition(MARK)
    if not hmac.compare_digest(_digest(secret, head).encode(), given.encode("utf-8", "replace")):
        raise Refusal(403, "Invalid signature")
    if int(parse_qs(head.partition("?")[2])["Expires"][-1]) < time.time():
        raise Refusal(403, "Request has expired")


def _digest(secret: bytes, text: str) -> str:
    return hmac.new(secret, text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
