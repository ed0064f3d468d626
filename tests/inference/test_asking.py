"""From a film and a question to an answer, and to the moments that support it."""

import copy
import json
import shutil

import av
import jax
import numpy as np
import pytest

import vgm_jax
from vgm_jax import cli
from vgm_jax.data.decode import DecodeError, read_frames
from vgm_jax.data.media import write_video
from vgm_jax.inference.asking import AnswerModel, Moment, answer_file, choose, imagine_answer, load_answerer
from vgm_jax.inference.zoo import export
from vgm_jax.tasks import build
from vgm_jax.tasks.vectors import Vectors
from vgm_jax.training import runtime

TRUNK = {"width": 8, "own": 0, "words": 92}
QUESTION = "What colour is the star?"


@pytest.fixture(scope="module")
def workdir(of_trunk):
    answerer = {"name": "answerer", "layers": 1, "heads": 1}
    seen = {"classifier": answerer, "modalities": ("video", "audio"), "heads": (("answer", 29),)}
    told = {"audio": True, "question": True}
    return of_trunk(TRUNK, "question_answering", shapeshow=told, model=seen)


@pytest.fixture(scope="module")
def model(workdir):
    return vgm_jax.load(workdir)


def test_its_trunk_makes_vectors_too(workdir, tmp_path, monkeypatch):
    """Of the workdir, or exported, by folder or by name."""
    vectors, rng = Vectors(str(workdir), 4, build), np.random.default_rng(0)
    windows = {"video": rng.integers(0, 256, (3, 4, 32, 32, 3), np.uint8)}
    windows["audio"] = rng.normal(size=(3, 8000)).astype(np.float32)
    found = vectors.of_windows(windows, 8.0)
    assert vectors.modalities == ("video", "audio") and found.shape == (3, TRUNK["width"])
    assert not np.allclose(found[0], found[1])
    folder = export(workdir, tmp_path / "zoo/small", {})
    monkeypatch.setattr("vgm_jax.tasks.restoring.PACKAGED", tmp_path / "zoo")
    for name in (str(folder), "small"):
        np.testing.assert_allclose(Vectors(name, 4, build).of_windows(windows, 8.0), found, atol=0.02)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A film of 2.5 s that is green in its second second, with a tone; without; the tone; no film."""
    path = tmp_path_factory.mktemp("films")
    frames = np.full((20, 32, 48, 3), 60, np.uint8)
    frames[8:16, :, :, 1] = 200
    write_video(path / "silent.mp4", frames, 8.0)
    (path / "bad.mp4").write_bytes(b"no film")
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(40_000) / 16_000)).astype(np.int16)
    with av.open(str(path / "film.mkv"), "w") as out:
        video = out.add_stream("ffv1", rate=8)
        video.width, video.height, video.pix_fmt = 48, 32, "bgr0"
        audio = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for i, frame in enumerate(frames):
            out.mux(video.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
            block = av.AudioFrame.from_ndarray(tone[None, 2000 * i : 2000 * i + 2000], "s16", "mono")
            block.sample_rate, block.pts = 16_000, 2000 * i
            out.mux(audio.encode(block))
        out.mux(video.encode())
        out.mux(audio.encode())
    with av.open(str(path / "sound.wav"), "w") as out:
        audio = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        block = av.AudioFrame.from_ndarray(tone[None], "s16", "mono")
        block.sample_rate = 16_000
        out.mux(audio.encode(block))
        out.mux(audio.encode())
    return path


class Green(AnswerModel):
    """Says green as far as the mean of what is present is: what the network would say is made up."""

    def _answer(self, params, batch, present=None):
        ends = np.tile(np.arange(1, 5) / 4 - 1 / 8, (len(batch["video"]), 1))  # of tubelets of two frames
        there = (present or {"video": np.ones(ends.shape, bool)})["video"]
        green = batch["video"][..., 1].reshape(len(ends), 4, -1).mean(2) / 255 * there
        p = np.zeros((len(ends), len(self.answers)))
        at = self.answers.index("green")
        p[:, at] = 0.1 + green.mean(1)
        p[:, at + 1] = 1 - p[:, at]
        return p, {"video": ends}


@pytest.fixture(scope="module")
def green(model):
    vocabulary = model.vocabulary
    return Green(
        model.task, {}, size=16, frames=8, fps=8.0, vocabulary=vocabulary, answers=model.answers, step=0
    )


def test_answers_are_named_and_sure_to_some_degree(model, films):
    """With sound and without, and of sound alone; the mean over the film's clips, the last one filled up."""
    everything = model.ask(films / "film.mkv", QUESTION, top=29)
    names, p = zip(*everything, strict=True)
    assert set(names) == set(model.answers) and list(p) == sorted(p, reverse=True)
    np.testing.assert_allclose(sum(p), 1.0, atol=1e-5)
    assert model.ask(films / "film.mkv", "what COLOUR is the star", top=2) == everything[:2]
    total = np.zeros(29)
    for clip in model.clips(films / "film.mkv"):
        seen = {name: clip[name][None] for name in ("video", "times", "audio")}
        p, _ = model.task.examine(
            model._params, seen | {"question": model.encode(QUESTION)[None], "answer": np.zeros(1, np.int32)}
        )
        total += np.asarray(p)[0] / 3
    found = dict(everything)
    np.testing.assert_allclose([found[name] for name in model.answers], total, atol=1e-5)
    silent, heard = (dict(model.ask(films / name, QUESTION, 29)) for name in ("silent.mp4", "sound.wav"))
    assert silent != found and heard != found


