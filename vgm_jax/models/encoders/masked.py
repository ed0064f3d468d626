"""Masked video modelling: a trunk that must tell what is behind hidden patches."""

from collections.abc import Mapping
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgm_jax.models.encoders.trunk import Trunk
from vgm_jax.models.layers import PERIODS, Dense, leaky_relu, space_to_depth, time_features

Array = jax.Array


class Told(NamedTuple):
    """What is told of B clips.

    Attributes:
      patches: [B T' h w tube*patch*patch*3], of those that see only what is not hidden.
      changes: [B T' h w 3], of the pooled vectors of the clips as they are (`changes`); None without `whole`.
    """

    patches: Array
    changes: Array | None


class MaskedVideo(nn.Module):
    """A trunk and small decoders, which training throws away afterwards.

    As VideoMAE (arXiv 2203.12602): tubes are hidden, patches predicted normalised. But hidden patches are
    replaced by a learnt vector and go through the trunk (SimMIM, arXiv 2111.09886): convolutions want a grid.

    Patches teach the trunk nothing about its pooled vector, which a classifier reads. With `whole`, that
    vector alone, of the clip as it is, has to tell how the picture changes.
    """

    trunk: Trunk
    decoder: int = 192
    whole: bool = False
    story: int = 384  # channels of the decoder of pooled vectors

    @nn.compact
    def __call__(self, batch: Mapping[str, Array], hidden: Array) -> Told:
        """Clips, and which patches are hidden [B h w], to all that is told of them."""
        clip = {"video": batch["video"], "times": batch["times"]}
        seen = self.trunk(clip, hidden=hidden)
        b, t, h, w, _ = seen.cells.shape
        frames = Dense(self.decoder, name="frames")(seen.frames)[:, :, None, None]
        places = self.param("places", nn.initializers.normal(0.3), (h, w, self.decoder))
        x = leaky_relu(Dense(self.decoder, name="cells")(seen.cells) + frames + places)
        x = leaky_relu(Dense(self.decoder, name="hidden")(x))
        x = Dense(4 * 3 * self.trunk.tube * self.trunk.patch**2, 0.3, name="pixels")(x)
        x = x.reshape(b, t, h, w, 2, 2, -1).transpose(0, 1, 2, 4, 3, 5, 6)
        patches = x.reshape(b, t, 2 * h, 2 * w, -1)
        if not self.whole:
            return Told(patches, None)
        seen = self.trunk(clip)
        when = time_features(seen.times["video"] - seen.times["video"][:, :1], PERIODS)
        x = Dense(self.story, name="pooled")(seen.pooled)[:, None] + Dense(self.story, name="when")(when)
        x = leaky_relu(Dense(self.story, name="story")(leaky_relu(x)))
        x = Dense(4 * h * w * 3, 0.3, name="changes")(x)
        return Told(patches, x.reshape(b, t, 2 * h, 2 * w, 3))

    def patches(self, video: Array) -> Array:
        """What is to be predicted: [B T H W 3] -> [B T' h w tube*patch*patch*3], as they are."""
        trunk, (b, t, *_, c) = self.trunk, video.shape
        missing = -t % trunk.tube
        video = jnp.concatenate([video, jnp.repeat(video[:, -1:], missing, 1)], 1)
        video = jax.image.resize(
            video, (b, t + missing, trunk.side, trunk.side, c), "linear", antialias=True
        ).reshape(b, -1, trunk.tube, trunk.side, trunk.side, c)
        video = video.transpose(0, 1, 3, 4, 2, 5).reshape(-1, trunk.side, trunk.side, trunk.tube * c)
        x = space_to_depth(video, trunk.patch)
        return x.reshape(b, -1, *x.shape[1:])


def changes(patches: Array) -> Array:
    """Patches [B T' h w N] -> [B T' h w 3]: by how much each one's mean colour differs from its mean in time.

    In units of the clip's root mean square difference, so that every clip counts alike.
    """
    colour = patches.reshape(*patches.shape[:-1], -1, 3).mean(-2)
    colour -= colour.mean(1, keepdims=True)
    return colour * jax.lax.rsqrt(jnp.square(colour).mean((1, 2, 3, 4), keepdims=True) + 1e-5)


def normalised(patches: Array) -> tuple[Array, Array, Array]:
    """Patches [... N] of zero mean and unit variance, their means and standard deviations [... 1]."""
    mean = patches.mean(-1, keepdims=True)
    spread = jnp.sqrt(jnp.var(patches, -1, keepdims=True) + 1e-4)
    return (patches - mean) / spread, mean, spread
