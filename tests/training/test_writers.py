import io
import json
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from vgm_jax.training.writers import MetricsFile, Progress, Writers, summary_table
from vgm_jax.types import Media


def read(path):
    return [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]


# MetricsFile


def test_metrics_are_on_disk_at_once_and_valid_json(tmp_path):
    path = tmp_path / "run" / "metrics.jsonl"
    metrics = MetricsFile(path, step=0)
    metrics.write(1, {"a": np.float32(0.5), "b": float("nan"), "c": float("-inf")})
    assert read(path) == [{"step": 1, "a": 0.5, "b": None, "c": None}]
    assert path.read_text().startswith('{"step"')
    metrics.close()


@pytest.mark.parametrize("resume", range(6))
@pytest.mark.parametrize("cut", [0, 1, 9, 25])
def test_a_resumed_run_has_each_step_once(tmp_path, resume, cut):
    path = tmp_path / "metrics.jsonl"
    killed = MetricsFile(path, step=0)
    for step in range(1, 6):
        killed.write(step, {"loss": step / 2})
    killed.close()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - cut])

    resumed = MetricsFile(path, step=resume)
    start = read(path)[-1]["step"] if read(path) else 0
    assert start == resume or (start < resume and cut)  # what was cut cannot come back
    for step in range(start + 1, 9):
        resumed.write(step, {"loss": step / 2})
    resumed.close()
    assert read(path) == [{"step": step, "loss": step / 2} for step in range(1, 9)]
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.jsonl"]


@pytest.mark.parametrize("torn", [b'{"step": 3, "lo', b"\x00\x00\x00", b"7", b'{"step": 3, "\xc3', b"\n"])
def test_a_torn_line_is_dropped(tmp_path, torn):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n' + torn)
    MetricsFile(path, step=100).close()
    assert path.read_bytes() == b'{"step": 1}\n{"step": 2}\n'


def test_a_whole_last_line_without_its_newline_is_kept(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2}')
    metrics = MetricsFile(path, step=2)
    metrics.write(3, {})
    metrics.close()
    assert [line["step"] for line in read(path)] == [1, 2, 3]


