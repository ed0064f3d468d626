"""Learning to make vectors of a class: the losses by hand, and files of vectors through the loop."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vgm_jax.inference import load
from vgm_jax.tasks import build
from vgm_jax.training.loop import Run

SIZE, SHAPES, COLOURS = 12, 3, 4  # a class is a shape and a colour
CLASSES, ATTRIBUTES = SHAPES * COLOURS, SHAPES + COLOURS
UNSEEN = (1, 6, 11)  # of each of them both attributes occur elsewhere


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    """Vectors whose mean is the sum of their two attributes' own; three classes have none for training."""
    rng = np.random.default_rng(0)
    table = np.array(
        [[*np.eye(SHAPES)[s], *np.eye(COLOURS)[c]] for s in range(SHAPES) for c in range(COLOURS)]
    )
    means = 5.0 + 2.0 * table @ rng.normal(size=(ATTRIBUTES, SIZE))
    labels = np.repeat(np.arange(CLASSES), 60)
    split = np.tile(np.repeat(["train", "validation", "test"], 20), CLASSES)
    split[np.isin(labels, UNSEEN) & (split == "train")] = "test"
    path = tmp_path_factory.mktemp("vectors") / "vectors.npz"
    np.savez(
        path,
        features=means[labels] + 0.5 * rng.normal(size=(len(labels), SIZE)),
        labels=labels,
        split=split,
        attributes=table,
        classes=np.array([f"{s} {c}" for s in "sct" for c in "rgby"]),
    )
    return path


@pytest.fixture
def make(recipe, vectors):
    def config(**changes):
        config = recipe("feature_gan").unlock()
        config.data.update(source="vectors", path=str(vectors), size=SIZE, batch_size=60)
        config.data.vectors.attributes = ATTRIBUTES
        config.model.heads = (("class", CLASSES),)
        config.model.generator.update(widths=(32,), noise_dim=8)
        config.model.discriminator.update(widths=(32,))
        config.objective.update(critic_rounds=3, class_from=60)
        config.optimizer.update(
            generator_rate=2e-3, discriminator_rate=2e-3, classifier_rate=1e-2, decay_steps=400, ema_decay=0.9
        )
        config.train.update(steps=360, log_every=60, show_every=0)
        config.evaluate.update(every=0, clips=240, batch_size=60, generated=20)
        config.checkpoint.update(every=360)
        config.update_from_flattened_dict(changes)
        return config.lock()

    return config


@pytest.fixture
def ready(make):
    """`ready(**changes) -> task, state, batch`, the task having seen its data."""

    def start(**changes):
        from vgm_jax.data.sources import make_source

        config = make(**changes)
        task = build(config)
        source = task.view(make_source(config.data, "train"))
        rows = np.random.default_rng(1).permutation(len(source))[: config.data.batch_size]
        batch = {"features": jnp.asarray(source.features[rows]), "label": jnp.asarray(source.labels[rows])}
        return task, jax.jit(task.init)(jax.random.key(0), batch), batch

    return start


def mlp(params, x):
    """Dense layers with LeakyReLU(0.2) sqrt(2) between, by hand."""
    layers = params["params"]["layers"]
    for i in range(len(layers)):
        dense = layers[f"Dense_{i}"]["Dense_0"]
        x = x @ dense["kernel"] + dense["bias"]
        x = x if i == len(layers) - 1 else jnp.where(x > 0, x, 0.2 * x) * 2**0.5
    return x


