"""The program as a process: what it prints, what it exits with. One interpreter forks a child a case."""

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import pytest

ROOT = Path(__file__).parents[1]
TINY = Path(__file__).with_name("training") / "tiny.py"

# Imports once, before any backend is up; each child is then what `python -m vgm_jax.main` would be.
FORKER = """
import json, os, runpy, sys, traceback
import vgm_jax.inference.files, vgm_jax.tasks, vgm_jax.training.loop, vgm_jax.training.runtime

def child(case, out):
    os.dup2(os.open(out + ".out", os.O_CREAT | os.O_WRONLY), 1)
    os.dup2(os.open(out + ".err", os.O_CREAT | os.O_WRONLY), 2)
    os.environ["XLA_FLAGS"] += case["xla"]
    sys.argv = ["vgm_jax.main", *case["arguments"]]
    code = 0
    try:
        runpy.run_module("vgm_jax.main", run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

for name, case in json.loads(sys.argv[1]).items():
    pid = os.fork()
    if pid == 0:
        child(case, name)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(json.dumps([name, code]), flush=True)
"""

ERRORS = {
    "no config": [[], "--config is missing; try --config configs/base.py"],
    "config file": [["--config=nowhere.py"], "nowhere.py"],
    "flag": [["--workdri=x"], "workdri"],
    "key": [
        ["--config.data.sise=3"],
        "no 'sise' in config.data, which holds",
    ],
    "deep key": [["--config.seed.x=3"], "there is no 'x' in config.seed, which holds nothing: it is a value"],
    "value": [["--config.train.steps=many"], "many"],
    "mode": [["--mode=dance"], "train|evaluate|sample"],
    "argument": [["configs/base.py"], "unexpected arguments: configs/base.py"],
    "field": [["--config.model.generator.widht=3"], "model.generator (mlp) has no widht; its settings are"],
    "new section": [["--config.model.generatr.width=3"], "no 'generatr' in config.model"],
    "fps": [["--config.data.fps=0"], "data.fps=0.0 must be positive"],
    "side": [["--config.data.size=0"], "data.size=0 must be at least 1"],
    "validation": [["--config.evaluate.clips=0"], "evaluate.clips=0 must be at least 1; evaluate.every=0"],
    "stride": [["--config.objective.judge_stride=0"], "objective.judge_stride=0 must be at least 1"],
    "network": [["--config.model.generator.name=unet"], "choose one of continuous, mlp"],
    "source": [["--config.data.source=films"], "choose one of shapeshow"],
    "kind": [["--config.model.generator.channels=false"], "channels=False must be a whole number"],
    "known": [["--config.task=masked_video", "--config.objective.augment=colour"], "does not know objective"],
    "frames": [
        ["--config.data.frames=1", "--config.evaluate.features=transnet"],
        "evaluate.features has 'transnet', which needs clips of 2 frames",
    ],
    "steps": [["--config.train.steps=0"], "train.steps=0 must be at least 1"],
    "batch": [["--config.data.batch_size=12"], "multiple of the 8 device(s)"],
    "unwritable": [[f"--workdir={TINY}/run"], "run cannot be written (Not a directory); choose another"],
    "no run": [["--mode=sample"], "is not the workdir of a run"],
    "untrained": [["--mode=evaluate"], "no checkpoint to evaluate; train first"],
}
TYPO = """
import runpy
def get_config():
    config = runpy.run_path("BASE")["get_config"]()
    config.optimizer.generator_rte = 1e-4
    return config
""".replace("BASE", str(ROOT / "configs" / "base.py"))
BARE = ("no config", "config file")  # cases that bring their own --config, or none


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """`run({name: (arguments, XLA flags)}) -> {name: (exit status, stdout, stderr)}`"""

    def start(cases):
        folder = tmp_path_factory.mktemp("cases")
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "JAX_PLATFORMS": "cpu",
            **{name: os.environ[name] for name in ("JAX_DISABLE_MOST_OPTIMIZATIONS", "XLA_FLAGS")},
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore::RuntimeWarning",  # of JAX, that it does not like forks
        }
        spec = {
            str(folder / f"case{i}"): {"arguments": arguments, "xla": xla}
            for i, (arguments, xla) in enumerate(cases.values())
        }
        command = [sys.executable, "-c", FORKER, json.dumps(spec)]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        codes = dict(json.loads(line) for line in done.stdout.splitlines())
        files = [(Path(f"{path}.out"), Path(f"{path}.err")) for path in spec]
        results = (
            (code, *(file.read_text() for file in pair))
            for code, pair in zip(codes.values(), files, strict=True)
        )
        return dict(zip(cases, results, strict=True))

    return start


