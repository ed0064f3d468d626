"""Whether a classifier is right as often as it says, and what it takes for what."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

BINS = 15
_SHADES = np.array([[255, 255, 255], [255, 214, 120], [222, 95, 60], [90, 15, 70]], np.float64)
_SIDE = 360  # pixels of a matrix, at most, before names


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error (arXiv 1706.04599, eq. 3): mean |accuracy - confidence| over equal bins.

    Args:
      confidence: [N], the probability of the class that was chosen.
      right: [N], whether that was the class.

    Raises:
      ValueError: for no answers, or confidences outside 0..1.
    """
    confidence, right = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    if not len(confidence) or confidence.min() < 0 or confidence.max() > 1 + 1e-6:
        raise ValueError("expected the confidences, in 0..1, of at least one answer")
    # A bin is open below and closed above: 1 is in the last one.
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(place, confidence - right, bins)
    return float(np.abs(gaps).sum() / len(confidence))


def confusion_matrix(labels: np.ndarray, guesses: np.ndarray, classes: int) -> np.ndarray:
    """int64 [classes classes]: how many of each class (row) were taken for each (column)."""
    matrix = np.bincount(np.asarray(labels) * classes + np.asarray(guesses), minlength=classes**2)
    return matrix.reshape(classes, classes)


def confusion_picture(matrix: np.ndarray, names: Sequence[str] = ()) -> np.ndarray:
    """A matrix of counts as uint8 [H W 3]: rows are classes, a cell is dark by its share of its row.

    `names` of the classes, if there are any, stand before the rows.
    """
    n = len(matrix)
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    at = np.linspace(0, 1, len(_SHADES))
    colours = np.stack([np.interp(share, at, _SHADES[:, i]) for i in range(3)], -1).round().astype(np.uint8)
    cell = max(3, _SIDE // n)
    if names and cell < 12:
        cell = 12  # a line of text
    body = np.full((n * cell + 1, n * cell + 1, 3), 210, np.uint8)  # lines between cells
    for i in range(cell - 1):
        for j in range(cell - 1):
            body[1 + i : -1 : cell, 1 + j : -1 : cell][:n, :n] = colours
    if not names:
        return body
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    width = int(max(draw.textlength(name) for name in names)) + 8
    page = Image.new("RGB", (width + body.shape[1], body.shape[0]), "white")
    page.paste(Image.fromarray(body), (width, 0))
    draw = ImageDraw.Draw(page)
    for i, name in enumerate(names):
        draw.text((width - 4, (i + 0.5) * cell), name, "black", anchor="rm")
    return np.asarray(page)
