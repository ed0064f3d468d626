"""Questions about ShapeShow's films, of which the question alone says nothing about the answer.

As with clips (`_shapeshow_questions`): kind, form and answer are drawn first, then a film is taken that suits
them. What shots show is drawn for each alone, and events fall on any of them: so shots may exchange their
places, events theirs, and colours their names, and whether a film suits stays the same.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

import numpy as np

from vgm_jax.data.sources import _film_plan as films
from vgm_jax.data.sources import _shapeshow_world as world
from vgm_jax.data.sources._film_plan import Event, FilmPlan, Shot
from vgm_jax.data.sources._shapeshow_questions import DIRECTIONS, NUMBERS, YES_OR_NO
from vgm_jax.data.sources._shapeshow_words import KINDS, Question
from vgm_jax.data.sources._shapeshow_world import COLOUR_NAMES, SHAPES, SOUNDS, pick

DRAWS = 8
_PLURALS = {"flash": "flashes", "pulse": "pulses", "chime": "chimes"}


def kinds_of(heard: bool) -> tuple[str, ...]:
    """What is asked about films with sound, or without."""
    return tuple(kind for kind in KINDS if heard or kind != "sound")


def ask(draws: np.ndarray, heard: bool, film: FilmPlan) -> Question | None:
    """The question of `DRAWS` uniform numbers about a film; None where they need another film."""
    kind, form, which, draw, other = draws[:5].tolist()
    kind = pick(kinds_of(heard), kind)
    events = films.EVENTS if heard else tuple(name for name in films.EVENTS if name != "chime")
    if kind == "count":
        return _count(film, pick(events, form), pick(NUMBERS[: films.MOST + 1], which))
    if kind == "order":
        return _order(film, events, form < 0.5, pick(YES_OR_NO, which), draw)
    if kind == "existence" and form < 0.5:
        return _event(film, pick(events, 2 * form), pick(YES_OR_NO, which))
    places = ("first shot", "last shot", *(f"shot with the {event}" for event in events))
    place = pick(places, draw)
    shot = _shot(film, place)
    found = shot and (len(shot.plans) == 1 or kind == "sound") and _about(kind, shot, which, other)
    if not found:
        return None
    text, answer, choices = found
    return Question(kind, f"{text} in the {place}?", answer, choices, ((shot.start, shot.end),))


def _shot(film: FilmPlan, place: str) -> Shot | None:
    """The shot that is meant; None where no single one is."""
    if place in ("first shot", "last shot"):
        return film.shots[0 if place == "first shot" else -1]
    found = [event.shot for event in film.events if place.endswith(event.kind)]
    return film.shots[found[0]] if len(found) == 1 else None


def _about(kind: str, shot: Shot, which: float, other: float) -> tuple[str, str, tuple[str, ...]] | None:
    thing = shot.plans[-1]
    if kind == "sound":
        return "what sound is there", SOUNDS[shot.sound], SOUNDS
    if kind == "colour":
        return "what colour is the object", thing.colour, COLOUR_NAMES
    if kind == "shape":
        # Circles and rings do not spin, so what spins is not any shape as likely as another.
        return None if thing.motion == "spin" else ("what shape is the object", thing.shape, SHAPES)
    if kind == "direction":
        going = thing.motion in DIRECTIONS
        return ("which way does the object move", thing.motion, DIRECTIONS) if going else None
    answer, colour = pick(YES_OR_NO, which), thing.colour
    if answer == "no":
        colour = pick([name for name in COLOUR_NAMES if name != colour], other)
    return f"is there {world.with_article(f'{colour} object')}", answer, YES_OR_NO


def _times(events: Sequence[Event]) -> tuple[tuple[float, float], ...]:
    return tuple((event.start, event.end) for event in events)


def _count(film: FilmPlan, kind: str, answer: str) -> Question | None:
    found = [event for event in film.events if event.kind == kind]
    if NUMBERS[len(found)] != answer:
        return None
    text = f"how many {_PLURALS[kind]} are there?"
    return Question("count", text, answer, NUMBERS[: films.MOST + 1], _times(found))


def _event(film: FilmPlan, kind: str, answer: str) -> Question | None:
    found = [event for event in film.events if event.kind == kind]
    if bool(found) != (answer == "yes"):
        return None
    return Question("existence", f"is there a {kind}?", answer, YES_OR_NO, _times(found))


def _order(
    film: FilmPlan, kinds: Sequence[str], of_events: bool, answer: str, draw: float
) -> Question | None:
    """Of two events, or of two objects that the film shows once, which comes first."""
    if of_events:
        counts = Counter(event.kind for event in film.events)
        once = [
            (event.kind, (event.start, event.end))
            for event in film.events
            if counts[event.kind] == 1 and event.kind in kinds
        ]
    else:
        counts = Counter((plan.colour, plan.shape) for shot in film.shots for plan in shot.plans)
        once = [
            (f"{shot.plans[0].colour} {shot.plans[0].shape}", (shot.start, shot.end))
            for shot in film.shots
            if len(shot.plans) == 1 and counts[shot.plans[0].colour, shot.plans[0].shape] == 1
        ]
    pairs = list(itertools.combinations(once, 2))
    if not pairs:
        return None
    pair = pick(pairs, draw)
    first, second = (name for name, _ in (pair if answer == "yes" else pair[::-1]))
    text = f"does the {first} come before the {second}?"
    return Question("order", text, answer, YES_OR_NO, tuple(span for _, span in pair))
