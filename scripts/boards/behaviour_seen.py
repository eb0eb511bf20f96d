"""The models of the behaviour zoo as they were seen on the probes, kept beside the zoo.

    python scripts/boards/behaviour_seen.py     # see whatever was not seen yet; an interrupted run goes on

A file a model in $HUBDNA_ZOO/behaviour-seen; `skipped.json` holds reasons. Models of families whose training goes on
are seen too, as far as they are there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hubdna.behaviour import Observer, codec, scheme
from hubdna.errors import BehaviourError, FormatError
from hubdna.records import Behaviour

ZOO = Path(os.environ.get("HUBDNA_ZOO", Path.home() / ".cache" / "hubdna-zoo"))
SEEN = ZOO / "behaviour-seen"


@dataclass(frozen=True)
class Model:
    """One model of the zoo: its family (a root and all from it), that family's recipe, and what it is to the root."""

    family: str
    recipe: str
    key: str
    relation: str

    @property
    def file(self) -> Path:
        """Where its behaviour is kept."""
        return SEEN / f"{self.family}.{self.key}.safetensors"

    @property
    def folder(self) -> Path:
        """Where it lies in the zoo."""
        return ZOO / "behaviour" / self.family / self.key


def models() -> Iterator[Model]:
    """All models that are there."""
    for notes in sorted((ZOO / "behaviour").glob("*/models.json")):
        family = notes.parent.name
        for key, note in json.loads(notes.read_text(encoding="utf-8")).items():
            if (model := Model(family, family.rpartition("-")[0], key, note["relation"])).folder.is_dir():
                yield model


def seen(model: Model) -> Behaviour | None:
    """A model's behaviour, if it was seen on today's probes."""
    try:
        found = codec.load(model.file)
    except (FileNotFoundError, FormatError):
        return None
    return found if found.scheme == scheme(found.modality) else None


def see_all() -> None:
    """Sees what was not seen yet."""
    SEEN.mkdir(parents=True, exist_ok=True)
    skipped: dict[str, str] = {}
    missing = [model for model in models() if seen(model) is None]
    with Observer() as observer:
        for n, model in enumerate(missing, 1):
            try:
                codec.store(model.file, observer.observe(model.folder))
            except BehaviourError as error:
                skipped[f"{model.family}/{model.key}"] = str(error)
            print(f"\r{n} of {len(missing)}, {len(skipped)} skipped", end="", flush=True)
    (SEEN / "skipped.json").write_text(json.dumps(skipped, indent=1) + "\n", encoding="utf-8")
    print(f"\n{sum(1 for _ in SEEN.glob('*.safetensors'))} behaviours in {SEEN}")


if __name__ == "__main__":
    see_all()
