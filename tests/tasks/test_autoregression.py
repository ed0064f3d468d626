import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from vgm_jax.data.sources.arrays import Arrays
from vgm_jax.tasks import build
from vgm_jax.tasks.gan_state import GANState

KEY = jax.random.key(3)
SMALL = {"name": "causal", "actions": 3, "patch": 4, "width": 16, "heads": 2, "depth": 1, "memory": 2}
SMALL |= {"noise_dim": 4, "cell": 8, "texture": 16, "reach": 3}


def world(count, frames=6, size=16, seed=0, pixels=1):
    """Clips of coloured stripes that action 0 moves by pixels to the left, 1 leaves, 2 moves to the right."""
    rng = np.random.default_rng(seed)
    action = rng.integers(0, 3, (count, frames)).astype(np.int32)
    stripes = np.repeat(rng.integers(0, 256, (count, 16, 3)), 4, 1)
    place = 24 - np.cumsum(pixels * (action - 1) * (np.arange(frames) > 0), 1)
    rows = np.stack(
        [[stripe[p : p + size] for p in at] for stripe, at in zip(stripes, place, strict=True)]
    ).astype(np.uint8)
    video = np.broadcast_to(rows[:, :, None], (count, frames, size, size, 3))
    times = np.tile(np.arange(frames, dtype=np.float32) / 8, (count, 1))
    return {"video": np.ascontiguousarray(video), "times": times, "action": action}


@pytest.fixture(scope="module")
def make(tiny):
    """`make(**{"objective.name": ...}) -> task` of a small recipe."""

    def task(**changes):
        config = tiny()
        with config.unlocked():
            config.task = "autoregression"
            config.data.update(size=16, frames=6, fps=8.0)
            config.model.generator = ConfigDict(SMALL)
            small = {"frame_widths": (16,), "frame_depths": (0,), "widths": (16,), "depths": (1,)}
            config.model.discriminator = ConfigDict({"name": "clip", "hidden": 8} | small)
            config.model.update(frames_seen=5, frames_given=2, frames_judged=3)
            config.objective.update(reconstruction_weight=1.0, start_stride=4, judge_stride=2)
            if "model.discriminator" in changes:
                config.model.discriminator = ConfigDict(changes.pop("model.discriminator"))
            config.update_from_flattened_dict(changes)
        return build(config)

    return task


@pytest.fixture(scope="module")
def task(make):
    return make()


@pytest.fixture(scope="module")
def state(task):
    return jax.jit(task.init)(KEY, world(8))


def finite(tree):
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


def norm(tree):
    return max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


def test_an_update_through_its_own_frames_is_finite_and_reaches_all(task, state):
    g, d, metrics = jax.jit(task.gradients)(state, world(8), KEY)
    assert finite((g, d, metrics)) and norm(g["params"]["begin"]) > 0
    assert all(norm(layer) > 0 for layer in g["params"].values())
    assert {"d_loss", "g_loss", "penalty", "error"} <= set(metrics)


def test_without_actions_nothing_takes_them(make):
    task = make(**{"model.generator.actions": 0, "objective.penalty": "none"})
    batch = {name: x for name, x in world(8).items() if name != "action"}
    state = jax.eval_shape(task.init, KEY, batch)
    g, _, metrics = jax.eval_shape(task.gradients, state, batch, KEY)
    assert "action" not in g["params"] and "penalty" not in metrics


def test_the_error_is_of_frames_made_from_frames_made_before(make):
    task = make(**{"objective.start_stride": 0, "model.frames_seen": 0, "model.frames_judged": 0})
    batch = world(8)
    state = jax.jit(task.init)(KEY, batch)
    g, _, metrics = jax.jit(task.gradients)(state, batch, KEY)
    assert norm(g["params"]["begin"]) == 0  # no clip begins with noise alone
    key = jax.random.split(KEY, 6)[2]
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(8))
    steps = jax.jit(task.generator.noise)(keys, np.tile(np.arange(2, 6), (8, 1)))  # of the clip's frames
    given = jnp.asarray(batch["video"][:, :2] / 127.5 - 1)
    made, speed = jax.jit(task.generator.rollout)(state.generator, given, steps, batch["action"][:, 2:])
    error = np.abs(127.5 * (np.asarray(made) + 1) - batch["video"][:, 2:]).mean()
    np.testing.assert_allclose(metrics["error"][0], error, rtol=1e-4)  # grey levels
    missed = np.abs(speed - jax.jit(task.generator.speeds)(batch["video"] / 127.5 - 1)[:, 1:]).mean()
    np.testing.assert_allclose(metrics["speed_error"][0], missed, rtol=1e-3)  # pixels


