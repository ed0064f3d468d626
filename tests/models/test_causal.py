import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.models.generators.causal import CausalGenerator, displacement, enlarging, likeliest, shifted

KEY = jax.random.key(0)
SMALL = dict(resolution=16, clip_fps=8.0, actions=4, patch=4, width=16, heads=2, depth=2, memory=3)
SMALL |= dict(noise_dim=4, cell=8, texture=8, reach=3)
FRAMES = 8
moved, likely = jax.jit(displacement, static_argnums=2), jax.jit(likeliest, static_argnums=1)
enlarged = jax.jit(lambda x: jax.image.resize(x, (3, 48, 48, 3), "linear"))
speeds_of = jax.jit(CausalGenerator(**SMALL | {"reach": 5}).speeds)


@pytest.fixture(scope="module")
def made(drawn):
    """A generator, its parameters, and what goes into it: frames, noise, actions of two clips."""
    generator = CausalGenerator(**SMALL)
    frames = jnp.tanh(jax.random.normal(KEY, (2, FRAMES, 16, 16, 3)))
    noise = generator.noise(jax.random.split(KEY, 2), jnp.tile(jnp.arange(FRAMES), (2, 1)))
    action = jax.random.randint(KEY, (2, FRAMES), 0, 4)
    params = drawn(jax.eval_shape(generator.init, KEY, frames, noise, action))
    return generator, params, frames, noise, action


@pytest.fixture(scope="module")
def apply(made):
    return jax.jit(made[0].apply)


@pytest.fixture(scope="module")
def step(made):
    return jax.jit(made[0].step)


def test_frames_one_by_one_are_those_made_all_at_once(made, apply, step):
    generator, params, frames, noise, action = made
    at_once, state = apply(params, frames, noise, action).frames, generator.start(params, frames[:, :1])
    for t in range(FRAMES):  # more than twice what it remembers
        state = state._replace(frame=frames[:, t], before=frames[:, max(t - 1, 0)])
        sizes = jax.tree.map(jnp.shape, state)
        state, frame, _ = step(params, state, noise[:, t], action[:, t])
        np.testing.assert_allclose(frame, at_once[:, t], atol=1e-4)
        assert jax.tree.map(jnp.shape, state) == sizes  # memory does not grow


def test_a_rollout_is_made_of_steps_on_its_own_frames(made, step):
    generator, params, frames, noise, action = made
    whole, speed = jax.jit(generator.rollout)(params, frames[:, :1], noise, action)
    assert speed.shape == (2, FRAMES, 2)
    state = generator.start(params, frames[:, :1])
    for t in range(FRAMES):
        state, frame, _ = step(params, state, noise[:, t], action[:, t])
        np.testing.assert_allclose(frame, whole[:, t], atol=1e-4)
    assert np.abs(whole).max() <= 1.0 and np.std(whole) > 0.01


def test_of_more_frames_that_are_given_it_remembers_those_before(made, apply, step):
    generator, params, frames, noise, action = made
    state = jax.jit(generator.start)(params, frames[:, :4])
    at_once = apply(params, frames, noise.at[:, :3].set(0.0), action.at[:, :3].set(-1))
    _, frame, _ = step(params, state, noise[:, 3], action[:, 3])
    np.testing.assert_allclose(frame, at_once.frames[:, 3], atol=1e-4)


def test_how_things_move_is_seen_in_the_frame_before(made, step):
    generator, params, frames, noise, action = made
    state = generator.start(params, frames[:, :1])
    _, at_rest, _ = step(params, state, noise[:, 0], action[:, 0])
    _, moving, _ = step(params, state._replace(before=frames[:, 1]), noise[:, 0], action[:, 0])
    assert np.abs(at_rest - moving).max() > 1e-3


@pytest.mark.parametrize("what", ["frame", "noise", "action"])
def test_what_comes_later_changes_nothing_before_and_something_after(made, apply, what):
    generator, params, frames, noise, action = made
    others = {"frame": (frames.at[:, 5].multiply(-1.0), noise, action)}
    others["noise"] = frames, noise.at[:, 5].add(1.0), action
    others["action"] = frames, noise, action.at[:, 5].set((action[:, 5] + 1) % 4)
    before, after = apply(params, frames, noise, action)[0], apply(params, *others[what])[0]
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    for later in (5, 6, 7):  # its own frame, and those that remember it
        assert np.abs(before[:, later] - after[:, later]).max() > 1e-5
    # A layer looks back over `memory` - 1 = 2 frames, two layers over 4; the last of these knows one before.
    others = frames.at[:, 0].multiply(-1.0), noise, action
    after = apply(params, *others)[0]
    assert np.abs(before[:, 4] - after[:, 4]).max() > 1e-7
    np.testing.assert_allclose(before[:, 6:], after[:, 6:], atol=1e-6)


