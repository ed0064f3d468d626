"""Teaches a trunk from clips alone, by masked video modelling; `model.start` of another recipe takes it up.

python -m vgm_jax.main --config configs/masked_video.py
python -m vgm_jax.main --config configs/classify.py --config.model.start=runs/masked_video
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """`base` with the trunk of `classify`, whose picture and pooled vector it teaches."""
    config = runpy.run_path(str(Path(__file__).with_name("base.py")))["get_config"]()
    config.task = "masked_video"
    config.data.batch_size = 32
    config.model.trunk.causal = True
    config.objective.whole_weight = 1.0
    config.optimizer.classifier_rate = 1e-3
    config.optimizer.rate_end = 0.05
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = config.optimizer.b2_end = 0.95
    config.optimizer.warmup_steps = 100
    config.optimizer.decay_steps = 3000
    config.optimizer.clip_norm = 1.0
    config.optimizer.ema_decay = 0.995
    config.train.steps = 3000
    config.train.show_every = 1000
    config.evaluate.every = 1000
    config.evaluate.clips = 512
    config.evaluate.batch_size = 64
    return config.lock()
