"""What the 48-class classifier gets right, with all it is given and without; what masked video is worth.

python -m vgm_jax.main --config configs/classify.py
python experiments/classification/run.py judge runs/classify --name bottleneck  # or late, concatenation
python experiments/classification/run.py judge shapeshow-trunk --name zoo  # what comes with the package
python experiments/classification/run.py labels --seeds 3  # of 1 %, 10 %, 100 % of the clips
python experiments/classification/run.py speed runs/classify  # of an update, of a stream
"""

import argparse
import json
import runpy
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from vgm_jax.data.media import write_image
from vgm_jax.data.pipeline import EvaluationBatches
from vgm_jax.data.sources import make_source
from vgm_jax.data.sources.shapeshow import MOTIONS, SOUNDS, ShapeShow
from vgm_jax.data.transforms import to_float
from vgm_jax.evaluation.calibration import calibration_error, confusion_matrix, confusion_picture
from vgm_jax.inference import load_classifier
from vgm_jax.inference.zoo import averaged, find_run
from vgm_jax.tasks import build
from vgm_jax.training import runtime
from vgm_jax.training.loop import Run
from vgm_jax.training.workdir import read_config

HERE = Path(__file__).parent
CONFIGS = HERE.parents[1] / "configs"
LABELLED = 12_800  # clips that are 100 %
FRACTIONS = (0.01, 0.1, 1.0)
UPDATES = {"masked": 1500, "labels": 600}


def ceilings() -> dict[str, Fraction]:
    """The best possible accuracies over 48 classes, exactly.

    Motion and sound are uniform and independent, and a clip's picture determines its motion, its sound the
    kind of sound: who knows one can but guess the other.
    """
    return {
        "fused": Fraction(1),
        "picture alone": Fraction(1, len(SOUNDS)),
        "sound alone": Fraction(1, len(MOTIONS)),
    }


def judge(workdir: Path, name: str, count: int) -> None:
    """Figures on the test split, of the averaged parameters; the confusion matrix."""
    config = read_config(workdir)
    task, params, step = averaged(workdir)
    batches = EvaluationBatches(make_source(config.data, "test"), batch_size=64, count=count)

    @jax.jit
    def probabilities(params, batch, present):
        seen = dict(task.given(batch))
        frames = to_float(seen.pop("video"))
        found = task.judge(params, frames, seen.pop("times"), present=present, **seen)
        return jax.nn.softmax(found.logits[0])

    ways = {"fused": (1, 1), "picture alone": (1, 0), "sound alone": (0, 1)}
    p, labels = {way: [] for way in ways}, []
    for batch in batches:
        keep = batch.pop("mask") > 0
        for way, (video, audio) in ways.items():
            present = {"video": jnp.full(64, bool(video)), "audio": jnp.full(64, bool(audio))}
            p[way].append(np.asarray(probabilities(params, batch, present))[keep])
        labels.append(batch["label"][keep])
    labels = np.concatenate(labels)
    result = {"step": step, "clips": len(labels), "workdir_config": json.loads(config.to_json())}
    result["parameters"] = sum(x.size for x in jax.tree.leaves(params))
    motion, sound = np.divmod(labels, len(SOUNDS))
    for way, rows in p.items():
        joint = np.concatenate(rows)
        guess, parts = joint.argmax(1), joint.reshape(len(joint), len(MOTIONS), len(SOUNDS))
        right = guess == labels
        result[way] = {
            "accuracy": float(right.mean()),
            "deviation": float(np.sqrt(right.mean() * (1 - right.mean()) / len(right))),
            "ceiling": float(ceilings()[way]),
            "motion": float((parts.sum(2).argmax(1) == motion).mean()),
            "sound": float((parts.sum(1).argmax(1) == sound).mean()),
            "calibration_error": calibration_error(joint.max(1), right),
            "nats": float(-np.log(np.maximum(joint[np.arange(len(joint)), labels], 1e-12)).mean()),
        }
        print(way, json.dumps(result[way]), flush=True)
        if way == "fused":
            matrix = confusion_matrix(labels, guess, 48)
            names = ShapeShow(label="both").class_names()
            write_image(HERE / f"confusion_{name}.png", confusion_picture(matrix, names))
            result["by_motion"] = {m: float(right[motion == i].mean()) for i, m in enumerate(MOTIONS)}
    write(f"classify_{name}", result)


