import queue

import imageio.v3 as iio
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

import vgm_jax
from vgm_jax import cli
from vgm_jax.inference import PlayModel
from vgm_jax.tasks import build
from vgm_jax.training import runtime
from vgm_jax.training.loop import Run

SMALL = {"name": "causal", "actions": 3, "patch": 4, "width": 16, "heads": 2, "depth": 1, "memory": 2}
SMALL |= {"noise_dim": 4, "cell": 8, "texture": 8, "reach": 3}


@pytest.fixture(scope="module")
def workdir(tiny, unlearnt, tmp_path_factory):
    """A run of two updates, which teach nothing, with its loop, on clips with actions."""
    rng, root = np.random.default_rng(0), tmp_path_factory.mktemp("playing")
    for split in ("train", "validation", "test"):
        np.save(root / f"{split}.npy", rng.integers(0, 256, (8, 4, 16, 16, 3), np.uint8))
        np.save(root / f"{split}_actions.npy", rng.integers(0, 3, (8, 4), np.uint8))
    config = tiny()
    with config.unlocked():
        config.task = "autoregression"
        config.data.update(source="arrays", path=str(root))
        config.model.generator = ConfigDict(SMALL)
        small = {"frame_widths": (16,), "frame_depths": (0,), "widths": (16,), "depths": (1,)}
        config.model.discriminator = ConfigDict({"name": "clip", "hidden": 8} | small)
        config.model.update(frames_seen=4, frames_given=2, frames_judged=2)
        config.objective.update(penalty="none", start_stride=2)
        config.train.update(steps=2)
        config.evaluate.every = 0
    opened = Run(unlearnt(build(config), looks=True), config, root / "run", report=lambda _: None)
    opened.train()
    figures = opened.evaluate()
    opened.close()
    assert {"test/error", "test/shuffled/error", "test/copied/error", "test/frechet/random"} <= set(figures)
    return root / "run"


@pytest.fixture(scope="module")
def model(workdir):
    return vgm_jax.load(workdir)


@pytest.fixture
def loaded(workdir, model, monkeypatch):
    """The command line gets the model that has compiled already."""
    monkeypatch.setattr(runtime, "start", lambda: None)
    monkeypatch.setattr("vgm_jax.inference.load_sampler", {str(workdir): model}.get)


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)


def test_samples_begin_with_the_picture_and_have_a_frame_for_each_action(model, picture):
    assert isinstance(model, PlayModel) and model.conditions == ("image", "actions") and model.actions == 3
    clips = model.sample(5, 2, image=picture, actions=[2, 2, 0, 1, 1])
    assert clips.shape == (2, 6, 16, 16, 3) and clips.dtype == np.uint8
    np.testing.assert_array_equal(clips[:, 0], [picture, picture])
    assert (clips[0, 1:] != clips[1, 1:]).any()  # of other noise
    np.testing.assert_array_equal(model.sample(5, 1, image=picture, actions=[2, 2, 0, 1, 1])[0], clips[0])
    longer = model.sample(5, frames=12, image=picture, actions=[2, 2, 0, 1])[0]
    np.testing.assert_array_equal(longer[:6], clips[0])  # the last action goes on


def test_actions_are_pushed_as_it_runs_and_change_what_comes_after(model, picture):
    whole = model.sample(7, image=picture, actions=[1, 1, 1, 1, 2, 0])[0]
    stream = model.stream(7, image=picture)
    stream.push(1)
    frames = [next(stream) for _ in range(5)]
    stream.push(2, 0)
    frames += [next(stream) for _ in range(2)]
    np.testing.assert_array_equal(frames, whole)
    other = model.sample(7, image=picture, actions=[1, 1, 1, 1, 0, 0])[0]
    np.testing.assert_array_equal(other[:5], whole[:5])
    assert (other[5] != whole[5]).any()


def test_without_a_picture_it_begins_with_noise_alone(model):
    clips = model.sample(0, 2)
    assert clips.shape == (2, 4, 16, 16, 3) and (clips[0, 0] != clips[1, 0]).any()


def test_truncated_to_nothing_all_are_alike(model, picture):
    clips = model.sample(0, 2, truncation=0.0)
    np.testing.assert_array_equal(clips[0], clips[1])


