"""A trained classifier: what a film shows, as a whole and as it runs, and vectors of it for other uses."""

import functools
import os
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from vgm_jax.data.captions import Captions, said_in
from vgm_jax.data.text import Vocabulary
from vgm_jax.data.transforms import to_float
from vgm_jax.inference.films import Clips, in_batches, said_words
from vgm_jax.inference.streaming import Stream, joint
from vgm_jax.inference.zoo import averaged, open_run
from vgm_jax.models.classifiers import TrunkClassifier
from vgm_jax.models.encoders import MODALITIES
from vgm_jax.tasks.classification import Classification
from vgm_jax.tasks.restoring import text_length
from vgm_jax.training import workdir as workdirs
from vgm_jax.types import AUDIO_RATE, Batch, Params

BATCH = 8  # clips that go through the network at once; fixed, so that every film runs one program
VIEWS = 10  # clips of a film, evenly spread, whose probabilities are averaged by default

Answer = list[tuple[str, float]]  # classes and probabilities, the likeliest first


class ClassifierModel:
    """Says what films show: `classify`, `stream`, `features`.

    Of one that was trained with what is said ("text" among its modalities), `features` read `words` words a
    clip of a film's captions and subtitles, in it or beside it (`data.captions`).
    """

    def __init__(
        self,
        task: Classification,
        params: Params,
        *,
        size: int,
        frames: int,
        fps: float,
        names: Sequence[str],
        step: int,
        vocabulary: Vocabulary | None = None,
        words: int = 0,
    ):
        self.vocabulary, self.words = vocabulary, words
        self.task, self.size, self.frames, self.fps, self.step = task, size, frames, fps, step
        self.modalities = task.modalities
        self._params = params
        self.names = tuple(names)
        classes = int(np.prod(task.sizes))
        if len(self.names) != classes:
            parts = np.stack(np.unravel_index(np.arange(classes), task.sizes), 1)
            numbered = tuple(
                ", ".join(f"{name} {i}" for name, i in zip(task.names, row, strict=True)) for row in parts
            )
            # One head may have room for more classes than the data had.
            named = len(task.sizes) == 1 and len(self.names) < classes
            self.names = (*self.names, *numbered[len(self.names) :]) if named else numbered

    def classify(self, path: str | os.PathLike, top: int = 5, views: int = VIEWS) -> Answer:
        """The `top` likeliest classes of a film or a sound file, by the mean over `views` clips of it.

        Raises DecodeError where it cannot be read, ValueError for numbers that are not positive.
        """
        _check_positive(top=top, views=views)
        total, count = np.zeros(len(self.names)), 0
        for part, _ in self._seen(self.clips(path).spread(views)):
            total, count = total + part["probabilities"].sum(0), count + len(part["probabilities"])
        return self.answer(total / count, top)

    def clips(self, path: str | os.PathLike) -> Clips:
        """A file as the clips that the model takes: silent, where in training none lacked a sound.

        Raises DecodeError.
        """
        about = {"modalities": self.modalities, "silence": not self.task.modality_drop}
        return Clips(path, size=self.size, frames=self.frames, fps=self.fps, **about)

    def answer(self, probabilities: np.ndarray, top: int = 5) -> Answer:
        """Names and probabilities of the `top` likeliest of [classes]."""
        order = np.argsort(-probabilities, kind="stable")[:top]
        return [(self.names[i], float(probabilities[i])) for i in order]

    def features(self, path: str | os.PathLike) -> dict[str, np.ndarray]:
        """A film's vectors: "pooled" float32 [D], the mean over its clips, one after another.

        And of each modality that it has, one a token (a frame is one of the few of a tubelet): "video",
        "audio" and "text" [N D], "video_times", "audio_times" and "text_times" float64 [N], seconds at which
        each ends, of a word its clip; none of what fills the last clip up. Raises DecodeError, ValueError for
        a classifier without a trunk.
        """
        if not isinstance(self.task.classifier, TrunkClassifier):
            raise ValueError("only a classifier with a trunk (model.classifier.name='trunk') gives features")
        pooled, parts = [], {name: ([], []) for name in MODALITIES}
        clips = self.clips(path)
        for part, held in self._seen(clips, self._captions(path)):
            pooled.append(part["pooled"])
            start, gone = (np.array([clip[name] for clip in held])[:, None] for name in ("start", "part"))
            for name, (vectors, times) in parts.items():
                if name in part:
                    ends = part[f"{name}_times"].astype(np.float64)
                    own = ends - ends[:, :1] < gone * clips.seconds - 1e-6  # begins before the film's end
                    if name == "text":  # in a clip words have no time
                        ends, own = np.broadcast_to(gone * clips.seconds, ends.shape), part["words"]
                    vectors.append(part[name][own])
                    times.append((ends + start)[own])
        result = {"pooled": np.concatenate(pooled).mean(0)}
        for name, (vectors, times) in parts.items():
            if vectors:
                result |= {name: np.concatenate(vectors), f"{name}_times": np.concatenate(times)}
        return result

    def open_stream(self, fps: float | None = None, sound: bool = True) -> Stream:
        """A running answer to frames and sound that are pushed. Raises ValueError where it cannot stream."""
        sound = sound and "audio" in self.modalities
        return Stream(self.task, self._params, fps or self.fps, sound)

    def stream(self, path: str | os.PathLike, top: int = 5) -> Iterator[tuple[float, Answer]]:
        """What a film, as it runs, has shown so far: seconds and the `top` likeliest classes, each tubelet.

        Of a sound file, at every patch of sound. Raises as `classify`, and where the trunk is not causal.
        """
        _check_positive(top=top)
        clips = self.clips(path)
        running, heard = self.open_stream(sound=clips.has_audio or clips.silent), 0
        for clip in clips:
            video, audio = clip.get("video"), clip.get("audio")
            video = None if video is None else video[: round(clip["part"] * len(video))]
            if audio is not None:
                # Where a clip lasts no whole number of samples, from the one that was reached.
                first, end = (
                    round(AUDIO_RATE * (clip["start"] + x)) for x in (0, clip["part"] * clips.seconds)
                )
                audio = audio[np.clip(np.arange(heard, end) - first, 0, len(audio) - 1)]
                heard = end
            for seconds, probabilities in running.push(video, audio):
                yield seconds, self.answer(probabilities, top)
        for seconds, probabilities in running.finish():
            yield seconds, self.answer(probabilities, top)

    def _captions(self, path: str | os.PathLike) -> Captions | None:
        if self.vocabulary is None or "text" not in self.modalities:
            return None
        said = said_in(path)
        return said if said.text or said.cues else None

    def _seen(
        self, clips: Iterator[Batch], said: Captions | None = None
    ) -> Iterator[tuple[dict[str, np.ndarray], list[Batch]]]:
        """What the network says of clips, `BATCH` at a time, and these."""
        for batch, held in in_batches(clips, BATCH):
            if said is not None:
                about = BATCH, self.frames / self.fps, self.vocabulary, self.words
                batch["text"] = said_words(said, held, *about)
            found = jax.device_get(_said(self.task.classifier, self._params, self.task.given(batch)))
            yield {name: x[: len(held)] for name, x in found.items()}, held


