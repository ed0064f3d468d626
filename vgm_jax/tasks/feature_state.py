"""What a GAN of feature vectors has learnt so far, and what vectors were like that it learnt from."""

from typing import Any

import flax.struct

from vgm_jax.types import Array, Params


@flax.struct.dataclass
class Standard:
    """Of real vectors' numbers, mean and deviation, float32 [D] each."""

    mean: Array
    deviation: Array

    def of(self, vectors: Array) -> Array:
        return (vectors - self.mean) / self.deviation

    def back(self, vectors: Array) -> Array:
        return self.mean + self.deviation * vectors


@flax.struct.dataclass
class FeatureGANState:
    """step int32: updates done. Both networks, the generator's moving average, the classifier; optimisers.

    `classes` float32 [C A] describes each class, `standard` the vectors; both are as they were at first.
    `classifier` and its optimiser's state are () where there is none.
    """

    step: Array
    generator: Params
    generator_ema: Params
    discriminator: Params
    classifier: Params
    generator_opt: Any
    discriminator_opt: Any
    classifier_opt: Any
    classes: Array
    standard: Standard
