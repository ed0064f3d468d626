import numpy as np
import pytest

from vgm_jax.evaluation import frechet, kernel
from vgm_jax.evaluation.compare import NEIGHBOURS, compare
from vgm_jax.evaluation.precision_recall import precision_recall


def test_every_figure_of_two_sets():
    real, fake = np.random.default_rng(0).normal(size=(2, 50, 4))
    found = compare(real, fake + 0.5)
    moments = [frechet.Moments().add(x) for x in (real, fake + 0.5)]
    expected = {"frechet": frechet.distance(*moments)} | precision_recall(real, fake + 0.5, NEIGHBOURS)
    expected["kernel"], expected["kernel_spread"] = kernel.distance(real, fake + 0.5)
    assert found == pytest.approx(expected) and len(found) == 7


def test_small_sets_have_no_neighbours():
    real, fake = np.random.default_rng(0).normal(size=(2, NEIGHBOURS, 4))
    assert set(compare(real, fake)) == {"frechet", "kernel", "kernel_spread"}
    with pytest.raises(ValueError, match="two rows"):
        compare(real[:1], fake)
