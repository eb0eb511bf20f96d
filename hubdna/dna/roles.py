"""Which axes of which tensors may be tested, from the header alone.

The exact test relabels units, so it may only look at axes whose units are exchangeable: hidden units of
feed-forward blocks and inner channels of convolutions are; tokens, positions, classes, input features, rotary
dimensions and head-structured projections are not. Names serve for roles only (they are not evidence), and four
rules that need no names stand behind them, since a converted copy may share no name with its source:

    long         an axis needs at least 32 units
    two-sided    inner units are written by one map and read by another, so their length appears on both sides;
                 classes, input features, fused q/k/v and gates of recurrent nets appear on one side only
    no stream    the residual stream of an attention model shares its length with head-structured projections
    not a list   an axis eight times longer than the other one is a vocabulary, unless the name says otherwise
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from hubdna.records import TensorInfo

MIN_AXIS = 32
"""Units an axis needs: 24 are tested (K >= 17 must be reachable with room), 8 serve pairing."""
MAX_RATIO = 8
"""Feed-forward blocks widen by 1.5 to 8 (Gemma 7B); vocabularies by 8 (Llama 2 7B) to 80."""

_ATTENTION = re.compile(r"attn|attention|wqkv", re.IGNORECASE)
_PROJECTION = re.compile(
    r"(?:^|[._/])(?:[qkvo]|qkv|query|key|value|query_key_value)(?:_proj|_lin|_linear)?(?:[._/]|$)", re.IGNORECASE
)
_LABEL = re.compile(
    r"embed|wte|wpe|lm_head|^output\.(?:weight|bias)$|position|pos_emb|token|vocab|classifier|rel_pos|relative|rotary"
    r"|(?:^|[._/])(?:shared|heads?|logits|score|output_layer|predictions?|cls)(?:[._/]|$)",
    re.IGNORECASE,
)
_FFN = re.compile(
    r"mlp|ffn|feed_?forward|intermediate|gate_proj|up_proj|down_proj|fc\d|c_fc|experts|(?:^|[._/])wi(?:_\d)?(?:[._/]|$)",
    re.IGNORECASE,
)
_READS_STREAM = re.compile(
    r"gate_proj|up_proj|ffn_gate|ffn_up|c_fc|intermediate\.dense|fc1|linear1|dense_h_to_4h|(?:^|[._/])w[i13](?:_\d)?[._/]"
    r"|layer\d+\.\d+\.conv1\.weight$"
)
"""Maps out of a residual stream: what they write are units inside a block, even where both have one length."""
_WRITES_STREAM = re.compile(
    r"down_proj|ffn_down|mlp\.c_proj|output\.dense|fc2|linear2|dense_4h_to_h|(?:^|[._/])w(?:2|o)[._/]"
    r"|layer\d+\.\d+\.conv2\.weight$"
)
"""Maps from units inside a block back into the stream."""
_NORM = re.compile(r"norm|(?:^|[._/])(?:ln|bn)_?\d*[._/]|layernorm", re.IGNORECASE)
MIN_BLOCKS = 2
_EMBEDS = re.compile(r"embed|wte|token|patch|stem", re.I)
_COMPONENT = re.compile(
    r"(?:^|[._/])(vision_tower|vision_model|visual|image_encoder|audio_tower|audio_encoder|language_model|text_model"
    r"|text_encoder|encoder|decoder|unet|vae|transformer|backbone)(?=[._/])"
)
_TOKEN_TABLE = re.compile(r"embed_tokens|word_embeddings|wte|tok_embeddings|token_embd|shared\.weight|embed_in", re.I)


def role_of(info: TensorInfo) -> str:
    """One word for people: attention, label, ffn, conv or dense."""
    if _ATTENTION.search(info.name):
        return "attention"
    if _LABEL.search(info.name):
        return "label"
    if _FFN.search(info.name):  # before the projections: RWKV's feed-forward maps are called key and value
        return "ffn"
    if _PROJECTION.search(info.name):
        return "attention"
    return "conv" if len(info.shape) > 2 else "dense"


def reads_stream(name: str) -> bool:
    """Whether a tensor's name says that it maps the residual stream to units inside a block."""
    return _READS_STREAM.search(name) is not None


def stream_map_at(name: str) -> int | None:
    """Where a name begins to say that its tensor maps out of the residual stream or back; before it is the layer's."""
    found = _READS_STREAM.search(name) or _WRITES_STREAM.search(name)
    return found.start() if found else None


