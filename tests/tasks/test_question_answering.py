"""The task of answering questions: what it learns, what counts, what it is asked without."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from vgm_jax.data.pipeline import EvaluationBatches
from vgm_jax.data.sources import make_source
from vgm_jax.tasks import build

KEY = jax.random.key(3)
TRUNK = {"width": 16, "heads": 2, "own": 0, "fused": 1, "side": 8, "entry": 8, "cell": 16, "words": 92}
WHERE = {
    "data.shapeshow.layout": 1,
    "data.shapeshow.variant": "multi",
    "model.classifier.layout": (7, 8),
    "objective.layout_weight": 1.0,
}


@pytest.fixture(scope="module")
def recipe(tiny):
    def made(**changes):
        config = tiny()
        with config.unlocked():
            config.task, config.model.frames_seen = "question_answering", 0
            config.data.shapeshow.update(audio=True, question=True)
            config.model.classifier = ConfigDict({"name": "answerer", "layers": 2, "heads": 2})
            config.model.trunk = ConfigDict(TRUNK | {"causal": False})
            config.model.modalities, config.model.heads = ("video", "audio"), (("answer", 29),)
            config.optimizer.update(b1=0.9, classifier_rate=1e-2, decay_steps=0, ema_decay=0.9)
            config.update_from_flattened_dict(changes)
        return config

    return made


@pytest.fixture(scope="module")
def made(recipe):
    """`made(...) -> task, source`."""

    def task_and_source(**changes):
        config = recipe(**changes)
        task = build(config)
        return task, task.view(make_source(config.data, "train"))

    return task_and_source


@pytest.fixture(scope="module")
def plain(made):
    return made()


def batch_of(source, indices):
    items = [source[int(i)] for i in indices]
    return {name: np.stack([item[name] for item in items]) for name in items[0]}


@pytest.fixture(scope="module")
def clips(plain):
    return batch_of(plain[1], range(8))


@pytest.fixture(scope="module")
def started(plain, clips):
    return jax.jit(plain[0].init)(KEY, clips)


def asked(source, kinds, count):
    """The first `count` clips of which one of `kinds` is asked."""
    names = source.kind_names()
    found = (i for i in range(len(source)) if source.asked(i).kind in kinds)
    return [next(found) for _ in range(count)], [names.index(kind) for kind in kinds]


def learnt(task, batch, loss):
    """The state after 60 updates on one batch, and a loss before each of them."""
    state, losses = jax.jit(task.init)(KEY, batch), []
    step = jax.jit(task.train_step, donate_argnums=0)
    for i in range(60):
        state, metrics = step(state, batch, jax.random.fold_in(KEY, i))
        losses.append(float(metrics[loss][0] / metrics[loss][1]))
    return state, losses


def test_it_learns_from_the_clip_and_not_from_the_question(made):
    """Sounds and directions of 32 clips by heart, which their questions, all alike, do not tell."""
    task, source = made()
    indices, _ = asked(source, ("sound", "direction"), 32)
    batch = batch_of(source, indices)
    state, losses = learnt(task, batch, "loss")
    assert losses[0] > 2.5 and losses[-1] < 0.7
    figures = task.evaluate(state, [batch | {"mask": np.ones(32)}], KEY)
    assert figures["accuracy"] > 0.6
    without = {name: jnp.zeros(32, bool) for name in task.modalities}
    p, found = task.examine(state.average, batch, without)
    assert float(found["accuracy"][0].mean()) < 0.5
    alike = batch["question"] == batch["question"][0]
    alike = alike.all(1)
    np.testing.assert_allclose(p[alike], np.tile(p[alike][:1], (alike.sum(), 1)), atol=1e-5)


def test_what_is_not_in_the_list_is_wrong_and_teaches_nothing(plain):
    task, _ = plain
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(6, 29)), jnp.float32)
    answer = np.asarray(logits).argmax(1)
    answer[1], answer[2], answer[3] = -1, 29, (answer[3] + 1) % 29
    batch = {"answer": jnp.asarray(answer), "kind": jnp.asarray([0, 0, 1, 1, 1, 6])}
    loss, figures = jax.device_get(jax.jit(task.losses)(logits, batch))
    log_p = np.asarray(logits) - np.log(np.exp(np.asarray(logits)).sum(1, keepdims=True))
    expected = [-log_p[i, a] if 0 <= a < 29 else 0.0 for i, a in enumerate(answer)]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    right, ones = figures["accuracy"]
    assert right.tolist() == [1, 0, 0, 0, 1, 1] and ones.tolist() == [1] * 6
    assert figures["loss"][1].tolist() == [1, 0, 0, 1, 1, 1]
    by_kind = {k: float((v * w).sum() / w.sum()) for k, (v, w) in figures.items() if w.sum() and "/" in k}
    assert by_kind == pytest.approx(
        {"accuracy/count": 1 / 2, "accuracy/colour": 1 / 3, "accuracy/existence": 1}
    )


def test_evaluation_is_exact_whatever_the_batches(plain, started):
    task, source = plain
    one, several = (
        task.evaluate(started, EvaluationBatches(source, batch_size=size, count=13), KEY) for size in (13, 8)
    )
    assert set(one) == set(several) and one["clips"] == 13 and one["unknown_answers"] == 0
    for name, value in one.items():
        np.testing.assert_allclose(several[name], value, rtol=1e-4)
    kinds = [name for name in one if name.startswith("accuracy/")]
    assert kinds and {name.removeprefix("accuracy/") for name in kinds} <= set(source.kind_names())


@pytest.mark.parametrize("more", [{}, WHERE], ids=["plain", "with a layout"])
def test_a_question_can_be_asked_without_a_clip(made, clips, more):
    task, _ = made(**{"model.modalities": (), "model.modality_drop": 0.3} | more)
    assert set(task.given(clips)) == {"text"}
    state = jax.eval_shape(task.init, KEY, clips)
    assert "trunk" not in state.params["params"]
    assert set(jax.eval_shape(task.train_step, state, clips, KEY)[1]) >= {"loss", "accuracy"}


def test_captions_are_evidence(made):
    """Colours of 32 clips that are not seen, which their captions tell and their questions do not."""
    task, source = made(**{"model.modalities": ("text",), "data.shapeshow.text": True})
    indices, _ = asked(source, ("colour",), 32)
    batch = batch_of(source, indices)
    assert set(task.given(batch)) == {"text", "said"}
    state, losses = learnt(task, batch, "loss")
    assert "trunk" not in state.params["params"] and losses[0] > 2.5 and losses[-1] < 0.5
    found = task.examine(state.average, batch)[1]["accuracy"][0]
    without = task.examine(state.average, batch, {"text": jnp.zeros(32, bool)})[1]["accuracy"][0]
    assert float(found.mean()) > 0.9 > 0.5 > float(without.mean())


def test_more_questions_about_a_clip_teach_likewise(made):
    """As many clips, each with a question of its own: the same loss, whichever of a clip's it is."""
    task, source = made(**{"data.shapeshow.variant": "multi", "data.shapeshow.more_questions": 3})
    batch = batch_of(source, range(8))
    text, answers = task.asked(batch)
    assert text.shape == (8, 4, batch["more_question"].shape[2])
    assert all(value.shape == (8, 4) for value in answers.values()) and set(answers) == {"answer", "kind"}
    state = jax.jit(task.init)(KEY, batch)
    metrics = jax.jit(task.train_step)(state, batch, KEY)[1]
    asked = (np.asarray(answers["kind"]) >= 0).sum()
    assert 16 < asked == float(metrics["accuracy"][1]) == float(metrics["loss"][1])
    total = 0.0
    for i in range(4):
        alone = {"question": text[:, i], "answer": answers["answer"][:, i], "kind": answers["kind"][:, i]}
        figures = task.examine(state.params, batch | alone)[1]
        total += float((figures["loss"][0] * figures["loss"][1]).sum())
    np.testing.assert_allclose(float(metrics["loss"][0]), total, rtol=1e-4)


