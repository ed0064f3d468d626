"""What all data sets share: splits, the TFDS directory, the contact sheet."""

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vgm_jax.preparation.dataset import describe

SPLITS = ("train", "validation", "test")
SHARD = 2000  # clips a file
LARGEST = 300_000  # bytes of a contact sheet
HELD_OUT = 0.1  # of what is split, for validation, and as much for test


def split_of(name: str) -> str:
    """The split of everything that bears `name`: by its hash, so that it depends on nothing else."""
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return "test" if share < HELD_OUT else "validation" if share < 2 * HELD_OUT else "train"


def clip_features(frames: int, size: int, channels: int = 3) -> dict[str, Any]:
    """TFDS features of a clip: video uint8 [T S S C] and times float32 [T], seconds from its start."""
    from tensorflow_datasets import features

    return {
        "video": features.Tensor(shape=(frames, size, size, channels), dtype=np.uint8, encoding="bytes"),
        "times": features.Tensor(shape=(frames,), dtype=np.float32),
    }


def write(
    out: Path,
    called: str,
    features: Mapping[str, Any],
    splits: Mapping[str, Iterable[Mapping[str, Any]]],
    *,
    description: str,
    licence: str,
) -> dict[str, int]:
    """Writes a TFDS directory of array_record files, examples in order; returns how many a split.

    `called`: the data set's name. `out` is there only when it is whole. Same examples, same bytes. Not
    through a builder of TFDS, which needs TensorFlow from a gigabyte on.
    """
    from tensorflow_datasets.core.features import FeaturesDict

    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    described = FeaturesDict(dict(features))
    lengths = {split: _write_shards(part, split, described, rows) for split, rows in splits.items()}
    for split, counts in lengths.items():
        for i in range(len(counts)):
            name = f"{called}-{split}.array_record-{i:05d}-of-{len(counts):05d}"
            os.replace(part / f"{split}-{i}", part / name)
    describe(part, called, described, lengths, description=description, licence=licence)
    os.replace(part, out)
    return {split: sum(counts) for split, counts in lengths.items()}


def _write_shards(
    folder: Path, split: str, features: Any, examples: Iterable[Mapping[str, Any]]
) -> list[int]:
    """Writes `folder`/`split`-0, -1, ..., of `SHARD` examples; returns how many are in each."""
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.core.example_serializer import ExampleSerializer

    serializer = ExampleSerializer(features.get_serialized_info())
    lengths: list[int] = []
    writer = None
    for i, example in enumerate(examples):
        if i % SHARD == 0:
            if writer:
                writer.close()
            writer = ArrayRecordWriter(str(folder / f"{split}-{len(lengths)}"), "group_size:1")
            lengths.append(0)
        proto = serializer.get_tf_example(features.encode_example(example))
        writer.write(proto.SerializeToString(deterministic=True))  # a map has no order of its own
        lengths[-1] += 1
    if writer:
        writer.close()
    return lengths


def even(count: int, wanted: int) -> list[int]:
    """`wanted` of `count` indices, evenly spaced."""
    return np.linspace(0, count - 1, min(count, wanted)).round().astype(int).tolist()


def contact_sheet(
    path: Path, clips: np.ndarray, texts: Sequence[str], frames: int = 8, columns: int = 2
) -> None:
    """Writes a png: clips uint8 [N T H W 3] as rows of `frames` frames, first to last, in `columns`.

    Above each its text. A png over `LARGEST` is written again with 256 colours.
    """
    font, line, gap = ImageFont.load_default(size=11), 15, 8
    clips = clips[:, even(clips.shape[1], frames)]
    n, count, height, width, _ = clips.shape
    rows, row = -(-n // columns), count * (width + 1) + gap
    sheet = Image.new("RGB", (columns * row - gap, rows * (height + line)), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (clip, text) in enumerate(zip(clips, texts, strict=True)):
        x, y = i % columns * row, i // columns * (height + line)
        draw.text((x + 2, y + 1), text, "black", font)
        for t, frame in enumerate(clip):
            sheet.paste(Image.fromarray(frame), (x + t * (width + 1), y + line))
    sheet.save(path, optimize=True)
    if path.stat().st_size > LARGEST:
        sheet.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def disk(folder: Path) -> float:
    """Megabytes of the files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
