"""What an update costs at larger sizes, from the compiled program, and on accelerators, on paper.

python experiments/scale/run.py     # some minutes on a core: it compiles three programs and runs none
"""

import json
import runpy
import time
from pathlib import Path
from typing import Any
from unittest import mock

import jax

from vgm_jax.tasks import build
from vgm_jax.tasks.restoring import example
from vgm_jax.training.partition import llvm_effort
from vgm_jax.version import __version__

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BATCH = 16
# A level more for each doubling: the discriminator's widths and depths, the encoder's widths.
LEVELS = {
    64: ((32, 64, 96), (0, 0, 1), (48, 64, 96, 160)),
    128: ((16, 32, 64, 96), (0, 0, 0, 1), (16, 32, 48, 96, 160)),
    256: ((16, 32, 64, 96, 96), (0, 0, 0, 0, 1), (16, 32, 48, 96, 160, 160)),
}
# name -> (chips, peak FLOP/s of a chip in bfloat16, dense; bytes/s of its memory): the makers' data sheets
# (NVIDIA H100 SXM5; Google Cloud TPU v5p, whose v5p-8 are 8 cores on 4 chips).
ACCELERATORS = {"H100": (1, 989e12, 3.35e12), "v5p-8": (4, 459e12, 2.765e12)}
# What is assumed to be reached of either: narrow convolutions, small kernels in between.
OF_FLOPS, OF_BYTES = 0.25, 0.5


def recipe(size: int) -> Any:
    """`configs/own_videos.py` at so many pixels a side."""
    config = runpy.run_path(str(ROOT / "configs" / "own_videos.py"))["get_config"]().unlock()
    widths, depths, encoder = LEVELS[size]
    config.data.update(size=size, batch_size=BATCH)
    config.model.discriminator.update(frame_widths=widths, frame_depths=depths)
    config.model.encoder.widths = encoder
    return config.lock()


def cost(size: int) -> dict[str, float]:
    """Of an update in which frames are painted, read and judged; the game of codes has no pixels."""
    config = recipe(size)
    task, batch, key = build(config), example(config), jax.random.key(0)
    batch = {name: x[[0] * BATCH] for name, x in batch.items()}
    state = jax.eval_shape(task.init, key, batch)
    start = time.perf_counter()
    # As an accelerator would be given it: on CPU our layers write convolutions as products of matrices.
    with mock.patch.object(jax, "default_backend", lambda: "gpu"):
        lowered = jax.jit(task.train_step).lower(state, batch, key)
    step = lowered.compile(llvm_effort(0))
    found = step.cost_analysis()
    count = sum(leaf.size for leaf in jax.tree.leaves(state.generator))
    return {
        "gflop": found["flops"] / 1e9,
        "gigabytes": found["bytes accessed"] / 1e9,
        "parameters": count,
        "discriminator_parameters": sum(leaf.size for leaf in jax.tree.leaves(state.discriminator)),
        "frames": BATCH * config.model.frames_seen,
        "compiled_in_seconds": time.perf_counter() - start,
    }


def hours(per_update: dict[str, float], accelerator: str, clips: float = 1e6) -> dict[str, float]:
    """Of so many clips: by arithmetic and by memory, with what is assumed to be reached; the longer counts.

    Activations in bfloat16: half of the bytes that the float32 program moves.
    """
    chips, flops, bandwidth = ACCELERATORS[accelerator]
    updates = clips / BATCH / 3600
    compute = updates * per_update["gflop"] * 1e9 / (chips * flops * OF_FLOPS)
    memory = updates * per_update["gigabytes"] * 1e9 / 2 / (chips * bandwidth * OF_BYTES)
    return {"arithmetic": compute, "memory": memory, "hours": max(compute, memory)}


def main() -> None:
    result = {"jax": jax.__version__, "version": __version__, "batch": BATCH}
    for size in LEVELS:
        found = cost(size)
        found["hours_per_million_clips"] = {name: hours(found, name) for name in ACCELERATORS}
        result[str(size)] = found
        print(size, json.dumps(found, indent=1), flush=True)
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "scale.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
