"""The arms that train a GAN of vectors: deltas of `configs/feature_gan.py`, run by the library's own loop."""

import runpy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from regimes import Draw

from vgm_jax.tasks import build
from vgm_jax.training.loop import Run

CONFIG = Path(__file__).parents[2] / "configs" / "feature_gan.py"
EPOCH = 4000  # vectors, at least, of which few are repeated: to begin an epoch takes the loader time
HELD = 64  # vectors of the closing look that the loop takes; nothing is chosen by it
# L_G = -E log D(G(z)), L_D = -E log D(x) - E log(1 - D(G(z))): a CNN judges, an MLP makes.
TEXTBOOK = {
    "model.discriminator.name": "cnn",
    "model.discriminator.widths": (32, 64, 128),
    "objective.name": "nonsaturating",
    "objective.penalty": "none",
    "objective.critic_rounds": 1,
    "objective.class_weight": 0.0,
    "data.batch_size": 64,
    "train.steps": 2000,
    "optimizer.decay_steps": 2000,
}
RECIPES = {"textbook GAN": TEXTBOOK, "f-CLSWGAN": {}}  # the latter as the recipe is


def recipe(arm: str, drawn: Draw, path: Path, seed: int, changes: dict[str, Any]) -> ConfigDict:
    """The config of an arm, for vectors in a file."""
    config = runpy.run_path(str(CONFIG))["get_config"]().unlock()
    config.seed = seed
    config.data.update(source="vectors", path=str(path), size=drawn.vectors.shape[1])
    config.data.vectors.attributes = drawn.attributes.shape[1]
    config.model.heads = (("class", len(drawn.seen)),)
    config.train.update(show_every=0, log_every=200)
    config.evaluate.update(every=0, clips=HELD, batch_size=HELD, generated=0)
    config.update_from_flattened_dict(RECIPES[arm] | changes)
    config.checkpoint.every = config.train.steps
    return config.lock()


def train(arm: str, drawn: Draw, seed: int, changes: dict[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    """Trains on a draw; the function gives vectors float32 [M D] of classes int [M]."""
    with tempfile.TemporaryDirectory() as folder:
        path, count = Path(folder) / "vectors.npz", len(drawn.labels)
        learnt, held = np.tile(np.arange(count), -(-EPOCH // count)), np.arange(count)[-HELD:]
        rows = np.concatenate([learnt, held])
        np.savez(
            path,
            features=drawn.vectors[rows],
            labels=drawn.labels[rows],
            split=np.array(["train"] * len(learnt) + ["validation"] * len(held)),
            attributes=drawn.attributes,
        )
        config = recipe(arm, drawn, path, seed, changes)
        run = Run(build(config), config, Path(folder) / "run", report=lambda text: None)
        run.train()
        state, _ = run.restore()
        run.close()
    state = jax.device_get(state)
    return lambda labels: run.task.sample(state, jax.random.key(seed), labels)
