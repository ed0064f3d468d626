"""Geometry for ShapeShow: signed distances of the shapes, trajectories, backgrounds, anti-aliased painting.

Only +, -, *, / and sqrt, which IEEE arithmetic rounds the same everywhere, touch whole pictures; sines,
cosines and powers are taken in double precision of a few numbers. So a clip is the same picture on every
machine, but for a grey level where a value lies within 1e-12 or so of a rounding boundary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

MARGIN = 0.05  # frame sides between an object and the frame's edge
_MAX_FALLS = 8  # impacts; then an object lies still, for it would rise by less than 1/4000 of the frame

# Every shape is drawn around its centre of mass, in units of its radius, x right and y down, upright. Sizes
# are chosen for areas of 1.7 to 2.6 squared radii, so that none fills much more of the picture than another.
_CIRCLE = 0.86
_SQUARE = 0.80
_TRIANGLE = 1.20  # circumradius
_STAR, _STAR_INNER = 1.10, 0.48  # circumradius, inner radius over circumradius
_CROSS, _CROSS_ARM = 0.96, 0.35  # half length and half width of a bar
_HEART, _HEART_TIP = 1.62, 0.657  # scale, and height of the centre of mass over the tip before scaling
_RING, _RING_HALF = 0.71, 0.22  # radius of the middle line and half width

_HALF_ROOT_3 = math.sqrt(3.0) / 2.0
_COS_36, _SIN_36 = math.cos(math.pi / 5), math.sin(math.pi / 5)

# shape -> (left = right, up, down): how far the upright shape reaches from its centre, in radii.
EXTENTS = {
    "circle": (_CIRCLE, _CIRCLE, _CIRCLE),
    "square": (_SQUARE, _SQUARE, _SQUARE),
    "triangle": (_TRIANGLE * _HALF_ROOT_3, _TRIANGLE, _TRIANGLE / 2),
    "star": (_STAR * math.sin(2 * math.pi / 5), _STAR, _STAR * _COS_36),
    "cross": (_CROSS, _CROSS, _CROSS),
    "heart": (
        _HEART * (0.25 + math.sqrt(0.125)),
        _HEART * (0.75 + math.sqrt(0.125) - _HEART_TIP),
        _HEART * _HEART_TIP,
    ),
    "ring": (_RING + _RING_HALF,) * 3,
}
# shape -> how far it reaches in any direction, however it is turned, in radii.
REACH = {
    "circle": _CIRCLE,
    "square": _SQUARE * math.sqrt(2.0),
    "triangle": _TRIANGLE,
    "star": _STAR,
    "cross": math.hypot(_CROSS, _CROSS_ARM),
    "heart": _HEART * _HEART_TIP,
    "ring": _RING + _RING_HALF,
}


def _length(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(x * x + y * y)


def _circle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _length(x, y) - _CIRCLE


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs(_length(x, y) - _RING) - _RING_HALF


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = np.abs(x) - _SQUARE, np.abs(y) - _SQUARE
    return _length(np.maximum(x, 0), np.maximum(y, 0)) + np.minimum(np.maximum(x, y), 0)


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = np.abs(x), np.abs(y)
    along, across = np.maximum(x, y), np.minimum(x, y)
    beyond_end, beyond_side = along - _CROSS, across - _CROSS_ARM
    depth = np.maximum(beyond_end, beyond_side)
    outside = _length(np.maximum(beyond_end, 0), np.maximum(beyond_side, 0))
    inside = _length(np.maximum(_CROSS_ARM - along, 0), depth)  # the nearest edge point is an inner corner
    return np.where(depth > 0, outside, -inside)


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    half = _TRIANGLE * _HALF_ROOT_3
    x, y = np.abs(x) - half, _TRIANGLE / 2 - y
    side = 0.5 * x + _HALF_ROOT_3 * y  # positive: nearer to a slanted edge, mirrored on to the lower one
    fold = np.maximum(side, 0)
    x, y = x - fold, y - (2 * _HALF_ROOT_3) * fold
    return np.copysign(_length(x - np.clip(x, -2 * half, 0), y), -y)


def _star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = np.abs(x), -y
    for sign in (1.0, -1.0):  # mirror all ten half points on to one
        fold = 2 * np.maximum(sign * _COS_36 * x - _SIN_36 * y, 0)
        x, y = x - (sign * _COS_36) * fold, y + _SIN_36 * fold
    x, y = np.abs(x), y - _STAR
    edge_x, edge_y = _STAR_INNER * _SIN_36, _STAR_INNER * _COS_36 - 1
    along = np.clip((x * edge_x + y * edge_y) * (1 / (edge_x**2 + edge_y**2)), 0, _STAR)
    return np.copysign(_length(x - edge_x * along, y - edge_y * along), y * edge_x - x * edge_y)


def _heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = np.abs(x) * (1 / _HEART), _HEART_TIP - y * (1 / _HEART)
    lobe = _length(x - 0.25, y - 0.75) - math.sqrt(0.125)
    to_side = x - y
    along = 0.5 * np.maximum(x + y, 0)
    to_dip, to_edge = (x * x + (y - 1) ** 2), ((x - along) ** 2 + (y - along) ** 2)
    below = np.copysign(np.sqrt(np.minimum(to_dip, to_edge)), to_side)
    return _HEART * np.where(x + y > 1, lobe, below)


# shape -> function of (x, y) in radii -> signed distance to its edge in radii, negative inside. The formulae
# for the folded polygons follow https://iquilezles.org/articles/distfunctions2d/.
DISTANCES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "heart": _heart,
    "ring": _ring,
}


class Path(NamedTuple):
    """Where an object is at N moments, float64 [N] each; whether it never turns; when it bounces, seconds."""

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    angle: np.ndarray
    upright: bool
    events: list[float]


def _triangle_wave(cycles: np.ndarray) -> np.ndarray:
    """0 at even, 1 at odd integers, straight between."""
    return np.abs(cycles - 2 * np.floor(0.5 * cycles + 0.5))


def trajectory(motion: str, shape: str, draws: list[float], duration: float, t: np.ndarray) -> Path:
    """Where an object is, from its beginning to the clip's end.

    Args:
      motion, shape: names.
      draws: six uniform numbers in [0, 1).
      duration: of the clip, seconds.
      t: float64 [N], seconds in [0, duration].
    """
    size, a, b, c, d, e = draws
    still = np.zeros(len(t))
    angle, events = still, []
    largest = 0.165 + 0.07 * size
    radius = still + largest
    if motion in ("grow", "shrink"):
        small, largest = 0.09 + 0.03 * size, 0.255 + 0.03 * d
        part = t / duration if motion == "grow" else 1 - t / duration
        radius = small + (largest - small) * part

    # The rectangle in which the whole object, at its largest, is inside the frame.
    if motion == "spin":
        side = up = down = REACH[shape] * largest
    else:
        side, up, down = (largest * reach for reach in EXTENTS[shape])
    left, width = MARGIN + side, 1 - 2 * (MARGIN + side)
    top, height = MARGIN + up, 1 - 2 * MARGIN - up - down
    x = still + left + width * a
    y = still + top + height * b

    if motion in ("left", "right", "up", "down", "launch"):
        room = height if motion in ("up", "down") else width
        travel = max(0.4, 0.7 * room)
        travel += (room - travel) * c
        part = t / duration
        if motion == "launch":
            part = part * part
        forwards = motion in ("right", "down") or (motion == "launch" and d < 0.5)
        path = travel * (part if forwards else 1 - part)
        if motion in ("up", "down"):
            y = top + (room - travel) * b + path
        else:
            x = left + (room - travel) * a + path
    elif motion == "bounce":
        pace = min(duration, 1.0)
        crossing_x, crossing_y = pace * (0.6 + 0.3 * c), pace * (0.6 + 0.3 * d)
        start_x, start_y = 0.25 + 0.5 * a, 0.25 + 0.5 * b
        wave_x, wave_y = _triangle_wave(start_x + t / crossing_x), _triangle_wave(start_y + t / crossing_y)
        x = left + width * (wave_x if e < 0.5 else 1 - wave_x)
        y = top + height * (wave_y if 4 * e % 2 < 1 else 1 - wave_y)
        for crossing, start in ((crossing_x, start_x), (crossing_y, start_y)):
            count = max(0, math.ceil(duration / crossing - (1 - start)))
            events += [crossing * (1 - start + k) for k in range(count)]
    elif motion in ("clockwise", "counterclockwise"):
        orbit = 0.5 * min(width, height) * (0.7 + 0.3 * c)
        turn = 2 * math.pi * (d + (0.85 + 0.3 * e) * (t if motion == "clockwise" else -t))
        x = left + orbit + (width - 2 * orbit) * a + orbit * np.cos(turn)
        y = top + orbit + (height - 2 * orbit) * b + orbit * np.sin(turn)
    elif motion == "spin":
        angle = 2 * math.pi * (0.55 + 0.4 * c) * (t if d < 0.5 else -t)
    elif motion == "fall":
        drop = height * (1 - 0.15 * b)
        first, restitution = duration * (0.30 + 0.12 * c), 0.5 + 0.1 * d
        # Impact n is at first * (1 + 2 r + 2 r^2 + ... + 2 r^n); each leaves an object r times its speed.
        hits = first * np.cumsum([1.0] + [2 * restitution**n for n in range(1, _MAX_FALLS)])
        done = np.searchsorted(hits, t, side="right")
        flight = restitution**done
        since = (t - np.concatenate(([-first], hits))[done]) / first
        since[done == _MAX_FALLS] = 0
        y = top + height - drop * since * (2 * flight - since)
        events = [float(hit) for hit in hits if hit < duration]
    return Path(x, y, radius, angle, motion != "spin", events)


@lru_cache(maxsize=16)
def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel centres in frame sides, minus one half: x as [1, size] and y as [size, 1]."""
    centres = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size) - np.float32(0.5)
    return centres[None, :], centres[:, None]


