import jax
import numpy as np
import pytest

from vgm_jax.models.vectors import CRITICS, VECTOR_GENERATORS, CNNCritic


def test_windows_are_those_of_a_convolution():
    x = np.random.default_rng(0).normal(size=(2, 11, 3)).astype(np.float32)
    found = np.asarray(jax.jit(CNNCritic(stride=4).windows)(x))
    padded = np.concatenate([x, np.zeros((2, 20, 3), np.float32)], 1)
    for place in range(3):  # ceil(11 / 4)
        expected = padded[:, 4 * place : 4 * place + 8].reshape(2, -1)
        np.testing.assert_array_equal(found[:, place], expected)
    assert found.shape == (2, 3, 24)


@pytest.mark.parametrize("name", CRITICS)
def test_a_critic_sees_every_number_and_the_class(name):
    settings = {"widths": (8, 8), "hidden": 8} if name == "cnn" else {"widths": (16,)}
    critic = CRITICS[name](**settings)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(5, 21)).astype(np.float32)
    classes = np.eye(5, 6, dtype=np.float32)
    logits, params = jax.jit(critic.init_with_output)(jax.random.key(0), vectors, classes)
    assert logits.shape == (5,)
    slopes = jax.jit(jax.grad(lambda p, v, c: critic.apply(p, v, c).sum(), (1, 2)))(params, vectors, classes)
    assert all((np.abs(slope).sum(0) > 0).all() for slope in slopes)
    # No example sees another: penalties on slopes need that.
    alone = jax.jit(critic.apply)(params, vectors[2:3], classes[2:3])
    np.testing.assert_allclose(alone, logits[2:3], rtol=1e-5, atol=1e-6)


def test_a_vector_follows_its_key_and_its_class():
    generator = VECTOR_GENERATORS["mlp"](size=7, widths=(16,), noise_dim=4)
    keys = jax.random.split(jax.random.key(0), 3)
    noise, told = jax.jit(generator.noise)(keys), np.eye(3, dtype=np.float32)
    assert noise.shape == (3, 4) and len(np.unique(noise)) == 12
    params, apply = jax.jit(generator.init)(jax.random.key(1), noise, told), jax.jit(generator.apply)
    vectors = apply(params, noise, told)
    assert vectors.shape == (3, 7)
    np.testing.assert_array_equal(generator.noise(keys[1:2]), noise[1:2])
    other = apply(params, noise, told[::-1])
    assert np.abs(other[0] - vectors[0]).max() > 1e-3
    np.testing.assert_allclose(other[1], vectors[1], rtol=1e-6)
