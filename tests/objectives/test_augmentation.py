import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.objectives import OBJECTIVES, Shown, Strength, margin
from vgm_jax.objectives.augmentation import BRIGHTNESS, CHANGES, CONTRAST, CUT, SATURATION, SHIFT

ALL = tuple(CHANGES)


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def noise(count, frames=3, height=16, width=16, seed=0):
    return jax.random.uniform(
        jax.random.key(seed), (count, frames, height, width, 3), minval=-1.0, maxval=1.0
    )


@pytest.mark.parametrize("name", CHANGES)
def test_all_frames_alike_of_a_clips_key_alone(name):
    still = jnp.repeat(noise(9, frames=1), 3, 1)
    show = jax.jit(Shown((name,)))
    shown = show(still, keys(9))
    np.testing.assert_allclose(shown, jnp.repeat(shown[:, :1], 3, 1), atol=1e-6)
    np.testing.assert_allclose(show(still[4:], keys(9)[4:]), shown[4:], atol=1e-5)
    assert sum(not np.array_equal(a, b) for a, b in zip(shown, still, strict=True)) > 6


def test_p_is_the_chance_of_each_change():
    frames = noise(400, frames=1, height=8, width=8)
    for p in (0.0, 0.3, 1.0):
        shown = np.asarray(jax.jit(Shown(("colour",), p=p))(frames, keys(400)))
        changed = np.any(shown != frames, axis=(1, 2, 3, 4))
        assert abs(changed.mean() - p) < (0.07 if 0 < p < 1 else 1e-9)
    # The state's p, where there is one; all three alone with probability (1 - p)^3.
    strength = Strength(jnp.float32(0.3), jnp.float32(0.0))
    shown = np.asarray(jax.jit(Shown(ALL, target=0.6))(frames, keys(400), strength))
    alone = np.all(shown == frames, axis=(1, 2, 3, 4)).mean()
    assert abs(alone - 0.7**3) < 0.1  # a move by no pixel leaves a clip alone as well


def test_nothing_named_is_nothing_done():
    frames = noise(2)
    assert np.array_equal(Shown(())(frames, keys(2)), frames)


def test_colours_are_those_of_the_paper():
    """Brightness up to 1/2, saturation 0..2 about each pixel's mean, contrast 1/2..3/2 about the clip's."""
    frames = noise(300)
    shown = np.asarray(jax.jit(Shown(("colour",)))(frames, keys(300)), np.float64)
    x = np.asarray(frames, np.float64)
    axes = (1, 2, 3, 4)
    added = shown.mean(axes) - x.mean(axes)
    grey, grey_shown = x.mean(-1), shown.mean(-1)
    contrast = grey_shown.std((1, 2, 3)) / grey.std((1, 2, 3))
    saturation = (shown - grey_shown[..., None]).std(axes) / (x - grey[..., None]).std(axes) / contrast
    for found, low, high in (
        (added, -BRIGHTNESS, BRIGHTNESS),
        (contrast, *CONTRAST),
        (saturation, *SATURATION),
    ):
        assert low - 1e-4 <= found.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < found.max() <= high + 1e-4
        assert abs(found.mean() - (low + high) / 2) < 0.07 * (high - low)
    mean = x.mean(axes, keepdims=True)
    expected = grey[..., None] + saturation[:, None, None, None, None] * (x - grey[..., None])
    expected = mean + contrast[:, None, None, None, None] * (expected - mean)
    expected += added[:, None, None, None, None]
    np.testing.assert_allclose(shown, expected, atol=1e-4)


def moves(count):
    """[count 2], by how many rows and columns single bright pixels were moved, and the pixels seen."""
    frames = jnp.zeros((count, 1, 16, 24, 3)).at[:, :, 8, 12].set(1.0)
    shown = np.asarray(jax.jit(Shown(("translation",)))(frames, keys(count)))[:, 0, :, :, 0]
    assert np.array_equal(shown.sum((1, 2)), np.ones(count))
    return np.argwhere(shown)[:, 1:] - (8, 12)


def test_translations_are_uniform_over_an_eighth_and_grey_comes_in():
    found = moves(1500)
    for axis, most in ((0, round(SHIFT * 16)), (1, round(SHIFT * 24))):
        values, counts = np.unique(found[:, axis], return_counts=True)
        assert values.tolist() == list(range(-most, most + 1))
        assert counts.min() > 0.7 * 1500 / (2 * most + 1)
    ones = jax.jit(Shown(("translation",)))(jnp.ones((1500, 1, 16, 24, 3)), keys(1500))
    kept = np.asarray(ones)[:, 0, :, :, 0].sum((1, 2))
    assert np.array_equal(kept, (16 - np.abs(found[:, 0])) * (24 - np.abs(found[:, 1])))


def test_cutouts_are_squares_of_half_a_side_anywhere():
    shown = np.asarray(jax.jit(Shown(("cutout",)))(jnp.ones((800, 2, 16, 16, 3)), keys(800)))
    assert set(np.unique(shown)) == {0.0, 1.0}
    cut = shown[:, 0, :, :, 0] == 0
    rows, columns = cut.any(2).sum(1), cut.any(1).sum(1)
    assert np.array_equal(cut.sum((1, 2)), rows * columns)
    whole = round(CUT * 16)
    assert rows.max() == columns.max() == whole and 1 <= rows.min() <= whole // 2
    assert abs((rows == whole).mean() - (16 - whole + 1) / 17) < 0.08
    for axis in (1, 2):
        places = {tuple(line) for line in cut.any(axis).tolist()}
        assert places == {place[::-1] for place in places} and len(places) == 17, "no side is favoured"


