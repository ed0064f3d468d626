"""Critics of codes: who holds what is imagined against what was read."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from vgm_jax.models.discriminators.codes import MOVED, Agreement, askable, describe, motion_of
from vgm_jax.models.encoders.condition import HEARD, Condition
from vgm_jax.models.scene import Asked, Codes
from vgm_jax.objectives import Objective, info_nce
from vgm_jax.objectives.penalties import r1r2
from vgm_jax.types import Array, Key, Params

MISMATCH = 0.5  # weight of real codes with what another clip was asked for, which are no better than imagined
# Weight, to the imagination, of that it can be told which of a batch a clip was asked for by: so small, for
# nothing holds the slope of what tells it, as penalties hold the critics'.
CONTRAST = 0.05
ASKED, AGREEMENT = "asked", "agreement"  # in the critics' parameters, beside the critics
Described = dict[str, Array]  # of `describe`: a critic each


class Critics:
    """A critic of each part of `describe`; and, where clips have conditions, of agreement with these.

    Real codes with another clip's conditions count as imagined ones (matching-aware, arXiv 1605.05396, sec.
    4.2). And of each clip it must be told which of the batch's it was asked for by (contrastive, arXiv
    2101.04702, eq. 2), by each condition alone: what is easy to tell by a text says nothing of the sound.

    Args:
      critic: described codes [B N], what was asked [B D] or None, and of a sound, beside how things are then,
        what is heard at each moment [B K E] or None -> logits [B].
      condition: what is given -> a vector a clip (`models.encoders.condition`); or None.
      penalty_weight, motion_penalty_weight: gamma of R1 + R2 on what codes show, and on how it moves.
    """

    def __init__(
        self,
        critic: Any,
        objective: Objective,
        *,
        condition: Any = None,
        penalty_weight: float,
        motion_penalty_weight: float,
    ):
        self.critic, self.objective, self.condition = critic, objective, condition
        self.agreement = Agreement()
        self.penalty_weight, self.motion_penalty_weight = penalty_weight, motion_penalty_weight

    def init(self, key: Key, codes: Codes, times: Array, given: Mapping[str, Array]) -> Params:
        """Parameters, by critic, for codes of clips at times [B K], and what these are asked for by."""
        asked, params, described = None, {}, describe(codes, times)
        if self.condition:
            found, own = self.condition.init_with_output(jax.random.fold_in(key, 1), given)
            asked, params[ASKED] = self._at(found, times), own["params"]
            parts = askable(described).items()
            params[AGREEMENT] = {part: self.agreement.init(key, x, _said(part, asked)) for part, x in parts}
        return params | {
            part: self.critic.init(key, x, *_beside(described["shown"].shape[-1], part, x, asked))["params"]
            for part, x in described.items()
        }

    def asked(
        self,
        params: Params,
        given: Mapping[str, Array],
        times: Array,
        present: Mapping[str, Array] | None = None,
    ) -> Asked | None:
        """What clips at times [B K] are asked for by, to the critics; None where there are no conditions."""
        return self._asked(params, given, times, present)[0]

    def _asked(
        self, params: Params, given: Mapping[str, Array], times: Array, present: Mapping[str, Array] | None
    ) -> tuple[Asked, Asked] | tuple[None, None]:
        """`asked`, and what another clip is asked for by: what is heard of that at a clip's own times."""
        if not self.condition:
            return None, None
        found = self.condition.apply({"params": params[ASKED]}, given, present)
        rolled = jax.tree.map(lambda x: jnp.roll(x, 1, 0), found)
        return self._at(found, times), self._at(rolled, times)

    def _at(self, found: Condition, times: Array) -> Asked:
        asked = found.at(times)
        if asked.heard is None and "audio" in self.condition.conditions:
            return asked._replace(heard=jnp.zeros((*times.shape, 3, HEARD)))
        return asked

    def imagined(
        self,
        params: Params,
        given: Mapping[str, Array],
        present: Mapping[str, Array],
        times: Array,
        real: Described,
        fake: Described,
    ) -> tuple[Array, tuple[Described, Array]]:
        """The loss of what imagined `fake` where `real` was read; a loss a critic, and how confused they are.

        given: name -> [B ...], of the clips at times [B K], of one window of motion; present: name -> bool
        [B], which of it they are asked for by.
        """
        asked = self.asked(params, given, times, present)
        logits = functools.partial(self._logits, params, real["shown"].shape[-1], asked=asked)
        lost = {part: self.objective.g_loss(*(logits(part, x[part]) for x in (real, fake))) for part in real}
        confused = self._confused(params, given, present, times, fake)
        return sum(lost.values()) + CONTRAST * confused, (lost, confused)

    def judged(
        self,
        params: Params,
        given: Mapping[str, Array],
        present: Mapping[str, Array],
        times: Array,
        real: Described,
        fake: Described,
        held: Array | float = 1.0,
    ) -> tuple[Array, tuple[Described, Array]]:
        """The critics' loss; a loss a critic, and the sum of penalties. `held`: part of `penalty_weight`."""
        asked, others = self._asked(params, given, times, present)
        twice = jax.tree.map(lambda x: jnp.concatenate([x, x]), asked)
        total, lost, penalties = self._confused(params, given, present, times, real), {}, 0.0
        logit = functools.partial(self._logits, params, real["shown"].shape[-1])
        for part in real:
            # In one pass, and from that the slopes, too.
            both = jnp.concatenate([real[part], fake[part]])
            logits, pull = jax.vjp(functools.partial(logit, part, asked=twice), both)
            penalty = r1r2.of_slopes(*jnp.split(pull(jnp.ones_like(logits))[0], 2))
            right, wrong = jnp.split(logits, 2)
            lost[part] = self.objective.d_loss(right, wrong)
            weight = self.motion_penalty_weight if part == MOVED else held * self.penalty_weight
            total, penalties = total + lost[part] + weight * penalty, penalties + penalty
            if self.condition:
                other = logit(part, real[part], asked=others)
                # Nothing is asked for by everybody: where another clip is, there is nothing to tell apart.
                counts = jnp.any(others.clip != 0, -1)
                pair = (jnp.where(counts, x, 0.0) for x in (right, other))
                total += MISMATCH * self.objective.d_loss(*pair)
        return total, (lost, penalties)

    def _logits(self, params: Params, shown: int, part: str, described: Array, asked: Asked | None) -> Array:
        beside = _beside(shown, part, described, asked)
        return self.critic.apply({"params": params[part]}, described, *beside)

    def _confused(
        self, params: Params, given: Mapping, present: Mapping, times: Array, described: Described
    ) -> Array:
        alone = [{name: given[name]} for name in sorted(given)] if self.condition else []
        # At the same times for all: else a right pair was known by its clock.
        even = jnp.broadcast_to(jnp.linspace(0.0, jnp.max(times), times.shape[1]), times.shape)
        each = [self.asked(params, x, even, present) for x in alone]
        return sum(
            info_nce(
                self.agreement.apply(params[AGREEMENT][part], x, _said(part, asked)),
                jnp.any(asked.clip != 0, -1),
            )
            for part, x in askable(described).items()
            for asked in each
        )


def _beside(
    shown: int, part: str, described: Array, asked: Asked | None
) -> tuple[Array | None, Array | None]:
    """What a critic is given beside a description: what was asked, and of motion what is heard meanwhile."""
    if asked is None or asked.heard is None or part != MOVED:
        return None if asked is None else asked.clip, None
    heard = asked.heard[:, :, 2]
    return asked.clip, jnp.concatenate([motion_of(described, shown, heard.shape[1]), heard], -1)


def _said(part: str, asked: Asked) -> Array:
    """What was asked as one vector a clip, [B D]; of motion with all that is heard."""
    if part != MOVED or asked.heard is None:
        return asked.clip
    return jnp.concatenate([asked.clip, asked.heard[:, :, 2].reshape(len(asked.clip), -1)], -1)
