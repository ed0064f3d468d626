"""Which shots of a film a summary has: the best ones that a budget of frames holds."""

import math

import numpy as np


def knapsack(values: np.ndarray, weights: np.ndarray, capacity: int) -> np.ndarray:
    """Items of the greatest total value whose total weight is within a capacity (0/1), exactly.

    Args:
      values: [N], not negative.
      weights: int [N], positive.
      capacity: of the chosen items' weights.

    Returns:
      bool [N]. Of equal values, which of several solutions is not defined.

    Raises:
      ValueError: for values or weights out of their range, or not as many of one as of the other.
    """
    values, weights = np.asarray(values, np.float64), np.asarray(weights)
    if values.ndim != 1 or values.shape != weights.shape or not np.issubdtype(weights.dtype, np.integer):
        raise ValueError(f"expected values [N] and whole weights [N], got {values.shape}, {weights.shape}")
    if not (np.isfinite(values) & (values >= 0)).all() or (weights < 1).any():
        raise ValueError("expected finite values >= 0 and weights >= 1")
    capacity = max(0, min(int(capacity), int(weights.sum())))
    best = np.zeros(capacity + 1)
    taken = np.zeros((len(values), (capacity + 8) // 8), np.uint8)  # a bit for each item and capacity
    for i, (value, weight) in enumerate(zip(values, weights.tolist(), strict=True)):
        if weight > capacity:
            continue
        with_it = best[:-weight] + value
        better = with_it > best[weight:]
        best[weight:] = np.where(better, with_it, best[weight:])
        taken[i] = np.packbits(np.concatenate([np.zeros(weight, bool), better]))[: taken.shape[1]]
    chosen = np.zeros(len(values), bool)
    for i in range(len(values) - 1, -1, -1):
        if taken[i, capacity // 8] >> (7 - capacity % 8) & 1:
            chosen[i] = True
            capacity -= int(weights[i])
    return chosen


def summarize(scores: np.ndarray, shots: np.ndarray, budget: float) -> np.ndarray:
    """Which shots a summary has: the knapsack over their mean scores, within a part of all frames.

    Args:
      scores: of frames [F], not negative.
      shots: int [S 2], the first frame of each and the one after its last.
      budget: part of the frames, in 0..1; what is over a whole number of frames is not used.

    Returns:
      bool [S].
    """
    shots = np.asarray(shots)
    total = np.concatenate([[0.0], np.cumsum(scores, dtype=np.float64)])
    lengths = shots[:, 1] - shots[:, 0]
    means = (total[shots[:, 1]] - total[shots[:, 0]]) / lengths
    # Differences of sums may be a hair under nothing.
    return knapsack(np.maximum(means, 0.0), lengths, math.floor(len(scores) * budget))


def frames_of(chosen: np.ndarray, shots: np.ndarray, frames: int) -> np.ndarray:
    """Frames of the chosen shots, bool [frames]."""
    summary = np.zeros(frames, bool)
    for first, stop in np.asarray(shots)[np.asarray(chosen, bool)]:
        summary[first:stop] = True
    return summary
