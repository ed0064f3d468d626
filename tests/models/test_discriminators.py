import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.models.discriminators import ClipDiscriminator, MLPDiscriminator
from vgm_jax.models.generators import MLPGenerator
from vgm_jax.tasks import build

SMALL = dict(frame_widths=(8,), frame_depths=(1,), widths=(16,), depths=(1,), hidden=8)
CLIP = ClipDiscriminator(**SMALL)
FRAMES = jax.random.uniform(jax.random.key(0), (2, 3, 8, 8, 3), minval=-1.0)
TIMES = jnp.asarray([[0.0, 0.25, 0.75]] * 2)


@pytest.fixture(scope="module")
def judge(drawn):
    """`judge(frames, times) -> logits [B]` of one small flagship."""
    # Drawn, since biases start at 0: a network that ignores the times would look like one that hears them.
    params = drawn(jax.eval_shape(CLIP.init, jax.random.key(1), FRAMES, TIMES))
    apply = jax.jit(CLIP.apply)
    return lambda frames, times, keys=None: np.asarray(apply(params, frames, times, keys))


def test_a_verdict_a_clip(judge):
    logits = judge(FRAMES, TIMES)
    assert logits.shape == (2,) and logits.dtype == np.float32
    swapped = judge(FRAMES[::-1], TIMES)
    np.testing.assert_allclose(swapped, logits[::-1], rtol=1e-4, atol=1e-5)
    assert np.abs(logits[0] - logits[1]).min() > 1e-3


def test_it_sees_the_time_between_frames_and_not_when_they_were(judge):
    logits = judge(FRAMES, TIMES)
    assert np.abs(judge(FRAMES, jnp.asarray([[0.0, 0.5, 0.75]] * 2)) - logits).min() > 1e-3
    assert np.abs(judge(FRAMES, 2 * TIMES) - logits).min() > 1e-3
    np.testing.assert_allclose(judge(FRAMES, TIMES + 0.7), logits, atol=1e-4)


def test_it_sees_the_order_of_frames(judge):
    logits = judge(FRAMES, TIMES)
    for order in ([2, 1, 0], [1, 0, 2], [0, 2, 1]):
        assert np.abs(judge(FRAMES[:, jnp.asarray(order)], TIMES) - logits).min() > 1e-3


def test_the_flagship_has_no_dropout(judge):
    keys = jax.random.split(jax.random.key(5), 2)
    assert np.array_equal(judge(FRAMES, TIMES, keys), judge(FRAMES, TIMES))


def test_bfloat16_gives_float32_logits(judge):
    half = ClipDiscriminator(**SMALL, dtype="bfloat16")
    logits, params = jax.jit(half.init_with_output)(jax.random.key(1), FRAMES, TIMES)
    fine = jax.jit(CLIP.apply)(params, FRAMES, TIMES)
    assert logits.dtype == jnp.float32 and 0 < np.abs(logits - fine).max() < 0.1


# The textbook's


def test_dropout_is_of_each_clips_own_key():
    network, keys = MLPDiscriminator(widths=(32, 16)), jax.random.split(jax.random.key(5), 4)
    frames = jax.random.normal(jax.random.key(0), (4, 2, 4, 4, 3))
    params, apply = jax.jit(network.init)(jax.random.key(1), frames, None), jax.jit(network.apply)
    sure, dropped = apply(params, frames, None), apply(params, frames, None, keys)
    assert np.array_equal(sure, apply(params, frames, None))
    assert np.abs(dropped - sure).min() > 1e-4
    assert np.array_equal(dropped, apply(params, frames, None, keys))
    assert np.abs(dropped - apply(params, frames, None, keys[::-1])).min() > 1e-4
    # A shard that has clips 2 and 3 drops what the whole batch would.
    part = apply(params, frames[2:], None, keys[2:])
    np.testing.assert_allclose(part, dropped[2:], rtol=1e-5)