@functools.partial(jax.jit, static_argnums=0)
def _said(classifier: Any, params: Params, given: Batch) -> dict[str, jax.Array]:
    """Of what a classifier is given: "probabilities", and, of one with a trunk, its vectors."""
    given, result = dict(given), {}
    if "video" in given:
        given["video"] = to_float(given["video"])
    if isinstance(classifier, TrunkClassifier):
        logits, seen = classifier.apply(params, given, method="encode")
        result = {"pooled": seen.pooled}
        for name, tokens in seen.tokens.items():
            result |= {name: tokens, f"{name}_times": seen.times[name]}
        if "text" in seen.tokens:
            result["words"] = seen.valid["text"]  # and no padding
    else:
        logits = classifier.apply(params, given["video"], given["times"]).logits
        logits = tuple(x.mean(1) if x.ndim == 3 else x for x in logits)
    return result | {"probabilities": joint(logits)}


def load_classifier(model: str | os.PathLike, step: int | None = None) -> ClassifierModel:
    """The classifier of a workdir: of the checkpoint that validation picked, or of `step`, or of the last.

    Raises WorkdirError where there is no run or no checkpoint, ValueError where the run is of another task
    or cannot do without words.
    """
    workdir, config = open_run(model, "classification")
    used = tuple(config.model.modalities)
    if "text" in used and (used == ("text",) or not config.model.modality_drop):
        raise ValueError(
            f"{workdir} learnt with each clip's words (model.modalities={used}), and classifiers read none "
            "of a film: train one without 'text', or with others beside it and a model.modality_drop"
        )
    if config.data.spoil_every:
        raise ValueError(f"{workdir}: a judge of spoiled clips (data.spoil_every) does not classify films")
    task, params, at = averaged(workdir, step)
    names = ("forwards", "backwards") if task.label == "direction" else workdirs.read_classes(workdir)
    return ClassifierModel(
        task,
        params,
        size=config.data.size,
        frames=config.data.frames,
        fps=config.data.fps,
        names=names,
        step=at,
        vocabulary=workdirs.read_vocabulary(workdir),
        words=text_length(config),
    )


def _check_positive(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"{name}={value} must be positive")
