import contextlib
import os
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import jax
import pytest

from vgm_jax.training import runtime

SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)


@pytest.fixture(autouse=True)
def settings():
    """Leaves JAX as it was."""
    old = {name: getattr(jax.config, name) for name in SETTINGS}
    yield
    for name, value in old.items():
        jax.config.update(name, value)


def entries(directory):
    return sorted(path.name for path in directory.glob("*-cache"))


def test_the_default_place(monkeypatch, tmp_path):
    for name in ("XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert runtime.default_cache() == str(tmp_path / ".cache" / "vgm_jax" / "xla")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert runtime.default_cache() == str(tmp_path / "xdg" / "vgm_jax" / "xla")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "jax"))
    assert runtime.default_cache() == str(tmp_path / "jax")


def test_a_bucket_is_left_to_jax(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    runtime.enable_compilation_cache("gs://bucket/programs")
    assert jax.config.jax_compilation_cache_dir == "gs://bucket/programs"
    assert jax.config.jax_persistent_cache_min_compile_time_secs == 0.2
    assert list(tmp_path.iterdir()) == []


def test_torn_entries_are_deleted_and_good_ones_kept(tmp_path):
    good = zlib.compress(b"\0\0\0\1" + os.urandom(5000))
    (tmp_path / "good-cache").write_bytes(good)
    for name, data in {"torn": good[:-1], "half": good[:2500], "empty": b"", "junk": b"junk"}.items():
        (tmp_path / f"{name}-cache").write_bytes(data)
    (tmp_path / "not_an_entry").write_bytes(b"junk")
    runtime.enable_compilation_cache(tmp_path)
    assert entries(tmp_path) == ["good-cache"]
    assert (tmp_path / "not_an_entry").exists()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path)
    # What a later process tears is found by the one after it.
    (tmp_path / "later-cache").write_bytes(good[:-1])
    runtime.enable_compilation_cache(tmp_path)
    assert entries(tmp_path) == ["good-cache"]


def test_zstandard_entries(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    good = zstandard.ZstdCompressor().compress(os.urandom(5000))
    (tmp_path / "good-cache").write_bytes(good)
    (tmp_path / "torn-cache").write_bytes(good[:-10])
    runtime.enable_compilation_cache(tmp_path)
    assert entries(tmp_path) == ["good-cache"]


def test_each_entry_is_read_once(tmp_path, monkeypatch):
    (tmp_path / "a-cache").write_bytes(zlib.compress(b"a"))
    os.utime(tmp_path / "a-cache", (1, 1))
    read = []
    monkeypatch.setattr(runtime, "_readable", lambda entry: read.append(entry.name) or True)
    runtime.enable_compilation_cache(tmp_path)
    (tmp_path / "b-cache").write_bytes(zlib.compress(b"b"))
    runtime.enable_compilation_cache(tmp_path)
    assert read == ["a-cache", "b-cache"]


PROGRAM = """
import sys, pathlib
from vgm_jax.training import runtime
runtime.enable_compilation_cache(pathlib.Path(sys.argv[1]))
import jax, jax.numpy as jnp
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name.endswith("/cache_hits")))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.jit(lambda x: jnp.sin(x) @ x)(jnp.eye(8)).block_until_ready()
print(sum(hits))
"""


def test_jax_reads_and_writes_entries_of_this_form(tmp_path, environment):
    """The premise of the check: what JAX writes passes it; a torn entry costs one compilation."""

    def hits():
        command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
        return int(
            subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        )

    assert hits() == 0
    written = entries(tmp_path)
    assert written
    for entry in tmp_path.glob("*-cache"):
        entry.write_bytes(entry.read_bytes()[:-7])
    assert hits() == 0
    assert hits() == len(written) == len(entries(tmp_path))


@contextlib.contextmanager
def nobody():
    """Files are touched as a user without privileges, where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_no_leave_to_write(tmp_path):
    jax.config.update("jax_compilation_cache_dir", None)
    (tmp_path / "file").write_text("")
    runtime.enable_compilation_cache(tmp_path / "file" / "cache")
    assert jax.config.jax_compilation_cache_dir is None
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path, which only root may enter
        shared = Path(folder)
        (shared / "a-cache").write_bytes(b"junk")
        shared.chmod(0o555)
        with nobody():
            runtime.enable_compilation_cache(shared)
        shared.chmod(0o755)
        assert entries(shared) == ["a-cache"]
    assert jax.config.jax_compilation_cache_dir is None


@pytest.mark.parametrize(
    "variables, expected",
    [
        ({}, None),
        ({"JAX_NUM_PROCESSES": "1"}, None),
        ({"JAX_NUM_PROCESSES": "4", "JAX_PROCESS_ID": "2"}, {"num_processes": 4, "process_id": 2}),
        ({"SLURM_STEP_NODELIST": "n[1-2]", "SLURM_NTASKS": "2"}, {}),
        ({"SLURM_STEP_NODELIST": "n1", "SLURM_NTASKS": "1"}, None),
        ({"OMPI_COMM_WORLD_SIZE": "8"}, {}),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, {}),
        ({"TPU_WORKER_HOSTNAMES": "a"}, None),
    ],
)
def test_when_a_cluster_is_joined(monkeypatch, variables, expected):
    for name in ("JAX_NUM_PROCESSES", "SLURM_STEP_NODELIST", "OMPI_COMM_WORLD_SIZE", "TPU_WORKER_HOSTNAMES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    joined = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda **settings: joined.append(settings))
    runtime.join_cluster()
    assert joined == ([] if expected is None else [expected])


def test_a_process_without_its_number(monkeypatch):
    monkeypatch.setenv("JAX_NUM_PROCESSES", "4")
    monkeypatch.delenv("JAX_PROCESS_ID", raising=False)
    with pytest.raises(ValueError, match="JAX_PROCESS_ID, which this one is, is not"):
        runtime.join_cluster()


def test_the_start_loads_nothing_that_it_does_not_need():
    code = "import sys, vgm_jax, vgm_jax.main; print('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
    code = "import sys, vgm_jax.training.loop, vgm_jax.tasks; print(*sys.modules, sep='\\n')"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy = {"tensorflow", "tensorflow_datasets", "tensorboardX", "scipy", "torch", "apache_beam", "pandas"}
    assert not heavy & set(loaded.splitlines())
