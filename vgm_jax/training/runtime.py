"""What must happen before JAX first computes: the cluster is joined and compiled programs are cached."""

import os
import zlib
from pathlib import Path

import jax

from vgm_jax.data.files import cache_folder


def start(cache: Path | None = None) -> None:
    """Joins the cluster, if the environment names one, and turns on the persistent compilation cache."""
    join_cluster()
    enable_compilation_cache(cache or default_cache())


def default_cache() -> Path:
    """The user's cache folder; JAX_COMPILATION_CACHE_DIR names another."""
    return Path(os.environ.get("JAX_COMPILATION_CACHE_DIR") or cache_folder("xla"))


def join_cluster() -> None:
    """`jax.distributed.initialize`, where there are several processes.

    They are named by JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, or found by JAX itself
    under Slurm, Open MPI and on TPU pods.
    """
    env = os.environ
    if "JAX_NUM_PROCESSES" in env:
        if int(env["JAX_NUM_PROCESSES"]) > 1:
            if "JAX_PROCESS_ID" not in env:
                raise ValueError("JAX_NUM_PROCESSES is set, and JAX_PROCESS_ID, which this one is, is not")
            jax.distributed.initialize(
                num_processes=int(env["JAX_NUM_PROCESSES"]), process_id=int(env["JAX_PROCESS_ID"])
            )
        return
    slurm = "SLURM_STEP_NODELIST" in env and int(env.get("SLURM_NTASKS", 1)) > 1
    open_mpi = int(env.get("OMPI_COMM_WORLD_SIZE", 1)) > 1
    pod = "," in env.get("TPU_WORKER_HOSTNAMES", "")
    if slurm or open_mpi or pod:
        jax.distributed.initialize()


def enable_compilation_cache(directory: Path) -> None:
    """Keeps compiled programs in `directory` for later processes; does nothing without leave to write there.

    JAX writes an entry in place and never over an old one, so that a kill in mid-write would leave one that
    never loads again: unreadable entries are deleted first. Only those newer than the last look are read.
    """
    seen, look = directory / ".seen", directory / f".seen.{os.getpid()}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        look.touch()
        since = seen.stat().st_mtime if seen.exists() else 0.0
        for entry in directory.glob("*-cache"):
            if entry.stat().st_mtime >= since and not _readable(entry):
                entry.unlink(missing_ok=True)
        look.replace(seen)
    except OSError:
        return
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def _readable(entry: Path) -> bool:
    data = entry.read_bytes()
    try:
        if (
            data[:4] == b"\x28\xb5\x2f\xfd"
        ):  # zstandard's magic number; JAX takes it where the package is installed
            import zstandard

            return len(zstandard.ZstdDecompressor().decompress(data)) > 0
        return len(zlib.decompress(data)) > 0
    except ImportError:
        return True  # JAX passes over what it has no package for
    except Exception:  # each library has errors of its own for a torn file
        return False