def test_an_intact_file_is_not_rewritten(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n')
    inode = path.stat().st_ino
    MetricsFile(path, step=1).close()
    assert path.stat().st_ino == inode


# Writers


def clips():
    return Media(np.random.default_rng(0).integers(0, 256, (4, 5, 16, 16, 3), np.uint8), fps=8.0)


def events_of(workdir):
    """(tag, step, value) of scalars, (tag, step, height, width) of images, and the steps purged from."""
    from tensorboardX.proto.event_pb2 import Event

    scalars, images, purged = [], [], []
    for path in sorted(workdir.glob("events.out.tfevents.*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 8], "little")
            event = Event.FromString(data[at + 12 : at + 12 + length])
            at += 12 + length + 4
            if event.HasField("session_log"):
                purged.append(event.step)
            for value in event.summary.value:
                if value.HasField("image"):
                    images.append((value.tag, event.step, value.image.height, value.image.width))
                else:
                    scalars.append((value.tag, event.step, value.simple_value))
    return scalars, images, purged


def test_writers_fill_the_workdir(tmp_path):
    writers = Writers(tmp_path, step=0)
    writers.scalars(10, {"d_loss": np.float32(1.5), "g_loss": 0.25})
    paths = writers.media(10, {"samples": clips()})
    writers.close()
    names = [f"samples_00000010{suffix}" for suffix in (".mp4", ".gif", ".png")]
    assert paths == [tmp_path / "media" / name for name in names]
    assert all(path.stat().st_size for path in paths)
    assert read(tmp_path / "metrics.jsonl") == [{"step": 10, "d_loss": 1.5, "g_loss": 0.25}]
    scalars, images, _ = events_of(tmp_path)
    assert scalars == [("d_loss", 10, 1.5), ("g_loss", 10, 0.25)]
    assert images == [("samples", 10, 4 * 16, 5 * 16)]


def test_resumed_writers_drop_what_came_after(tmp_path):
    first = Writers(tmp_path, step=0)
    for step in (1, 2, 3):
        first.scalars(step, {"loss": float(step)})
    first.close()
    second = Writers(tmp_path, step=2)
    second.scalars(3, {"loss": 30.0})
    second.close()
    assert [line["loss"] for line in read(tmp_path / "metrics.jsonl")] == [1.0, 2.0, 30.0]
    assert 3 in events_of(tmp_path)[2], "TensorBoard is told to forget steps from 3 on"


def test_other_processes_write_nothing(tmp_path):
    writers = Writers(tmp_path / "run", step=0, primary=False)
    writers.scalars(1, {"loss": 1.0})
    assert writers.media(1, {"samples": clips()}) == []
    writers.close()
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_is_imported_when_needed():
    code = "import sys, vgm_jax.training.writers; sys.exit('tensorboardX' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# Progress


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def plain(width=80):
    return Console(file=io.StringIO(), width=width, force_terminal=False)


def test_plain_lines_come_at_most_every_ten_seconds_and_at_the_end():
    clock, console = Clock(), plain()
    with Progress(total=40, per_step=16, console=console, clock=clock) as progress:
        for step in range(1, 41):
            clock.now += 1
            progress.update(step, {"d_loss": 1.23449, "g_loss": 0.98})
    lines = console.file.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["1/40", "11/40", "21/40", "31/40", "40/40"]
    assert lines[1] == "train 11/40  d_loss 1.234 g_loss 0.98  16.0 videos/s  ETA 00:00:29"


def test_work_by_the_clock_ends_when_its_time_is_over():
    clock, console = Clock(), plain()
    with Progress(total=10**9, console=console, clock=clock, left=100.0) as progress:
        for step in range(1, 21):
            clock.now += 1
            progress.update(step)
    assert console.file.getvalue().splitlines()[1].endswith("ETA 00:01:29")


def test_rate_counts_neither_skipped_steps_nor_compilation_nor_old_updates():
    clock, console = Clock(), plain()
    with Progress(total=10_000, start=5000, per_step=8, console=console, clock=clock) as progress:
        clock.now += 10
        progress.update(5010)
        assert progress.rate() == 8.0  # ten steps in ten seconds; not 5010 steps
        clock.now += 1
        progress.update(5020)
        assert progress.rate() == 80.0  # the ten seconds before the first update are gone
        for i in range(1, 100):
            clock.now += 2
            progress.update(5020 + 10 * i)
        assert progress.rate() == pytest.approx(40.0)
    assert "5010/10000" in console.file.getvalue()
    assert "ETA" in console.file.getvalue()


def test_no_rate_yet():
    console = plain()
    with Progress(
        total=10, start=10, unit="clips", description="resume", console=console, clock=Clock()
    ) as p:
        p.update(10)
    assert console.file.getvalue() == "resume 10/10  0.0 clips/s  ETA --:--:--\n"


@pytest.mark.parametrize("width", [60, 80, 160])
def test_bar_on_a_terminal(width):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    with Progress(total=4000, start=100, per_step=8, console=console) as progress:
        progress.update(400, {"d_loss": 1.2345, "g_loss": 0.98, "penalty": 0.01})
        progress.message("saved [bold]/checkpoints/400[/bold]")
    text = console.file.getvalue()
    assert "saved [bold]/checkpoints/400[/bold]\n" in text
    last = text[text.rindex("saved") :]
    for part in ("400/4000", "videos/s", "ETA", "d_loss 1.234 g_loss 0.98 penalty 0.01"):
        assert part in last


def test_message_off_a_terminal():
    console = plain(width=20)
    with Progress(total=2, console=console) as progress:
        progress.message("wrote [a] " + "x" * 50)
    assert console.file.getvalue() == "wrote [a] " + "x" * 50 + "\n"


# summary_table


def test_summary_keeps_long_values_whole():
    console = plain(width=30)
    path = "/runs/" + "long/" * 20 + "[1].mp4"
    summary_table("Done [0]", {"samples": path, "frechet": 12.34567, "steps": 4000}, console=console)
    lines = console.file.getvalue().splitlines()
    assert lines == ["Done [0]", f"samples   {path}", "frechet   12.35", "steps     4000"]
