"""Finding the videos of a folder, and which split each is in."""

import hashlib
import os
from pathlib import Path

from vgm_jax.data import decode
from vgm_jax.data._readers import natural
from vgm_jax.data._stills import is_image, webp_durations

SPLITS = ("train", "validation", "test")
SPLIT_FOLDERS = {"train": "train", "validation": "validation", "val": "validation", "valid": "validation"}
SPLIT_FOLDERS |= {"test": "test"}
HELD_OUT = 0.1  # of the videos, for validation and again for test


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
    try:
        return suffix != ".webp" or bool(webp_durations(path))
    except decode.DecodeError:
        return True  # to be listed with what is wrong with it


def by_hash(names: list[str], seed: int, held_out: float = HELD_OUT) -> dict[str, tuple[str, ...]]:
    """The splits that each of at least two videos is in; `held_out`: for validation, and again for test."""

    def draw(name: str) -> float:
        digest = hashlib.sha256(f"{seed}/{name}".encode(errors="surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") / 2**64

    draws = {name: draw(name) for name in names}
    order = sorted(names, key=lambda name: draws[name], reverse=True)
    if len(names) == 2:
        return {order[0]: ("train",), order[1]: ("validation", "test")}
    groups: dict[str, list[str]] = {split: [] for split in SPLITS}
    for name in order:
        held = "validation" if draws[name] < held_out else "test"
        groups["train" if draws[name] >= 2 * held_out else held].append(name)
    for split in SPLITS:
        if not groups[split]:
            largest = max(SPLITS, key=lambda other: len(groups[other]))
            groups[split].append(groups[largest].pop())
    return {name: (split,) for split, members in groups.items() for name in members}
