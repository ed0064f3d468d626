import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import map_coordinates

from vgm_jax.models.scene import (
    CAMERA,
    FURTHEST,
    POSE,
    between,
    bounded,
    inverse,
    motion_dim,
    nearer,
    pixel_centres,
    placement,
    spun,
    straight,
    turned,
    unbounded,
    view,
    warp,
)

jit_bounded, jit_spun = jax.jit(bounded), jax.jit(spun)
jit_placement, jit_inverse = jax.jit(placement), jax.jit(inverse)
jit_view, jit_warp = jax.jit(view, static_argnums=1), jax.jit(warp, static_argnums=2)
jit_straight = jax.jit(straight, static_argnums=2)
jit_turned, jit_unbounded = (jax.jit(f, static_argnums=1) for f in (turned, unbounded))

# Free numbers of two objects, and of five more: what networks put out, however far training drives them.
free = hnp.arrays(np.float32, (2, 3, 2 * POSE + 5), elements=st.floats(-1e4, 1e4, width=32))


def in_sight(values):
    """`bounded` of what two objects' poses and the rest have in one row."""
    poses, rest = np.split(values, [2 * POSE], -1)
    place, turn = np.split(poses.reshape(*values.shape[:-1], 2, POSE), [3], -1)
    return np.asarray(jit_bounded(place, turn, rest))


@pytest.mark.parametrize(
    "objects, camera, others, expected", [(1, 0.0, 0, 5), (2, 0.5, 7, 20), (0, 1.0, 2, 5), (0, 0.0, 0, 0)]
)
def test_how_many_numbers_say_where_things_are(objects, camera, others, expected):
    assert motion_dim(objects, camera, others) == expected


@given(values=free)
@settings(max_examples=40, deadline=None)
def test_whatever_a_network_puts_out_is_in_sight(values):
    codes = in_sight(values)
    assert codes.shape == values.shape
    poses, rest = codes[..., : 2 * POSE].reshape(2, 3, 2, POSE), codes[..., 2 * POSE :]
    assert np.abs(poses[..., :2]).max() <= 0.951 and np.abs(poses[..., 2]).max() <= 1
    held = np.clip(values[..., 2 * POSE :], -FURTHEST, FURTHEST)
    np.testing.assert_allclose(rest, np.tanh(held), atol=1e-6)
    length, turn = np.hypot(poses[..., 3], poses[..., 4]), values[..., : 2 * POSE].reshape(2, 3, 2, POSE)
    turn = np.hypot(turn[..., 3], turn[..., 4])
    assert np.all(length < 1.0001)
    np.testing.assert_allclose(length[turn > 0.3], 1.0, atol=1e-4)


def test_what_ran_out_of_reach_comes_back():
    """A hyperbolic tangent of 40 is 1, in float32, with no gradient."""
    far = jnp.full((2 * POSE + 5,), 40.0)

    def middle(values):
        place, turn = jnp.split(values[: 2 * POSE].reshape(2, POSE), [3], -1)
        return jnp.sum(jnp.square(bounded(place, turn, values[2 * POSE :])))

    slope = np.asarray(jax.jit(jax.grad(middle))(far))
    turns = [3, 4, POSE + 3, POSE + 4]
    assert np.all(np.delete(slope, turns) > 1e-3)
    at_edge = jax.jit(jax.grad(middle))(jnp.full_like(far, FURTHEST))
    np.testing.assert_allclose(np.delete(slope, turns), np.delete(at_edge, turns), rtol=1e-5)
    away = np.asarray(jax.jit(jax.grad(lambda x: -middle(x)))(far))
    assert np.all(np.delete(away, turns) == 0), "nothing goes further out"


def test_nothing_but_a_turn_is_in_the_middle_and_turned():
    values = np.zeros((2, 3, 2 * POSE + 5), np.float32)
    values[..., 3], values[..., POSE + 4] = 7.0, -0.5  # cosine of the first, sine of the second
    codes = in_sight(values)[0, 0]
    np.testing.assert_allclose(codes[: 2 * POSE], [0, 0, 0, 1, 0, 0, 0, 0, 0, -1], atol=1e-4)
    assert np.all(codes[2 * POSE :] == 0)


poses = hnp.arrays(
    np.float32, (4, 4), elements=st.floats(-1, 1, width=32)
)  # x, y, size, and half the turn in half turns


angles = st.floats(-4, 4, width=32)