def test_gradients_are_those_of_finite_differences():
    """Of a curved function of what is shown, in float64-like accuracy: changes are linear, so it is exact."""
    frames, direction = noise(2, frames=2, height=8, width=8), noise(2, frames=2, height=8, width=8, seed=1)
    weight = noise(2, frames=2, height=8, width=8, seed=2)

    @jax.jit
    def seen(x):
        shown = Shown(ALL)(x, keys(2, 3))
        return jnp.sum(weight * shown + 0.5 * shown**2)

    slope = float(jnp.vdot(jax.jit(jax.grad(seen))(frames), direction))
    h = 0.05
    difference = float((seen(frames + h * direction) - seen(frames - h * direction)) / (2 * h))
    assert slope == pytest.approx(difference, rel=2e-3) and abs(slope) > 0.1


# What cannot leak: the operator on distributions has an inverse (arXiv 2006.06676, sec. 3.1).


def test_moves_up_to_three_quarters_of_the_time_can_be_undone():
    """The matrix from where a spot is to where it is seen, or gone, has an inverse."""
    found, side = moves(4000)[:, 0], 16
    share = {d: np.mean(found == d) for d in range(-2, 3)}
    seen = np.zeros((side + 1, side + 1))
    seen[side, side] = 1.0  # gone
    for place in range(side):
        for d, probability in share.items():
            seen[place + d if 0 <= place + d < side else side, place] += probability
    conditions = [np.linalg.cond((1 - p) * np.eye(side + 1) + p * seen) for p in (0.0, 0.4, 0.75)]
    assert conditions == sorted(conditions) and conditions[2] < 30
    values = np.linalg.eigvals(0.25 * np.eye(side + 1) + 0.75 * seen)
    assert np.abs(values).min() > 0.05


def test_colours_up_to_three_quarters_of_the_time_can_be_undone():
    """They add to brightness and the logarithms of contrast and saturation: (1 - p) + p phi has no zero."""
    frames = noise(4000, frames=1, height=4, width=4)
    shown = np.asarray(jax.jit(Shown(("colour",)))(frames, keys(4000)), np.float64)
    x = np.asarray(frames, np.float64)
    added = (shown - x).mean((1, 2, 3, 4))
    grey, grey_shown = x.mean(-1), shown.mean(-1)
    contrast = np.log(grey_shown.std((1, 2, 3)) / grey.std((1, 2, 3)))
    colour, colour_shown = (a - a.mean(-1, keepdims=True) for a in (x, shown))
    saturation = np.log(colour_shown.std((1, 2, 3, 4)) / colour.std((1, 2, 3, 4))) - contrast
    line = np.arange(-20.0, 20.25, 0.5)
    phi = [np.exp(1j * line[:, None] * draws).mean(1) for draws in (added, contrast, saturation)]
    phi = phi[0][:, None, None] * phi[1][None, :, None] * phi[2][None, None, :]  # drawn apart
    assert np.abs(0.25 + 0.75 * phi).min() > 0.04
    assert np.abs(phi).min() < 0.01, "at p = 1 there is no such bound"


# Adaptive strength


def test_strength_moves_every_few_updates_by_a_fixed_step():
    """Towards more where the mean of the signs since the last move is above the target."""
    shown = Shown(ALL, target=0.6, images=1000, every=4)
    state, found = shown.init(), []
    signs = [1, 1, 1, 1] * 3 + [0, 1, 1, 0.5] + [-1] * 16
    move = jax.jit(shown.moved, static_argnums=3)
    for step, sign in enumerate(signs):
        state = move(state, jnp.float32(sign), jnp.int32(step), 25)
        found.append(float(state.p))
    moved = [0.1, 0.2, 0.3, 0.4, 0.3, 0.2, 0.1, 0.0]  # a tenth: 4 updates of 25 clips, of 1000
    np.testing.assert_allclose(found[3::4], moved, atol=1e-6)
    np.testing.assert_allclose(found, np.repeat([0.0, *moved], 4)[1 : len(found) + 1], atol=1e-6)


def test_strength_reaches_one_in_the_images_it_is_given():
    shown, step = Shown(ALL, target=0.6, images=3200, every=2), 0
    state, move = shown.init(), jax.jit(shown.moved, static_argnums=3)
    while state.p < 1 - 1e-4:
        state, step = move(state, np.float32(1.0), np.int32(step), 16), step + 1
    assert step * 16 == 3200
    state = move(move(state, np.float32(1.0), np.int32(0), 16), np.float32(1.0), np.int32(1), 16)
    assert state.p == 1.0, "and no further"


def test_margins_know_which_logits_have_a_zero():
    real, fake = jnp.array([0.5, -1.0, 3.0]), jnp.array([1.0, -2.0, 3.0])
    for name, objective in OBJECTIVES.items():
        relative = name in ("relativistic", "wasserstein")
        assert np.array_equal(margin(objective, real, fake), real - fake if relative else real)


@pytest.mark.parametrize(
    "settings, message",
    [
        (
            {"names": ("colour", "blur")},
            "objective.augment has 'blur', which is unknown or there twice; choose",
        ),
        ({"names": ("colour", "colour")}, "objective.augment has 'colour', which is unknown or there twice"),
        ({"names": ALL, "p": 1.5}, "objective.augment_p=1.5 must be in 0..1"),
        ({"names": ALL, "target": -0.2}, "augment_target=-0.2 in .0, 1.,"),
        ({"names": ALL, "every": 0}, "augment_every=0 at least 1"),
        ({"names": (), "target": 0.6}, "objective.augment_target=0.6 needs objective.augment"),
    ],
)
def test_errors_name_the_key(settings, message):
    with pytest.raises(ValueError, match=message):
        Shown(**settings)
