"""Behaviour DNA: what a model computes on a fixed set of probes, for where weights cannot speak.

The idea is of Mu et al., *Model Provenance via Model DNA* (ECAI 2024, https://arxiv.org/abs/2308.02121): a compact
representation of a model, made from samples and from what the model answers to them. Neither code nor the details of
the paper are at hand, so every choice here is ours.

    probes -> opening (a module, in a process of its own) -> states and answers on probes -> relations between probes
           -> fragments -> fingerprint (a vector) -> judge (two vectors)

Behaviour tells that two models are *behaviourally similar*, with an error rate. It is no evidence of origin: models
that learned the same data behave alike. It never makes an edge of a family tree.

    seen = observe("./model")        # a records.Behaviour, or BehaviourError with the reason
    with Observer() as observer:     # for many: the libraries are imported once
        ...
    draw("./data.parquet")           # probes of one's own, for Observer(own=...): measures, no fingerprint
    scheme()                         # names every parameter that changes it
    judge(fingerprint(a), fingerprint(b))  # a records.Likeness; judge_stored for vectors of an index

Nothing of a repository is run: no code, no pickle. Nothing is imported before it is used, torch least of all.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hubdna.behaviour.fingerprints import fingerprint
    from hubdna.behaviour.likeness import judge
    from hubdna.behaviour.measures import pair
    from hubdna.behaviour.observation import Limits, Observer, observe
    from hubdna.behaviour.own_probes import draw
    from hubdna.behaviour.probes import scheme
    from hubdna.behaviour.stored import judge_stored

__all__ = ["Limits", "Observer", "draw", "fingerprint", "judge", "judge_stored", "observe", "pair", "scheme"]

_HOMES = {
    "Limits": "observation",
    "Observer": "observation",
    "draw": "own_probes",
    "fingerprint": "fingerprints",
    "judge": "likeness",
    "judge_stored": "stored",
    "observe": "observation",
    "pair": "measures",
    "scheme": "probes",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hubdna.behaviour' has no attribute {name!r}")
    return getattr(import_module(f"hubdna.behaviour.{_HOMES[name]}"), name)
