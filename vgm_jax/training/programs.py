"""Traced programs, kept for later processes: what takes Python seconds to trace is read in a blink.

JAX's own cache (`runtime`) keeps what the compiler made of a program, and begins where tracing ends.
"""

import contextlib
import functools
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax
import jax
import jax.export
import numpy as np
import optax

from vgm_jax.data.files import in_one_piece

PACKAGE = Path(__file__).parents[1]
KEPT = 64  # programs; the oldest go
CONSTANT = 256  # numbers; a program with a larger constant depends on what its key does not tell
# Settings of JAX that say where and what it writes, not what it traces.
ELSEWHERE = ("cache", "dir", "log", "dump", "traceback")


def beside_compiled(about: str) -> "Programs":
    """Kept where JAX keeps what it compiled; nowhere, if that is nowhere or a bucket."""
    folder = jax.config.jax_compilation_cache_dir
    return Programs(Path(folder) / "traced" if folder and "://" not in folder else None, about)


class Programs:
    """A folder of traced programs of one config.

    Args:
        folder: beside JAX's compiled programs; None keeps nothing.
        about: all that the functions depend on beside code that is imported and their arguments' shapes.
    """

    def __init__(self, folder: Path | None = None, about: str = ""):
        # Where devices share arrays, programs depend on how: only those of one device are kept.
        self.folder = folder if jax.device_count() == 1 else None
        self.about = about

    def kept(self, name: str, fn: Callable) -> Callable:
        """`fn`, a pure function of trees of arrays to be compiled, as it was traced when it was first called.

        What it returns are trees of lists, tuples, dicts and of what is registered with `jax.export`. What
        cannot be exported is traced each time.
        """
        if self.folder is None:
            return fn

        @functools.wraps(fn)
        def run(*args):
            avals = jax.tree.map(jax.typeof, args)
            program = self._program(name, fn, jax.tree.map(_shape, avals))
            return fn(*args) if program is None else program.call(*args)

        return run

    def _program(self, name: str, fn: Callable, shapes: Any) -> jax.export.Exported | None:
        about = name, self.about, str(jax.tree.structure(shapes)), str(jax.tree.leaves(shapes)), _setting()
        path = self.folder / f"{hashlib.sha256(repr(about).encode()).hexdigest()}.traced"
        with contextlib.suppress(OSError):
            data = bytearray(path.read_bytes())
            with contextlib.suppress(OSError):
                path.touch()  # used last
            with contextlib.suppress(Exception):  # torn: flatbuffers has an error for each way of it
                return jax.export.deserialize(data)
        traced = jax.jit(fn)
        constants = traced.trace(*shapes).jaxpr.consts
        try:
            program = jax.export.export(traced)(*shapes)
            data = program.serialize()
        except (NotImplementedError, ValueError):  # it calls back, or what is not promised to stay as it is
            return None
        if all(np.size(x) <= CONSTANT for x in constants):
            with contextlib.suppress(OSError):
                self._write(path, data)
        return program

    def _write(self, path: Path, data: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with in_one_piece(path) as part:
            part.write_bytes(data)
        by_age = sorted(self.folder.glob("*.traced"), key=lambda file: file.stat().st_mtime)
        for file in by_age[:-KEPT]:
            file.unlink(missing_ok=True)


def _shape(aval: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type)


def _setting() -> Any:
    """What else decides what is traced: this package's files, the libraries, JAX's settings, the device."""
    settings = [
        (name, str(value))
        for name, value in sorted(jax.config.values.items())
        if not any(word in name for word in ELSEWHERE)
    ]
    device = jax.devices()[0]
    versions = [x.__version__ for x in (jax, jax.lib, flax, optax, np)]
    return _code(), versions, settings, device.platform, device.device_kind


@functools.cache
def _code() -> str:
    """The hash of this package's files, and of what else is imported that nobody installed."""
    installed = tuple({sys.prefix, sys.base_prefix})
    files = {getattr(module, "__file__", None) or "" for module in list(sys.modules.values())}
    own = {file for file in files if file.endswith(".py") and not file.startswith(installed)}
    paths = sorted({Path(file) for file in own} | set(PACKAGE.rglob("*.py")))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths if path.exists())).hexdigest()
