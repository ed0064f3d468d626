"""What is kept of a set of clips: features by every network, and figures read off its pixels."""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vgm_jax.data.files import cache_folder, in_one_piece
from vgm_jax.evaluation.clips import ClipSet
from vgm_jax.evaluation.damages import DAMAGES
from vgm_jax.evaluation.dynamics import dynamics
from vgm_jax.evaluation.features import BATCH, embed
from vgm_jax.evaluation.protocol import of_networks
from vgm_jax.version import __version__

FORMAT = 1  # of cached features: to be raised where code changes what is seen
PIXELS_AT_ONCE = 2**24  # of a batch of clips: large frames are seen a few at a time
THUMBNAIL = (4, 16, 16)  # frames, height, width
# network -> float32 [N R F]; "thumbnail" -> uint8 [N D]; "motion" -> float32 [N]; "dynamics" -> float32 [N 3]
Look = dict[str, np.ndarray]


@jax.jit
def _thumbnail(video: jax.Array) -> jax.Array:
    frames, h, w = THUMBNAIL
    b, t = video.shape[:2]
    chosen = video[:, np.linspace(0, t - 1, frames).round().astype(int)].astype(jnp.float32)
    small = jax.image.resize(chosen, (b, frames, h, w, 3), "linear", antialias=True)
    return jnp.round(small).astype(jnp.uint8).reshape(b, -1)


def _motion(video: np.ndarray) -> np.ndarray:
    """Mean absolute change from a frame to the next, in grey levels: [B T H W 3] -> [B]."""
    if video.shape[1] < 2:
        return np.zeros(len(video), np.float32)
    change = np.abs(np.diff(video.astype(np.int16), axis=1))
    return change.mean((1, 2, 3, 4), dtype=np.float64).astype(np.float32)


PIXELS = ("thumbnail", "motion", "dynamics")  # what is read off the pixels themselves


class Remembered:
    """A function of arrays that is computed once for each of their values, and then known."""

    def __init__(self, function: Callable[..., Any]):
        self._function, self._memory = function, {}

    def __call__(self, *arrays: np.ndarray) -> Any:
        digest = hashlib.sha256()
        for array in arrays:
            digest.update(f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        key = digest.digest()
        if key not in self._memory:
            self._memory[key] = self._function(*arrays)
        return self._memory[key]


class Looker:
    """Sees clips a batch at a time. Where it remembers, it looks at no batch twice.

    Args:
      names: of feature networks, and of `PIXELS`.
    """

    def __init__(self, names: Sequence[str], remember: bool = False):
        self.names, self._look = tuple(names), Remembered(self._see) if remember else self._see

    def __call__(self, video: np.ndarray, count: int | None = None) -> Look:
        """Clips uint8 [B T H W 3] -> what is seen in the first `count` of them. Raises as `embed`."""
        return {name: rows[:count] for name, rows in self._look(video).items()}

    def _see(self, video: np.ndarray) -> Look:
        pixels = {"thumbnail": _thumbnail, "motion": _motion, "dynamics": dynamics}
        seen = {name: pixels[name](video) if name in pixels else embed(name, video) for name in self.names}
        return {name: np.asarray(rows) for name, rows in seen.items()}


def together(looks: Sequence[Look]) -> Look:
    """What was seen of several batches, as of one."""
    return {name: np.concatenate([look[name] for look in looks]) for name in looks[0]}


def look(
    clips: ClipSet,
    networks: Sequence[str],
    *,
    damage: str = "",
    seed: int = 0,
    cache: bool | Path = False,
    progress: Callable[[int], None] = lambda clips: None,
) -> Look:
    """Sees every clip once, in batches of one size; memory grows by the features alone.

    Args:
      networks: names of feature networks.
      damage: name of a damage done to the clips first, with `seed`; '' for none.
      cache: keeps what was seen in this folder (True: the user's cache) under the hash of clips, damage and
        network, and looks nowhere twice.
      progress: told how many clips more were seen.

    Raises ValueError for unknown names, and for clips that a network cannot take.
    """
    folder = None if cache is False else cache_folder("features") if cache is True else Path(cache)
    pinned = {"thumbnail": {"shape": THUMBNAIL}, "motion": {}, "dynamics": {}}
    pinned |= {name: of_networks((name,)) for name in networks}
    files = {}
    if folder:
        for name, settings in pinned.items():
            key = [FORMAT, __version__, clips.hash, damage, seed if damage else 0, name, settings]
            text = json.dumps(key, sort_keys=True)
            files[name] = folder / f"{hashlib.sha256(text.encode()).hexdigest()}.npy"
    seen = {name: array for name, file in files.items() if (array := _read(file)) is not None}
    missing = [name for name in pinned if name not in seen]
    if not missing:
        progress(len(clips))
        return seen
    looker, looks, done = Looker(missing), [], 0
    known = len(getattr(clips.source, "rejected", ()))
    batch = max(1, min(BATCH, len(clips), PIXELS_AT_ONCE // math.prod(clips[0].shape[:3])))
    for video in clips.batches(batch):
        count = min(len(video), len(clips) - done)
        if damage:
            video = DAMAGES[damage](video, seed, np.arange(done, done + len(video)))
        looks.append(looker(video, count))
        done += count
        progress(count)
    # Where a clip turned out damaged another stood in, which is to be told at every run.
    keep = folder and known == len(getattr(clips.source, "rejected", ()))
    for name, rows in together(looks).items():
        seen[name] = rows
        if keep:
            _write(files[name], rows)
    return seen


def _read(file: Path) -> np.ndarray | None:
    try:
        return np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None  # absent, or torn: it is made again


def _write(file: Path, array: np.ndarray) -> None:
    """In one piece, or not at all: without leave to write there is no cache."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with in_one_piece(file) as part, part.open("wb") as opened:
            np.save(opened, array, allow_pickle=False)
    except OSError:
        return
