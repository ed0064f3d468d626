"""A GAN whose discriminator is shown changed clips."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.models.scene import Codes
from vgm_jax.objectives import Strength
from vgm_jax.training.checkpoint import Checkpoints
from vgm_jax.training.partition import Partition

KEY = jax.random.key(7)
ALL = {"objective.augment": "colour,translation,cutout"}
ADAPTIVE = ALL | {
    "objective.augment_target": 0.6,
    "objective.augment_images": 160,
    "objective.augment_every": 2,
}


def clips(count, size=16, frames=4, seed=0):
    video = np.random.default_rng(seed).integers(0, 256, (count, frames, size, size, 3), np.uint8)
    times = np.tile(np.arange(frames, dtype=np.float32) / 4, (count, 1))
    return {"video": video, "times": times}


@pytest.fixture(scope="module")
def adaptive(make):
    task = make(**ADAPTIVE)
    return task, jax.jit(task.init)(KEY, clips(4))


def largest(tree):
    return max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


def agree(found, expected):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5 * largest(expected))


def shown_to(task, frames, key, side):
    """The clips of a batch one by one, by the key of its place: what the discriminator is shown of a side."""
    root = jax.random.fold_in(key, 5)
    each = [jax.random.fold_in(jax.random.fold_in(root, i), side) for i in range(len(frames))]
    return jnp.concatenate([task.shown(frames[i : i + 1], each[i][None]) for i in range(len(frames))])


@pytest.mark.parametrize("penalty", ["r1r2", "r1_fd"])
def test_both_gradients_are_the_textbooks_of_changed_clips(make, penalty):
    """Real and generated clips changed, each loss differentiated on its own, R1 at the changed real ones."""
    weights = {"objective.penalty_weight": 0.3, "objective.penalty_weight_end": 0.3}
    task = make(**ALL, **weights, **{"objective.penalty": penalty, "model.frames_seen": 0})
    batch, b = clips(2), 2
    state = jax.jit(task.init)(jax.random.key(1), batch)
    _, _, noise_key, dropout_key, penalty_key = jax.random.split(KEY, 5)
    by_place = [jnp.stack([jax.random.fold_in(k, i) for i in range(b)]) for k in (noise_key, dropout_key)]
    times, dropout = jnp.asarray(batch["times"]), by_place[1]
    noise = task.generator.noise(by_place[0], times)
    real = jax.jit(lambda frames: shown_to(task, frames, KEY, 0))(batch["video"] / np.float32(127.5) - 1)
    fake_dropout = jnp.stack([jax.random.fold_in(k, 1) for k in dropout])

    def fake(g):
        return shown_to(task, task.generator.apply(g, noise, times), KEY, 1)

    def logits(d, x, keys):
        return task.discriminator.apply(d, x, times, keys)

    def d_loss(d):
        made = fake(state.generator)
        x, keys = jnp.concatenate([real, made]), jnp.concatenate([dropout, fake_dropout])
        loss = jnp.mean(jax.nn.softplus(logits(d, made, fake_dropout) - logits(d, real, dropout)))
        if penalty == "r1r2":
            twice = jnp.concatenate([times, times])
            slopes = jax.grad(lambda x: task.discriminator.apply(d, x, twice, keys).sum())(x)
            return loss + 0.3 * 0.5 * jnp.sum(slopes**2) / b
        noisy = jax.random.split(penalty_key)[0]
        n = jnp.stack([jax.random.normal(jax.random.fold_in(noisy, i), real.shape[1:]) for i in range(b)])
        rises = (logits(d, real + 0.01 * n, dropout) - logits(d, real, dropout)) / 0.01
        return loss + 0.3 * 0.5 * jnp.mean(rises**2)

    def g_loss(g):
        real_logits = logits(state.discriminator, real, dropout)
        return jnp.mean(jax.nn.softplus(real_logits - logits(state.discriminator, fake(g), fake_dropout)))

    loss, of_generator = jax.jit(jax.value_and_grad(g_loss))(state.generator)
    of_discriminator = jax.jit(jax.grad(d_loss))(state.discriminator)
    g, d, metrics, _ = jax.jit(task.gradients)(state, batch, KEY)
    agree(g, of_generator)
    agree(d, of_discriminator)
    assert float(metrics["g_loss"][0]) == pytest.approx(float(loss), rel=1e-5)
    assert largest(g) > 1e-3 and largest(d) > 1e-3
    plain = make(**weights, **{"objective.penalty": penalty, "model.frames_seen": 0})
    assert largest(jax.tree.map(np.subtract, g, jax.jit(plain.gradients)(state, batch, KEY)[0])) > 1e-3


def test_the_generators_slope_is_that_of_finite_differences(make):
    """Its loss along the gradient, through changes, sampled frames, and the discriminator."""
    task, batch = make(**ALL, **{"objective.penalty": "none", "model.frames_seen": 2}), clips(4)
    state = jax.jit(task.init)(jax.random.key(1), batch)
    gradients = jax.jit(task.gradients)
    g, start = jax.device_get((gradients(state, batch, KEY)[0], state.generator))
    length = np.sqrt(sum(float(np.sum(x**2)) for x in jax.tree.leaves(g)))
    h = 2e-3

    def loss(sign):
        moved = jax.tree.map(lambda p, x: p + np.float32(sign * h / length) * x, start, g)
        return float(gradients(state.replace(generator=moved), batch, KEY)[2]["g_loss"][0])

    assert (loss(1) - loss(-1)) / (2 * h) == pytest.approx(length, rel=0.03)


def test_a_fixed_chance_keeps_nothing_in_the_state(make):
    batch = clips(4)
    plain, fixed = (jax.eval_shape(make(**c).init, KEY, batch) for c in ({}, ALL))
    assert jax.tree.structure(plain) == jax.tree.structure(fixed)
    assert plain.strength == fixed.strength == ()


def test_the_chance_is_adapted_logged_and_kept(adaptive, tmp_path):
    """Every 2 updates by 2 * 4 / 160; what a checkpoint brings back goes on with the same bits."""
    task, state = adaptive
    assert float(state.strength.p) == 0.0
    step, chances, signs = jax.jit(task.train_step), [], []
    states = [state]
    for i in range(6):
        state, metrics = step(state, clips(4, seed=i), jax.random.fold_in(KEY, i))
        chances.append(float(metrics["augment_p"][0]))
        signs.append(float(metrics["augment_sign"][0]))
        assert -1 <= signs[-1] <= 1 and metrics["augment_p"][1] == 1
        states.append(state)
    expected, p = [], 0.0
    for i in range(6):
        expected.append(p)
        if i % 2:
            p = min(max(p + 0.05 * np.sign(np.mean(signs[i - 1 : i + 1]) - 0.6), 0.0), 1.0)
    np.testing.assert_allclose(chances, expected, atol=1e-6)
    assert float(state.strength.p) == pytest.approx(p, abs=1e-6)
    moving = states[0].replace(strength=Strength(jnp.float32(0.5), jnp.float32(0.25)), step=jnp.int32(3))
    saved = Checkpoints(tmp_path / "c", keep=1, best="")
    saved.save(3, moving, {})
    template = Partition().template(task.init, KEY, clips(4))
    restored, _ = saved.restore(template)
    saved.close()
    assert type(restored) is type(moving)
    after = [step(s, clips(4), KEY)[0] for s in (moving, restored)]
    assert all(np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, after), strict=True))
    assert abs(float(after[0].strength.p) - 0.5) == pytest.approx(0.05, abs=1e-6)


def test_devices_share_the_work_and_the_figure(make):
    """Halves of a batch under a mapped axis: gradients, the chance and its move are those of the whole."""
    task = make(**ADAPTIVE, **{"objective.penalty": "r1"})
    batch = clips(4)
    state = jax.jit(task.init)(KEY, batch)
    state = state.replace(strength=Strength(jnp.float32(0.5), jnp.float32(0.5)), step=jnp.int32(1))
    split = jax.tree.map(lambda x: jnp.asarray(x).reshape(2, 2, *x.shape[1:]), batch)
    mapped = {"in_axes": (None, 0), "axis_name": "data"}
    whole = jax.jit(task.gradients)(state, batch, KEY)
    parts = jax.jit(jax.vmap(lambda s, b: task.gradients(s, b, KEY, "data"), **mapped))(state, split)
    agree(jax.tree.map(lambda x: x[0], parts[:2]), whole[:2])
    for name, (total, count) in whole[2].items():
        assert float(parts[2][name][0][0] / parts[2][name][1][0]) == pytest.approx(
            float(total / count), rel=1e-4
        )
    moved = jax.jit(jax.vmap(lambda s, b: task.train_step(s, b, KEY, "data")[0], **mapped))(state, split)
    alone = jax.jit(task.train_step)(state, batch, KEY)[0]
    assert moved.strength.p.tolist() == [float(alone.strength.p)] * 2
    assert abs(float(alone.strength.p) - 0.5) == pytest.approx(0.05, abs=1e-6)


def test_augmented_data_are_what_is_learnt(make):
    """All kinds of data.augment in one update, labels and all; times are the generator's too."""
    names = ("reverse", "speed", "flip", "crop", "translation", "colour", "cutout")
    task = make(**{"data.augment": names, "model.frames_seen": 2, "objective.penalty": "none"})
    batch = clips(4) | {"label": np.zeros(4, np.int32), "label_views": np.zeros((4, 4), np.int32)}
    state = jax.jit(task.init)(KEY, batch)
    _, d, metrics, _ = jax.jit(task.gradients)(state, batch, KEY)
    plain = make(**{"model.frames_seen": 2, "objective.penalty": "none"})
    _, other, *_ = jax.jit(plain.gradients)(state, batch, KEY)
    assert np.isfinite(float(metrics["d_loss"][0]))
    assert largest(jax.tree.map(np.subtract, d, other)) > 1e-4


