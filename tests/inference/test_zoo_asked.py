"""The packaged generators, asked for by everything they know; and streamed."""

import functools
import itertools
import runpy
from pathlib import Path

import av
import jax
import numpy as np
import pytest
from PIL import Image

from vgm_jax import cli
from vgm_jax.data.media import write_video
from vgm_jax.data.sources.shapeshow import ShapeShow
from vgm_jax.evaluation import physics
from vgm_jax.inference import load
from vgm_jax.training import runtime

loaded = functools.cache(load)  # what was compiled for one test serves the next
STUDY = Path(__file__).parents[2] / "experiments" / "conditioning" / "run.py"
TIMES = np.arange(16, dtype=np.float32) / 16


@pytest.fixture(scope="module")
def source():
    return ShapeShow("test", sound="synced", audio=True)


@pytest.fixture
def vgm(monkeypatch):
    """The command line, which gets models that have compiled already."""
    monkeypatch.setattr(runtime, "start", lambda: None)
    monkeypatch.setattr("vgm_jax.inference.load_sampler", loaded)
    return lambda *arguments: cli.main([str(a) for a in arguments])


def apart(a, b):
    """Differences in grey levels."""
    assert a.shape == b.shape
    return np.abs(a.astype(int) - b)


def psnr(a, b):
    return 10 * np.log10(255**2 / max(np.square(a.astype(float) - b).mean(), 1e-9))


# What is asked for


def test_shapeshow_moves_as_its_class_says():
    clips = loaded("shapeshow").sample(1, n=12, label="all")
    motion = physics.classes(physics.observe(clips, TIMES))["motion"]
    assert np.sum(motion == np.arange(12)) >= 11, motion


def test_shapeshow_goes_on_from_a_picture(source):
    model, right = loaded("shapeshow"), 0
    for i in range(2):
        first = source[i]["video"][0]
        clip = model.sample(i, image=first)[0]
        assert clip.shape == (16, 32, 32, 3) and psnr(clip[0], first) > 25
        assert apart(clip[1:], clip[:-1]).max() > 20, "it moves"
        real, made = (physics.classes(physics.observe(x[None], TIMES)) for x in (source[i]["video"], clip))
        right += all(real[kind] == made[kind] for kind in ("shape", "colour"))
    assert right == 2


def test_shapeshow_turns_where_the_sound_has_a_click(source):
    study = runpy.run_path(str(STUDY))
    heard = [i for i in range(200) if np.any(np.abs(source.clip(i).events - 0.5) < 0.4)][:16]
    model, agree = loaded("shapeshow"), {"own": [], "other": []}
    clips = np.concatenate([model.sample(i, audio=source[i]["audio"]) for i in heard])
    tracks = physics.observe(clips, TIMES).track
    for shift in range(len(heard)):  # held against each of the others' clicks, too
        for track, i in zip(tracks, heard[shift:] + heard[:shift], strict=True):
            clicks = source.clip(i).events
            clicks = clicks[np.abs(clicks - 0.5) < 0.4]
            turns = study["turning_points"](track[:, :2], TIMES)
            agree["other" if shift else "own"] += study["met"](clicks, turns, 1 / 16)
    own, other = (np.mean(x) for x in agree.values())
    assert own >= 0.6 and own > other + 0.15, (own, other)


def test_emoji_shows_what_words_say():
    """Twice the same words are more alike than others."""
    texts = ["sleepy face", "wolf", "five thirty", "woman elf light skin tone"]
    clips = loaded("emoji").sample(4, n=8, frames=2, text=texts * 2).astype(float)
    between = np.square(clips[:4, None] - clips[4:]).mean((2, 3, 4, 5))
    assert between.argmin(1).tolist() == [0, 1, 2, 3], np.round(between)


# Files


def test_a_stream_to_a_gif(vgm, tmp_path):
    vgm("stream", "--model", "emoji", "--text", "sleepy face", "--frames", 6, "-o", tmp_path / "x.gif")
    with Image.open(tmp_path / "x.gif") as file:
        assert file.n_frames == 6 and min(file.size) >= 64
        found = np.asarray(file.convert("RGB"))
    scale = len(found) // 64
    expected = next(loaded("emoji").stream(0, text="sleepy face"))
    assert apart(found[::scale, ::scale], expected).mean() < 12, "in 256 colours"


