"""Needs Apache Beam (extra: beam), which needs older packages than the other tests: skipped without it."""

import sys

import pytest

from vgm_jax import cli
from vgm_jax.preparation.prepare import prepare


def visible(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


@pytest.mark.filterwarnings("ignore")  # Beam's own
def test_the_local_runner_finds_the_same_bytes(tmp_path, cheap, settings, save):
    pytest.importorskip("apache_beam")
    for name in ("a", "b", "sound", "late", "segfault", "walk/c"):
        save(tmp_path / "src" / f"{name}.npy")
    runner = {"runner": "DirectRunner", "runner_options": ("--direct_num_workers=1",)}
    summary = prepare(tmp_path / "src", tmp_path / "beam", settings, **runner, process=cheap.process)
    here = prepare(tmp_path / "src", tmp_path / "here", settings, workers=2, process=cheap.process)
    assert visible(tmp_path / "beam") == visible(tmp_path / "here")
    assert summary["clips"] == here["clips"] == 25 and summary["rejected"] == here["rejected"]
    again = prepare(tmp_path / "src", tmp_path / "beam", settings, workers=0, process=cheap.process)
    assert again == summary, "what a runner has finished is finished"


def test_without_beam_it_says_what_to_install(tmp_path, save, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    save(tmp_path / "src" / "a.npy")
    arguments = ["prepare", str(tmp_path / "src"), "--out", str(tmp_path / "out"), "--runner", "DirectRunner"]
    with pytest.raises(SystemExit) as error:
        cli.main(arguments)
    assert "pip install 'vgm_jax[beam]'" in str(error.value.code)
