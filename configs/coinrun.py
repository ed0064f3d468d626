"""`procgen` on CoinRun alone, whose camera follows the agent: arrays, without labels.

python experiments/datasets/run.py coinrun --out DIR
python -m vgm_jax.main --config configs/coinrun.py --config.data.path=DIR
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The recipe for Procgen's games, on one of them: a ground twice as wide as what a camera sees of it."""
    path = Path(__file__).with_name("procgen.py")
    config = runpy.run_path(str(path))["get_config"]()
    config.data.source = "arrays"
    config.model.generator.update({"conditions": (), "classes": 0})
    # Each ground is painted once a clip: fewer clips, of which more is seen, are cheaper and say more.
    config.data.batch_size = 8
    config.model.frames_seen = 4
    config.optimizer.painter_rate = 7e-4
    config.model.generator.update({"camera": 1.0, "bend": 0.0, "grid": 16, "content_dim": 2048})
    return config.lock()
