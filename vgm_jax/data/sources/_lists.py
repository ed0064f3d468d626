"""What the public formats share: lists name the videos, which lie anywhere below one folder."""

import abc
import functools
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vgm_jax.data import decode
from vgm_jax.data.sources._clips import Clips, Entry, content_hash
from vgm_jax.data.sources._folder_videos import HELD_OUT, SPLITS, find_videos


class Listed(Clips, abc.ABC):
    """A random access source of clips of the videos that a format's lists name.

    A subclass sets NAME and OWN (its own settings, which determine the clips), and gives `_entries`, which
    calls `_find`. Files are found by their name without suffix, whatever folder they are in and whatever they
    were converted to. Videos that are not there, unreadable or too short for one clip are listed in
    `rejected`.

    Args:
      path: the folder.
      split: train, validation or test.
      size: height and width in pixels; None: as they are.
      frames, fps: of a clip; fps None or 0: all frames as they are, one after another.
      memory: MiB a process for decoded clips.

    Raises:
      FileNotFoundError: no such folder or list, or none of the listed videos.
      ValueError: an unknown split, a list that is not as the format says, naming the file, or no clip.
    """

    NAME = ""
    OWN: tuple[str, ...] = ()

    def __init__(
        self,
        path: str | os.PathLike,
        split: str = "train",
        *,
        size: int | None = None,
        frames: int = 16,
        fps: float | None = None,
        memory: float = 1024.0,
    ):
        if not str(path):
            raise ValueError(f"data.path is empty: give the folder of {self.NAME}, --config.data.path=DIR")
        self._settings(path, split, size=size, frames=frames, fps=fps, rate=0.0, memory=memory)
        if split not in SPLITS:
            raise ValueError(f"{self.NAME}: the splits are {', '.join(SPLITS)}; got {split!r}")
        if not self.path.is_dir():
            raise FileNotFoundError(f"{self.path}: there is no such folder; expected {self.NAME}")
        self._lists: dict[str, str] = {}  # name -> SHA-256, of the lists that were read
        names, entries = self._entries()
        self._names = tuple(names)
        self._use(self._look_at(entries))

    @abc.abstractmethod
    def _entries(self) -> tuple[Sequence[str], Sequence[Entry]]:
        """Names of the classes, and the videos of the split."""

    # ------------------------------------------------------------------ lists
    def _list(self, names: Sequence[str], folders: Sequence[str] = ()) -> Path | None:
        """The first of these lists that is there, right in the folder or in one of `folders` in it."""
        paths = (self.path / folder / name for name in names for folder in ("", *folders))
        return next((path for path in paths if path.is_file()), None)

    def _needed(self, names: Sequence[str], folders: Sequence[str] = ()) -> Path:
        """As `_list`; raises FileNotFoundError where there is none."""
        path = self._list(names, folders)
        if path is None:
            places = " or ".join([str(self.path), *(f"{folder}/ in it" for folder in folders)])
            raise FileNotFoundError(f"{self.NAME}: there is no {' or '.join(names)} in {places}")
        return path

    def _text(self, path: Path) -> str:
        """Content of a list, which is then part of the description."""
        data = path.read_bytes()
        self._lists[path.name] = hashlib.sha256(data).hexdigest()
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not a text in UTF-8 ({error})") from error

    def _json(self, path: Path, kind: type, what: str) -> Any:
        """Content of a JSON list; raises ValueError where it is no JSON, or not a `kind`, that is `what`."""
        try:
            content = json.loads(self._text(path))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: not JSON ({error})") from error
        if not isinstance(content, kind):
            raise ValueError(f"{path}: expected {what}, got a {type(content).__name__}")
        return content

    # ------------------------------------------------------------------ videos
    def _find(self, stems: Sequence[str]) -> dict[str, tuple[str, Path]]:
        """Of the listed videos, those that are there, as (name in the folder, path); others are rejected."""
        lists = ", ".join(self._lists)
        if not stems:
            raise ValueError(f"{self.path}: {lists} list(s) no video for {self.split}")
        files: dict[str, tuple[str, Path]] = {}
        for name, path in find_videos(self.path, self.rejected):
            stem = path.stem if path.suffix.lower() in decode.SUFFIXES else path.name
            files.setdefault(stem, (name, path))
        found = {stem: files[stem] for stem in stems if stem in files}
        if not found:
            raise FileNotFoundError(
                f"{self.path}: none of the {len(stems)} video(s) for {self.split} in {lists} is there, "
                f"such as {stems[0]}"
            )
        self.rejected += [(stem, "listed, but there is no such file") for stem in stems if stem not in found]
        return found

    # ------------------------------------------------------------------ what a user sees
    def __repr__(self) -> str:
        settings = ("split", "size", "frames", "fps", *self.OWN)
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in settings)
        return f"{type(self).__name__}({str(self.path)!r}, {shown})"

    @functools.cached_property
    def description(self) -> dict[str, Any]:
        """Everything that determines the clips, fit for JSON.

        "lists" holds the SHA-256 of each list; "sha256" is over the videos' files, which are read for it,
        once, on first use: about a second per gigabyte.
        """
        settings = ("split", "size", "frames", "fps", *self.OWN)
        return (
            {"source": self.NAME, "resize": decode.RESIZE if self.size else None}
            | {name: getattr(self, name) for name in settings}
            | {"videos": len(self.videos), "clips": len(self), "lists": dict(self._lists)}
            | {"sha256": content_hash(self.videos)}
        )

    def class_names(self) -> tuple[str, ...]:
        """Names of the values of "label"."""
        return self._names

    @property
    def num_classes(self) -> int:
        return len(self._names)


def held_out(names: Sequence[str], seed: int, where: Path) -> set[str]:
    """A tenth of the names, at least one and not all, by `by_chance`.

    Raises ValueError, naming the list `where` they come from, for fewer than two names.
    """
    if len(set(names)) < 2:
        raise ValueError(f"{where}: validation is held out of training: that takes at least two")
    order = by_chance(names, seed)
    return set(order[: max(1, round(HELD_OUT * len(order)))])


def by_chance(names: Sequence[str], seed: int) -> list[str]:
    """The names, each once, in an order by a hash of seed and name: adding one moves no others about."""
    return sorted(set(names), key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).hexdigest())
