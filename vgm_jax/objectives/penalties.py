"""Gradient penalties on a discriminator, exact (a gradient of a gradient) or by finite differences.

A discriminator is a function `logits_fn(inputs [B, ...]) -> logits [B] or [B, K]`, parameters closed over.
D(x_i) below is the sum of example i's K logits. Examples must be independent (no batch statistics): then the
gradient of the summed logits holds every example's own gradient. Whatever the formula, a penalty is a float32
scalar, the mean over examples, without its weight gamma.

`real` and `fake` are constants here unless the caller differentiates through them. `logits_fn` sees B rows in
the order given, except in `r1r2` and `r1r2_fd`, where it sees 2B, real then fake: a conditional discriminator
that closes over [B] conditions must repeat them there.

Noise of example i comes from `fold_in(key, indices[i])`, `indices` being its place in the global batch
(default 0..B-1), so a shard draws what the whole batch would. That holds for JAX's default threefry keys;
`rbg` keys under `vmap` do not have the property.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

LogitsFn = Callable[[jax.Array], jax.Array]


def _scores(logits: jax.Array) -> jax.Array:
    """[B, ...] -> float32 [B], summed over everything but the batch."""
    logits = jnp.asarray(logits, jnp.float32)
    return jnp.sum(logits, axis=range(1, logits.ndim))


def _squared_norms(x: jax.Array) -> jax.Array:
    return _scores(jnp.square(x.astype(jnp.float32)))


def _safe_sqrt(x: jax.Array) -> jax.Array:
    # The slope of sqrt at 0 is infinite, and inf * 0 is NaN: take 0 there. The inner where keeps the
    # untaken branch finite.
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)


def _per_example(values: jax.Array, like: jax.Array) -> jax.Array:
    """[B] -> [B, 1, ...] with the rank of `like`."""
    return values.reshape(values.shape + (1,) * (like.ndim - 1))


def _keys(key: jax.Array, indices: jax.Array | None, batch: int) -> jax.Array:
    indices = jnp.arange(batch) if indices is None else indices
    if jnp.shape(indices) != (batch,):  # any other length would broadcast or fail far from here
        raise ValueError(f"indices must be int [B] with B = {batch}, got shape {jnp.shape(indices)}")
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, indices)


def _normal(key: jax.Array, indices: jax.Array | None, inputs: jax.Array) -> jax.Array:
    keys = _keys(key, indices, inputs.shape[0])
    return jax.vmap(lambda k: jax.random.normal(k, inputs.shape[1:], jnp.float32))(keys)


def _float_pair(real: jax.Array, fake: jax.Array) -> tuple[jax.Array, jax.Array]:
    if real.shape != fake.shape:
        raise ValueError(f"this penalty needs real and fake of one shape, got {real.shape} and {fake.shape}")
    return real.astype(jnp.float32), fake.astype(jnp.float32)


def _input_gradients(logits_fn: LogitsFn, inputs: jax.Array) -> jax.Array:
    return jax.grad(lambda x: jnp.sum(_scores(logits_fn(x))))(inputs.astype(jnp.float32))


def _zero_centered(slopes: jax.Array) -> jax.Array:
    return 0.5 * jnp.mean(_squared_norms(slopes))


def _squared_differences(
    logits_fn: LogitsFn, inputs: jax.Array, noise: jax.Array, sigma: float, logits: jax.Array | None
) -> jax.Array:
    """((D(x + sigma n) - D(x)) / sigma)^2, [B]."""
    inputs = inputs.astype(jnp.float32)  # sigma would drown in the rounding of a bfloat16 pixel
    clean = _scores(logits_fn(inputs) if logits is None else logits)
    return jnp.square((_scores(logits_fn(inputs + sigma * noise)) - clean) / sigma)


def zero_centered(logits_fn: LogitsFn, inputs: jax.Array) -> jax.Array:
    """1/2 E ||grad_x D(x)||^2, exact: R1 on real inputs, R2 on fake ones (arXiv 1801.04406, eq. 9 and 10)."""
    return _zero_centered(_input_gradients(logits_fn, inputs))


def zero_centered_fd(
    logits_fn: LogitsFn,
    inputs: jax.Array,
    key: jax.Array,
    sigma: float = 0.01,
    logits: jax.Array | None = None,
    indices: jax.Array | None = None,
) -> jax.Array:
    """Estimates `zero_centered` by 1/2 E ((D(x + sigma n) - D(x)) / sigma)^2, one n ~ N(0, I) per example.

    Unbiased for a linear D, whatever sigma; otherwise the bias is O(sigma^2). One draw has a relative
    variance of 2. This is the approximated R1/R2 of arXiv 2501.08316, whose L_aR1 is 2 sigma^2 times it.
    `logits`, D(inputs) where the caller already has it, saves a pass; gradients flow through it. A
    discriminator that returns bfloat16 logits loses the difference in rounding: compute them in float32 or
    raise sigma.
    """
    noise = _normal(key, indices, inputs)
    return 0.5 * jnp.mean(_squared_differences(logits_fn, inputs, noise, sigma, logits))


def gradient_penalty(
    logits_fn: LogitsFn, real: jax.Array, fake: jax.Array, key: jax.Array, indices: jax.Array | None = None
) -> jax.Array:
    """E (||grad D(x^)||_2 - 1)^2, exact, at x^ = e x + (1 - e) G(z), e ~ U[0, 1] (arXiv 1704.00028, eq. 3).

    Where the gradient is exactly 0 its norm is given the slope 0, so parameter gradients stay finite.
    """
    norms = _safe_sqrt(_squared_norms(_input_gradients(logits_fn, _interpolate(real, fake, key, indices))))
    return jnp.mean(jnp.square(norms - 1.0))


def gradient_penalty_fd(
    logits_fn: LogitsFn,
    real: jax.Array,
    fake: jax.Array,
    key: jax.Array,
    indices: jax.Array | None = None,
    sigma: float = 0.01,
) -> jax.Array:
    """E (|D(x^ + sigma u) - D(x^ - sigma u)| / (2 sigma) - 1)^2, u = (x - G(z)) / ||x - G(z)||, x^ as above.

    Not an unbiased estimate of `gradient_penalty`: the slope in one direction is a lower bound of the
    gradient's norm, tight where the gradient points from fake to real, as an optimal critic's does (arXiv
    1704.00028, prop. 1). The other directions go unconstrained. Where x = G(z), u is 0 and the example adds a
    constant 1.
    """
    points = _interpolate(real, fake, key, indices)
    real, fake = _float_pair(real, fake)
    lengths = _safe_sqrt(_squared_norms(real - fake))
    steps = sigma * (real - fake) / _per_example(jnp.where(lengths > 0, lengths, 1.0), real)
    slopes = (_scores(logits_fn(points + steps)) - _scores(logits_fn(points - steps))) / (2.0 * sigma)
    return jnp.mean(jnp.square(jnp.abs(slopes) - 1.0))


def _interpolate(real: jax.Array, fake: jax.Array, key: jax.Array, indices: jax.Array | None) -> jax.Array:
    real, fake = _float_pair(real, fake)
    weights = jax.vmap(lambda k: jax.random.uniform(k, (), jnp.float32))(_keys(key, indices, real.shape[0]))
    weights = _per_example(weights, real)
    return weights * real + (1.0 - weights) * fake


def lazy(penalty_fn: Callable[[], jax.Array], step: jax.Array | int, every: int) -> jax.Array:
    """`every * penalty_fn()` on steps divisible by `every`, else 0 (arXiv 1912.04958, appendix B).

    The mean over a cycle is the penalty itself, so its weight need not change with `every`; the skipped steps
    do not compute it. `step` may be traced; it must be the same on all devices. Raises ValueError unless
    every >= 1.
    """
    if every < 1:
        raise ValueError(f"every must be >= 1 (1 = on each step), got {every}")
    if every == 1:
        return jnp.asarray(penalty_fn(), jnp.float32)
    return jax.lax.cond(
        jnp.asarray(step) % every == 0,
        lambda: every * jnp.asarray(penalty_fn(), jnp.float32),
        lambda: jnp.zeros((), jnp.float32),
    )


# The same under the one signature that PENALTIES lists, (logits_fn, real, fake, key, indices=None), which
# `gradient_penalty` and `gradient_penalty_fd` have already. Set `sigma` by functools.partial.


def none(logits_fn: LogitsFn, real, fake, key, indices=None) -> jax.Array:
    """0."""
    del logits_fn, real, fake, key, indices
    return jnp.zeros((), jnp.float32)


@dataclasses.dataclass(frozen=True)
class ZeroCentered:
    """`zero_centered` on real, on fake, or their sum, the latter in one pass over [real; fake] (2B rows).

    Raises ValueError where it needs both and their shapes differ.
    """

    real: bool
    fake: bool

    def of_slopes(self, real: jax.Array, fake: jax.Array) -> jax.Array:
        """The same, where the caller already has grad_x D(x) on both sides."""
        wanted = [slopes for slopes, used in ((real, self.real), (fake, self.fake)) if used]
        return sum(_zero_centered(slopes) for slopes in wanted)

    def __call__(self, logits_fn: LogitsFn, real, fake, key, indices=None) -> jax.Array:
        del key, indices
        if not (self.real and self.fake):
            return zero_centered(logits_fn, real if self.real else fake)
        both = _input_gradients(logits_fn, jnp.concatenate(_float_pair(real, fake)))
        return self.of_slopes(*jnp.split(both, 2))


r1 = ZeroCentered(real=True, fake=False)
r2 = ZeroCentered(real=False, fake=True)
r1r2 = ZeroCentered(real=True, fake=True)


def r1_fd(logits_fn: LogitsFn, real, fake, key, indices=None, sigma: float = 0.01, logits=None) -> jax.Array:
    """`zero_centered_fd` on real; `logits` is D(real), where already known."""
    del fake
    return zero_centered_fd(logits_fn, real, jax.random.split(key)[0], sigma, logits, indices)


def r2_fd(logits_fn: LogitsFn, real, fake, key, indices=None, sigma: float = 0.01, logits=None) -> jax.Array:
    """`zero_centered_fd` on fake; `logits` is D(fake), where already known."""
    del real
    return zero_centered_fd(logits_fn, fake, jax.random.split(key)[1], sigma, logits, indices)


def r1r2_fd(
    logits_fn: LogitsFn, real, fake, key, indices=None, sigma: float = 0.01, logits=None
) -> jax.Array:
    """`r1_fd + r2_fd`, same noise, in one pass over [real; fake] (2B rows).

    `logits` is D([real; fake]), where already known. Raises ValueError where the shapes of real and fake
    differ.
    """
    both = jnp.concatenate(_float_pair(real, fake))
    real_key, fake_key = jax.random.split(key)
    noise = jnp.concatenate([_normal(real_key, indices, real), _normal(fake_key, indices, fake)])
    return jnp.mean(_squared_differences(logits_fn, both, noise, sigma, logits))  # 2 * 1/2, as in r1r2
