"""`shapeshow_64` at 128 x 128: the same networks, those that look at clips with one level more.

python -m vgm_jax.main --config configs/shapeshow_128.py

Not run as it stands: experiments/scale trained its networks in two parts, whose commands are there.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """`shapeshow_64`, its discriminator and encoder from 64 x 64 down instead of from 32 x 32."""
    config = runpy.run_path(str(Path(__file__).with_name("shapeshow_64.py")))["get_config"]()
    config.data.size = 128
    levels = {"frame_widths": (16, 32, 64, 96), "frame_depths": (0, 0, 0, 1)}
    config.model.discriminator.update(levels)
    config.model.encoder.widths = (16, 32, 48, 96, 160)
    return config.lock()
