"""Changes that only the trees have, and which parameters a frozen fine-tune leaves alone. The others: `changes`."""

from __future__ import annotations

import re
from collections.abc import Callable

import changes
import torch
from changes import HEADS, INNER, Change
from pair_kinds import Net

LOWER = {
    "decoder": r"model\.(?:embed_tokens|layers\.[01])\..*",
    "moe": r"model\.(?:embed_tokens|layers\.[01])\..*",
    "encoder": r"bert\.(?:embeddings|encoder\.layer\.[01])\..*",
    "vit": r"(?:cls_token|pos_embed|patch_embed\..*|blocks\.[01]\..*)",
    "resnet": r"(?:conv1|bn1|layer[12])\..*",
    "convnext": r"(?:stem|stages\.[01])\..*",
}
"""What a frozen fine-tune does not train."""


def two_four(net: Net, change: Change) -> Net:
    """Returns the net with the smaller two of every four neighbours of a row set to zero."""
    return _each(net, INNER[change.kind], _smaller_two)


def new_head(net: Net, change: Change, classes: int = 0) -> Net:
    """Returns the net with a fresh head, for other classes if `classes` is given (timm only)."""
    if not classes:
        return changes.reheaded(net, change)
    state = {n: t[:classes] if re.fullmatch(HEADS[change.kind], n) else t for n, t in net.state.items()}
    return changes.reheaded(Net(net.config | {"num_classes": classes}, state), change)


def _smaller_two(tensor: torch.Tensor) -> torch.Tensor:
    """Returns a tensor pruned two of four; as it is where its rows are no whole fours."""
    if tensor[0].numel() % 4:
        return tensor
    fours = tensor.reshape(-1, 4)
    kept = torch.zeros_like(fours, dtype=torch.bool).scatter_(1, fours.abs().topk(2, dim=1).indices, True)
    return torch.where(kept, fours, torch.zeros_like(fours)).reshape(tensor.shape)


def _each(net: Net, pattern: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Net:
    """Returns the net with a change made to every tensor whose name matches."""
    return Net(net.config, {n: change(t) if re.fullmatch(pattern, n) else t for n, t in net.state.items()})


CHANGES: dict[str, Callable[..., Net]] = changes.CHANGES | {"two_four": two_four, "new_head": new_head}
