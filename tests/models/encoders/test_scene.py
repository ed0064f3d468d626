"""What is read off clips, by one small encoder that has all there is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.models.encoders.scene import (
    FASTEST,
    HARMONICS,
    RATES,
    STILL,
    SceneEncoder,
    centres,
    spinning,
)
from vgm_jax.models.encoders.seeking import FILLED
from vgm_jax.models.scene import POSE, SIZE, Codes, motion_dim, spun, view

SMALL = dict(widths=(8, 8), points=2, glimpse=8, form_width=8, hidden=8, content_dim=6, form_dim=5)
OBJECTS, CAMERA, FREE = 2, 0.5, 3
SIZES = dict(**SMALL, objects=OBJECTS, camera=CAMERA, free=FREE)
ENCODER, SPINNING = SceneEncoder(16, **SIZES), SceneEncoder(16, **SIZES, spins=True)
M = motion_dim(OBJECTS, CAMERA, FREE)
B, K = 2, 3
TIMES = jnp.asarray([[0.0, 0.25, 0.75]] * B)


def shapes_of(encoder):
    frames = jax.ShapeDtypeStruct((B, K, encoder.resolution, encoder.resolution, 3), jnp.float32)
    return jax.eval_shape(encoder.init_with_output, jax.random.key(0), frames, TIMES)


def noise(seed):
    return np.random.default_rng(seed).uniform(-1, 1, (B, K, 16, 16, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def params(drawn):
    """Nothing seems to spin."""
    inner = drawn(shapes_of(SPINNING)[1])["params"]
    turns = {name: jax.tree.map(jnp.zeros_like, x) for name, x in inner.items() if name.startswith("turns")}
    return {"params": inner | turns}


@pytest.fixture(scope="module")
def read(params):
    """`read(frames, params=params) -> Codes`"""
    apply = jax.jit(ENCODER.apply)
    return lambda frames, params=params: Codes(*map(np.asarray, apply(params, frames, TIMES)))


# Maps to places


def test_centres_of_mass():
    """Against sums over pixels, in double precision."""
    maps = np.random.default_rng(0).normal(size=(3, 4, 6, 2)).astype(np.float32)
    found = centres(jnp.asarray(maps))
    weight = np.exp(4.0 * maps.astype(float))
    weight /= weight.sum((1, 2), keepdims=True)
    y, x = np.meshgrid((np.arange(4) + 0.5) / 2 - 1, (np.arange(6) + 0.5) / 3 - 1, indexing="ij")
    across, down = ((weight * c[..., None]).sum((1, 2)) for c in (x, y))
    from_middle = np.hypot(
        x[None, ..., None] - across[:, None, None], y[None, ..., None] - down[:, None, None]
    )
    spread = np.sqrt((weight * from_middle**2).sum((1, 2)) + 1e-4)
    np.testing.assert_allclose(found, 2 * np.concatenate([across, down, spread], -1), atol=1e-4)


def test_a_sharp_map_is_a_place():
    maps = np.zeros((1, 8, 8, 1), np.float32)
    maps[0, 1, 6] = 50.0
    x, y, spread = np.asarray(centres(jnp.asarray(maps)))[0] / 2
    assert (x, y) == pytest.approx((6.5 / 4 - 1, 1.5 / 4 - 1), abs=1e-4) and spread < 0.02


def discs(places, radius):
    """Frames [B K 16 16 3] of a bright disc at each of [B K 2] on a dark ground, edges a pixel wide."""
    at = (np.arange(16) + 0.5) / 8 - 1
    far = np.hypot(at - places[..., 0, None, None], at[:, None] - places[..., 1, None, None])
    inside = np.clip(8 * (radius - far) + 0.5, 0, 1)[..., None]
    return (-0.7 + inside * np.asarray([1.5, 0.9, 0.2])).astype(np.float32)


PLACES = np.array([[[0.5, 0.4], [0.4, -0.5], [0.6, 0.1]]] * B)


def test_an_object_is_first_sought_where_it_is():
    """Before anything is learnt: within a twentieth of the side, of its size within a quarter."""
    encoder = SceneEncoder(16, **SMALL, salient=True)
    places = np.random.default_rng(0).uniform(-0.6, 0.6, (B, K, 2))
    seek = jax.jit(lambda frames: encoder.init_with_output(jax.random.key(1), frames, TIMES)[0].motion)
    for radius in (0.25, 0.4):
        poses = np.asarray(seek(discs(places, radius)))
        np.testing.assert_allclose(poses[..., :2], places, atol=0.1)
        sought = FILLED / (SIZE[0] * np.exp(SIZE[1] * poses[..., 2]))
        np.testing.assert_allclose(sought, radius, rtol=0.25)


def test_several_objects_stay_near_to_where_they_are_sought(params):
    """Whatever is learnt: an eighth of a side, for else one is soon where it is not in the way."""
    encoder = SceneEncoder(16, **SIZES, salient=True)
    frames = np.maximum(discs(PLACES, 0.3), discs(-PLACES, 0.2))
    shapes = jax.eval_shape(encoder.init, jax.random.key(0), frames, TIMES)["params"]
    rng = np.random.default_rng(1)
    wild = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), jnp.float32), shapes)
    wild["trust"] = jnp.ones((OBJECTS, 1))
    poses = np.asarray(jax.jit(encoder.apply)({"params": wild}, frames, TIMES).motion)
    found = np.stack([poses[..., POSE * i : POSE * i + 2] for i in range(OBJECTS)], 2)
    real = np.stack([PLACES, -PLACES], 2)
    off = min(np.abs(found - x).max() for x in (real, real[:, :, ::-1]))
    assert 0.1 < off < 0.3


# Codes


def test_codes_are_such_as_a_generator_paints(read):
    codes = read(noise(1))
    assert codes.content.shape == (B, 6)
    assert codes.form.shape == (B, OBJECTS, 5)
    assert codes.motion.shape == (B, K, M)
    for values in (codes.content, codes.form):
        np.testing.assert_allclose(np.mean(np.square(values), -1), 1.0, atol=1e-3)
    assert np.abs(codes.motion).max() <= 1.0001
    poses = codes.motion[..., : POSE * OBJECTS].reshape(-1, POSE)
    assert np.abs(poses[:, :2]).max() <= 0.951
    np.testing.assert_allclose(np.hypot(poses[:, 3], poses[:, 4]), 1.0, atol=1e-3)


def test_what_it_is_comes_from_all_frames_and_where_from_each(read):
    frames = noise(1)
    codes, order = read(frames), [2, 0, 1]
    shuffled = read(frames[:, order])
    np.testing.assert_allclose(shuffled.content, codes.content, atol=1e-4)
    np.testing.assert_allclose(shuffled.form, codes.form, atol=1e-4)
    own = np.r_[: POSE * OBJECTS, -FREE:0]  # a camera's place is one among all frames
    np.testing.assert_allclose(shuffled.motion[..., own], codes.motion[:, order][..., own], atol=1e-4)
    assert np.abs(np.diff(codes.motion, axis=1)).max() > 0.01
    other = frames.copy()
    other[:, 1] = noise(2)[:, 1]
    for found, before in zip(read(other), codes, strict=True):
        assert np.abs(found - before).max() > 0.01


def test_clips_are_apart(read):
    frames = noise(1)
    codes, swapped = read(frames), read(np.stack([frames[1], noise(2)[1]]))
    for found, before in zip(swapped, codes, strict=True):
        np.testing.assert_allclose(found[0], before[1], atol=1e-4)
        assert np.abs(before[0] - before[1]).max() > 0.01


# Glimpses


def looking(params, free):
    """The parameters, but all objects are taken to be where `free` numbers [POSE] put them."""
    inner = params["params"]
    last = inner["motion"]["Dense_1"]["Dense_0"]
    bias = np.zeros(M, np.float32)
    bias[: POSE * OBJECTS] = np.tile(free, OBJECTS)
    last = {"kernel": jnp.zeros_like(last["kernel"]), "bias": jnp.asarray(bias)}
    motion = inner["motion"] | {"Dense_1": {"Dense_0": last}}
    return {"params": inner | {"motion": motion}}


def at(x, y, turn=(0.0, 0.0)):
    """Free numbers of a small object there."""
    return np.array([np.arctanh(x / 0.95), np.arctanh(y / 0.95), 1.0, *turn], np.float32)


def test_a_glimpse_follows_the_object(read, params):
    """An object elsewhere, looked at there, has the same form; looked at where it was, it has not."""
    frames = np.full((B, K, 16, 16, 3), -0.3, np.float32)
    frames[:, :, 4:10, 3:9] = noise(3)[:, :, :6, :6]
    before = read(frames, looking(params, at(-0.25, -0.125)))
    np.testing.assert_allclose(before.motion[..., :2], [[[-0.25, -0.125]] * K] * B, atol=1e-5)
    moved = np.roll(frames, (3, 4), (2, 3))
    after = read(moved, looking(params, at(-0.25 + 4 / 8, -0.125 + 3 / 8)))
    np.testing.assert_allclose(after.form, before.form, atol=2e-3)
    assert np.abs(read(moved, looking(params, at(-0.25, -0.125))).form - before.form).max() > 0.1


def test_a_glimpse_is_upright(read, params):
    """A quarter of a turn of the picture, and of the object's turn."""
    frames = noise(4)
    before = read(frames, looking(params, at(0.0, 0.0)))
    np.testing.assert_allclose(before.motion[0, 0, 3:5], [1, 0], atol=1e-5)
    turned = np.rot90(frames, axes=(2, 3))
    after = read(turned, looking(params, at(0.0, 0.0, turn=(-4.0, 4.0))))
    np.testing.assert_allclose(after.motion[0, 0, 3:5], [0, 1], atol=1e-5)
    np.testing.assert_allclose(after.form, before.form, atol=2e-3)
    assert np.abs(read(turned, looking(params, at(0.0, 0.0))).form - before.form).max() > 0.1


