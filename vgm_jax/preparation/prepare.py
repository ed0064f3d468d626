"""`vgm prepare`: from a folder of anything to a clean data set.

Each source is processed by itself, in a process a core, and what it gives is kept under `DIR/.prepare`:
killed at any moment and started again, nothing finished is done twice, and the data set has the bytes of an
uninterrupted run. The same holds for videos that are added later. `DIR/.prepare` may be deleted, if no more
are to come; it holds the clips once more.

`DIR` then has, and is:

    dataset_info.json, *.array_record-*   the data set, for `tfds.builder_from_directory(DIR)`
    rejected.jsonl   a line for each thing that was left out: source, start and end (seconds, or null: all of
                     it), reason (one of `records.REASONS`), detail
    report.html      counts, reasons, histograms, pictures
"""

import functools
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from vgm_jax.data import decode
from vgm_jax.data.files import in_one_piece
from vgm_jax.data.sources._folder_videos import in_order
from vgm_jax.preparation import workers as processes
from vgm_jax.preparation.choosing import Chosen, choose
from vgm_jax.preparation.dataset import (
    INFO,
    NAME,
    Place,
    Schema,
    Shard,
    plan_shards,
    write_description,
    write_shard,
)
from vgm_jax.preparation.finding import Found, find, readable
from vgm_jax.preparation.journal import only_one
from vgm_jax.preparation.records import REASONS, Rejection, Settings, Source
from vgm_jax.preparation.results import FORMAT, SHOWN, Process, Result, Results, key_of, make, rejected
from vgm_jax.version import __version__

HIDDEN = ".prepare"
PATIENCE = 600.0  # seconds that nothing may come of a source, and a second more for each megabyte
Progress = Callable[[int, int], None]  # sources that are done, of all
Job = tuple[Source, str]  # and its key
# What is written into the data set's folder under names that others use, too.
WRITTEN = (INFO, "features.json", "LICENSE", "rejected.jsonl", "report.html")


def footage(source: Source, settings: Settings) -> Iterator:
    """What `vgm_jax.preparation.source.process` finds; it is imported, and JAX with it, in the worker."""
    from vgm_jax.preparation.source import process

    return process(source, settings)


def prepare(
    src: str | os.PathLike,
    out: str | os.PathLike,
    settings: Settings,
    *,
    workers: int | None = None,
    seed: int = 0,
    held_out: float = 0.1,
    groups: bool = False,
    classes: bool = False,
    licence: str = "",
    runner: str = "",
    runner_options: Sequence[str] = (),
    progress: Progress = lambda done, total: None,
    process: Process = footage,
) -> dict[str, Any]:
    """Makes a data set of the clips of all videos in a folder, or of one video; see the module's docstring.

    Args:
      src: a folder or a video. Read, never written to, unless `out` lies in it; that is not read as footage.
      out: the folder of the data set, made where missing.
      settings: of the clips. A folder keeps to the settings and the `src` that it was begun with.
      workers: processes; None: one a core; 0: none, all in this one.
      seed: of which videos are for validation and test.
      held_out: part of the videos (with `groups`: of the groups) for validation, and again for test.
      groups: whether folders, such as patients or cameras, are in one split each: those right under `src`,
        as `data.folder.groups` reads it; without, these are classes. Folders named train and validation stay
        the splits.
      classes: with `groups`, that these are in folders of classes: class/group/film.
      licence: of videos of which no `collected.jsonl` tells one.
      runner: of Apache Beam, such as "DirectRunner" or "FlinkRunner", in place of workers of this machine;
        `src` and `out` must be where its workers see them, too. `runner_options`: further pipeline options.
      process: finds the clips of one source; to be pickled.

    Returns counts: videos, used, shots, clips, seconds, splits {name: clips}, rejected {reason: count},
    licences {licence: clips}, and warnings, report, listed (paths as text).

    Raises:
      FileNotFoundError: there is no `src`.
      ValueError: there is no footage, or none that can be used; with `groups`, a video in none, or only one
        of them; other settings than `out` was begun with; a number out of its range.
      RuntimeError: another process is preparing into `out`; a worker could not work.
      OSError: `src` cannot be read, or `out` cannot be written.
    """
    # What workers elsewhere write into is by its whole path.
    src, out = Path(src).expanduser(), Path(os.path.abspath(Path(out).expanduser()))
    _check(src, out, settings, workers, held_out)
    found = find(Path(os.path.abspath(src)), out, licence, groups, classes)
    if not found.sources and not found.rejected:
        raise ValueError(f"{src}: no video; expected {', '.join(decode.SUFFIXES)}, or folders of pictures")
    if groups and not found.named:
        _check_groups(src, found)
    hidden = out / HIDDEN
    hidden.mkdir(parents=True, exist_ok=True)
    with only_one(hidden / "lock", f"another process is preparing into {out}"):
        for file in hidden.glob(".*"):
            file.unlink()  # a kill left it half-written
        _keep_to(hidden / "settings.json", src, out, settings)
        results = Results(hidden / "sources")
        results.folder.mkdir(exist_ok=True)
        jobs = [(source, key_of(source, settings)) for source in found.sources]
        todo = [job for job in jobs if results.is_due(job[1])]
        progress(len(jobs) - len(todo), len(jobs))
        write: Callable[..., None] = _write_locally
        if runner:
            from vgm_jax.preparation import beam

            beam.make_sources(todo, settings, results, process, runner, runner_options)
            progress(len(jobs), len(jobs))
            write = functools.partial(beam.write_shards, runner=runner, options=runner_options)
        else:
            count = _cores() if workers is None else workers
            for done, _ in enumerate(make_all(todo, settings, results, process, count), 1):
                progress(len(jobs) - len(todo) + done, len(jobs))
        summary = _assemble(found, jobs, settings, results, out, (seed, held_out), write)
        results.sweep({key for _, key in jobs})
    summary |= {"report": str(out / "report.html"), "listed": str(out / "rejected.jsonl")}
    if not summary["clips"]:
        reasons = ", ".join(f"{count} {reason}" for reason, count in summary["rejected"].items())
        raise ValueError(f"{src}: nothing in it can be used ({reasons}): see {summary['listed']}")
    return summary


