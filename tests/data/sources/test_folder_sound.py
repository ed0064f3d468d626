"""Sound and captions of clips straight from a folder."""

import pickle
import warnings
from fractions import Fraction

import av
import numpy as np
import pytest

from vgm_jax.data.audio import read_audio
from vgm_jax.data.media import write_video
from vgm_jax.data.pipeline import EvaluationBatches, train_batches
from vgm_jax.data.sources import make_source
from vgm_jax.data.sources.folder import Folder

RATE = 16000


def film(path, seconds, level=100, pitch=500.0, sound=True, fps=10):
    """A grey film; its tone is louder second by second."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=fps)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=RATE, layout="mono") if sound else None
        for second in range(seconds):
            for t in range(second * fps, (second + 1) * fps):
                picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), level, np.uint8))
                picture = picture.reformat(format="yuv420p", threads=1)
                picture.pts, picture.time_base = t, Fraction(1, fps)
                container.mux(video.encode(picture))
            if sound:
                t = np.arange(second * RATE, (second + 1) * RATE) / RATE
                tone = (3000 * (second + 1) * np.sin(2 * np.pi * pitch * t)).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = RATE, second * RATE, Fraction(1, RATE)
                container.mux(audio.encode(frame))
        container.mux(video.encode())
        if sound:
            container.mux(audio.encode())
    return path


def settings(**more):
    return {"size": 16, "frames": 8, "fps": 8.0, "audio": True} | more


@pytest.mark.parametrize("memory", [0, 1024])
def test_clips_have_the_sound_of_their_time(tmp_path, memory):
    path = film(tmp_path / "a.mkv", 5)
    film(tmp_path / "b.mkv", 2, sound=False)
    np.save(tmp_path / "c.npy", np.zeros((16, 32, 32, 3), np.uint8))
    source = Folder(tmp_path, memory=memory, **settings())
    whole = read_audio(path)
    assert len(source) == 9
    for i in (3, 0, 1, 2, 4, 8, 3):
        item = source[i]
        assert set(item) == {"video", "times", "audio"}
        assert item["audio"].dtype == np.float32 and item["audio"].shape == (RATE,)
        if i < 5:
            np.testing.assert_array_equal(item["audio"], whole[i * RATE : (i + 1) * RATE])
            assert abs(item["audio"].max() - 3000 * (i + 1) / 2**15) < 1e-3
        else:
            assert not item["audio"].any(), "silence"
        item["audio"][:] = 7  # what one does to an item stays there
    plain = Folder(tmp_path, **settings(audio=False))
    assert set(plain[0]) == {"video", "times"}
    np.testing.assert_array_equal(plain[2]["video"], source[2]["video"])


def test_the_order_of_reading_changes_no_bit_of_the_sound(tmp_path):
    # AAC's decoder makes up noise, where the encoder says so: what it has decoded before must not show.
    t = np.arange(14 * 48000) / 48000
    sound = 0.1 * np.sin(2 * np.pi * 440 * t) + 0.7 * np.exp(-0.5 * ((t - 12.5) / 2e-4) ** 2)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        video = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        audio = container.add_stream("aac", rate=48000, layout="mono")
        for i in range(0, len(t), 1024):
            block = sound[None, i : i + 1024].astype(np.float32)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, i, Fraction(1, 48000)
            container.mux(audio.encode(frame))
        for _ in range(140):
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
        container.mux([*video.encode(), *audio.encode()])
    one, other = (Folder(tmp_path, memory=0, **settings()) for _ in range(2))
    heard = [one[i]["audio"] for i in range(14)]
    for i in (13, 12, 4, 11, 0, 1):
        np.testing.assert_array_equal(other[i]["audio"], heard[i])


@pytest.mark.parametrize("frames, fps, samples", [(16, 12.0, 21333), (5, 7.5, 10667), (1, 30.0, 533)])
def test_all_clips_have_as_many_samples(tmp_path, frames, fps, samples):
    film(tmp_path / "a.mkv", 4)
    source = Folder(tmp_path, **settings(frames=frames, fps=fps))
    assert {source[i]["audio"].shape for i in range(len(source))} == {(samples,)}


def test_batches_processes_and_a_config(tmp_path, recipe):
    film(tmp_path / "a.mkv", 4)
    film(tmp_path / "b.mkv", 4, sound=False)
    data = recipe("base").unlock().data
    data.update({"source": "folder", "path": str(tmp_path), "size": 16, "frames": 8, "fps": 8.0})
    data.folder.audio = True
    source = make_source(data, "all")
    batch = next(train_batches(source, batch_size=8, seed=0))
    assert batch["audio"].shape == (8, RATE) and batch["video"].shape == (8, 8, 16, 16, 3)
    assert sorted(batch["audio"].any(1)) == [False] * 4 + [True] * 4
    (batch,) = EvaluationBatches(source, batch_size=8, count=8)
    assert batch["audio"].shape == (8, RATE)
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again[2]["audio"], source[2]["audio"])


def test_the_description_says_whether_there_is_sound(tmp_path):
    film(tmp_path / "a.mkv", 2)
    with_sound, without = (Folder(tmp_path, **settings(audio=audio)) for audio in (True, False))
    assert with_sound.description["audio"] is True and without.description["audio"] is False
    assert "audio=True" in repr(with_sound)


def test_sound_needs_clips_of_one_length(tmp_path):
    film(tmp_path / "a.mkv", 2)
    with pytest.raises(ValueError, match="with audio.*give fps"):
        Folder(tmp_path, **settings(fps=None))


def test_damaged_sound_is_listed_and_the_next_video_stands_in(tmp_path):
    write_video(tmp_path / "b.mp4", np.full((8, 32, 32, 3), 200, np.uint8), fps=8)
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=8)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        audio = container.add_stream("aac", rate=RATE, layout="mono")
        for _ in range(8):
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.full((32, 32, 3), 50, np.uint8))))
        container.mux(video.encode())
        packets = []
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, RATE)).astype(np.float32)
        for i in range(0, RATE, 1024):
            frame = av.AudioFrame.from_ndarray(noise[:, i : i + 1024].copy(), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, i, Fraction(1, RATE)
            packets += audio.encode(frame)
        for packet in packets + audio.encode():
            container.mux(packet)
        spoilt = bytes(packets[8])
    data = path.read_bytes()
    assert data.count(spoilt) == 1
    path.write_bytes(data.replace(spoilt, b"\xff" * len(spoilt)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert Folder(tmp_path, **settings(audio=False))[0]["video"].mean() < 100, "the picture is whole"
    source = Folder(tmp_path, **settings())
    with pytest.warns(UserWarning, match=r"a\.mp4 skipped: its sound is damaged"):
        item = source[0]
    assert item["video"].mean() > 150 and not item["audio"].any()
    assert [name for name, _ in source.rejected] == ["a.mp4"]


# Captions


def test_captions_are_those_of_the_clip(tmp_path):
    (tmp_path / "class").mkdir()
    film(tmp_path / "class" / "a.mkv", 3)
    film(tmp_path / "class" / "b.mkv", 2, sound=False)
    cues = "1\n00:00:00,500 --> 00:00:01,200\none\n\n2\n00:00:02,100 --> 00:00:02,200\ntwo\n"
    (tmp_path / "class" / "a.srt").write_text(cues)
    (tmp_path / "captions.csv").write_text("file,caption\nclass/b.mkv,a silent film\n")
    source = Folder(tmp_path, **settings(audio=False))
    assert [source.caption(i) for i in range(5)] == ["one", "one", "two", "a silent film", "a silent film"]
    native = Folder(tmp_path / "class", frames=5, size=16)
    assert [native.caption(i) for i in range(4)] == ["", "one", "one", ""]
    with pytest.raises(IndexError):
        source.caption(5)


def test_captions_follow_the_clip_that_stands_in(tmp_path):
    film(tmp_path / "a.mkv", 2)
    film(tmp_path / "b.mkv", 2)
    cues = "1\n00:00:00,000 --> 00:00:01,000\n{0}\n\n2\n00:00:01,000 --> 00:00:02,000\nafter {0}\n"
    for name in "ab":
        (tmp_path / f"{name}.srt").write_text(cues.format(name))
    source = Folder(tmp_path, **settings())
    assert source.caption(1) == "after a"
    data = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "a.mkv").write_bytes(data[:600] + bytes(len(data) - 600))
    with pytest.warns(UserWarning, match="skipped"):
        source[1]
    assert source.caption(1) == "after b"
