"""A vector for each short window of a film, by networks that stay as they are."""

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vgm_jax.data.text import split_words
from vgm_jax.data.transforms import to_float
from vgm_jax.evaluation import features
from vgm_jax.models.encoders import Trunk
from vgm_jax.models.encoders.audio import BANDS, WINDOW, log_mel
from vgm_jax.models.pretrained import NETWORKS, oracle
from vgm_jax.tasks.exported import PACKAGED
from vgm_jax.tasks.restoring import TRUNK, averaged, folder_of, part_of
from vgm_jax.types import Batch, Task

SOUND, TRACK, WORDS = "sound", "track", "words"
OWN = (SOUND, TRACK, WORDS)  # parts that are no networks of `models.pretrained`
SAID = 64  # numbers of a vector of words
BATCH = 16  # windows that go through a network at once


class Vectors:
    """Vectors of windows, by networks or by a trunk.

    Args:
      name: names of `models.pretrained.NETWORKS`, by commas, whose vectors are put side by side, each of a
        mean square of one; "sound", means and maxima of a log-mel spectrogram, of silence where there is no
        sound; "words", of what is said, by captions and subtitles; "track", where ShapeShow's object is and
        how large, frame by frame, as its oracle sees it. Or a run whose network has a trunk, whose pooled
        vectors they are: a workdir, an exported model's folder, or its name where it comes with the package.
      window: frames of a vector.
      build: from a config to a task.

    Raises:
      ValueError: for what is neither, or a window without frames.
    """

    def __init__(self, name: str, window: int, build: Callable[[Any], Task]):
        if window < 1:
            raise ValueError(f"model.window={window} must be positive")
        self.name, self.window, self._build = name, window, build
        self.parts = tuple(part.strip() for part in name.split(","))
        if not all(part.partition(":")[0] in (*NETWORKS, *OWN) for part in self.parts):
            self.parts = ()
            if not folder_of(name).is_dir():
                raise ValueError(
                    f"model.features={name!r} is neither a workdir nor, by commas, of "
                    + ", ".join((*NETWORKS, *OWN))
                )

    @functools.cached_property
    def _trunk(self) -> tuple[Trunk, Any]:
        task, params, _ = averaged(folder_of(self.name), self._build)
        networks = (getattr(task, name, None) for name in ("classifier", "model", "answerer"))
        network = next((network for network in networks if network is not None), None)
        params = part_of(params, *TRUNK)
        if params is None:
            raise ValueError(f"model.features={self.name!r}: a run of {type(task).__name__}, without a trunk")
        return network.trunk, params

    @functools.cached_property
    def modalities(self) -> tuple[str, ...]:
        """What of a film they are of."""
        if self.parts:
            more = {SOUND: "audio", WORDS: "text"}
            return ("video", *(more[part] for part in self.parts if part in more))
        return tuple(name for name in self._trunk[0].modalities if name != "text")

    @property
    def elsewhere(self) -> bool:
        """Whether they are of a run that does not come with the package, without which there are none."""
        named = not Path(self.name).is_absolute() and folder_of(self.name) == PACKAGED / self.name
        return not self.parts and not named

    @functools.cached_property
    def description(self) -> dict[str, Any]:
        """What determines them beside the windows, fit for JSON."""
        if self.parts:
            found = {name: features.network(name) for name in self.parts if name not in OWN}
            found = {name: {"weights": n.weights} | dict(n.settings) for name, n in found.items()}
            own = {SOUND: {"bands": BANDS}, TRACK: {"weights": oracle.weights()[1]}, WORDS: {"size": SAID}}
            found |= {name: own[name] for name in OWN if name in self.parts}
            return {"order": list(self.parts)} | found  # they are laid side by side
        trunk, params = self._trunk
        digest = hashlib.sha256(repr(trunk).encode())
        for path, leaf in jax.tree.leaves_with_path(params):
            digest.update(jax.tree_util.keystr(path).encode() + np.asarray(leaf).tobytes())
        return {"trunk": digest.hexdigest()}

    @functools.cached_property
    def size(self) -> int:
        """Numbers of a vector."""
        # It is asked for while `init` is traced, too; what is looked at must not become part of that.
        with jax.ensure_compile_time_eval():
            return self.of_windows({"video": np.zeros((1, self.window, 32, 32, 3), np.uint8)}, 8.0).shape[1]

    def of_windows(self, windows: Batch, fps: float) -> np.ndarray:
        """Vectors float32 [N D] of windows: "video" uint8 [N window H W 3] at `fps`, perhaps "audio" [N S].

        And "said", N texts. What a trunk does not take is passed over. Raises ValueError for windows that a
        network does not take.
        """
        video = windows["video"]
        times = np.broadcast_to((np.arange(video.shape[1]) / fps).astype(np.float32), video.shape[:2])
        given = {"video": video, "times": times}
        if "audio" in windows and "audio" in self.modalities:
            given["audio"] = windows["audio"]
        if WORDS in self.parts:
            given["said"] = np.stack([_hashed(text) for text in windows.get("said", [""] * len(video))])
        rows = [self._batch(part) for part in _in_batches(given)]
        return np.concatenate(rows)[: len(video)]

    def _batch(self, batch: Batch) -> np.ndarray:
        if not self.parts:
            trunk, params = self._trunk
            return np.asarray(_pooled(trunk, params, batch))
        rows = []
        for name in self.parts:
            if name == SOUND:
                audio = batch.get("audio", np.zeros((BATCH, WINDOW), np.float32))
                rows.append(np.asarray(_heard(audio)))
            elif name == WORDS:
                rows.append(batch["said"])
            elif name == TRACK:
                rows.append(np.asarray(_tracked(oracle.weights()[0], batch["video"], batch["times"])))
            else:
                rows.append(_unit(features.embed(name, batch["video"]).mean(1)))
        return np.concatenate(rows, 1)


