"""The flagship's update changes three times in a run; one that stops there ends with the same bits."""

import functools

import pytest

from vgm_jax.tasks import build
from vgm_jax.training import loop
from vgm_jax.training.loop import Run
from vgm_jax.training.partition import Partition

BEGINS = {"spins_from": 1, "judge_from": 2, "settled_from": 3}
STEPS = 5


@pytest.fixture
def sit(tiny, tmp_path, monkeypatch):
    """`sit(name, steps)`: a sitting of the run in that folder, up to so many updates -> its Run.

    All share what was traced and compiled, to be quick; states go through checkpoints.
    """
    config, compile_, template, kept = tiny("continuous"), Partition.compile, Partition.template, {}
    config.objective.update(BEGINS)
    config.checkpoint.every = 100  # at the end of each sitting alone
    task = build(config)
    task.evaluate, task.show = lambda *_: {}, lambda *_: {}
    task.early = functools.cache(task.early)

    def once(self, step, state, name="update"):
        if step not in kept:
            kept[step] = compile_(self, step, state, name)
        return kept[step]

    def alike(self, *about):
        if "template" not in kept:
            kept["template"] = template(self, *about)
        return kept["template"]

    monkeypatch.setattr(loop, "reported", functools.cache(loop.reported))
    monkeypatch.setattr(Partition, "compile", once)
    monkeypatch.setattr(Partition, "template", alike)

    def make(name, steps):
        of_sitting, told = config.copy_and_resolve_references(), []
        of_sitting.train.steps = steps
        run = Run(task, of_sitting, tmp_path / name, told.append)
        run.train()
        run.told = told
        return run

    return make


@pytest.mark.slow
@pytest.mark.usefixtures("quick_draws")
def test_a_run_that_stops_before_and_after_each_change(sit, lines, same_bits):
    """After each update: on both sides of where dreams, the discriminator and settled codes begin."""
    straight = sit("straight", STEPS)
    logged = [line for line in lines(straight.workdir) if "shown_d_loss" in line]
    assert [line["step"] for line in logged] == list(range(1, STEPS + 1))
    spins, judged, settled = BEGINS.values()
    for number, line in enumerate(logged):  # of the update, from 0
        assert ("reconstruction" in line) == (number < settled), number
        assert (line.get("dream", 0.0) > 0) == (spins <= number < settled), number
        assert ("d_loss" in line) == (judged <= number < settled), number
    expected, step = straight.restore()
    assert step == STEPS
    straight.close()
    for steps in range(1, STEPS + 1):
        run = sit("parts", steps)
        assert run.told == ([f"resuming from step {steps - 1} in {run.workdir}"] if steps > 1 else [])
        assert run.checkpoints.steps[-1] == steps
        if steps < STEPS:
            run.close()
    assert [line for line in lines(run.workdir) if "shown_d_loss" in line] == logged
    found, step = run.restore()
    assert step == int(found.step) == STEPS
    assert same_bits(found, expected)
    run.close()
