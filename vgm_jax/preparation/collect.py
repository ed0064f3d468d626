"""Collects videos: from a manifest of URLs and paths to a folder of whole, verified files.

The manifest is CSV with a header, or JSONL (.jsonl): `url` or `path` (relative to the manifest), and as one
likes `licence`, `caption`, `sha256` (hexadecimal) and `name`; further columns are kept. The folder gets the
files and `collected.jsonl`, a line a row in the manifest's order:

    row        counted from 1, without the header
    status     "collected", "duplicate" (of an earlier row: same source or same content) or "failed"
    file, bytes, sha256   of the file in the folder; null for what failed
    reason     why it failed; else null
    licence, caption and all other columns, as they were given

Lines of other manifests that were collected into the folder follow, as long as their files are there.
Run again, it fetches only what is missing. Finished files are known by `.collect/journal.jsonl` and their
size; what else lies in the folder under their names, such as one that was trimmed since, stays as it is, and
the file comes anew under another name. Half-finished ones are continued where the server can (Range) and
still has the same file (If-Range). Rows of equal `sha256` are mirrors of one file: a later one is
tried only where those before it failed.

Only http, https and local paths; a redirect may lead from http to https, to no other scheme. Addresses of
private networks are as good as others, since data sets live on intranets: on a machine that reaches more
than a manifest's author should, read the manifest first. Proxies are those of the environment (https_proxy).
"""

import collections
import concurrent.futures
import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from vgm_jax.data.decode import DecodeError, probe
from vgm_jax.data.files import in_one_piece
from vgm_jax.preparation.fetching import (
    NETWORK_ERRORS,
    Broken,
    Fetcher,
    continued,
    reason_of,
    validator_of,
)
from vgm_jax.preparation.journal import Entry, Journal
from vgm_jax.preparation.manifest import (
    Job,
    Refused,
    digest,
    is_remote,
    name_files,
    plan_files,
    read_manifest,
)

BLOCK = 1 << 18  # bytes
LONGEST_WAIT = 60.0  # seconds between two attempts

Progress = Callable[[int, int], None]  # files that are done, of all


@dataclass(frozen=True)
class Limits:
    """What a file may cost.

    Attributes:
      max_bytes: of a file.
      timeout: seconds without a byte after which a connection is given up.
      deadline: seconds for a file from one source, all attempts together.
      retries: attempts after the first one, not counting those that got further than all before.
      backoff: seconds before the second attempt; twice as many before the next, and so on.
      workers: files at once.
      per_host: files at once from one host.
    """

    max_bytes: int = 4_000_000_000
    timeout: float = 30.0
    deadline: float = 3600.0
    retries: int = 4
    backoff: float = 1.0
    workers: int = 8
    per_host: int = 4

    def __post_init__(self):
        for name, value in vars(self).items():
            if not (value > 0 or (name == "retries" and value == 0)):
                raise ValueError(f"{name} must be positive, got {value}")


