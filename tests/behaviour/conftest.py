"""One process that opens models, for all tests of behaviour: importing torch takes longer than most of them."""

from collections.abc import Callable, Iterator

import behaviour_bench as bench
import pytest

from hubdna.behaviour import Limits, Observer
from hubdna.records import Behaviour


@pytest.fixture(scope="session")
def observer() -> Iterator[Observer]:
    with Observer(Limits(seconds=120, memory=3_000_000_000)) as made:
        yield made


@pytest.fixture(scope="session")
def demo(observer: Observer) -> Callable[[str], Behaviour]:
    """The behaviour of a model of the demo; each is seen once."""
    seen: dict[str, Behaviour] = {}

    def get(name: str) -> Behaviour:
        if name not in seen:
            seen[name] = observer.observe(bench.DEMO / name)
        return seen[name]

    return get
