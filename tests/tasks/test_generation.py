import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from vgm_jax.evaluation import frechet
from vgm_jax.evaluation.features import embed
from vgm_jax.objectives import OBJECTIVES, PENALTIES, make_objective
from vgm_jax.tasks import build
from vgm_jax.types import Media

KEY = jax.random.key(7)


def clips(count, size=16, frames=4, seed=0):
    video = np.random.default_rng(seed).integers(0, 256, (count, frames, size, size, 3), np.uint8)
    times = np.tile(np.arange(frames, dtype=np.float32) / 4, (count, 1))
    return {"video": video, "times": times}


def close(a, b, rtol=1e-4, atol=1e-6):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=atol), a, b)


def described(tree):
    return jax.tree.map(lambda x: (x.shape, x.dtype), tree)


def largest(tree):
    return max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


# Gradients


def one_by_one(key, count):
    return jnp.stack([jax.random.fold_in(key, i) for i in range(count)])


def plain_gradients(task, objective, state, batch, key, penalised):
    """The textbook's way: the fakes are made and judged once for each player, and each loss differentiated.

    `penalised(d, real, fake, times, real dropout, fake dropout) -> what the discriminator pays on top`.
    Of frames alone, and, where there is a game of codes, what that gives for the whole batch, else None.
    """
    count = len(batch["video"])
    _, frame_key, noise_key, dropout_key, _ = jax.random.split(key, 5)
    video, times = jnp.asarray(batch["video"]), jnp.asarray(batch["times"])
    if task.frames_seen:
        chosen = [
            jnp.sort(jnp.argsort(jax.random.uniform(k, (times.shape[1],)))[: task.frames_seen])
            for k in one_by_one(frame_key, count)
        ]
        video = jnp.stack([v[c] for v, c in zip(video, chosen, strict=True)])
        times = jnp.stack([t[c] for t, c in zip(times, chosen, strict=True)])
    real = (video / 255.0 - 0.5) / 0.5
    for_real = one_by_one(dropout_key, count)
    noise = task.generator.noise(one_by_one(noise_key, count), times)
    more = None
    if task.codes:
        codes_keys = one_by_one(jax.random.fold_in(key, 6), count)
        gradient, _, missed, _ = task.codes.reconstruct(state.generator, real, times, codes_keys, 0)
        more = gradient, jax.tree.map(jnp.zeros_like, state.discriminator), missed
    judged_ones = jnp.asarray(range(0, count, task.judge_stride))
    real, times, for_real, noise = jax.tree.map(lambda x: x[judged_ones], (real, times, for_real, noise))
    for_fake = jnp.stack([jax.random.fold_in(k, 1) for k in for_real])

    def judged(g, d):
        if task.codes:  # the imagination learns from codes alone
            codes = task.generator.apply(state.generator, noise, times, method="imagine")
            fake = task.generator.apply(g, codes, method="paint")
        else:
            fake = task.generator.apply(g, noise, times)
        verdicts = [task.discriminator.apply(d, x, times, k) for x, k in ((real, for_real), (fake, for_fake))]
        return *verdicts, fake

    def d_losses(d):
        real_logits, fake_logits, fake = judged(state.generator, d)
        loss = objective.d_loss(real_logits, fake_logits)
        return loss + penalised(d, real, fake, times, for_real, for_fake), loss

    def g_losses(g):
        real_logits, fake_logits, _ = judged(g, state.discriminator)
        loss = objective.g_loss(real_logits, fake_logits)
        return loss, loss

    d_gradient, d_loss = jax.grad(d_losses, has_aux=True)(state.discriminator)
    g_gradient, g_loss = jax.grad(g_losses, has_aux=True)(state.generator)
    return (g_gradient, d_gradient, {"d_loss": d_loss, "g_loss": g_loss}), more


def in_sum(frames, codes):
    if not codes:
        return frames
    return *jax.tree.map(np.add, frames[:2], codes[:2]), frames[2] | codes[2]


