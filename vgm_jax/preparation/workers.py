"""Processes that work side by side; one that dies or hangs costs its job and nothing else."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

ATTEMPTS = 2  # at a job whose process dies
PAUSE = 10.0  # seconds that nothing was done, after which the processes were stopped, too, as by Ctrl-Z
GRACE = 2.0  # seconds from when a process hangs up until it must have ended
# One process a core, which is what NPROC tells XLA, and none of the device's.
ENVIRONMENT = {"JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1", "NPROC": "1"}

MEMORY = "perhaps for want of memory: run it again, with fewer workers"

Work = Callable[[Any, Callable[[], None]], None]


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    job: int | None = None
    heard: float = 0.0  # when it last showed a sign of life
    began: bool = False


@dataclass
class _Pool:
    work: Work
    context: Any = field(default_factory=lambda: multiprocessing.get_context("spawn"))
    workers: list[_Worker] = field(default_factory=list)

    def start(self) -> _Worker:
        ours, theirs = self.context.Pipe()
        arguments = (theirs, self.work, os.getpid())
        process = self.context.Process(target=_serve, args=arguments, daemon=True)
        with _environment(ENVIRONMENT):
            process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self.workers.append(worker)
        return worker

    def end(self, worker: _Worker, grace: float = 0.0) -> int | None:
        """Its exit code, where it ended by itself."""
        self.workers.remove(worker)
        worker.process.join(grace)
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()
        return worker.process.exitcode


def run(
    jobs: Sequence[Any], work: Work, workers: int, limits: Sequence[float]
) -> Iterator[tuple[int, str | None]]:
    """Does every job in one of `workers` processes; yields its index as it ends, and why it failed or None.

    A job fails where its process dies, twice, or gives no sign of life for its limit, in which the time that
    the run itself was stopped does not count. Whatever else the work raises ends the run.

    Args:
      work: called with a job and with a function that gives a sign of life; to be pickled, as the jobs are.
      limits: seconds, a job.

    Raises RuntimeError with what the work raised, or where processes cannot start.
    """
    pool, waiting, attempts = _Pool(work), deque(range(len(jobs))), [0] * len(jobs)
    running, passed = 0, time.monotonic()
    try:
        while waiting or running:
            idle = [worker for worker in pool.workers if worker.job is None]
            while waiting and (idle or len(pool.workers) < workers):
                worker = idle.pop() if idle else pool.start()
                worker.job, worker.heard = waiting.popleft(), time.monotonic()
                attempts[worker.job] += 1
                with contextlib.suppress(OSError):  # it has died: it will be noticed
                    worker.pipe.send(jobs[worker.job])
                running += 1
            busy = [worker for worker in pool.workers if worker.job is not None]
            ready = wait([w.pipe for w in busy], timeout=1.0)
            now = time.monotonic()
            gap, passed = now - passed, now
            for worker in busy if gap > PAUSE else ():
                worker.heard = min(worker.heard + gap, now)
            for worker in busy:
                job, failure, ended = worker.job, None, False
                if worker.pipe in ready:
                    try:
                        kind, value = worker.pipe.recv()
                    except (EOFError, OSError):
                        code = pool.end(worker, GRACE)
                        if not worker.began and code and code > 0:
                            raise RuntimeError(
                                f"a worker process cannot start (status {code}): a script must have its call "
                                'under `if __name__ == "__main__":`, or do without processes by workers=0'
                            ) from None
                        failure, ended = _death(code), attempts[job] >= ATTEMPTS
                        running -= 1
                        if not ended:
                            waiting.append(job)  # last of all, when least else needs memory
                    else:
                        worker.heard, worker.began = now, True
                        if kind == "error":
                            raise RuntimeError(value)
                        if kind == "done":
                            worker.job, ended = None, True
                            running -= 1
                elif now - worker.heard > limits[job]:
                    pool.end(worker)
                    failure, ended = f"nothing came of it for {limits[job]:.0f} s", True
                    running -= 1
                if ended:
                    yield job, failure
    finally:
        for worker in list(pool.workers):
            pool.end(worker)


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        memory = f", {MEMORY}" if -code == signal.SIGKILL else ""
        return f"its process was ended by {name}{memory}"
    return f"its process ended with status {code}"


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    old = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in old.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(pipe: Connection, work: Work, parent: int) -> None:
    """A process's life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    threading.Thread(target=_outlive_not, args=(parent,), daemon=True).start()
    warnings.simplefilter("ignore")  # what matters is in the results
    with contextlib.suppress(EOFError, OSError):
        pipe.send(("began", None))
        while True:
            job = pipe.recv()
            try:
                work(job, lambda: pipe.send(("beat", None)))
            except BaseException as error:  # said by the parent
                pipe.send(("error", f"{type(error).__name__}: {error}"))
            else:
                pipe.send(("done", None))


def _outlive_not(parent: int) -> None:
    """Ends this process when its parent has: that may have been killed."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
