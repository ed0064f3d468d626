import json
import os
import signal
import time

import jax
import numpy as np
import pytest

from vgm_jax.tasks import build
from vgm_jax.training import loop
from vgm_jax.training.history import AHEAD, History, NonFiniteError, Report
from vgm_jax.training.loop import Interrupted, Run, StopSignals
from vgm_jax.training.partition import Partition
from vgm_jax.training.workdir import WorkdirError, plain


@pytest.fixture
def opened():
    """`opened(task, config, workdir)` -> Run, whose reports are in `.told`; closed with the test."""
    runs = []

    def make(task, config, workdir):
        told = []
        run = Run(task, config, workdir, told.append)
        run.told = told
        runs.append(run)
        return run

    yield make
    for run in runs:
        run.close()


@pytest.fixture
def compiled():
    """Names of the functions that were compiled, as they are."""
    names = []

    def note(event, seconds, **about):
        if event.endswith("backend_compile_duration"):
            names.append(about.get("fun_name"))

    jax.monitoring.register_event_duration_secs_listener(note)
    yield names
    jax.monitoring.unregister_event_duration_listener(note)


UPDATES = ("jit(update)", "jit(_fun)")  # what the compiled update is called, under jit and under pmap


@pytest.fixture
def interruptible():
    """As a shell starts what is not in its background, where interrupts are ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


# What a run leaves


def test_a_task_that_is_no_gan(quadratic, recipe, opened, lines, tmp_path):
    task = quadratic()
    config = recipe(**{"train.steps": 6, "train.log_every": 3, "train.show_every": 4, "evaluate.every": 4})
    run = opened(task, config, tmp_path)
    run.train()
    assert task.shown == task.evaluated == [4, 6]
    train, early, last, validation = lines(tmp_path)
    assert [line["step"] for line in (train, early, last, validation)] == [3, 4, 6, 6]
    assert set(train) == {"step", "loss", "target"} and last["loss"] < train["loss"]
    assert validation == {"step": 6, "validation/distance": 1.0, "validation/clips": 8.0}
    assert sorted(path.name for path in (tmp_path / "media").iterdir() if path.suffix == ".mp4") == [
        "seen_00000004.mp4",
        "seen_00000006.mp4",
    ]
    figures = run.evaluate()
    assert figures == {"test/distance": 1.0, "test/clips": 8.0, "step": figures["step"]}
    record = json.loads((tmp_path / "evaluation.json").read_text())
    protocol = record.pop("protocol")
    assert record == figures and protocol["distance"] == "made up"
    assert protocol["batches"]["count"] == 8 and protocol["batches"]["source"]["split"] == "test"
    assert json.loads((tmp_path / "config.json").read_text())["train"]["steps"] == 6


def test_the_last_and_the_best_by_validation(quadratic, recipe, opened, tmp_path):
    task = quadratic(distances={2: 3.0, 3: 0.5, 4: 0.75, 5: 0.6})
    run = opened(task, recipe(**{"train.steps": 6, "evaluate.every": 1, "checkpoint.keep": 2}), tmp_path)
    run.train()
    assert run.checkpoints.steps == [3, 5, 6]
    assert run.evaluate()["step"] == 3
    assert task.evaluated[-1] == 3


def test_shown_and_evaluated_at_the_end_only(quadratic, recipe, opened, tmp_path):
    task = quadratic()
    opened(task, recipe(**{"train.steps": 3, "train.show_every": 0, "evaluate.every": 0}), tmp_path).train()
    assert task.shown == task.evaluated == [3]


def test_nothing_to_evaluate(quadratic, recipe, opened, tmp_path):
    with pytest.raises(WorkdirError, match="has no checkpoint to evaluate; train first"):
        opened(quadratic(), recipe(), tmp_path).evaluate()


def test_splits_without_clips(quadratic, recipe, opened, tmp_path, monkeypatch):
    """Without validation there is no run; without test, no closing figures."""
    task, sources = quadratic(), Run._opened
    empty = lambda name: lambda run, split: [] if split == name else sources(run, split)  # noqa: E731
    monkeypatch.setattr(Run, "_open", lambda run, split: [])
    with pytest.raises(ValueError, match="the training split has no clip: give more data"):
        opened(task, recipe(), tmp_path)
    monkeypatch.undo()
    run = opened(task, recipe(**{"train.steps": 2, "evaluate.every": 0}), tmp_path)
    monkeypatch.setattr(Run, "_opened", empty("validation"))
    with pytest.raises(ValueError, match="validation has no clip: give more data"):
        run.train()
    monkeypatch.setattr(Run, "_opened", empty("test"))
    run.train()
    assert run.evaluate() == {"step": 2} and run.told[-1] == "test has no clip: nothing is evaluated"
    assert not (tmp_path / "evaluation.json").exists()


# Refusals, before anything is written


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("train.steps", 0, "train.steps=0 must be at least 1"),
        ("train.log_every", 0, "train.log_every=0 must be at least 1"),
        ("checkpoint.every", 0, "checkpoint.every=0 must be at least 1"),
        ("train.minutes", -1.0, "train.minutes=-1.0"),
        ("checkpoint.minutes", (0.0, 1.0), "checkpoint.minutes=.0.0, 1.0. above 0"),
        ("data.batch_size", 0, "data.batch_size=0 must be a positive multiple"),
        ("partition.mode", "none", "partition.mode='none' is unknown"),
        ("partition.model", 3, "partition.model=3 must divide"),
    ],
)
def test_a_value_that_cannot_be(quadratic, recipe, tmp_path, key, value, message):
    with pytest.raises(ValueError, match=message):
        Run(quadratic(), recipe(**{key: value}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_folder_of_a_model_alone_is_no_workdir(quadratic, recipe, opened, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(plain(recipe(seed=3))))
    with pytest.raises(WorkdirError, match="seed: 3 -> 0"):
        opened(quadratic(), recipe(), tmp_path)


def test_another_config_is_refused(quadratic, recipe, opened, tmp_path):
    opened(quadratic(), recipe(), tmp_path).train()
    with pytest.raises(WorkdirError, match="seed: 0 -> 3"):
        opened(quadratic(), recipe(seed=3), tmp_path)


# Resuming


@pytest.fixture
def reference(quadratic, recipe, opened, tmp_path):
    """An undisturbed run of 9 updates, logged every fourth."""
    run = opened(quadratic(), recipe(**{"train.steps": 9, "train.log_every": 4}), tmp_path / "reference")
    run.train()
    return run


def equal(run, reference, same_bits):
    (state, step), (expected, last) = run.restore(), reference.restore()
    metrics = [(r.workdir / "metrics.jsonl").read_bytes() for r in (run, reference)]
    return step == last and same_bits(state, expected) and metrics[0] == metrics[1]


def test_asked_to_stop_between_two_lines_of_the_log(
    reference, quadratic, recipe, opened, tmp_path, same_bits, monkeypatch, interruptible
):
    """The figures since the last line are not lost either, and the signal handlers are given back."""
    config = recipe(**{"train.steps": 9, "train.log_every": 4, "checkpoint.every": 100})
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    for number, code, stop in ((signal.SIGTERM, 143, 3), (signal.SIGINT, 130, 6)):
        batches = loop.train_batches

        def interrupting(*args, number=number, stop=stop, batches=batches, **kwargs):
            for step, batch in enumerate(batches(*args, **kwargs), kwargs["start_step"] + 1):
                if step == stop:
                    os.kill(os.getpid(), number)
                yield batch

        with monkeypatch.context() as patch:
            patch.setattr(loop, "train_batches", interrupting)
            run = opened(quadratic(), config, tmp_path / "run")
            with pytest.raises(Interrupted, match=f"stopped at step {stop}, saved") as stopped:
                run.train()
        assert stopped.value.code == code
        assert run.checkpoints.steps[-1] == stop
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
    run = opened(quadratic(), config, tmp_path / "run")
    run.train()
    assert run.told == [f"resuming from step 6 in {tmp_path / 'run'}"]
    assert equal(run, reference, same_bits)


def test_a_longer_run_continues_a_shorter_one(reference, quadratic, recipe, opened, tmp_path, same_bits):
    for steps, every in ((4, 2), (7, 3), (9, 1)):
        changes = {"train.steps": steps, "checkpoint.every": every, "train.log_every": 4}
        run = opened(quadratic(), recipe(**changes), tmp_path / "run")
        run.train()
    assert same_bits(run.restore()[0], reference.restore()[0])
    again = opened(quadratic(), recipe(**changes), tmp_path / "run")
    again.train()
    assert again.told[-1] == "the run is at step 9 of 9: nothing left to train"


def test_training_goes_on_after_a_torn_checkpoint(reference, quadratic, recipe, opened, tmp_path, same_bits):
    config = recipe(**{"train.steps": 9, "train.log_every": 4, "checkpoint.keep": 3})
    first = opened(quadratic(), config, tmp_path / "run")
    first.train()
    assert first.checkpoints.steps == [7, 8, 9]
    for step in (8, 9):
        for path in (tmp_path / "run" / "checkpoints" / str(step) / "state").rglob("*"):
            if path.is_file():
                path.write_bytes(path.read_bytes()[:20])
    run = opened(quadratic(), config, tmp_path / "run")
    run.train()
    assert [told.split(" (")[0] for told in run.told] == [
        "checkpoint 9 cannot be read",
        "checkpoint 8 cannot be read",
        f"resuming from step 7 in {tmp_path / 'run'}",
    ]
    assert run.checkpoints.steps == [7, 8, 9]
    assert equal(run, reference, same_bits)


def test_an_evaluation_does_not_rewrite_what_run_it_is(quadratic, recipe, opened, tmp_path):
    longer = {"train.steps": 4, "checkpoint.best": "distance"}
    opened(quadratic(), recipe(**longer), tmp_path).train()
    before = (tmp_path / "config.json").read_text()
    opened(quadratic(), recipe(), tmp_path).evaluate()
    assert (tmp_path / "config.json").read_text() == before
    with pytest.raises(WorkdirError, match="no checkpoint to evaluate"):
        opened(quadratic(), recipe(), tmp_path / "none").evaluate()
    assert not (tmp_path / "none").exists()


def test_what_is_held_out_is_opened_before_anything_is_learnt(quadratic, recipe, opened, tmp_path):
    """A split that is missing is said at once, not after hours, and nothing saved."""
    run = opened(quadratic(), recipe(), tmp_path)
    open_split = run._open

    def missing(split):
        if split == "test":
            raise FileNotFoundError("there is no test.npy")
        return open_split(split)

    run._open = missing
    with pytest.raises(FileNotFoundError, match="test.npy"):
        run.train()
    assert run.task.evaluated == [] and run.checkpoints.steps == []


# By the clock


@pytest.fixture
def slow(quadratic):
    """`slow(seconds, at)`: validation of step `at` takes so long."""

    class Slow(quadratic):
        def __init__(self, seconds, at):
            super().__init__()
            self.seconds, self.at = seconds, at

        def evaluate(self, state, batches, key):
            if int(state.step) == self.at:
                time.sleep(self.seconds)
            return super().evaluate(state, batches, key)

    return Slow


@pytest.fixture
def paced(monkeypatch):
    """Batches that take 50 ms each, so that minutes pass by updates."""
    batches = loop.train_batches

    def wait(*args, **kwargs):
        for batch in batches(*args, **kwargs):
            time.sleep(0.05)
            yield batch

    monkeypatch.setattr(loop, "train_batches", wait)


def test_a_sitting_ends_by_the_clock_and_the_next_goes_on(quadratic, recipe, opened, paced, tmp_path):
    config = recipe(**{"train.steps": 10**6, "train.minutes": 2 / 60, "checkpoint.every": 10**6})
    task = quadratic()
    first = opened(task, config, tmp_path)
    first.train()
    (last,) = first.checkpoints.steps
    assert 1 < last <= 40  # two seconds of 50 ms updates
    assert task.evaluated == task.shown == [last]
    assert 2.0 <= first.checkpoints.seconds(last) < first.seconds
    second = opened(quadratic(), config, tmp_path)
    second.train()
    assert second.checkpoints.steps[-1] > last


def test_a_run_whose_steps_are_done_ends_before_its_minutes(quadratic, recipe, opened, tmp_path):
    run = opened(quadratic(), recipe(**{"train.steps": 3, "train.minutes": 10.0}), tmp_path)
    run.train()
    assert run.checkpoints.steps[-1] == 3


def test_checkpoints_by_the_clock(quadratic, recipe, opened, paced, tmp_path):
    first = opened(quadratic(), recipe(**{"train.steps": 2}), tmp_path / "timed")  # how long it compiles
    first.train()
    base = first.checkpoints.seconds(2) + 0.3
    marks = (base / 60, (base + 0.5) / 60, (base + 1.0) / 60)
    config = recipe(
        **{
            "train.steps": 10**6,
            "train.minutes": (base + 1.5) / 60,
            "checkpoint.every": 10**6,
            "checkpoint.minutes": marks,
            "checkpoint.keep": 9,
        }
    )
    run = opened(quadratic(), config, tmp_path / "run")
    run.train()
    steps, seconds = run.checkpoints.steps, [run.checkpoints.seconds(s) for s in run.checkpoints.steps]
    assert len(steps) == 4 and seconds == sorted(seconds)
    assert all(now >= 60 * mark for now, mark in zip(seconds, marks, strict=False))


def test_validation_is_not_on_the_clock(slow, recipe, opened, tmp_path):
    config = recipe(**{"train.steps": 4, "evaluate.every": 2, "checkpoint.keep": 4})
    run = opened(slow(3.0, at=2), config, tmp_path)
    run.train()
    assert run.evaluating >= 3.0
    before, after = run.checkpoints.seconds(2), run.checkpoints.seconds(4)
    assert after - before < 2.5


# Numbers that are none


def test_a_loss_that_is_no_number(quadratic, recipe, opened, lines, tmp_path):
    run = opened(quadratic(nan_loss=5), recipe(**{"checkpoint.every": 2}), tmp_path)
    with pytest.raises(NonFiniteError) as error:
        run.train()
    assert "training stopped: step 5: loss not finite; the last good checkpoint is step 4" in str(error.value)
    assert str(run.checkpoints.directory) in str(error.value)
    assert run.checkpoints.steps == [2, 4]
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3, 4]


def test_no_checkpoint_yet(quadratic, recipe, opened, tmp_path):
    run = opened(quadratic(nan_loss=1), recipe(), tmp_path)
    with pytest.raises(NonFiniteError, match="step 1: loss not finite; there is no checkpoint yet"):
        run.train()
    assert run.checkpoints.steps == []
    # Nothing was learnt: another try, of another config and other data, finds nothing in its way.
    left = [tmp_path / name for name in ("vocabulary.json", "media/real_00000001.png")]
    for file in left:
        file.parent.mkdir(exist_ok=True)
        file.write_text("[]")
    again = opened(quadratic(), recipe(seed=3, **{"data.batch_size": 16}), tmp_path)
    again.train()
    assert json.loads((tmp_path / "config.json").read_text())["seed"] == 3
    assert not any(file.exists() for file in left)


@pytest.mark.parametrize("every, stopped", [(1, "step 5: state.x"), (100, "step 6: loss")])
def test_a_state_that_is_no_number_is_not_saved(quadratic, recipe, opened, tmp_path, every, stopped):
    """Of update 5 the loss is finite, but the gradient is not."""
    run = opened(quadratic(nan_x=5), recipe(**{"checkpoint.every": every}), tmp_path)
    with pytest.raises(NonFiniteError, match=f"{stopped} not finite"):
        run.train()
    assert run.checkpoints.steps == ([3, 4] if every == 1 else [])


# Speed


class Watched:
    """Values that note when they are read."""

    def __init__(self, step, started, read, values):
        self.step, self.started, self.read, self.values = step, started, read, values

    def __array__(self, dtype=None, copy=None):
        self.read.append((self.step, self.started[-1]))
        return np.asarray(self.values, dtype)


def test_figures_are_read_late():
    started, read, logged = [0], [], []
    history = History(2, lambda step, values: logged.append((step, values)))
    for step in range(1, 8):
        started.append(step)
        values = Watched(step, started, read, [[step, 3.0], [1.0, 2.0]])
        history.add(step, Report(values, ("a", "b")))
    assert AHEAD >= 1
    assert read == [(step, step + AHEAD) for step in range(1, 8 - AHEAD)]
    assert logged == [(2, {"a": 1.5, "b": 1.5}), (4, {"a": 3.5, "b": 1.5})]
    history.read()
    assert read[5:] == [(6, 7), (7, 7)]
    assert history.sums.tolist() == [[7.0, 3.0], [1.0, 2.0]]


def test_a_figure_that_no_update_had_is_not_logged():
    logged = []
    history = History(2, lambda step, values: logged.append((step, values)))
    for step, count in enumerate((0.0, 0.0, 1.0, 0.0), 1):
        history.add(step, Report(np.array([[2.0, 3.0 * count], [1.0, count]]), ("always", "at times")))
    history.read()
    assert logged == [(2, {"always": 2.0}), (4, {"always": 2.0, "at times": 3.0})]


def test_what_is_left_at_the_end_is_logged_and_stays_to_be_continued():
    logged = []
    history = History(2, lambda step, values: logged.append((step, values)))
    for step in (1, 2, 3):
        history.add(step, Report(np.array([[float(step)], [1.0]]), ("a",)))
    history.read()
    history.rest(3)
    assert logged == [(2, {"a": 1.5}), (3, {"a": 3.0})] and history.sums.tolist() == [[3.0], [1.0]]
    history.add(4, Report(np.array([[5.0], [1.0]]), ("a",)))
    history.read()
    history.rest(4)
    assert logged[2:] == [(4, {"a": 4.0})]


def test_a_run_shorter_than_its_log_tells_its_loss(quadratic, recipe, opened, lines, tmp_path):
    opened(quadratic(), recipe(**{"train.steps": 3, "train.log_every": 50}), tmp_path).train()
    assert [line["step"] for line in lines(tmp_path) if "loss" in line] == [3]


def test_what_was_learnt_is_not_lost_with_a_look_at_it(quadratic, recipe, opened, tmp_path, monkeypatch):
    task = quadratic()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(task, "show", full)
    run = opened(task, recipe(**{"train.steps": 5, "checkpoint.every": 100}), tmp_path)
    with pytest.raises(OSError, match="No space left"):
        run.train()
    assert run.checkpoints.steps == [5] and run.checkpoints.best_step == 5, "nor what was measured"


def test_what_a_run_started_from_may_be_gone(quadratic, recipe, opened, tmp_path):
    """It is asked for once; from then on it is in the run's own checkpoints."""

    class Started(quadratic):
        start = "another run"

        def init(self, key, batch):
            if self.start and gone:
                raise FileNotFoundError(self.start)
            return super().init(key, batch)

    gone = False
    opened(Started(), recipe(**{"train.steps": 2}), tmp_path).train()
    gone = True
    run = opened(Started(), recipe(**{"train.steps": 4}), tmp_path)
    run.train()
    assert run.evaluate()["step"] == 4 and run.task.start == "another run"
    with pytest.raises(FileNotFoundError):
        opened(Started(), recipe(), tmp_path / "new").train()


