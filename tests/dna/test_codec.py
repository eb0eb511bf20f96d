"""A .dna file gives back what was put in, and a hostile one gives nothing but a FormatError."""

import json
import resource
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

import hubdna.demo
from hubdna.dna import codec
from hubdna.errors import FormatError
from hubdna.evidence.compare import compare_dna
from hubdna.models import Loader
from hubdna.records import Block, Dna, Gene, ModelRef
from hubdna.verdict import judge

MODELS = Path(hubdna.demo.__file__).parent / "models"
NAME = "some.dna"


@pytest.fixture(scope="module")
def dna() -> Dna:
    return Loader().load(ModelRef(str(MODELS / "bytewright/pyllama-245k"))).dna


@pytest.fixture(scope="module")
def data(dna: Dna) -> bytes:
    return codec.encode(dna)


def same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b) and a.dtype == b.dtype) if isinstance(a, np.ndarray) else a == b


def test_a_dna_is_read_back_gene_by_gene(dna: Dna, data: bytes) -> None:
    back = codec.decode(data, NAME)
    assert (back.scheme, back.content, back.n_tensors) == (dna.scheme, dna.content, dna.n_tensors)
    assert (back.n_tokens, back.quantization) == (dna.n_tokens, dna.quantization)
    assert len(back.blocks) == len(dna.blocks) > 3
    for ours, theirs in zip(back.blocks, dna.blocks, strict=True):
        assert all(same(getattr(ours, f.name), getattr(theirs, f.name)) for f in fields(Block))
    assert {g.view for g in dna.genes} == {"rows", "response", "gram", "residual"}
    assert len(back.genes) == len(dna.genes) > 3
    for ours, theirs in zip(back.genes, dna.genes, strict=True):
        assert all(same(getattr(ours, f.name), getattr(theirs, f.name)) for f in fields(Gene))


def test_writing_what_was_read_gives_the_same_bytes(data: bytes) -> None:
    assert codec.encode(codec.decode(data, NAME)) == data


def test_a_reference_is_not_part_of_the_file(dna: Dna, data: bytes) -> None:
    renamed = replace(dna, ref=ModelRef("other/name"), n_bytes_read=7, n_requests=7)
    assert codec.encode(renamed) == data
    assert codec.decode(data, NAME, ModelRef("x/y")).ref == ModelRef("x/y")


def test_a_published_dna_holds_no_weights(dna: Dna) -> None:
    published = codec.encode(dna, publish=True)
    assert set(load(published)) == {"live", "hashes", "ids", "sketches"}
    back = codec.decode(published, NAME)
    assert back.blocks == ()
    assert all(g.rows is None and g.scales is None for g in back.genes)
    assert all(
        same(a.hashes, b.hashes) and same(a.sketch, b.sketch) for a, b in zip(back.genes, dna.genes, strict=True)
    )


def test_publishing_a_published_dna_changes_nothing(dna: Dna) -> None:
    published = codec.encode(dna, publish=True)
    assert codec.encode(codec.decode(published, NAME), publish=True) == published
    assert codec.encode(codec.decode(published, NAME)) == published


def test_a_dna_without_genes_is_read_back(dna: Dna) -> None:
    empty = codec.decode(codec.encode(replace(dna, genes=(), blocks=())), NAME)
    assert empty.genes == ()
    assert empty.content == dna.content


def rewritten(data: bytes, about: Any = None, meta: Any = None, **arrays: Any) -> bytes:
    """The same file with some things changed: `about` and `meta` get the old value and return the new one."""
    length = int.from_bytes(data[:8], "little")
    old = json.loads(data[8 : 8 + length])["__metadata__"]
    if about is not None:
        old["about"] = json.dumps(about(json.loads(old["about"])))
    if meta is not None:
        old = meta(old)
    held = {k: v for k, v in (load(data) | arrays).items() if v is not None}
    return save(held, metadata=old)


