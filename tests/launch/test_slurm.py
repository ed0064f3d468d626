"""The Slurm script is executed as it is, with shell scripts on the PATH in place of Slurm's own commands."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "configs" / "launch" / "slurm.sbatch"

RECIPE = f"""
import atexit, importlib.util, jax
from ml_collections import ConfigDict

atexit.register(lambda: print(f"process {{jax.process_index()}} of {{jax.process_count()}}"))

def get_config():
    spec = importlib.util.spec_from_file_location("base", {str(ROOT / "configs" / "base.py")!r})
    base = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(base)
    config = base.get_config()
    with config.unlocked():
        config.data.update(size=16, frames=4, fps=4.0, batch_size=4)
        config.model.generator = ConfigDict({{"name": "mlp", "noise_dim": 8, "widths": (16,)}})
        config.model.discriminator = ConfigDict({{"name": "mlp", "widths": (16,)}})
        config.model.encoder = ConfigDict({{"name": "none"}})
        config.objective.penalty_stride = 1
        config.train.log_every = 1
        config.evaluate.update(features="random", clips=4, batch_size=4, every=0)
    return config
"""

# Two processes on this host, with the variables that Slurm gives them; their ids are noted, for signals.
SRUN = """#!/bin/bash
while [[ $1 == -* ]]; do shift; done
status=0
export SLURM_NTASKS=2 SLURM_STEP_NODELIST=localhost SLURM_STEP_NUM_NODES=1
for rank in 0 1; do
    SLURM_PROCID=$rank SLURM_LOCALID=$rank "$@" > "rank$rank.log" 2>&1 &
    pids+=($!)
done
echo "${pids[@]}" > pids
for pid in "${pids[@]}"; do
    wait "$pid"
    code=$?
    ((code > status)) && status=$code
