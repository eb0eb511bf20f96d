"""Trains the members of the merge families (`merge_catalog`): one training gives one member, or several.

Checkpoints and a running mean are taken while the training runs; an adapter is merged in at its own scale and, for a
second member, at another one.
"""

from __future__ import annotations

from typing import Any

import fit
import torch
from make_pairs import ADAPTED
from merge_catalog import RATE, STEPS, Family, Member
from pair_kinds import KINDS, Net, State
from peft import LoraConfig, get_peft_model
from torch import nn

DECODER = KINDS["decoder"]


class Watch:
    """Looks at a training before each of its steps, and keeps what members want of it.

    Attributes:
        made: member -> its tensors, as far as the training went.
    """

    def __init__(self, module: nn.Module, steps: int, along: list[Member]) -> None:
        self.module, self.along, self.step = module, along, 0
        self.marks = {round(member.at * steps): member for member in along if member.relation == "checkpoint"}
        self.made: dict[str, State] = {}

    @torch.no_grad()
    def look(self) -> None:
        """Notes a checkpoint whose step has come, and moves the running mean on."""
        now = dict(self.module.named_parameters())
        if self.step in self.marks:
            self.made[self.marks[self.step].name] = {name: tensor.clone() for name, tensor in now.items()}
        for member in self.along:
            if member.relation == "running-mean":
                mean = self.made.setdefault(member.name, {name: tensor.clone() for name, tensor in now.items()})
                for name, tensor in now.items():
                    mean[name].lerp_(tensor, 1 - member.at)
        self.step += 1


def trained(family: Family, member: Member, net: Net, along: list[Member]) -> tuple[dict[str, Net], dict[str, Any]]:
    """Trains one member.

    Args:
        family: gives the seeds.
        member: what to train on, how long, how hard.
        net: where it starts, in single precision.
        along: members that are made in the same training.

    Returns:
        Every member made, by name; and steps, learning rate, held-out loss before and after, in nats per token.
    """
    module, gen = DECODER.module(net), torch.Generator().manual_seed(family.seed_of(member.name, "order"))
    facts = {"steps": max(1, round(STEPS * member.length)), "lr": RATE * member.rate}
    facts["loss_before"] = _held_out(net, member.data)
    torch.manual_seed(family.seed_of(member.name, "adapter"))
    if member.rank:
        module = get_peft_model(module, _adapter(member.rank))
    masks = {n: t != 0 for n, t in net.state.items() if member.change == "pruned" and n.endswith("_proj.weight")}
    watch = Watch(module, facts["steps"], along)

    def loss_of() -> torch.Tensor:
        watch.look()
        return DECODER.loss(module, DECODER.batch(net.config, member.data, gen))

    fit.train(module, loss_of, steps=facts["steps"], lr=facts["lr"], masks=masks)
    if member.rank:
        made = {member.name: _merged(module, net, 1.0)} | {one.name: _merged(module, net, one.at) for one in along}
    else:
        states = watch.made | {member.name: dict(module.named_parameters())}
        made = {name: _as_net(net, state) for name, state in states.items()}
    facts["loss_after"] = _held_out(made[member.name], member.data)
    return made, facts


def _adapter(rank: int) -> LoraConfig:
    """Returns the shape of an adapter."""
    return LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=ADAPTED["decoder"], lora_dropout=0.0)


def _merged(module: Any, net: Net, scale: float) -> Net:
    """Returns the net with a trained adapter merged in; a scale of one is the adapter's own."""
    factor = scale * module.peft_config["default"].lora_alpha / module.peft_config["default"].r
    low, state = dict(module.named_parameters()), dict(net.state)
    for name, inner in low.items():
        if ".lora_A." in name:
            target = name.removeprefix("base_model.model.").replace(".lora_A.default.weight", ".weight")
            state[target] = state[target] + factor * low[name.replace(".lora_A.", ".lora_B.")] @ inner
    return _as_net(net, state)


def _as_net(net: Net, state: State) -> Net:
    """Returns a net with these tensors, free of their training."""
    return Net(net.config, {name: tensor.detach().clone() for name, tensor in sorted(state.items())})


@torch.no_grad()
def _held_out(net: Net, domain: str) -> float:
    """Returns the loss on held-out text."""
    return round(float(DECODER.loss(DECODER.module(net), DECODER.batch(net.config, domain, None))), 4)
