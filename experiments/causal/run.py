"""Whether a causal generator follows the player: its error with the true actions, with others', of copies.

python -m vgm_jax.main --config configs/causal.py --config.data.path=DIR
python experiments/causal/run.py runs/causal

Writes results/NAME.json and, with --picture, samples.png: a strip a row, of every second frame.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vgm_jax.data.media import strip, write_image
from vgm_jax.data.pipeline import EvaluationBatches
from vgm_jax.data.sources import make_source
from vgm_jax.evaluation.evaluator import assess
from vgm_jax.evaluation.look import PIXELS, Looker, together
from vgm_jax.inference import PlayModel, load_player
from vgm_jax.training import runtime
from vgm_jax.training.workdir import read_config

HERE = Path(__file__).parent
ROWS = 32
RIGHT, LEFT, JUMP = 7, 1, 5  # Procgen's actions
MANY = 500  # frames of a stream whose memory and look are asked for at its end
REACH = 12  # pixels over which a shift is looked for


def given_to(model: PlayModel) -> int:
    """Frames that its clips begin with."""
    return model._task.frames_given


def clips_of(model: PlayModel, batch: dict[str, np.ndarray], action: np.ndarray, first: int) -> np.ndarray:
    """uint8 [B T H W C]: from as many of the batch's frames as are given, after actions [B T]."""
    root = jax.random.key(7)
    keys = jax.vmap(lambda i: jax.random.fold_in(root, i))(first + np.arange(len(action)))
    return np.asarray(model._task.follow(model._params, batch["video"][:, : given_to(model)], keys, action))


def scrolled(before: np.ndarray, after: np.ndarray) -> int:
    """By how many pixels a picture [H W 3] moved to the left, by the least error of its middle."""
    a, b = before.astype(np.float32), after.astype(np.float32)
    middle = slice(REACH, a.shape[1] - REACH)
    errors = [np.abs(np.roll(a, -s, 1) - b)[:, middle].mean() for s in range(-REACH, REACH + 1)]
    return int(np.argmin(errors)) - REACH


def errors(model: PlayModel, source: Any, count: int, networks: tuple[str, ...]) -> dict[str, Any]:
    """Mean absolute errors in grey levels, and distances of the sets."""
    apart: dict[str, list[np.ndarray]] = {}
    given = given_to(model)
    sets: dict[str, list[Any]] = {"real": [], "true": [], "copied": []}
    look = Looker((*networks, *PIXELS))
    for number, batch in enumerate(EvaluationBatches(source, batch_size=ROWS, count=count)):
        video, action = batch["video"], batch["action"]
        made = {
            "true": clips_of(model, batch, action, number * ROWS),
            "shuffled": clips_of(model, batch, np.roll(action, 1, 0), number * ROWS),
            "copied": np.repeat(video[:, given - 1, None], video.shape[1], 1),
        }
        for name, clips in made.items():
            error = np.abs(clips.astype(np.int16) - video).mean((2, 3, 4))
            apart.setdefault(name, []).append(error[batch["mask"] > 0])
        kept = int(batch["mask"].sum())
        for name, clips in {"real": video, **made}.items():
            if name in sets:
                sets[name].append(look(clips, kept))
    rows = {name: np.concatenate(parts) for name, parts in apart.items()}
    rows = {name: x[:, given:] for name, x in rows.items()}
    figures = {
        f"error of frame {n}": {name: round(float(x[:, n - 1].mean()), 2) for name, x in rows.items()}
        for n in (1, 3, 5, rows["true"].shape[1])
    }
    worse = (rows["shuffled"][:, :5].mean(1) - rows["true"][:, :5].mean(1)).astype(np.float64)
    figures["shuffled minus true, 5 frames: mean, its standard error"] = [
        round(float(worse.mean()), 3),
        round(float(worse.std() / len(worse) ** 0.5), 3),
    ]
    seen = {name: together(parts) for name, parts in sets.items()}
    for name in ("true", "copied"):
        result = assess(seen["real"], seen[name], None, None)
        figures[f"distances, {name}"] = {k: round(v, 4) for k, v in result["distances"].items()}
        figures[f"motion, {name}"] = round(result["checks"]["motion/fake"], 3)
    figures["motion, real"] = round(result["checks"]["motion/real"], 3)
    return figures