def test_poses_are_not_learned_from_forms(params):
    def form(part, params):
        return jnp.sum(jnp.sin(ENCODER.apply({"params": params | part}, noise(1), TIMES).form))

    inner = params["params"]
    slope = jax.jit(jax.grad(form))({name: inner[name] for name in ("motion", "form0")}, inner)
    assert all(np.all(np.asarray(leaf) == 0) for leaf in jax.tree.leaves(slope["motion"]))
    assert max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(slope["form0"])) > 1e-3


# What scrolls


def scrolled(places, seed=0, size=32, blocks=16):
    """Frames [1 K size size 3] of one ground, whose upper left corner is at places [K 2], x and y, of it."""
    rng = np.random.default_rng(seed)
    ground = rng.uniform(-1, 1, (blocks, blocks, 3)).repeat(5, 0).repeat(5, 1)
    return np.stack([ground[y : y + size, x : x + size] for x, y in places])[None].astype(np.float32)


def test_cells_are_laid_where_a_camera_looks():
    """Of a ground that clips scroll over in their own ways, what two of them see is in the same cells."""
    fields = SMALL | {"widths": (8, 8, 8), "grid": 32, "content_dim": 4096}
    encoder = SceneEncoder(64, **fields, objects=0, camera=1.0)
    ways = np.array([[[20, 28], [28, 28], [36, 28]], [[24, 20], [28, 28], [32, 36]]])
    ways = np.concatenate([ways, ways[:1] + [8, 0]])  # as the first, but of what is beside it
    frames = jnp.asarray(np.concatenate([scrolled(way, size=64, blocks=24) for way in ways]))
    times = jnp.tile(TIMES[:1], (len(ways), 1))
    codes, _ = jax.jit(encoder.init_with_output)(jax.random.key(0), frames, times)
    middle = view(codes.motion.reshape(-1, 3), 1.0)[:, :, 2].reshape(len(ways), K, 2)
    for clip, moved in zip(64 * middle, ways, strict=True):  # in texels of the ground
        np.testing.assert_allclose(clip - clip.mean(0), moved - moved.mean(0), atol=0.3)
    one, other, beside = np.asarray(codes.content).reshape(3, 32, 32, -1)[:, 12:20]
    alike = lambda a, b: np.corrcoef(a.ravel(), b.ravel())[0, 1]  # noqa: E731
    assert alike(one[:, 12:20], other[:, 12:20]) > 0.95
    assert alike(one[:, 14:20], beside[:, 12:18]) > 0.95, "two cells, of four texels each, further"
    assert alike(one[:, 12:18], beside[:, 12:18]) < 0.5


