"""Parts of a film in a new one: which pictures, which sound, and for how long."""

import av
import numpy as np
import pytest

from vgm_jax.data import decode
from vgm_jax.data.audio import read_audio
from vgm_jax.data.cutting import cut
from vgm_jax.data.media import write_video

FPS, RATE = 10, 16_000


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """12 s, a grey level a frame and a tone a second, in stereo; the sound of each channel is the same."""
    path = tmp_path_factory.mktemp("cut") / "film.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=FPS, options={"crf": "1", "g": "20"})
        video.width, video.height, video.pix_fmt = 32, 24, "yuv420p"
        audio = out.add_stream("pcm_s16le", rate=RATE, layout="stereo")
        for i in range(12 * FPS):
            frame = np.full((24, 32, 3), 20 + 1.7 * i, np.uint8)
            out.mux(video.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
            t = (np.arange(RATE // FPS) + i * RATE // FPS) / RATE
            tone = 0.4 * np.sin(2 * np.pi * (400 + 100 * (i // FPS)) * t)
            samples = np.repeat((32767 * tone).astype(np.int16), 2)[None]
            block = av.AudioFrame.from_ndarray(samples, "s16", "stereo")
            block.sample_rate, block.pts = RATE, i * RATE // FPS
            out.mux(audio.encode(block))
        out.mux(video.encode())
        out.mux(audio.encode())
    return path


def pitch(samples):
    return np.abs(np.fft.rfft(samples * np.hanning(len(samples)))).argmax() * RATE / len(samples)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_pictures_and_sound_are_those_of_the_parts(film, tmp_path, suffix):
    out = tmp_path / f"short{suffix}"
    seconds = cut(film, [(1.0, 2.0), (7.0, 8.5)], out)
    assert seconds == 2.5
    info = decode.probe(out)
    assert (info.height, info.width, info.has_audio) == (24, 32, True)
    frames, _ = decode.read_frames(out)
    assert len(frames) == 25
    shown = np.r_[10:20, 70:85]
    np.testing.assert_allclose(frames.mean((1, 2, 3)), 20 + 1.7 * shown, atol=3)
    heard = read_audio(out)
    assert abs(len(heard) / RATE - 2.5) < 0.1  # AAC comes in frames of 21 ms
    for start, expected in ((0.2, 500), (1.2, 1100), (2.1, 1200)):
        part = heard[round(start * RATE) : round((start + 0.3) * RATE)]
        assert abs(pitch(part) - expected) < 10
        assert 0.2 < np.sqrt(np.mean(part**2)) < 0.35


def test_a_film_without_sound_and_of_another_form(tmp_path):
    video = np.random.default_rng(0).integers(0, 255, (12, 15, 17, 3), np.uint8)
    write_video(tmp_path / "a.gif", video, 4.0)
    assert cut(tmp_path / "a.gif", [(0.0, 0.5), (2.0, 3.0)], tmp_path / "b.mp4") == 1.5
    info = decode.probe(tmp_path / "b.mp4")
    assert (info.height, info.width, info.has_audio, info.frames) == (16, 18, False, 6)


def test_frames_may_be_dressed_and_the_file_named(film, tmp_path):
    def dress(frame):
        return np.pad(frame, ((0, 8), (0, 0), (0, 0)), constant_values=255)

    cut(film, [(1.0, 1.5)], tmp_path / "a.mp4", title="what colour? grey", dress=dress)
    with av.open(str(tmp_path / "a.mp4")) as file:
        assert file.metadata["title"] == "what colour? grey"
    frames, _ = decode.read_frames(tmp_path / "a.mp4")
    assert frames.shape == (5, 32, 32, 3)
    np.testing.assert_allclose(frames[:, :24].mean((1, 2, 3)), 20 + 1.7 * np.arange(10, 15), atol=4)
    assert frames[:, 26:].mean() > 245


def test_nothing_is_left_of_what_fails(film, tmp_path):
    (tmp_path / "old.mp4").write_bytes(b"before")
    (tmp_path / "bad.mkv").write_bytes(b"no film")
    for spans, out, what in (
        ([(0.0, 1.0)], "out.avi", "expected a suffix"),
        ([], "old.mp4", "nothing to cut out"),
        ([(3.0, 3.01)], "old.mp4", "a frame or more"),
        ([(11.0, 14.0)], "old.mp4", "it ends at 11.90 s"),
        ([(40.0, 41.0)], "old.mp4", "fewer frames"),
    ):
        with pytest.raises(ValueError, match=what):
            cut(film, spans, tmp_path / out)
    with pytest.raises(ValueError, match="bad.mkv"):
        cut(tmp_path / "bad.mkv", [(0.0, 1.0)], tmp_path / "old.mp4")
    assert (tmp_path / "old.mp4").read_bytes() == b"before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.mkv", "old.mp4"]
