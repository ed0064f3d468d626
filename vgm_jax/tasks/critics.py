"""Critics of codes: who holds what is imagined against what was read."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from vgm_jax.models.discriminators.codes import MOVED, Agreement, askable, describe
from vgm_jax.models.scene import Codes
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
      critic: described codes [B N], and what was asked [B D] or None -> logits [B].
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
            asked, params[ASKED] = found.pooled, own["params"]
            parts = askable(described).items()
            params[AGREEMENT] = {part: self.agreement.init(key, x, asked) for part, x in parts}
        return params | {part: self.critic.init(key, x, asked)["params"] for part, x in described.items()}

    def asked(
        self, params: Params, given: Mapping[str, Array], present: Mapping[str, Array] | None = None
    ) -> Array | None:
        """What clips are asked for by, to the critics, [B D]; None where there are no conditions."""
        return (
            self.condition.apply({"params": params[ASKED]}, given, present).pooled if self.condition else None
        )

    def imagined(
        self,
        params: Params,
        given: Mapping[str, Array],
        present: Mapping[str, Array],
        real: Described,
        fake: Described,
    ) -> tuple[Array, tuple[Described, Array]]:
        """The loss of what imagined `fake` where `real` was read; a loss a critic, and how confused they are.

        given: name -> [B ...], of the clips; present: name -> bool [B], which of it they are asked for by.
        """
        asked = self.asked(params, given, present)
        lost = {
            part: self.objective.g_loss(*(self._logits(params, part, asked, x[part]) for x in (real, fake)))
            for part in real
        }
        confused = self._confused(params, given, present, fake)
        return sum(lost.values()) + CONTRAST * confused, (lost, confused)

    def judged(
        self,
        params: Params,
        given: Mapping[str, Array],
        present: Mapping[str, Array],
        real: Described,
        fake: Described,
        held: Array | float = 1.0,
    ) -> tuple[Array, tuple[Described, Array]]:
        """The critics' loss; a loss a critic, and the sum of penalties. `held`: part of `penalty_weight`."""
        asked = self.asked(params, given, present)
        twice = None if asked is None else jnp.concatenate([asked, asked])
        total, lost, penalties = self._confused(params, given, present, real), {}, 0.0
        for part in real:
            # In one pass, and from that the slopes, too.
            both = jnp.concatenate([real[part], fake[part]])
            logits, pull = jax.vjp(functools.partial(self._logits, params, part, twice), both)
            penalty = r1r2.of_slopes(*jnp.split(pull(jnp.ones_like(logits))[0], 2))
            right, wrong = jnp.split(logits, 2)
            lost[part] = self.objective.d_loss(right, wrong)
            weight = self.motion_penalty_weight if part == MOVED else held * self.penalty_weight
            total, penalties = total + lost[part] + weight * penalty, penalties + penalty
            if self.condition:
                others = jnp.roll(asked, 1, 0)
                other = self._logits(params, part, others, real[part])
                # Nothing is asked for by everybody.
                other = jnp.where(jnp.any(others != 0, -1), other, right)
                total += MISMATCH * self.objective.d_loss(right, other)
        return total, (lost, penalties)

    def _logits(self, params: Params, part: str, asked: Array | None, described: Array) -> Array:
        return self.critic.apply({"params": params[part]}, described, asked)

    def _confused(self, params: Params, given: Mapping, present: Mapping, described: Described) -> Array:
        alone = [{name: given[name]} for name in sorted(given)] if self.condition else []
        each = [self.asked(params, x, present) for x in alone]
        return sum(
            info_nce(self.agreement.apply(params[AGREEMENT][part], x, asked), jnp.any(asked != 0, -1))
            for part, x in askable(described).items()
            for asked in each
        )
