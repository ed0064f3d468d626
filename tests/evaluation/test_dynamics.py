"""What is read off how clips move, against clips of which it is known."""

import numpy as np
import pytest

from vgm_jax.evaluation.dynamics import NAMES, dynamics

RNG = np.random.default_rng(0)
FRAMES, SIDE = 12, 32


def of(*clips):
    """`NAMES` -> the figure of each clip [T H W] in grey levels."""
    video = np.repeat(np.clip(np.round(np.stack(clips)), 0, 255).astype(np.uint8)[..., None], 3, -1)
    return dict(zip(NAMES, np.asarray(dynamics(video)).T, strict=True))


def test_flicker():
    fade = np.linspace(0, 220, FRAMES)[:, None, None] * np.ones((SIDE, SIDE))
    noise = RNG.normal(128, 20, (FRAMES, SIDE, SIDE))
    every_other = np.where(np.arange(FRAMES) % 2, 200, 50)[:, None, None] * np.ones((SIDE, SIDE))
    fading, noisy, flickering = of(fade, noise, every_other)["flicker"]
    assert fading < 0.01
    assert noisy == pytest.approx(3**0.5, rel=0.02)
    assert flickering == pytest.approx(2.0)


def test_return():
    """Of what goes to and fro, as much as it comes back."""
    x = np.arange(SIDE)

    def moving(places):
        return np.stack([np.tile(200 * np.exp(-0.5 * ((x - p) / 4) ** 2), (SIDE, 1)) for p in places])

    out = moving(np.linspace(8, 16, 13))
    to_and_fro = moving(8 + 8 * np.sin(np.pi * np.arange(13) / 12))
    half_way = moving([*np.linspace(8, 16, 9), *np.linspace(15, 12, 4)])
    away, back, half = of(out, to_and_fro, half_way)["return"]
    assert away == 0 and back == pytest.approx(1.0) and 0.1 < half < 0.9


def test_sticking():
    """Texture on the screen while light moves over it; texture that moves with what it is on."""
    texture = RNG.normal(0, 20, (SIDE, 4 * SIDE))
    light = np.stack([np.tile(np.linspace(60, 60 + 8 * t, SIDE), (SIDE, 1)) for t in range(FRAMES)])
    screen = light + texture[:, :SIDE]
    carried = np.stack([frame + texture[:, 3 * t : 3 * t + SIDE] for t, frame in enumerate(light)])
    stuck, free = of(screen, carried)["sticking"]
    assert stuck > 0.95 and free < 2 / FRAMES


def test_of_what_stands_still_nothing_is_said():
    still = np.tile(RNG.integers(0, 256, (1, SIDE, SIDE)), (FRAMES, 1, 1))
    assert all((figure == 0).all() for figure in of(still).values())
    assert all((figure == 0).all() for figure in of(RNG.integers(0, 256, (2, SIDE, SIDE))).values())


def test_a_clip_is_not_judged_by_its_neighbours():
    first, second = RNG.integers(0, 256, (2, FRAMES, SIDE, SIDE))
    both, alone = of(first, second), of(second)
    for name in NAMES:
        assert both[name][1] == pytest.approx(alone[name][0], rel=1e-5)
