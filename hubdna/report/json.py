"""Stable machine output: first key `schema`, numbers that do not exist are null, never NaN."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hubdna.records import (
    Audit,
    Comparison,
    Descent,
    Dna,
    Edge,
    Family,
    Finding,
    IndexInfo,
    Match,
    Mixture,
    ModelRef,
    Provenance,
    Skipped,
    Verdict,
)  # fmt: skip
from hubdna.report.wording import explain, receipt, remark


def dna(result: Dna) -> str:
    """`hubdna.dna/1`."""
    genes = [
        {"view": g.view, "tensor": g.tensor, "shape": g.shape, "axis": g.axis, "role": g.role, "layer": g.layer,
         "dtype": g.dtype, "n_live_units": int(g.live.sum())}
        for g in result.genes
    ]  # fmt: skip
    body = {
        "ref": str(result.ref), "sha": result.ref.sha, "scheme": result.scheme, "content": result.content,
        "n_tensors": result.n_tensors, "n_genes": len(genes), "n_bytes_read": result.n_bytes_read,
        "n_requests": result.n_requests, "n_tokens": result.n_tokens, "quantization": result.quantization,
        "choice": None if result.choice is None else asdict(result.choice), "genes": genes,
        "skipped": dict(result.reasons),
    }  # fmt: skip
    return dump("hubdna.dna/1", body)


def comparison(result: Comparison) -> str:
    """`hubdna.compare/1`."""
    body = {"a": str(result.a), "b": str(result.b), **_verdict(result.verdict)}
    return dump("hubdna.compare/1", {**body, "n_bytes_read": result.n_bytes_read, "n_requests": result.n_requests})


def matches(
    ref: ModelRef,
    found: Sequence[Match],
    where: str,
    n_models: int,
    cost: tuple[int, int] = (0, 0),
    descent: Descent | None = None,
) -> str:
    """`hubdna.search/1`; cost is (bytes, requests)."""
    body = {"ref": str(ref), "index": where, "n_models": n_models, "n_bytes_read": cost[0], "n_requests": cost[1]}
    body |= {"matches": [_match(m) for m in found], **({} if descent is None else _descent(descent))}
    return dump("hubdna.search/1", body)


def audits(results: Iterable[Audit]) -> str:
    """`hubdna.audit/1`."""
    return dump("hubdna.audit/1", {"audits": [_audit(a) for a in results]})


def lineage(families: Iterable[Family], provenance: Provenance, cost: tuple[int, int] = (0, 0)) -> str:
    """`hubdna.lineage/1`; cost is (bytes, requests)."""
    made = {key: value for key, value in asdict(provenance).items() if key != "configuration"}  # which is of audits
    body = {"families": [_family(f) for f in families], "provenance": made}
    return dump("hubdna.lineage/1", {**body, "n_bytes_read": cost[0], "n_requests": cost[1]})


def index_info(info: IndexInfo, skips: Sequence[Skipped]) -> str:
    """`hubdna.index/1`."""
    return dump("hubdna.index/1", {**asdict(info), "skipped": [asdict(s) for s in skips]})


def table(schema: str, rows: Sequence[Mapping[str, Any]], **more: Any) -> str:
    """Any list of rows under a schema name."""
    return dump(schema, {**more, "rows": list(rows)})


def _audit(audit: Audit) -> dict[str, Any]:
    return {
        "ref": str(audit.ref),
        "sha": audit.ref.sha,
        "claim": asdict(audit.claim),
        "matches": [_match(m) for m in audit.matches],
        "findings": [_finding(f) for f in audit.findings],
        "ignored": [{**_finding(i.finding), "reason": i.reason, "until": i.until} for i in audit.ignored],
        "skipped": [asdict(s) for s in audit.skipped],
        "receipt": None if audit.receipt is None else asdict(audit.receipt) | {"says": receipt(audit.receipt)},
        "provenance": None if audit.provenance is None else asdict(audit.provenance),
    }


def _finding(f: Finding) -> dict[str, Any]:
    return {
        "rule": f.rule_id, "severity": f.severity, "line": f.line, "message": f.message,
        "evidence": list(f.evidence), "patch": None if f.patch is None else f.patch.diff,
    }  # fmt: skip


def _match(match: Match) -> dict[str, Any]:
    v = match.verdict
    return {
        "ref": str(match.ref), "rank": match.rank, "origin": v.origin, "relation": v.relation, "direction": v.direction,
        "certainty": v.certainty, "log10_p": v.log10_p, "similarity": v.similarity, "created_at": match.created_at,
        "undecided_because": v.undecided_because, "copies": [str(ref) for ref in match.copies],
    }  # fmt: skip


def _family(family: Family) -> dict[str, Any]:
    """Members are named as the index names them, which holds a name once."""
    return {
        "members": [m.repo_id for m in family.members],
        "copies": [{"model": ref.repo_id, "copies": [c.repo_id for c in same]} for ref, same in family.copies],
        "edges": [_edge(e) for e in family.edges],
        "mixtures": [_mixture(ref, m) for ref, m in family.mixtures],
        "remarks": [
            {"model": ref.repo_id, "kind": m.kind, "unexplained": m.unexplained, "text": remark(m)}
            for ref, m in family.remarks
        ],
    }


def _edge(edge: Edge) -> dict[str, Any]:
    return {
        "parent": edge.parent.repo_id, "child": edge.child.repo_id, "directed": edge.certainty != "none",
        "certainty": edge.certainty, "chance": round(edge.chance, 3), "relation": edge.relation,
        "because": list(edge.because),
    }  # fmt: skip


def _mixture(ref: ModelRef, mixture: Mixture) -> dict[str, Any]:
    return {
        "model": ref.repo_id, "kind": mixture.kind, "directed": mixture.directed, "unexplained": mixture.unexplained,
        "parents": [{"model": p.ref.repo_id, "share": p.share} for p in mixture.parents],
        "base": None if mixture.base is None else mixture.base.ref.repo_id,
        "layers": [
            {"layer": at.layer, "model": at.ref.repo_id, "source_layer": at.source_layer} for at in mixture.layers
        ],
    }  # fmt: skip


def _descent(found: Descent) -> dict[str, Any]:
    return {
        "descendants": None if found.edges is None else [_edge(e) for e in found.edges],
        "descendants_of": found.same_as.repo_id, "n_undirected": found.n_undirected,
        "descendants_because": found.because,
    }  # fmt: skip


def _verdict(v: Verdict) -> dict[str, Any]:
    return {
        "origin": v.origin, "relation": v.relation, "direction": v.direction, "certainty": v.certainty,
        "log10_p": v.log10_p, "similarity": v.similarity, "disguise": list(v.disguise), "n_genes": v.evidence.n_genes,
        "detectable": v.evidence.detectable, "tests": [asdict(b) for b in v.evidence.buckets],
        "agreement": v.evidence.agreement, "layer_map": v.evidence.layer_map,
        "difference": None if v.evidence.difference is None else asdict(v.evidence.difference),
        "evidence": explain(v), "undecided_because": v.undecided_because,
    }  # fmt: skip


def dump(schema: str, body: Mapping[str, Any]) -> str:
    """A report of one schema: its name first, numbers that do not exist as null."""
    return json.dumps(_finite({"schema": schema, **body}), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
