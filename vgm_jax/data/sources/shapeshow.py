"""ShapeShow: a synthetic world of moving shapes with sound, for learning and testing without a download.

Coloured shapes move over still, muted backgrounds; a clip comes with its sound, caption, class and full
ground truth. Every clip is a pure function of (`VERSION`, seed, split, index): any clip can be made at any
time, in any order, in any process. What a clip shows does not depend on the size, frame rate or sound one
asks for, and motion is a function of time in seconds: the same duration at twice the frame rate shows the
same positions at the times both have.

- 7 shapes, 8 colours, 12 motions, 4 sounds. Shape, colour, motion and sound are uniform and independent, with
  one exception: a circle or ring that spins looks still, so a spinning object's shape is uniform over the
  other five.
- left, right, up, down, grow, shrink, fall and launch span the clip, whatever its duration. Circling (about
  one turn a second), spinning (about 3/4) and bouncing (under a second from wall to wall) go at their own
  rate; only in clips shorter than a second does bouncing go faster, so that every clip has a bounce.
- Objects stay whole inside the frame, `MARGIN` away from its edge, which is where walls and floor are.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from vgm_jax.data.sources import _shapeshow_questions as questions
from vgm_jax.data.sources import _shapeshow_render as render
from vgm_jax.data.sources import _shapeshow_sound as sounds
from vgm_jax.data.sources import _shapeshow_world as world
from vgm_jax.data.sources._shapeshow_layout import layout_of
from vgm_jax.data.sources._shapeshow_words import (
    ALL_KINDS,
    ANSWERS,
    KINDS,
    QUESTION_LENGTH,
    TEXT_LENGTH,
    VOCABULARY,
    Question,
    rows_of,
)
from vgm_jax.data.sources._shapeshow_world import COLOURS, MOTIONS, SHAPES, SOUNDS, Clip, Plan, SceneObject
from vgm_jax.data.text import Vocabulary

__all__ = [
    "ANSWERS",
    "COLOURS",
    "KINDS",
    "LABELS",
    "MARGIN",
    "MOTIONS",
    "QUESTION_LENGTH",
    "SAMPLE_RATE",
    "SHAPES",
    "SOUNDS",
    "SPLITS",
    "TEXT_LENGTH",
    "VERSION",
    "VOCABULARY",
    "Clip",
    "Question",
    "SceneObject",
    "ShapeShow",
]

VERSION = 1
SPLITS = {"train": 2**20, "validation": 8192, "test": 8192}  # name -> default length
VARIANTS = ("single", "multi")
SOUND_MODES = ("classes", "synced")
LABELS = ("motion", "sound", "both", "look")
SAMPLE_RATE = sounds.SAMPLE_RATE

MARGIN = render.MARGIN  # frame sides
NOVEL = "novel"  # the split of what is held out
_SETTINGS = (
    "split",
    "size",
    "frames",
    "fps",
    "seed",
    "variant",
    "sound",
    "audio",
    "label",
    "track",
    "length",
)
# Settings that are younger than some descriptions; these name them only where they are not as follows.
_YOUNGER = {"text": False, "question": False, "held_out": 0.0, "more_questions": 0, "layout": 0}
# Streams of a clip, told apart in Philox's counter.
_PICTURE, _SOUND, _QUESTION, _MORE = 0, 1, 2, 3


def _choice(key: str, value: str, names: Any) -> str:
    if value not in tuple(names):
        raise ValueError(f"ShapeShow: {key} must be one of {', '.join(names)}; got {value!r}")
    return value


class ShapeShow:
    """A random access source of ShapeShow clips.

    Args:
      split: train, validation or test; they share no clip.
      size: height and width in pixels, at least 8.
      frames: per clip, at least 1.
      fps: frames per second; a clip lasts frames / fps seconds.
      seed: of the world, 0 <= seed < 2**64.
      variant: "single", one object; "multi", one to three objects of different colours that pass in front of
        one another, and the label is the front-most object's.
      sound: "classes", a sound of one of `SOUNDS`, independent of the picture; "synced", a click at every
        bounce and a tone that follows the front-most object's height, 220 Hz at the bottom to 880 Hz at the
        top.
      audio: whether items have "audio".
      label: what an item's "label" is: "motion", "sound", "both" (motion * 4 + sound), or "look"
        ((shape * 8 + colour) * 12 + motion).
      track: whether items have "track": where the front-most object is.
      length: how many clips the split has; default 2**20 for train, 8192 for the others.
      text: whether items have "text", their caption's `TEXT_LENGTH` words in `VOCABULARY`.
      question: whether items have a "question" of `QUESTION_LENGTH` words, its "answer" and its "kind". Clips
        are then such that the question alone says nothing about the answer, and are other ones than without.
        Order (where objects are to one another) and count are asked of "multi", sound of what is heard:
        of "classes", with `audio`.
      more_questions: rows of further questions about the clip, "more_question" [N, CLIP_QUESTION_LENGTH] with
        "more_answer" and "more_kind" [N], -1 where fewer suit it; of all kinds but sound, and of one more,
        "place": which way of the middle, or of another object, an object begins. They are for learning: the
        clip was not chosen for them, so some of their answers are more frequent than others.
      layout: cells a side of items' "layout" [T, cells, cells, 4], what is where (`layout_of`); 0: without.
      held_out: part, up to 1/2, of the combinations of shape, colour and motion that no object of train,
        validation and test is; a fourth split, "novel", has only clips whose front-most object, and so whose
        label, is one of them. 0: there is no such split. See `held_out_looks`.

    Raises:
      ValueError: for an unknown name, a sound label where sound is synced, a number out of its range, or
        `question` with `held_out`, which would tell something about answers.
    """

    layout_kinds = len(SHAPES), len(COLOURS)  # of each property in "layout"

    def __init__(
        self,
        split: str = "train",
        *,
        size: int = 32,
        frames: int = 16,
        fps: float = 16.0,
        seed: int = 0,
        variant: str = "single",
        sound: str = "classes",
        audio: bool = False,
        label: str = "motion",
        track: bool = False,
        length: int | None = None,
        text: bool = False,
        question: bool = False,
        held_out: float = 0.0,
        more_questions: int = 0,
        layout: int = 0,
    ):
        self.held_out = float(held_out)
        if not 0 <= self.held_out <= 0.5:
            raise ValueError(f"ShapeShow: held_out must be in 0..0.5; got {held_out}")
        splits = SPLITS | ({NOVEL: SPLITS["test"]} if self.held_out else {})
        self.split = _choice("split", split, splits)
        self.variant = _choice("variant", variant, VARIANTS)
        self.sound = _choice("sound", sound, SOUND_MODES)
        self.label = _choice("label", label, LABELS)
        if sound == "synced" and label in ("sound", "both"):
            raise ValueError(
                f"ShapeShow: sound='synced' has no sound classes: label must be motion or look; got {label!r}"
            )
        self.size, self.frames, self.fps = operator.index(size), operator.index(frames), float(fps)
        self.seed, self.audio, self.track = operator.index(seed), bool(audio), bool(track)
        self.length = splits[split] if length is None else operator.index(length)
        self.text, self.question = bool(text), bool(question)
        self.more_questions, self.layout = operator.index(more_questions), operator.index(layout)
        if self.more_questions < 0 or (self.more_questions and not self.question):
            raise ValueError(
                f"ShapeShow: more_questions={more_questions} must be at least 0, and 0 without question=True"
            )
        if self.question and self.held_out:
            raise ValueError("ShapeShow: question=True needs all combinations, so held_out=0")
        if self.layout < 0:
            raise ValueError(f"ShapeShow: layout must be at least 0 cells; got {layout}")
        if self.size < 8:
            raise ValueError(f"ShapeShow: size must be at least 8 pixels; got {size}")
        if self.frames < 1:
            raise ValueError(f"ShapeShow: frames must be at least 1; got {frames}")
        if not (self.fps > 0 and math.isfinite(self.fps)):
            raise ValueError(f"ShapeShow: fps must be positive; got {fps}")
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"ShapeShow: seed must be at least 0 and under 2**64; got {seed}")
        if not 0 <= self.length < 2**63:
            raise ValueError(f"ShapeShow: length must be at least 0 and under 2**63; got {length}")
        self.duration = self.frames / self.fps
        self._times = np.arange(self.frames) / self.fps
        self._key = np.array([self.seed, VERSION << 32 | (*SPLITS, NOVEL).index(split)], np.uint64)

    def __len__(self) -> int:
        return self.length

    def __repr__(self) -> str:
        shown = ((k, v) for k, v in self.description.items() if k not in ("source", "version"))
        return f"ShapeShow({', '.join(f'{name}={value!r}' for name, value in shown)})"

    @property
    def description(self) -> dict[str, Any]:
        """Everything that determines the clips, fit for JSON."""
        younger = tuple(name for name, value in _YOUNGER.items() if getattr(self, name) != value)
        settings = {name: getattr(self, name) for name in _SETTINGS + younger}
        return {"source": "shapeshow", "version": VERSION} | settings

    def class_names(self) -> tuple[str, ...]:
        """Names of the values of "label", such as "left", "beep", or "left, beep"."""
        if self.label == "motion":
            return tuple(MOTIONS)
        if self.label == "sound":
            return SOUNDS
        if self.label == "look":
            looks = (f"{colour} {shape}" for shape in SHAPES for colour in COLOURS)
            return tuple(f"{look}, {motion}" for look in looks for motion in world.MOTION_NAMES)
        return tuple(f"{motion}, {sound}" for motion in world.MOTION_NAMES for sound in SOUNDS)

    @property
    def num_classes(self) -> int:
        return len(self.class_names())

    @property
    def vocabulary(self) -> Vocabulary:
        """Of captions and questions: `VOCABULARY`."""
        return VOCABULARY

    def answer_names(self) -> tuple[str, ...]:
        """Names of the values of "answer"."""
        return ANSWERS

    def kind_names(self) -> tuple[str, ...]:
        """Names of the values of "kind": what questions are about."""
        return ALL_KINDS if self.more_questions else KINDS

    @property
    def reverse_labels(self) -> np.ndarray:
        """int32 [num_classes]: of which class a clip is when it runs backwards; -1: of none."""
        place = {name: i for i, name in enumerate(self.class_names())}
        turned = (", ".join(world.BACKWARDS.get(part, part) for part in name.split(", ")) for name in place)
        return np.array([place.get(name, -1) for name in turned], np.int32)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """An item: "video" uint8 [T, H, W, 3], "times" float32 [T], "label" int32 and, if asked, "audio" [S].

        And, if asked, "track" float32 [T, 3], x, y (centre of mass) and radius, as in `SceneObject`; "text"
        int32 [TEXT_LENGTH]; "question" int32 [QUESTION_LENGTH], "answer" and "kind" int32, and more as of
        `rows_of`; "layout" as of `layout_of`. Raises IndexError for an index under 0 or not under `len`.
        """
        index = self._check(index)
        draws, plans, question = self._scene(index)
        paths = [plan.path(self.duration, self._times) for plan in plans]
        item = {
            "video": world.paint_scene(draws, plans, paths, self.size),
            "times": self._times.astype(np.float32),
        }
        motion = label = world.MOTION_NAMES.index(plans[-1].motion)
        if self.label == "look":
            look = SHAPES.index(plans[-1].shape) * len(COLOURS) + world.COLOUR_NAMES.index(plans[-1].colour)
            label = look * len(MOTIONS) + motion
        if self.audio or self.label in ("sound", "both"):
            sound, generator = self._sound_class(index)
            label = {"sound": sound, "both": motion * len(SOUNDS) + sound}.get(self.label, label)
        item["label"] = np.int32(label)
        if self.text:
            item["text"] = VOCABULARY.encode(world.caption_of(plans), TEXT_LENGTH)
        if question:
            item |= question.item
        if self.more_questions:
            item |= rows_of(self._more(index, plans), self.more_questions)
        if self.layout:
            item["layout"] = layout_of(plans, paths, self.layout)
        if self.track:
            item["track"] = np.stack(paths[-1][:3], -1).astype(np.float32)
        if self.audio:
            item["audio"] = self._sound(sound, generator, plans, paths)
        return item

    def clip(self, index: int) -> Clip:
        """A clip with sound, caption and ground truth, whatever `audio` and `label`. Raises as `[index]`."""
        return self.render_times(index, self._times)

    def caption(self, index: int) -> str:
        """The caption alone, without drawing anything. Raises as `[index]`."""
        return world.caption_of(self._scene(self._check(index))[1])

    def possible_captions(self) -> Iterator[str]:
        """All that its captions can be, and, of several objects, all that they are: of a million, minutes."""
        if self.variant == "single":
            return world.phrases()
        return (self.caption(i) for i in range(len(self)))

    def asked(self, index: int) -> Question:
        """The question about a clip. Raises as `[index]`, and ValueError where no questions are asked."""
        question = self._scene(self._check(index))[2]
        if question is None:
            raise ValueError("ShapeShow: no questions are asked of its clips: question=False")
        return question

    def render_times(self, index: int, times: np.ndarray, *, audio: bool = True) -> Clip:
        """The same clip, looked at at other times; its sound, of the whole clip, stays as it is.

        Args:
          index: of the clip.
          times: [T] seconds in [0, frames / fps], in any order and spacing.
          audio: whether to make the sound; else the clip's audio is None.

        Raises:
          IndexError: for an index under 0 or not under `len`.
          ValueError: for times that are not a row of at least one number within the clip.
        """
        index = self._check(index)
        times = np.asarray(times, np.float64)
        if times.ndim != 1 or not times.size or not (times.min() >= 0 and times.max() <= self.duration):
            raise ValueError(f"ShapeShow: times must be [T >= 1], in 0..{self.duration} seconds; got {times}")
        draws, plans, _ = self._scene(index)
        paths = [plan.path(self.duration, times) for plan in plans]
        motion = world.MOTION_NAMES.index(plans[-1].motion)
        sound, generator = self._sound_class(index)
        return Clip(
            video=world.paint_scene(draws, plans, paths, self.size),
            times=times.astype(np.float32),
            audio=self._sound(sound, generator, plans, paths) if audio else None,
            caption=world.caption_of(plans),
            motion=motion,
            sound=sound,
            motion_and_sound=-1 if sound < 0 else motion * len(SOUNDS) + sound,
            objects=tuple(
                SceneObject(
                    plan.shape, plan.colour, plan.motion, plan.rgb, *(v.astype(np.float32) for v in path[:4])
                )
                for plan, path in zip(plans, paths, strict=True)
            ),
            events=np.array(sorted(event for path in paths for event in path.events), np.float32),
        )

    def _check(self, index: int) -> int:
        index = operator.index(index)
        if not 0 <= index < self.length:
            raise IndexError(f"ShapeShow {self.split}: index {index} is not in 0..{self.length - 1}")
        return index

    def _generator(self, index: int, stream: int, attempt: int = 0) -> np.random.Generator:
        # Philox counts up its first counter word; clips and streams differ in the others and never overlap.
        counter = np.array([0, index, stream, attempt], np.uint64)
        return np.random.Generator(np.random.Philox(key=self._key, counter=counter))

    def _scene(self, index: int) -> tuple[np.ndarray, list[Plan], Question | None]:
        """The first of a clip's scenes that may be shown, and suits its question: most often the first."""
        about, kinds, sound = None, (), -1
        if self.question:
            about = self._generator(index, _QUESTION).random(questions.DRAWS)
            sound, _ = self._sound_class(index)
            kinds = questions.kinds_of(self.variant == "multi", self.audio and self.sound == "classes")
        for attempt in itertools.count():
            draws = self._generator(index, _PICTURE, attempt).random(world.DRAWS)
            plans = world.plan_scene(draws, self.variant == "multi")
            if self.held_out and not self._may_show(plans):
                continue
            if about is None:
                return draws, plans, None
            question = questions.ask(about, kinds, plans, self.duration, sound)
            if question:
                return draws, plans, question

    def _more(self, index: int, plans: list[Plan]) -> list[Question]:
        kinds = questions.kinds_of(self.variant == "multi", False)
        generator = self._generator(index, _MORE)
        return questions.ask_more(generator, self.more_questions, kinds, plans, self.duration)

    def _may_show(self, plans: list[Plan]) -> bool:
        looks = world.held_out_looks(self.held_out)
        if self.split == NOVEL:
            return plans[-1].look in looks
        return not any(plan.look in looks for plan in plans)

    def _sound_class(self, index: int) -> tuple[int, np.random.Generator]:
        generator = self._generator(index, _SOUND)
        kind = int(generator.random() * len(SOUNDS))
        return (-1 if self.sound == "synced" else kind), generator

    def _sound(
        self, sound: int, generator: np.random.Generator, plans: list[Plan], paths: list[render.Path]
    ) -> np.ndarray:
        if self.sound == "classes":
            return sounds.class_sound(SOUNDS[sound], generator, self.duration)
        # Heights at 250 Hz or so, from the motion itself and not from the frames: sound does not depend on
        # fps.
        moments = np.linspace(0, self.duration, 2 + int(250 * self.duration))
        heights = 1 - plans[-1].path(self.duration, moments).y
        events = np.array([event for path in paths for event in path.events])
        return sounds.synced_sound(heights, events, generator, self.duration)
