from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.objectives import PENALTIES, lazy, make_penalty
from vgm_jax.objectives.penalties import (
    gradient_penalty,
    gradient_penalty_fd,
    zero_centered,
    zero_centered_fd,
)

pytestmark = pytest.mark.filterwarnings("error")
KEY = jax.random.key(7)
JITTED = {name: jax.jit(penalty, static_argnums=0) for name, penalty in PENALTIES.items()}
jit_zero_centered, jit_zero_centered_fd, jit_gradient_penalty, jit_gradient_penalty_fd = (
    jax.jit(f, static_argnums=0)
    for f in (zero_centered, zero_centered_fd, gradient_penalty, gradient_penalty_fd)
)
RANDOM = ["r1_fd", "r2_fd", "r1r2_fd", "wgan_gp", "wgan_gp_fd"]


def normal(seed, shape):
    return np.random.default_rng(seed).normal(size=shape)


W = jnp.array([0.5, -1.0, 2.0, 0.25])
SQUARE = float(jnp.sum(W**2))


def linear(x, w=W):
    return x @ w


# A small convolutional discriminator with two heads, once for NumPy in float64 and once for JAX.
KERNEL, HEADS = normal(0, (2, 2, 2, 3)) * 0.4, normal(1, (48, 2)) * 0.3


def convolutional(x, xp=jnp, kernel=KERNEL, heads=HEADS):
    h = sum(x[:, i : i + 4, j : j + 4] @ xp.asarray(kernel[i, j]) for i in range(2) for j in range(2))
    return xp.tanh(h).reshape(x.shape[0], -1) @ xp.asarray(heads)


def numeric_norms(x, step=1e-5):
    """||grad D(x_i)|| by central differences in float64, one element of one example at a time."""
    norms = []
    for example in np.asarray(x, np.float64):
        gradient = np.zeros(example.shape)
        for place in np.ndindex(example.shape):
            shift = np.zeros(example.shape)
            shift[place] = step
            ends = [convolutional((example + s * shift)[None], np).sum() for s in (1, -1)]
            gradient[place] = (ends[0] - ends[1]) / (2 * step)
        norms.append(np.linalg.norm(gradient))
    return np.array(norms)


REAL, FAKE = normal(2, (3, 5, 5, 2)).astype(np.float32), normal(3, (3, 5, 5, 2)).astype(np.float32)


class Counting:
    """A discriminator that remembers the inputs it was called with."""

    def __init__(self, logits_fn):
        self.logits_fn, self.inputs = logits_fn, []

    def __call__(self, x):
        self.inputs.append(x)
        return self.logits_fn(x)


# ---- names


def test_names():
    expected = {"none", "r1", "r2", "r1r2", "wgan_gp", "r1_fd", "r2_fd", "r1r2_fd", "wgan_gp_fd"}
    assert set(PENALTIES) == expected
    assert all(make_penalty(name) is PENALTIES[name] for name in PENALTIES)
    with pytest.raises(
        ValueError, match="'r3'.*none, r1, r2, r1r2, wgan_gp, r1_fd, r2_fd, r1r2_fd, wgan_gp_fd"
    ):
        make_penalty("r3")


@pytest.mark.parametrize("name", list(PENALTIES))
def test_one_signature_a_float32_scalar_under_jit_and_grad(name):
    def loss(kernel, real, fake, key, indices):
        return PENALTIES[name](partial(convolutional, kernel=kernel), real, fake, key, indices)

    low = jnp.asarray(REAL, jnp.bfloat16), jnp.asarray(FAKE, jnp.bfloat16)
    step = jax.jit(jax.value_and_grad(loss))
    value, gradient = step(jnp.asarray(KERNEL, jnp.float32), *low, KEY, jnp.arange(3))
    assert value.shape == () and value.dtype == jnp.float32 and np.isfinite(gradient).all()
    assert (float(value) > 0) == (name != "none") and (np.abs(gradient).max() > 0) == (name != "none")


# ---- exact penalties


def test_linear_closed_forms():
    x = jnp.asarray(normal(0, (6, 4)), jnp.float32)
    np.testing.assert_allclose(jit_zero_centered(linear, x), SQUARE / 2, rtol=1e-6)
    np.testing.assert_allclose(JITTED["r1r2"](linear, x, -x, KEY), SQUARE, rtol=1e-6)
    np.testing.assert_allclose(jit_gradient_penalty(linear, x, -x, KEY), (SQUARE**0.5 - 1) ** 2, rtol=1e-5)
    twice = jit_zero_centered(lambda x: x @ jnp.stack([W, W], 1), x)
    np.testing.assert_allclose(twice, 2 * SQUARE, rtol=1e-6)
    slope = jax.jit(jax.grad(lambda w: zero_centered(partial(linear, w=w), x)))(W)
    np.testing.assert_allclose(slope, W, rtol=1e-6)
    slope = jax.jit(jax.grad(lambda w: gradient_penalty(partial(linear, w=w), x, -x, KEY)))(W)
    np.testing.assert_allclose(slope, 2 * (SQUARE**0.5 - 1) * W / SQUARE**0.5, rtol=1e-5)


