"""A data set that `vgm prepare` wrote, where a folder of videos is expected."""

import filecmp
import json
import os
from pathlib import Path

from vgm_jax.data.sources.tfds import Tfds

# How a data set was split, in its description.
BY_VIDEO = "split by video"
BY_GROUP = "split by group"


def is_prepared(path: str | os.PathLike) -> bool:
    """Whether a folder is a data set of TFDS."""
    return bool(str(path)) and (Path(path).expanduser() / "dataset_info.json").is_file()


def open_prepared(
    path: str | os.PathLike,
    split: str | None = None,
    *,
    size: int | None = None,
    frames: int = 16,
    fps: float | None = None,
    labels: bool = False,
    audio: bool = False,
    groups: bool = False,
) -> Tfds:
    """The clips of a prepared data set, resized and resampled as `Folder` would; arguments are those of it.

    Its splits, rates and classes were settled when it was prepared. Raises ValueError where its clips are
    shorter than is asked for, saying how long they are, where there are no labels or no sound, and, with
    `groups`, where its splits are not by group.
    """
    split = None if split == "all" else split
    source = Tfds(
        path,
        split or "test",
        size=size,
        frames=frames,
        fps=fps,
        label="label" if labels else "",
        audio="audio" if audio else "",
        **({} if split else {"test": _all(Path(path).expanduser())}),
    )
    if groups and BY_GROUP not in source.about:
        raise ValueError(
            f"{path}: data.folder.groups=True, but it was not split by group: run vgm prepare again, "
            "with --groups (and --classes for CLASS/GROUP/film), on two groups or more"
        )
    if labels and not source.features["label"]:
        raise ValueError(
            f"{path}: data.folder.labels=True, but not all of its videos were in class folders, or all were "
            "in one: CLASS/film, or, by vgm prepare --groups --classes, CLASS/GROUP/film"
        )
    source.check()
    return source


def _all(folder: Path) -> str:
    """All clips, as TFDS asks for them, and each once: of few videos one split may stand for another."""
    files: dict[str, list[Path]] = {}
    for split in json.loads((folder / "dataset_info.json").read_text())["splits"]:
        own = sorted(folder.glob(f"*-{split['name']}.*"))
        if not own or not any(_same(own, others) for others in files.values()):
            files[split["name"]] = own
    return "+".join(files)


def _same(own: list[Path], others: list[Path]) -> bool:
    pairs = zip(own, others, strict=False)
    return len(own) == len(others) and all(filecmp.cmp(a, b, shallow=False) for a, b in pairs)
