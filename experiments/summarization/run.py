"""What summaries of ShapeShow's films are worth, beside annotators and what needs no model; shots found.

python experiments/summarization/run.py films --seeds 3     # both ways to learn: results/films.json
python experiments/summarization/run.py shots --count 20  # boundaries by both ways: results/shots_8.json
python experiments/summarization/run.py shots --split validation  # by which a threshold is chosen
"""

import argparse
import json
import runpy
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from vgm_jax.data.featured import Featured
from vgm_jax.data.sources import make_source
from vgm_jax.evaluation.segmentation import segments
from vgm_jax.preparation.shots import SIZE, number_shots, transition_probabilities
from vgm_jax.tasks import build
from vgm_jax.training import runtime
from vgm_jax.training.loop import Run

HERE = Path(__file__).parent
TOLERANCE = 1 / 3  # seconds by which a boundary may be off
THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)  # of TransNet's probabilities
CONFIG = HERE.parents[1] / "configs" / "summarize.py"
ARMS = {
    "supervised": {},
    # Nothing that annotators said has a say in which checkpoint is used: the last one is.
    "adversarial": {
        "objective.summary": "adversarial",
        "model.features": "track",
        "checkpoint.best": "",
        "train.steps": 400,
        "optimizer.decay_steps": 400,
        "optimizer.classifier_rate": 1e-3,
    },
}


def recipe(changes: dict[str, Any]) -> ConfigDict:
    config = runpy.run_path(str(CONFIG))["get_config"]().unlock()
    config.update_from_flattened_dict(changes)
    return config.lock()


def films(seeds: int, changes: dict[str, Any]) -> None:
    """Each arm and seed: the test split's figures; means and standard deviations over seeds."""
    rows = []
    for arm, own in ARMS.items():
        for seed in range(seeds):
            config = recipe(own | changes | {"seed": seed, "train.show_every": 0})
            began = time.perf_counter()
            with tempfile.TemporaryDirectory() as workdir:
                run = Run(build(config), config, Path(workdir), report=lambda text: None)
                run.train()
                found = run.evaluate()
                run.close()
            about = {"arm": arm, "settings": own | changes, "seed": seed}
            rows.append(about | {"seconds": time.perf_counter() - began} | found)
            print(json.dumps(rows[-1]), flush=True)
            write("films", {"config": json.loads(config.to_json()), "rows": rows, "table": table(rows)})


def table(rows: list[dict[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """Name -> figure -> mean and standard deviation over seeds; what needs no model is of the first row."""
    found: dict[str, dict[str, list[float]]] = {}
    for arm in dict.fromkeys(row["arm"] for row in rows):
        mine = [row for row in rows if row["arm"] == arm]
        for figure in ("f", "tau", "rho"):
            values = [row[f"test/{figure}"] for row in mine]
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
            found.setdefault(arm, {})[figure] = [round(float(np.mean(values)), 4), round(spread, 4)]
    for name, value in rows[0].items():
        if name.count("/") == 2:
            _, anchor, figure = name.split("/")
            found.setdefault(anchor, {})[figure] = [round(value, 4)]
    return found


def shots(count: int, changes: dict[str, Any], split: str) -> None:
    """Precision, recall and F1 of boundaries, right to within `TOLERANCE`; of TransNet at each threshold.

    Of the test split by kernel temporal segmentation, too, of which nothing is chosen on validation.
    """
    config = recipe(changes)
    task, source = build(config), make_source(config.data, split)
    vectors = Featured(source, task.vectors) if split == "test" else None
    tallies: dict[str, np.ndarray] = {}
    for index in range(min(count, len(source))):
        film = source.film(index)
        times = film.times.astype(float)
        said = list(transition_probabilities(_small(film.video)))
        found = {f"transnet at {threshold:g}": times[cuts(said, threshold)] for threshold in THRESHOLDS}
        if vectors is not None:
            rows = vectors[index]
            found["kts"] = rows["times"][[first for first, _ in segments(rows["features"])][1:]]
        true = times[film.shots[1:, 0]]
        for way, at in found.items():
            hit = matched(at, true)
            soft = film.dissolves
            row = hit.sum(), len(at), len(true), (hit & soft).sum(), soft.sum()
            tallies[way] = tallies.get(way, 0) + np.array(row)
        result = {way: figures(tally) for way, tally in tallies.items()}
        print(index, json.dumps(result["transnet at 0.5"]), flush=True)
        about = {"split": split, "films": index + 1, "frames_per_second": config.data.fps}
        name = f"shots_{config.data.fps:g}" + ("" if split == "test" else f"_{split}")
        write(name, about | {"tolerance_seconds": TOLERANCE} | result)


def matched(found: np.ndarray, true: np.ndarray, tolerance: float = TOLERANCE) -> np.ndarray:
    """Which true moments are found, bool [N]: one by one, as many as possible; both ascend, in seconds."""
    hit, i = np.zeros(len(true), bool), 0
    for j, moment in enumerate(true):
        while i < len(found) and found[i] < moment - tolerance - 1e-4:  # frames' times are rounded
            i += 1
        if i < len(found) and found[i] <= moment + tolerance + 1e-4:
            hit[j], i = True, i + 1
    return hit


def figures(tally: np.ndarray) -> dict[str, float]:
    """Of (found and right, found, there, dissolves found, dissolves there)."""
    right, said, there, soft, dissolves = (int(n) for n in tally)
    precision, recall = right / max(said, 1), right / max(there, 1)
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / max(precision + recall, 1e-9),
        "boundaries": there,
        "recall_of_cuts": (right - soft) / max(there - dissolves, 1),
        "recall_of_dissolves": soft / max(dissolves, 1),
        "dissolves": dissolves,
    }


def cuts(probabilities: list[tuple[float, float]], threshold: float = 0.5) -> list[int]:
    """The first frames of all shots but the first one, where a transition is what is over the threshold."""
    scale = 0.5 / threshold  # `number_shots` asks for more than a half
    numbers = number_shots((scale * middle, scale * either) for middle, either in probabilities)
    known = [(i, n) for i, n in enumerate(numbers) if n is not None]
    return [i for (_, before), (i, n) in zip(known, known[1:], strict=False) if n != before]


def _small(video: np.ndarray) -> Iterator[np.ndarray]:
    for frame in video:
        yield np.asarray(Image.fromarray(frame).resize(SIZE[::-1], Image.Resampling.BILINEAR))


def write(name: str, result: dict) -> None:
    (HERE / "results" / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("films", "shots"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--split", default="test", help="of shots: test or validation")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a key of the recipe")
    args = parser.parse_args()
    runtime.start()
    changes = {}
    for pair in args.set:
        key, value = pair.split("=", 1)
        try:
            changes[key] = json.loads(value)
        except ValueError:
            changes[key] = value
    if args.what == "films":
        films(args.seeds, changes)
    else:
        shots(args.count, changes, args.split)


if __name__ == "__main__":
    main()
