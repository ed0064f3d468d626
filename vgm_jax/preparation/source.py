"""From one source of footage to its shots and clips, and to what is not kept of it, in one decoding pass.

Every frame is looked at small, for cuts; a frame that a clip may show is also resized to the clip's size. Of
the film only those pictures are held whose shot is not known yet, and those of the clip that is open: memory
does not grow with its length.
"""

import contextlib
import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vgm_jax.data._pixels import Look
from vgm_jax.data.audio import Sound, open_audio
from vgm_jax.data.captions import Captions, find_captions
from vgm_jax.data.decode import DecodeError, glimpses, open_reader
from vgm_jax.preparation import cleaning
from vgm_jax.preparation.records import Clip, Rejection, Settings, Shot, Source, is_passing
from vgm_jax.preparation.shots import SIZE, number_shots, transition_probabilities

SMALL = Look(SIZE, "none", quick=True)
# Frames a second that are enough for finding cuts, as in what the network was trained on; and the most that a
# header may claim and be believed.
ENOUGH, BELIEVED = 24, 240
LONGEST = 86400.0  # seconds of a film that a header may claim and be believed


def process(source: Source, settings: Settings) -> Iterator[Shot | Clip | Rejection]:
    """Finds what is worth keeping of a source. The same source gives the same bits on the same machine.

    Clips show the film at 0, 1 / fps, 2 / fps, ... seconds from its first frame (fps 0: all its frames), at
    each the last frame that came. They are taken one after another from each shot's start on, and lie within
    it; what is left at its end is too short. A shot comes after its clips, whose `shot` counts from 0. Black
    bars are cut off.

    Whatever is wrong with a file is a rejection, and no error: "unreadable" where no frame can be had, else
    "damaged" for what follows the last good one.
    """
    rate = settings.rate or settings.fps or 1.0
    with contextlib.ExitStack() as stack:
        try:
            reader = stack.enter_context(
                contextlib.closing(open_reader(source.path, rate, source.item, partial=True))
            )
            footage = _Footage(reader, settings, _bars(source, rate))
            finish = _Finisher(settings, find_captions(source.path, source.root))
            stack.callback(finish.close)
            finish.open_sound(source)
        except Exception as error:
            yield Rejection("unreadable", _reason(error), again=is_passing(error))
            return
        yield from _Cutter(footage, finish, settings.frames).run()
        if not footage.end:
            yield Rejection("unreadable", footage.problem or "no frame decodes", again=footage.again)
        elif problem := footage.problem or footage.shortfall():
            end = max(footage.end, footage.claimed())
            yield Rejection("damaged", problem, footage.end, end, again=footage.again)
        if footage.end and finish.unheard is not None:
            since, why, again = finish.unheard
            detail = f"its sound, without which clips are kept: {why}"
            yield Rejection("damaged", detail, since, footage.end, again=again)


@dataclass(frozen=True)
class _Sample:
    """A frame of clips: when it is shown, until when, and uint8 [S S 3]."""

    time: float
    end: float
    picture: np.ndarray


class _Footage:
    """A film going by: `small_frames` gives what cuts are seen in, `pending` holds the same frames' samples.

    `pending` has (when the frame comes, its samples); `end`: of the last frame; `problem`: what ended it;
    `again`: whether that may be otherwise another time.
    """

    def __init__(self, reader, settings: Settings, part: cleaning.Part | None):
        self.reader, self.fps = reader, settings.fps
        size = settings.size, settings.size
        self.look = Look(size, part=part or (0.0, 0.0, 1.0, 1.0), colour_gap=1.0)
        self.pending: deque[tuple[float, list[_Sample]]] = deque()
        self.end, self.problem, self.again, self._count = 0.0, "", False, 0
        rate = reader.rate or 0.0
        self.step = max(int(rate / ENOUGH + 0.01), 1) if rate <= BELIEVED else 1

    def small_frames(self) -> Iterator[np.ndarray]:
        """Every `step`th frame, uint8 [27 48 3], once all frames that it stands for are in `pending`."""
        small = None
        try:
            for i, frame in enumerate(self.reader.shown()):
                if i % self.step == 0:
                    if small is not None:
                        yield small
                    small = None  # nothing stands for this frame yet
                    small = frame.picture(SMALL)
                self.pending.append((float(frame.start), self._samples(frame)))
                self.end = float(frame.end)
        except Exception as error:
            self.problem, self.again = _reason(error), is_passing(error)
        self.problem = self.problem or self.reader.missing
        if small is not None:
            yield small

    def _samples(self, frame) -> list[_Sample]:
        if not self.fps:
            return [_Sample(float(frame.start), float(frame.end), frame.picture(self.look))]
        # As `decode.iterate_frames` does: the next frame may be late by the tolerance.
        tolerance = self.reader.tolerance
        until = frame.end - (2 * tolerance + 1e-6 / self.fps if frame.last else tolerance)
        samples, picture = [], None
        while (time := self._count / self.fps) < until:
            picture = frame.picture(self.look) if picture is None else picture
            samples.append(_Sample(time, (self._count + 1) / self.fps, picture))
            self._count += 1
        return samples

    def claimed(self) -> float:
        """Seconds by the header, where that is believed."""
        seconds = self.reader.seconds or 0.0
        return seconds if seconds < LONGEST else 0.0

    def shortfall(self) -> str:
        """Why a film that ended in peace was cut off all the same."""
        seconds = self.claimed()
        if seconds - self.end <= max(1.0, 0.1 * seconds):
            return ""
        return f"it ends after {self.end:.2f} s; by its header it lasts {seconds:.2f} s"