def test_what_is_where_is_learnt_beside_answers_and_where_there_is_a_picture_alone(made):
    task, source = made(**WHERE)
    batch = batch_of(source, range(16))
    assert batch["layout"].shape == (16, 4, 1, 1, 4)
    state, losses = learnt(task, batch, "layout_loss")
    assert losses[0] > 1.0 and losses[-1] < 0.7 * losses[0]
    figures = task.evaluate(state, [batch | {"mask": np.ones(16)}], KEY)
    assert 0 < figures["layout"] <= 1
    unseen = {"video": jnp.zeros(16, bool), "audio": jnp.ones(16, bool)}
    assert task.examine(state.average, batch, unseen)[1]["layout"][1].sum() == 0
    asked = {name: value for name, value in batch.items() if name != "layout"}  # by a person
    assert "layout" not in task.examine(state.average, asked)[1]


def test_modalities_are_dropped_each_on_its_own(recipe):
    task = build(recipe(**{"model.modality_drop": 0.3}))
    found = jax.jit(task.kept)(jax.random.split(KEY, 2000))
    both = np.stack([found["video"], found["audio"]])
    np.testing.assert_allclose(both.mean(1), 0.7, atol=0.03)
    np.testing.assert_allclose(both.any(0).mean(), 1 - 0.09, atol=0.03)