def test_what_is_seen_in_cells_is_the_frame_next_to_the_middle():
    """And how others differ from it is how things move."""
    encoder = SceneEncoder(
        16, **SMALL | dict(objects=0, free=4, grid=8, content_dim=128, keyed=True, window=0.6)
    )
    assert not encoder.separable and encoder.clone(keyed=False).separable
    frames, others = noise(0), noise(1)
    codes, params = jax.jit(encoder.init_with_output)(jax.random.key(0), frames, TIMES)
    read = jax.jit(encoder.apply)
    beside = read(params, np.stack([others[:, 0], frames[:, 1], others[:, 2]], 1), TIMES)
    np.testing.assert_allclose(beside.content, codes.content, atol=1e-6)
    np.testing.assert_allclose(beside.motion[:, 1], codes.motion[:, 1], atol=1e-6)
    key = read(params, np.stack([frames[:, 0], others[:, 1], frames[:, 2]], 1), TIMES)
    assert float(jnp.abs(key.content - codes.content).max()) > 0.1
    for moved in (beside, key):
        assert float(jnp.abs(moved.motion - codes.motion)[:, [0, 2]].max()) > 0.01
    late = read(params, frames, TIMES + 0.5)  # then the first is
    assert float(jnp.abs(late.content - codes.content).max()) > 0.1