def gradients_agree(task, objective, batch, penalised=lambda *_: 0.0):
    state = jax.jit(task.init)(jax.random.key(1), batch).replace(step=jnp.int32(task.judge_from))
    found = jax.jit(task.gradients)(state, batch, KEY)[:3]
    textbook = jax.jit(
        lambda state, batch: plain_gradients(task, make_objective(objective), state, batch, KEY, penalised)
    )
    expected = in_sum(*textbook(state, batch))
    for gradient in expected[:2]:
        assert largest(gradient) > 1e-3
    for gradient, reference in zip(found[:2], expected[:2], strict=True):
        close(gradient, reference, rtol=1e-3, atol=1e-5 * largest(reference))
    for name, value in expected[2].items():
        assert float(found[2][name][0]) == pytest.approx(float(value), rel=1e-5)
        assert found[2][name][1] == 1
    return found


def zero_centred_on_every_second(task, weight):
    """`penalised` for `plain_gradients`: R1 + R2 of clips 0, 2, ..., clip by clip."""

    def penalised(d, real, fake, times, for_real, for_fake):
        def pays(x, t, k):
            gradient = jax.grad(lambda x: task.discriminator.apply(d, x[None], t[None], k[None])[0])(x)
            return 0.5 * jnp.sum(gradient**2)

        fake, chosen = jax.lax.stop_gradient(fake), range(0, len(real), 2)
        picked = [(x[i], times[i], k[i]) for x, k in ((real, for_real), (fake, for_fake)) for i in chosen]
        return weight * sum(pays(*p) for p in picked) / len(chosen)

    return penalised


@pytest.mark.parametrize("objective", ["nonsaturating", "relativistic"])
def test_one_pass_gives_both_players_gradients(make, objective):
    task = make(**{"objective.name": objective, "objective.penalty": "none", "model.frames_seen": 2})
    _, _, metrics = gradients_agree(task, objective, clips(4))
    assert set(metrics) == {"d_loss", "g_loss", "real_logit", "fake_logit"}


def test_the_penalty_is_added_to_the_discriminators_gradient_alone(make):
    """R1 + R2 with weight 0.3 on clips 0 and 2, written out; dropout and times are those of these clips."""
    changes = {"objective.penalty_weight": 0.3, "objective.penalty_weight_end": 0.3}
    task = make(**changes, **{"objective.penalty_stride": 2, "model.frames_seen": 3})

    penalised = zero_centred_on_every_second(task, 0.3)
    _, gradient, metrics = gradients_agree(task, "relativistic", clips(4), penalised)
    bare = make(**{"objective.penalty": "none", "model.frames_seen": 3})
    state = jax.jit(bare.init)(jax.random.key(1), clips(4))
    without = jax.jit(bare.gradients)(state, clips(4), KEY)[1]
    assert largest(jax.tree.map(np.subtract, gradient, without)) > 1e-3
    assert "penalty" in metrics


def test_clips_that_the_discriminator_does_not_see(make):
    """One in two is shown, and one in two of these penalised: clips 0, 2, 4, 6, and 0, 4."""
    weights = {"objective.penalty_weight": 0.3, "objective.penalty_weight_end": 0.3}
    strides = {"objective.judge_stride": 2, "objective.penalty_stride": 2, "model.frames_seen": 2}
    task = make(**weights, **strides)
    _, _, metrics = gradients_agree(task, "relativistic", clips(8), zero_centred_on_every_second(task, 0.3))
    assert "penalty" in metrics


# Of reconstruction, which may not drown the discriminator's part.
LIGHT = {"objective.reconstruction_weight": 1.0}
# And without dreams, which begin later than any update here: they take long to compile.
QUIET = LIGHT | {"model.encoder.spins": False}


