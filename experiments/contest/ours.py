"""Our side of the contest: the program that users run, by the clock, and samples of each checkpoint."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from data import DATASETS, FRAMES
from judge import TEST, VALIDATION, machine, read, write

from vgm_jax.inference import load
from vgm_jax.training.checkpoint import Checkpoints
from vgm_jax.version import __version__

MINUTES = (1, 2, 3, 5, 6, 7.5, 10, 15, 20, 25, 30, 40, 50, 60)
ENDLESS = 10**9  # updates: the clock ends the run
LOGGED = 60  # lines of the log, at most, in a result


def train(
    data: Path,
    dataset: str,
    name: str,
    config: str,
    overrides: Sequence[str],
    seed: int,
    minutes: float,
    folder: Path,
) -> None:
    """Trains a recipe for so many minutes, compiling included, and writes what `judge.measure` reads.

    The run is in `folder`/run; one whose training is done is only sampled. Raises ValueError where `folder`
    holds something unfinished, subprocess.CalledProcessError where training fails.
    """
    run, about = folder / "run", DATASETS[dataset]
    if folder.exists() and not (run / "evaluation.json").exists():
        raise ValueError(f"{folder} holds a run that is not finished; delete it, or choose another --out")
    if not folder.exists():
        folder.mkdir(parents=True)
        marks = tuple(float(m) for m in MINUTES if m < minutes)
        settings = {
            "seed": seed,
            "data.source": "arrays",
            "data.path": (data / dataset).resolve(),
            "data.size": about.size,
            "data.frames": FRAMES,
            "data.fps": about.fps,
            "train.steps": ENDLESS,
            "train.minutes": float(minutes),
            "train.show_every": 0,
            "checkpoint.every": ENDLESS,
            "checkpoint.minutes": marks,
            "checkpoint.keep": 2 * len(MINUTES),
            "checkpoint.best": "",
            # The closing evaluation is after the clock; what counts is measured from samples.
            "evaluate.every": 0,
            "evaluate.clips": 16,
            "evaluate.features": "random",
        }
        command = [sys.executable, "-m", "vgm_jax.main", f"--config={config}", f"--workdir={run}", *overrides]
        command += [f"--config.{key}={value}" for key, value in settings.items()]
        write(folder / "begun.json", {"machine": machine(), "commit": commit(), "version": __version__})
        # An empty cache: compiling is on the clock.
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str((folder / "xla").resolve())}
        subprocess.run(command, check=True, env=environment)
    about = {"contestant": name, "dataset": dataset, "seed": seed, "minutes": minutes}
    # As they were when it was trained: measuring may go on with a later version.
    settings = {"recipe": config, "overrides": list(overrides), "config": read(run / "config.json")}
    settings["config"]["data"]["path"] = "DATA"
    begun = read(folder / "begun.json")
    settings |= {"version": begun.get("version", __version__), "commit": begun["commit"]}
    sample(folder, about | {"settings": settings, "machine": begun["machine"]})


def sample(folder: Path, about: dict[str, Any]) -> None:
    """Samples of every checkpoint of the run in `folder`/run, and seconds.json, with `about`."""
    run = folder / "run"
    checkpoints = Checkpoints(run / "checkpoints", 2 * len(MINUTES), "", writes=False)
    taken = [{"seconds": round(checkpoints.seconds(step), 2), "step": step} for step in checkpoints.steps]
    checkpoints.close()
    snapshots = []
    for snapshot in taken:
        file = folder / f"{round(snapshot['seconds']):05d}.npy"
        count = TEST if snapshot is taken[-1] else VALIDATION
        if not file.exists():
            model = load(run, snapshot["step"])
            part = file.with_suffix(".part")
            with part.open("wb") as opened:
                np.save(opened, model.sample(key=0, n=count))
            part.replace(file)
        snapshots.append(snapshot | {"samples": file.name})
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    lines = [line for line in lines if {"d_loss", "shown_d_loss"} & set(line)]
    log = lines[:: max(1, len(lines) // LOGGED)]
    write(folder / "seconds.json", about | {"snapshots": snapshots, "log": log})


def commit() -> str:
    """The commit of the working tree, with a mark where the library or the recipes have changed since."""
    here = Path(__file__).parents[2]
    git = ["git", "-C", str(here)]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    changed = subprocess.run(
        [*git, "status", "--porcelain", "vgm_jax", "configs"], capture_output=True
    ).stdout
    return head + " and changes" * bool(changed.strip())
