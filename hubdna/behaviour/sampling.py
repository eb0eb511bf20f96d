"""The process that draws probes from data of strangers: `python -m hubdna.behaviour.sampling`, started by `own_probes`.

Files are chosen by their names, and `datasets` streams the rows of tables. Settings in a card are not read (they may
name files elsewhere), no script is run, no path inside a row is followed. The first 256 samples that differ are taken;
of a folder of pictures a spread. Pictures say their size before they are decoded.
"""

from __future__ import annotations

import io
import itertools
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hubdna.behaviour.child import limit
from hubdna.behaviour.own_probes import LEAST, MOST, SIDE, save
from hubdna.behaviour.probes import LETTERS, Probes
from hubdna.errors import BehaviourError

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
KINDS = {"parquet": (".parquet",), "json": (".jsonl",), "csv": (".csv",), "pictures": PICTURES, "text": (".txt",)}
"""Builders of `datasets` (and files of one picture each), in the order in which they are looked for; their names."""
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
ROWS, BATCH = 4096, 256
"""So many are looked at, and so many at once."""
MAX_BYTES, MAX_PIXELS = 20_000_000, 40_000_000
TEXTS = ("text", "content", "sentence", "document", "prompt", "question")
"""Columns that are taken first where none is named."""


def draw(name: str, split: str, column: str) -> tuple[Probes, list[str]]:
    """Probes, and what a reader should know. Raises BehaviourError, or whatever a library says of a stranger's data."""
    kind, files = choose(listed(name), split, name)
    samples: dict[Any, None] = {}
    left: Counter[str] = Counter()
    for row in itertools.islice(rows(kind, files), ROWS):
        column = column or guessed(row)
        if column not in row:
            raise BehaviourError(f"no column {column!r}; there are {', '.join(map(repr, list(row)[:20]))}")
        try:
            samples[sample(row[column], files)] = None
        except ValueError as error:
            left[str(error)] += 1
        if len(samples) == MOST:
            break
    notes = [f"column {column!r} of {len(files)} {'file' if len(files) == 1 else 'files'}"] if samples else []
    notes += [f"{n} left out: {why}" for why, n in left.most_common(3)]
    return together(list(samples), column, notes), notes


def listed(name: str) -> list[str]:
    """The paths of all files of a folder, or the addresses of those of a data set on the Hub."""
    if not name.startswith("/"):
        import fsspec

        found = fsspec.filesystem("hf", token=False).find(f"datasets/{name}")
        return [f"hf://{path}" for path in found]
    path = Path(name)
    return [name] if path.is_file() else [str(p) for p in path.rglob("*") if p.is_file()]


def choose(files: Sequence[str], split: str, name: str) -> tuple[str, list[str]]:
    """The files of one kind that name the split. Raises BehaviourError.

    Returns:
        One of `KINDS`, and files: pictures spread over all folders, else those in the first file's folder.
    """
    start = len(name) if len(files) != 1 or files[0] != name else 0
    for kind, ends in KINDS.items():
        ours = sorted(f for f in files if f.lower().endswith(ends))
        if not ours:
            continue
        if files == [name]:
            chosen = [] if split else ours
        else:
            places = {f: f.removeprefix("hf://datasets/")[start:] for f in ours}
            chosen = [f for f, place in places.items() if _names(split or "train", place)] or ([] if split else ours)
        if not chosen:
            raise BehaviourError(f"no {kind} file names the split {split!r}")
        if kind == "pictures":
            return kind, [chosen[i] for i in np.unique(np.linspace(0, len(chosen) - 1, 2 * MOST).astype(int))]
        return kind, [f for f in chosen if f.rpartition("/")[0] == chosen[0].rpartition("/")[0]]
    known = ", ".join(end for ends in KINDS.values() for end in ends)
    raise BehaviourError(f"holds no data that is read: expected {known}")


def _names(split: str, place: str) -> bool:
    """Whether a path has the split as a word: `data/train-00000-of-00001.parquet`."""
    return re.search(rf"(?<![A-Za-z0-9]){re.escape(split)}(?![A-Za-z0-9])", place) is not None


def rows(kind: str, files: list[str]) -> Iterator[dict[str, Any]]:
    """Rows, as they lie there: pictures are not decoded."""
    if kind == "pictures":
        yield from ({"picture": {"bytes": None, "path": file}} for file in files)
        return
    from datasets import load_dataset

    more = {"batch_size": BATCH} if kind == "parquet" else {}
    made = load_dataset(kind, data_files=files, split="train", streaming=True, token=False, **more)
    yield from made.decode(False) if made.features else made  # without known features there are no pictures