def test_an_encoder_teaches_beside_the_discriminator_and_before_it(make):
    """At `judge_from` gradients are those of frames and of codes; an update earlier, of codes alone."""
    changes = {"objective.penalty": "none", "model.frames_seen": 2}
    task = make("continuous", **changes, **QUIET, **{"objective.judge_from": 5, "objective.judge_stride": 2})
    batch = clips(4)
    state = jax.jit(task.init)(jax.random.key(1), batch).replace(step=jnp.int32(5))
    gradients = jax.jit(task.gradients)
    found, early = (gradients(state.replace(step=jnp.int32(s)), batch, KEY) for s in (5, 4))

    @jax.jit
    def textbook(state, batch):
        return plain_gradients(task, make_objective("relativistic"), state, batch, KEY, lambda *_: 0.0)

    frames, codes = textbook(state, batch)
    both = in_sum(frames, codes)
    for result, expected in ((found, both), (early, codes)):
        assert largest(expected[0]) > 1e-3
        for gradient, reference in zip(result[:2], expected[:2], strict=True):
            close(gradient, reference, rtol=2e-3, atol=2e-5 * largest(both[:2]))
    assert largest(frames[:2]) > 1e-3 and largest(early[1]) == 0.0
    for result in (found, early):
        missed = float(result[2]["reconstruction"][0])
        assert missed == pytest.approx(float(both[2]["reconstruction"]), rel=1e-4)
    assert float(found[2]["d_loss"][0]) == pytest.approx(float(both[2]["d_loss"]), rel=1e-4)
    assert float(early[2]["d_loss"][0]) == 0.0 and early[2]["d_loss"][1] == 0


@pytest.mark.slow
def test_a_discriminator_that_waits_begins_as_a_new_one(make):
    """Its optimiser counts from the first gradient: the first step is of the rate, Adam's bias corrected."""
    changes = {"objective.judge_from": 3, "objective.judge_stride": 2, "model.frames_seen": 2}
    task = make("continuous", **changes, **LIGHT, **{"optimizer.warmup_steps": 0})
    step, states = jax.jit(task.train_step), [jax.jit(task.init)(jax.random.key(1), clips(4))]
    for _ in range(4):
        states.append(step(states[-1], clips(4), KEY)[0])
    moved = [
        largest(jax.tree.map(np.subtract, a.discriminator, b.discriminator))
        for a, b in zip(states, states[1:], strict=False)
    ]
    assert moved[:3] == [0.0, 0.0, 0.0]
    assert moved[3] == pytest.approx(4e-4, rel=0.01)


def test_codes_hold_still_once_they_have_settled(make):
    """Then what reads and what paints are their averages, and only what is imagined learns."""
    changes = {"objective.settled_from": 3, "objective.codes_recent": 8, "model.frames_seen": 2}
    task = make("continuous", **changes, **QUIET, **{"optimizer.ema_decay": 0.5})
    step, states, metrics = jax.jit(task.train_step), [jax.jit(task.init)(jax.random.key(1), clips(4))], []
    for _ in range(6):
        state, figures = step(states[-1], clips(4), KEY)
        states.append(state)
        metrics.append(figures)

    until, early = task.early()
    assert until == 3 and task.until is None, "before that, a program without what settling needs will do"
    found = jax.eval_shape(early.train_step, states[0], clips(4), KEY)
    assert described(found) == described((states[1], metrics[0]))

    def moved(a, b):
        return largest(jax.tree.map(np.subtract, a, b))

    def imagination(state):
        return state.generator["params"]["imagination"]

    def painters(generator):
        return generator["params"]["painting"], generator["encoder"]

    for i, (a, b, seen) in enumerate(zip(states, states[1:], metrics, strict=False)):
        learns = i < 3
        assert (moved(a.discriminator, b.discriminator) > 0) == learns, i
        assert (seen["d_loss"][1] > 0) == (seen["reconstruction"][1] > 0) == learns, i
        assert moved(*(imagination(x) for x in (a, b))) > 0, i
        assert float(seen["shown_g_loss"][1]) == 2, "a count a round"
    assert moved(painters(states[3].generator), painters(states[3].generator_ema)) > 0
    for later in states[4:]:
        for generator in (later.generator, later.generator_ema):
            assert moved(painters(generator), painters(states[3].generator_ema)) == 0
    # Imagining began anew: an update's two rounds from where it began, at most 0.001 each.
    before, after = (moved(imagination(states[0]), imagination(x)) for x in (states[3], states[4]))
    assert 0 < after < 0.0021 < before
    # Of 4 clips an update: up to 8 while the encoder learns, then all that it has read since, or as many.
    assert [int(task.known(jnp.int32(i), 4)) for i in range(7)] == [4, 8, 8, 8, 8, 12, 12]