# Spinning


def said(angles, symmetry=1):
    """What frames say that show an object at these angles [B K], or a part of `symmetry` of a turn on."""
    order = np.arange(1, HARMONICS + 1)
    weight = np.where(order % symmetry == 0, 3.0, 0.0)
    phase = angles[..., None] * order
    return np.concatenate([weight * np.cos(phase), weight * np.sin(phase)], -1)[:, :, None]


@pytest.mark.parametrize("symmetry", [1, 3, 4, 5])
@pytest.mark.parametrize("rate", [-0.95, -0.55, 0.0, 0.6, 0.75])
def test_frames_together_say_how_fast_it_spins(symmetry, rate):
    """Of each of which a square's could be at four angles: sixteen, at moments of a second."""
    times = np.arange(16, dtype=np.float32)[None] / 16
    rates = np.linspace(-FASTEST, FASTEST, 81, dtype=np.float32)[None]
    turns = jnp.asarray(said(2 * np.pi * rate * times, symmetry), jnp.float32)
    best = rates[0, int(np.argmax(spinning(turns, times, rates)[0, 0]))]
    assert best == pytest.approx(rate, abs=1e-6)


def test_spinning_is_a_sum_over_frames_and_harmonics():
    """In double precision, a frame and a harmonic at a time; and standing still comes first."""
    rng = np.random.default_rng(0)
    turns, rates = rng.normal(size=(B, K, OBJECTS, 2 * HARMONICS)), np.array([[-0.5, 0.0, 0.25, 0.7]] * B)
    expected = np.zeros((B, OBJECTS, 4))
    for n in range(HARMONICS):
        for k in range(K):
            angle = (n + 1) * 2 * np.pi * np.asarray(TIMES, float)[:, k, None] * rates
            for o in range(OBJECTS):
                expected[:, o] += turns[:, k, o, n, None] * np.cos(angle)
                expected[:, o] += turns[:, k, o, HARMONICS + n, None] * np.sin(angle)
    expected[..., 1] += STILL
    found = spinning(jnp.asarray(turns, jnp.float32), TIMES, jnp.asarray(rates, jnp.float32))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_what_spins_is_read_turned(params):
    """As far as the rate and each time say, and no other number of the codes is another for it."""
    look = jax.jit(lambda p, frames: SPINNING.apply(p, frames, TIMES, method="look"))
    inner = params["params"]
    # The same whatever it shows: at 0.25 s a quarter on, at 0.75 s three quarters, so one turn a second.
    bias = jnp.asarray(said(np.array([[np.pi / 2]]))[0, 0, 0], jnp.float32)
    turning = inner | {"turns0": {"Dense_0": inner["turns0"]["Dense_0"] | {"bias": bias}}}
    still, found = look(params, noise(1)), look({"params": turning}, noise(1))
    np.testing.assert_array_equal(still.codes.motion, still.still.motion)
    poses = np.asarray(still.still.motion)[..., : 2 * POSE].reshape(B, K, 2, POSE)
    np.testing.assert_allclose(poses[..., 3:], np.broadcast_to([1, 0], (B, K, 2, 2)), atol=1e-5)
    for a, b in zip(found.still, still.still, strict=True):
        np.testing.assert_array_equal(a, b)
    rates = jnp.tile(jnp.linspace(-FASTEST, FASTEST, RATES), (B, 1))
    rate = rates[0, jnp.argmax(spinning(found.turns, TIMES, rates)[:, 1], -1)]
    angle = np.stack([2 * np.pi * TIMES * rate[:, None]] * 2, -1)  # of both objects it is said
    assert float(jnp.abs(rate).min()) > 0.1
    np.testing.assert_allclose(found.codes.motion, spun(still.still.motion, angle), atol=1e-4)


