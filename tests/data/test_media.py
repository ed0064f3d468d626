import os
import subprocess
import sys
import weakref

import av
import imageio.v3 as iio
import numpy as np
import pytest

from vgm_jax.data import media
from vgm_jax.types import Media

SUFFIXES = [".mp4", ".mov", ".mkv", ".webm", ".gif"]


def moving_square(frames=10, height=32, width=48):
    """uint8 [T H W 3]: a red square on a blue ground."""
    video = np.full((frames, height, width, 3), (30, 60, 160), np.uint8)
    for t in range(frames):
        video[t, 8:20, 2 * t : 2 * t + 12] = (220, 40, 30)
    return video


def decode(path):
    """Frames uint8 [T H W 3], their times in seconds, and the stream's codec, pixel format and rate."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(video=0))
        pixels = np.stack([frame.to_ndarray(format="rgb24") for frame in frames])
        info = (stream.codec_context.name, stream.codec_context.pix_fmt, stream.average_rate)
        return pixels, np.array([frame.time for frame in frames]), info, float(container.duration) / 1e6


# Layout


def test_grid_places_clips_row_by_row():
    videos = np.arange(1, 4, dtype=np.uint8)[:, None, None, None, None] * np.ones((1, 2, 3, 3, 3), np.uint8)
    out = media.grid(videos, columns=2, padding=1)
    expected = np.full((7, 7), 255)
    expected[:3, :3], expected[:3, 4:], expected[4:, :3] = 1, 2, 3
    assert out.dtype == np.uint8 and out.shape == (2, 7, 7, 3)
    np.testing.assert_array_equal(out, np.broadcast_to(expected[None, ..., None], out.shape))


@pytest.mark.parametrize(
    ("count", "size", "shape"), [(1, (5, 5), (5, 5)), (9, (8, 8), (24, 24)), (4, (8, 32), (32, 32))]
)
def test_grid_is_nearly_square(count, size, shape):
    assert media.grid(np.zeros((count, 1, *size, 3), np.uint8), padding=0).shape[1:3] == shape


def test_grey_becomes_rgb():
    video = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5, 1), np.uint8)
    out = media.grid(video, columns=1, padding=0)
    np.testing.assert_array_equal(out[:, :4], np.repeat(video[0], 3, -1))
    assert media.strip(video).shape == (8, 15, 3)


def test_strip_shows_first_to_last_frame():
    video = np.random.default_rng(0).integers(0, 256, (2, 9, 3, 4, 3), np.uint8)
    out = media.strip(video, frames=3, scale=2)
    assert out.shape == (2 * 3 * 2, 3 * 4 * 2, 3)
    for row in range(2):
        for column, t in enumerate((0, 4, 8)):
            cell = out[row * 6 : row * 6 + 6, column * 8 : column * 8 + 8]
            for dy in range(2):
                for dx in range(2):
                    np.testing.assert_array_equal(cell[dy::2, dx::2], video[row, t])


@pytest.mark.parametrize("videos", [np.zeros((1, 2, 3, 3, 3), np.float32), np.zeros((2, 3, 3, 3), np.uint8)])
def test_layouts_refuse_other_arrays(videos):
    for function in (media.grid, media.strip):
        with pytest.raises(ValueError, match=r"uint8 \[N T H W C\]"):
            function(videos)


# Video files


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip(tmp_path, suffix):
    video = moving_square()
    assert media.write_video(tmp_path / f"a{suffix}", iter(video), fps=8, scale=2) == 10
    pixels, times, _, duration = decode(tmp_path / f"a{suffix}")
    large = video.repeat(2, 1).repeat(2, 2)
    assert pixels.shape == large.shape
    assert np.abs(pixels.astype(int) - large).mean() < 3
    np.testing.assert_allclose(times, np.arange(10) / 8, atol=0.006)
    assert duration == pytest.approx(10 / 8, abs=0.006)


def test_codecs_that_browsers_play(tmp_path):
    for suffix, codec in [(".mp4", "h264"), (".mov", "h264"), (".mkv", "h264"), (".webm", "vp9")]:
        media.write_video(tmp_path / f"a{suffix}", moving_square(), fps=8)
        _, _, (name, pixel_format, _), _ = decode(tmp_path / f"a{suffix}")
        assert codec in name and pixel_format == "yuv420p"
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "a browser should not need the end of the file to start"


def test_gif_keeps_few_colours_exactly_and_loops(tmp_path):
    video = moving_square()
    media.write_video(tmp_path / "a.gif", video, fps=10)
    np.testing.assert_array_equal(iio.imread(tmp_path / "a.gif"), video)
    assert iio.immeta(tmp_path / "a.gif")["loop"] == 0


def test_gif_of_many_colours_is_close_and_keeps_a_small_object(tmp_path):
    ramp = np.linspace(0, 255, 64)
    video = np.stack([np.add.outer(ramp, ramp) / 2, np.tile(ramp, (64, 1)), np.tile(ramp[:, None], 64)], -1)
    video = np.repeat(video[None].astype(np.uint8), 4, 0)
    video[:, 10:14, 50:54] = (255, 0, 255)
    media.write_video(tmp_path / "a.gif", video, fps=10)
    difference = np.abs(iio.imread(tmp_path / "a.gif").astype(int) - video)
    assert difference.mean() < 8
    assert difference[:, 10:14, 50:54].mean() < 16


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("size", [(1, 1), (33, 47), (32, 31)])
def test_odd_sizes(tmp_path, suffix, size):
    frame = np.full((*size, 3), (200, 100, 50), np.uint8)
    media.write_video(tmp_path / f"a{suffix}", [frame] * 3, fps=8)
    pixels, _, _, _ = decode(tmp_path / f"a{suffix}")
    even = size if suffix == ".gif" else tuple(n + n % 2 for n in size)
    assert pixels.shape == (3, *even, 3)
    assert np.abs(pixels.astype(int) - (200, 100, 50)).max() < 8, "the padding repeats the edge"


@pytest.mark.parametrize("fps", [23.976, 24000 / 1001, 0.5, 60, 7])
def test_frame_rates(tmp_path, fps):
    media.write_video(tmp_path / "a.mp4", moving_square(), fps)
    _, times, (_, _, rate), duration = decode(tmp_path / "a.mp4")
    assert float(rate) == pytest.approx(fps)
    np.testing.assert_allclose(times, np.arange(10) / fps, atol=1e-4)
    assert duration == pytest.approx(10 / fps, rel=1e-3)


@pytest.mark.parametrize("fps", [23.976, 30, 7, 60])
def test_gif_is_as_long_as_the_clip(tmp_path, fps):
    video = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)
    media.write_video(tmp_path / "a.gif", video, fps)
    pixels, times, _, duration = decode(tmp_path / "a.gif")
    shown = min(fps, 50)
    assert len(pixels) == 40
    np.testing.assert_allclose(times, np.arange(40) / shown, atol=0.0051)
    assert duration == pytest.approx(40 / shown, abs=0.0051)


def test_grey_frames(tmp_path):
    video = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 1), np.uint8).repeat(4, 1).repeat(4, 2)
    for suffix in (".mp4", ".gif"):
        media.write_video(tmp_path / f"a{suffix}", video, fps=8)
        assert np.abs(decode(tmp_path / f"a{suffix}")[0].astype(int) - video).mean() < 4


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_an_exception_leaves_the_earlier_file(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"earlier")

    def frames():
        yield from moving_square()
        raise RuntimeError("out of noise")

    with pytest.raises(RuntimeError, match="out of noise"):
        media.write_video(path, frames(), fps=8)
    with pytest.raises(ValueError, match="no frame"):
        media.write_video(path, [], fps=8)
    assert path.read_bytes() == b"earlier"
    assert os.listdir(tmp_path) == [path.name]


def test_target_appears_complete_and_with_usual_permissions(tmp_path):
    path = tmp_path / "new" / "folder" / "a.mp4"
    with media.VideoWriter(path, fps=8) as writer:
        writer.write(moving_square()[0])
        assert not path.exists()
    assert os.listdir(path.parent) == ["a.mp4"]
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".png"])
def test_unwritable_paths_are_named(tmp_path, suffix):
    (tmp_path / "file").touch()
    (tmp_path / f"folder{suffix}").mkdir()
    for path in (tmp_path / "file" / f"a{suffix}", tmp_path / f"folder{suffix}"):
        with pytest.raises(OSError) as caught:
            if suffix == ".png":
                media.write_image(path, moving_square()[0])
            else:
                media.write_video(path, moving_square(), fps=8)
        assert caught.value.filename == str(path)
    assert sorted(os.listdir(tmp_path)) == ["file", f"folder{suffix}"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_a_full_disk_is_reported_with_the_path(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"a{suffix}"
    with pytest.raises(OSError) as caught, media.VideoWriter(path, fps=8) as writer:
        writer._temporary.unlink()
        writer._temporary.symlink_to("/dev/full")
        for frame in moving_square():
            writer.write(frame)
    assert caught.value.filename == str(path)
    assert os.listdir(tmp_path) == []


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match=r"a\.avi.*\.mp4.*\.gif"):
        media.VideoWriter(tmp_path / "a.avi", fps=8)
    for fps in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="fps"):
            media.VideoWriter(tmp_path / "a.mp4", fps=fps)
    with pytest.raises(ValueError, match="scale"):
        media.VideoWriter(tmp_path / "a.mp4", fps=8, scale=0)
    frame = moving_square()[0]
    for bad in (frame.astype(np.float32), frame[..., :2], frame[0], frame[:0]):
        with pytest.raises(ValueError, match=r"uint8 \[H W C\]"):
            media.write_video(tmp_path / "a.mp4", [bad], fps=8)
    with pytest.raises(ValueError, match="shape"):
        media.write_video(tmp_path / "a.mp4", [frame, frame[1:]], fps=8)
    for name in ("a.mp4", "a.gif"):
        with pytest.raises(ValueError, match="100000 times .* is more than 16384 a side"):
            media.write_video(tmp_path / name, [frame], fps=8, scale=100_000)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webm"])
def test_frames_are_not_held(tmp_path, suffix):
    class Frame(np.ndarray):  # with room for a token, since arrays are not hashable
        pass

    class Token:
        pass

    alive, most = weakref.WeakSet(), 0

    def frames():
        nonlocal most
        for frame in moving_square(frames=16).repeat(20, 0):
            frame = frame.copy().view(Frame)
            frame.token = Token()
            alive.add(frame.token)
            most = max(most, len(alive))
            yield frame

    assert media.write_video(tmp_path / f"a{suffix}", frames(), fps=8) == 320
    assert most <= 3


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_memory_does_not_grow_with_length(tmp_path, suffix):
    code = """