def collect(
    manifest: str | os.PathLike,
    out: str | os.PathLike,
    limits: Limits | None = None,
    check_videos: bool = True,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Fetches what a manifest lists into the folder `out`; returns the lines of its `collected.jsonl`.

    `check_videos`: whether a file must open as a video. A row that fails is a line, not an error.

    Raises:
      ValueError: the manifest cannot be read as one.
      RuntimeError: another process is collecting into the folder.
      OSError: the folder cannot be written.
    """
    rows = read_manifest(Path(manifest))
    plan, jobs = plan_files(rows, Path(os.path.abspath(manifest)).parent)
    out = Path(out).expanduser()
    hidden = out / ".collect"
    hidden.mkdir(parents=True, exist_ok=True)
    with Journal(hidden / "journal.jsonl") as journal:
        name_files(rows, plan, out, journal.finished)
        collector = _Collector(out, journal, limits or Limits(), check_videos)
        collector.run(jobs, progress)
        collector.keep_one_of_each(jobs)
        lines = _lines(rows, plan)
        known = [*lines, *_of_others(out, {line["file"] for line in lines})]
        with in_one_piece(out / "collected.jsonl") as part:
            part.write_text("".join(json.dumps(line) + "\n" for line in known))
    return lines


def _of_others(out: Path, files: Container[str | None]) -> Iterator[dict[str, Any]]:
    """Lines of other manifests that were collected into the folder before, of files that are as they were."""
    try:
        old = (out / "collected.jsonl").read_text().splitlines()
    except FileNotFoundError:
        return
    for text in old:
        with contextlib.suppress(ValueError):  # torn, or by hand
            line = json.loads(text)
            file = line.get("file") if isinstance(line, dict) else None
            if isinstance(file, str) and file not in files and _size(out / file) == line.get("bytes"):
                yield line


def _lines(rows: Sequence[Mapping[str, Any]], plan: Sequence) -> list[dict[str, Any]]:
    lines, seen = [], set()
    for number, (row, item) in enumerate(zip(rows, plan, strict=True), 1):
        line = dict.fromkeys(("row", "status", "file", "bytes", "sha256", "licence", "caption", "reason"))
        line |= row | {"row": number, "status": "failed", "sha256": None}
        if isinstance(item, str):
            line["reason"] = item
        elif item[0].entry is None:
            line["reason"] = item[0].reasons[item[0].sources.index(item[1])]
        else:
            line |= {key: item[0].entry[key] for key in ("file", "bytes", "sha256")}
            line["status"] = "duplicate" if line["sha256"] in seen else "collected"
            seen.add(line["sha256"])
        lines.append(line)
    return lines


class _Collector:
    def __init__(self, out: Path, journal: Journal, limits: Limits, check_videos: bool):
        self.out, self.hidden, self.journal = out, out / ".collect", journal
        self.limits, self.check_videos = limits, check_videos
        self._fetcher = Fetcher()
        self._stop = threading.Event()

    def run(self, jobs: Sequence[Job], progress: Progress | None) -> None:
        """Brings every job to its end. In each round, jobs that are still open try their next source."""
        done = 0
        with concurrent.futures.ThreadPoolExecutor(self.limits.workers) as pool:
            try:
                while todo := [job for job in jobs if job.open]:
                    for job in self._round(pool, todo):
                        done += not job.open
                        if progress is not None:
                            progress(done, len(jobs))
            except BaseException:
                self._stop.set()  # or leaving the pool would wait for all downloads
                raise

    def _round(self, pool: concurrent.futures.Executor, jobs: Sequence[Job]):
        """Tries a source of each job; yields jobs as they end. A host's tokens are its free connections."""
        queues = collections.defaultdict(collections.deque)
        for job in jobs:
            source = job.sources[len(job.reasons)]
            queues[urlsplit(source).netloc if is_remote(source) else ""].append(job)
        tokens = collections.deque(list(queues) * self.limits.per_host)
        running = {}
        while tokens or running:
            while tokens and len(running) < self.limits.workers:
                host = tokens.popleft()
                if queues[host]:
                    job = queues[host].popleft()
                    running[pool.submit(self._try, job)] = host, job
            ended, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in ended:
                host, job = running.pop(future)
                tokens.append(host)
                future.result()
                yield job

    def keep_one_of_each(self, jobs: Sequence[Job]) -> None:
        """Of files with the same content only one stays, under the name of the first job that has it.

        Only now, since which one comes first over the network is a matter of chance. For the same reason,
        what failed but is known by its checksum is looked for among all that came.
        """
        for job in jobs:
            if job.entry is None and job.sha256:
                job.entry = self._finished(job)
        kept = {}
        for job in filter(lambda job: job.entry, jobs):
            sha256 = job.entry["sha256"]
            if sha256 not in kept:
                if (file := job.entry["file"]) != job.name:
                    job.name = self._name(job, job.entry)
                    job.entry = self.journal.add(**job.entry | {"job": job.sources[0], "file": job.name})
                    os.replace(self.out / file, self.out / job.name)
                for other in self.journal.with_content(sha256):
                    if other["file"] != job.entry["file"] and self._holds(other["file"], other):
                        (self.out / other["file"]).unlink(missing_ok=True)
                kept[sha256] = job.entry
            job.entry = kept[sha256]

    def _holds(self, name: str, entry: Entry) -> bool:
        """Whether a file in the folder has the content that the journal knows of."""
        file = self.out / name
        if not file.is_file() or file.is_symlink() or _size(file) != entry["bytes"]:
            return False
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest() == entry["sha256"]

    def _name(self, job: Job, entry: Entry) -> str:
        """The job's name, or a longer one where another file has that."""
        name = Path(job.name)
        while os.path.lexists(self.out / name) and not self._holds(name.name, entry):
            name = Path(f"{Path(job.name).stem}-{digest(name.name)[:12]}{name.suffix}")
        return name.name

    # One file, in a thread of its own.

    def _try(self, job: Job) -> None:
        try:
            job.entry = self._finished(job) or self._get(job, job.sources[len(job.reasons)])
        except (Refused, Broken) as error:
            job.reasons.append(str(error))
        except OSError as error:
            job.reasons.append(error.strerror or str(error))
        except Exception as error:  # whatever a hostile file brings about, the others are still to come
            job.reasons.append(f"{type(error).__name__}: {error}")

    def _finished(self, job: Job) -> Entry | None:
        """The journal's entry of a file that is there and is what the job wants."""
        entry = self.journal.finished.get(job.sources[0])
        sha256 = job.sha256 or (entry and entry["sha256"])
        for found in self.journal.with_content(sha256):
            file = self.out / found["file"]
            if _size(file) == found["bytes"]:
                if self.check_videos and not found["probed"]:
                    self._check_video(file)
                    found = self.journal.add(**found | {"probed": True})
                return found
        return None

    def _get(self, job: Job, source: str) -> Entry:
        """Gets a file from one source, in as many attempts as the limits allow."""
        part = self.hidden / f"{digest(source)[:24]}.part{Path(job.name).suffix}"
        end = time.monotonic() + self.limits.deadline
        attempts, most = 0, 0
        while True:
            before = _size(part)
            try:
                self._fetch(job, source, part, end) if is_remote(source) else self._copy(
                    job, source, part, end
                )
                return self._finish(job, part, mixed=bool(before))
            except Refused:
                part.unlink(missing_ok=True)
                raise
            except Broken as error:
                size = _size(part)
                attempts, most = (0 if size > most else attempts + 1), max(most, size)
                wait = max(self.limits.backoff * 2.0 ** min(max(attempts - 1, 0), 20), error.wait)
                wait = min(wait, LONGEST_WAIT)
                if attempts > self.limits.retries or time.monotonic() + wait > end or self._stop.is_set():
                    raise
                self._stop.wait(wait)

    def _copy(self, job: Job, source: str, part: Path, end: float) -> None:
        if not os.path.isfile(source):
            raise Refused("not a file" if os.path.exists(source) else "there is no such file")
        part.unlink(missing_ok=True)
        self.journal.add(job=job.sources[0], part=part.name, validator=None, total=None)
        with open(source, "rb") as original, part.open("wb") as file:
            self._pour(original.read, file, 0, os.fstat(original.fileno()).st_size, end)

    def _fetch(self, job: Job, source: str, part: Path, end: float) -> None:
        """Downloads into the part, after what it holds where that is the beginning of the same file."""
        size, begun = _size(part), self.journal.begun.get(part.name)
        if size and begun and size == begun["total"]:
            return  # killed before it was verified
        headers = {}
        if size and begun and begun["validator"]:
            headers = {"Range": f"bytes={size}-", "If-Range": begun["validator"]}
        try:
            with self._fetcher.open(source, headers, self.limits.timeout, end) as response:
                if response.status == 200:
                    size, total = 0, response.length
                    validator = validator_of(response)
                    part.unlink(missing_ok=True)
                    self.journal.add(job=job.sources[0], part=part.name, validator=validator, total=total)
                elif headers and (total := continued(response, size, begun["validator"], begun["total"])):
                    pass
                else:
                    part.unlink(missing_ok=True)
                    raise Broken("the server cannot continue the file")
                with part.open("ab") as file:
                    self._pour(response.read1, file, size, total, end)
        except NETWORK_ERRORS as error:
            if time.monotonic() < end:
                raise Broken(reason_of(error, self.limits.timeout)) from None
            raise Broken(self._late()) from None

    def _pour(
        self, read: Callable[[int], bytes], file: BinaryIO, size: int, total: int | None, end: float
    ) -> None:
        """Appends to a file of `size` bytes what comes, up to `total` where it is known."""
        while max(size, total or 0) <= self.limits.max_bytes:
            if time.monotonic() >= end:
                raise Broken(self._late())
            if self._stop.is_set():
                raise Broken("interrupted")
            block = read(BLOCK if total is None else min(BLOCK, total - size))
            if not block and size < (total or 0):
                raise Broken(f"truncated: {size} of {total} bytes came")
            if not block:
                return
            file.write(block)
            file.flush()  # what a kill finds in the buffer would be fetched again
            size += len(block)
        raise Refused(f"larger than {self.limits.max_bytes / 1e6:g} MB")

    def _late(self) -> str:
        return f"not finished within {self.limits.deadline:g} s"

    def _finish(self, job: Job, part: Path, mixed: bool) -> Entry:
        """Verifies a part that is complete and makes it the file. `mixed`: it may be of two versions."""
        try:
            if not _size(part):
                raise Refused("the file is empty")
            with part.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                os.fsync(file.fileno())
            if job.sha256 not in (None, sha256):
                raise Refused(f"its sha256 is {sha256}, not as expected")
            self._check_video(part)
        except Refused as error:
            if not mixed:
                raise
            part.unlink(missing_ok=True)  # a server that does not tell versions apart: once more, afresh
            raise Broken(str(error)) from None
        entry = {"job": job.sources[0], "bytes": _size(part), "sha256": sha256}
        job.name = self._name(job, entry)
        entry = self.journal.add(**entry, file=job.name, probed=self.check_videos)
        os.replace(part, self.out / job.name)
        return entry

    def _check_video(self, path: Path) -> None:
        if self.check_videos:
            try:
                probe(path)
            except DecodeError as error:
                path.unlink()
                raise Refused(error.why) from None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
