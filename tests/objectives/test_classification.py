import jax
import jax.numpy as jnp
import numpy as np

from vgm_jax.objectives import class_loss


def test_it_is_minus_the_mean_log_probability_and_so_is_its_slope():
    rng = np.random.default_rng(0)
    logits, labels = 3 * rng.normal(size=(6, 4)), np.array([0, 3, 1, 1, 2, 0])
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = -np.mean([np.log(p[i, label]) for i, label in enumerate(labels)])
    value, slope = jax.value_and_grad(class_loss)(jnp.asarray(logits, jnp.float32), jnp.asarray(labels))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(slope, (p - np.eye(4)[labels]) / 6, atol=1e-6)
    # Where it could not be surer, nothing overflows.
    assert float(class_loss(jnp.array([[1e4, -1e4]]), jnp.array([1]))) == 2e4
