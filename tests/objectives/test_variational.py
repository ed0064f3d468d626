"""Divergence from the standard normal distribution, against its integral."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from vgm_jax.objectives.variational import divergence


@pytest.mark.parametrize("mean, deviation", [(0.0, 1.0), (1.3, 1.0), (-0.7, 0.2), (2.0, 3.0)])
def test_divergence_is_its_integral(mean, deviation):
    one, standard = norm(mean, deviation), norm()
    expected, _ = quad(lambda x: one.pdf(x) * (one.logpdf(x) - standard.logpdf(x)), -40, 40, points=[mean])
    assert float(divergence(mean, np.log(deviation**2))) == pytest.approx(expected, abs=1e-5)
