import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from vgm_jax.data.sources import make_source
from vgm_jax.data.spoiling import IGNORED, NONE
from vgm_jax.tasks import build
from vgm_jax.tasks.classification import RIGHT, WRONG, unravel
from vgm_jax.tasks.descent import begin
from vgm_jax.types import Media

KEY = jax.random.key(3)
SMALL = {"name": "clip", "side": 16, "entry": 8, "widths": (16, 16), "frame_features": 32, "hidden": 16}
LOOK = (("shape", 7), ("colour", 8), ("motion", 12))


@pytest.fixture(scope="module")
def make(tiny):
    """`make(label="direction", ...) -> task, batch(i)`; sections' keys by their dotted names."""

    def made(network=None, **changes):
        config = tiny()
        with config.unlocked():
            config.task, config.model.frames_seen = "classification", 0
            config.model.classifier = ConfigDict(SMALL | (network or {}))
            config.optimizer.update(b1=0.9, classifier_rate=3e-3, decay_steps=0)
            config.update_from_flattened_dict(changes)
        source, n = make_source(config.data, "train"), config.data.batch_size

        def batch(i):
            items = [source[n * i + j] for j in range(n)]
            return {name: np.stack([item[name] for item in items]) for name in items[0]}

        return build(config), batch

    return made


@pytest.fixture(scope="module")
def oracle(make):
    """The oracle's task, small: three heads, none, a track."""
    look = {"data.shapeshow.label": "look", "data.shapeshow.track": True, "model.heads": LOOK}
    return make({"frame_heads": 2}, **look, **{"data.spoil_every": 2, "objective.track_weight": 1.0})


@pytest.fixture(scope="module")
def started(oracle):
    task, batch = oracle
    return jax.jit(task.init)(KEY, batch(0))


def mean(pair):
    return float(pair[0] / pair[1])


def test_unravel_is_mixed_radix():
    label = np.arange(7 * 8 * 12)
    shape, colour, motion = unravel(label, (7, 8, 12))
    assert np.array_equal((shape * 8 + colour) * 12 + motion, label)
    assert shape.max() == 6 and colour.max() == 7 and motion.max() == 11


def test_it_learns(make):
    """Where things are, within 40 updates, and something of their colours."""
    changes = {"data.shapeshow.label": "look", "data.shapeshow.track": True, "model.heads": LOOK}
    task, batch = make(
        {"frame_heads": 2}, **changes, **{"objective.track_weight": 1.0, "data.batch_size": 16}
    )
    held_out = [batch(500) | {"mask": np.ones(16)}]
    state = jax.jit(task.init)(KEY, batch(0))
    before = task.evaluate(state, held_out, KEY)
    step = jax.jit(task.train_step, donate_argnums=0)
    for i in range(40):
        state, metrics = step(state, batch(i), jax.random.fold_in(KEY, i))
    after = task.evaluate(state, held_out, KEY)
    assert int(state.step) == 40 and set(after) == {*metrics, "calibration_error/motion", "clips"}
    assert after["loss"] < 0.75 * before["loss"]
    assert after["track_error"] < 0.5 * before["track_error"]
    assert after["accuracy/colour"] > 0.2 > before["accuracy/colour"]


