"""Training by the clock instead of by updates."""

from collections.abc import Sequence

import jax


class Minutes:
    """When a sitting is over, and when checkpoints are due, by the clock.

    Args:
        limit: minutes after which it is over; 0: never.
        marks: minutes after each of which a checkpoint is due once.

    Raises ValueError for numbers below 0, and where several processes would each follow a clock of its own.
    """

    def __init__(self, limit: float, marks: Sequence[float]):
        if limit < 0 or any(mark <= 0 for mark in marks):
            raise ValueError(
                f"expected train.minutes={limit} at least 0 and checkpoint.minutes={tuple(marks)} above 0"
            )
        if (limit or marks) and jax.process_count() > 1:
            raise ValueError(
                "train.minutes and checkpoint.minutes are for runs of one process; set them to 0, ()"
            )
        self._limit, self._marks = limit or float("inf"), sorted(marks)

    def left(self, seconds: float) -> float:
        """How many seconds are left at that many; infinite where there is no limit."""
        return 60 * self._limit - seconds

    def passed(self, seconds: float) -> tuple[bool, bool]:
        """Whether it is over at that many seconds, and whether a mark was passed since the last call."""
        ahead = [mark for mark in self._marks if 60 * mark > seconds]
        due, self._marks = len(ahead) < len(self._marks), ahead
        return self.left(seconds) <= 0, due
