"""A run that is killed, at any moment, and started again ends with the bits of one that was not."""

import random
import signal
import time

import pytest


def steps_logged(workdir):
    try:
        return (workdir / "metrics.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def wait_for(process, condition, seconds=400):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None and time.monotonic() < end, process.log()
        time.sleep(0.002)


def kill_somewhere(launch, workdir, chance, further, *flags):
    """Starts the run, lets it log `further` more steps and write for a moment, and kills it -> its status."""
    goal, end = steps_logged(workdir) + further, time.monotonic() + 400
    process = launch(workdir, *flags)
    while process.poll() is None and steps_logged(workdir) < goal:
        assert time.monotonic() < end, process.log()
        time.sleep(0.002)
    time.sleep(chance.uniform(0, 0.15))  # about the time of a save, of which one is always under way
    process.kill()
    return process.wait()


def assert_equal(workdir, straight, final_state, same_bits):
    assert (workdir / "metrics.jsonl").read_bytes() == (straight / "metrics.jsonl").read_bytes()
    (state, step), (expected, last) = final_state(workdir), final_state(straight)
    assert step == last
    assert same_bits(state, expected)
    assert (workdir / "evaluation.json").read_bytes() == (straight / "evaluation.json").read_bytes()


def test_killed_twice(straight, launch, complete, final_state, same_bits, tmp_path):
    chance = random.Random(1)
    assert kill_somewhere(launch, tmp_path, chance, 4) == -signal.SIGKILL
    logged = steps_logged(tmp_path)
    assert 4 <= logged < 13
    assert kill_somewhere(launch, tmp_path, chance, 2) == -signal.SIGKILL
    log = complete(tmp_path)
    assert "resuming from step " in log
    assert_equal(tmp_path, straight, final_state, same_bits)


@pytest.mark.slow  # in one process: test_loop.py; in two: test_distributed.py
def test_terminated(straight, launch, complete, final_state, same_bits, tmp_path):
    flags = "--config.checkpoint.every=1000", "--config.train.log_every=5"
    process = launch(tmp_path / "run", *flags, "--config.train.steps=1000000")
    wait_for(process, lambda: steps_logged(tmp_path / "run") >= 1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(400) == 128 + signal.SIGTERM == 143
    last_line = process.log().splitlines()[-1]
    step = int(last_line.removeprefix("stopped at step ").split(",")[0])
    assert last_line == f"stopped at step {step}, saved; the same command resumes"
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == [str(step)]
    length = f"--config.train.steps={step + 3}"
    assert f"resuming from step {step} " in complete(tmp_path / "run", *flags, length)
    complete(tmp_path / "whole", *flags, length)
    assert_equal(tmp_path / "run", tmp_path / "whole", final_state, same_bits)


@pytest.mark.slow
def test_killed_ten_times(complete, launch, final_state, same_bits, tmp_path):
    chance, flags = random.Random(2), ("--config.train.steps=60",)
    complete(tmp_path / "whole", *flags)
    killed = 0
    for _ in range(40):
        if kill_somewhere(launch, tmp_path / "run", chance, chance.randint(0, 6), *flags) == -signal.SIGKILL:
            killed += 1
        if killed == 10:
            break
    assert killed == 10
    complete(tmp_path / "run", *flags)
    assert_equal(tmp_path / "run", tmp_path / "whole", final_state, same_bits)
