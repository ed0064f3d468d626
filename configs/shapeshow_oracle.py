"""A judge of ShapeShow: shape, colour, motion and place of what a clip shows, or that it shows none of them.

python -m vgm_jax.main --config configs/shapeshow_oracle.py
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """`base` with a classifier; half of what it learns from is spoiled."""
    config = runpy.run_path(str(Path(__file__).with_name("base.py")))["get_config"]()
    config.task = "classification"
    config.data.batch_size = 48
    config.data.augment = ("degrade",)
    config.data.spoil_every = 2
    config.data.shapeshow.label = "look"
    config.data.shapeshow.track = True
    config.model.frames_seen = 8
    config.model.classifier = ConfigDict({"name": "clip", "frame_heads": 2})
    config.model.heads = (("shape", 7), ("colour", 8), ("motion", 12))
    config.objective.track_weight = 1.0
    config.optimizer.classifier_rate = 1.5e-3
    config.optimizer.rate_end = 0.01
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = config.optimizer.b2_end = 0.99
    config.optimizer.warmup_steps = 50
    config.optimizer.decay_steps = 1800
    config.optimizer.clip_norm = 1.0
    config.optimizer.ema_decay = 0.99
    config.train.steps = 1800
    config.train.show_every = 600
    config.evaluate.every = 600
    config.evaluate.clips = 1024
    return config.lock()