def test_the_loop_waits_for_no_figure(quadratic, recipe, opened, tmp_path, monkeypatch):
    started, read, compile_ = [0], [], Partition.compile

    def watched(self, step, state):
        update = compile_(self, step, state)

        def call(state, batch, key):
            state, report = update(state, batch, key)
            started.append(started[-1] + 1)
            return state, report.replace(values=Watched(started[-1], started, read, report.values))

        return call

    monkeypatch.setattr(Partition, "compile", watched)
    config = recipe(**{"train.steps": 8, "checkpoint.every": 5, "train.log_every": 1})
    opened(quadratic(), config, tmp_path).train()
    assert [step for step, _ in read] == list(range(1, 9))
    pauses = (5, 8)  # where the state is saved, which waits for it anyway
    assert all(now == min(step + AHEAD, *(p for p in pauses if p >= step)) for step, now in read)


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_an_update_is_compiled_once(quadratic, recipe, opened, tmp_path, compiled, mode):
    task = quadratic()
    run = opened(task, recipe(**{"partition.mode": mode, "checkpoint.every": 2}), tmp_path)
    run.train()
    assert task.traced == 1
    before = len(compiled)
    longer = opened(
        task, recipe(**{"partition.mode": mode, "checkpoint.every": 2, "train.steps": 24}), tmp_path
    )
    longer.train()
    updates = [name for name in compiled[before:] if name in UPDATES]
    assert len(updates) == 1, compiled[before:]


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_early_updates_have_a_program_of_their_own(quadratic, recipe, opened, tmp_path, same_bits, mode):
    """Compiled first; the other one meanwhile, and only where it is needed; resumed in between, the same."""

    class Early(quadratic):
        def early(self):
            return 3, self.simple

    def make():
        task = Early()
        task.simple = quadratic()
        return task

    changes = {"partition.mode": mode, "checkpoint.every": 2, "checkpoint.keep": 9}
    task = make()
    run = opened(task, recipe(**changes, **{"train.steps": 6}), tmp_path / "whole")
    run.train()
    assert task.traced == task.simple.traced == 1
    short = make()
    opened(short, recipe(**changes, **{"train.steps": 2}), tmp_path / "parts").train()
    assert (short.traced, short.simple.traced) == (0, 1)
    parts = opened(make(), recipe(**changes, **{"train.steps": 6}), tmp_path / "parts")
    parts.train()
    assert same_bits(*(x.restore()[0] for x in (run, parts)))
    late = make()
    opened(late, recipe(**changes, **{"train.steps": 8}), tmp_path / "parts").train()
    assert (late.traced, late.simple.traced) == (1, 0)


