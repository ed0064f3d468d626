"""Questions to a film: the answer, how sure it is, and the moments that speak for it, cut out."""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vgm_jax.data.captions import Captions, said_in
from vgm_jax.data.cutting import SUFFIXES, cut
from vgm_jax.data.files import keep_apart, make_room
from vgm_jax.data.lettering import captioned
from vgm_jax.data.media import VIDEO_SUFFIXES, VideoWriter
from vgm_jax.data.text import Vocabulary, split_words
from vgm_jax.inference.films import Clips, in_batches, said_words
from vgm_jax.inference.generator import GeneratorModel
from vgm_jax.inference.words import encode_known
from vgm_jax.inference.zoo import averaged, open_run
from vgm_jax.tasks.question_answering import QuestionAnswering
from vgm_jax.tasks.restoring import text_length
from vgm_jax.training import workdir as workdirs
from vgm_jax.types import Array, Batch, Params

BATCH = 8  # rows that go through the network at once; fixed, so that every film runs one program
WORDS = 16  # of a question's row, at least, for the same reason
MOST_WORDS = 64  # that a question may have
PARTS, MOST_PARTS = 4, 32  # of a clip, of which each is left out once, and seen alone once
PART = 2.0  # seconds of a part of a long clip
ENOUGH = 0.5  # of the greatest support: moments that have as much are shown
SECONDS = 10.0  # of an answer's video, at most
# Of a question that is answered by yes, words that say nothing of what is to be seen.
ASKING = frozenset("is are was were does do did there the object objects".split())
SIDE = 256  # pixels of its pictures; smaller ones are enlarged by a whole number, for the words under them

Progress = Callable[[float, float], None]
Answer = list[tuple[str, float]]  # answers and probabilities, the likeliest first


@dataclass(frozen=True)
class Moment:
    """A part of a film in seconds from its first frame, and what it adds to an answer's probability."""

    start: float
    end: float
    support: float


class AnswerModel:
    """Answers questions about films: `ask`, `moments`.

    One that was trained with what is said ("text" among its modalities) reads `words` words a clip of a
    film's captions and subtitles, in it or beside it (`data.captions`).
    """

    def __init__(
        self,
        task: QuestionAnswering,
        params: Params,
        *,
        size: int,
        frames: int,
        fps: float,
        vocabulary: Vocabulary,
        answers: Sequence[str],
        step: int,
        words: int = 0,
    ):
        self.task, self.size, self.frames, self.fps, self.step = task, size, frames, fps, step
        self.words = words
        self.vocabulary, self.answers = vocabulary, tuple(answers)
        self._params = params

    def ask(self, path: str | os.PathLike, question: str, top: int = 5) -> Answer:
        """The `top` likeliest answers to a question about a film or a sound file.

        Probabilities are the mean over all clips, of the length that the model was trained on, that the film
        falls into: what is asked should be told by one of them. Raises DecodeError where the file cannot be
        read, ValueError for a question without words or with words that are not known, or a `top` under 1.
        """
        if top < 1:
            raise ValueError(f"top={top} must be positive")
        words, said, total, count = self.encode(question), self._said(path), 0.0, 0
        for batch, held in in_batches(self.clips(path), BATCH):
            found, _ = self._answer(self._params, self._asked(batch, held, words, said))
            total, count = total + np.asarray(found)[: len(held)].sum(0), count + len(held)
        order = np.argsort(-total, kind="stable")[:top]
        return [(self.answers[i], float(total[i] / count)) for i in order]

    def moments(
        self,
        path: str | os.PathLike,
        question: str,
        answer: str,
        progress: Progress = lambda seconds, of: None,
    ) -> list[Moment]:
        """The film in parts, in order, and how much each supports an answer.

        A part's support is the mean of what it adds to the answer's probability when it is the only one of
        its clip, and when it is the last one: the two ends of its Shapley value (Shapley, 1953). What is not
        there is not seen by the network at all; what is said in the clip it reads in any case. `progress` is
        told the seconds that were read, and how many there are (0: unknown). Raises as `ask`, and for an
        answer that is not of `answers`.
        """
        if answer not in self.answers:
            raise ValueError(f"{answer!r} is none of the model's answers: {', '.join(self.answers)}")
        words, wanted, found = self.encode(question), self.answers.index(answer), []
        clips, said = self.clips(path), self._said(path)
        seconds = (clips.info.seconds if clips.info else None) or 0.0
        for clip in clips:
            batch, held = next(in_batches([clip], BATCH))
            found += self._weigh(clip, self._asked(batch, held, words, said), wanted)
            progress(found[-1].end, seconds)
        return found

    def clips(self, path: str | os.PathLike) -> Clips:
        """A file as the clips that the model takes: silent, where in training none lacked a sound.

        Raises DecodeError.
        """
        about = {"modalities": self.task.modalities, "silence": not self.task.modality_drop}
        return Clips(path, size=self.size, frames=self.frames, fps=self.fps, **about)

    def encode(self, question: str) -> np.ndarray:
        """A question's words, int32 [L].

        Raises ValueError where there is none, or more than `MOST_WORDS`, or one that is not known.
        """
        return encode_known(self.vocabulary, question, "question", WORDS, MOST_WORDS)

    def _said(self, path: str | os.PathLike) -> Captions | None:
        if "text" not in self.task.modalities:
            return None
        return said_in(path)

    def _asked(self, batch: Batch, held: list[Batch], words: np.ndarray, said: Captions | None) -> Batch:
        """The batch of clips `held`, with a question about each, and what is said in it."""
        batch = batch | {"question": np.tile(words, (BATCH, 1))}
        if said is None:
            return batch
        seconds = self.frames / self.fps
        return batch | {"text": said_words(said, held, BATCH, seconds, self.vocabulary, self.words)}

    def _weigh(self, clip: Batch, batch: Batch, wanted: int) -> list[Moment]:
        """The parts of a clip, of which `batch` is the first row, as far as it is the film's."""
        probabilities, times = jax.device_get(self._answer(self._params, batch))
        seconds = self.frames / self.fps
        count = min(max(PARTS, round(seconds / PART)), MOST_PARTS)
        edges = np.linspace(0.0, seconds, count + 1)
        # Of each token, the part in which the middle of its stretch is: [N]. Frames last until the next one.
        belongs = {}
        for name, ends in times.items():
            ends = ends[0] + (1 / self.fps if name == "video" else 0.0)
            middles = ends - np.diff(ends, prepend=0.0) / 2
            belongs[name] = np.clip(np.searchsorted(edges, middles, "right") - 1, 0, count - 1)
        # What is there: one part alone, all but one, nothing; bool [rows parts].
        there = np.concatenate([np.eye(count), 1 - np.eye(count), np.zeros((1, count))]).astype(bool)
        p = []
        for first in range(0, len(there), BATCH):
            rows = there[first : first + BATCH]
            full = np.concatenate([rows, np.zeros((BATCH - len(rows), count), bool)])
            present = {name: full[:, part] for name, part in belongs.items()}
            found, _ = self._answer(self._params, batch, present)
            p.append(np.asarray(found)[: len(rows), wanted])
        p = np.concatenate(p)
        alone, without, nothing = p[:count], p[count : 2 * count], p[-1]
        support = ((alone - nothing) + (probabilities[0, wanted] - without)) / 2
        end = clip["part"] * seconds
        return [
            Moment(float(clip["start"] + a), float(clip["start"] + min(b, end)), float(s))
            for a, b, s in zip(edges, edges[1:], support, strict=False)
            if a < end - 1e-6
        ]

    def _answer(
        self, params: Params, batch: Batch, present: Mapping[str, Array] | None = None
    ) -> tuple[Array, dict[str, Array]]:
        """Probabilities [BATCH answers], and the times [BATCH N] at which each modality's tokens end."""
        return _answered(self.task.answerer, len(self.answers), params, self.task.given(batch), present)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _answered(
    answerer: Any, count: int, params: Params, given: Batch, present: Mapping[str, Array] | None
) -> tuple[Array, dict[str, Array]]:
    found = answerer.apply(params, given, present)
    return jax.nn.softmax(found.logits[:, :count]), found.times


