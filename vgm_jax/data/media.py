"""Encoding of clips into files that a person can open: mp4, gif, png.

Videos are encoded by PyAV, which exposes the encoder's quality settings (imageio's plugin does not), still
pictures by imageio. Every file is written under a hidden temporary name beside its target and renamed when it
is complete.
"""

import contextlib
import math
import os
import uuid
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import imageio.v3 as iio
import numpy as np
from av.video.reformatter import VideoReformatter

from vgm_jax.data._gif import GifEncoder, enlarge
from vgm_jax.types import AUDIO_RATE, Media

# suffix -> (codec, codec options, container options). The crf values are close to visually lossless.
_CODECS = {
    ".mp4": ("libx264", {"crf": "16"}, {"movflags": "+faststart"}),
    ".mov": ("libx264", {"crf": "16"}, {"movflags": "+faststart"}),
    ".mkv": ("libx264", {"crf": "16"}, {}),
    ".webm": ("libvpx-vp9", {"crf": "20", "b": "0", "cpu-used": "4", "row-mt": "1"}, {}),
}
VIDEO_SUFFIXES = (*_CODECS, ".gif")
LARGEST = 16384  # pixels a side of a film that is enlarged: what H.264 encoders take
_VISIBLE = 96  # pixels: shorter clips are enlarged in `write_media`


# ---------------------------------------------------------------------------------------------------------- #
# Layout
# ---------------------------------------------------------------------------------------------------------- #


def grid(videos: np.ndarray, columns: int | None = None, padding: int = 2) -> np.ndarray:
    """Clips side by side, row by row, `padding` white pixels between them.

    Args:
        videos: uint8 [N T H W C] with C = 1 (grey) or 3 (RGB).
        columns: clips a row; by default as many as make the picture nearly square.

    Returns:
        uint8 [T H' W' 3], H' = rows * H + (rows - 1) * padding, W' likewise. Cells without a clip are white.

    Raises:
        ValueError: `videos` has another dtype or shape, or holds no clip; `columns` < 1; `padding` < 0.
    """
    videos = _check_videos(videos)
    n, t, h, w, _ = videos.shape
    if columns is None:
        columns = min(n, math.ceil(math.sqrt(n * h / w)))
    if columns < 1 or padding < 0:
        raise ValueError(f"expected columns >= 1 and padding >= 0, got columns={columns}, padding={padding}")
    rows = math.ceil(n / columns)
    out = np.full((t, rows * (h + padding), columns * (w + padding), 3), 255, np.uint8)
    for i, clip in enumerate(videos):
        y, x = i // columns * (h + padding), i % columns * (w + padding)
        out[:, y : y + h, x : x + w] = clip  # grey broadcasts to RGB
    return out[:, : out.shape[1] - padding, : out.shape[2] - padding]


def strip(videos: np.ndarray, frames: int = 8, scale: int = 1) -> np.ndarray:
    """A still picture of clips: a row a clip, evenly spaced times from first to last as columns.

    Args:
        videos: uint8 [N T H W C] with C = 1 or 3.
        frames: number of columns; T where the clips are shorter.
        scale: integer nearest-neighbour enlargement.

    Returns:
        uint8 [N * H * scale, min(frames, T) * W * scale, 3].

    Raises:
        ValueError: `videos` has another dtype or shape, or is empty; `frames` < 1; `scale` < 1.
    """
    videos = _check_videos(videos)
    n, t, h, w, _ = videos.shape
    if frames < 1:
        raise ValueError(f"expected frames >= 1, got {frames}")
    times = np.linspace(0, t - 1, min(frames, t)).round().astype(int)
    picture = videos[:, times].transpose(0, 2, 1, 3, 4).reshape(n * h, len(times) * w, -1)
    return enlarge(_to_rgb(picture), _check_scale(scale))


# ---------------------------------------------------------------------------------------------------------- #
# Video files
# ---------------------------------------------------------------------------------------------------------- #


