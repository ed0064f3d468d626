"""From a film to its summary: shots, importance, the parts that are cut out, chapters, a contact sheet."""

import contextlib
import dataclasses
import json

import av
import jax
import numpy as np
import pytest

from vgm_jax.data import decode
from vgm_jax.data.audio import read_audio
from vgm_jax.data.captions import Captions
from vgm_jax.data.featured import windows_of
from vgm_jax.data.media import write_video
from vgm_jax.inference import summarizing
from vgm_jax.inference.reading import Reading
from vgm_jax.inference.summarizing import CHAPTERS, SHEET, Shot, SummaryModel, summarize_file, title
from vgm_jax.tasks import build
from vgm_jax.tasks.vectors import SAID, Vectors

FPS, SCENES = 8, (3.0, 2.0, 4.0, 2.5, 3.5)


class ByBrightness(SummaryModel):
    """A film's importance is that of its pictures' brightness: what the network would say is made up."""

    def importance(self, vectors):
        return np.asarray(vectors[:, 0])


class Brightness:
    """Brightness, and which of eight levels it is next to."""

    modalities, window = ("video",), 2

    def of_windows(self, windows, fps):
        bright = windows["video"].mean((1, 2, 3, 4)) / 255
        return np.concatenate([bright[:, None], np.eye(9)[np.round(8 * bright).astype(int)]], 1)


@pytest.fixture(autouse=True, scope="module")
def _quick(quick_transnet):
    pass


@pytest.fixture(scope="module")
def model(recipe):
    config = recipe("summarize").unlock()
    config.model.update(features="random", window=2)
    config.model.summarizer.update(width=8, layers=1, heads=1)
    task = build(config)
    clip = {"video": np.zeros((2, 4, 16, 16, 3), np.uint8)}
    params = jax.jit(task.init)(jax.random.key(0), clip).average
    return SummaryModel(task, params, size=16, fps=FPS, step=0)


