import jax
import jax.numpy as jnp
import numpy as np

from vgm_jax.objectives import class_loss, layout_loss


def test_it_is_minus_the_mean_log_probability_and_so_is_its_slope():
    rng = np.random.default_rng(0)
    logits, labels = 3 * rng.normal(size=(6, 4)), np.array([0, 3, 1, 1, 2, 0])
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = -np.mean([np.log(p[i, label]) for i, label in enumerate(labels)])
    value, slope = jax.jit(jax.value_and_grad(class_loss))(jnp.asarray(logits, jnp.float32), labels)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(slope, (p - np.eye(4)[labels]) / 6, atol=1e-6)
    # Where it could not be surer, nothing overflows.
    assert float(class_loss(jnp.array([[1e4, -1e4]]), jnp.array([1]))) == 2e4


def test_a_layout_is_judged_place_by_place_and_what_is_there_counts_as_much_as_what_is_not():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(2, 3, 2, 2, 3 + 4 + 2)).astype(np.float32)  # two and three kinds
    layout = np.zeros((2, 3, 2, 2, 4), np.float32)
    layout[0, 0, 1, 0] = 2, 3, 0.5, -0.25
    layout[0, 2, 0, 1] = 1, 1, 0, 0
    layout[1, 1, 1, 1] = 2, 2, -1, 1
    logits[0, 0, 1, 0, [2, 6]] = 9  # right in both; the others' are as they come
    logits[1, 1, 1, 1, [2, 3]] = 9  # right in one
    logits[0, 2, 0, 1, 0] = 9
    judge = jax.jit(layout_loss, static_argnums=2)
    loss, right, count = judge(logits, layout, (2, 3))

    def wrong(x, place):
        log_p = [part - np.log(np.exp(part).sum()) for part in (x[:3], x[3:7])]
        return -np.mean([log_p[k][int(place[k])] for k in (0, 1)])

    for clip in range(2):
        x, at = logits[clip].reshape(-1, 9), layout[clip].reshape(-1, 4)
        some, none = [], []
        for row, place in zip(x, at, strict=True):
            away = np.square(np.tanh(row[7:]) - place[2:]).sum()
            (some if place[0] else none).append(wrong(row, place) + (away if place[0] else 0))
        np.testing.assert_allclose(loss[clip], (np.mean(some) + np.mean(none)) / 2, rtol=1e-5)
    assert right.tolist() == [0.5, 0.0] and count.tolist() == [2, 1]
    empty = judge(logits, np.zeros_like(layout), (2, 3))
    assert np.isfinite(empty[0]).all() and empty[2].tolist() == [0, 0]
