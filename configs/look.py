"""Says shape, colour and motion of the one object in a clip of ShapeShow; `configs/answer.py` starts from it.

python -m vgm_jax.main --config configs/look.py
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """`classify` with three heads; forms are what a trunk learns last."""
    config = runpy.run_path(str(Path(__file__).with_name("classify.py")))["get_config"]()
    config.data.shapeshow.label = "look"
    config.model.heads = (("shape", 7), ("colour", 8), ("motion", 12))
    config.optimizer.decay_steps = 4000
    config.train.steps = 4000
    return config.lock()
