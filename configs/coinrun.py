"""`procgen` on CoinRun alone, whose camera follows the agent: arrays, without labels.

python experiments/datasets/run.py coinrun --out DIR
python -m vgm_jax.main --config configs/coinrun.py --config.data.path=DIR
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The recipe for Procgen's games, on one of them: a ground larger than what a camera sees of it."""
    path = Path(__file__).with_name("procgen.py")
    config = runpy.run_path(str(path))["get_config"]()
    config.data.source = "arrays"
    config.model.generator.update({"conditions": (), "classes": 0})
    # Each ground is painted once a clip: fewer clips, of which more is seen, are cheaper and say more.
    config.data.batch_size = 8
    config.model.frames_seen = 4
    config.optimizer.painter_rate = 1.5e-3
    config.objective.codes_noise_far = 0.4  # about as far as imagined grounds lie from what is read
    look = {"camera": 0.75, "bend": 0.0, "free": 0, "grid": 14, "content_dim": 1568}
    look |= {"layers": 4}  # walls, what is behind them, and staircases between
    config.model.generator.update(look)
    config.model.encoder.keyed = False  # frames are laid together where the camera looked
    # Rounds of half as many clips as elsewhere, and more of them.
    config.objective.codes_batch = 64
    config.objective.codes_rounds = 12
    config.objective.codes_early_rounds = 8
    return config.lock()
