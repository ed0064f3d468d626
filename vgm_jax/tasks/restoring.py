"""What a run has learned, by its workdir: for use, and for other runs to start from."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vgm_jax.data.sources import RENDERED
from vgm_jax.data.sources.shapeshow import TEXT_LENGTH
from vgm_jax.data.sources.shapeshow_films import TEXT_LENGTH as FILM_TEXT_LENGTH
from vgm_jax.tasks.exported import PACKAGED, is_exported, read_weights
from vgm_jax.training import workdir as workdirs
from vgm_jax.training.checkpoint import Checkpoints
from vgm_jax.training.partition import Partition
from vgm_jax.types import AUDIO_RATE, SENTENCE, Batch, Params, State, Task

WORDS = 4  # of the example's texts; parameters do not depend on it


def example(config: Any) -> Batch:
    """Two clips of a config's shape, all zeros: a model outlives the videos that it was trained on."""
    data = config.data
    if config.task == "feature_gan":  # of clips, the task knows how many numbers their vectors have
        batch = {"label": np.zeros(2, np.int32)}
        vectors = {"features": np.zeros((2, data.size), np.float32)}
        return batch | (vectors if data.source == "vectors" else {})
    batch = {
        "video": np.zeros((2, data.frames, data.size, data.size, 3), np.uint8),
        "times": np.tile((np.arange(data.frames) / data.fps).astype(np.float32), (2, 1)),
    }
    used = tuple(config.model.modalities)
    if config.task == "generation":
        used = config.model.generator.conditions if "conditions" in config.model.generator else ()
        used = (used,) if isinstance(used, str) else tuple(used)
    if "audio" in used:
        batch["audio"] = np.zeros((2, round(AUDIO_RATE * data.frames / data.fps)), np.float32)
    if "text" in used:
        batch["text"] = np.ones((2, text_length(config)), np.int32)
    if "sentence" in used:
        batch["sentence"] = np.zeros((2, SENTENCE), np.float32)
    if "label" in used:
        batch["label"] = np.zeros(2, np.int32)
    if config.task == "question_answering":
        batch["question"] = np.ones((2, WORDS), np.int32)
    return batch


def text_length(config: Any) -> int:
    """Words in a row of a batch's "text"."""
    if config.data.source in RENDERED:
        return FILM_TEXT_LENGTH if config.data.source == "shapeshow_films" else TEXT_LENGTH
    return config.data.text.length or WORDS


def on_its_own(config: Any) -> Any:
    """A run's config as if it had started from nothing: what it started from need not exist any more."""
    config = config.copy_and_resolve_references()
    with config.unlocked():
        if config.model.frozen:  # nothing settles later there, nor begins anew
            config.objective.settled_from = 0
        config.model.start, config.model.frozen = "", False
    return config


def restore(
    workdir: str | os.PathLike, build: Callable[[Any], Task], step: int | None = None
) -> tuple[Any, Task, State, int]:
    """A run's config, task and state, and its step: of the checkpoint that validation picked, or the last.

    Nothing in the workdir is moved or written.
    Raises WorkdirError where there is no run, no checkpoint, or another version's; ValueError for a `step`
    without one.
    """
    workdir = Path(workdir).expanduser()
    config = workdirs.read_config(workdir)
    try:
        task = build(on_its_own(config))
    except (AttributeError, KeyError) as error:
        raise workdirs.WorkdirError(
            f"{workdir} was trained by another version of vgm_jax: its config does not fit ({error})"
        ) from error
    template = Partition().template(task.init, jax.random.key(0), example(config))
    kept = config.checkpoint
    checkpoints = Checkpoints(workdir / "checkpoints", kept.keep, kept.best, writes=False)
    try:
        if not checkpoints.steps:
            raise workdirs.WorkdirError(f"{workdir} has no checkpoint yet; train first")
        best = checkpoints.best_step
        step = (checkpoints.steps[-1] if best is None else best) if step is None else step
        return config, task, *checkpoints.restore(template, step)
    finally:
        checkpoints.close()


def average_of(state: State) -> Params:
    """The averaged parameters of a task's state."""
    return state.generator_ema if hasattr(state, "generator_ema") else state.average