def test_a_film_without_sound_is_silent_where_training_kept_nothing_from_clips(model, films, monkeypatch):
    clip = next(iter(model.clips(films / "silent.mp4")))
    np.testing.assert_array_equal(clip["audio"], np.zeros(16_000))
    monkeypatch.setattr(model.task, "modality_drop", 0.1)
    assert "audio" not in next(iter(model.clips(films / "silent.mp4")))


def test_what_is_not_there_is_not_seen(model, films):
    """Parts of the whole film, in order; what they support by their tokens, alone and left out, by hand."""
    parts = model.moments(films / "film.mkv", QUESTION, "red")
    edges = [(p.start, p.end) for p in parts]
    assert edges == [(i / 4, (i + 1) / 4) for i in range(10)]
    clip = next(iter(model.clips(films / "film.mkv")))
    batch = {name: np.tile(clip[name], (10, *[1] * clip[name].ndim)) for name in ("video", "times", "audio")}
    batch |= {"question": np.tile(model.encode(QUESTION), (10, 1))}
    # Rows: each quarter alone, all but each, nothing, all.
    there = np.concatenate([np.eye(4), 1 - np.eye(4), np.zeros((1, 4)), np.ones((1, 4))]).astype(bool)
    ends = 0.08 * np.arange(1, 13)  # of patches of sound, which come early by half the overlap of windows
    audio = there[:, [int(4 * middle) for middle in ends - 0.04]]
    given, apply = model.task.given(batch), jax.jit(model.task.answerer.apply)
    p = jax.nn.softmax(apply(model._params, given, {"video": there, "audio": audio}).logits)
    p = np.asarray(p)[:, model.answers.index("red")]
    expected = ((p[:4] - p[8]) + (p[9] - p[4:8])) / 2
    assert np.abs(expected).min() > 1e-5
    np.testing.assert_allclose([part.support for part in parts[:4]], expected, atol=1e-6)


def test_support_is_what_a_part_adds(green, films):
    """Here it adds up: each part of a clip, alone or last, adds its share of green."""
    parts = green.moments(films / "film.mkv", QUESTION, "green")
    expected = [200 / 255 / 4 if 1 <= p.start < 2 else 60 / 255 / 4 for p in parts]
    np.testing.assert_allclose([p.support for p in parts], expected, atol=0.01)


