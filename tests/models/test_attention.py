import jax
import numpy as np
import pytest

from vgm_jax.models.layers import ALWAYS, PERIODS, SQRT2, Attention

KEY = jax.random.key(0)


def rms(x):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-8)


def reference(params, x, times, valid, heads, horizon):
    """Token by token, head by head, in double precision."""
    p = {k: jax.tree.map(np.float64, v["Dense_0"]) for k, v in params["params"].items()}

    def dense(name, v):
        return v @ p[name]["kernel"] + p[name]["bias"]

    out = np.zeros(x.shape)
    n, width = x.shape
    q, k, v = np.split(dense("qkv", rms(x)), 3, -1)
    size = width // heads
    for i in range(n):
        for h in range(heads):
            part, weights = slice(h * size, (h + 1) * size), np.zeros(n)
            for j in range(n):
                gap = times[i] - times[j]
                seen = valid[j]
                if horizon:
                    seen = seen and (times[j] == ALWAYS or 0 <= gap < horizon)
                angle = 2 * np.pi * np.clip(gap, -8, 8) / np.array(PERIODS)
                bias = dense("gap", np.concatenate([np.sin(angle), np.cos(angle)]))[h]
                weights[j] = np.exp(q[i, part] @ k[j, part] / np.sqrt(size) + bias) if seen else 0.0
            out[i, part] = weights @ v[:, part] / weights.sum()
    x = x + dense("out", out)
    hidden = dense("widen", rms(x))
    return x + dense("narrow", SQRT2 * np.where(hidden > 0, hidden, 0.2 * hidden))


@pytest.mark.parametrize("horizon", [0.0, 0.5])
def test_it_is_the_formula(horizon):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 6, 8)).astype(np.float32)
    times = np.array([[0.0, 0.1, 0.4, 0.7, 1.5, 1.6], [ALWAYS, ALWAYS, 0.0, 0.2, 0.3, 3.0]], np.float32)
    valid = np.ones((2, 6), bool)
    valid[0, 1] = False
    layer = Attention(heads=2, horizon=horizon)
    params = jax.jit(layer.init)(KEY, x, times, valid)
    found, _ = jax.jit(layer.apply)(params, x, times, valid)
    for i in range(2):
        expected = reference(params, x[i].astype(float), times[i].astype(float), valid[i], 2, horizon)
        rows = valid[i]  # what is not there may be anything
        np.testing.assert_allclose(found[i][rows], expected[rows], rtol=2e-4, atol=2e-5)


def test_a_width_that_heads_do_not_share():
    with pytest.raises(ValueError, match="a width of 10 does not divide into 4 heads"):
        jax.eval_shape(Attention(4).init, KEY, np.zeros((1, 3, 10)), np.zeros((1, 3)), np.ones((1, 3), bool))
