"""Board `odd`: hostile and odd indexes. What is said of them, and what they cost as they grow.

Said: models on the local Hub are crawled, then `hubdna lineage` and `hubdna search` are asked as a user would ask them;
the words are read. Models are the demo's trained ones; a *tuned* one has noise of 5 % of each matrix's size, drawn for
it alone, so that two of them are siblings and no direction between them is right. In a cycle each card declares the
next model as its base, and the last one the first.

Grown: indexes of 10, 100 and 1,000 exact copies of one model, and of 10, 100 and 300 tuned ones. Two questions are put
to each: all families, and the nearest relatives of a model that is not in the index, both with the text that a user
sees. Processor time (one thread for linear algebra) and the largest memory of a process of its own are counted beyond
what the same process takes for an index of one model. Time is told as a ratio to the smallest index of the table;
exponents are those between the two larger ones (1: ten times the models take ten times as long). Less than 20 ms and
1 MB count as 20 ms and 1 MB. From 10 tuned models to 100 both grow faster: of each model up to 64 others are asked
whether it is a merge of them.

Bar, set before this board was run: every outcome as said in the table; no edge with a direction anywhere. Copies:
time and memory grow by an exponent of 1.2 at most. Tuned models: every pair has a distance, so 2.2 at most.

    python scripts/boards/odd.py [--quick] [--fresh]
"""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from safetensors.numpy import load_file, save_file

import board
from hubdna.demo import HERE
from hubdna.dna import codec
from hubdna.dna.read import SCHEME
from hubdna.localhub import LocalHub
from hubdna.models import Loader
from hubdna.records import Claim, ModelRef
from hubdna.store import Entry, IndexDir

DEMO = HERE / "models"
BASE, STRANGERS = "bytewright/pyllama-245k", ("pixelworks/vit-digits", "convfoundry/resnet-digits")
ROOTS = (BASE, "northbyte/pyllama-245k-scratch", *STRANGERS, "northbyte/vit-digits-b", "streetvision/edge-ocr")
NOISE = 0.05
SIZES = {"copies": (1, 10, 100, 1000), "tuned": (1, 10, 100, 300)}
MOST = {"copies": 1.2, "tuned": 2.2}
LEAST = {"cpu_s": 0.02, "mb": 1.0}
WORDS = {
    ("copies", "families"): "Family 1: 1 model and {1} identical copies", ("tuned", "families"): "Family 1: {0} models",
    ("copies", "relatives"): "and {1} identical copies", ("tuned", "relatives"): "common origin",
}  # fmt: skip
Models = dict[str, tuple[str, int, str]]
"""Name -> the demo's model behind it, seed of its noise (0: none), base that its card declares (empty: none)."""

CASES: dict[str, Models] = {
    "empty": {},
    "one model": {"a/1": (BASE, 0, "")},
    "one model, its own base": {"a/1": (BASE, 0, "a/1")},
    "duplicates only": {f"a/{i}": (BASE, 0, "") for i in range(1, 6)},
    "duplicates, bases in a cycle": {f"a/{i}": (BASE, 0, f"a/{i % 3 + 1}") for i in (1, 2, 3)},
    "tuned, bases in a cycle of two": {f"a/{i}": (BASE, i, f"a/{i % 2 + 1}") for i in (1, 2)},
    "tuned, bases in a cycle of three": {f"a/{i}": (BASE, i, f"a/{i % 3 + 1}") for i in (1, 2, 3)},
    "no gene in common": {f"a/{i}": (name, 0, "") for i, name in enumerate((BASE, *STRANGERS), start=1)},
    "strangers of equal shapes": {f"a/{i}": (name, 0, "") for i, name in enumerate(ROOTS, start=1)},
    "strangers, bases in a cycle": {f"a/{i}": (ROOTS[i - 1], 0, f"a/{i % 6 + 1}") for i in range(1, 7)},
    "nothing to test": {f"a/{i}": ("tiny", i, "") for i in (1, 2, 3)},
}
NO_FAMILY, NONE = "No families were found.", "No relatives of a/1 were found."
SAID: dict[str, tuple[str, str]] = {
    "empty": (NO_FAMILY, "(0 models)"),
    "one model": (NO_FAMILY, NONE),
    "one model, its own base": (NO_FAMILY, NONE),
    "duplicates only": ("1 model and 4 identical copies", "and 3 identical copies"),
    "duplicates, bases in a cycle": ("1 model and 2 identical copies", "and 1 identical copy"),
    "tuned, bases in a cycle of two": ("?: each is declared on the other's card", "common origin"),
    "tuned, bases in a cycle of three": ("Family 1: 3 models", "common origin"),
    "no gene in common": (NO_FAMILY, NONE),
    "strangers of equal shapes": (NO_FAMILY, NONE),
    "strangers, bases in a cycle": (NO_FAMILY, NONE),
    "nothing to test": ("3 of which nothing can be tested", "nothing of it can be tested"),
}
"""What the text of `lineage`, and of `search` for a/1, has to say."""


