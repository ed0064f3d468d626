"""Known damages to clips: what a distance that one trusts must see.

A damage is a pure function (clips uint8 [N T H W 3], seed, indices int [N]) -> uint8 [N T H W 3]. `indices`
are the clips' places in their set: what is drawn for a clip depends on the seed and its own place alone, so a
set that is damaged in batches is the same set.
"""

import functools
from collections.abc import Callable

import numpy as np

Damage = Callable[[np.ndarray, int, np.ndarray], np.ndarray]

GAINS = (1.2, 1.0, 0.8)  # of red, green and blue: a picture that is too warm


def _generators(seed: int, indices: np.ndarray):
    return (np.random.default_rng((seed, int(i))) for i in indices)


def _to_uint8(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


# ---------------------------------------------------------------------------------------------------------- #
# Time
# ---------------------------------------------------------------------------------------------------------- #


def frozen(clips: np.ndarray, seed: int, indices: np.ndarray) -> np.ndarray:
    """The first frame throughout."""
    return np.repeat(clips[:, :1], clips.shape[1], 1)


def shuffled(clips: np.ndarray, seed: int, indices: np.ndarray) -> np.ndarray:
    """Frames in a random order, never their own. Raises ValueError for clips of one frame."""
    length = clips.shape[1]
    if length < 2:
        raise ValueError("clips of one frame cannot be shuffled")
    out = np.empty_like(clips)
    for i, rng in enumerate(_generators(seed, indices)):
        order = rng.permutation(length)
        while (order == np.arange(length)).all():
            order = rng.permutation(length)
        out[i] = clips[i, order]
    return out


def reversed_(clips: np.ndarray, seed: int, indices: np.ndarray) -> np.ndarray:
    """From last frame to first."""
    return clips[:, ::-1].copy()


def every_second(clips: np.ndarray, seed: int, indices: np.ndarray) -> np.ndarray:
    """Every second frame, shown twice: the same pace at half the frame rate."""
    return clips[:, np.arange(clips.shape[1]) // 2 * 2]


def second_half(clips: np.ndarray, seed: int, indices: np.ndarray) -> np.ndarray:
    """Second halves exchanged between neighbours: 0 and 1, 2 and 3, ...; the last of an odd set has that of
    the one before.

    Who is whose neighbour follows from the rows of `clips`: give batches of an even size.
    Raises ValueError for fewer than two clips.
    """
    if len(clips) < 2:
        raise ValueError("a clip needs another one to take its second half from")
    partner = np.arange(len(clips)) ^ 1
    if len(clips) % 2:
        partner[-1] = len(clips) - 2
    half = clips.shape[1] // 2
    return np.concatenate([clips[:, :half], clips[partner, half:]], 1)


# ---------------------------------------------------------------------------------------------------------- #
# Pictures
# ---------------------------------------------------------------------------------------------------------- #


def noise(clips: np.ndarray, seed: int, indices: np.ndarray, *, deviation: float) -> np.ndarray:
    """Gaussian noise of a standard deviation in grey levels, apart in every pixel, frame and channel."""
    out = np.empty_like(clips)
    for i, rng in enumerate(_generators(seed, indices)):
        grain = rng.standard_normal(clips.shape[1:], np.float32)
        out[i] = _to_uint8(clips[i] + np.float32(deviation) * grain)
    return out


def blur(clips: np.ndarray, seed: int, indices: np.ndarray, *, deviation: float) -> np.ndarray:
    """Each frame under a Gaussian of a standard deviation in pixels, cut at four; edges are mirrored.

    As `scipy.ndimage.gaussian_filter`.
    """
    reach = int(4 * deviation + 0.5)
    weights = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / deviation))
    weights = (weights / weights.sum()).astype(np.float32)
    out = np.empty_like(clips)
    for i, clip in enumerate(clips):
        values = clip.astype(np.float32)
        for axis in (1, 2):
            margins = [(0, 0)] * 4
            margins[axis] = (reach, reach)
            padded, length = np.pad(values, margins, "symmetric"), clip.shape[axis]
            values = sum(w * padded.take(range(k, k + length), axis) for k, w in enumerate(weights))
        out[i] = _to_uint8(values)
    return out


def colour_shift(clips: np.ndarray, seed: int, indices: np.ndarray) -> np.ndarray:
    """Channels times `GAINS`, clipped: a wrong white balance."""
    return _to_uint8(clips * np.float32(GAINS))


DAMAGES: dict[str, Damage] = {
    "frozen": frozen,
    "shuffled": shuffled,
    "reversed": reversed_,
    "every_second": every_second,
    "second_half": second_half,
    "noise_5": functools.partial(noise, deviation=5.0),
    "noise_10": functools.partial(noise, deviation=10.0),
    "noise_25": functools.partial(noise, deviation=25.0),
    "blur_1": functools.partial(blur, deviation=1.0),
    "blur_2": functools.partial(blur, deviation=2.0),
    "colour_shift": colour_shift,
}


# ---------------------------------------------------------------------------------------------------------- #
# The set
# ---------------------------------------------------------------------------------------------------------- #


def half_modes(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Which clips to take for a set of `count` that lacks half of the modes: int [count].

    labels int [N]. Clips of the first half of the labels that occur, drawn without replacement where there
    are enough: copies would be a damage of their own. Raises ValueError where fewer than two labels occur.
    """
    modes = np.unique(labels)
    if len(modes) < 2:
        raise ValueError(f"half of {len(modes)} mode(s) cannot be left out")
    kept = np.flatnonzero(np.isin(labels, modes[: len(modes) // 2]))
    return np.random.default_rng(seed).choice(kept, count, replace=len(kept) < count)
