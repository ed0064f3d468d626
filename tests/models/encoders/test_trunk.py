import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.models.encoders import Trunk
from vgm_jax.models.encoders.audio import HOP, WINDOW

KEY = jax.random.key(0)
SMALL = dict(width=16, heads=2, side=8, patch=2, entry=8, cell=8, own=1, fused=2, bottlenecks=2)
ALL = ("video", "audio", "text")
SAMPLES = 8 * HOP * 6 + WINDOW - HOP  # six patches


def batch(rows=3, frames=8, seed=0, fps=16.0):
    rng = np.random.default_rng(seed)
    return {
        "video": rng.uniform(-1, 1, (rows, frames, 8, 8, 3)).astype(np.float32),
        "times": np.tile((np.arange(frames) / fps).astype(np.float32), (rows, 1)),
        "audio": rng.uniform(-0.3, 0.3, (rows, SAMPLES)).astype(np.float32),
        "text": rng.integers(1, 9, (rows, 5)).astype(np.int32),
    }


@pytest.fixture(scope="module")
def trained(drawn):
    """`trained(**settings) -> trunk, its parameters`"""

    @functools.cache
    def made(**settings):
        trunk = Trunk(**SMALL | settings)
        return trunk, drawn(jax.eval_shape(trunk.init, KEY, batch()))

    return made


@functools.partial(jax.jit, static_argnums=0)
def apply(trunk, *args):
    return trunk.apply(*args)


def pooled(trunk, params, *args):
    return np.asarray(apply(trunk, params, *args).pooled)


def without(b, *names):
    return {k: v for k, v in b.items() if k not in names}


def test_what_comes_out(trained):
    trunk, params = trained(modalities=ALL, words=9)
    b = batch(frames=7)  # the last tubelet is half full
    b["text"][0, 3:] = 0
    seen = apply(trunk, params, b)
    assert {name: x.shape for name, x in seen.tokens.items()} == {
        "video": (3, 4, 16),
        "audio": (3, 6, 16),
        "text": (3, 5, 16),
    }
    assert (
        seen.pooled.shape == (3, 16)
        and seen.beats.shape == (3, 1, 16)
        and seen.cells.shape == (3, 4, 2, 2, 8)
    )
    np.testing.assert_array_equal(seen.frames, seen.tokens["video"])
    np.testing.assert_allclose(seen.times["video"][0], [1 / 16, 3 / 16, 5 / 16, 6 / 16], rtol=1e-6)
    np.testing.assert_allclose(seen.times["audio"][0, :2], [0.095, 0.175], rtol=1e-5)
    assert seen.valid["text"][0].tolist() == [True] * 3 + [False] * 2


@pytest.mark.parametrize(
    "fusion, gone",
    [("bottleneck", "video"), ("bottleneck", "text"), ("late", "audio"), ("concatenation", "audio")],
)
def test_a_missing_key_and_a_mask_are_the_same(trained, fusion, gone):
    trunk, params = trained(modalities=ALL, words=9, fusion=fusion, own=0, fused=1)
    b = batch()
    masked = pooled(trunk, params, b, {gone: jnp.zeros(3, bool)})
    left_out = pooled(trunk, params, without(b, gone, *(("times",) if gone == "video" else ())))
    np.testing.assert_allclose(masked, left_out, atol=2e-5)
    whole = pooled(trunk, params, b, {gone: jnp.ones(3, bool)})
    assert np.abs(masked - whole).max() > 1e-2


def test_examples_are_apart_and_what_is_absent_tells_nothing(trained):
    trunk, params = trained(modalities=ALL, words=9)
    b, other = batch(), batch(seed=1)
    present = {"audio": jnp.array([True, False, True])}
    mixed = b | {"audio": np.stack([b["audio"][0], other["audio"][1], b["audio"][2]])}
    np.testing.assert_array_equal(pooled(trunk, params, mixed, present), pooled(trunk, params, b, present))
    assert np.abs(pooled(trunk, params, mixed) - pooled(trunk, params, b))[[0, 2]].max() == 0
    padded = b | {"text": np.concatenate([b["text"], np.zeros((3, 4), np.int32)], 1)}
    np.testing.assert_allclose(pooled(trunk, params, padded), pooled(trunk, params, b), atol=1e-5)


