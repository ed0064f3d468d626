"""The clips that all contestants train on and are measured against: arrays, one folder a data set."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vgm_jax.data.files import in_one_piece
from vgm_jax.data.sources.arrays import SPLITS, Arrays
from vgm_jax.data.sources.shapeshow import ShapeShow
from vgm_jax.data.sources.tfds import Tfds

FRAMES = 16
COUNTS = {"train": 20_000, "validation": 2048, "test": 2048}  # of ShapeShow, which has no end of clips
FRECHET = "frechet/transnet"
KERNEL = "kernel/efficientnet"


@dataclasses.dataclass(frozen=True)
class Dataset:
    """size in pixels, frames a second, our recipe, and the networks that distances are measured in."""

    size: int
    fps: float
    config: str
    networks: tuple[str, ...] = ("transnet", "efficientnet")


DATASETS = {
    "shapeshow": Dataset(32, 16.0, "configs/base.py", ("transnet", "efficientnet", "oracle")),
    "emoji": Dataset(64, 12.0, "configs/emoji.py"),
    "coinrun": Dataset(64, 15.0, "configs/coinrun.py"),
    "moving_mnist": Dataset(64, 12.0, "configs/moving_mnist.py"),
    "bbb": Dataset(64, 24.0, "configs/bbb.py"),
}


def open_clips(data: Path, name: str, split: str) -> Arrays:
    """The clips of a split. Raises as `Arrays`, saying what is missing."""
    about = DATASETS[name]
    return Arrays(split, path=data / name, size=about.size, frames=FRAMES, fps=about.fps)


def make(name: str, data: Path, prepared: Path | None) -> dict:
    """Writes `data`/`name`/{train,validation,test}.npy, uint8 [N 16 H W 3], and manifest.json; returns that.

    `prepared`: the folder in which experiments/datasets made the data set of that name; ShapeShow needs none.
    Raises FileExistsError where the data set is there, FileNotFoundError without what it is made of.
    """
    folder, about = data / name, DATASETS[name]
    if (folder / "manifest.json").exists():
        raise FileExistsError(f"{folder} is there already; remove it to make it anew")
    if name != "shapeshow" and not (prepared and (prepared / name).is_dir()):
        raise FileNotFoundError(
            f"{name} is made by `python experiments/datasets/run.py {name} --out PREPARED/{name}`; then give "
            f"--prepared PREPARED (got {prepared})"
        )
    folder.mkdir(parents=True, exist_ok=True)
    lengths = {}
    for split in SPLITS:
        file = folder / f"{split}.npy"
        if name == "coinrun":  # it has this form already
            file.unlink(missing_ok=True)
            file.symlink_to((prepared / name / f"{split}.npy").resolve())
            lengths[split] = len(open_clips(data, name, split))
            continue
        if name == "shapeshow":
            source, count = ShapeShow(split, size=about.size, frames=FRAMES, fps=about.fps), COUNTS[split]
        else:
            source = Tfds(prepared / name, split, size=about.size, frames=FRAMES, fps=about.fps)
            count = len(source)
        _write(file, (source[i]["video"] for i in range(count)), count, about.size)
        lengths[split] = count
    manifest = {
        "data set": name,
        "clips": lengths,
        "frames": FRAMES,
        **dataclasses.asdict(about),
        "sha256": {split: _sha256(folder / f"{split}.npy") for split in SPLITS},
    }
    with in_one_piece(folder / "manifest.json") as part:
        part.write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest


def _write(file: Path, clips: Iterator[np.ndarray], count: int, size: int) -> None:
    """One clip after the other: the file may be larger than memory."""
    with in_one_piece(file) as part:
        shape = (count, FRAMES, size, size, 3)
        array = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
        for i, clip in enumerate(clips):
            array[i] = clip
        array.flush()


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
