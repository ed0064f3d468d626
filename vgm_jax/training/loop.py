"""The training loop. It sees a task only through its protocol, and does not know what is being learnt."""

import contextlib
import copy
import functools
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vgm_jax.data.files import in_one_piece
from vgm_jax.data.pipeline import EvaluationBatches, train_batches
from vgm_jax.data.sources import make_source
from vgm_jax.training import workdir as workdirs
from vgm_jax.training.checkpoint import Checkpoints
from vgm_jax.training.history import History, NonFiniteError, check_finite, reported
from vgm_jax.training.minutes import Minutes
from vgm_jax.training.partition import Partition, compiling
from vgm_jax.training.programs import Programs
from vgm_jax.training.signals import StopSignals
from vgm_jax.training.writers import Progress, Writers, summary_table
from vgm_jax.types import State, Task
from vgm_jax.version import __version__

SHOWN = 16  # held-out clips that `show` is given
EVALUATION_SHARE = 0.05  # of a run's time, above which the log says how to spend less on validation
FIGURES_SHOWN = 8  # of an evaluation, in the log
SHORT_RUN, SHORT_EVALUATION = 100, 64  # a run of fewer updates is evaluated on at most so many clips


class Interrupted(RuntimeError):
    """The run was asked to stop, and has saved; `code` is the exit status that a shell expects."""

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code


