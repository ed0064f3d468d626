"""Kernel temporal segmentation: where a sequence of vectors changes, exactly (Potapov et al., ECCV 2014)."""

from collections.abc import Iterable, Iterator

import numpy as np

PENALTY = 1.0  # of changes, by default
BLOCK = 512  # vectors that `segments` looks at together


def costs(kernel: np.ndarray) -> np.ndarray:
    """Scatter of every segment (Potapov et al., eq. 2), of a kernel [N N].

    Returns:
      float64 [N N + 1]: [i j] is the sum over t in i..j-1 of the squared distance, in the kernel's space, of
      vector t to the segment's mean; infinite where j <= i.
    """
    kernel = np.asarray(kernel, np.float64)
    n = len(kernel)
    square = np.zeros((n + 1, n + 1))
    square[1:, 1:] = kernel.cumsum(0).cumsum(1)
    trace = np.concatenate([[0.0], np.diagonal(kernel).cumsum()])
    corner = np.diagonal(square)
    start, stop = np.arange(n)[:, None], np.arange(n + 1)[None]
    within = corner[None] + corner[:n, None] - square[:n] - square[:, :n].T
    length = np.where(stop > start, stop - start, 1)
    # Rounding must not make a segment of equal vectors better than nothing.
    cost = np.maximum(trace[None] - trace[:n, None] - within / length, 0.0)
    return np.where(stop > start, cost, np.inf)


def best_changes(cost: np.ndarray, most: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """The best segmentations into 1, 2, ... most + 1 segments, by dynamic programming (alg. 1 of the paper).

    Args:
      cost: as `costs` gives it.
      most: changes, at most; no more than N - 1 are possible.

    Returns:
      Total costs float64 [m + 1] with 0 to m changes, and where the changes are, int [0], [1], ... [m]: a
      change at t is between vectors t - 1 and t.
    """
    n = len(cost)
    most = max(0, min(most, n - 1))
    total = cost[0].copy()  # of vectors 0..j-1 in one segment, then in two, ...
    totals, froms = [total[n]], []
    for _ in range(most):
        candidates = total[:n, None] + cost
        origin = candidates.argmin(0)
        total = np.take_along_axis(candidates, origin[None], 0)[0]
        froms.append(origin)
        totals.append(total[n])
    changes = []
    for count in range(most + 1):
        stop, found = n, []
        for origin in froms[:count][::-1]:
            stop = int(origin[stop])
            found.append(stop)
        changes.append(np.array(found[::-1], int))
    return np.array(totals), changes


def change_points(features: np.ndarray, most: int | None = None, penalty: float = PENALTY) -> np.ndarray:
    """Where a sequence changes, by a linear kernel of vectors of length one; how often, by a penalty.

    Minimises the mean scatter + penalty * m (log(N / m) + 1) / (2 N) over segmentations with m changes (the
    paper's eq. 5, weighed as in its published code), the scatter of a vector of length one being at most one.

    Args:
      features: [N D]; vectors of zeros are like themselves and unlike others.
      most: changes, at most; by default half as many as vectors.
      penalty: of changes; larger gives longer segments.

    Returns:
      int [m], ascending, in 1..N-1.

    Raises:
      ValueError: for no vectors, vectors that are no numbers, a penalty below 0.
    """
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or not len(features) or not np.isfinite(features).all():
        raise ValueError(f"expected finite vectors [N D], N >= 1, got {features.shape}")
    if not penalty >= 0:
        raise ValueError(f"penalty={penalty} must be >= 0")
    norms = np.linalg.norm(features, axis=1)
    unit = np.concatenate([features, (norms == 0)[:, None]], 1)
    unit /= np.where(norms > 0, norms, 1.0)[:, None]
    n = len(unit)
    totals, changes = best_changes(costs(unit @ unit.T), n // 2 if most is None else most)
    m = np.arange(len(totals))
    paid = penalty * m * (np.log(n / np.maximum(m, 1)) + 1) / (2 * n)
    return changes[int(np.argmin(totals / n + paid))]


def segments(
    vectors: Iterable[np.ndarray], penalty: float = PENALTY, block: int = BLOCK
) -> Iterator[tuple[int, int]]:
    """Segments of a stream of vectors [D], [first, one after the last) of each, one after another.

    `block` vectors are segmented together; all but the last segment stand, and the next block begins with
    that one: a stream of any length takes the memory of a block. Raises ValueError as `change_points`.
    """
    held: list[np.ndarray] = []
    first = 0
    for vector in vectors:
        held.append(vector)
        if len(held) < block:
            continue
        points = change_points(np.stack(held), penalty=penalty).tolist() or [block]
        for start, stop in zip([0, *points], points, strict=False):
            yield first + start, first + stop
        held = held[points[-1] :]
        first += points[-1]
    if held:
        points = [0, *change_points(np.stack(held), penalty=penalty).tolist(), len(held)]
        yield from ((first + a, first + b) for a, b in zip(points, points[1:], strict=False))