def test_dropout_drops_its_share_and_keeps_the_mean():
    network = MLPDiscriminator(widths=(2000,), dropout=0.3)
    frames = jnp.zeros((2, 1, 1, 1, 1))
    params = jax.jit(network.init)(jax.random.key(1), frames, None)
    hidden, logit = params["params"]["Dense_0"], params["params"]["Dense_1"]
    ones = {"params": {"Dense_0": hidden | {"bias": jnp.ones(2000)}, "Dense_1": logit}}
    ones["params"]["Dense_1"] = logit | {"kernel": jnp.ones((2000, 1))}
    kept = 0.7 * jax.jit(network.apply)(ones, frames, None, jax.random.split(jax.random.key(5), 2))
    np.testing.assert_allclose(kept, np.round(kept), atol=1e-2)  # a number of units
    assert np.all(np.abs(kept / 2000 - 0.7) < 0.04) and kept[0] != kept[1]


def widths(params):
    dense = params["params"]
    assert sorted(dense) == [f"Dense_{i}" for i in range(len(dense))]
    kernels = [dense[f"Dense_{i}"]["kernel"].shape for i in range(len(dense))]
    assert all(a[1] == b[0] for a, b in zip(kernels[:-1], kernels[1:], strict=True))
    return [kernels[0][0], *[k[1] for k in kernels]]


def test_the_textbooks_architecture(recipe):
    task = build(recipe("mlp_gan"))
    times = jax.ShapeDtypeStruct((1, 16), jnp.float32)
    noise = jax.eval_shape(task.generator.noise, jax.random.split(jax.random.key(0), 1), times)
    clip, generator = jax.eval_shape(task.generator.init_with_output, jax.random.key(0), noise, times)
    discriminator = jax.eval_shape(task.discriminator.init, jax.random.key(0), clip, times)
    pixels = 16 * 32 * 32 * 3
    assert clip.shape == (1, 16, 32, 32, 3)
    assert widths(generator) == [100, 256, 512, 1024, 1024, pixels]
    assert widths(discriminator) == [pixels, 1024, 512, 256, 1]


def test_the_textbooks_generator_gives_the_frame_nearest_to_a_time():
    network = MLPGenerator(resolution=4, clip_frames=3, clip_fps=2.0, noise_dim=5, widths=(8,))
    noise = network.noise(jax.random.split(jax.random.key(0), 2), None)
    times = jnp.asarray([[0.0, 0.5, 1.0]] * 2)
    clip, params = jax.jit(network.init_with_output)(jax.random.key(1), noise, times)
    assert clip.shape == (2, 3, 4, 4, 3) and np.abs(clip).max() <= 1.0
    assert np.abs(np.diff(clip, axis=1)).max() > 0.1
    near = jax.jit(network.apply)(params, noise, jnp.asarray([[0.9, 0.2, 0.6, 7.0]] * 2))
    assert np.array_equal(near, clip[:, jnp.asarray([2, 0, 1, 2])])


@pytest.mark.parametrize("dtype, most", [("float32", 0.0), ("bfloat16", 2e-2)])
def test_the_textbooks_networks_compute_in_the_type_that_is_asked_for(dtype, most):
    def made(dtype):
        settings = dict(resolution=4, clip_frames=3, clip_fps=2.0, noise_dim=5, widths=(8,))
        return MLPGenerator(**settings, dtype=dtype), MLPDiscriminator(widths=(8,), dtype=dtype)

    (generator, judge), (other, other_judge) = made(jnp.float32), made(dtype)
    noise, times = jax.random.normal(jax.random.key(0), (2, 5)), jnp.zeros((2, 3))
    clip, params = jax.jit(generator.init_with_output)(jax.random.key(1), noise, times)
    verdict, judging = jax.jit(judge.init_with_output)(jax.random.key(2), clip, times)
    found = jax.jit(other.apply)(params, noise, times), jax.jit(other_judge.apply)(judging, clip, times)
    for a, b in zip(found, (clip, verdict), strict=True):
        assert a.dtype == jnp.float32
        gap = np.abs(a - b).max()
        assert gap <= most and (gap > 0) == (most > 0)
