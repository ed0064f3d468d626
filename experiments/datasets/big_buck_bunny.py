"""Big Buck Bunny: all of the film, shots and sound, through `vgm prepare`; from moviepy's source archive."""

import io
import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
from writing import contact_sheet, even

from vgm_jax.data import decode
from vgm_jax.data.packages import Package, fetch, members, sha256_of
from vgm_jax.preparation.prepare import HIDDEN, prepare
from vgm_jax.preparation.records import Settings

FPS, FRAMES, SIZE = 24.0, 16, 64
CUTS = 20  # shown for a person to judge
PACKAGES = (
    Package(
        "pip",
        "moviepy==2.2.1",
        "moviepy-2.2.1.tar.gz",
        "c80cb56815ece94e5e3e2d361aa40070eeb30a09d23a24c4e684d03e16deacb1",
        "CC BY 3.0, (c) 2008 Blender Foundation, www.bigbuckbunny.org (moviepy: MIT)",
    ),
)
FILM_SHA256 = "475fbbf34c4c367998f80c29ea03b15a743941179b12da3373fc6706e68621d0"
LICENCE = "CC BY 3.0, (c) 2008 Blender Foundation, www.bigbuckbunny.org"


def film(cache: Path) -> Path:
    """The film's file, unpacked in the cache."""
    path = cache / "bbb.mp4"
    if path.is_file() and sha256_of(path) == FILM_SHA256:
        return path
    archive = fetch(PACKAGES[0], cache)
    (_, content), *_ = members(archive, "/moviepy_10_minutes.zip")
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        part = path.with_name(f".{path.name}.{os.getpid()}")
        part.write_bytes(packed.read("moviepy_10_minutes/resources/bbb.mp4"))
    if sha256_of(part) != FILM_SHA256:
        part.unlink()
        raise SystemExit(f"{archive}: bbb.mp4 in it is not the film that was expected")
    os.replace(part, path)
    return path


def show_cuts(path: Path, source: Path, starts: list[float]) -> None:
    """Writes a png: of `CUTS` cuts, evenly chosen, the frame before and the frame after."""
    chosen = [starts[i] for i in even(len(starts), CUTS)]
    half = 0.5 / FPS
    times = [time for start in chosen for time in (start - half, start + half)]
    frames, _ = decode.read_frames(source, times, size=(90, 160))
    texts = [f"{int(start // 60)}:{start % 60:05.2f}" for start in chosen]
    contact_sheet(path, frames.reshape(len(chosen), 2, *frames.shape[1:]), texts, columns=4)


def make(out: Path, cache: Path, workers: int | None = None) -> dict:
    """Writes the data set to `out`; returns what there is to say of it."""
    source = film(cache)
    part = out.with_name(f".{out.name}.part")  # prepare goes on where it was killed
    settings = Settings(size=SIZE, fps=FPS, frames=FRAMES, audio=True)
    made = prepare(source, part, settings, workers=workers, licence=LICENCE)
    (result,) = (json.loads(file.read_text()) for file in (part / HIDDEN / "sources").glob("*.json"))
    starts = [start for start, _ in result["shots"]][1:]
    show_cuts(part / "cuts.png", source, starts)
    (part / "shots.json").write_text(json.dumps(np.round(result["shots"], 3).tolist()) + "\n")
    shutil.rmtree(part / HIDDEN)  # the clips once more
    os.replace(part, out)
    return {
        "clips": made["splits"],
        "shots": made["shots"],
        "left out": made["rejected"],
        "fps": FPS,
    }
