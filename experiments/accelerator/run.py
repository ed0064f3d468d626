"""How fast updates and samples are on the accelerator that JAX sees, by size, batch and precision.

python experiments/accelerator/run.py OUT.json [VARIANT ...]     # some minutes

Each variant is a process. All compile beside each other; then one is timed after another, while the others
wait. Batches lie on the device, the same at each update: what the pipeline does is not in the figures.
"""

import contextlib
import json
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE = 300.0  # seconds for all of them to be compiled; those that are not by then are left out
UPDATES = 40
# Autotuning, of thirteen programs at once, took longer than four minutes of 16 cores.
FLAGS = "--xla_gpu_autotune_level=0"
GRAPHS = f"{FLAGS} --xla_gpu_enable_command_buffer=+WHILE,+CONDITIONAL,+DYNAMIC_SLICE_FUSION"


def variants() -> dict[str, tuple[str, dict[str, Any], str]]:
    """Name -> what is run, its changes to the config, XLA's flags."""
    found = {f"base x {n}": ("base", {"data.batch_size": n}, FLAGS) for n in (16, 64, 256)}
    found["base x 16, loops as graphs"] = ("base", {}, GRAPHS)
    half = {"data.batch_size": 64, "model.dtype": "bfloat16"}
    found["base x 64, bfloat16"] = ("base", half, FLAGS)
    found |= {
        f"own_videos, {side} pixels, x 64, bfloat16": (str(side), half, FLAGS) for side in (64, 128, 256)
    }
    return found | {"sampling": ("sampling", {}, FLAGS)}


def config_of(what: str, changes: dict[str, Any]) -> Any:
    """The config of a name, or `own_videos` at so many pixels a side."""
    if what.isdigit():
        config = runpy.run_path(str(ROOT / "experiments/scale/run.py"))["recipe"](int(what))
    else:
        config = runpy.run_path(str(ROOT / f"configs/{what}.py"))["get_config"]()
    config.update_from_flattened_dict(changes)
    return config


def updates(config: Any) -> Iterator[dict[str, Any] | None]:
    """Yields once compiled; then the figures, with all games, and once codes hold still."""
    import jax
    import jax.numpy as jnp

    from vgm_jax.tasks import build
    from vgm_jax.tasks.restoring import example

    size, key, both = config.data.batch_size, jax.random.key(1), config.objective.judge_from
    rows = jax.random.split(key, config.data.frames)[0]
    batch = {name: x[[0] * size] for name, x in example(config).items()}
    batch["video"] = jax.random.randint(rows, batch["video"].shape, 0, 256, jnp.uint8)
    batch, task = jax.device_put(batch), build(config)
    init = jax.jit(task.init)
    start = time.perf_counter()
    state = init(key, batch)
    step = jax.jit(task.train_step, donate_argnums=0).lower(state, batch, key).compile()
    found = {"compiled_in_seconds": time.perf_counter() - start, "batch": size, "dtype": config.model.dtype}
    found["gflop_per_update"] = step.cost_analysis()["flops"] / 1e9
    found["gigabytes_per_update"] = step.cost_analysis()["bytes accessed"] / 1e9
    found["programs_per_update"] = step.as_text().count("kind=k") + step.as_text().count(" custom-call(")
    yield None
    for phase, first in {"all_games": both, "settled": config.objective.settled_from}.items():
        state = state.replace(step=jnp.int32(first))
        for _ in range(10):
            state, metrics = step(state, batch, key)
        jax.block_until_ready(state)
        start = time.perf_counter()
        for _ in range(UPDATES):
            state, metrics = step(state, batch, key)
        jax.block_until_ready(state)
        elapsed = (time.perf_counter() - start) / UPDATES
        found[f"updates_per_second_{phase}"] = 1 / elapsed
        found[f"videos_per_second_{phase}"] = size / elapsed
    found["peak_gib"] = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0) / 2**30
    yield found


def sampling() -> Iterator[dict[str, Any] | None]:
    """Yields once compiled; then frames/s of `sample` and of `stream`, of the project's own generator."""
    import numpy as np

    from vgm_jax.inference import load

    model, clips = load("shapeshow"), 256
    model.sample(0, n=clips)
    stream = model.stream(0, at_once=16)
    for _ in range(64):
        next(stream)
    yield None
    start = time.perf_counter()
    shape = np.asarray(model.sample(1, n=clips)).shape
    found = {"sample_frames_per_second": clips * shape[1] / (time.perf_counter() - start)}
    waits = []
    for _ in range(1024):
        start = time.perf_counter()
        next(stream)
        waits.append(time.perf_counter() - start)
    found["stream_frames_per_second"] = len(waits) / sum(waits)
    yield found


def child(name: str) -> None:
    """Says when it is compiled, waits for a word, and says what it found."""
    what, changes, _ = variants()[name]
    work = sampling() if what == "sampling" else updates(config_of(what, changes))
    next(work)
    print("ready", flush=True)
    input()
    print(json.dumps(next(work)), flush=True)


def machine() -> dict[str, Any]:
    code = (
        "import jax, platform, json, flax\n"
        "print(json.dumps({'device': jax.devices()[0].device_kind, 'jax': jax.__version__, "
        "'flax': flax.__version__, 'python': platform.python_version()}))\n"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return json.loads(out.splitlines()[-1]) | {"cores": os.cpu_count()}


def main(out: Path, names: list[str]) -> None:
    """Raises: KeyError: there is no such variant."""
    flags = {name: variants()[name][2] for name in names}
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "PYTHONPATH": os.pathsep.join(paths),
    }
    before, result, running = os.environ.get("XLA_FLAGS", ""), {"machine": machine()}, {}
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(len(names)))
        for name in names:
            running[name] = process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, __file__, "--child", name],
                    env=environment | {"XLA_FLAGS": f"{before} {flags[name]}".strip()},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
        said = {name: pool.submit(process.stdout.readline) for name, process in running.items()}
        wait(said.values(), timeout=PATIENCE)
        for name, process in running.items():
            if said[name].done() and said[name].result() == "ready\n":
                figures, _ = process.communicate("go\n", timeout=PATIENCE)
                if process.returncode == 0:
                    result[name] = json.loads(figures.splitlines()[-1])
            print(name, json.dumps(result.get(name, "failed, or was not compiled in time")), flush=True)
            out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "--child":
        sys.path.insert(0, str(ROOT))
        child(sys.argv[2])
    else:
        main(Path(sys.argv[1]), sys.argv[2:] or list(variants()))
