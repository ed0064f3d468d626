import jax
import pytest
from ml_collections import ConfigDict

from vgm_jax.data.sources import make_source
from vgm_jax.models.discriminators import DISCRIMINATORS
from vgm_jax.models.encoders import SCENE_ENCODERS
from vgm_jax.models.generators import GENERATORS
from vgm_jax.models.pretrained import NETWORKS
from vgm_jax.objectives import OBJECTIVES, PENALTIES
from vgm_jax.tasks import TASKS, build
from vgm_jax.tasks.builder import make_module
from vgm_jax.tasks.checks import check_schedule
from vgm_jax.types import Task

NAMES = {
    "task": TASKS,
    "model.generator.name": GENERATORS,
    "model.discriminator.name": DISCRIMINATORS,
    "model.encoder.name": SCENE_ENCODERS,
    "objective.name": OBJECTIVES,
    "objective.penalty": PENALTIES,
    "evaluate.features": NETWORKS,
    "data.augment": {"flip": None},
}


@pytest.mark.parametrize("key", NAMES)
def test_an_unknown_name_lists_the_known_ones(tiny, key):
    """Here, before anything is computed or written."""
    config = tiny("continuous" if key == "model.encoder.name" else "mlp")
    with config.unlocked():
        value = ("nothing",) if key == "data.augment" else "nothing"
        config.update_from_flattened_dict({key: value})
    with pytest.raises(ValueError, match="'nothing'") as error:
        build(config)
    assert ", ".join(NAMES[key]) in str(error.value)
    if not key.startswith("objective"):
        assert key.split(".")[-1] in str(error.value)


@pytest.mark.parametrize(
    ("recipe_of", "key", "value"),
    [
        ("masked_video", "model.frozen", True),
        ("summarize", "model.start", "runs/base"),
        ("summarize", "data.augment", ("flip",)),
        ("feature_gan", "model.start", "runs/base"),
        ("feature_gan", "model.frozen", True),
    ],
)
def test_what_a_task_does_not_know_is_refused(recipe, recipe_of, key, value):
    config = recipe(recipe_of).unlock()
    build(config)
    config.update_from_flattened_dict({key: value})
    with pytest.raises(ValueError, match=f"task '.*' does not know {key}"):
        build(config)


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


def test_an_encoder_reads_what_the_generator_paints(tiny):
    """Its codes are of the sizes that the generator's fields say, and painted with the recipe's noise."""
    config = tiny("continuous")
    with config.unlocked():
        config.model.generator.update(objects=2, camera=0.5, free=3, content_dim=6, form_dim=5)
        config.objective.update(codes_noise=0.2, codes_noise_far=0.3)
    task = build(config)
    assert (task.codes.noise, task.codes.far) == (0.2, 0.3)
    encoder = task.codes.encoder
    found = (encoder.objects, encoder.camera, encoder.free, encoder.content_dim, encoder.form_dim)
    assert found == (2, 0.5, 3, 6, 5) and encoder.resolution == 16
    with config.unlocked():
        config.model.encoder = ConfigDict({"name": "none"})
        config.objective.judge_from = 7
    alone = build(config)
    assert alone.codes is None and alone.judge_from == 0, "nobody else would teach until then"


def test_a_generator_without_codes_has_no_encoder(tiny):
    config = tiny("mlp")
    assert config.model.encoder.name == "none" and build(config).codes is None
    with config.unlocked():
        config.model.encoder = ConfigDict({"name": "scene"})
    message = (
        "model.encoder.name='scene' reads codes that model.generator.name='mlp' has not: "
        "set model.encoder.name to 'none'"
    )
    with pytest.raises(ValueError) as error:
        build(config)
    assert str(error.value) == message