class Run:
    """A task, a config and a workdir: opened once, then trained or evaluated. Raises before it computes.

    programs: where traced updates are kept, if the task is known by what that is told.
    """

    def __init__(
        self,
        task: Task,
        config: Any,
        workdir: Path,
        report: Callable[[str], None] = print,
        programs: Programs | None = None,
    ):
        for key in ("steps", "log_every"):
            if config.train[key] < 1:
                raise ValueError(f"train.{key}={config.train[key]} must be at least 1")
        if config.checkpoint.every < 1:
            raise ValueError(f"checkpoint.every={config.checkpoint.every} must be at least 1")
        self.minutes = Minutes(config.train.minutes, config.checkpoint.minutes)
        self.opened, self.evaluating = time.perf_counter(), 0.0
        self.primary = jax.process_index() == 0
        self.task, self.config, self.workdir = task, config, workdir
        self.report = report if self.primary else lambda text: None
        self.partition = Partition(config.partition.mode, config.partition.model, programs)
        self.partition.check_batch(config.data.batch_size, getattr(task, "rows", 1))
        self.source, self._held_out = self._open("train"), {}
        if not len(self.source):
            raise ValueError("the training split has no clip: give more data")
        self.root = jax.random.key(config.seed)
        self.init_key, self.step_key, self.show_key, self.evaluate_key = jax.random.split(self.root, 4)
        rows = config.data.batch_size
        self.example = {
            name: np.broadcast_to(value, (rows, *np.shape(value))) for name, value in self.source[0].items()
        }
        self.checkpoints = self._checkpoints(writes=False)
        self._claim(write=False)  # it is written when it is trained

    def _claim(self, write: bool) -> None:
        """Writes down what run this is, and what its data's classes and words are; or sees that they agree.

        What failed before it learnt anything is in nobody's way.
        """
        if not workdirs.is_begun(self.workdir, bool(self.checkpoints.steps)):
            if not write:
                return
            workdirs.forget(self.workdir)
        workdirs.claim(self.workdir, self.config, write, self.checkpoints.config())
        workdirs.note_data(self.workdir, self.source, self.config.data.path, write)
        if {"text", "question"} & set(self.example):
            answers = self.source.answer_names() if "answer" in self.example else ()
            workdirs.note_words(self.workdir, self.source.vocabulary, answers, write)
        if write and hasattr(self.source, "class_names"):
            workdirs.note_classes(self.workdir, self.source.class_names())

    def _checkpoints(self, writes: bool) -> Checkpoints:
        about = self.config.checkpoint
        return Checkpoints(self.workdir / "checkpoints", about.keep, about.best, self.report, writes)

    def _open(self, split: str) -> Any:
        """The config's source, as the task wants to see it."""
        source = make_source(self.config.data, split)
        return self.task.view(source) if hasattr(self.task, "view") else source

    def held_out(self, split: str, count: int | None = None) -> EvaluationBatches:
        """Batches of a held-out split: `count` clips, or as many as the config evaluates on."""
        source = self._opened(split)
        short = self.config.train.steps < SHORT_RUN
        clips = self.config.evaluate.clips
        count = count or (min(clips, SHORT_EVALUATION) if short else clips)
        batch_size = min(self.config.evaluate.batch_size, count)
        return EvaluationBatches(source, batch_size=batch_size, count=count)

    def _opened(self, split: str) -> Any:
        if split not in self._held_out:  # opened once: a source of files keeps what it has decoded
            self._held_out[split] = self._open(split)
        return self._held_out[split]

    @property
    def seconds(self) -> float:
        """Of this sitting so far: since the run was opened, without what went into validation."""
        return time.perf_counter() - self.opened - self.evaluating

    # ------------------------------------------------------------------ state
    def restore(self, step: int | None = None) -> tuple[State, int] | None:
        """The state of a checkpoint (default: the latest readable), with its step, or None."""
        return self.checkpoints.restore(self._template, step) if self.checkpoints.steps else None

    @functools.cached_property
    def _template(self) -> State:
        task = self.task
        if self.checkpoints.steps and hasattr(task, "start"):
            task = copy.copy(task)
            task.start = None  # what it gave is in the checkpoints, and it may be gone
        return self.partition.template(task.init, self.init_key, self.example)

    # ------------------------------------------------------------------ train
    def train(self) -> None:
        """Up to `train.steps` updates or `train.minutes`, from the latest checkpoint where there is one.

        Raises NonFiniteError on a loss that is no number, Interrupted (after saving) on SIGTERM or SIGINT,
        WorkdirError where another process trains there.
        """
        with workdirs.lock(self.workdir, self.primary):
            self.checkpoints.look_again()  # now that nobody else writes any
            self._claim(write=self.primary)
            for split in ("validation", "test"):
                self._opened(split)  # what cannot be is said now, not when it is first looked at
            if not len(self._opened("validation")):
                raise ValueError("validation has no clip: give more data")
            self.checkpoints.close()
            self.checkpoints = self._checkpoints(writes=True)
            self._train()

    def _train(self) -> None:
        config, partition = self.config, self.partition
        until, early = self.task.early() if hasattr(self.task, "early") else (0, self.task)
        update = partition.compile(reported(self.task), self._template)
        simple = partition.compile(reported(early), self._template, "early") if until else update
        like = self._template, partition.like(self.example), self.step_key
        restored = self.restore()
        if restored is None:
            with compiling(simple, *like):  # beside the program of the initial state
                state, start = partition.init(self.task.init, self.init_key, self.example, self._template), 0
        else:
            state, start = restored
            self.report(f"resuming from step {start} in {self.workdir}")
        if start >= config.train.steps:
            self.report(f"the run is at step {start} of {config.train.steps}: nothing left to train")
            return

        batches = train_batches(
            self.source,
            batch_size=config.data.batch_size,
            seed=config.seed,
            start_step=start,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
            workers=config.data.workers,
            prefetch=config.data.prefetch,
        )
        writers = Writers(self.workdir, start, self.primary)
        total, batch_size = config.train.steps, config.data.batch_size
        left = self.minutes.left(self.seconds)
        progress = Progress(total, start, "videos", batch_size, left=left, primary=self.primary)
        with StopSignals() as signals, progress, contextlib.ExitStack() as beside:
            clock = _Clock(batches)

            def log(step: int, values: dict[str, float]) -> None:
                writers.scalars(step, values)
                progress.update(step, values)

            unlogged = self.checkpoints.unlogged(start) if start else None
            history = History(config.train.log_every, log, unlogged)
            state = partition.enter(state)
            try:
                for step in range(start + 1, config.train.steps + 1):
                    batch = partition.put(clock.next())
                    if step == until + 1:
                        beside.close()  # by now it has been compiled
                    now = simple if step <= until else update
                    state, report = now(state, batch, self.step_key)
                    history.add(step, report)
                    if step == start + 1:  # it holds the compilation: what comes after can be timed
                        jax.block_until_ready(report)
                        seconds = time.perf_counter() - self.opened
                        progress.message(f"first update done, {seconds:.1f} s after the run was opened")
                        if step <= until < config.train.steps:
                            beside.enter_context(compiling(update, *like))
                    over, snapshot = self.minutes.passed(self.seconds)
                    last = over or step == config.train.steps
                    stop = signals.agreed(step)
                    due = {
                        "show": last or _divides(config.train.show_every, step),
                        "evaluate": last or _divides(config.evaluate.every, step),
                        "save": last or stop or snapshot or step % config.checkpoint.every == 0,
                    }
                    if any(due.values()):
                        history.read()
                        if last:
                            history.rest(step)
                        self._pause(step, partition.leave(state), due, history, writers, progress)
                    if stop and not last:
                        self.checkpoints.wait()
                        code = 128 + (signals.received or signal.SIGTERM)
                        raise Interrupted(f"stopped at step {step}, saved; the same command resumes", code)
                    if over:
                        break
            except NonFiniteError as error:
                self.checkpoints.wait()
                good = self.checkpoints.steps
                kept = (
                    f"the last good checkpoint is step {good[-1]}" if good else "there is no checkpoint yet"
                )
                raise NonFiniteError(
                    f"training stopped: {error}; {kept} in {self.checkpoints.directory}. "
                    "Lower the learning rates (config.optimizer), in another workdir."
                ) from None
            finally:
                writers.close()
            self.checkpoints.wait()
            progress.message(f"waited for data {100 * clock.waited_fraction:.1f} % of the time")

    def _pause(
        self,
        step: int,
        state: State,
        due: dict[str, bool],
        history: History,
        writers: Writers,
        progress: Progress,
    ) -> None:
        """What is not an update, at the steps where it is due, saving last; the state here is canonical."""
        check_finite(state)
        seconds = self.seconds  # the state has been computed: nothing is left to wait for
        figures: dict[str, float] = {}
        try:
            self._look(step, state, due, writers, progress, figures)
        except Exception:  # of what only looks, such as a full disk: what was learnt is not lost with it
            self._save(step, state, figures, history, seconds)
            self.checkpoints.wait()
            raise
        if due["save"] or due["evaluate"]:
            self._save(step, state, figures, history, seconds)

    def _save(
        self, step: int, state: State, figures: dict[str, float], history: History, seconds: float
    ) -> None:
        config = workdirs.plain(self.config)
        self.checkpoints.save(step, state, config, figures, history.sums.tolist(), seconds)

    def _look(
        self,
        step: int,
        state: State,
        due: dict[str, bool],
        writers: Writers,
        progress: Progress,
        figures: dict[str, float],
    ) -> None:
        """Validation and media where they are due; figures of the first go into `figures`."""
        if due["evaluate"]:
            began = time.perf_counter()
            figures |= self.task.evaluate(state, self.held_out("validation"), self.evaluate_key)
            writers.scalars(step, {f"validation/{name}": value for name, value in figures.items()})
            if (best := self.checkpoints.best) and best not in figures:
                progress.message(f"checkpoint.best: no figure is called {best!r}; the last is kept")
            now = time.perf_counter()
            self.evaluating += now - began
            share = self.evaluating / (now - self.opened)
            shown = list(figures.items())[:FIGURES_SHOWN]  # all are in metrics.jsonl
            progress.message(
                f"step {step} validation "
                + "  ".join(f"{name} {value:.4g}" for name, value in shown)
                + f"  ({100 * share:.1f} % of the time went into validation"
                + ("; raise evaluate.every or lower evaluate.clips)" if share > EVALUATION_SHARE else ")")
            )
        if due["show"]:
            batch = next(iter(self.held_out("validation", SHOWN)))
            shown = self.task.show(state, batch, self.show_key)
            if any((self.workdir / "media").glob("real_*")):
                shown.pop("real", None)  # the same clips at every time
            writers.media(step, shown)

    # --------------------------------------------------------------- evaluate
    def evaluate(self) -> dict[str, float]:
        """Test figures of the checkpoint that validation picked (or the last), written to `evaluation.json`.

        Of a source without test clips none, but the step.

        Raises WorkdirError where there is no checkpoint.
        """
        best = self.checkpoints.best_step
        restored = self.restore(best)
        if restored is None:
            raise workdirs.WorkdirError(f"{self.workdir} has no checkpoint to evaluate; train first")
        state, step = restored
        if not len(self._opened("test")):
            self.report("test has no clip: nothing is evaluated")
            return {"step": step}
        batches = self.held_out("test")
        figures = self.task.evaluate(state, batches, self.evaluate_key)
        figures = {f"test/{name}": value for name, value in figures.items()} | {"step": step}
        if self.primary:
            protocol = {"batches": batches.description, "version": __version__}
            record = figures | {"protocol": protocol | self.task.protocol()}
            try:
                with in_one_piece(self.workdir / "evaluation.json") as part:
                    part.write_text(json.dumps(record, indent=2) + "\n")
            except OSError as error:  # such as of a run that may only be read
                self.report(f"{self.workdir / 'evaluation.json'} cannot be written ({error.strerror})")
        return figures

    def summary(self, figures: dict[str, float], seconds: float) -> None:
        """The closing table: what was measured, and where things are."""
        if not self.primary:
            return
        rows: dict[str, str | float] = dict(figures) | {"seconds": round(seconds, 1)}
        media = sorted((self.workdir / "media").glob("samples_*"))
        rows |= {f"samples {path.suffix}": str(path) for path in media if path.stem == media[-1].stem}
        rows |= {
            "checkpoints": str(self.checkpoints.directory),
            "metrics": str(self.workdir / "metrics.jsonl"),
        }
        summary_table(f"{self.workdir}", rows)

    def close(self) -> None:
        self.checkpoints.close()


class _Clock:
    """Reads an iterator and knows which part of the time since the first item went into waiting for it."""

    def __init__(self, items: Iterator):
        self._items, self._started, self._waited = items, None, 0.0

    def next(self) -> Any:
        before = time.perf_counter()
        item = next(self._items)
        if self._started is None:
            self._started = time.perf_counter()
        else:
            self._waited += time.perf_counter() - before
        return item

    @property
    def waited_fraction(self) -> float:
        if self._started is None:
            return 0.0
        return self._waited / max(time.perf_counter() - self._started, 1e-9)


def _divides(every: int, step: int) -> bool:
    return every > 0 and step % every == 0
