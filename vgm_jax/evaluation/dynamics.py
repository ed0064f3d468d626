"""How clips move, read off their pixels: what video generators are known to do wrong, as a figure each.

A real set has values of its own (things that circle do come back): a fake one is to have the same.
"""

import jax
import jax.numpy as jnp

from vgm_jax.types import Array

# In the order of `dynamics`.
NAMES = ("flicker", "return", "sticking")
FLAT = 1e-3  # squared grey levels: less is rounding, not detail
STILL = 0.01  # grey levels: of a mean change under that there is nothing to say


@jax.jit
def dynamics(video: Array) -> Array:
    """uint8 [B T H W 3] -> float32 [B 3], `NAMES`; 0 of clips that stand still or have too few frames.

    With x_t a frame's grey levels, L its 3 x 3 mean, H = x - L, and means over pixels and times:
    - flicker: mean |x_t+1 - 2 x_t + x_t-1| / mean (|x_t+1 - x_t| + |x_t - x_t-1|) / 2, of 0..2: 0 where each
      pixel goes on evenly, sqrt 3 of frames of noise, 2 where every other frame is alike.
    - return: 1 - |x_T - x_1| / max_t |x_t - x_1| (root mean square): 1 where the last frame is the first, as
      of motion to and fro; 0 where it is the farthest from it.
    - sticking: sum w (mean_t H)^2 / sum w mean_t H^2 with w = Var_t L: of the fine detail where the picture
      changes, the part that stays at its pixels. 1/T where it moves as noise does, 1 where texture sticks to
      the screen (the flaw is named in arXiv 2106.12423, sec. 1; the figure is ours). 0 without any detail.
    """
    x = jnp.mean(video.astype(jnp.float32), -1)
    b, t, h, w = x.shape
    if t < 3:
        return jnp.zeros((b, len(NAMES)), jnp.float32)
    steps = jnp.abs(jnp.diff(x, axis=1))
    change = jnp.mean((steps[:, 1:] + steps[:, :-1]) / 2, (1, 2, 3))
    bend = jnp.mean(jnp.abs(jnp.diff(x, n=2, axis=1)), (1, 2, 3))
    away = jnp.sqrt(jnp.mean(jnp.square(x - x[:, :1]), (2, 3)))
    padded = jnp.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), "edge")
    mean = sum(padded[:, :, i : i + h, j : j + w] for i in range(3) for j in range(3)) / 9
    fine, weight = x - mean, jnp.var(mean, 1)
    stays = jnp.sum(weight * jnp.square(jnp.mean(fine, 1)), (1, 2))
    there = jnp.sum(weight * jnp.mean(jnp.square(fine), 1), (1, 2))
    flat = there < FLAT * jnp.sum(weight, (1, 2))
    sticking = jnp.where(flat, 0.0, _part(stays, there))
    figures = [_part(bend, change), 1 - _part(away[:, -1], jnp.max(away, 1)), sticking]
    return jnp.where((change > STILL)[:, None], jnp.stack(figures, 1), 0.0)


def _part(of: Array, whole: Array) -> Array:
    return of / jnp.maximum(whole, 1e-6)
