"""From what a reader holds to the picture that was asked for: colours, background, turn, crop, size."""

import math
from dataclasses import dataclass, replace

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from PIL import Image

from vgm_jax.data._hdr import to_sdr

# How frames come to a size. Figures measured on resized frames belong to it: change the name with the method.
RESIZE = "centre crop to the aspect as shown, then Pillow bicubic with antialiasing, reducing_gap 2"
CROPS = ("centre", "none")
GAP = 2.0  # how many times as large as wanted a picture is, at least, when the filter sees it
QUICK = 2  # rows and columns that are looked at for each one wanted

# swscale's own defaults are up to 3 grey levels too dark in most formats.
_EXACT = Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
_FAST = Interpolation.FAST_BILINEAR
# AVColorSpace -> the matrix that swscale knows it by.
_MATRICES = {1: Colorspace.ITU709, 4: Colorspace.FCC, 5: Colorspace.ITU601, 6: Colorspace.ITU601}
_MATRICES |= {7: Colorspace.SMPTE240M, 9: Colorspace.BT2020, 10: Colorspace.BT2020}
# Formats of three 8-bit planes -> (rows, columns) that a sample of colour stands for.
_PLANAR = {"yuv420p": (2, 2), "yuv422p": (1, 2), "yuv444p": (1, 1)}
_PLANAR |= {f"yuvj{name[3:]}": step for name, step in _PLANAR.items()}


@dataclass(frozen=True)
class Look:
    """How frames shall be given: arguments of `decode.iterate_frames`, and three more for resizing.

    part: left, top, right and bottom of what is looked at, in sides of the upright frame.
    quick: large frames of films are seen whole, by few of their pixels, whatever alpha and exact colours.
      For networks, not for eyes.
    colour_gap: how many times as large as wanted colour is, at least, for the filter; less is faster.
    aspect: how wide a pixel of the upright frame is meant to be shown, over how high.
    """

    size: tuple[int, int] | None = None
    crop: str = "centre"
    background: tuple[int, int, int] = (0, 0, 0)
    part: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    quick: bool = False
    colour_gap: float = GAP
    aspect: float = 1.0

    def of_array(self, image: np.ndarray) -> np.ndarray:
        """uint8 [H W C], C = 1 (grey), 3 (RGB) or 4 (RGBA), to uint8 [h w 3]."""
        if image.shape[-1] == 4:
            alpha, rgb = image[..., 3:].astype(np.uint16), image[..., :3].astype(np.uint16)
            under = np.asarray(self.background, np.uint16)
            image = ((rgb * alpha + under * (255 - alpha) + 127) // 255).astype(np.uint8)
        image = np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))
        as_it_is = self.size == image.shape[:2] and self.part == (0, 0, 1, 1) and self.aspect == 1
        if self.size is None or as_it_is:
            return image
        left, top, right, bottom = self._box(*image.shape[:2], self.size)
        # Whole pixels beside the box are cut off first, which is cheap.
        x, y = int(left), int(top)
        part = Image.fromarray(image[y : math.ceil(bottom), x : math.ceil(right)])
        return np.asarray(_resize(part, self.size, (left - x, top - y, right - x, bottom - y)))

    def of_frame(self, frame: av.VideoFrame, reformatter: VideoReformatter) -> np.ndarray:
        """A decoded frame to uint8 [h w 3], upright, of standard dynamic range."""
        # At its size, which is cheap; where it was resized, that was done to codes, as of other films. The
        # tags are there from PyAV 16 on.
        transfer, primaries = (int(getattr(frame, name, 2)) for name in ("color_trc", "color_primaries"))
        return to_sdr(self._resized(frame, reformatter), transfer, primaries in (2, 9))

    def _resized(self, frame: av.VideoFrame, reformatter: VideoReformatter) -> np.ndarray:
        turns = quarter_turns(frame)
        lying = self.size if self.size is None or not turns % 2 else self.size[::-1]
        large = lying is not None and frame.height > QUICK * lying[0] and frame.width > QUICK * lying[1]
        if self.quick and large:
            return np.rot90(_glance(frame, lying, reformatter), turns)
        smaller = lying is not None and lying[0] < frame.height and lying[1] < frame.width
        if smaller and frame.format.name in _PLANAR:
            # Resizing is linear, so it may as well come first, and colours are then cheap.
            aspect = 1 / self.aspect if turns % 2 else self.aspect
            small = replace(self, part=_lying(self.part, turns), aspect=aspect)._planes(frame, lying)
            return np.rot90(_colours(small, frame, "rgb24", reformatter), turns)
        alpha = frame.format.name == "pal8" or any(part.is_alpha for part in frame.format.components)
        rgb = _colours(frame, frame, "rgba" if alpha else "rgb24", reformatter)
        return self.of_array(np.rot90(rgb, turns))

    def _box(self, h: int, w: int, size: tuple[int, int]) -> tuple[float, float, float, float]:
        x, y, right, bottom = (part * side for part, side in zip(self.part, (w, h, w, h), strict=True))
        h, w = bottom - y, right - x
        high, wide = h, w
        if self.crop == "centre":
            scale = min(h / size[0], w * self.aspect / size[1])
            high, wide = min(size[0] * scale, h), min(size[1] * scale / self.aspect, w)
        left, top = x + (w - wide) / 2, y + (h - high) / 2
        return left, top, min(left + wide, right), min(top + high, bottom)

    def _planes(self, frame: av.VideoFrame, size: tuple[int, int]) -> av.VideoFrame:
        box = np.array(self._box(frame.height, frame.width, size))
        rows, columns = _PLANAR[frame.format.name]
        planes = []
        luma, colour = (1, 1, GAP), (rows, columns, self.colour_gap)
        for plane, (down, across, gap) in zip(frame.planes, (luma, colour, colour), strict=True):
            raw = ("raw", "L", plane.line_size, 1)
            image = Image.frombuffer("L", (plane.width, plane.height), plane, *raw)
            planes.append(_resize(image, size, tuple(box / (across, down, across, down)), gap))
        return av.VideoFrame.from_ndarray(np.stack([np.asarray(plane) for plane in planes]), "yuv444p")


