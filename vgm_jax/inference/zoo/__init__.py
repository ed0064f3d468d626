"""Models that come with the package, and the form they have: averaged weights alone (`tasks.exported`).

A model for several tasks is a folder of such folders, by task.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from vgm_jax.data.files import in_one_piece
from vgm_jax.tasks import build, restoring
from vgm_jax.tasks.exported import PACKAGED, WEIGHTS, write_weights
from vgm_jax.tasks.restoring import on_its_own
from vgm_jax.training import workdir as workdirs
from vgm_jax.types import Params, Task

HERE = PACKAGED


def names() -> tuple[str, ...]:
    """Names of the models that come with the package."""
    return tuple(sorted({name.partition("/")[0] for name in folders()}))


def folders() -> tuple[str, ...]:
    """Where in this folder their weights are: "name", or, of a model for several tasks, "name/task"."""
    found = (path.parent.relative_to(HERE).as_posix() for path in HERE.glob(f"**/{WEIGHTS}"))
    return tuple(sorted(found))


def tasks_of(model: str | os.PathLike) -> tuple[str, ...]:
    """The tasks of a model for several, by its name; () of all others, and of a workdir of that name."""
    if (Path(model).expanduser() / "config.json").exists():
        return ()
    return tuple(name.split("/")[1] for name in folders() if name.startswith(f"{model}/"))


def find_run(model: str | os.PathLike, task: str = "") -> Path:
    """The folder of a workdir, or of a model by its name; a workdir of that name comes first.

    Of a model for several tasks the one for `task`, or "name/task" by itself. Raises WorkdirError where there
    is none.
    """
    path = Path(model).expanduser()
    if not (path / "config.json").exists():
        for name in (str(model), f"{model}/{task}"):
            if name in folders():
                return HERE / name
        if several := [f"{model}/{name}" for name in tasks_of(model)]:
            raise workdirs.WorkdirError(f"{model} is for several tasks; ask for one: {', '.join(several)}")
        if not path.exists():
            raise workdirs.WorkdirError(
                f"{model} is not the workdir of a run, nor a model that comes with the package: "
                f"{', '.join(names()) or 'none'}"
            )
    return path


def open_run(model: str | os.PathLike, task: str) -> tuple[Path, Any]:
    """The folder of a run of `task`, as `find_run` finds it, and its config.

    Raises as that, and ValueError where the run is of another task.
    """
    workdir = find_run(model, task)
    config = workdirs.read_config(workdir)
    if config.task != task:
        raise ValueError(f"{model} holds a run of task {config.task!r}; this needs {task!r}")
    return workdir, config


def averaged(workdir: Path, step: int | None = None) -> tuple[Task, Params, int]:
    """Task, averaged parameters on the device, and update, of a workdir or an exported model.

    Raises WorkdirError where there is neither, or it is another version's.
    """
    return restoring.averaged(workdir, build, step)


def export(
    workdir: str | os.PathLike,
    out: str | os.PathLike,
    about: dict[str, Any],
    step: int | None = None,
    eight_bits: bool = False,
) -> Path:
    """Writes a run's averaged weights, and what is needed to use them, as a folder of its own.

    `about` goes into its about.json, beside the update. `eight_bits`: half as large; a weight is then off by
    at most 1/254 of the largest of its output. Raises as `averaged`, and ValueError where its features are of
    another run: what is written would not suffice.
    """
    workdir, out = Path(workdir), Path(out)
    task, params, at = averaged(workdir, step)
    vectors = getattr(task, "vectors", None)
    if vectors is not None and vectors.elsewhere:
        raise ValueError(
            f"{workdir} takes its vectors from another run (model.features={vectors.name!r}), which would "
            "not be in what is exported: train it on those of networks, or of a model of the package"
        )
    out.mkdir(parents=True, exist_ok=True)
    for name in ("classes.json", workdirs.VOCABULARY, workdirs.ANSWERS):
        if (workdir / name).exists():
            shutil.copyfile(workdir / name, out / name)
    config = workdirs.plain(on_its_own(workdirs.read_config(workdir)))
    config["data"]["path"] = ""  # where its data were is nobody's affair
    with in_one_piece(out / "config.json") as part:
        part.write_text(json.dumps(config, indent=2) + "\n")
    write_weights(out, params, about, at, eight_bits)
    return out
