"""Learning to say what clips show: several heads, and where the object is."""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vgm_jax.data.augmentation import Augmentation, backwards, either
from vgm_jax.data.parts import parts
from vgm_jax.data.spoiling import IGNORED, NONE, spoil
from vgm_jax.data.transforms import sample_frames, to_float, to_uint8
from vgm_jax.data.views import VIEWS
from vgm_jax.evaluation.calibration import calibration_error, confusion_matrix, confusion_picture
from vgm_jax.models.classifiers import Judgement
from vgm_jax.tasks.checks import check_modalities, check_words
from vgm_jax.tasks.descent import Trained, begin, descend
from vgm_jax.tasks.restoring import Start, freeze
from vgm_jax.tasks.rows import example_keys, join_rows, other_of_pair, split_rows
from vgm_jax.types import Array, Batch, Key, Media, Metrics, Params

LABELS = ("data", "direction")
RIGHT, WRONG = (40, 200, 60), (230, 40, 40)
LOOK = 3  # heads of what spoilt clips are told by: shape, colour, motion
DRAWN = 64  # classes of a head, up to which its confusion matrix is drawn


def unravel(label: Array, sizes: Sequence[int]) -> list[Array]:
    """A mixed-radix number int32 [...] over `sizes`, the first slowest -> one int32 [...] a size."""
    digits = []
    for size in reversed(sizes):
        digits.append(label % size)
        label = label // size
    return digits[::-1]


