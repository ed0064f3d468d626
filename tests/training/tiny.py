"""`configs/base.py` shrunk until an update compiles in a second; `:continuous` keeps its networks, slower.

Also a recipe of its own: `python -m vgm_jax.main --config tests/training/tiny.py`.
"""

import importlib.util
from pathlib import Path

from ml_collections import ConfigDict

BASE = Path(__file__).parents[2] / "configs" / "base.py"


def get_config(networks: str = "mlp") -> ConfigDict:
    spec = importlib.util.spec_from_file_location("base", BASE)
    base = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(base)
    config = base.get_config()
    with config.unlocked():
        config.data.update(size=16, frames=4, fps=4.0, batch_size=8)
        if networks == "mlp":
            config.model.generator = ConfigDict({"name": "mlp", "noise_dim": 8, "widths": (16,)})
            config.model.discriminator = ConfigDict({"name": "mlp", "widths": (16,)})
            config.model.encoder = ConfigDict({"name": "none"})
        else:
            dims = {"width": 16, "content_dim": 8, "form_dim": 4, "noise_dim": 8, "motion_dim": 4}
            config.model.generator.update(dims, canvas=4, front_base=64, back_base=32)
            widths = {"frame_widths": (16,), "frame_depths": (0,), "widths": (16,), "depths": (1,)}
            config.model.discriminator.update(widths, hidden=8)
            small = {"widths": (8, 8), "points": 2, "glimpse": 8, "form_width": 8, "hidden": 8}
            config.model.encoder.update(small)
        # Under pmap on eight devices each has one clip; a dozen updates are all there are.
        config.objective.update(penalty_stride=1, judge_stride=1, judge_from=0, settled_from=0)
        config.objective.update(codes_stride=1, codes_rounds=2, codes_batch=4, codes_memory=12)
        config.objective.update(codes_early_stride=1, codes_early_rounds=2)
        config.optimizer.warmup_steps = 2
        config.train.update(steps=12, log_every=1, show_every=100)
        config.evaluate.update(features="random", clips=8, batch_size=8)
        config.checkpoint.update(every=1)  # so that a save is always under way
    return config
