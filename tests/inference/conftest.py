"""What tests of inference share."""

import pytest
from ml_collections import ConfigDict

from vgm_jax.tasks import build
from vgm_jax.training.loop import Run


@pytest.fixture(scope="module", autouse=True)
def _quick_draws(quick_draws):
    pass


@pytest.fixture(scope="module")
def of_trunk(tiny, unlearnt, tmp_path_factory):
    """`of_trunk(trunk, **sections)`: the workdir of two updates of a classifier with a small trunk.

    Each section of the config is changed by what is given for it; "task" is the task's name.
    """

    def train(trunk, task="classification", **sections):
        config = tiny()
        small = {"width": 8, "heads": 1, "own": 1, "fused": 1, "side": 8, "entry": 8, "cell": 8}
        with config.unlocked():
            config.task, config.model.frames_seen = task, 0
            config.data.update(frames=8, fps=8.0)
            config.model.classifier = ConfigDict({"name": "trunk"})
            config.model.trunk = ConfigDict(small | trunk)
            config.optimizer.update(b1=0.9, classifier_rate=3e-2, decay_steps=0)
            config.train.update(steps=2)
            config.evaluate.every = 0
            config.data.shapeshow.update(sections.pop("shapeshow"))
            for name, changes in sections.items():
                for key, value in changes.items():
                    config[name][key] = ConfigDict(value) if isinstance(value, dict) else value
        path = tmp_path_factory.mktemp(task)
        run = Run(unlearnt(build(config)), config, path, report=lambda _: None)
        run.train()
        run.close()
        return path

    return train
