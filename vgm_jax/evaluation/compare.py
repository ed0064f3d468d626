"""All figures of how far one set of feature vectors is from another."""

import numpy as np

from vgm_jax.evaluation import frechet, kernel
from vgm_jax.evaluation.precision_recall import precision_recall

NEIGHBOURS = 5


def compare(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """real [N F], fake [M F] -> frechet, kernel, kernel_spread (over subsets), precision, recall, density, coverage.

    Sets of no more than `NEIGHBOURS` rows have only the first three. Raises ValueError where a set has fewer
    than two rows, or a feature is not finite.
    """
    figures = {"frechet": frechet.distance(*(frechet.Moments().add(x) for x in (real, fake)))}
    figures["kernel"], figures["kernel_spread"] = kernel.distance(real, fake)
    if min(len(real), len(fake)) > NEIGHBOURS:
        figures |= precision_recall(real, fake, NEIGHBOURS)
    return figures