class _Cutter:
    """Cuts footage into shots and clips."""

    def __init__(self, footage: _Footage, finish: "_Finisher", frames: int):
        self.footage, self.finish, self.frames = footage, finish, frames
        self.shot: int | None = None
        self.start, self.taken = 0.0, 0
        self.samples: list[_Sample] = []

    def run(self) -> Iterator[Shot | Clip | Rejection]:
        footage = self.footage
        looked = transition_probabilities(footage.small_frames())
        each = itertools.chain.from_iterable(itertools.repeat(pair, footage.step) for pair in looked)
        for number in number_shots(each):
            if not footage.pending:
                break  # the last step goes beyond the end
            start, samples = footage.pending.popleft()
            if number is None:
                yield from self._rest(start)
                continue
            if number != self.shot:
                yield from self._close(start)
                self.shot, self.start, self.taken = number, start, 0
            for sample in samples:
                self.samples.append(sample)
                if len(self.samples) == self.frames:
                    yield self.finish(self.shot, self.samples)
                    self.samples, self.taken = [], self.taken + 1
        yield from self._close(footage.end)

    def _rest(self, end: float) -> Iterator[Rejection]:
        """What is left of a shot after its last clip."""
        if self.samples:
            of = "of a shot" if self.taken else "in a shot"
            detail = f"{len(self.samples)} of {self.frames} frames {'left ' if self.taken else ''}{of}"
            yield Rejection("too short", detail, self.samples[0].time, max(end, self.samples[0].time))
            self.samples, self.taken = [], self.taken + 1

    def _close(self, end: float) -> Iterator[Shot | Rejection]:
        yield from self._rest(end)
        if self.shot is None:
            return
        if not self.taken:
            yield Rejection("too short", f"0 of {self.frames} frames in a shot", self.start, end)
        yield Shot(self.start, end)
        self.shot = None


class _Finisher:
    """Makes clips of samples, with sound and captions, or says why there is none."""

    def __init__(self, settings: Settings, captions: Captions):
        self.settings, self.captions = settings, captions
        self.sound: Sound | None = None
        # From when on its sound is not read, why, and whether it may be another time.
        self.unheard: tuple[float, str, bool] | None = None

    def open_sound(self, source: Source) -> None:
        try:
            self.sound = open_audio(source.path) if self.settings.audio else None
        except Exception as error:
            # Pictures are good without sound that is damaged.
            self.unheard = 0.0, _reason(error), is_passing(error)

    def close(self) -> None:
        if self.sound is not None:
            self.sound.close()

    def __call__(self, shot: int, samples: list[_Sample]) -> Clip | Rejection:
        video = np.stack([sample.picture for sample in samples])
        start, end = samples[0].time, samples[-1].end
        figures = cleaning.measure(video)
        limits = {name: getattr(self.settings, name) for name in ("black", "frozen", "blurred")}
        why = cleaning.why_not(figures, **limits)
        if why is not None:
            return Rejection(*why, start, end, video[len(video) // 2])
        times = np.array([sample.time - start for sample in samples], np.float32)
        caption = self.captions.during(start, end)
        mark = cleaning.fingerprint(video)
        return Clip(start, shot, video, times, self._heard(start, end), caption, mark, figures)

    def _heard(self, start: float, end: float) -> np.ndarray | None:
        if self.sound is None:
            return None
        fps, frames = self.settings.fps, self.settings.frames
        try:
            heard = self.sound.read(start, frames / fps if fps else end - start)
        except Exception as error:
            self.unheard = start, _reason(error), is_passing(error)
            self.close()
            self.sound = None
            return None
        return np.rint(heard * 32767).astype(np.int16)


def _bars(source: Source, rate: float) -> cleaning.Part | None:
    with contextlib.closing(glimpses(source.path, rate=rate, item=source.item)) as frames:
        try:
            return cleaning.find_bars(frames)
        except Exception:
            return None  # what cannot be read is found out in its turn


def _reason(error: Exception) -> str:
    return error.why if isinstance(error, DecodeError) else f"{type(error).__name__}: {error}"
