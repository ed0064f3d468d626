import numpy as np
import pytest

from vgm_jax.evaluation import frechet, kernel
from vgm_jax.evaluation.compare import NEIGHBOURS, compare
from vgm_jax.evaluation.precision_recall import precision_recall


def test_every_figure_of_two_sets():
    real, fake = np.random.default_rng(0).normal(size=(2, 50, 1, 4))
    found = compare(real, fake + 0.5)
    moments = [frechet.Moments().add(x[:, 0]) for x in (real, fake + 0.5)]
    expected = {"frechet": frechet.distance(*moments)}
    expected |= precision_recall(real[:, 0], fake[:, 0] + 0.5, NEIGHBOURS)
    expected["kernel"], expected["kernel_spread"] = kernel.distance(real, fake + 0.5)
    assert found == pytest.approx(expected) and len(found) == 7


def test_rows_of_a_clip_are_not_its_neighbours():
    """Frames of a clip are alike: the neighbours' figures are those of clips, and the kernel's unbiased."""
    rng = np.random.default_rng(0)

    def clips():
        return rng.normal(size=(60, 1, 3)) + 0.01 * rng.normal(size=(60, 4, 3))

    a, b = clips(), clips()
    found = compare(a, b)
    assert found["precision"] > 0.8 and found["recall"] > 0.8
    assert found["frechet"] == pytest.approx(compare(a[:, :1], b[:, :1])["frechet"], rel=0.1)
    kernels = [compare(clips()[:30], clips()[:30])["kernel"] for _ in range(30)]
    assert abs(np.mean(kernels)) < 3 * np.std(kernels) / 30**0.5
    flat = [kernel.squared_discrepancy(*(clips()[:30].reshape(-1, 3) for _ in "ab")) for _ in range(30)]
    assert np.mean(flat) > 3 * np.std(flat) / 30**0.5, "which rows taken one by one are not"


def test_small_sets_have_no_neighbours():
    real, fake = np.random.default_rng(0).normal(size=(2, NEIGHBOURS, 1, 4))
    assert set(compare(real, fake)) == {"frechet", "kernel", "kernel_spread"}
    with pytest.raises(ValueError, match="two rows"):
        compare(real[:1], fake)
