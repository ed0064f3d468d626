"""Codes to frames and noise to codes, of one small generator that has all there is: compiled twice."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vgm_jax.models.generators import ContinuousGenerator
from vgm_jax.models.generators.imagination import FADE, ContinuousNoise, Layers, Trajectory
from vgm_jax.models.generators.painting import Painter
from vgm_jax.models.scene import POSE, Codes, motion_dim
from vgm_jax.tasks import build

SMALL = dict(
    resolution=16,
    window=0.5,
    content_dim=6,
    form_dim=5,
    noise_dim=8,
    motion_dim=4,
    width=16,
    canvas=8,
    front_base=64,
    back_base=32,
    free_base=32,
    categories=(10, 0, 7),
)
OBJECTS, CAMERA, FREE = 2, 0.5, 3
GENERATOR = ContinuousGenerator(**SMALL, objects=OBJECTS, camera=CAMERA, free=FREE)
KEYS = jax.random.split(jax.random.key(3), 2)
TIMES = np.linspace(0.1, 1.6, 6, dtype=np.float32)  # of both clips, wherever a test asks for no others
draw = jax.jit(GENERATOR.noise)


def shapes_of(generator, frames=2):
    """Frames and parameters, not computed."""
    times = jax.ShapeDtypeStruct((1, frames), jnp.float32)
    noise = jax.eval_shape(generator.noise, KEYS[:1], times)
    return jax.eval_shape(generator.init_with_output, jax.random.key(0), noise, times)


@pytest.fixture(scope="module")
def params(drawn):
    return drawn(shapes_of(GENERATOR)[1])


@pytest.fixture(scope="module")
def imagine(params):
    """`imagine(times [2 6], keys=KEYS, noise=None, params=params) -> Codes`"""
    apply = jax.jit(lambda p, noise, times: GENERATOR.apply(p, noise, times, method="imagine"))

    def call(times, keys=KEYS, noise=None, params=params):
        times = jnp.asarray(np.broadcast_to(times, (2, 6)), jnp.float32)
        codes = apply(params, draw(keys, times) if noise is None else noise, times)
        return Codes(*map(np.asarray, codes))

    return call


@pytest.fixture(scope="module")
def paint(params):
    """`paint(codes, params=params) -> frames [2 6 16 16 3]`"""
    apply = jax.jit(lambda p, codes: GENERATOR.apply(p, codes, method="paint"))
    return lambda codes, params=params: np.asarray(apply(params, codes))


@pytest.fixture(scope="module")
def codes(imagine):
    return imagine(TIMES)


# Noise to codes


def test_codes_of_a_time_do_not_depend_on_the_other_times_asked_for(imagine, codes):
    assert np.abs(np.diff(codes.motion, axis=1)).max(axis=(0, 2)).min() > 0.01, "things move"
    order = np.random.default_rng(1).permutation(6)
    other = imagine(TIMES[order])
    np.testing.assert_allclose(other.motion, codes.motion[:, order], atol=1e-5)
    part = imagine(np.concatenate([TIMES[:2], [7.0, 8.0, 0.3, 9.9]]))
    np.testing.assert_allclose(part.motion[:, :2], codes.motion[:, :2], atol=1e-5)
    for clip in (other, part):
        np.testing.assert_allclose(clip.content, codes.content, atol=1e-5)
        np.testing.assert_allclose(clip.form, codes.form, atol=1e-5)


def test_a_clip_does_not_depend_on_the_other_clips(imagine, codes):
    other = imagine(TIMES, jnp.stack([KEYS[1], jax.random.key(8)]))
    for values, expected in zip(other, codes, strict=True):
        np.testing.assert_allclose(values[0], expected[1], atol=1e-5)
        assert np.abs(expected[0] - expected[1]).max() > 0.05


@pytest.mark.parametrize("boundary", [0.5, 1.0, 1.5])
def test_no_jump_where_one_window_of_motion_gives_way_to_the_next(imagine, boundary):
    steps = np.array([2.0**-9, 2.0**-12, 2.0**-15])
    motion = imagine(np.concatenate([boundary - steps, boundary + steps])).motion
    jump = np.abs(motion[:, 3:] - motion[:, :3]).max((0, 2))
    assert np.all(jump[1:] < 0.5 * jump[:-1]) and jump[-1] < 0.01
    at = imagine([boundary] * 6).motion
    assert np.abs(motion[:, [2, 5]] - at[:, :2]).max() < 0.01


def test_a_trajectory_is_a_place_and_a_gated_course(drawn):
    """Of one window, written out; of the next, from where the last one ended over to its own."""
    trajectory, rng = Trajectory(3, 0.5, 8), np.random.default_rng(0)
    codes, clip = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((1, 4, 2, 2), (1, 3)))
    times = np.asarray([[0.0, 0.1, 0.25, 0.45]])
    shapes = jax.eval_shape(trajectory.init, jax.random.key(1), codes, times, times, clip)
    params = jax.tree.map(lambda p: 2 * np.asarray(p), drawn(shapes)["params"])

    def dense(name, x):
        return x @ params[name]["Dense_0"]["kernel"] + params[name]["Dense_0"]["bias"]

    def path(code, part):
        x = np.concatenate([clip[0], code])
        for i in range(2):
            layer = params["hidden"][f"Dense_{i}"]["Dense_0"]
            x = x @ layer["kernel"] + layer["bias"]
            x = 2**0.5 * np.where(x > 0, x, 0.2 * x)
        terms = [2 * part - 1] + [np.cos(np.pi * n * part) / (1 + n / 4) for n in range(1, 16)]
        course = np.asarray(terms) @ dense("course", x).reshape(16, 3)
        return dense("place", x) + course / (1 + np.exp(-dense("gate", x)))

    apply = jax.jit(lambda t, c: trajectory.apply({"params": params}, c, jnp.floor(t / 0.5), t, clip))
    same = jnp.tile(codes[:, :1], (1, 4, 1, 1))
    found = apply(times, same)[0]
    for i, t in enumerate(times[0]):
        np.testing.assert_allclose(found[i], path(codes[0, 0, 1], t / 0.5), atol=1e-4)
    found = apply(times + 1.5, codes)[0]
    for i, t in enumerate(times[0]):
        come = min(t / 0.5 / FADE, 1.0)
        come = come * come * (3 - 2 * come)
        ended, own = path(codes[0, i, 0], 1.0), path(codes[0, i, 1], t / 0.5)
        np.testing.assert_allclose(found[i], (1 - come) * ended + come * own, atol=1e-4)


def test_motion_is_stationary(imagine):
    """The same codes, some windows later, move the same way."""
    motion = jax.random.normal(jax.random.key(1), (2, 6, 2, 4))
    content = jax.random.normal(jax.random.key(2), (2, 8))
    noise = ContinuousNoise(content, motion, jnp.asarray([[0, 0, 6], [3, 0, 1]]), jnp.ones((2, 6), int))
    times = np.asarray([0.5, 0.5625, 0.625, 0.75, 0.875, 0.9375])
    early, late = imagine(times, noise=noise), imagine(times + 6 * 0.5, noise=noise)
    np.testing.assert_allclose(early.motion, late.motion, atol=1e-6)
    assert np.abs(early.motion - imagine(times[::-1], noise=noise).motion).max() > 0.01


def test_the_first_window_needs_no_other(imagine):
    """Where clips learned from lie: times alone in it give what they give beside later ones."""
    first = np.asarray([0.0, 0.1, 0.2, 0.3, 0.4, 0.45])
    alone = imagine(first).motion
    beside = imagine([0.0, 0.1, 0.2, 0.3, 0.4, 1.2]).motion
    np.testing.assert_allclose(alone[:, :5], beside[:, :5], atol=1e-5)


@given(scale=st.floats(1e-3, 10))
@settings(max_examples=15, deadline=None)
def test_codes_stay_where_an_encoders_are(imagine, params, scale):
    """However large weights grow: content and form of a mean square of one, motion within its bounds."""
    codes = imagine(TIMES, params=jax.tree.map(lambda p: scale * p, params))
    assert codes.content.shape == (2, 6) and codes.form.shape == (2, OBJECTS, 5)
    assert codes.motion.shape == (2, 6, motion_dim(OBJECTS, CAMERA, FREE))
    for values in (codes.content, codes.form):
        square = np.mean(np.square(values), -1)
        assert np.all(square < 1.001) and (scale < 0.5 or np.all(square > 0.99))
    assert np.abs(codes.motion).max() <= 1.0001
    poses = codes.motion[..., : POSE * OBJECTS].reshape(2, 6, OBJECTS, POSE)
    length = np.square(poses[..., 3:]).sum(-1)
    assert np.all(length < 1.0001) and np.median(length) > 0.999


def test_a_category_is_another_clip(imagine, codes):
    noise = draw(KEYS, np.tile(TIMES, (2, 1)))
    for i, count in ((0, 10), (2, 7)):
        other = noise.category.at[:, i].set((noise.category[:, i] + 1) % count)
        changed = imagine(TIMES, noise=noise._replace(category=other))
        for found, before in zip(changed, codes, strict=True):
            assert np.all(np.abs(found - before).reshape(2, -1).max(1) > 0.02)


def test_what_is_shown_may_be_moved_otherwise(params, imagine, codes):
    """As what was imagined, by the same noise: it moves the same; by other noise it only moves otherwise."""
    run = jax.jit(lambda params, *args: GENERATOR.apply(params, *args, method="move"))
    move = functools.partial(run, params)
    times = np.tile(TIMES, (2, 1))
    noise = draw(KEYS, times)
    same = move(codes.content, codes.form, noise, times)
    for found, expected in zip(same, codes, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    other = move(codes.content, codes.form, draw(KEYS[::-1], times), times)
    assert np.array_equal(other.content, codes.content) and np.array_equal(other.form, codes.form)
    assert np.abs(other.motion - codes.motion).max() > 0.02
    turned = move(-codes.content, codes.form, noise, times)
    assert np.abs(turned.motion - codes.motion).max() > 0.02, "what it is has a say in how it moves"


# Noise


def test_noise_is_a_function_of_key_and_time():
    times = jnp.asarray([[0.0, 0.2, 0.5, 1.7], [0.1, 0.6, 0.9, 1.0]])
    noise = draw(KEYS, times)
    assert noise.content.shape == (2, 8) and noise.motion.shape == (2, 4, 2, 4)
    swapped = draw(KEYS[::-1], times[::-1])
    assert np.array_equal(swapped.content, noise.content[::-1])
    assert np.array_equal(swapped.motion, noise.motion[::-1])
    part = draw(KEYS, times[:, 2:])
    assert np.array_equal(part.motion, noise.motion[:, 2:]) and np.array_equal(part.content, noise.content)
    # One window of codes until the next code; what was on the right is then on the left.
    assert np.array_equal(noise.motion[0, 0], noise.motion[0, 1])
    assert np.array_equal(noise.motion[0, 1, 1], noise.motion[0, 2, 0])
    assert not np.array_equal(noise.motion[0, 2], noise.motion[0, 3])
    assert not np.array_equal(noise.content[0], noise.content[1])
    later = draw(KEYS, times - 2 * GENERATOR.window, 2)
    assert all(np.array_equal(a, b) for a, b in zip(later, noise, strict=True))
    assert not np.array_equal(noise.motion[0, 2], noise.motion[1, 1]), "same window, another key"


def test_categories_are_drawn_evenly_by_key_alone():
    keys = jax.random.split(jax.random.key(9), 2000)
    drawn = np.asarray(draw(keys, np.zeros((2000, 1))).category)
    assert drawn.shape == (2000, 3) and np.all(drawn[:, 1] == 0)
    pairs = np.bincount(7 * drawn[:, 0] + drawn[:, 2], minlength=70) / 2000
    assert len(pairs) == 70 and np.abs(pairs - 1 / 70).max() < 0.01, "one does not tell the other"
    assert np.array_equal(drawn, draw(keys, np.ones((2000, 3))).category)


def test_noise_is_standard_normal():
    noise = draw(jax.random.split(jax.random.key(9), 2000), np.zeros((2000, 1)))
    for values in (noise.content, noise.motion):
        assert abs(np.mean(values)) < 0.03 and abs(np.std(values) - 1.0) < 0.03
    correlation = np.corrcoef(np.concatenate([noise.content, noise.motion.reshape(2000, -1)], 1).T)
    assert np.abs(correlation - np.eye(len(correlation))).max() < 0.12


# Codes to frames


def moved(codes, places, values):
    """The codes, some numbers of their motion set."""
    motion = np.array(codes.motion)
    motion[..., places] = values
    return codes._replace(motion=motion)


CAMERAS = slice(POSE * OBJECTS, POSE * OBJECTS + 3)
OTHERWISE = slice(POSE * OBJECTS + 3, None)


@pytest.fixture(scope="module")
def apart(codes):
    """Codes of small upright objects at the left and at the right, the camera at rest."""
    pose = np.array([-0.55, 0, 0.9, 1, 0, 0.55, 0, 0.9, 1, 0])
    return moved(moved(codes, slice(POSE * OBJECTS), pose), slice(POSE * OBJECTS, None), 0.0)


def differ(a, b):
    """Where frames do: [2 6 16 16]"""
    return np.abs(a - b).max(-1)


def test_a_frame_is_painted_from_the_codes_of_its_time_alone(paint, codes):
    frames = paint(codes)
    assert frames.shape == (2, 6, 16, 16, 3) and frames.dtype == np.float32
    assert np.abs(np.diff(frames, axis=1)).max((0, 2, 3, 4)).min() > 0.01, "the picture moves"
    order = np.random.default_rng(2).permutation(6)
    shuffled = paint(codes._replace(motion=codes.motion[:, order]))
    np.testing.assert_allclose(shuffled, frames[:, order], atol=1e-5)
    repeated = paint(codes._replace(motion=np.repeat(codes.motion[:, 4:5], 6, 1)))
    np.testing.assert_allclose(repeated, np.repeat(frames[:, 4:5], 6, 1), atol=1e-5)


def test_a_clip_is_painted_from_its_own_codes_alone(paint, codes):
    frames, swapped = paint(codes), paint(Codes(*(x[::-1] for x in codes)))
    np.testing.assert_allclose(swapped, frames[::-1], atol=1e-5)
    other = Codes(*(np.stack([-x[0], x[1]]) for x in codes))
    np.testing.assert_allclose(paint(other)[1], frames[1], atol=1e-5)
    assert np.abs(paint(other)[0] - frames[0]).max() > 0.05


def test_frames_are_of_the_imagined_codes(params, imagine, paint):
    """The network as a whole, of one time, is its two parts, of six."""
    times = jnp.asarray([[1.3]] * 2)
    frames = jax.jit(GENERATOR.apply)(params, draw(KEYS, times), times)
    np.testing.assert_allclose(frames, paint(imagine(1.3))[:, :1], atol=1e-5)


def test_an_object_stays_on_its_canvas(paint, apart):
    """What happens to one leaves the rest of the picture as it is, and what is nowhere looks as it did."""
    frames = paint(apart)
    left = moved(apart, [1], 0.4)
    change = differ(paint(left), frames)
    assert change[..., :8].max() > 0.05 and np.all(change[..., 8:] < 1e-6)
    form = np.array(apart.form)
    form[:, 1] *= -1
    change = differ(paint(apart._replace(form=form)), frames)
    assert change[..., 8:].max() > 0.05 and np.all(change[..., :8] < 1e-6)


@pytest.fixture(scope="module")
def cover(paint, params):
    """`cover(codes, name) -> [2 6 16 16]`: how much of a pixel an object is, told by a change of colour."""

    def shown(codes, name):
        painting = params["params"]["painting"]
        bias = painting[name]["bias"] + jnp.asarray([1.0, 1.0, 1.0, 0.0])  # the last is of coverage
        other = painting[name] | {"bias": bias}
        tree = {"params": params["params"] | {"painting": painting | {name: other}}}
        return differ(paint(codes, tree), paint(codes))

    return shown


def test_an_object_goes_where_its_pose_says_as_it_is(cover, apart):
    """By two whole pixels: the same outline, there."""
    here, there = (cover(moved(apart, [0], x), "colour") for x in (-0.5, -0.5 + 2 * 2 / 16))
    assert here.max() > 0.3
    np.testing.assert_allclose(there[..., 2:9], here[..., :7], atol=1e-3)


def test_the_ground_is_the_contents_affair(paint, apart):
    change = differ(paint(apart._replace(content=-apart.content)), paint(apart))
    assert np.mean(change > 1e-3) > 0.9


def test_the_ground_is_still_where_nothing_else_is(paint, apart):
    frames = paint(moved(apart, [0, 5], np.array([-0.6, 0.6])))
    assert np.all(np.ptp(frames, axis=1) < 1e-5), "the same codes at all times"
    walk = np.array(apart.motion)
    walk[..., 1] = np.linspace(-0.3, 0.3, 6)
    change = np.ptp(paint(apart._replace(motion=walk)), axis=1).max(-1)
    assert np.all(change[:, :, 8:] < 1e-5) and change.max() > 0.05


def test_a_camera_moves_over_the_ground_alone(paint, apart):
    change = differ(paint(moved(apart, CAMERAS, [0.8, -0.5, 0.3])), paint(apart))
    assert np.mean(change > 1e-4) > 0.8


def test_what_else_changes_does_so_by_the_free_numbers(paint, apart):
    change = differ(paint(moved(apart, OTHERWISE, 0.7)), paint(apart))
    assert np.mean(change > 1e-4) > 0.9


def test_later_objects_cover_earlier_ones(paint, cover, codes):
    """The later one's coverage is over all that is behind it: painted with and without each, it is so."""
    both = moved(codes, slice(POSE * OBJECTS), [-0.1, 0, 0, 1, 0, 0.1, 0, 0, 1, 0])
    behind, before = moved(both, [POSE], 9.0), moved(both, [0], 9.0)  # the other one is out of sight
    ground = paint(moved(behind, [0], 9.0))
    hides = 1.0 - cover(before, "colour")[..., None]
    expected = paint(before) + hides * (paint(behind) - ground)
    np.testing.assert_allclose(paint(both), expected, atol=5e-3)
    wrong = paint(behind) + (1.0 - cover(behind, "colour")[..., None]) * (paint(before) - ground)
    assert np.abs(wrong - expected).max() > 0.05


