"""What of an update begins later than the rest of it."""

from collections.abc import Callable
from typing import Any

import jax

from vgm_jax.types import Array


def from_then(
    step: Array, begins: int, until: int | None, before: Callable, after: Callable, *args: Any
) -> Any:
    """`before(*args)` in updates whose number is below `begins`, `after(*args)` from then on.

    until: a number that `step` is known to be below; what begins no sooner is then not even compiled.
    """
    if until is not None and until <= begins:
        return before(*args)
    return jax.lax.cond(step < begins, before, after, *args)
