"""What an accelerator computes beside a CPU. Skipped where there is none: `python -m pytest THIS_FILE`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.data.pipeline import EvaluationBatches
from vgm_jax.data.sources import make_source
from vgm_jax.tasks import build

pytestmark = pytest.mark.skipif(jax.default_backend() == "cpu", reason="there is no accelerator here")


@pytest.fixture(scope="module")
def config(tiny):
    config = tiny("continuous")
    with config.unlocked():
        config.data.shapeshow.update(sound="synced", audio=True, text=True)
        config.model.generator.update(conditions=("text", "label", "audio", "image"), classes=12, words=92)
    return config


def clips(config):
    batch = next(iter(EvaluationBatches(make_source(config.data, "train"), batch_size=8, count=8)))
    return {name: np.asarray(x) for name, x in batch.items() if name != "mask"}


def test_gradients_are_the_cpus(config):
    task, batch, found = build(config), clips(config), []
    for device in (jax.devices()[0], jax.devices("cpu")[0]):
        with jax.default_device(device), jax.default_matmul_precision("float32"):
            state = jax.jit(task.init)(jax.random.key(0), jax.device_put(batch, device))
            g, d, metrics, _ = jax.jit(task.gradients)(
                state, jax.device_put(batch, device), jax.random.key(1)
            )
            found.append(jax.device_get((state.generator, g, d, metrics)))
    for a, b in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-2, atol=2e-3 * max(1.0, float(np.abs(b).max())))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_trains(config, dtype):
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.model.dtype = dtype
    task, batch = build(config), jax.device_put(clips(config))
    state = jax.jit(task.init)(jax.random.key(0), batch)
    step, missed = jax.jit(task.train_step, donate_argnums=0), []
    for i in range(40):
        state, metrics = step(state, batch, jax.random.key(i))
        total, count = metrics["reconstruction"]
        missed.append(float(total / count))
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(state.generator))
    assert np.mean(missed[-5:]) < 0.8 * missed[0], missed
