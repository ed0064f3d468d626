"""Traced programs that a later process reads instead of tracing."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.training import programs
from vgm_jax.training.history import Report
from vgm_jax.training.partition import Partition
from vgm_jax.training.programs import KEPT, Programs, beside_compiled

X = jnp.arange(6.0).reshape(2, 3)


class Traced:
    """A function that counts how often it is traced."""

    def __init__(self, factor=2.0):
        self.times, self.factor = 0, factor

    def __call__(self, x, key):
        self.times += 1
        return [self.factor * x["a"] + jax.random.normal(key, x["a"].shape)], Report(x["a"].sum(1), ("one",))


def called(folder, fn, about="", name="update", x=X):
    """What a process that has just begun gets."""
    return jax.jit(Programs(folder, about).kept(name, fn))({"a": x}, jax.random.key(1))


def files(folder):
    return sorted(folder.glob("*.traced"))


def test_a_later_process_reads_what_was_traced_and_gets_the_same(tmp_path):
    first, later = Traced(), Traced()
    (x,), report = called(tmp_path, first)
    (y,), again = called(tmp_path, later)
    assert first.times and not later.times
    np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(report.values, again.values)
    assert again.names == ("one",)
    (plain,), _ = jax.jit(Traced())({"a": X}, jax.random.key(1))
    np.testing.assert_allclose(x, plain, rtol=1e-6)


@pytest.mark.parametrize(
    "other", [{"about": "b"}, {"name": "init"}, {"x": X[:1]}, {"x": X.astype(jnp.bfloat16)}], ids=str
)
def test_another_config_name_or_shape_is_another_program(tmp_path, other):
    called(tmp_path, Traced(2.0))
    fn = Traced(3.0)
    called(tmp_path, fn, **other)
    assert fn.times and len(files(tmp_path)) == 2


def test_other_code_or_settings_are_another_program(tmp_path, monkeypatch):
    called(tmp_path, Traced())
    with jax.default_matmul_precision("float32"):
        fn = Traced()
        called(tmp_path, fn)
        assert fn.times
    monkeypatch.setattr(programs, "_code", lambda: "edited")
    fn = Traced()
    called(tmp_path, fn)
    assert fn.times and len(files(tmp_path)) == 3


@pytest.mark.parametrize("damage", ["empty", "junk", "half", "zeros within"])
def test_a_damaged_file_is_traced_and_written_anew(tmp_path, damage):
    (x,), _ = called(tmp_path, Traced())
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    middle = len(whole) // 2
    zeros = whole[:middle] + bytes(200) + whole[middle + 200 :]
    file.write_bytes({"empty": b"", "junk": b"junk", "half": whole[:middle], "zeros within": zeros}[damage])
    (y,), _ = called(tmp_path, Traced())
    np.testing.assert_array_equal(x, y)
    last = Traced()
    called(tmp_path, last)
    assert not last.times and files(tmp_path) == [file]


@pytest.mark.parametrize("within", [lambda fn: fn, jax.jit], ids=["at the top", "in a function within"])
def test_what_holds_data_is_not_kept(tmp_path, within):
    """A constant as large as a data set's is of what the key does not tell."""
    data = np.random.default_rng(0).normal(size=(2, 300)).astype(np.float32)
    product = within(lambda x: x @ data)
    x = jnp.ones((2, 2))
    (found,), _ = called(tmp_path, lambda x, key: ([product(x["a"])], Report(x["a"][0], ("one",))), x=x)
    np.testing.assert_allclose(found, np.ones((2, 2)) @ data, rtol=1e-6)
    assert not files(tmp_path)


@pytest.fixture
def compiled(tmp_path, monkeypatch):
    """A folder where JAX is told to keep what it compiles."""
    monkeypatch.setattr(programs, "_files", lambda: [tmp_path / "code.py"])
    (tmp_path / "code.py").touch()
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path
    jax.config.update("jax_compilation_cache_dir", before)