def test_quadratic_closed_forms():
    def quadratic(x):
        return 0.5 * jnp.sum(x**2, axis=-1)  # gradient x

    x = jnp.asarray(normal(1, (5, 4)), jnp.float32)
    np.testing.assert_allclose(jit_zero_centered(quadratic, x), np.mean(np.sum(x**2, 1)) / 2, rtol=1e-6)
    # From 0 to c / 2 in each of 4 coordinates, ||grad|| = e c: E (e c - 1)^2 = c^2 / 3 - c + 1, e ~ U[0, 1].
    real = jnp.full((20000, 4), 3.0 / 2)
    np.testing.assert_allclose(jit_gradient_penalty(quadratic, real, 0 * real, KEY), 1.0, rtol=0.03)
    # And e weighs real.
    one = jit_gradient_penalty(quadratic, real[:1], 0 * real[:1], KEY)
    e = jax.random.uniform(jax.random.fold_in(KEY, 0))
    np.testing.assert_allclose(one, (3 * e - 1) ** 2, rtol=1e-5)


def test_exact_equals_central_differences():
    real, fake = numeric_norms(REAL), numeric_norms(FAKE)
    expected = {"r1": np.mean(real**2) / 2, "r2": np.mean(fake**2) / 2}
    expected["r1r2"] = expected["r1"] + expected["r2"]
    e = np.array([jax.random.uniform(jax.random.fold_in(KEY, i)) for i in range(3)])[:, None, None, None]
    expected["wgan_gp"] = np.mean((numeric_norms(e * REAL + (1 - e) * FAKE) - 1) ** 2)
    for name, value in expected.items():
        got = JITTED[name](convolutional, REAL, FAKE, KEY)
        np.testing.assert_allclose(got, value, rtol=1e-4, err_msg=name)


def test_exact_equals_a_jacobian_per_example():
    jacobian = jax.jit(jax.jacrev(lambda x: convolutional(x[None]).sum()))
    expected = np.mean([np.sum(np.square(jacobian(x))) for x in REAL]) / 2
    np.testing.assert_allclose(jit_zero_centered(convolutional, REAL), expected, rtol=1e-5)


@pytest.mark.parametrize("penalty", [gradient_penalty, gradient_penalty_fd])
def test_gradient_is_finite_where_the_norm_is_zero(penalty):
    x = jnp.asarray(normal(0, (3, 4)), jnp.float32)
    loss = lambda w, real, fake: penalty(partial(linear, w=w), real, fake, KEY)  # noqa: E731
    slopes = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))
    for real, fake, w in [(x, -x, 0 * W), (x, x, W), (x, x, 0 * W)]:
        value, gradients = slopes(w, real, fake)
        assert np.isfinite(value) and all(np.isfinite(g).all() for g in gradients)
    np.testing.assert_allclose(slopes(0 * W, x, -x)[0], 1.0, rtol=1e-6)


@pytest.mark.parametrize("name", ["r1r2", "r1r2_fd", "wgan_gp", "wgan_gp_fd"])
def test_unequal_shapes_are_refused(name):
    with pytest.raises(ValueError, match=r"\(3, 4\).*\(2, 4\)"):
        PENALTIES[name](linear, jnp.ones((3, 4)), jnp.ones((2, 4)), KEY)


# ---- finite differences


def test_fd_is_unbiased_for_a_linear_discriminator_at_any_sigma():
    x = jnp.asarray(normal(0, (40000, 4)), jnp.float32)  # relative standard error sqrt(2 / 40000) = 0.7 %
    small, large = (jit_zero_centered_fd(linear, x, KEY, sigma) for sigma in (0.01, 1.0))
    np.testing.assert_allclose(small, SQUARE / 2, rtol=0.025)
    np.testing.assert_allclose(small, large, rtol=1e-3)
    slope = jax.jit(jax.grad(lambda w: zero_centered_fd(partial(linear, w=w), x, KEY)))(W)
    np.testing.assert_allclose(slope, W, atol=0.06)


