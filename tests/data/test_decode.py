"""Decoding, on files that the tests write: PyAV for films, Pillow for animated webp."""

import contextlib
import itertools
import pickle
import struct
import sys
import threading
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from vgm_jax.data import decode
from vgm_jax.data._pixels import Look
from vgm_jax.data.decode import DecodeError, grid, iterate_frames, probe, read_frames
from vgm_jax.data.media import write_video

SIZE = (24, 32)


def numbered(frames, size=SIZE, first=0):
    """uint8 [T H W 3]: eight bars, dark or light, are the number of a frame in binary."""
    bits = (first + np.arange(frames))[:, None] >> np.arange(8) & 1
    bars = np.where(bits, 200, 50).astype(np.uint8).repeat(size[1] // 8, 1)
    bars = np.pad(bars, ((0, 0), (0, size[1] - bars.shape[1])), mode="edge")
    return np.broadcast_to(bars[:, None, :, None], (frames, *size, 3)).copy()


def which(frames):
    """Numbers of frames of `numbered`."""
    width = frames.shape[2] // 8
    centres = frames[:, frames.shape[1] // 2, width // 2 : 8 * width : width].mean(-1)
    return ((centres > 125) << np.arange(8)).sum(1).tolist()


def film(path, frames, pts=None, base=Fraction(1, 1000), codec="libx264", form="yuv420p", **options):
    """A film with presentation times of one's own; `rotation` in degrees."""
    rotation, aspect = options.pop("rotation", 0), options.pop("aspect", None)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options={k: str(v) for k, v in options.items()})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.codec_context.time_base = form, base
        if form.startswith("gray"):
            stream.codec_context.color_range = 2  # full, as swscale's grey is
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        for t, frame in enumerate(frames):
            kind = {1: "gray", 3: "rgb24", 4: "rgba"}[frame.shape[-1]]
            frame = frame[..., 0] if kind == "gray" else frame
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=kind)
            picture = picture.reformat(format=form, threads=1)
            picture.time_base = base
            picture.pts = round(t / 10 / base) if pts is None else pts[t]
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def close(a, b, tolerance=4.0):
    assert a.shape == b.shape
    assert np.abs(a.astype(int) - b).mean() < tolerance


# Forms


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".gif"])
def test_what_media_writes_is_read(tmp_path, suffix):
    video = numbered(12)
    write_video(tmp_path / f"a{suffix}", video, fps=12)
    frames, times = read_frames(tmp_path / f"a{suffix}")
    assert frames.dtype == np.uint8 and times.dtype == np.float32
    close(frames, video, 1.5)
    np.testing.assert_allclose(times, np.arange(12) / 12, atol=0.0051)
    again, grid_times = read_frames(tmp_path / f"a{suffix}", fps=12)
    np.testing.assert_array_equal(again, frames)
    np.testing.assert_allclose(grid_times, np.arange(12) / 12, atol=1e-6)
    info = probe(tmp_path / f"a{suffix}")
    assert (info.frames, info.height, info.width, info.has_audio) == (12, *SIZE, False)
    assert info.fps == pytest.approx(12, rel=0.02) and info.seconds == pytest.approx(1, abs=0.006)
    assert not info.variable_rate


@pytest.mark.parametrize(("codec", "form"), [("mpeg4", "yuv420p"), ("mjpeg", "yuvj420p"), ("ffv1", "gray")])
def test_avi(tmp_path, codec, form):
    video = numbered(12)
    options = {"b:v": "2M", "bf": 0} if codec == "mpeg4" else {}
    film(tmp_path / "a.avi", video, codec=codec, form=form, base=Fraction(1, 10), **options)
    frames, times = read_frames(tmp_path / "a.avi")
    close(frames, video, 3)
    np.testing.assert_allclose(times, np.arange(12) / 10, atol=1e-6)
    at = [0.0, 0.05, 0.0999, 0.1, 0.19, 1.1]
    assert which(read_frames(tmp_path / "a.avi", at)[0]) == [0, 0, 0, 1, 1, 11]


