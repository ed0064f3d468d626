"""Test accuracy of a trained arrow of time, for ShapeShow by motion beside what can be known; its weights.

python experiments/arrow_of_time/run.py WORKDIR NAME      # NAME: shapeshow or coinrun
"""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from vgm_jax.data.pipeline import EvaluationBatches
from vgm_jax.data.sources import make_source
from vgm_jax.data.sources._shapeshow_render import EXTENTS, MARGIN
from vgm_jax.data.sources.shapeshow import MOTIONS, SHAPES
from vgm_jax.models import pretrained
from vgm_jax.models.pretrained.network import to_safetensors
from vgm_jax.tasks import build
from vgm_jax.training.loop import Run
from vgm_jax.training.workdir import read_config

HERE = Path(__file__).parent
WEIGHTS = Path(pretrained.__file__).parent / "weights"
LAST = 15 / 16  # seconds: the last of 16 frames of a clip of one second
DRAWS = 200_000


def ceilings(seed: int = 0) -> dict[str, float]:
    """Accuracy of whoever knows each object's motion, exact path and how paths are drawn; 0.5 is chance.

    The last frame is 1/16 s before the clip's end, for which paths are drawn, which tells directions that one
    would call symmetric. Accuracy is 1/2 + 1/2 of the total variation between clips and reversed clips.
    """
    rng = np.random.default_rng(seed)
    a, b, c, d, size = rng.random((5, DRAWS))
    shape = np.array([EXTENTS[s] for s in SHAPES])[rng.integers(len(SHAPES), size=DRAWS)]  # side, up, down

    def rooms(largest):
        return 1 - 2 * (MARGIN + shape[:, 0] * largest), 1 - 2 * MARGIN - (
            shape[:, 1] + shape[:, 2]
        ) * largest

    def straight(room):
        # Forwards the first frame lies u * a from the wall; backwards it would lie 1/16 of the way further.
        travel = np.maximum(0.4, 0.7 * room)
        travel = travel + (room - travel) * c
        return 0.5 + 0.5 * np.mean((room - travel) * a < (1 - LAST) * travel)

    def growth():
        # Forwards from `small`, but not quite to `large`; backwards it would have reached it.
        small, large = 0.09 + 0.03 * size, 0.255 + 0.03 * d
        largest = small + (large - small) * LAST
        smallest = (small - largest * (1 - LAST)) / LAST
        width, height = rooms(large)
        other_width, other_height = rooms(largest)
        possible = (smallest >= 0.09) & (smallest <= 0.12) & (largest >= 0.255) & (largest <= 0.285)
        # Where it is, is drawn within the room that the largest leaves: density 1 / (width height).
        ratio = possible * (width * height) / (other_width * other_height)
        return 0.5 + 0.5 * np.mean(np.maximum(1 - ratio, 0))

    def bounce():
        # Starts are in the middle half of the room both ways; ends are anywhere.
        cycles = 0.25 + 0.5 * np.stack([a, b]) + LAST / (0.6 + 0.3 * np.stack([c, d]))
        ends = np.abs(cycles - 2 * np.floor(0.5 * cycles + 0.5))
        inside = ((ends >= 0.25) & (ends <= 0.75)).all(0)
        return 1 - 0.5 * np.mean(inside)

    width, height = rooms(0.165 + 0.07 * size)
    known = {
        "left": straight(width),
        "right": straight(width),
        "up": straight(height),
        "down": straight(height),
    }
    known |= {
        "bounce": bounce(),
        "clockwise": 0.5,
        "counterclockwise": 0.5,
        "grow": growth(),
        "shrink": growth(),
    }
    known |= {"spin": 1.0, "fall": 1.0, "launch": 1.0}  # it starts upright; it speeds up; likewise
    return {name: float(known[name]) for name in MOTIONS}


def accuracies(workdir: Path) -> tuple[dict, dict]:
    """Figures on the test split, of the averaged parameters; and these."""
    config = read_config(workdir)
    task = build(config)
    state, step = Run(task, config, workdir).restore()
    source = make_source(config.data, "test")
    count = min(len(source), 4096)
    right, labels = [], []
    for i, batch in enumerate(EvaluationBatches(source, batch_size=64, count=count)):
        keys = jax.random.split(jax.random.fold_in(jax.random.key(1), i), 64)
        device = {name: jnp.asarray(value) for name, value in batch.items() if name != "mask"}
        right.append(np.asarray(task.examine(state.average, device, keys)[1]["accuracy/direction"]))
        labels.append(batch.get("label", np.zeros(64, int)))
    right, labels = np.concatenate(right)[:count], np.concatenate(labels)[:count]
    found = {"step": step, "clips": count, "accuracy": float(right.mean())}
    if config.data.source == "shapeshow":
        by_motion = {name: float(right[labels == i].mean()) for i, name in enumerate(MOTIONS)}
        known = ceilings()
        found |= {"ceiling": float(np.mean(list(known.values()))), "by_motion": by_motion, "ceilings": known}
    found["data"] = dict(source.description)
    found["classifier"] = config.model.classifier.to_dict()
    return found, state.average


def main(workdir: Path, name: str) -> None:
    found, params = accuracies(workdir)
    data = to_safetensors(params)
    (WEIGHTS / f"arrow_{name}.safetensors").write_bytes(data)
    found |= {"parameters": sum(x.size for x in jax.tree.leaves(params)), "bytes": len(data)}
    (HERE / "results" / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