def averaged(
    workdir: str | os.PathLike, build: Callable[[Any], Task], step: int | None = None
) -> tuple[Task, Params, int]:
    """Task, averaged parameters on the device, and update, of a workdir or an exported model.

    Raises as `restore`, and WorkdirError for another update than the one that was exported.
    """
    workdir = Path(workdir).expanduser()
    if not is_exported(workdir):
        _, task, state, at = restore(workdir, build, step)
        return task, jax.device_put(jax.device_get(average_of(state))), at
    config = workdirs.read_config(workdir)
    try:
        task = build(config)
    except (AttributeError, KeyError, ValueError) as error:
        raise workdirs.WorkdirError(f"{workdir} is damaged, or another version's ({error})") from error
    params, at = read_weights(workdir)
    if step not in (None, at):
        raise workdirs.WorkdirError(f"{workdir} has the weights of update {at} alone, not of {step}")
    return task, params, at


def folder_of(name: str) -> Path:
    """Where a run is, or an exported model: by its path, or its name where it comes with the package."""
    workdir, packaged = Path(name).expanduser(), PACKAGED / name
    return packaged if not (workdir / "config.json").exists() and is_exported(packaged) else workdir


TRUNK = (("params", "trunk"),)
PAINTERS = (("params", "painting"), ("encoder",))  # of a generator: what paints codes, and what reads them


class Start:
    """The part of a network that a run starts from: of any run whose network has such a part.

    Args:
      workdir: of that run; or an exported model's folder, or its name where it comes with the package.
      build: from a config to a task.
      parts: paths in the parameters.
    """

    def __init__(
        self, workdir: str, build: Callable[[Any], Task], parts: tuple[tuple[str, ...], ...] = TRUNK
    ):
        self.workdir, self._build, self.parts = workdir, build, parts

    @functools.cached_property
    def found(self) -> list[Params]:
        """Its averaged parameters, a part each.

        Raises WorkdirError, or ValueError where it has no such part.
        """
        # It is asked for while `init` is traced; what is read must not become part of that.
        with jax.ensure_compile_time_eval():
            task, params, _ = averaged(folder_of(self.workdir), self._build)
        found = [part_of(params, path) for path in self.parts]
        for path, part in zip(self.parts, found, strict=True):
            if part is None:
                hint = "model.classifier.name='trunk', or of task 'masked_video'"
                hint = hint if self.parts == TRUNK else "model.encoder.name='scene', of task 'generation'"
                raise ValueError(
                    f"model.start={self.workdir!r}: a run of {type(task).__name__} that has no {path[-1]}; "
                    f"choose one with {hint}"
                )
        return jax.device_get(found)

    def put_into(self, params: Params) -> Params:
        """Parameters whose parts are the start's, where that has the same leaf; the rest stays.

        Raises ValueError where there is no such part, or none of it is in the start, or of another shape.
        """
        for path, start in zip(self.parts, self.found, strict=True):
            own = part_of(params, path)
            if own is None:
                raise ValueError(f"model.start={self.workdir!r} needs a network with a {path[-1]}")
            given = {jax.tree_util.keystr(at): leaf for at, leaf in jax.tree.leaves_with_path(start)}
            if not given.keys() & {jax.tree_util.keystr(at) for at, _ in jax.tree.leaves_with_path(own)}:
                raise ValueError(f"model.start={self.workdir!r}: nothing of its {path[-1]} is in this one")

            keys = "model.trunk" if self.parts == TRUNK else "model.generator, model.encoder"

            def choose(at, leaf, given=given, keys=keys):
                new = given.get(jax.tree_util.keystr(at), leaf)
                if new.shape != leaf.shape:
                    raise ValueError(
                        f"model.start={self.workdir!r}: its {jax.tree_util.keystr(at)} is {new.shape}, here "
                        f"it is {leaf.shape}; give {keys} and data as they are there"
                    )
                return new

            params = _put(params, path, jax.tree_util.tree_map_with_path(choose, own))
        return params


def part_of(tree: Any, path: tuple[str, ...]) -> Any:
    """What is at a path of nested dicts; None where there is nothing."""
    for name in path:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The same dicts, with another value at a path."""
    first, *rest = path
    return {**tree, first: _put(tree[first], tuple(rest), value) if rest else value}


def freeze(params: Params) -> Params:
    """The same parameters, of which the trunk has no gradient."""
    inner = params["params"]
    return params | {"params": inner | {"trunk": jax.lax.stop_gradient(inner["trunk"])}}
