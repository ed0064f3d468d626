"""The textbook video GAN: dense layers, minimax and non-saturating losses, Adam at 2e-4. A baseline.

python -m vgm_jax.main --config configs/mlp_gan.py
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """`base` with the textbook's networks and numbers."""
    config = runpy.run_path(str(Path(__file__).with_name("base.py")))["get_config"]()
    config.data.batch_size = 64
    config.model.frames_seen = 0
    config.model.generator = ConfigDict({"name": "mlp"})
    config.model.discriminator = ConfigDict({"name": "mlp"})
    config.model.encoder = ConfigDict({"name": "none"})
    config.objective.judge_stride = 1
    config.objective.name = "nonsaturating"
    config.objective.penalty = "none"
    config.optimizer.generator_rate = config.optimizer.discriminator_rate = 2e-4
    config.optimizer.rate_end = 1.0
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = config.optimizer.b2_end = 0.999
    config.optimizer.warmup_steps = 0
    config.train.steps = 3000
    return config.lock()
