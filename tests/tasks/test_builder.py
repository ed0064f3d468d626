import jax
import pytest
from ml_collections import ConfigDict

from vgm_jax.models.discriminators import DISCRIMINATORS
from vgm_jax.models.generators import GENERATORS
from vgm_jax.models.pretrained import NETWORKS
from vgm_jax.objectives import OBJECTIVES, PENALTIES
from vgm_jax.tasks import TASKS, build
from vgm_jax.tasks.builder import make_module
from vgm_jax.types import Task

NAMES = {
    "task": TASKS,
    "model.generator.name": GENERATORS,
    "model.discriminator.name": DISCRIMINATORS,
    "objective.name": OBJECTIVES,
    "objective.penalty": PENALTIES,
    "evaluate.features": NETWORKS,
    "data.augment": {"flip": None},
}


@pytest.mark.parametrize("key", NAMES)
def test_an_unknown_name_lists_the_known_ones(tiny, key):
    """Here, before anything is computed or written."""
    config = tiny()
    with config.unlocked():
        value = ("nothing",) if key == "data.augment" else "nothing"
        config.update_from_flattened_dict({key: value})
    with pytest.raises(ValueError, match="'nothing'") as error:
        build(config)
    assert ", ".join(NAMES[key]) in str(error.value)
    if not key.startswith("objective"):
        assert key.split(".")[-1] in str(error.value)


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_an_unknown_setting_lists_the_known_ones(tiny, player):
    config = tiny()
    with config.unlocked():
        config.model[player].depht = 3
        config.model[player].wdiths = (3,)
    with pytest.raises(ValueError, match=rf"model.{player} \(mlp\) has no depht, wdiths") as error:
        build(config)
    assert "widths" in str(error.value).split("its settings are")[1]
    assert "parent" not in str(error.value)


def test_settings_override_what_the_data_say():
    module = make_module("generator", GENERATORS, {"name": "continuous", "resolution": 8}, resolution=64)
    assert module.resolution == 8
    module = make_module("discriminator", DISCRIMINATORS, ConfigDict({"name": "mlp"}), resolution=64)
    assert module == DISCRIMINATORS["mlp"]()


@pytest.mark.parametrize("networks", ["mlp", "continuous"])
def test_modules_hold_plain_values(tiny, networks):
    task = build(tiny(networks))
    for module in (task.generator, task.discriminator):
        values = [getattr(module, field) for field in module.__dataclass_fields__ if field != "parent"]
        assert not any(isinstance(value, ConfigDict | list | dict) for value in values)
        hash(module)  # JAX compiles once for equal modules
    assert task.generator.resolution == 16 if networks == "continuous" else task.generator.clip_frames == 4


def test_a_task_keeps_the_protocol(tiny):
    task = build(tiny())
    members = [name for name in vars(Task) if not name.startswith("_")]
    assert members == ["init", "train_step", "evaluate", "protocol", "show"]
    assert all(callable(getattr(task, name)) for name in members)


def test_rates_and_weights_follow_their_schedules(tiny):
    config = tiny()
    with config.unlocked():
        config.objective.update(penalty_weight=2.0, penalty_weight_end=0.5)
        config.optimizer.decay_steps = 10
    task = build(config)
    weights = [float(task.penalty_weight(jax.numpy.int32(step))) for step in (0, 5, 10, 99)]
    assert weights == pytest.approx([2.0, 1.25, 0.5, 0.5])
    assert build(tiny()).penalty is PENALTIES["r1r2"]
    with config.unlocked():
        config.objective.penalty = "none"
    assert build(config).penalty is None
