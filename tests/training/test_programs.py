"""Traced programs that a later process reads instead of tracing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.training import programs
from vgm_jax.training.history import Report
from vgm_jax.training.partition import Partition
from vgm_jax.training.programs import KEPT, Programs

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


@pytest.mark.parametrize("damage", [b"", b"junk", None], ids=["empty", "junk", "half"])
def test_a_torn_file_is_traced_and_written_anew(tmp_path, damage):
    (x,), _ = called(tmp_path, Traced())
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    (y,), _ = called(tmp_path, Traced())
    np.testing.assert_array_equal(x, y)
    last = Traced()
    called(tmp_path, last)
    assert not last.times and files(tmp_path) == [file]


def test_what_holds_data_is_not_kept(tmp_path):
    """A constant as large as a data set's is of what the key does not tell."""
    data = np.random.default_rng(0).normal(size=(2, 300)).astype(np.float32)
    fn = lambda x, key: ([x["a"] @ data], Report(x["a"][0], ("one",)))  # noqa: E731
    x = jnp.ones((2, 2))
    np.testing.assert_allclose(called(tmp_path, fn, x=x)[0][0], np.ones((2, 2)) @ data, rtol=1e-6)
    assert not files(tmp_path)


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
