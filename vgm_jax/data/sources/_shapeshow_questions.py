"""Questions about ShapeShow's clips, of which the question alone says nothing about the answer.

The kind of a question, its form and what its answer is to be are drawn first, whatever the clip; then a clip
that suits them is taken. Whether one does is the same when colours, or shapes, exchange their names. So, of
all the texts of a form, each is as likely with any answer as with any other. Shapes are exchangeable only
where nothing spins, which circles and rings do not: so nothing does, where shapes matter.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from vgm_jax.data.sources import _shapeshow_render as render
from vgm_jax.data.sources._shapeshow_words import KINDS, PLACE, Question
from vgm_jax.data.sources._shapeshow_world import (
    COLOUR_NAMES,
    MOTIONS,
    SHAPES,
    SOUNDS,
    Plan,
    pick,
    with_article,
)

DRAWS = 8
DIRECTIONS = ("left", "right", "up", "down")
YES_OR_NO = ("yes", "no")
NUMBERS = ("zero", "one", "two", "three")
PLURALS = {shape: shape + ("es" if shape == "cross" else "s") for shape in SHAPES}
_SIDES = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}  # axis (x, y) and sign
# Of motions that go the same way, none alone tells which object is meant.
_ALIKE = {("left", "launch"), ("right", "launch"), ("down", "fall")}
_ALIKE |= {pair[::-1] for pair in _ALIKE}
_APART = 0.15  # frame sides between what is on one side of the other
# Of what is asked beside: kinds that are tried for each question, draws for each of them; and kinds that come
# up more often, for fewer scenes suit them, and they are learnt last.
_ROUNDS, _TRIES, _OFTEN = 2, 5, ("direction", PLACE, "order", PLACE, "order")
_LOOKS, _SEEN = 9, 4  # moments of a clip that are looked at, and of those, when an object must be in the open


def kinds_of(several: bool, heard: bool) -> tuple[str, ...]:
    """What is asked about clips of one object, or of `several`; of sound, where its class is heard."""
    out = set() if several else {"count", "order"}
    return tuple(kind for kind in KINDS if kind not in out | (set() if heard else {"sound"}))


def ask(
    draws: np.ndarray, kinds: Sequence[str], plans: Sequence[Plan], duration: float, sound: int
) -> Question | None:
    """The question of `DRAWS` uniform numbers about a scene; None where they need another scene.

    Args:
      draws: of the question, the same for every scene that is tried.
      kinds: `kinds_of` the source.
      plans: of the objects, back to front.
      duration: of the clip, seconds.
      sound: index of its class of sound.
    """
    return _ask(draws, kinds, plans, duration, sound, _in_the_open(plans, duration))


def ask_more(
    generator: np.random.Generator, count: int, kinds: Sequence[str], plans: Sequence[Plan], duration: float
) -> list[Question]:
    """Up to `count` questions about a scene that is there already, of `kinds` but sound, and of places.

    For learning alone: among questions that a scene suits, some answers are more frequent than others.
    """
    kinds = [kind for kind in kinds if kind != "sound"] + list(_OFTEN)
    seen, found = _in_the_open(plans, duration), []
    if seen.sum(1).min() < _SEEN:
        kinds = [PLACE]
    first = int(generator.integers(len(kinds)))
    for i, tries in enumerate(generator.random((_ROUNDS * count, _TRIES, DRAWS))):
        kind = kinds[(first + i) % len(kinds)]
        asked = (_ask(draws, (kind,), plans, duration, -1, seen) for draws in tries)
        found += [question for question in asked if question and question not in found][:1]
        if len(found) == count:
            break
    return found


def _ask(
    draws: np.ndarray,
    kinds: Sequence[str],
    plans: Sequence[Plan],
    duration: float,
    sound: int,
    seen: np.ndarray,
) -> Question | None:
    kind, *rest = draws.tolist()
    kind = pick(kinds, kind)
    if kind == "sound":
        found = "what sound is there?", SOUNDS[sound], SOUNDS
    elif kind != PLACE and seen.sum(1).min() < _SEEN:
        return None
    elif kind in ("order", PLACE):
        found = {"order": _order, PLACE: _place}[kind](plans, seen, duration, *rest[:3])
    elif kind != "colour" and any(plan.motion == "spin" for plan in plans):
        return None
    else:
        found = _ASKED[kind](plans, *rest[:4])
    return found and Question(kind, *found, ((0.0, duration),))


def _in_the_open(plans: Sequence[Plan], duration: float) -> np.ndarray:
    """bool [objects _LOOKS]: at which moments of the clip nothing before an object hides much of it.

    As if all were circles, so that whether an object is seen says nothing about its shape.
    """
    seen = np.ones((len(plans), _LOOKS), bool)
    if len(plans) > 1:
        times = np.linspace(0, duration, _LOOKS)
        paths = [render.trajectory(plan.motion, "circle", plan.draws, duration, times) for plan in plans]
        for (i, back), (_, front) in itertools.combinations(enumerate(paths), 2):
            seen[i] &= np.hypot(front.x - back.x, front.y - back.y) > 1.2 * front.radius + 0.05
    return seen


def _name(plans: Sequence[Plan], among: Sequence[Plan], form: str, draw: float) -> tuple[str, Plan] | None:
    """What one of `among` is called in a question, by a draw; None where none of them has that name alone.

    `form`: "object", "shape", "colour" or "motion", by which it is called.
    """

    def alike(plan: Plan, other: Plan) -> bool:
        if form == "motion" and (plan.motion, other.motion) in _ALIKE:
            return True
        return form == "object" or getattr(plan, form) == getattr(other, form)

    alone = [plan for plan in among if sum(alike(plan, other) for other in plans) == 1]
    if not alone:
        return None
    plan = pick(alone, draw)
    names = {"object": "object", "shape": plan.shape, "colour": f"{plan.colour} object"}
    return names.get(form) or f"object that {MOTIONS[plan.motion]}", plan


def _count(plans: Sequence[Plan], form: float, which: float, draw: float, _: float):
    if form < 0.5:
        answer = pick(NUMBERS[1:], which)
        right = NUMBERS[len(plans)] == answer
        return ("how many objects are there?", answer, NUMBERS[1:]) if right else None
    answer = pick(NUMBERS[:3], which)
    shown = [plan.shape for plan in plans]
    shapes = [shape for shape in SHAPES if NUMBERS[shown.count(shape)] == answer]
    return shapes and (f"how many {PLURALS[pick(shapes, draw)]} are there?", answer, NUMBERS[:3])


def _colour(plans: Sequence[Plan], form: float, which: float, *_: float):
    named = _name(plans, plans, pick(("object", "shape", "motion"), form), which)
    return named and (f"what colour is the {named[0]}?", named[1].colour, COLOUR_NAMES)


def _shape(plans: Sequence[Plan], form: float, which: float, *_: float):
    named = _name(plans, plans, pick(("object", "colour", "motion"), form), which)
    return named and (f"what shape is the {named[0]}?", named[1].shape, SHAPES)


def _direction(plans: Sequence[Plan], form: float, which: float, draw: float, _: float):
    answer = pick(DIRECTIONS, which)
    going = [plan for plan in plans if plan.motion == answer]
    named = _name(plans, going, pick(("object", "shape", "colour"), form), draw)
    return named and (f"which way does the {named[0]} move?", answer, DIRECTIONS)


def _existence(plans: Sequence[Plan], form: float, which: float, draw: float, other: float):
    answer = pick(YES_OR_NO, which)
    shown = [(plan.colour, plan.shape) for plan in plans]
    colour, shape = pick(shown, draw)
    form = pick(("colour", "shape", "both"), form)
    if answer == "no":
        # What nearly is there: of a pair only one word is wrong.
        swap_colour = form == "colour" or (form == "both" and other < 0.5)
        other = other * 2 % 1 if form == "both" else other
        if swap_colour:
            taken = [c for c, s in shown if form == "colour" or s == shape]
            colour = pick([c for c in COLOUR_NAMES if c not in taken], other)
        else:
            taken = [s for c, s in shown if form == "shape" or c == colour]
            shape = pick([s for s in SHAPES if s not in taken], other)
    thing = {"colour": f"{colour} object", "shape": shape, "both": f"{colour} {shape}"}[form]
    return f"is there {with_article(thing)}?", answer, YES_OR_NO


def _order(
    plans: Sequence[Plan], seen: np.ndarray, duration: float, form: float, which: float, draw: float
) -> tuple[str, str, tuple[str, ...]] | None:
    """Of which of two objects is on one side of the other at first."""
    if not seen[:, 0].all():
        return None
    side, answer = pick(tuple(_SIDES), form), pick(YES_OR_NO, which)
    axis, sign = _SIDES[side]
    at = [sign * float(plan.path(duration, np.zeros(1))[axis][0]) for plan in plans]
    pairs = [(i, j) for i, j in itertools.permutations(range(len(at)), 2) if at[i] > at[j] + _APART]
    if not pairs:
        return None
    one, other = pick(pairs, draw) if answer == "yes" else pick(pairs, draw)[::-1]
    names = [f"the {plans[i].colour} object" for i in (one, other)]
    return f"does {names[0]} begin {side} {names[1]}?", answer, YES_OR_NO


def _place(
    plans: Sequence[Plan], seen: np.ndarray, duration: float, form: float, which: float, _: float
) -> tuple[str, str, tuple[str, ...]] | None:
    """Which way of the picture's middle, or of another object, an object begins."""
    at = [np.array([v[0] for v in plan.path(duration, np.zeros(1))[:2]]) for plan in plans]
    shown = [i for i in range(len(at)) if seen[i, 0]]
    if form < 0.3:
        if not shown:
            return None
        one = pick(shown, which)
        away, text = at[one] - 0.5, f"which way does the {plans[one].colour} object begin?"
    else:
        pairs = list(itertools.permutations(shown, 2))
        if not pairs:
            return None
        one, other = pick(pairs, which)
        away = at[one] - at[other]
        text = f"which way of the {plans[other].colour} object does the {plans[one].colour} object begin?"
    axis = int(np.abs(away).argmax())
    if abs(away[axis]) - abs(away[1 - axis]) < _APART / 2:
        return None
    return text, (("left", "right"), ("up", "down"))[axis][int(away[axis] > 0)], DIRECTIONS


_ASKED: dict[str, Callable] = {
    "count": _count,
    "colour": _colour,
    "shape": _shape,
    "direction": _direction,
    "existence": _existence,
}
