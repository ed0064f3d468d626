"""Vectors of classes as a picture."""

import functools

import numpy as np


@functools.lru_cache(maxsize=1)
def palette() -> np.ndarray:
    """uint8 [24 3]: colours to tell classes by, light and dark."""
    hue = np.arange(12)[:, None] / 12.0 + np.array([0.0, 1 / 3, 2 / 3])
    full = 0.5 + 0.5 * np.cos(2 * np.pi * hue)
    return (255 * np.concatenate([0.9 * full, 0.5 * full])).round().astype(np.uint8)


def scatter_picture(
    real: np.ndarray, labels: np.ndarray, fake: np.ndarray, fake_labels: np.ndarray, side: int = 320
) -> np.ndarray:
    """Real vectors [N D] (left) and generated ones [M D] (right), coloured by class: uint8 [side 2*side 3].

    Both along the two directions in which the real ones differ most.
    """
    mean = real.mean(0)
    _, _, axes = np.linalg.svd(real - mean, full_matrices=False)
    places = [(x - mean) @ axes[:2].T for x in (real, fake)]
    reach = 1.1 * np.abs(places[0]).max(0) + 1e-9
    picture = np.full((side, 2 * side, 3), 255, np.uint8)
    for half, (xy, names) in enumerate(zip(places, (labels, fake_labels), strict=True)):
        at = np.clip((0.5 + 0.5 * xy / reach) * (side - 3), 0, side - 3).astype(int)
        for (x, y), name in zip(at, np.asarray(names), strict=True):
            left = half * side + x
            picture[side - 3 - y : side - y, left : left + 3] = palette()[name % len(palette())]
    picture[:, side] = 160
    return picture
