"""Processes that die: whose fault it is, and what is remembered of it."""

import errno
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import av
import pytest

from vgm_jax import cli
from vgm_jax.data.decode import DecodeError
from vgm_jax.preparation import prepare as module
from vgm_jax.preparation import workers
from vgm_jax.preparation.prepare import prepare
from vgm_jax.preparation.records import is_passing

UNGUARDED = """
import sys
sys.path.insert(0, {here!r})
import cheap
from vgm_jax.preparation.prepare import prepare
from vgm_jax.preparation.records import Settings

prepare({src!r}, {out!r}, Settings(size=8, fps=8.0, frames=4), workers=1, process=cheap.process)
"""


def test_a_script_that_starts_itself_again_and_again_is_told_so(tmp_path, save):
    save(tmp_path / "src" / "a.npy")
    script = tmp_path / "script.py"
    places = {"src": str(tmp_path / "src"), "out": str(tmp_path / "out")}
    script.write_text(UNGUARDED.format(here=str(Path(__file__).parent), **places))
    run = subprocess.run([sys.executable, "-W", "ignore", str(script)], capture_output=True, text=True)
    assert "RuntimeError: a worker process cannot start" in run.stderr and run.returncode
    assert '`if __name__ == "__main__":`' in run.stderr
    assert not list((tmp_path / "out" / ".prepare" / "sources").iterdir()), "no fault of the video"


def test_what_was_killed_for_want_of_memory_is_tried_by_the_next_run(tmp_path, cheap, settings, save):
    save(tmp_path / "src" / "a.npy")
    save(tmp_path / "src" / "huge.npy")
    given = {"workers": 1, "process": cheap.process}
    first = prepare(tmp_path / "src", tmp_path / "out", settings, **given)
    assert first["used"] == 1 and first["rejected"] == {"damaged": 1}
    assert "want of memory: run it again" in (tmp_path / "out" / "rejected.jsonl").read_text()
    (tmp_path / "src" / "huge.more").touch()  # there is room now
    second = prepare(tmp_path / "src", tmp_path / "out", settings, **given)
    assert second["used"] == 2 and not second["rejected"]


def test_an_interruption_is_one_line(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "prepare", interrupted)
    with pytest.raises(SystemExit, match="^vgm prepare: interrupted$"):
        cli.main(["prepare", str(tmp_path), "--out", str(tmp_path / "out")])


def test_the_time_that_a_run_was_stopped_is_no_fault_of_a_video(tmp_path, cheap, monkeypatch):
    stopped, ended = [0.0], {}
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + sum(stopped))
    monkeypatch.setattr(workers, "time", clock)
    (tmp_path / "quick").touch()
    jobs = [tmp_path / "slow", tmp_path / "quick"]
    for index, failure in workers.run(jobs, cheap.wait_for, 2, [600.0, 600.0]):
        ended[jobs[index].name] = failure
        if not jobs[0].exists():
            stopped.append(1e4)
            threading.Timer(1.5, jobs[0].touch).start()
    assert ended == {"quick": None, "slow": None}


def test_what_failed_for_the_machine_is_tried_by_the_next_run(tmp_path, cheap, settings, save, monkeypatch):
    monkeypatch.setenv("CHEAP_LOG", str(tmp_path / "log"))
    for name in ("a", "full"):
        save(tmp_path / "src" / f"{name}.npy")
    for _ in range(2):
        prepare(tmp_path / "src", tmp_path / "out", settings, workers=0, process=cheap.process)
    assert sorted((tmp_path / "log").read_text().split()) == ["a.npy", "full.npy", "full.npy"]


def test_what_is_the_fault_of_the_machine():
    def wrapped(error):
        try:
            try:
                raise error
            except OSError:
                raise DecodeError("a.mp4", "damaged") from None
        except DecodeError as outer:
            return outer

    assert is_passing(MemoryError()) and is_passing(OSError(errno.EIO, ""))
    assert is_passing(av.error.OSError(errno.EIO, "")) and is_passing(wrapped(OSError(errno.EIO, "")))
    assert not is_passing(wrapped(OSError("truncated"))) and not is_passing(DecodeError("a.mp4", "damaged"))
