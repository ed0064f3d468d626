"""A film going by, once: vectors of its windows, and where its shots are."""

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vgm_jax.data._pixels import Look
from vgm_jax.data.audio import Sound, open_audio
from vgm_jax.data.captions import said_in
from vgm_jax.data.decode import open_reader
from vgm_jax.preparation.shots import SIZE, number_shots, transition_probabilities
from vgm_jax.tasks.vectors import BATCH, Vectors
from vgm_jax.types import AUDIO_RATE

ENOUGH = 24  # frames a second that are enough for finding cuts


class Reading:
    """A film going by: small frames for cuts, and vectors of its windows, of one pass through the file.

    Attributes:
      end: seconds from the first frame, that were read so far.
      starts: of the small frames that were given: when each comes; to be taken from the left.

    Args:
      path: of the film; its sound is read where the vectors are of it, too, and what is said likewise.
      vectors: of windows, of frames size x size at `fps`.
      progress: told the seconds that were read, and how many there are (0: unknown).

    Raises DecodeError where the film cannot be opened, and later, where it turns out damaged.
    """

    def __init__(
        self,
        path: Path,
        vectors: Vectors,
        *,
        size: int,
        fps: float,
        progress: Callable[[float, float], None],
    ):
        self.path, self.embedding, self.fps, self.window = path, vectors, fps, vectors.window
        self.progress = progress
        self.reader = open_reader(path, fps)
        self.end = 0.0
        self.look = Look((size, size), "none")
        heard = "audio" in vectors.modalities
        self.sound: Sound | None = open_audio(path) if heard else None
        self.said = said_in(path) if "text" in vectors.modalities else None
        self.ready: list[np.ndarray] = []  # vectors that were made and not taken
        self.starts: deque[float] = deque()  # of the small frames whose shot is not known
        self._windows: list[list[np.ndarray]] = [[]]
        self._made = 0

    def close(self) -> None:
        self.reader.close()
        if self.sound is not None:
            self.sound.close()

    def small_frames(self) -> Iterator[np.ndarray]:
        """Frames for `transition_probabilities`, ENOUGH a second or fewer; `starts` says when they come."""
        rate = self.reader.rate or 0.0
        step, look = max(int(rate / ENOUGH + 0.01), 1), Look(SIZE, "none", quick=True)
        for i, frame in enumerate(self._shown()):
            if i % step == 0:
                self.starts.append(float(frame.start))
                yield frame.picture(look)

    def vectors(self) -> Iterator[np.ndarray]:
        """Vectors [D] as the film goes by."""
        for _ in self._shown():
            yield from self.take()
        yield from self.take()

    def take(self) -> list[np.ndarray]:
        """Vectors that were made since they were last taken."""
        taken, self.ready = self.ready, []
        return taken

    def _shown(self) -> Iterator[Any]:
        count, told = 0, -1.0
        for frame in self.reader.shown():
            self.end = float(frame.end)
            margin = 2 * self.reader.tolerance if frame.last else self.reader.tolerance
            picture = None
            while count / self.fps < self.end - margin:
                picture = frame.picture(self.look) if picture is None else picture
                self._add(picture)
                count += 1
            if self.end >= told + 1.0:
                told = self.end
                self.progress(self.end, self.reader.seconds or 0.0)
            yield frame
        self._make()

    def _add(self, picture: np.ndarray) -> None:
        self._windows[-1].append(picture)
        if len(self._windows[-1]) == self.window:
            if len(self._windows) == BATCH:
                self._make()
            else:
                self._windows.append([])

    def _make(self) -> None:
        """Vectors of the windows that are held; the film's last one repeats its last frame."""
        windows = [window for window in self._windows if window]
        self._windows = [[]]
        if not windows:
            return
        length = self.window
        windows[-1] += [windows[-1][-1]] * (length - len(windows[-1]))
        given, seconds = {"video": np.stack([np.stack(window) for window in windows])}, length / self.fps
        if self.said is not None:
            starts = [(self._made + i) * seconds for i in range(len(windows))]
            given["said"] = [self.said.during(start, start + seconds) for start in starts]
        if self.sound is not None:
            samples = round(AUDIO_RATE * seconds)
            heard = [self.sound.read((self._made + i) * seconds, seconds) for i in range(len(windows))]
            given["audio"] = np.stack([h[:samples] for h in heard])
        self._made += len(windows)
        self.ready += list(self.embedding.of_windows(given, self.fps))


def cuts(reading: Reading, add: Callable[[np.ndarray], Any]) -> list[tuple[float, float]]:
    """Shots by TransNet, [start, end) in seconds; a transition belongs to the shot before it.

    Vectors are given to `add` as the film goes by.
    """
    spans: list[list[float]] = []
    numbers = number_shots(transition_probabilities(reading.small_frames()))
    last = None
    for number in numbers:
        start = reading.starts.popleft()
        if number is not None and number != last:
            if spans:
                spans[-1][1] = start
            spans.append([0.0 if not spans else start, start])
            last = number
        for row in reading.take():
            add(row)
    for row in reading.take():
        add(row)
    if spans:
        spans[-1][1] = reading.end
    return [(start, end) for start, end in spans]
