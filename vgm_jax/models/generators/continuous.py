"""The flagship generator: content and continuous-time motion codes to frames at arbitrary real times."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgm_jax.models.encoders.condition import Condition
from vgm_jax.models.generators.imagination import ContinuousNoise, Imagination
from vgm_jax.models.generators.painting import Painting, Still
from vgm_jax.models.scene import Asked, Codes, Known, motion_dim


class ContinuousGenerator(nn.Module):
    """Frames at arbitrary times from one content code and a trajectory of motion codes.

    Objects move over a background (VGAN, arXiv 1609.02612, sec. 3.1; LR-GAN, arXiv 1703.01560): all are
    painted once a clip, from content and form; at each time, motion places, turns and scales each object; a
    camera looks at a part of the background. So form and colour persist by construction, a clip costs little
    more than a picture, and edges lie at sub-pixel accuracy. `imagine` makes the codes of noise; `paint`
    paints these, and those that an encoder reads off a clip.
    """

    resolution: int
    channels: int = 3
    grey: bool = False  # whether all channels show the same
    content_dim: int = 64
    form_dim: int = 32
    noise_dim: int = 64
    motion_dim: int = 32  # of the noise that moves, a code
    width: int = 512  # of the layers from noise to codes
    window: float = 1.0  # seconds that a random code of motion is for; best the length of the clips
    canvas: int = 0  # texels a side that an object is painted on; 0: 3/4 of the resolution
    front_base: int = 1152  # channels of an object's painter at S x S texels: front_base / S ...
    front_max: int = 192  # ... but at most this
    back_base: int = 512  # of the ground's, likewise; 0: it is of one colour, the same in all clips
    back_max: int = 96
    free_base: int = 1024  # of what changes otherwise
    objects: int = 1  # later ones before earlier ones
    camera: float = 0.0  # how far it moves over the ground, in halves of the picture's side; 0: not at all
    free: int = 0  # numbers a time by which the picture changes otherwise
    bend: float = 0.0  # how far these may shift what is seen of the ground, in halves of the picture's side
    grid: int = 0  # cells a side over which content is laid out, each telling what is seen there; 0: none
    layers: int = 0  # of which cells show shares, as content is imagined; 0: each cell is told for itself
    categories: Sequence[int] = (64, 64)  # sizes of draws beside the normal ones
    conditions: Sequence[str] = ()  # of "label", "text", "sentence", "audio", "image"
    classes: int = 0  # that "label" is one of
    words: int = 0  # of the vocabulary of "text"
    dtype: Any = jnp.float32

    def setup(self):
        cells = self.grid**2
        if cells and (not self.content_dim or self.content_dim % cells):
            raise ValueError(
                f"content_dim={self.content_dim} must be as many numbers for each of the {self.grid} x "
                f"{self.grid} cells of grid={self.grid}"
            )
        if self.layers and (self.layers < 2 or not cells):
            raise ValueError(
                f"layers={self.layers} must be 0, or two and more of content that is laid out in cells: "
                "set grid"
            )
        self.imagination = Imagination(
            self.content_dim,
            self.form_dim,
            self.objects,
            motion_dim(self.objects, self.camera, self.free),
            self.window,
            self.categories,
            self.width,
            self.conditions,
            self.classes,
            self.words,
            self.grid,
            self.layers,
        )
        fields = ("resolution", "channels", "grey", "canvas", "front_base", "front_max", "back_base")
        fields += ("back_max", "free_base", "objects", "camera", "free", "bend", "grid", "dtype")
        self.painting = Painting(**{name: getattr(self, name) for name in fields}, width=self.width // 2)

    def noise(self, keys: jax.Array, times: jax.Array, since: jax.Array | int = 0) -> ContinuousNoise:
        """Noise of B clips at times [B K] in seconds: a function of each clip's key and the time alone.

        since: windows of motion that had gone before time zero: a stream's times stay small so, and exact.
        """
        content = jax.vmap(lambda k: jax.random.normal(jax.random.fold_in(k, 0), (self.noise_dim,)))(keys)
        index = jnp.floor(times / self.window).astype(jnp.int32) + since

        def code(key, i):
            return jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, 1), i), (self.motion_dim,))

        window = index[..., None] + jnp.arange(2)
        motion = jax.vmap(lambda k, w: jax.vmap(jax.vmap(lambda i: code(k, i)))(w))(keys, window)
        count = jnp.maximum(1, jnp.asarray(self.categories, jnp.int32))
        draw = jax.vmap(lambda k: jax.random.randint(jax.random.fold_in(k, 2), count.shape, 0, count))
        return ContinuousNoise(content, motion, draw(keys), index)

    def ask(self, given: dict[str, jax.Array], present: dict[str, jax.Array] | None = None) -> Condition:
        """What clips are asked for by (`models.encoders.condition.ConditionEncoder`)."""
        return self.imagination.ask(given, present)

    def imagine(self, noise: ContinuousNoise, times: jax.Array, asked: Asked | None = None) -> Codes:
        """What clips show at times [B K] seconds."""
        return self.imagination(noise, times, asked)

    def move(
        self,
        content: jax.Array,
        form: jax.Array,
        noise: ContinuousNoise,
        times: jax.Array,
        asked: Asked | None = None,
        known: Known | None = None,
    ) -> Codes:
        """How what is shown, content [B C] and form [B O F], could move at times [B K].

        Where something is known, noise and `asked` are of `times` and, after them, of `known.times`.
        """
        return self.imagination.move(content, form, noise, times, asked, known)

    def paint(self, codes: Codes, still: Still | None = None) -> jax.Array:
        """Codes -> frames [B K H W C], nominally in [-1, 1]. still: that of these codes, if it is at hand."""
        return self.painting(codes, still)

    def still(self, codes: Codes) -> Still:
        """What of content and form `paint` paints once, however things move."""
        return self.painting(codes, shown=False)

    def __call__(self, noise: ContinuousNoise, times: jax.Array) -> jax.Array:
        """times [B K] seconds -> frames [B K H W C], nominally in [-1, 1]."""
        return self.paint(self.imagine(noise, times))