def with_gene(**changes: Any) -> Any:
    """Change fields of the first gene of plain rows."""

    def change(about: dict[str, Any]) -> dict[str, Any]:
        view, axis = about["columns"].index("view"), about["columns"].index("axis")
        first = next(gene for gene in about["genes"] if (gene[view], gene[axis]) == ("rows", 0))
        for column, value in changes.items():
            first[about["columns"].index(column)] = value
        return about

    return change


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": []}, {"shape": [0, 64]}, {"shape": [-5, 64]}, {"shape": [7, 64]}, {"shape": [2**70, 64]},
        {"shape": [64.5, 64]}, {"shape": "64"}, {"shape": None}, {"shape": [True] * 40}, {"shape": [1] * 1000 + [64]},

        {"n_columns": 10**9}, {"n_rows": 10**9}, {"n_rows": 31}, {"view": "x"}, {"view": "unseen"},
        {"axis": 9}, {"axis": -1}, {"axis": "0"}, {"axis": None}, {"axis": 0.0},
        {"axis": 10**30}, {"layer": float("inf")}, {"layer": float("nan")}, {"layer": "x"}, {"layer": None},
        {"n_sketched": float("inf")}, {"n_sketched": {}}, {"tensor": "a\x1b[2Jb"}, {"tensor": "\ud800"},
        {"role": "\n"}, {"dtype": "\x07"}, {"component": "\u202e"},
    ],
    ids=str,
)  # fmt: skip
def test_an_impossible_gene_is_refused(data: bytes, changes: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match=f"^{NAME}: not a sound .dna file") as caught:
        codec.decode(rewritten(data, with_gene(**changes)), NAME)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "about",
    [
        lambda a: None, lambda a: [], lambda a: 5, lambda a: "x", lambda a: {}, lambda a: a | {"genes": None},
        lambda a: a | {"genes": {}}, lambda a: a | {"genes": [5]}, lambda a: a | {"genes": a["genes"][:-1]},
        lambda a: a | {"genes": a["genes"] * 2}, lambda a: a | {"genes": [g[:-1] for g in a["genes"]]},
        lambda a: a | {"columns": a["columns"][::-1]}, lambda a: a | {"columns": []}, lambda a: a | {"content": [1]},
        lambda a: a | {"content": 5}, lambda a: a | {"n_tensors": "many"}, lambda a: a | {"n_tensors": True},
        lambda a: {k: v for k, v in a.items() if k != "content"},
        lambda a: a | {"genes": [[]] * 30_000},
    ],
)  # fmt: skip
def test_an_impossible_gene_table_is_refused(data: bytes, about: Any) -> None:
    with pytest.raises(FormatError, match=f"^{NAME}: not a sound .dna file"):
        codec.decode(rewritten(data, about), NAME)


def with_corner(table: str = "corners", **changes: Any) -> Any:
    """Change fields of the first corner, or of the first sample."""

    def change(about: dict[str, Any]) -> dict[str, Any]:
        for column, value in changes.items():
            about[table][0][about["corner_columns"].index(column)] = value
        return about

    return change


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": []}, {"shape": [0, 64]}, {"shape": "64"}, {"shape": None}, {"shape": [2**70, 64]}, {"shape": [1.5]},
        {"shape": [4, 4]}, {"shape": [1, 10**6]}, {"n_rows": 0}, {"n_rows": -1}, {"n_rows": 33}, {"n_rows": 10**9},
        {"n_rows": True}, {"n_columns": 129}, {"n_columns": 0}, {"n_columns": 10**12}, {"n_columns": 64.0},
        {"n_rows": None}, {"grid": 9}, {"grid": -1}, {"grid": None}, {"grid": "4"}, {"grid": [4]}, {"grid": 4.0},
        {"grid": True}, {"tensor": "a\x1b[2Jb"}, {"tensor": "\ud800"}, {"role": "\n"}, {"dtype": "\x07"},
    ],
    ids=str,
)  # fmt: skip
def test_an_impossible_corner_is_refused(data: bytes, changes: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match=f"^{NAME}: not a sound .dna file") as caught:
        codec.decode(rewritten(data, with_corner(**changes)), NAME)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("changes", [{"n_rows": 9}, {"n_columns": 33}, {"shape": [4, 4]}, {"grid": 9}], ids=str)
def test_an_impossible_sample_is_refused(data: bytes, changes: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match=f"^{NAME}: not a sound .dna file"):
        codec.decode(rewritten(data, with_corner("samples", **changes)), NAME)


