"""An audit's patches -> the card itself: in a folder on this machine, or as a pull request on the Hub.

The card is read again, and patched only if it still is what was audited. A pull request speaks to somebody else, so it
carries findings of severity `warning` and worse only: of an `info` finding nobody knows which model came first.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from hubdna.card import MAX_CARD, apply, diff_of, suggest
from hubdna.errors import CardError, UsageError
from hubdna.records import Audit, CardEdit, Finding, Fix
from hubdna.report.markdown import prose

if TYPE_CHECKING:
    from hubdna.hub import Hub


def fix_folder(audit: Audit) -> Fix:
    """Write the patched card of a model in a folder. Readers see the old README.md or the new one.

    Returns:
        What was changed: an empty diff where no finding has a patch.

    Raises:
        UsageError: the model is not a folder.
        CardError: the card is a link, too long, not what was audited, cannot be patched safely, or cannot be written.
    """
    folder = Path(audit.ref.repo_id)
    if not audit.ref.is_local or not folder.is_dir():
        raise UsageError(f"{audit.ref}: expected a folder, whose README.md can be written")
    chosen = _chosen(audit.findings)
    if not chosen:
        return Fix(audit.ref, "")
    path = folder / "README.md"
    data = _read(path)
    new = _patched(data, chosen, str(path))
    if new != data:
        _write(path, new)
    return Fix(audit.ref, diff_of(_text(data), _text(new)), _reasons(chosen))


def open_pull_request(audit: Audit, hub: Hub, description: str | None = None) -> Fix:
    """Open a pull request with the patched card, on top of the commit that was audited.

    Args:
        audit: what was found; its patches are applied.
        hub: where the model is.
        description: Markdown that says why, instead of what follows from the audit.

    Returns:
        What was proposed, with the address of the pull request; an empty diff where no finding of severity `warning`
        or worse has a patch.

    Raises:
        CardError: the card is too long, or cannot be patched safely.
        HubError: the Hub took no pull request, or the model has moved on since the audit.
    """
    chosen = _chosen(f for f in audit.findings if f.severity != "info")
    if not chosen:
        return Fix(audit.ref, "")
    subject = f"{audit.ref}/README.md"
    data = hub.card_bytes(audit.ref) or b""
    if len(data) >= MAX_CARD:
        raise CardError(f"{subject}: {MAX_CARD} bytes or more; expected less, edit it by hand")
    new = _patched(data, chosen, subject)
    why = description or _description(audit, chosen)
    url = hub.propose(audit.ref, new, _title(chosen), why) if new != data else None
    return Fix(audit.ref, diff_of(_text(data), _text(new)), _reasons(chosen), url)


def _chosen(findings: Iterable[Finding]) -> list[Finding]:
    """Findings whose patches are applied: of two that set one key to different values, the first."""
    chosen: list[Finding] = []
    taken: dict[str, CardEdit] = {}
    for finding in findings:
        edits = finding.patch.edits if finding.patch else ()
        if edits and all(taken.get(edit.key, edit) == edit for edit in edits):
            taken |= {edit.key: edit for edit in edits}
            chosen.append(finding)
    return chosen


def _patched(data: bytes, findings: list[Finding], subject: str) -> bytes:
    """The card after the patches. What is not UTF-8 in its body stays as it is."""
    audited, text = data.decode("utf-8", "replace"), _text(data)
    try:
        for finding in findings:
            patch = finding.patch
            if patch is None or suggest(audited, patch.edits, patch.reason).diff != patch.diff:
                raise CardError("README.md: expected the card that was audited, found another; audit it again")
            text = apply(text, patch)
    except CardError as error:
        raise CardError(f"{subject.removesuffix('README.md')}{error}") from None
    return text.encode("utf-8", "surrogateescape")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _reasons(findings: list[Finding]) -> tuple[str, ...]:
    return tuple(f.patch.reason for f in findings if f.patch)


def _title(findings: list[Finding]) -> str:
    edits = {edit.key: edit for f in findings if f.patch for edit in f.patch.edits}
    return "Model card: " + ", ".join(f"{key}: {', '.join(edit.values)}" for key, edit in edits.items())


def _description(audit: Audit, findings: list[Finding]) -> str:
    """What was found, what it rests on, and how to repeat it; the owner of the model decides."""
    lines = ["The weights of this model were compared with those of others, and its card with what they show.", ""]
    for finding in findings:
        lines += [f"**{finding.rule_id}** {prose(finding.message)}"]
        lines += [*(f"- {prose(line)}" for line in finding.evidence), ""]
        lines += [f"Suggestion: {prose(finding.patch.reason)}.", ""] if finding.patch else []
    lines.append("Common origin is not descent: if the model was made from something else, close this request.")
    if audit.provenance is not None:
        p = audit.provenance
        lines.append(f"Repeat it with hubdna {p.version} (index {p.index_digest}, {p.n_models} models, {p.date}).")
    return "\n".join(lines)


def _read(path: Path) -> bytes:
    """A card of this machine; no bytes where there is none."""
    if path.is_symlink():
        raise CardError(f"{path}: expected a file, found a link to {path.readlink()}; fix the card where it lies")
    try:
        if not path.exists():
            return b""
        if (size := path.stat().st_size) > MAX_CARD:
            raise CardError(f"{path}: {size} bytes, at most {MAX_CARD} are patched; edit it by hand")
        return path.read_bytes()
    except OSError as error:
        raise CardError(f"{path}: cannot be read: {error.strerror}") from None


def _write(path: Path, data: bytes) -> None:
    """Temporary file beside it, fsync, rename; the file's mode stays."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".README.md.", suffix=".tmp")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(path.stat().st_mode & 0o7777 if path.exists() else 0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise CardError(f"{path}: cannot be written: {error.strerror}") from None
