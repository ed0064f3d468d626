"""Codes read off clips: painted back, and held against imagined ones."""

import copy
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from vgm_jax.models.discriminators.codes import MOVED, describe
from vgm_jax.models.encoders.condition import Condition
from vgm_jax.models.encoders.scene import Reading
from vgm_jax.models.scene import Asked, Codes, Known
from vgm_jax.tasks.critics import Critics
from vgm_jax.tasks.explained import UNEXPLAINED, Explained
from vgm_jax.tasks.gan_state import CodeState
from vgm_jax.tasks.phases import from_then
from vgm_jax.tasks.spins import dream
from vgm_jax.tasks.told import conditions_told, motion_told
from vgm_jax.types import Array, Batch, Key, Metrics, Params

SMOOTH = 0.3  # difference in pixel value under which the reconstruction's loss is quadratic
MOTION_NOISE = 0.04  # added to motion before it is judged, whose values are within one
ENCODER = "encoder"  # collection beside the generator's "params"
JITTER = 2**16  # tag of the key of moments: augmentations take small ones
IMAGINATION = "imagination"  # in the generator's "params"
MOVING = ("what", "trajectory", "known", MOVED)  # parts of the imagination that move, and their critic


def _normal(keys: Array, i: int, like: Array) -> Array:
    return jax.vmap(lambda k: jax.random.normal(jax.random.fold_in(k, i), like.shape[1:]))(keys)


