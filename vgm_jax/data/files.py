"""Files that are whole or not there, and where a user's cache is."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def in_one_piece(path: str | os.PathLike) -> Iterator[Path]:
    """A path to write to, in the same folder, which takes the place of `path` when the block has ended.

    Where the block raises, `path` stays as it was, and nothing is left of the other. Raises OSError.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def cache_folder(name: str) -> Path:
    """The user's folder for what can be made or fetched again; it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vgm_jax" / name
