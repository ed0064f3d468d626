"""Learns to tell whether a clip runs backwards: a network that sees the direction of time, to measure in.

python -m vgm_jax.main --config configs/arrow_of_time.py
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """`base`, with half of the clips reversed on the device, and the question which."""
    config = runpy.run_path(str(Path(__file__).with_name("base.py")))["get_config"]()
    config.task = "classification"
    config.data.batch_size = 32
    config.model.label = "direction"
    config.model.heads = (("direction", 2),)
    config.model.frames_seen = 0
    config.model.classifier = ConfigDict({"name": "motion", "side": 32})
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = config.optimizer.b2_end = 0.99
    config.optimizer.decay_steps = 1000
    config.optimizer.rate_end = 0.02
    config.optimizer.ema_decay = 0.99
    config.train.steps = 1000
    config.evaluate.every = 200
    config.evaluate.clips = 1024
    config.checkpoint.every = 200
    return config.lock()
