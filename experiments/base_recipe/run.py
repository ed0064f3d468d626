"""Samples of a trained base recipe beside real clips, unpicked: the picture and the figures of this folder.

python -m vgm_jax.main --config configs/base.py
python experiments/base_recipe/run.py runs/base          # or runs/base STEP: its pictures alone
"""

import json
import sys
from pathlib import Path

import numpy as np

from vgm_jax.data.media import grid, strip, write_image, write_video
from vgm_jax.data.sources import make_source
from vgm_jax.inference import load
from vgm_jax.training.workdir import read_config

HERE = Path(__file__).parent
ROWS = 12


def main(workdir: Path, step: int | None = None) -> None:
    config = read_config(workdir)
    model = load(workdir, step)
    samples = model.sample(key=0, n=ROWS)
    source = make_source(config.data, "test")
    real = np.stack([source[i]["video"] for i in range(ROWS)])
    left, right = strip(samples, frames=8, scale=2), strip(real, frames=8, scale=2)
    gap = np.full((len(left), 16, 3), 255, np.uint8)
    write_image(HERE / "samples.png", np.concatenate([left, gap, right], 1))

    sampled, actual = (
        grid(model.sample(key=0, n=16), columns=4),
        grid(np.stack([source[i]["video"] for i in range(16)]), columns=4),
    )
    gap = np.full((*sampled.shape[:2], 8, 3), 255, np.uint8)
    write_video(HERE / "samples.gif", np.concatenate([sampled, gap, actual], 2), model.fps, scale=2)

    if step is not None:
        return
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    result = {
        "step": model.step,
        "test": json.loads((workdir / "evaluation.json").read_text()),
        "validation": [
            {"step": line["step"], **{k: v for k, v in line.items() if k.startswith("validation/")}}
            for line in lines
            if any(k.startswith("validation/") for k in line)
        ],
        "losses": [line for line in lines if "codes_penalty" in line][::10],
    }
    (HERE / "results/base.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["test"]), result["validation"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