@pytest.fixture(scope="module")
def errors(run):
    cases = {}
    for name, (arguments, _) in ERRORS.items():
        own = [] if name in BARE else [f"--config={TINY}"]
        xla = " --xla_force_host_platform_device_count=8" if name == "batch" else ""
        cases[name] = ([*own, *arguments], xla)
    return run(cases)


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_one_line_that_says_what_to_do(errors, name):
    code, out, err = errors[name]
    assert code == 1 and out == ""
    assert err.startswith("error: ") and "Traceback" not in err, err
    assert ERRORS[name][1] in err
    assert len(err.splitlines()) == 1, err


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return tmp_path_factory.mktemp("program") / "run"


@pytest.fixture(scope="module")
def session(run, workdir):
    """A run, and what is done with it, one after the other."""
    recipe = [f"--config={TINY}", f"--workdir={workdir}", "--config.train.steps=2"]
    # Fields that the recipe does not name.
    recipe += ["--config.model.discriminator.dropout=0.2", "--config.model.generator.dtype=float32"]
    clip = workdir.parent / "clip.mp4"
    sampling = ["--mode=sample", "--n=2", "--frames=5", "--fps=8", f"--out={clip}"]
    return run(
        {
            "train": (recipe, ""),
            "again": (recipe, ""),
            "sample": ([*recipe, *sampling], ""),
            "grid": ([*recipe, "--mode=sample", "--seed=5"], ""),
            "evaluate": ([*recipe, "--mode=evaluate", "--config.evaluate.clips=6"], ""),
            "another": ([*recipe, "--config.data.fps=2.0"], ""),
        }
    )


def frames_of(path):
    with av.open(str(path)) as file:
        return sum(1 for _ in file.decode(video=0)), float(file.streams.video[0].average_rate)


def test_training_fills_the_workdir(session, workdir):
    code, out, err = session["train"]
    assert code == 0, err
    names = {path.name for path in workdir.iterdir()}
    assert {"config.json", "metrics.jsonl", "media", "checkpoints", "evaluation.json"} <= names
    assert any(name.startswith("events.") for name in names)
    assert "test/frechet/random" in out and str(workdir / "metrics.jsonl") in out
    assert {path.suffix for path in (workdir / "media").iterdir()} >= {".mp4", ".gif", ".png"}
    assert json.loads((workdir / "config.json").read_text())["model"]["discriminator"]["dropout"] == 0.2
    assert any("d_loss" in json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines())


def test_a_finished_run_has_nothing_left_to_train(session):
    code, out, err = session["again"]
    assert code == 0, err
    assert "the run is at step 2 of 2: nothing left to train" in out
    assert "test/frechet/random" in out, "and is measured again"


def test_sampling_writes_the_file_that_is_asked_for(session, workdir):
    code, out, err = session["sample"]
    clip = workdir.parent / "clip.mp4"
    assert code == 0, err
    assert out.splitlines()[-1] == str(clip)
    assert frames_of(clip) == (5, 8.0)


def test_sampling_goes_to_media_by_default(session, workdir):
    code, out, err = session["grid"]
    assert code == 0, err
    assert out.splitlines()[-1] == str(workdir / "media" / "sample_5.mp4")
    assert frames_of(workdir / "media" / "sample_5.mp4") == (4, 4.0)


def test_evaluating_writes_the_figures(session, workdir):
    code, out, err = session["evaluate"]
    assert code == 0, err
    figures = json.loads((workdir / "evaluation.json").read_text())
    assert figures["step"] == 2 and figures["test/clips"] == 6 and figures["test/frechet/random"] > 0
    assert "test/frechet/random" in out


def test_another_config_is_refused(session):
    code, _, err = session["another"]
    assert code == 1 and err.startswith("error: ")
    assert "data.fps: 4.0 -> 2.0" in err and "Traceback" not in err


def test_a_typo_in_a_recipe_of_ones_own(run, tmp_path):
    (tmp_path / "mine.py").write_text(TYPO)
    ((code, _, err),) = run({"typo": ([f"--config={tmp_path / 'mine.py'}"], "")}).values()
    assert code == 1 and "generator_rte" in err and "Traceback" not in err and len(err.splitlines()) == 1, err


def test_the_command_itself():
    """A whole process, once, of the module and of the console script's."""
    command = [sys.executable, "-m", "vgm_jax.main", f"--config={TINY}", "--config.model.nothing=1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith(
        "error: --config.model.nothing: there is no 'nothing'"
    )
    done = subprocess.run([sys.executable, "-m", "vgm_jax.cli", "--version"], cwd=ROOT, capture_output=True)
    assert done.returncode == 0 and done.stdout.decode().strip()
