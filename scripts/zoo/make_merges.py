"""Trains the merge families, has mergekit merge them, and writes the truth, below a cache folder.

    python scripts/zoo/make_merges.py --mergekit PYTHON                     # whatever is missing, all families
    python scripts/zoo/make_merges.py --mergekit PYTHON --only tune-64-a
    python scripts/zoo/make_merges.py --list                                # what there is to make

PYTHON is one that mergekit is installed in. The folder is $HUBDNA_ZOO, or ~/.cache/hubdna-zoo. Each family is
merges/FAMILY/ with a folder per model, whose name tells nothing; `truth.json` (see `merge_truth`); `models.json`, what
each trained model cost and learned; `configs/`, the YAML of every merge; and `kept/`, which weights a method that drops
some kept. Models whose folder is there are skipped, so an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import merge_truth
import pair_files
import torch
import transformers
import yaml
from changes import CHANGES, Change
from merge_catalog import FAMILIES, MEMBERS, Family, Member, Merge, folder, merges, stored_as
from merge_train import DECODER, trained
from pair_catalog import cache
from pair_kinds import Net

ROOT = cache() / "merges"


class Maker:
    """Makes the members of one family."""

    def __init__(self, family: Family) -> None:
        self.family, self.notes_path = family, ROOT / family.name / "models.json"
        self.notes: dict[str, Any] = json.loads(self.notes_path.read_text()) if self.notes_path.exists() else {}

    def run(self) -> None:
        """Makes what is missing; members made along another one come with it."""
        for member in MEMBERS:
            along = [other for other in MEMBERS if other.along == member.name]
            if not member.along and not all(self._done(one.name) for one in (member, *along)):
                self._make(member, along)

    def _done(self, name: str) -> bool:
        """Tells whether a member is there."""
        return name in self.notes and folder(ROOT, self.family, name).is_dir()

    def _make(self, member: Member, along: list[Member]) -> None:
        """Makes one member and those that come with it, and notes what it cost."""
        begun, family = time.process_time(), self.family
        made, facts = {member.name: self._start(member)}, {}
        if member.data:
            made, facts = trained(family, member, made[member.name], along)
        for one in (member, *along):
            pair_files.write(folder(ROOT, family, one.name), "decoder", made[one.name], dtype=stored_as(family, one))
            self.notes[one.name] = facts if one is member else {}
        facts["cpu_seconds"] = round(time.process_time() - begun, 1)
        print(f"{family.name}/{member.name}: {member.relation}, {facts}", flush=True)
        _write_json(self.notes_path, self.notes)

    def _start(self, member: Member) -> Net:
        """Returns the net before training: fresh, or the stored parent after the member's change."""
        if not member.parent:
            torch.manual_seed(self.family.seed_of(member.name, "init"))
            return DECODER.fresh(**self.family.shape)
        net = pair_files.read(folder(ROOT, self.family, member.parent)).float()
        gen = torch.Generator().manual_seed(self.family.seed_of(member.name, "change"))
        start = Net(net.config | {"dtype": "float32"}, net.state)
        return CHANGES[member.change](start, Change("decoder", gen), **member.options)


def recipe(family: Family, merge: Merge) -> dict[str, Any]:
    """Returns a merge's configuration as mergekit reads it; paths are relative to the folder of all families."""

    def path(name: str) -> str:
        return f"./{folder(ROOT, family, name).relative_to(ROOT)}"

    made: dict[str, Any] = {"merge_method": merge.method}
    if merge.slices:
        parts = [{"model": path(name), "layer_range": [first, last]} for name, first, last in merge.slices]
        made["slices"] = [{"sources": [part]} for part in parts]
    else:
        made["models"] = []
        for number, name in enumerate(merge.parents):
            own: dict[str, Any] = {key: values[number] for key, values in merge.each.items()}
            if merge.weights:
                weight = merge.weights[number]
                own["weight"] = list(weight) if isinstance(weight, tuple) else weight
            made["models"].append({"model": path(name)} | ({"parameters": own} if own else {}))
    if merge.base:
        made["base_model"] = path(merge.base)
    more = {"parameters": merge.options, "dtype": merge.dtype, "out_dtype": merge.out_dtype}
    return made | {key: value for key, value in more.items() if value}


def run_mergekit(python: str, family: Family) -> None:
    """Has mergekit make the merges of a family that are missing."""
    home, jobs = ROOT / family.name, []
    (home / "configs").mkdir(exist_ok=True)
    for merge in merges(family):
        if not all(folder(ROOT, family, name).is_dir() for name in merge.parents if "/" in name):
            print(f"{family.name}/{merge.name}: waits for the other family", flush=True)
            continue
        out = folder(ROOT, family, merge.name)
        config, kept = home / "configs" / f"{out.name}.yaml", home / "kept" / f"{out.name}.npz"
        config.write_text(yaml.safe_dump(recipe(family, merge), sort_keys=False), encoding="utf-8")
        jobs.append({"config": config, "out": out, "kept": kept, "seed": family.seed_of(merge.name, "merge") % 2**31})
    missing = [{k: str(v) if k != "seed" else v for k, v in job.items()} for job in jobs if not job["out"].is_dir()]
    if not missing:
        return
    begun = time.perf_counter()
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(missing, file)
        file.flush()
        subprocess.run([python, Path(__file__).with_name("merge_run.py"), file.name], cwd=ROOT, check=True)
    for job in missing:
        card = (home / family.folder_of("base") / "README.md").read_text(encoding="utf-8")
        name = Path(job["out"]).name
        Path(job["out"], "README.md").write_text(card.replace(family.folder_of("base"), name), encoding="utf-8")
    print(f"{family.name}: {len(missing)} merges, {time.perf_counter() - begun:.0f} s", flush=True)


def _write_json(path: Path, value: Any) -> None:
    """Writes JSON through a temporary file."""
    temporary = path.with_suffix(".tmp")
    temporary.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def main() -> None:
    """Makes every family that is missing or asked for: all trainings, then all merges, then the truth."""
    parser = argparse.ArgumentParser(description="Train the merge families and merge them.")
    parser.add_argument("--only", action="append", metavar="FAMILY", choices=list(FAMILIES), help="just this family")
    parser.add_argument("--mergekit", metavar="PYTHON", help="the Python that mergekit is installed in")
    parser.add_argument("--list", action="store_true", help="say what there is to make, and make nothing")
    options = parser.parse_args()
    families = [FAMILIES[name] for name in options.only or FAMILIES]
    if options.list:
        for family in families:
            print(f"{family.name}: {len(MEMBERS)} members, {len(merges(family))} merges")
        return
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    for family in families:
        Maker(family).run()
    for family in families:
        if options.mergekit:
            run_mergekit(options.mergekit, family)
        _write_json(ROOT / family.name / "truth.json", merge_truth.truth(ROOT, family))
        print(f"{family.name}: truth written", flush=True)


if __name__ == "__main__":
    main()
