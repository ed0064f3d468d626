"""`own_videos` on Procgen's games: 16 classes, by which clips can be asked for; textures, drawn backgrounds.

python experiments/datasets/run.py procgen --out DIR
python -m vgm_jax.main --config configs/procgen.py --config.data.path=DIR
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The recipe for 64 x 64: a picture that bends and changes as it moves, much where games follow one."""
    path = Path(__file__).with_name("own_videos.py")
    config = runpy.run_path(str(path))["get_config"]()
    config.data.source = "tfds"
    config.data.fps = 15.0
    config.model.generator.update({"bend": 1.0, "content_dim": 1024, "conditions": ("label",), "classes": 16})
    config.model.encoder.unlock()  # to name a field that no recipe before does
    config.model.encoder.keyed = True  # where a picture scrolls, its frames' mean is a blur
    config.objective.settled_from = 2800
    config.objective.codes_memory = 8192
    config.optimizer.decay_steps = 3800
    config.train.steps = 3800
    return config.lock()
