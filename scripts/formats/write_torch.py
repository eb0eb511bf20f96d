"""Write the PyTorch files that the tests read: by real torch, once, since the tests run without it.

    python scripts/formats/write_torch.py tests/data/formats/torch

needs torch and safetensors. Every file has one model in it, a gated block of 40 hidden units, and
`twin.safetensors` is the same model written by safetensors.
"""

from __future__ import annotations

import collections
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file


class Block(torch.nn.Module):
    """Embedding, a map that widens, one that narrows, and the embedding again as the head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed_tokens = torch.nn.Embedding(256, 16)
        self.up_proj = torch.nn.Linear(16, 40)
        self.down_proj = torch.nn.Linear(40, 16)
        self.lm_head = torch.nn.Linear(16, 256, bias=False)
        self.lm_head.weight = self.embed_tokens.weight
        self.register_buffer("steps", torch.arange(5))
        self.register_buffer("scale", torch.tensor(0.5))
        self.register_buffer("nothing", torch.zeros(0, 4))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits of tokens."""
        return self.lm_head(self.down_proj(torch.relu(self.up_proj(self.embed_tokens(ids)))))


def main(folder: Path) -> None:
    """Write all files."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = Block()
    state = model.state_dict()
    save_file({k: v.clone() for k, v in state.items() if k != "lm_head.weight"}, folder / "twin.safetensors")
    torch.save(state, folder / "state_dict.bin")
    for dtype, name in ((torch.float16, "fp16"), (torch.bfloat16, "bf16")):
        cast = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items() if k != "lm_head.weight"}
        torch.save(cast, folder / f"{name}.bin")
        save_file(cast, folder / f"{name}.safetensors")
    torch.save(views(state), folder / "views.pt")
    torch.save(checkpoint(model), folder / "checkpoint.ckpt")
    torch.jit.trace(model, torch.zeros(1, 3, dtype=torch.long)).save(str(folder / "traced.pt"))
    torch.save(model, folder / "module.pt")
    torch.save(
        {k: v[:4].clone() for k, v in state.items() if v.dim()},
        folder / "legacy.pt",
        _use_new_zipfile_serialization=False,
    )


def views(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same weights, laid out in every other way."""
    up, down = state["up_proj.weight"], state["down_proj.weight"]
    fused = torch.cat([up, down.T])
    return {
        "embed_tokens.weight": state["embed_tokens.weight"].T.contiguous().T,
        "up_proj.weight": fused[:40],
        "up_proj.bias": torch.stack([state["up_proj.bias"], torch.zeros(40)], 1)[:, 0],
        "down_proj.weight": fused[40:].T,
        "down_proj.bias": torch.nn.Parameter(state["down_proj.bias"].clone()),
        "steps": state["steps"],
        "scale": torch.tensor([0.0, 0.5])[1],
        "nothing": state["nothing"],
        "mask": torch.ones(1).expand(1_000, 1_000),
        "small": torch.tensor([0.5, 2.0]).to(torch.float8_e4m3fn),
        "complex": torch.zeros(2, dtype=torch.complex64),
    }


def checkpoint(model: Block) -> dict[str, object]:
    """What a training loop leaves: the model between everything else."""
    optimizer = torch.optim.Adam(model.down_proj.parameters())
    model(torch.zeros(1, 3, dtype=torch.long)).sum().backward()
    before = {k: v.clone() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    average = collections.OrderedDict((k, v + 1 if v.is_floating_point() else v) for k, v in before.items())
    optimizer.step()
    model.load_state_dict(before, strict=False)
    return {
        "epoch": 3,
        "global_step": torch.tensor(100),
        "args": {"lr": 0.1, "mean": torch.zeros(3)},
        "optimizer": optimizer.state_dict(),
        "lr_schedulers": [{"last_epoch": 3, "rates": torch.ones(2)}],
        "rng_state": torch.get_rng_state()[:64].clone(),
        "rng": {"cpu": torch.get_rng_state()[:64].clone()},
        "model_ema": average,
        "state_dict": collections.OrderedDict(before),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