class Classification:
    """Cross entropy over heads, and the squared error of a track. `tasks.build` makes it from a config.

    Args:
      classifier: a module of `models.classifiers`, with a head for each of `heads`.
      heads: (name, number of classes) of each part of the label.
      label: "data": a batch's "label", one number for all heads; "direction": half of the clips run
        backwards, and the label is whether one does.
      track_weight: of the mean squared error of a batch's "track" [B T 3], in tenths of a frame's side.
      frames_seen: frames of a clip that one update looks at; 0: all.
      modalities: of a batch that the classifier is given, "video" with its times among them or not.
      modality_drop: chance that an update keeps a modality of a clip from it; one stays.
      mixup: alpha of Beta(alpha, alpha), by which clips are mixed two by two (arXiv 1710.09412); 0: not.
      label_smoothing: part of the target that is spread over all classes (arXiv 1512.00567, sec. 7).
      views: parts of time, and squares, of a clip whose probabilities evaluation averages.
      start: what the trunk starts as.
      frozen: whether it stays so.
      spoil_every: every n-th clip of a batch is spoiled (`data.spoiling`; it needs "track"), and each head
        has one class more, the last one: none. 0: neither.
    """

    def __init__(
        self,
        classifier: Any,
        heads: Sequence[tuple[str, int]],
        *,
        optimizer: optax.GradientTransformation,
        ema_decay: float,
        label: str = "data",
        track_weight: float = 0.0,
        frames_seen: int = 0,
        augmentations: tuple[str, ...] = (),
        spoil_every: int = 0,
        modalities: Sequence[str] = ("video",),
        modality_drop: float = 0.0,
        mixup: float = 0.0,
        label_smoothing: float = 0.0,
        views: tuple[int, int] = (1, 1),
        start: Start | None = None,
        frozen: bool = False,
    ):
        if label not in LABELS:
            raise ValueError(f"model.label={label!r} is unknown; choose one of {', '.join(LABELS)}")
        if label == "direction" and [size for _, size in heads] != [2]:
            raise ValueError(f"model.label='direction' needs one head of 2 classes; model.heads is {heads}")
        if label == "direction" and "reverse" in augmentations:
            raise ValueError(
                "model.label='direction' reverses clips itself: take 'reverse' out of data.augment"
            )
        if mixup and (track_weight or "text" in modalities):
            raise ValueError("objective.mixup mixes no words and no tracks: set it to 0")
        if views != (1, 1) and track_weight:
            raise ValueError("evaluate.views cannot be averaged where there is a track: set it to (1, 1)")
        alone = not hasattr(classifier, "trunk")
        if alone and (tuple(modalities) != ("video",) or modality_drop):
            raise ValueError(
                f"{type(classifier).__name__} sees pictures alone, and all of them: for other "
                "model.modalities, or model.modality_drop, set model.classifier.name='trunk'"
            )
        if spoil_every and len(heads) != LOOK:
            raise ValueError(
                f"data.spoil_every needs heads of shape, colour and motion (data.shapeshow.label='look'); "
                f"model.heads is {tuple(heads)}"
            )
        if frozen and start is None:
            raise ValueError("model.frozen needs model.start: a trunk that stays as it is must be trained")
        self.classifier, self.optimizer, self.ema_decay = classifier, optimizer, ema_decay
        self.names, self.sizes = tuple(name for name, _ in heads), tuple(size for _, size in heads)
        self.label, self.track_weight, self.frames_seen = label, track_weight, frames_seen
        self.augment = Augmentation(augmentations)
        self.modalities, self.modality_drop = tuple(modalities), modality_drop
        self.mixup, self.label_smoothing, self.views = mixup, label_smoothing, tuple(views)
        self.start, self.frozen = start, frozen
        self.confusion: dict[str, np.ndarray] = {}  # of the last evaluation, for a person to look at
        self.spoil_every, self.outputs = spoil_every, tuple(size + bool(spoil_every) for size in self.sizes)

    def init(self, key: Key, batch: Batch) -> Trained:
        first = {name: jnp.asarray(value)[:1] for name, value in self.given(batch).items()}
        frames = to_float(first.pop("video")) if "video" in first else None
        params = self.classifier.init(key, frames, first.pop("times", None), **first)
        return begin(params if self.start is None else self.start.put_into(params), self.optimizer)

    def view(self, source: Any) -> Any:
        """The source as it is.

        Raises ValueError where its clips lack one of the modalities, where they have no classes, or more than
        the heads, or more words than the trunk.
        """
        check_modalities(self.modalities, source)
        if "text" in self.modalities and hasattr(self.classifier, "trunk"):
            check_words(self.classifier.trunk.words, source)
        if self.track_weight and len(source) and "track" not in source[0]:
            raise ValueError("objective.track_weight needs clips with a track (data.shapeshow.track=True)")
        if self.label == "data" and len(source):
            known = len(source.class_names()) if hasattr(source, "class_names") else 0
            if known > (count := math.prod(self.sizes)):
                raise ValueError(f"the data has {known} classes, model.heads={self.sizes} hold {count}")
            if "label" not in (first := source[0]):
                raise ValueError(f"clips of split {getattr(source, 'split', '?')!r} have no classes (label)")
            self.check_labels(first["label"])
        return source

    def check_labels(self, labels: Array) -> None:
        """Raises ValueError for a class that the heads do not have; -1 is how some data sets hide theirs."""
        count = math.prod(self.sizes)
        wrong = [int(label) for label in np.ravel(labels) if not 0 <= label < count]
        if wrong:
            raise ValueError(f"a clip is of class {wrong[0]}; model.heads={self.sizes} hold 0..{count - 1}")

    def given(self, batch: Batch) -> Batch:
        """What of a batch the classifier is given. Raises ValueError where all of it is missing."""
        names = [n for name in self.modalities for n in ((name, "times") if name == "video" else (name,))]
        found = {name: batch[name] for name in names if name in batch}
        if not found:
            raise ValueError(
                f"clips have none of model.modalities={self.modalities}, only {', '.join(batch)}"
            )
        return found

    def prepare(self, batch: Batch, keys: Array) -> Batch:
        """The batch as it is asked about: with "direction", some clips reversed, "label" saying which.

        Their words stay as they are, or these would say it too.
        """
        if self.label == "data":
            return batch
        reversed_ = jax.vmap(jax.random.bernoulli)(keys)
        batch = {name: value for name, value in batch.items() if not name.startswith("label")}
        words = {n: x for n, x in batch.items() if n.endswith(VIEWS) or n + VIEWS in batch}
        batch = jax.vmap(lambda which, clip: either(which, backwards(clip), clip))(reversed_, batch)
        label = reversed_.astype(jnp.int32)
        # A mirrored clip runs as it did.
        views = jnp.stack([label, label, 1 - label, 1 - label], -1)
        return batch | words | {"label": label, "label" + VIEWS: views}

    def judge(
        self, params: Params, frames: Array | None, times: Array | None, **others: Mapping[str, Array] | Array
    ) -> Judgement:
        """The classifier's Judgement; raises ValueError where its heads are not the task's."""
        found = self.classifier.apply(params, frames, times, **others)
        sizes = tuple(logits.shape[-1] for logits in found.logits)
        if sizes != self.outputs:
            raise ValueError(f"the classifier's heads have {sizes} classes, not {self.outputs} (model.heads)")
        return found

    def judge_views(self, params: Params, batch: Batch, **present: Mapping[str, Array]) -> Judgement:
        """A batch judged as it is, or by the mean probabilities of its views, as logarithms."""
        seen = [self.given(part) for part in parts(batch, *self.views)]
        n = len(seen)
        seen = {name: jnp.concatenate([part[name] for part in seen]) for name in seen[0]}
        if present:
            present = {"present": {k: jnp.tile(v, n) for k, v in present["present"].items()}}
        frames = to_float(seen.pop("video")) if "video" in seen else None
        found = self.judge(params, frames, seen.pop("times", None), **seen, **present)
        if n == 1:
            return found
        logits = tuple(
            jax.nn.logsumexp(jax.nn.log_softmax(x).reshape(n, -1, *x.shape[1:]), 0) - math.log(n)
            for x in found.logits
        )
        return Judgement(logits, None, found.features.reshape(n, -1, found.features.shape[-1]).mean(0))

    def losses(
        self,
        found: Judgement,
        labels: Array,
        track: Array | None,
        tracked: Array | float = 1.0,
        smoothing: float = 0.0,
    ) -> tuple[Array, dict[str, tuple[Array, Array]]]:
        """Loss [B] of each clip, and figures with weights [B]: accuracies (means over frames), track error.

        labels int32 [B heads], some of them `NONE` or `IGNORED`; track [B T 3], `tracked` 1 where it holds.
        """
        loss, figures = jnp.zeros(len(labels)), {}
        for i, (name, size, logits) in enumerate(zip(self.names, self.sizes, found.logits, strict=True)):
            asked = (labels[:, i] != IGNORED).astype(jnp.float32)
            label = jnp.maximum(jnp.where(labels[:, i] == NONE, size, labels[:, i]), 0)
            if logits.ndim == 3:
                label = jnp.broadcast_to(label[:, None], logits.shape[:2])
            wrong = optax.softmax_cross_entropy_with_integer_labels(logits, label)
            if smoothing:
                spread = -jax.nn.log_softmax(logits).mean(-1)
                wrong = (1.0 - smoothing) * wrong + smoothing * spread
            right = (jnp.argmax(logits, -1) == label).astype(jnp.float32)
            loss += asked * wrong.reshape(len(loss), -1).mean(1) / len(self.sizes)
            figures[f"accuracy/{name}"] = right.reshape(len(loss), -1).mean(1), asked
        if self.track_weight:
            error = jnp.mean(jnp.square(10.0 * (found.track - track)), (1, 2))
            loss += self.track_weight * tracked * error
            figures["track_error"] = error, jnp.broadcast_to(tracked, error.shape)
        return loss, figures

    def train_step(
        self, state: Trained, batch: Batch, key: Key, axis_name: str | None = None
    ) -> tuple[Trained, Metrics]:
        keys = functools.partial(example_keys, batch_size=batch["video"].shape[0], axis_name=axis_name)
        label_key, frame_key, spoil_key, augment_key = jax.random.split(key, 4)
        batch = self.augment.in_time(self.prepare(batch, keys(label_key)), keys(augment_key))
        if self.frames_seen:
            choice = keys(frame_key), self.frames_seen
            if "track" in batch:
                batch = batch | {"track": sample_frames(batch["track"], batch["times"], *choice)[0]}
            video, times = sample_frames(batch["video"], batch["times"], *choice)
            batch = batch | {"video": video, "times": times}
        batch = self.augment.in_place(batch, keys(augment_key))
        video, track, tracked = batch["video"], batch.get("track"), 1.0
        labels = jnp.stack(unravel(batch["label"], self.sizes), -1)
        if self.spoil_every:
            video, labels, tracked = self.spoil(video, track, labels, keys(spoil_key))
        video = self.augment.in_look({"video": video}, keys(augment_key))["video"]
        seen = self.given(batch | {"video": video})
        frames = to_float(seen.pop("video")) if "video" in seen else None
        times, others = seen.pop("times", None), seen
        mixed = None
        if self.mixup:
            frames, others, mixed = self.mix(frames, others, keys(jax.random.fold_in(key, 4)))
        if self.modality_drop:
            others = others | {"present": self.kept(keys(jax.random.fold_in(key, 5)))}

        def loss(params):
            found = self.judge(freeze(params) if self.frozen else params, frames, times, **others)
            loss, figures = self.losses(found, labels, track, tracked, self.label_smoothing)
            if mixed is not None:
                other = self.losses(found, other_of_pair(labels), track, tracked, self.label_smoothing)[0]
                loss = mixed * loss + (1.0 - mixed) * other
            return loss.mean(), {"loss": (loss, jnp.ones_like(loss))} | figures

        gradient, figures = jax.grad(loss, has_aux=True)(state.params)
        return descend(state, gradient, figures, self.optimizer, self.ema_decay, axis_name)

    def mix(
        self, frames: Array | None, others: dict[str, Array], keys: Array
    ) -> tuple[Array | None, dict[str, Array], Array]:
        """Each clip with its pair's other one (pairs share a device), and its own share [B], at least 1/2."""
        share = jax.vmap(lambda k: jax.random.beta(k, self.mixup, self.mixup))(keys)
        share = jnp.maximum(share, 1.0 - share)

        def mixed(x):
            weight = share.reshape(-1, *[1] * (x.ndim - 1))
            return weight * x + (1.0 - weight) * other_of_pair(x)

        return (
            None if frames is None else mixed(frames),
            {k: mixed(v) for k, v in others.items()},
            share,
        )

    def kept(self, keys: Array) -> dict[str, Array]:
        """Of each modality, which clips it is not kept from, bool [B]; of each clip, one at least."""

        def choose(key):
            draw, which = jax.random.split(key)
            kept = jax.random.uniform(draw, (len(self.modalities),)) >= self.modality_drop
            one = jnp.arange(len(kept)) == jax.random.randint(which, (), 0, len(kept))
            return jnp.where(kept.any(), kept, one)

        kept = jax.vmap(choose)(keys)
        return {name: kept[:, i] for i, name in enumerate(self.modalities)}

    def spoil(self, video: Array, track: Array, labels: Array, keys: Array) -> tuple[Array, Array, Array]:
        """Every n-th clip spoiled: video uint8, labels [B heads], and where the track still holds [B]."""
        if track is None or len(video) % self.spoil_every:
            raise ValueError(
                f"data.spoil_every={self.spoil_every} needs clips with a track (data.shapeshow.track), and "
                f"must divide the {len(video)} clips of a batch (under pmap: of a device)"
            )
        (chosen, track, spoiled, keys), (others, _, rest, _) = split_rows(
            (video, track, labels, keys), self.spoil_every
        )
        frames, spoiled, tracked = spoil(to_float(chosen), track, spoiled, keys)
        return (
            join_rows(to_uint8(frames), others),
            join_rows(spoiled, rest),
            join_rows(tracked, jnp.ones(len(rest))),
        )

    @functools.partial(jax.jit, static_argnums=(0, 4))
    def examine(
        self, params: Params, batch: Batch, keys: Array, alone: str = ""
    ) -> tuple[Batch, dict[str, Array], dict[str, Array]]:
        """The batch as it was asked about; figures [B] of each clip: loss, and accuracy of each head.

        And of each head that judges clips: label, guess and confidence [B 3]. `alone`: without the other
        modalities.
        """
        batch, present = self.prepare(batch, keys), {}
        if alone:
            n = len(batch["video"])
            present = {"present": {name: jnp.full(n, name == alone) for name in self.modalities}}
        found = self.judge_views(params, batch, **present)
        labels = jnp.stack(unravel(batch["label"], self.sizes), -1)
        loss, figures = self.losses(found, labels, batch.get("track"))
        figures = {"loss": loss} | {name: value for name, (value, _) in figures.items()}
        answers = {}
        for i, (name, logits) in enumerate(zip(self.names, found.logits, strict=True)):
            if logits.ndim == 2:
                p = jax.nn.softmax(logits)
                answers[name] = jnp.stack([labels[:, i].astype(p.dtype), p.argmax(-1), p.max(-1)], -1)
        return batch, figures, answers

    def evaluate(self, state: Trained, batches: Iterable[Batch], key: Key) -> dict[str, float]:
        """Means over held-out clips of the averaged parameters' loss and accuracies; and how many clips.

        And each head's calibration error; of a task that drops modalities, accuracies with one alone.
        """
        alone = [n for n in self.modalities if self.modality_drop and len(self.modalities) > 1]
        sums, count, done, answers = {}, 0.0, 0, {}
        for batch in batches:
            mask = np.asarray(batch["mask"])
            if self.label == "data":
                self.check_labels(batch["label"])
            batch = {name: jnp.asarray(value) for name, value in batch.items() if name != "mask"}
            keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(done + jnp.arange(len(mask)))
            _, figures, found = self.examine(state.average, batch, keys)
            for name in alone:
                _, less, _ = self.examine(state.average, batch, keys, name)
                figures |= {f"{k}/{name}_alone": v for k, v in less.items() if k.startswith("accuracy")}
            for name, value in figures.items():
                sums[name] = sums.get(name, 0.0) + float(np.sum(np.asarray(value) * mask))
            for name, value in found.items():
                answers.setdefault(name, []).append(np.asarray(value)[mask > 0])
            count += float(mask.sum())
            done += len(mask)
        result = {name: value / count for name, value in sums.items()}
        for name, rows in answers.items():
            label, guess, confidence = np.concatenate(rows).T
            result[f"calibration_error/{name}"] = calibration_error(confidence, label == guess)
            size = self.outputs[self.names.index(name)]
            self.confusion[name] = confusion_matrix(label.astype(int), guess.astype(int), size)
        return result | {"clips": count}

    def protocol(self) -> dict[str, Any]:
        """What is guessed."""
        given = {"modalities": list(self.modalities), "views": list(self.views)}
        return {"label": self.label, "heads": dict(zip(self.names, self.sizes, strict=True))} | given

    def show(self, state: Trained, batch: Batch, key: Key) -> dict[str, Media]:
        """Clips as they were asked about, framed green where every head is right, else red.

        And what was taken for what in the last evaluation (rows are classes), of each head.
        """
        n = min(16, len(batch["video"]))
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(n))
        batch = {name: jnp.asarray(value)[:n] for name, value in batch.items() if name != "mask"}
        batch, figures, _ = self.examine(state.average, batch, keys)
        right = math.prod(np.asarray(figures[f"accuracy/{name}"]) > 0.5 for name in self.names)
        video, times = np.asarray(batch["video"]), np.asarray(batch["times"])
        framed = np.empty((*video.shape[:2], video.shape[2] + 4, video.shape[3] + 4, 3), np.uint8)
        framed[:] = np.where(right[:, None], RIGHT, WRONG)[:, None, None, None]
        framed[:, :, 2:-2, 2:-2] = video
        fps = 1.0 / float(times[0, 1] - times[0, 0]) if times.shape[1] > 1 else 1.0
        drawn = {name: m for name, m in self.confusion.items() if len(m) <= DRAWN}
        pictures = {f"confusion_{name}": confusion_picture(m)[None, None] for name, m in drawn.items()}
        return {"judged": Media(framed, fps)} | {n: Media(picture, 1.0) for n, picture in pictures.items()}