def steered(model: PlayModel, source: Any, count: int, frames: int = 5) -> dict[str, Any]:
    """How far the view scrolls in so many frames of one action, of real clips that held it, and of ours."""
    found: dict[str, Any] = {}
    real: dict[int, list[int]] = {RIGHT: [], LEFT: []}
    firsts = []
    first = given_to(model) - 1
    last = first + frames
    for i in range(min(len(source), 2048)):
        item = source[i]
        for action, shifts in real.items():
            if (item["action"][first + 1 : last + 1] == action).all():
                shifts.append(scrolled(item["video"][first], item["video"][last]))
        if len(firsts) < count:
            firsts.append(item["video"])
    batch = {"video": np.stack(firsts)}
    for name, action in {"right": RIGHT, "left": LEFT}.items():
        clips = clips_of(model, batch, np.full((len(firsts), last + 1), action, np.int32), 0)
        ours = [scrolled(clip[first], clip[last]) for clip in clips]
        found[name] = {
            "real: mean pixels, clips": [round(float(np.mean(real[action] or [0])), 2), len(real[action])],
            "ours: mean pixels, clips": [round(float(np.mean(ours)), 2), len(ours)],
        }
    return found


def speed(model: PlayModel, source: Any) -> dict[str, Any]:
    """Of a stream: milliseconds of one processor a frame, after the first ones."""
    stream = model.stream(0, image=source[0]["video"][0], actions=[RIGHT])
    for _ in range(5):
        next(stream)
    began, busy = time.perf_counter(), time.process_time()
    for _ in range(MANY):
        frame = next(stream)
    return {
        "frames": MANY,
        "processor ms a frame": round(1000 * (time.process_time() - busy) / MANY, 2),
        "ms a frame": round(1000 * (time.perf_counter() - began) / MANY, 2),
        "last frame: mean, deviation": [round(float(frame.mean()), 1), round(float(frame.std()), 1)],
    }


def picture(model: PlayModel, source: Any, path: Path, rows: int = 4) -> None:
    """Of some clips: real, with their actions, always right, always left, always up."""
    chosen = [source[len(source) * i // rows] for i in range(rows)]
    batch = {name: np.stack([item[name] for item in chosen]) for name in ("video", "action")}
    shape = batch["action"].shape
    held = [np.full(shape, action, np.int32) for action in (RIGHT, LEFT, JUMP)]
    made = [batch["video"], *(clips_of(model, batch, action, 0) for action in (batch["action"], *held))]
    write_image(path, strip(np.stack(made, 1).reshape(-1, *batch["video"].shape[1:])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("workdir", type=Path)
    parser.add_argument("--step", type=int, help="of a checkpoint; by default the last")
    parser.add_argument("--count", type=int, default=512, help="test clips")
    parser.add_argument("--networks", default="random,efficientnet")
    parser.add_argument("--name", help="of the result; by default the workdir's")
    parser.add_argument("--picture", action="store_true")
    flags = parser.parse_args()
    runtime.start()
    model, config = load_player(flags.workdir, flags.step), read_config(flags.workdir)
    source = make_source(config.data, "test")
    result = {
        "step": model.step,
        "clips": flags.count,
        **errors(model, source, flags.count, tuple(flags.networks.split(","))),
        "scrolled in 5 frames of one action": steered(model, source, min(flags.count, 256)),
        "stream": speed(model, source),
        "reconstruction_weight": config.objective.reconstruction_weight,
    }
    text = json.dumps(result, indent=1)
    print(text)
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / f"{flags.name or flags.workdir.name}.json").write_text(text + "\n")
    if flags.picture:
        picture(model, source, HERE / "samples.png")


if __name__ == "__main__":
    main()
