"""`procgen` on CoinRun alone, whose camera follows the agent: arrays, without labels.

python experiments/datasets/run.py coinrun --out DIR
python -m vgm_jax.main --config configs/coinrun.py --config.data.path=DIR
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The recipe for Procgen's games, on one of them."""
    path = Path(__file__).with_name("procgen.py")
    config = runpy.run_path(str(path))["get_config"]().unlock()
    config.data.source = "arrays"
    config.model.generator.update({"conditions": (), "classes": 0})
    return config.lock()