def test_a_mirrored_clip_is_remembered_as_what_it_then_shows(make, tiny, monkeypatch):
    """Left and right, of which the brighter half tells; clips of a third class may not be mirrored."""
    task = make(
        "continuous",
        **{
            "data.augment": ("flip",),
            "model.generator.conditions": ("label",),
            "model.generator.classes": 3,
            "objective.codes_stride": 1,
        },
    )
    count = 12
    batch = clips(count, size=tiny("continuous").data.size)
    label = np.resize([0, 1, 2], count).astype(np.int32)
    bright = np.where(label == 1, 1, 0)  # the right half
    video = np.zeros_like(batch["video"])
    half = video.shape[3] // 2
    for i in range(count):
        video[i, :, :, bright[i] * half : (bright[i] + 1) * half] = 200
    views = np.array([[0, 1, 0, 1], [1, 0, 1, 0], [2, -1, 2, -1]], np.int32)[label]
    batch |= {"video": video, "label": label, "label_views": views}

    def read(generator, frames, times):
        content = jnp.stack(
            [frames[..., :half, :].mean((1, 2, 3, 4)), frames[..., half:, :].mean((1, 2, 3, 4))], 1
        )
        return Codes(content, jnp.zeros((len(times), 1, 2)), jnp.zeros((*times.shape, 5)))

    monkeypatch.setattr(task.codes, "read", read)

    class State:
        generator = None

    remembered = jax.jit(lambda batch: task.remembered(State, *task.seen(batch, KEY, None)))
    codes, times, given = remembered(batch)
    shown = np.asarray(codes.content).argmax(1)
    mirrored = shown != bright
    assert 0 < mirrored.sum() < count and not np.any(mirrored[label == 2])
    expected = np.where(label == 2, 2, shown)
    np.testing.assert_array_equal(given["label"], expected)
    assert np.asarray(times).shape[0] == count


def test_errors_come_before_anything_is_computed(make):
    with pytest.raises(ValueError, match="objective.augment has 'color', which is unknown or there twice"):
        make(**{"objective.augment": "color"})
    with pytest.raises(ValueError, match="objective.augment_target=0.6 needs objective.augment"):
        make(**{"objective.augment_target": 0.6})
