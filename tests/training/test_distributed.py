"""Two processes of one device each, on this machine, do what one process does."""

import signal
import socket
import time

import numpy as np
import pytest

from vgm_jax.data.pipeline import train_batches
from vgm_jax.data.sources import make_source


@pytest.fixture
def launch_two(launch):
    def start(workdir, *flags):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        cluster = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
        return [launch(workdir, *flags, **cluster, JAX_PROCESS_ID=str(i)) for i in range(2)]

    return start


def test_processes_share_the_batches_of_one(tiny):
    source = make_source(tiny().data, "train")

    def batches(index, count):
        found = train_batches(
            source, batch_size=8, seed=3, start_step=5, process_index=index, process_count=count
        )
        return [next(found) for _ in range(3)]

    for whole, *parts in zip(batches(0, 1), batches(0, 2), batches(1, 2), strict=True):
        for name in whole:
            assert np.array_equal(whole[name], np.concatenate([part[name] for part in parts]))


def test_two_processes_do_what_one_does(straight, launch_two, final_state, lines, tmp_path):
    expected = [line for line in lines(straight) if "d_loss" in line]

    # One of the two is asked to stop: both do, after the same step, and exit alike.
    flags = "--config.checkpoint.every=1000000", "--config.train.show_every=0", "--config.evaluate.every=0"
    processes = launch_two(tmp_path, *flags, "--config.train.steps=1000000")
    end = time.monotonic() + 400
    while not (log := tmp_path / "metrics.jsonl").exists() or log.read_text().count("\n") < 4:
        assert time.monotonic() < end, [p.log() for p in processes]
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGTERM)
    assert [process.wait(600) for process in processes] == [143, 143], [p.log() for p in processes]
    stopped = {p.log().splitlines()[-1] for p in processes}
    assert len(stopped) == 1
    step = int(stopped.pop().removeprefix("stopped at step ").split(",")[0])

    # On to the end: the figures are those of one process, and the first process alone reports them.
    processes = launch_two(tmp_path, *flags, f"--config.train.steps={step + 2}")
    assert [process.wait(600) for process in processes] == [0, 0], [p.log() for p in processes]
    assert [f"resuming from step {step} " in p.log() for p in processes] == [True, False]
    *found, validation = lines(tmp_path)
    assert [line["step"] for line in found] == list(range(1, step + 3))
    assert all(
        line == pytest.approx(e, rel=1e-4, abs=1e-5) for line, e in zip(found[:4], expected, strict=False)
    )
    assert validation["validation/clips"] == 8
    assert len(list(tmp_path.glob("events.*"))) == 2  # one a sitting
    shown = sorted(path.name for path in (tmp_path / "media").iterdir())
    ends = [f"{step + 2:08}{end}" for end in (".gif", ".mp4", ".png")]
    assert shown == [f"{kind}_{end}" for kind in ("real", "samples") for end in ends]
    assert ["test/clips" in p.log() for p in processes] == [True, False]
    assert {path.name for path in tmp_path.glob(".*")} <= {".lock"}
    assert not list(tmp_path.glob("checkpoints/*tmp*"))
    assert final_state(tmp_path)[1] == step + 2  # what two processes saved, one reads
