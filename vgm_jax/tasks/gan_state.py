"""What a generator and its discriminator have learnt so far, and what they report."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from vgm_jax.models.scene import Codes
from vgm_jax.objectives import Strength
from vgm_jax.types import Array, Metrics, Params


@flax.struct.dataclass
class CodeState:
    """What the game of codes keeps: critics' parameters, both sides' optimisers', and codes read of late.

    memory: Codes of M clips, with times [M K] and what each could be asked for by; those read last come
    first. begun: the imagination's and the critics' parameters as they began, to begin anew from.
    """

    critics: Params
    critics_opt: Any
    imagination_opt: Any
    memory: Codes
    times: Array
    given: dict[str, Array] = flax.struct.field(default_factory=dict)
    begun: tuple[Params, Params] | tuple[()] = ()


@flax.struct.dataclass
class GANState:
    """step int32: updates done. Generator, its moving average, discriminator, and both optimisers' states.

    With a game of codes, the generator's parameters have a collection "encoder" beside their "params", and
    `codes` is its state. `strength`: of what the discriminator is shown, where that is adaptive.
    """

    step: Array
    generator: Params
    generator_ema: Params
    discriminator: Params
    generator_opt: Any
    discriminator_opt: Any
    codes: CodeState | tuple[()] = ()
    strength: Strength | tuple[()] = ()


def counted(metrics: dict[str, Array]) -> Metrics:
    """An update's values, each as a sum of one."""
    return {name: (value, jnp.ones(())) for name, value in metrics.items()}


def summed(metrics: Metrics, axis_name: str | None) -> Metrics:
    """Sums and counts over the devices."""
    return metrics if axis_name is None else jax.lax.psum(metrics, axis_name)
