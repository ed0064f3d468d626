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

import math
import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from vgm_jax.data.sources import _shapeshow_render as render
from vgm_jax.data.sources import _shapeshow_sound as sounds

VERSION = 1
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
_BACKWARDS = {"left": "right", "up": "down", "clockwise": "counterclockwise", "grow": "shrink"}
_BACKWARDS |= {b: a for a, b in _BACKWARDS.items()}
# What falls or speeds off does not come back; a chirp rises, a tick begins loud.
_BACKWARDS |= dict.fromkeys(("fall", "launch", "chirp", "ticks"), "none")
SPLITS = {"train": 2**20, "validation": 8192, "test": 8192}  # name -> default length
VARIANTS = ("single", "multi")
SOUND_MODES = ("classes", "synced")
LABELS = ("motion", "sound", "both", "look")
SAMPLE_RATE = sounds.SAMPLE_RATE

MARGIN = render.MARGIN  # frame sides
JITTER = 0.03  # largest change of a colour's channel
MAX_OBJECTS = 3
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
_MOTION_NAMES = tuple(MOTIONS)
_COLOUR_NAMES = tuple(COLOURS)
_SPINNING_SHAPES = tuple(shape for shape in SHAPES if shape not in ("circle", "ring"))

# Slots in a clip's uniform draws. A slot is never reused or moved within a VERSION.
_BACKGROUND, _COUNT, _OBJECTS, _OBJECT_SLOTS = 0, 15, 16, 16
_DRAWS = _OBJECTS + MAX_OBJECTS * _OBJECT_SLOTS
# Streams of a clip, told apart in Philox's counter.
_PICTURE, _SOUND = 0, 1


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
class _Plan:
    """What is drawn of one object before any time is known."""

    shape: str
    colour: str
    motion: str
    rgb: tuple[float, float, float]
    draws: list[float]  # of its trajectory

    def path(self, duration: float, times: np.ndarray) -> render.Path:
        return render.trajectory(self.motion, self.shape, self.draws, duration, times)

    @property
    def phrase(self) -> str:
        article = "an" if self.colour[0] in "aeiou" else "a"
        return f"{article} {self.colour} {self.shape} {MOTIONS[self.motion]}"


def _pick(names: tuple[str, ...], draw: float) -> str:
    return names[int(draw * len(names))]