def quarter_turns(frame: av.VideoFrame) -> int:
    """How often to turn a frame counterclockwise, by its metadata."""
    return round(frame.rotation / 90) % 4


def _lying(part: tuple[float, ...], turns: int) -> tuple[float, ...]:
    """A part of an upright frame, as it lies in what is stored, which `turns` quarter turns make upright."""
    for _ in range(turns):
        left, top, right, bottom = part
        part = 1 - bottom, left, 1 - top, right
    return part


def _resize(
    image: Image.Image, size: tuple[int, int], box: tuple[float, ...], gap: float = GAP
) -> Image.Image:
    return image.resize(size[::-1], Image.Resampling.BICUBIC, box, reducing_gap=gap)


def _glance(frame: av.VideoFrame, size: tuple[int, int], reformatter: VideoReformatter) -> np.ndarray:
    height, width = QUICK * size[0], QUICK * size[1]
    few = reformatter.reformat(frame, width, height, "rgb24", interpolation=_FAST, threads=1)
    return np.asarray(Image.fromarray(few.to_ndarray()).reduce(QUICK))


def _colours(
    frame: av.VideoFrame, tagged: av.VideoFrame, form: str, reformatter: VideoReformatter
) -> np.ndarray:
    """To RGB by the tags of `tagged`. Without: BT.601, beyond standard definition BT.709, as players do."""
    high = tagged.width >= 1280 or tagged.height > 576
    matrix = _MATRICES.get(int(tagged.colorspace), Colorspace.ITU709 if high else Colorspace.ITU601)
    # FFmpeg takes grey that is not tagged for full range.
    full = tagged.format.name.startswith(("yuvj", "gray", "ya"))
    full = int(tagged.color_range) == ColorRange.JPEG or (not int(tagged.color_range) and full)
    rgb = reformatter.reformat(
        frame,
        format=form,
        interpolation=_EXACT,
        src_colorspace=matrix,
        src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        threads=1,
    )
    return rgb.to_ndarray()