def test_an_example_without_anything_is_a_number(trained):
    trunk, params = trained(modalities=("video", "audio"))
    nothing = {"video": jnp.zeros(3, bool), "audio": jnp.zeros(3, bool)}
    out = pooled(trunk, params, batch(), nothing)
    np.testing.assert_allclose(out, np.broadcast_to(out[:1], out.shape), atol=1e-5)
    gradient = jax.jit(jax.grad(lambda p: trunk.apply(p, batch(), nothing).pooled.sum()))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_time_is_seconds_and_where_they_begin_does_not_matter(trained):
    trunk, params = trained(modalities=("video",))
    b = without(batch(), "audio", "text")
    late = b | {"times": b["times"] + 3}
    np.testing.assert_allclose(pooled(trunk, params, late), pooled(trunk, params, b), atol=1e-4)
    slow = b | {"times": b["times"] * 2}
    assert np.abs(pooled(trunk, params, slow) - pooled(trunk, params, b)).max() > 1e-2


def test_hidden_patches_are_not_seen(trained):
    trunk, params = trained(modalities=("video",))
    b = without(batch(), "audio", "text")
    hidden = np.zeros((3, 4, 4), bool)
    hidden[:, 1, 2] = True
    other = b | {"video": b["video"].copy()}
    other["video"][:, :, 2:4, 4:6] = 1.0
    assert np.abs(pooled(trunk, params, other) - pooled(trunk, params, b)).max() > 1e-3
    np.testing.assert_array_equal(
        pooled(trunk, params, other, None, hidden), pooled(trunk, params, b, None, hidden)
    )


def test_a_causal_trunk_does_not_see_the_future_or_the_far_past(trained):
    trunk, params = trained(modalities=("video", "audio"), causal=True, horizon=0.2)
    b, other = batch(frames=16), batch(frames=16, seed=1)
    changed = b | {"video": np.concatenate([b["video"][:, :8], other["video"][:, 8:]], 1)}
    a, c = apply(trunk, params, b).beats, apply(trunk, params, changed).beats
    np.testing.assert_array_equal(a[:, :4], c[:, :4])
    assert np.abs(a[:, 4] - c[:, 4]).max() > 1e-3
    # Three layers, each back to under 0.2 s: what ends at 1/16 s is seen no more at 1/16 + 0.6 s.
    early = b | {"video": np.concatenate([other["video"][:, :2], b["video"][:, 2:]], 1)}
    d = apply(trunk, params, early).beats
    assert np.abs(a[:, 1] - d[:, 1]).max() > 1e-3
    np.testing.assert_allclose(a[:, 6:], d[:, 6:], atol=1e-6)


@pytest.mark.parametrize("sound, tubelets", [(True, 1), (True, 3), (False, 1)])
def test_in_pieces_it_is_the_same(trained, sound, tubelets):
    """Pieces of picture with the sound that ended in the meantime, whose patches are not in step with it."""
    trunk, params = trained(modalities=("video", "audio"), causal=True, horizon=0.3, fused=1)
    b = batch(frames=24)
    b = without(b, "text") if sound else without(b, "audio", "text")
    whole = apply(trunk, params, b)
    past, beats, patches = trunk.empty(3, 16.0), [], 0
    for i in range(0, 24, 2 * tubelets):
        piece = {name: b[name][:, i : i + 2 * tubelets] for name in ("video", "times")}
        if sound:
            now = float(piece["times"][0, -1])
            due = int((now * 16_000 - WINDOW + HOP) / HOP / 8 + 1e-6)
            due = max(patches, min(due, 6))
            stop = due * 8 * HOP + WINDOW - HOP if due > patches else patches * 8 * HOP
            piece["audio"] = b["audio"][:, patches * 8 * HOP : stop]
            piece["audio_start"] = np.full(3, patches * 8 * HOP / 16_000, np.float32)
            patches = due
        found, past = apply(trunk, params, piece, None, None, past)
        beats.append(found.beats)
    assert patches == (6 if sound else 0)
    np.testing.assert_allclose(np.concatenate(beats, 1), whole.beats, atol=1e-4)


def test_errors_say_what_to_do(trained):
    trunk, params = trained(modalities=("video", "audio"))
    with pytest.raises(ValueError, match="needs one of video, audio; the batch has text"):
        trunk.apply(params, {"text": batch()["text"]})
    for settings, message in (
        (dict(modalities=("smell",)), "no modality 'smell'"),
        (dict(modalities=("text",)), "size of its vocabulary"),
        (dict(fusion="none"), "fusion='none' is unknown; choose one of bottleneck, late, concatenation"),
    ):
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(Trunk(**SMALL | settings).init, KEY, batch())
    with pytest.raises(ValueError, match="only a causal trunk"):
        trunk.apply(params, batch(), None, None, trunk.empty(3, 16.0))
