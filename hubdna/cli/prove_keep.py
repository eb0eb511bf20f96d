"""`hubdna prove verify --save`: what was found goes to this user's records, for lineage, compare, search and audit."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from hubdna.errors import UsageError

if TYPE_CHECKING:
    from hubdna.records import ReceiptReport, Weights


def keep_checked(report: ReceiptReport, parent: Path, model: Path) -> Path:
    """Keep a verification that says which model was trained from which; the file of the record.

    Raises:
        ReceiptError: it does not say that of these files.
        UsageError: a folder holds other weights besides.
        HubdnaError: the files are no model that hubdna can read.
    """
    from hubdna.checked import keep
    from hubdna.proof.kept import check_attests
    from hubdna.records import CheckedReceipt
    from hubdna.seed import today

    check_attests(report, parent, model)
    assert report.parent is not None and report.coverage is not None, "check_attests has looked"
    return keep(
        CheckedReceipt(
            report.author, report.root, report.parent.repo_id, weights_at(parent, report.parent.root),
            weights_at(model, report.weights), report.coverage.n_intervals, today().isoformat(),
        )
    )  # fmt: skip


def weights_at(path: Path, root: str) -> Weights:
    """How an index and the Hub know the weights of a .safetensors file or a folder of such files.

    The root is over every .safetensors file of the folder, so the model that hubdna reads there has to be these files
    and no others: else one model would be verified and another one be told of.
    """
    from hubdna.models import Loader
    from hubdna.records import ModelRef, Weights

    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    dna = Loader(level="full").load(ModelRef.of(str(path.resolve()))).dna
    read = dna.choice.files if dna.choice else tuple(file.name for file in files)
    if sorted(read) != [file.name for file in files]:
        raise UsageError(
            f"{path}: expected the model's .safetensors files and no others, found {', '.join(read)[:80]} to be the "
            "model; name its file"
        )
    folder = path if path.is_dir() else path.parent
    return Weights(root, dna.content, dna.scheme, tuple(_sha256(folder / name) for name in read))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