def test_objects_of_one_form_are_the_same_thing(paint, codes):
    """All are painted by the same layers."""
    alike = codes._replace(form=np.repeat(codes.form[:, :1], 2, 1))
    pose = [0.2, -0.1, 0.3, 1, 0]
    one, other = (
        moved(alike, slice(POSE * OBJECTS), x) for x in ([*pose, 9, 0, 0, 1, 0], [9, 0, 0, 1, 0, *pose])
    )
    np.testing.assert_allclose(paint(one), paint(other), atol=5e-3)


def test_clips_differ_from_the_start():
    """Codes are not washed out before training: pictures of two codes are hardly correlated."""
    painter = Painter(16, 256, 32)
    codes = jax.random.normal(jax.random.key(0), (32, 64))
    pictures = jax.jit(painter.init_with_output)(jax.random.key(1), codes)[0].reshape(32, -1)
    pairs = np.corrcoef(pictures)[np.triu_indices(32, 1)]
    assert pictures.shape == (32, 16 * 16 * 16) and pairs.mean() < 0.6


# Size and arithmetic


def size(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize("resolution", [32, 64, 128])
def test_any_resolution_by_a_field_alone(resolution):
    frames, _ = shapes_of(ContinuousGenerator(resolution))
    assert frames.shape == (1, 2, resolution, resolution, 3) and frames.dtype == jnp.float32


@pytest.mark.parametrize(
    "fields",
    [
        {"channels": 1},
        {"objects": 0, "camera": 1.0},
        {"objects": 3, "free": 4},
        {"categories": ()},
        {"canvas": 0},
        {"objects": 0, "free": 3, "bend": 0.5},
        {"objects": 0, "free": 3, "bend": 0.5, "grid": 2, "content_dim": 12},
        {"camera": 1.0, "grid": 8, "content_dim": 64},
        {"objects": 0, "camera": 1.0, "grid": 8, "content_dim": 64, "free": 2, "bend": 0.5},
        {"objects": 0, "camera": 1.0, "grid": 8, "content_dim": 64, "layers": 3},
    ],
)
def test_whatever_it_has(fields):
    frames, _ = shapes_of(ContinuousGenerator(**SMALL | fields))
    assert frames.shape == (1, 2, 16, 16, fields.get("channels", 3))


def test_nothing_bends_by_no_numbers():
    with pytest.raises(ValueError, match="bend=0.5 is by free numbers.* set free"):
        shapes_of(ContinuousGenerator(**SMALL | {"bend": 0.5}))


def test_a_plain_ground_and_one_shade():
    """Where nothing covers it, the ground is of one colour, black at first; all channels are the same."""
    generator = ContinuousGenerator(
        **SMALL | {"content_dim": 0, "back_base": 0}, objects=1, camera=0.0, grey=True
    )
    times = jnp.asarray(np.broadcast_to(TIMES[:2], (2, 2)))

    @jax.jit
    def begun(key):
        noise = generator.noise(KEYS, times)
        frames, params = generator.init_with_output(key, noise, times)
        return frames, params, generator.apply(params, noise, times, method="imagine")

    frames, params, codes = begun(jax.random.key(0))
    assert frames.shape == (2, 2, 16, 16, 3) and params["params"]["painting"]["plain"].shape == (1,)
    assert np.array_equal(frames[..., 0], frames[..., 1]) and np.array_equal(frames[..., 1], frames[..., 2])
    assert codes.content.shape == (2, 0)
    # Small, and in a corner.
    pose = jnp.broadcast_to(jnp.asarray([0.9, 0.9, 1.0, 1.0, 0.0]), codes.motion.shape)
    paint = jax.jit(lambda codes: generator.apply(params, codes, method="paint"))
    frames = paint(codes._replace(motion=pose))
    np.testing.assert_allclose(frames[:, :, :8, :8], -1.0, atol=0.01)
    assert float(jnp.abs(frames[:, :, 8:, 8:] + 1.0).max()) > 0.1
    with pytest.raises(
        ValueError, match="camera=0.5, .* are of a ground with something on it: set back_base"
    ):
        shapes_of(ContinuousGenerator(**SMALL | {"back_base": 0}, camera=0.5))


def test_cells_that_do_not_fit():
    with pytest.raises(ValueError, match="12 texels a side are not 4 cells"):
        shapes_of(ContinuousGenerator(**SMALL | {"grid": 4, "content_dim": 32, "camera": 0.5}))


@pytest.mark.parametrize("numbers", [60, 0])
def test_numbers_that_do_not_fit_the_cells(numbers):
    with pytest.raises(ValueError, match=f"content_dim={numbers} must be as many numbers for each of the 8"):
        shapes_of(ContinuousGenerator(**SMALL | {"grid": 8, "content_dim": numbers}))


@pytest.mark.parametrize(
    "fields",
    [
        {"layers": 2},
        {"layers": 1, "grid": 2, "content_dim": 12},
        {"layers": -1, "grid": 2, "content_dim": 12},
    ],
)
def test_layers_without_cells(fields):
    with pytest.raises(ValueError, match=f"layers={fields['layers']} must be 0, or two and more"):
        shapes_of(ContinuousGenerator(**SMALL | fields))


def test_a_cell_is_made_of_the_layers_that_it_shows(drawn):
    """What there is in a cell alone and which layers it shows are told a cell; all else is told once."""
    cells, numbers, layers = 3, 2, 4
    module, clip = Layers(cells, numbers, layers), jax.random.normal(jax.random.key(1), (5, 6))
    params = drawn(jax.eval_shape(module.init, jax.random.key(0), clip))
    apply = jax.jit(module.apply)
    found = np.asarray(apply(params, clip)).reshape(5, cells**2, numbers)

    weights = jax.tree.map(np.float64, params["params"])

    def dense(name, x):
        of = weights[name]["Dense_0"]
        return x @ of["kernel"] + of["bias"]

    for i, vector in enumerate(np.float64(clip)):
        laid, own = dense("painted", vector).reshape(layers, -1), dense("own", vector).reshape(9, -1)
        logits = 4.0 * dense("seen", vector).reshape(9, layers)
        for cell in range(9):
            share = np.exp(logits[cell] - logits[cell].max())
            x = np.concatenate([share @ laid / share.sum(), 0.5 * own[cell]])
            hidden = dense("mixed", x)
            expected = dense("cells", 2**0.5 * np.where(hidden > 0, hidden, 0.2 * hidden)) + dense(
                "straight", x
            )
            np.testing.assert_allclose(found[i, cell], expected, rtol=1e-4, atol=1e-5)

    # Where a cell has nothing alone, and all show the same of each layer, all are alike.
    even = {name: jax.tree.map(jnp.zeros_like, params["params"][name]) for name in ("seen", "own")}
    alike = np.asarray(apply({"params": params["params"] | even}, clip)).reshape(5, 9, numbers)
    np.testing.assert_allclose(alike, np.broadcast_to(alike[:, :1], alike.shape), atol=1e-6)
    assert np.abs(alike[0] - alike[1]).max() > 0.1


def test_a_ground_smaller_than_a_picture():
    with pytest.raises(ValueError, match="camera=-0.5 must not be negative"):
        shapes_of(ContinuousGenerator(**SMALL, camera=-0.5))


def test_cells_of_a_ground_are_where_a_camera_sees_them(drawn):
    """Of a ground twice as wide: the cell in its corner, and one in its middle, from corner to corner."""
    fields = dict(objects=0, camera=1.0, free=0, grid=16, content_dim=512)
    generator = ContinuousGenerator(**SMALL | fields | {"resolution": 32})
    corners = jnp.asarray([[[-1.0, -1.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]]])
    codes = Codes(np.ones((1, 512), np.float32), np.zeros((1, 0, 5), np.float32), corners)
    params = drawn(shapes_of(generator)[1])
    run = jax.jit(lambda params, codes: generator.apply(params, codes, method="paint"))
    paint = lambda codes: np.asarray(run(params, codes))  # noqa: E731

    def changed(row, column):
        content = np.ones((1, 16, 16, 2), np.float32)
        content[:, row, column] = -1.0
        change = np.abs(paint(codes._replace(content=content.reshape(1, -1))) - paint(codes))[0].max(-1)
        weight = change.sum((1, 2))
        rows, columns = np.arange(32) @ change.sum(2).T, np.arange(32) @ change.sum(1).T
        return weight, np.stack([rows, columns], -1) / np.maximum(weight, 1e-6)[:, None]

    weight, _ = changed(0, 0)
    assert weight[0] > 0.1 and weight[1] == weight[2] == 0, "seen from its own corner alone"
    _, middle = changed(8, 8)  # texels 32 to 35 of 64; the camera's corner at 0, 16 and 32, nearly
    np.testing.assert_allclose(middle[1], 17.5, atol=1.5)
    assert middle[2].max() < 6
    _, beside = changed(8, 10)
    np.testing.assert_allclose(beside[1] - middle[1], [0, 8], atol=1.5)


def test_what_is_laid_out_is_told_where_it_is():
    """A cell's numbers are of the picture around it; free ones bend and change all of it, at their time."""
    fields = dict(objects=0, free=2, grid=8, content_dim=128, bend=0.5)
    generator = ContinuousGenerator(**SMALL | fields | {"resolution": 32})
    codes = Codes(jnp.ones((1, 128)), jnp.zeros((1, 0, 5)), jnp.zeros((1, 3, 2)))
    times = jnp.zeros((1, 3))
    params = jax.jit(generator.init)(jax.random.key(0), draw(KEYS[:1], times), times)
    paint = jax.jit(lambda params, codes: generator.apply(params, codes, method="paint"))

    def difference(codes, other):
        one, two = (np.asarray(paint(params, x)) for x in (codes, other))
        return np.abs(one - two)[0].max(-1)

    cell = difference(codes, codes._replace(content=codes.content.at[0, :2].set(-1.0)))
    assert cell[:, :4, :4].max() > 0.1 and cell[:, 20:].max() == cell[:, :, 20:].max() == 0
    later = difference(codes, codes._replace(motion=codes.motion.at[0, 2].set(0.9)))
    assert later[:2].max() == 0 and later[2, 20:].max() > 1e-3


@pytest.mark.parametrize("name", ["base", "shapeshow_64"])
def test_the_recipes_networks_have_a_million_parameters(recipe, name):
    task = build(recipe(name))
    frames, generator = shapes_of(task.generator, 3)
    times = jax.ShapeDtypeStruct((1, 3), jnp.float32)
    discriminator = jax.eval_shape(task.discriminator.init, jax.random.key(0), frames, times)
    assert size(generator) >= 1_000_000
    assert size(discriminator) >= 1_000_000


def test_bfloat16_arithmetic(params, imagine, paint):
    half = GENERATOR.clone(dtype="bfloat16")
    times = jnp.asarray([[0.3]] * 2)
    frames = jax.jit(half.apply)(params, half.noise(KEYS, times), times)
    assert frames.dtype == jnp.float32
    difference = np.abs(frames - paint(imagine(0.3))[:, :1]).max()
    assert 0 < difference < 0.15
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes_of(half)[1])} == {jnp.dtype("float32")}


def test_a_ground_is_of_an_even_size():
    with pytest.raises(ValueError, match="frames of 17 pixels a side: a ground is painted for even sizes"):
        shapes_of(ContinuousGenerator(**SMALL | {"resolution": 17}))
