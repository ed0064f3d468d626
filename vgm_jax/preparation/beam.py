"""The work of `prepare` on Apache Beam: DirectRunner, PrismRunner, Flink, Spark, Dataflow. Extra: beam.

The same functions do the same work, on the machines of a runner: each source is processed in a process of its
own, and its result kept in the same folder. All machines must see the videos and that folder under the same
paths: on a shared or mounted file system, such as NFS, Lustre or a bucket by FUSE.
"""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from vgm_jax.preparation.dataset import Schema, Shard, write_shard
from vgm_jax.preparation.prepare import Job, make_all
from vgm_jax.preparation.records import Settings
from vgm_jax.preparation.results import Process, Results

BATCH = 16  # sources that one process works through, so that what it imports and compiles serves them all


def make_sources(
    jobs: Sequence[Job],
    settings: Settings,
    results: Results,
    process: Process,
    runner: str,
    options: Sequence[str] = (),
) -> None:
    """Processes sources on a runner; a source that kills its process costs no more than itself.

    Raises ValueError without Beam, or for options that it refuses.
    """
    work = functools.partial(_make, settings=settings, results=results, process=process)
    _run(jobs, work, runner, options, BATCH)


def write_shards(
    shards: Sequence[Shard],
    schema: Schema,
    results: Results,
    folder: Path,
    runner: str,
    options: Sequence[str] = (),
) -> None:
    """Writes the files of a data set on a runner. Raises as `make_sources`."""
    _run(shards, functools.partial(_write, schema=schema, results=results, folder=folder), runner, options, 1)


def _run(
    items: Sequence[Any],
    work: Callable[[list[Any]], Iterator[str]],
    runner: str,
    options: Sequence[str],
    batch: int,
) -> None:
    try:
        import apache_beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise ValueError(f"--runner needs Apache Beam: pip install 'vgm_jax[beam]' ({error})") from error
    if not items:
        return
    # A batch is what one worker gets; reshuffled, or a runner may fuse all of them into one.
    batches = [list(items[i : i + batch]) for i in range(0, len(items), batch)]
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    with apache_beam.Pipeline(options=PipelineOptions([f"--runner={runner}", *options])) as pipeline:
        made = pipeline | "Batches" >> apache_beam.Create(batches)
        made = made | "Spread" >> apache_beam.Reshuffle()
        made | "Work" >> apache_beam.FlatMap(work)


def _make(jobs: list[Job], settings: Settings, results: Results, process: Process) -> Iterator[str]:
    for source, _ in make_all(jobs, settings, results, process, workers=1):
        yield source.name


def _write(shards: list[Shard], schema: Schema, results: Results, folder: Path) -> Iterator[str]:
    for shard in shards:
        write_shard(shard, schema, results, folder)
        yield shard.file