def load_answerer(model: str | os.PathLike, step: int | None = None) -> AnswerModel:
    """The model of a workdir that answers: of the checkpoint that validation picked, or `step`, or the last.

    Raises WorkdirError where there is no run or no checkpoint, ValueError where the run is of another task or
    was asked without clips.
    """
    workdir, config = open_run(model, "question_answering")
    if not {"video", "audio"} & set(config.model.modalities):
        raise ValueError(
            f"{workdir} learnt from words alone (model.modalities={tuple(config.model.modalities)}): it sees "
            "no film"
        )
    vocabulary = workdirs.read_vocabulary(workdir)
    if vocabulary is None:
        raise workdirs.WorkdirError(f"{workdir} has no {workdirs.VOCABULARY}: its words are lost")
    task, params, at = averaged(workdir, step)
    return AnswerModel(
        task,
        params,
        size=config.data.size,
        frames=config.data.frames,
        fps=config.data.fps,
        vocabulary=vocabulary,
        answers=workdirs.read_answers(workdir),
        step=at,
        words=text_length(config),
    )


def answer_file(
    model: AnswerModel,
    path: str | os.PathLike,
    question: str,
    out: str | os.PathLike,
    *,
    top: int = 5,
    seconds: float = SECONDS,
    progress: Progress = lambda seconds, of: None,
) -> dict[str, Any]:
    """Answers with a video: the film's moments that support the answer, with their sound; question and answer
    are under the picture, and the file's title.

    Args:
      path: of a film; of a sound file there is nothing to show.
      out: .mp4, .mov or .mkv.
      top: answers that are told.
      seconds: that it lasts, at most: the moments of the greatest support.
      progress: told the seconds that were read, and how many there are (0: unknown).

    Returns:
      {"answers": [[answer, probability], ...], "moments": [{"start", "end", "support"}, ...]}.

    Raises:
      DecodeError, ValueError: as `AnswerModel.ask`; another suffix; the film's own name; `seconds` not
        above 0; no picture, or a model that sees none.
      OSError: naming the file, where it cannot be written.
    """
    path, out = Path(path), Path(out)
    _check(path, out, SUFFIXES, seconds)
    if model.clips(path).info is None:
        why = "there is no picture that could be shown for an answer"
        if "video" not in model.task.modalities:
            why = f"the model sees no picture (model.modalities={model.task.modalities}) that it could show"
        raise ValueError(f"{path}: {why}; ask without --out")
    answers = model.ask(path, question, top)
    name, p = answers[0]
    chosen = choose(model.moments(path, question, name, progress), seconds)
    texts = _under(question, name, p)
    cut(
        path,
        [(m.start, m.end) for m in chosen],
        out,
        rate=model.fps,
        title=" ".join(text for text, _ in texts),
        dress=lambda frame: captioned(frame[None], texts, SIDE)[0],
    )
    moments = [{"start": round(m.start, 3), "end": round(m.end, 3), "support": m.support} for m in chosen]
    return {"answers": [list(answer) for answer in answers], "moments": moments}


