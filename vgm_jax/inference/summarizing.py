"""A film made short: its shots, what each is worth, the best that a budget holds; chapters, a sheet."""

import contextlib
import itertools
import json
import math
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vgm_jax.data.captions import Captions, said_in
from vgm_jax.data.cutting import SUFFIXES, cut
from vgm_jax.data.files import in_one_piece, keep_apart, make_room
from vgm_jax.evaluation.segmentation import segments
from vgm_jax.evaluation.summaries import knapsack
from vgm_jax.inference.reading import Reading, cuts
from vgm_jax.inference.sheet import clock, contact_sheet
from vgm_jax.inference.zoo import averaged, open_run
from vgm_jax.tasks.summarization import Summarization
from vgm_jax.types import Params

SHOTS = ("transnet", "kts")
BLOCK, EDGE = (
    512,
    64,
)  # vectors that are scored together; of which at either end tell of their neighbours alone
LONGEST = 12.0  # seconds of a part that is taken or left as a whole; longer shots are several
SHORTEST = 0.5  # seconds of a shot that is taken for one; shorter ones join the one before
CHAPTERS, SHEET = "chapters.json", "contact_sheet.png"
MOST_UNITS = 20_000  # of a budget, in which lengths are weighed
LEAST = 1e-3  # importance that a part has at least, where a budget has room
TITLE = 70  # letters of a chapter's title, at most

Progress = Callable[[float, float], None]


@dataclass(frozen=True)
class Shot:
    """A part of a film in seconds from its first frame, its importance in 0..1, and if the summary has it."""

    start: float
    end: float
    importance: float
    chosen: bool = False


class SummaryModel:
    """Says what matters in films: `summary`."""

    def __init__(self, task: Summarization, params: Params, *, size: int, fps: float, step: int):
        if task.vectors is None:
            raise ValueError("this model was trained on vectors from a file, and cannot make any of a film")
        self.task, self.size, self.fps, self.step = task, size, float(fps), step
        self._params = params
        self.seconds = task.vectors.window / self.fps  # of a vector

    def summary(
        self,
        path: str | os.PathLike,
        budget: float = 0.15,
        *,
        seconds: float | None = None,
        shots: str = "transnet",
        progress: Progress = lambda seconds, of: None,
    ) -> list[Shot]:
        """A film's shots, from its first frame to its last; those that a summary has are chosen.

        They have the greatest total importance that the budget holds (Gygli et al., ECCV 2014, eq. 6: a 0/1
        knapsack), that of a shot being its mean one times its length. The film is read once, and of it only a
        number a vector is kept: memory does not grow with its length. Long shots are several, of at most
        LONGEST seconds and half the budget.

        Args:
          path: of a film in any form that `decode` reads, with sound or without.
          budget: part of the film that the summary may be, above 0 and up to 1.
          seconds: instead, how long it may be.
          shots: "transnet", by cuts and dissolves; or "kts", where the vectors change, as in a lecture.
          progress: told the seconds that were read, and how many there are (0: unknown).

        Raises:
          DecodeError: it cannot be read to its end.
          ValueError: a budget out of its range, another `shots`, a film of fewer than two vectors, a budget
            that not even the shortest shot fits into.
        """
        _check(budget, seconds, shots)
        spans, scores, end = self._read(Path(path), shots, progress)
        if len(scores) < 2:
            raise ValueError(
                f"{path}: too short for a summary: {end:.2f} s; {2 * self.seconds:.2f} s are needed"
            )
        spans = spans or [(0.0, end)]  # where every frame is of a transition, as of a quick show of pictures
        room = budget * end if seconds is None else seconds
        parts = _parted([(a, min(b, end)) for a, b in spans if a < end], max(SHORTEST, room / 2))
        worth = np.array([_mean(scores, a / self.seconds, b / self.seconds) for a, b in parts])
        # In hundredths of a second or, so that a long film's table stays small, more.
        unit = max(0.01, room / MOST_UNITS)
        lengths = np.array([max(1, math.ceil((b - a) / unit - 1e-6)) for a, b in parts])
        chosen = np.ones(len(parts), bool)
        if room < end - 1e-6:
            # Of what is worth nothing some is better than none, where there is room.
            chosen = knapsack(np.maximum(worth, LEAST) * lengths, lengths, math.floor(room / unit + 1e-6))
        if not chosen.any():
            raise ValueError(
                f"{path}: no shot fits into {room:.2f} s: the shortest lasts {unit * lengths.min():.2f} s; "
                "give a larger budget"
            )
        return [Shot(a, b, float(w), bool(c)) for (a, b), w, c in zip(parts, worth, chosen, strict=True)]

    def _read(
        self, path: Path, shots: str, progress: Progress
    ) -> tuple[list[tuple[float, float]], np.ndarray, float]:
        """Shots, [start, end) in seconds; importance of each vector; and when the film ends."""
        reading = Reading(
            path,
            self.task.vectors,
            size=self.size,
            fps=self.fps,
            progress=progress,
        )
        scores = _Scores(self)
        with contextlib.closing(reading):
            if shots == "kts":
                vectors = (row for row in reading.vectors() if scores.add(row))
                spans = [(a * self.seconds, b * self.seconds) for a, b in segments(vectors)]
            else:
                spans = cuts(reading, scores.add)
        return spans, scores.finish(), reading.end

    def importance(self, vectors: np.ndarray) -> np.ndarray:
        """Of up to BLOCK vectors [n D] of a film, one after another: float32 [n] in 0..1."""
        n = len(vectors)
        filled = np.zeros((1, BLOCK, vectors.shape[1]), np.float32)
        filled[0, :n] = vectors
        times = (np.arange(BLOCK) * self.seconds).astype(np.float32)[None]
        return self.task.scores(self._params, filled, times, np.arange(BLOCK)[None] < n)[0, :n]