@pytest.fixture(scope="module")
def bright(model):
    task = model.task
    other = ByBrightness(task, {}, size=16, fps=FPS, step=7)
    other.task = type("Task", (), {"vectors": Brightness()})()
    return other


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Five scenes of noise, 15 s; the fourth is the brightest. A tone all along; subtitles to two scenes."""
    path, rng = tmp_path_factory.mktemp("films") / "film.mkv", np.random.default_rng(0)
    levels = (60, 120, 30, 220, 90)
    frames = []
    for seconds, level in zip(SCENES, levels, strict=True):
        scene = rng.integers(-30, 30, (36, 64, 3)) + level
        frames += [np.clip(scene, 0, 255).astype(np.uint8)] * round(seconds * FPS)
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=FPS, options={"crf": "10"})
        video.width, video.height, video.pix_fmt = 64, 36, "yuv420p"
        audio = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for i, frame in enumerate(frames):
            out.mux(video.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
            tone = 0.3 * np.sin(2 * np.pi * 500 * (np.arange(2000) + 2000 * i) / 16_000)
            block = av.AudioFrame.from_ndarray((32767 * tone).astype(np.int16)[None], "s16", "mono")
            block.sample_rate, block.pts = 16_000, 2000 * i
            out.mux(audio.encode(block))
        out.mux(video.encode())
        out.mux(audio.encode())
    (path.parent / "film.srt").write_text(
        "1\n00:00:00,500 --> 00:00:02,000\nGood morning\n\n"
        "2\n00:00:09,500 --> 00:00:11,000\nThe brightest of all\n"
    )
    return path


EDGES = np.cumsum((0.0, *SCENES))


def test_shots_are_the_scenes_and_the_best_are_chosen(bright, film):
    for way in ("transnet", "kts"):
        shots = bright.summary(film, seconds=8.3, shots=way)
        np.testing.assert_allclose([shot.start for shot in shots], EDGES[:-1], atol=0.26)
        np.testing.assert_allclose([shot.end for shot in shots], EDGES[1:], atol=0.26)
        assert [shot.chosen for shot in shots] == [False, True, False, True, True]
        assert shots[3].importance == pytest.approx(220 / 255, abs=0.06)
    assert sum(shot.end - shot.start for shot in bright.summary(film, 1.0) if shot.chosen) == 15.0
    few = [shot for shot in bright.summary(film, 0.1) if shot.chosen]  # 1.5 s: scenes are several parts
    assert few and all(shot.end - shot.start <= 0.75 and 9.0 <= shot.start < 11.5 for shot in few)


def test_a_budget_is_filled_where_nothing_matters(bright, film, monkeypatch):
    spans = [(0.0, 1.0), (1.0, 2.0), (2.0, 4.0)]
    for scores, expected in ((np.zeros(8), 2.0), (np.array([0, 0, 1.0, 1.0, 0, 0, 0, 0]), 2.0)):
        monkeypatch.setattr(bright, "_read", lambda *_, scores=scores: (spans, scores, 4.0))
        shots = bright.summary(film, 0.5)
        assert sum(shot.end - shot.start for shot in shots if shot.chosen) == expected
        assert not scores.any() or shots[1].chosen


def test_a_budget_of_all_takes_all(bright, film, monkeypatch):
    """Wherever shots end: lengths are counted in hundredths of a second, and rounded up."""
    spans = [(0.0, 4.0333), (4.0333, 10.0)]
    monkeypatch.setattr(bright, "_read", lambda *_: (spans, np.full(20, 0.5), 10.0))
    assert all(shot.chosen for shot in bright.summary(film, 1.0))
    assert all(shot.chosen for shot in bright.summary(film, seconds=99.0))


def test_a_summary_with_its_sound_chapters_and_sheet(bright, film, tmp_path, monkeypatch):
    """The film's own caption is no title: it would be that of all chapters."""
    said = dataclasses.replace(summarizing.said_in(film), text="Five scenes of noise")
    monkeypatch.setattr(summarizing, "said_in", lambda path: said)
    told = []
    result = summarize_file(
        bright, film, tmp_path / "short.mp4", seconds=8.3, progress=lambda *at: told.append(at)
    )
    assert result["seconds"] == 8.0 and len(told) >= 14 and told[-1][0] <= 15.0 + 1e-6
    frames, _ = decode.read_frames(tmp_path / "short.mp4")
    np.testing.assert_allclose(frames.mean((1, 2, 3)), [120] * 16 + [218] * 20 + [90] * 28, atol=6)
    sound = read_audio(tmp_path / "short.mp4")
    assert abs(len(sound) / 16_000 - 8.0) < 0.1 and np.abs(sound[8000:60_000]).max() > 0.2
    chapters = json.loads((tmp_path / CHAPTERS).read_text())
    assert chapters == result and chapters["step"] == 7 and chapters["film"] == "film.mkv"
    assert [c["title"] for c in chapters["chapters"]] == ["0:00:03", "The brightest of all", "0:00:11"]
    assert [(c["start"], c["end"]) for c in chapters["chapters"]] == [(0, 2.0), (2.0, 4.5), (4.5, 8.0)]
    assert [c["film_start"] for c in chapters["chapters"]] == [3.0, 9.0, 11.5]
    sheet = decode.read_frames(tmp_path / "short.mp4")[0][0]
    with av.open(str(tmp_path / SHEET)) as picture:
        pixels = next(picture.decode(video=0)).to_ndarray(format="rgb24")
    left, right = pixels[10:100, 10:200].mean(), pixels[10:100, 215:400].mean()
    assert abs(left - sheet.mean()) < 8 and right > left + 60


def test_a_summary_of_one_chapter_is_named_by_the_films_caption(bright, film, tmp_path, monkeypatch):
    monkeypatch.setattr(bright, "summary", lambda *_, **__: [Shot(0.0, 3.0, 0.2), Shot(3.0, 5.0, 0.5, True)])
    monkeypatch.setattr(summarizing, "said_in", lambda path: Captions("Five scenes of noise"))
    result = summarize_file(bright, film, tmp_path / "short.mp4")
    assert [c["title"] for c in result["chapters"]] == ["Five scenes of noise"]


def test_importance_does_not_depend_on_how_a_film_is_read(model, film):
    """Vectors of a film that goes by are those of its frames at once, and blocks are scored as a whole."""
    spans, scores, end = model._read(film, "transnet", lambda *_: None)
    assert end == 15.0 and len(spans) == 5
    frames, _ = decode.read_frames(film, fps=FPS, size=16, crop="none")
    windows = windows_of(frames, None, FPS, 2)
    vectors = model.task.vectors.of_windows(windows, FPS)
    times = (np.arange(60) * 0.25).astype(np.float32)
    found = model.task.scores(model._params, vectors[None], times[None], np.ones((1, 60), bool))[0]
    np.testing.assert_allclose(scores, found, atol=1e-5)


