"""What is said of a video, and in it: captions and subtitles, from wherever footage has them.

| where | what it gives |
|---|---|
| film.txt | a caption of the whole video |
| film.json | {"caption": ...}; or cues: [{"start", "end", "text"}, ...], or that under "cues" or "segments" |
| film.srt, film.vtt, film.en.srt | cues |
| captions.csv or metadata.csv, also .tsv and .jsonl, in the video's folder or above | a line a video or cue |
| collected.jsonl, there too | "caption", as `vgm collect` leaves it |
| the video itself | cues: text subtitles (mov_text, SubRip, WebVTT, ASS) |

The lists have a column file, file_name, filename, path, video or name (the video's path, absolute or
relative to the list, or its bare name, with or without suffix), a column caption, text or description, and,
for cues, start and end: seconds or 0:01:02.5. The first place that has a caption gives the caption, and the
first that has cues gives the cues, in this order: txt, json, srt, vtt, lists from the nearest folder up, the
video itself.

Texts are UTF-8, UTF-16 where they begin with its mark or look like it, and else Windows-1252. Markup is
stripped. What cannot be read is listed, and never an error.
"""

import bisect
import csv
import functools
import io
import itertools
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from vgm_jax.data._readers import DecodeError, check_regular, reason
from vgm_jax.data._subtitles import Cue, clean, decode_text, embedded_cues, is_in, parse_subtitles, seconds_of
from vgm_jax.data.audio import SILENT, SOUNDS
from vgm_jax.data.decode import SUFFIXES

LISTS = ("captions.csv", "captions.tsv", "captions.jsonl", "metadata.csv", "metadata.tsv", "metadata.jsonl")
LISTS += ("collected.jsonl",)
_FILE = ("file", "file_name", "filename", "path", "video", "name")
_TEXT = ("caption", "text", "description")
_START, _END = ("start", "start_time", "start time"), ("end", "end_time", "end time")
_SIDECARS = (".txt", ".json", ".srt", ".vtt")
_LANGUAGE = re.compile(r"(.+?)\.([A-Za-z]{2,3}(?:[-_][A-Za-z0-9]+)*)(?:\.(?:forced|sdh|cc|hi))?")
_LARGEST, _LARGEST_LIST = 2**24, 2**28  # bytes


