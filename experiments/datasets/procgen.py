"""Procgen (arXiv 1912.01588): 16 games, class = game, with actions; and CoinRun alone as arrays."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from writing import SPLITS, clip_features, write

from vgm_jax.data.packages import Package, fetch

FPS, FRAMES, SIZE = 15.0, 16, 64
PACKAGES = (
    Package(
        "pip",
        "envpool==0.9.0",
        "envpool-0.9.0-cp311-cp311-manylinux_2_28_x86_64.whl",
        "76441904c9bfd5fad4dce12bd834a09bb7af7aa4060859f2fd88d14cacb61986",
        "Apache-2.0 (envpool); Procgen: MIT, (c) OpenAI",
    ),
)
COINRUN = {"train": 12_000, "validation": 2_048, "test": 4_096}
EACH = {"train": 800, "validation": 100, "test": 200}
GAMES = ("bigfish", "bossfight", "caveflyer", "chaser", "climber", "coinrun", "dodgeball", "fruitbot")
GAMES += ("heist", "jumper", "leaper", "maze", "miner", "ninja", "plunder", "starpilot")
HERE = Path(__file__).parent


def player_python(cache: Path) -> Path:
    """A Python with envpool, in an environment of its own in the cache, for it needs an old gym."""
    if sys.version_info[:2] != (3, 11) or sys.platform != "linux":
        raise SystemExit(
            "envpool 0.9.0 is for CPython 3.11 on Linux (x86-64), and this is another: use that, or give "
            "--python VENV/bin/python of an environment that has it (pip install envpool==0.9.0)"
        )
    folder = cache / "envpool-0.9.0-venv"
    python = folder / "bin" / "python"
    if not (folder / "done").is_file():
        wheel = fetch(PACKAGES[0], cache)
        print("making an environment for envpool", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", wheel], check=True)
        (folder / "done").touch()
    return python


def play(python: Path, out: Path, game: str, clips: dict[str, int], seed: int) -> dict:
    """Plays a game by `play.py` into the folder `out`, unless that is done; its manifest."""
    manifest = out / "manifest.json"
    if not manifest.is_file():
        command = [
            python,
            HERE / "play.py",
            out,
            "--game",
            game,
            "--seed",
            str(seed),
            "--clips",
            json.dumps(clips),
        ]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)  # gym always says that it is old
        if done.returncode:
            raise SystemExit(f"{done.stderr}{game}: failed: {' '.join(map(str, command))}")
    return json.loads(manifest.read_text())


def make_coinrun(out: Path, cache: Path, python: Path | None = None, seed: int = 0) -> dict:
    """CoinRun as arrays for the source `arrays`, in `out`; returns what there is to say of it."""
    part = out.with_name(f".{out.name}.part")
    manifest = play(python or player_python(cache), part, "coinrun", COINRUN, seed)
    os.replace(part, out)
    splits = manifest["splits"]
    return {
        "clips": {split: found["shape"][0] for split, found in splits.items()},
        "sha256": {split: found["sha256"] for split, found in splits.items()},
        "dropped, since little moved": {split: found["dropped"] for split, found in splits.items()},
        "fps": FPS,
        "seed": seed,
    }


def make(out: Path, cache: Path, python: Path | None = None, seed: int = 0) -> dict:
    """Writes the data set of all games to `out`; returns what there is to say of it."""
    from tensorflow_datasets import features

    python = python or player_python(cache)
    games = out.with_name(f".{out.name}.games")  # kept until all is done: a game that was played is not again
    manifests = {game: play(python, games / game, game, EACH, seed) for game in GAMES}
    times = np.arange(FRAMES, dtype=np.float32) / np.float32(FPS)

    def examples(split: str) -> Iterator[dict]:
        for game in GAMES:
            names = [games / game / f"{split}{part}.npy" for part in ("", "_actions", "_levels")]
            for clip, actions, level in zip(*(np.load(name, mmap_mode="r") for name in names), strict=True):
                about = {"actions": actions.astype(np.int32), "level": level, "label": game}
                yield {"video": np.array(clip), "times": times} | about

    more = {
        "label": features.ClassLabel(names=list(GAMES)),
        "actions": features.Tensor(shape=(FRAMES,), dtype=np.int32),
        "level": features.Scalar(np.int64),
    }
    counts = write(
        out,
        "procgen",
        clip_features(FRAMES, SIZE) | more,
        {split: examples(split) for split in SPLITS},
        description="Clips of Procgen's games; actions: 0 to 14, what led to each frame; level: its seed",
        licence=PACKAGES[0].licence,
    )
    shutil.rmtree(games)
    dropped = {game: sum(s["dropped"] for s in found["splits"].values()) for game, found in manifests.items()}
    return {
        "clips": counts,
        "games": len(GAMES),
        "dropped, since little moved": dropped,
        "fps": FPS,
        "seed": seed,
    }