class CodeGame:
    """What teaches a generator beside a discriminator of frames.

    An encoder reads codes off clips, and the generator paints them back: so each clip says what it should
    have been, and no kind of clip is forgotten (VAE/GAN, arXiv 1512.09300). Critics of codes hold imagined
    codes against those that were read (adversarial autoencoder, arXiv 1511.05644, turned round: the
    imagination learns, as in ALAE, arXiv 2004.04467). They need no pictures and are cheap, so that this game
    is played several times an update, with codes of the last batches.

    Where clips have conditions (a class, a text, a sound), they are imagined by these, of which each is
    dropped at times, so that one generator serves all of them; critics judge agreement, too.
    What is known of the motion at some times, as of a first picture, the generator moves through. And what
    was read can have to be imagined once more, from noise inferred from it: critics alone leave samples of
    real footage alike.

    Args:
      generator: with `imagine`, `move`, `paint` (`models.generators.ContinuousGenerator`).
      encoder: frames and times -> Codes.
      critics: of codes, and whether clips are asked for by anything (`critics.condition`).
      imagination_optimizer, critic_optimizer: of the game.
      reconstruction_weight: of the mean of a smooth absolute difference of pixels in [-1, 1].
      explained: how unlikely what was read is.
      noise: standard deviation added to content and form, of a mean square of one, before they are painted:
        codes next to each other then mean much the same. Half as much before they are judged: those read
        lie on a thin sheet, and what lies on it is else told from what lies beside it.
      far: the same, in its place, of about one clip in two, off which the encoder learns then only how things
        move: what is imagined lies beside what is read, and is to be painted as if it did not (denoising
        autoencoders, Vincent et al., 2008, sec. 2.3). The judge is shown these, too. 0: of none.
      known: whether motion is told at some times.
      spins_from: updates before the encoder learns which objects spin; None: it does not.
      rounds: of the game, an update.
      batch: clips a round.
      memory: codes of how many clips are kept.
      recent: and used, of those read last, while the encoder learns.
      stride: every n-th clip of an update is kept.
      early: rounds, and stride, until codes settle, where they do.
      moments: at how many times, spread over the clip: two do not tell a straight path from a wavering one.
    """

    def __init__(
        self,
        generator: Any,
        encoder: Any,
        critics: Critics,
        *,
        explained: Explained | None = None,
        known: bool = False,
        spins_from: int | None = None,
        imagination_optimizer: optax.GradientTransformation,
        critic_optimizer: optax.GradientTransformation,
        reconstruction_weight: float,
        noise: float,
        far: float = 0.0,
        rounds: int,
        batch: int,
        memory: int,
        recent: int,
        stride: int,
        early: tuple[int, int] | None = None,
        moments: int,
    ):
        self.generator, self.encoder, self.critics = generator, encoder, critics
        self.known, self.spins_from = known, spins_from
        self.explained = explained or Explained(generator, {})
        self.until: int | None = None  # updates have numbers below that
        self.imagination_optimizer, self.critic_optimizer = imagination_optimizer, critic_optimizer
        self.reconstruction_weight, self.noise, self.far = reconstruction_weight, noise, far
        self.rounds, self.batch, self.memory, self.recent = rounds, batch, memory, min(recent, memory)
        self.stride, self.moments = stride, moments
        self.early_rounds, self.early_stride = early or (rounds, stride)
        self.most = max(rounds, self.early_rounds)

    def below(self, until: int) -> "CodeGame":
        """The same, of updates whose numbers are below `until`."""
        game = copy.copy(self)
        game.until = until
        return game

    def init(
        self, key: Key, generator: Params, frames: Array, times: Array, given: Mapping[str, Array]
    ) -> tuple[Params, CodeState]:
        """Parameters of the encoder, of frames [1 K H W C]; and the game's state, of clips at times [1 T].

        given: name -> [1 ...], what a clip could be asked for by.
        """
        codes, encoder = self.encoder.init_with_output(key, frames, times[:, : frames.shape[1]])
        times = self.spread(times, times, key[None])["times"]
        motion = jnp.zeros((1, times.shape[1], codes.motion.shape[-1]), codes.motion.dtype)
        codes = codes._replace(motion=motion)
        critics = self.init_critics(jax.random.fold_in(key, 1), codes, times, given)
        empty = jax.tree.map(
            lambda x: jnp.zeros((self.memory, *x.shape[1:]), x.dtype), (codes, times, dict(given))
        )
        return encoder["params"], CodeState(
            critics,
            self.critic_optimizer.init(critics),
            self.imagination_optimizer.init(generator["params"][IMAGINATION]),
            *empty,
        )

    def anew(self, state: CodeState) -> tuple[Params, CodeState]:
        """The imagination's parameters and the game as they began, but for what has been read."""
        imagination, critics = state.begun
        return imagination, state.replace(
            critics=critics,
            critics_opt=self.critic_optimizer.init(critics),
            imagination_opt=self.imagination_optimizer.init(imagination),
        )

    def init_critics(self, key: Key, codes: Codes, times: Array, given: Mapping[str, Array]) -> Params:
        """Parameters of critics and of what infers, for clips at times [B K] and what they are asked by."""
        params = self.critics.init(key, codes, times, given)
        asked = self.critics.asked(params, given, times)
        return params | self.explained.init(key, codes, times, asked and asked.clip)

    def spread(self, video: Array, times: Array, keys: Array) -> Batch:
        """Of clips [B T ...] at times [B T], at most `moments` frames: one of each part, by keys [B].

        At even moments waves above and below half their rate look alike, and paths zigzag between them; at
        jittered ones they do not (Cook, "Stochastic sampling in computer graphics", 1986, sec. 3).
        """
        count = times.shape[1]
        part = -(-count // self.moments)
        first = jnp.arange(0, count, part)
        late = jax.vmap(lambda k: jax.random.randint(jax.random.fold_in(k, JITTER), first.shape, 0, part))(
            keys
        )
        index = jnp.minimum(first + late, count - 1)
        return {
            "video": jax.vmap(lambda rows, i: rows[i])(video, index),
            "times": jnp.take_along_axis(times, index, 1),
        }

    def read(self, generator: Params, frames: Array, times: Array) -> Codes:
        """The codes of clips [B K H W C] in [-1, 1] at times [B K]."""
        return self.look(generator, frames, times).codes

    def look(self, generator: Params, frames: Array, times: Array) -> Reading:
        """As `read`, with what led there."""
        return self.encoder.apply({"params": generator[ENCODER]}, frames, times, method="look")

    def ask(self, generator: Params, given: Mapping[str, Array], present: Mapping[str, Array]) -> Condition:
        """What clips are asked for by, to the generator."""
        return self.generator.apply(generator, given, present, method="ask")

    def imagine(self, generator: Params, noise: Any, times: Array, asked: Asked | None = None) -> Codes:
        """Codes of noise."""
        return self.generator.apply(generator, noise, times, asked, method="imagine")

    def move(
        self,
        generator: Params,
        codes: Codes,
        noise: Any,
        times: Array,
        asked: Asked | None = None,
        known: Known | None = None,
    ) -> Codes:
        """What codes show, moving by the noise and through what is known.

        With `known`, noise and `asked` are of its times, too, after the others.
        """
        args = codes.content, codes.form, noise, times, asked, known
        return self.generator.apply(generator, *args, method="move")

    def paint(self, generator: Params, codes: Codes) -> Array:
        """Frames of codes."""
        return self.generator.apply(generator, codes, method="paint")

    def blur(self, codes: Codes, keys: Array, noise: Array | float) -> Codes:
        """What codes show, with noise of each clip's key, of one deviation, or of one a clip [B]."""
        noise = jnp.reshape(jnp.asarray(noise, codes.content.dtype), (-1, 1))
        content = codes.content + noise * _normal(keys, 0, codes.content)
        form = codes.form + noise[..., None] * _normal(keys, 1, codes.form)
        return codes._replace(content=content, form=form)

    def strayed(self, codes: Codes, keys: Array) -> Codes:
        """Codes of B clips as painters learn of them: with noise, by each clip's key [B] little or much."""
        if not self.far:
            return self.blur(codes, keys, self.noise)
        much = jax.vmap(lambda k: jax.random.bernoulli(jax.random.fold_in(k, 3)))(keys)

        def given(x):
            return jnp.where(much.reshape(-1, *[1] * (x.ndim - 1)), jax.lax.stop_gradient(x), x)

        codes = codes._replace(content=given(codes.content), form=given(codes.form))
        return self.blur(codes, keys, jnp.where(much, self.far, self.noise))

    def shake(self, motion: Array, keys: Array) -> Array:
        """How codes move, with noise of each clip's key."""
        return motion + MOTION_NOISE * _normal(keys, 2, motion)

    def reconstruct(
        self,
        generator: Params,
        frames: Array,
        times: Array,
        keys: Array,
        step: Array,
        judge: Callable[[Array], tuple[Array, Any]] | None = None,
    ) -> tuple[Params, Codes, Metrics, Any]:
        """The generator's gradient of painting what is read off frames [B K H W C] in [-1, 1] at times [B K].

        And what was read, the losses, and what the judge finds.

        Args:
          keys: [B] of the noise.
          step: the update's number.
          judge: painted frames to the gradient by them of what else they shall do, and whatever it finds.
        """

        def forward(generator):
            read = self.look(generator, frames, times)
            painted = self.paint(generator, self.strayed(read.codes, keys))
            if self.spins_from is None:
                return (painted, jnp.zeros(())), read.codes
            paint = functools.partial(self.paint, jax.lax.stop_gradient(generator))
            dreamt = functools.partial(dream, paint, functools.partial(self.look, generator))
            nothing = lambda *_: jnp.zeros(())  # noqa: E731
            dreamt = from_then(step, self.spins_from, self.until, nothing, dreamt, read, times, keys)
            return (painted, dreamt), read.codes

        def miss(painted):
            missed = painted - frames
            return jnp.mean(jnp.sqrt(jnp.square(missed) + SMOOTH**2) - SMOOTH)

        (painted, dreamt), pull, read = jax.vjp(forward, generator, has_aux=True)
        missed, towards = jax.value_and_grad(miss)(painted)
        towards, found = self.reconstruction_weight * towards, None
        if judge is not None:
            pulled, found = judge(painted)
            towards += pulled
        metrics = {"reconstruction": missed} | ({} if self.spins_from is None else {"dream": dreamt})
        (gradient,) = pull((towards, jnp.ones_like(dreamt)))
        return gradient, read, metrics, found

    def remember(self, state: CodeState, codes: Codes, times: Array, given: Mapping[str, Array]) -> CodeState:
        """With codes of clips at times [B K], and what is given of them, in place of the oldest."""

        def put(new, old):
            return jnp.concatenate([new, old])[: self.memory]

        kept = state.memory, state.times, state.given
        memory, times, given = jax.tree.map(put, (codes, times, dict(given)), kept)
        return state.replace(memory=memory, times=times, given=given)

    def rounds_of(self, step: Array, settled_from: int | None, fall: bool) -> Array | int:
        """How many are played in an update.

        fall: until codes settle, fewer and fewer, as these drift less and less.
        """
        if not settled_from:
            return self.rounds
        early = self.early_rounds
        if fall:
            early = jnp.ceil(early * (1.0 - step / settled_from)).astype(jnp.int32)
        if self.until is not None and self.until <= settled_from:
            return early
        return jnp.where(step < settled_from, early, self.rounds)

    def play(
        self,
        state: CodeState,
        generator: Params,
        known: Array,
        key: Key,
        held: Array | float = 1.0,
        rounds: Array | int | None = None,
    ) -> tuple[CodeState, Params, Metrics]:
        """The game with the `known` first codes of the memory; and its losses, a sum and a count each.

        held: part of `penalty_weight` that counts now; rounds: at most `most`; None: `rounds`.
        """
        rounds = self.rounds if rounds is None else rounds
        keys = jax.random.split(key, self.most)

        @jax.jit  # of which the trace is kept: it is asked for shapes, then for what to do
        def one(imagination, state, key):
            g_gradient, d_gradient, metrics = self.gradients(generator, imagination, state, known, key, held)
            g_step, g_opt = self.imagination_optimizer.update(g_gradient, state.imagination_opt, imagination)
            d_step, d_opt = self.critic_optimizer.update(d_gradient, state.critics_opt, state.critics)
            critics = optax.apply_updates(state.critics, d_step)
            state = state.replace(critics=critics, critics_opt=d_opt, imagination_opt=g_opt)
            return optax.apply_updates(imagination, g_step), state, metrics

        def again(i, carry):
            *now, losses = one(*carry[:2], keys[i])
            return *now, jax.tree.map(jnp.add, carry[2], losses)

        now = generator["params"][IMAGINATION], state
        losses = jax.tree.map(jnp.zeros_like, jax.eval_shape(one, *now, key)[2])
        imagination, state, losses = jax.lax.fori_loop(0, rounds, again, (*now, losses))
        generator = {**generator, "params": {**generator["params"], IMAGINATION: imagination}}
        count = jnp.asarray(rounds, jnp.float32)
        return state, generator, {name: (total, count) for name, total in losses.items()}

    def gradients(
        self,
        generator: Params,
        imagination: Params,
        state: CodeState,
        known: Array,
        key: Key,
        held: Array | float = 1.0,
    ) -> tuple[Params, Params, Metrics]:
        """One round's gradients of the imagination and of the critics, and the losses."""
        key, rows_key, told_key = jax.random.split(key, 3)
        rows = jax.random.randint(rows_key, (self.batch,), 0, known)
        kept = state.memory, state.times, state.given
        read, times, given = jax.tree.map(lambda x: x[rows], kept)
        noise_keys, *side = jax.random.split(key, (4, self.batch))
        told = motion_told(read, times, jax.random.fold_in(told_key, 1)) if self.known else None
        through = times if told is None else jnp.concatenate([times, told.times], 1)
        noise = self.generator.noise(noise_keys, times)
        noise_through = self.generator.noise(noise_keys, through)
        present = conditions_told(tuple(given), self.batch, told_key)

        def g_loss(imagination, inferring):
            params = {**generator, "params": {**generator["params"], IMAGINATION: imagination}}
            near = self.blur(read, side[0], self.noise / 2)
            vector = asked = moving = None
            if self.critics.condition:
                wanted = self.ask(params, given, present)
                vector = wanted.pooled
                asked, moving = (wanted.at(x, self.generator.window) for x in (times, through))
            imagined = self.imagine(params, noise, times, asked)
            moved = self.move(params, near, noise_through, times, moving, told)
            # Both move what was read, so that the critic of motion sees nothing but that.
            shown = [self.blur(x, k, self.noise / 2) for x, k in ((read, side[1]), (imagined, side[2]))]
            motion = [self.shake(x.motion, k) for x, k in ((read, side[1]), (moved, side[2]))]
            real, fake = (
                describe(x, times) | {MOVED: describe(near._replace(motion=m), times)[MOVED]}
                for x, m in zip(shown, motion, strict=True)
            )
            judged = state.critics, given, present, times, real, fake
            total, (lost, missed) = self.critics.imagined(*judged)
            odd = self.explained(
                inferring,
                functools.partial(self.imagine, params, times=times, asked=asked),
                functools.partial(self.move, params, near, times=times, asked=asked),
                *(read, times, noise, vector, present),
                functools.partial(_normal, side[0]),
            )
            total += self.explained.total(odd)
            return total, (lost, missed, odd, real, fake)

        inferring = self.explained.of(state.critics)
        found = jax.grad(g_loss, (0, 1), has_aux=True)(imagination, inferring)
        (g_gradient, inferring_gradient), (g_losses, missed, odd, real, fake) = found

        def d_loss(critics):
            return self.critics.judged(critics, given, present, times, real, fake, held)

        d_gradient, (d_losses, penalty) = jax.grad(d_loss, has_aux=True)(state.critics)
        metrics = {"codes_penalty": penalty} | ({"confused": missed} if self.critics.condition else {})
        d_gradient = d_gradient | inferring_gradient
        metrics |= {UNEXPLAINED[name]: nats for name, nats in odd.items()}
        for part in real:
            metrics |= {f"{part}_g_loss": g_losses[part], f"{part}_d_loss": d_losses[part]}
        return g_gradient, d_gradient, metrics
