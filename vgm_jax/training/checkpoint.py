"""Checkpoints by Orbax: state, data position, config; saved in the background, the last and the best kept."""

import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers as policies

from vgm_jax.training.partition import seldom
from vgm_jax.training.workdir import WorkdirError
from vgm_jax.types import State


class Checkpoints:
    """The checkpoints of a run, by step.

    Args:
        directory: created where missing, unless they are only read.
        keep: how many of the latest stay.
        best: name of the figure whose smallest value keeps its checkpoint too; '' for none.
        report: told, in a sentence, of what a user should know.
        writes: False leaves everything as it is: another process may be saving there.
    """

    def __init__(
        self,
        directory: Path,
        keep: int,
        best: str,
        report: Callable[[str], None] = print,
        writes: bool = True,
    ):
        if keep < 1:
            raise ValueError(f"checkpoint.keep={keep} must be at least 1")
        self.directory, self.best, self.report = Path(directory).absolute(), best, report
        self.writes = writes

        def rank(metrics: dict[str, float]) -> float:
            value = metrics.get(best, math.inf)  # a run that went on may have been ranked by another figure
            return -math.inf if math.isnan(value) else -value

        policy = [policies.LatestN(keep)]
        if best:
            policy.append(policies.BestN(get_metric_fn=rank, n=1, keep_checkpoints_without_metrics=False))
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policies.AnyPreservationPolicy(policy),
            best_fn=rank if best else None,
            create=writes,
            cleanup_tmp_directories=writes,  # half a checkpoint of a killed run, or of one that runs
        )
        self.manager = ocp.CheckpointManager(
            self.directory, options=options, item_names=("state", "data", "config")
        )

    def save(
        self,
        step: int,
        state: State,
        config: dict[str, Any],
        metrics: dict[str, float] | None = None,
        unlogged: list | None = None,
        seconds: float | None = None,
    ) -> None:
        """Saves in the background, unless the step is saved already.

        `metrics`: validation figures of this step. `unlogged`: figures since the last line of the log.
        `seconds`: of the sitting, when the step was done.
        """
        if step in self.manager.all_steps():
            return
        ranked = {self.best: metrics[self.best]} if metrics and self.best in metrics else None
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(_solid(state)),
            data=ocp.args.JsonSave(
                {
                    "next_batch": step,
                    "unlogged": unlogged,
                    "seconds": seconds,
                    "checksum": int(_checksum(state)),
                }
            ),
            config=ocp.args.JsonSave(config),
        )
        self.manager.save(step, args=args, metrics=ranked)

    def wait(self) -> None:
        """Until everything is on disk."""
        self.manager.wait_until_finished()

    def close(self) -> None:
        self.manager.wait_until_finished()
        self.manager.close()

    def look_again(self) -> None:
        """Which there are is looked up anew: another process may have saved some."""
        self.manager.reload()

    @property
    def steps(self) -> list[int]:
        """Steps that have a checkpoint, ascending."""
        return sorted(self.manager.all_steps())

    @property
    def best_step(self) -> int | None:
        """The step of the best checkpoint, or None where none was measured."""
        step = self.manager.best_step() if self.best else None
        return None if step is None or self.best not in (self.manager.metrics(step) or {}) else step

    def restore(self, template: State, step: int | None = None) -> tuple[State, int] | None:
        """The state of `step` (default: the latest), and the step; None where there is no checkpoint.

        Where the latest cannot be read it says so, takes the one before, and sets it aside, if it may.
        Raises WorkdirError where none can be read, or `step` cannot; ValueError where `step` has none. All
        stay where they are then: what is wrong need not be the files.
        """
        if step is not None:
            if step not in self.steps:
                raise ValueError(
                    f"{self.directory} has no checkpoint of step {step}; it has {self.steps or 'none'}"
                )
            try:
                return self._read(template, step), step
            except Exception as error:
                raise WorkdirError(
                    f"checkpoint {step} in {self.directory} cannot be read ({_first_line(error)})"
                    + ("; remove its folder to do without it" if self.writes else "")
                ) from error
        steps, torn = self.steps, []
        for candidate in reversed(steps):
            try:
                state = self._read(template, candidate)
            except Exception as error:  # whatever a torn file makes Orbax or a decoder raise
                why = _first_line(error)
                self.report(f"checkpoint {candidate} cannot be read ({why}); trying the one before")
                torn.append(candidate)
                continue
            for step in torn if self.writes else ():
                self._set_aside(step)
            return state, candidate
        if steps:
            raise WorkdirError(
                f"none of the checkpoints {steps} in {self.directory} can be read; they are left as they "
                "are. Mend what is wrong, or choose another --workdir to start afresh."
            )
        return None

    def unlogged(self, step: int) -> list | None:
        """What `save` was given under this name."""
        return self._data(step).get("unlogged")

    def seconds(self, step: int) -> float | None:
        """What `save` was given under this name; None of checkpoints that are older than it."""
        return self._data(step).get("seconds")

    def config(self) -> dict[str, Any] | None:
        """What `save` was given under this name: of the latest checkpoint where it can be read, if any."""
        for step in reversed(self.steps):
            with contextlib.suppress(Exception):  # of a torn one `restore` tells
                return self._json(step, "config")
        return None

    def _data(self, step: int) -> dict[str, Any]:
        return self._json(step, "data")

    def _json(self, step: int, name: str) -> dict[str, Any]:
        return self.manager.restore(step, args=ocp.args.Composite(**{name: ocp.args.JsonRestore()}))[name]

    def _read(self, template: State, step: int) -> State:
        args = ocp.args.Composite(
            state=ocp.args.StandardRestore(_solid(template)),
            data=ocp.args.JsonRestore(),
            config=ocp.args.JsonRestore(),  # compared when the run was opened; here, whether it is whole
        )
        restored = self.manager.restore(step, args=args)
        if restored["data"]["next_batch"] != step:
            raise ValueError(f"its data position is {restored['data']['next_batch']}")
        leaves, structure = jax.tree.flatten(template)
        full = iter(jax.tree.leaves(restored["state"]))
        state = structure.unflatten([next(full) if x.size else jnp.zeros(x.shape, x.dtype) for x in leaves])
        found = int(_checksum(state))
        if restored["data"].get("checksum", found) != found:
            raise ValueError("its numbers are not those that were saved")
        return state

    def _set_aside(self, step: int) -> None:
        if jax.process_index() == 0:
            self._move_aside(step)
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices(f"checkpoint {step} set aside")
        self.manager.reload()

    def _move_aside(self, step: int) -> None:
        aside = self.directory.with_name(f"{self.directory.name}_unreadable")
        aside.mkdir(exist_ok=True)
        target = aside / str(step)
        while target.exists():
            target = target.with_name(target.name + "_")
        (self.directory / str(step)).rename(target)


def _solid(state: State) -> State:
    """Without arrays of no numbers, such as forms of no objects, which Orbax refuses to write."""
    return jax.tree.map(lambda x: x if x.size else None, state)


@seldom
def _checksum(state: State) -> jax.Array:
    """uint32 of all bits and their places, on any devices the same; Orbax itself has none for the numbers."""
    total = jnp.zeros((), jnp.uint32)
    for leaf in jax.tree.leaves(state):
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            leaf = jax.lax.bitcast_convert_type(leaf, f"uint{8 * leaf.dtype.itemsize}")
        odd = 2 * jnp.arange(leaf.size, dtype=jnp.uint32).reshape(leaf.shape) + 1
        total = 31 * total + jnp.sum(odd * leaf.astype(jnp.uint32), dtype=jnp.uint32)
    return total


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
