"""What tests of the training floor share: tiny recipes, processes of the program, a task that is no GAN."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.tasks import build
from vgm_jax.training.loop import Run
from vgm_jax.training.workdir import read_config
from vgm_jax.types import Array, Media

TINY = Path(__file__).with_name("tiny.py")


@pytest.fixture(scope="session")
def tiny():
    """`tiny("mlp" | "continuous")`: the real base config, shrunk."""
    spec = importlib.util.spec_from_file_location("tiny", TINY)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config


@pytest.fixture(scope="session")
def environment():
    """Of child processes: no cluster; compiled programs' cache and XLA's flags are those of all tests."""
    cluster = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
    clean = {name: value for name, value in os.environ.items() if name not in cluster}
    return clean | {"JAX_PLATFORMS": "cpu"}


@pytest.fixture(scope="session")
def launch(environment, tmp_path_factory):
    """`launch(workdir, *flags)` starts the program on the tiny recipe -> Popen, with `.log()`."""
    running = []

    def start(workdir, *flags, **variables):
        command = [sys.executable, "-m", "vgm_jax.main", f"--config={TINY}", f"--workdir={workdir}", *flags]
        path = tmp_path_factory.mktemp("log") / "out"
        with path.open("w") as out:
            process = subprocess.Popen(
                command, env=environment | variables, stdout=out, stderr=subprocess.STDOUT
            )
        process.log = path.read_text
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def complete(launch):
    """`complete(workdir, *flags)` runs it to its end -> what it printed. Fails unless it exits with 0."""

    def run(workdir, *flags, **variables):
        process = launch(workdir, *flags, **variables)
        assert process.wait(600) == 0, process.log()
        return process.log()

    return run


@pytest.fixture(scope="session")
def straight(complete, tmp_path_factory):
    """The workdir of a run of the tiny recipe that nothing disturbed."""
    workdir = tmp_path_factory.mktemp("straight")
    complete(workdir)
    return workdir


@pytest.fixture(scope="session")
def final_state():
    """`final_state(workdir)` -> the state of the latest checkpoint of a run, and its step."""

    def read(workdir):
        config = read_config(workdir)
        with config.unlocked():
            config.partition.update(mode="jit", model=1)
        run = Run(build(config), config, workdir)
        try:
            return run.restore()
        finally:
            run.close()

    return read


@pytest.fixture(scope="session")
def same_bits():
    """Whether two pytrees hold the same bits."""

    def same(a, b):
        pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
        return all(
            x.dtype == y.dtype and np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in pairs
        )

    return same


@pytest.fixture(scope="session")
def lines():
    """Of a `metrics.jsonl`, parsed."""
    return lambda workdir: [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@flax.struct.dataclass
class QuadraticState:
    step: Array
    x: Array


class Quadratic:
    """Noisy gradient descent on |x - mean of the video|^2 / 2: the protocol of a task, and nothing of GANs.

    From update `nan_loss` on the loss is no number; update `nan_x` spoils the parameters only. `distances`:
    what `evaluate` gives, by step. `shown`, `evaluated`: the steps at which it was asked.
    """

    def __init__(
        self, nan_loss: int = 0, nan_x: int = 0, distances: dict[int, float] | None = None, size: int = 3
    ):
        self.nan_loss, self.nan_x, self.distances, self.size = nan_loss, nan_x, distances or {}, size
        self.shown, self.evaluated, self.traced = [], [], 0

    def init(self, key, batch):
        return QuadraticState(step=jnp.zeros((), jnp.int32), x=jax.random.normal(key, (self.size,)))

    def train_step(self, state, batch, key, axis_name=None):
        self.traced += 1
        target = jnp.mean(jnp.asarray(batch["video"], jnp.float32)) / 255
        gradient = state.x - target + 0.01 * jax.random.normal(key, state.x.shape)
        loss = jnp.sum(jnp.square(state.x - target)) / 2
        if axis_name is not None:
            gradient, loss, target = jax.lax.pmean((gradient, loss, target), axis_name)
        step = state.step + 1
        if self.nan_loss:
            loss = jnp.where(step >= self.nan_loss, jnp.nan, loss)
        if self.nan_x:
            gradient = jnp.where(step == self.nan_x, jnp.nan, gradient)
        state = QuadraticState(step=step, x=state.x - 0.1 * gradient)
        return state, {"loss": (loss, jnp.ones(())), "target": (target, jnp.ones(()))}

    def evaluate(self, state, batches, key):
        step = int(state.step)
        self.evaluated.append(step)
        count = sum(float(batch["mask"].sum()) for batch in batches)
        return {"distance": self.distances.get(step, 1.0), "clips": count}

    def protocol(self):
        return {"distance": "made up"}

    def show(self, state, batch, key):
        self.shown.append(int(state.step))
        return {"seen": Media(np.asarray(batch["video"][:1]), 4.0)}


@pytest.fixture
def quadratic():
    """The class of the task that is no GAN."""
    return Quadratic


@pytest.fixture
def recipe(tiny):
    """`recipe(**{"train.steps": 5})`: the tiny config for `quadratic`, evaluated at the end only."""

    def make(**changes):
        config = tiny()
        with config.unlocked():
            config.checkpoint.best = "distance"
            config.evaluate.every = 0
            config.update_from_flattened_dict(changes)
        return config

    return make