@pytest.mark.parametrize(
    "about",
    [
        lambda a: a | {"corners": None}, lambda a: a | {"corners": {}}, lambda a: a | {"corners": [5]},
        lambda a: a | {"corners": a["corners"][:-1]}, lambda a: a | {"corners": a["corners"] * 2},
        lambda a: a | {"corners": [c[:-1] for c in a["corners"]]}, lambda a: a | {"corners": [[]] * 2_000},
        lambda a: a | {"corner_columns": []}, lambda a: {k: v for k, v in a.items() if k != "corners"},
    ],
)  # fmt: skip
def test_an_impossible_table_of_corners_is_refused(data: bytes, about: Any) -> None:
    with pytest.raises(FormatError, match=f"^{NAME}: not a sound .dna file"):
        codec.decode(rewritten(data, about), NAME)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_corners_that_are_no_numbers_are_refused(data: bytes, odd: float) -> None:
    corners = load(data)["corners"].copy()
    corners[3] = odd
    with pytest.raises(FormatError, match="corners do not hold"):
        codec.decode(rewritten(data, corners=corners), NAME)


@pytest.mark.parametrize("value", [5, True, [], {}, ["gptq"], "a\x1b[2J", "x" * 201, "\ud800", 1.5])
def test_names_of_layouts_that_are_no_words_are_refused(data: bytes, value: Any) -> None:
    with pytest.raises(FormatError, match=f"^{NAME}: not a sound .dna file"):
        codec.decode(rewritten(data, lambda a: a | {"quantization": value}), NAME)


@pytest.mark.parametrize("field", ["n_tokens", "n_tensors"])
@pytest.mark.parametrize("value", ["many", None, True, 1.0, -1, 2**70, [], {}])
def test_numbers_that_are_no_counts_are_refused(data: bytes, field: str, value: Any) -> None:
    with pytest.raises(FormatError, match=f"^{NAME}: not a sound .dna file"):
        codec.decode(rewritten(data, lambda a: a | {field: value}), NAME)


def test_a_layout_and_a_number_of_tokens_are_read_back(dna: Dna) -> None:
    back = codec.decode(codec.encode(replace(dna, quantization="gptq", n_tokens=0)), NAME)
    assert (back.quantization, back.n_tokens) == ("gptq", 0)


@pytest.fixture(scope="module")
def unseen(dna: Dna) -> Dna:
    """A DNA with tokens that no training saw."""
    model = next(g for g in dna.genes if g.view == "residual")
    assert model.rows is not None and model.scales is not None
    gene = replace(model, view="unseen", axis=0, ids=np.arange(40, 40 + len(model.live), dtype=np.int32))
    return replace(dna, genes=(*dna.genes, gene))


def test_tokens_that_no_training_saw_are_read_back(unseen: Dna) -> None:
    back = codec.decode(codec.encode(unseen), NAME)
    assert same(back.genes[-1].ids, unseen.genes[-1].ids)
    assert all(g.ids.size == 0 for g in back.genes[:-1])


@pytest.mark.parametrize(
    "edit",
    [
        lambda ids: ids[:-1], lambda ids: np.append(ids, ids[-1] + 1), lambda ids: ids[::-1].copy(),
        lambda ids: ids * 0, lambda ids: ids - 41, lambda ids: ids.astype(np.int64), lambda ids: ids.astype(np.float32),
        lambda ids: None,
        lambda ids: np.where(ids == ids[3], ids[2], ids),
    ],
    ids="short long reversed equal negative wide floats absent doubled".split(),
)  # fmt: skip
def test_tokens_that_are_no_ordered_list_are_refused(unseen: Dna, edit: Any) -> None:
    data = codec.encode(unseen)
    with pytest.raises(FormatError, match=f"^{NAME}: "):
        codec.decode(rewritten(data, ids=edit(load(data)["ids"])), NAME)


@pytest.mark.parametrize("odd", [-1.0, 3e38, -0.1, 1e37])
def test_scales_that_leave_the_range_of_weights_are_refused(data: bytes, odd: float) -> None:
    scales = load(data)["scales"].copy()
    scales[3] = odd
    with pytest.raises(FormatError, match="arrays do not hold"):
        codec.decode(rewritten(data, scales=scales), NAME)


@pytest.mark.parametrize(
    "arrays",
    [
        {"rows": -128}, {"rows": 0}, {"scales": 2.6e36}, {"scales": 0}, {"live": 0}, {"live": 255}, {"hashes": 0},
        {"sketches": 255}, {"corners": 3e38}, {"corners": 0},
    ],
    ids=str,
)  # fmt: skip
def test_whatever_is_read_back_can_be_compared(dna: Dna, data: bytes, arrays: dict[str, float]) -> None:
    filled = {name: np.full_like(load(data)[name], value) for name, value in arrays.items()}
    forged = codec.decode(rewritten(data, **filled), NAME)
    for pair in ((forged, dna), (dna, forged), (forged, forged)):
        assert judge(compare_dna(*(replace(d, content=None) for d in pair))).origin in (
            "common",
            "no-evidence",
            "undecided",
        )


