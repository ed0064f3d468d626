"""Finding the videos of a folder, and which split each is in."""

import functools
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vgm_jax.data import decode
from vgm_jax.data._readers import is_image, natural, open_array, webp_durations
from vgm_jax.data.decode import DecodeError

SPLITS = ("train", "validation", "test")
SPLIT_FOLDERS = {"train": "train", "validation": "validation", "val": "validation", "valid": "validation"}
SPLIT_FOLDERS |= {"test": "test"}
_LONGEST = 600.0  # seconds that a frame may stay
HELD_OUT = 0.1  # of the videos, for validation and again for test


@dataclass(frozen=True)
class Video:
    """A video of the folder, or one clip of an .npy that holds many.

    Attributes:
      name: path within the folder, with "#3" behind it for clip 3 of an .npy.
      path, item: what `decode` reads.
      times: float64 [clips * frames], or longer: seconds from its first frame, of the frames of its clips.
      height, width: of its frames, upright.
      first, clips: which of its clips, one after another, belong to the split.
    """

    name: str
    path: Path
    item: int | None
    times: np.ndarray
    height: int
    width: int
    first: int
    clips: int


def find_videos(path: Path) -> list[tuple[str, Path]]:
    """(name, path) of all videos, in natural order."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder")
    if path.is_file():
        return [(path.name, path)]
    found, seen = [], set()
    for folder, folders, files in os.walk(path, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        folder, real = Path(folder), os.path.realpath(folder)
        if real in seen:  # links may lead back
            folders.clear()
            continue
        seen.add(real)
        videos = [name for name in files if _is_video(folder / name)]
        if not videos and any(is_image(name) for name in files):
            found.append(folder)
        found += [folder / name for name in videos]
    names = [(p.relative_to(path).as_posix() if p != path else path.name, p) for p in found]
    return sorted(names, key=lambda pair: [natural(part) for part in pair[0].split("/")])


def _is_video(path: Path) -> bool:
    suffix = path.suffix.lower()
    if path.name.startswith(".") or suffix not in decode.SUFFIXES:
        return False
    return suffix != ".webp" or bool(webp_durations(path))


def look(path: Path, rate: float) -> tuple[decode.Scan, float, int | None] | str:
    """When a video's frames come, the tolerance, and how many clips an .npy holds; or why there is none."""
    try:
        state = path.stat()
        return _remembered(path, rate, state.st_size, state.st_mtime_ns)
    except DecodeError as error:
        return error.why
    except OSError as error:
        return error.strerror or str(error)


@functools.lru_cache(maxsize=2**16)
def _remembered(path: Path, rate: float, *stamp: int) -> tuple[decode.Scan, float, int | None]:
    array = open_array(path) if path.suffix.lower() == ".npy" and path.is_file() else None
    items = len(array) if array is not None and array.ndim == 5 else None
    scan, tolerance = decode.scan(path, rate=rate, item=None if items is None else 0)
    longest = np.diff(scan.times).max()
    if longest > _LONGEST:
        raise DecodeError(path, f"broken timestamps: one frame would stay for {longest:.0f} s")
    return scan, tolerance, items


def check_sizes(videos: list[Video]) -> None:
    first = videos[0]
    for video in videos:
        if (video.height, video.width) != (first.height, first.width):
            raise ValueError(
                f"{video.path}: frames of {video.height} x {video.width} (height x width), "
                f"those of {first.name} have {first.height} x {first.width}: give a size"
            )


def by_hash(names: list[str], seed: int) -> dict[str, tuple[str, ...]]:
    """The splits that each of at least two videos is in."""

    def draw(name: str) -> float:
        digest = hashlib.sha256(f"{seed}/{name}".encode(errors="surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") / 2**64

    draws = {name: draw(name) for name in names}
    order = sorted(names, key=lambda name: draws[name], reverse=True)
    if len(names) == 2:
        return {order[0]: ("train",), order[1]: ("validation", "test")}
    groups: dict[str, list[str]] = {split: [] for split in SPLITS}
    for name in order:
        held = "validation" if draws[name] < HELD_OUT else "test"
        groups["train" if draws[name] >= 2 * HELD_OUT else held].append(name)
    for split in SPLITS:
        if not groups[split]:
            largest = max(SPLITS, key=lambda other: len(groups[other]))
            groups[split].append(groups[largest].pop())
    return {name: (split,) for split, members in groups.items() for name in members}


def content_hash(videos: list[Video]) -> str:
    files = {}
    for video in videos:
        name = video.name.rsplit("#", 1)[0] if video.item is not None else video.name
        if video.path.is_dir():
            pictures = sorted(p for p in video.path.iterdir() if is_image(p.name))
            files |= {f"{name}/{p.name}": p for p in pictures}
        else:
            files[name] = video.path

    def line(name: str) -> str:
        with open(files[name], "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return json.dumps([name, files[name].stat().st_size, digest])

    with ThreadPoolExecutor(2) as pool:
        lines = "\n".join(pool.map(line, sorted(files)))
    return hashlib.sha256(lines.encode()).hexdigest()