def stream_widths(infos: Sequence[TensorInfo]) -> set[int]:
    """Widths of residual streams: read and written by several blocks, and normalised.

    A name like fc1 alone says little: in a plain network it reads input features, whose order means something. Blocks
    that read n coordinates and write n coordinates back, more than once, with norms of that length, do say it, if a
    map outside of them writes these n as well: blocks may also stand on the input features themselves, whose order is
    the same in every training. One block of convolutions is enough: what a convolution reads are channels.
    """
    return {n for n, written in _normalised_streams(infos).items() if written}


def _normalised_streams(infos: Sequence[TensorInfo]) -> dict[int, bool]:
    """Lengths that several blocks read and write back, each with whether a map outside of the blocks writes it."""
    ends: dict[str, set[tuple[bool, int]]] = {}
    convolutions: set[str] = set()
    for info in infos:
        start = stream_map_at(info.name)
        if start is not None and len(info.shape) in (2, 4) and role_of(info) not in ("attention", "label"):
            reads = reads_stream(info.name)
            lengths = set(info.shape[:2]) if len(info.shape) == 2 else {info.shape[1 if reads else 0]}
            ends.setdefault(info.name[:start], set()).update((reads, n) for n in lengths)
            convolutions |= {info.name[:start]} if len(info.shape) == 4 else set()
    blocks: Counter[int] = Counter()
    for prefix, found in ends.items():
        both = {n for reads, n in found if reads and (False, n) in found}
        blocks.update(dict.fromkeys(both, MIN_BLOCKS if prefix in convolutions else 1))
    norms = Counter(t.shape[0] for t in infos if len(t.shape) == 1 and _NORM.search(t.name))
    inside = tuple(prefix for prefix in ends if prefix)
    written = set().union(*(_written(t) for t in infos if not t.name.startswith(inside)))
    written |= {n for prefix in convolutions for _, n in ends[prefix]}
    return {n: n in written for n, count in blocks.items() if count >= MIN_BLOCKS and norms[n] >= MIN_BLOCKS}


def _written(info: TensorInfo) -> set[int]:
    """Lengths that a map may write into a stream, by its name: an embedding, a convolution, a map [out, in]."""
    shape, out, into = info.shape, 0, 1
    if len(shape) not in (2, 3, 4) or role_of(info) == "attention" or "pos" in info.name.lower():
        return set()
    if info.name.endswith("kernel"):
        out, into = len(shape) - 1, len(shape) - 2
    if len(shape) > 2:
        return {shape[out]} if shape[into] > 1 or _EMBEDS.search(info.name) else set()  # else a filter each feature
    if role_of(info) == "label":
        return set(shape) if _EMBEDS.search(info.name) and shape[0] != shape[1] else set()
    return {shape[out]} if shape[0] != shape[1] else set()


def layer_of(name: str) -> int:
    """First number between separators of a tensor's name, or -1."""
    found = re.search(r"(?:^|[._/])([0-9]{1,9})(?:[._/]|$)", name)
    return int(found[1]) if found else -1


def component_of(name: str) -> str:
    """The part of a composite model a tensor belongs to, or an empty string."""
    found = _COMPONENT.search(name)
    return found[1] if found else ""


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """Sort key under which layer 2 comes before layer 10."""
    parts = re.split(r"([0-9]{1,18})", name)
    return tuple((int(part), "") if i % 2 else (-1, part) for i, part in enumerate(parts))


def token_table(infos: Sequence[TensorInfo]) -> TensorInfo | None:
    """The token embedding, by name: the source of anchor rows."""
    tables = [t for t in infos if len(t.shape) == 2 and t.shape[0] >= 256 and _TOKEN_TABLE.search(t.name)]
    return min(tables, key=lambda t: natural(t.name), default=None)


def testable_axes(infos: Sequence[TensorInfo]) -> dict[str, tuple[int, ...]]:
    """Find the axes whose units may be tested.

    Args:
        infos: every tensor of the model that is known (a small read knows the first shard's only).

    Returns:
        Storage axes by tensor name; tensors without any are left out.
    """
    candidates = _candidates(infos)
    streams = _streams(infos)
    every = set().union(*streams.values()) if streams else set()
    two_sided = _sides(candidates, 0) & _sides(candidates, 1)
    features = {n for n, written in _normalised_streams(infos).items() if not written}
    axes = {}
    for t in candidates:
        if len(t.shape) > 2 and {t.shape[0], t.shape[-1]} & features:
            continue  # a filter for each input feature
        able = two_sided - streams.get(component_of(t.name), every)
        axes[t.name] = tuple(a for a in _long_axes(t) if t.shape[a] in able and not _is_list(t, a))
    return {name: found for name, found in axes.items() if found}


