import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from vgm_jax.data.pipeline import train_batches
from vgm_jax.data.sources import make_source
from vgm_jax.tasks import build
from vgm_jax.training.checkpoint import Checkpoints
from vgm_jax.training.partition import Partition

LAYOUTS = ("jit", "pmap", "split")


def on_eight(environment):
    return {"XLA_FLAGS": environment["XLA_FLAGS"] + " --xla_force_host_platform_device_count=8"}


@pytest.fixture(scope="module")
def start(tiny):
    """A task, a batch, and an initial state on this process's one device."""
    config = tiny()
    task = build(config)
    batch = next(train_batches(make_source(config.data, "train"), batch_size=8, seed=0))
    return task, batch, Partition().init(task.init, jax.random.key(1), batch)


@pytest.fixture(scope="module")
def folder(start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("eight")
    saved = Checkpoints(folder / "one", keep=1, best="")
    saved.save(0, start[2], {})
    saved.close()
    return folder


@pytest.fixture(scope="module")
def found(environment):
    """`found(arguments) -> dict` of what eight_devices.py found."""

    def run(*arguments):
        command = [sys.executable, Path(__file__).with_name("eight_devices.py"), *arguments]
        done = subprocess.run(
            command, env=environment | on_eight(environment), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="module")
def eight(found, folder):
    return found(folder)


@pytest.fixture(scope="module")
def eight_for_long(found):
    return found()


def agree(found, layouts):
    assert set(found) == set(layouts)
    for layout in layouts:
        assert all(value <= 1 for value in found[layout].values()), (layout, found[layout])


def test_gradients_do_not_depend_on_the_devices(eight):
    agree(eight["mlp"], LAYOUTS)


@pytest.mark.slow
@pytest.mark.parametrize("networks", ["changed", "continuous"])
def test_nor_do_those_of_much_that_is_random(eight_for_long, networks):
    """What clips are augmented by, what the discriminator is shown ("changed"), which clips are dreams."""
    agree(eight_for_long[networks], LAYOUTS[:2])


@pytest.mark.slow
def test_codes_settle_on_all_devices_at_once(eight_for_long):
    """Collectives of an update that learns are not waited for in one that does not."""
    found = eight_for_long["settling"]
    for layout in LAYOUTS[:2]:
        assert found[layout]["reconstruction"] == [True, False, False], layout
        assert found[layout]["shown_g_loss"] == [True, True, True] and found[layout]["settled"], layout
    assert sum(x > 0 for x in found["jit"]["times"]) == 12, "eight clips an update fill a memory of twelve"
    assert found["pmap"]["times"] == pytest.approx(found["jit"]["times"])


def test_parameters_are_really_split(eight):
    for layout, parts in {"jit": 1, "pmap": 1, "split": 2}.items():
        whole, shard = eight["checkpoints"][f"shard of {layout}"]
        assert whole == [16, 4 * 16 * 16 * 3]
        assert shard == [16, 4 * 16 * 16 * 3 // parts]


def test_a_step_is_compiled_once(eight):
    for layout in LAYOUTS:
        assert eight["checkpoints"][f"compiled late by {layout}"] == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_checkpoint_of_one_device_is_read_by_eight(eight, start, layout):
    expected = [float(np.abs(x).sum()) for x in jax.tree.leaves(start[2].generator)]
    assert eight["checkpoints"][f"one -> {layout}"]["values"] == expected
    assert all(eight["checkpoints"][f"{layout} -> {other}"] is True for other in LAYOUTS)


def test_a_checkpoint_of_eight_devices_is_read_by_one(eight, start, folder):
    task, batch, state = start
    saved = Checkpoints(folder / "eight_split", keep=1, best="")
    restored, step = saved.restore(Partition().template(task.init, jax.random.key(1), batch))
    saved.close()
    with np.load(folder / "split.npz") as arrays:
        expected = [arrays[f"arr_{i}"] for i in range(len(arrays.files))]
    assert step == int(restored.step) == 3
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(restored), expected, strict=True))
    assert all(leaf.sharding.device_set == {jax.devices()[0]} for leaf in jax.tree.leaves(restored))


def test_errors_say_what_to_change(eight):
    errors = eight["errors"]
    assert errors["mode"] == "partition.mode='xmap' is unknown; choose one of jit, pmap"
    assert errors["model"] == "partition.model=3 must divide the 8 device(s)"
    assert "partition.model=2 needs partition.mode='jit'" in errors["model of pmap"]
    assert "data.batch_size=6 must be a positive multiple of the 4 device(s)" in errors["batch"]
    assert "data.batch_size=0" in errors["no batch"]
    assert errors["batch that fits"] is None
    assert "need a multiple of 4 under pmap: a batch of 32, or partition.mode='jit'" in errors["strides"]
    assert errors["strides that fit"] is None


def test_devices_that_share_parameters_are_in_one_process(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    monkeypatch.setattr(jax, "local_device_count", lambda: 2)
    with pytest.raises(ValueError, match="partition.model=4 must divide the 2 device.s. of each process"):
        Partition("jit", 4)


def with_margin(line):
    """A relativistic loss does not see a shift of both logits; Adam makes steps of such rounding."""
    return line | {"real_logit": line["real_logit"] - line["fake_logit"], "fake_logit": 0.0}


def test_a_run_moves_between_devices_and_modes(straight, complete, lines, environment, tmp_path):
    complete(tmp_path, "--config.train.steps=3", "--config.partition.mode=pmap", **on_eight(environment))
    log = complete(tmp_path, "--config.train.steps=6", "--config.partition.model=2", **on_eight(environment))
    assert "resuming from step 3" in log
    found = {line["step"]: line for line in lines(tmp_path) if "d_loss" in line}
    expected = {line["step"]: line for line in lines(straight) if "d_loss" in line}
    assert list(found) == [1, 2, 3, 4, 5, 6]
    for step, line in found.items():
        assert with_margin(line) == pytest.approx(with_margin(expected[step]), rel=1e-5, abs=1e-5)