def _plan(draws: list[float], colours: list[str]) -> _Plan:
    """Read one object's slots; its colour is one of `colours`."""
    motion = _pick(_MOTION_NAMES, draws[0])
    shape = _pick(_SPINNING_SHAPES if motion == "spin" else SHAPES, draws[1])
    colour = _pick(tuple(colours), draws[2])
    r, g, b = COLOURS[colour]
    jitter = [JITTER * (2 * draw - 1) for draw in draws[3:6]]
    rgb = (min(r + jitter[0], 1.0), min(g + jitter[1], 1.0), min(b + jitter[2], 1.0))
    return _Plan(shape, colour, motion, rgb, draws[6:12])


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

    Raises:
      ValueError: for an unknown name, a sound label where sound is synced, or a number out of its range.
    """

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
    ):
        self.split = _choice("split", split, SPLITS)
        self.variant = _choice("variant", variant, VARIANTS)
        self.sound = _choice("sound", sound, SOUND_MODES)
        self.label = _choice("label", label, LABELS)
        if sound == "synced" and label in ("sound", "both"):
            raise ValueError(
                f"ShapeShow: sound='synced' has no sound classes: label must be motion or look; got {label!r}"
            )
        self.size, self.frames, self.fps = operator.index(size), operator.index(frames), float(fps)
        self.seed, self.audio, self.track = operator.index(seed), bool(audio), bool(track)
        self.length = SPLITS[split] if length is None else operator.index(length)
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
        self._key = np.array([self.seed, VERSION << 32 | tuple(SPLITS).index(split)], np.uint64)

    def __len__(self) -> int:
        return self.length

    def __repr__(self) -> str:
        return f"ShapeShow({', '.join(f'{name}={getattr(self, name)!r}' for name in _SETTINGS)})"

    @property
    def description(self) -> dict[str, Any]:
        """Everything that determines the clips, fit for JSON."""
        return {"source": "shapeshow", "version": VERSION} | {name: getattr(self, name) for name in _SETTINGS}

    def class_names(self) -> tuple[str, ...]:
        """Names of the values of "label", such as "left", "beep", or "left, beep"."""
        if self.label == "motion":
            return _MOTION_NAMES
        if self.label == "sound":
            return SOUNDS
        if self.label == "look":
            looks = (f"{colour} {shape}" for shape in SHAPES for colour in COLOURS)
            return tuple(f"{look}, {motion}" for look in looks for motion in _MOTION_NAMES)
        return tuple(f"{motion}, {sound}" for motion in _MOTION_NAMES for sound in SOUNDS)

    @property
    def num_classes(self) -> int:
        return len(self.class_names())

    @property
    def reverse_labels(self) -> np.ndarray:
        """int32 [num_classes]: of which class a clip is when it runs backwards; -1: of none."""
        place = {name: i for i, name in enumerate(self.class_names())}
        turned = (", ".join(_BACKWARDS.get(part, part) for part in name.split(", ")) for name in place)
        return np.array([place.get(name, -1) for name in turned], np.int32)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """An item: "video" uint8 [T, H, W, 3], "times" float32 [T], "label" int32 and, if asked, "audio" [S].

        And "track", if asked: float32 [T, 3], x, y (centre of mass) and radius, as in `SceneObject`.

        Raises:
          IndexError: for an index under 0 or not under `len`.
        """
        index = self._check(index)
        draws, plans = self._scene(index)
        paths = [plan.path(self.duration, self._times) for plan in plans]
        item = {"video": self._draw(draws, plans, paths), "times": self._times.astype(np.float32)}
        motion = label = _MOTION_NAMES.index(plans[-1].motion)
        if self.label == "look":
            look = SHAPES.index(plans[-1].shape) * len(COLOURS) + _COLOUR_NAMES.index(plans[-1].colour)
            label = look * len(MOTIONS) + motion
        if self.audio or self.label in ("sound", "both"):
            sound, generator = self._sound_class(index)
            label = {"sound": sound, "both": motion * len(SOUNDS) + sound}.get(self.label, label)
        item["label"] = np.int32(label)
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
        return _caption(self._scene(self._check(index))[1])

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
        draws, plans = self._scene(index)
        paths = [plan.path(self.duration, times) for plan in plans]
        motion = _MOTION_NAMES.index(plans[-1].motion)
        sound, generator = self._sound_class(index)
        return Clip(
            video=self._draw(draws, plans, paths),
            times=times.astype(np.float32),
            audio=self._sound(sound, generator, plans, paths) if audio else None,
            caption=_caption(plans),
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

    def _generator(self, index: int, stream: int) -> np.random.Generator:
        # Philox counts up its first counter word; clips and streams differ in the others and never overlap.
        counter = np.array([0, index, stream, 0], np.uint64)
        return np.random.Generator(np.random.Philox(key=self._key, counter=counter))

    def _scene(self, index: int) -> tuple[np.ndarray, list[_Plan]]:
        draws = self._generator(index, _PICTURE).random(_DRAWS)
        count = 1 + int(draws[_COUNT] * MAX_OBJECTS) if self.variant == "multi" else 1
        slots = draws[_OBJECTS : _OBJECTS + count * _OBJECT_SLOTS].reshape(count, _OBJECT_SLOTS).tolist()
        colours, plans = list(_COLOUR_NAMES), []
        for row in slots:
            plans.append(_plan(row, colours))
            colours.remove(plans[-1].colour)
        return draws, plans

    def _draw(self, draws: np.ndarray, plans: list[_Plan], paths: list[render.Path]) -> np.ndarray:
        video = np.empty((len(paths[0].x), self.size, self.size, 3), np.uint8)
        video[:] = render.background(draws[_BACKGROUND:_COUNT].tolist(), self.size)
        for plan, path in zip(plans, paths, strict=True):
            render.paint(video, *render.coverage(plan.shape, path, self.size), plan.rgb)
        return video

    def _sound_class(self, index: int) -> tuple[int, np.random.Generator]:
        generator = self._generator(index, _SOUND)
        kind = int(generator.random() * len(SOUNDS))
        return (-1 if self.sound == "synced" else kind), generator

    def _sound(
        self, sound: int, generator: np.random.Generator, plans: list[_Plan], paths: list[render.Path]
    ) -> np.ndarray:
        if self.sound == "classes":
            return sounds.class_sound(SOUNDS[sound], generator, self.duration)
        # Heights at 250 Hz or so, from the motion itself and not from the frames: sound does not depend on
        # fps.
        moments = np.linspace(0, self.duration, 2 + int(250 * self.duration))
        heights = 1 - plans[-1].path(self.duration, moments).y
        events = np.array([event for path in paths for event in path.events])
        return sounds.synced_sound(heights, events, generator, self.duration)


def _caption(plans: list[_Plan]) -> str:
    return " and ".join(plan.phrase for plan in reversed(plans))