def make_all(
    jobs: Sequence[Job], settings: Settings, results: Results, process: Process, workers: int
) -> Iterator[Job]:
    """Processes sources, the largest first, and yields each when its result is kept."""
    sizes = {key: _bytes_of(source.path) for source, key in jobs}
    jobs = sorted(jobs, key=lambda job: -sizes[job[1]])
    work = functools.partial(_work, settings=settings, results=results, process=process)
    if not workers:
        for job in jobs:
            work(job, lambda: None)
            yield job
        return
    limits = [PATIENCE + sizes[key] / 1e6 for _, key in jobs]
    for index, failure in processes.run(jobs, work, workers, limits):
        source, key = jobs[index]
        if failure:
            again = {"again": True} if processes.MEMORY in failure else {}
            results.put(key, rejected(source.name, Rejection("damaged", failure)) | again)
        yield jobs[index]


def _work(job: Job, beat: Callable[[], None], settings: Settings, results: Results, process: Process) -> None:
    make(*job, settings, results, process, beat)


def _bytes_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# ---------------------------------------------------------------------------------------------------------- #
# Whether it can begin
# ---------------------------------------------------------------------------------------------------------- #


def _check(src: Path, out: Path, settings: Settings, workers: int | None, held_out: float) -> None:
    numbers = (settings.fps, settings.rate, settings.black, settings.frozen, settings.blurred)
    if settings.size < 1 or settings.frames < 1 or not all(0 <= number < float("inf") for number in numbers):
        raise ValueError(f"expected size and frames >= 1, and no number below 0; got {asdict(settings)}")
    if not 0 < held_out <= 1 / 3:
        raise ValueError(f"held_out={held_out}: expected a part of the videos, above 0 and at most 1/3")
    if workers is not None and workers < 0:
        raise ValueError(f"workers={workers}: expected 0 or more")
    if out.is_file():
        raise ValueError(f"{out} is a file; give a folder for the data set")
    if os.path.realpath(src) == os.path.realpath(out):
        raise ValueError(f"{out} holds the videos themselves; give another folder for the data set")
    for name in WRITTEN if not (out / HIDDEN / "settings.json").exists() else ():
        if (out / name).exists():
            raise ValueError(f"{out / name} is not of a data set that goes on here; give another folder")


def _check_groups(src: Path, found: Found) -> None:
    for source in found.sources:
        if not source.group:
            raise ValueError(f"{src}: with groups, but {source.name} is in no group's folder")
    groups = {source.group for source in found.sources}
    if len(groups) == 1:
        raise ValueError(f"{src}: with groups, but {groups.pop()} is the only one: give two or more")


def _keep_to(file: Path, src: Path, out: Path, settings: Settings) -> None:
    """Refuses other settings than those that a folder was begun with."""
    now = {"src": os.path.realpath(src)} | asdict(settings)
    try:
        begun = json.loads(file.read_text())
    except (OSError, ValueError):
        with in_one_piece(file) as temporary:
            temporary.write_text(json.dumps(now))
        return
    begun = asdict(Settings()) | begun  # what older versions did not know
    for name, value in now.items():
        if begun[name] != value:
            raise ValueError(
                f"{out} was begun with {name}={begun[name]}, now it is {value}: give another folder, or "
                "delete this one"
            )


# ---------------------------------------------------------------------------------------------------------- #
# From results to a data set
# ---------------------------------------------------------------------------------------------------------- #


