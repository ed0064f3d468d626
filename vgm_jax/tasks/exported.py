"""Averaged weights alone, in half precision, in a folder that is as a workdir.

`weights.safetensors.gz` in place of checkpoints: parameters by their path, "/" between names, float16. Of a
model that is too large for that, kernels are int8, with a scale in float16 for each output under the kernel's
name and ":scale". `about.json` says how it was trained, how good it is, and under what licence its data are.
"""

import gzip
import json
import math
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
from vgm_jax.training.workdir import WorkdirError
from vgm_jax.types import Params

PACKAGED = Path(__file__).parents[1] / "inference" / "zoo"  # where those are that come with the package
WEIGHTS, ABOUT = "weights.safetensors.gz", "about.json"
KERNEL = 4096  # numbers from which on a kernel is kept in 8 bits, where any is
SCALE = ":scale"


def is_exported(folder: Path) -> bool:
    """Whether the folder has weights alone."""
    return (folder / WEIGHTS).exists()


def read_weights(folder: Path) -> tuple[Params, int]:
    """Averaged parameters, and the update they are of. Raises WorkdirError where they are damaged."""
    try:
        stored = load(gzip.decompress((folder / WEIGHTS).read_bytes()))
        flat = {tuple(name.split("/")): jnp.asarray(x) for name, x in _unpacked(stored).items()}
        step = int(json.loads((folder / ABOUT).read_text())["step"])
    except (EOFError, KeyError, OSError, ValueError, SafetensorError, zlib.error) as error:
        raise WorkdirError(f"{folder} is damaged, or another version's ({error})") from error
    return flax.traverse_util.unflatten_dict(flat), step


def write_weights(
    folder: Path, params: Params, about: dict[str, Any], step: int, eight_bits: bool = False
) -> None:
    """Writes the averaged parameters of an update, and what is said about them. Raises OSError."""
    flat = flax.traverse_util.flatten_dict(jax.device_get(params))
    with in_one_piece(folder / WEIGHTS) as part:
        weights = {"/".join(path): np.asarray(x) for path, x in flat.items()}
        packed = save(_packed(weights, KERNEL if eight_bits else math.inf))
        part.write_bytes(gzip.compress(packed, mtime=0))  # the same bytes whenever it is written
    with in_one_piece(folder / ABOUT) as part:
        part.write_text(json.dumps(about | {"step": step}, indent=2) + "\n")


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