def weights(source: str, seed: int) -> dict[str, np.ndarray]:
    """A model of the demo, with noise of its own; or one whose matrices are too small for any test."""
    rng = np.random.default_rng(seed)
    if source == "tiny":
        return {f"layers.{i}.weight": rng.standard_normal((8, 8), np.float32) for i in range(4)}
    tensors = {k: np.asarray(v, np.float32) for k, v in load_file(DEMO / source / "model.safetensors").items()}
    for name, w in tensors.items() if seed else ():
        if w.ndim > 1:
            tensors[name] = w + np.float32(NOISE * w.std()) * rng.standard_normal(w.shape, np.float32)
    return tensors


def publish(root: Path, models: Models) -> None:
    """The models of a case as folders of the local Hub."""
    root.mkdir()
    for name, (source, seed, base) in models.items():
        (folder := root / name).mkdir(parents=True)
        for file in (DEMO / source).glob("*.json"):
            shutil.copy(file, folder)
        save_file(weights(source, seed), folder / "model.safetensors")
        declared = f"base_model: {base}\n" if base else ""
        (folder / "README.md").write_text(f"---\nlicense: mit\n{declared}---\nA model.\n")


def ask(models: Models) -> dict[str, Any]:
    """Crawl the models of a case, and ask the program about them."""
    with tempfile.TemporaryDirectory() as place:
        publish(root := Path(place, "hub"), models)
        publish(other := Path(place, "other"), {"b/1": (BASE, 9, "")})
        asked = "a/1" if models else str(other / "b" / "1")
        with LocalHub(root) as server:

            def run(*args: str) -> str:
                command = [sys.executable, "-m", "hubdna", *args, "--index", f"{place}/index"]
                env = os.environ | {"HF_ENDPOINT": server.endpoint, "HF_HOME": place, "COLUMNS": "150"}
                done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
                return done.stdout if done.returncode == 0 else f"exit code {done.returncode}: {done.stderr}"

            run("crawl", "--quiet")
            said = {"lineage": run("lineage", "--quiet"), "search": run("search", asked)}
            forest = json.loads(run("lineage", "--quiet", "--format", "json"))
        edges = [e for f in forest["families"] for e in f["edges"]]
        directed = [f"{e['parent']} -> {e['child']}" for e in edges if e["certainty"] != "none"]
        return {"said": said, "members": [len(f["members"]) for f in forest["families"]], "edges": len(edges),
                "directed": directed}  # fmt: skip