def test_of_code_that_was_edited_since_it_was_imported_nothing_is_kept(compiled):
    edited = (compiled / "code.py").stat().st_mtime
    assert beside_compiled("about", edited + 1.0).folder == compiled / "traced"
    assert beside_compiled("about", edited - 1.0).folder is None
    (compiled / "code.py").unlink()  # as while another state is checked out
    assert beside_compiled("about", edited + 1.0).folder is None


@pytest.mark.parametrize("name, value", [("jax_debug_nans", True), ("jax_enable_compilation_cache", False)])
def test_nothing_is_kept_where_each_operation_is_looked_into_or_caches_are_off(compiled, name, value):
    before = getattr(jax.config, name)
    jax.config.update(name, value)
    try:
        assert beside_compiled("about", float("inf")).folder is None
    finally:
        jax.config.update(name, before)


def test_nor_in_a_bucket(compiled):
    jax.config.update("jax_compilation_cache_dir", "gs://bucket/programs")
    assert beside_compiled("about", float("inf")).folder is None


def test_what_cannot_be_exported_is_traced_each_time(tmp_path):
    def fn(x, key):
        return [jax.pure_callback(np.sin, jax.ShapeDtypeStruct((2, 3), jnp.float32), x["a"])], 0.0

    np.testing.assert_allclose(called(tmp_path, fn)[0][0], np.sin(X), rtol=1e-6)
    assert not files(tmp_path)


def test_the_oldest_go(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "KEPT", 2)
    assert KEPT > 2
    for i in range(3):
        called(tmp_path, Traced(), about=str(i))
    assert len(files(tmp_path)) == 2
    first = Traced()
    called(tmp_path, first, about="0")
    assert first.times


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path):
    (tmp_path / "file").touch()
    assert called(tmp_path / "file" / "traced", Traced())[0][0].shape == X.shape


def test_states_of_any_class_begin_and_move_by_kept_programs(tmp_path):
    """A state's class is not in the file: it is what the caller has."""

    def step(state, batch, key, axis_name):
        return state.replace(values=state.values + batch["x"].sum()), Report(state.values[None], ("x",))

    def init(key, batch):
        return Report(jnp.zeros(1) + batch["x"][0], ("a state",))

    batch = {"x": np.ones(4, np.float32)}
    for _ in range(2):
        partition = Partition(programs=Programs(tmp_path, "config"))
        state = partition.init(init, jax.random.key(0), batch)
        update = partition.compile(step, partition.template(init, jax.random.key(0), batch))
        state, report = update(state, partition.put(batch), jax.random.key(1))
        assert state.names == ("a state",) and float(state.values[0]) == 5.0
        assert float(report.values[0, 0]) == 1.0
    assert len(files(tmp_path)) == 2


def test_an_update_that_makes_another_state_says_so():
    def step(state, batch, key, axis_name):
        return (state, state), Report(state[None], ("x",))

    state, batch = jnp.zeros(()), {"x": np.ones(4, np.float32)}
    update = Partition().compile(step, state)
    with pytest.raises(ValueError, match="an update made another state"):
        update(state, batch, jax.random.key(0))


def test_runs_of_one_recipe_share_what_was_traced(environment, tmp_path):
    """By any name of it, with what stands behind a colon; two runs of it are the same."""
    recipe, cache = f"{Path(__file__).with_name('tiny.py')}:mlp", tmp_path / "cache"
    few = "--config.train.steps=2", "--config.evaluate.every=0"

    def trained(name):
        command = [sys.executable, "-m", "vgm_jax.main", f"--config={recipe}", f"--workdir={tmp_path / name}"]
        run = environment | {"JAX_COMPILATION_CACHE_DIR": str(cache)}
        subprocess.run([*command, *few], env=run, check=True)
        return {file: file.read_bytes() for file in files(cache / "traced")}

    first = trained("a")
    assert len(first) == 2, "the initial state, and the update"
    assert trained("b") == first
    told = [(tmp_path / run / "metrics.jsonl").read_text().splitlines() for run in "ab"]
    losses = [[json.loads(line).get("d_loss") for line in lines] for lines in told]
    assert losses[0] == losses[1] and any(loss is not None for loss in losses[0])