def test_a_mirrored_clip_has_a_mirrored_question_and_answer(made):
    task, source = made(**{"data.augment": ("flip",)})
    indices = [i for i in range(200) if source.source.asked(i).answer in ("left", "right")][:4]
    batch = batch_of(source, indices)
    seen = jax.device_get(jax.jit(task.augment)(batch, jax.random.split(KEY, 4)))
    flipped = (seen["video"] != batch["video"]).any((1, 2, 3, 4))
    left, right = (source.answer_names().index(name) for name in ("left", "right"))
    other = np.where(batch["answer"] == left, right, left)
    assert 0 < flipped.sum() < 4
    np.testing.assert_array_equal(seen["answer"], np.where(flipped, other, batch["answer"]))


def test_what_a_person_sees(plain, started, clips):
    task, _ = plain
    media = task.show(started, clips | {"mask": np.ones(8)}, KEY)["answered"]
    n, t, h, w, _ = media.video.shape
    assert (n, t, w, media.fps) == (8, 4, 160, 4.0) and h > 160
    under = media.video[:, :, 160:]
    assert (under == under[:, :1]).all() and all((text < 128).any() for text in under)
    assert (media.video[:, :, :160:10, ::10] == clips["video"]).all()


def test_a_split_may_be_empty(recipe, plain):
    class Empty:
        vocabulary, layout_kinds = plain[1].vocabulary, (7, 8)

        def __len__(self):
            return 0

        def __getitem__(self, index):
            raise IndexError(index)

        def answer_names(self):
            return ("yes", "no")

    source = Empty()
    for changes in ({}, WHERE):
        task = build(recipe(**changes))
        assert task.view(source) is source and task.answers == ("yes", "no")


def test_errors_name_the_key(recipe, made):
    for changes, message in (
        ({"model.modalities": ("video", "text")}, "'text', which clips of .* lack: set data.text.length"),
        ({"data.shapeshow.audio": False}, "'audio', which clips of .* lack: set data.<source>.audio"),
        ({"model.heads": (("a", 2), ("b", 3))}, "has one head, the answers"),
        ({"model.frozen": True}, "model.frozen needs model.start"),
        ({"model.classifier.name": "trunk"}, "choose one of answerer"),
        ({"data.shapeshow.question": False}, "asks no questions; set data.shapeshow.question=True"),
        ({"model.trunk.words": 50}, "the data's vocabulary has 92"),
        ({"objective.layout_weight": 1.0}, "needs model.classifier.layout"),
        (WHERE | {"data.augment": ("flip",)}, "clips as they are"),
        (WHERE | {"data.shapeshow.layout": 4}, "needs data.shapeshow.layout=1"),
        (WHERE | {"model.classifier.layout": (8, 7)}, r"set it to \(7, 8\)"),
        ({"model.heads": (("answer", 28),)}, r"set it to \(\('answer', 29\),\)"),
    ):
        with pytest.raises(ValueError, match=message):
            made(**changes)
