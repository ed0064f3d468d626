import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from vgm_jax.data.sources import make_source
from vgm_jax.data.transforms import to_float
from vgm_jax.models.encoders.masked import changes
from vgm_jax.tasks import build

KEY = jax.random.key(0)
TRUNK = {"width": 8, "heads": 1, "own": 1, "fused": 1, "side": 16, "entry": 8, "cell": 8, "words": 0}


@pytest.fixture(scope="module")
def recipe(tiny):
    def made(**changes):
        config = tiny()
        with config.unlocked():
            config.task, config.model.trunk = "masked_video", ConfigDict(TRUNK)
            config.optimizer.update(b1=0.9, classifier_rate=1e-2, decay_steps=0)
            config.update_from_flattened_dict(changes)
        return config

    return made


@pytest.fixture(scope="module")
def clips(recipe):
    source = make_source(recipe().data, "train")
    items = [source[i] for i in range(8)]
    return {name: np.stack([item[name] for item in items]) for name in items[0]}


def test_as_many_patches_are_hidden_of_each_clip(recipe):
    task = build(recipe())
    hidden = np.asarray(jax.jit(task.hide)(jax.random.split(KEY, 50)))
    assert hidden.shape == (50, 4, 4) and (hidden.sum((1, 2)) == 14).all()  # 0.9 of 16
    assert (hidden.mean(0) > 0.6).all() and len(np.unique(hidden.reshape(50, -1), axis=0)) > 25


def test_the_loss_is_the_error_of_hidden_patches(recipe, clips):
    task = build(recipe())
    state = jax.jit(task.init)(KEY, clips)
    b = {name: jnp.asarray(clips[name]) for name in ("video", "times")}
    hidden = np.asarray(jax.jit(task.hide)(jax.random.split(KEY, 8)))
    figures, found = jax.device_get(jax.jit(task.losses)(state.params, b, hidden))
    assert found.changes is None and set(figures) == {"loss", "hidden"}
    video = np.asarray(to_float(b["video"]), np.float64)
    for clip in range(8):
        errors = []
        for y, x in np.argwhere(hidden[clip]):
            for step in range(2):
                # Pixel by pixel, both frames of the tubelet.
                cube = video[clip, 2 * step : 2 * step + 2, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4]
                cube = cube.transpose(1, 2, 0, 3).ravel()
                target = (cube - cube.mean()) / np.sqrt(cube.var() + 1e-4)
                errors.append(np.mean((found.patches[clip, step, y, x] - target) ** 2))
        np.testing.assert_allclose(figures["loss"][clip], np.mean(errors), rtol=1e-4)


def test_it_learns_and_shows(recipe, clips):
    task = build(recipe())
    held_out = [clips | {"mask": np.ones(8)}]
    state = jax.jit(task.init)(KEY, clips)
    before = task.evaluate(state, held_out, KEY)
    step = jax.jit(task.train_step, donate_argnums=0)
    for i in range(40):
        state, metrics = step(state, clips, jax.random.fold_in(KEY, i))
    after = task.evaluate(state, held_out, KEY)
    assert after["loss"] < 0.9 * before["loss"] and after["clips"] == 8 and set(metrics) == {"loss", "hidden"}
    video = task.show(state, clips, KEY)["masked"].video
    assert video.shape == (8, 4, 16, 48, 3)
    np.testing.assert_allclose(video[:, :, :, 32:].astype(int), clips["video"].astype(int), atol=1)
    seen, real = video[:, :, :, :16].astype(int), video[:, :, :, 32:].astype(int)
    same = (np.abs(seen - real).max(-1) <= 1).mean()
    assert same < 0.5  # most is hidden


def test_changes_are_of_colour_in_time(recipe, clips):
    task = build(recipe())
    video = np.asarray(to_float(clips["video"]), np.float64)
    colour = video.reshape(8, 2, 2, 4, 4, 4, 4, 3).mean((2, 4, 6))  # [B T' h w 3]
    expected = colour - colour.mean(1, keepdims=True)
    expected /= np.sqrt(np.square(expected).mean((1, 2, 3, 4), keepdims=True) + 1e-5)
    found = jax.jit(lambda video: changes(task.model.patches(to_float(video))))(clips["video"])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    still = np.repeat(found[:, :1], 2, 1)
    assert (np.asarray(jax.jit(changes)(still)) == 0).all()  # nothing to divide by


def test_the_pooled_vector_learns_to_tell_changes(recipe, clips):
    task = build(recipe(**{"objective.whole_weight": 1.0}))
    held_out = [clips | {"mask": np.ones(8)}]
    state = jax.jit(task.init)(KEY, clips)
    before = task.evaluate(state, held_out, KEY)
    step = jax.jit(task.train_step, donate_argnums=0)
    for i in range(60):
        state, _ = step(state, clips, jax.random.fold_in(KEY, i))
    after = task.evaluate(state, held_out, KEY)
    assert after["whole"] < 0.8 * before["whole"] and after["hidden"] < before["hidden"]
    np.testing.assert_allclose(after["loss"], after["hidden"] + after["whole"], rtol=1e-5)
    # What is told of a clip is told by its pooled vector, whatever is hidden.
    b = {name: jnp.asarray(clips[name]) for name in ("video", "times")}
    told = jax.jit(lambda key: task.losses(state.params, b, task.hide(jax.random.split(key, 8)))[1])
    two = [told(key) for key in (KEY, jax.random.key(1))]
    np.testing.assert_array_equal(two[0].changes, two[1].changes)
    assert not np.allclose(two[0].patches, two[1].patches)


def test_errors_name_the_key(recipe):
    with pytest.raises(ValueError, match="objective.hidden=0.01 hides 0 of 16"):
        build(recipe(**{"objective.hidden": 0.01}))
    with pytest.raises(ValueError, match="'masked_video' needs 'video'"):
        build(recipe(**{"model.modalities": ("audio",)}))
