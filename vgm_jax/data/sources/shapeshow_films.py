"""ShapeShow's long form: films of shots, hard cuts and dissolves, with rare events, annotators and sound.

A film is a row of shots of one to four seconds (about 24 in a minute), each a scene of ShapeShow's with its
own sound. Most end in a hard cut, about one in seven in a dissolve of half a second. Rare events, of which
there are none to two of each kind, matter: the picture lights up (flash), the front-most object swells
(pulse), two notes ring (chime); each lasts a second, in a shot of its own. Importance, annotators and
questions: `_film_plan`, `_film_annotators`, `_film_questions`.

Every film is a pure function of (`VERSION`, seed, split, index) and its duration, frames / fps; what it shows
does not depend on the size or the frame rate.
"""

from __future__ import annotations

import itertools
import math
import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from vgm_jax.data.sources import _film_annotators as annotators
from vgm_jax.data.sources import _film_plan as plans
from vgm_jax.data.sources import _film_questions as questions
from vgm_jax.data.sources import _shapeshow_sound as sounds
from vgm_jax.data.sources import _shapeshow_world as world
from vgm_jax.data.sources._film_plan import Event, FilmPlan, Shot
from vgm_jax.data.sources._shapeshow_words import ANSWERS, KINDS, VOCABULARY, Question
from vgm_jax.data.text import Vocabulary

VERSION = 1
SPLITS = ("train", "validation", "test")
FEWER = 8  # films for training to one for validation, and one for test
TEXT_LENGTH = 64  # words of a film's caption's row, which may lose its end
EVENTS, BUDGET, ANNOTATORS = plans.EVENTS, annotators.BUDGET, annotators.ANNOTATORS

_LIGHT, _SWELL = 0.7, 0.35  # how far a flash goes to white; how much an object swells
_CHIME = ((0.0, 1568.0), (0.3, 2093.0))  # seconds into it, and hertz, of its notes
_LOUD, _RINGS = 0.45, 0.2  # amplitude of a note, and seconds in which it falls to 1/e
_SOFTER = 0.5  # of the shots' sounds
# Of keys and streams of random numbers; a film's key differs from those of all clips.
_FILMS = 1 << 16
_PLAN, _SOUND, _PEOPLE, _QUESTION = range(4)


@dataclass(frozen=True)
class Film:
    """A film with all its ground truth; its parts can also be had by name, as from a dict.

    Attributes:
      video: uint8 [T, H, W, 3].
      times: float32 [T], seconds from the film's start.
      audio: float32 [S], mono, 16 kHz, in [-1, 1], S = round(16000 * duration).
      shots: int32 [N, 2], the first frame of each shot and the one after its last; at a dissolve, its middle.
      shot: int32 [T], the shot that a frame is in.
      ends: float32 [N], seconds at which shots end.
      dissolves: bool [N - 1], whether the cut at a shot's end is one.
      captions: of the shots, such as "a red circle moves left".
      sounds: int32 [N], index into ShapeShow's `SOUNDS`.
      caption: of the film: its events, and what is shown at each.
      events: in order of time.
      importance: float32 [T], in 0..1: how much a frame matters, without anybody's noise.
      user_scores: float32 [ANNOTATORS, T], in 0..1: what annotators say of that.
      user_summary: uint8 [ANNOTATORS, T]: 1 where an annotator's summary has the frame.
    """

    video: np.ndarray
    times: np.ndarray
    audio: np.ndarray
    shots: np.ndarray
    shot: np.ndarray
    ends: np.ndarray
    dissolves: np.ndarray
    captions: tuple[str, ...]
    sounds: np.ndarray
    caption: str
    events: tuple[Event, ...]
    importance: np.ndarray
    user_scores: np.ndarray
    user_summary: np.ndarray

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)