class VideoWriter:
    """Writes a video frame by frame; memory does not grow with the number of frames.

    The suffix decides: .mp4, .mov, .mkv (H.264, yuv420p, plays in browsers), .webm (VP9) or .gif (one palette
    for the whole clip, loops for ever). Odd sizes are padded to even by repeating the last row and column,
    except in a gif, which keeps its size. Sound is written beside it, as far as there are frames; a gif has
    none.

    A gif counts time in centiseconds: each frame's start is rounded, so the total duration is right to 5 ms.
    Above 50 frames a second a gif is slowed down to 50, since browsers do not show shorter delays. Its
    palette depends on all frames, so they wait, raw, in an unnamed temporary file in the target's folder.

    The file appears under its name, complete, when the `with` block ends. If the block raises, nothing is
    left behind and an earlier file of that name stays as it was.

        with VideoWriter("clip.mp4", fps=8) as writer:
            for frame in frames:
                writer.write(frame)

    Args:
        path: target; missing parent folders are created.
        fps: frames a second, any positive number.
        scale: integer nearest-neighbour enlargement.
        sound: float32 [S] in [-1, 1], mono, 16 kHz, from the first frame on.

    Raises:
        ValueError: another suffix; fps or scale out of range; at the block's end, if no frame was written.
        OSError: on entering or leaving, naming `path`, if it cannot be written.
    """

    def __init__(self, path: str | os.PathLike, fps: float, scale: int = 1, sound: np.ndarray | None = None):
        self.path = Path(path)
        self.frames, self._sound = 0, sound
        if self.path.suffix.lower() not in VIDEO_SUFFIXES:
            raise ValueError(f"{path}: expected a suffix among {', '.join(VIDEO_SUFFIXES)}")
        if not (math.isfinite(fps) and fps > 0):
            raise ValueError(f"{path}: expected a positive fps, got {fps}")
        self._fps = Fraction(fps).limit_denominator(65535)
        if not self._fps:
            raise ValueError(f"{path}: fps {fps} is too small")
        self._scale = _check_scale(scale)
        self._shape: tuple[int, ...] | None = None
        self._encoder: _StreamEncoder | GifEncoder | None = None

    def __enter__(self) -> "VideoWriter":
        self._temporary = _temporary_beside(self.path)
        return self

    def write(self, frame: np.ndarray) -> None:
        """Adds one frame, uint8 [H W C] with C = 1 or 3; all frames of a file have one shape.

        Raises:
            ValueError: another dtype or shape. The file can then still be continued.
            OSError: naming the path, if the disk refuses.
        """
        frame = np.asarray(frame)
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] not in (1, 3) or 0 in frame.shape:
            raise ValueError(
                f"{self.path}: expected frames uint8 [H W C] with C = 1 or 3, got {frame.dtype} {frame.shape}"
            )
        if self._shape not in (None, frame.shape):
            raise ValueError(
                f"{self.path}: expected frames of shape {self._shape}, as the first, got {frame.shape}"
            )
        if self._scale > 1 and self._scale * max(frame.shape[:2]) > LARGEST:
            raise ValueError(
                f"{self.path}: {self._scale} times {frame.shape[1]} x {frame.shape[0]} pixels is more than "
                f"{LARGEST} a side"
            )
        self._shape = frame.shape
        with _naming(self.path):
            if self._encoder is None:
                if self.path.suffix.lower() == ".gif":
                    self._encoder = GifEncoder(self._temporary, self._fps, self._scale)
                else:
                    self._encoder = _StreamEncoder(self._temporary, self._fps, self._scale, self._sound)
            self._encoder.write(_to_rgb(frame))
        self.frames += 1

    def __exit__(self, kind, *_) -> None:
        try:
            if kind is None:
                if self._encoder is None:
                    raise ValueError(f"{self.path}: no frame was written")
                with _naming(self.path):
                    self._encoder.finish()
                    os.replace(self._temporary, self.path)
        finally:
            if self._encoder is not None:
                self._encoder.close()
                self._encoder = None  # ends its threads
            self._temporary.unlink(missing_ok=True)


