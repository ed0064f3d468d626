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
    """The recipe for 64 x 64, its clips from `data.path`; all may move, and change otherwise too."""
    path = Path(__file__).with_name("shapeshow_64.py")
    config = runpy.run_path(str(path))["get_config"]().unlock()
    config.data.source = "folder"
    config.data.fps = 12.0
    look = {"objects": 2, "camera": 0.5, "free": 32, "content_dim": 256}
    config.model.generator = ConfigDict({"name": "continuous"} | look)
    config.model.encoder.salient = False  # where several things stand out, that is between them
    config.model.encoder.spins = False  # they may be at any angle, at any time
    config.evaluate.features = "random,efficientnet"  # the oracle knows ShapeShow alone
    return config.lock()
