import io
import itertools
import threading
from types import SimpleNamespace

import av
import imageio.v3 as iio
import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vgm_jax
from vgm_jax import cli
from vgm_jax.inference import files
from vgm_jax.inference.conditions import in_windows
from vgm_jax.inference.generator import chunk_times
from vgm_jax.inference.measuring import evaluate_files
from vgm_jax.tasks import build
from vgm_jax.training import runtime
from vgm_jax.training.loop import Run
from vgm_jax.training.workdir import WorkdirError


@pytest.fixture(scope="module")
def train(tiny, unlearnt, tmp_path_factory):
    """`train(networks) -> workdir` of a run of two updates, which teach nothing."""

    def run(networks):
        config = tiny(networks)
        with config.unlocked():
            config.objective.penalty = "none"
            config.train.update(steps=2)
            config.evaluate.every = 0
        workdir = tmp_path_factory.mktemp(networks)
        opened = Run(unlearnt(build(config)), config, workdir, report=lambda _: None)
        opened.train()
        opened.close()
        return workdir

    return run


@pytest.fixture(scope="module")
def workdir(train):
    return train("continuous")


@pytest.fixture(scope="module")
def model(workdir):
    return vgm_jax.load(workdir)


@pytest.fixture(scope="module")
def mlp(train):
    return vgm_jax.load(str(train("mlp")))


@pytest.fixture(scope="module")
def clip(model):
    """One sample of 20 frames at the data's rate, 4 a second: five motion codes long."""
    return model.sample(3, frames=20)[0]


def near(a, b):
    """Within one grey level."""
    assert a.shape == b.shape
    return np.abs(a.astype(int) - b.astype(int)).max() <= 1


# Samples


def test_samples_are_clips(model):
    clips = model.sample(n=2)
    assert clips.shape == (2, 4, 16, 16, 3) and clips.dtype == np.uint8
    assert (model.frames, model.fps, model.step) == (4, 4.0, 2)
    assert model.max_seconds is None and model.conditions == ()


def test_samples_differ_by_key_index_and_time(model, clip):
    clips = model.sample(3, n=2, frames=4).astype(int)
    assert np.abs(clips[0] - clips[1]).max() > 4
    assert np.abs(model.sample(4, frames=4)[0].astype(int) - clips[0]).max() > 4
    assert np.abs(np.diff(clip.astype(int), axis=0)).max(axis=(1, 2, 3)).min() > 0


def test_an_integer_is_a_key(model):
    assert np.array_equal(model.sample(5), model.sample(jax.random.key(5)))
    assert np.array_equal(model.sample(np.int64(5)), model.sample(5))


def test_a_pixel_does_not_depend_on_how_many_are_asked_for(model, clip):
    several = model.sample(3, n=3, frames=5)
    assert near(several[0], clip[:5])
    assert near(model.sample(3, n=1, frames=1)[0], clip[:1])
    assert near(model.sample(3, frames=40)[0, :20], clip)


@pytest.mark.parametrize("times", [2, 3])
def test_a_pixel_depends_on_time_in_seconds_not_on_the_frame_rate(model, clip, times):
    fast = model.sample(3, frames=20 * times, fps=4.0 * times)[0]
    assert near(fast[::times], clip)
    assert not near(fast[:20], clip)


def test_a_stream_is_the_sample(model, clip):
    assert near(np.stack(list(model.stream(3, frames=20))), clip)
    endless = model.stream(3)
    assert near(np.stack(list(itertools.islice(endless, 35)))[:20], clip)
    second = model.sample(3, n=2, frames=3)[1]
    assert near(np.stack(list(model.stream(3, index=1, frames=3))), second)


def test_after_days_a_stream_still_has_its_frame_rate(model):
    """Where a float32 of seconds knows no frames apart that are 1/64 s apart, no two are the same."""
    fps, days = 96.0, 2 * 24 * 3600 * 96
    state = model.stream(3, fps=fps).state
    late, more = (model.advance(state._replace(done=days + 48 + i), fps)[1] for i in (0, 3))
    assert near(late[3:], more[:-3])
    assert np.any(np.diff(late, axis=0) != 0, (1, 2, 3)).all()


@given(
    done=st.integers(0, 10**8),
    fps=st.floats(1, 240) | st.sampled_from([10.0, 12.5, 24.0, 30.0]),
    window=st.sampled_from([1.0, 1.6, 0.8, 16 / 12, 16 / 30, 0.7]),
)
def test_host_and_device_see_a_time_in_one_window(done, fps, window):
    seconds, since = chunk_times(done, fps, window)
    assert np.abs(seconds - (done + np.arange(len(seconds))) / fps).max() <= 1.01e-4 * window
    near = (seconds - since * window).astype(np.float32)
    for found in (near / np.float32(window), near * np.float32(1 / np.float32(window))):
        np.testing.assert_array_equal(np.floor(found).astype(int) + since, np.floor(seconds / window))
    assert near[0] < 2.01 * window


