"""Learning which parts of a film matter: from annotators' scores, or by rebuilding it against a critic."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from vgm_jax.data.featured import Featured
from vgm_jax.data.sequences import Sequences, film_of
from vgm_jax.evaluation.look import Remembered
from vgm_jax.evaluation.summaries import anchors, judge, scores_picture
from vgm_jax.models.layers import unit_variance
from vgm_jax.models.summarizers import Critic, Reconstructor, Scorer
from vgm_jax.objectives import Objective
from vgm_jax.objectives.variational import divergence
from vgm_jax.tasks.rows import example_keys, numbers
from vgm_jax.tasks.vectors import Vectors
from vgm_jax.training.optimizers import ema
from vgm_jax.types import Array, Batch, Key, Media, Metrics, Params

LEARNT = ("supervised", "adversarial")
# Steps of the scale on which scores are told, as people score on one: what differs by less is a tie. Moments
# of a shot mostly matter alike, and a network's last decimals would put them in an order that nobody gave.
LEVELS = 10
APART = 2**31 - 1  # a key of its own, which no film's place is


@flax.struct.dataclass
class SummaryState:
    """step int32: updates done. The scorer's moving average is what is used.

    `params`: of the scorer, and what rebuilds films where there is a critic. The critic's are empty where
    there is none.
    """

    step: Array
    params: Params
    average: Params
    opt: Any
    critic: Params
    critic_opt: Any


class Summarization:
    """Importance of every moment of a film. `tasks.build` makes it from a config.

    Supervised, the loss is the cross entropy of a moment's score and the annotators' mean one. Adversarial,
    it is SUM-GAN's (Mahasseni et al., CVPR 2017, sec. 4 and alg. 1): selector and encoder minimise the error
    of the rebuilt film, the latents' divergence from a normal prior, and (mean score - length)^2; the decoder
    minimises that error and the objective's g_loss; the critic minimises d_loss against the film rebuilt from
    the selector's scores and from random ones, with its penalty. The error is that of the vectors: by that
    in the critic's hidden layer, as there, what matters was found less often than by chance.

    Args:
      scorer: gives the logits of scores.
      vectors: what makes vectors of films that come as pictures; None: the source has them.
      rebuild: of a size of vectors, what rebuilds films from scores; None: supervised.
      critic, objective, penalty: of the adversarial way.
      length: mean score that is aimed at.
      prior_weight: of the divergence, per latent number.
      recon_weight: of the error of the rebuilt film.
    """

    def __init__(
        self,
        scorer: Scorer,
        *,
        optimizer: optax.GradientTransformation,
        ema_decay: float,
        vectors: Vectors | None = None,
        rebuild: Callable[[int], Reconstructor] | None = None,
        critic: Critic | None = None,
        critic_optimizer: optax.GradientTransformation | None = None,
        objective: Objective | None = None,
        penalty: Any = None,
        penalty_weight: float = 0.0,
        length: float = 0.3,
        prior_weight: float = 0.01,
        recon_weight: float = 1.0,
    ):
        self.scorer, self.optimizer, self.ema_decay = scorer, optimizer, ema_decay
        self.vectors, self.rebuild, self.critic = vectors, rebuild, critic
        self.critic_optimizer, self.objective = critic_optimizer, objective
        self.penalty, self.penalty_weight = penalty, penalty_weight
        self.length, self.prior_weight, self.recon_weight = length, prior_weight, recon_weight
        self._anchors: dict[tuple[float, str], Remembered] = {}
        self._given: dict[str, Any] = {}  # what the source says of its figures

    def view(self, source: Any) -> Any:
        """The source as this task wants it: of films of vectors, filled up to one length."""
        if not hasattr(source, "protocol"):
            raise ValueError(
                f"task 'summarization' needs films with annotators (data.source='summaries' or "
                f"'shapeshow_films'), not {source!r}"
            )
        self._given = dict(source.protocol)
        if hasattr(source, "film"):
            if self.vectors is None:
                raise ValueError("films of pictures need model.features: networks, or a workdir with a trunk")
            source = Featured(source, self.vectors)
        return Sequences(source)

    # ------------------------------------------------------------------ updates
    def init(self, key: Key, batch: Batch) -> SummaryState:
        """Of films, or, with `vectors`, of nothing: these know their size."""
        size = batch["features"].shape[-1] if "features" in batch else self._vectors().size
        score_key, rebuild_key, critic_key = jax.random.split(key, 3)
        film = jnp.zeros((1, 4, size)), jnp.zeros((1, 4)), jnp.ones((1, 4), bool)
        params, critic, critic_opt = {"scorer": self.scorer.init(score_key, *film)}, {}, {}
        if self.rebuild is not None:
            module = self.rebuild(size)
            noise = jnp.zeros((1, 4, module.latent))
            params["rebuild"] = module.init(rebuild_key, film[0], film[1], film[1], film[2], noise)
            critic = self.critic.init(critic_key, *film)
            critic_opt = self.critic_optimizer.init(critic)
        average = jax.tree.map(jnp.copy, params["scorer"])
        return SummaryState(
            jnp.zeros((), jnp.int32), params, average, self.optimizer.init(params), critic, critic_opt
        )

    def _vectors(self) -> Vectors:
        if self.vectors is None:
            raise ValueError("this model was trained on vectors from a file, and cannot make any of a film")
        return self.vectors

    def train_step(
        self, state: SummaryState, batch: Batch, key: Key, axis_name: str | None = None
    ) -> tuple[SummaryState, Metrics]:
        if self.rebuild is None:
            gradient, metrics = self._supervised(state, batch, key, axis_name)
            critic_gradient = None
        else:
            gradient, critic_gradient, metrics = self._adversarial(state, batch, key, axis_name)
        if axis_name is not None:
            gradient, critic_gradient = jax.lax.pmean((gradient, critic_gradient), axis_name)
            metrics = jax.lax.psum(metrics, axis_name)
        update, opt = self.optimizer.update(gradient, state.opt, state.params)
        params = optax.apply_updates(state.params, update)
        critic, critic_opt = state.critic, state.critic_opt
        if critic_gradient is not None:
            update, critic_opt = self.critic_optimizer.update(critic_gradient, critic_opt, critic)
            critic = optax.apply_updates(critic, update)
        average = ema(state.average, params["scorer"], state.step, self.ema_decay)
        return SummaryState(state.step + 1, params, average, opt, critic, critic_opt), metrics

    def _supervised(
        self, state: SummaryState, batch: Batch, key: Key, axis_name: str | None
    ) -> tuple[Params, Metrics]:
        keys = example_keys(key, len(batch["valid"]), axis_name)

        def loss(params):
            film = batch["features"], batch["times"], batch["valid"]
            logits = self.scorer.apply(params["scorer"], *film, keys)
            wrong = cross_entropy(logits, batch["importance"], batch["valid"])
            return wrong.mean(), {"loss": (wrong.sum(), jnp.asarray(float(len(wrong))))}

        return jax.grad(loss, has_aux=True)(state.params)

    def _adversarial(
        self, state: SummaryState, batch: Batch, key: Key, axis_name: str | None
    ) -> tuple[Params, Params, Metrics]:
        valid, times = batch["valid"], batch["times"]
        film = unit_variance(batch["features"].astype(jnp.float32)) * valid[..., None]
        module = self.rebuild(film.shape[-1])
        keys = example_keys(key, len(film), axis_name)

        def draws(i, draw, shape):
            return jax.vmap(lambda k: draw(jax.random.fold_in(k, i), shape))(keys)

        n = film.shape[1]
        noise = draws(0, jax.random.normal, (n, module.latent))
        # Random summaries are as long as the selector's ought to be.
        random = draws(1, jax.random.uniform, (n,)) * 2 * self.length
        random = jnp.minimum(random, 1.0)
        count = jnp.maximum(valid.sum(1), 1)

        def rebuilt(params, method, *args):
            return module.apply(params["rebuild"], *args, method=method)

        def seen(critic, frames):
            n = len(frames) // len(valid)  # penalties may ask of several films at once
            film_valid, film_times = (jnp.tile(x, (n, 1)) for x in (valid, times))
            return self.critic.apply(critic, frames * film_valid[..., None], film_times, film_valid)

        def ours(params):
            """The loss of selector, encoder and decoder; and the films that the critic is shown."""
            scores = jax.nn.sigmoid(self.scorer.apply(params["scorer"], batch["features"], times, valid))
            mean, log_variance = rebuilt(params, "encode", film)
            latents = mean + jnp.exp(0.5 * log_variance) * noise
            back = rebuilt(params, "decode", latents, film, times, scores, valid)
            error = (jnp.square(back - film).mean(-1) * valid).sum(1) / count
            prior = divergence(mean, log_variance).mean(-1)
            prior = (prior * valid).sum(1) / count
            mean_score = (scores * valid).sum(1) / count
            length = jnp.square(mean_score - self.length)
            # The decoder alone plays against the critic.
            held = jax.lax.stop_gradient((latents, scores))
            played = rebuilt(params, "decode", held[0], film, times, held[1], valid)
            real_logits, fake_logits = seen(state.critic, film), seen(state.critic, played)
            g_loss = self.objective.g_loss(real_logits, fake_logits)
            loss = self.recon_weight * error.mean() + self.prior_weight * prior.mean() + length.mean()
            figures = {"recon": error.mean(), "prior": prior.mean(), "score": mean_score.mean()}
            figures |= {"g_loss": g_loss}
            return loss + g_loss, (jax.lax.stop_gradient(back), held[1], figures)

        gradient, (back, _, figures) = jax.grad(ours, has_aux=True)(state.params)
        by_chance = jax.lax.stop_gradient(
            rebuilt(state.params, "__call__", film, times, random, valid, noise)
        )

        def theirs(critic):
            real, fake, chance = (seen(critic, x) for x in (film, back, by_chance))
            loss = 0.5 * (self.objective.d_loss(real, fake) + self.objective.d_loss(real, chance))
            penalty = jnp.zeros(())
            if self.penalty is not None:
                own, places = jax.random.fold_in(key, APART), numbers(len(film), axis_name)
                penalty = self.penalty(lambda x: seen(critic, x), film, back, own, places)
            return loss + self.penalty_weight * penalty, {"d_loss": loss, "penalty": penalty}

        critic_gradient, more = jax.grad(theirs, has_aux=True)(state.critic)
        metrics = {name: (value, jnp.ones(())) for name, value in (figures | more).items()}
        return gradient, critic_gradient, metrics

    # ------------------------------------------------------------------ use
    @functools.partial(jax.jit, static_argnums=0)
    def logits(self, average: Params, features: Array, times: Array, valid: Array) -> Array:
        """Of the scores of moments, [B N], by the scorer's averaged parameters."""
        return self.scorer.apply(average, features, times, valid)

    def scores(self, average: Params, features: Array, times: Array, valid: Array) -> np.ndarray:
        """Importance of moments float32 [B N], in 0..1, in tenths (`LEVELS`)."""
        return _told(self.logits(average, features, times, valid))

    def evaluate(self, state: SummaryState, batches: Iterable[Batch], key: Key) -> dict[str, float]:
        """F, tau and rho by the source's protocol, means over films; beside them what needs no model.

        And "loss", of films whose moments have importance.
        """
        budget, reduce = self._given["budget"], self._given["reduce"]
        known = self._anchors.setdefault(
            (budget, reduce), Remembered(functools.partial(_known, budget=budget, reduce=reduce))
        )
        sums: dict[str, list[float]] = {}
        for batch in batches:
            given = [jnp.asarray(batch[name]) for name in ("features", "times", "valid")]
            logits = self.logits(state.average, *given)
            loss = np.asarray(cross_entropy(logits, jnp.asarray(batch["importance"]), given[2]))
            scores = _told(logits)
            for row in np.flatnonzero(batch["mask"]):
                film = film_of(batch, row)
                found = judge(scores[row][: len(film["picks"])], film, budget, reduce)
                found |= {"loss": float(loss[row])}
                arrays = [film[name] for name in ("shots", "user_summary", "picks", "importance")]
                more = known(*arrays, *([film["user_scores"]] if "user_scores" in film else []))
                found |= {f"{anchor}/{name}": v for anchor, part in more.items() for name, v in part.items()}
                for name, value in found.items():
                    sums.setdefault(name, []).append(value)
        return {name: float(np.mean(rows)) for name, rows in sums.items()} | {"films": len(sums["f"])}

    def protocol(self) -> dict[str, Any]:
        """The source's protocol, and what the vectors are of."""
        if self.vectors is None:
            return dict(self._given)
        return self._given | {"vectors": self.vectors.description, "window": self.vectors.window}

    def show(self, state: SummaryState, batch: Batch, key: Key) -> dict[str, Media]:
        """Curves of films: annotators' mean importance, the model's, and the shots that it would take."""
        n = min(8, len(batch["valid"]))
        given = [jnp.asarray(batch[name])[:n] for name in ("features", "times", "valid")]
        scores = self.scores(state.average, *given)
        pictures = []
        for row in range(n):
            film = film_of(batch, row)
            pictures.append(scores_picture(scores[row][: len(film["picks"])], film, self._given["budget"]))
        return {"summaries": Media(np.stack(pictures)[:, None], 1.0)}


def _told(logits: Array) -> np.ndarray:
    """Logits of scores -> scores on their scale."""
    return np.round(np.asarray(jax.nn.sigmoid(logits)) * LEVELS) / np.float32(LEVELS)


def cross_entropy(logits: Array, importance: Array, valid: Array) -> Array:
    """Mean over moments of the cross entropy of scores and importance in 0..1: [B N] each -> [B]."""
    wrong = optax.sigmoid_binary_cross_entropy(logits, jnp.clip(importance, 0.0, 1.0))
    return (wrong * valid).sum(1) / jnp.maximum(valid.sum(1), 1)


def _known(shots, user_summary, picks, importance, user_scores=None, *, budget, reduce):
    video = {"shots": shots, "user_summary": user_summary, "picks": picks, "importance": importance}
    video |= {"n_frames": user_summary.shape[1]} | (
        {} if user_scores is None else {"user_scores": user_scores}
    )
    return anchors(video, budget, reduce)
