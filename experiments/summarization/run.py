"""What summaries of ShapeShow's films are worth, beside annotators and what needs no model; shots found.

python experiments/summarization/run.py films --seeds 3     # both ways to learn: results/films.json
python experiments/summarization/run.py shots --count 20  # boundaries by both ways: results/shots.json
"""

import argparse
import json
import runpy
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from vgm_jax.data.featured import Featured
from vgm_jax.data.sources import make_source
from vgm_jax.evaluation.segmentation import segments
from vgm_jax.preparation.shots import SIZE, number_shots, transition_probabilities
from vgm_jax.tasks import build
from vgm_jax.training import runtime
from vgm_jax.training.loop import Run

HERE = Path(__file__).parent
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


def shots(count: int, changes: dict[str, Any]) -> None:
    """Precision, recall and F1 of boundaries in the test split, right to within a third of a second."""
    config = recipe(changes)
    task, source = build(config), make_source(config.data, "test")
    vectors = Featured(source, task.vectors)
    hits = {way: np.zeros(3) for way in ("transnet", "kts")}  # found and right, found, there
    for index in range(min(count, len(source))):
        item, film = source[index], vectors[index]
        times = np.asarray(item["times"])
        true = times[film["shots"][1:, 0]]
        found = {
            "transnet": times[_cuts(item["video"])],
            "kts": film["times"][[first for first, _ in segments(film["features"])][1:]],
        }
        for way, at in found.items():
            right = sum(bool(len(at)) and np.abs(at - t).min() <= 1 / 3 for t in true)
            hits[way] += [min(right, len(at)), len(at), len(true)]
        result = {}
        for way, (right, said, there) in hits.items():
            precision, recall = right / max(said, 1), right / max(there, 1)
            f1 = 2 * precision * recall / max(precision + recall, 1e-9)
            result[way] = {"precision": precision, "recall": recall, "f1": f1, "boundaries": int(there)}
        print(index, json.dumps(result), flush=True)
        write("shots", {"films": index + 1, "tolerance_seconds": 1 / 3} | result)


def _cuts(video: np.ndarray) -> list[int]:
    """The first frames of all shots but the first one."""
    from PIL import Image

    def small():
        for frame in video:
            yield np.asarray(Image.fromarray(frame).resize(SIZE[::-1], Image.Resampling.BILINEAR))

    numbers = list(number_shots(transition_probabilities(small())))
    known = [(i, n) for i, n in enumerate(numbers) if n is not None]
    return [i for (_, before), (i, n) in zip(known, known[1:], strict=False) if n != before]


def write(name: str, result: dict) -> None:
    (HERE / "results" / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("films", "shots"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--count", type=int, default=20)
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
        shots(args.count, changes)


if __name__ == "__main__":
    main()
