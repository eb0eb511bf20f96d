"""Which index: the one asked for, the user's own, or the small seed that ships with hubdna.

The seed is data in the top-level folder `index/`. A wheel holds it as `hubdna/_seed`; an editable install does not
see forced files, so the folder beside the package is looked at too.
"""

from __future__ import annotations

import datetime
import tomllib
from pathlib import Path

from hubdna import __version__
from hubdna.dna.read import SCHEME
from hubdna.errors import IndexDirError
from hubdna.records import Provenance
from hubdna.store import IndexDir

_PACKAGE = Path(__file__).parent


def seed_dir() -> Path:
    """The folder of the shipped seed. Raises IndexDirError when the installation lacks it."""
    for folder in (_PACKAGE / "_seed", _PACKAGE.parent / "index"):
        if (folder / "recipe.toml").is_file():
            return folder
    raise IndexDirError("the shipped seed index is absent from this installation; pass --index DIR")


def user_index() -> Path:
    """Where `hubdna crawl` puts an index when it is not told."""
    from platformdirs import user_data_path

    return user_data_path("hubdna") / "index"


def open_index(path: Path | None) -> IndexDir:
    """Open the index asked for, else the user's, else the seed (read-only). Raises IndexDirError."""
    if path is not None:
        return IndexDir(path)
    if (user_index() / "catalogue.sqlite").is_file():
        return IndexDir(user_index())
    return IndexDir(seed_dir(), read_only=True)


def describe(index: IndexDir) -> str:
    """One line for people: where was looked, and how little that may be."""
    n_genes = [e.n_genes for e in index.entries()]
    n, mute = len(n_genes), n_genes.count(0)
    count = f"{n} model{'' if n == 1 else 's'}" + (f", {mute} of which nothing can be tested" if mute else "")
    if index.path == seed_dir():
        return f"the shipped seed index ({count}: a sample to try hubdna with; build your own with `hubdna crawl`)"
    return f"{index.path} ({count})"


def provenance(index: IndexDir) -> Provenance:
    """What anyone needs to repeat what was found in an index."""
    n = sum(1 for _ in index.entries())
    return Provenance(index.digest(), str(index.path), n, SCHEME, __version__, today().isoformat())


def today() -> datetime.date:
    """The day on which something was found, the same all over the world: in UTC."""
    return datetime.datetime.now(datetime.UTC).date()


def foundations(recipe: Path | None = None) -> tuple[str, ...]:
    """Models that most others descend from, by the recipe of the seed. Raises IndexDirError when it is malformed."""
    path = recipe or seed_dir() / "recipe.toml"
    try:
        data = tomllib.loads(path.read_text("utf-8"))
        return tuple(str(row["repo_id"]) for row in data["foundation"])
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise IndexDirError(f"{path}: expected a recipe with foundation = [{{repo_id = ...}}]: {error}") from None
