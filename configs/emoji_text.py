"""Animated emoji asked for by words, on what `emoji` has learnt to paint.

python -m vgm_jax.main --config configs/emoji.py --config.data.path=DIR
python -m vgm_jax.main --config configs/emoji_text.py --config.data.path=DIR

`--config.model.start=WORKDIR` names another run whose painters and encoder it takes.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """`emoji`, its pictures as they are; what it imagines is learnt anew, from words."""
    config = runpy.run_path(str(Path(__file__).with_name("emoji.py")))["get_config"]()
    config.data.text.length = 12
    config.model.start = "runs/emoji"
    config.model.frozen = True
    config.model.generator.conditions = ("text",)
    config.model.generator.words = 508
    config.optimizer.decay_steps = 1500
    config.train.steps = 1500
    return config.lock()
