"""Files that are whole or not there, and where a user's cache is."""

import contextlib
import errno
import fcntl
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any


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


def walk(
    path: str | os.PathLike, failed: Callable[[OSError], None] | None = None
) -> Iterator[tuple[Path, list[str]]]:
    """Each folder from `path` down, and the names of its files; nothing hidden, each folder once.

    Links are followed; one that leads back is where a folder was seen already. Folders come by name.
    A folder that cannot be read is passed over, and its error told to `failed`.
    """
    seen = set()
    for folder, folders, files in os.walk(path, followlinks=True, onerror=failed):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(folder), sorted(name for name in files if not name.startswith("."))


def keep_apart(out: str | os.PathLike, *read: Any) -> None:
    """Raises ValueError where `out` is one of the files that are read. What is no path is none of them."""
    for path in read:
        if isinstance(path, str | os.PathLike) and os.path.exists(path) and os.path.exists(out):
            if os.path.samefile(path, out):
                raise ValueError(f"{out}: is the film itself, or what else is read; give it another name")


def make_room(path: str | os.PathLike) -> None:
    """Makes the folder that `path` is to be written to, before the work that it is for begins.

    Raises OSError where it cannot be made, or nothing can be written there.
    """
    folder = Path(path).parent
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def hold(file: IO, folder: Path, does: str) -> None:
    """Holds an open file, which only one process can; the system lets go of what a killed one held.

    Raises BlockingIOError where another one holds it. Where the file system has no locks, it warns that no
    other process may do what this one `does` in the folder.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        warnings.warn(
            f"the file system of {folder} has no locks ({error.strerror}): see to it that no other process "
            f"{does} there",
            stacklevel=4,
        )


def cache_folder(name: str) -> Path:
    """The user's folder for what can be made or fetched again; it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vgm_jax" / name