# Shapes and arithmetic


@pytest.mark.parametrize(
    "resolution, fields",
    [
        (16, {"objects": 0}),
        (16, {"objects": 0, "salient": True, "spins": True}),
        (16, {"objects": 3, "salient": True}),
        (16, {"objects": 3, "free": 4}),
        (32, {"camera": 1.0, "widths": (8, 8, 8)}),
        (16, {"dtype": "bfloat16", "salient": True}),
        (16, {"objects": 0, "free": 4, "grid": 8, "content_dim": 128}),
        (16, {"objects": 0, "free": 4, "grid": 8, "content_dim": 128, "camera": 1.0}),
        (16, {"objects": 0, "free": 4, "grid": 8, "content_dim": 128, "keyed": True}),
    ],
)
def test_whatever_it_has(resolution, fields):
    encoder = SceneEncoder(resolution, **SMALL | fields)
    codes, params = shapes_of(encoder)
    size = motion_dim(encoder.objects, encoder.camera, encoder.free)
    expected = [(B, encoder.content_dim), (B, encoder.objects, 5), (B, K, size)]
    assert [x.shape for x in codes] == expected
    assert {x.dtype for x in jax.tree.leaves((codes, params))} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    "fields",
    [
        {"grid": 3, "content_dim": 18},
        {"grid": 4, "content_dim": 6},
        {"grid": 4, "content_dim": 16, "camera": 1.0},
    ],
)
def test_cells_that_nothing_tells_of(fields):
    sides = "16, 8" if "camera" in fields else "8, 4"
    with pytest.raises(ValueError, match=f"grid={fields['grid']} must be one of .* {sides}, and content_dim"):
        shapes_of(SceneEncoder(16, **SMALL | fields))