REPAINTED = {"objective.judged": "repainted", "objective.judge_stride": 2, "model.frames_seen": 2}


def test_a_discriminator_of_repainted_clips(make):
    """It is shown what the encoder read, painted; painters and encoder both learn of what it says."""
    changes = {"penalty": "none", "judge_from": 2, "codes_noise_far": 0.4}
    changes = {f"objective.{name}": value for name, value in changes.items()}
    task = make("continuous", **REPAINTED, **QUIET, **changes)
    batch, key = clips(4), KEY
    start = jax.jit(task.init)(jax.random.key(1), batch)
    gradients = jax.jit(task.gradients)
    found, early = (gradients(start.replace(step=jnp.int32(s)), batch, key) for s in (2, 1))
    loss = make_objective("relativistic")

    @jax.jit
    def textbook(generator, discriminator):
        _, frame_key, _, dropout_key, _ = jax.random.split(key, 5)
        keys = one_by_one(frame_key, 4)
        chosen = [jnp.sort(jnp.argsort(jax.random.uniform(k, (4,)))[:2]) for k in keys]
        video, times = jnp.asarray(batch["video"]), jnp.asarray(batch["times"])
        real = jnp.stack([v[c] for v, c in zip(video, chosen, strict=True)]) / 127.5 - 1
        times = jnp.stack([t[c] for t, c in zip(times, chosen, strict=True)])
        noise = one_by_one(jax.random.fold_in(key, 6), 4)
        for_real = one_by_one(dropout_key, 4)[::2]
        for_fake = jnp.stack([jax.random.fold_in(k, 1) for k in for_real])

        def logits(g, d):
            codes = task.codes.strayed(task.codes.read(g, real, times), noise)
            fake = task.codes.paint(g, codes)[::2]
            rows = ((real[::2], for_real), (fake, for_fake))
            return [task.discriminator.apply(d, x, times[::2], k) for x, k in rows]

        return (
            jax.grad(lambda g: loss.g_loss(*logits(g, discriminator)))(generator),
            jax.grad(lambda d: loss.d_loss(*logits(generator, d)))(discriminator),
        )

    expected = textbook(start.generator, start.discriminator)
    assert largest(early[1]) == 0 < largest(early[0])
    for part in ("painting", "encoder"):
        told = [(g["params"] | g)[part] for g in (expected[0], found[0], early[0])]
        assert largest(told[0]) > 1e-3
        close(jax.tree.map(np.subtract, *told[1:]), told[0], rtol=2e-3, atol=2e-5 * largest(found[0]))
    close(found[1], expected[1], rtol=1e-3, atol=1e-5 * largest(expected[1]))


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_less_is_imagined_before_codes_settle(make, rounds):
    early = {"objective.codes_early_rounds": rounds, "objective.codes_early_stride": 2}
    begins = {"objective.settled_from": 2, "objective.judge_from": 0}
    task = make("continuous", **REPAINTED, **LIGHT, **begins, **early)
    step, states, metrics = jax.jit(task.train_step), [jax.jit(task.init)(jax.random.key(1), clips(4))], []
    for _ in range(4):
        state, figures = step(states[-1], clips(4), KEY)
        states.append(state)
        metrics.append({name: float(count) for name, (_, count) in figures.items() if count > 0})
    moved = [
        largest(
            jax.tree.map(
                np.subtract, a.generator["params"]["imagination"], b.generator["params"]["imagination"]
            )
        )
        for a, b in zip(states, states[1:], strict=False)
    ]
    assert (moved[0] > 0, moved[1] > 0) == (rounds > 0, rounds > 0) and min(moved[2:]) > 0
    for i, counts in enumerate(metrics):
        assert ("d_loss" in counts) == (i < 2), i
        assert counts.get("shown_g_loss", 0) == (2 if i >= 2 else rounds - (i and rounds > 1)), i
    expected = [2, 4, 4, 8, 12] if rounds else [1, 1, 4, 8, 12]
    assert [int(task.known(jnp.int32(i), 4)) for i in range(5)] == expected
    assert bool(task.caution(1)) == (not rounds) and not task.caution(3)
    first, seen = jax.jit(task.early()[1].train_step)(states[0], clips(4), KEY)
    apart = jax.tree.map(np.subtract, first.generator["params"], states[1].generator["params"])
    assert largest(apart["imagination"]) < 1e-4, "the program without what settling needs does the same"
    assert {name: float(count) for name, (_, count) in seen.items() if count > 0} == metrics[0]