@given(values=poses)
@settings(max_examples=40, deadline=None)
def test_placing_is_a_shift_a_turn_and_a_scale(values):
    """In complex numbers: a place p in the picture is at s e^(i t) (p - c) of the canvas."""
    x, y, size, half = values.T.astype(float)
    pose = np.stack([x, y, size, np.cos(np.pi * half), np.sin(np.pi * half)], -1).astype(np.float32)
    affine = np.asarray(jit_placement(pose), float)
    for place in (0.0, 1.0, -0.3 + 0.8j):
        expected = 1.5 * np.exp(0.8 * size) * np.exp(1j * np.pi * half) * (place - (x + 1j * y))
        found = affine @ [place.real, place.imag, 1.0]
        np.testing.assert_allclose(found[:, 0] + 1j * found[:, 1], expected, atol=2e-5)
    wide = 1 / np.sqrt(np.linalg.det(affine[:, :, :2]))  # of the canvas, in sides of the picture
    assert np.all((wide > 0.29) & (wide < 1.51))


@given(values=poses)
@settings(max_examples=40, deadline=None)
def test_there_and_back(values):
    """inverse(placement(pose)), before and after placement(pose), is the identity."""
    pose = np.concatenate([values[:, :3], np.cos(values[:, 3:]), np.sin(values[:, 3:])], -1)
    there = jit_placement(pose)
    back = jit_inverse(there)
    there, back = (np.pad(np.asarray(x, float), ((0, 0), (0, 1), (0, 0))) for x in (there, back))
    there[:, 2, 2] = back[:, 2, 2] = 1
    for product in (there @ back, back @ there):
        np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), (4, 3, 3)), atol=1e-5)


@given(
    motion=hnp.arrays(np.float32, (3, 2 * POSE + 2), elements=st.floats(-1, 1, width=32)), a=angles, b=angles
)
@settings(max_examples=40, deadline=None)
def test_spinning_turns_each_object_and_nothing_else(motion, a, b):
    """In complex numbers, a turn is a factor of e^(i a); a whole turn is none, and turns add up."""
    angle = np.tile(np.array([a, b], np.float32), (3, 1))
    found = np.asarray(jit_spun(motion, angle), float)
    poses, before = (x[:, : 2 * POSE].reshape(3, 2, POSE) for x in (found, motion.astype(float)))
    turn = (before[..., 3] + 1j * before[..., 4]) * np.exp(1j * angle.astype(float))
    np.testing.assert_allclose(poses[..., 3] + 1j * poses[..., 4], turn, atol=1e-5)
    np.testing.assert_array_equal(poses[..., :3], before[..., :3])
    np.testing.assert_array_equal(found[:, 2 * POSE :], motion[:, 2 * POSE :])
    np.testing.assert_allclose(jit_spun(jit_spun(motion, angle), -angle), motion, atol=1e-5)


def test_any_affine_map_back():
    maps = np.random.default_rng(0).normal(size=(50, 2, 3)).astype(np.float32)
    maps = maps[np.abs(np.linalg.det(maps[:, :, :2])) > 0.1]
    whole = np.concatenate([maps, np.broadcast_to([[[0, 0, 1]]], (len(maps), 1, 3))], 1).astype(float)
    np.testing.assert_allclose(jit_inverse(maps), np.linalg.inv(whole)[:, :2], rtol=1e-4, atol=1e-4)


@given(hnp.arrays(np.float32, (4, CAMERA), elements=st.floats(-1, 1, width=32)))
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("reach", [0.05, 0.5, 3.0])
def test_a_camera_stays_on_the_ground(reach, values):
    affine = np.asarray(jit_view(jnp.asarray(values), reach), np.float64)
    corners = np.array([[x, y, 1.0] for x in (-1, 1) for y in (-1, 1)])
    seen = corners @ affine.swapaxes(1, 2)
    assert np.abs(seen).max() <= 1.0
    assert np.all(affine[:, 0, 0] * (1 + reach) > 0.66) and np.all(affine[:, 0, 0] * (1 + reach) <= 1.001)
    assert np.all(affine[:, 0, 1] == 0) and np.array_equal(affine[:, 0, 0], affine[:, 1, 1])


