"""A stand-in for `vgm_jax.preparation.source.process`: clips of arrays, and what a decoder may do to one.

It is imported by worker processes, so it is a module of its own; see `cheap` in conftest.
"""

import os
import signal
import time
import zlib
from pathlib import Path

import numpy as np

from vgm_jax.data.decode import DecodeError
from vgm_jax.preparation.records import Clip, Rejection, Shot

SHOT = 4  # clips


def process(source, settings):
    """Windows of an .npy, four to a shot; the name says what else happens."""
    log = os.environ.get("CHEAP_LOG")
    if log:
        with open(log, "a") as file:
            file.write(f"{source.name}\n")
    stem = Path(source.name).name
    if stem.startswith("slow"):
        time.sleep(0.05)
    if stem.startswith("hang"):
        time.sleep(600)
    if stem.startswith("segfault"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if stem.startswith("flaky") and not (mark := source.path.with_suffix(".mark")).exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if stem.startswith("huge") and not source.path.with_suffix(".more").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    if stem.startswith("full"):
        raise MemoryError("no more")
    if not source.path.stat().st_size:
        raise DecodeError(source.path, "the file is empty")
    video = np.load(source.path)
    video = video if source.item is None else video[source.item]
    video = video[:, : settings.size, : settings.size]
    t = settings.frames
    count = len(video) // t
    if not count:
        yield Rejection("too short", f"{len(video)} frames")
    for shot in range(-(-count // SHOT)):
        seconds = SHOT * t / settings.fps
        yield Shot(shot * seconds, (shot + 1) * seconds)
    for i in range(count):
        part = video[i * t : (i + 1) * t]
        start = i * t / settings.fps
        if part.max() < 8:
            yield Rejection("black", "too dark", start, start + t / settings.fps, part[t // 2])
            continue
        sound = None
        if settings.audio and "sound" in stem:
            sound = np.full(round(16000 * t / settings.fps), 100 + i, np.int16)
        mark = zlib.crc32(part.tobytes()) * 0x9E3779B97F4A7C15 % 2**64
        figures = {"brightness": float(part.mean())}
        times = np.arange(t, dtype=np.float32) / np.float32(settings.fps)
        yield Clip(start, i // SHOT, part, times, sound, f"part {i} of {stem}", mark, figures)
    if stem.startswith("late"):
        raise DecodeError(source.path, "damaged after its beginning")


def wait_for(job, beat):
    """Work that ends when there is a file."""
    while not job.exists():
        time.sleep(0.02)