def test_an_answer_as_a_video(green, films, tmp_path):
    out = tmp_path / "answer.mp4"
    told = []
    result = answer_file(green, films / "film.mkv", QUESTION, out, progress=lambda *seen: told.append(seen))
    assert result["answers"][0][0] == "green" and told[-1] == (2.5, pytest.approx(2.5, abs=0.2))
    (moment,) = result["moments"]
    assert (moment["start"], moment["end"]) == (1.0, 2.0)
    with av.open(str(out)) as file:
        assert file.metadata["title"] == f"{QUESTION} green ({100 * result['answers'][0][1]:.0f} %)"
        assert file.streams.audio
    frames, _ = read_frames(out)
    assert frames.shape[2] == 384 and frames.shape[1] > 256


class Told(AnswerModel):
    """Answers with the number of known words that are said in a clip."""

    def _answer(self, params, batch, present=None):
        counts = (batch["text"] > 1).sum(1)
        return np.eye(len(self.answers))[counts], {}


def test_what_is_said_in_a_film_is_read(model, films, tmp_path):
    """Of subtitles beside it, those of the clip; where there are none, nothing."""
    task = copy.copy(model.task)
    task.modalities = (*task.modalities, "text")
    about = dict(size=16, frames=8, fps=8.0, vocabulary=model.vocabulary, answers=model.answers, step=0)
    told = Told(task, {}, words=4, **about)
    film = tmp_path / "film.mp4"
    shutil.copy(films / "silent.mp4", film)
    assert told.ask(film, QUESTION, 1) == [(model.answers[0], 1.0)]
    cues = "00:00:00.100 --> 00:00:00.900\na red star\n\n00:00:02.100 --> 00:00:02.400\nzebras bounces\n"
    film.with_suffix(".vtt").write_text("WEBVTT\n\n" + cues)
    found = dict(told.ask(film, QUESTION, 29))
    seen = {model.answers[n]: pytest.approx(1 / 3) for n in (0, 1, 3)}  # clips of 3, 0 and 1 words
    assert {name: p for name, p in found.items() if p} == seen


class Painter:
    """A generator of grey clips that knows one word."""

    frames, fps, conditions, word = 16, 8.0, ("text",), "green"

    def sample(self, key, frames, text):
        if text != self.word:
            raise ValueError(f"not among the 1 words that the model knows: {text!r}")
        return np.full((1, frames, 16, 16, 3), 100, np.uint8)


def test_an_answer_may_be_generated(green, model, films, tmp_path):
    film, out = films / "film.mkv", tmp_path / "answer.mp4"
    result = imagine_answer(green, Painter(), film, QUESTION, out, seconds=1.0)
    assert result["answers"] == [list(answer) for answer in green.ask(film, QUESTION)]
    frames, _ = read_frames(out)
    assert len(frames) == 8 and frames.shape[2] == 256 and frames.shape[1] > 256, "with what it answers"
    assert np.abs(frames[:, :250].astype(int) - 100).max() < 8
    for conditions, name, message in (
        (("label",), out, "this generator is asked by label"),
        (("text",), tmp_path / "answer.txt", "expected a suffix among .mp4"),
        (("text",), film, "is the film itself"),
    ):
        painter = Painter()
        painter.conditions = conditions
        with pytest.raises(ValueError, match=message):
            imagine_answer(green, painter, film, QUESTION, name)
    painter = Painter()
    painter.word = "blue"
    with pytest.raises(ValueError, match="the answer is 'green', which cannot be generated: not among"):
        imagine_answer(green, painter, film, QUESTION, out)


def test_moments_are_the_strongest_that_there_is_time_for():
    parts = [Moment(i, i + 1.0, s) for i, s in enumerate((0.1, 0.8, 0.6, 0.2, 0.5, 0.7))]
    assert choose(parts, 10.0) == [Moment(1, 3.0, pytest.approx(0.7)), Moment(4, 6.0, pytest.approx(0.6))]
    assert choose(parts, 2.0) == [Moment(1, 2.0, 0.8), Moment(5, 6.0, 0.7)]
    assert choose(parts, 0.5) == [Moment(1, 1.5, 0.8)]
    against = [Moment(i, i + 1.0, -0.1 * i) for i in range(1, 4)]
    assert choose(against, 10.0) == [Moment(1, 2.0, -0.1)], "the least against it"


