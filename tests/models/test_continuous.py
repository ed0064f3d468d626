import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.models.generators import ContinuousGenerator
from vgm_jax.models.generators.continuous import (
    ContinuousNoise,
    CoordinateFrames,
    MotionEncoder,
    parabola_wave,
)
from vgm_jax.tasks import build

SMALL = dict(
    content_dim=8,
    motion_dim=4,
    style_dim=16,
    frames=2,
    frequencies=4,
    widths=(16, 8),
    depths=(1, 1),
    kernels=(3, 1),
    back_widths=(8, 8),
    back_depths=(1, 1),
)
GENERATOR = ContinuousGenerator(resolution=8, spacing=0.5, **SMALL)
KEYS = jax.random.split(jax.random.key(3), 2)


@pytest.fixture(scope="module")
def params():
    times = jnp.zeros((2, 1))
    return jax.jit(GENERATOR.init)(jax.random.key(0), GENERATOR.noise(KEYS, times), times)


@pytest.fixture(scope="module")
def render(params):
    """`render(times [K]) -> frames [2 K H W C]` of the same two clips."""

    @jax.jit
    def apply(times):
        return GENERATOR.apply(params, GENERATOR.noise(KEYS, times), times)

    return lambda times: np.asarray(apply(jnp.tile(jnp.asarray(times, jnp.float32), (2, 1))))


# Time


def test_a_frame_does_not_depend_on_the_other_times_asked_for(render):
    times = np.random.default_rng(0).uniform(0, 3, 7)
    frames = render(times)
    assert np.abs(np.diff(frames, axis=1)).max(axis=(0, 2, 3, 4)).min() > 0.01, "the picture moves"
    order = np.random.default_rng(1).permutation(7)
    np.testing.assert_allclose(render(times[order]), frames[:, order], atol=1e-5)
    np.testing.assert_allclose(render(times[[4]]), frames[:, [4]], atol=1e-5)
    chunks = np.concatenate([render(times[:4]), render(times[4:])], 1)
    np.testing.assert_allclose(chunks, frames, atol=1e-5)


def test_a_clip_does_not_depend_on_the_other_clips(params, render):
    times = jnp.asarray([[0.1, 0.9, 1.3]])
    alone = jax.jit(GENERATOR.apply)(params, GENERATOR.noise(KEYS[1:], times), times)
    np.testing.assert_allclose(alone, render([0.1, 0.9, 1.3])[1:], atol=1e-5)
    assert np.abs(render([0.1])[0] - render([0.1])[1]).max() > 0.05


@pytest.mark.parametrize("boundary", [0.5, 1.0, 1.5])
def test_no_jump_where_one_motion_code_gives_way_to_the_next(render, boundary):
    steps = np.array([2.0**-9, 2.0**-12, 2.0**-15])
    before, after = render(boundary - steps), render(boundary + steps)
    at, jump = render([boundary]), np.abs(after - before).max(axis=(0, 2, 3, 4))
    assert np.all(jump[1:] < 0.5 * jump[:-1]) and jump[-1] < 0.02
    assert np.abs(after[:, 2:] - at).max() < 0.02


def test_the_motion_trajectory_meets_at_its_codes():
    """The waves: their value at a code is a linear map of that code alone, seen from either side."""
    encoder, codes = MotionEncoder(6, 0.5), jax.random.normal(jax.random.key(0), (3, 4))
    windows = jnp.stack([codes[:2], codes[1:]])[None]  # [1 2 2 M]: the windows on both sides of 0.5 s
    params, apply = encoder.init(jax.random.key(1), windows, jnp.zeros((1, 2))), jax.jit(encoder.apply)
    just_before = apply(params, windows[:, :1], jnp.asarray([[0.5 - 1e-5]]))[0, 0, :6]
    at = apply(params, windows[:, 1:], jnp.asarray([[0.5]]))[0, 0, :6]
    dense = params["params"]["anchors"]["Dense_0"]
    np.testing.assert_allclose(at, codes[1] @ dense["kernel"] + dense["bias"], atol=1e-5)
    np.testing.assert_allclose(just_before, at, atol=5e-3)
    middle = apply(params, windows[:, :1], jnp.asarray([[0.25]]))[0, 0, :6]
    line = (codes[0] + codes[1]) / 2 @ dense["kernel"] + dense["bias"]
    assert np.abs(middle - line).max() > 0.05, "between the codes it is more than a line"