@dataclass(frozen=True)
class Captions:
    """What is said of a video and in it.

    Attributes:
      text: of the whole video, or "".
      cues: what is said when, by their start, in seconds from the video's first frame.
      files: (path, encoding) of what they come from; the encoding of the video itself is "embedded".
      problems: (path, reason) of what could not be read, or only in part.
    """

    text: str = ""
    cues: tuple[Cue, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    problems: tuple[tuple[str, str], ...] = ()

    def during(self, start: float, end: float) -> str:
        """What is said between two times, in seconds: the cues then, in order, joined by spaces.

        Where there is none, the caption of the whole video. A line that repeats the one before it, as in
        subtitles that roll up, is left out.
        """
        lines = (line for cue in self._overlapping(start, end) for line in cue.text.split("\n"))
        said = [line for line, _ in itertools.groupby(lines)]
        return " ".join(said) or self.text

    def _overlapping(self, start: float, end: float) -> list[Cue]:
        before = bisect.bisect_left(self.cues, end, key=lambda cue: cue.start)
        return [cue for cue in self.cues[:before] if cue.end > start]


def find_captions(
    path: str | os.PathLike,
    root: str | os.PathLike | None = None,
    language: str = "en",
    embedded: bool = True,
) -> Captions:
    """Captions and subtitles of a video, see the module's docstring.

    Args:
      path: of the video, or of a folder of frames.
      root: folder up to which lists are looked for, from the video's own on; None: only that.
      language: two letters, that is preferred where subtitles come in several, but to those that do not say.
      embedded: whether the video itself is opened for its subtitles.

    Never raises for what a file holds: see `Captions.problems`.
    """
    path = Path(os.path.abspath(path))
    finder = _Finder(path, language)
    for sidecar in _sidecars_of(path, language, finder.attempt):
        finder.sidecar(sidecar)
    for folder in _folders(path, root):
        for name in LISTS:
            if not (finder.text and finder.cues) and (folder / name).is_file():
                finder.list(folder / name)
    if embedded and not finder.cues and path.is_file() and path.suffix.lower() not in SILENT:
        finder.embedded()
    return Captions(finder.text, finder.cues, tuple(finder.files), tuple(finder.problems))


def said_in(path: str | os.PathLike) -> Captions:
    """`find_captions` of a film, with a warning of what of them cannot be read."""
    said = find_captions(path)
    for file, why in said.problems:
        warnings.warn(f"{file}: {why}", stacklevel=3)
    return said


class _Finder:
    """Collects the first caption and the first cues of a video."""

    def __init__(self, path: Path, language: str):
        self.path, self.language = path, language
        self.text, self.cues = "", ()
        self.files: list[tuple[str, str]] = []
        self.problems: list[tuple[str, str]] = []

    def attempt(self, path: Path, read: Callable[[], Any]) -> Any:
        """What `read` gives; None and a problem where the file is not as it should be."""
        try:
            return read()
        except DecodeError as error:
            self.problems.append((str(path), error.why))
        except (OSError, ValueError, RecursionError) as error:
            self.problems.append((str(path), reason(error)))
        return None

    def take(self, path: Path, encoding: str, text: str, cues: list[Cue]) -> None:
        if (text and not self.text) or (cues and not self.cues):
            self.files.append((str(path), encoding))
        self.text = self.text or text
        self.cues = self.cues or tuple(sorted(cues, key=lambda cue: (cue.start, cue.end)))

    def sidecar(self, path: Path) -> None:
        suffix = path.suffix.lower()
        if self.text if suffix == ".txt" else suffix in (".srt", ".vtt") and self.cues:
            return
        found = self.attempt(path, lambda: decode_text(_bytes(path, _LARGEST)))
        if found is None:
            return
        content, encoding = found
        if suffix == ".txt":
            said = " ".join(clean(content).split("\n")), [], 0
        elif suffix == ".json":
            said = self.attempt(path, lambda: _of_json(content))
        else:
            said = ("", *parse_subtitles(content))
        if said is None:
            return
        text, cues, bad = said
        if bad:
            self.problems.append((str(path), f"{bad} cue(s) left out: not from one time to a later one"))
        elif not text and not cues and suffix != ".json":  # which may be of other things
            self.problems.append((str(path), "there is no caption in it"))
        self.take(path, encoding, text, cues)

    def list(self, path: Path) -> None:
        state = self.attempt(path, path.stat)
        read = _read_list(path, state.st_size, state.st_mtime_ns) if state else None
        if isinstance(read, str):
            self.problems.append((str(path), read))
        elif read is not None:
            name = PurePosixPath(self.path.relative_to(path.parent).as_posix())
            self.take(path, read[1], *_of_rows(read[0], name))

    def embedded(self) -> None:
        cues, problem = embedded_cues(self.path, self.language)
        if problem:
            self.problems.append((str(self.path), problem))
        self.take(self.path, "embedded", "", cues)


# ---------------------------------------------------------------------------------------------------------- #
# Beside the video
# ---------------------------------------------------------------------------------------------------------- #


def _sidecars_of(path: Path, language: str, attempt: Callable) -> list[Path]:
    """In the order in which they count: by suffix, then no language, the wanted one, others by name."""
    folder = path.parent
    state = attempt(folder, folder.stat)
    found = attempt(folder, lambda: _sidecars(folder, state.st_mtime_ns)) if state else None
    if found is None:
        return []
    owners = {path.name} if path.is_dir() else {path.stem, path.name}
    mine = [pair for owner in sorted(owners) for pair in found.get(owner, ())]

    def order(pair: tuple[str, str]) -> tuple:
        tongue, name = pair
        foreign = bool(tongue) and not is_in(tongue, language)
        return _SIDECARS.index(Path(name).suffix.lower()), foreign, tongue, name

    return [folder / name for _, name in sorted(set(mine), key=order)]


@functools.lru_cache(maxsize=64)
def _sidecars(folder: Path, stamp: int) -> dict[str, list[tuple[str, str]]]:
    """Name of a video, with or without suffix -> (language or "", name) of files that may belong to it."""
    found: dict[str, list[tuple[str, str]]] = {}
    names = os.listdir(folder)
    suffixes = (*SUFFIXES, *SOUNDS)
    others = set(names) | {os.path.splitext(name)[0] for name in names if name.lower().endswith(suffixes)}
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in _SIDECARS or name.startswith("."):
            continue
        found.setdefault(stem, []).append(("", name))
        if stem not in others and (match := _LANGUAGE.fullmatch(stem)):
            found.setdefault(match[1], []).append((match[2], name))
    return found


def _of_json(content: str) -> tuple[str, list[Cue], int]:
    """Caption, cues, and how many cues are none."""
    data = json.loads(content)
    rows, text = data, ""
    if isinstance(data, dict):
        rows = next((data[key] for key in ("cues", "segments") if isinstance(data.get(key), list)), [])
        # Beside segments, "text" is all that is said in them.
        text = next((data[key] for key in _TEXT[: 1 if rows else None] if isinstance(data.get(key), str)), "")
    elif isinstance(data, str):
        rows, text = [], data
    if not isinstance(rows, list):
        raise ValueError("expected a caption, or a list of start, end and text")
    cues = [_cue(row) for row in rows]
    good = [cue for cue in cues if cue is not None]
    return " ".join(clean(text).split("\n")), good, len(cues) - len(good)


def _cue(row: Any) -> Cue | None:
    if not isinstance(row, dict):
        return None
    row = {str(key).strip().lower(): value for key, value in row.items()}
    start, end = (seconds_of(_first(row, keys)) for keys in (_START, _END))
    text = clean(str(_first(row, _TEXT) or ""))
    if start is None or end is None or not start < end or not text:
        return None
    return Cue(start, end, text)


def _first(row: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((row[key] for key in keys if row.get(key) not in (None, "")), None)


# ---------------------------------------------------------------------------------------------------------- #
# Lists
# ---------------------------------------------------------------------------------------------------------- #


def _folders(path: Path, root: str | os.PathLike | None) -> list[Path]:
    """The video's folder and those above it, up to `root` where that is one of them."""
    above = list(path.parents)
    top = path.parent if root is None else Path(os.path.abspath(root))
    return above[: above.index(top) + 1] if top in above else above[:1]


@functools.lru_cache(maxsize=64)
def _read_list(path: Path, *stamp: int) -> tuple[dict[str, list[dict[str, Any]]], str] | str:
    """Rows of a list by the video that they are of, and its encoding; or what is wrong with it."""
    try:
        content, encoding = decode_text(_bytes(path, _LARGEST_LIST))
        rows = list(_json_rows(content) if path.suffix == ".jsonl" else _csv_rows(content))
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        return reason(error)
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        row = {str(key or "").strip().lower(): value for key, value in row.items()}
        file, text = _first(row, _FILE), _first(row, _TEXT)
        if file is not None and text is not None:
            name = os.path.normpath(str(file).strip().replace("\\", "/"))
            name = os.path.relpath(name, path.parent) if os.path.isabs(name) else name
            found.setdefault(name, []).append(row)
    if not found and path.name.startswith("captions"):
        return f"no row with one of {', '.join(_FILE)} and one of {', '.join(_TEXT)}"
    return found, encoding


def _csv_rows(content: str) -> list[dict[str, Any]]:
    header = content.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    try:
        return list(csv.DictReader(io.StringIO(content), delimiter=delimiter, strict=True))
    except csv.Error:
        if delimiter != "\t":
            raise
    # Between tabs a quotation mark is often no more than that.
    return list(csv.DictReader(io.StringIO(content), delimiter=delimiter, quoting=csv.QUOTE_NONE))


def _json_rows(content: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number}: not JSON ({error})") from None
        if isinstance(row, dict):
            yield row


def _of_rows(rows: dict[str, list[dict[str, Any]]], name: PurePosixPath) -> tuple[str, list[Cue]]:
    """Caption and cues of the video `name`, relative to the list."""
    keys = (str(name), str(name.with_suffix("")), name.name, name.stem)
    mine = next((rows[key] for key in keys if key in rows), [])
    cues = [cue for row in mine if (cue := _cue(row)) is not None]
    whole = [row for row in mine if _first(row, _START) is None and _first(row, _END) is None]
    text = clean(str(_first(whole[0], _TEXT))) if whole else ""
    return " ".join(text.split("\n")), cues


def _bytes(path: Path, largest: int) -> bytes:
    check_regular(path)
    size = path.stat().st_size
    if size > largest:
        raise ValueError(f"{size / 2**20:.0f} MiB are too much for captions")
    return path.read_bytes()
