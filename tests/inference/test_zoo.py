"""Models that come with the package."""

import functools
import json

import numpy as np
import pytest

from vgm_jax.data.media import VideoWriter
from vgm_jax.data.sources.shapeshow import ShapeShow
from vgm_jax.data.sources.shapeshow_films import ShapeShowFilms
from vgm_jax.evaluation import physics
from vgm_jax.inference import load, zoo
from vgm_jax.tasks import build
from vgm_jax.tasks.exported import ABOUT, WEIGHTS
from vgm_jax.tasks.vectors import Vectors

LARGEST = 6_000_000  # bytes
loaded = functools.cache(load)  # what was compiled for one test serves the next


@pytest.mark.parametrize("name", zoo.folders())
def test_a_model_that_comes_with_the_package(name):
    folder = zoo.find_run(name)
    assert (folder / WEIGHTS).stat().st_size <= LARGEST
    about = json.loads((folder / ABOUT).read_text())
    assert {"data", "licence", "recipe", "figures", "step"} <= set(about)
    config = json.loads((folder / "config.json").read_text())
    assert config["model"]["start"] == "" and config["data"]["path"] == "", (
        "no paths of the machine it is from"
    )
    model = loaded(name)
    if config["task"] == "generation":
        clips = model.sample(0, n=2)
        assert clips.dtype == np.uint8 and clips.shape[0] == 2 and clips.std() > 5


def test_a_model_for_several_tasks(tmp_path, monkeypatch):
    for name in ("both/one", "both/two", "single"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / WEIGHTS).touch()
    monkeypatch.setattr(zoo, "HERE", tmp_path)
    assert zoo.names() == ("both", "single")
    assert zoo.find_run("both", "two") == zoo.find_run("both/two") == tmp_path / "both/two"
    assert zoo.find_run("single", "two") == zoo.find_run("single") == tmp_path / "single"
    for task in ("", "three"):
        with pytest.raises(RuntimeError, match="several tasks; ask for one: both/one, both/two"):
            zoo.find_run("both", task)


def test_what_would_not_suffice_is_not_exported(tmp_path, monkeypatch):
    task = type("Task", (), {"vectors": Vectors(str(tmp_path), 4, build)})
    monkeypatch.setattr(zoo, "averaged", lambda workdir, step: (task, {}, 7))
    with pytest.raises(ValueError, match="takes its vectors from another run .*, which would not be in what"):
        zoo.export(tmp_path, tmp_path / "out", {})
    assert not (tmp_path / "out").exists()
    packaged = "shapeshow-trunk/classification"
    assert not Vectors(packaged, 4, build).elsewhere and not Vectors("random,sound", 4, build).elsewhere
    assert Vectors(str(zoo.HERE / packaged), 4, build).elsewhere, "a path of this machine"


def test_there_is_one_update_of_what_comes_with_the_package():
    step = loaded("emoji").step
    assert load("emoji", step).step == step
    with pytest.raises(RuntimeError, match=f"has the weights of update {step} alone, not of 7"):
        load("emoji", 7)
    with pytest.raises(ValueError, match="is for several tasks, each of its own update: step=7 is of none"):
        load("shapeshow-trunk", 7)


def test_shapeshow_shows_what_it_is_asked_for():
    model = loaded("shapeshow")
    assert set(model.conditions) == {"text", "label", "audio", "image"}
    asked = ["a red circle moves left", "a blue square moves up", "a green star moves right"]
    clips = model.sample(1, n=6, text=asked * 2)
    found = physics.classes(physics.observe(clips, np.arange(16) / 16))
    wanted = {
        "colour": ["red", "blue", "green"] * 2,
        "motion": ["left", "up", "right"] * 2,
    }
    for kind, names in wanted.items():
        right = [physics.NAMES[kind][i] == name for i, name in zip(found[kind], names, strict=True) if i >= 0]
        assert sum(right) >= 5, (kind, found[kind])


def test_asked_for_nothing_shapeshow_shows_motions_of_all_kinds():
    clips = loaded("shapeshow").sample(2, n=48)
    motion = physics.classes(physics.observe(clips, np.arange(16) / 16))["motion"]
    assert np.mean(motion >= 0) > 0.85 and len(set(motion[motion >= 0])) >= 9, np.sort(motion)


def written(path, clip, fps):
    with VideoWriter(path, fps, scale=4, sound=clip["audio"]) as writer:
        for frame in clip["video"]:
            writer.write(frame)
    return path


def test_shapeshow_trunk_says_what_moves_and_what_is_heard(tmp_path):
    model = loaded("shapeshow-trunk").classifier
    source = ShapeShow("test", label="both", audio=True)
    right = 0
    for i in range(8):
        clip = source[i]
        path = written(tmp_path / f"{i}.mkv", clip, 16.0)
        right += model.classify(path, top=1)[0][0] == source.class_names()[clip["label"]]
    assert right >= 7, right


def test_shapeshow_trunk_answers_questions(tmp_path):
    model = loaded("shapeshow-trunk").answerer
    source = ShapeShow("test", variant="multi", audio=True, question=True)
    kinds, right = [source.asked(i).kind for i in range(40)], []
    for i in (kinds.index(kind, start) for kind in source.kind_names() for start in (0, 16)):
        path = written(tmp_path / f"{i}.mkv", source[i], 16.0)
        right.append(model.ask(path, source.asked(i).text, top=1)[0][0] == source.asked(i).answer)
    assert sum(right) >= 13, right


def test_shapeshow_trunk_summarizes(tmp_path):
    """What is chosen matters more, by the film's truth, than what is not."""
    source = ShapeShowFilms("test", size=32, frames=480, fps=8.0, audio=True)
    model, better = loaded("shapeshow-trunk").summarizer, []
    for i in range(2):
        film = source[i]
        path = written(tmp_path / f"{i}.mkv", film, 8.0)
        shots = model.summary(path, 0.15, shots="kts")
        assert 0 < sum(s.end - s.start for s in shots if s.chosen) <= 0.15 * 60 + 0.01
        chosen = np.zeros(480, bool)
        for shot in shots:
            if shot.chosen:
                chosen[round(8 * shot.start) : round(8 * shot.end)] = True
        better.append(film["importance"][chosen].mean() / film["importance"].mean())
    assert min(better) > 1.2, better
