"""What the oracle gets right on the test split, whole, mildly damaged and spoiled; ships its weights.

python -m vgm_jax.main --config configs/shapeshow_oracle.py
python experiments/shapeshow_oracle/run.py runs/shapeshow_oracle --export   # the weights into the package
python experiments/shapeshow_oracle/run.py                                  # the table, with those weights
python experiments/shapeshow_oracle/run.py --samples                        # of the base recipe, judged
"""

import argparse
import json
from pathlib import Path

import imageio.v3 as imageio
import jax
import jax.numpy as jnp
import numpy as np

from vgm_jax.data.media import strip, write_image
from vgm_jax.data.sources.shapeshow import ShapeShow
from vgm_jax.data.spoiling import NAMES, NONE, spoil
from vgm_jax.data.transforms import degrade, to_float, to_uint8
from vgm_jax.evaluation import physics
from vgm_jax.models import pretrained
from vgm_jax.models.pretrained.network import to_safetensors
from vgm_jax.tasks import build
from vgm_jax.tasks.classification import unravel
from vgm_jax.training.loop import Run
from vgm_jax.training.workdir import read_config

HERE = Path(__file__).parent
WEIGHTS = Path(pretrained.__file__).parent / "weights" / "oracle.safetensors"
HEADS = ("shape", "colour", "motion")
SIZES = (7, 8, 12)
CLEAN, SPOILED = 2048, 256  # clips of the test split, in all and of each kind


def export(workdir: Path) -> None:
    """The averaged parameters of a workdir, into the package."""
    config = read_config(workdir)
    run = Run(build(config), config, workdir)
    state, step = run.restore()
    WEIGHTS.write_bytes(to_safetensors(jax.device_get(state.average)))
    run.close()
    print(f"step {step}: {WEIGHTS}, {WEIGHTS.stat().st_size} bytes")


def clips(count: int, first: int = 0, **options) -> dict[str, np.ndarray]:
    source = ShapeShow("test", label="look", track=True, **options)
    items = [source[first + i] for i in range(count)]
    return {name: np.stack([item[name] for item in items]) for name in items[0]}


def accuracies(seen: physics.Observation, labels: np.ndarray, track: np.ndarray | None = None) -> dict:
    """Share of frames (shape, colour) and clips (motion) that are what `labels` [N 3] say; `NONE` is none."""
    labels = np.where(labels == NONE, SIZES, labels)
    result = {}
    for i, (name, p) in enumerate(zip(HEADS, (seen.shape, seen.colour, seen.motion), strict=True)):
        right = p.argmax(-1) == (labels[:, i, None] if p.ndim == 3 else labels[:, i])
        asked = labels[:, i] >= 0
        if asked.any():
            result[name] = round(float(right[asked].mean()), 4)
    if track is not None:
        result["track_error"] = np.abs(seen.track - track).mean((0, 1)).round(4).tolist()  # x, y, radius
    return result


def observe(batch: dict[str, np.ndarray], video: np.ndarray | None = None) -> physics.Observation:
    return physics.observe(batch["video"] if video is None else np.asarray(video), batch["times"][0])


def spoiled(kind: str, batch: dict[str, np.ndarray], labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(NAMES.index(kind)), i))(
        jnp.arange(len(labels))
    )
    kinds = jnp.full(len(labels), NAMES.index(kind))
    video, labels, _ = jax.jit(spoil)(to_float(batch["video"]), batch["track"], labels, keys, kinds)
    return np.asarray(to_uint8(video)), np.asarray(labels)


def several(count: int) -> dict[str, np.ndarray]:
    """Clips of two or three objects, which nothing was trained on."""
    source = ShapeShow("test", variant="multi")
    found = [i for i in range(4 * count) if len(source.clip(i).objects) > 1][:count]
    return {name: np.stack([source[i][name] for i in found]) for name in ("video", "times")}


def judge_picture() -> None:
    """The samples (left) and real clips (right) of the base recipe's picture, 8 frames of 16 each."""
    picture, result = imageio.imread(HERE.parent / "base_recipe/samples.png")[..., :3], {}
    for name, left in (("samples", 0), ("real", 528)):
        frames = picture[:, left : left + 512].reshape(12, 64, 8, 64, 3).transpose(0, 2, 1, 3, 4)
        seen = physics.observe(
            np.ascontiguousarray(frames[:, :, ::2, ::2]), np.linspace(0, 15, 8).round() / 16
        )
        kinds, sure = physics.classes(seen), seen.of_clips()
        result[name] = {k: round(v, 4) for k, v in physics.figures(seen).items()}
        result[name]["clips"] = [
            {h: [(*physics.NAMES[h], "none")[kinds[h][i]], round(float(sure[h][i].max()), 2)] for h in HEADS}
            for i in range(12)
        ]
    (HERE / "results/base_recipe_samples.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workdir", type=Path, nargs="?")
    parser.add_argument("--export", action="store_true")
    parser.add_argument("--samples", action="store_true")
    args = parser.parse_args()
    if args.samples:
        return judge_picture()
    if args.export:
        return export(args.workdir)

    batch = clips(CLEAN)
    labels = np.stack(unravel(batch["label"], SIZES), -1)
    seen = observe(batch)
    result = {"clean": accuracies(seen, labels, batch["track"])}
    print("clean", result["clean"], flush=True)
    result["clean_clips"] = {
        name: round(float((kinds == labels[:, i]).mean()), 4)
        for i, (name, kinds) in enumerate(physics.classes(seen).items())
    }
    result["physics"] = {name: round(value, 4) for name, value in physics.figures(seen).items()}
    large = clips(SPOILED, size=64)
    result["64 x 64"] = accuracies(observe(large), labels[:SPOILED], large["track"])
    fast = clips(SPOILED, frames=32, fps=32.0)
    result["32 frames a second"] = accuracies(observe(fast), labels[:SPOILED], fast["track"])
    keys = jax.random.split(jax.random.key(1), CLEAN // 2)
    damaged = degrade(jnp.asarray(batch["video"][: CLEAN // 2]), keys)
    result["mildly damaged"] = accuracies(
        observe(batch, damaged), labels[: CLEAN // 2], batch["track"][: CLEAN // 2]
    )
    pictures = []
    for kind in NAMES:
        part = {name: value[:SPOILED] for name, value in batch.items()}
        video, expected = spoiled(kind, part, labels[:SPOILED])
        pictures.append(video[len(pictures) * 2 : len(pictures) * 2 + 2])
        seen = observe(part, video)
        figures = physics.figures(seen)
        result[kind] = accuracies(seen, expected) | {"whole/all": round(figures["whole/all"], 4)}
        print(kind, result[kind], flush=True)
    real = np.concatenate([batch["video"][2 * i : 2 * i + 2] for i in range(len(NAMES))])
    left, right = (strip(x, frames=6, scale=2) for x in (real, np.concatenate(pictures)))
    write_image(
        HERE / "spoiled.png", np.concatenate([left, np.full((len(left), 16, 3), 255, np.uint8), right], 1)
    )
    part = several(SPOILED)
    none = np.full((SPOILED, 3), NONE)
    result["several objects"] = accuracies(observe(part), none)
    (HERE / "results/test.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