def test_animated_webp(tmp_path):
    video = numbered(4)
    pictures = [Image.fromarray(frame) for frame in video]
    pictures[0].save(
        tmp_path / "a.webp",
        save_all=True,
        append_images=pictures[1:],
        duration=[100, 300, 50, 5],
        lossless=True,
    )
    frames, times = read_frames(tmp_path / "a.webp")
    np.testing.assert_array_equal(frames, video)
    np.testing.assert_allclose(times, [0, 0.1, 0.4, 0.45], atol=1e-6)
    assert which(read_frames(tmp_path / "a.webp", fps=10)[0]) == [0, 1, 1, 1, 2, 3]
    assert probe(tmp_path / "a.webp").variable_rate
    pictures[0].save(tmp_path / "still.webp")
    with pytest.raises(DecodeError, match="still picture"):
        read_frames(tmp_path / "still.webp")


def test_a_folder_of_frames_goes_in_natural_order(tmp_path):
    video = numbered(12)
    for t, frame in enumerate(video):
        Image.fromarray(frame).save(tmp_path / f"f{t + 1}.png")
    (tmp_path / ".hidden.png").write_text("no picture")
    (tmp_path / "notes.txt").write_text("no picture")
    np.testing.assert_array_equal(read_frames(tmp_path)[0], video)
    np.testing.assert_array_equal(read_frames(tmp_path)[1], np.arange(12))
    frames, times = read_frames(tmp_path, fps=4, rate=8)
    np.testing.assert_array_equal(frames, video[::2])
    np.testing.assert_array_equal(times, np.arange(6) / 4)
    np.testing.assert_array_equal(read_frames(tmp_path, fps=4)[0], video)
    np.testing.assert_array_equal(read_frames(tmp_path, start=9.5)[0], video[9:])
    (tmp_path / "f7.png").write_bytes(b"x")
    with pytest.raises(DecodeError, match="f7.png"):
        read_frames(tmp_path)