@pytest.mark.parametrize("sigma", [0.01, 0.5])
def test_fd_of_a_quadratic_has_the_expected_bias(sigma):
    m = normal(5, (4, 4)) / 2
    a = (m + m.T) / 2 + np.eye(4) / 2
    point = normal(6, 4)
    x = jnp.asarray(np.broadcast_to(point, (40000, 4)), jnp.float32)
    got = jit_zero_centered_fd(lambda x: 0.5 * jnp.sum((x @ a.astype(np.float32)) * x, -1), x, KEY, sigma)
    bias = sigma**2 / 8 * (np.trace(a) ** 2 + 2 * np.trace(a @ a))
    np.testing.assert_allclose(got, np.sum((a @ point) ** 2) / 2 + bias, rtol=0.03)


@pytest.mark.parametrize("name", ["r1", "r2", "r1r2"])
def test_fd_estimates_the_exact_penalty(name):
    exact = JITTED[name](convolutional, REAL, FAKE, KEY)
    real, fake = np.tile(REAL, (3000, 1, 1, 1)), np.tile(FAKE, (3000, 1, 1, 1))
    np.testing.assert_allclose(JITTED[name + "_fd"](convolutional, real, fake, KEY), exact, rtol=0.06)


def test_fd_noise_is_standard_normal_and_independent():
    seen = Counting(linear)
    PENALTIES["r1r2_fd"](seen, jnp.zeros((4000, 4)), jnp.zeros((4000, 4)), KEY, sigma=0.5)
    noise = np.asarray([x for x in seen.inputs if np.any(x)][0]) / 0.5
    columns = noise.reshape(2, 4000, 4).transpose(1, 0, 2).reshape(4000, 8)  # real's and fake's side by side
    np.testing.assert_allclose(columns.mean(0), 0, atol=0.07)
    np.testing.assert_allclose(np.cov(columns.T), np.eye(8), atol=0.09)
    assert len(np.unique(noise)) > 0.99 * noise.size


@pytest.mark.parametrize("name", ["r1_fd", "r2_fd", "r1r2_fd"])
def test_known_logits_save_a_pass_and_carry_gradients(name):
    real, fake = jnp.array(REAL), jnp.array(FAKE)
    inputs = {"r1_fd": real, "r2_fd": fake, "r1r2_fd": jnp.concatenate([real, fake])}[name]

    def loss(kernel, given):
        logits_fn = Counting(partial(convolutional, kernel=kernel))
        logits = convolutional(inputs, kernel=kernel) if given else None
        value = PENALTIES[name](logits_fn, real, fake, KEY, sigma=0.1, logits=logits)
        assert [len(x) for x in logits_fn.inputs] == [len(inputs)] * (1 if given else 2)
        return value

    kernel = jnp.asarray(KERNEL, jnp.float32)
    plain, known = (jax.value_and_grad(partial(loss, given=given))(kernel) for given in (False, True))
    np.testing.assert_allclose(known[0], plain[0], rtol=1e-5)
    np.testing.assert_allclose(known[1], plain[1], rtol=1e-4, atol=1e-6)


def test_r1r2_is_the_sum_in_one_pass():
    real, fake = jnp.array(REAL), jnp.array(FAKE)
    # Differences of logits, over sigma, hold their rounding as many times over, which is each CPU's own.
    for suffix, rtol in (("", 1e-5), ("_fd", 1e-4)):
        parts = [PENALTIES[name + suffix](convolutional, real, fake, KEY) for name in ("r1", "r2")]
        assert abs(parts[0] - parts[1]) > 0.01 * parts[0]
        found = PENALTIES["r1r2" + suffix](convolutional, real, fake, KEY)
        np.testing.assert_allclose(found, sum(parts), rtol=rtol)
    logits_fn = Counting(convolutional)
    PENALTIES["r1r2"](logits_fn, real, fake, KEY)
    assert [x.shape for x in logits_fn.inputs] == [(6, 5, 5, 2)]


def test_wgan_gp_fd_measures_the_slope_from_fake_to_real():
    fake = jnp.asarray(normal(0, (64, 4)), jnp.float32)
    along = fake + 3.0 * W  # the critic's own direction: the lower bound is tight
    for pair in ((along, fake), (fake, along)):
        found = jit_gradient_penalty_fd(linear, *pair, KEY)
        np.testing.assert_allclose(found, (SQUARE**0.5 - 1) ** 2, rtol=1e-3)
    across = fake + jnp.array([1.0, 0.5, 0.0, 0.0])  # orthogonal to W: no slope at all
    np.testing.assert_allclose(jit_gradient_penalty_fd(linear, across, fake, KEY), 1.0, rtol=1e-3)
    real = jnp.asarray(normal(1, (64, 4)), jnp.float32)
    unit = (real - fake) / jnp.linalg.norm(real - fake, axis=1, keepdims=True)
    expected = jnp.mean((jnp.abs(unit @ W) - 1) ** 2)
    np.testing.assert_allclose(jit_gradient_penalty_fd(linear, real, fake, KEY), expected, rtol=1e-3)