done
exit "$status"
"""


def put(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


@pytest.fixture
def site(tmp_path):
    """A folder with stand-ins for Slurm's commands and a small recipe, and the script's environment there."""
    commands = tmp_path / "bin"
    commands.mkdir()
    put(commands, "srun", SRUN)
    put(commands, "squeue", "#!/bin/bash\necho RUNNING\n")
    put(commands, "scontrol", '#!/bin/bash\necho "$@" >> scontrol.log\n')
    (tmp_path / "tiny.py").write_text(RECIPE)
    drop = re.compile(r"SLURM_|JAX_(NUM_PROCESSES|PROCESS_ID|COORDINATOR)|.*_proxy", re.IGNORECASE)
    env = {k: v for k, v in os.environ.items() if not drop.match(k)}
    path = os.pathsep.join([str(commands), str(Path(sys.executable).parent), env["PATH"]])
    env |= {"PATH": path, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "SLURM_JOB_ID": str(free_job())}
    return tmp_path, env | {"CONFIG": "tiny.py", "WORKDIR": "run"}


def free_job() -> int:
    """A job number whose coordinator port, as JAX derives it, nothing listens on."""
    for job in range(os.getpid(), os.getpid() + 2**12):
        with socket.socket() as probe:
            try:
                probe.bind(("", job % 2**12 + 65535 - 2**12 + 1))
            except OSError:
                continue
            return job
    raise RuntimeError("no free port")


def submit(site, *arguments: str, until: str | None = None, **variables: str) -> int:
    """Runs the script as Slurm would -> exit status. Where `until` is logged, the processes get SIGTERM."""
    folder, env = site
    job = subprocess.Popen(
        ["bash", SCRIPT, *arguments], cwd=folder, env=env | variables, start_new_session=True
    )
    try:
        log, deadline = folder / "run" / "metrics.jsonl", time.monotonic() + 500
        while until and time.monotonic() < deadline and job.poll() is None:
            if log.exists() and until in log.read_text():
                for pid in (folder / "pids").read_text().split():
                    os.kill(int(pid), signal.SIGTERM)
                break
            time.sleep(0.1)
        return job.wait(max(1.0, deadline - time.monotonic()))
    finally:
        try:
            os.killpg(job.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def logs(site) -> str:
    return "\n".join(path.read_text() for path in sorted(site[0].glob("rank*.log")))


def steps(site) -> list[int]:
    """Steps whose training figures were logged, in the order of the file."""
    lines = (site[0] / "run" / "metrics.jsonl").read_text().splitlines()
    return [line["step"] for line in map(json.loads, lines) if "d_loss" in line]


def directives() -> dict[str, str]:
    found = re.findall(r"^#SBATCH --([a-z-]+)(?:=(\S+))?$", SCRIPT.read_text(), re.MULTILINE)
    assert len(found) == len(re.findall(r"^#SBATCH", SCRIPT.read_text(), re.MULTILINE))
    return dict(found)


def test_bash_accepts_it():
    assert subprocess.run(["bash", "-n", SCRIPT]).returncode == 0


def test_directives_stand_before_the_first_command():
    """sbatch reads none after it."""
    lines = SCRIPT.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    assert lines[0] == "#!/bin/bash"
    assert all(i < first for i, line in enumerate(lines) if line.startswith("#SBATCH"))


def test_one_process_a_gpu_signalled_before_the_limit():
    asked = directives()
    assert asked["ntasks-per-node"] == asked["gpus-per-node"]
    assert int(asked["nodes"]) > 1 and "gpus-per-task" not in asked
    assert re.fullmatch(r"TERM@\d+", asked["signal"])  # B: would reach the shell alone, not the processes
    assert "requeue" in asked and asked["open-mode"] == "append"


def test_two_processes_train_one_run(site):
    assert submit(site, "--config.seed=7", STEPS="3") == 0, logs(site)
    for rank in (0, 1):
        assert f"process {rank} of 2" in (site[0] / f"rank{rank}.log").read_text()
    assert steps(site) == [1, 2, 3]
    assert json.loads((site[0] / "run" / "config.json").read_text())["seed"] == 7
    assert [p.parent.name for p in site[0].rglob("metrics.jsonl")] == ["run"]
    assert not (site[0] / "scontrol.log").exists()


@pytest.mark.slow
def test_a_run_stopped_by_the_limit_saves_is_requeued_and_resumes(site):
    assert submit(site, STEPS="3000", until='"step": 3,') == 143, logs(site)
    assert (site[0] / "scontrol.log").read_text() == f"requeue {site[1]['SLURM_JOB_ID']}\n"
    saved = max(int(path.name) for path in (site[0] / "run" / "checkpoints").iterdir())
    assert saved >= 3
    assert submit(site, STEPS=str(saved + 2)) == 0, logs(site)
    assert f"resuming from step {saved}" in logs(site)
    assert steps(site) == list(range(1, saved + 3))


@pytest.mark.parametrize("code, state", [(1, "RUNNING"), (0, "RUNNING"), (143, "COMPLETING"), (143, "")])
def test_not_requeued(site, code, state):
    """A failed or finished run is not, nor a job that Slurm itself is ending."""
    put(site[0] / "bin", "srun", f"#!/bin/bash\nexit {code}\n")
    put(site[0] / "bin", "squeue", f"#!/bin/bash\necho {state}\n")
    assert submit(site) == code
    assert not (site[0] / "scontrol.log").exists()


def test_defaults_and_paths_with_spaces(site):
    put(site[0] / "bin", "srun", '#!/bin/bash\nprintf "%s\\n" "$@" > arguments\n')
    assert submit(site, "--config.seed=1", CONFIG="", WORKDIR="") == 0
    sent = (site[0] / "arguments").read_text().splitlines()
    command = ["python", "-m", "vgm_jax.main", "--config", "configs/base.py", "--workdir", "runs/base"]
    assert sent[sent.index("python") :] == [*command, "--config.seed=1"]
    assert all(word.startswith("--") for word in sent[: sent.index("python")])
    assert submit(site, WORKDIR="my runs/a") == 0
    assert "my runs/a" in (site[0] / "arguments").read_text().splitlines()