@pytest.mark.parametrize(
    "meta",
    [
        lambda m: {}, lambda m: m | {"schema": "hubdna.dna/1"}, lambda m: m | {"about": "{"},
        lambda m: {k: v for k, v in m.items() if k != "scheme"}, lambda m: {k: v for k, v in m.items() if k != "about"},
        lambda m: m | {"about": "[" * 100_000}, lambda m: m | {"about": "9" * 100_000}, lambda m: m | {"about": ""},
    ],
)  # fmt: skip
def test_impossible_metadata_is_refused(data: bytes, meta: Any) -> None:
    with pytest.raises(FormatError, match=f"^{NAME}: "):
        codec.decode(rewritten(data, meta=meta), NAME)


@pytest.mark.parametrize("value", ["null", "5", '"x"', "[]", '{"schema":5}', '{"schema":"hubdna.dna/3","about":5}'])
def test_metadata_of_another_type_is_refused(value: str) -> None:
    raw = f'{{"__metadata__":{value}}}'.encode()
    with pytest.raises(FormatError, match=f"^{NAME}: "):
        codec.decode(len(raw).to_bytes(8, "little") + raw, NAME)


@pytest.mark.parametrize(
    "arrays",
    [
        {"live": None}, {"hashes": None}, {"sketches": None}, {"scales": None}, {"live": np.zeros(5, np.uint8)},
        {"live": np.zeros(10**6, np.uint8)}, {"hashes": np.zeros(3, np.uint64)}, {"rows": np.zeros(7, np.int8)},
        {"rows": np.zeros(10**6, np.int8)}, {"scales": np.zeros(1, np.float32)}, {"sketches": np.zeros(128, np.uint8)},
        {"sketches": np.zeros(100, np.uint8)}, {"live": np.zeros(0, np.uint8)}, {"more": np.zeros(3, np.uint8)},
        {"corners": np.zeros(8, np.float32)}, {"ids": np.zeros(8, np.int32)}, {"corners": None},
    ],
    ids=lambda arrays: ",".join(f"{k}:{None if v is None else f'{v.dtype}[{v.size}]'}" for k, v in arrays.items()),
)  # fmt: skip
def test_arrays_that_do_not_fit_the_gene_table_are_refused(data: bytes, arrays: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match=f"^{NAME}: "):
        codec.decode(rewritten(data, **arrays), NAME)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_scales_that_are_no_numbers_are_refused(data: bytes, odd: float) -> None:
    scales = load(data)["scales"].copy()
    scales[3] = odd
    with pytest.raises(FormatError, match="arrays do not hold"):
        codec.decode(rewritten(data, scales=scales), NAME)


@pytest.mark.parametrize("field", ["rows", "hashes", "live", "scales", "sketches", "corners"])
def test_arrays_of_another_type_are_refused(data: bytes, field: str) -> None:
    array = load(data)[field]
    other = array.view(np.int16 if array.dtype.itemsize == 1 and array.size % 2 == 0 else np.uint8)
    with pytest.raises(FormatError, match=f"^{NAME}: "):
        codec.decode(rewritten(data, **{field: other}), NAME)


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 9, 100, 5000, -1, -1000])
def test_a_file_that_was_cut_is_refused(data: bytes, cut: int) -> None:
    with pytest.raises(FormatError, match=f"^{NAME}: "):
        codec.decode(data[:cut], NAME)


def test_more_bytes_than_the_header_tells_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        codec.decode(data + b"\0", NAME)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_mutated_files_raise_nothing_but_format_errors_and_take_no_memory(data: bytes, choices: st.DataObject) -> None:
    length = int.from_bytes(data[:8], "little")
    changed = bytearray(data)
    for _ in range(choices.draw(st.integers(1, 4))):
        at = choices.draw(st.integers(0, 8 + length + 400))
        changed[at] = choices.draw(st.integers(0, 255))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        decoded = codec.decode(bytes(changed), NAME)
    except FormatError as error:
        assert error.filename == NAME
    else:
        assert all(len(g.live) == len(g.hashes) for g in decoded.genes if g.view == "rows")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # KiB


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_raise_format_errors(raw: bytes) -> None:
    with pytest.raises(FormatError):
        codec.decode(raw, NAME)