def test_before_anything_is_said_nothing_is_done(model, picture, monkeypatch):
    assert model.idle == 0
    still = model.sample(3, frames=4, image=picture)
    np.testing.assert_array_equal(still, model.sample(3, frames=4, image=picture, actions=[0]))
    generator = model._task.generator.clone(idle=2)
    monkeypatch.setattr(model._task, "generator", generator)
    other = model.sample(3, frames=4, image=picture)
    np.testing.assert_array_equal(other, model.sample(3, frames=4, image=picture, actions=[2]))
    assert (other != still).any()


def test_each_line_of_input_is_what_is_done_next(loaded, workdir, picture, tmp_path, monkeypatch, capsys):
    lines = queue.SimpleQueue()
    for line in ("2,1\n", "x\n", "9\n"):
        lines.put(line)
    monkeypatch.setattr(cli, "_lines", lambda file: lines)
    done, advance = [], PlayModel.advance

    def noted(model, state, key, number, action, truncation):
        done.append(action)
        return advance(model, state, key, number, action, truncation)

    monkeypatch.setattr(PlayModel, "advance", noted)
    Image.fromarray(picture).save(tmp_path / "first.png")
    asked = ["--model", str(workdir), "--image", str(tmp_path / "first.png")]
    cli.main(["stream", *asked, "--follow", "--frames", "5", "-o", str(tmp_path / "out.mp4")])
    assert done == [2, 1, 1, 1]
    said = capsys.readouterr().err
    assert "'x' must be whole numbers" in said and "there is no action 9" in said


def test_evaluating_it_says_what_is_needed(workdir, tmp_path):
    with pytest.raises(SystemExit, match="task 'autoregression'; this needs 'generation'"):
        cli.main(["evaluate", "--real", str(workdir), "--fake", str(workdir), "-o", str(tmp_path / "r.json")])


def test_the_command_line_takes_actions(loaded, workdir, picture, tmp_path):
    Image.fromarray(picture).save(tmp_path / "first.png")
    out = tmp_path / "out.mp4"
    asked = ["--model", str(workdir), "--image", str(tmp_path / "first.png"), "-o", str(out)]
    cli.main(["sample", *asked, "--actions", "2,2,2,0"])
    assert iio.imread(out, plugin="pyav").shape[0] == 5
    cli.main(["stream", *asked, "--actions", "1", "--frames", "3"])
    assert iio.imread(out, plugin="pyav").shape[0] == 3
    cli.main(["stream", *asked, "--actions", "1,1,1"])
    assert iio.imread(out, plugin="pyav").shape[0] == 4
    with pytest.raises(SystemExit, match=r"there is no action 5; they are 0\.\.2"):
        cli.main(["sample", *asked, "--actions", "2,5"])
    with pytest.raises(SystemExit) as stopped:  # argparse's own
        cli.main(["sample", *asked, "--actions", "a"])
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"n": 0}, "n=0"),
        ({"frames": 0}, "frames=0"),
        ({"frames": 2.5}, "frames=2.5 must be a whole number"),
        ({"frames": np.inf}, "frames=inf must be positive and finite"),
        ({"fps": 3.0}, "4 a second; not fps=3.0"),
        ({"fps": np.nan}, "4 a second; not fps=nan"),
        ({"truncation": 2.0}, "truncation=2.0"),
        ({"text": "a red circle"}, "not trained with 'text': it generates from image, actions"),
        ({"actions": [3]}, "there is no action 3; they are 0..2"),
        ({"actions": [0.5]}, "actions must be integers"),
        ({"actions": 7}, "actions must be integers; got 7"),
        ({"image": "nowhere.png"}, "nowhere.png"),
    ],
)
def test_what_cannot_be_is_told(model, asked, message):
    with pytest.raises(ValueError, match=message):
        model.sample(**asked)


def test_a_model_says_what_it_does_not_take(model, picture, make_other):
    other = make_other(actions=0, start_stride=0)
    with pytest.raises(ValueError, match="takes no actions"):
        other.sample(image=picture, actions=[1])
    with pytest.raises(ValueError, match="needs a picture to begin with"):
        other.sample()


@pytest.fixture
def make_other(model):
    """`make_other(actions, start_stride)`: a model of other settings, without parameters."""

    def make(actions, start_stride):
        task = type("Task", (), {"generator": model._task.generator.clone(actions=actions)})()
        task.start_stride = start_stride
        return PlayModel(task, None, frames=4, fps=4.0, size=16, step=0)

    return make
