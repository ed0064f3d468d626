import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vgm_jax.training.optimizers import apart, ema, make_adam, schedule

PLAIN = dict(learning_rate_end=0.1, b1=0.0, b2=0.9, b2_end=0.9, warmup_steps=0, decay_steps=0)


def test_cosine_after_a_linear_rise():
    value = schedule(2.0, 0.5, 100, warmup=10)
    for count in range(130):
        progress = min(max(count - 10, 0) / 100, 1)
        expected = (0.5 + 1.5 * (1 + math.cos(math.pi * progress)) / 2) * min((count + 1) / 10, 1)
        assert float(value(count)) == pytest.approx(expected, rel=1e-6)
    assert float(value(0)) == pytest.approx(0.2)  # the first update already moves
    assert float(value(9)) == float(value(10)) == 2.0
    assert float(value(60)) == pytest.approx(1.25)
    assert float(value(110)) == float(value(10**9)) == 0.5


def test_no_decay_and_no_warmup():
    assert [float(schedule(3.0, 1.0, 0)(count)) for count in (0, 1, 10**6)] == [3.0] * 3
    assert float(schedule(3.0, 1.0, 10)(0)) == 3.0


def test_schedules_do_not_see_the_length_of_the_run(tiny):
    from vgm_jax.tasks import build

    states = []
    for steps in (8, 800):
        config = tiny()
        config.train.steps = steps
        task = build(config)
        params = {"w": jnp.arange(3.0)}
        opt_state = task.generator_optimizer.init(params)
        for _ in range(4):
            updates, opt_state = task.generator_optimizer.update(params, opt_state, params)
            params = optax.apply_updates(params, updates)
        states.append((params, opt_state))
    assert all(np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, states), strict=True))


def adam_by_hand(gradients, rate, b1, b2):
    """Adam in float64; `rate` and `b2` are functions of the count of updates done."""
    x = m = v = 0.0
    for count, g in enumerate(gradients):
        m = b1 * m + (1 - b1) * g
        v = b2(count) * v + (1 - b2(count)) * g * g
        m_hat, v_hat = m / (1 - b1 ** (count + 1)), v / (1 - b2(count) ** (count + 1))
        x -= rate(count) * m_hat / (math.sqrt(v_hat) + 1e-8)
    return x


@pytest.mark.parametrize("b1", [0.5, 0.0])
@pytest.mark.parametrize("b2_end", [0.9, 0.5])
def test_adam_follows_both_schedules(b1, b2_end):
    gradients = [0.3, -2.0, 0.7, 1.1, -0.4, 0.2]
    adam = make_adam(
        learning_rate=0.1,
        learning_rate_end=0.02,
        b1=b1,
        b2=0.9,
        b2_end=b2_end,
        warmup_steps=2,
        decay_steps=4,
    )
    x, state = jnp.zeros(()), adam.init(jnp.zeros(()))
    for g in gradients:
        update, state = adam.update(jnp.asarray(g), state, x)
        x = x + update
    rate, b2 = schedule(0.1, 0.02, 4, 2), schedule(0.9, b2_end, 4)
    expected = adam_by_hand(gradients, lambda i: float(rate(i)), b1, lambda i: float(b2(i)))
    assert float(x) == pytest.approx(expected, rel=1e-5)
    assert float(state.hyperparams["b2"]) == pytest.approx(b2_end, abs=0.05)


def test_clipping_is_of_the_whole_gradient():
    gradient = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}
    clipped, plain = (make_adam(learning_rate=0.1, clip_norm=c, **PLAIN | {"b1": 0.5}) for c in (1.0, 0.0))
    scaled = jax.tree.map(lambda g: g / 5, gradient)
    params = jax.tree.map(jnp.zeros_like, gradient)
    small = jax.tree.map(
        lambda g: g / 50, gradient
    )  # under the bound: left alone, so that a second update differs

    def run(optimizer, first):
        state = optimizer.init(params)
        _, state = optimizer.update(first, state, params)
        return optimizer.update(small, state, params)[0]

    for name in gradient:
        np.testing.assert_allclose(run(clipped, gradient)[name], run(plain, scaled)[name], rtol=1e-6)
        assert not np.allclose(run(clipped, gradient)[name], run(plain, gradient)[name], rtol=1e-2)


def updates_of(optimizer, params, gradients):
    state, found = optimizer.init(params), []
    for gradient in gradients:
        update, state = optimizer.update(gradient, state, params)
        found.append(update)
    return found


def tree(seed):
    """Parameters in collections, as deep as networks have them."""
    rng = np.random.default_rng(seed)
    names = ("painting/start/kernel", "painting/bias", "imagination/place/kernel", "imagination/painting_b")
    leaves = {name: jnp.asarray(rng.normal(size=3), jnp.float32) for name in names}
    parts = {"painting": {"start": {"kernel": leaves[names[0]]}, "bias": leaves[names[1]]}}
    parts |= {"imagination": {"place": {"kernel": leaves[names[2]]}, "painting_b": leaves[names[3]]}}
    return {"params": parts, "encoder": {"entry": {"kernel": jnp.asarray(rng.normal(size=2), jnp.float32)}}}


def test_what_is_named_is_updated_by_another_rule_at_any_depth():
    most, some = optax.sgd(0.5), optax.adam(0.1)
    params, gradients = tree(0), [tree(1), tree(2)]
    rules = apart(most, some, ("painting", "encoder"))
    found = updates_of(rules, params, gradients)
    alone = {rule: updates_of(rule, params, gradients) for rule in (most, some)}
    for i, update in enumerate(found):
        by_most, by_some = alone[most][i], alone[some][i]
        for key, expected in (
            ("painting", by_some["params"]["painting"]),
            ("imagination", by_most["params"]["imagination"]),
        ):
            pairs = zip(*map(jax.tree.leaves, (update["params"][key], expected)), strict=True)
            assert all(np.array_equal(a, b) for a, b in pairs), key
        assert np.array_equal(*(x["encoder"]["entry"]["kernel"] for x in (update, by_some)))
    # A part of a name is not the name.
    first, slope = (x["params"]["imagination"]["painting_b"] for x in (found[0], gradients[0]))
    np.testing.assert_allclose(first, -0.5 * slope, rtol=1e-6)


def test_two_rules_that_are_the_same_are_one():
    adam = make_adam(learning_rate=0.1, **PLAIN | {"b1": 0.5})
    params, gradients = tree(0), [tree(1), tree(2), tree(3)]
    found = updates_of(apart(adam, adam, ("painting",)), params, gradients)
    pairs = zip(*map(jax.tree.leaves, (found, updates_of(adam, params, gradients))), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


def test_ema_closed_form():
    values, decay = [5.0, -1.0, 2.0, 8.0, 3.0], 0.3
    average = expected = 7.0
    for step, value in enumerate(values):
        average = ema(average, value, jnp.asarray(step), decay)
        keep = min(decay, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * value
    assert float(average) == pytest.approx(expected, rel=1e-6)


def test_ema_weights():
    # Once the decay is constant, the weight of a value i updates ago is (1 - decay) decay^i.
    average = 0.0
    for step in range(1000, 1004):
        average = ema(average, 1.0 if step == 1001 else 0.0, jnp.asarray(step), 0.9)
    assert float(average) == pytest.approx(0.1 * 0.9**2, rel=1e-5)
    assert float(ema(4.0, 4.0, jnp.asarray(3), 0.9)) == 4.0