def test_an_unknown_judged(make):
    with pytest.raises(ValueError, match="objective.judged='painted'.*'imagined' or 'repainted'"):
        make("continuous", **{"objective.judged": "painted"})


@pytest.mark.slow
def test_a_penalised_flagships_gradients(make):
    """Strides, a penalty and codes at once: every row's gradient finds its own clip."""
    weights = {"objective.penalty_weight": 0.3, "objective.penalty_weight_end": 0.3}
    strides = {"objective.judge_stride": 2, "objective.penalty_stride": 2, "model.frames_seen": 2}
    task = make("continuous", **weights, **strides, **LIGHT)
    _, _, metrics = gradients_agree(task, "relativistic", clips(8), zero_centred_on_every_second(task, 0.3))
    assert {"penalty", "reconstruction"} < set(metrics)


def test_a_rare_penalty_is_paid_at_its_steps_and_as_much_more(make):
    batch, every = clips(4), {"objective.penalty_every": 3}
    tasks = [make(), make(**every)]
    state = jax.jit(tasks[0].init)(jax.random.key(1), batch)
    found = []
    for task in tasks:
        gradients = jax.jit(task.gradients)
        found.append(
            [gradients(state.replace(step=jnp.int32(s)), batch, KEY)[2]["penalty"][0] for s in (2, 3)]
        )
    (usual, _), (never, thrice) = found
    assert never == 0 and float(thrice) == pytest.approx(3 * float(usual), rel=1e-5) and usual > 0


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_every_objective_makes_a_step(make, name):
    metrics = steps_once(make(**{"objective.name": name, "objective.penalty": "none"}))
    assert set(metrics) == {"d_loss", "g_loss", "real_logit", "fake_logit"}


@pytest.mark.parametrize("name", sorted(PENALTIES))
def test_every_penalty_makes_a_step(make, name):
    metrics = steps_once(make(**{"objective.penalty": name}))
    assert ("penalty" in metrics) == (name != "none")


def steps_once(task, batch=None):
    batch = clips(4) if batch is None else batch
    state = jax.eval_shape(task.init, KEY, batch)
    after, metrics = jax.eval_shape(task.train_step, state, batch, KEY)
    assert described(after) == described(state)
    assert all(a.shape == b.shape == () for a, b in metrics.values())
    return metrics


@pytest.mark.parametrize("name", ["penalty_stride", "judge_stride", "codes_stride", "codes_early_stride"])
def test_a_stride_that_does_not_divide_the_batch(make, name):
    settles = {"objective.settled_from": 3} if "early" in name else {}
    task = make("continuous" if "codes" in name else "mlp", **{f"objective.{name}": 3}, **settles)
    with pytest.raises(ValueError, match=f"objective.{name}=3 must divide the 4 clips"):
        steps_once(task)


def test_a_generator_of_another_size_than_the_data(make):
    with pytest.raises(ValueError, match=r"makes frames of \(16, 16, 3\), the data has \(8, 8, 3\)"):
        jax.eval_shape(make().init, KEY, clips(2, size=8))


# Updates


