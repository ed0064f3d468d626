"""`base` at 64 x 64: the same networks, one level finer.

python -m vgm_jax.main --config configs/shapeshow_64.py
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """`base`, its pictures painted from 8 x 8 up instead of from 4 x 4."""
    config = runpy.run_path(str(Path(__file__).with_name("base.py")))["get_config"]().unlock()
    config.data.size = 64
    config.model.discriminator = ConfigDict({"name": "clip", "patch": 4})
    return config.lock()
