"""Learning to make feature vectors of a class, and what they are worth to a classifier of scarce classes."""

import functools
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vgm_jax.data.embedded import Embedded
from vgm_jax.data.sources.vectors import VectorFile
from vgm_jax.evaluation.compare import compare
from vgm_jax.evaluation.look import Remembered
from vgm_jax.evaluation.probe import Softmax, fit_softmax, judge_classes
from vgm_jax.evaluation.scatter import scatter_picture
from vgm_jax.models.layers import Dense
from vgm_jax.objectives import Objective, class_loss
from vgm_jax.tasks.feature_state import FeatureGANState, Standard
from vgm_jax.tasks.gan_state import counted, summed
from vgm_jax.tasks.rows import example_keys, numbers
from vgm_jax.tasks.vectors import Vectors
from vgm_jax.training.optimizers import ema
from vgm_jax.types import Array, Batch, Key, Media, Metrics, Params

SAMPLED = 1024  # vectors that are made at once: one program for any number
SHOWN = 2000  # vectors of a picture, at most
HELD_OUT = 8  # a clip in so many of those for training is taken of a held-out split


class FeatureGAN:
    """Generator and critic of vectors, told the class. `tasks.build` makes it from a config.

    An update is `rounds` of the critic's, each on another part of the batch, and one of the generator's. With
    a `class_weight`, the Wasserstein objective and its penalty it is f-CLSWGAN (arXiv 1712.00981, eq. 4): a
    softmax classifier learns from real vectors, alone, for `class_from` updates, and then stays, and the
    generator minimises class_weight times its loss on generated vectors too.

    Args:
      generator, critic: of `models.vectors`.
      classes: how many there are.
      attributes: numbers that describe a class; 0: one a class.
      vectors: what makes vectors of clips; None: the source has vectors.
      clips: of a source of clips, how many are taken for training.
      generated: vectors of each class that `evaluate` gives a classifier beside the real ones; 0: not asked.
      decay: of that classifier.
    """

    def __init__(
        self,
        generator: Any,
        critic: Any,
        objective: Objective,
        *,
        classes: int,
        attributes: int = 0,
        generator_optimizer: optax.GradientTransformation,
        critic_optimizer: optax.GradientTransformation,
        classifier_optimizer: optax.GradientTransformation | None = None,
        penalty: Any = None,
        penalty_weight: float = 0.0,
        rounds: int = 1,
        class_weight: float = 0.0,
        class_from: int = 0,
        ema_decay: float = 0.0,
        vectors: Vectors | None = None,
        clips: int = 0,
        generated: int = 0,
        decay: float = 1e-2,
    ):
        self.generator, self.critic, self.objective = generator, critic, objective
        self.classes, self.attributes = classes, attributes
        self.generator_optimizer, self.critic_optimizer = generator_optimizer, critic_optimizer
        self.classifier_optimizer = classifier_optimizer
        self.penalty, self.penalty_weight, self.rounds = penalty, penalty_weight, rounds
        self.class_weight, self.class_from = class_weight, class_from if class_weight else 0
        self.ema_decay, self.vectors, self.clips = ema_decay, vectors, clips
        self.generated, self.decay = generated, decay
        self.classifier = Dense(classes) if class_weight else None
        self.training: Any = None  # the source that it learns from
        self.standard: Standard | None = None
        self._fit = Remembered(self._softmax)  # of real vectors alone, the same at every evaluation

    # ------------------------------------------------------------------ data
    def view(self, source: Any) -> Any:
        """The source as vectors; the first one is what is learnt from, and sets what is usual."""
        if not isinstance(source, VectorFile | Embedded):
            if self.vectors is None:
                raise ValueError("clips need model.features: networks that make vectors of them")
            count = self.clips if self.training is None else max(1, self.clips // HELD_OUT)
            source = Embedded(source, self.vectors, count)
        names = source.class_names()
        if int(source.labels.max(initial=0)) >= self.classes or len(names) > self.classes:
            count = max(len(names), int(source.labels.max(initial=0)) + 1)
            raise ValueError(
                f"the data has {count} classes, the model {self.classes}: set "
                f"model.heads=(('class', {count}),)"
            )
        if self.attributes and source.attributes is None:
            raise ValueError("data.vectors.attributes needs vectors from a file that has attributes")
        if self.training is None:
            if len(source) < 2:
                raise ValueError(f"a GAN of vectors needs some to learn from; there are {len(source)}")
            self.training = source
            deviation = source.features.std(0)
            least = 1e-3 * max(float(deviation.max()), 1e-6)  # what never changes says nothing
            self.standard = Standard(source.features.mean(0), np.maximum(deviation, least))
        return source

    def init(self, key: Key, batch: Batch) -> FeatureGANState:
        """Of vectors, or, where clips become such, of nothing: their size is known."""
        size = batch["features"].shape[-1] if "features" in batch else self.vectors.size
        generator, critic = self.generator.clone(size=size), self.critic
        g_key, d_key, c_key = jax.random.split(key, 3)
        table = getattr(self.training, "attributes", None)
        if table is None:  # also of what only has the shapes of a state
            table = np.eye(self.classes, self.attributes or self.classes, dtype=np.float32)
        table, standard = jnp.asarray(table), self.standard or Standard(np.zeros(size), np.ones(size))
        standard = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), standard)
        one, vector = table[:1], jnp.zeros((1, size))
        params = generator.init(g_key, generator.noise(g_key[None]), one)
        judge = critic.init(d_key, vector, one)
        classifier = classifier_opt = ()
        if self.classifier is not None:
            classifier = self.classifier.init(c_key, vector)
            classifier_opt = self.classifier_optimizer.init(classifier)
        return FeatureGANState(
            step=jnp.zeros((), jnp.int32),
            generator=params,
            generator_ema=jax.tree.map(jnp.copy, params),
            discriminator=judge,
            classifier=classifier,
            generator_opt=self.generator_optimizer.init(params),
            discriminator_opt=self.critic_optimizer.init(judge),
            classifier_opt=classifier_opt,
            classes=table,
            standard=standard,
        )

    # ------------------------------------------------------------------ updates
    def train_step(
        self, state: FeatureGANState, batch: Batch, key: Key, axis_name: str | None = None
    ) -> tuple[FeatureGANState, Metrics]:
        real, labels = state.standard.of(batch["features"].astype(jnp.float32)), batch["label"]
        if len(real) % self.rounds:
            raise ValueError(
                f"objective.critic_rounds={self.rounds} must divide the {len(real)} vectors of a batch "
                "(under pmap: of a device)"
            )

        def play():
            return self.game(state, real, labels, key, axis_name)

        if not self.class_from:
            state, metrics = play()
            return state.replace(step=state.step + 1), metrics
        shapes = jax.eval_shape(play)[1]
        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

        def learn():
            after, figures = self.teach(state, real, labels, axis_name)
            return after, nothing | figures

        state, metrics = jax.lax.cond(state.step < self.class_from, learn, play)
        return state.replace(step=state.step + 1), metrics

    def teach(
        self, state: FeatureGANState, real: Array, labels: Array, axis_name: str | None
    ) -> tuple[FeatureGANState, Metrics]:
        """The classifier's update on real vectors, and its loss."""

        def loss(params):
            return class_loss(self.classifier.apply(params, real), labels)

        value, gradient = jax.value_and_grad(loss)(state.classifier)
        params, opt = self.descend(
            self.classifier_optimizer, gradient, state.classifier_opt, state.classifier, axis_name
        )
        return state.replace(classifier=params, classifier_opt=opt), summed(
            counted({"classifier_loss": value}), axis_name
        )

    def game(
        self, state: FeatureGANState, real: Array, labels: Array, key: Key, axis_name: str | None
    ) -> tuple[FeatureGANState, Metrics]:
        """The critic's rounds, then the generator's update."""
        parts = [x.reshape(-1, self.rounds, *x.shape[1:]).swapaxes(0, 1) for x in (real, labels)]
        round_keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(self.rounds + 1))

        def one(carry, part):
            params, opt = carry
            *rows, round_key = part
            gradient, figures = self.critic_gradient(state, params, *rows, round_key, axis_name)
            return self.descend(self.critic_optimizer, gradient, opt, params, axis_name), figures

        critic, figures = jax.lax.scan(
            one, (state.discriminator, state.discriminator_opt), (*parts, round_keys[:-1])
        )
        figures = jax.tree.map(jnp.mean, figures)
        state = state.replace(discriminator=critic[0], discriminator_opt=critic[1])
        gradient, more = self.generator_gradient(state, parts[0][-1], parts[1][-1], round_keys[-1], axis_name)
        params, opt = self.descend(
            self.generator_optimizer, gradient, state.generator_opt, state.generator, axis_name
        )
        average = ema(state.generator_ema, params, state.step - self.class_from, self.ema_decay)
        metrics = summed(counted(figures | more), axis_name)
        if self.class_from:
            metrics["classifier_loss"] = (jnp.zeros(()), jnp.zeros(()))
        return state.replace(generator=params, generator_ema=average, generator_opt=opt), metrics

    def descend(
        self, optimizer: Any, gradient: Params, opt: Any, params: Params, axis_name: str | None
    ) -> tuple[Params, Any]:
        """Parameters and the optimiser's state after an update."""
        if axis_name is not None:
            gradient = jax.lax.pmean(gradient, axis_name)
        update, opt = optimizer.update(gradient, opt, params)
        return optax.apply_updates(params, update), opt

    def make(self, params: Params, size: int, keys: Array, told: Array) -> Array:
        """Standardised vectors [B size] of keys [B] and descriptions of classes [B A]."""
        generator = self.generator.clone(size=size)
        return generator.apply(params, generator.noise(keys), told)

    def critic_gradient(
        self,
        state: FeatureGANState,
        params: Params,
        real: Array,
        labels: Array,
        key: Key,
        axis_name: str | None,
    ) -> tuple[Params, dict[str, Array]]:
        """Of d_loss and the penalty, on real vectors [B D] and as many of the same classes; and figures."""
        told, b = state.classes[labels], len(real)
        noise_key, penalty_key = jax.random.split(key)
        fake = self.make(state.generator, real.shape[-1], example_keys(noise_key, b, axis_name), told)

        def loss(params):
            def logits(x):  # of one side's rows, or those of both
                return self.critic.apply(params, x, jnp.tile(told, (len(x) // b, 1)))

            real_logits, fake_logits = logits(real), logits(fake)
            value = self.objective.d_loss(real_logits, fake_logits)
            figures = {"d_loss": value, "real_logit": real_logits.mean(), "fake_logit": fake_logits.mean()}
            if self.penalty is not None:
                figures["penalty"] = self.penalty(logits, real, fake, penalty_key, numbers(b, axis_name))
                value += self.penalty_weight * figures["penalty"]
            return value, figures

        return jax.grad(loss, has_aux=True)(params)

    def generator_gradient(
        self, state: FeatureGANState, real: Array, labels: Array, key: Key, axis_name: str | None
    ) -> tuple[Params, dict[str, Array]]:
        """Of g_loss and the classifier's loss on vectors of these classes [B]; and figures."""
        told, keys = state.classes[labels], example_keys(key, len(real), axis_name)
        real_logits = self.critic.apply(state.discriminator, real, told)

        def loss(params):
            fake = self.make(params, real.shape[-1], keys, told)
            fake_logits = self.critic.apply(state.discriminator, fake, told)
            value = self.objective.g_loss(real_logits, fake_logits)
            figures = {"g_loss": value}
            if self.classifier is not None:
                figures["class_loss"] = class_loss(self.classifier.apply(state.classifier, fake), labels)
                value += self.class_weight * figures["class_loss"]
            return value, figures

        return jax.grad(loss, has_aux=True)(state.generator)

    # ------------------------------------------------------------------ use
    @functools.partial(jax.jit, static_argnums=0)
    def _samples(self, state: FeatureGANState, key: Key, first: Array, labels: Array) -> Array:
        size = state.standard.mean.shape[0]
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(first + jnp.arange(len(labels)))
        return state.standard.back(self.make(state.generator_ema, size, keys, state.classes[labels]))

    def sample(self, state: FeatureGANState, key: Key, labels: np.ndarray) -> np.ndarray:
        """Vectors float32 [N D], as the data's, of classes int [N], by the averaged generator.

        Vector i depends on parameters, key, i and its class alone.
        """
        labels = np.asarray(labels, np.int32)
        rows = [np.zeros((0, len(state.standard.mean)), np.float32)]
        for start in range(0, len(labels), SAMPLED):
            part = labels[start : start + SAMPLED]
            filled = np.pad(part, (0, SAMPLED - len(part)))
            rows.append(np.asarray(self._samples(state, key, np.int32(start), filled))[: len(part)])
        return np.concatenate(rows)

    def evaluate(self, state: FeatureGANState, batches: Iterable[Batch], key: Key) -> dict[str, float]:
        """How far generated vectors are from held-out ones; what they are worth to a classifier.

        "frechet/vectors" and the like: against as many generated ones of the same classes, standardised.
        "real_vs_real/...": as many of training, where there are, in their place. And, with `generated`, a
        softmax classifier's figures on the held-out ones (`evaluation.probe`): "real/..." learnt from the
        training vectors, "augmented/..." from these and the generated ones, "gain" of the main figure: that
        is "harmonic" where there are classes without a training vector that attributes tell of, else
        "balanced".
        """
        seen = [
            {name: np.asarray(batch[name])[np.asarray(batch["mask"]) > 0] for name in ("features", "label")}
            for batch in batches
        ]
        held = {name: np.concatenate([part[name] for part in seen]) for name in ("features", "label")}
        labels = held["label"]
        if len(labels) < 2:  # a distance needs two
            return {"vectors": float(len(labels))}
        standard = jax.device_get(state.standard)
        real = standard.of(held["features"])
        fake = standard.of(self.sample(state, key, labels))
        found = {f"{name}/vectors": x for name, x in compare(real[:, None], fake[:, None]).items()}
        if self.training is None:
            return found | {"vectors": float(len(labels))}
        rows = np.random.default_rng(0).permutation(len(self.training))[: len(labels)]
        other = standard.of(self.training.features[rows])
        anchors = compare(real[:, None], other[:, None])
        found |= {f"real_vs_real/{name}/vectors": x for name, x in anchors.items()}
        if self.generated:
            found |= self.worth(state, real, labels, jax.random.fold_in(key, 1))
        return found | {"vectors": float(len(labels))}

    def worth(
        self, state: FeatureGANState, held: np.ndarray, labels: np.ndarray, key: Key
    ) -> dict[str, float]:
        """Figures on held-out standardised vectors of a classifier with and without generated ones."""
        standard = jax.device_get(state.standard)
        real, known = standard.of(self.training.features), self.training.labels
        seen = np.bincount(known, minlength=self.classes) > 0
        told = np.ones_like(seen) if self.attributes else seen  # of which something can be made
        asked = np.repeat(np.flatnonzero(told), self.generated)
        fake = standard.of(self.sample(state, key, asked))
        both = np.concatenate([real, fake]), np.concatenate([known, asked])
        found, main = {}, ""
        for name, probe in {"real": self._fit(real, known), "augmented": self._softmax(*both)}.items():
            figures = judge_classes(labels, probe.logits(held).argmax(1), seen)
            main = "harmonic" if self.attributes and "harmonic" in figures else "balanced"
            found |= {f"{name}/{figure}": value for figure, value in figures.items()}
        return found | {"gain": found[f"augmented/{main}"] - found[f"real/{main}"]}

    def _softmax(self, vectors: np.ndarray, labels: np.ndarray) -> Softmax:
        """Of the classes that there are vectors of."""
        return fit_softmax(vectors, labels, self.classes, decay=self.decay)

    def protocol(self) -> dict[str, Any]:
        """What the vectors are of, and what is made of them."""
        about = {"classes": self.classes, "generated": self.generated, "decay": self.decay}
        return about | ({} if self.vectors is None else {"vectors": self.vectors.description})

    def show(self, state: FeatureGANState, batch: Batch, key: Key) -> dict[str, Media]:
        """Training vectors, or else the batch's, and generated ones of the same classes, told by colour."""
        source = self.training
        features, labels = (
            (batch["features"], batch["label"]) if source is None else (source.features, source.labels)
        )
        rows = np.random.default_rng(0).permutation(len(labels))[:SHOWN]
        standard, labels = jax.device_get(state.standard), np.asarray(labels)[rows]
        real = standard.of(np.asarray(features)[rows])
        fake = standard.of(self.sample(state, key, labels))
        return {"vectors": Media(scatter_picture(real, labels, fake, labels)[None, None], 1.0)}
