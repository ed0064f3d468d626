"""What a run leaves in its workdir while it trains, and what it shows on the screen."""

import collections
import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.table import Column, Table
from rich.text import Text

from vgm_jax.data.files import in_one_piece
from vgm_jax.data.media import strip, write_media
from vgm_jax.types import Media


class MetricsFile:
    """`metrics.jsonl`: one JSON object a line, `step` first.

    Opening it at `step` drops the lines of later steps and any line that a kill cut short, so that the file
    of a resumed run holds what an uninterrupted one would have written. It is replaced as a whole or not at
    all.

    Args:
        path: the file; it and its folder are created where missing.
        step: the step the run continues from; 0 for a new run.

    Raises:
        OSError: naming the file, if it cannot be read or written.
    """

    def __init__(self, path: str | os.PathLike, step: int = 0):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self._truncate(step)
        self._file = self.path.open("a", encoding="utf-8")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Appends a line and flushes it. Numbers that JSON lacks (NaN, infinities) become null."""
        numbers = {name: float(value) for name, value in values.items()}
        line = {"step": int(step)} | {k: v if math.isfinite(v) else None for k, v in numbers.items()}
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _truncate(self, step: int) -> None:
        lines = self.path.read_bytes().splitlines(keepends=True)
        kept = [line.rstrip(b"\n") + b"\n" for line in lines if _step_of(line) <= step]
        if kept == lines:
            return
        with in_one_piece(self.path) as part, part.open("wb") as new:
            new.writelines(kept)
            new.flush()
            os.fsync(new.fileno())


def _step_of(line: bytes) -> float:
    """The step of a line of metrics; infinity for a line that is not one."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, TypeError, KeyError):
        return math.inf
    return step if isinstance(step, int) else math.inf


