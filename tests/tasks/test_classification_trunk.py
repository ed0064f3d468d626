"""The task with the trunk: several modalities, what training does to clips, where it starts from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from vgm_jax.data.sources import make_source
from vgm_jax.data.transforms import to_float
from vgm_jax.tasks import build
from vgm_jax.tasks.restoring import freeze
from vgm_jax.training.loop import Run

KEY = jax.random.key(3)
TRUNK = {
    "width": 8,
    "heads": 1,
    "own": 1,
    "fused": 1,
    "side": 8,
    "entry": 8,
    "cell": 8,
    "causal": False,
    "words": 0,
}


@pytest.fixture(scope="module")
def recipe(tiny):
    def made(**changes):
        config = tiny()
        with config.unlocked():
            config.task, config.model.frames_seen = "classification", 0
            config.data.shapeshow.update(label="both", audio=True)
            config.model.classifier = ConfigDict({"name": "trunk"})
            config.model.trunk = ConfigDict(TRUNK)
            config.model.modalities, config.model.heads = ("video", "audio"), (("class", 48),)
            config.optimizer.update(b1=0.9, classifier_rate=3e-3, decay_steps=0)
            config.train.update(steps=2)
            config.evaluate.every = 0
            config.update_from_flattened_dict(changes)
        return config

    return made


@pytest.fixture(scope="module")
def clips(recipe):
    source = make_source(recipe().data, "train")
    items = [source[i] for i in range(8)]
    return {name: np.stack([item[name] for item in items]) for name in items[0]}


@pytest.fixture(scope="module")
def started(recipe, clips):
    task = build(recipe())
    return task, jax.jit(task.init)(KEY, clips)


def test_clips_are_kept_from_modalities_but_never_from_all(recipe):
    task = build(recipe(**{"model.modality_drop": 0.5}))
    kept = jax.jit(task.kept)(jax.random.split(KEY, 2000))
    both = np.stack([kept["video"], kept["audio"]])
    assert both.any(0).all()
    np.testing.assert_allclose(both.all(0).mean(), 0.25, atol=0.03)
    np.testing.assert_allclose(both.mean(1), 0.625, atol=0.03)


def test_clips_are_mixed_two_by_two(recipe, clips):
    task = build(recipe(**{"objective.mixup": 0.4}))
    frames, audio = to_float(clips["video"]), clips["audio"]
    keys = jax.random.split(KEY, 8)
    mixed, others, share = jax.device_get(jax.jit(task.mix)(frames, {"audio": audio}, keys))
    assert ((share >= 0.5) & (share <= 1)).all() and len(np.unique(share)) == 8
    for i in range(8):
        expected = share[i] * frames[i] + (1 - share[i]) * frames[i ^ 1]
        np.testing.assert_allclose(mixed[i], expected, atol=1e-6)
        sound = share[i] * audio[i] + (1 - share[i]) * audio[i ^ 1]
        np.testing.assert_allclose(others["audio"][i], sound, atol=1e-6)
    state = jax.eval_shape(task.init, KEY, clips)
    assert set(jax.eval_shape(task.train_step, state, clips, KEY)[1]) == {"loss", "accuracy/class"}
    with pytest.raises(ValueError, match="mixed two by two"):
        jax.eval_shape(task.train_step, state, jax.tree.map(lambda x: x[:7], clips), KEY)


def test_smoothing_spreads_the_target(started):
    task, _ = started
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(5, 48)), jnp.float32)
    labels = np.arange(5)[:, None]

    @jax.jit
    def loss_of(logits, labels):
        found = type("Judged", (), {"logits": (logits,), "track": None})
        return task.losses(found, labels, None, smoothing=0.2)[0]

    loss = loss_of(logits, labels)
    target = np.full((5, 48), 0.2 / 48)
    target[np.arange(5), np.arange(5)] += 0.8
    log_p = np.asarray(logits) - np.log(np.exp(np.asarray(logits)).sum(1, keepdims=True))
    np.testing.assert_allclose(loss, -(target * log_p).sum(1), rtol=1e-5)


def test_views_are_averaged_as_probabilities(recipe, clips, started):
    _, state = started
    task = build(recipe(**{"evaluate.views": (2, 2)}))
    found = jax.jit(task.judge_views)(state.params, clips).logits[0]
    judge = jax.jit(build(recipe()).judge)
    p = np.zeros((8, 48))
    for first in (0, 1):  # three of four frames
        for place in (0, 2):  # 14 of 16 pixels
            part = slice(place, place + 14)
            video = to_float(clips["video"][:, first : first + 3, part, part])
            audio = clips["audio"][:, 4000 * first : 4000 * first + 12_000]
            times = clips["times"][:, first : first + 3] - clips["times"][:, first : first + 1]
            p += jax.nn.softmax(judge(state.params, video, times, audio=audio).logits[0]) / 4
    np.testing.assert_allclose(jax.nn.softmax(found), p, atol=1e-5)


def test_what_evaluation_says(recipe, clips):
    task = build(recipe(**{"model.modality_drop": 0.3}))
    state = jax.jit(task.init)(KEY, clips)
    figures = task.evaluate(state, [clips | {"mask": np.ones(8)}], KEY)
    names = {"loss", "accuracy/class", "calibration_error/class", "clips"}
    assert set(figures) == names | {"accuracy/class/video_alone", "accuracy/class/audio_alone"}
    matrix = task.confusion["class"]
    assert matrix.sum() == 8 and matrix.trace() == round(8 * figures["accuracy/class"])
    np.testing.assert_array_equal(matrix.sum(1), np.bincount(clips["label"], minlength=48))
    assert task.show(state, clips, KEY)["confusion_class"].video.ndim == 5


def test_a_run_starts_from_another_and_may_leave_its_trunk_alone(recipe, unlearnt, clips, tmp_path):
    """From masked video, which never heard a sound; then frozen, a step changes the head alone."""
    silent = {"data.shapeshow.audio": False, "model.modalities": ("video",)}
    masked = recipe(**silent, **{"task": "masked_video", "objective.hidden": 0.5})
    run = Run(unlearnt(build(masked)), masked, tmp_path / "masked", report=lambda _: None)
    run.train()
    run.close()
    task = build(recipe(**{"model.start": str(tmp_path / "masked"), "model.frozen": True}))
    state = jax.jit(task.init)(KEY, clips)
    own, learnt = state.params["params"]["trunk"], task.start.found[0]
    for name in ("patches", "video", "video_fused0"):
        jax.tree.map(np.testing.assert_array_equal, own[name], learnt[name])
    assert "audio0" in own and "audio0" not in learnt
    after, _ = jax.jit(task.train_step)(state, clips, KEY)
    jax.tree.map(np.testing.assert_array_equal, own, after.params["params"]["trunk"])
    assert np.abs(after.params["params"]["heads_0"]["Dense_0"]["kernel"]).max() > 0
    changed = jax.tree.map(
        lambda a, b: np.abs(a - b).max(), state.params["params"]["heads_0"], after.params["params"]["heads_0"]
    )
    assert min(jax.tree.leaves(changed)) > 0
    wide = build(recipe(**{"model.start": str(tmp_path / "masked"), "model.trunk.entry": 16}))
    with pytest.raises(ValueError, match="give model.trunk and data as they are there"):
        jax.eval_shape(wide.init, KEY, clips)


def test_frozen_parameters_have_no_gradient(started):
    _, state = started
    slope = jax.grad(lambda p: sum(x.sum() for x in jax.tree.leaves(freeze(p))))
    gradient = jax.device_get(jax.jit(slope)(state.params))
    assert all(not leaf.any() for leaf in jax.tree.leaves(gradient["params"]["trunk"]))
    assert all(leaf.all() for leaf in jax.tree.leaves(gradient["params"]["heads_0"]))


def test_errors_name_the_key(recipe, clips):
    for changes, message in (
        ({"model.frozen": True}, "model.frozen needs model.start"),
        ({"objective.mixup": 0.2, "model.modalities": ("video", "text"), "model.trunk.words": 9}, "no words"),
        ({"model.trunk.wide": 3}, "has no wide; its settings are modalities"),
    ):
        with pytest.raises(ValueError, match=message):
            config = recipe()
            with config.unlocked():
                config.update_from_flattened_dict(
                    {k: v for k, v in changes.items() if k != "model.trunk.wide"}
                )
                config.model.trunk.update({"wide": 3} if "model.trunk.wide" in changes else {})
            build(config)
    few = recipe(
        **{"model.modalities": ("video", "text"), "model.trunk.words": 9, "data.shapeshow.text": True}
    )
    with pytest.raises(ValueError, match="model.trunk.words=9, but the data's vocabulary has 92: set it so"):
        build(few).view(make_source(few.data, "train"))
    silent = recipe(**{"data.shapeshow.audio": False})
    with pytest.raises(ValueError, match="'audio', which clips of .* lack: set data.<source>.audio"):
        build(silent).view(make_source(silent.data, "train"))
    task = build(recipe(**{"model.modalities": ("text",), "model.trunk.words": 9}))
    with pytest.raises(ValueError, match="clips have none of model.modalities"):
        task.given(clips)
