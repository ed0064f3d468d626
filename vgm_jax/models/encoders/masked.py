"""Masked video modelling: a trunk that must tell what is behind hidden patches."""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgm_jax.models.encoders.trunk import Trunk
from vgm_jax.models.layers import Dense, leaky_relu, space_to_depth

Array = jax.Array


class MaskedVideo(nn.Module):
    """A trunk and a small decoder of its cells and frames, which training throws away afterwards.

    As VideoMAE (arXiv 2203.12602): tubes are hidden, patches predicted normalised. But hidden patches are
    replaced by a learnt vector and go through the trunk (SimMIM, arXiv 2111.09886): convolutions want a grid.
    """

    trunk: Trunk
    decoder: int = 192

    @nn.compact
    def __call__(self, batch: Mapping[str, Array], hidden: Array) -> Array:
        """Clips, and which patches are hidden [B h w] -> predictions [B T' h w tube*patch*patch*3]."""
        seen = self.trunk({"video": batch["video"], "times": batch["times"]}, hidden=hidden)
        b, t, h, w, _ = seen.cells.shape
        frames = Dense(self.decoder, name="frames")(seen.frames)[:, :, None, None]
        places = self.param("places", nn.initializers.normal(0.3), (h, w, self.decoder))
        x = leaky_relu(Dense(self.decoder, name="cells")(seen.cells) + frames + places)
        x = leaky_relu(Dense(self.decoder, name="hidden")(x))
        x = Dense(4 * 3 * self.trunk.tube * self.trunk.patch**2, 0.3, name="pixels")(x)
        x = x.reshape(b, t, h, w, 2, 2, -1).transpose(0, 1, 2, 4, 3, 5, 6)
        return x.reshape(b, t, 2 * h, 2 * w, -1)

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


def normalised(patches: Array) -> tuple[Array, Array, Array]:
    """Patches [... N] of zero mean and unit variance, their means and standard deviations [... 1]."""
    mean = patches.mean(-1, keepdims=True)
    spread = jnp.sqrt(jnp.var(patches, -1, keepdims=True) + 1e-4)
    return (patches - mean) / spread, mean, spread
