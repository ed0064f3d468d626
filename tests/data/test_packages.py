"""Packages from registries, without any: what is there, what does not come, what is another."""

import io
import tarfile

import pytest

from vgm_jax.data import packages


def test_a_package_that_is_there_is_not_fetched_again(tmp_path, monkeypatch):
    archive = tmp_path / "toy-1.0.0.tgz"
    with tarfile.open(archive, "w:gz") as file:
        for name in ("package/a.json", "package/b.txt"):
            info = tarfile.TarInfo(name)
            info.size = 2
            file.addfile(info, io.BytesIO(b"{}"))
    package = packages.Package("npm", "toy@1.0.0", archive.name, packages.sha256_of(archive), "MIT")
    monkeypatch.setenv("PATH", "")
    assert packages.fetch(package, tmp_path) == archive
    assert list(packages.members(archive, ".json")) == [("package/a.json", b"{}")]
    archive.write_bytes(b"broken")
    with pytest.raises(packages.PackageError, match="there is no npm: install it, or put toy-1.0.0.tgz into"):
        packages.fetch(package, tmp_path)


def npm(folder, body):
    """A stand-in for npm that is asked for `pack --silent --pack-destination FOLDER SPEC`."""
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\n{body}\n")
    (folder / "npm").chmod(0o755)
    return str(folder)


def test_another_file_than_expected_is_not_kept(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    package = packages.Package("npm", "toy@1.0.0", "toy-1.0.0.tgz", "0" * 64, "MIT")
    monkeypatch.setenv("PATH", npm(tmp_path / "a", 'echo other > "$4/toy-1.0.0.tgz"'))
    with pytest.raises(packages.PackageError, match="expected sha256 0000"):
        packages.fetch(package, cache)
    monkeypatch.setenv("PATH", npm(tmp_path / "b", "exit 3"))
    with pytest.raises(packages.PackageError, match=r"no toy-1.0.0.tgz came \(exit 3\)"):
        packages.fetch(package, cache)
    assert list(cache.iterdir()) == []
