"""experiments/throughput: what its figures rest on."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.data.sources import make_source
from vgm_jax.tasks import build

RUN = Path(__file__).parents[2] / "experiments" / "throughput" / "run.py"


@pytest.fixture(scope="module")
def study():
    spec = importlib.util.spec_from_file_location("throughput", RUN)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made_up():
    """A task whose game of codes is a matrix product a round: two until update 3, then five."""

    def play(codes, generator, known, key, held, rounds):
        return jax.lax.fori_loop(0, rounds, lambda _, x: held * (x @ generator), codes)

    codes = SimpleNamespace(play=play, rounds_of=lambda step, *_: jnp.where(step < 3, 2, 5))
    square = jax.ShapeDtypeStruct((64, 64), jnp.float32)
    state = SimpleNamespace(codes=square, generator=square)
    return SimpleNamespace(codes=codes, settled_from=3, repainted=False), state


def real(config):
    config.objective.update(settled_from=3, codes_early_rounds=2, codes_rounds=5)
    task = build(config)
    batch = {name: np.stack([x] * 2) for name, x in make_source(config.data, "train")[0].items()}
    return task, jax.eval_shape(task.init, jax.random.key(0), batch)


@pytest.mark.parametrize("kind", ["made up", pytest.param("real", marks=pytest.mark.slow)])
def test_flops_are_those_of_all_rounds(study, tiny, kind):
    """Though the compiler counts a loop once. An update here is the game of codes, and nothing else."""
    task, state = made_up() if kind == "made up" else real(tiny("continuous"))
    key = jax.random.key(0)

    @jax.jit
    def update(codes, generator, rounds):
        return task.codes.play(codes, generator, jnp.int32(4), key, jnp.float32(1), rounds=rounds)

    compiled = update.lower(state.codes, state.generator, jnp.int32(5)).compile()
    early, late = (study.flops_of(compiled, task, state, key, number) for number in (2, 3))
    one = compiled.cost_analysis()["flops"]
    assert early == pytest.approx(2 * one, rel=0.01) and late == pytest.approx(5 * one, rel=0.01)
    task.codes = None
    assert study.flops_of(compiled, task, state, key, 0) == one
