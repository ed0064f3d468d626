"""Answers questions of seven kinds about ShapeShow's clips of one to three objects, with sound.

python -m vgm_jax.main --config configs/look.py
python -m vgm_jax.main --config configs/answer.py --config.model.start=runs/look

It runs without that start, too; how well, now that it is taught what is where, has not been measured.
Controls: `--config.model.modalities="()"` is asked without a clip, `--config.model.modalities="('video',)"`
without its sound; `--config.data.frames=1 --config.data.fps=1` has the first frame alone of the same scenes.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """`base` with a trunk that reads clips, and an answerer on it, asked up to nine questions a clip."""
    config = runpy.run_path(str(Path(__file__).with_name("base.py")))["get_config"]()
    config.task = "question_answering"
    config.data.batch_size = 32
    config.data.shapeshow.variant = "multi"
    config.data.shapeshow.audio = True
    config.data.shapeshow.question = True
    config.data.shapeshow.more_questions = 8
    config.data.shapeshow.layout = 4
    config.model.frames_seen = 0
    config.model.modalities = ("video", "audio")
    config.model.modality_drop = 0.05
    config.model.classifier = ConfigDict({"name": "answerer", "layers": 3, "layout": (7, 8)})
    config.model.heads = (("answer", 29),)
    config.model.trunk.words = 92
    config.objective.layout_weight = 1.0  # what belongs to what, and where, does not come from answers alone
    config.optimizer.classifier_rate = 1.5e-3
    config.optimizer.rate_end = 0.01
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = config.optimizer.b2_end = 0.99
    config.optimizer.warmup_steps = 100
    config.optimizer.decay_steps = 2800
    config.optimizer.clip_norm = 1.0
    config.optimizer.ema_decay = 0.995
    config.train.steps = 2800
    config.train.show_every = 1000
    config.evaluate.every = 1000
    config.evaluate.clips = 1024
    config.evaluate.batch_size = 64
    return config.lock()
