"""Films of pictures and sound as films of vectors, computed once and kept in the user's cache."""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vgm_jax.data.files import cache_folder, in_one_piece
from vgm_jax.types import AUDIO_RATE

FORMAT = 2  # of cached vectors: to be raised where code changes them


class Embedding(Protocol):
    """What makes vectors: see `tasks.vectors.Vectors`."""

    description: Mapping[str, Any]
    modalities: tuple[str, ...]
    window: int

    def of_windows(self, windows: dict[str, Any], fps: float) -> np.ndarray:
        """Windows "video" [N W H W' 3], "audio" [N S] and "said", N texts -> vectors [N D]."""


def windows_of(video: np.ndarray, audio: np.ndarray | None, fps: float, window: int) -> dict[str, np.ndarray]:
    """A film in windows of `window` frames, one after another; the last repeats its last frame, in silence.

    Args:
      video: uint8 [T H W 3] at `fps`.
      audio: float32 [S] at 16 kHz from the first frame on, or None.

    Returns:
      "video" [N window H W 3], and, of films with sound, "audio" [N S'].
    """
    t = len(video)
    count = -(-t // window)
    found = {
        "video": video[np.minimum(np.arange(count * window), t - 1)].reshape(count, window, *video.shape[1:])
    }
    if audio is not None:
        samples = round(AUDIO_RATE * window / fps)
        starts = np.round(np.arange(count) * window * AUDIO_RATE / fps).astype(int)
        audio = np.concatenate([audio, np.zeros(samples, audio.dtype)])
        audio = np.concatenate([audio, np.zeros(max(0, starts[-1] + samples - len(audio)), audio.dtype)])
        found["audio"] = np.stack([audio[start : start + samples] for start in starts])
    return found


class Featured:
    """A source of films with annotators, `data.sources.ShapeShowFilms`, in the form of `summaries`.

    A vector is of the embedding's `window` frames, and "picks" are the windows' first ones; "importance" is
    the mean over a window, "times" float32 [n] when it begins.
    """

    def __init__(self, source: Any, embedding: Embedding):
        self.source, self.embedding, self.window = source, embedding, embedding.window
        key = {"format": FORMAT, "source": source.description, "window": self.window}
        key |= {"embedding": dict(embedding.description)}
        digest = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()
        self._folder = cache_folder("vectors") / digest[:32]

    def __len__(self) -> int:
        return len(self.source)

    def __repr__(self) -> str:
        return f"Featured({self.source!r})"

    @property
    def description(self) -> dict[str, Any]:
        """Of the source, with what the vectors are."""
        return dict(self.source.description) | {"vectors": dict(self.embedding.description)}

    @property
    def protocol(self) -> dict[str, Any]:
        """Of the source."""
        return self.source.protocol

    def __getitem__(self, index: int) -> dict[str, Any]:
        """A film of vectors, as of `data.sources.summaries`, from the cache where it is there."""
        path = self._folder / f"{index}.npz"
        saved = saved_arrays(path)
        if saved is not None:
            return saved
        film = self._film(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        with in_one_piece(path) as part, part.open("wb") as file:
            np.savez(file, **film)
        return film

    def _film(self, index: int) -> dict[str, np.ndarray]:
        film = self.source.film(index)
        times, frames = film["times"], len(film["video"])
        fps = (frames - 1) / float(times[-1] - times[0]) if frames > 1 else 1.0
        sound = film["audio"] if "audio" in self.embedding.modalities else None
        windows = windows_of(film["video"], sound, fps, self.window)
        picks = np.arange(0, frames, self.window)
        if "text" in self.embedding.modalities:  # what is said is what a shot shows: films are drawn
            windows["said"] = [film["captions"][shot] for shot in film["shot"][picks]]
        counts = np.diff(np.append(picks, frames))
        return {
            "features": self.embedding.of_windows(windows, fps).astype(np.float32),
            "picks": picks.astype(np.int32),
            "times": (picks / fps).astype(np.float32),
            "importance": (np.add.reduceat(film["importance"], picks) / counts).astype(np.float32),
            "shots": film["shots"].astype(np.int32),
            "shot": film["shot"][picks].astype(np.int32),
            "user_summary": film["user_summary"].astype(np.uint8),
            "user_scores": film["user_scores"].astype(np.float32),
            "n_frames": np.int32(frames),
        }


def saved_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """Arrays of a file; None where it is not there, or torn."""
    try:
        with np.load(io.BytesIO(path.read_bytes())) as saved:
            return {name: saved[name] for name in saved.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
