"""Processes that die: whose fault it is, and what is remembered of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from vgm_jax import cli
from vgm_jax.preparation import prepare as module
from vgm_jax.preparation.prepare import prepare

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
