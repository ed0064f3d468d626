"""Frechet distance between two sets of feature vectors, each taken as a Gaussian."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Moments:
    """Count, mean [F] and scatter [F F] (sum of outer products of deviations), float64; empty at first.

    Adding in any batches gives the same moments (Chan, Golub, LeVeque 1983, eq. 2.1).
    """

    count: int = 0
    mean: np.ndarray | float = 0.0
    scatter: np.ndarray | float = 0.0

    def add(self, features: np.ndarray) -> "Moments":
        """The moments with the rows of `features` [N F] added. Raises ValueError on non-finite features."""
        features = np.asarray(features, np.float64)
        if features.ndim != 2 or not np.isfinite(features).all():
            raise ValueError(f"expected finite features [N F], got shape {features.shape}")
        if len(features) == 0:
            return self
        mean = features.mean(0)
        deviation = features - mean
        return self.merge(Moments(len(features), mean, deviation.T @ deviation))

    def merge(self, other: "Moments") -> "Moments":
        """The moments of both sets together."""
        if self.count == 0 or other.count == 0:
            return other if self.count == 0 else self
        count = self.count + other.count
        delta = np.asarray(other.mean) - self.mean
        mean = self.mean + delta * (other.count / count)
        between = np.outer(delta, delta) * (self.count * other.count / count)
        return Moments(count, mean, self.scatter + other.scatter + between)

    @property
    def covariance(self) -> np.ndarray:
        """Unbiased covariance [F F]; needs two rows."""
        return np.asarray(self.scatter) / (self.count - 1)


def _sqrt(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T


def distance(a: Moments, b: Moments) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) (FID, arXiv 1706.08500, sec. 2).

    The trace of the root is taken from the symmetric C_a^(1/2) C_b C_a^(1/2), whose eigenvalues are those of
    C_a C_b.
    Raises ValueError where a set has fewer than two rows.
    """
    if min(a.count, b.count) < 2:
        raise ValueError(f"a Frechet distance needs two rows on each side, got {a.count} and {b.count}")
    root = _sqrt(a.covariance)
    values = np.linalg.eigvalsh(root @ b.covariance @ root)
    trace = np.trace(a.covariance) + np.trace(b.covariance) - 2.0 * np.sqrt(np.clip(values, 0.0, None)).sum()
    return float(max(np.sum(np.square(np.asarray(a.mean) - b.mean)) + trace, 0.0))
