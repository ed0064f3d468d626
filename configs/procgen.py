"""`own_videos` on Procgen's games: 16 classes, a moving camera in many, textures, drawn backgrounds.

python experiments/datasets/run.py procgen --out DIR
python -m vgm_jax.main --config configs/procgen.py --config.data.path=DIR
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The recipe for 64 x 64, its camera as free as games are, whose pictures are made of few parts."""
    path = Path(__file__).with_name("own_videos.py")
    config = runpy.run_path(str(path))["get_config"]().unlock()
    config.data.source = "tfds"
    config.data.fps = 15.0
    config.model.generator.update({"camera": 1.0, "free": 16, "content_dim": 128})
    return config.lock()
