"""What of a clip the game of codes tells the imagination: some conditions, some motion, by chance."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from vgm_jax.models.scene import Codes, Known
from vgm_jax.types import Array, Key

KNOWN = 2  # times of a clip that motion may be told at
TOLD = (0.5, 0.3)  # chances that it is told none, and one alone: the first, half the time
NOTHING, ALONE = 0.25, 0.45  # chances that a clip is asked for by nothing, and by one condition alone; ...
KEPT = 0.7  # ... else by each that it has


def motion_told(codes: Codes, times: Array, key: Key) -> Known:
    """Of codes that were read at times [B K], what the generator is told: none, one or `KNOWN` times."""
    many, first, which = jax.random.split(key, 3)
    order = jax.vmap(lambda k: jax.random.permutation(k, times.shape[1])[:KNOWN])(
        jax.random.split(which, len(times))
    )
    start = jax.random.bernoulli(first, 0.5, (len(times),))
    # Never twice the same time: where the first frame takes the first place, the second is a later one.
    order = order.at[:, 0].set(jnp.where(start, 0, order[:, 0]))
    order = order.at[:, 1].set(jnp.where(order[:, 1] == order[:, 0], times.shape[1] - 1, order[:, 1]))
    draw = jax.random.uniform(many, (len(times), 1))
    valid = jnp.concatenate([draw >= TOLD[0], draw >= sum(TOLD)], 1)
    motion = jnp.take_along_axis(codes.motion, order[..., None], 1)
    return Known(motion, jnp.take_along_axis(times, order, 1), valid)


def conditions_told(names: Sequence[str], rows: int, key: Key) -> dict[str, Array]:
    """Whether each clip is asked for by each condition, bool [B]: by none, one alone, or each by chance."""
    how = jax.random.uniform(jax.random.fold_in(key, 2), (rows, 1))
    one, each = (jax.random.fold_in(key, i) for i in (3, 4))
    one = jax.nn.one_hot(jax.random.randint(one, (rows,), 0, max(1, len(names))), len(names)) > 0
    kept = jax.random.bernoulli(each, KEPT, (rows, len(names)))
    kept = (how >= NOTHING) & jnp.where(how < NOTHING + ALONE, one, kept)
    return {name: kept[:, i] for i, name in enumerate(sorted(names))}
