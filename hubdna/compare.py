"""compare_models(A, B): load both, test, judge. An adapter is checked against the base it claims."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from posixpath import dirname, join

from hubdna.calling import make_callable
from hubdna.checked import believed
from hubdna.dna.model import choose_files, model_files
from hubdna.dna.sides import layer_sides
from hubdna.errors import FormatError, HubdnaError, NotFoundError, OnlyAdapterError
from hubdna.evidence.agreement import MIN_UNITS, agreement
from hubdna.evidence.attested import with_receipts
from hubdna.evidence.compare import compare_dna, untested
from hubdna.models import Loader
from hubdna.records import CheckedReceipt, Comparison, ModelRef, ReadLevel, Verdict
from hubdna.sources.adapter import MAX_CONFIG, Adapter, check_shapes, read_adapter
from hubdna.sources.formats import compose, open_file
from hubdna.sources.interface import ByteReader
from hubdna.verdict import judge

_OPEN = 64, 16_000_000
"""Requests and bytes that opening one file may take."""


def compare(
    a: ModelRef | str,
    b: ModelRef | str,
    *,
    read: ReadLevel = "standard",
    endpoint: str | None = None,
    token: str | None = None,
    checked: Iterable[CheckedReceipt] | None = None,
) -> Comparison:
    """Do two models share an origin? Twin of `hubdna compare`.

    Args:
        a: `org/name`, `org/name@revision`, or a path that starts with `.` or `/`.
        b: the other one.
        read: how much of the weights is read: 4 MB, 16 MB, or everything.
        endpoint: base address of the Hub (default: `HF_ENDPOINT`).
        token: access token (default: the one you are logged in with).
        checked: receipts that you verified (default: those kept by `hubdna prove verify --save`).

    Raises:
        HubdnaError: one of them cannot be read.
    """
    receipts = believed(checked)
    return compare_models(ModelRef.of(a), ModelRef.of(b), Loader(endpoint, token, read), receipts)


def compare_models(a: ModelRef, b: ModelRef, loader: Loader, checked: Sequence[CheckedReceipt] = ()) -> Comparison:
    """Test whether two models share an origin. Raises HubdnaError when one of them cannot be read."""
    for adapter, base in ((a, b), (b, a)):
        try:
            loaded = loader.load(adapter)
        except OnlyAdapterError:
            verdict, cost = _check_adapter(adapter, base, loader)
            return Comparison(a, b, verdict, *cost)
        if adapter is a:
            dna_a = loaded.dna
    dna_b = loaded.dna
    evidence = with_receipts(compare_dna(dna_a, dna_b), dna_a, dna_b, checked)
    cost = dna_a.n_bytes_read + dna_b.n_bytes_read, dna_a.n_requests + dna_b.n_requests
    verdict = judge(evidence)
    if loader.level == "full" and verdict.origin in ("no-evidence", "undecided"):
        agreed, more = _agreement(a, b, loader)
        verdict = judge(replace(evidence, agreement=agreed))
        cost = cost[0] + more[0], cost[1] + more[1]
    return Comparison(dna_a.ref, dna_b.ref, verdict, *cost)


def _agreement(a: ModelRef, b: ModelRef, loader: Loader) -> tuple[tuple[float, ...], tuple[int, int]]:
    """Look at all hidden units of a few layers of both; nothing when one of them is not at hand as files."""
    try:
        (reader_a, tensors_a), (reader_b, tensors_b) = loader.tensors(a), loader.tensors(b)
        sides = layer_sides(reader_a, tensors_a), layer_sides(reader_b, tensors_b)
    except HubdnaError:
        return (), (0, 0)
    cost = reader_a.n_bytes + reader_b.n_bytes, reader_a.n_requests + reader_b.n_requests
    if len(sides[0]) != len(sides[1]):
        return (), cost
    wide = [(x, y) for x, y in zip(*sides, strict=True) if min(len(x[0]), len(y[0])) >= MIN_UNITS]
    alike = [(x, y) for x, y in wide if x[0].shape[1] == y[0].shape[1]]
    return tuple(agreement(x, y) for x, y in alike), cost


def _check_adapter(ref: ModelRef, base: ModelRef, loader: Loader) -> tuple[Verdict, tuple[int, int]]:
    """Whether an adapter could belong to a base: its claim and its shapes. Its weights cannot prove more."""
    try:
        adapter, reader = _open_adapter(ref, loader)
    except FormatError as error:
        raise FormatError(f"{ref}/{error.filename}", error.reason) from None
    base_snapshot, base_reader = loader.open(base)
    files = model_files(choose_files(base_reader, base_snapshot), str(base))
    opened = [open_file(base_reader, file, *_OPEN) for file in files]
    weights, _ = compose(opened, base_reader, base_snapshot.config, _OPEN[0])
    infos = {t.info.name: t.info for t in [t for one in opened for t in one.tensors] + weights}  # unpacked ones last
    reason = _adapter_reason(adapter, base, check_shapes(adapter, list(infos.values())))
    verdict = Verdict("undecided", "adapter", "undirected", "none", None, None, (), untested(reason), reason)
    return verdict, (reader.n_bytes + base_reader.n_bytes, reader.n_requests + base_reader.n_requests)


def _open_adapter(ref: ModelRef, loader: Loader) -> tuple[Adapter, ByteReader]:
    snapshot, reader = loader.open(ref)
    file = choose_files(reader, snapshot).files[0]
    try:
        config = reader.read(join(dirname(file), "adapter_config.json"), 0, MAX_CONFIG + 1)
    except NotFoundError:
        raise FormatError(file, "an adapter without an adapter_config.json beside it: it names no base") from None
    return read_adapter(open_file(reader, file, *_OPEN).tensors, config, file), reader


def _adapter_reason(adapter: Adapter, base: ModelRef, faults: list[str]) -> str:
    kind = adapter.kind + (f" of rank {adapter.rank}" if adapter.rank else "")
    claim = f"claims {adapter.base} as its base" if adapter.base else "names no base"
    n = len(adapter.modules)
    if faults:
        return f"an adapter ({kind}) that {claim} and does not fit {base}: {len(faults)} of {n} modules, {faults[0]}"
    return (
        f"an adapter ({kind}) that {claim}; its {n} modules fit the shapes of {base}, and so they do any model of "
        "this architecture: an adapter's weights alone cannot prove their base"
    )


make_callable(__name__)
