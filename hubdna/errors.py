"""What can go wrong, one class for each thing a caller can act on.

Every message names the subject, what was expected, what was found and, where there is one, the next step. The
library raises these; only the command line turns them into text and exit codes.
"""


class HubdnaError(Exception):
    """Base of every error that hubdna raises on purpose."""


class UsageError(HubdnaError):
    """The request itself makes no sense: a malformed reference, an unknown option value."""


class MissingExtraError(HubdnaError):
    """A package of an optional extra is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed: pip install 'hubdna[{extra}]' (in a checkout: pip install '.[{extra}]')"
        )
        self.package, self.extra = package, extra


class SourceError(HubdnaError):
    """Weights cannot be used: the file is not sound, or not of a kind that is read."""


class FormatError(SourceError):
    """A file is not what it claims to be; nothing of it is used."""

    def __init__(self, filename: str, reason: str) -> None:
        super().__init__(f"{filename}: {reason}")
        self.filename, self.reason = filename, reason


class NoWeightsError(SourceError):
    """A repository holds no weights that hubdna can read."""


class OnlyAdapterError(NoWeightsError):
    """A repository holds the difference to another model, and no model."""


class NoGenesError(SourceError):
    """Weights were read, but nothing in them can serve as evidence."""


class BehaviourError(HubdnaError):
    """A model's behaviour cannot be seen: it cannot be opened, run or shown the probes."""


class HubError(HubdnaError):
    """The Hub did not give what was asked for."""


class NotFoundError(HubError):
    """Repository, revision or file does not exist, or is private to somebody else."""


class GatedError(HubError):
    """The repository is gated and this token has no access."""


class RangeIgnoredError(HubError):
    """The server answered a range request with the whole file; the body was not taken."""


class RateLimitedError(HubError):
    """The Hub kept answering 429 after every polite wait."""


class IndexDirError(HubdnaError):
    """An index directory is missing, damaged, or written by another scheme."""


class CardError(HubdnaError):
    """A model card's YAML cannot be read safely."""


class ReceiptError(HubdnaError):
    """A training receipt, or the key to sign it with, cannot be written, read or believed."""


class MaskError(HubdnaError):
    """A mask cannot be made, read, put on or removed."""
