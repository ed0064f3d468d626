"""How fast objects spin, learned from what the generator itself lets spin."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from vgm_jax.models.encoders.scene import FASTEST, TRIED, Reading, spinning
from vgm_jax.models.scene import POSE, Codes, spun
from vgm_jax.types import Array

DREAMT = 4  # every n-th clip is dreamt of
FORM = 10.0  # weight of the mean square by which a form is misread, in nats


def dream(
    paint: Callable[[Codes], Array],
    look: Callable[[Array, Array], Reading],
    found: Reading,
    times: Array,
    keys: Array,
) -> Array:
    """How badly the encoder reads off painted clips how fast they spin, and what they show, in nats.

    The sleep phase of wake-sleep (Hinton et al., 1995): what was read off some clips is painted with its
    objects spinning at rates that are known, half of them not at all. Of clips that do spin there may be few;
    and no gradient of painting these leads to a rate, for what is half a symmetry off is as wrong as can be.

    Args:
      paint: codes to frames, whence no gradient comes.
      look: frames [B K H W C] in [-1, 1] and times [B K] seconds to what the encoder reads.
      found: what it read off clips at times [B K]; keys [B].
    """
    still, times, keys = jax.tree.map(
        lambda x: x[::DREAMT], (jax.lax.stop_gradient(found.still), times, keys)
    )
    b, objects, _ = still.form.shape
    draw = jax.vmap(lambda key: jax.random.uniform(jax.random.fold_in(key, 2), (2 * objects + 1,)))(keys)
    spins, at, jitter = draw[:, :objects] < 0.5, draw[:, objects:-1], draw[:, -1:] - 0.5
    rates = jnp.where(spins, FASTEST * (2 * at - 1), 0.0)  # [B O]
    angle = 2 * jnp.pi * times[..., None] * rates[:, None]
    painted = paint(still._replace(motion=spun(still.motion, angle)))
    again = look(jnp.clip(jax.lax.stop_gradient(painted), -1.0, 1.0), times)
    form, turns = again.codes.form, again.turns
    if objects > 1:  # each is the one that is nearest to where it was painted
        same = nearest(still.motion, again.codes.motion, objects)
        form = jnp.take_along_axis(form, same[..., None], 1)
        turns = jnp.take_along_axis(turns, same[:, None, :, None], 2)
    total = FORM * jnp.mean(jnp.square(form - still.form))
    others = jnp.linspace(-FASTEST, FASTEST, TRIED) + jitter * (2 * FASTEST / (TRIED - 1))
    for i in range(objects):
        own = rates[:, i : i + 1]
        said = spinning(turns, times, jnp.concatenate([own, jnp.zeros((b, 1)), others], 1))[:, i]
        twice = (own == 0) & (jnp.arange(TRIED + 2) == 1)
        said = jax.nn.log_softmax(jnp.where(twice, -jnp.inf, said), -1)
        total -= jnp.mean(said[:, 0])
    return total


def nearest(motion: Array, others: Array, objects: int) -> Array:
    """Of each object which of the others [B K M] is nearest to it, all through a clip: [B O]."""
    one, other = (x[..., : POSE * objects].reshape(*x.shape[:2], objects, POSE) for x in (motion, others))
    apart = jnp.square(one[:, :, :, None, :2] - other[:, :, None, :, :2]).sum((1, 4))
    return apart.argmin(-1)
