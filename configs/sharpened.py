"""Sharpens what a run of `own_videos`, or of a recipe like it, imagines: its painters alone learn on.

python -m vgm_jax.main --config configs/own_videos.py --config.data.path=DIR
python -m vgm_jax.main --config configs/sharpened.py --config.data.path=DIR

Of another recipe, such as procgen: `--config configs/sharpened.py:procgen`. `--config.model.start=WORKDIR`
names the run, which is runs/RECIPE by default.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config(recipe: str = "own_videos") -> ConfigDict:
    """The recipe, its codes as they are; the discriminator goes on, and is shown what is imagined."""
    config = runpy.run_path(str(Path(__file__).with_name(f"{recipe}.py")))["get_config"]().unlock()
    config.model.start = f"runs/{recipe}"
    config.model.frozen = False
    config.objective.judged = "sharpened"
    # So little that what is wrong in a picture need not be averaged, so much that it keeps what it shows.
    config.objective.reconstruction_weight = 60.0
    config.optimizer.decay_steps = 600
    config.optimizer.ema_decay = 0.995
    config.train.steps = 600
    return config.lock()
