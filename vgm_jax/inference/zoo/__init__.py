"""Models that come with the package, and the form they have: averaged weights alone, in half precision.

A folder as a workdir, with `weights.safetensors` in place of checkpoints: parameters by their path, "/"
between names, float16. `about.json` says how it was trained, how good it is, and its data's licence.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from vgm_jax.data.files import in_one_piece
from vgm_jax.tasks import build
from vgm_jax.tasks.restoring import restore
from vgm_jax.training import workdir as workdirs
from vgm_jax.types import Params, Task

HERE = Path(__file__).parent
WEIGHTS, ABOUT = "weights.safetensors", "about.json"


def names() -> tuple[str, ...]:
    """Names of the models that come with the package."""
    return tuple(sorted(path.parent.name for path in HERE.glob(f"*/{WEIGHTS}")))


def find_run(model: str | os.PathLike) -> Path:
    """The folder of a workdir, or of a model by its name; a workdir of that name comes first.

    Raises WorkdirError where there is neither.
    """
    path = Path(model).expanduser()
    if not (path / "config.json").exists():
        if str(model) in names():
            return HERE / str(model)
        if not path.exists():
            raise workdirs.WorkdirError(
                f"{model} is not the workdir of a run, nor a model that comes with the package: "
                f"{', '.join(names()) or 'none'}"
            )
    return path


def averaged(workdir: Path, step: int | None = None) -> tuple[Task, Params, int]:
    """Task, averaged parameters on the device, and update, of a workdir or an exported model.

    Raises WorkdirError where there is neither, or it is another version's.
    """
    file = workdir / WEIGHTS
    if not file.exists():
        _, task, state, at = restore(workdir, build, step)
        return task, jax.device_put(jax.device_get(average_of(state))), at
    config = workdirs.read_config(workdir)
    try:
        task = build(config)
        flat = {tuple(name.split("/")): jnp.asarray(x, jnp.float32) for name, x in load_file(file).items()}
        about = json.loads((workdir / ABOUT).read_text())
    except (AttributeError, KeyError, OSError, ValueError, SafetensorError) as error:
        raise workdirs.WorkdirError(f"{workdir} is damaged, or another version's ({error})") from error
    return task, flax.traverse_util.unflatten_dict(flat), int(about["step"])


def average_of(state: Any) -> Params:
    """The averaged parameters of a task's state."""
    return state.generator_ema if hasattr(state, "generator_ema") else state.average


def export(
    workdir: str | os.PathLike, out: str | os.PathLike, about: dict[str, Any], step: int | None = None
) -> Path:
    """Writes a run's averaged weights, and what is needed to use them, as a folder of its own.

    `about` goes into its about.json, beside the update. Raises as `averaged`.
    """
    workdir, out = Path(workdir), Path(out)
    _, params, at = averaged(workdir, step)
    flat = flax.traverse_util.flatten_dict(jax.device_get(params))
    out.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "classes.json", workdirs.VOCABULARY, workdirs.ANSWERS):
        if (workdir / name).exists():
            shutil.copyfile(workdir / name, out / name)
    with in_one_piece(out / WEIGHTS) as part:
        save_file({"/".join(path): np.asarray(x, np.float16) for path, x in flat.items()}, part)
    with in_one_piece(out / ABOUT) as part:
        part.write_text(json.dumps(about | {"step": at}, indent=2) + "\n")
    return out
