"""What disguises leave alone, as genes: the same exact test then runs on them.

    response   FFN units by their products with labelled inputs: a rotated, permuted or rescaled residual stream
               changes nothing (W Q)(E Q)' = W E'
    gram       residual coordinates by their products with other coordinates, summed over all units of a matrix:
               shuffled, rescaled or sign-flipped hidden units change nothing (P W)'(P W) = W'W
    residual   residual coordinates over labelled inputs (columns of the token table): likewise, from few bytes, but it
               sees the table only
    unseen     tokens that no training saw, by their products with other tokens: nothing changes it, but it too sees
               the table only

In each the labels that are tested stand on one side only, and nothing on the other side carries them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from hubdna.dna import genes, roles, structure
from hubdna.dna.anchors import Anchors
from hubdna.records import Gene, TensorInfo, View

N_ANCHORS = 256
"""Labelled inputs of a response: rows of the first 256 anchors, which every read level has."""
N_GRAM = 256
N_RESPONSE = 640
"""Columns kept of a response; convolutions have one for each place of the kernel and input."""
MIN_WIDTH = 48
"""Coordinates for a gram: 32 that are tested, 16 to multiply them with."""
MAX_UNSEEN = 64
MIN_UNSEEN = 24
"""Fewer units are not worth a test of their own."""


def response(info: TensorInfo, axis: int, block: NDArray[np.float32], anchors: Anchors) -> Gene | None:
    """Units of one axis by their response to labelled inputs.

    Args:
        info: the tensor.
        axis: storage axis of the units; must not be the residual stream's.
        block: float32, the tensor with `axis` cut to its first `genes.n_read` units.
        anchors: labelled inputs; their width is the length of the axis that is multiplied away.

    Returns:
        A gene, or None when this axis cannot be described so.
    """
    contracted = _stream_axis(info, axis, anchors.width)
    if contracted is None:
        return None
    units = np.moveaxis(block, (axis, contracted), (0, -1))
    codes = genes.quantise(units.reshape(len(units), -1))[0].reshape(-1, anchors.width)
    table = anchors.codes[:N_ANCHORS]
    products = codes.astype(np.float64) @ table.T.astype(np.float64)
    products -= np.rint(products.mean(axis=1, keepdims=True))  # what all inputs have in common says nothing
    answers = products.reshape(len(units), -1)
    answers = answers[:, genes.spread_order(answers.shape[1], N_RESPONSE)]
    return _gene("response", info, axis, answers, genes.n_tested(info.shape[axis]))


def _stream_axis(info: TensorInfo, axis: int, width: int) -> int | None:
    """The axis along the residual stream, when the units cannot be residual coordinates themselves."""
    found = [i for i, n in enumerate(info.shape) if i != axis and n == width]
    n = info.shape[axis]
    if len(found) != 1 or roles.role_of(info) in ("attention", "label"):
        return None
    inner = n != width and not (width > n and width % n == 0)
    return found[0] if inner or (axis == 0 and roles.reads_stream(info.name)) else None


def gram(info: TensorInfo, weights: NDArray[np.float32], widths: Collection[int]) -> Gene | None:
    """Residual coordinates by their products over all units of a matrix that was read whole.

    Args:
        info: the tensor.
        weights: float32, all of it.
        widths: of the model's residual streams.
    """
    axis = _coordinates(info, widths)
    if axis is None or info.shape[axis] < MIN_WIDTH:
        return None
    n, m = info.shape[axis], genes.n_tested(info.shape[axis])
    units = np.moveaxis(weights, axis, -1).reshape(-1, n)
    codes = genes.quantise(np.ascontiguousarray(units))[0].astype(np.float64)
    other = genes.spread_order(n - m, N_GRAM) + m  # no tested coordinate among the columns
    k = min(genes.MAX_SKETCH_UNITS, (n - m) // 2)
    products = codes[:, : m + k].T @ codes
    sketched = products[m:, m + k :]
    return _gene("gram", info, axis, products[:m, other], m, sketched)


def _coordinates(info: TensorInfo, widths: Collection[int]) -> int | None:
    """The axis of residual coordinates of a map out of the stream or back; None when it is not plain which one."""
    if roles.role_of(info) in ("attention", "label") or len(info.shape) not in (2, 4):
        return None
    able = [axis for axis in (0, 1) if info.shape[axis] in widths]
    if len(able) == 1 and len(info.shape) == 2 and roles.role_of(info) == "ffn":
        return able[0]
    named = None if roles.stream_map_at(info.name) is None else int(roles.reads_stream(info.name))
    return named if named in able else None


def residual(anchors: Anchors) -> Gene | None:
    """Residual coordinates over labelled inputs; sketched over those that every read has."""
    if anchors.width < roles.MIN_AXIS:
        return None
    m = genes.n_tested(anchors.width)
    table = anchors.codes.T.astype(np.float64)[: m + genes.MAX_SKETCH_UNITS]
    return _gene("residual", anchors.info, anchors.axis, table, m, table[m:, :N_ANCHORS])


def unseen(anchors: Anchors, ids: Sequence[int], rows: NDArray[np.float32], every: Collection[int]) -> Gene | None:
    """Tokens that no training saw, by their products with ordinary tokens.

    The sketch is of tested tokens, which the index may look at (it proposes pairs, and the line pays for all pairs of
    the Hub) and pairing within two models may not.

    Args:
        anchors: ordinary tokens of the same table.
        ids: int [n], which tokens; named by the tokenizer, never by the weights.
        rows: float32 [n, d], their rows.
        every: all tokens that no training saw. None of them may be a column: it would carry a tested label, and a
            token's product with itself is the largest of its row.
    """
    if len(ids) < MIN_UNSEEN or not np.isfinite(rows).all():
        return None
    codes = genes.quantise(rows)[0].astype(np.float64)
    products = codes @ anchors.codes[:N_ANCHORS].T.astype(np.float64)
    unheard = set(every)
    seen = np.array([anchors.first + i not in unheard for i in range(products.shape[1])])
    if seen.sum() < MIN_UNSEEN:
        return None
    products = (products - np.rint(products[:, seen].mean(axis=1, keepdims=True))) * seen
    tokens = np.array(ids, np.int32)
    gene = _gene("unseen", anchors.info, 0, products, len(ids), products[:MIN_UNSEEN], ids=tokens)
    return gene if gene and gene.live.sum() >= MIN_UNSEEN else None


def _gene(
    view: View,
    info: TensorInfo,
    axis: int,
    units: NDArray[np.float64],
    m: int,
    sketched: NDArray[np.float64] | None = None,
    ids: NDArray[np.int32] = genes.NO_IDS,
) -> Gene | None:
    values = units.astype(np.float32)
    tested = values[:m]
    if np.count_nonzero(tested) < structure.MIN_NONZERO or (view != "unseen" and structure.ordered(values)):
        return None
    others = values[m:] if sketched is None else sketched.astype(np.float32)
    return genes.gene_of(
        view,
        info,
        axis,
        genes.quantise(tested),
        others,
        live=structure.live_units(tested),
        ids=ids,
    )
