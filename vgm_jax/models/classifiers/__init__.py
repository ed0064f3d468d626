"""Networks that say what clips show.

A classifier has `__call__(frames [B T H W 3] in [-1, 1], times [B T] seconds) -> Judgement`.
"""

from vgm_jax.models.classifiers.clip import ClipClassifier, Judgement
from vgm_jax.models.classifiers.motion import MotionClassifier

CLASSIFIERS = {"clip": ClipClassifier, "motion": MotionClassifier}

__all__ = ["CLASSIFIERS", "ClipClassifier", "Judgement", "MotionClassifier"]
