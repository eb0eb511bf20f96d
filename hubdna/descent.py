"""descent(ref, index): what was made from a model, as far as an index knows; and which of its models were asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import networkx as nx

from hubdna.errors import UsageError
from hubdna.lineage import descendants, families
from hubdna.records import CheckedReceipt, Descent, Family, ModelRef
from hubdna.search import Rows
from hubdna.store import IndexDir


def descent(
    ref: ModelRef, index: IndexDir, rows: Rows | None = None, checked: Sequence[CheckedReceipt] = ()
) -> Descent:
    """Find what was made from a model.

    Args:
        ref: the model, with its commit in `sha` where it is known.
        index: where to look.
        rows: reads rows that a published index does not hold.
        checked: receipts that this user verified in full.

    Returns:
        Edges down from the model; or, when the index does not hold it at this commit, why there are none.
    """
    entry = index.get(ref.repo_id)
    if entry is None:
        return Descent(ref, ref, None, because=_absent(ref, index))
    if ref.sha not in (None, entry.ref.sha):
        held = (entry.ref.sha or "an unknown commit")[:12]
        return Descent(ref, ref, None, because=f"the index holds {ref.repo_id} at {held}; crawl it again")
    first = index.copies(entry)[0].ref
    (family,) = families(index, [entry.ref], rows, checked=checked)
    edges = descendants(family, first)
    return Descent(ref, first, tuple(edges), reachable(family, first) - len(edges))


def reachable(family: Family, ref: ModelRef) -> int:
    """How many members are descendants if every edge without direction leads down."""
    graph = nx.DiGraph()
    graph.add_node(ref.repo_id)
    for edge in family.edges:
        graph.add_edge(edge.parent.repo_id, edge.child.repo_id)
        if edge.certainty == "none":
            graph.add_edge(edge.child.repo_id, edge.parent.repo_id)
    return len(nx.descendants(graph, ref.repo_id))


def _absent(ref: ModelRef, index: IndexDir) -> str:
    if ref.is_local:
        return f"{ref} is a local file, and families are looked for among the models of an index"
    return f"{ref.repo_id} is not in {index.path}; crawl it first: hubdna crawl --list FILE with its name in the file"


def members(index: IndexDir, refs: Iterable[ModelRef]) -> list[ModelRef]:
    """The models of an index that were asked for. Raises UsageError for one that it does not hold."""
    found = []
    for ref in refs:
        entry = index.get(ref.repo_id)
        if entry is None:
            raise UsageError(f"{_absent(ref, index)}; or look for its nearest relatives there: hubdna search {ref}")
        if ref.revision not in (entry.ref.revision, entry.ref.sha, "main"):
            raise UsageError(f"{ref}: the index holds {entry.ref.repo_id} at {entry.ref.revision}; crawl it again")
        found.append(entry.ref)
    return found
