"""Parts of a film in a new one: which pictures, which sound, and for how long."""

from fractions import Fraction

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


def test_what_cannot_be_sought_is_read_once(film, tmp_path, monkeypatch):
    """An MPEG program stream: the same frames as of one that is sought, by one reading after the probe."""
    plain, _ = decode.read_frames(film)
    with av.open(str(tmp_path / "film.mpg"), "w") as out:
        video = out.add_stream("mpeg2video", rate=25, options={"qscale": "1", "qmin": "1", "g": "10"})
        video.width, video.height, video.pix_fmt = 32, 24, "yuv420p"
        for frame in plain:
            out.mux(video.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        out.mux(video.encode())
    opened, open_reader = [], decode.open_reader
    monkeypatch.setattr(decode, "open_reader", lambda *a, **k: opened.append(a) or open_reader(*a, **k))
    spans = [(0.4, 0.8), (1.6, 2.4), (3.6, 4.0)]  # of 4.8 s
    assert cut(tmp_path / "film.mpg", spans, tmp_path / "a.mp4", 25.0) == pytest.approx(1.6)
    assert len(opened) == 2
    frames, _ = decode.read_frames(tmp_path / "a.mp4")
    np.testing.assert_allclose(frames.mean((1, 2, 3)), 20 + 1.7 * np.r_[10:20, 40:60, 90:100], atol=4)
    with pytest.raises(decode.DecodeError, match="within a part that was to be cut out"):
        cut(tmp_path / "film.mpg", [(0.4, 0.8), (4.4, 6.0)], tmp_path / "b.mp4", 25.0)


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


def test_pictures_without_a_rate_take_the_readers(tmp_path):
    """An .npy does not say how fast it is: who chose the parts does."""
    clip = np.repeat(np.arange(80, dtype=np.uint8)[:, None], 16 * 16 * 3, 1).reshape(80, 16, 16, 3)
    np.save(tmp_path / "film.npy", 3 * clip)
    assert cut(tmp_path / "film.npy", [(2.0, 3.0), (9.5, 10.0)], tmp_path / "a.mp4", rate=8.0) == 1.5
    frames, _ = decode.read_frames(tmp_path / "a.mp4")
    np.testing.assert_allclose(frames.mean((1, 2, 3)), 3 * np.r_[16:24, 76:80], atol=3)


def test_a_slow_film_has_parts_shorter_than_its_frames(tmp_path):
    video = np.repeat(np.arange(60, 240, 30, dtype=np.uint8)[:, None], 16 * 16 * 3, 1).reshape(6, 16, 16, 3)
    write_video(tmp_path / "slides.mp4", video, 1.0)
    assert cut(tmp_path / "slides.mp4", [(1.0, 1.25), (4.0, 5.5)], tmp_path / "a.mp4") == 1.75
    frames, _ = decode.read_frames(tmp_path / "a.mp4")
    np.testing.assert_allclose(frames.mean((1, 2, 3)), [90, 180, 180, 180, 180, 210, 210], atol=4)


def test_pixels_keep_their_shape(tmp_path):
    """HDV: 4:3 pixels, which make 1440 x 1080 as wide as 1920 x 1080."""
    with av.open(str(tmp_path / "hdv.mkv"), "w") as out:
        video = out.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = 48, 36, "yuv420p"
        video.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for _ in range(10):
            out.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((36, 48, 3), np.uint8), "rgb24")))
        out.mux(video.encode())
    assert decode.probe(tmp_path / "hdv.mkv").pixel_aspect == Fraction(4, 3)
    cut(tmp_path / "hdv.mkv", [(0.0, 0.5)], tmp_path / "a.mp4")
    info = decode.probe(tmp_path / "a.mp4")
    assert (info.height, info.width, info.pixel_aspect) == (36, 48, Fraction(4, 3))


def test_sound_may_change_its_channels_on_the_way(tmp_path):
    """As broadcasts do: two channels, then six. One piece after another is a transport stream, too."""
    pieces = []
    for layout, pitch_of in (("stereo", 500), ("5.1", 900)):
        with av.open(str(tmp_path / f"{layout}.ts"), "w") as out:
            video = out.add_stream("mpeg2video", rate=FPS)
            video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
            audio = out.add_stream("ac3", rate=48_000, layout=layout)
            start = len(pieces) * 20
            for i in range(start, start + 20):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 9 * i % 256, np.uint8), "rgb24")
                frame.pts = i
                out.mux(video.encode(frame))
                t = (np.arange(4800) + 4800 * i) / 48_000
                tone = (0.4 * np.sin(2 * np.pi * pitch_of * t)).astype(np.float32)
                channels = {"stereo": 2, "5.1": 6}[layout]
                block = av.AudioFrame.from_ndarray(np.tile(tone, (channels, 1)), "fltp", layout)
                block.sample_rate, block.pts = 48_000, 4800 * i
                out.mux(audio.encode(block))
            out.mux(video.encode())
            out.mux(audio.encode())
        pieces.append((tmp_path / f"{layout}.ts").read_bytes())
    film = tmp_path / "film.ts"
    film.write_bytes(b"".join(pieces))
    cut(film, [(0.5, 1.5), (2.5, 3.5)], tmp_path / "a.mp4")
    heard = read_audio(tmp_path / "a.mp4")
    for start, expected in ((0.2, 500), (1.3, 900)):
        assert abs(pitch(heard[round(start * RATE) : round((start + 0.5) * RATE)]) - expected) < 10


def test_nothing_is_left_of_what_fails(film, tmp_path):
    (tmp_path / "old.mp4").write_bytes(b"before")
    (tmp_path / "bad.mkv").write_bytes(b"no film")
    for spans, out, what in (
        ([(0.0, 1.0)], "out.avi", "expected a suffix"),
        ([], "old.mp4", "nothing to cut out"),
        ([(3.0, 3.01)], "old.mp4", "a frame or more"),
        ([(11.0, 14.0)], "old.mp4", "it ends at 12.00 s"),
        ([(40.0, 41.0)], "old.mp4", "fewer frames"),
    ):
        with pytest.raises(ValueError, match=what):
            cut(film, spans, tmp_path / out)
    with pytest.raises(ValueError, match="bad.mkv"):
        cut(tmp_path / "bad.mkv", [(0.0, 1.0)], tmp_path / "old.mp4")
    assert (tmp_path / "old.mp4").read_bytes() == b"before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.mkv", "old.mp4"]