def test_motion_is_stationary(params):
    """The same codes, a whole spacing later, move the same way."""
    motion = jax.random.normal(jax.random.key(1), (2, 5, 2, 4))
    noise = ContinuousNoise(jax.random.normal(jax.random.key(2), (2, 8)), motion)
    times = jnp.asarray([[0.0, 0.125, 0.25, 0.375, 0.4375]] * 2)
    apply = jax.jit(GENERATOR.apply)
    early, late = apply(params, noise, times), apply(params, noise, times + 6 * 0.5)
    np.testing.assert_allclose(early, late, atol=1e-6)
    assert np.abs(early - apply(params, noise, times[:, ::-1])).max() > 0.01


# Noise


def test_noise_is_a_function_of_key_and_time():
    times = jnp.asarray([[0.0, 0.2, 0.5, 1.7], [0.1, 0.6, 0.9, 1.0]])
    noise = GENERATOR.noise(KEYS, times)
    assert noise.content.shape == (2, 8) and noise.motion.shape == (2, 4, 2, 4)
    swapped = GENERATOR.noise(KEYS[::-1], times[::-1])
    assert np.array_equal(swapped.content, noise.content[::-1])
    assert np.array_equal(swapped.motion, noise.motion[::-1])
    part = GENERATOR.noise(KEYS, times[:, 2:])
    assert np.array_equal(part.motion, noise.motion[:, 2:]) and np.array_equal(part.content, noise.content)
    # One window of codes until the next code; what was on the right is then on the left.
    assert np.array_equal(noise.motion[0, 0], noise.motion[0, 1])
    assert np.array_equal(noise.motion[0, 1, 1], noise.motion[0, 2, 0])
    assert not np.array_equal(noise.motion[0, 2], noise.motion[0, 3])
    assert not np.array_equal(noise.content[0], noise.content[1])
    assert not np.array_equal(noise.motion[0, 2], noise.motion[1, 1]), "same window, another key"


def test_noise_is_standard_normal():
    noise = GENERATOR.noise(jax.random.split(jax.random.key(9), 2000), jnp.zeros((2000, 1)))
    for values in (noise.content, noise.motion):
        assert abs(np.mean(values)) < 0.03 and abs(np.std(values) - 1.0) < 0.03
    correlation = np.corrcoef(np.concatenate([noise.content, noise.motion.reshape(2000, -1)], 1).T)
    assert np.abs(correlation - np.eye(len(correlation))).max() < 0.12


# Coordinates


def test_parabola_wave_is_nearly_a_sine():
    turns = jnp.linspace(-3, 3, 4001)
    np.testing.assert_allclose(parabola_wave(turns), np.sin(2 * np.pi * np.asarray(turns)), atol=0.06)
    assert np.abs(parabola_wave(jnp.asarray([-2.0, -0.5, 0.0, 0.5, 1.0]))).max() < 1e-6


@pytest.mark.parametrize("axis", [0, 1])
def test_what_a_frame_holds_moves_with_it(axis):
    """A frame of reference moved by a pixel: its waves move by a pixel, the image's own stay."""
    size, frequencies = 8, 5
    layer = CoordinateFrames(frequencies, bandwidth=2.0)
    affine = 0.5 * jax.random.normal(jax.random.key(0), (2, 3, 2, 3))
    params = jax.jit(layer.init, static_argnums=2)(jax.random.key(1), affine, size)
    apply = jax.jit(layer.apply, static_argnums=2)
    # Coordinates are A x + b with x = (x, y) in [-1, 1]: what was seen at x is then seen at x + pixel.
    pixel = np.zeros(2)
    pixel[axis] = 2.0 / size
    moved = affine.at[..., 2].add(-affine[..., :2] @ pixel)
    before, after = (np.asarray(apply(params, a, size)) for a in (affine, moved))
    before, after = (np.moveaxis(f, 2 - axis, 0) for f in (before, after))  # the moved axis first
    own, moving = slice(0, frequencies), slice(frequencies, None)
    np.testing.assert_allclose(after[1:][..., moving], before[:-1][..., moving], atol=1e-4)
    np.testing.assert_allclose(after[..., own], before[..., own], atol=1e-6)
    assert np.abs(after[..., moving] - before[..., moving]).max() > 0.1
    assert before.shape[-1] == 4 * frequencies