import sys
import numpy as np
from vgm_jax.data import media
ramp = np.arange(96 * 96 * 3, dtype=np.uint32).reshape(96, 96, 3)
peaks = []
for n in (64, 1000):  # 1000 frames are 26 MiB
    media.write_video(sys.argv[1], ((ramp // 99 + t).astype(np.uint8) for t in range(n)), 25)
    # Not ru_maxrss, which a process inherits from the one that started it.
    peaks.append(int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024)
print(peaks[1] - peaks[0])
"""
    output = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / f"a{suffix}")], check=True, capture_output=True, text=True
    )
    assert float(output.stdout) < 8


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="needs /proc")
def test_no_thread_outlives_a_writer(tmp_path):
    # Data loaders fork; a thread pool that is alive then can hang the child.
    before = len(os.listdir("/proc/self/task"))
    for suffix in SUFFIXES:
        media.write_video(tmp_path / f"a{suffix}", moving_square(), fps=8)
    assert len(os.listdir("/proc/self/task")) <= before


# Pictures, and everything at once


def test_write_image(tmp_path):
    image = moving_square()[0]
    media.write_image(tmp_path / "a" / "b.png", image)
    np.testing.assert_array_equal(iio.imread(tmp_path / "a" / "b.png"), image)
    media.write_image(tmp_path / "grey.png", image[..., :1])
    np.testing.assert_array_equal(iio.imread(tmp_path / "grey.png"), image[..., :1].repeat(3, -1))
    assert os.listdir(tmp_path / "a") == ["b.png"]
    with pytest.raises(ValueError, match="png"):
        media.write_image(tmp_path / "a.jpg", image)
    with pytest.raises(ValueError, match=r"uint8 \[H W C\]"):
        media.write_image(tmp_path / "a.png", image / 255)


def test_write_media(tmp_path):
    clips = np.stack([moving_square(height=32, width=32)] * 4)
    paths = media.write_media(tmp_path / "media", "samples.ema", Media(clips, fps=8.0))
    assert paths == [tmp_path / "media" / f"samples.ema{suffix}" for suffix in (".mp4", ".gif", ".png")]
    assert decode(paths[0])[0].shape == (10, 66 * 3, 66 * 3, 3)
    np.testing.assert_array_equal(iio.imread(paths[1]), media.grid(clips).repeat(3, 1).repeat(3, 2))
    np.testing.assert_array_equal(iio.imread(paths[2]), media.strip(clips, scale=3))
    assert iio.imread(media.write_media(tmp_path, "a", Media(clips, 8.0), scale=1)[2]).shape[0] == 4 * 32