def grow(kind: str, size: int) -> dict[str, Any]:
    """An index of so many models of a kind; each question is asked in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        with IndexDir(Path(place, "index"), create=True) as index:
            fill(index, kind, size)
        publish(Path(place, "hub"), {"b/1": (BASE, 10**6, "")})
        command = [sys.executable, __file__, "--ask", place, "--question"]
        return {q: json.loads(subprocess.check_output([*command, q])) for q in ("families", "relatives")}


def fill(index: IndexDir, kind: str, size: int) -> None:
    """Copies share one DNA file, as a crawl stores them; tuned models have one each."""
    loader, data, dna = Loader(level="standard"), None, None
    with tempfile.TemporaryDirectory() as place:
        for i in range(size):
            if dna is None or kind == "tuned":
                publish(folder := Path(place, str(i)), {"a/1": (BASE, i + 1, "")})
                dna = loader.load(ModelRef(str(folder / "a" / "1"))).dna
                data = codec.encode(dna)
                shutil.rmtree(folder)
            assert data is not None
            ref = ModelRef(f"a/{i:04d}", "main", "0" * 40)
            index.add(Entry(ref, codec.digest(data), Claim(), len(dna.genes), "standard", dna.content), data)
    index.sync()


def answer(place: Path, question: str) -> dict[str, Any]:
    """One question, in this process: processor seconds, the largest memory in MB, and how the text begins."""
    import resource

    from rich.console import Console

    from hubdna.lineage import families
    from hubdna.report import text, tree
    from hubdna.search import nearest

    dna = Loader(level="standard").load(ModelRef(str(place / "hub" / "b" / "1"))).dna
    with IndexDir(place / "index") as index:
        console, started = Console(record=True, width=150, file=io.StringIO()), time.process_time()
        if question == "families":
            console.print(tree.lineage(families(index), "the index"))
        else:
            console.print(text.matches(dna, nearest(dna, index), "the index"))
        seconds = time.process_time() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"cpu_s": seconds, "mb": memory, "said": console.export_text()[:2000]}


def main() -> int:
    """Ask all cases, grow the indexes, print, judge."""
    started = time.perf_counter()
    args = board.arguments(__doc__, ask="", question="")
    if args.ask:
        print(json.dumps(answer(Path(args.ask), args.question)))
        return 0
    rows = board.Rows("odd", args, SCHEME)
    for case, models in list(CASES.items())[: 3 if args.quick else None]:
        rows.measure(case, lambda models=models: ask(models))
    for kind, sizes in SIZES.items():
        for size in sizes[: 3 if args.quick else None]:
            rows.measure(f"{size} {kind}", lambda kind=kind, size=size: grow(kind, size))
    faults = [*report_said(rows), *report_growth(rows)]
    print("\n".join(faults))
    return board.finish("odd", not faults, started, n=len(rows) - 1, faults=len(faults))


def report_said(rows: board.Rows) -> Iterator[str]:
    """The table of words, and what of it is not as it has to be."""
    lines = []
    for case in CASES:
        if case in rows:
            row = rows[case]
            lines.append([case, row["members"] or "none", row["edges"], len(row["directed"]), *SAID[case]])
            for which, words in zip(("lineage", "search"), SAID[case], strict=True):
                if words not in row["said"][which]:
                    yield f"{case}: {which} does not say {words!r} but: {row['said'][which]}"
            if row["directed"]:
                yield f"{case}: edges with a direction: {', '.join(row['directed'])}"
    board.table("What is said", ["index", "families of", "edges", "directed", "lineage says", "search says"], lines)


def report_growth(rows: board.Rows) -> Iterator[str]:
    """The table of growth, and what of it is over its bar."""
    lines = []
    for kind, sizes in SIZES.items():
        for question in ("families", "relatives"):
            row = {s: rows[f"{s} {kind}"][question] for s in sizes if f"{s} {kind}" in rows}
            first, *rest = row
            more = {w: [max(row[s][w] - row[first][w], least) for s in rest] for w, least in LEAST.items()}
            for s, seconds, mb in zip(rest, more["cpu_s"], more["mb"], strict=True):
                lines.append([kind, question, s, seconds / more["cpu_s"][0], mb])
            steps = math.log(rest[-1] / rest[-2])
            slopes = {w: math.log(have[-1] / have[-2]) / steps for w, have in more.items()}
            lines.append(["", "", "exponent", slopes["cpu_s"], slopes["mb"]])
            for what, slope in slopes.items():
                if slope > MOST[kind]:
                    yield f"{kind}, {question}: {what} grows by an exponent of {slope:.2f}"
            if (told := WORDS[kind, question].format(rest[-1], rest[-1] - 1)) not in row[rest[-1]]["said"]:
                yield f"{kind}, {question}: the text does not say {told!r}"
    board.table("Growth", ["kind", "question", "models", "time", "memory, MB"], lines)


if __name__ == "__main__":
    sys.exit(main())
