"""Kernel distance between two sets of feature vectors: fit for sets too small for a Frechet distance."""

import numpy as np


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a @ b.T / a.shape[1] + 1.0) ** 3


def squared_discrepancy(a: np.ndarray, b: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy of a [N F] and b [M F], at the kernel (x.y / F + 1)^3.

    KID (arXiv 1801.01401, eq. 4); being unbiased, it is below zero now and then for sets of one distribution.
    Raises ValueError where a set has fewer than two rows, the lengths differ, or a feature is not finite.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(
            f"expected features [N F] and [M F] of two rows or more, got shapes {a.shape} and {b.shape}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("expected finite features")

    def within(x):
        kernel = _kernel(x, x)
        return (kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1))

    return float(within(a) + within(b) - 2.0 * _kernel(a, b).mean())


def distance(
    a: np.ndarray, b: np.ndarray, *, subsets: int = 50, size: int = 256, seed: int = 0
) -> tuple[float, float]:
    """Mean and standard deviation of `squared_discrepancy` over `subsets` draws of `size` clips of each set.

    a [N F] or [N R F], b [M F] or [M R F]: of a clip of R rows one is drawn, since rows of one clip resemble
    one another and would pass for a difference of the sets. Clips are drawn without replacement within a
    subset, at most half of a set's, so that subsets differ. Raises as `squared_discrepancy` does.
    """
    rng = np.random.default_rng(seed)

    def draw(x):
        chosen = rng.choice(len(x), min(size, max(len(x) // 2, 2)), replace=False)
        return x[chosen, rng.integers(x.shape[1], size=len(chosen))] if x.ndim == 3 else x[chosen]

    values = [squared_discrepancy(draw(np.asarray(a)), draw(np.asarray(b))) for _ in range(subsets)]
    return float(np.mean(values)), float(np.std(values))