class _StreamEncoder:
    """H.264 or VP9 by suffix, and AAC or Opus where there is sound."""

    def __init__(self, path: Path, fps: Fraction, scale: int, sound: np.ndarray | None):
        self.path, self.fps, self.scale, self.sound = path, fps, scale, sound
        self.heard = 0  # samples that were written
        self.container = None
        self.count = 0

    def open(self, height: int, width: int) -> None:
        codec, codec_options, container_options = _CODECS[self.path.suffix.lower()]
        self.container = av.open(str(self.path), "w", container_options=container_options)
        self.stream = self.container.add_stream(codec, rate=self.fps, options=codec_options)
        self.stream.width, self.stream.height, self.stream.pix_fmt = width, height, "yuv420p"
        context = self.stream.codec_context
        context.time_base = 1 / self.fps
        # Players guess what is not said. BT.601 is what decoders that ignore the tag assume at these sizes.
        context.colorspace, context.color_range = 6, 1  # SMPTE 170M matrix, limited range
        context.color_primaries, context.color_trc = 1, 13  # BT.709, sRGB
        if self.sound is not None:
            codec = "libopus" if self.path.suffix.lower() == ".webm" else "aac"
            self.audio = self.container.add_stream(codec, rate=AUDIO_RATE)
            self.audio.layout = "mono"
        # One of our own: PyAV's default one keeps worker threads alive, across which a later fork can hang.
        self.reformatter = VideoReformatter()

    def write(self, frame: np.ndarray) -> None:
        frame = enlarge(frame, self.scale)
        h, w = frame.shape[:2]
        frame = np.pad(frame, ((0, h % 2), (0, w % 2), (0, 0)), mode="edge")
        if self.container is None:
            self.open(*frame.shape[:2])
        picture = self.reformatter.reformat(
            av.VideoFrame.from_ndarray(frame, format="rgb24"),
            format="yuv420p",
            dst_colorspace=av.video.reformatter.Colorspace.ITU601,
            dst_color_range=av.video.reformatter.ColorRange.MPEG,
        )
        picture.pts, picture.time_base = self.count, 1 / self.fps
        self.count += 1
        self.container.mux(self.stream.encode(picture))
        if self.sound is not None:
            self.hear(round(self.count / self.fps * AUDIO_RATE))

    def hear(self, until: int) -> None:
        """Writes the sound up to that sample."""
        part = np.ascontiguousarray(self.sound[self.heard : until], np.float32)
        if len(part):
            piece = av.AudioFrame.from_ndarray(part[None], format="fltp", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = AUDIO_RATE, self.heard, Fraction(1, AUDIO_RATE)
            self.container.mux(self.audio.encode(piece))
            self.heard += len(part)

    def finish(self) -> None:
        self.container.mux(self.stream.encode())
        if self.sound is not None:
            self.container.mux(self.audio.encode())
        self.container.close()

    def close(self) -> None:
        if self.container is not None:
            with contextlib.suppress(OSError):  # already reported, or the file is given up
                self.container.close()


def write_video(path: str | os.PathLike, frames: Iterable[np.ndarray], fps: float, scale: int = 1) -> int:
    """Writes frames, uint8 [H W C] each, as they come from the iterable; returns how many.

    Formats, rounding and errors are those of `VideoWriter`.
    """
    with VideoWriter(path, fps, scale) as writer:
        for frame in frames:
            writer.write(frame)
    return writer.frames


# ---------------------------------------------------------------------------------------------------------- #
# Pictures, and everything at once
# ---------------------------------------------------------------------------------------------------------- #


def write_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Writes uint8 [H W C], C = 1 or 3, as a png.

    Raises:
        ValueError: another suffix, dtype or shape.
        OSError: naming `path`, if it cannot be written.
    """
    path, image = Path(path), np.asarray(image)
    if path.suffix.lower() != ".png":
        raise ValueError(f"{path}: expected the suffix .png")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3) or 0 in image.shape:
        raise ValueError(f"{path}: expected uint8 [H W C] with C = 1 or 3, got {image.dtype} {image.shape}")
    data = iio.imwrite("<bytes>", _to_rgb(image), extension=".png", plugin="pillow")
    temporary = _temporary_beside(path)
    try:
        with _naming(path):
            temporary.write_bytes(data)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_media(
    directory: str | os.PathLike, name: str, media: Media, scale: int | None = None
) -> list[Path]:
    """Writes `{name}.mp4` and `{name}.gif`, all clips in a grid, and `{name}.png`, a strip of frames.

    Args:
        directory: created where missing.
        media: clips, uint8 [N T H W C]; their sound is not written.
        scale: integer enlargement; by default the least that makes a clip's short side at least 96 pixels.

    Returns:
        The three paths, in that order. Errors are those of `VideoWriter` and `grid`.
    """
    directory = Path(directory)
    videos = _check_videos(media.video)
    if scale is None:
        scale = math.ceil(_VISIBLE / min(videos.shape[2:4]))
    paths = [directory / f"{name}{suffix}" for suffix in (".mp4", ".gif", ".png")]
    frames = grid(videos)
    for path in paths[:2]:
        write_video(path, frames, media.fps, scale)
    write_image(paths[2], strip(videos, scale=scale))
    return paths


# ---------------------------------------------------------------------------------------------------------- #
# Helpers
# ---------------------------------------------------------------------------------------------------------- #


def _check_videos(videos: np.ndarray) -> np.ndarray:
    videos = np.asarray(videos)
    if videos.dtype != np.uint8 or videos.ndim != 5 or videos.shape[-1] not in (1, 3) or 0 in videos.shape:
        raise ValueError(
            f"expected videos uint8 [N T H W C] with C = 1 or 3, got {videos.dtype} {videos.shape}"
        )
    return videos


def _check_scale(scale: int) -> int:
    if scale != int(scale) or scale < 1:
        raise ValueError(f"expected an integer scale >= 1, got {scale}")
    return int(scale)


def _to_rgb(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Makes an OSError name the file that the user asked for instead of a temporary one, or none."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"cannot write: {error.strerror or error}", str(path)) from error


def _temporary_beside(path: Path) -> Path:
    """A new, empty, hidden file with the suffix of `path`, in its folder."""
    temporary = path.parent.absolute() / f".{uuid.uuid4().hex}{path.suffix}"
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    return temporary