def _candidates(infos: Sequence[TensorInfo]) -> list[TensorInfo]:
    return [t for t in infos if _is_map(t) and role_of(t) not in ("attention", "label")]


def _is_map(info: TensorInfo) -> bool:
    """Whether a tensor has a long axis and at least one more: vectors have no rows to compare."""
    return bool(_long_axes(info)) and sum(n > 1 for n in info.shape) >= 2


def _long_axes(info: TensorInfo) -> list[int]:
    return [i for i, n in enumerate(info.shape) if n >= MIN_AXIS]


def _is_list(info: TensorInfo, axis: int) -> bool:
    """Whether a dense matrix's axis looks like a vocabulary: far longer than the other, and no feed-forward name."""
    others = [n for i, n in enumerate(info.shape) if i != axis and n > 1]
    if len(others) != 1 or others[0] < MIN_AXIS or role_of(info) == "ffn":
        return False
    return info.shape[axis] > MAX_RATIO * others[0]


def _sides(infos: Sequence[TensorInfo], side: int) -> set[int]:
    """Lengths that stand on one side of a map. Which side is "output" differs by framework, but not within a file."""
    lengths = set()
    for info in infos:
        shape = [n for n in info.shape if n > 1]
        long = [i for i, n in enumerate(shape) if n >= MIN_AXIS]
        if side == 0 and is_depthwise(info):
            continue  # filters over features write what they read: the features' order, not units of their own
        if len(long) >= 2:
            lengths.add(shape[long[-2 + side]])
        elif len(shape) > 1 and long[0] == (0, len(shape) - 1)[side]:
            lengths.add(shape[long[0]])
    return lengths


def is_depthwise(info: TensorInfo) -> bool:
    """Whether a convolution reads one channel: one filter for each feature, or the first map of a grey picture."""
    s = info.shape
    if len(s) not in (3, 4):
        return False
    out_first = s[0] >= MIN_AXIS and s[1] == 1 and (len(s) == 3 or s[2] > 1)  # [n, 1, k, k], not [out, 1, 1, in]
    out_last = s[-1] >= MIN_AXIS and s[-2] == 1 and 1 < s[0] < MIN_AXIS and (len(s) == 3 or s[1] > 1)
    return out_first or out_last


def written_lengths(infos: Sequence[TensorInfo]) -> set[int]:
    """Lengths that some map of several inputs writes: those of units, not of features that only pass through."""
    return _sides(_candidates(infos), 0)


def _streams(infos: Sequence[TensorInfo]) -> dict[str, set[int]]:
    """Lengths of residual streams that share their length with attention projections, for each component.

    A component without attention (a projector between two towers) is not in the result: it may touch any stream.
    One stream may be as long as another component's hidden layers (a vision tower's 4,096 inside a language model of
    width 4,096), so they are kept apart.
    """
    streams: dict[str, set[int]] = {}
    by_component: dict[str, list[TensorInfo]] = {}
    for info in infos:
        if len(_long_axes(info)) >= 2:
            by_component.setdefault(component_of(info.name), []).append(info)
    for component, group in by_component.items():
        attention = Counter(n for t in group if role_of(t) == "attention" for n in set(t.shape) if n >= MIN_AXIS)
        if attention:
            squares = {t.shape[0] for t in group if role_of(t) == "attention" and len(set(t.shape)) == 1}
            streams[component] = {attention.most_common(1)[0][0]} | squares
        elif unnamed := _unnamed_streams(group):
            streams[component] = unnamed
    return streams


def _unnamed_streams(group: Sequence[TensorInfo]) -> set[int]:
    """Without names: dense squares of one length beside dense maps that widen it and narrow it again."""
    dense = [t.shape for t in group if len(t.shape) == 2]
    squares = Counter(a for a, b in dense if a == b)
    flips = {a for a, b in dense if a != b and (b, a) in dense}
    return {n for n, count in squares.items() if count >= 2 and n in flips}
