"""`base` at 64 x 64: the same networks, those that look at clips with one level more.

python -m vgm_jax.main --config configs/shapeshow_64.py
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """`base`, its discriminator and encoder from 32 x 32 down instead of from 16 x 16."""
    config = runpy.run_path(str(Path(__file__).with_name("base.py")))["get_config"]()
    config.model.encoder.unlock()  # to name fields that no recipe before does
    config.data.size = 64
    levels = {"frame_widths": (32, 64, 96), "frame_depths": (0, 0, 1)}
    config.model.discriminator = ConfigDict({"name": "clip"} | levels)
    config.model.encoder.widths = (32, 48, 96, 160)
    return config.lock()