def test_losses_and_what_counts(oracle, started):
    """None is the last class, what cannot be asked costs nothing, lost tracks neither."""
    task, batch = oracle
    b, clips = batch(0), len(batch(0)["video"])
    found = jax.jit(task.judge)(started.params, b["video"] / np.float32(127.5) - 1, b["times"])
    labels = np.stack(unravel(b["label"], task.sizes), -1)
    labels[0], labels[1], labels[2, 0] = NONE, IGNORED, NONE
    tracked = np.array([1.0, 0.0] * (clips // 2))
    loss, figures = jax.device_get(jax.jit(task.losses)(found, labels, b["track"], tracked))
    expected = 10.0**2 * np.mean((np.asarray(found.track) - b["track"]) ** 2, (1, 2)) * tracked
    for i, size in enumerate(task.sizes):
        log_p = np.asarray(jax.nn.log_softmax(found.logits[i]))
        log_p = log_p if log_p.ndim == 3 else log_p[:, None]
        for clip in range(clips):
            if labels[clip, i] != IGNORED:
                label = size if labels[clip, i] == NONE else labels[clip, i]
                expected[clip] -= log_p[clip, :, label].mean() / 3
    np.testing.assert_allclose(loss, expected, rtol=1e-4, atol=1e-6)
    assert loss[1] == 0 and figures["accuracy/shape"][1].sum() == clips - 1


def test_half_are_spoiled(oracle):
    task, batch = oracle
    b = batch(0)
    labels = np.stack(unravel(b["label"], task.sizes), -1)
    keys = jax.random.split(KEY, len(labels))
    video, after, tracked = jax.device_get(jax.jit(task.spoil)(b["video"], b["track"], labels, keys))
    assert video.dtype == np.uint8 and video.shape == b["video"].shape
    assert np.array_equal(video[1::2], b["video"][1::2]) and np.array_equal(after[1::2], labels[1::2])
    assert (after[::2] != labels[::2]).any(1).all() and (tracked[1::2] == 1).all()


def test_direction_is_whether_a_clip_runs_backwards(make):
    task, batch = make(**{"model.label": "direction", "model.heads": (("direction", 2),)})
    b = batch(0)
    b["times"] = b["times"] * np.array([0, 1, 3, 4], np.float32)  # unevenly spaced
    keys = jax.random.split(jax.random.key(0), len(b["video"]))
    seen = jax.device_get(jax.jit(task.prepare)(b, keys))
    backwards = seen["label"].astype(bool)
    assert 0 < backwards.sum() < len(backwards)
    for i, back in enumerate(backwards):
        assert np.array_equal(seen["video"][i], b["video"][i, ::-1] if back else b["video"][i])
        gaps = np.diff(b["times"][i])
        np.testing.assert_allclose(np.diff(seen["times"][i]), gaps[::-1] if back else gaps, rtol=1e-6)
        assert seen["times"][i, 0] == 0
    state = jax.jit(task.init)(KEY, b)
    after, metrics = jax.jit(task.train_step)(state, b, KEY)
    assert set(metrics) == {"loss", "accuracy/direction"} and int(after.step) == 1


def test_a_mirrored_clip_runs_in_the_same_direction(make):
    heads = (("direction", 2),)
    changes = {"model.label": "direction", "model.heads": heads, "data.augment": ("flip",)}
    task, batch = make(**changes, **{"data.shapeshow.text": True})
    b, keys = batch(0), jax.random.split(jax.random.key(1), 8)
    seen = jax.device_get(jax.jit(task.prepare)(b, keys))
    found = jax.device_get(jax.jit(task.augment)(seen, keys))
    flipped = ~np.all(found["video"] == seen["video"], axis=(1, 2, 3, 4))
    assert 0 < flipped.sum() < len(flipped) and np.array_equal(found["label"], seen["label"])
    assert set(seen["label"][flipped].tolist()) == {0, 1}
    # Words, of which none say what happens backwards, do not tell the direction by being there or not.
    words = b["text_views"].reshape(8, 4, -1)
    np.testing.assert_array_equal(found["text"], np.where(flipped[:, None], words[:, 1], words[:, 0]))
    state = jax.eval_shape(task.init, KEY, b)
    assert jax.eval_shape(task.train_step, state, b, KEY)[0].step.shape == ()


@pytest.mark.slow
def test_an_update_is_the_same_whatever_the_devices_share(make):
    """Under a mapped axis the gradients are the mean, the figures the sum; keys go by the global place."""
    task, batch = make(**{"model.label": "direction", "model.heads": (("direction", 2),)})
    b = batch(0)
    state = jax.jit(task.init)(KEY, b)
    whole, metrics = jax.jit(task.train_step)(state, b, KEY)
    split = jax.tree.map(lambda x: jnp.asarray(x).reshape(2, -1, *x.shape[1:]), b)
    step = jax.jit(jax.vmap(lambda s, b: task.train_step(s, b, KEY, "data"), (None, 0), 0, axis_name="data"))
    parts, split_metrics = step(state, split)
    for name, (total, count) in metrics.items():
        np.testing.assert_allclose(split_metrics[name][0][0], total, rtol=1e-4)
        assert split_metrics[name][1][0] == count
    # Adam's first moment is the gradient's.
    for x, y in zip(jax.tree.leaves(whole.opt), jax.tree.leaves(parts.opt), strict=True):
        np.testing.assert_allclose(y[0], x, rtol=1e-3, atol=1e-5 * float(jnp.abs(x).max()) + 1e-8)


def test_padded_clips_do_not_count_and_the_average_judges(oracle, started):
    task, batch = oracle
    state = started.replace(params=jax.tree.map(np.zeros_like, started.params))
    first, last = batch(1), batch(2)
    mask = np.arange(len(last["video"])) < 3
    figures = []
    for other in (3, 4):
        junk = {k: np.concatenate([v[:3], batch(other)[k][3:]]) for k, v in last.items()}
        figures.append(
            task.evaluate(state, [first | {"mask": np.ones(len(mask))}, junk | {"mask": mask}], KEY)
        )
    assert figures[0] == figures[1] and figures[0]["clips"] == len(mask) + 3
    assert {"loss", "accuracy/shape", "accuracy/colour", "accuracy/motion"} < set(figures[0])
    other = state.replace(average=state.params)
    assert task.evaluate(other, [last | {"mask": mask}], KEY) != task.evaluate(
        state, [last | {"mask": mask}], KEY
    )


def test_what_a_person_is_shown(oracle, started):
    task, batch = oracle
    b = batch(0)
    media = task.show(started, b, KEY)["judged"]
    assert isinstance(media, Media) and media.fps == 4.0
    assert np.array_equal(media.video[:, :, 2:-2, 2:-2], b["video"])
    borders = {tuple(c) for c in media.video[:, 0, 0, 0]}
    assert borders <= {RIGHT, WRONG} and WRONG in borders


def test_errors_name_the_key(make, oracle):
    with pytest.raises(ValueError, match="model.label='nothing' is unknown; choose one of data, direction"):
        make(**{"model.label": "nothing"})
    with pytest.raises(ValueError, match="one head of 2 classes"):
        make(**{"model.label": "direction"})
    with pytest.raises(ValueError, match="model.classifier.name='nothing'"):
        make({"name": "nothing"})
    task, batch = make({"classes": (5,)})
    b = batch(0)
    with pytest.raises(ValueError, match=r"have \(5,\) classes, not \(12,\) \(model.heads\)"):
        jax.eval_shape(task.train_step, jax.eval_shape(task.init, KEY, b), b, KEY)
    task, batch = oracle
    b = {k: v for k, v in batch(0).items() if k != "track"}
    with pytest.raises(ValueError, match="data.spoil_every=2 needs clips with a track"):
        jax.eval_shape(task.train_step, jax.eval_shape(task.init, KEY, b), b, KEY)


def test_frames_seen_are_those_of_the_track(make):
    look = {"data.shapeshow.label": "look", "data.shapeshow.track": True, "model.heads": LOOK}
    task, batch = make({"frame_heads": 2}, **look, **{"model.frames_seen": 2, "objective.track_weight": 1.0})
    b = batch(0)
    # A network that is right in every frame: video and track say the same, whatever frames are chosen.
    b["video"] = np.broadcast_to((np.arange(4) * 60)[None, :, None, None, None], b["video"].shape)
    b["video"], b["track"] = b["video"].astype(np.uint8), b["video"][:, :, 0, 0] / 255.0

    class Mean:
        def apply(self, params, frames, times):
            logits = tuple(
                jnp.zeros((*frames.shape[: 3 - (i == 2) - 1], n)) for i, n in enumerate((7, 8, 12))
            )
            track = (frames.mean((2, 3)) + 1) / 2
            return type("Judged", (), {"logits": logits, "track": track + 0 * params["x"]})

    task.classifier, params = Mean(), {"x": jnp.zeros(())}
    state = begin(params, task.optimizer)
    assert mean(jax.jit(task.train_step)(state, b, KEY)[1]["track_error"]) < 1e-6


def test_clips_must_have_classes_and_no_more_than_the_heads(make):
    task, _ = make(**{"model.heads": (("class", 3),)})

    class Source:
        split = "validation"

        def __init__(self, names, **item):
            self.names, self.item = names, {"video": None} | item

        def __len__(self):
            return 1

        def __getitem__(self, index):
            return self.item

        def class_names(self):
            return self.names

    right = Source(("a", "b", "c"), label=2)
    assert task.view(right) is right
    with pytest.raises(ValueError, match=r"the data has 4 classes, model.heads=\(3,\) hold 3"):
        task.view(Source(("a", "b", "c", "d"), label=3))
    with pytest.raises(ValueError, match="clips of split 'validation' have no classes"):
        task.view(Source(()))
    for label in (-1, 3):  # hidden, as test labels often are; or more than the data said
        with pytest.raises(ValueError, match=rf"a clip is of class {label}; model.heads=\(3,\) hold 0..2"):
            task.view(Source((), label=label))
