"""What `decode` reads pictures with that come one by one: folders of them, arrays, animated webp."""

import functools
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from vgm_jax.data._pixels import Look
from vgm_jax.data._readers import (
    EXACT,
    MOST_PIXELS,
    DecodeError,
    Scan,
    Shown,
    check_pixels,
    check_regular,
    check_stay,
    natural,
    reason,
)

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
BAD_PICTURE = (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, struct.error)


class Stills:
    """Pictures one by one: `load(i)` is uint8 [H W C]; times float64 [N + 1] as in `Scan`, in ticks."""

    has_audio, missing, seekable = False, "", True

    def __init__(
        self, path: Path, times: np.ndarray, load: Callable[[int], np.ndarray], close=None, tick: float = 0.0
    ):
        self.path, self.times, self.load, self._close = path, times, load, close
        self.tick, self.tolerance = tick, max(0.51 * tick, EXACT)  # rounded, a time may be late
        self.seconds = float(times[-1])
        self.rate = (len(times) - 1) / self.seconds
        self.interval = 1 / self.rate

    def close(self) -> None:
        if self._close is not None:
            self._close()

    def scan(self, limit: int | None = None) -> Scan:
        return Scan(self.times, *self.load(0).shape[:2], True)

    def shown(self, start: float = 0.0) -> Iterator[Shown]:
        first = max(int(np.searchsorted(self.times[:-1], start, side="right")) - 1, 0)
        for i in range(first, len(self.times) - 1):
            last = i == len(self.times) - 2
            yield Shown(self.times[i], self.times[i + 1], last, functools.partial(self._picture, i))

    def key_frames(self, count: int) -> Iterator[Callable[[Look], np.ndarray]]:
        """At most `count` pictures, from all over."""
        n = len(self.times) - 1
        for i in sorted({k * n // count for k in range(count)}):
            yield functools.partial(self._picture, i)

    def _picture(self, i: int, look: Look) -> np.ndarray:
        return look.of_array(self.load(i))


def frame_folder(path: Path, rate: float) -> Stills:
    """The pictures of a folder, in natural order of their names."""
    names = sorted(
        (name for name in os.listdir(path) if is_image(name)), key=lambda name: (natural(name), name)
    )
    if not names:
        raise DecodeError(path, f"the folder holds no {', '.join(IMAGE_SUFFIXES)} picture")

    return Stills(path, np.arange(len(names) + 1) / rate, lambda i: picture(path / names[i]))


def picture(path: Path) -> np.ndarray:
    """A picture as it is meant to be seen, upright: uint8 [H W C], C = 1 (grey), 3 (RGB) or 4 (RGBA).

    Raises DecodeError where it cannot be read, or is too large.
    """
    with _open_picture(path) as image:
        try:
            return _image_pixels(ImageOps.exif_transpose(image))
        except BAD_PICTURE as error:
            raise DecodeError(path, f"not a picture that can be read ({error})") from None


def _open_picture(path: Path, formats: list[str] | None = None) -> Image.Image:
    check_regular(path)
    try:
        image = Image.open(path, formats=formats)
    except _BOMBS:
        raise DecodeError(path, f"at most {MOST_PIXELS} pixels are expected, it claims more") from None
    except BAD_PICTURE as error:
        raise DecodeError(path, f"not a picture that can be read ({error})") from None
    try:
        check_pixels(path, *image.size)
    except DecodeError:
        image.close()
        raise
    return image


def is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def array_file(path: Path, rate: float, item: int | None) -> Stills:
    """An .npy file uint8 [T H W C], or clip `item` of one that is uint8 [N T H W C]."""
    array = open_array(path)
    if (array.ndim == 5) != (item is not None):
        raise DecodeError(path, f"it holds {'many clips' if item is None else 'one clip'}: {array.shape}")
    clip = array if item is None else array[item]
    return Stills(path, np.arange(len(clip) + 1) / rate, lambda i: np.asarray(clip[i]))


def map_array(path: Path) -> np.ndarray:
    """An .npy file, mapped and not read. Raises as `np.load`."""
    for _ in range(9):
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except SystemError:
            # CPython 3.11 may fail to parse the header while another thread collects garbage.
            continue
    return np.load(path, mmap_mode="r", allow_pickle=False)


def open_array(path: Path) -> np.ndarray:
    """uint8 [T H W C] or [N T H W C], mapped and not read. DecodeError says what else it is."""
    try:
        array = map_array(path)
    except (
        Exception
    ) as error:  # its header is a piece of Python: damaged, it raises what Python's parser does
        raise DecodeError(path, f"not an array that can be read ({error})") from None
    expected = "expected uint8 [T H W 3] or [N T H W 3], values 0..255"
    if array.dtype != np.uint8:
        numbers = array.dtype.kind in "fiub" and array.ndim > 0
        sample = np.asarray(array[:1]) if numbers else np.zeros(0)
        found = f"values {sample.min():g}..{sample.max():g}" if sample.size else "no pictures"
        hint = ""
        if array.dtype.kind == "f":
            hint = (
                ": multiply by 255, round and convert" if sample.size and sample.max() <= 1 else ": convert"
            )
        raise DecodeError(path, f"{expected}; it is {array.dtype} {array.shape}, {found}{hint}")
    if array.ndim not in (4, 5) or array.shape[-1] not in (1, 3, 4) or 0 in array.shape:
        raise DecodeError(path, f"{expected}; it is {array.dtype} {array.shape}")
    return array


def animated_webp(path: Path) -> Stills:
    """PyAV reads no animated webp: Pillow does."""
    durations = webp_durations(path)
    if not durations:
        raise DecodeError(path, "a still picture")
    check_stay(path, max(durations))
    image = _open_picture(path, ["WEBP"])

    def load(i: int) -> np.ndarray:
        try:
            image.seek(i)
            return _image_pixels(image)
        except BAD_PICTURE as error:
            raise DecodeError(path, f"damaged at frame {i} ({error})") from None

    times = np.cumsum([0.0, *durations])
    return Stills(path, times, load, image.close, tick=0.001)


def webp_durations(path: Path) -> list[float]:
    """Seconds that each frame of an animated webp stays, from its chunks; none of a still one.

    Raises DecodeError where it is no webp.
    """
    check_regular(path)
    durations = []
    try:
        with open(path, "rb") as file:
            riff = file.read(12)
            if riff[:4] != b"RIFF" or riff[8:] != b"WEBP":
                raise DecodeError(path, "not a webp")
            while len(head := file.read(8)) == 8:
                kind, size = struct.unpack("<4sI", head)
                if kind in (b"VP8 ", b"VP8L"):
                    break  # a still picture
                body = file.read(16) if kind == b"ANMF" else b""
                if len(body) == 16:
                    milliseconds = int.from_bytes(body[12:15], "little")
                    # As browsers do with delays that nobody can mean.
                    durations.append(milliseconds / 1000 if milliseconds > 10 else 0.1)
                file.seek(size + size % 2 - len(body), os.SEEK_CUR)
    except OSError as error:
        raise DecodeError(path, f"cannot be read ({reason(error)})") from None
    return durations


def _image_pixels(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):  # 16-bit grey
        return (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)[..., None]
    alpha = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    return np.asarray(image.convert("RGBA" if alpha else "RGB"))
