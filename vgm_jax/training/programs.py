"""Traced programs, kept for later processes: what takes Python seconds to trace is read in a blink.

JAX's own cache (`runtime`) keeps what the compiler made of a program, and begins where tracing ends.
"""

import contextlib
import functools
import hashlib
import sys
import sysconfig
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import flax
import jax
import jax.export
import numpy as np

from vgm_jax.data.files import in_one_piece

PACKAGE = Path(__file__).parents[1]
LIBRARIES = ("jax", "jaxlib", "flax", "optax", "numpy")
KEPT = 64  # programs; the oldest go
CONSTANT = 64  # numbers; a program with a larger constant holds data, which its key does not tell
DIGEST = 32  # bytes before a program's, of its hash
# Settings under which each process is to run its own Python, operation by operation.
LOOKED_INTO = ("jax_disable_jit", "jax_debug_nans", "jax_debug_infs")


def beside_compiled(about: str, since: float) -> "Programs":
    """Kept where JAX keeps what it compiled; nowhere, if that is nowhere, or is to be left alone.

    since: when this process began to import code (`time.time()`). Of any that is newer nothing is kept: in
    which state it was imported cannot be said.
    """
    folder, settings = jax.config.jax_compilation_cache_dir, jax.config.values
    if not folder or "://" in folder or not settings["jax_enable_compilation_cache"]:
        return Programs()
    if any(settings[name] for name in LOOKED_INTO):
        return Programs()
    try:
        newest = max(path.stat().st_mtime for path in _files())
        return Programs(Path(folder) / "traced" if newest < since else None, about)
    except OSError:  # it is being changed now
        return Programs()


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
            program = self._program(name, fn, jax.tree.map(_shape, args))
            return fn(*args) if program is None else program.call(*args)

        return run

    def _program(self, name: str, fn: Callable, shapes: Any) -> jax.export.Exported | None:
        about = name, self.about, str(jax.tree.structure(shapes)), str(jax.tree.leaves(shapes)), _setting()
        path = self.folder / f"{hashlib.sha256(repr(about).encode()).hexdigest()}.traced"
        if (data := _read(path)) is None:
            traced = jax.jit(fn)
            constants = list(_constants(traced.trace(*shapes).jaxpr))
            try:
                data = jax.export.export(traced)(*shapes).serialize()
            except Exception:  # it calls back, say; what is wrong with `fn` itself was raised by the trace
                return None
            if all(np.size(x) <= CONSTANT for x in constants):
                with contextlib.suppress(OSError):
                    self._write(path, data)
        return jax.export.deserialize(bytearray(data))  # also where it is new: a later process has that one

    def _write(self, path: Path, data: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with in_one_piece(path) as part:
            part.write_bytes(hashlib.sha256(data).digest() + data)
        by_age = sorted(self.folder.glob("*.traced"), key=lambda file: file.stat().st_mtime)
        for file in by_age[:-KEPT]:
            file.unlink(missing_ok=True)


def _read(path: Path) -> bytes | None:
    """A whole file's program, None for one that is not there or damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    with contextlib.suppress(OSError):
        path.touch()  # used last
    digest, data = data[:DIGEST], data[DIGEST:]
    return data if digest == hashlib.sha256(data).digest() else None


def _shape(x: Any) -> jax.ShapeDtypeStruct:
    aval = jax.typeof(x)
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type)


def _constants(jaxpr: Any) -> Iterator[Any]:
    """All arrays that a program holds, those of the functions within it, too."""
    yield from getattr(jaxpr, "consts", ())
    for equation in jaxpr.eqns:
        yield from (x.val for x in equation.invars if hasattr(x, "val"))
        for value in equation.params.values():
            for part in value if isinstance(value, tuple | list) else (value,):
                if hasattr(part, "eqns"):
                    yield from _constants(part)


def _setting() -> Any:
    """What else decides what is traced: code, libraries, their settings, the device."""
    settings = [
        (name, str(value))
        for name, value in sorted(jax.config.values.items())
        if not ("cache" in name or name.endswith("_dir") or name.startswith(("jax_log", "jax_dump")))
    ]
    device = jax.devices()[0]
    versions = [version(name) for name in LIBRARIES]
    return _code(), versions, settings, repr(flax.config), device.platform, device.device_kind


@functools.cache
def _code() -> str:
    """The hash of `_files`, as they are when a process first asks."""
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in _files())).hexdigest()


def _files() -> list[Path]:
    """This package's, and what else is imported that nobody installed."""
    installed = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    named = {str(getattr(module, "__file__", "")) for module in list(sys.modules.values())}
    paths = {Path(name) for name in named if name.endswith(".py")}
    own = {path for path in paths if path.is_file() and not any(map(path.is_relative_to, installed))}
    return sorted(own | set(PACKAGE.rglob("*.py")))
