"""What all data sets share: splits, the TFDS directory, the contact sheet."""

import contextlib
import hashlib
import io
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SPLITS = ("train", "validation", "test")
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

    `called`: the data set's name. `out` is there only when it is whole. Same examples, same bytes.
    """
    import tensorflow_datasets as tfds

    counts: dict[str, int] = {}

    def generate(split):
        counts[split] = 0
        for i, example in enumerate(splits[split]):
            counts[split] += 1
            yield i, example

    class Clips(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        name = called
        VERSION = tfds.core.Version("1.0.0")
        code_path = None

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                description=description,
                features=tfds.features.FeaturesDict(dict(features)),
                license=licence,
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(split) for split in splits}

        def _generate_examples(self, split):
            yield from generate(split)

    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    tfds.disable_progress_bar()
    builder = Clips(data_dir=part, file_format="array_record")
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare()
    out.parent.mkdir(parents=True, exist_ok=True)
    os.replace(builder.data_dir, out)
    shutil.rmtree(part)
    return counts


def even(count: int, wanted: int) -> list[int]:
    """`wanted` of `count` indices, evenly spaced."""
    return np.linspace(0, count - 1, min(count, wanted)).round().astype(int).tolist()


def contact_sheet(
    path: Path, clips: np.ndarray, texts: Sequence[str], frames: int = 8, columns: int = 2
) -> None:
    """Writes a png: clips uint8 [N T H W 3] as rows of `frames` frames, first to last, in `columns`.

    Above each its text. The png has 256 colours, so that it is small.
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
    sheet.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def disk(folder: Path) -> float:
    """Megabytes of the files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