def imagine_answer(
    model: AnswerModel,
    generator: GeneratorModel,
    path: str | os.PathLike,
    question: str,
    out: str | os.PathLike,
    *,
    top: int = 5,
    seconds: float = SECONDS,
) -> dict[str, Any]:
    """Answers with a clip that a generator makes of the answer; question and answer are under the picture.

    Where the answer is "yes", of what was asked about (`shown_by`).

    Args:
      generator: one that can be asked for by text.
      out: a video file, as of `VideoWriter`.
      top: answers that are told.
      seconds: that the clip lasts, at most; at most a training clip, too.

    Returns {"answers": [[answer, probability], ...]}. Raises as `answer_file`, and ValueError where the
    generator cannot be asked for by text, or does not know the answer's words, and for the answer "no".
    """
    _check(path, out, VIDEO_SUFFIXES, seconds)
    if "text" not in generator.conditions:
        have = ", ".join(generator.conditions) or "noise alone"
        raise ValueError(f"an answer is shown by its text, and this generator is asked by {have}")
    answers = model.ask(path, question, top)
    name, p = answers[0]
    frames = max(1, int(min(seconds * generator.fps + 1e-6, generator.frames)))
    try:
        clip = generator.sample(0, frames=frames, text=shown_by(question, name))[0]
    except ValueError as error:
        raise ValueError(f"the answer is {name!r}, which cannot be generated: {error}") from error
    texts = _under(question, name, p)
    with VideoWriter(out, generator.fps) as writer:
        for frame in captioned(clip, texts, SIDE):
            writer.write(frame)
    return {"answers": [list(answer) for answer in answers]}


def shown_by(question: str, answer: str) -> str:
    """What a clip of an answer shows: the answer; where that is "yes", the question's words but `ASKING`.

    Raises ValueError for "no".
    """
    if answer == "no":
        raise ValueError("of what is not there nothing can be shown")
    if answer != "yes":
        return answer
    return " ".join(word for word in split_words(question) if word not in ASKING)


def _check(path: str | os.PathLike, out: str | os.PathLike, suffixes: Sequence[str], seconds: float) -> None:
    """Before anything long. Raises ValueError and OSError as `answer_file` says."""
    path, out = Path(path), Path(out)
    if not seconds > 0:
        raise ValueError(f"seconds={seconds} must be positive")
    if out.suffix.lower() not in suffixes:
        raise ValueError(f"{out}: expected a suffix among {', '.join(suffixes)}")
    keep_apart(out, path)
    make_room(out)


def _under(question: str, answer: str, p: float) -> list[tuple[str, tuple[int, int, int]]]:
    """What is written under an answer's pictures."""
    return [(" ".join(question.split()), (90, 90, 90)), (f"{answer} ({100 * p:.0f} %)", (0, 0, 0))]


def choose(moments: Sequence[Moment], seconds: float) -> list[Moment]:
    """The moments of at least `ENOUGH` of the greatest support, the strongest that `seconds` hold, in order.

    The strongest is there in any case, if need be cut short. Those that follow one another are one, of their
    mean support. Raises ValueError for no moments.
    """
    if not moments:
        raise ValueError("a film without a frame has no moments")
    best = sorted(moments, key=lambda m: -m.support)
    first = best[0]
    chosen, left = [Moment(first.start, min(first.end, first.start + seconds), first.support)], seconds
    left -= chosen[0].end - chosen[0].start
    for moment in best[1:]:
        length = moment.end - moment.start
        if 0 < ENOUGH * first.support <= moment.support and length <= left + 1e-6:
            chosen, left = [*chosen, moment], left - length
    joined: list[Moment] = []
    for moment in sorted(chosen, key=lambda m: m.start):
        last = joined[-1] if joined else None
        if last and moment.start - last.end < 1e-6:
            lengths = last.end - last.start, moment.end - moment.start
            support = (last.support * lengths[0] + moment.support * lengths[1]) / sum(lengths)
            joined[-1] = Moment(last.start, moment.end, support)
        else:
            joined.append(moment)
    return joined