def load_summarizer(model: str | os.PathLike, step: int | None = None) -> SummaryModel:
    """The summarizer of a workdir: of the checkpoint that validation picked, or of `step`, or of the last.

    Raises WorkdirError where there is no run or no checkpoint, ValueError where the run is of another task or
    knows only vectors from a file.
    """
    workdir, config = open_run(model, "summarization")
    if config.data.source == "summaries":
        raise ValueError(
            f"{workdir} was trained on the vectors of {config.data.path}: it cannot make any of a film"
        )
    task, params, at = averaged(workdir, step)
    return SummaryModel(task, params, size=config.data.size, fps=config.data.fps, step=at)


def summarize_file(
    model: SummaryModel,
    path: str | os.PathLike,
    out: str | os.PathLike,
    budget: float = 0.15,
    *,
    seconds: float | None = None,
    shots: str = "transnet",
    progress: Progress = lambda seconds, of: None,
) -> dict[str, Any]:
    """Writes a film's summary, with its sound; beside it CHAPTERS and SHEET.

    Chapters are named by what is said in them, where there are subtitles (`data.captions`); one that is the
    whole summary by the film's caption, too.

    Args:
      path: of the film.
      out: .mp4, .mov or .mkv.
      budget, seconds, shots, progress: see `SummaryModel.summary`.

    Returns:
      What CHAPTERS holds.

    Raises:
      DecodeError, ValueError: as `SummaryModel.summary`; another suffix; the folder has another summary's
        CHAPTERS.
      OSError: naming the file, where something cannot be written.
    """
    path, out = Path(path), Path(out)
    _check(budget, seconds, shots)
    if out.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{out}: expected a suffix among {', '.join(SUFFIXES)}")
    keep_apart(out, path)
    if path.is_dir() and out.parent.resolve() == path.resolve():
        raise ValueError(f"{out}: its contact sheet would be one of the film's pictures: give another folder")
    _check_folder(out)
    found = model.summary(path, budget, seconds=seconds, shots=shots, progress=progress)
    chosen = [shot for shot in found if shot.chosen]
    lasts = cut(path, _joined(chosen), out, rate=model.fps)
    whole = sum(shot.end - shot.start for shot in chosen)
    captions = said_in(path)
    if len(chosen) > 1:  # the film's caption would be the title of each
        captions = replace(captions, text="")
    chapters, at = [], 0.0
    for shot in chosen:
        length = (shot.end - shot.start) * lasts / whole  # parts were rounded to whole frames
        chapters.append(
            {
                "title": title(captions, shot),
                "start": round(at, 3),
                "end": round(at + length, 3),
                "film_start": round(shot.start, 3),
                "film_end": round(shot.end, 3),
                "importance": round(shot.importance, 4),
            }
        )
        at += length
    result = {
        "film": path.name,
        "summary": out.name,
        "film_seconds": round(found[-1].end, 3),
        "seconds": round(lasts, 3),
        "shots_by": shots,
        "shots": len(found),
        "step": model.step,
        "chapters": chapters,
    }
    with in_one_piece(out.with_name(CHAPTERS)) as part:
        part.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    parts = [(s.start, s.end, s.importance) for s in chosen]
    contact_sheet(path, parts, out.with_name(SHEET), rate=model.fps)
    return result


