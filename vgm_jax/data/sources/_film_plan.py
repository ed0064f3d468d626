"""What happens in ShapeShow's films: shots, what each shows, and rare events; and when.

All of it is drawn before anything is rendered. Times are in seconds from the film's start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vgm_jax.data.sources import _shapeshow_world as world

SHORTEST, LONGEST = 1.0, 4.0  # seconds of a shot
DISSOLVE = 0.5  # seconds of a dissolve, around the cut
_DISSOLVES = 0.15  # chance that a cut is one
_SEVERAL = 0.5  # chance that a shot has one to three objects, and not one

# Of each kind there are none, one or two in a film, as likely as not. The picture lights up twice; the
# front-most object swells twice; two notes ring.
EVENTS = ("flash", "pulse", "chime")
MOST = 2
EVENT_SECONDS = 1.0
LEAST_SECONDS = len(EVENTS) * MOST * LONGEST  # of a film: each event has a shot of its own
# How much an event of each kind matters, over what else is in the shot.
WEIGHTS = {"flash": 0.6, "pulse": 0.5, "chime": 0.4}
_BASE, _PER_OBJECT = 0.02, 0.08  # what a shot is worth, and how much more by each object in it
_REACH = 1.5  # seconds before and after an event in which it matters, ever less

Draw = Callable[[int], np.random.Generator]


@dataclass(frozen=True)
class Event:
    """Something rare: kind is of `EVENTS`; it lasts `EVENT_SECONDS` from `start` in one shot."""

    kind: str
    shot: int
    start: float

    @property
    def end(self) -> float:
        return self.start + EVENT_SECONDS


@dataclass(frozen=True)
class Shot:
    """A clip of ShapeShow's in a film.

    Attributes:
      start, end: seconds; at a dissolve, its middle.
      first, last: when its picture begins and ends to be seen, outside of which by half a dissolve.
      draws: of its scene.
      plans: its objects, back to front.
      sound: index of its class of sound.
    """

    start: float
    end: float
    first: float
    last: float
    draws: np.ndarray
    plans: tuple[world.Plan, ...]
    sound: int

    @property
    def caption(self) -> str:
        return world.caption_of(self.plans)


@dataclass(frozen=True)
class FilmPlan:
    """Shots and events in order of time; and of each shot but the last, whether it ends in a dissolve."""

    duration: float
    shots: tuple[Shot, ...]
    events: tuple[Event, ...]
    dissolves: tuple[bool, ...]

    @property
    def caption(self) -> str:
        """What happens of note: "a flash as a red circle spins and then a chime as ..."."""
        said = (f"{world.with_article(e.kind)} as {self.shots[e.shot].caption}" for e in self.events)
        return " and then ".join(said) or "nothing happens"

    def importance(self, times: np.ndarray) -> np.ndarray:
        """How much each of [T] moments matters, in 0..1: what its shot shows, and an event in the shot."""
        shot = shot_at(self.shots, times)
        base = np.array([_BASE + _PER_OBJECT * (len(s.plans) - 1) for s in self.shots])[shot]
        for event in self.events:
            away = np.maximum(np.maximum(event.start - times, times - event.end), 0.0)
            near = 0.5 + 0.5 * np.cos(np.pi * np.minimum(away / _REACH, 1.0))
            base += np.where(shot == event.shot, WEIGHTS[event.kind] * near, 0.0)
        return base


def shot_at(shots: tuple[Shot, ...], times: np.ndarray) -> np.ndarray:
    """Numbers of the shots that [T] moments are in."""
    ends = np.array([shot.end for shot in shots[:-1]])
    return np.searchsorted(ends, times, side="right")


def plan_film(generator: np.random.Generator, duration: float) -> FilmPlan:
    """A film of `duration`, at least `LEAST_SECONDS`."""
    cuts = _cuts(generator, duration)
    count = len(cuts) - 1
    dissolves = (generator.random(count - 1) < _DISSOLVES).tolist()
    several = (generator.random(count) < _SEVERAL).tolist()
    sounds = (generator.random(count) * len(world.SOUNDS)).astype(int).tolist()
    draws = generator.random((count, world.DRAWS))
    soft = np.array([False, *dissolves, False]) * (DISSOLVE / 2)
    shots = tuple(
        Shot(
            start,
            end,
            start - float(soft[i]),
            end + float(soft[i + 1]),
            draws[i],
            tuple(world.plan_scene(draws[i], several[i])),
            sounds[i],
        )
        for i, (start, end) in enumerate(zip(cuts, cuts[1:], strict=False))
    )
    return FilmPlan(duration, shots, _events(generator, shots), tuple(dissolves))


def _cuts(generator: np.random.Generator, duration: float) -> list[float]:
    """From 0 to the film's end: shots of any length from `SHORTEST` to `LONGEST`, as likely as another."""
    lengths = SHORTEST + (LONGEST - SHORTEST) * generator.random(int(duration / SHORTEST) + 1)
    inner = np.cumsum(lengths)
    inner = inner[inner <= duration - SHORTEST].tolist()
    last = inner[-1] if inner else 0.0
    if duration - last > LONGEST:
        inner.append((last + duration) / 2)
    return [0.0, *inner, duration]


def _events(generator: np.random.Generator, shots: tuple[Shot, ...]) -> tuple[Event, ...]:
    counts = (generator.random(len(EVENTS)) * (MOST + 1)).astype(int)
    kinds = [kind for kind, count in zip(EVENTS, counts, strict=True) for _ in range(count)]
    places = generator.permutation(len(shots))[: len(kinds)].tolist()
    starts = generator.random(len(kinds)).tolist()
    events = []
    for kind, place, start in zip(kinds, places, starts, strict=True):
        room = shots[place].end - shots[place].start - EVENT_SECONDS
        events.append(Event(kind, place, shots[place].start + room * start))
    return tuple(sorted(events, key=lambda event: event.start))