def test_both_players_move_and_the_average_follows(make):
    task = make(**{"optimizer.ema_decay": 0.5})
    batch = clips(4)
    start = jax.jit(task.init)(KEY, batch)
    close(start.generator_ema, start.generator, 0, 0)
    step = jax.jit(task.train_step)
    state, average = start, jax.device_get(start.generator_ema)
    for i in range(3):
        state, _ = step(state, batch, jax.random.fold_in(KEY, i))
        decay = min(0.5, (1 + i) / (10 + i))
        learnt = jax.device_get(state.generator)
        average = jax.tree.map(lambda a, p, d=decay: d * a + (1 - d) * p, average, learnt)
    assert int(state.step) == 3
    close(state.generator_ema, average, 1e-5, 1e-6)
    moved = [(state.generator, start.generator), (state.discriminator, start.discriminator)]
    for after, before in moved + [(state.generator, state.generator_ema)]:
        assert largest(jax.tree.map(np.subtract, after, before)) > 1e-4


@pytest.mark.parametrize("still, moves", [("generator", "discriminator"), ("discriminator", "generator")])
def test_each_player_has_its_own_rate(make, still, moves):
    task, batch = make(**{f"optimizer.{still}_rate": 0.0}), clips(4)
    start = jax.jit(task.init)(KEY, batch)
    state, _ = jax.jit(task.train_step)(start, batch, KEY)
    assert largest(jax.tree.map(np.subtract, getattr(state, still), getattr(start, still))) == 0
    assert largest(jax.tree.map(np.subtract, getattr(state, moves), getattr(start, moves))) > 1e-4


def test_the_textbooks_recipe_makes_a_step(recipe):
    config = recipe("mlp_gan")
    with config.unlocked():
        config.data.update(size=8, frames=2)
    task, batch = build(config), clips(4, size=8, frames=2)
    start = jax.jit(task.init)(KEY, batch)
    state, metrics = jax.jit(task.train_step)(start, batch, KEY)
    assert {"d_loss", "g_loss"} <= set(metrics) and all(np.isfinite(v[0]) for v in metrics.values())
    # Adam's first update is the rate itself, wherever there is a gradient.
    for after, before in ((state.generator, start.generator), (state.discriminator, start.discriminator)):
        assert largest(jax.tree.map(np.subtract, after, before)) == pytest.approx(2e-4, rel=0.01)


def solid(count, seed):
    """Clips of one colour each, from dark red to light red."""
    rng = np.random.default_rng(seed)
    colour = np.array([230, 40, 60]) + rng.uniform(-25, 25, (count, 1))
    video = np.broadcast_to(colour[:, None, None, None], (count, 2, 8, 8, 3)).astype(np.uint8)
    times = np.tile(np.array([0.0, 0.25], np.float32), (count, 1))
    return {"video": video, "times": times, "mask": np.ones(count, np.float32)}


def test_it_learns(make):
    changes = {"data.size": 8, "data.frames": 2, "model.frames_seen": 0}
    rates = {f"optimizer.{name}_rate": 3e-3 for name in ("generator", "discriminator", "painter")}
    task = make("continuous", **changes, **rates, **QUIET | {"objective.reconstruction_weight": 40.0})
    held_out = [solid(32, seed=1)]
    state = jax.jit(task.init)(jax.random.key(0), solid(16, 0))
    step = jax.jit(task.train_step, donate_argnums=0)
    before = task.evaluate(state, held_out, KEY)["frechet/random"]
    for i in range(150):
        state, _ = step(state, {k: v for k, v in solid(16, 2 + i).items() if k != "mask"}, jax.random.key(i))
    after = task.evaluate(state, held_out, KEY)["frechet/random"]
    assert after < before / 2
    shown = task.show(state, held_out[0], KEY)
    assert np.abs(shown["samples"].video.reshape(-1, 3).mean(0) - [230, 40, 60]).max() < 40
    # Painted from what was read off them: each held-out clip in its own shade.
    red = [
        x.reshape(16, -1, 3)[..., 0].mean(1) for x in (shown["repainted"].video, held_out[0]["video"][:16])
    ]
    assert np.abs(red[0] - red[1]).mean() < 10


# Evaluation and show


