"""Harm that is small, for board `proof`: single flipped bits, and receipts of which only a part is forged."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch

from hubdna.errors import ReceiptError
from hubdna.proof import open_receipt, verify
from hubdna.proof.choice import draw
from hubdna.proof.keys import signed_by
from hubdna.proof.layout import check_states
from hubdna.proof.tensors import State, distances
from proof_forge import MLP, N, Victim, forge


def tampered(v: Victim, folder: Path, n: int = 300) -> dict[str, int]:
    """Flip single bits of single files of the honest receipt; how many a verifier notices before it trains."""
    forge(folder, v.receipt, v.states, v.key, calibration=v.receipt.calibration)
    rng, files, noticed = random.Random(8), sorted(p for p in folder.rglob("*") if p.is_file()), 0
    for i in range(n):
        file = files[i % len(files)]
        whole = file.read_bytes()
        harmed = bytearray(whole)
        harmed[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        file.write_bytes(harmed)
        try:
            receipt = open_receipt(folder)
            check_states(receipt)
            noticed += not signed_by(receipt.claim.author, bytes.fromhex(receipt.root), receipt.signature)
        except ReceiptError:
            noticed += 1
        file.write_bytes(whole)
    return {"flips": n, "noticed": noticed, "files": len(files)}


def partly(v: Victim, folder: Path, n_forged: int) -> dict[str, Any]:
    """Jumps in some intervals, training between; which intervals a verifier rejects when it draws just that one."""
    own, states = v.bench(), [v.states[0]]
    forged = sorted(random.Random(n_forged).sample(range(N), n_forged))
    generator = torch.Generator().manual_seed(n_forged)
    for index in range(N):
        end = own.replay(states[-1], index)
        if index in forged:
            size = distances(states[-1], end)["l2"] / sum(t.numel() for t in end.weights.values()) ** 0.5
            jump = {n: t + size * torch.randn(t.shape, generator=generator) for n, t in end.weights.items()}
            end = State(jump, end.optimizer)
        states.append(end)
    made = forge(folder, v.receipt, states, v.key)
    alone = {draw(N, 1 / N, c)[0]: c for c in range(10 * N * N)}
    caught = [
        i for i in range(N) if verify(made, MLP, budget=1 / N, top_q=0, challenge=alone[i]).verdict == "inconsistent"
    ]
    return {"forged": forged, "caught": caught}
