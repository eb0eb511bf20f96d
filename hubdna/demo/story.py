"""What the demo tells, step by step; every step is the call that a user's own script would make."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import track

from hubdna.audit import Auditor
from hubdna.compare import compare_models
from hubdna.crawl import crawl
from hubdna.models import Loader
from hubdna.records import Audit, ModelRef
from hubdna.report import json, text
from hubdna.search import nearest
from hubdna.seed import describe, foundations
from hubdna.store import IndexDir

CHILD, PARENT, TWIN = "quietlab/doc-writer", "bytewright/pyllama-245k", "northbyte/pyllama-245k-scratch"

NEXT = """Next, on the real Hub:
  hubdna compare HuggingFaceTB/SmolLM2-135M-Instruct HuggingFaceTB/SmolLM2-135M
  hubdna crawl --index my-index --filter text-generation --limit 200
  hubdna audit your-org/your-model --index my-index"""


def tell(endpoint: str, keep: Path, out: Console, progress: Console) -> list[Audit]:
    """Run the pipeline against a Hub and print what a user would see."""
    loader = Loader(endpoint)
    with IndexDir(keep / "index", create=True) as index:
        _crawl(loader, index, out, progress)
        out.print("\n[bold]2. Two pairs of models with equal configs.[/bold] One is related, one is not:\n")
        for other in (PARENT, TWIN):
            out.print(text.comparison(compare_models(ModelRef(CHILD), ModelRef(other), loader)))
            out.print()
        out.print("[bold]3. Search.[/bold] Who are the relatives of a model whose card names no base?\n")
        model = loader.load(ModelRef(CHILD), index)
        out.print(text.matches(model.dna, nearest(model.dna, index, 5), describe(index)))
        return _audit(loader, index, keep, out, progress)


def _crawl(loader: Loader, index: IndexDir, out: Console, progress: Console) -> None:
    models = list(loader.hub.models())
    steps = crawl(loader.hub, index, models)
    done = list(track(steps, "crawling", total=len(models), console=progress, transient=True))
    n_bytes = sum(s.n_bytes for s in done)
    info = index.info()
    out.print(
        f"[bold]1. Crawl.[/bold] {len(done)} models on {loader.hub.endpoint}, {n_bytes / 1e6:.1f} MB read by ranges; "
        f"{info.n_models} stored in {index.path} (digest {info.digest[:12]}).",
        soft_wrap=True,
    )


def _audit(loader: Loader, index: IndexDir, keep: Path, out: Console, progress: Console) -> list[Audit]:
    refs = [entry.ref for entry in index.entries()]
    auditor = Auditor(index, loader, frozenset(foundations()))
    audits = list(track(auditor.audit(refs), "auditing", total=len(refs), console=progress, transient=True))
    out.print("\n[bold]4. Audit.[/bold] Cards against weights:\n")
    out.print(text.audits(audits))
    report = keep / "report.json"
    report.write_text(json.audits(audits), "utf-8")
    out.print(f"\nThe full report is {report}.\n", soft_wrap=True)
    out.print(NEXT, soft_wrap=True)
    return audits
