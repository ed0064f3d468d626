"""A TFDS data set of clips, in array_record files, written without TensorFlow and always with the same bytes.

Features of an example:

| name | what |
|---|---|
| video | uint8 [T S S 3], as bytes |
| times | float32 [T], seconds from the clip's first frame |
| audio | int16 [S], mono 16 kHz, from the first frame on; empty: it has no sound. Only where any has |
| caption | what is said of the clip, or in it |
| label | its class folder. Only where every video is in one |
| source, shot, start | name of its video, index of its shot there, seconds at which it begins there |
| fps | frames a second |
| licence, origin | of its video, as far as known |

Videos are bytes, not a PNG a frame: array_record compresses a clip as a whole. 63 clips 16x64x64 of Big Buck
Bunny took 95 KiB each and 0.34 ms to read, as PNG 118 KiB and 3.7 ms.

Examples are in the order of their videos and of time, not shuffled: a part such as train[:90%] then cuts
between videos, not through them, and reading by index shuffles for nothing.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vgm_jax.preparation.records import Settings, Source
from vgm_jax.preparation.results import Result, Results

NAME, VERSION = "videos", "1.0.0"
SHARD = 256 * 2**20  # bytes of clips in a file, before compression
INFO = "dataset_info.json"


@dataclass(frozen=True)
class Place:
    """A clip of the data set: its source, the key and result of that, and its number there."""

    source: Source
    key: str
    result: Result
    number: int

    @property
    def known(self) -> dict[str, Any]:
        """What is known of it beside its arrays."""
        return self.result["clips"][self.number]

    @property
    def size(self) -> int:
        """Bytes, before compression."""
        return int(np.prod(self.known["shape"])) + 2 * (self.known["audio"] or 0)


@dataclass(frozen=True)
class Schema:
    """What determines the features of a data set."""

    settings: Settings
    audio: bool
    labels: tuple[str, ...]
    division: str  # how it was split, in words

    def features(self) -> Any:
        from tensorflow_datasets import features

        s = self.settings
        shape = (s.frames, s.size, s.size, 3)
        audio = {"audio": features.Tensor(shape=(None,), dtype=np.int16, encoding="bytes")}
        label = {"label": features.ClassLabel(names=list(self.labels))}
        return features.FeaturesDict(
            {
                "video": features.Tensor(shape=shape, dtype=np.uint8, encoding="bytes"),
                "times": features.Tensor(shape=(s.frames,), dtype=np.float32),
                "caption": features.Text(),
                "source": features.Text(),
                "shot": features.Scalar(np.int32),
                "start": features.Scalar(np.float32),
                "fps": features.Scalar(np.float32),
                "licence": features.Text(),
                "origin": features.Text(),
            }
            | (audio if self.audio else {})
            | (label if self.labels else {})
        )


@dataclass(frozen=True)
class Shard:
    """A file of the data set, and the clips in it."""

    split: str
    file: str
    places: tuple[Place, ...]


def plan_shards(splits: Mapping[str, Sequence[Place]], shard_bytes: int = SHARD) -> list[Shard]:
    """The files of each split: its clips in order, at most `shard_bytes` a file, or one clip."""
    shards = []
    for split, places in splits.items():
        files: list[list[Place]] = []
        room = 0
        for place in places:
            if place.size > room or not files:
                files.append([])
                room = shard_bytes
            files[-1].append(place)
            room -= place.size
        for i, members in enumerate(files):
            name = f"{NAME}-{split}.array_record-{i:05d}-of-{len(files):05d}"
            shards.append(Shard(split, name, tuple(members)))
    return shards


def write_shard(shard: Shard, schema: Schema, results: Results, folder: Path) -> None:
    """Writes a file of the data set into `folder`. Raises OSError."""
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.core.example_serializer import ExampleSerializer

    features = schema.features()
    serializer = ExampleSerializer(features.get_serialized_info())
    writer = ArrayRecordWriter(str(folder / shard.file), "group_size:1")
    for start, stop in _runs(shard.places):
        members = shard.places[start:stop]
        arrays = results.clips(members[0].key, [place.number for place in members])
        for place, (video, times, audio) in zip(members, arrays, strict=True):
            example = _example(place, schema, video, times, audio)
            proto = serializer.get_tf_example(features.encode_example(example))
            record = proto.SerializeToString(deterministic=True)  # a map has no order of its own
            writer.write(record)
    writer.close()


def write_description(folder: Path, schema: Schema, shards: Sequence[Shard]) -> None:
    """Writes, beside the shards, what TFDS opens a directory by: dataset_info.json, features.json and others.

    No time and no path of this machine is in them.
    """
    s = schema.settings
    rate = f"{s.fps:g} frames a second" if s.fps else "the frames of their videos"
    text = (
        f"Clips of {s.frames} frames, {s.size} x {s.size}, {rate}, made by vgm prepare: within one shot, "
        "cleaned of black, frozen, blurred and repeated ones, "
        f"{schema.division}. rejected.jsonl lists what was left out, "
        "report.html shows both."
    )
    licences = Counter(place.source.licence for shard in shards for place in shard.places)
    origins = {text_of(place.source.origin) for shard in shards for place in shard.places} - {""}
    under = "; ".join(f"{name or 'not known'} ({count} clips)" for name, count in sorted(licences.items()))
    lengths: dict[str, list[int]] = {}
    for shard in shards:
        lengths.setdefault(shard.split, []).append(len(shard.places))
    describe(
        folder,
        NAME,
        schema.features(),
        lengths,
        description=text,
        licence=text_of(f"Of the clips, each its own in the feature licence: {under}"),
        homepage=origins.pop() if len(origins) == 1 else None,
    )


def describe(
    folder: Path,
    called: str,
    features: Any,
    lengths: Mapping[str, Sequence[int]],
    *,
    description: str,
    licence: str,
    homepage: str | None = None,
) -> None:
    """Writes what TFDS opens a directory by, for files CALLED-SPLIT.array_record-00000-of-00001 in it.

    features: a `FeaturesDict`; lengths: of each split, how many examples each of its files has.
    """
    from tensorflow_datasets.core import dataset_info, file_adapters, splits
    from tensorflow_datasets.core.naming import ShardedFileTemplate
    from tensorflow_datasets.core.utils import Version

    identity = dataset_info.DatasetIdentity(
        name=called, version=Version(VERSION), data_dir=os.fspath(folder), module_name=""
    )
    info = dataset_info.DatasetInfo(
        builder=identity,
        description=description,
        features=features,
        homepage=homepage,
        license=licence,
        disable_shuffling=True,  # their order means something
    )
    info.set_file_format(file_adapters.FileFormat.ARRAY_RECORD)
    template = ShardedFileTemplate(data_dir=folder, dataset_name=called, filetype_suffix="array_record")
    found = []
    for split, counts in lengths.items():
        size = sum(file.stat().st_size for file in folder.glob(f"{called}-{split}.array_record-*"))
        found.append(splits.SplitInfo(split, list(counts), size, template))
    info.set_splits(splits.SplitDict(found))
    info.write_to_directory(folder)


def _runs(places: Sequence[Place]) -> Iterable[tuple[int, int]]:
    """Parts in which one source's clips follow one another."""
    starts = [i for i, place in enumerate(places) if not i or place.key != places[i - 1].key]
    return zip(starts, [*starts[1:], len(places)], strict=True)


def _example(
    place: Place, schema: Schema, video: np.ndarray, times: np.ndarray, audio: np.ndarray
) -> dict[str, Any]:
    known, source = place.known, place.source
    fps = schema.settings.fps
    if not fps and len(times) > 1 and times[-1] > 0:
        fps = (len(times) - 1) / float(times[-1])
    example = {
        "video": video,
        "times": times.astype(np.float32),
        "caption": text_of(known["caption"]),
        "source": text_of(source.name),
        "shot": np.int32(known["shot"]),
        "start": np.float32(known["start"]),
        "fps": np.float32(fps),
        "licence": text_of(source.licence),
        "origin": text_of(source.origin),
    }
    if schema.audio:
        example["audio"] = audio.astype(np.int16)
    if schema.labels:
        example["label"] = schema.labels.index(source.label)
    return example


def text_of(text: str) -> str:
    """A name of a file may hold bytes that are no text."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
