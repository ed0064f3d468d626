"""What the steps of `vgm prepare` hand to one another: a source of footage, and what was found in it."""

import errno
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vgm_jax.preparation.cleaning import BLACK, BLURRED, FROZEN


@dataclass(frozen=True)
class Settings:
    """What determines the clips that a source gives.

    Attributes:
      size: height and width of a clip, pixels.
      fps: frames a second, by presentation time; 0: as they are.
      frames: of a clip.
      audio: whether clips carry their sound.
      rate: frames a second of folders of pictures and arrays, which do not say; 0: they are at `fps` (or 1).
      black, frozen, blurred: figures under which clips are not kept, see `cleaning.measure`; 0: all are kept.
    """

    size: int = 64
    fps: float = 12.0
    frames: int = 16
    audio: bool = True
    rate: float = 0.0
    black: float = BLACK
    frozen: float = FROZEN
    blurred: float = BLURRED


@dataclass(frozen=True)
class Source:
    """A video to prepare.

    Attributes:
      name: relative to the folder that was given, with "/"; unique, and the unit of splits.
      path, item: what `vgm_jax.data.decode` reads; item: which clip of an .npy of many.
      licence, origin: from a `collected.jsonl` beside the videos, or ""; origin is the address it came from.
      label: name of its class folder, or "".
      group: name of its group's folder, which is the unit of splits instead, or "".
    """

    name: str
    path: Path
    item: int | None = None
    licence: str = ""
    origin: str = ""
    label: str = ""
    group: str = ""

    @property
    def root(self) -> Path:
        """The folder that was given, or that of the one video: up to it, lists of captions are looked for."""
        return self.path.parents[self.name.count("/")]


@dataclass(frozen=True)
class Shot:
    """A shot that was found, in seconds from the video's first frame; `end` is the next one's start."""

    start: float
    end: float


@dataclass(frozen=True)
class Clip:
    """A clip that is kept so far; only copies in other videos can still put it out.

    Attributes:
      start: seconds from the video's first frame; the clip lies within one shot, and does not cross a cut.
      shot: index of its shot in the video.
      video: uint8 [T S S 3]; times: float32 [T], seconds from `start`.
      audio: int16 [S], mono 16 kHz, from `start` on, round(16000 * T / fps) samples; None: it has no sound.
      caption: what captions and subtitles say during the clip, or "".
      fingerprint: perceptual hash, 64 bits, by which near-duplicates are found.
      figures: name -> number: what cleaning measured (brightness, sharpness, motion, ...), for histograms.
    """

    start: float
    shot: int
    video: np.ndarray
    times: np.ndarray
    audio: np.ndarray | None
    caption: str
    fingerprint: int
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Rejection:
    """What was not kept: a whole source (start and end are None) or a part of it, in seconds.

    `reason` is one of `REASONS`, by which rejections are counted; `detail` says more; `picture`: uint8
    [S S 3] of its middle where there is one. `again`: whether the fault may be the machine's, not the file's,
    so that the next run looks at the source once more.
    """

    reason: str
    detail: str = ""
    start: float | None = None
    end: float | None = None
    picture: np.ndarray | None = None
    again: bool = False


# What the machine ran out of, or its disk or network failed at.
_PASSING = (errno.EIO, errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ETIMEDOUT)


def is_passing(error: BaseException | None) -> bool:
    """Whether an error, or one that it came of, is for want of memory or of a disk that did not answer."""
    while error is not None:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) in _PASSING:
            return True
        error = error.__cause__ or error.__context__
    return False


REASONS = ("unreadable", "damaged", "too short", "black", "frozen", "blurred", "duplicate", "in no split")