def test_both_players_minimise_the_papers_losses(ready):
    task, state, batch = ready(**{"objective.class_weight": 0.3})
    task.rounds = 1
    real = (batch["features"] - state.standard.mean) / state.standard.deviation
    labels, key = batch["label"], jax.random.key(5)
    told = state.classes[labels]
    state = state.replace(  # a classifier that says something
        classifier=jax.tree.map(lambda x: x + 0.1 * jax.random.normal(key, x.shape), state.classifier)
    )

    def fakes(params, noise_key):
        keys = jax.vmap(lambda i: jax.random.fold_in(noise_key, i))(jnp.arange(len(real)))
        noise = jax.vmap(lambda k: jax.random.normal(k, (8,)))(keys)
        return mlp(params, jnp.concatenate([noise, told], 1))

    def judge(params, x, told=told):
        return mlp(params, jnp.concatenate([x, told], 1))[:, 0]

    noise_key, penalty_key = jax.random.split(key)
    fake = jax.jit(fakes)(state.generator, noise_key)

    def critic(params):
        mix = jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(penalty_key, i)))(
            jnp.arange(len(real))
        )
        at = mix[:, None] * real + (1 - mix[:, None]) * fake
        slopes = jax.vmap(jax.grad(lambda x, c: judge(params, x[None], c[None])[0]))(at, told)
        norms = jnp.sqrt(jnp.sum(slopes**2, 1))
        return judge(params, fake).mean() - judge(params, real).mean() + 10.0 * jnp.mean((norms - 1.0) ** 2)

    found, figures = jax.jit(task.critic_gradient, static_argnums=5)(
        state, state.discriminator, real, labels, key, None
    )
    expected = jax.jit(jax.grad(critic))(state.discriminator)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=2e-3, atol=2e-5), found, expected)
    assert figures["penalty"] > 0

    def generator(params):
        x = fakes(params, key)
        dense = state.classifier["params"]["Dense_0"]
        logits = x @ dense["kernel"] + dense["bias"]
        log_p = logits - jnp.log(jnp.sum(jnp.exp(logits), 1, keepdims=True))
        chosen = jnp.sum(log_p * (labels[:, None] == jnp.arange(CLASSES))) / len(labels)
        return -judge(state.discriminator, x).mean() - 0.3 * chosen

    found, _ = jax.jit(task.generator_gradient, static_argnums=4)(state, real, labels, key, None)
    expected = jax.jit(jax.grad(generator))(state.generator)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=2e-3, atol=2e-5), found, expected)


def test_the_classifier_learns_first_and_alone_and_then_stays(ready):
    task, state, batch = ready(**{"objective.class_from": 2})
    step = jax.jit(task.train_step)

    def same(a, b):
        return all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x == y).all()), a, b)))

    losses = []
    for i in range(2):
        after, metrics = step(state, batch, jax.random.key(i))
        assert same(after.generator, state.generator) and same(after.discriminator, state.discriminator)
        assert not same(after.classifier, state.classifier) and metrics["d_loss"][1] == 0
        losses.append(float(metrics["classifier_loss"][0]))
        state = after
    assert losses[1] < losses[0]
    after, metrics = step(state, batch, jax.random.key(2))
    assert same(after.classifier, state.classifier) and not same(after.generator, state.generator)
    assert not same(after.discriminator, state.discriminator)
    assert metrics["d_loss"][1] == 1 and metrics["classifier_loss"][1] == 0 and after.step == 3


def test_two_devices_do_what_one_does(ready):
    task, _, batch = ready(**{"objective.class_weight": 0.0})
    # Adam's first step makes much of the sign of a rounding error.
    task.generator_optimizer = task.critic_optimizer = optax.sgd(0.1)
    state = jax.jit(task.init)(jax.random.key(0), batch)
    # Rows of round r are r, r + 3, ... of a device: so that each device has a half of every round.
    halves = jax.tree.map(lambda x: x.reshape(2, 30, *x.shape[1:]), batch)
    one, _ = jax.jit(task.train_step)(state, batch, jax.random.key(3))
    step = functools.partial(task.train_step, axis_name="devices")
    two, metrics = jax.jit(jax.vmap(step, (None, 0, None), axis_name="devices"))(
        state, halves, jax.random.key(3)
    )
    assert float(metrics["d_loss"][1][0]) == 2.0
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b[0], rtol=1e-4, atol=1e-5), one.generator, two.generator
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b[1], rtol=1e-4, atol=1e-5),
        one.discriminator,
        two.discriminator,
    )


def test_without_attributes_the_gain_is_that_of_all_classes(ready):
    """Of one without a vector nothing can be made, so that the harmonic mean says nothing."""
    task, state, _ = ready(**{"data.vectors.attributes": 0})
    held = np.random.default_rng(2).normal(size=(5 * CLASSES, SIZE))
    found = task.worth(state, held, np.arange(5 * CLASSES) % CLASSES, jax.random.key(1))
    assert found["real/harmonic"] == found["augmented/harmonic"] == 0.0
    assert found["gain"] == found["augmented/balanced"] - found["real/balanced"] != 0.0


