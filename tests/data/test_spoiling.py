import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.data.sources.shapeshow import COLOURS, SHAPES, ShapeShow
from vgm_jax.data.spoiling import IGNORED, KINDS, NAMES, NONE, ROUND, TRUE, spoil, take_apart

N = 12


@pytest.fixture(scope="module")
def clips():
    source = ShapeShow("train", label="look", track=True, frames=8, fps=8.0)
    items = [source[i] for i in range(N)]
    batch = {name: jnp.asarray(np.stack([item[name] for item in items])) for name in items[0]}
    labels = jnp.stack([batch["label"] // 96, batch["label"] // 12 % 8, batch["label"] % 12], -1)
    return batch["video"] / 127.5 - 1.0, batch["track"], labels, [source.clip(i) for i in range(N)]


@pytest.fixture(scope="module")
def spoiled(clips):
    video, track, labels, _ = clips
    run, keys = jax.jit(spoil), jax.random.split(jax.random.key(0), N)
    return {name: run(video, track, labels, keys, jnp.full(N, i)) for i, name in enumerate(NAMES)}


def test_a_clip_is_taken_apart_and_put_together_again(clips):
    video, track, _, truth = clips
    background, coverage, colour = jax.jit(jax.vmap(take_apart))((video + 1) / 2, track)
    again = background[:, None] + coverage[..., None] * (colour[:, None, None, None] - background[:, None])
    assert np.abs(again - (video + 1) / 2).mean() < 0.005
    expected = np.array([clip.objects[0].rgb for clip in truth])
    assert np.abs(colour - expected).max() < 0.04


@pytest.mark.parametrize("kind", NAMES)
def test_labels_are_what_became_of_them(clips, spoiled, kind):
    video, _, labels, _ = clips
    frames, after, tracked = spoiled[kind]
    fate = KINDS[kind][1]
    for i in range(3):
        expected = labels[:, i] if fate[i] == TRUE else jnp.full(N, fate[i])
        if kind == "molten" and i == 0:
            expected = jnp.where(np.isin(labels[:, 0], [SHAPES.index(s) for s in ROUND]), IGNORED, NONE)
        assert np.array_equal(after[:, i], expected)
    assert (tracked == (fate[3] == TRUE)).all()
    assert frames.shape == video.shape and frames.min() >= -1 and frames.max() <= 1
    changed = np.abs(frames - video).max((1, 2, 3, 4))
    assert (changed > 0.2).all() if kind not in ("shuffled", "frozen") else np.median(changed) > 0.2


def test_empty_clips_show_nothing(spoiled):
    frames = (spoiled["empty"][0] + 1) / 2
    assert frames.max() < 0.55, "all objects are brighter"
    assert np.abs(jnp.diff(frames, axis=1)).max() < 1e-5, "and nothing moves"


def test_frames_come_from_the_clip(clips, spoiled):
    frames, _, _ = spoiled["frozen"]
    assert np.abs(jnp.diff(frames, axis=1)).max() < 1e-5
    frames, video = np.asarray(spoiled["shuffled"][0]), np.asarray(clips[0])
    apart = np.abs(frames[:, :, None] - video[:, None]).mean((3, 4, 5))  # [N T T]
    assert apart.min(2).max() < 0.02 and (apart.argmin(2) != np.arange(8)).any()


def test_other_colours_are_far_from_all_named(clips, spoiled):
    track, named = clips[1], np.array(list(COLOURS.values()))
    frames, after, _ = spoiled["recoloured"]
    colour = jax.jit(jax.vmap(take_apart))((frames + 1) / 2, track).colour
    apart = np.linalg.norm(np.asarray(colour)[:, None] - named, axis=-1).min(1)
    assert (apart > 0.15).mean() > 0.9


def test_kinds_are_drawn_by_key_alone(clips):
    video, track, labels, _ = clips
    keys = jax.random.split(jax.random.key(1), N)
    run = jax.jit(spoil)
    frames, after, _ = run(video, track, labels, keys)
    part, part_after, _ = run(video[6:], track[6:], labels[6:], keys[6:])
    np.testing.assert_allclose(part, frames[6:], atol=1e-4)
    assert np.array_equal(part_after, after[6:]) and len(np.unique(np.asarray(after), axis=0)) > 3
