"""The trunk's classifier: a linear head or several on what it makes of a clip, whatever the clip has."""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax

from vgm_jax.models.classifiers.clip import Judgement
from vgm_jax.models.encoders import Encoding, Trunk
from vgm_jax.models.layers import Cache, Dense

Array = jax.Array


class TrunkClassifier(nn.Module):
    """Heads over whole clips of picture, sound and text, or some of them."""

    classes: Sequence[int]  # of each head
    trunk: Trunk
    track: bool = False  # it knows no places: only False is valid

    def setup(self) -> None:
        self.heads = [Dense(n, 0.3) for n in self.classes]

    def __call__(
        self,
        frames: Array | None,
        times: Array | None,
        present: Mapping[str, Array] | None = None,
        **others: Array,
    ) -> Judgement:
        """frames [B T H W 3] in [-1, 1], times [B T] seconds, None without picture; "audio", "text" by name.

        `present` as in `Trunk`. Raises ValueError as it does, and where it is asked for a track.
        """
        if self.track:
            raise ValueError("the trunk gives no track; choose model.classifier.name='clip'")
        batch = others if frames is None else others | {"video": frames, "times": times}
        pooled = self.trunk(batch, present).pooled
        return Judgement(tuple(head(pooled) for head in self.heads), None, pooled)

    def encode(self, batch: Mapping[str, Array]) -> tuple[tuple[Array, ...], Encoding]:
        """Logits [B N] a head, and all that the trunk makes of a batch."""
        seen = self.trunk(batch)
        return tuple(head(seen.pooled) for head in self.heads), seen

    def piece(
        self, batch: Mapping[str, Array], past: dict[str, Cache]
    ) -> tuple[tuple[Array, ...], dict[str, Cache]]:
        """Logits [B K N] a head at each beat of a piece of a stream, and what the next piece needs."""
        seen, past = self.trunk(batch, past=past)
        return tuple(head(seen.beats) for head in self.heads), past
