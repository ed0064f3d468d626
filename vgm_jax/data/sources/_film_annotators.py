"""People who say what matters in ShapeShow's films, each with a taste and an attention of their own.

Of film importance i(t), in 0..1, annotator a's score is

    i(t) - missed(a, e) * event(t) + taste(a, shot) + mood(a, t), within 0..1,

where each event is missed with chance `MISSES`, as if it had not been; taste is normal with deviation `TASTE`
for each shot; mood changes every `MOOD_SECONDS`, normal with deviation `MOOD`, straight in between. A
summary is of whole shots: those of the greatest sum of mean scores that `BUDGET` of the frames holds.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from vgm_jax.data.budget import frames_of, summarize
from vgm_jax.data.sources._film_plan import FilmPlan, shot_at

ANNOTATORS = 10
BUDGET = 0.15
MISSES, TASTE, MOOD, MOOD_SECONDS = 0.1, 0.05, 0.03, 2.0


def scores_of(film: FilmPlan, times: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Scores of all annotators float32 [ANNOTATORS T], in 0..1."""
    missed = generator.random((ANNOTATORS, len(film.events))) < MISSES
    taste = TASTE * generator.standard_normal((ANNOTATORS, len(film.shots)))
    knots = np.arange(0.0, film.duration + MOOD_SECONDS, MOOD_SECONDS)
    mood = MOOD * generator.standard_normal((ANNOTATORS, len(knots)))
    shot, rows = shot_at(film.shots, times), []
    for a in range(ANNOTATORS):
        events = tuple(event for event, gone in zip(film.events, missed[a], strict=True) if not gone)
        noticed = dataclasses.replace(film, events=events).importance(times)
        rows.append(noticed + taste[a][shot] + np.interp(times, knots, mood[a]))
    return np.clip(rows, 0.0, 1.0).astype(np.float32)


def summaries_of(scores: np.ndarray, shots: np.ndarray) -> np.ndarray:
    """Frames of everyone's summary uint8 [A T], from scores [A T] and shots int [S 2]."""
    chosen = (summarize(row, shots, BUDGET) for row in scores)
    return np.stack([frames_of(c, shots, scores.shape[1]) for c in chosen]).astype(np.uint8)
