"""What all tests share: the base recipe, shrunk; how programs are compiled, how many processes run them."""

import atexit
import functools
import importlib.util
import os
import runpy
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TINY = Path(__file__).with_name("training") / "tiny.py"
HOSTILE = Path(__file__).with_name("hostile.py")
TESTS = Path(__file__).parent
CONFIGS = TESTS.parent / "configs"
LONG = ("test_domains.py", "launch", "training", "inference", "preparation", "tasks", "models", "evaluation")

# Before JAX is imported, and for child processes too: what tests do most is to compile programs that run for
# a moment. On another setting, such as JAX_DISABLE_MOST_OPTIMIZATIONS=0 XLA_FLAGS=, they take three times as
# long and test the programs that a user runs.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# On a busy machine a device may wait long for the others: by default the program ends after 40 s.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_collective_call_terminate_timeout_seconds=600",
)
# And what one test compiled, another need not, in whatever process: it is kept for this run of the tests.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="vgm_jax_tests_")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
# Of each operation the line that traced it is kept, and not the whole stack above it, which is pytest's.
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "1")


def _module(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses ask for it
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tiny():
    """`tiny("mlp" | "continuous")`: the real base config, shrunk."""
    return _module(TINY).get_config


@pytest.fixture(scope="session")
def hostile(tmp_path_factory):
    """The hostile corpus: its folder, not to be written to, and what is expected of each name."""
    root = tmp_path_factory.mktemp("hostile") / "corpus"
    return root, _module(HOSTILE).build(root)


@pytest.fixture(scope="session")
def as_seen():
    """`as_seen(video, side)`: uint8 [T H W 3], its middle resized, int [T side side 3], by Pillow alone."""

    def resized(video, side):
        cut = min(video.shape[1:3])
        top, left = ((n - cut) // 2 for n in video.shape[1:3])
        frames = (Image.fromarray(frame[top : top + cut, left : left + cut]) for frame in video)
        small = (frame.resize((side, side), Image.Resampling.BICUBIC) for frame in frames)
        return np.stack([np.asarray(frame) for frame in small]).astype(int)

    return resized


@pytest.fixture(scope="session")
def optimise():
    """`optimise(jitted)`: the same program, compiled to run fast, for the few that run for long."""
    import jax

    options = {"xla_backend_optimization_level": 2, "xla_llvm_disable_expensive_passes": False}
    return lambda run: jax.jit(run.__wrapped__, compiler_options=options)


@pytest.fixture(scope="session")
def optimised_transnet(optimise):
    from vgm_jax.preparation import shots

    plain = shots._network

    @functools.cache
    def network():
        slow = plain()
        return functools.partial(optimise(slow.func), *slow.args)

    return network


@pytest.fixture(scope="module")
def quick_transnet(optimised_transnet):
    """Shots are found by a network that is compiled to run fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vgm_jax.preparation.shots._network", optimised_transnet)
        yield


@pytest.fixture(scope="module")
def quick_draws():
    """Initial weights are uniform ones of a hash: a program of many normal draws takes long to compile."""
    import jax
    import jax.numpy as jnp

    def fan_in(gain=1.0):
        def draw(key, shape, dtype=jnp.float32):
            mixed = jax.lax.iota(jnp.uint32, int(np.prod(shape))) + jax.random.key_data(key)[..., -1]
            for factor in (2654435761, 2246822519):
                mixed = (mixed ^ (mixed >> 15)) * jnp.uint32(factor)
            uniform = (mixed ^ (mixed >> 13)).astype(jnp.float32) / 2.0**31 - 1.0
            scale = gain * (3.0 / np.prod(shape[:-1])) ** 0.5
            return (scale * uniform).reshape(shape).astype(dtype)

        return draw

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vgm_jax.models.layers.fan_in_normal", fan_in)
        yield


@pytest.fixture(scope="session")
def unlearnt():
    """`unlearnt(task)`: the same task, whose updates move all parameters by some waves and teach nothing.

    For tests of what comes after training: a generator's update takes half a minute to compile, and what it
    would show and measure as long again; with `looks` it does these.
    """

    import jax
    import jax.numpy as jnp

    def made(task, looks=False):
        def moved(params):
            leaves, structure = jax.tree.flatten(params)
            waves = (np.cos(np.arange(x.size) * 1.7 + i).reshape(x.shape) for i, x in enumerate(leaves))
            return structure.unflatten([x + np.float32(0.03 * w) for x, w in zip(leaves, waves, strict=True)])

        def train_step(state, batch, key, axis_name=None):
            names = [name for name in ("generator", "generator_ema", "average") if hasattr(state, name)]
            changed = {name: moved(getattr(state, name)) for name in names}
            return state.replace(step=state.step + 1, **changed), {"loss": (jnp.ones(()), jnp.ones(()))}

        task.train_step = train_step
        if not looks:
            task.evaluate = lambda *_: {"clips": 1.0}
            task.show = lambda *_: {}
        return task

    return made


@pytest.fixture(scope="session")
def recipe():
    """`recipe("base")`: the config of that name in configs/, as it is."""

    def load(name: str):
        return runpy.run_path(str(CONFIGS / f"{name}.py"))["get_config"]()

    return load


def pytest_collection_modifyitems(items) -> None:
    """Files of few and long tests first, so that at the end no process waits long for another."""

    def rank(item) -> int:
        room = item.path.relative_to(TESTS).parts[0]
        return LONG.index(room) if room in LONG else len(LONG)

    items.sort(key=rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config) -> int:
    """Of the whole suite a process a core, at most four; of files that are named, this one: no start-up."""
    if config.getoption("file_or_dir"):
        return 0
    return min(os.cpu_count() or 1, 4)
