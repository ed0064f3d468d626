"""Sound as a picture: log-mel spectrograms, on the device."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from vgm_jax.types import AUDIO_RATE

WINDOW, HOP = 400, 160  # samples: 25 and 10 ms
TRANSFORM = 512  # length of the Fourier transform; windows are padded with zeros to it
BANDS, LOWEST, HIGHEST = 64, 125.0, 7500.0  # number, hertz
OFFSET = 0.01


def mel(hertz: np.ndarray | float) -> np.ndarray | float:
    """The mel scale, 1127 ln(1 + f / 700)."""
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)


@functools.cache
def filters() -> np.ndarray:
    """float32 [257 64]: triangles of height one, straight and evenly spaced on the mel scale."""
    edges = np.linspace(mel(LOWEST), mel(HIGHEST), BANDS + 2)
    places = mel(np.arange(TRANSFORM // 2 + 1) * AUDIO_RATE / TRANSFORM)[:, None]
    rising = (places - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - places) / (edges[2:] - edges[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


def num_windows(samples: int) -> int:
    """How many whole windows a sound of so many samples has."""
    return max(0, 1 + (samples - WINDOW) // HOP)


def log_mel(audio: jax.Array) -> jax.Array:
    """Mono sound at 16 kHz, [B S] in [-1, 1] -> float32 [B num_windows(S) 64]; window k is from 160 k on.

    log(mel + 0.01) of magnitudes in 64 bands from 125 to 7500 Hz, periodic Hann windows of 25 ms every 10 ms
    (as in arXiv 1609.09430, sec. 3.1). Raises ValueError for a sound that is shorter than a window.
    """
    count = num_windows(audio.shape[1])
    if count < 1:
        raise ValueError(f"a sound needs at least {WINDOW} samples; this one has {audio.shape[1]}")
    # A window is two and a half hops: three rows of neighbouring hops, cut off. Gathering it would be slow.
    rows = -(-WINDOW // HOP)
    length = (count + rows - 1) * HOP
    audio = jnp.pad(audio.astype(jnp.float32), ((0, 0), (0, max(0, length - audio.shape[1]))))[:, :length]
    hops = audio.reshape(len(audio), -1, HOP)
    windows = jnp.concatenate([hops[:, i : i + count] for i in range(rows)], -1)[..., :WINDOW]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    magnitudes = jnp.abs(jnp.fft.rfft(windows * hann.astype(np.float32), TRANSFORM))
    return jnp.log(magnitudes @ filters() + OFFSET)
