"""Our classifier beside transformers' VideoMAE and ViViT and pytorchvideo's X3D: same arrays, same minutes.

python experiments/classification/race.py data --data DATA --prepared DIR  # DIR/procgen: experiments/datasets
python experiments/classification/race.py ours --data DATA --dataset shapeshow --seed 0 --out FOLDER
PEERS/python experiments/classification/peers.py videomae --data DATA --dataset shapeshow --seed 0
python experiments/classification/race.py time   # of an update of 8 clips; of peers: --time
python experiments/classification/race.py table

PEERS/python: an interpreter with torch, transformers and pytorchvideo. One core each (`taskset -c 0`).
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results" / "race"
SIZE, FRAMES = 32, 16
LABELLED = 5  # Procgen clips a game that training is told of
ENDLESS = 10**9  # updates: the clock ends the run
# Frames a second, classes.
DATASETS = {"shapeshow": (16.0, 12), "procgen": (15.0, 16)}


def make(data: Path, prepared: Path) -> None:
    """Writes DATA/{shapeshow,procgen}/{train,validation,test}{,_labels}.npy and classes.txt."""
    from vgm_jax.data.sources.shapeshow import ShapeShow
    from vgm_jax.data.sources.tfds import Tfds

    counts = {"train": 20_000, "validation": 1024, "test": 4096}
    for split, count in counts.items():
        shown = ShapeShow(split, size=SIZE, frames=FRAMES, fps=16.0, label="motion", length=count)
        write(data / "shapeshow", split, [shown[i] for i in range(count)], shown.class_names())
        # 64 x 64 at half their size: the mean of each four pixels.
        games = Tfds(split=split, path=prepared / "procgen", size=2 * SIZE, frames=FRAMES, fps=15.0)
        write(data / "procgen", split, chosen(games, split), games.class_names())


def chosen(games, split: str) -> list[dict]:
    """Of the training split the first `LABELLED` clips of each class; of the others all."""
    items, seen = [], [0] * games.num_classes
    for i in range(len(games)):
        if split == "train" and min(seen) >= LABELLED:
            break
        item = games[i]
        seen[item["label"]] += 1
        if split != "train" or seen[item["label"]] <= LABELLED:
            video = item["video"].reshape(FRAMES, SIZE, 2, SIZE, 2, 3).mean((2, 4)).round().astype(np.uint8)
            items.append({"video": video, "label": item["label"]})
    return items


def write(folder: Path, split: str, items: list[dict], names: tuple[str, ...]) -> None:
    if (folder / "manifest.json").exists():
        raise ValueError(f"{folder} holds the contest's arrays; choose another --data")
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{split}.npy", np.stack([item["video"] for item in items]))
    np.save(folder / f"{split}_labels.npy", np.array([item["label"] for item in items], np.int32))
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in names))
    print(f"{folder.name} {split}: {len(items)} clips", flush=True)


def ours(
    data: Path, dataset: str, seed: int, minutes: float, out: Path, name: str, overrides: list[str]
) -> None:
    """`configs/classify.py` on picture alone, by the clock; its test figures.

    Opening and compiling is on the clock, which peers.py begins where a network has been built. Its rate
    falls within optimizer.decay_steps, to be set to as many updates as fit the minutes.
    """
    fps, classes = DATASETS[dataset]
    settings = {
        "seed": seed,
        "data.source": "arrays",
        "data.path": (data / dataset).resolve(),
        "data.fps": fps,
        "model.modalities": "('video',)",
        "model.modality_drop": 0.0,
        "model.heads": f"(('class',{classes}),)",
        "train.steps": ENDLESS,
        "train.minutes": minutes,
        "train.show_every": 0,
        "checkpoint.best": "",
        "checkpoint.every": ENDLESS,
        "evaluate.clips": 4096,
    }
    command = [sys.executable, "-m", "vgm_jax.main", "--config=configs/classify.py", f"--workdir={out}"]
    command += [f"--config.{key}={value}" for key, value in settings.items()]
    subprocess.run(command + overrides, check=True)
    found = json.loads((out / "evaluation.json").read_text())
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    curve = [
        {"step": line["step"], "accuracy": line["validation/accuracy/class"]}
        for line in lines
        if "validation/accuracy/class" in line
    ]
    result = {"contestant": name, "dataset": dataset, "seed": seed, "minutes": minutes}
    result |= {"overrides": overrides, "evaluation": found, "curve": curve}
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{dataset}_{name}_{seed}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(found)


def time_of_update(clips: int = 8) -> dict[str, float]:
    """Milliseconds of an update of so many clips on picture alone, and the parameters that learn."""
    import runpy
    import time

    import jax

    from vgm_jax.data.sources import make_source
    from vgm_jax.tasks import build

    config = runpy.run_path("configs/classify.py")["get_config"]().unlock()
    config.data.shapeshow.update(label="motion", audio=False)
    config.model.update(modalities=("video",), modality_drop=0.0, heads=(("motion", 12),))
    task, source = build(config.lock()), make_source(config.data, "train")
    items = [source[i] for i in range(clips)]
    batch = {name: np.stack([item[name] for item in items]) for name in items[0]}
    state = jax.jit(task.init)(jax.random.key(0), batch)
    step, seconds = jax.jit(task.train_step), []
    for i in range(45):
        began = time.perf_counter()
        jax.block_until_ready(step(state, batch, jax.random.key(i)))
        seconds.append(time.perf_counter() - began)
    parameters = sum(x.size for x in jax.tree.leaves(state.params))
    return {"parameters": parameters, "update_ms": 1e3 * float(np.median(seconds[5:]))}


def table() -> str:
    """Of every contestant the mean test accuracy and its range over seeds, in Markdown."""
    rows = {}
    for file in sorted(RESULTS.glob("*_*_*.json")):
        found = json.loads(file.read_text())
        test = found["test"] if "test" in found else found["evaluation"]["test/accuracy/class"]
        rows.setdefault((found["dataset"], found["contestant"]), []).append((found["seed"], test))
    text = "| data | | seeds | test accuracy (lowest to highest) |\n|---|---|---|---|\n"
    for (dataset, name), runs in rows.items():
        tests = [100 * test for _, test in sorted(runs)]
        text += f"| {dataset} | {name} | {len(tests)} | {np.mean(tests):.1f} % "
        text += f"({min(tests):.1f} to {max(tests):.1f}) |\n"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("data", "ours", "time", "table"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--prepared", type=Path)
    parser.add_argument("--dataset", choices=DATASETS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--name", default="ours", help="in the results: of other settings, another one")
    args, rest = parser.parse_known_args()
    wrong = [x for x in rest if args.what != "ours" or not x.startswith("--config.")]
    needed = {"data": ("data", "prepared"), "ours": ("data", "dataset", "out"), "time": (), "table": ()}[
        args.what
    ]
    missing = [name for name in needed if getattr(args, name) is None]
    if wrong or missing:
        parser.error(f"unexpected {wrong}" if wrong else f"{args.what} needs --{missing[0]}")
    if args.what == "data":
        make(args.data, args.prepared)
    elif args.what == "ours":
        ours(args.data, args.dataset, args.seed, args.minutes, args.out, args.name, rest)
    elif args.what == "time":
        print(json.dumps(time_of_update()))
    else:
        print(table())


if __name__ == "__main__":
    main()