@given(
    time=st.integers(0, 10**6).map(lambda i: i / 120) | st.floats(0, 1e6),
    window=st.sampled_from([1.0, 1.6, 0.8, 0.64, 0.32, 1.28, 16 / 12, 16 / 30, 0.7]),
)
def test_what_is_known_is_in_one_window_however_late_it_is_seen(time, window):
    """A stream's times are counted from ever later windows; what is known stays in its own."""
    number, within = (x.item() for x in in_windows(time, window))
    assert abs(number * window + within - time) <= 1.01e-4 * window and 0 <= within
    known = np.float32(min(within, window * (1 - 1e-4)))
    for found in (known / np.float32(window), known * np.float32(1 / np.float32(window))):
        assert 0 <= found < 1


def test_noise_of_a_time_in_a_later_window(model):
    """As what is known has it: by the number of its window, whatever the others are counted from."""
    generator, keys = model._task.generator, jax.random.split(jax.random.key(0), 1)
    window = generator.window
    early = generator.noise(keys, np.float32([[0.25, 0.5]]) * np.float32(window))
    since = np.int32([[7, 0]])  # the first is of a stream's eighth window, the other is known
    late = generator.noise(keys, np.float32([[0.25, 0.5]]) * np.float32(window), since)
    assert late.window.tolist() == [[7, 0]]
    np.testing.assert_array_equal(late.motion[:, 1], early.motion[:, 1])
    assert not np.array_equal(late.motion[:, 0], early.motion[:, 0])


def test_what_is_asked_by_another_thread_is_not_lost(model, monkeypatch):
    stream, begun, asked = model.stream(3), threading.Event(), threading.Event()
    advance = model.advance

    def slow(*given):
        begun.set()
        asked.wait(0.2)
        return advance(*given)

    monkeypatch.setattr(model, "advance", slow)

    def ask():
        begun.wait()
        stream.told("")
        asked.set()

    thread = threading.Thread(target=ask)
    thread.start()
    next(stream)
    thread.join()
    assert [turn.since for turn in stream.state.asked][1:] == [1 / model.fps]


@pytest.mark.parametrize("condition", ["text", "image", "last_image", "audio", "label"])
def test_a_condition_that_it_was_not_trained_with(model, condition):
    with pytest.raises(ValueError, match=f"not trained with '{condition}'.*from noise alone"):
        model.sample(0, **{condition: "a red circle"})


def test_a_stream_takes_no_condition_either(model):
    with pytest.raises(ValueError, match="not trained with 'text'"):
        model.stream(0, text="a red circle")


@pytest.mark.parametrize(
    "name, value", [("n", 0), ("n", -1), ("frames", 0), ("fps", 0.0), ("fps", -2.0), ("fps", float("nan"))]
)
def test_numbers_must_be_positive(model, name, value):
    with pytest.raises(ValueError, match=f"{name}={value} must be positive"):
        model.sample(0, **{name: value})


def test_asked_for_nothing_again_a_stream_goes_on(mlp, model):
    for generator, fps in ((mlp, 64.0), (model, 4.0)):
        frames = 40 if generator is mlp else 36
        expected = np.stack(list(generator.stream(3, frames=frames, fps=fps)))
        stream = generator.stream(3, frames=frames, fps=fps)
        found = [next(stream)]
        stream.told("")
        found += list(stream)
        assert near(np.stack(found), expected)


def test_what_has_no_codes_is_not_truncated(mlp):
    with pytest.raises(ValueError, match="has no codes, so its samples cannot be truncated"):
        mlp.sample(0, truncation=0.5)


def test_a_generator_of_fixed_length(mlp):
    clip = mlp.sample(0)
    assert clip.shape == (1, 4, 16, 16, 3) and mlp.max_seconds == 1.0
    assert mlp.sample(0, frames=8, fps=8.0).shape[1] == 8
    for settings in ({"frames": 5}, {"fps": 2.0}, {"frames": 40}):
        with pytest.raises(ValueError, match="at most 1 s"):
            mlp.sample(0, **settings)
    with pytest.raises(ValueError, match="at most 1 s; 2.5 s were asked for"):
        mlp.stream(0, frames=10)
    assert len(list(mlp.stream(0))) == 4, "a stream ends where the clip does"
    assert len(list(mlp.stream(0, fps=8.0))) == 8 and len(list(mlp.stream(0, fps=2.0))) == 2


# Workdirs


def test_the_step_that_is_asked_for(workdir):
    first, last = vgm_jax.inference.load(workdir, step=1), vgm_jax.inference.load(workdir)
    assert (first.step, last.step) == (1, 2)
    assert not np.array_equal(first.sample(0), last.sample(0))
    with pytest.raises(ValueError, match=r"no checkpoint of step 9; it has \[1, 2\]"):
        vgm_jax.inference.load(workdir, step=9)


def test_no_run_there(tmp_path):
    with pytest.raises(WorkdirError, match="is not the workdir of a run"):
        vgm_jax.load(tmp_path / "nothing")


def test_no_checkpoint_yet(workdir, tmp_path):
    (tmp_path / "config.json").write_text((workdir / "config.json").read_text())
    with pytest.raises(WorkdirError, match="has no checkpoint yet; train first"):
        vgm_jax.load(tmp_path)


# The command line