def _check(budget: float, seconds: float | None, shots: str) -> None:
    if seconds is None and not 0 < budget <= 1:
        raise ValueError(f"budget={budget} must be above 0 and at most 1: a part of the film")
    if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"seconds={seconds} must be positive")
    if shots not in SHOTS:
        raise ValueError(f"shots={shots!r} is unknown; choose one of {', '.join(SHOTS)}")


def title(captions: Captions, shot: Shot) -> str:
    """What is said in a shot, or of the film, cut at a word; where nothing is, when it begins in the film."""
    said = " ".join(captions.during(shot.start, shot.end).split())
    if len(said) > TITLE:
        said = said[: TITLE - 1].rsplit(" ", 1)[0].rstrip(" ,;:-") + "…"
    return said or clock(shot.start)


def _check_folder(out: Path) -> None:
    """Raises ValueError where the folder has the chapters of another summary, OSError where it cannot be."""
    make_room(out)
    chapters = out.with_name(CHAPTERS)
    if not chapters.exists():
        return
    try:
        other = json.loads(chapters.read_text())["summary"]
    except (OSError, ValueError, KeyError, TypeError):
        other = None
    if other != out.name:
        raise ValueError(
            f"{chapters} is there already, of {other or 'something else'}: give each summary its own folder"
        )


# ---------------------------------------------------------------------------------------------------------- #
# Scores and parts
# ---------------------------------------------------------------------------------------------------------- #


class _Scores:
    """Importance of a stream of vectors: BLOCK of them are scored together, and overlap by twice EDGE.

    The last ones are scored among as many: each moment is held against as long a part of the film.
    """

    def __init__(self, model: SummaryModel):
        self.model, self.held, self.known = model, [], []
        self.latest: deque[np.ndarray] = deque(maxlen=BLOCK)
        self.context = 0  # of the held vectors, how many at the beginning are known already

    def add(self, vector: np.ndarray) -> bool:
        """Takes the next one."""
        self.held.append(vector)
        self.latest.append(vector)
        if len(self.held) == BLOCK:
            found = self.model.importance(np.stack(self.held))
            self.known += found[self.context : BLOCK - EDGE].tolist()
            self.held, self.context = self.held[BLOCK - 2 * EDGE :], EDGE
        return True

    def finish(self) -> np.ndarray:
        """All scores, float64 [N]."""
        if (new := len(self.held) - self.context) > 0:
            self.known += self.model.importance(np.stack(self.latest))[-new:].tolist()
        return np.array(self.known)


def _parted(spans: list[tuple[float, float]], longest: float) -> list[tuple[float, float]]:
    """Parts of at least SHORTEST and at most LONGEST and `longest` seconds, of shots one after another."""
    merged: list[tuple[float, float]] = []
    for start, end in spans:
        if merged and (end - start < SHORTEST or merged[-1][1] - merged[-1][0] < SHORTEST):
            merged[-1] = merged[-1][0], end
        else:
            merged.append((start, end))
    parts = []
    for start, end in merged:
        edges = np.linspace(start, end, math.ceil((end - start) / min(LONGEST, longest) - 1e-6) + 1).tolist()
        parts += itertools.pairwise(edges)
    return parts


def _joined(shots: list[Shot]) -> list[tuple[float, float]]:
    """Spans of shots, those that follow one another without a gap as one."""
    spans: list[tuple[float, float]] = []
    for shot in shots:
        if spans and abs(spans[-1][1] - shot.start) < 1e-6:
            spans[-1] = spans[-1][0], shot.end
        else:
            spans.append((shot.start, shot.end))
    return spans


def _mean(scores: np.ndarray, start: float, end: float) -> float:
    """Mean of what holds from i to i + 1, from one place to another that need not be whole."""
    total = np.concatenate([[0.0], np.cumsum(scores)])
    ends = np.clip([start, end], 0, len(scores))
    low, high = np.interp(ends, np.arange(len(total)), total)
    if ends[1] > ends[0]:
        return float((high - low) / (ends[1] - ends[0]))
    return float(scores[-1])


__all__ = ["Shot", "SummaryModel", "load_summarizer", "summarize_file"]