def test_an_update_of_the_gan_is_compiled_once(tiny, opened, tmp_path, compiled, monkeypatch):
    config = tiny()
    config.train.steps = 5
    config.checkpoint.every = 2
    task, calls = build(config), []
    monkeypatch.setattr(task, "evaluate", lambda *_: {})
    monkeypatch.setattr(task, "show", lambda *_: {})
    step = task.train_step
    monkeypatch.setattr(task, "train_step", lambda *a: calls.append(0) or step(*a))
    opened(task, config, tmp_path).train()
    assert len(calls) == 1
    assert len([name for name in compiled if name in UPDATES]) == 1


def test_the_clock_counts_waiting_from_the_second_batch_on():
    def slow():
        for seconds in (0.2, 0.0, 0.1):
            time.sleep(seconds)
            yield seconds

    clock = loop._Clock(slow())
    assert clock.waited_fraction == 0.0
    assert [clock.next() for _ in range(3)] == [0.2, 0.0, 0.1]
    time.sleep(0.1)
    assert 0.3 < clock.waited_fraction < 0.6


# Signals


def test_a_second_interrupt_is_obeyed(interruptible):
    with StopSignals() as signals:
        assert not signals.agreed(1)
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.agreed(2) and signals.received == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_after_being_asked_to_end_the_first_interrupt_is_noted(interruptible):
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.agreed(1)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)


def test_an_interrupt_that_is_ignored_stays_so(interruptible):
    """As of a run that a script has put behind itself: Ctrl-C is for what runs before it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert not signals.agreed(1)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.agreed(2) and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
