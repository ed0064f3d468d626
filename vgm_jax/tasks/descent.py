"""One network, one optimiser: the state and the update that tasks of understanding share."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from vgm_jax.training.optimizers import ema
from vgm_jax.types import Array, Metrics, Params


@flax.struct.dataclass
class Trained:
    """step int32: updates done. Parameters, their moving average, the optimiser's state."""

    step: Array
    params: Params
    average: Params
    opt: Any


def begin(params: Params, optimizer: optax.GradientTransformation) -> Trained:
    """The state before the first update."""
    average = jax.tree.map(jnp.copy, params)
    return Trained(jnp.zeros((), jnp.int32), params, average, optimizer.init(params))


def descend(
    state: Trained,
    gradient: Params,
    figures: dict[str, tuple[Array, Array]],
    optimizer: optax.GradientTransformation,
    decay: float,
    axis_name: str | None,
) -> tuple[Trained, Metrics]:
    """The state after an update, and the sums of figures, each values [B] and weights [B]."""
    metrics = {name: ((value * weight).sum(), weight.sum()) for name, (value, weight) in figures.items()}
    if axis_name is not None:
        gradient = jax.lax.pmean(gradient, axis_name)
        metrics = jax.lax.psum(metrics, axis_name)
    update, opt = optimizer.update(gradient, state.opt, state.params)
    params = optax.apply_updates(state.params, update)
    return Trained(state.step + 1, params, ema(state.average, params, state.step, decay), opt), metrics
