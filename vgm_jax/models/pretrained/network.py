"""What every feature network is: a function of clips, its weights, and what pins them down."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

import flax.traverse_util
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load, save

from vgm_jax.types import Array, Params


@dataclasses.dataclass(frozen=True)
class FeatureNetwork:
    """A network that clips are measured in.

    Attributes:
      name: as in results.
      embed: (params, frames float32 [B T H W 3] in [-1, 1]) -> float32 [B R F]: R rows a clip, one for
        networks that see whole clips, one a frame for those that see pictures. A pure function that can be
        compiled.
      params: its weights.
      weights: SHA-256 of what the weights come from.
      min_frames: the shortest clip that it sees something in.
      settings: what else decides the features, fit for JSON: how frames are chosen and resized, which layer.
    """

    name: str
    embed: Callable[[Params, Array], Array]
    params: Params
    weights: str
    min_frames: int
    settings: Mapping[str, Any]


def to_safetensors(params: Params) -> bytes:
    """A tree of arrays as a safetensors file, float32 rounded to float16; leaves are named a/b/c."""
    flat = flax.traverse_util.flatten_dict(params, sep="/")
    arrays = {name: np.asarray(value) for name, value in flat.items()}
    return save(
        {
            n: np.ascontiguousarray(a, np.float16 if a.dtype == np.float32 else a.dtype)
            for n, a in arrays.items()
        }
    )


def from_safetensors(data: bytes) -> Params:
    """The tree that `to_safetensors` was given, in float32."""
    flat = {name: jnp.asarray(array, jnp.float32) for name, array in load(data).items()}
    return flax.traverse_util.unflatten_dict(flat, sep="/")


def shipped_weights(file: str) -> tuple[Params, str]:
    """The weights that come with the package under `weights/`, in float32, and the SHA-256 of their file."""
    data = (resources.files(__package__) / "weights" / file).read_bytes()
    return from_safetensors(data), hashlib.sha256(data).hexdigest()
