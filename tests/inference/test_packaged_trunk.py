"""What comes with the package and unusual input: other tasks' models, sound alone, no sound, odd answers."""

import functools
import json
import wave

import av
import numpy as np
import pytest

from vgm_jax import cli
from vgm_jax.data.decode import DecodeError, read_frames
from vgm_jax.data.media import write_video
from vgm_jax.evaluation import physics
from vgm_jax.inference import load, load_summarizer
from vgm_jax.inference.asking import imagine_answer, shown_by
from vgm_jax.inference.summarizing import CHAPTERS, summarize_file
from vgm_jax.training import runtime

loaded = functools.cache(load)


@pytest.fixture(autouse=True, scope="module")
def _quick(quick_transnet):
    pass


@pytest.fixture(autouse=True)
def _uncached(monkeypatch):
    monkeypatch.setattr(runtime, "enable_compilation_cache", lambda directory: None)


@pytest.fixture(scope="module")
def silent(tmp_path_factory):
    """Four seconds without sound: two scenes."""
    path, rng = tmp_path_factory.mktemp("films") / "silent.mp4", np.random.default_rng(0)
    scenes = [np.clip(rng.integers(-40, 40, (32, 32, 3)) + level, 0, 255) for level in (60, 180)]
    write_video(path, np.repeat(np.stack(scenes).astype(np.uint8), 16, 0), 8.0)
    return path


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Two seconds of a tone, without a picture."""
    path = tmp_path_factory.mktemp("sounds") / "tone.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 32_000, "NONE", ""))
        file.writeframes((9000 * np.sin(np.arange(32_000) / 5)).astype("<i2").tobytes())
    return path


def test_a_summarizer_is_not_had_of_another_task(silent, tmp_path):
    for name, task in (("shapeshow-trunk/classification", "classification"), ("shapeshow", "generation")):
        with pytest.raises(ValueError, match=f"{name} holds a run of task '{task}'; this needs 'summ"):
            load_summarizer(name)
    with pytest.raises(SystemExit, match="vgm summarize: error: emoji holds a run of task 'generation'"):
        cli.main(["summarize", "--model", "emoji", str(silent), "-o", str(tmp_path / "a.mp4")])
    assert not list(tmp_path.iterdir())


def test_sound_without_a_picture_has_no_summary(sound, tmp_path, monkeypatch):
    summarizer = loaded("shapeshow-trunk").summarizer
    with pytest.raises(DecodeError, match="tone.wav: it has no video stream"):
        summarize_file(summarizer, sound, tmp_path / "a.mp4")
    monkeypatch.setattr("vgm_jax.inference.summarizing.load_summarizer", lambda model: summarizer)
    with pytest.raises(SystemExit, match="^vgm summarize: error: .*tone.wav: it has no video stream"):
        cli.main(["summarize", "--model", "shapeshow-trunk", str(sound), "-o", str(tmp_path / "a.mp4")])
    assert not list(tmp_path.iterdir())


def test_a_film_without_sound_has_a_summary_without(silent, tmp_path, monkeypatch, capsys):
    summarizer = loaded("shapeshow-trunk").summarizer
    monkeypatch.setattr("vgm_jax.inference.summarizing.load_summarizer", lambda model: summarizer)
    out = tmp_path / "short.mp4"
    cli.main(["summarize", "--model", "shapeshow-trunk", str(silent), "--budget", "0.6", "-o", str(out)])
    assert f"{out}: " in capsys.readouterr().out
    result = json.loads((tmp_path / CHAPTERS).read_text())
    assert result["film_seconds"] == 4.0 and 0 < result["seconds"] <= 2.4
    with av.open(str(out)) as file:
        assert not file.streams.audio
    assert len(read_frames(out)[0]) == round(8 * result["seconds"])


def test_what_an_answer_shows():
    assert shown_by("What colour is the star?", "green") == "green"
    assert shown_by("Is there a red circle?", "yes") == "a red circle"
    assert shown_by("is there a pink object?", "yes") == "a pink"
    with pytest.raises(ValueError, match="what is not there"):
        shown_by("is there a red circle?", "no")


def test_a_generator_knows_the_words_of_captions_alone():
    """Its vocabulary has those of questions, too, which were never said of a clip."""
    generator = loaded("shapeshow")
    for text in ("a blue star spins", "red", "circles clockwise"):
        generator.stream(0, text=text)
    for text, word in (("two", "two"), ("yes", "yes"), ("a beep", "beep"), ("a red object", "object")):
        with pytest.raises(ValueError, match=f"not among the 32 words that the model knows: '{word}'"):
            generator.stream(0, text=text)


@pytest.fixture
def answers(monkeypatch):
    """`answers(name)`: the packaged answerer, which then says that."""

    def made(name):
        answerer = loaded("shapeshow-trunk").answerer
        monkeypatch.setattr(answerer, "ask", lambda *_: [(name, 0.9), ("three", 0.1)])
        return answerer

    return made


def test_an_answer_of_any_kind_is_generated_or_refused_in_a_line(answers, silent, tmp_path, monkeypatch):
    out, generator = tmp_path / "answer.mp4", loaded("shapeshow")
    for question, answer, message in (
        ("how many circles are there?", "two", "the answer is 'two', which cannot be generated: .*: 'two'"),
        ("what sound is there?", "beep", "the answer is 'beep', which cannot be generated: .*: 'beep'"),
        ("is there a red circle?", "no", "the answer is 'no', which cannot be generated: of what is not"),
        ("does the red object begin above the blue object?", "yes", "'yes', which .*: 'begin', 'above'$"),
    ):
        with pytest.raises(ValueError, match=message):
            imagine_answer(answers(answer), generator, silent, question, out)
        assert not out.exists()
    asked = []
    sample = generator.sample
    monkeypatch.setattr(generator, "sample", lambda *a, **k: asked.append(sample(*a, **k)) or asked[0])
    result = imagine_answer(answers("yes"), generator, silent, "is there a red circle?", out)
    assert result["answers"][0] == ["yes", 0.9] and len(read_frames(out)[0]) == 16
    found = physics.classes(physics.observe(asked[0], np.arange(16) / 16))
    assert physics.NAMES["colour"][found["colour"][0]] == "red"


def test_the_command_line_generates_answers(answers, silent, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("vgm_jax.inference.load_answerer", lambda model: answers("yes"))
    monkeypatch.setattr("vgm_jax.inference.load_sampler", loaded)
    out = tmp_path / "answer.mp4"
    given = "--model", "shapeshow-trunk", "--generate", "shapeshow", "-o", str(out)
    cli.main(["ask", str(silent), "is there a red circle?", *given])
    assert capsys.readouterr().out.splitlines() == [" 0.9000  yes", " 0.1000  three", str(out)]
    with pytest.raises(SystemExit, match="^vgm ask: error: the answer is 'yes', which cannot be generated: "):
        cli.main(["ask", str(silent), "is there a flash?", *given])
