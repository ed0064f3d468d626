"""Models that come with the package, and the form they have: averaged weights alone, in half precision.

A folder as a workdir, with `weights.safetensors.gz` in place of checkpoints: parameters by their path, "/"
between names, float16. Of a model that is too large for that, kernels are int8, with a scale in float16 for
each output under the kernel's name and ":scale". `about.json` says how it was trained, how good it is, and
under what licence its data are. A model for several tasks is a folder of such folders, by task.
"""

import gzip
import json
import math
import os
import shutil
import zlib
from pathlib import Path
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from vgm_jax.data.files import in_one_piece
from vgm_jax.tasks import build
from vgm_jax.tasks.restoring import average_of, on_its_own, restore
from vgm_jax.training import workdir as workdirs
from vgm_jax.types import Params, Task

HERE = Path(__file__).parent
WEIGHTS, ABOUT = "weights.safetensors.gz", "about.json"
KERNEL = 4096  # numbers from which on a kernel is kept in 8 bits, where any is
SCALE = ":scale"


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
        stored = load(gzip.decompress(file.read_bytes()))
        flat = {tuple(name.split("/")): jnp.asarray(x) for name, x in _unpacked(stored).items()}
        about = json.loads((workdir / ABOUT).read_text())
    except (AttributeError, EOFError, KeyError, OSError, ValueError, SafetensorError, zlib.error) as error:
        raise workdirs.WorkdirError(f"{workdir} is damaged, or another version's ({error})") from error
    return task, flax.traverse_util.unflatten_dict(flat), int(about["step"])


def export(
    workdir: str | os.PathLike,
    out: str | os.PathLike,
    about: dict[str, Any],
    step: int | None = None,
    eight_bits: bool = False,
) -> Path:
    """Writes a run's averaged weights, and what is needed to use them, as a folder of its own.

    `about` goes into its about.json, beside the update. `eight_bits`: half as large; a weight is then off by
    at most 1/254 of the largest of its output. Raises as `averaged`.
    """
    workdir, out = Path(workdir), Path(out)
    _, params, at = averaged(workdir, step)
    flat = flax.traverse_util.flatten_dict(jax.device_get(params))
    out.mkdir(parents=True, exist_ok=True)
    for name in ("classes.json", workdirs.VOCABULARY, workdirs.ANSWERS):
        if (workdir / name).exists():
            shutil.copyfile(workdir / name, out / name)
    config = workdirs.plain(on_its_own(workdirs.read_config(workdir)))
    config["data"]["path"] = ""  # where its data were is nobody's affair
    with in_one_piece(out / "config.json") as part:
        part.write_text(json.dumps(config, indent=2) + "\n")
    with in_one_piece(out / WEIGHTS) as part:
        weights = {"/".join(path): np.asarray(x) for path, x in flat.items()}
        packed = save(_packed(weights, KERNEL if eight_bits else math.inf))
        part.write_bytes(gzip.compress(packed, mtime=0))  # the same bytes whenever it is written
    with in_one_piece(out / ABOUT) as part:
        part.write_text(json.dumps(about | {"step": at}, indent=2) + "\n")
    return out


def _packed(weights: dict[str, np.ndarray], least: float) -> dict[str, np.ndarray]:
    """Kernels of at least so many numbers as int8 and scales, the rest as float16."""
    found = {}
    for name, x in weights.items():
        if x.ndim < 2 or x.size < least:
            found[name] = x.astype(np.float16)
            continue
        largest = np.abs(x).max(tuple(range(x.ndim - 1)))
        scale = np.maximum(largest / 127, 1e-7).astype(np.float16)
        found[name + SCALE] = scale
        found[name] = np.clip(np.rint(x / scale.astype(np.float32)), -127, 127).astype(np.int8)
    return found


def _unpacked(stored: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Float32, of what `_packed` made."""
    return {
        name: x.astype(np.float32)
        * (stored[name + SCALE].astype(np.float32) if name + SCALE in stored else 1)
        for name, x in stored.items()
        if not name.endswith(SCALE)
    }
