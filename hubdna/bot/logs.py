"""Logs: one JSON object a line on stderr. Secrets are taken out of every line, wherever they came from."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Iterable

_TOKEN = re.compile(r"hf_[A-Za-z0-9]{6,}")
_OURS = ("repo", "proposal", "num", "why", "url", "outcome", "mode", "by")
HIDDEN = "***"


class Lines(logging.Formatter):
    """Writes a record as one line of ASCII JSON: names of others cannot break it, and cannot turn it around.

    Args:
        secrets: texts that must never be seen.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets = tuple(s for s in secrets if s)

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        told = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **{key: record.__dict__[key] for key in _OURS if key in record.__dict__},
        }
        if record.exc_info:
            told["trace"] = self.formatException(record.exc_info)
        return json.dumps({key: self._clean(value) for key, value in told.items()})

    def _clean(self, value: object) -> object:
        return hidden(value, self._secrets) if isinstance(value, str) else value


def hidden(text: str, secrets: Iterable[str] = ()) -> str:
    """A text without secrets, and without anything that looks like a token of the Hub."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, HIDDEN)
    return _TOKEN.sub(f"hf_{HIDDEN}", text)


def start(secrets: Iterable[str], level: int = logging.INFO) -> None:
    """Log everything of this process to stderr, other libraries' warnings too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(secrets))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("hubdna").setLevel(level)
