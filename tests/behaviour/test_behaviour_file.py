"""A behaviour as a file: nothing is lost, and whatever is not sound is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import behaviour_bench as bench
import numpy as np
import pytest
from safetensors.numpy import save_file

from hubdna.behaviour.codec import FORMAT, load, store
from hubdna.errors import FormatError
from hubdna.records import Behaviour

FACTS = {"scheme": "s", "modality": "text", "loader": "timm", "notes": [], "seconds": 1.0, "peak": 1}


def arrays(n: int = 8, **changed: Any) -> dict[str, Any]:
    made = {"relations": np.zeros((6, n, n), np.float32), "answers": np.zeros((n, 3), np.float32)}
    return {k: v for k, v in (made | {"top": np.zeros(n, np.int64)} | changed).items() if v is not None}


def test_nothing_is_lost(demo: Callable[[str], Behaviour], tmp_path: Path) -> None:
    seen = demo(bench.LM)
    store(tmp_path / "lm.behaviour", seen)
    again = load(tmp_path / "lm.behaviour")
    for name in ("scheme", "modality", "loader", "notes", "seconds", "peak_bytes", "seen"):
        assert getattr(again, name) == getattr(seen, name)
    for name in ("relations", "answers", "top"):
        assert np.array_equal(getattr(again, name), getattr(seen, name))
    assert [path.name for path in tmp_path.iterdir()] == ["lm.behaviour"]


@pytest.mark.parametrize(
    "changed",
    [
        {"top": None},
        {"more": np.zeros(3, np.float32)},
        {"relations": np.zeros((6, 8, 9), np.float32)},
        {"relations": np.zeros((6, 8, 8), np.float64)},
        {"relations": np.full((6, 8, 8), np.inf, np.float32)},
        {"answers": np.zeros((7, 3), np.float32)},
        {"answers": np.zeros((8, 5000), np.float32)},
        {"answers": np.full((8, 3), np.nan, np.float32)},
        {"top": np.zeros((8, 1), np.int64)},
    ],
)
def test_arrays_that_are_not_sound_are_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    save_file(arrays(**changed), tmp_path / "f", {"format": FORMAT, "facts": json.dumps(FACTS)})
    with pytest.raises(FormatError, match="f: no sound behaviour"):
        load(tmp_path / "f")


@pytest.mark.parametrize(
    "facts",
    ["", "[]", "null", "{}", "[" * 100_000, json.dumps(FACTS | {"modality": "smell"}), json.dumps(FACTS | {"notes": 3}),
     json.dumps(FACTS | {"seconds": "soon"}), json.dumps(FACTS | {"peak": None}),
     json.dumps(FACTS | {"peak": 0}).replace('"peak": 0', '"peak": 1e999')],
)  # fmt: skip
def test_facts_that_are_not_sound_are_refused(tmp_path: Path, facts: str) -> None:
    save_file(arrays(), tmp_path / "f", {"format": FORMAT, "facts": facts})
    with pytest.raises(FormatError, match="f: no sound behaviour"):
        load(tmp_path / "f")


def test_other_files_are_refused(tmp_path: Path) -> None:
    save_file(arrays(), tmp_path / "weights", {"format": "pt"})
    with pytest.raises(FormatError, match="no behaviour: format 'pt'"):
        load(tmp_path / "weights")
    (tmp_path / "noise").write_bytes(b"\xff" * 1000)
    with pytest.raises(FormatError, match="no sound behaviour"):
        load(tmp_path / "noise")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(60_000_000)
    with pytest.raises(FormatError, match="more than any behaviour has"):
        load(tmp_path / "large")


def test_a_sound_one_is_read(tmp_path: Path) -> None:
    save_file(arrays(), tmp_path / "f", {"format": FORMAT, "facts": json.dumps(FACTS)})
    assert load(tmp_path / "f").scheme == "s"