def muted_colour(hue: float, saturation: float, value: float) -> np.ndarray:
    """A dark to middling, greyish colour: float32 [3] from three draws in [0, 1)."""
    saturation, value = 0.4 * saturation, 0.08 + 0.34 * value
    rgb = []
    for shift in (0.0, 2.0, 4.0):
        ramp = abs((6.0 * hue - shift) % 6.0 - 3.0) - 1.0
        rgb.append(value * (1.0 - saturation * (1.0 - min(max(ramp, 0.0), 1.0))))
    return np.array(rgb, np.float32)


def background(draws: list[float], size: int) -> np.ndarray:
    """A still, muted background: plain, linear gradient, soft stripes or a soft spot.

    Args:
      draws: eleven uniform numbers in [0, 1).
      size: side in pixels.

    Returns:
      uint8 [size, size, 3].
    """
    kind, angle, scale, shift_x, shift_y = draws[0], 2 * math.pi * draws[1], draws[2], draws[3], draws[4]
    first, second = muted_colour(*draws[5:8]), muted_colour(*draws[8:11])
    video = np.empty((size, size, 3), np.uint8)
    if kind < 0.25:
        video[:] = (255 * first + 0.5).astype(np.uint8)
        return video
    x, y = _grid(size)
    f32 = np.float32
    if kind < 0.75:
        cos, sin = math.cos(angle), math.sin(angle)
        ramp = x * f32(cos) + y * f32(sin)
        if kind < 0.5:
            mix = ramp * f32(1 / (abs(cos) + abs(sin))) + f32(0.5)
        else:
            wave = ramp * f32(1 / (0.3 + 0.3 * scale)) + f32(shift_x + 4)
            wave = np.abs(2 * (wave - np.floor(wave)) - 1)
            mix = wave * wave * (3 - 2 * wave)
    else:
        x, y = x - f32(0.6 * shift_x - 0.3), y - f32(0.6 * shift_y - 0.3)
        spot = np.maximum(1 - (x * x + y * y) * f32(1 / (0.35 + 0.35 * scale) ** 2), 0)
        mix = spot * spot
    for channel in range(3):
        low, high = 255 * first[channel], 255 * second[channel]
        video[..., channel] = mix * (high - low) + (low + f32(0.5))
    return video