def test_it_learns_classes_that_it_never_saw_and_goes_on_where_it_stopped(
    make, vectors, tmp_path, monkeypatch
):
    def opened(folder, **changes):
        config = make(**changes, **{"checkpoint.every": 80, "checkpoint.keep": 9})
        return Run(build(config), config, folder, report=lambda _: None)

    run = opened(tmp_path / "whole")
    first = jax.jit(run.task.init)(run.init_key, run.example)
    with monkeypatch.context() as patch:
        patch.setattr(run.task, "generated", 0)  # only distances are asked for
        before = run.task.evaluate(first, run.held_out("test"), run.evaluate_key)
    run.train()
    found, (state, _) = run.evaluate(), run.restore(80)
    run.close()
    assert found["test/frechet/vectors"] < 0.25 * before["frechet/vectors"]
    # A classifier of real vectors alone never says a class that it has not seen.
    assert found["test/real/unseen"] == 0.0 == found["test/real/harmonic"] and found["test/real/seen"] > 0.9
    assert found["test/augmented/harmonic"] > 0.6 and found["test/gain"] > 0.6
    lines = [json.loads(line) for line in (tmp_path / "whole/metrics.jsonl").read_text().splitlines()]
    alone, game = (
        [line[name] for line in lines if name in line] for name in ("classifier_loss", "class_loss")
    )
    assert alone[0] > game[-1] > 0
    for steps in (70, 80):  # the game has begun
        run = opened(tmp_path / "parts", **{"train.steps": steps, "evaluate.generated": 0})
        run.train()
        resumed, step = run.restore()
        run.close()
        assert step == steps
    jax.tree.map(np.testing.assert_array_equal, resumed, state)

    # What was learnt outlives the file that it was learnt from.
    model = load(tmp_path / "whole")
    assert model.size == SIZE and model.names[5] == "c g"
    made, classes = model.sample(key=1, n=200, label="c g")
    assert made.shape == (200, SIZE) and (classes == 5).all()
    with np.load(vectors) as file:
        features, labels = file["features"], file["labels"]
    means = np.stack([features[labels == i].mean(0) for i in range(CLASSES)])
    assert np.square(means - made.mean(0)).sum(1).argmin() == 5
    np.testing.assert_allclose(model.sample(1, 3, [5, 5, 0])[0][:2], made[:2], rtol=1e-5, atol=1e-5)
    for wrong in ("purple", 12, ["c b"]):
        with pytest.raises(ValueError, match="no class|labels were given"):
            model.sample(0, 2, wrong)


def test_the_textbooks_game_learns_too(make, tmp_path):
    config = make(
        **{
            "model.discriminator.name": "cnn",
            "model.discriminator.widths": (8, 16),
            "objective.name": "nonsaturating",
            "objective.penalty": "none",
            "objective.critic_rounds": 1,
            "objective.class_weight": 0.0,
            "evaluate.generated": 0,
            "train.show_every": 360,
        }
    )
    run = Run(build(config), config, tmp_path, report=lambda _: None)
    first = jax.jit(run.task.init)(run.init_key, run.example)
    before = run.task.evaluate(first, run.held_out("validation"), run.evaluate_key)
    run.train()
    found = run.evaluate()
    run.close()
    assert found["test/frechet/vectors"] < 0.5 * before["frechet/vectors"]
    assert "test/gain" not in found and list((tmp_path / "media").glob("vectors_*.png"))


def test_what_cannot_be_is_said_before_anything_is_computed(make):
    from vgm_jax.data.sources import make_source

    for message, changes in {
        "critic_rounds=0": {"objective.critic_rounds": 0},
        "set objective.class_from": {"objective.class_from": 0},
        "has one head": {"model.heads": (("a", 2), ("b", 3))},
        "choose one of mlp, cnn": {"model.discriminator.name": "clip"},
    }.items():
        with pytest.raises(ValueError, match=message):
            build(make(**changes))
    config = make(**{"model.heads": (("class", 5),)})
    with pytest.raises(ValueError, match=r"set model.heads=\(\('class', 12\),\)"):
        build(config).view(make_source(config.data, "train"))
    config = make(**{"objective.critic_rounds": 7, "objective.class_weight": 0.0})
    task = build(config)
    batch = {"features": jnp.zeros((60, SIZE)), "label": jnp.zeros(60, jnp.int32)}
    with pytest.raises(ValueError, match="critic_rounds=7 must divide"):
        state = jax.eval_shape(task.init, jax.random.key(0), batch)
        jax.eval_shape(task.train_step, state, batch, jax.random.key(0))


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_held_out_vectors_are_counted_and_no_more(ready, count):
    """As scarce classes may leave: of one vector there is no distance."""
    task, state, batch = ready()
    few = [{**batch, "mask": np.arange(len(batch["label"])) < count}]
    assert task.evaluate(state, few, jax.random.key(0)) == {"vectors": float(count)}
