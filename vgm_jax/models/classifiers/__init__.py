"""Networks that say what clips show.

A classifier has `__call__(frames [B T H W 3] in [-1, 1], times [B T] seconds) -> Judgement`; one that is
given more than pictures takes the rest by name, as `TrunkClassifier` does. An answerer, which is asked
something about a clip, has `__call__(batch, present) -> Answered`.
"""

from vgm_jax.models.classifiers.answerer import Answered, Answerer
from vgm_jax.models.classifiers.clip import ClipClassifier, Judgement
from vgm_jax.models.classifiers.motion import MotionClassifier
from vgm_jax.models.classifiers.trunk import TrunkClassifier

CLASSIFIERS = {"clip": ClipClassifier, "motion": MotionClassifier, "trunk": TrunkClassifier}
ANSWERERS = {"answerer": Answerer}

__all__ = ["ANSWERERS", "CLASSIFIERS", "Answered", "Answerer", "ClipClassifier", "Judgement"]
__all__ += ["MotionClassifier", "TrunkClassifier"]
