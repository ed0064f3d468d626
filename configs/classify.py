"""Says which of ShapeShow's 48 classes, motion by sound, a clip with sound is; the trunk may lack either.

python -m vgm_jax.main --config configs/classify.py
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """`base` with the trunk, which can stream, and one head."""
    config = runpy.run_path(str(Path(__file__).with_name("base.py")))["get_config"]()
    config.task = "classification"
    config.data.batch_size = 32
    config.data.shapeshow.label = "both"
    config.data.shapeshow.audio = True
    config.model.frames_seen = 0
    config.model.modalities = ("video", "audio")
    config.model.modality_drop = 0.3
    config.model.classifier = ConfigDict({"name": "trunk"})
    config.model.heads = (("class", 48),)
    config.model.trunk.causal = True
    config.optimizer.classifier_rate = 1.5e-3
    config.optimizer.rate_end = 0.01
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = config.optimizer.b2_end = 0.99
    config.optimizer.warmup_steps = 100
    config.optimizer.decay_steps = 3000
    config.optimizer.clip_norm = 1.0
    config.optimizer.ema_decay = 0.995
    config.train.steps = 3000
    config.train.show_every = 1000
    config.evaluate.every = 1000
    config.evaluate.clips = 1024
    config.evaluate.batch_size = 64
    return config.lock()
