"""What there is in ShapeShow's world: shapes, colours, motions, sounds; objects; what is held out."""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vgm_jax.data.sources import _shapeshow_render as render

SHAPES = ("circle", "square", "triangle", "star", "cross", "heart", "ring")
COLOURS = {
    "red": (0.90, 0.13, 0.13),
    "green": (0.15, 0.75, 0.22),
    "blue": (0.18, 0.38, 1.00),
    "yellow": (1.00, 0.90, 0.15),
    "orange": (1.00, 0.53, 0.05),
    "purple": (0.62, 0.22, 0.90),
    "cyan": (0.15, 0.88, 0.95),
    "pink": (1.00, 0.62, 0.80),
}
MOTIONS = {  # name -> what the caption says
    "left": "moves left",
    "right": "moves right",
    "up": "moves up",
    "down": "moves down",
    "bounce": "bounces",
    "clockwise": "circles clockwise",
    "counterclockwise": "circles counterclockwise",
    "grow": "grows",
    "shrink": "shrinks",
    "spin": "spins",
    "fall": "falls",
    "launch": "speeds off",
}
SOUNDS = ("beep", "chirp", "ticks", "hiss")
BACKWARDS = {"left": "right", "up": "down", "clockwise": "counterclockwise", "grow": "shrink"}
BACKWARDS |= {b: a for a, b in BACKWARDS.items()}
# What falls or speeds off does not come back; a chirp rises, a tick begins loud.
BACKWARDS |= dict.fromkeys(("fall", "launch", "chirp", "ticks"), "none")
COLOUR_NAMES, MOTION_NAMES = tuple(COLOURS), tuple(MOTIONS)
SPINNING_SHAPES = tuple(shape for shape in SHAPES if shape not in ("circle", "ring"))

JITTER = 0.03  # largest change of a colour's channel
MAX_OBJECTS = 3

# Slots in a scene's uniform draws. A slot is never reused or moved within a version.
_BACKGROUND, _COUNT, _OBJECTS, _OBJECT_SLOTS = 0, 15, 16, 16
DRAWS = _OBJECTS + MAX_OBJECTS * _OBJECT_SLOTS


@dataclass(frozen=True)
class SceneObject:
    """One object's ground truth. Lengths are in frame sides; x to the right, y down from the top left corner.

    Attributes:
      shape, colour, motion: names, of `SHAPES`, `COLOURS` and `MOTIONS`.
      rgb: its exact colour in [0, 1]: the named colour with a small change per clip.
      x, y: float32 [T], centre of mass.
      radius: float32 [T], size; no part is further than 1.2 radii from the centre.
      angle: float32 [T], radians, positive clockwise, 0 upright.
    """

    shape: str
    colour: str
    motion: str
    rgb: tuple[float, float, float]
    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    angle: np.ndarray


@dataclass(frozen=True)
class Clip:
    """A clip with all its ground truth.

    Attributes:
      video: uint8 [T, H, W, 3].
      times: float32 [T], seconds from the clip's start.
      audio: float32 [S], mono, 16 kHz, in [-1, 1], S = round(16000 * duration); None where not asked for.
      caption: such as "a red circle moves left"; several objects joined by "and", front-most first.
      motion: index into `MOTIONS`, of the front-most object.
      sound: index into `SOUNDS`; -1 where sound is "synced" and has no class.
      motion_and_sound: motion * 4 + sound; -1 where sound is "synced".
      objects: back to front.
      events: float32 [E], sorted, seconds at which an object bounces off a wall or the floor.
    """

    video: np.ndarray
    times: np.ndarray
    audio: np.ndarray | None
    caption: str
    motion: int
    sound: int
    motion_and_sound: int
    objects: tuple[SceneObject, ...]
    events: np.ndarray


@dataclass(frozen=True)
class Plan:
    """What is drawn of one object before any time is known."""

    shape: str
    colour: str
    motion: str
    rgb: tuple[float, float, float]
    draws: list[float]  # of its trajectory

    def path(self, duration: float, times: np.ndarray) -> render.Path:
        return render.trajectory(self.motion, self.shape, self.draws, duration, times)

    @property
    def look(self) -> tuple[str, str, str]:
        return self.shape, self.colour, self.motion

    @property
    def phrase(self) -> str:
        return phrase(self.shape, self.colour, self.motion)


def phrase(shape: str, colour: str, motion: str) -> str:
    return f"{with_article(f'{colour} {shape}')} {MOTIONS[motion]}"


def with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def pick(names: Sequence, draw: float):
    """One of `names`, by a uniform draw in [0, 1)."""
    return names[int(draw * len(names))]


def plan_scene(draws: np.ndarray, several: bool) -> list[Plan]:
    """The objects of a scene, back to front, from its `DRAWS` uniform numbers; `several`: one to three."""
    count = 1 + int(draws[_COUNT] * MAX_OBJECTS) if several else 1
    slots = draws[_OBJECTS : _OBJECTS + count * _OBJECT_SLOTS].reshape(count, _OBJECT_SLOTS).tolist()
    colours, plans = list(COLOUR_NAMES), []
    for row in slots:
        plans.append(_plan(row, colours))
        colours.remove(plans[-1].colour)
    return plans


def _plan(draws: list[float], colours: list[str]) -> Plan:
    """Read one object's slots; its colour is one of `colours`."""
    motion = pick(MOTION_NAMES, draws[0])
    shape = pick(SPINNING_SHAPES if motion == "spin" else SHAPES, draws[1])
    colour = pick(colours, draws[2])
    r, g, b = COLOURS[colour]
    jitter = [JITTER * (2 * draw - 1) for draw in draws[3:6]]
    rgb = (min(r + jitter[0], 1.0), min(g + jitter[1], 1.0), min(b + jitter[2], 1.0))
    return Plan(shape, colour, motion, rgb, draws[6:12])


def caption_of(plans: Sequence[Plan]) -> str:
    return " and ".join(plan.phrase for plan in reversed(plans))


def phrases() -> Iterator[str]:
    """All that can be said of one object."""
    for shape, colour, motion in itertools.product(SHAPES, COLOUR_NAMES, MOTION_NAMES):
        yield phrase(shape, colour, motion)


def paint_scene(
    draws: np.ndarray, plans: Sequence[Plan], paths: Sequence[render.Path], size: int
) -> np.ndarray:
    """uint8 [T size size 3] of a scene whose objects are where `paths` say."""
    video = np.empty((len(paths[0].x), size, size, 3), np.uint8)
    video[:] = render.background(draws[_BACKGROUND:_COUNT].tolist(), size)
    for plan, path in zip(plans, paths, strict=True):
        render.paint(video, *render.coverage(plan.shape, path, size), plan.rgb)
    return video


@functools.lru_cache(maxsize=8)
def held_out_looks(part: float) -> frozenset[tuple[str, str, str]]:
    """Combinations (shape, colour, motion) that training does not show: the `part` with the least hashes.

    Of a greater part the lesser one is a part. Whatever the world's seed, they are the same.
    """
    looks = [
        (shape, colour, motion)
        for shape, colour, motion in itertools.product(SHAPES, COLOUR_NAMES, MOTION_NAMES)
        if motion != "spin" or shape in SPINNING_SHAPES
    ]
    looks.sort(key=lambda look: hashlib.sha256(" ".join(look).encode()).digest())
    return frozenset(looks[: round(part * len(looks))])
