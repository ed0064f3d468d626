"""Finding the videos of a folder, and which split each is in."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from vgm_jax.data import decode
from vgm_jax.data._readers import natural
from vgm_jax.data._stills import is_image, webp_durations
from vgm_jax.data.files import walk

SPLITS = ("train", "validation", "test")
SPLIT_FOLDERS = {"train": "train", "validation": "validation", "val": "validation", "valid": "validation"}
SPLIT_FOLDERS |= {"test": "test", "training": "train", "testing": "test"}
HELD_OUT = 0.1  # of the videos, for validation and again for test


def part_of(name: str) -> str | None:
    """The split that the first folder of a video's name is named after, in any case; or None."""
    return SPLIT_FOLDERS.get(name.split("/")[0].casefold())


def named_splits(names: Iterable[str]) -> set[str]:
    """The splits that folders are named after, of training and another; none where they are not so named."""
    names = list(names)
    folders = {part_of(name) for name in names if "/" in name} - {None}
    return {part_of(name) for name in names} - {None} if "train" in folders and len(folders) > 1 else set()


def in_order(names: Iterable[str]) -> list[str]:
    """Names of classes in natural order, which numbers their labels."""
    return sorted(names, key=lambda name: (natural(name), name))


def find_videos(path: Path, unread: list[tuple[str, str]] | None = None) -> list[tuple[str, Path]]:
    """(name, path) of all videos, in natural order.

    Folders below `path` that cannot be read go into `unread`, each with why. Raises FileNotFoundError where
    there is no `path`, and OSError where it is a folder that cannot be read.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder")
    if path.is_file():
        return [(path.name, path)]
    found = []

    def failed(error: OSError) -> None:
        if Path(error.filename) == path:
            raise error
        if unread is not None:
            name = Path(error.filename).relative_to(path).as_posix()
            unread.append((name, f"the folder cannot be read ({error.strerror})"))

    for folder, files in walk(path, failed):
        kinds = {name: _kind(folder / name) for name in files}
        videos = [name for name, kind in kinds.items() if kind == "video"]
        if not videos and "picture" in kinds.values():
            found.append(folder)  # of frames, damaged ones among them
        else:
            found += [folder / name for name, kind in kinds.items() if kind in ("video", "damaged")]
    names = [(p.relative_to(path).as_posix() if p != path else path.name, p) for p in found]
    return sorted(names, key=lambda pair: ([natural(part) for part in pair[0].split("/")], pair[0]))


def _kind(path: Path) -> str:
    """By its name, unless it may be both: "video", "picture", "damaged" where one cannot tell, or ""."""
    suffix = path.suffix.lower()
    if suffix == ".webp":
        try:
            return "video" if webp_durations(path) else "picture"
        except decode.DecodeError:
            return "damaged"
    return "video" if suffix in decode.SUFFIXES else "picture" if is_image(path.name) else ""


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
