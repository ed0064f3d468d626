"""Which of a batch belongs to which."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from vgm_jax.objectives import info_nce

jit_info_nce = jax.jit(info_nce)


@given(seed=st.integers(0, 10_000), counts=st.lists(st.booleans(), min_size=5, max_size=5))
@settings(max_examples=30, deadline=None)
def test_it_is_the_cross_entropy_of_those_that_count(seed, counts):
    """As of the batch without the others."""
    scores, counts = 3 * np.random.default_rng(seed).normal(size=(5, 5)), np.asarray(counts)
    kept = scores[counts][:, counts]
    expected = np.mean(scipy.special.logsumexp(kept, 1) - np.diagonal(kept)) if counts.any() else 0.0
    assert float(jit_info_nce(scores, counts)) == pytest.approx(expected, abs=1e-5)


def test_what_does_not_count_has_no_gradient():
    counts = jnp.asarray([True, False, True])
    slope = np.asarray(jax.grad(info_nce)(jnp.eye(3), counts))
    assert np.all(slope[1] == 0) and np.all(slope[:, 1] == 0)
    assert slope[0, 0] < 0 < slope[0, 2], "its own is pulled up, the other down"
