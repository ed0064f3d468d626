"""Tells which moments of a film matter, from annotators; ShapeShow's films, in vectors of frozen networks.

python -m vgm_jax.main --config configs/summarize.py
python -m vgm_jax.main --config configs/summarize.py --config.data.source=summaries --config.data.path=FILE.h5
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """`base` with films.

    Without annotators: `--config.objective.summary=adversarial --config.model.features=track`, 400 updates at
    a `classifier_rate` of 1e-3, and `--config.checkpoint.best=`, for validation has annotators.
    """
    config = runpy.run_path(str(Path(__file__).with_name("base.py")))["get_config"]()
    config.task = "summarization"
    config.data.source = "shapeshow_films"
    config.data.frames = 480
    config.data.fps = 8.0
    config.data.batch_size = 8
    config.model.frames_seen = 0
    config.model.features = "track,random,sound"  # of drawn things; for real films "efficientnet,sound"
    config.model.summarizer.update(width=128, dropout=0.1)
    config.objective.name = "nonsaturating"
    config.objective.penalty = "r1"
    config.objective.penalty_weight = config.objective.penalty_weight_end = 1.0
    config.objective.penalty_stride = 1
    config.optimizer.classifier_rate = 3e-3
    config.optimizer.discriminator_rate = 5e-4
    config.optimizer.rate_end = 0.01
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = config.optimizer.b2_end = 0.99
    config.optimizer.warmup_steps = 20
    config.optimizer.decay_steps = 2000
    config.optimizer.clip_norm = 1.0
    config.optimizer.ema_decay = 0.99
    config.train.steps = 2000
    config.train.log_every = 50
    config.train.show_every = 1000
    config.evaluate.every = 500
    config.evaluate.clips = 64
    config.evaluate.batch_size = 8
    config.checkpoint.every = 500
    config.checkpoint.best = "loss"
    return config.lock()
