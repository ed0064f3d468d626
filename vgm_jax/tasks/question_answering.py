"""Learning to answer questions about clips, from a closed list of answers."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vgm_jax.data.augmentation import Augmentation
from vgm_jax.data.lettering import captioned
from vgm_jax.data.text import Vocabulary
from vgm_jax.data.transforms import sample_frames, to_float
from vgm_jax.models.classifiers import Answerer
from vgm_jax.models.encoders import MODALITIES
from vgm_jax.objectives import layout_loss
from vgm_jax.tasks.checks import check_modalities, check_words
from vgm_jax.tasks.descent import Trained, begin, descend
from vgm_jax.tasks.restoring import Start, freeze
from vgm_jax.tasks.rows import example_keys
from vgm_jax.types import Array, Batch, Key, Media, Metrics, Params

SHOWN_SIDE = 160  # pixels of a clip that a person looks at
LINES = 4  # of text under it
RIGHT, WRONG = (20, 130, 50), (190, 30, 30)


class QuestionAnswering:
    """Cross entropy of a batch's "answer", given its "question" and its clip. `tasks.build` makes it.

    An answer that is not in the list of training's, -1, is wrong whatever is answered, and teaches nothing.

    Args:
      answerer: of as many answers as the data has.
      modalities: of a clip that it is given; none: it is asked without a clip, and what it then gets right
        is what questions tell about their answers.
      modality_drop: chance that an update keeps a modality of a clip from it, each on its own, so that it
        also learns what to say without sound, without a picture, and without either.
      layout_weight: of the loss of saying what is where, a batch's "layout", by an answerer that has one.
      frames_seen: frames of a clip that one update looks at; 0: all.
      start: what the trunk starts as.
      frozen: whether it stays so.

    Raises:
      ValueError: for unknown `modalities`; `frozen` without a start; or a `layout_weight` without a layout,
        or with what changes clips and not their layout.
    """

    def __init__(
        self,
        answerer: Answerer,
        *,
        optimizer: optax.GradientTransformation,
        ema_decay: float,
        modalities: Sequence[str] = ("video",),
        modality_drop: float = 0.0,
        layout_weight: float = 0.0,
        frames_seen: int = 0,
        augmentations: Sequence[str] = (),
        start: Start | None = None,
        frozen: bool = False,
    ):
        if frozen and start is None:
            raise ValueError("model.frozen needs model.start: a trunk that stays as it is must be trained")
        if layout_weight and (not answerer.layout or frames_seen or augmentations):
            raise ValueError(
                "objective.layout_weight needs model.classifier.layout, such as (7, 8) for ShapeShow's "
                "shapes and colours, and clips as they are: model.frames_seen=0, data.augment=()"
            )
        self.layout_weight = layout_weight
        unknown = [name for name in modalities if name not in MODALITIES]
        if unknown:
            raise ValueError(f"model.modalities has {unknown[0]!r}; choose of {', '.join(MODALITIES)}")
        self.answerer, self.optimizer, self.ema_decay, self.start = answerer, optimizer, ema_decay, start
        self.modalities, self.modality_drop = tuple(modalities), modality_drop
        self.frames_seen, self.augment, self.frozen = frames_seen, Augmentation(augmentations), frozen
        self.kinds: tuple[str, ...] = ()  # of questions, as `view` was told
        self.answers: tuple[str, ...] = ()
        self.vocabulary: Vocabulary | None = None

    def view(self, source: Any) -> Any:
        """The source, of which kinds of questions, answers and words are noted.

        Raises ValueError where it asks nothing, where its clips lack one of the modalities, or where its
        words or answers are more than the network's.
        """
        if not hasattr(source, "answer_names") or (len(source) and "question" not in source[0]):
            raise ValueError(
                f"{source!r} asks no questions; set data.shapeshow.question=True, or another source's key, "
                "such as data.msrvtt.questions"
            )
        check_modalities(self.modalities, source)
        if self.layout_weight and len(source):
            self._check_layout(source)
        self.answers, self.vocabulary = tuple(source.answer_names()), source.vocabulary
        self.kinds = tuple(source.kind_names()) if hasattr(source, "kind_names") else ()
        check_words(self.answerer.words, source)
        answers = self.answerer.answers
        if len(self.answers) > answers:
            raise ValueError(
                f"model.heads has {answers} answers, but the data has {len(self.answers)}: set it to "
                f"(('answer', {len(self.answers)}),)"
            )
        return source

    def _check_layout(self, source: Any) -> None:
        trunk, kinds = self.answerer.trunk, tuple(self.answerer.layout)
        cells = trunk.side // trunk.patch // 2
        if source[0].get("layout", np.zeros(2)).shape[1:2] != (cells,):
            raise ValueError(
                f"objective.layout_weight needs data.shapeshow.layout={cells}, one cell a place of the trunk"
            )
        known = source.layout_kinds
        if known != kinds:
            raise ValueError(f"model.classifier.layout={kinds} is not the data's: set it to {known}")

    def given(self, batch: Batch) -> Batch:
        """What of a batch the answerer is given: the question, as "text", and what there is of the clip.

        Of the latter, "said" is what its captions and subtitles say.
        """
        stored = {"video": ("video", "times"), "audio": ("audio",), "text": ()}
        names = [name for modality in self.modalities for name in stored[modality]]
        seen = {name: batch[name] for name in names if name in batch}
        if "text" in self.modalities and "text" in batch:
            seen["said"] = batch["text"]
        if "video" in seen:
            seen["video"] = to_float(seen["video"])
        return seen | {"text": batch["question"]}

    def asked(self, batch: Batch) -> tuple[Array, Batch]:
        """All that a batch asks, [B Q L], and a batch of "answer" and "kind" of these, [B Q].

        The first is its "question"; the others, where it has them, are its "more_question".
        """
        names = [name for name in ("answer", "kind") if name in batch]
        if "more_question" not in batch:
            return batch["question"][:, None], {name: batch[name][:, None] for name in names}
        length = batch["more_question"].shape[2]
        text = jnp.concatenate([batch["question"][:, None, :length], batch["more_question"]], 1)
        return text, {
            name: jnp.concatenate([batch[name][:, None], batch[f"more_{name}"]], 1) for name in names
        }

    def init(self, key: Key, batch: Batch) -> Trained:
        first = self.given({name: jnp.asarray(value)[:1] for name, value in batch.items()})
        params = self.answerer.init(key, first)
        return begin(params if self.start is None else self.start.put_into(params), self.optimizer)

    def losses(self, logits: Array, batch: Batch) -> tuple[Array, dict[str, tuple[Array, Array]]]:
        """Loss [B], and figures with weights [B]: loss, and accuracy, overall and by kind of question.

        Where the batch's "kind" is -1, nothing is asked.
        """
        answer = batch["answer"]
        known = ((answer >= 0) & (answer < logits.shape[-1])).astype(jnp.float32)
        loss = optax.softmax_cross_entropy_with_integer_labels(
            logits, jnp.maximum(answer, 0) * known.astype(int)
        )
        right = known * (jnp.argmax(logits, -1) == answer)
        asked = (batch["kind"] >= 0).astype(right.dtype) if "kind" in batch else jnp.ones_like(right)
        figures = {"loss": (loss, known), "accuracy": (right, asked)}
        for i, kind in enumerate(self.kinds if "kind" in batch else ()):
            figures[f"accuracy/{kind}"] = right, (batch["kind"] == i).astype(jnp.float32)
        return known * loss, figures

    def train_step(
        self, state: Trained, batch: Batch, key: Key, axis_name: str | None = None
    ) -> tuple[Trained, Metrics]:
        keys = functools.partial(example_keys, batch_size=len(batch["question"]), axis_name=axis_name)
        frame_key, augment_key, drop_key = jax.random.split(key, 3)
        batch = self.augment.in_time(batch, keys(augment_key))
        if self.frames_seen:
            video, times = sample_frames(batch["video"], batch["times"], keys(frame_key), self.frames_seen)
            batch = batch | {"video": video, "times": times}
        batch = self.augment.in_look(self.augment.in_place(batch, keys(augment_key)), keys(augment_key))
        text, answers = self.asked(batch)
        seen, present = self.given(batch) | {"text": text}, None
        if self.modality_drop and self.modalities:
            present = self.kept(keys(drop_key))

        def loss(params):
            params = freeze(params) if self.frozen else params
            said = self.answerer.apply(params, seen, present)
            rows = {name: value.reshape(-1) for name, value in answers.items()}
            found, figures = self.losses(said.logits.reshape(-1, said.logits.shape[-1]), rows)
            if not self.layout_weight or said.layout is None:  # it is asked without a picture
                return found.mean(), figures
            wrong, placed = self.where(said.layout, batch, present)
            return found.mean() + self.layout_weight * wrong.mean(), figures | placed

        gradient, figures = jax.grad(loss, has_aux=True)(state.params)
        return descend(state, gradient, figures, self.optimizer, self.ema_decay, axis_name)

    def where(
        self, said: Array, batch: Batch, present: Mapping[str, Array] | None = None
    ) -> tuple[Array, dict[str, tuple[Array, Array]]]:
        """Loss [B] of a layout that is said of clips, and figures with weights [B]: "layout", how often all
        properties of what is somewhere are right, and the loss."""
        layout = batch["layout"][:, :: self.answerer.trunk.tube]  # a tubelet shows its first frame as it is
        loss, right, count = layout_loss(said, layout, self.answerer.layout)
        seen = (present or {}).get("video", jnp.ones(len(loss), bool)).astype(jnp.float32)
        return seen * loss, {"layout": (right, seen * count), "layout_loss": (loss, seen)}

    def kept(self, keys: Array) -> dict[str, Array]:
        """Of each modality, which clips it is not kept from, bool [B]."""
        shape = (len(self.modalities),)
        stays = jax.vmap(lambda key: jax.random.uniform(key, shape) >= self.modality_drop)(keys)
        return {name: stays[:, i] for i, name in enumerate(self.modalities)}

    @functools.partial(jax.jit, static_argnums=0)
    def examine(
        self, params: Params, batch: Batch, present: Mapping[str, Array] | None = None
    ) -> tuple[Array, dict[str, tuple[Array, Array]]]:
        """Probabilities [B answers], and figures with weights [B] as `losses` has them."""
        said = self.answerer.apply(params, self.given(batch), present)
        figures = self.losses(said.logits, batch)[1]
        if self.layout_weight and "layout" in batch and said.layout is not None:
            figures |= self.where(said.layout, batch, present)[1]
        return jax.nn.softmax(said.logits), figures

    def evaluate(self, state: Trained, batches: Iterable[Batch], key: Key) -> dict[str, float]:
        """Means over held-out questions of the averaged parameters' loss and accuracies; and how many.

        The accuracy of each kind of question that was asked, and how many of its answers are not in the list.
        """
        sums: dict[str, np.ndarray] = {}
        for batch in batches:
            mask = np.asarray(batch["mask"])
            batch = {name: jnp.asarray(value) for name, value in batch.items() if name != "mask"}
            for name, (value, weight) in self.examine(state.average, batch)[1].items():
                weight = np.asarray(weight) * mask
                sums[name] = sums.get(name, 0.0) + np.array(
                    [(np.asarray(value) * weight).sum(), weight.sum()]
                )
        result = {name: float(total / count) for name, (total, count) in sums.items() if count}
        clips = float(sums["accuracy"][1])
        return result | {"unknown_answers": clips - float(sums["loss"][1]), "clips": clips}

    def protocol(self) -> dict[str, Any]:
        """What is given, and how many answers there are to choose from."""
        return {"modalities": list(self.modalities), "answers": self.answerer.answers}

    def show(self, state: Trained, batch: Batch, key: Key) -> dict[str, Media]:
        """Clips with their questions under them, and what was answered: green, or red before what is true."""
        n = min(9, len(batch["video"]))
        batch = {name: jnp.asarray(value)[:n] for name, value in batch.items() if name != "mask"}
        guesses = np.asarray(self.examine(state.average, batch)[0]).argmax(1)
        clips = []
        for i, (video, guess) in enumerate(zip(np.asarray(batch["video"]), guesses, strict=True)):
            truth = int(batch["answer"][i])
            said = self.vocabulary.decode(np.asarray(batch["question"][i])) if self.vocabulary else ""
            answer = self._name(guess) + ("" if guess == truth else f" (it is {self._name(truth)})")
            texts = [(said + "?", (0, 0, 0)), (answer, RIGHT if guess == truth else WRONG)]
            clips.append(captioned(video, texts, SHOWN_SIDE, LINES))
        times = np.asarray(batch["times"])
        fps = 1.0 / float(times[0, 1] - times[0, 0]) if times.shape[1] > 1 else 1.0
        return {"answered": Media(np.stack(clips), fps)}

    def _name(self, answer: int) -> str:
        return self.answers[answer] if 0 <= answer < len(self.answers) else f"answer {answer}"