@pytest.fixture
def vgm(monkeypatch):
    """`vgm("sample", ...)` runs the command line, without its lasting settings of JAX."""
    monkeypatch.setattr(runtime, "start", lambda: None)
    return lambda *arguments: cli.main([str(a) for a in arguments])


@pytest.fixture
def loaded(workdir, model, monkeypatch):
    """The command line gets the model that has compiled already."""
    monkeypatch.setattr("vgm_jax.inference.load_sampler", {str(workdir): model}.get)


def frames_of(path):
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def test_a_playable_file(vgm, workdir, model, tmp_path, capsys):
    path = tmp_path / "new" / "clip.mp4"
    vgm("sample", "--model", workdir, "-o", path, "--frames", 6, "--fps", 8, "--seed", 3)
    assert capsys.readouterr().out == f"{path}\n"
    frames = frames_of(path)
    assert len(frames) == 6 and frames[0].shape == (128, 128, 3), "enlarged for the eye"
    with av.open(str(path)) as file:
        assert file.streams.video[0].average_rate == 8
    expected = model.sample(3, frames=6, fps=8.0)[0].repeat(8, 1).repeat(8, 2)
    assert np.abs(np.stack(frames).astype(int) - expected).mean() < 8


def test_at_least_16_frames_by_default_and_a_grid_of_several(vgm, loaded, workdir, mlp, tmp_path):
    vgm("sample", "--model", workdir, "-o", tmp_path / "clip.gif", "--n", 4, "--scale", 2)
    frames = iio.imread(tmp_path / "clip.gif", index=None)
    assert len(frames) == 16 and frames.shape[1] > 2 * 2 * 16
    from vgm_jax.inference.files import sample_file

    sample_file(mlp, tmp_path / "short.mp4")
    assert len(frames_of(tmp_path / "short.mp4")) == 4, "all that this generator can make"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--frames", "0"], "frames=0 must be positive"),
        (["--n", "0"], "n=0 must be positive"),
        (["--fps", "0"], "fps=0.0 must be positive"),
        (["--scale", "0"], "scale"),
        (["--out", "clip.txt"], "clip.txt: expected a suffix among .mp4"),
    ],
)
def test_errors_of_the_command_line(vgm, loaded, workdir, arguments, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        vgm("sample", "--model", workdir, *arguments)
    assert str(stop.value).startswith("vgm sample: error: ") and message in str(stop.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["sample", "stream"])
def test_what_is_read_is_not_written_over(vgm, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sample.mp4").write_bytes(b"a film")
    for option in ("--video", "--audio", "--image", "--last-image"):
        with pytest.raises(SystemExit, match="sample.mp4: is the film itself, or what else is read"):
            given = [option, tmp_path / "sample.mp4", "--frames", 16]
            vgm(command, "--model", "shapeshow", *given, "-o", "sample.mp4")
    assert (tmp_path / "sample.mp4").read_bytes() == b"a film"


def test_a_reader_that_has_gone_is_no_error(vgm, monkeypatch):
    def gone(args):
        raise BrokenPipeError

    done = []
    monkeypatch.setattr(cli.os, "dup2", lambda *files: done.append(files))
    monkeypatch.setattr(
        cli, "parser", lambda: SimpleNamespace(parse_args=lambda _: SimpleNamespace(run=gone))
    )
    vgm("sample")
    assert len(done) == 1


def test_frames_are_sent_no_faster_than_they_are_due(monkeypatch):
    """The first takes three seconds, and one later on two: what came late is not caught up with."""
    now, sent, takes = [0.0], [], iter([3.0, 0.1, 0.1, 2.0, 0.1, 0.1])
    monkeypatch.setattr(files.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(files.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))

    def frames():
        for seconds in takes:
            now[0] += seconds
            yield np.zeros((2, 2, 3), np.uint8)

    for _ in files.send(frames(), io.BytesIO(), "raw", pace=4.0):
        sent.append(now[0])
    assert sent == pytest.approx([3.0, 3.25, 3.5, 5.5, 5.75, 6.0])


def test_no_model_there(vgm, tmp_path):
    with pytest.raises(SystemExit, match="vgm sample: error: .*is not the workdir of a run"):
        vgm("sample", "--model", tmp_path / "nothing")


def test_samples_are_measured(workdir, model, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    result = evaluate_files("shapeshow", str(workdir), tmp_path / "r.json", networks=("random",), count=8)
    protocol = {"frames": model.frames, "size": [16, 16], "count": 8}
    assert {name: result["protocol"][name] for name in protocol} == protocol
    assert result["protocol"]["fps"] == {"real": pytest.approx(model.fps), "judged": pytest.approx(model.fps)}
    assert result["protocol"]["training"] not in (result["real"]["hash"], "the real set"), (
        "what it learned from"
    )
    assert result["fake"]["weights"] == model.weights_hash and result["fake"]["step"] == 2
    assert result["distances"]["frechet/random"] > result["anchors"]["real_vs_real"]["frechet/random"]
    with pytest.raises(ValueError, match="makes frames of 16 x 16; 32 was asked for"):
        evaluate_files("shapeshow", str(workdir), tmp_path / "r.json", size=32, count=8)
