"""Being asked to stop, by a person or a scheduler, and doing so after an update."""

import signal
from typing import Any

import jax
from jax.experimental import multihost_utils


class StopSignals:
    """Within the context, SIGTERM and the first SIGINT are noted instead of obeyed.

    Of several processes, SIGTERM is JAX's, whose coordinator tells it to all, and SIGINT ends the process.
    """

    def __init__(self):
        self.received: int | None = None

    def __enter__(self) -> "StopSignals":
        noted = (signal.SIGTERM, signal.SIGINT) if jax.process_count() == 1 else ()
        # What whoever started this has set to be ignored, such as SIGINT of what runs behind a script, is.
        noted = [s for s in noted if signal.getsignal(s) != signal.SIG_IGN]
        self._old = {s: signal.signal(s, self._note) for s in noted}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: Any) -> None:
        self.received = number
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def agreed(self, step: int) -> bool:
        """Whether to stop after this step: the same answer in every process."""
        if jax.process_count() == 1:
            return self.received is not None
        return multihost_utils.reached_preemption_sync_point(step)
