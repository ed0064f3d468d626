import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import map_coordinates

from vgm_jax.models.generators import ContinuousGenerator
from vgm_jax.models.generators.continuous import (
    ContinuousNoise,
    MotionEncoder,
    Painter,
    outline,
    placement,
    view,
    warp,
)
from vgm_jax.tasks import build

SMALL = dict(
    content_dim=8,
    motion_dim=4,
    style_dim=16,
    canvas=8,
    front_base=64,
    back_base=32,
    features=7,
)
GENERATOR = ContinuousGenerator(resolution=16, spacing=0.5, **SMALL)
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
    content = jax.random.normal(jax.random.key(2), (2, 8))
    noise = ContinuousNoise(content, motion, jnp.asarray([[0, 7], [3, 1]]))
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


def test_categories_are_drawn_evenly_by_key_alone():
    keys = jax.random.split(jax.random.key(9), 2000)
    drawn = GENERATOR.noise(keys, jnp.zeros((2000, 1))).category
    assert drawn.min() == 0 and drawn.max() == 9
    pairs = np.bincount(10 * drawn[:, 0] + drawn[:, 1], minlength=100) / 2000
    assert np.abs(pairs - 0.01).max() < 0.01, "one does not tell the other"
    assert np.array_equal(drawn, GENERATOR.noise(keys, jnp.ones((2000, 3))).category)


def test_a_category_of_form_repaints_the_object_alone_and_one_of_look_all(params):
    times = jnp.asarray([[0.3]] * 2)
    noise = GENERATOR.noise(KEYS, times)
    apply = jax.jit(GENERATOR.apply)

    def change(form, look):
        other = noise._replace(category=(noise.category + jnp.asarray([form, look])) % 10)
        return np.abs(apply(params, noise, times) - apply(params, other, times)).max(-1)[:, 0]  # [2 H W]

    assert change(1, 0).max() > 0.05 and np.all(change(1, 0).min((1, 2)) == 0.0)
    assert np.all(change(0, 1).min((1, 2)) > 0.0)


@given(scale=st.floats(0.5, 1e4), shift=st.floats(-1e3, 1e3))
@settings(max_examples=20, deadline=None)
def test_an_object_neither_vanishes_nor_fills_its_canvas(scale, shift):
    """However far training drives the painter."""
    free = scale * np.random.default_rng(0).normal(size=(4, 12, 12)) + shift
    chance = jax.nn.sigmoid(outline(jnp.asarray(free, jnp.float32)))
    assert np.all(chance.mean((1, 2)) > 0.02) and np.all(chance.mean((1, 2)) < 0.7)
    assert np.all(chance[:, [0, 0, -1, -1], [0, -1, 0, -1]] < 0.01), "corners stay empty"


def test_noise_is_standard_normal():
    noise = GENERATOR.noise(jax.random.split(jax.random.key(9), 2000), jnp.zeros((2000, 1)))
    for values in (noise.content, noise.motion):
        assert abs(np.mean(values)) < 0.03 and abs(np.std(values) - 1.0) < 0.03
    correlation = np.corrcoef(np.concatenate([noise.content, noise.motion.reshape(2000, -1)], 1).T)
    assert np.abs(correlation - np.eye(len(correlation))).max() < 0.12


# The object and its place


jit_warp = jax.jit(warp, static_argnums=2)
affines = hnp.arrays(np.float32, (2, 2, 3), elements=st.floats(-3, 3, width=32))


@pytest.mark.parametrize("height, width, size", [(1, 1, 3), (4, 5, 9), (6, 3, 4)])
@settings(max_examples=25, deadline=None)
@given(affine=affines)
def test_warp_is_bilinear_interpolation_of_a_canvas_on_nothing(height, width, size, affine):
    canvas = np.random.default_rng(0).normal(size=(2, height, width, 2)).astype(np.float32)
    place = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(place, place)
    seen = np.stack([x, y, np.ones_like(x)], -1) @ affine[:, None].swapaxes(-1, -2).astype(float)  # [2 S S 2]
    rows, columns = (seen[..., 1] + 1) * height / 2 - 0.5, (seen[..., 0] + 1) * width / 2 - 0.5
    result = jit_warp(canvas, affine, size)
    for n, c in np.ndindex(2, 2):
        padded = np.pad(canvas[n, ..., c].astype(float), 1)
        at = [rows[n] + 1, columns[n] + 1]
        expected = map_coordinates(padded, at, order=1, mode="constant", cval=0.0)
        np.testing.assert_allclose(result[n, ..., c], expected, atol=2e-4)