def _assemble(
    found: Found,
    jobs: Sequence[Job],
    settings: Settings,
    results: Results,
    out: Path,
    division: tuple[int, float],
    write: Callable[..., None],
) -> dict[str, Any]:
    """Writes the data set, the list and the page, unless all is as it would be; returns the summary."""
    known = _known(jobs, results)

    def look(place: Place) -> np.ndarray:
        ((video, _, _),) = results.clips(place.key, [place.number], place.result)
        return video

    chosen = choose(found, jobs, known, look, *division)
    places = {id(place): place for members in chosen.splits.values() for place in members}
    used = list(places.values())
    counts = Counter(item["reason"] for item in chosen.rejected)
    summary = {
        "videos": len({source.path for source in found.sources}),
        "used": len({place.source.name for place in used}),
        "shots": sum(len(result["shots"]) for result in known.values()),
        "clips": len(used),
        "seconds": sum(place.known["seconds"] for place in used),
        "splits": {name: len(members) for name, members in chosen.splits.items()},
        "rejected": {reason: counts[reason] for reason in REASONS if counts[reason]},
        "licences": dict(sorted(Counter(place.source.licence for place in used).items())),
        "warnings": [*chosen.warnings, *found.warnings],
    }
    labels = {place.source.label for place in used}
    if "" in labels and len(labels) > 1:
        name = readable(next(place.source.name for place in used if not place.source.label))
        summary["warnings"].append(f"no classes: {name} is in no class folder, others are")
    labels = in_order(labels) if "" not in labels and len(labels) > 1 else []
    audio = settings.audio and any(place.known["audio"] for place in used)
    schema = Schema(settings, audio, tuple(labels), chosen.division)
    shards = plan_shards(chosen.splits)
    plan = [[s.file, [[p.key, p.number, *vars(p.source).values()] for p in s.places]] for s in shards]
    left = [[item["source"], item["reason"], item["detail"]] for item in chosen.rejected]
    text = json.dumps([FORMAT, __version__, asdict(schema), plan, left, summary], default=str)
    state = hashlib.sha256(text.encode()).hexdigest()
    if not _is_done(out, state):
        _write(out, schema, shards, chosen, results, summary, state, write)
    return summary


def _known(jobs: Sequence[Job], results: Results) -> dict[str, Result]:
    """Results by their keys; of pictures, only as many as the page shows: they would fill the memory."""
    known, pictures = {}, Counter()
    for _, key in jobs:
        known[key] = results.get(key)
        for item in known[key]["rejections"]:
            pictures[item["reason"]] += item["picture"] is not None
            if pictures[item["reason"]] > SHOWN:
                item["picture"] = None
    return known


def _files(out: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in sorted(out.iterdir()) if file.is_file()}


def _is_done(out: Path, state: str) -> bool:
    try:
        done = json.loads((out / HIDDEN / "done.json").read_text())
    except (OSError, ValueError):
        return False
    there = _files(out)
    return done["state"] == state and all(there.get(name) == size for name, size in done["files"].items())


def _write_locally(shards: Sequence[Shard], schema: Schema, results: Results, folder: Path) -> None:
    for shard in shards:
        write_shard(shard, schema, results, folder)


def _write(
    out: Path,
    schema: Schema,
    shards: Sequence[Shard],
    chosen: Chosen,
    results: Results,
    summary: Mapping[str, Any],
    state: str,
    write: Callable[..., None],
) -> None:
    """All anew in a folder aside, then moved: in a data set that opens, every file is of the same run."""
    from vgm_jax.preparation.page import write_page  # not in every worker

    hidden = out / HIDDEN
    aside = hidden / "new"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    (hidden / "done.json").unlink(missing_ok=True)
    if shards:
        write(shards, schema, results, aside)
        write_description(aside, schema, shards)
    with open(aside / "rejected.jsonl", "w", encoding="utf-8") as file:
        for item in chosen.rejected:
            line = {name: item[name] for name in ("source", "start", "end", "reason", "detail")}
            file.write(json.dumps(line) + "\n")
    write_page(aside / "report.html", summary, schema.settings, chosen.splits, chosen.rejected, results)
    if shards:
        (out / INFO).unlink(missing_ok=True)
        for pattern in (f"{NAME}-*.array_record-*", "label.labels.txt"):
            for file in out.glob(pattern):
                file.unlink()
    # What the data set is opened by comes last.
    new = sorted(file.name for file in aside.iterdir())
    for name in sorted(new, key=lambda name: name == INFO):
        os.replace(aside / name, out / name)
    aside.rmdir()
    sizes = {name: (out / name).stat().st_size for name in new}
    with in_one_piece(hidden / "done.json") as temporary:
        temporary.write_text(json.dumps({"state": state, "files": sizes}))
