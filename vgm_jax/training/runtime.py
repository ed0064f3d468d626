"""What must happen before JAX first computes: the cluster is joined and compiled programs are cached."""

import contextlib
import os
import uuid
import zlib
from pathlib import Path

import jax

from vgm_jax.data.files import cache_folder


def start() -> None:
    """Joins the cluster, if the environment names one, and turns on the persistent compilation cache."""
    join_cluster()
    enable_compilation_cache(default_cache())


def default_cache() -> str:
    """The user's cache folder; JAX_COMPILATION_CACHE_DIR names another, such as a bucket, gs://..."""
    return os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(cache_folder("xla"))


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


def enable_compilation_cache(directory: str | os.PathLike) -> None:
    """Keeps compiled programs in `directory` for later processes; does nothing without leave to write there.

    JAX writes an entry in place and never over an old one, so that a kill in mid-write would leave one that
    never loads again: unreadable entries are deleted first. Only those newer than the last look are read. A
    bucket's entries are written whole.
    """
    if "://" not in str(directory) and not _looked_through(Path(directory)):
        return
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def _looked_through(directory: Path) -> bool:
    """Whether the folder can be written to; entries that cannot be read are gone then."""
    # Every process looks by a name of its own: those of two pods may have the same number.
    seen, look = directory / ".seen", directory / f".seen.{uuid.uuid4().hex}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        look.touch()
        since = seen.stat().st_mtime if seen.exists() else 0.0
        for entry in directory.glob("*-cache"):
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                if entry.stat().st_mtime >= since and not _readable(entry):
                    entry.unlink()
        look.replace(seen)
    except OSError:
        return False
    return True


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
