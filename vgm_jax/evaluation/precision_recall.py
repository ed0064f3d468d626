"""Fidelity and diversity apart, from nearest neighbours among feature vectors."""

import numpy as np

CHUNK = 2048  # rows whose distances are held at once: memory grows with the other set alone


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[N M], float64, never below zero."""
    cross = a @ b.T
    return np.maximum(np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2.0 * cross, 0.0)


def _chunks(rows: np.ndarray):
    return (rows[i : i + CHUNK] for i in range(0, len(rows), CHUNK))


def _squared_radii(x: np.ndarray, k: int) -> np.ndarray:
    """[N]: from each row to its k-th nearest other."""
    # The row itself comes first.
    return np.concatenate([np.partition(_squared_distances(rows, x), k, 1)[:, k] for rows in _chunks(x)])


def nearest(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Distance of each row of [N F] to the nearest row of [M F]: float64 [N]."""
    rows, others = np.asarray(rows, np.float64), np.asarray(others, np.float64)
    centre = others.mean(0)
    found = [_squared_distances(chunk - centre, others - centre).min(1) for chunk in _chunks(rows)]
    return np.sqrt(np.concatenate(found))


def precision_recall(real: np.ndarray, fake: np.ndarray, k: int = 5) -> dict[str, float]:
    """Precision, recall (arXiv 1904.06991, eq. 1 and 2), density and coverage (arXiv 2002.09797, sec. 3).

    real [N F], fake [M F]. Around each row lies a ball that reaches to its k-th nearest neighbour in its own
    set. Precision is the share of fakes in any real ball, recall of reals in any fake ball, coverage of real
    balls that hold a fake; density is how many real balls a fake lies in, over k, and may exceed 1.
    Raises ValueError where a set has no more than k rows, the lengths differ, or a feature is not finite.
    """
    real, fake = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1] or min(len(real), len(fake)) <= k:
        raise ValueError(
            f"expected features [N F] and [M F] of more than k={k} rows, "
            f"got shapes {real.shape} and {fake.shape}"
        )
    if not (np.isfinite(real).all() and np.isfinite(fake).all()):
        raise ValueError("expected finite features")
    # Distances do not see a common shift, but their rounding does.
    real, fake = real - real.mean(0), fake - real.mean(0)
    real_radii, fake_radii = _squared_radii(real, k), _squared_radii(fake, k)
    held, recalled, covered = [], [], np.zeros(len(real), bool)
    for rows, radii in zip(_chunks(fake), _chunks(fake_radii), strict=True):
        distances = _squared_distances(rows, real)
        inside = distances <= real_radii
        held.append(inside.sum(1))
        covered |= inside.any(0)
        recalled.append((distances <= radii[:, None]).any(0))
    held = np.concatenate(held)
    return {
        "precision": float((held > 0).mean()),
        "recall": float(np.any(recalled, 0).mean()),
        "density": float(held.mean() / k),
        "coverage": float(covered.mean()),
    }
