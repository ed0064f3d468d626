"""From a trained workdir and files to answers: as a whole, as they run, and as vectors."""

import gc
import itertools
import json
import wave
import weakref

import av
import jax
import numpy as np
import pytest

import vgm_jax
from vgm_jax import cli
from vgm_jax.data import decode
from vgm_jax.data.audio import read_audio
from vgm_jax.data.decode import DecodeError
from vgm_jax.data.media import write_video
from vgm_jax.data.transforms import to_float
from vgm_jax.inference import load_classifier
from vgm_jax.inference.features import features_file
from vgm_jax.inference.films import Clips, find, in_batches
from vgm_jax.inference.streaming import REBASE, joint
from vgm_jax.inference.understanding import BATCH, ClassifierModel, _said
from vgm_jax.training import runtime
from vgm_jax.training.workdir import WorkdirError


@pytest.fixture(scope="module")
def workdir(of_trunk):
    seen = {"modalities": ("video", "audio"), "heads": (("class", 48),), "modality_drop": 0.3}
    trunk = {"causal": True, "horizon": 0.5, "words": 0}
    return of_trunk(trunk, shapeshow={"label": "both", "audio": True}, model=seen)


@pytest.fixture(scope="module")
def model(workdir):
    return vgm_jax.load(workdir)


@pytest.fixture
def loaded(workdir, model, monkeypatch):
    """The command line gets the model that has compiled already."""
    monkeypatch.setattr(runtime, "enable_compilation_cache", lambda directory: None)
    monkeypatch.setattr("vgm_jax.inference.load_classifier", {str(workdir): model}.get)


