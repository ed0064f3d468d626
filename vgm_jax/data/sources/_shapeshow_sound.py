"""Sound for ShapeShow: four classes of sound, and sound that follows the picture."""

from __future__ import annotations

import math

import numpy as np

SAMPLE_RATE = 16_000
CLICK_SECONDS = 0.006
DRAWS = 8  # uniform numbers that a sound takes before its noise


def num_samples(duration: float) -> int:
    return max(1, round(duration * SAMPLE_RATE))


def _noise(generator: np.random.Generator, samples: int) -> np.ndarray:
    """White noise, uniform in [-1, 1): float32 [samples]. Raw bits are much faster than normal numbers."""
    bits = np.frombuffer(generator.bytes(2 * samples), "<i2")
    return bits * np.float32(1 / 32768)


def _sine(cycles: np.ndarray) -> np.ndarray:
    """sin(2 pi cycles) in float32, after reduction to one turn, so that long clips stay in tune."""
    return np.sin(((cycles - np.floor(cycles)) * (2 * math.pi)).astype(np.float32))


def _add_clicks(audio: np.ndarray, onsets: np.ndarray, pitch: float, amplitude: float) -> None:
    """Add a short decaying burst from each onset on, [N] in seconds; its first sample is its loudest."""
    seconds = np.arange(round(CLICK_SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    click = amplitude * np.exp(-seconds / (CLICK_SECONDS / 5)) * np.cos(2 * math.pi * pitch * seconds)
    click = click.astype(np.float32)
    for onset in np.rint(onsets * SAMPLE_RATE).astype(int):
        room = len(audio) - onset
        audio[onset : onset + len(click)] += click[:room]


def class_sound(sound: str, generator: np.random.Generator, duration: float) -> np.ndarray:
    """A sound of a class, with random pitch, rate, loudness and phase, over faint noise.

    Args:
      sound: beep (steady tone), chirp (tone rising once over the clip), ticks (click train) or hiss (noise).
      generator: a stream for this sound alone.
      duration: seconds.

    Returns:
      float32 [round(duration * 16000)] in [-1, 1].
    """
    amplitude, pitch, rate, phase, floor, tint = generator.random(DRAWS)[:6]
    samples = num_samples(duration)
    amplitude = 0.2 + 0.5 * amplitude
    audio = _noise(generator, samples)
    if sound == "hiss":
        audio[1:] -= np.float32(0.6 * tint - 0.3) * audio[:-1]
        audio *= np.float32(amplitude)
        return np.clip(audio, -1, 1, out=audio)
    audio *= np.float32(0.002 + 0.008 * floor)
    if sound == "ticks":
        period = 1 / (6 + 8 * rate)
        first = phase * min(period, 0.8 * duration)
        onsets = np.arange(first, duration - 0.5 / SAMPLE_RATE, period)
        _add_clicks(audio, onsets, 2000 + 2000 * pitch, 0.3 + amplitude)
    else:
        seconds = np.arange(samples) * (1 / SAMPLE_RATE)
        if sound == "beep":
            cycles = phase + (300 * 4.0**pitch) * seconds
        else:
            low, octaves = 250 * 2.0**pitch, 2 + rate
            climb = low * (2.0**octaves - 1) / (2 * duration)
            cycles = phase + (low + climb * seconds) * seconds
        audio += np.float32(amplitude) * _sine(cycles)
    return np.clip(audio, -1, 1, out=audio)


def synced_sound(
    heights: np.ndarray, events: np.ndarray, generator: np.random.Generator, duration: float
) -> np.ndarray:
    """A tone whose pitch follows an object's height, and a click at every event.

    Args:
      heights: [N >= 2] from 0 (floor, 220 Hz) to 1 (top, 880 Hz), evenly spaced over the clip, ends included.
      events: [E] seconds.
      generator: a stream for this sound alone.
      duration: seconds.

    Returns:
      float32 [round(duration * 16000)] in [-1, 1]; a click's first sample is at round(event * 16000).
    """
    phase, loudness, floor = generator.random(DRAWS)[:3]
    samples = num_samples(duration)
    audio = _noise(generator, samples)
    audio *= np.float32(0.002 + 0.004 * floor)
    position = np.arange(samples) * ((len(heights) - 1) / (duration * SAMPLE_RATE))
    hertz = np.interp(position, np.arange(len(heights)), 220 * 4.0**heights)
    cycles = np.cumsum(hertz)
    cycles *= 1 / SAMPLE_RATE
    cycles += phase
    audio += np.float32(0.12 + 0.08 * loudness) * _sine(cycles)
    _add_clicks(audio, events, 3000, 0.75)
    return np.clip(audio, -1, 1, out=audio)