def coverage(shape: str, path: Path, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How much of each pixel around an object it covers: a ramp one pixel wide across its edge.

    Args:
      shape: a key of `DISTANCES`.
      path: of T moments, the whole object inside the frame.
      size: frame side in pixels.

    Returns:
      alpha float32 [T, side, side] in [0, 1], and the window's top row and left column, int [T] each.
    """
    x, y, radius = path.x, path.y, path.radius
    side = min(size, int(2 * REACH[shape] * float(radius.max()) * size) + 3)
    left = np.clip(np.rint(x * size - side / 2).astype(np.intp), 0, size - side)
    top = np.clip(np.rint(y * size - side / 2).astype(np.intp), 0, size - side)
    step = np.arange(side) + 0.5
    scale = 1 / radius[:, None]
    across = (((left[:, None] + step) / size - x[:, None]) * scale).astype(np.float32)[:, None, :]
    down = (((top[:, None] + step) / size - y[:, None]) * scale).astype(np.float32)[:, :, None]
    if not path.upright:
        cos = np.cos(path.angle).astype(np.float32)[:, None, None]
        sin = np.sin(path.angle).astype(np.float32)[:, None, None]
        across, down = across * cos + down * sin, down * cos - across * sin
    alpha = DISTANCES[shape](across, down)
    alpha *= (-size * radius).astype(np.float32)[:, None, None]
    alpha += np.float32(0.5)
    return np.clip(alpha, 0, 1, out=alpha), top, left


def paint(
    video: np.ndarray, alpha: np.ndarray, top: np.ndarray, left: np.ndarray, rgb: tuple[float, float, float]
) -> None:
    """Paint a uniform colour over `video` uint8 [T, H, W, 3], in place, where `coverage` says."""
    frames, height, width, _ = video.shape
    side = alpha.shape[1]
    # All windows of the video as one view [T, H-side+1, W-side+1, 3, side, side]: gathering and scattering
    # the T windows through it is many times faster than indexing pixels.
    t, h, w, c = video.strides
    windows = np.ndarray(
        (frames, height - side + 1, width - side + 1, 3, side, side), np.uint8, video, 0, (t, h, w, c, h, w)
    )
    where = (np.arange(frames), top, left)
    colour = 255 * np.array(rgb, np.float32)[:, None, None]
    patch = windows[where].astype(np.float32)
    patch += alpha[:, None] * (colour - patch)
    patch += np.float32(0.5)
    windows[where] = patch.astype(np.uint8)
