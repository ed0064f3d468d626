"""Makes feature vectors of scarce classes, by f-CLSWGAN; of ShapeShow's clips, or of vectors of your own.

python -m vgm_jax.main --config configs/feature_gan.py
vgm features DIR --model runs/classify -o features.npz  # classes are DIR's sub-folders
python -m vgm_jax.main --config configs/feature_gan.py --config.data.source=vectors \
  --config.data.path=features.npz --config.data.size=128 --config.model.heads="(('class', 5),)"
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """`base` with vectors of clips, their 48 classes, and arXiv 1712.00981's game; it needs no times."""
    config = runpy.run_path(str(Path(__file__).with_name("base.py")))["get_config"]()
    config.task = "feature_gan"
    config.data.shapeshow.label = "both"
    config.data.shapeshow.audio = True
    config.data.batch_size = 320  # 64 for each of the critic's rounds
    config.model.features = "arrow-shapeshow,sound"
    config.model.heads = (("class", 48),)
    config.model.generator = ConfigDict({"name": "mlp", "widths": (512,)})
    config.model.discriminator = ConfigDict({"name": "mlp", "widths": (512,)})
    config.objective.name = "wasserstein"
    config.objective.penalty = "wgan_gp"
    config.objective.penalty_weight = config.objective.penalty_weight_end = 10.0
    config.objective.critic_rounds = 5
    config.objective.class_weight = 0.1
    config.objective.class_from = 200
    config.optimizer.generator_rate = config.optimizer.discriminator_rate = 2e-4
    config.optimizer.classifier_rate = 3e-3
    config.optimizer.b1 = 0.5
    config.optimizer.b2 = config.optimizer.b2_end = 0.999
    config.optimizer.warmup_steps = 0
    config.optimizer.decay_steps = 3000
    config.optimizer.ema_decay = 0.995
    config.train.steps = 3000
    config.train.show_every = 1000
    config.evaluate.every = 500
    config.evaluate.clips = 512
    config.evaluate.batch_size = 128
    config.checkpoint.every = 500
    return config.lock()