def test_pictures_of_all_kinds(tmp_path):
    grey = np.full(SIZE, 200, np.uint8)
    Image.fromarray(grey).save(tmp_path / "1.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "2.png")
    Image.fromarray(np.dstack([grey, grey, grey, grey // 2])).save(tmp_path / "3.png")
    Image.fromarray(grey).convert("P").save(tmp_path / "4.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying
    Image.fromarray(np.ascontiguousarray(grey.T)).save(tmp_path / "5.jpg", exif=exif, quality=95)
    frames = read_frames(tmp_path)[0]
    for frame, level in zip(frames, (200, 200, 78, 200, 200), strict=True):
        assert np.abs(frame.astype(int) - level).max() <= 2


def test_arrays(tmp_path):
    video = np.random.default_rng(0).integers(0, 256, (2, 6, *SIZE, 3), np.uint8)
    np.save(tmp_path / "a.npy", video[0])
    np.save(tmp_path / "many.npy", video)
    np.save(tmp_path / "grey.npy", video[0, ..., :1])
    np.testing.assert_array_equal(read_frames(tmp_path / "a.npy")[0], video[0])
    np.testing.assert_array_equal(read_frames(tmp_path / "many.npy", item=1)[0], video[1])
    np.testing.assert_array_equal(read_frames(tmp_path / "grey.npy")[0], video[0, ..., :1].repeat(3, -1))
    frames, times = read_frames(tmp_path / "a.npy", start=2, count=2, rate=2)
    np.testing.assert_array_equal(frames, video[0, 4:])
    np.testing.assert_array_equal(times, [0, 0.5])
    with pytest.raises(DecodeError, match="many clips"):
        read_frames(tmp_path / "many.npy")


# Time


def test_variable_rate_shows_the_last_frame_that_came(tmp_path):
    pts = [0, 100, 150, 700, 710, 1000]
    film(tmp_path / "a.mp4", numbered(6), [p + 300 for p in pts])
    frames, times = read_frames(tmp_path / "a.mp4")
    np.testing.assert_allclose(times, np.array(pts) / 1000, atol=1e-3)
    assert which(frames) == [0, 1, 2, 3, 4, 5]
    assert which(read_frames(tmp_path / "a.mp4", fps=10)[0])[:11] == [0, 1, 2, 2, 2, 2, 2, 3, 4, 4, 5]
    assert which(read_frames(tmp_path / "a.mp4", [0.14, 0.16, 0.16, 0.705, 0.8])[0]) == [1, 2, 2, 3, 4]
    assert which(read_frames(tmp_path / "a.mp4", start=0.5)[0]) == [2, 3, 4, 5]
    assert read_frames(tmp_path / "a.mp4", start=0.5)[1][0] == 0
    assert probe(tmp_path / "a.mp4").variable_rate


@pytest.mark.parametrize("fps", [30, 24000 / 1001, 29])
def test_timestamps_in_milliseconds_lose_no_frame(tmp_path, fps):
    write_video(tmp_path / "a.mkv", numbered(40), fps=fps)
    assert which(read_frames(tmp_path / "a.mkv", fps=fps)[0]) == list(range(40))


@pytest.mark.parametrize("fps", [5, 10, 12, 20, 25, 29.97])
def test_resampling(tmp_path, fps):
    write_video(tmp_path / "a.mp4", numbered(20), fps=10)
    frames, times = read_frames(tmp_path / "a.mp4", fps=fps)
    assert len(frames) == grid(2.0, fps) == int(np.ceil(2 * fps - 1e-6))
    assert which(frames) == [int(k / fps * 10 + 1e-6) for k in range(len(frames))]
    np.testing.assert_allclose(times, np.arange(len(frames)) / fps, atol=1e-6)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi", ".gif", ".ts"])
def test_seeking_is_exact(tmp_path, suffix):
    video = numbered(100)
    path = tmp_path / f"a{suffix}"
    if suffix in (".avi", ".ts"):
        codec = {"codec": "mpeg4", "g": 12} if suffix == ".avi" else {"g": 30, "bf": 3}
        base = Fraction(1, 10)
        film(path, video, base=base, **codec)
    else:
        write_video(path, video, fps=10)
    whole = read_frames(path)[0]
    assert which(whole) == list(range(100))
    for start in (0.0, 1.2, 4.55, 9.9):
        frames, times = read_frames(path, fps=10, start=start, count=1 + int(start < 9))
        expected = int(start * 10 + 1e-6)
        np.testing.assert_array_equal(frames, whole[expected : expected + len(frames)])
        assert times[0] == 0
    apart = [0.0, 0.35, 6.0, 6.01, 6.5, 9.9]  # what is five seconds ahead is sought
    np.testing.assert_array_equal(read_frames(path, apart)[0], whole[[0, 3, 60, 60, 65, 99]])
    with pytest.raises(decode.DecodeError, match="4 of 5; none at 17.000 s"):
        read_frames(path, [1.0, 1.0, 7.0, 8.0, 17.0])


def test_seeking_does_not_decode_from_the_start(tmp_path, monkeypatch):
    film(tmp_path / "a.mp4", numbered(200), g=10)
    decoded = []
    clock = decode.Film._timed

    def counted(self, first, rest, origin):
        for frame in clock(self, first, rest, origin):
            decoded.append(frame.start)
            yield frame

    monkeypatch.setattr(decode.Film, "_timed", counted)
    read_frames(tmp_path / "a.mp4", start=15.0, count=3)
    assert len(decoded) < 15 and decoded[0] >= 13
    decoded.clear()
    read_frames(tmp_path / "a.mp4", [0.5, 0.7, 9.0, 9.1, 18.8])
    assert len(decoded) < 40


def test_a_key_frame_may_be_far_before_what_is_sought(tmp_path):
    film(tmp_path / "a.mp4", numbered(200), g=200)
    assert which(read_frames(tmp_path / "a.mp4", [0.0, 7.0, 14.0, 19.9])[0]) == [0, 70, 140, 199]


def test_timestamps_that_are_missing_or_go_back(tmp_path):
    pts = [0, 100, 200, 50, 60, 300, 300, 400]
    film(tmp_path / "a.mkv", numbered(8), list(range(0, 800, 100)), codec="mjpeg", form="yuvj420p")
    data = bytearray((tmp_path / "a.mkv").read_bytes())
    place = 0
    for t, stamp in enumerate(pts[:-1]):  # of blocks: track 1, time, flags
        place = data.index(b"\x81" + struct.pack(">h", 100 * t) + b"\x80", place)
        data[place + 1 : place + 3] = struct.pack(">h", stamp)
    (tmp_path / "a.mkv").write_bytes(data)
    frames, times = read_frames(tmp_path / "a.mkv")
    assert which(frames) == list(range(8))
    assert (np.diff(times) > 0).all()
    with av.open(str(tmp_path / "b.h264"), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "0"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for frame in numbered(8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    frames, times = read_frames(tmp_path / "b.h264")  # a raw stream has no times
    assert which(frames) == list(range(8))
    np.testing.assert_allclose(np.diff(times), times[1], rtol=1e-5)


# Pictures in films


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation(tmp_path, degrees):
    upright = numbered(3)
    upright[:, :10, :10, 0] = 250
    stored = np.rot90(upright, -degrees // 90, axes=(1, 2))
    film(tmp_path / "a.mp4", stored, rotation=degrees, crf=10)
    close(read_frames(tmp_path / "a.mp4")[0], upright)
    info = probe(tmp_path / "a.mp4")
    assert (info.height, info.width) == SIZE


def test_alpha_is_laid_on_a_background(tmp_path):
    video = np.zeros((3, *SIZE, 4), np.uint8)
    video[:, :, :16] = (200, 100, 50, 255)
    video[:, :12, 16:, 3] = 128
    video[:, 0, 0, 0] = (190, 200, 210)  # animations leave out equal frames
    film(tmp_path / "a.mov", video, codec="png", form="rgba")
    frames = read_frames(tmp_path / "a.mov")[0]
    assert (frames[:, 1:, :16] == (200, 100, 50)).all() and (frames[:, :, 16:] == 0).all()
    frames = read_frames(tmp_path / "a.mov", background=(255, 0, 100))[0]
    assert (frames[:, 1:, :16] == (200, 100, 50)).all() and (frames[:, 12:, 16:] == (255, 0, 100)).all()
    assert np.abs(frames[:, :12, 16:].astype(int) - (127, 0, 50)).max() <= 1
    pictures = [Image.fromarray(frame) for frame in video]
    for name in ("a.gif", "a.webp"):
        settings = {"lossless": True} if name == "a.webp" else {"disposal": 2}
        pictures[0].save(
            tmp_path / name, save_all=True, append_images=pictures[1:], duration=100, loop=0, **settings
        )
        frames = read_frames(tmp_path / name, background=(9, 250, 9))[0]
        close(frames[:, :, :16], np.broadcast_to((200, 100, 50), frames[:, :, :16].shape))
        assert (frames[:, 12:, 16:] == (9, 250, 9)).all(), name


@pytest.mark.parametrize("form", ["yuv420p10le", "yuv444p", "yuv422p10le", "gray", "yuvj420p", "gray10le"])
def test_pixel_formats(tmp_path, form):
    video = numbered(4, size=(34, 48))
    film(tmp_path / "a.mkv", video, form=form, crf=4)
    close(read_frames(tmp_path / "a.mkv")[0], video, 2)


@pytest.mark.parametrize("form", ["gray16be", "rgb48be", "ya8", "yuva444p", "gbrp10le"])
def test_rarer_pixel_formats(tmp_path, form):
    video = numbered(4)
    path = tmp_path / ("a.mkv" if form in ("yuva444p", "gbrp10le") else "a.mov")
    film(path, video, codec="ffv1" if path.suffix == ".mkv" else "png", form=form)
    close(read_frames(path)[0], video, 2)


@pytest.mark.parametrize(("matrix", "size"), [(1, (24, 32)), (6, (24, 32)), (2, (24, 32)), (2, (584, 32))])
def test_colours_come_back_by_their_matrix(tmp_path, matrix, size):
    """Untagged (2) means BT.601 in standard and BT.709 in high definition."""
    rgb = np.full((2, *size, 3), (40, 200, 60), np.uint8)
    to = av.video.reformatter.Colorspace.ITU709 if matrix == 1 or size[0] > 576 else "ITU601"
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "4"})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.colorspace = matrix
        for frame in rgb:
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            container.mux(stream.encode(picture.reformat(format="yuv420p", dst_colorspace=to, threads=1)))
        container.mux(stream.encode())
    close(read_frames(tmp_path / "a.mp4")[0], rgb, 2)


def test_interlaced(tmp_path):
    video = numbered(6, size=(32, 48))
    film(tmp_path / "a.mpg", video, codec="mpeg2video", flags="+ildct+ilme", base=Fraction(1, 25))
    close(read_frames(tmp_path / "a.mpg")[0], video)


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (2, 800)])
def test_odd_sizes(tmp_path, size):
    video = np.full((3, *size, 3), 90, np.uint8)
    film(tmp_path / "a.mkv", video, codec="ffv1", form="bgr0")
    np.testing.assert_array_equal(read_frames(tmp_path / "a.mkv")[0], video)
    assert read_frames(tmp_path / "a.mkv", size=16)[0].shape == (3, 16, 16, 3)


# Size


def test_resizing_is_antialiased_after_a_centre_crop(tmp_path):
    stripes = np.zeros((1, 60, 100, 3), np.uint8)
    stripes[:, :, ::2] = 200
    stripes[:, :, :20] = stripes[:, :, 80:] = 255  # is cut off
    np.save(tmp_path / "a.npy", stripes)
    frames = read_frames(tmp_path / "a.npy", size=15)[0]
    assert frames.shape == (1, 15, 15, 3) and np.abs(frames.astype(int) - 100).max() < 10
    squeezed = read_frames(tmp_path / "a.npy", size=(15, 25), crop="none")[0]
    assert squeezed.shape == (1, 15, 25, 3) and squeezed[0, :, 0].min() > 240
    same = read_frames(tmp_path / "a.npy", size=(60, 100))[0]
    np.testing.assert_array_equal(same, stripes)
    cut = read_frames(tmp_path / "a.npy", size=60)[0]
    np.testing.assert_array_equal(cut, stripes[:, :, 20:80])
    assert read_frames(tmp_path / "a.npy", size=(99, 33))[0].shape == (1, 99, 33, 3)


@pytest.mark.parametrize("rotation", [0, 90])
@pytest.mark.parametrize("form", ["yuv420p", "yuv422p", "yuvj444p"])
def test_films_are_resized_as_arrays_are(tmp_path, form, rotation):
    """Colours come after the resizing of films, to be cheap; that must not show."""
    y, x = np.mgrid[:75, :121]
    picture = np.stack([60 + x, 200 - y - x // 2, 100 + 50 * np.sin(x / 9)], -1).astype(np.uint8)
    path = film(tmp_path / "a.mp4", picture[None, :74, :120], form=form, crf=8, rotation=rotation)
    np.save(tmp_path / "a.npy", read_frames(path)[0])
    for size in (16, (40, 20)):
        a, b = (read_frames(file, size=size)[0].astype(int) for file in (path, tmp_path / "a.npy"))
        assert a.shape == b.shape
        assert np.abs(a - b).mean() < 1.5 and np.abs((a - b).mean((0, 1, 2))).max() < 1


@pytest.mark.parametrize("rotation", [0, 90])
@pytest.mark.parametrize("codec", ["libx264", "png"])
def test_pixels_that_are_no_squares_are_shown_as_wide_as_meant(tmp_path, codec, rotation):
    """As HDV and DVDs have them: stored 120 wide, shown 160; a disc is round in what a network sees."""
    y, x = np.mgrid[:90, :120]
    disc = np.hypot((x - 59.5) * 4 / 3, y - 44.5) < 30
    frames = np.where(disc[..., None], 230, 20).astype(np.uint8).repeat(3, -1)[None]
    form = "rgb24" if codec == "png" else "yuv420p"
    path = film(tmp_path / "a.mov", frames, form=form, codec=codec, rotation=rotation, aspect=Fraction(4, 3))
    seen = read_frames(path, size=36)[0][0].astype(int)
    assert abs(np.ptp(np.flatnonzero(seen[18, :, 0] > 125)) - 23) <= 1
    assert abs(np.ptp(np.flatnonzero(seen[:, 18, 0] > 125)) - 23) <= 1
    assert np.abs(seen - seen.transpose(1, 0, 2)).mean() < 3


def test_the_method_of_resizing_is_pinned(tmp_path):
    """If these numbers change, so must the name `RESIZE`."""
    y, x = np.mgrid[:90, :160]
    np.save(tmp_path / "a.npy", np.stack([(x * y) % 256, (x + 2 * y) % 256, x], -1).astype(np.uint8)[None])
    frame = read_frames(tmp_path / "a.npy", size=8)[0][0]
    assert decode.RESIZE.startswith("centre crop")
    assert frame[::3, ::3].tolist() == PINNED


PINNED = [
    [[109, 51, 40], [118, 85, 74], [119, 119, 108]],
    [[122, 118, 40], [130, 152, 74], [126, 186, 108]],
    [[130, 186, 40], [129, 220, 74], [130, 149, 108]],
]


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("codec", ["libx264", "png"])
def test_a_part_of_the_upright_frame(tmp_path, degrees, codec):
    """The right of the upper half is red, whichever way it is stored and resized."""
    upright = np.full((3, 48, 80, 3), 40, np.uint8)
    upright[:, :24, 40:] = (200, 30, 30)
    form = "yuv420p" if codec == "libx264" else "rgb24"
    stored = np.rot90(upright, -degrees // 90, axes=(1, 2))
    film(tmp_path / "a.mov", stored, codec=codec, form=form, rotation=degrees)
    reader = decode.open_reader(tmp_path / "a.mov")
    picture = next(iter(reader.shown())).picture
    red = picture(Look((12, 20), part=(0.55, 0.05, 0.95, 0.45))).astype(int)
    dark = picture(Look((12, 20), part=(0.05, 0.55, 0.95, 0.95))).astype(int)
    reader.close()
    assert np.abs(red - (200, 30, 30)).max() < 12 and np.abs(dark - 40).max() < 12


def test_quick_looks_show_the_same(tmp_path):
    video = numbered(3, size=(270, 480))
    video[..., 1] //= 2
    film(tmp_path / "a.mp4", np.rot90(video, -1, axes=(1, 2)), rotation=90, crf=10)
    reader = decode.open_reader(tmp_path / "a.mp4")
    picture = next(iter(reader.shown())).picture
    slow, quick = (picture(Look((27, 48), "none", quick=quick)) for quick in (False, True))
    reader.close()
    close(quick, slow, 6)


def test_glimpses_are_of_all_the_film(tmp_path):
    film(tmp_path / "long.mp4", numbered(200), g=10, sc_threshold=0, bf=0)
    assert which(np.stack(list(decode.glimpses(tmp_path / "long.mp4", 4)))) == [0, 50, 100, 150, 0, 3, 5, 8]
    film(tmp_path / "short.mp4", numbered(20))
    assert which(np.stack(list(decode.glimpses(tmp_path / "short.mp4", 4)))) == [0, 0, 3, 5, 8]
    np.save(tmp_path / "a.npy", numbered(20))
    seen = itertools.islice(decode.glimpses(tmp_path / "a.npy", 4, rate=10), 4)
    assert which(np.stack(list(seen))) == [0, 5, 10, 15]
    (tmp_path / "text.mp4").write_text("no film")
    assert list(decode.glimpses(tmp_path / "text.mp4")) == []


def test_what_was_cut_off_is_opened_where_a_part_will_do(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "5"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for frame in numbered(60):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(DecodeError, match="truncated"):
        decode.open_reader(tmp_path / "a.mp4")
    reader = decode.open_reader(tmp_path / "a.mp4", partial=True)
    assert reader.missing.startswith("truncated")
    frames = []
    with contextlib.suppress(DecodeError):
        frames.extend(frame.picture(Look()) for frame in reader.shown())
    reader.close()
    assert which(np.stack(frames)) == list(range(len(frames))) and 5 < len(frames) < 60


# Errors


def test_what_is_no_video_is_named_with_a_reason(tmp_path):
    video = numbered(30, size=(64, 64))
    write_video(tmp_path / "good.mp4", video, fps=10)
    data = (tmp_path / "good.mp4").read_bytes()
    (tmp_path / "truncated.mp4").write_bytes(data[: len(data) * 2 // 3])
    (tmp_path / "half_header.mp4").write_bytes(data[:200])
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("this is no film\n" * 50)
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nhttp://localhost:1/a.ts\n")
    (tmp_path / "noise.mkv").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "text.webp").write_text("no picture")
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "float.npy", np.linspace(0, 1, 2 * 4 * 4 * 3, dtype=np.float32).reshape(2, 4, 4, 3))
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    np.save(tmp_path / "flat.npy", np.zeros((4, 4, 3), np.uint8))
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "nowhere.mp4")
    reasons = {
        "truncated.mp4": "truncated",
        "half_header.mp4": "no video",
        "empty.mp4": "empty",
        "text.mp4": "not a video that can be read",
        "list.mp4": "not a video that can be read",
        "noise.mkv": "not a video that can be read",
        "text.npy": "not an array",
        "text.webp": "not a webp",
        "folder": "no .png",
        "float.npy": r"uint8 .*float32 \(2, 4, 4, 3\), values 0..0.49.*: multiply by 255",
        "objects.npy": "not an array",
        "flat.npy": r"\(4, 4, 3\)",
        "sound.mp4": "no video stream",
        "dangling.mp4": "no such file",
        "missing.mp4": "no such file",
    }
    for name, reason in reasons.items():
        for function in (probe, read_frames, decode.scan):
            with pytest.raises(DecodeError, match=reason) as caught:
                function(tmp_path / name)
            assert str(caught.value).startswith(str(tmp_path / name))
    error = pickle.loads(pickle.dumps(caught.value))
    assert str(error) == str(caught.value) and error.why == caught.value.why


def test_damage_in_the_middle_is_an_error(tmp_path):
    video = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    film(tmp_path / "a.mov", video, codec="png", form="rgb24")
    data = bytearray((tmp_path / "a.mov").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 8000] = bytes(8000)
    (tmp_path / "a.mov").write_bytes(data)
    with pytest.raises(DecodeError, match="damaged"):
        read_frames(tmp_path / "a.mov")
    np.testing.assert_array_equal(read_frames(tmp_path / "a.mov", count=5)[0], video[:5])


def test_fewer_frames_than_asked_for(tmp_path):
    write_video(tmp_path / "a.mp4", numbered(10), fps=10)
    for settings in ({"count": 11}, {"fps": 5, "count": 6}, {"start": 1.0}, {"fps": 5, "start": 2.5}):
        with pytest.raises(DecodeError, match=r"fewer frames than asked for: .*lasts 1.000 s"):
            read_frames(tmp_path / "a.mp4", **settings)
    with pytest.raises(DecodeError, match="1 of 2; none at 3.000 s"):
        read_frames(tmp_path / "a.mp4", [0.5, 3.0])
    assert which(read_frames(tmp_path / "a.mp4", np.linspace(0, 1, 3))[0]) == [0, 5, 9]


@pytest.mark.parametrize(
    "settings",
    [
        {"times": [0.0], "fps": 3},
        {"times": [0.0], "count": 3},
        {"times": [1.0, 0.5]},
        {"times": [-1.0]},
        {"times": [float("nan")]},
        {"times": 1.0},
        {"fps": -1},
        {"fps": float("nan")},
        {"start": -1},
        {"count": 0},
        {"size": 0},
        {"size": (4, 0)},
        {"crop": "left"},
    ],
)
def test_bad_arguments(tmp_path, settings):
    np.save(tmp_path / "a.npy", numbered(4))
    with pytest.raises(ValueError, match=next(iter(settings))) as caught:
        iterate_frames(tmp_path / "a.npy", **settings)
    assert not isinstance(caught.value, DecodeError)


# Length and threads


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_length(tmp_path):
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096 / 2**20

    path = film(tmp_path / "a.mp4", np.zeros((300, 160, 160, 3), np.uint8), preset="ultrafast", crf=30)
    frames = iterate_frames(path)
    for _ in range(40):
        next(frames)
    before = resident()
    assert sum(1 for _ in frames) == 260  # 19 MiB
    assert resident() - before < 8


def test_several_threads_at_once(tmp_path):
    paths = [tmp_path / f"{i}.mp4" for i in range(4)]
    for i, path in enumerate(paths):
        write_video(path, numbered(20, first=20 + 10 * i), fps=10)
    expected = [read_frames(path, fps=7, size=16)[0] for path in paths]
    wrong = []

    def work(i):
        for _ in range(3):
            if not np.array_equal(read_frames(paths[i % 4], fps=7, size=16)[0], expected[i % 4]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not wrong


@pytest.mark.parametrize("part", [0.0, 0.1, 0.3])
def test_a_capture_that_begins_between_two_key_frames(tmp_path, part):
    """Of a broadcast: frames that need earlier ones are none, and do not count for the length."""
    frames = np.full((96, 32, 32, 3), 40, np.uint8)
    frames[np.arange(96), :, np.arange(96) % 32] = 255
    whole = film(tmp_path / "a.ts", frames, base=Fraction(1, 90_000), g=24, bf=3)
    packets = whole.read_bytes()
    (tmp_path / "b.ts").write_bytes(packets[188 * int(len(packets) // 188 * part) :])
    seen, times = read_frames(tmp_path / "b.ts")
    info = decode.probe(tmp_path / "b.ts")
    assert info.frames == len(seen) and (len(seen) == 96) == (part == 0)
    assert info.seconds == pytest.approx(times[-1] + 0.1, abs=1e-3)