def test_what_is_placed_turns_and_scales_without_shear():
    """An affine map A = s R: its columns are of one length and at right angles, not mirrored."""
    affine = np.asarray(placement(3.0 * jax.random.normal(jax.random.key(0), (50, 5))))
    turn, shift = affine[..., :2], affine[..., 2]
    scale = np.sqrt(np.linalg.det(turn))
    expected = scale[:, None, None] ** 2 * np.eye(2)
    np.testing.assert_allclose(turn.swapaxes(1, 2) @ turn, expected, rtol=1e-4, atol=1e-4)
    assert np.all((scale > 0.67) & (scale < 3.34)) and scale.std() > 0.3
    # Its centre, where the canvas' origin lands, is in the picture.
    centre = -np.linalg.solve(turn, shift[..., None])[..., 0]
    assert np.abs(centre).max() < 0.86 and centre.std() > 0.3


@given(hnp.arrays(np.float32, (4, 3), elements=st.floats(-50, 50, width=32)), st.floats(0.05, 3))
@settings(max_examples=30, deadline=None)
def test_a_camera_stays_on_the_ground(values, reach):
    affine = np.asarray(view(jnp.asarray(values), reach), np.float64)
    corners = np.array([[x, y, 1.0] for x in (-1, 1) for y in (-1, 1)])
    seen = corners @ affine.swapaxes(1, 2)
    assert np.abs(seen).max() <= 1.0
    assert np.all(affine[:, 0, 0] * (1 + reach) > 0.66) and np.all(affine[:, 0, 0] * (1 + reach) <= 1.001)


def test_a_camera_moves_over_the_ground():
    times = jnp.linspace(0, 2, 6)[None].repeat(2, 0)

    def change(camera):
        generator = ContinuousGenerator(
            resolution=16, spacing=0.5, objects=0, camera=camera, scenery=1.0, **SMALL
        )
        made = jax.jit(generator.init_with_output)(jax.random.key(0), generator.noise(KEYS, times), times)
        return np.ptp(np.asarray(made[0]), axis=1).max(-1)

    assert change(0.0).max() == 0.0
    assert np.mean(change(0.5) > 1e-3) > 0.9


def test_later_objects_cover_earlier_ones():
    generator = ContinuousGenerator(resolution=16, spacing=0.5, objects=2, **SMALL)
    times = jnp.linspace(0, 2, 6)[None].repeat(2, 0)
    noise = generator.noise(KEYS, times)
    made = jax.jit(generator.init_with_output)
    frames, params = made(jax.random.key(0), noise, times)
    apply = jax.jit(generator.apply)

    def change(name):
        """Where frames change with the colour of an object."""
        inner = params["params"]
        other = {"Dense_0": inner[name]["Dense_0"] | {"bias": jnp.ones(3)}}
        return np.abs(apply({"params": inner | {name: other}}, noise, times) - frames).max(-1)

    first, second = change("colour"), change("colour1")
    assert second.max() > 0.9 and first.max() > 0.5
    assert np.all(first <= 1 - second + 1e-5), "what is behind is seen only where the other is not"
    assert np.any(first + second < 0.01)


def test_the_ground_is_still_and_the_object_covers_it(params):
    """Far from the object, frames at all times are the same picture."""
    times = jnp.linspace(0, 3, 12)[None].repeat(2, 0)
    frames = np.asarray(jax.jit(GENERATOR.apply)(params, GENERATOR.noise(KEYS, times), times))
    change = np.ptp(frames, axis=1).max(-1)  # [2 H W]
    assert change.min(axis=(1, 2)).max() == 0.0 and change.max(axis=(1, 2)).min() > 0.05


def test_clips_differ_from_the_start():
    """Codes are not washed out before training: pictures of two codes are hardly correlated."""
    painter = Painter(16, 256, 32)
    codes = jax.random.normal(jax.random.key(0), (32, 64))
    pictures = jax.jit(painter.init_with_output)(jax.random.key(1), codes)[0].reshape(32, -1)
    pairs = np.corrcoef(pictures)[np.triu_indices(32, 1)]
    assert pictures.shape == (32, 16 * 16 * 16) and pairs.mean() < 0.6


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
    half = ContinuousGenerator(resolution=16, spacing=0.5, dtype=dtype, **SMALL)
    frames = jax.jit(half.apply)(params, half.noise(KEYS, times), times)
    assert frames.dtype == jnp.float32
    difference = np.abs(frames - render(times[0])).max()
    assert 0 < difference < 0.1
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes_of(half)[1])} == {jnp.dtype("float32")}
