"""The second family on CoinRun: frame by frame, in one pass each, following the player's actions.

python experiments/datasets/run.py coinrun --out DIR
python -m vgm_jax.main --config configs/causal.py --config.data.path=DIR
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """`base` with a causal generator that learns on its own frames, on clips with actions."""
    config = runpy.run_path(str(Path(__file__).with_name("base.py")))["get_config"]()
    config.model.discriminator.unlock()  # to name fields that no recipe before does
    config.task = "autoregression"
    config.data.update(source="arrays", size=64, frames=16, fps=15.0, batch_size=8)
    config.model.update(frames_seen=7, frames_given=2, frames_judged=3)
    config.model.generator = ConfigDict({"name": "causal", "actions": 15, "idle": 4})
    config.model.discriminator.update(patch=4, frame_widths=(128, 128), frame_depths=(0, 1))
    config.model.encoder = ConfigDict({"name": "none"})
    config.objective.update(judge_stride=2, penalty_stride=2, start_stride=0)
    config.objective.reconstruction_weight = 50.0
    config.objective.speed_weight = 3.0
    config.optimizer.update(generator_rate=6e-4, discriminator_rate=2e-4, decay_steps=1500)
    config.train.update(steps=1500, show_every=300)
    config.evaluate.update(features="random,efficientnet", every=0, clips=256)
    return config.lock()
