"""All figures of how far one set of feature vectors is from another."""

import numpy as np

from vgm_jax.evaluation import frechet, kernel
from vgm_jax.evaluation.precision_recall import precision_recall

NEIGHBOURS = 5


def compare(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """real [N R F], fake [M R F] -> frechet, kernel, precision, recall, density, coverage.

    And `kernel_spread`, over subsets. A clip has R rows, one a frame for networks that see pictures. The
    Frechet distance is that of all rows, the kernel distance draws one a clip, neighbours are sought among
    the clips' means: else a frame's neighbours would be those beside it. Sets of no more than `NEIGHBOURS`
    clips have only the first three.
    Raises ValueError where a set has fewer than two rows, or a feature is not finite.
    """
    real, fake = (np.asarray(x, np.float64) for x in (real, fake))
    moments = [frechet.Moments().add(x.reshape(-1, x.shape[-1])) for x in (real, fake)]
    figures = {"frechet": frechet.distance(*moments)}
    figures["kernel"], figures["kernel_spread"] = kernel.distance(real, fake)
    if min(len(real), len(fake)) > NEIGHBOURS:
        figures |= precision_recall(real.mean(1), fake.mean(1), NEIGHBOURS)
    return figures