@pytest.fixture
def loaded(model, monkeypatch):
    """The command line gets the model that has compiled already."""
    monkeypatch.setattr(runtime, "enable_compilation_cache", lambda directory: None)
    monkeypatch.setattr("vgm_jax.inference.load_answerer", lambda workdir: model)


def test_the_command_line(loaded, green, films, tmp_path, capsys, monkeypatch):
    cli.main(["ask", "--model", "W", str(films / "film.mkv"), QUESTION, "--top", "3"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and all(0 <= float(line.split()[0]) <= 1 for line in lines)
    out = tmp_path / "answer.mkv"
    cli.main(["ask", "--model", "W", str(films / "film.mkv"), QUESTION, "--top", "3", "-o", str(out)])
    told = capsys.readouterr().out.splitlines()
    assert told[-1] == str(out) and set(lines) < set(told) and " s  " in told[-2]
    assert out.stat().st_size > 0
    monkeypatch.setattr("vgm_jax.inference.load_sampler", lambda workdir: Painter())
    monkeypatch.setattr("vgm_jax.inference.load_answerer", lambda workdir: green)
    made = "-o", str(tmp_path / "made.mp4"), "--generate", "G"
    cli.main(["ask", "--model", "W", str(films / "film.mkv"), QUESTION, *made])
    assert capsys.readouterr().out.splitlines()[-1] == made[1] and (tmp_path / "made.mp4").stat().st_size
    with pytest.raises(SystemExit, match="say its name with --out"):
        cli.main(["ask", "--model", "W", str(films / "film.mkv"), QUESTION, "--generate", "G"])
    with pytest.raises(SystemExit, match="--seconds is how long a video lasts"):
        cli.main(["ask", "--model", "W", str(films / "film.mkv"), QUESTION, "--seconds", "3"])
    with pytest.raises(SystemExit, match="vgm ask: error: not among .* that the model knows: 'zebra'"):
        cli.main(["ask", "--model", "W", str(films / "film.mkv"), "is there a zebra?"])


def test_bad_input_is_one_line(model, workdir, films, tmp_path):
    film = films / "silent.mp4"
    for question, message in (
        ("  ?! ", "has no word"),
        ("star " * 10_000, "the question has 10000 words; this model reads at most 64"),
        ("what color is the zebra", r"the 90 words .*: 'color' \(rather 'colour'\?\), 'zebra'$"),
    ):
        with pytest.raises(ValueError, match=message):
            model.ask(film, question)
    with pytest.raises(DecodeError, match="bad.mp4"):
        model.ask(films / "bad.mp4", QUESTION)
    with pytest.raises(ValueError, match="top=0 must be positive"):
        model.ask(film, QUESTION, top=0)
    with pytest.raises(ValueError, match="'mauve' is none of the model's answers: yes, no"):
        model.moments(film, QUESTION, "mauve")
    with pytest.raises(ValueError, match="expected a suffix among .mp4"):
        answer_file(model, film, QUESTION, tmp_path / "a.gif")
    with pytest.raises(ValueError, match="is the film itself"):
        answer_file(model, film, QUESTION, film)
    with pytest.raises(OSError, match="silent.mp4"):  # before anything is read
        answer_file(None, film, QUESTION, film / "a.mp4")
    with pytest.raises(ValueError, match="no picture that could be shown"):
        answer_file(model, films / "sound.wav", QUESTION, tmp_path / "a.mp4")
    task = copy.copy(model.task)
    task.modalities = ("audio",)
    about = dict(size=16, frames=8, fps=8.0, vocabulary=model.vocabulary, answers=model.answers, step=0)
    with pytest.raises(ValueError, match=r"the model sees no picture \(model.modalities=\('audio',\)\)"):
        answer_file(AnswerModel(task, {}, **about), films / "film.mkv", QUESTION, tmp_path / "a.mp4")
    config = json.loads((workdir / "config.json").read_text())
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text(json.dumps(config | {"task": "classification"}))
    with pytest.raises(ValueError, match="a run of task 'classification'; this needs 'question_answering'"):
        load_answerer(other)
    config["model"]["modalities"] = []
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="learnt from words alone"):
        load_answerer(other)