def test_waves_are_of_a_frames_own_coordinates():
    """sin(2 pi (w . (A x + b) + p)), x right and y down, as strong as its formula or less."""
    layer, size = CoordinateFrames(5, bandwidth=2.0), 8
    affine = jnp.asarray([[[[0.5, -0.2, 0.3], [0.1, 0.7, -0.4]]]])
    init = jax.jit(layer.init_with_output, static_argnums=2)
    waves, params = init(jax.random.key(1), affine, size)
    frequency, phase = (np.asarray(params["params"][name])[1] for name in ("frequency", "phase"))
    place = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(place, place)
    seen = np.stack([x, y, np.ones_like(x)], -1) @ np.asarray(affine)[0, 0].T
    expected = np.sin(2 * np.pi * (seen @ frequency.T + phase)).reshape(-1, 5)
    found = np.asarray(waves)[0, ..., 5:].reshape(-1, 5)
    strength = np.sum(found * expected, 0) / np.sum(expected**2, 0)
    np.testing.assert_allclose(found, strength * expected, atol=0.08 * strength.max())
    assert np.all((0 < strength) & (strength <= 2.1))


def test_no_wave_is_finer_than_the_pixels():
    layer, size = CoordinateFrames(5, bandwidth=2.0), 8
    affine = 30.0 * jnp.asarray([[[[1.0, 0.5, 0.0], [0.5, -1.0, 0.0]]]])
    waves, _ = jax.jit(layer.init_with_output, static_argnums=2)(jax.random.key(1), affine, size)
    assert np.abs(waves[..., 5:]).max() == 0 and np.abs(waves[..., :5]).max() > 0.1


# Size and arithmetic


def shapes_of(generator, frames=2):
    times = jax.ShapeDtypeStruct((1, frames), jnp.float32)
    noise = jax.eval_shape(generator.noise, KEYS[:1], times)
    return jax.eval_shape(generator.init_with_output, jax.random.key(0), noise, times)


def size(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize("resolution", [32, 64, 128])
def test_any_resolution_by_a_field_alone(resolution):
    frames, _ = shapes_of(ContinuousGenerator(resolution))
    assert frames.shape == (1, 2, resolution, resolution, 3) and frames.dtype == jnp.float32


def test_channels():
    assert shapes_of(ContinuousGenerator(32, channels=1))[0].shape == (1, 2, 32, 32, 1)


@pytest.mark.parametrize("name", ["base", "shapeshow_64"])
def test_the_recipes_networks_have_a_million_parameters(recipe, name):
    task = build(recipe(name))
    frames, generator = shapes_of(task.generator, 3)
    times = jax.ShapeDtypeStruct((1, 3), jnp.float32)
    discriminator = jax.eval_shape(task.discriminator.init, jax.random.key(0), frames, times)
    assert size(generator) >= 1_000_000
    assert size(discriminator) >= 1_000_000


@pytest.mark.parametrize("dtype", [jnp.bfloat16, "bfloat16"])
def test_bfloat16_arithmetic(params, render, dtype):
    times = jnp.asarray([[0.3, 0.8]] * 2)
    half = ContinuousGenerator(resolution=8, spacing=0.5, dtype=dtype, **SMALL)
    frames = jax.jit(half.apply)(params, half.noise(KEYS, times), times)
    assert frames.dtype == jnp.float32
    difference = np.abs(frames - render(times[0])).max()
    assert 0 < difference < 0.1
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes_of(half)[1])} == {jnp.dtype("float32")}