def test_a_batch_of_one_has_no_other_clips_actions(make, state):
    """Errors of shuffled actions are of the clips that there are others beside."""
    task = make()
    parts = [world(n, seed=n) | {"mask": np.ones(n)} for n in (4, 1)]
    both, first = (task.evaluate(state, x, KEY) for x in (parts, parts[:1]))
    assert both["shuffled/error"] == pytest.approx(first["shuffled/error"])
    assert both["error"] != pytest.approx(first["error"])
    assert "shuffled/error" not in task.evaluate(state, parts[1:], KEY)


def test_it_learns_to_follow_actions(make):
    rates = {"optimizer.generator_rate": 5e-3, "optimizer.warmup_steps": 10, "optimizer.decay_steps": 150}
    alone = {"objective.start_stride": 0, "objective.penalty": "none", "model.generator.reach": 2}
    task = make(**rates, **alone, **{"objective.reconstruction_weight": 30.0})
    state = jax.jit(task.init)(KEY, world(8))
    step = jax.jit(task.train_step)
    for i in range(150):
        state, _ = step(state, world(8, seed=i), jax.random.fold_in(KEY, i))
    assert isinstance(state, GANState) and int(state.step) == 150
    held_out = world(16, seed=1000) | {"mask": np.ones(16)}
    figures = task.evaluate(state, [held_out], KEY)
    assert figures["error/1"] < 0.5 * figures["copied/error/1"]
    assert figures["error/1"] < 0.5 * figures["shuffled/error/1"]
    assert figures["error"] < figures["error/4"] and figures["clips"] == 16


def test_how_far_pictures_move_is_taught(make):
    """Of stripes that jump further than pixels tell."""
    alone = {"objective.reconstruction_weight": 0.0, "objective.start_stride": 0, "model.generator.reach": 5}
    alone |= {"model.frames_seen": 3, "model.frames_judged": 2, "objective.speed_weight": 1.0}
    alone |= {"objective.penalty": "none"}
    rates = {"optimizer.generator_rate": 5e-3, "optimizer.warmup_steps": 10, "optimizer.decay_steps": 100}
    task = make(**alone, **rates)
    state, step = jax.jit(task.init)(KEY, world(8)), jax.jit(task.train_step)
    errors = []
    for i in range(100):
        state, metrics = step(state, world(8, seed=i, pixels=3), jax.random.fold_in(KEY, i))
        errors.append(float(metrics["speed_error"][0]))
    assert np.mean(errors[-10:]) < 0.5 * np.mean(errors[:5])


def test_what_a_person_sees(task, state):
    shown = task.show(state, world(4), KEY)
    assert set(shown) == {"samples", "real", "shuffled", "begun"}
    assert all(media.video.shape == (4, 6, 16, 16, 3) and media.fps == 8.0 for media in shown.values())
    np.testing.assert_array_equal(shown["samples"].video[:, 0], world(4)["video"][:, 0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.generator.name": "mlp"}, "'mlp' is unknown; choose one of causal"),
        ({"model.discriminator": {"name": "mlp"}}, "'mlp' cannot be told actions"),
        ({"data.augment": ("flip",)}, "'flip' makes actions untrue"),
        ({"objective.augment": "colour"}, "objective.augment"),
        ({"model.start": "somewhere"}, "model.start"),
        ({"model.frames_seen": 7}, "model.frames_seen=7 must be at most data.frames=6"),
        ({"model.frames_judged": 6}, "model.frames_judged=6"),
        ({"model.frames_given": 5}, "model.frames_given=5"),
    ],
)
def test_settings_that_do_not_fit_are_told(make, changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes).init(KEY, world(2))


def test_clips_without_the_actions_that_are_followed_are_told(make, task, tmp_path):
    np.save(tmp_path / "train.npy", world(3)["video"])
    with pytest.raises(ValueError, match="model.generator.actions=3, but the data's clips have no actions"):
        task.view(Arrays(path=tmp_path, size=16, frames=6))
    np.save(tmp_path / "train_actions.npy", world(3)["action"] + 1)
    with pytest.raises(ValueError, match="have 4 actions"):
        task.view(Arrays(path=tmp_path, size=16, frames=6))
    four = make(**{"model.generator.actions": 4})
    source = Arrays(path=tmp_path, size=16, frames=6)
    assert four.view(source) is source