def test_a_films_subtitles_are_read_with_it(film):
    """From half a second to two, and from nine and a half to eleven, in windows of a quarter of a second."""
    reading = Reading(film, Vectors("random,words", 2, build), size=16, fps=FPS, progress=lambda *_: None)
    with contextlib.closing(reading):
        words = np.stack(list(reading.vectors()))[:, -SAID:]
    said = np.flatnonzero(np.abs(words).max(1) > 0)
    assert said.tolist() == [*range(2, 8), *range(38, 44)]
    assert not np.array_equal(words[2], words[38])


def test_a_long_film_is_scored_in_blocks_that_overlap(bright):
    calls = []

    def importance(vectors):
        calls.append(len(vectors))
        return np.asarray(vectors[:, 0])

    for n in (3, summarizing.BLOCK, 2 * summarizing.BLOCK + 100):
        scores = summarizing._Scores(type("Model", (), {"importance": staticmethod(importance)}))
        for i in range(n):
            scores.add(np.array([float(i)]))
        assert scores.finish().tolist() == list(range(n))
    assert set(calls) == {3, summarizing.BLOCK}, "the last moments are held against as many as the others"


def test_a_film_of_transitions_alone_is_one_shot(bright, film, monkeypatch):
    """As of a quick show of pictures; and a long budget is weighed in coarser parts of seconds."""
    monkeypatch.setattr(summarizing, "cuts", lambda reading, add: [add(v) for v in reading.vectors()] and [])
    shots = bright.summary(film, 0.4)
    assert shots[0].start == 0.0 and shots[-1].end == pytest.approx(sum(SCENES), abs=0.1)
    monkeypatch.setattr(summarizing, "MOST_UNITS", 30)
    coarse = bright.summary(film, 0.4)
    lasts = sum(shot.end - shot.start for shot in coarse if shot.chosen)
    assert 0.25 * sum(SCENES) < lasts <= 0.4 * sum(SCENES) + 1e-6


def test_windows_take_the_sound_of_their_frames():
    video = np.arange(7, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    audio = np.arange(14_000, dtype=np.float32)
    found = windows_of(video, audio, 8.0, 2)
    assert found["video"][:, :, 0, 0, 0].tolist() == [[0, 1], [2, 3], [4, 5], [6, 6]]
    assert found["audio"].shape == (4, 4000) and found["audio"][:, 0].tolist() == [0, 4000, 8000, 12_000]
    assert not found["audio"][3, 2000:].any()


def test_titles():
    shot = Shot(3725.0, 3730.0, 0.5)
    assert title(Captions(), shot) == "1:02:05"
    said = title(Captions("word " * 40), shot)
    assert said.endswith("word…") and len(said) <= summarizing.TITLE
    assert title(Captions("a film\nof mine"), shot) == "a film of mine"


def test_bad_input_is_one_line(bright, film, tmp_path):
    def fails(match, path=film, out="a.mp4", **settings):
        with pytest.raises(ValueError, match=match):
            summarize_file(bright, path, tmp_path / out, **settings)

    for budget in (0.0, 1.5, -1.0, float("nan")):
        fails("must be above 0 and at most 1", budget=budget)
    fails("seconds=0", seconds=0)
    fails("shots='some' is unknown", shots="some")
    fails("expected a suffix among .mp4", out="a.gif")
    fails("there is no such file", path=tmp_path / "none.mp4")
    fails("no shot fits into 0.15 s: the shortest lasts 0.50 s; give a larger budget", budget=0.01)
    write_video(tmp_path / "one.mp4", np.zeros((1, 16, 16, 3), np.uint8), FPS)
    fails("too short for a summary", path=tmp_path / "one.mp4")
    (tmp_path / "bad.mp4").write_bytes(b"no film")
    fails("bad.mp4", path=tmp_path / "bad.mp4")
    assert not (tmp_path / "a.mp4").exists() and not (tmp_path / CHAPTERS).exists()
    (tmp_path / CHAPTERS).write_text(json.dumps({"summary": "b.mp4"}))
    fails("of b.mp4: give each summary its own folder")
    with pytest.raises(OSError, match="one.mp4"):  # before anything is read
        summarize_file(None, film, tmp_path / "one.mp4" / "a.mp4")
    (tmp_path / "pictures").mkdir()
    fails("would be one of the film's pictures", path=tmp_path / "pictures", out="pictures/a.mp4")
    fails("is the film itself", path=tmp_path / "one.mp4", out="one.mp4")