def write_wav(path, sound):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, len(sound), "NONE", ""))
        file.writeframes((32767 * sound).astype("<i2").tobytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Films: 2.5 s with sound; 1 s without; sound alone, 1.5 s; one frame; and two that cannot be read."""
    path, rng = tmp_path_factory.mktemp("films"), np.random.default_rng(0)
    frames = rng.integers(0, 255, (20, 2, 2, 3)).astype(np.uint8).repeat(16, 1).repeat(16, 2)
    sound = (0.3 * rng.uniform(-1, 1, 40_000)).astype(np.float32)
    write_wav(path / "sound.wav", sound[:24_000])
    write_video(path / "silent.mp4", frames[:8], 8.0)
    write_video(path / "one.mp4", frames[:1], 8.0)
    (path / "bad.mp4").write_bytes(b"no film")
    (path / "empty.wav").write_bytes(b"")
    with av.open(str(path / "both.mkv"), "w") as out:
        video = out.add_stream("ffv1", rate=8)
        video.width = video.height = 32
        video.pix_fmt = "bgr0"
        audio = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for i, frame in enumerate(frames):
            out.mux(video.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
            piece = (32767 * sound[None, 2000 * i : 2000 * i + 2000]).astype(np.int16)
            block = av.AudioFrame.from_ndarray(piece, "s16", "mono")
            block.sample_rate, block.pts = 16_000, 2000 * i
            out.mux(audio.encode(block))
        out.mux(video.encode())
        out.mux(audio.encode())
    return path


def test_an_answer_is_the_likeliest_classes_by_name(model, folder):
    answer = model.classify(folder / "both.mkv", top=48)
    names, p = zip(*answer, strict=True)
    assert set(names) == set(model.names) and "left, beep" in names and "fall, hiss" in names
    assert list(p) == sorted(p, reverse=True)
    np.testing.assert_allclose(sum(p), 1.0, atol=1e-5)
    assert model.classify(folder / "both.mkv", top=2) == answer[:2]


def test_classes_that_the_data_had_not_are_numbered(model):
    about = dict(size=16, frames=8, fps=8.0, step=2)
    few = ClassifierModel(model.task, model._params, names=("walk", "run"), **about)
    assert few.names[:3] == ("walk", "run", "class 2") and len(few.names) == 48


def test_it_is_the_mean_over_clips_of_the_film(model, folder):
    total, judge = 0.0, jax.jit(model.task.judge)
    for clip in model.clips(folder / "both.mkv"):
        batch = {name: clip[name][None] for name in ("video", "times", "audio")}
        frames = to_float(batch.pop("video"))
        found = judge(model._params, frames, batch["times"], audio=batch["audio"])
        total = total + np.asarray(jax.nn.softmax(found.logits[0]))[0] / 3
    p = dict(model.classify(folder / "both.mkv", top=48))
    np.testing.assert_allclose([p[name] for name in model.names], total, atol=1e-5)


def test_what_is_short_is_filled_up_and_what_is_missing_is_not_made_up(model, folder):
    (clip,) = model.clips(folder / "one.mp4")
    assert clip["part"] == 1 / 8 and "audio" not in clip
    assert (clip["video"] == clip["video"][0]).all() and clip["video"].shape == (8, 16, 16, 3)
    first, last = model.clips(folder / "sound.wav")
    assert "video" not in first and last["part"] == 0.5 and not last["audio"][8000:].any()
    assert len(model.classify(folder / "sound.wav")) == len(model.classify(folder / "silent.mp4")) == 5
    starts = [clip["start"] for clip in model.clips(folder / "both.mkv")]
    assert starts == [0.0, 1.0, 2.0]
    assert [c["start"] for c in model.clips(folder / "both.mkv").spread(2)] == [0.0, 1.5]


def test_a_film_without_sound_is_silent_where_training_kept_nothing_from_clips(model, folder, monkeypatch):
    monkeypatch.setattr(model.task, "modality_drop", 0.0)
    (clip,) = model.clips(folder / "silent.mp4")
    silence = np.zeros(16_000, np.float32)
    np.testing.assert_array_equal(clip["audio"], silence)
    seen, _ = next(in_batches([clip], BATCH))
    heard = jax.device_get(_said(model.task.classifier, model._params, model.task.given(seen)))
    found = dict(model.classify(folder / "silent.mp4", top=48))
    np.testing.assert_allclose([found[n] for n in model.names], heard["probabilities"][0], atol=1e-6)
    assert len(model.features(folder / "silent.mp4")["audio"]) == 12
    stream = model.open_stream()
    expected = [*stream.push(clip["video"], silence), *stream.finish()]
    streamed = [dict(answer) for _, answer in model.stream(folder / "silent.mp4", top=48)]
    for answer, (_, p) in zip(streamed, expected, strict=True):
        np.testing.assert_allclose([answer[n] for n in model.names], p, atol=1e-6)
    assert "video" not in next(iter(model.clips(folder / "sound.wav")))


def test_streamed_answers_are_those_of_the_whole_clip(model, folder):
    """2.5 s of film as one clip, through the trunk at once."""
    parts = list(model.clips(folder / "both.mkv"))
    video = np.concatenate([clip["video"] for clip in parts])[:20]
    audio = np.concatenate([clip["audio"] for clip in parts])[:40_000]
    times = (np.arange(20) / 8).astype(np.float32)
    batch = {"video": to_float(video)[None], "times": times[None], "audio": audio[None]}

    def whole(params, batch):
        _, seen = model.task.classifier.apply(params, batch, method="encode")
        head = params["params"]["heads_0"]["Dense_0"]
        return jax.nn.softmax(seen.beats @ head["kernel"] + head["bias"])

    expected = np.asarray(jax.jit(whole)(model._params, batch))[0]
    found = list(model.stream(folder / "both.mkv", top=48))
    assert [seconds for seconds, _ in found] == times[1::2].tolist()
    for (_, answer), p in zip(found, expected, strict=True):
        answer = dict(answer)
        np.testing.assert_allclose([answer[name] for name in model.names], p, atol=1e-4)


def test_a_running_answer_ends_as_the_whole_clip_does(model, folder):
    """Of frames that fill no tubelet; and what is pushed is taken, whether answers are looked at or not."""
    (clip,) = itertools.islice(model.clips(folder / "both.mkv"), 1)
    video, audio, n = clip["video"], clip["audio"], len(clip["video"]) - 1
    times = (np.arange(n) / 8).astype(np.float32)
    batch = {"video": to_float(video[:n])[None], "times": times[None], "audio": audio[None, : 2000 * n]}
    p = jax.jit(lambda params, x: model.task.classifier.apply(params, x, method="encode")[0])
    expected = np.asarray(joint(p(model._params, batch)))[0]
    stream = model.open_stream()
    stream.push([], audio[: 2000 * n])
    stream.push(video[: n - 1])
    *_, (seconds, found) = [*stream.push(video[n - 1 : n]), *stream.finish()]
    assert seconds == times[-1]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    with pytest.raises(ValueError, match="frames must be uint8"):
        stream.push(np.zeros((1, 16, 16, 3)))
    sound = model.open_stream()
    sound.push([], audio)  # and no picture ever comes
    assert len(list(sound.finish())) >= 1


def test_a_model_that_is_let_go_is_gone(model, folder):
    """Compiled programs keep no parameters."""
    about = dict(size=model.size, frames=model.frames, fps=model.fps, names=model.names, step=0)
    other = ClassifierModel(model.task, model._params, **about)
    other.classify(folder / "one.mp4")
    gone = weakref.ref(other)
    del other
    gc.collect()
    assert gone() is None


def test_a_running_answer_ends_with_all_that_there_was(model, folder):
    """A frame that fills no tubelet stays; a sound that fills no patch ends in silence."""
    ((seconds, answer),) = model.stream(folder / "one.mp4", top=48)
    assert seconds == 0.0
    (clip,) = model.clips(folder / "one.mp4")
    stream = model.open_stream(sound=False)
    ((_, p),) = stream.push(clip["video"][:2])
    np.testing.assert_allclose([dict(answer)[name] for name in model.names], p, atol=1e-5)
    assert list(stream.finish()) == []
    sound = np.random.default_rng(0).uniform(-0.3, 0.3, 3000).astype(np.float32)  # two patches and a bit
    alone, padded = model.open_stream(), model.open_stream()
    found = [*alone.push(None, sound), *alone.finish()]
    expected = list(padded.push(None, np.concatenate([sound, np.zeros(1200, np.float32)])))
    assert len(found) == len(expected) == 3 and found[-1][0] == 3000 / 16_000
    np.testing.assert_allclose([p for _, p in found], [p for _, p in expected], atol=1e-6)


def test_a_streams_sound_has_no_seams(model, folder, monkeypatch):
    """Clips of 5 frames at 12 a second last no whole number of samples; none is lost or heard twice."""
    heard = []

    class Recorder:
        def push(self, video, audio):
            heard.append(audio)
            return ()

        def finish(self):
            return ()

    clips = Clips(folder / "both.mkv", size=16, frames=5, fps=12.0)
    monkeypatch.setattr(model, "clips", lambda path: clips)
    monkeypatch.setattr(model, "open_stream", lambda sound: Recorder())
    list(model.stream(folder / "both.mkv"))
    whole, found = read_audio(folder / "both.mkv"), np.concatenate(heard)
    assert len(found) == 40_000 and len(heard) == 6
    assert np.mean(found == whole[:40_000]) > 0.999, "but for a sample at some seams"


def test_damage_is_no_early_end(model, folder, monkeypatch):
    """A film that ends before its header says so has fewer views; one that does not decode is an error."""
    read = decode.iterate_frames

    def broken(error):
        def frames(path, *, start=0.0, **settings):
            if start:
                raise error
            yield from read(path, start=start, **settings)

        monkeypatch.setattr(decode, "iterate_frames", frames)

    path = folder / "both.mkv"
    broken(decode.TooShortError(path, "fewer frames"))
    assert len(list(model.clips(path).spread(2))) == 1
    broken(DecodeError(path, "torn"))
    with pytest.raises(DecodeError, match="torn"):
        model.classify(path, views=2)


def test_a_stream_takes_frames_and_sound_of_one_kind(model):
    """And goes on after what it refused. Sound given first is heard with the frames that come then."""
    rng = np.random.default_rng(0)
    video = rng.integers(0, 255, (8, 16, 16, 3)).astype(np.uint8)
    audio = rng.uniform(-0.3, 0.3, 16_000).astype(np.float32)
    together = [p for _, p in model.open_stream().push(video, audio)]
    stream = model.open_stream()
    for wrong in (video / 255, video[0], video[..., :1]):
        with pytest.raises(ValueError, match="frames must be uint8"):
            list(stream.push(wrong))
    for wrong, message in ((np.full(9, np.nan, np.float32), "finite"), (np.int16([3]), "float32")):
        with pytest.raises(ValueError, match=message):
            list(stream.push(video, wrong))
    assert not list(stream.push([], audio))
    np.testing.assert_allclose([p for _, p in stream.push(video)], together, atol=1e-5)


def test_a_stream_may_go_on_for_hours(model):
    """After half an hour a second of film gives what it gave at first: nothing grows, no clock runs out."""
    rng = np.random.default_rng(0)
    video = rng.integers(0, 255, (8, 16, 16, 3)).astype(np.uint8)
    audio = rng.uniform(-0.3, 0.3, 16_000).astype(np.float32)
    stream = model.open_stream()
    answers = []
    for _ in range(4):
        answers.append([p for _, p in stream.push(video, audio)])
    stream._seen += 8 * 1800
    stream._heard += round(1800 / 0.08)
    for _ in range(4):
        answers.append([p for _, p in stream.push(video, audio)])
    np.testing.assert_allclose(answers[-1], answers[3], atol=1e-4)
    assert stream._base >= 1800 - REBASE and len(stream._audio) < 16_000


def test_features_of_a_folder(loaded, model, workdir, folder, tmp_path, capsys):
    out = tmp_path / "deep/features.npz"
    cli.main(["features", "--model", str(workdir), str(folder), "-o", str(out)])
    told = capsys.readouterr().out
    assert "left out: bad.mp4: " in told and "left out: empty.wav: " in told and "4 files, 2 left out" in told
    saved = np.load(out)
    assert saved["files"].tolist() == ["both.mkv", "one.mp4", "silent.mp4", "sound.wav"]
    assert saved["rejected"].tolist() == ["bad.mp4", "empty.wav"] and all(saved["reasons"])
    assert saved["pooled"].shape == (4, 8) and np.isfinite(saved["pooled"]).all()
    # Two and a half clips, a frame and one clip, of four tubelets; and of twelve patches of sound, of which
    # the seventh is half of the film's.
    assert np.diff(saved["video_offsets"]).tolist() == [10, 1, 4, 0]
    assert np.diff(saved["audio_offsets"]).tolist() == [31, 0, 0, 19]
    assert max(saved["video_times"][:10].max(), saved["audio_times"][:30].max()) <= 2.5 + 1e-6
    np.testing.assert_allclose(saved["video_times"][:5], [0.125, 0.375, 0.625, 0.875, 1.125], atol=1e-6)
    one = model.features(folder / "both.mkv")
    np.testing.assert_allclose(saved["video"][:10], one["video"], atol=1e-5)


def test_features_go_on_where_they_were_stopped(model, folder, tmp_path, monkeypatch):
    features_file(model, folder, tmp_path / "whole.npz")
    asked, features = [], model.features

    def stopped(path):
        asked.append(path.name)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return features(path)

    monkeypatch.setattr(model, "features", stopped)
    out = tmp_path / "parts.npz"
    with pytest.raises(KeyboardInterrupt):
        features_file(model, folder, out)
    (torn,) = (path for path in (tmp_path / ".parts.npz.parts").iterdir() if path.suffix == ".npz")
    torn.write_bytes(torn.read_bytes()[:100])
    assert features_file(model, folder, out)[0] == 4 and not (tmp_path / ".parts.npz.parts").exists()
    assert asked == ["bad.mp4", "both.mkv", "empty.wav", *sorted(path.name for path in folder.iterdir())]
    with np.load(out) as a, np.load(tmp_path / "whole.npz") as b:
        assert set(a.files) == set(b.files)
        for name in a.files:
            np.testing.assert_array_equal(a[name], b[name])


def test_the_command_line(loaded, workdir, folder, capsys):
    cli.main(["classify", "--model", str(workdir), str(folder / "silent.mp4"), "--top", "3"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and all(0 <= float(line.split()[0]) <= 1 for line in lines)
    cli.main(["classify", "--model", str(workdir), str(folder / "both.mkv"), "--stream"])
    assert " s  " in capsys.readouterr().out.splitlines()[0]


def test_a_film_whose_picture_is_damaged_is_not_answered_by_its_sound(model, folder, tmp_path):
    data = bytearray((folder / "both.mkv").read_bytes())
    at = data.find(b"V_FFV1")
    data[at : at + 6] = b"V_FFVX"  # a codec that nobody knows
    (tmp_path / "damaged.mkv").write_bytes(data)
    with pytest.raises(DecodeError, match="cannot be decoded"):
        model.classify(tmp_path / "damaged.mkv")


def test_linked_folders_are_entered_once(folder, tmp_path):
    (tmp_path / "all/a").mkdir(parents=True)
    (tmp_path / "all/films").symlink_to(folder)
    (tmp_path / "all/a/back").symlink_to(tmp_path / "all")
    (tmp_path / "all/.hidden").symlink_to(folder)
    assert [name for name, _ in find(tmp_path / "all")] == [
        f"films/{name}" for name in ("bad.mp4", "both.mkv", "empty.wav", "one.mp4", "silent.mp4", "sound.wav")
    ]


def test_bad_input_is_one_line(model, workdir, folder, tmp_path):
    with pytest.raises(DecodeError, match="bad.mp4"):
        model.classify(folder / "bad.mp4")
    with pytest.raises(DecodeError, match="there is no such file"):
        model.classify(folder / "none.mp4")
    write_wav(tmp_path / "nothing.wav", np.zeros(0, np.float32))
    with pytest.raises(DecodeError, match="nothing.wav: its sound has no samples"):
        model.classify(tmp_path / "nothing.wav")
    with pytest.raises(ValueError, match="top=0 must be positive"):
        model.classify(folder / "one.mp4", top=0)
    with pytest.raises(SystemExit, match="vgm features: error: .*expected the suffix .npz"):
        cli.main(["features", "--model", str(workdir), str(folder), "-o", str(tmp_path / "a.csv")])
    with pytest.raises(WorkdirError, match="is not the workdir of a run"):
        load_classifier(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert", "model": "text"}')
    with pytest.raises(WorkdirError, match="config.json is of something else"):
        load_classifier(tmp_path)
    config = json.loads((workdir / "config.json").read_text())
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text(json.dumps(config | {"task": "generation"}))
    with pytest.raises(ValueError, match="a run of task 'generation'; this needs 'classification'"):
        load_classifier(other)
    for modalities, drop in ((["video", "text"], 0.0), (["text"], 0.3)):
        config["model"].update(modalities=modalities, modality_drop=drop)
        (other / "config.json").write_text(json.dumps(config))
        with pytest.raises(ValueError, match="learnt with each clip's words .*, and classifiers read none"):
            load_classifier(other)
