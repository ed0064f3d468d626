"""Networks of a GAN of feature vectors: each is told, beside a vector or noise, of which class it is.

A generator has `noise(keys [B]) -> [B Z]` and `__call__(noise, classes [B A]) -> vectors [B size]`; a critic
`__call__(vectors [B D], classes [B A]) -> logits [B]`. `classes` describe each example's class: one number a
class, or a number an attribute, from which classes that were never seen can be described too.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgm_jax.models.layers import MLP, Dense, leaky_relu


class VectorGenerator(nn.Module):
    """Dense layers from noise and class to a vector, LeakyReLU between them, linear at the end.

    As f-CLSWGAN's (arXiv 1712.00981, sec. 4), one hidden layer; there the vectors come from a ReLU and so
    does the output, here they are brought to mean 0 and deviation 1.
    """

    size: int = 0  # numbers of a vector: the task says, which knows the data
    widths: Sequence[int] = (1024,)
    noise_dim: int = 64

    def noise(self, keys: jax.Array) -> jax.Array:
        """[B noise_dim], standard normal, each from its own key."""
        return jax.vmap(lambda key: jax.random.normal(key, (self.noise_dim,)))(keys)

    @nn.compact
    def __call__(self, noise: jax.Array, classes: jax.Array) -> jax.Array:
        """noise [B noise_dim], classes [B A] -> [B size]."""
        x = jnp.concatenate([noise, classes], -1)
        return MLP((*self.widths, self.size), final_linear=True, name="layers")(x)


class MLPCritic(nn.Module):
    """Dense layers on vector and class."""

    widths: Sequence[int] = (1024,)

    @nn.compact
    def __call__(self, vectors: jax.Array, classes: jax.Array) -> jax.Array:
        """vectors [B D], classes [B A] -> logits [B]."""
        x = jnp.concatenate([vectors, classes], -1)
        return MLP((*self.widths, 1), final_linear=True, name="layers")(x)[:, 0]


class CNNCritic(nn.Module):
    """Convolutions along the vector, as if it were a signal; the class is a second channel of it.

    A layer has windows of two strides' length, one a stride: products of matrices, which a CPU likes best.
    """

    widths: Sequence[int] = (32, 64, 128)
    stride: int = 4
    hidden: int = 256

    @nn.compact
    def __call__(self, vectors: jax.Array, classes: jax.Array) -> jax.Array:
        """vectors [B D], classes [B A] -> logits [B]."""
        told = Dense(vectors.shape[-1], name="told")(classes)
        x = jnp.stack([vectors, told], -1)
        for i, width in enumerate(self.widths):
            x = leaky_relu(Dense(width, name=f"layer{i}")(self.windows(x)))
        x = leaky_relu(Dense(self.hidden, name="hidden")(x.reshape(len(x), -1)))
        return Dense(1, name="logit")(x)[:, 0]

    def windows(self, x: jax.Array) -> jax.Array:
        """[B N C] -> [B ceil(N/stride) 2*stride*C], zeros after the end."""
        b, n, c = x.shape
        count = -(-n // self.stride)
        x = jnp.pad(x, ((0, 0), (0, (count + 1) * self.stride - n), (0, 0)))
        x = x.reshape(b, count + 1, self.stride * c)
        return jnp.concatenate([x[:, :-1], x[:, 1:]], -1)


VECTOR_GENERATORS = {"mlp": VectorGenerator}
CRITICS = {"mlp": MLPCritic, "cnn": CNNCritic}