def test_wgan_gp_fd_steps_sigma_each_way_from_uniform_points_on_the_segment():
    real, fake = jnp.ones((2000, 3, 2)), -jnp.ones((2000, 3, 2))
    seen = Counting(lambda x: x.sum((1, 2)))
    gradient_penalty_fd(seen, real, fake, KEY, sigma=0.1)
    ahead, behind = map(np.asarray, seen.inputs)
    np.testing.assert_allclose(np.linalg.norm((ahead - behind).reshape(2000, -1), axis=1), 0.2, rtol=1e-4)
    points = ((ahead + behind) / 2).reshape(2000, -1)
    np.testing.assert_allclose(np.ptp(points, axis=1), 0, atol=1e-6)  # one weight an example, not one a pixel
    quantiles = np.quantile(points[:, 0], [0.1, 0.25, 0.5, 0.75, 0.9])
    np.testing.assert_allclose(quantiles, [-0.8, -0.5, 0.0, 0.5, 0.8], atol=0.08)


# ---- noise belongs to the example, not to the shard


@pytest.mark.parametrize("name", RANDOM)
def test_shards_draw_the_noise_of_the_whole(name):
    penalty = jax.jit(partial(PENALTIES[name], convolutional))
    real, fake = (jnp.asarray(normal(s, (8, 5, 5, 2)), jnp.float32) for s in (8, 9))
    indices = 1_000_000 + jnp.arange(8)
    whole = penalty(real, fake, KEY, indices)
    halves = [penalty(real[s], fake[s], KEY, indices[s]) for s in (slice(0, 4), slice(4, 8))]
    # Other noise moves it by tens of percent; sigma = 0.01 magnifies float32 rounding to some 1e-5.
    np.testing.assert_allclose(np.mean(halves), whole, rtol=2e-4)
    assert abs(penalty(real, fake, KEY, indices + 1) / whole - 1) > 2e-3 or name == "wgan_gp_fd"


@pytest.mark.parametrize("name", RANDOM[:4])  # linear D: wgan_gp_fd does not depend on where the points lie
def test_noise_follows_key_and_index(name):
    def penalty(key, indices):
        return float(PENALTIES[name](convolutional, jnp.array(REAL), jnp.array(FAKE), key, indices))

    base = penalty(KEY, None)
    assert base == penalty(KEY, jnp.arange(3))
    assert base != penalty(KEY, jnp.arange(3) + 1) and base != penalty(jax.random.key(8), None)
    for wrong in (jnp.arange(1), jnp.arange(4)):
        with pytest.raises(ValueError, match="B = 3"):
            penalty(KEY, wrong)


# ---- lazy


@pytest.mark.parametrize("every", [1, 2, 5])
def test_lazy_averages_to_the_penalty_over_a_cycle(every):
    def loss(w, step):
        return lazy(lambda: zero_centered(partial(linear, w=w), jnp.ones((2, 4))), step, every)

    traces = []

    @jax.jit
    def step_fn(w, step):
        traces.append(None)
        return jax.value_and_grad(loss)(w, step)

    results = [step_fn(W, jnp.int32(step)) for step in range(3 * every)]
    values, gradients = np.array([v for v, _ in results]), np.array([g for _, g in results])
    due = np.arange(3 * every) % every == 0
    np.testing.assert_allclose(values, np.where(due, every * SQUARE / 2, 0), rtol=1e-6)
    np.testing.assert_allclose(values[:every].mean(), SQUARE / 2, rtol=1e-6)
    np.testing.assert_allclose(gradients[:every].mean(0), W, rtol=1e-6)
    assert (gradients[~due] == 0).all() and len(traces) == 1


def test_lazy_computes_only_when_due():
    ran = []

    def penalty():
        jax.debug.callback(lambda: ran.append(None))
        return jnp.float32(1)

    step_fn = jax.jit(lambda step: lazy(penalty, step, 4))
    for step in range(8):
        step_fn(step).block_until_ready()
    jax.effects_barrier()
    assert len(ran) == 2


def test_lazy_each_step_needs_no_branch():
    assert "cond" not in str(jax.make_jaxpr(lambda s: lazy(lambda: jnp.float32(2), s, 1))(0))
    assert "cond" in str(jax.make_jaxpr(lambda s: lazy(lambda: jnp.float32(2), s, 2))(0))
    low = jax.eval_shape(lambda: lazy(lambda: jnp.bfloat16(2), 0, 2))
    assert low.dtype == jnp.float32  # whatever the penalty's dtype


@pytest.mark.parametrize("every", [0, -3])
def test_lazy_refuses_less_than_one(every):
    with pytest.raises(ValueError, match=f">= 1.*got {every}"):
        lazy(lambda: jnp.float32(0), 0, every)
