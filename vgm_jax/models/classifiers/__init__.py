"""Networks that say what clips show.

A classifier has `__call__(frames [B T H W 3] in [-1, 1], times [B T] seconds) -> Judgement`.
"""

from vgm_jax.models.classifiers.clip import ClipClassifier, Judgement

CLASSIFIERS = {"clip": ClipClassifier}

__all__ = ["CLASSIFIERS", "ClipClassifier", "Judgement"]