def _in_batches(windows: Mapping[str, np.ndarray]) -> Iterator[Batch]:
    """BATCH windows at a time, the last of which are repeated, so that one program serves all films."""
    count = len(windows["video"])
    for start in range(0, count, BATCH):
        rows = np.minimum(np.arange(start, start + BATCH), count - 1)
        yield {name: value[rows] for name, value in windows.items()}


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt(np.mean(np.square(x), -1, keepdims=True) + 1e-8)


def _hashed(text: str) -> np.ndarray:
    """float32 [SAID]: a text's words, each counted where its hash says and with the sign that it says.

    So any words can be told apart without a list of them (feature hashing, arXiv 0902.2206, sec. 2). Of mean
    square one; zero where nothing is said.
    """
    found = np.zeros(SAID, np.float32)
    for word in split_words(text):
        digest = hashlib.sha256(word.encode()).digest()
        found[digest[0] % SAID] += 1.0 if digest[1] % 2 else -1.0
    return _unit(found)


@jax.jit
def _heard(audio):
    """[B S] -> [B 2 BANDS], of about unit variance."""
    audio = jnp.pad(audio, ((0, 0), (0, max(0, WINDOW - audio.shape[1]))))
    bands = 0.5 * (log_mel(audio) + 1.0)
    return jnp.concatenate([bands.mean(1), bands.max(1)], 1)


@jax.jit
def _tracked(params, video, times):
    """[B T H W 3] -> [B 3 + 3 T]: the mean x, y, radius, and each frame's from it, of about unit variance."""
    track = oracle.judgement(params, to_float(video), times).track
    mean = track.mean(1)
    moved = (track - mean[:, None]) * jnp.array([20.0, 20.0, 80.0])  # sizes change less than places
    return jnp.concatenate([4.0 * (mean - 0.5), moved.reshape(len(track), -1)], 1)


@functools.partial(jax.jit, static_argnums=0)
def _pooled(trunk, params, batch):
    return trunk.apply({"params": params}, batch | {"video": to_float(batch["video"])}).pooled