@pytest.fixture(scope="module")
def trained(make):
    task = make()
    return task, jax.jit(task.init)(KEY, clips(2))


def test_padded_clips_do_not_count(trained):
    task, state = trained
    mask = np.array([1, 1, 1, 0], np.float32)
    full, last, other = (clips(4, seed=s) for s in (1, 2, 3))
    junk = {k: np.concatenate([last[k][:3], other[k][3:]]) for k in last}
    figures = [
        task.evaluate(state, [full | {"mask": np.ones(4)}, b | {"mask": mask}], KEY) for b in (last, junk)
    ]
    assert figures[0] == figures[1] and figures[0]["clips"] == 7

    keys = one_by_one(KEY, 8)
    samples = task.generate(state.generator_ema, keys, jnp.asarray(np.concatenate([full["times"]] * 2)))
    real = np.concatenate([embed("random", full["video"]), embed("random", last["video"][:3])])[:, 0]
    fake = embed("random", np.asarray(samples))[:7, 0]
    expected = frechet.distance(frechet.Moments().add(real), frechet.Moments().add(fake))
    assert figures[0]["frechet/random"] == pytest.approx(expected, rel=1e-3)


def test_too_few_clips_to_measure_end_no_run(trained):
    task, state = trained
    assert task.evaluate(state, [clips(3) | {"mask": np.ones(3)}], KEY) == {"clips": 3.0}


def test_evaluation_and_show_use_the_average(trained):
    task, state = trained
    batch = clips(4) | {"mask": np.ones(4)}
    other = state.replace(generator=jax.tree.map(np.zeros_like, state.generator))
    assert task.evaluate(other, [batch], KEY) == task.evaluate(state, [batch], KEY)
    shown = (task.show(s, batch, KEY)["samples"].video for s in (other, state))
    assert np.array_equal(*shown)
    other = state.replace(generator_ema=jax.tree.map(np.zeros_like, state.generator))
    assert task.evaluate(other, [batch], KEY) != task.evaluate(state, [batch], KEY)


def test_what_a_person_is_shown(trained):
    task, state = trained
    batch = clips(20)
    media = task.show(state, batch, KEY)
    assert set(media) == {"samples", "real"}
    for medium in media.values():
        assert isinstance(medium, Media) and medium.fps == 4.0
        assert medium.video.shape == (16, 4, 16, 16, 3) and medium.video.dtype == np.uint8
    assert np.array_equal(media["real"].video, batch["video"][:16])
    again = task.show(state.replace(step=jnp.int32(5)), clips(20, seed=1), KEY)
    assert np.array_equal(again["samples"].video, media["samples"].video), "the same noise at every call"
    assert not np.array_equal(*media["samples"].video[:2])


def test_a_task_takes_any_modules_of_the_protocol(make):
    """bfloat16 networks, with an encoder and without."""
    changes = {"model.dtype": "bfloat16", "model.frames_seen": 2}
    assert {"reconstruction", "dream"} < set(steps_once(make("continuous", **changes)))
    alone = make("continuous", **changes, **{"model.encoder": ConfigDict({"name": "none"})})
    assert set(steps_once(alone)) == {"d_loss", "g_loss", "penalty", "real_logit", "fake_logit"}


def test_a_wrong_discriminator_is_an_error_and_no_broadcast(make):
    task = make()

    class Column:
        def init(self, *arguments):
            return task.discriminator.init(*arguments)

        def apply(self, *arguments):
            return task.discriminator.apply(*arguments)[:, None]

    other = make()
    other.judge.discriminator = other.discriminator = Column()
    with pytest.raises(ValueError, match=r"output is \(8, 1\), not \(8,\): a logit a clip"):
        steps_once(other)


def test_settings_of_the_networks_reach_them(make):
    widths = ConfigDict({"name": "mlp", "widths": (7, 5)})
    task = make(**{"model.generator": widths})
    state = jax.eval_shape(task.init, KEY, clips(2))
    assert state.generator["params"]["Dense_1"]["kernel"].shape == (7, 5)
