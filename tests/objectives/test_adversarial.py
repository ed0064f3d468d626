import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vgm_jax.objectives import OBJECTIVES, make_objective

pytestmark = pytest.mark.filterwarnings("error")


def sigmoid(t):
    return 1.0 / (1.0 + np.exp(-t))


def log_loss_d(r, f):
    return -np.mean(np.log(sigmoid(r))) - np.mean(np.log(1.0 - sigmoid(f)))


# The textbook's forms, in float64 probabilities rather than in softplus.
REFERENCE = {
    "minimax": (log_loss_d, lambda r, f: np.mean(np.log(1.0 - sigmoid(f)))),
    "nonsaturating": (log_loss_d, lambda r, f: -np.mean(np.log(sigmoid(f)))),
    "hinge": (
        lambda r, f: np.mean(np.maximum(0.0, 1.0 - r)) + np.mean(np.maximum(0.0, 1.0 + f)),
        lambda r, f: -np.mean(f),
    ),
    "wasserstein": (lambda r, f: np.mean(f) - np.mean(r), lambda r, f: -np.mean(f)),
    "relativistic": (
        lambda r, f: -np.mean(np.log(sigmoid(r - f))),
        lambda r, f: -np.mean(np.log(sigmoid(f - r))),
    ),
}

every_objective = pytest.mark.parametrize("name", list(OBJECTIVES))
logits_pairs = st.sampled_from([(1,), (5,), (4, 3)]).flatmap(
    lambda shape: st.tuples(*[hnp.arrays(np.float32, shape, elements=st.floats(-6, 6, width=32))] * 2)
)


def test_names():
    assert set(OBJECTIVES) == set(REFERENCE)
    assert all(make_objective(name) is OBJECTIVES[name] for name in OBJECTIVES)
    with pytest.raises(ValueError, match="'lsgan'.*nonsaturating, minimax, hinge, wasserstein, relativistic"):
        make_objective("lsgan")


@every_objective
@given(pair=logits_pairs)
@settings(max_examples=25, deadline=None)
def test_equals_the_textbook(name, pair):
    real, fake = pair
    for loss, reference in zip(OBJECTIVES[name], REFERENCE[name], strict=True):
        expected = reference(real.astype(np.float64), fake.astype(np.float64))
        np.testing.assert_allclose(loss(jnp.array(real), jnp.array(fake)), expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name,d,g", [
    ("minimax", 2 * np.log(2), -np.log(2)), ("nonsaturating", 2 * np.log(2), np.log(2)), ("hinge", 2.0, 0.0),
    ("wasserstein", 0.0, 0.0), ("relativistic", np.log(2), np.log(2)),
])  # fmt: skip
def test_undecided_discriminator(name, d, g):
    zeros = jnp.zeros((3, 2))
    np.testing.assert_allclose([loss(zeros, zeros) for loss in OBJECTIVES[name]], [d, g], rtol=1e-6)


# What a loss must be at real, fake = +-1e4, where exp overflows float32: exact by hand.
EXTREMES = {  # (real, fake) -> (d_loss, g_loss)
    "minimax": {(1, 1): (1e4, -1e4), (1, -1): (0, 0), (-1, 1): (2e4, -1e4), (-1, -1): (1e4, 0)},
    "nonsaturating": {(1, 1): (1e4, 0), (1, -1): (0, 1e4), (-1, 1): (2e4, 0), (-1, -1): (1e4, 1e4)},
    "hinge": {(1, 1): (10001, -1e4), (1, -1): (0, 1e4), (-1, 1): (20002, -1e4), (-1, -1): (10001, 1e4)},
    "wasserstein": {(1, 1): (0, -1e4), (1, -1): (-2e4, 1e4), (-1, 1): (2e4, -1e4), (-1, -1): (0, 1e4)},
    "relativistic": {
        (1, 1): (np.log(2), np.log(2)),
        (1, -1): (0, 2e4),
        (-1, 1): (2e4, 0),
        (-1, -1): (np.log(2), np.log(2)),
    },
}


@every_objective
def test_stable_at_extreme_logits(name):
    for (r, f), expected in EXTREMES[name].items():
        real, fake = jnp.full(2, r * 1e4), jnp.full(2, f * 1e4)
        np.testing.assert_allclose([loss(real, fake) for loss in OBJECTIVES[name]], expected, rtol=1e-6)
        for loss in OBJECTIVES[name]:
            gradients = jnp.stack(jax.grad(loss, argnums=(0, 1))(real, fake))
            assert (
                np.isfinite(gradients).all() and np.abs(gradients).max() <= 0.5
            )  # 1/B each, slope at most 1


@every_objective
def test_gradient_signs(name):
    real, fake = jnp.array([0.5, -0.3, 0.9]), jnp.array([-0.4, 0.2, 0.7])
    to_real, to_fake = jax.grad(OBJECTIVES[name].d_loss, argnums=(0, 1))(real, fake)
    assert (to_real < 0).all() and (to_fake > 0).all()  # a step down lifts real logits and lowers fake ones
    to_real, to_fake = jax.grad(OBJECTIVES[name].g_loss, argnums=(0, 1))(real, fake)
    assert (to_fake < 0).all()
    assert (to_real > 0).all() if name == "relativistic" else (to_real == 0).all()


def test_saturation_tells_minimax_from_nonsaturating():
    sure = jnp.array([-12.0])
    slopes = {
        n: float(jax.grad(OBJECTIVES[n].g_loss, 1)(sure, sure)[0]) for n in ("minimax", "nonsaturating")
    }
    np.testing.assert_allclose(slopes["nonsaturating"], -1.0, atol=1e-4)
    np.testing.assert_allclose(slopes["minimax"], 0.0, atol=1e-4)


@given(pair=logits_pairs, shift=st.floats(-4, 4, width=32))
@settings(max_examples=25, deadline=None)
def test_relativistic_ignores_a_common_shift_and_is_symmetric(pair, shift):
    real, fake = map(jnp.array, pair)
    objective = OBJECTIVES["relativistic"]
    for loss in objective:
        np.testing.assert_allclose(loss(real + shift, fake + shift), loss(real, fake), rtol=1e-5, atol=1e-5)
    assert objective.g_loss(real, fake) == objective.d_loss(fake, real)


def test_relativistic_pairs_by_position():
    d_loss = OBJECTIVES["relativistic"].d_loss
    real, fake = jnp.array([3.0, -3.0]), jnp.array([3.0, -3.0])
    np.testing.assert_allclose(d_loss(real, fake), np.log(2), rtol=1e-6)
    np.testing.assert_allclose(d_loss(real, fake[::-1]), 3.0 + np.log1p(np.exp(-6.0)), rtol=1e-6)
    with pytest.raises(ValueError, match=r"\(2,\) and \(2, 1\)"):  # else broadcast to all pairs
        d_loss(real, fake[:, None])


@every_objective
def test_low_precision_logits_are_reduced_in_float32(name):
    real, fake = jax.random.normal(jax.random.key(0), (2, 4096, 2), jnp.bfloat16)
    for loss in OBJECTIVES[name]:
        value = loss(real, fake)
        assert value.dtype == jnp.float32 and value.shape == ()
        assert value == loss(real.astype(jnp.float32), fake.astype(jnp.float32))