def test_a_video_is_edited_by_a_text(vgm, source, tmp_path):
    """It is gone on from as the words say: its own frames, then a training clip's."""
    film, text = source[0]["video"][:8], "a red circle moves left"
    write_video(tmp_path / "film.mp4", film, 16.0)
    asked = "--video", tmp_path / "film.mp4", "--text", text
    vgm("sample", "--model", "shapeshow", *asked, "--scale", 1, "-o", tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as file:
        made = np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])
    assert made.shape == (8 + 16, 32, 32, 3)
    model = loaded("shapeshow")
    clip, free = (model.sample(0, video=film, **x)[0] for x in ({"text": text}, {}))
    assert len(clip) == len(free) == 24
    for frames in (clip, made):
        assert min(psnr(a, b) for a, b in zip(frames[:8], film, strict=True)) > 22
    assert apart(clip[8:], free[8:]).max() > 40, "the words have a say"
    assert model.sample(0, video=film, text=text, frames=11).shape[1] == 11


# Streams


def same(streamed, offline):
    """As programs that reduce in different orders give it."""
    difference = apart(np.asarray(streamed), offline)
    assert np.mean(difference == 0) >= 0.999 and difference.max() <= 1, (
        np.mean(difference == 0),
        difference.max(),
    )


@pytest.mark.parametrize("name", ["shapeshow", "emoji"])
def test_a_stream_is_what_is_made_in_a_batch(name):
    model, rows = loaded(name), 4
    task, key = model._task, jax.random.key(5)
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(np.arange(rows))
    times = np.tile(np.arange(16, dtype=np.float32) / np.float32(model.fps), (rows, 1))
    same(
        [list(model.stream(5, i, 16)) for i in range(rows)],
        np.asarray(task.generate(model._params, keys, times)),
    )
    texts = {"shapeshow": ["a red circle moves left", "a blue star spins"], "emoji": ["wolf", "sleepy face"]}[
        name
    ]
    given = {"text": np.stack([model.listener.read(text)["text"][0] for text in texts * 2])}
    made = np.asarray(task.asked_alike(model._params, keys, times, given))
    same([list(model.stream(5, i, 16, text=(texts * 2)[i])) for i in range(rows)], made)


def test_a_stream_is_one_however_many_frames_are_computed_at_once():
    model, asked = loaded("shapeshow"), {"text": "a red circle moves left"}
    clip = model.sample(2, frames=20, **asked)[0]
    for at_once in (1, 3):
        assert apart(np.stack(list(model.stream(2, 0, 20, at_once=at_once, **asked))), clip).max() <= 1
    for at_once in (0, -1, 1.5):
        with pytest.raises(ValueError, match=f"at_once={at_once} must be"):
            model.stream(0, at_once=at_once)


def test_what_is_asked_for_anew_is_the_next_frame():
    model, first, second = loaded("shapeshow"), "a red circle moves left", "a blue star spins"
    clips = [model.sample(2, frames=24, text=text)[0] for text in (first, second)]
    stream = model.stream(2, text=first)
    shown = list(itertools.islice(stream, 3))
    stream.ask(blend=0.0, text=second)
    shown += list(itertools.islice(stream, 2))
    stream.ask(blend=4 / 16, text=first)
    shown = np.stack(shown + list(itertools.islice(stream, 12)))
    assert apart(shown[:3], clips[0][:3]).max() <= 1
    assert apart(shown[3:6], clips[1][3:6]).max() <= 1, "at the beginning of what fades in"
    assert apart(shown[6:9], clips[1][6:9]).max() > 20
    assert apart(shown[9:], clips[0][9:17]).max() <= 1


def test_what_does_not_move_is_painted_once(monkeypatch):
    """Else a frame alone takes as long as several."""
    model, painted = loaded("shapeshow"), []
    still = type(model._task).still
    monkeypatch.setattr(type(model._task), "still", lambda *given: painted.append(0) or still(*given))
    stream = model.stream(2, text="a red circle moves left")
    for count in (1, 2):
        list(itertools.islice(stream, 5))
        assert len(painted) == count
        stream.ask(blend=0.0, text="a blue star spins")
