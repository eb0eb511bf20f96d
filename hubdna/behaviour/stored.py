"""Two vectors of an index -> how alike: the judge for vectors that this version need not have made.

An index of another version holds vectors of another network. They compare with each other, but what their cosines are
worth was measured for that network, and its lines are not at hand.
"""

from __future__ import annotations

from hubdna.behaviour.fingerprints import scheme
from hubdna.behaviour.likeness import judge
from hubdna.errors import BehaviourError
from hubdna.records.behaviour import BehaviourDNA, Likeness


def judge_stored(source: BehaviourDNA, target: BehaviourDNA) -> Likeness:
    """Whether the target behaves like something made from the source; see `judge`.

    Raises:
        BehaviourError: the vectors are of two schemes, or of a network that is not the shipped one.
    """
    ours = scheme(target.modality)
    if target.scheme != ours:
        raise BehaviourError(f"vectors of {target.scheme[:80]}: this version judges {ours}; see the models again")
    return judge(source, target)