class ShapeShowFilms:
    """A random access source of ShapeShow's films.

    Args:
      split: train, validation or test; they share no film.
      size: height and width in pixels, at least 8.
      frames: of a film.
      fps: frames per second, at least 1; a film lasts frames / fps seconds, at least
        `_film_plan.LEAST_SECONDS`.
      seed: of the world, 0 <= seed < 2**64.
      audio: whether items have "audio".
      text: whether items have "text", their caption's first `TEXT_LENGTH` words in ShapeShow's vocabulary.
      question: whether items have a "question" of `QUESTION_LENGTH` words, its "answer" and its "kind". Films
        are then such that the question alone says nothing about the answer, and are other ones than without.
        What is heard is asked of films with `audio`.
      films: how many the training split has; the other two have an eighth of it.

    Raises:
      ValueError: for an unknown split, or a number out of its range.
    """

    def __init__(
        self,
        split: str = "train",
        *,
        size: int = 32,
        frames: int = 480,
        fps: float = 8.0,
        seed: int = 0,
        audio: bool = False,
        text: bool = False,
        question: bool = False,
        films: int = 512,
    ):
        if split not in SPLITS:
            raise ValueError(f"ShapeShow's films: split must be one of {', '.join(SPLITS)}; got {split!r}")
        self.split, self.size, self.frames = split, operator.index(size), operator.index(frames)
        self.fps, self.seed, self.films = float(fps), operator.index(seed), operator.index(films)
        self.audio, self.text, self.question = bool(audio), bool(text), bool(question)
        if self.size < 8:
            raise ValueError(f"ShapeShow's films: size must be at least 8 pixels; got {size}")
        if not (self.fps >= 1 and math.isfinite(self.fps)):
            raise ValueError(f"ShapeShow's films: fps must be at least 1; got {fps}")
        self.duration = self.frames / self.fps
        if not self.duration >= plans.LEAST_SECONDS:
            raise ValueError(
                f"ShapeShow's films: frames / fps must be at least {plans.LEAST_SECONDS:g} seconds, such as "
                f"data.frames=480, data.fps=8; got {frames} frames at {self.fps:g} a second"
            )
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"ShapeShow's films: seed must be at least 0 and under 2**64; got {seed}")
        if not 1 <= self.films < 2**63:
            raise ValueError(f"ShapeShow's films: films must be at least 1; got {films}")
        self._times = np.arange(self.frames) / self.fps
        self._key = np.array([self.seed, VERSION << 32 | _FILMS | SPLITS.index(split)], np.uint64)

    def __len__(self) -> int:
        return self.films if self.split == "train" else -(-self.films // FEWER)

    def __repr__(self) -> str:
        shown = ((k, v) for k, v in self.description.items() if k not in ("source", "version"))
        return f"ShapeShowFilms({', '.join(f'{name}={value!r}' for name, value in shown)})"

    @property
    def description(self) -> dict[str, Any]:
        """Everything that determines the films, fit for JSON."""
        settings = ("split", "size", "frames", "fps", "seed", "audio", "text", "question", "films")
        named = {name: getattr(self, name) for name in settings}
        return {"source": "shapeshow_films", "version": VERSION} | named

    @property
    def protocol(self) -> dict[str, Any]:
        """What figures of summaries depend on, fit for JSON."""
        return {
            "dataset": "shapeshow_films",
            "f_score": "mean over annotators",
            "reduce": "mean",
            "budget": BUDGET,
            "videos": len(self),
            "annotators": [ANNOTATORS],
        }

    @property
    def vocabulary(self) -> Vocabulary:
        """Of captions and questions: ShapeShow's."""
        return VOCABULARY

    def answer_names(self) -> tuple[str, ...]:
        """Names of the values of "answer"."""
        return ANSWERS

    def kind_names(self) -> tuple[str, ...]:
        """Names of the values of "kind": what questions are about."""
        return KINDS

    def __getitem__(self, index: int) -> dict[str, Any]:
        """An item: "video" uint8 [T H W 3], "times" and "importance" float32 [T], "shot" int32 [T].

        And, if asked, "audio" float32 [S]; "text" int32 [TEXT_LENGTH]; "question" int32 [QUESTION_LENGTH],
        "answer" and "kind" int32.

        Raises:
          IndexError: for an index under 0 or not under `len`.
        """
        index = self._check(index)
        film, question = self._plan(index)
        item = {
            "video": self._video(film),
            "times": self._times.astype(np.float32),
            "importance": film.importance(self._times).astype(np.float32),
            "shot": plans.shot_at(film.shots, self._times).astype(np.int32),
        }
        if self.audio:
            item["audio"] = self._audio(index, film)
        if self.text:
            item["text"] = VOCABULARY.encode(film.caption, TEXT_LENGTH)
        if question:
            item |= question.item
        return item

    def film(self, index: int) -> Film:
        """A film with sound and all ground truth, whatever is asked of items. Raises as `[index]`."""
        index = self._check(index)
        film, _ = self._plan(index)
        ends = np.array([shot.end for shot in film.shots])
        stops = np.append(np.searchsorted(self._times, ends[:-1], side="left"), self.frames)
        shots = np.stack([np.append(0, stops[:-1]), stops], 1).astype(np.int32)
        scores = annotators.scores_of(film, self._times, self._generator(index, _PEOPLE))
        return Film(
            video=self._video(film),
            times=self._times.astype(np.float32),
            audio=self._audio(index, film),
            shots=shots,
            shot=plans.shot_at(film.shots, self._times).astype(np.int32),
            ends=ends.astype(np.float32),
            dissolves=np.array(film.dissolves, bool),
            captions=tuple(shot.caption for shot in film.shots),
            sounds=np.array([shot.sound for shot in film.shots], np.int32),
            caption=film.caption,
            events=film.events,
            importance=film.importance(self._times).astype(np.float32),
            user_scores=scores,
            user_summary=annotators.summaries_of(scores, shots),
        )

    def caption(self, index: int) -> str:
        """The film's caption alone, without drawing anything. Raises as `[index]`."""
        return self._plan(self._check(index))[0].caption

    def asked(self, index: int) -> Question:
        """The question about a film. Raises as `[index]`, and ValueError where no questions are asked."""
        question = self._plan(self._check(index))[1]
        if question is None:
            raise ValueError("ShapeShow's films: no questions are asked of them: question=False")
        return question

    def _check(self, index: int) -> int:
        index = operator.index(index)
        if not 0 <= index < len(self):
            raise IndexError(f"ShapeShow's films, {self.split}: index {index} is not in 0..{len(self) - 1}")
        return index

    def _generator(self, index: int, stream: int, part: int = 0) -> np.random.Generator:
        counter = np.array([0, index, stream, part], np.uint64)
        return np.random.Generator(np.random.Philox(key=self._key, counter=counter))

    def _plan(self, index: int) -> tuple[FilmPlan, Question | None]:
        """The first of a film's plans that suits its question."""
        about = self._generator(index, _QUESTION).random(questions.DRAWS) if self.question else None
        for attempt in itertools.count():
            film = plans.plan_film(self._generator(index, _PLAN, attempt), self.duration)
            if about is None:
                return film, None
            question = questions.ask(about, self.audio, film)
            if question:
                return film, question

    # ------------------------------------------------------------------ picture
    def _video(self, film: FilmPlan) -> np.ndarray:
        video = np.empty((self.frames, self.size, self.size, 3), np.uint8)
        for number, shot in enumerate(film.shots):
            first, stop = np.searchsorted(self._times, (shot.first, shot.last), side="left").tolist()
            times = self._times[first:stop]
            if not len(times):
                continue
            events = [event for event in film.events if event.shot == number]
            shown = self._shot(shot, times, events)
            # What dissolves into this shot is there already.
            part = (times - shot.first) / plans.DISSOLVE if shot.first < shot.start else np.ones(len(times))
            soft = int(np.searchsorted(part, 1.0, side="left"))
            if soft:
                mix = part[:soft, None, None, None].astype(np.float32)
                before = video[first : first + soft].astype(np.float32)
                shown[:soft] = (before + mix * (shown[:soft] - before) + np.float32(0.5)).astype(np.uint8)
            video[first:stop] = shown
        return video

    def _shot(self, shot: Shot, times: np.ndarray, events: list[Event]) -> np.ndarray:
        """uint8 [T H W 3] of a shot at [T] seconds of the film."""
        paths = [plan.path(shot.last - shot.first, times - shot.first) for plan in shot.plans]
        for event in events:
            if event.kind == "pulse":
                radius = paths[-1].radius * (1 + _SWELL * _twice(times - event.start))
                paths[-1] = paths[-1]._replace(radius=radius)
        video = world.paint_scene(shot.draws, shot.plans, paths, self.size)
        for event in events:
            if event.kind == "flash":
                light = (_LIGHT * _twice(times - event.start)).astype(np.float32)[:, None, None, None]
                video = (video + light * (255 - video.astype(np.float32)) + np.float32(0.5)).astype(np.uint8)
        return video

    # ------------------------------------------------------------------ sound
    def _audio(self, index: int, film: FilmPlan) -> np.ndarray:
        rate = sounds.SAMPLE_RATE
        audio = np.empty(sounds.num_samples(self.duration), np.float32)
        for number, shot in enumerate(film.shots):
            first, stop = round(shot.start * rate), round(shot.end * rate)
            generator = self._generator(index, _SOUND, number)
            heard = sounds.class_sound(world.SOUNDS[shot.sound], generator, (stop - first) / rate)
            audio[first:stop] = np.float32(_SOFTER) * heard
        for event in film.events:
            if event.kind == "chime":
                for after, hertz in _CHIME:
                    first = round((event.start + after) * rate)
                    seconds = np.arange(round((plans.EVENT_SECONDS - after) * rate)) / rate
                    note = np.exp(-seconds / _RINGS) * np.sin(2 * np.pi * hertz * seconds)
                    audio[first : first + len(note)] += (_LOUD * note[: len(audio) - first]).astype(
                        np.float32
                    )
        return np.clip(audio, -1, 1, out=audio)


def _twice(since: np.ndarray) -> np.ndarray:
    """[T] seconds since an event's start -> from 0 to 1 and back, twice within it; 0 outside."""
    part = since / plans.EVENT_SECONDS
    return np.where((part >= 0) & (part <= 1), np.sin(2 * np.pi * part) ** 2, 0.0)