def guessed(row: dict[str, Any]) -> str:
    """The column to take: the first of pictures, else one named like text, else the first of text."""
    pictures = [name for name, value in row.items() if _is_picture(value)]
    texts = [name for name, value in row.items() if isinstance(value, str)]
    found = pictures + [name for name in TEXTS if name in texts] + texts
    if not found:
        raise BehaviourError(f"neither text nor pictures in columns {', '.join(map(repr, list(row)[:20]))}")
    return found[0]


def sample(value: Any, files: Sequence[str]) -> str | tuple[bytes, tuple[int, int]]:
    """One value: a text, or a picture's bytes and size (height, width). Raises ValueError with the reason why not."""
    if isinstance(value, str):
        text = value.strip()[:LETTERS]
        if not text:
            raise ValueError("empty text")
        text.encode()  # lone surrogates are a ValueError, too
        return text
    if not _is_picture(value):
        raise ValueError(f"{type(value).__name__}, neither text nor a picture")
    raw = value if isinstance(value, bytes) else value["bytes"]
    if raw is None:
        raw = _read(value["path"], files)
    if len(raw) > MAX_BYTES:
        raise ValueError(f"a picture of more than {MAX_BYTES} bytes")
    small = decoded(raw)
    return small.tobytes(), (small.height, small.width)


def decoded(raw: bytes) -> Image:
    """A picture in colour, at most 224 pixels a side. Raises ValueError."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(raw), formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError(f"a picture of more than {MAX_PIXELS} pixels")
            picture.draft("RGB", (2 * SIDE, 2 * SIDE))
            made = picture.convert("RGB")
    except ValueError as error:
        raise ValueError(str(error) if "pixels" in str(error) else "a picture that cannot be decoded") from None
    except MemoryError:
        raise
    except Exception:  # a library's word on a stranger's bytes
        raise ValueError("a picture that cannot be decoded") from None
    return made if max(made.size) <= SIDE else made.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def together(samples: list[Any], column: str, notes: list[str]) -> Probes:
    """Samples of the first one's kind as probes. Raises BehaviourError when they are too few.

    Pictures of one size stay as they are, others become squares of 224 pixels.
    """
    is_text = bool(samples) and isinstance(samples[0], str)
    samples = [one for one in samples if isinstance(one, str) == is_text]
    if len(samples) < LEAST:
        what = "texts" if is_text else "pictures" if samples else "texts or pictures"
        said = f" ({'; '.join(notes)})" if notes else ""
        raise BehaviourError(f"{column!r} holds {len(samples)} different {what}, at least {LEAST} are needed{said}")
    if is_text:
        return Probes(None, tuple(samples))
    from PIL import Image

    sizes = {size for _, size in samples}
    pictures = [Image.frombytes("RGB", size[::-1], raw) for raw, size in samples]
    if len(sizes) > 1:
        pictures = [one.resize((SIDE, SIDE), Image.Resampling.BICUBIC) for one in pictures]
    return Probes(np.stack([np.asarray(one, np.uint8) for one in pictures]), None)


def _is_picture(value: Any) -> bool:
    return isinstance(value, bytes) or (isinstance(value, dict) and {"bytes", "path"} <= value.keys())


def _read(path: Any, files: Sequence[str]) -> bytes:
    """The bytes of a file that was chosen; a path in a row of data is not followed."""
    if path not in files:
        raise ValueError("a picture that is named, but not held")
    import fsspec

    with fsspec.open(path, "rb", **({"token": False} if path.startswith("hf://") else {})) as file:
        found: bytes = file.read(MAX_BYTES + 1)
    return found


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Draw, write, and what is told: {"notes"}, or {"reason"}."""
    too_much = f"out of memory: more than the {request['memory'] / 1e9:g} GB it was given"
    try:
        import datasets
        import pyarrow
        from PIL import Image

        datasets.disable_progress_bars()
        Image.init()  # loads what decodes, before memory is limited
        pyarrow.set_cpu_count(1)
        limit(request["memory"])
        shown, notes = draw(request["name"], request["split"], request["column"])
    except ImportError as error:
        return {"reason": f"{error}; pip install 'hubdna[models]'"}
    except MemoryError:
        return {"reason": too_much}
    except BehaviourError as error:
        return {"reason": str(error)}
    except Exception as error:  # whatever a library says of a stranger's data
        said = " ".join(str(error).split())
        return {"reason": too_much if "alloc" in said else f"{type(error).__name__}: {said[:200]}"}
    save(Path(request["out"]), shown)
    return {"notes": notes}


def main() -> None:
    """Answer one request."""
    told, sys.stdout = sys.stdout, sys.stderr
    told.write(json.dumps(answer(json.loads(sys.stdin.read()))))
    told.flush()


if __name__ == "__main__":
    main()