def test_a_camera_goes_where_its_numbers_say():
    middle, right, below = np.asarray(jit_view(jnp.asarray([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), 0.5))
    assert np.all(middle[:, 2] == 0)
    assert right[0, 2] > 0.2 and right[1, 2] == 0 and below[1, 2] == right[0, 2]


affines = hnp.arrays(np.float32, (2, 2, 3), elements=st.floats(-3, 3, width=32))


@pytest.mark.parametrize("height, width, size", [(1, 1, 3), (6, 3, 4)])
@settings(max_examples=25, deadline=None)
@given(affine=affines)
def test_warp_is_bilinear_interpolation_of_a_canvas_on_nothing(height, width, size, affine):
    canvas = np.random.default_rng(0).normal(size=(2, height, width, 2)).astype(np.float32)
    place = (np.arange(size) + 0.5) / size * 2 - 1
    np.testing.assert_allclose(pixel_centres(size), place, atol=1e-6)
    x, y = np.meshgrid(place, place)
    seen = np.stack([x, y, np.ones_like(x)], -1) @ affine[:, None].swapaxes(-1, -2).astype(float)  # [2 S S 2]
    rows, columns = (seen[..., 1] + 1) * height / 2 - 0.5, (seen[..., 0] + 1) * width / 2 - 0.5
    result = jit_warp(canvas, affine, size)
    for n, c in np.ndindex(2, 2):
        padded = np.pad(canvas[n, ..., c].astype(float), 1)
        at = [rows[n] + 1, columns[n] + 1]
        expected = map_coordinates(padded, at, order=1, mode="constant", cval=0.0)
        np.testing.assert_allclose(result[n, ..., c], expected, atol=2e-4)


@settings(max_examples=25, deadline=None)
@given(values=hnp.arrays(np.float32, (2, 4), elements=st.floats(-2, 2, width=32)))
def test_a_map_that_does_not_turn_needs_no_gather(values):
    """Scales, also mirrored and of nothing, and shifts: as `warp`."""
    canvas = np.random.default_rng(0).normal(size=(2, 6, 3, 2)).astype(np.float32)
    affine = np.zeros((2, 2, 3), np.float32)
    affine[:, 0, 0], affine[:, 1, 1], affine[:, :, 2] = values[:, 0], values[:, 1], values[:, 2:]
    np.testing.assert_allclose(jit_straight(canvas, affine, 5), jit_warp(canvas, affine, 5), atol=1e-5)


def test_a_shifted_warp_goes_on_as_the_edge_is():
    canvas = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    whole = np.tile(np.eye(2, 3, dtype=np.float32), (2, 1, 1))
    shift = np.zeros((2, 4, 4, 2), np.float32)
    shift[1, ..., 0] = 2 * (2 / 4)  # two texels to the right
    shift[0, :2, :, 1] = -0.5 * (2 / 4)  # half a texel up, where the picture's upper half is
    result = jit_warp(canvas, whole, 4, shift)
    np.testing.assert_allclose(result[1], canvas[1][:, [2, 3, 3, 3]], atol=1e-5)
    expected = [canvas[0, 0], (canvas[0, 0] + canvas[0, 1]) / 2, canvas[0, 2], canvas[0, 3]]
    np.testing.assert_allclose(result[0], expected, atol=1e-5)


@given(hnp.arrays(np.float32, (2, 3, 4 * 2 + 5), elements=st.floats(-3, 3, width=32)))
@settings(max_examples=30, deadline=None)
def test_free_numbers_come_back_but_for_whole_turns(numbers):
    motion = np.asarray(jit_turned(numbers, 2))
    back = np.asarray(jit_unbounded(motion, 2))
    off = back - numbers
    off[..., [3, 7]] -= 2 * np.round(off[..., [3, 7]] / 2)
    assert np.abs(off).max() < 0.01
    np.testing.assert_allclose(jit_turned(back, 2), motion, atol=1e-3)


def test_between_two_that_drift_apart_nothing_jumps():
    """One stands still, the other spins: directions between them are the nearer one's, and never leap."""
    angles = np.linspace(0, 3, 301)[None]  # half turns
    spins, still = np.zeros((2, 1, 301, 5), np.float32)
    spins[..., 3], spins[..., 4] = np.cos(np.pi * angles), np.sin(np.pi * angles)
    still[..., 3], still[..., 0] = 1.0, 0.5
    mix = jax.jit(between, static_argnums=3)
    for part in (0.0, 0.3, 0.7, 1.0, 1.5):
        turn = np.asarray(mix(still, spins, jnp.float32(part), 1))[0, :, 3:]
        np.testing.assert_allclose(np.linalg.norm(turn, axis=1), 1.0, atol=1e-3)
        steps = np.abs(np.diff(turn, axis=0)).max()
        assert steps < 0.1, part
        if part in (0.0, 1.0):
            np.testing.assert_allclose(turn, (still if part == 0 else spins)[0, :, 3:], atol=1e-3)
    half = 0.95 * np.tanh(np.arctanh(0.5 / 0.95) / 2)  # of free numbers
    np.testing.assert_allclose(mix(still, spins, jnp.float32([0.5]), 1)[..., 0], half, atol=1e-3)


def test_of_whole_turns_the_nearest_is_taken():
    """170 and -170 degrees are 20 apart: what is halfway points to 180 and not to 0."""
    numbers = np.zeros((2, 9), np.float32)  # two objects of x, y, size, angle in half turns; one more number
    numbers[:, 3], numbers[:, 7], numbers[:, 8] = (170 / 180, -170 / 180), (0.1, 0.3), (5.0, -5.0)
    near = np.asarray(jax.jit(nearer, static_argnums=2)(numbers[1], numbers[0], 2))
    np.testing.assert_allclose(near[3], 190 / 180, rtol=1e-6)
    np.testing.assert_allclose(np.delete(near, 3), np.delete(numbers[1], 3), rtol=1e-6)
    same = [np.asarray(jit_turned(x, 2)) for x in (near, numbers[1])]
    np.testing.assert_allclose(*same, atol=1e-6)
