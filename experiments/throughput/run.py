"""How fast training, sampling, writing and starting are, beside the matmul rate of the same run.

python experiments/throughput/run.py [PART ...]     # a few minutes on two cores; nothing else may run
"""

import functools
import json
import os
import platform
import re
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import vgm_jax
from vgm_jax.data.pipeline import train_batches
from vgm_jax.data.sources import make_source
from vgm_jax.data.sources.shapeshow import ShapeShow
from vgm_jax.inference.generator import GeneratorModel
from vgm_jax.tasks import build
from vgm_jax.training.memory import use_huge_pages

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def config_of(name: str):
    return runpy.run_path(str(ROOT / "configs" / f"{name}.py"))["get_config"]()


def seconds(run, repeats: int) -> list[float]:
    """Wall time of each of `repeats` calls, after one that is not counted."""
    jax.block_until_ready(run())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - start)
    return times


def matmul_gflops(n: int = 2048) -> float:
    a = jnp.ones((n, n))
    multiply = jax.jit(jnp.dot)
    return 2 * n**3 / float(np.median(seconds(lambda: multiply(a, a), 15))) / 1e9


def size(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def flops_of(update, task, state, key, number: int) -> float:
    """Of the compiled update with that number: the compiler's count, and the rounds that it leaves out.

    It counts a loop's body once, however often it runs, and so one of the rounds in which an update plays the
    game of codes. That game is compiled once more, with one round, which stands for each of the others.
    """
    counted, game = update.cost_analysis()["flops"], task.codes
    if not game:
        return counted
    one = jax.jit(functools.partial(game.play, rounds=1))
    args = state.codes, state.generator, jnp.int32(1), key, jnp.float32(1)
    rounds = int(game.rounds_of(jnp.int32(number), task.settled_from, task.repainted))
    return counted + (rounds - 1) * one.lower(*args).compile().cost_analysis()["flops"]


def training(name: str, updates: int = 60) -> dict:
    """Updates with the real pipeline: of both games, of that of codes alone before, and once codes settled.

    Penalties included; the matmul rate is read before and after. The compiler counts a cond as its dearest
    branch: the FLOPs are those of both games, with all rounds of that of codes.
    """
    config = config_of(name)
    if config.objective.penalty_every != 1:
        raise ValueError("with a cond, the compiler's count of FLOPs would not be the mean's")
    both, settled, last = config.objective.judge_from, config.objective.settled_from, config.train.steps
    task, source = build(config), make_source(config.data, "train")
    batches = train_batches(source, batch_size=config.data.batch_size, seed=0)
    init, key = jax.jit(task.init), jax.random.key(1)
    state = init(jax.random.key(0), next(batches))
    params = size(state.generator), size(state.discriminator)
    step = jax.jit(task.train_step, donate_argnums=0).lower(state, next(batches), key).compile()
    flops = flops_of(step, task, state, key, both)

    def timed(first: int) -> tuple[float, float]:
        """Seconds an update from the `first` on, and of these waited for data."""
        state = init(jax.random.key(0), next(batches)).replace(step=jnp.int32(first))
        for _ in range(5):
            state, metrics = step(state, next(batches), key)
        jax.block_until_ready(state)
        start, waited = time.perf_counter(), 0.0
        for _ in range(updates):
            asked = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - asked
            state, metrics = step(state, batch, key)
            jax.block_until_ready(metrics)
        return (time.perf_counter() - start) / updates, waited / updates

    before = matmul_gflops()
    elapsed, waited = timed(both)
    ceiling = (before + matmul_gflops()) / 2
    achieved = flops / elapsed / 1e9
    found = {
        "videos_per_second": config.data.batch_size / elapsed,
        "seconds_per_update": elapsed,
        "batch_size": config.data.batch_size,
        "generator_parameters": params[0],
        "discriminator_parameters": params[1],
        "gflop_per_update": flops / 1e9,
        "gflops": achieved,
        "matmul_gflops": ceiling,
        "fraction_of_matmul": achieved / ceiling,
        "waited_for_data": waited / elapsed,
    }
    if task.codes:
        phases = {"_codes_alone": (0, both), "_settled": (settled, last - settled if settled else 0)}
        spent = elapsed * ((settled or last) - both)
        for phase, (first, count) in phases.items():
            if count:
                of_phase, _ = timed(first)
                found[f"videos_per_second{phase}"] = config.data.batch_size / of_phase
                spent += of_phase * count
        found["videos_per_second_of_a_run"] = config.data.batch_size * last / spent
    return found


def sampling(name: str) -> dict:
    """One video at a time from fresh weights (their values do not change the time)."""
    config = config_of(name)
    task, source = build(config), make_source(config.data, "train")
    batch = {k: np.stack([v] * 2) for k, v in source[0].items()}
    params = jax.jit(task.init)(jax.random.key(0), batch).generator
    model = GeneratorModel(task, params, frames=16, fps=16.0, step=0)
    stream = model.stream(0, at_once=16)
    for _ in range(64):
        next(stream)
    frames = 4096
    start = time.perf_counter()
    for _ in range(frames):
        next(stream)
    rate = frames / (time.perf_counter() - start)
    keys = jax.random.key(0)[None]
    latencies = [
        1e3 * t
        for t in (
            seconds(lambda i=i: task.generate(params, keys, np.full((1, 1), i / 16, np.float32)), 1)[0]
            for i in range(300)
        )
    ]
    return {
        "frames_per_second": rate,
        "frame_latency_ms_median": float(np.median(latencies)),
        "frame_latency_ms_p95": float(np.percentile(latencies, 95)),
    }


def writing() -> dict:
    """Peak memory of whole processes that write a file of 64 and of 10,000 frames."""
    code = (
        "import sys, runpy, jax, numpy as np\n"
        "from vgm_jax.data.sources import make_source\n"
        "from vgm_jax.inference.files import sample_file\n"
        "from vgm_jax.inference.generator import GeneratorModel\n"
        "from vgm_jax.tasks import build\n"
        "config = runpy.run_path(sys.argv[1])['get_config']()\n"
        "task = build(config)\n"
        "batch = {k: np.stack([v] * 2) for k, v in make_source(config.data, 'train')[0].items()}\n"
        "params = jax.jit(task.init)(jax.random.key(0), batch).generator\n"
        "model = GeneratorModel(task, params, frames=16, fps=16.0, step=0)\n"
        "sample_file(model, sys.argv[2], 0, 1, int(sys.argv[3]))\n"
        # Not ru_maxrss, which a process inherits from the one that started it.
        "print(int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) / 1024)\n"
    )
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        for frames in (64, 10_000):
            arguments = [str(ROOT / "configs/base.py"), f"{folder}/{frames}.mp4", str(frames)]
            out = subprocess.run(
                [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
            )
            result[f"peak_mib_{frames}_frames"] = float(out.stdout.split()[-1])
    return result


def rendering(clips: int = 2000) -> dict:
    """Clips of ShapeShow, 16 x 32 x 32 with a second of sound, by the seconds that one thread computes."""
    source = ShapeShow("train", audio=True)
    source[0]
    start = time.process_time()
    for i in range(clips):
        source[i]
    return {
        "clips_per_second": clips / (time.process_time() - start),
        "frames": list(source[0]["video"].shape),
    }


def launching() -> dict:
    """From the launch of the main command to the end of its first update, without and with a cache."""
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": f"{folder}/cache", "PYTHONUNBUFFERED": "1"}
        environment.pop("GLIBC_TUNABLES", None)  # as a user has it: main starts itself anew for them
        for name in ("cold", "cached", "cached_again"):
            command = [sys.executable, "-m", "vgm_jax.main", "--config", "configs/base.py"]
            command += ["--workdir", f"{folder}/{name}"]
            start = time.perf_counter()
            with subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
            ) as process:
                for line in process.stdout:
                    if re.match("first update", line):
                        result[f"{name}_seconds"] = time.perf_counter() - start
                        break
                # The evaluation's and the samples' programs are not what is timed: stop here.
                process.kill()
    return result


def main() -> None:
    out = HERE / "results/throughput.json"
    result = json.loads(out.read_text()) if out.exists() else {}  # parts that are not measured anew stay
    machine = {
        "cpu": platform.processor() or platform.machine(),
        "model": next(
            (
                line.split(":")[1].strip()
                for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")
            ),
            "",
        ),
        "cores": os.cpu_count(),
        "devices": [device.device_kind for device in jax.devices()],
        "jax": jax.__version__,
        "python": platform.python_version(),
    }
    parts = {
        "training_32": lambda: training("base"),
        "training_64": lambda: training("shapeshow_64", 20),
        "sampling_32": lambda: sampling("base"),
        "sampling_64": lambda: sampling("shapeshow_64"),
        "writing": writing,
        "launching": launching,
        "rendering": rendering,
    }
    (HERE / "results").mkdir(exist_ok=True)
    for name in sys.argv[1:] or parts:
        result[name] = parts[name]() | {"machine": machine, "version": vgm_jax.__version__}
        print(name, json.dumps(result[name], indent=2), flush=True)
        out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    use_huge_pages()
    main()
