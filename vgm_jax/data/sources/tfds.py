"""Any TensorFlow Datasets (TFDS) data set of videos that is stored as array_record; without TensorFlow.

https://www.tensorflow.org/datasets/tfless_tfds. TFDS reads array_record by index and without TensorFlow, but
for one line: its features `Video` and `Audio` ask TensorFlow what "uint8" is. NumPy is made to answer here.
"""

import contextlib
import functools
import io
import operator
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

from vgm_jax.data import decode
from vgm_jax.data._pixels import Look
from vgm_jax.data._stills import BAD_PICTURE
from vgm_jax.data.audio import SAMPLE_RATE
from vgm_jax.data.sources._clips import files_hash

SPLITS = ("train", "validation", "test")
_OPTIONAL = ("label", "caption", "times")  # features that may be absent under these, their default names
_WARNED = 5  # skipped examples that each have a warning
_TRIED = 64  # examples of which one must give a clip
# What features must be: in words, and by the number of axes and the kinds of their dtype.
_FORMS = {"label": ("a whole number", 0, "biu"), "caption": ("a text", 0, "OSU")}
_FORMS |= {"times": ("float [T]", 1, "f")}


class _TooShortError(ValueError):
    """An example that is shorter than a clip."""


class Tfds:
    """A random access source of one clip an example: its first `frames` frames at `fps`.

    Made by `vgm prepare`, by `tfds build NAME --file_format=array_record`, or by a script of one's own. The
    video is a feature `Video`, a `Sequence` of `Image`, or a `Tensor` uint8 [T H W C]. An example that is too
    short or damaged is listed in `rejected` when it is come upon, and the next one stands in for it; the
    first few are warned of.

    Args:
      path: the directory that holds dataset_info.json; with `name`, TFDS's data_dir, "" being its default.
      split: "train", "validation" or "test".
      size: height and width in pixels, by `decode.RESIZE`; None: as they are.
      frames: per clip, at least 1.
      fps: frames per second; None or 0: all frames as they are.
      name: of the data set, as `tfds.builder` takes it, with a config or a version if need be.
      train, validation, test: what TFDS calls the splits, or parts of them such as "train[:90%]".
      video, label, caption, times: names of the features; "": there is none. Of the last three the default
        names may be absent. label: a whole number; caption: a text; times: float [T], seconds.
      audio: name of the feature with the sound: int16 or float [S] (or [S 1]), mono, 16 kHz, from the clip's
        first frame on; "": items have none. Needs fps.
      rate: frames a second of the stored videos where they have no times; 0: they are at `fps` (or 1).

    Raises:
      FileNotFoundError: there is no such data set.
      ValueError: an unknown split or feature, one of another form, or files that are not array_record.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        split: str = "train",
        *,
        size: int | None = None,
        frames: int = 16,
        fps: float | None = None,
        name: str = "",
        train: str = "train",
        validation: str = "validation",
        test: str = "test",
        video: str = "video",
        label: str = "label",
        caption: str = "caption",
        times: str = "times",
        audio: str = "",
        rate: float = 0.0,
    ):
        if split not in SPLITS:
            raise ValueError(f"tfds: the splits are {', '.join(SPLITS)}; got {split!r}")
        if not str(path) and not name:
            raise ValueError(
                "give a directory of TFDS, --config.data.path=DIR, or a name, --config.data.tfds.name=NAME"
            )
        self.path = Path(path).expanduser() if str(path) else None
        self.split, self.part, self.name = (
            split,
            {"train": train, "validation": validation}.get(split, test),
            name,
        )
        self.size, self.frames, self.fps = size or None, operator.index(frames), float(fps or 0.0)
        self.rate = float(rate)
        if self.frames < 1 or not 0 <= self.fps < float("inf") or (size or 1) < 1 or not self.rate >= 0:
            raise ValueError(
                f"tfds: expected size and frames >= 1, fps and rate >= 0; "
                f"got size={size}, frames={frames}, fps={fps}, rate={rate}"
            )
        if audio and not self.fps:
            raise ValueError(f"tfds: with audio, all clips must last as long: give fps, got {fps}")
        builder = self._builder
        self._where = str(builder.data_dir)
        names = {"video": video, "label": label, "caption": caption, "times": times}
        self.features = self._find_features(names | ({"audio": audio} if audio else {}))
        of_label = builder.info.features[self.features["label"]] if self.features["label"] else None
        self._names = tuple(getattr(of_label, "names", None) or ())
        self.full_name = builder.info.full_name
        self.rejected: list[tuple[str, str]] = []
        self._skipped: set[str] = set()  # their names
        self._gave = False  # whether an example gave a clip
        self._stand_ins: dict[int, int] = {}
        self._length = len(self._data)

    # ------------------------------------------------------------------ what a user sees
    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in ("size", "frames", "fps", "rate"))
        return f"Tfds({self.full_name!r}, {self.part!r}, {shown})"

    def class_names(self) -> tuple[str, ...]:
        """Names of the values of "label"; none where the data set has no labels or does not name them."""
        return self._names

    @property
    def num_classes(self) -> int:
        return len(self._names)

    @property
    def about(self) -> str:
        """What the data set says of itself, for people."""
        return self._builder.info.description or ""

    @functools.cached_property
    def description(self) -> dict[str, Any]:
        """Everything that determines the clips, fit for JSON; "sha256" is over the files, read once."""
        info = self._builder.info.splits[self.part]
        files = {Path(path).name: Path(path) for path in info.filepaths}
        settings = ("split", "part", "size", "frames", "fps", "rate", "full_name", "features")
        return (
            {"source": "tfds", "resize": decode.RESIZE if self.size else None}
            | {name: getattr(self, name) for name in settings}
            | {"clips": len(self), "sha256": files_hash(files)}
        )

    def caption(self, index: int) -> str:
        """What the data set says of a clip; "" where it has no captions."""
        index = self._check(index)
        if not self.features["caption"]:
            return ""
        text = self._data[self._stand_ins.get(index, index)][self.features["caption"]]
        return text.decode() if isinstance(text, bytes) else str(text)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """An item: "video" uint8 [T, H, W, 3], "times" float32 [T] from its start and, with labels, "label".

        And "audio" float32 [round(16000 * T / fps)], if asked for.

        Raises:
          IndexError: for an index under 0 or not under `len`.
          ValueError: when no example gives a clip, or none of the first 64 that were tried.
        """
        index = self._check(index)
        for place in ((index + k) % len(self) for k in range(len(self))):
            try:
                item = self._item(self._data[place])
            except (ValueError, OSError) as error:  # Pillow's for what is no picture is an OSError
                self._reject(f"{self.part} {place}", str(error))
                if not self._gave and len(self._skipped) >= _TRIED:
                    break
                continue
            self._gave = True
            if place != index:
                self._stand_ins[index] = place
            return item
        tried = "no example" if len(self._skipped) == len(self) else f"none of {len(self._skipped)} examples"
        raise ValueError(f"{self._where}: {tried} gives a clip; the first: {self.rejected[0]}")

    def check(self) -> None:
        """Raises ValueError where the first whole example is too short for a clip, as all others then are."""
        for place in range(min(len(self), _TRIED)):
            try:
                self._item(self._data[place])
                return
            except _TooShortError as error:
                asked = f"{self.frames} frames" + (f" at {self.fps:g} a second" if self.fps else "")
                raise ValueError(
                    f"{self._where}: no clip of {asked}: example {place} is {error}; set data.frames and "
                    "data.fps as it was made with, or make it anew with others"
                ) from error
            except (ValueError, OSError):
                continue  # a damaged one says nothing of the others

    # ------------------------------------------------------------------ opening
    def __getstate__(self) -> dict[str, Any]:
        # TFDS's own objects would need TensorFlow to be unpickled.
        return {k: v for k, v in vars(self).items() if k not in ("_builder", "_data")}

    @functools.cached_property
    def _builder(self) -> Any:
        import tensorflow_datasets as tfds  # half a second, and only here

        if not self.name and not (self.path / "dataset_info.json").is_file():
            raise FileNotFoundError(
                f"{self.path}: no data set of TFDS: there is no dataset_info.json; is it in a folder below, "
                "such as NAME/1.0.0?"
            )
        with _numpy_types():
            if not self.name:
                return tfds.builder_from_directory(self.path)
            try:
                builder = tfds.builder(self.name, data_dir=self.path)
            except tfds.core.registered.DatasetNotFoundError as error:
                first = str(error).splitlines()[0]
                raise FileNotFoundError(f"data.tfds.name={self.name!r} in {self.path}: {first}") from error
        if not builder.info.splits:
            raise FileNotFoundError(
                f"data.tfds.name={self.name!r}: nothing in {builder.data_dir}; make it there by "
                f"tfds build {self.name} --file_format=array_record"
            )
        return builder

    @functools.cached_property
    def _data(self) -> Any:
        """Random access to the split's examples, their frames still compressed."""
        from tensorflow_datasets import decode as tfds_decode

        class Compressed(tfds_decode.Decoder):
            def decode_example(self, frame):
                return frame

            def decode_batch_example_np(self, frames):
                return frames

        builder, video = self._builder, self.features["video"]
        decoders = {video: Compressed()} if self._compressed else None
        try:
            return builder.as_data_source(self.part, decoders=decoders)
        except NotImplementedError as error:
            raise ValueError(
                f"{self._where}: not stored as array_record, which random access needs: make it anew with "
                "tfds build --file_format=array_record, or change it by tfds convert_format"
            ) from error
        except ValueError as error:
            raise ValueError(
                f"{self._where}: no split {self.part!r}; there are {', '.join(builder.info.splits)}: set "
                f"data.tfds.{self.split}, perhaps to a part such as train[90%:]"
            ) from error

    @property
    def _compressed(self) -> bool:
        from tensorflow_datasets import features

        video = self._builder.info.features[self.features["video"]]
        return isinstance(getattr(video, "feature", None), features.Image)

    def _find_features(self, names: dict[str, str]) -> dict[str, str]:
        features = self._builder.info.features
        for key, name in names.items():
            if name not in features:
                if key in _OPTIONAL and name in (key, ""):
                    names = names | {key: ""}
                    continue
                there = ", ".join(features)
                raise ValueError(
                    f"{self._where}: no feature {name!r}; there are {there}: set data.tfds.{key}"
                )
        shape, dtype = features[names["video"]].shape, features[names["video"]].np_dtype
        if len(shape) != 4 or dtype != np.uint8:
            what = f"expected feature {names['video']} to be uint8 [T H W C]"
            kind = getattr(dtype, "__name__", dtype)
            raise ValueError(f"{self._where}: {what}, it is {kind} {shape}")
        for key, (what, axes, kinds) in _FORMS.items():
            if name := names[key]:
                self._check_form(key, features[name], f"expected feature {name} to be {what}", axes, kinds)
        if "audio" in names:
            self._check_audio(features[names["audio"]], names["audio"])
        return names

    def _check_form(self, key: str, feature: Any, what: str, axes: int, kinds: str) -> None:
        shape, dtype = feature.shape, feature.np_dtype
        if not isinstance(shape, tuple) or len(shape) != axes or np.dtype(dtype).kind not in kinds:
            kind = getattr(dtype, "__name__", dtype)
            raise ValueError(f"{self._where}: {what}, it is {kind} {shape}: set data.tfds.{key}")

    def _check_audio(self, feature: Any, name: str) -> None:
        dtype, shape, rate = feature.np_dtype, feature.shape, getattr(feature, "sample_rate", None)
        sound = np.dtype(dtype) == np.int16 or np.issubdtype(dtype, np.floating)
        if not sound or len(shape) not in (1, 2) or shape[1:] not in ((), (1,)):
            what = f"expected feature {name} to be int16 or float [S]"
            raise ValueError(f"{self._where}: {what}, it is {np.dtype(dtype)} {shape}")
        if rate not in (None, SAMPLE_RATE):
            raise ValueError(f"{self._where}: feature {name} has {rate} samples a second, not {SAMPLE_RATE}")

    # ------------------------------------------------------------------ clips
    def _check(self, index: int) -> int:
        index = operator.index(index)
        if not 0 <= index < len(self):
            raise IndexError(f"{self._where} {self.part}: index {index} is not in 0..{len(self) - 1}")
        return index

    def _reject(self, name: str, why: str) -> None:
        if name in self._skipped:
            return
        self._skipped.add(name)
        self.rejected.append((name, why))
        if len(self._skipped) <= _WARNED:
            more = "; of further ones there is no warning" if len(self._skipped) == _WARNED else ""
            warnings.warn(f"{self._where}: example {name} skipped: {why}{more}", stacklevel=3)

    def _item(self, example: dict[str, Any]) -> dict[str, Any]:
        stored = example[self.features["video"]]
        rate = self.rate or self.fps or 1.0
        came = np.arange(len(stored)) / rate
        if self.features["times"]:
            came = np.asarray(example[self.features["times"]], np.float64)
            if len(came) != len(stored) or (np.diff(came) <= 0).any():
                raise ValueError(f"{len(stored)} frames, but not as many times that increase")
            came = came - came[:1]
        times = np.arange(self.frames) / self.fps if self.fps else came[: self.frames]
        last = np.diff(came)[-1] if len(came) > 1 else 1 / rate  # how long the last frame stays
        if not len(came) or len(times) < self.frames or times[-1] > came[-1] + last - 1e-6:
            seconds = came[-1] + last if len(came) else 0
            raise _TooShortError(f"too short: {len(stored)} frames, {seconds:.3f} s")
        # What is stored as float32 may come a little late.
        shown = np.searchsorted(came, times + 1e-6 * np.maximum(times, 1), side="right") - 1
        look = Look(None if self.size is None else (self.size, self.size))
        pictures = {i: look.of_array(self._picture(stored[i])) for i in set(shown.tolist())}
        item = {"video": np.stack([pictures[i] for i in shown.tolist()]), "times": times.astype(np.float32)}
        if self.features["label"]:
            item["label"] = np.int32(example[self.features["label"]])
        if "audio" in self.features:
            item["audio"] = self._sound(example[self.features["audio"]])
        return item

    def _sound(self, stored: Any) -> np.ndarray:
        """float32 [S] in [-1, 1], as long as a clip: cut, or silent at its end."""
        stored = np.asarray(stored).reshape(-1)
        samples = np.zeros(round(SAMPLE_RATE * self.frames / self.fps), np.float32)
        heard = stored[: len(samples)].astype(np.float32)
        samples[: len(heard)] = heard / 2**15 if stored.dtype == np.int16 else np.nan_to_num(heard)
        return np.clip(samples, -1, 1, out=samples)

    def _picture(self, frame: Any) -> np.ndarray:
        """uint8 [H W C] of a stored frame."""
        if not self._compressed:
            return frame
        try:
            with Image.open(io.BytesIO(frame)) as image:
                return np.asarray(image.convert("RGB"))
        except BAD_PICTURE as error:
            raise ValueError(f"a frame is no picture that can be read ({error})") from error


@contextlib.contextmanager
def _numpy_types() -> Iterator[None]:
    """NumPy in place of TensorFlow, where TFDS's `Video` and `Audio` ask for a dtype."""
    from tensorflow_datasets.core.features import audio_feature, video_feature

    types = SimpleNamespace(dtypes=SimpleNamespace(as_dtype=np.dtype), uint8=np.uint8, uint16=np.uint16)
    with contextlib.ExitStack() as patches:
        for module in (audio_feature, video_feature):
            patches.enter_context(mock.patch.object(module, "tf", types, create=True))
        yield