def test_what_paints_and_what_imagines_have_rules_of_their_own(tiny):
    """With an encoder, the game of codes alone moves the imagination; Adam begins at its rate."""
    config = tiny("continuous")
    with config.unlocked():
        config.optimizer.update(generator_rate=0.5, painter_rate=0.25, rate_end=0.1, warmup_steps=0)
        config.optimizer.update(decay_steps=1)
    ones = {"imagination": jax.numpy.ones(2), "painting": jax.numpy.ones(2)}
    params = {"params": ones, "encoder": {"entry": jax.numpy.ones(2)}}

    def steps(rule, count=1):
        state, step = jax.jit(rule.init)(params), jax.jit(rule.update)
        for _ in range(count):
            update, state = step(params, state, params)
        return jax.tree.map(lambda x: round(-float(x[0]), 4), jax.device_get(update))

    task = build(config)
    expected = {"params": {"imagination": 0.0, "painting": 0.25}, "encoder": {"entry": 0.25}}
    assert steps(task.generator_optimizer) == expected
    for rule in (task.codes.imagination_optimizer, task.codes.critic_optimizer):
        assert set(jax.tree.leaves(steps(rule))) == {0.5}
        # Its schedule counts rounds, two an update.
        assert [jax.tree.leaves(steps(rule, n))[0] for n in (2, 3)] == pytest.approx([0.275, 0.05], rel=1e-3)
    with config.unlocked():
        config.model.encoder = ConfigDict({"name": "none"})
    assert set(jax.tree.leaves(steps(build(config).generator_optimizer))) == {0.5}


def test_settings_override_what_the_data_say():
    module = make_module("generator", GENERATORS, {"name": "continuous", "resolution": 8}, resolution=64)
    assert module.resolution == 8
    module = make_module("discriminator", DISCRIMINATORS, ConfigDict({"name": "mlp"}), resolution=64)
    assert module == DISCRIMINATORS["mlp"]()


@pytest.mark.parametrize("networks", ["mlp", "continuous"])
def test_modules_hold_plain_values(tiny, networks):
    task = build(tiny(networks))
    others = (task.codes.encoder, task.codes.critics.critic) if task.codes else ()
    for module in (task.generator, task.discriminator, *others):
        values = [getattr(module, field) for field in module.__dataclass_fields__ if field != "parent"]
        assert not any(isinstance(value, ConfigDict | list | dict) for value in values)
        hash(module)  # JAX compiles once for equal modules
    assert task.generator.resolution == 16 if networks == "continuous" else task.generator.clip_frames == 4


def test_a_schedule_that_ends_before_codes_settle(tiny):
    config = tiny("continuous")
    with config.unlocked():
        config.objective.settled_from, config.optimizer.decay_steps = 9, 9
        config.objective.spins_from = 9
    with pytest.raises(ValueError, match="objective.spins_from=9 is not before codes settle at .*from=9"):
        check_schedule(config)
    config.objective.spins_from, config.objective.judge_from = 3, 10
    with pytest.raises(ValueError, match="objective.judge_from=10 is not before codes settle at .*from=9"):
        check_schedule(config)
    config.objective.judge_from = 3
    with pytest.raises(ValueError, match="optimizer.decay_steps=9 ends before codes settle at .*from=9"):
        check_schedule(config)
    config.optimizer.decay_steps = 0  # rates stay as they are
    check_schedule(config)


def test_a_vocabulary_larger_than_the_generators(tiny):
    config = tiny("continuous")
    with config.unlocked():
        config.data.shapeshow.text = True
        config.model.generator.update(conditions=("text",), words=9)
    task = build(config)
    with pytest.raises(
        ValueError, match="model.generator.words=9, but the data's vocabulary has 92: set it so"
    ):
        task.view(make_source(config.data, "train"))


def test_devices_of_pmap_need_whole_strides(tiny):
    config = tiny("continuous")
    with config.unlocked():
        config.objective.update(judge_stride=2, penalty_stride=3, codes_stride=4)
    assert build(config).rows == 12
    with config.unlocked():
        config.model.encoder.spins, config.objective.codes_stride = False, 1
    assert build(config).rows == 6 and build(tiny()).rows == 1


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
    weights = [float(task.game.penalty_weight(jax.numpy.int32(step))) for step in (0, 5, 10, 99)]
    assert weights == pytest.approx([2.0, 1.25, 0.5, 0.5])
    config = tiny("continuous")
    with config.unlocked():
        config.objective.update(settled_from=4, codes_penalty_end=0.2)
        config.optimizer.decay_steps = 10
    task = build(config)
    parts = [float(task.held(jax.numpy.int32(step))) for step in (0, 4, 7, 10, 99)]
    assert parts == pytest.approx([1.0, 1.0, 0.6, 0.2, 0.2])  # of the game that begins where codes settle
    config = tiny()
    assert build(config).judge.penalty is PENALTIES["r1r2"]
    with config.unlocked():
        config.objective.penalty = "none"
    assert build(config).judge.penalty is None
