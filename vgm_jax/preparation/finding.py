"""What there is to prepare: the videos of a folder, what is known of each, and what only seems footage."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vgm_jax.data import decode
from vgm_jax.data._readers import DecodeError, natural
from vgm_jax.data._stills import is_image, open_array
from vgm_jax.data.audio import SOUNDS
from vgm_jax.data.captions import find_captions
from vgm_jax.data.sources._folder_videos import find_videos, named_splits, part_of
from vgm_jax.preparation.records import Rejection, Source

FILMS = (".vob", ".rm", ".rmvb", ".f4v", ".mxf", ".dv", ".ogm", ".divx", ".asf", ".m1v", ".m2v", ".mod")
FILMS += (".h264", ".h265", ".hevc", ".264", ".265", ".y4m", ".apng")
# What stands beside footage: captions, subtitles, lists and notes.
BESIDE = (
    ".txt",
    ".json",
    ".jsonl",
    ".ndjson",
    ".csv",
    ".tsv",
    ".srt",
    ".vtt",
    ".ass",
    ".ssa",
    ".sub",
    ".idx",
)
BESIDE += (".md", ".html", ".xml", ".yaml", ".yml", ".nfo", ".pdf", ".part", ".ytdl", ".log")
PHOTOS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif", b"crx ")  # brands of files that begin as MP4
COLLECTED = "collected.jsonl"
FEW = 5  # names in a warning


@dataclass(frozen=True)
class Found:
    """What lies under a path.

    Attributes:
      sources: the videos, in natural order of their names.
      rejected: (name, rejection) of what is no video but seems meant as one.
      named: whether folders train, validation and test say which split a video is in.
      warnings: of captions that cannot be read.
    """

    sources: tuple[Source, ...]
    rejected: tuple[tuple[str, Rejection], ...]
    named: bool
    warnings: tuple[str, ...] = ()


def find(path: Path, out: Path, licence: str = "", groups: bool = False, classes: bool = False) -> Found:
    """Looks under `path`, which is a folder or one video, but not in `out`.

    `licence` is of the videos of which no `collected.jsonl` says one. The folders right under `path` (or the
    split's folder) are classes; with `groups` they are groups, and there are no classes; with both,
    class/group/film. Raises FileNotFoundError where there is no `path`, and OSError where it is a folder that
    cannot be read.
    """
    videos = [(name, file) for name, file in find_videos(path) if not _within(file, path, out)]
    named = bool(named_splits(name for name, _ in videos))
    collected: dict[Path, dict[str, dict]] = {}
    sources, rejected = [], []
    folders = {name: name.split("/")[int(named) : -1] for name, _ in videos if not named or part_of(name)}
    classes = classes or not groups
    for name, file in videos:
        if name not in folders:
            why = "beside the folders of the splits, so in none"
            rejected.append((name, Rejection("in no split", why)))
            continue
        if file.parent not in collected:
            collected[file.parent] = _collected(file.parent)
        known = collected[file.parent].get(file.name, {})
        label = readable("".join(folders[name][:1])) if classes else ""
        group = "".join(folders[name][int(classes) :][:1]) if groups else ""
        if groups and not group and any(file in other.parents for _, other in videos):  # such as a cover's
            rejected.append((name, Rejection("in no split", "pictures in no group's folder")))
            continue
        common = (known.get("licence") or licence, known.get("url") or known.get("path") or "", label, group)
        for item in _items(file):
            own = name if item is None else f"{name}#{item}"
            sources.append(Source(own, file, item, *common))
    if path.is_dir():
        frames = {file for _, file in videos if file.is_dir()}
        rejected += _others(path, out, frames)
    rejected.sort(key=lambda pair: _order(pair[0]))
    return Found(tuple(sources), tuple(rejected), named, tuple(_unread_captions(sources)))


def stamp(source: Source) -> list:
    """What a source's clips depend on, fit for JSON: bytes and times of change of its files, captions."""
    files = {source.path}
    try:
        if source.path.is_dir():
            files |= {file for file in source.path.iterdir() if is_image(file.name)}
    except OSError:
        pass  # the folder's own state tells
    said = find_captions(source.path, source.root, embedded=False)
    return [source.item, sorted(map(_state, files)), said.text, said.cues]


def _unread_captions(sources: Sequence[Source]) -> Iterator[str]:
    """A warning with the first few files, if any."""
    unread: dict[str, str] = {}
    for source in sources:
        for file, why in find_captions(source.path, source.root, embedded=False).problems:
            unread.setdefault(readable(os.path.relpath(file, source.root)), why)
    if unread:
        some = "; ".join(f"{file}: {why}" for file, why in list(unread.items())[:FEW])
        more = f"; and {len(unread) - FEW} more" if len(unread) > FEW else ""
        yield f"captions that could not be read, or not in full: {some}{more}"


def _state(file: Path) -> list:
    try:
        state = file.stat()
    except OSError:
        return [file.name, -1, -1]
    known = [file.name, state.st_size if file.is_file() else 0, state.st_mtime_ns]
    return known if os.access(file, os.R_OK) else [*known, "forbidden"]  # which may be put right


def _order(name: str) -> list:
    return [natural(part) for part in name.split("/")]


def readable(name: str) -> str:
    """A name of a file, which may hold bytes that are no text; different ones stay different."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _within(file: Path, path: Path, out: Path) -> bool:
    """Whether a file lies in `out`, which lies in `path`."""
    here, there = Path(os.path.realpath(file)), Path(os.path.realpath(out))
    return there.is_relative_to(os.path.realpath(path)) and here.is_relative_to(there)


def _items(file: Path) -> Sequence[int | None]:
    """Numbers of the clips of an .npy that holds many."""
    if file.suffix.lower() != ".npy":
        return (None,)
    try:
        array = open_array(file) if file.is_file() else np.zeros(0)
    except (DecodeError, OSError):
        return (None,)  # said when it is read
    return range(len(array)) if array.ndim == 5 else (None,)


def _collected(folder: Path) -> dict[str, dict[str, str]]:
    """File name -> what `vgm collect` knows of it; broken lines count for nothing."""
    known = {}
    try:
        lines = (folder / COLLECTED).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    for line in lines:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict) and isinstance(entry.get("file"), str):
            entry = {key: value for key, value in entry.items() if isinstance(value, str)}
            known.setdefault(entry["file"], entry)
    return known


# ---------------------------------------------------------------------------------------------------------- #
# What is no video
# ---------------------------------------------------------------------------------------------------------- #


def _others(path: Path, out: Path, frames: set[Path]) -> Iterator[tuple[str, Rejection]]:
    unreadable, seen = [], set()
    for folder, folders, files in os.walk(path, followlinks=True, onerror=unreadable.append):
        folder = Path(folder)
        folders[:] = [name for name in folders if not name.startswith(".")]
        real = os.path.realpath(folder)
        if real in seen or _within(folder, path, out):
            folders.clear()
            continue
        seen.add(real)
        for name in files:
            file = folder / name
            if not name.startswith(".") and (why := _seems_footage(file)):
                yield file.relative_to(path).as_posix(), Rejection("unreadable", why)
    for error in unreadable:
        file = Path(error.filename)
        if not file.name.startswith("."):
            name = file.relative_to(path).as_posix() if file != path else path.name
            yield name, Rejection("unreadable", f"the folder cannot be read ({error.strerror})")


def _seems_footage(file: Path) -> str:
    """Why a file that is no video by its suffix is listed; "" for what nobody means as footage."""
    suffix = file.suffix.lower()
    if suffix in BESIDE or (suffix in decode.SUFFIXES and suffix != ".webp"):
        return ""  # the latter are videos
    try:
        if not file.exists():
            return "a link that leads nowhere"
        if is_image(file.name) or not file.is_file():
            return ""
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if suffix in SOUNDS:
        return "sound alone, without a picture"
    known = f"expected {', '.join(decode.SUFFIXES)}"
    if suffix in FILMS:
        return f"videos that end in {suffix} are not read: {known}"
    try:
        with open(file, "rb") as opened:
            head = opened.read(12)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return f"holds a video, but its name does not tell: {known}" if _is_film(head) else ""


def _is_film(head: bytes) -> bool:
    """Whether a file begins as MP4 (but no photo), Matroska, AVI, FLV, GIF, ASF or Ogg do."""
    riff = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    starts = (b"\x1aE\xdf\xa3", b"FLV\x01", b"GIF8", b"0&\xb2u\x8ef\xcf\x11", b"OggS")
    base = head[4:8] == b"ftyp" and head[8:12] not in PHOTOS
    return riff or base or head.startswith(starts)
