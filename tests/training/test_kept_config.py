"""A checkpoint keeps the config that it is of, which counts where config.json is gone or says otherwise."""

import json

import jax.numpy as jnp
import pytest

from vgm_jax.training.checkpoint import Checkpoints
from vgm_jax.training.loop import Run
from vgm_jax.training.workdir import DATA, WorkdirError, claim, plain


@pytest.fixture
def opened(quadratic, recipe, tmp_path):
    """`opened(**{"seed": 3})` -> a Run of that config in `tmp_path`, whose reports are in `.told`."""
    runs = []

    def make(**changes):
        told = []
        runs.append(Run(quadratic(), recipe(**changes), tmp_path, told.append))
        runs[-1].told = told
        return runs[-1]

    yield make
    for run in runs:
        run.close()


def test_without_config_json_another_config_is_refused_by_its_keys(opened, recipe, tmp_path):
    opened(**{"train.steps": 2}).train()
    path, other = tmp_path / "config.json", {"seed": 3, "data.batch_size": 16}
    for there in (None, recipe(**other)):  # gone; or that of the config that is asked for
        path.unlink() if there is None else path.write_text(json.dumps(plain(there)))
        with pytest.raises(WorkdirError) as error:
            opened(**other)
        assert f"{tmp_path} holds a checkpoint of another config, which differs in:" in str(error.value)
        for line in ("seed: 0 -> 3", "data.batch_size: 8 -> 16", "Choose another --workdir"):
            assert line in str(error.value)
    path.unlink()
    longer = {"train.steps": 4, "checkpoint.keep": 3}  # what may change does
    run = opened(**longer)
    run.train()
    assert run.told == [f"resuming from step 2 in {tmp_path}"]
    assert json.loads(path.read_text()) == plain(recipe(**longer))
    assert opened(**longer).evaluate()["step"] == 4


def test_the_config_of_the_latest_that_can_be_read(recipe, tmp_path):
    saved = Checkpoints(tmp_path, keep=3, best="")
    assert saved.config() is None
    for step in (1, 2):
        saved.save(step, {"x": jnp.full(2, step)}, plain(recipe(seed=step)))
    saved.wait()
    assert saved.config() == plain(recipe(seed=2))
    for file in (tmp_path / "2" / "config").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:20])
    assert saved.config() == plain(recipe(seed=1))
    saved.close()


def test_a_checkpoint_that_is_older_than_a_key_goes_on(tiny, tmp_path):
    old = plain(tiny())
    del old["objective"]["augment"], old["model"]["trunk"], old["train"]["minutes"]
    other = tiny()
    other.objective.augment = "colour"
    with pytest.raises(WorkdirError, match="objective.augment:  -> colour"):
        claim(tmp_path, other, kept=old)
    claim(tmp_path, tiny(), kept=old)


def test_data_may_have_moved_since(tiny, tmp_path):
    moved = tiny()
    moved.data.path = "elsewhere"
    with pytest.raises(WorkdirError, match="checkpoint of another config.*\n  data.path:  -> elsewhere"):
        claim(tmp_path, moved, kept=plain(tiny()))
    (tmp_path / DATA).write_text("{}")
    claim(tmp_path, moved, kept=plain(tiny()))
