"""`shapeshow_64` on videos of your own: what `vgm prepare` made of them, or a folder of them as they are.

python -m vgm_jax.main --config configs/own_videos.py --config.data.path=DIR

What was prepared with `--size 64 --fps 12 --frames 16` fits. As they are, in any form that PyAV or Pillow
reads, clips of 16 frames at 12 frames a second are taken one after another from each video, their centre cut
out and resized. `vgm_jax.data.sources.folder` says how videos are found and split.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The recipe for 64 x 64, its clips from `data.path`: a picture that bends and changes as it moves."""
    path = Path(__file__).with_name("shapeshow_64.py")
    config = runpy.run_path(str(path))["get_config"]()
    config.data.source = "folder"
    config.data.fps = 12.0
    # A picture laid out in 8 x 8 cells, of which each tells what is there; it is shifted, and painted over.
    look = {"objects": 0, "free": 16, "bend": 0.5, "grid": 8, "content_dim": 768, "categories": ()}
    look |= {"back_base": 2048, "back_max": 192}
    config.model.generator = ConfigDict({"name": "continuous"} | look)
    config.model.encoder.widths = (48, 64, 96, 160)
    config.model.encoder.salient = False
    config.model.encoder.spins = False
    # First pictures, from real ones repainted; then, of the codes of training clips, what could be.
    config.objective.judged = "repainted"
    config.objective.judge_from = 500
    config.objective.reconstruction_weight = 150.0  # more leaves the discriminator no say: it blurs
    config.objective.settled_from = 4000
    config.objective.codes_rounds = 8
    config.objective.codes_stride = 1
    config.objective.codes_memory = 4096
    # Critics see late how much pictures differ by: each must be explained, and critics are held back.
    config.objective.codes_explained = 3.0
    config.objective.codes_penalty_weight = 5.0
    config.objective.codes_penalty_end = 1.0
    config.optimizer.generator_rate = 3e-4
    config.optimizer.decay_steps = 6500
    config.train.steps = 6500
    config.evaluate.features = "random,efficientnet"  # the oracle knows ShapeShow alone
    return config.lock()