def test_a_first_frame_comes_of_noise_alone(made):
    generator, params, _, noise, _ = made
    first = jax.jit(generator.first)(params, noise[:, 0])
    assert first.shape == (2, 16, 16, 3) and np.abs(first[0] - first[1]).max() > 1e-3


def test_pixels_are_taken_from_where_the_chances_say():
    canvas = jax.random.normal(KEY, (1, 2, 6, 6))
    chances = jnp.zeros((1, 2, 5, 6, 6)).at[:, 0, 4].set(1.0).at[:, 1, 1].set(0.5).at[:, 1, 2].set(0.5)
    found = jax.jit(shifted, static_argnums=2)(
        canvas, chances, 2
    )  # two to the left of here; half of it one up, half of it not
    across = np.pad(canvas, ((0, 0), (0, 0), (0, 0), (0, 2)))[..., 2:]
    up = np.pad(across, ((0, 0), (0, 0), (1, 0), (0, 0)))[:, :, :-1]
    np.testing.assert_allclose(found, 0.5 * up + 0.5 * across, atol=1e-6)


@pytest.mark.parametrize("down, across", [(0, 0), (2, -3), (-4, 1)])
def test_how_pictures_moved_is_found(down, across):
    """Also where a sharp thing in the middle stays, as a player does whom the camera follows."""
    rng = np.random.default_rng(0)
    world = np.asarray(enlarged(rng.normal(size=(3, 12, 12, 3)).astype(np.float32)))
    before = world[:, 8:40, 8:40]
    last = world[:, 8 - down : 40 - down, 8 - across : 40 - across]
    player = np.sign(rng.normal(size=(3, 3, 3, 3)))
    for stays in (False, True):
        if stays:
            before, last = before.copy(), last.copy()
            before[:, 14:17, 14:17] = last[:, 14:17, 14:17] = player
        found = moved(last, before, 5)
        assert (np.argmax(found, 1) == (5 + down) * 11 + 5 + across).all()
        np.testing.assert_allclose(likely(found, 5), [[across, down]] * 3, atol=0.5)
    speeds = speeds_of(np.stack([before, last, before], 1))
    np.testing.assert_allclose(speeds, [[[across, down], [-across, -down]]] * 3, atol=0.5)


def test_displacement_is_by_squared_differences():
    last, before = np.random.default_rng(0).uniform(size=(2, 2, 12, 14, 3)).astype(np.float32)
    inside, apart = before[:, 2:-2, 2:-2], np.zeros((2, 5, 5))
    for down in range(-2, 3):
        for across in range(-2, 3):
            seen = last[:, 2 + down : 10 + down, 2 + across : 12 + across]
            apart[:, 2 + down, 2 + across] = np.square(seen - inside).mean((1, 2, 3)) + 1e-4
    expected = 1 - apart / apart.mean((1, 2), keepdims=True)
    np.testing.assert_allclose(moved(last, before, 2).reshape(2, 5, 5), expected, atol=1e-4)
    still = moved(0 * last, 0 * before, 2)
    np.testing.assert_allclose(still, np.zeros((2, 25)), atol=1e-6)  # nothing can be told


def test_cells_are_enlarged_as_images_are():
    cells = jnp.arange(4.0)
    np.testing.assert_allclose(enlarging(4, 2) @ cells, [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3], atol=1e-6)


def test_a_reach_beyond_the_picture_is_told():
    with pytest.raises(ValueError, match="model.generator.reach=8 pixels must be less than half of the 16"):
        CausalGenerator(**SMALL | {"reach": 8}).init(KEY, jnp.zeros((1, 1, 16, 16, 3)), jnp.zeros((1, 1, 4)))


@pytest.mark.parametrize("changes", [{"patch": 2}, {"patch": 12, "resolution": 48}, {"resolution": 18}])
def test_settings_that_do_not_fit_are_told(changes):
    generator = CausalGenerator(**SMALL | changes)
    side = generator.resolution
    with pytest.raises(ValueError, match="model.generator.patch=.*power of two.*data.size"):
        generator.init(KEY, jnp.zeros((1, 1, side, side, 3)), jnp.zeros((1, 1, 4)), None)
