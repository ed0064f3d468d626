"""Learning what matters in films of vectors: files of TVSum's form, through the loop's own entry."""

import json

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.data.sequences import NONE, Sequences, film_of
from vgm_jax.data.sources.summaries import Summaries
from vgm_jax.evaluation.summaries import judge
from vgm_jax.tasks import build
from vgm_jax.tasks.summarization import cross_entropy
from vgm_jax.training.loop import Run

SIZE = 12


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Thirty films of 14 to 19 shots, two of which are of a rare kind that all four annotators want."""
    path, rng = tmp_path_factory.mktemp("films") / "tvsum.h5", np.random.default_rng(0)
    kinds = rng.normal(size=(6, SIZE))  # the last one matters
    with h5py.File(path, "w") as file:
        for i in range(30):
            count = int(rng.integers(14, 20))
            kind = rng.integers(0, 5, count)
            kind[rng.permutation(count)[:2]] = 5
            lengths = np.where(kind == 5, 2, rng.integers(2, 5, count))
            n = int(lengths.sum())
            ends = np.cumsum(lengths) * 15
            rare = np.repeat(kind == 5, lengths)
            arrays = {
                "features": kinds[np.repeat(kind, lengths)] + 0.1 * rng.normal(size=(n, SIZE)),
                "gtscore": 0.1 + 0.8 * rare,
                "user_summary": np.repeat(rare[None], 15, 1) * np.ones((4, 1)),
                "user_scores": np.repeat(rare[None], 15, 1) + rng.random((4, 15 * n)),
                "change_points": np.stack([ends - lengths * 15, ends - 1], 1),
                "n_frame_per_seg": lengths * 15,
                "n_frames": np.array(15 * n),
                "picks": np.arange(n) * 15,
            }
            for name, value in arrays.items():
                file[f"video_{i}/{name}"] = value
    return path


@pytest.fixture
def config(recipe, films):
    def make(**changes):
        config = recipe("summarize").unlock()
        config.data.update(source="summaries", path=str(films), batch_size=8)
        config.model.summarizer.update(width=16, layers=1, heads=2)
        config.optimizer.update(classifier_rate=1e-2, warmup_steps=2, decay_steps=0)
        config.train.update(steps=40, show_every=0, log_every=20)
        config.evaluate.update(every=0, clips=8)
        config.checkpoint.update(every=40)
        config.update_from_flattened_dict(changes)
        return config.lock()

    return make


def test_films_of_one_length_come_back_as_they_were(films):
    source = Summaries(films, "train")
    filled = Sequences(source)
    batch = {name: np.stack([filled[i][name] for i in range(3)]) for name in filled[0]}
    assert batch["features"].shape[1] % 32 == 0 and batch["valid"].sum() == sum(
        len(source[i]["picks"]) for i in range(3)
    )
    np.testing.assert_allclose(batch["times"][0, :3], [0.0, 0.5, 1.0])
    assert (batch["user_summary"][:, :, -1] == NONE).any()
    for i in range(3):
        film = film_of(batch, i)
        for name in ("picks", "importance", "shots", "user_summary", "user_scores"):
            np.testing.assert_array_equal(film[name], source[i][name])
        n = len(source[i]["picks"])
        np.testing.assert_array_equal(batch["features"][i, :n], source[i]["features"])
        assert not batch["features"][i, n:].any()


def test_it_learns_and_is_measured_by_the_protocol(config, films, tmp_path):
    config = config()
    run = Run(build(config), config, tmp_path, report=lambda _: None)
    run.train()
    found = run.evaluate()
    state, _ = run.restore()
    run.close()
    assert found["test/f"] > found["test/oracle/f"] - 0.05 > found["test/random/f"] + 0.2
    assert found["test/tau"] > 0.1 > abs(found["test/random/tau"])
    assert found["test/human/f"] == 1.0 and found["test/films"] == 6
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert written["protocol"]["reduce"] == "mean" and written["protocol"]["budget"] == 0.15
    # A film on its own, with nothing filled up, gets the scores it got in its batch.
    task, source, f = build(config), Summaries(films, "test"), []
    for i in range(len(source)):
        item = source[i]
        n = len(item["picks"])
        given = item["features"][None], (0.5 * np.arange(n, dtype=np.float32))[None], np.ones((1, n), bool)
        scores = task.scores(state.average, *map(jnp.asarray, given))[0]
        f.append(judge(scores, item, 0.15, "mean")["f"])
        tenths = scores * 10  # as on a scale: what matters alike is a tie
        np.testing.assert_allclose(tenths, np.round(tenths), atol=1e-5)
        assert len(np.unique(scores)) >= 2
    assert found["test/f"] == pytest.approx(np.mean(f))


def test_without_annotators_it_finds_what_is_rare(config, tmp_path):
    changes = {"objective.summary": "adversarial", "checkpoint.best": "", "train.steps": 150}
    config = config(**changes, **{"objective.summary_length": 0.2, "checkpoint.every": 150})
    run = Run(build(config), config, tmp_path, report=lambda _: None)
    run.train()
    found = run.evaluate()
    run.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    logged = [line for line in lines if "recon" in line]
    assert logged[-1]["recon"] < logged[0]["recon"]
    assert abs(logged[-1]["score"] - 0.2) < 0.15
    assert found["test/f"] > found["test/random/f"] + 0.15


def noise():
    """Four films of six moments, of which two are shorter."""
    return {
        "features": jnp.asarray(np.random.default_rng(0).normal(size=(4, 6, SIZE)), jnp.float32),
        "times": jnp.tile(jnp.arange(6.0), (4, 1)),
        "valid": jnp.arange(6)[None] < jnp.array([6, 5, 4, 6])[:, None],
        "importance": jnp.zeros((4, 6)),
    }


def test_each_player_has_its_own_losses(config):
    """SUM-GAN's algorithm 1: what depends on what."""
    task = build(config(**{"objective.summary": "adversarial", "checkpoint.best": ""}))
    batch = noise()
    state = jax.jit(task.init)(jax.random.key(0), batch)
    key = jax.random.key(1)
    objective = task.objective

    @jax.jit  # one program with and without the game, so that what has no part in it is equal to the bit
    def gradients(state, batch, game):
        task.objective = objective._replace(g_loss=lambda real, fake: game * objective.g_loss(real, fake))
        return task._adversarial(state, batch, key, None)

    ours, theirs, metrics = gradients(state, batch, 1.0)
    assert all(np.isfinite(value) for value, _ in metrics.values())
    other = dict(batch, features=jnp.where(batch["valid"][..., None], batch["features"], 9.0))
    again, _, _ = gradients(state, other, 1.0)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)  # what a film was filled up with is not seen
    without, same, _ = gradients(state, batch, 0.0)
    for a, b in zip(jax.tree.leaves(ours["scorer"]), jax.tree.leaves(without["scorer"]), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)  # the selector does not play against the critic
    entry = [tree["rebuild"]["params"] for tree in (ours, without)]
    np.testing.assert_allclose(*(jax.tree.leaves(tree["moments"])[0] for tree in entry), atol=1e-6)
    assert np.abs(np.subtract(*(jax.tree.leaves(tree["rebuilt"])[1] for tree in entry))).max() > 1e-5
    for a, b in zip(jax.tree.leaves(theirs), jax.tree.leaves(same), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("penalty", ["r1r2", "r1r2_fd", "wgan_gp"])
def test_any_penalty_holds_the_critic_back(config, penalty):
    """Some ask of real and made films at once: of these one is computed, the others are traced."""
    changes = {"objective.summary": "adversarial", "checkpoint.best": "", "objective.penalty": penalty}
    task = build(config(**changes))
    batch = noise()

    def game(batch):
        return task._adversarial(task.init(jax.random.key(0), batch), batch, jax.random.key(1), None)

    if penalty != "r1r2":
        assert "penalty" in jax.eval_shape(game, batch)[2]
        return
    _, theirs, metrics = jax.jit(game)(batch)
    assert metrics["penalty"][0] > 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(theirs))


def test_the_supervised_loss_is_cross_entropy_over_moments_there_are():
    rng = np.random.default_rng(0)
    logits, wanted = rng.normal(size=(2, 5)), rng.random((2, 5))
    valid = np.arange(5)[None] < np.array([[5], [3]])
    p = 1 / (1 + np.exp(-logits))
    expected = -(wanted * np.log(p) + (1 - wanted) * np.log(1 - p))
    found = cross_entropy(jnp.asarray(logits), jnp.asarray(wanted), jnp.asarray(valid))
    np.testing.assert_allclose(found, [expected[0].mean(), expected[1, :3].mean()], rtol=1e-5)


def test_bad_settings_are_told(config, recipe):
    with pytest.raises(ValueError, match="objective.summary='guessed' is unknown"):
        build(config(**{"objective.summary": "guessed"}))
    with pytest.raises(ValueError, match="model.features='nowhere' is neither a workdir nor"):
        films = recipe("summarize").unlock()
        films.model.features = "nowhere"
        build(films)
    with pytest.raises(ValueError, match="needs films with annotators"):
        build(config()).view([1])
