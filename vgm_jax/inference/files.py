"""From a model to files, and to other programs."""

import io
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import jax
import numpy as np
from PIL import Image

from vgm_jax.data.files import keep_apart
from vgm_jax.data.media import VideoWriter, grid
from vgm_jax.inference.checks import check_guided
from vgm_jax.inference.generator import FrameStream, GeneratorModel
from vgm_jax.inference.playing import PlayModel, PlayStream
from vgm_jax.types import AUDIO_RATE

SHOWN_FRAMES = 16  # the shortest clip that is written by default, where the generator can make it
SHOWN_SIDE = 128  # pixels; smaller frames are enlarged by a whole number in files that people look at
FORMS = ("mjpeg", "raw")  # of a stream to another program: JPEGs one after another; RGB, 8 bits
QUALITY = 92  # of JPEGs


def grid_frames(
    model: GeneratorModel | PlayModel,
    key: jax.Array | int,
    n: int,
    frames: int | None,
    fps: float | None,
    truncation: float = 1.0,
    **conditions: Any,
) -> Iterator[np.ndarray]:
    """The frames of a grid of `n` clips, uint8 [H W 3], one by one: memory does not grow with the length."""
    lists = [x for x in ("text", "label") if np.ndim(conditions.get(x))]
    for name in lists:
        if len(conditions[name]) != n:
            raise ValueError(f"{len(conditions[name])} {name}s were given for {n} clips")
    each = [conditions | {name: conditions[name][index] for name in lists} for index in range(n)]
    streams = [model.stream(key, i, frames, fps, truncation, **asked) for i, asked in enumerate(each)]
    for at_once in zip(*streams, strict=True):
        yield grid(np.stack(at_once)[:, None])[0]


def sample_file(
    model: GeneratorModel | PlayModel,
    path: str | os.PathLike,
    key: jax.Array | int = 0,
    n: int = 1,
    frames: int | None = None,
    fps: float | None = None,
    scale: int | None = None,
    truncation: float = 1.0,
    **conditions: Any,
) -> Path:
    """Writes `n` samples to a video file, as a grid where there are several.

    The length defaults to that of training, but at least 16 frames; with `audio`, to that of the sound, which
    is then the video's, too, with `video` to a training clip more than that, and with `actions` to a frame
    for each after the first. `scale` enlarges by a whole number; by default small frames are, for the eye.
    Conditions, and errors, as of `model.sample`, and those of `VideoWriter`.
    """
    if n < 1:
        raise ValueError(f"n={n} must be positive")
    conditions = {name: x for name, x in conditions.items() if x is not None}
    check_guided(conditions.get("guidance"), conditions)
    path = Path(path)
    keep_apart(path, *read_by(conditions))
    conditions, sound = heard(model, conditions, frames, fps)
    if sound is not None:
        pass  # as long as that
    elif frames is None and conditions.get("actions") is not None:
        frames = 1 + len(conditions["actions"])
    elif frames is None and "video" not in conditions:
        frames = model.frames if model.max_seconds is not None else max(model.frames, SHOWN_FRAMES)
    images = grid_frames(model, key, n, frames, fps, truncation, **conditions)
    first = next(images)
    if scale is None:
        scale = max(1, -(-SHOWN_SIDE // min(first.shape[:2])))
    with VideoWriter(path, fps or model.fps, scale=scale, sound=sound) as writer:
        writer.write(first)
        for image in images:
            writer.write(image)
    return path


def read_by(conditions: Mapping[str, Any]) -> list[Any]:
    """Of conditions what may be files."""
    names = ("image", "last_image", "video", "audio")
    return [conditions.get(name) for name in names] + list((conditions.get("pictures") or {}).values())


def heard(
    model: GeneratorModel | PlayModel, conditions: Mapping[str, Any], frames: int | None, fps: float | None
) -> tuple[dict[str, Any], np.ndarray | None]:
    """Conditions with their sound read; and that as a file is to have it, float32 [S], as long as the video.

    None without one, or where the model cannot follow it. Raises as `model.sample`.
    """
    if "audio" not in conditions or "audio" not in model.conditions:
        return dict(conditions), None
    seconds = None if frames is None else frames / (fps or model.fps)
    if seconds is not None and not 0 < seconds < math.inf:
        raise ValueError(f"frames={frames}, fps={fps}: both must be positive, and finite")
    sound = model.hear(conditions["audio"], frames, fps)
    return {**conditions, "audio": sound}, sound[: None if seconds is None else round(AUDIO_RATE * seconds)]


def send(
    stream: FrameStream | PlayStream, out: BinaryIO, form: str, scale: int = 1, pace: float | None = None
) -> Iterator[int]:
    """Writes frames to an open file, such as standard output, and after each yields how many there were.

    Args:
      form: one of `FORMS`.
      scale: enlarges by a whole number.
      pace: frames a second at which they are sent, at most; None: as fast as they come.

    Raises ValueError for another form; OSError as writing does, BrokenPipeError where nobody reads any more.
    """
    if form not in FORMS:
        raise ValueError(f"form={form!r} is unknown; choose one of {', '.join(FORMS)}")
    due = -math.inf  # of the next frame; what came late is not caught up with
    for count, frame in enumerate(stream):
        if pace:
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due, time.monotonic()) + 1 / pace
        frame = frame.repeat(scale, 0).repeat(scale, 1)
        if form == "mjpeg":
            file = io.BytesIO()
            Image.fromarray(frame).save(file, "JPEG", quality=QUALITY)
            out.write(file.getvalue())
        else:
            out.write(frame.tobytes())
        out.flush()
        yield count + 1