class Writers:
    """The files of a run: `metrics.jsonl`, `media/`, TensorBoard events, all in `workdir`.

    Args:
        workdir: created where missing.
        step: the step the run continues from; what later steps wrote to metrics and events is dropped.
        primary: whether this process writes at all; on one process a run it does.

    Raises:
        OSError: if the workdir cannot be written.
    """

    def __init__(self, workdir: str | os.PathLike, step: int = 0, primary: bool = True):
        self.workdir = Path(workdir)
        self._primary = primary
        self._step = step
        self._events = None
        self._metrics = MetricsFile(self.workdir / "metrics.jsonl", step) if primary else None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes numbers (anything `float` takes) under their names."""
        if not self._primary:
            return
        values = {name: float(value) for name, value in values.items()}
        self._metrics.write(step, values)
        for name, value in values.items():
            self._tensorboard().add_scalar(name, value, step)

    def media(self, step: int, media: Mapping[str, Media]) -> list[Path]:
        """Writes `media/{name}_{step:08d}` as mp4, gif and png; returns the paths, none if not primary.

        TensorBoard gets the png's strip of frames.
        """
        if not self._primary:
            return []
        paths = []
        for name, item in media.items():
            paths += write_media(self.workdir / "media", f"{name}_{step:08d}", item)
            self._tensorboard().add_image(name, strip(item.video), step, dataformats="HWC")
        return paths

    def close(self) -> None:
        """Writes what is still in memory. Nothing may be written afterwards."""
        if self._metrics is not None:
            self._metrics.close()
        if self._events is not None:
            self._events.close()

    def _tensorboard(self):
        if self._events is None:
            from tensorboardX import SummaryWriter  # here, since it is slow to import

            # Purging begins at its step, and what `step` itself wrote stays.
            self._events = SummaryWriter(str(self.workdir), purge_step=self._step + 1, flush_secs=30)
        return self._events


class Progress:
    """The progress of long work: a live bar on a terminal, plain lines elsewhere.

        with Progress(total=4000, start=resumed_at, per_step=batch_size) as progress:
            for step in ...:
                progress.update(step, {"d_loss": 1.2})

    The rate is that of the last half minute. It counts no step before `start` and, from the second update
    on, not the time before the first one, in which programs compile.

    Args:
        total: the step at which the work is done.
        start: the step it begins at.
        unit: what is counted, `per_step` of it in a step.
        description: the first word of the line.
        plain_every: seconds between plain lines, at least; the last step always gets one.
        console: where to print; standard output by default.
        clock: seconds, monotonic.
        primary: False in all processes but one, which are silent.
        left: seconds after which it is over, wherever it is by then.
    """

    WINDOW = 30.0  # seconds over which the rate is measured

    def __init__(
        self,
        total: int,
        start: int = 0,
        unit: str = "videos",
        per_step: float = 1,
        description: str = "train",
        plain_every: float = 10.0,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
        primary: bool = True,
        left: float = math.inf,
    ):
        self.total, self.step, self.unit, self.per_step = total, start, unit, per_step
        self.description, self.plain_every, self._clock = description, plain_every, clock
        # rich takes FORCE_COLOR, which notebooks and CI set, for a terminal: a bar would flood their logs.
        self._console = console or Console(force_terminal=None if sys.stdout.isatty() else False)
        self._primary = primary
        self._end = clock() + left
        self._updates = 0
        self._printed = -math.inf
        self._bar = self._task = None

    def __enter__(self) -> "Progress":
        self._marks = collections.deque([(self._clock(), self.step)])
        if self._primary and self._console.is_terminal and not self._console.is_dumb_terminal:
            self._bar = _Bar(
                TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
                BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4)),
                TextColumn("{task.completed}/{task.total}", table_column=Column(no_wrap=True)),
                TextColumn("{task.fields[speed]}", markup=False, table_column=Column(no_wrap=True)),
                TimeElapsedColumn(table_column=Column(no_wrap=True)),
                TextColumn("ETA {task.fields[eta]}", table_column=Column(no_wrap=True)),
                console=self._console,
                refresh_per_second=4,
                expand=True,
            )
            self._task = self._bar.add_task(
                self.description,
                total=self.total,
                completed=self.step,
                speed="",
                eta=_clock_face(math.inf),
                numbers="",
            )
            self._bar.start()
        return self

    def __exit__(self, *_) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, step: int, scalars: Mapping[str, float] | None = None) -> None:
        """Tells that `step` steps are done, and shows the latest numbers."""
        now = self._clock()
        self._updates += 1
        self.step = step
        self._marks.append((now, step))
        if self._updates == 2:
            self._marks.popleft()
        while len(self._marks) > 2 and now - self._marks[1][0] >= self.WINDOW:
            self._marks.popleft()

        numbers = " ".join(f"{name} {float(value):.4g}" for name, value in (scalars or {}).items())
        rate = self.rate()
        seconds = (self.total - step) * self.per_step / rate if rate else math.inf
        eta = _clock_face(min(seconds, self._end - now))
        speed = f"{rate:.1f} {self.unit}/s"
        if self._bar is not None:
            self._bar.update(
                self._task, total=self.total, completed=step, speed=speed, eta=eta, numbers=numbers
            )
        elif now - self._printed >= self.plain_every or step >= self.total:
            self._printed = now
            parts = [f"{self.description} {step}/{self.total}", numbers, speed, f"ETA {eta}"]
            self._print("  ".join(part for part in parts if part))

    def rate(self) -> float:
        """Units a second over the recent updates; 0 before there is one."""
        (t0, step0), (t1, step1) = self._marks[0], self._marks[-1]
        return (step1 - step0) * self.per_step / (t1 - t0) if t1 > t0 else 0.0

    def message(self, text: str) -> None:
        """Prints a line, above the bar where there is one."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            self._print(text)

    def _print(self, line: str) -> None:
        if self._primary:
            print(line, file=self._console.file, flush=True)


class _Bar(RichProgress):
    """The bar, and under it the latest numbers, which no width of terminal would leave room for beside it."""

    def get_renderables(self):
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            if task.fields["numbers"]:
                yield Text(task.fields["numbers"])


def _clock_face(seconds: float) -> str:
    if seconds == math.inf:
        return "--:--:--"
    minutes, seconds = divmod(round(max(seconds, 0)), 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"


def summary_table(title: str, rows: Mapping[str, str | float], console: Console | None = None) -> None:
    """Prints a title and two columns. No value is cut, however narrow the console: a path stays whole."""
    console = console or Console()
    width = max(map(len, rows), default=0)
    console.print(Text(title, style="bold"), soft_wrap=True)
    for name, value in rows.items():
        value = f"{value:.4g}" if isinstance(value, float) else value
        console.print(Text(f"{name:<{width}}   {value}"), soft_wrap=True)


def result_table(result: Mapping[str, Any], console: Console | None = None) -> None:
    """Prints an evaluation's result: a row a figure, its anchors beside it, then checks and warnings."""
    console = console or Console()
    table = Table(Column("figure"), *(Column(name, justify="right") for name in ["fake", *result["anchors"]]))
    for name, value in result["distances"].items():
        values = [value, *(anchor.get(name, math.nan) for anchor in result["anchors"].values())]
        table.add_row(name, *(f"{v:.4g}" for v in values))
    console.print(table)
    summary_table("checks", result["checks"], console)
    for warning in result["warnings"]:
        console.print(Text(f"warning: {warning}", style="yellow"), soft_wrap=True)