def recipe(name: str, **changes) -> ConfigDict:
    config = runpy.run_path(str(CONFIGS / f"{name}.py"))["get_config"]().unlock()
    config.data.shapeshow.update(label="motion", audio=False)
    config.model.modalities, config.model.modality_drop = ("video",), 0.0
    config.model.heads = (("motion", 12),)
    config.evaluate.every = 0
    config.evaluate.clips = 2048
    config.update_from_flattened_dict(changes)
    return config.lock()


def train(config: ConfigDict, workdir: Path, clips: int) -> dict[str, float]:
    """Trains on the first `clips` clips of the train split; the figures on the test split."""
    run = Run(build(config), config, workdir, report=lambda text: None)
    run.source = ShapeShow(
        "train", size=config.data.size, label="motion", seed=config.data.seed, length=clips
    )
    run.train()
    figures = run.evaluate()
    run.close()
    return figures


def labels(seeds: int) -> None:
    """Motion, picture alone, from few labels: at random, from masked video, and its frozen features."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root, steps = Path(folder), UPDATES["masked"]
        masked = recipe("masked_video", **{"train.steps": steps, "optimizer.decay_steps": steps})
        began = time.perf_counter()
        found = train(masked, root / "masked", LABELLED)
        figures = {name: found[f"test/{name}"] for name in ("hidden", "whole")}
        pretraining = {"seconds": time.perf_counter() - began, "updates": steps} | figures
        print(pretraining, flush=True)
        steps = UPDATES["labels"]
        changes = {"train.steps": steps, "optimizer.decay_steps": steps, "optimizer.warmup_steps": 50}
        starts = {
            "random": {},
            "masked video": {"model.start": str(root / "masked")},
            "masked video, frozen": {"model.start": str(root / "masked"), "model.frozen": True},
        }
        for seed in range(seeds):
            for part in FRACTIONS:
                for start, more in starts.items():
                    config = recipe("classify", seed=seed, **changes, **more)
                    clips = round(part * LABELLED)
                    found = train(config, root / f"{seed}_{clips}_{start}".replace(" ", ""), clips)
                    rows.append({"seed": seed, "labels": clips, "start": start} | found)
                    print(rows[-1], flush=True)
                    write("labels", {"pretraining": pretraining, "updates": steps, "rows": rows})


def speed(workdir: Path) -> None:
    """Milliseconds of an update, and from a tubelet's last frame to the answer, 64 x 64 with sound."""
    config = read_config(workdir)
    task = build(config)
    items = make_source(config.data, "train")
    rows = [items[i] for i in range(config.data.batch_size)]
    batch = {name: jnp.asarray(np.stack([row[name] for row in rows])) for name in rows[0]}
    state = jax.jit(task.init)(jax.random.key(0), batch)
    step = jax.jit(task.train_step)
    jax.block_until_ready(step(state, batch, jax.random.key(0)))
    updates = []
    for i in range(20):
        began = time.perf_counter()
        jax.block_until_ready(step(state, batch, jax.random.key(i)))
        updates.append(time.perf_counter() - began)
    rng = np.random.default_rng(0)
    model = load_classifier(workdir)
    stream = model.open_stream(fps=24.0)
    waits = []
    for _ in range(480):
        frames = rng.integers(0, 255, (2, 64, 64, 3)).astype(np.uint8)
        sound = rng.uniform(-0.2, 0.2, 2 * 16_000 // 24).astype(np.float32)
        began = time.perf_counter()
        list(stream.push(frames, sound))
        waits.append(time.perf_counter() - began)
    waits = waits[100:]  # after it has compiled for every number of patches of sound
    result = {
        "update_ms": 1e3 * float(np.median(updates)),
        "clips_an_update": config.data.batch_size,
        "stream_ms": {q: 1e3 * float(np.quantile(waits, q)) for q in (0.5, 0.95, 0.99)},
        "frame_ms": 1e3 / 24,
    }
    print(json.dumps(result, indent=1))
    write("speed", result)


def write(name: str, result: dict) -> None:
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("judge", "labels", "speed"))
    parser.add_argument("workdir", type=Path, nargs="?")
    parser.add_argument("--name", default="bottleneck")
    parser.add_argument("--count", type=int, default=4096)
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    runtime.start()
    if args.what == "labels":
        labels(args.seeds)
    elif args.workdir is None:
        parser.error(f"{args.what} needs a workdir")
    elif args.what == "judge":
        judge(find_run(args.workdir, "classification"), args.name, args.count)
    else:
        speed(args.workdir)


if __name__ == "__main__":
    main()
