"""How sure a classifier is of each sample, and how varied all of them are: one figure."""

import numpy as np


def inception_score(probabilities: np.ndarray) -> float:
    """exp of the mean divergence of p(y|x) from p(y), KL: Salimans et al., arXiv 1606.03498, eq. 1.

    Args:
      probabilities: [N C], a row sums to one.

    Returns:
      From 1 (all rows alike) to C (sure of every one, all classes equally often).

    Raises:
      ValueError: for no rows, or rows that are no distributions.
    """
    p = np.asarray(probabilities, np.float64)
    if p.ndim != 2 or not p.size or not (p >= 0).all() or not np.allclose(p.sum(1), 1.0, atol=1e-3):
        raise ValueError(f"expected rows of probabilities [N C], got shape {p.shape}")
    p = p / p.sum(1, keepdims=True)
    marginal = p.mean(0)
    # 0 log 0 = 0; a class that no row holds adds nothing.
    ratio = np.log(np.where(p > 0, p, 1.0)) - np.log(np.where(p > 0, marginal, 1.0))
    return float(np.exp(np.sum(p * ratio, 1).mean()))
