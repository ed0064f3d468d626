"""From films with known cuts, bars and damages to shots and clips."""

import contextlib
import itertools
import sys
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
from PIL import Image

from vgm_jax.data import audio
from vgm_jax.data._readers import Film
from vgm_jax.data.decode import DecodeError, read_frames
from vgm_jax.data.media import write_video
from vgm_jax.preparation import shots
from vgm_jax.preparation.records import REASONS, Clip, Rejection, Settings, Shot, Source
from vgm_jax.preparation.source import process

HEIGHT, WIDTH = 96, 160


def scene(seed, frames, size=(HEIGHT, WIDTH)):
    """uint8 [T H W 3]: a box crosses a background of one hue with some texture, which drifts."""
    rng = np.random.default_rng(seed)
    h, w = size
    blocks = rng.integers(0, 200, 3) + rng.integers(0, 56, (h // 8 + 1, (w + frames) // 8 + 1, 1))
    wide = blocks.repeat(8, 0).repeat(8, 1).astype(np.uint8)
    video = np.stack([wide[:h, t // 2 : t // 2 + w] for t in range(frames)])
    for t, frame in enumerate(video):
        x = int((0.1 + 0.6 * t / frames) * w)
        frame[h // 3 : h // 2, x : x + w // 8] = 255 - frame[h // 3 : h // 2, x : x + w // 8]
    return video


def film(path, video, fps=24, codec="libx264", pts=None, base=Fraction(1, 1200), audio=None, **options):
    """A film, with sound float32 [S] at 16 kHz if one likes."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options={k: str(v) for k, v in options.items()})
        video = iter(video)
        first = next(video)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "rgb24" if codec == "png" else "yuv420p"
        stream.codec_context.time_base = base
        sound = container.add_stream("aac", rate=16000, layout="mono") if audio is not None else None
        for t, frame in enumerate(itertools.chain([first], video)):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            picture.pts = round(t / fps / base) if pts is None else pts[t]
            picture.time_base = base
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
        if sound is not None:
            for k in range(0, len(audio) - 1023, 1024):
                block = av.AudioFrame.from_ndarray(audio[None, k : k + 1024], "fltp", "mono")
                block.sample_rate, block.pts, block.time_base = 16000, k, Fraction(1, 16000)
                container.mux(sound.encode(block))
            container.mux(sound.encode())
    return path


def found(path, **settings):
    """Shots, clips and rejections of a file."""
    given = {"size": 32, "fps": 12.0, "frames": 8, "audio": False} | settings
    items = list(process(Source(path.name, path), Settings(**given)))
    assert all(item.reason in REASONS for item in items if isinstance(item, Rejection))
    return [[item for item in items if isinstance(item, kind)] for kind in (Shot, Clip, Rejection)]


@pytest.fixture
def cut_at(monkeypatch):
    """Instead of the network: transitions at given frames."""

    def put(*cuts):
        def probabilities(frames):
            for i, _ in enumerate(frames):
                yield (1.0, 1.0) if i in cuts else (0.0, 0.0)

        monkeypatch.setattr("vgm_jax.preparation.source.transition_probabilities", probabilities)

    put()
    return put


# Shots and clips


def test_no_clip_crosses_a_cut_that_the_network_finds(tmp_path):
    scenes = [scene(1, 50), scene(2, 37), scene(5, 61)]
    video = np.concatenate(scenes)
    film(tmp_path / "a.mp4", video, crf=12)
    shots_, clips, rejections = found(tmp_path / "a.mp4")
    starts = [round(24 * shot.start) for shot in shots_]
    assert starts[0] == 0 and starts[1] in (50, 51) and starts[2] in (87, 88) and len(starts) == 3
    assert [shot.end for shot in shots_] == [shots_[1].start, shots_[2].start, pytest.approx(148 / 24)]
    assert [clip.shot for clip in clips] == [0, 0, 0, 1, 1, 2, 2, 2]
    for clip in clips:
        shot = shots_[clip.shot]
        assert shot.start <= clip.start and clip.start + clip.times[-1] < shot.end
        first = round(24 * clip.start)
        frames = video[first : first + 16 : 2, :, (WIDTH - HEIGHT) // 2 : (WIDTH + HEIGHT) // 2]
        expected = frames.reshape(8, 32, 3, 32, 3, 3).mean((2, 4))
        assert np.abs(clip.video - expected).mean() < 6
    assert {r.reason for r in rejections} == {"too short"} and all(r.start < r.end for r in rejections)


def test_clips_follow_one_another_from_each_shots_start(tmp_path, cut_at):
    film(tmp_path / "a.mp4", scene(0, 96), crf=12)
    cut_at(40, 41)
    shots_, clips, rejections = found(tmp_path / "a.mp4")
    assert [(s.start, s.end) for s in shots_] == [(0.0, 42 / 24), (42 / 24, 4.0)]
    assert [(c.shot, round(c.start * 12)) for c in clips] == [(0, 0), (0, 8), (1, 21), (1, 29), (1, 37)]
    assert [(r.start, r.end) for r in rejections] == [(16 / 12, 40 / 24), (45 / 12, 4.0)]
    for clip in clips:
        assert clip.video.shape == (8, 32, 32, 3) and clip.video.dtype == np.uint8
        np.testing.assert_allclose(clip.times, np.arange(8) / 12, atol=1e-6)
        assert clip.times.dtype == np.float32 and clip.audio is None and clip.caption == ""
        assert set(clip.figures) == {"brightness", "light", "sharpness", "motion"}
        same = read_frames(tmp_path / "a.mp4", fps=12, start=clip.start, count=8, size=32)[0]
        assert np.abs(clip.video.astype(int) - same).mean() < 1.5  # but for how colour is reduced


def test_frames_as_they_are(tmp_path, cut_at):
    pts = np.cumsum(np.resize([50, 100, 30], 40)).tolist()  # in 1 / 1200 s
    film(tmp_path / "a.mov", scene(0, 40), pts=pts, codec="png")
    _, clips, rejections = found(tmp_path / "a.mov", fps=0.0)
    assert len(clips) == 5 and not rejections
    for i, clip in enumerate(clips):
        times = (np.array(pts[8 * i : 8 * i + 8]) - pts[0]) / 1200
        assert clip.start == pytest.approx(times[0], abs=1e-3)
        np.testing.assert_allclose(clip.times, times - times[0], atol=2e-3)


def test_every_second_frame_is_enough_at_sixty_a_second(tmp_path, monkeypatch):
    seen = []

    def probabilities(frames):
        for i, _ in enumerate(frames):
            seen.append(i)
            yield (1.0, 1.0) if i == 30 else (0.0, 0.0)

    monkeypatch.setattr("vgm_jax.preparation.source.transition_probabilities", probabilities)
    film(tmp_path / "a.mp4", scene(0, 121), fps=60, base=Fraction(1, 60))
    shots_, clips, _ = found(tmp_path / "a.mp4")
    assert len(seen) == 61
    assert [(round(60 * s.start), round(60 * s.end)) for s in shots_] == [(0, 62), (62, 121)]
    assert [clip.shot for clip in clips] == [0, 1]


def test_shots_too_short_for_a_clip_are_told(tmp_path, cut_at):
    film(tmp_path / "a.mp4", scene(0, 60))
    cut_at(6, 8, 30)
    shots_, clips, rejections = found(tmp_path / "a.mp4")
    assert len(shots_) == 4 and [clip.shot for clip in clips] == [2, 3]
    short = [r for r in rejections if r.end <= 9 / 24]
    assert [r.detail for r in short] == ["3 of 8 frames in a shot", "0 of 8 frames in a shot"]


def test_the_same_film_gives_the_same_bits(tmp_path):
    film(tmp_path / "a.mp4", np.concatenate([scene(1, 30), scene(2, 40)]))
    one, two = found(tmp_path / "a.mp4"), found(tmp_path / "a.mp4")
    assert one[0] == two[0] and len(one[1]) == len(two[1]) > 2
    for a, b in zip(one[1], two[1], strict=True):
        np.testing.assert_array_equal(a.video, b.video)
        assert (a.start, a.fingerprint, a.figures) == (b.start, b.fingerprint, b.figures)


# Other forms, sound, captions


def test_arrays_and_frame_folders(tmp_path, cut_at):
    video = scene(0, 20, (32, 32))
    np.save(tmp_path / "a.npy", video)
    np.save(tmp_path / "many.npy", np.stack([scene(1, 20, (32, 32)), video]))
    (tmp_path / "stills").mkdir()
    for t, frame in enumerate(video):
        Image.fromarray(frame).save(tmp_path / "stills" / f"{t}.png")
    settings = Settings(size=32, fps=12.0, frames=8)
    many = Source("many.npy#1", tmp_path / "many.npy", 1)
    for source in (Source("a.npy", tmp_path / "a.npy"), many, Source("stills", tmp_path / "stills")):
        items = list(process(source, settings))
        clips = [item for item in items if isinstance(item, Clip)]
        assert [clip.start for clip in clips] == [0, pytest.approx(8 / 12)]
        np.testing.assert_array_equal(np.concatenate([clip.video for clip in clips]), video[:16])
        assert [clip.audio for clip in clips] == [None, None]


def test_sound_and_captions_are_those_of_the_clip(tmp_path, cut_at):
    tone = np.zeros(4 * 16000, np.float32)
    tone[16000 : 2 * 16000] = 0.5 * np.sin(np.arange(16000) * 2 * np.pi * 440 / 16000)
    film(tmp_path / "a.mp4", scene(0, 96), audio=tone)
    (tmp_path / "a.srt").write_text("1\n00:00:01,400 --> 00:00:01,900\nit whistles\n")
    _, clips, _ = found(tmp_path / "a.mp4", audio=True)
    assert [round(c.start, 3) for c in clips] == [0.0, 0.667, 1.333, 2.0, 2.667, 3.333]
    assert all(c.audio.dtype == np.int16 and c.audio.shape == (round(16000 * 8 / 12),) for c in clips)
    loud = [float(np.abs(c.audio).max()) > 8000 for c in clips]
    assert loud == [False, True, True, False, False, False]
    assert [c.caption for c in clips] == ["", "", "it whistles", "", "", ""]


# Cleaning


def test_sound_that_is_damaged_is_told_and_pictures_are_kept(tmp_path, cut_at, monkeypatch):
    class Damaged(audio.Sound):
        def read(self, start, seconds):
            if start > 1:
                raise DecodeError(self.path, "its sound is damaged")
            return super().read(start, seconds)

    tone = np.sin(np.arange(16000 * 3) * 0.1).astype(np.float32) / 2
    path = film(tmp_path / "a.mp4", scene(1, 72), audio=tone)
    monkeypatch.setattr(audio, "Sound", Damaged)
    _, clips, rejections = found(path, audio=True)
    assert [clip.audio is None for clip in clips] == [False, False, True, True]
    (lost,) = [item for item in rejections if "sound" in item.detail]
    assert (lost.reason, lost.start, lost.end) == ("damaged", clips[2].start, 3.0)
    monkeypatch.setattr(audio, "Sound", None)  # it does not even open
    _, clips, rejections = found(path, audio=True)
    assert len(clips) == 4 and [item.start for item in rejections if "its sound" in item.detail] == [0.0]


def test_bars_are_cut_off(tmp_path, cut_at):
    video = np.concatenate([scene(seed, 24) for seed in range(4)])
    inside = np.zeros((96, 128, WIDTH, 3), np.uint8)
    inside[:, 16:112] = video
    film(tmp_path / "bars.mp4", inside, crf=12, g=12)
    film(tmp_path / "plain.mp4", video, crf=12, g=12)
    (_, barred, _), (_, plain, _) = found(tmp_path / "bars.mp4"), found(tmp_path / "plain.mp4")
    assert len(barred) == len(plain) == 6
    for a, b in zip(barred, plain, strict=True):
        assert np.abs(a.video.astype(int) - b.video).mean() < 8
        assert a.video.mean((0, 2, 3)).min() > 25


def test_damages_are_found_and_the_limits_can_be_set(tmp_path, cut_at):
    still = scene(1, 1).repeat(32, 0)
    film(tmp_path / "still.mp4", still)
    film(tmp_path / "black.mp4", np.zeros((32, 64, 64, 3), np.uint8))
    for name, reason in {"still.mp4": "frozen", "black.mp4": "black"}.items():
        shots_, clips, rejections = found(tmp_path / name)
        assert [r.reason for r in rejections] == [reason] * 2 and not clips and len(shots_) == 1
        assert all(r.picture.shape == (32, 32, 3) and r.start < r.end for r in rejections)
    assert len(found(tmp_path / "still.mp4", frozen=0.0)[1]) == 2
    assert len(found(tmp_path / "black.mp4", frozen=0.0, black=0.0, blurred=0.0)[1]) == 2


# Bad files


def test_the_beginning_of_a_damaged_film_is_kept(tmp_path, cut_at):
    video = np.random.default_rng(0).integers(0, 256, (48, 32, 32, 3), np.uint8)
    film(tmp_path / "a.mov", video, codec="png")
    data = bytearray((tmp_path / "a.mov").read_bytes())
    data[len(data) * 5 // 8 : len(data) * 5 // 8 + 8000] = bytes(8000)
    (tmp_path / "a.mov").write_bytes(data)
    shots_, clips, rejections = found(tmp_path / "a.mov", fps=24.0)
    assert len(clips) == 3 and len(shots_) == 1
    np.testing.assert_array_equal(np.concatenate([clip.video for clip in clips]), video[:24])
    damaged = rejections[-1]
    assert damaged.reason == "damaged" and damaged.start == shots_[0].end == pytest.approx(29 / 24, abs=0.1)
    assert damaged.end == pytest.approx(2.0)


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".ts", ".mp4"])
def test_frames_whose_gaps_a_decoder_fills_are_not_kept(tmp_path, cut_at, suffix):
    video = scene(3, 96)
    # Frames of several packets of a transport stream: what is lost whole there leaves no trace.
    codec = {"codec": "mpeg4", "b:v": "1M"} if suffix == ".avi" else {"g": 24, "crf": 4}
    film(tmp_path / f"a{suffix}", video, base=Fraction(1, 24), **codec)
    whole = found(tmp_path / f"a{suffix}")[1]
    data = bytearray((tmp_path / f"a{suffix}").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 1500] = np.random.default_rng(0).bytes(1500)
    (tmp_path / f"a{suffix}").write_bytes(data)
    _, clips, rejections = found(tmp_path / f"a{suffix}")
    assert len(whole) == 6 and 1 <= len(clips) < 5 and rejections[-1].reason == "damaged"
    for clip, good in zip(clips, whole, strict=False):
        np.testing.assert_array_equal(clip.video, good.video)


def test_a_film_that_was_cut_off_gives_what_is_there(tmp_path, cut_at):
    write_video(tmp_path / "a.mkv", scene(0, 96), fps=24)
    data = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "a.mkv").write_bytes(data[: len(data) * 2 // 3])
    _, clips, rejections = found(tmp_path / "a.mkv")
    assert len(clips) in (3, 4)
    assert rejections[-1].reason == "damaged" and "by its header it lasts 4.00 s" in rejections[-1].detail


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_sound_that_outlasts_the_picture_is_no_sign_of_a_cut(tmp_path, cut_at, suffix):
    cut_at()
    sound = np.random.default_rng(0).uniform(-0.1, 0.1, 8 * 16_000).astype(np.float32)
    path = film(tmp_path / f"a{suffix}", scene(0, 48), audio=sound)
    with av.open(str(path)) as container:
        assert container.duration / 1e6 == pytest.approx(8.0, abs=0.2)
    shots_, clips, rejections = found(path)
    assert len(shots_) == 1 and len(clips) == 3 and not rejections


@pytest.mark.parametrize(
    ("tags", "seconds"),
    [
        ({"DURATION": "00:00:05.250000000"}, 5.0),  # by FFmpeg: when the last frame ends
        ({"DURATION": "00:00:05.250000000", "_STATISTICS_WRITING_APP": "mkvmerge"}, 5.25),  # from the first
        ({"DURATION-eng": "00:01:05.5"}, 65.25),
        ({"DURATION": "01:00:00.25"}, 100.0),  # longer than the whole
        ({"DURATION": "00:00:00.000000000"}, 100.0),
        ({"DURATION": "5 s"}, 100.0),
        ({}, 100.0),
    ],
)
def test_for_how_long_a_matroska_file_shows_pictures(tmp_path, tags, seconds):
    with contextlib.closing(Film(film(tmp_path / "a.mkv", scene(0, 4)))) as reader:
        whole = reader.container
        reader.stream = SimpleNamespace(
            duration=None, metadata=tags, start_time=250, time_base=Fraction(1, 1000)
        )
        reader.container = SimpleNamespace(duration=100_000_000, close=whole.close)
        assert reader.seconds == pytest.approx(seconds)


@pytest.mark.parametrize("at", [0, 30])
def test_what_failed_for_want_of_memory_is_worth_another_try(tmp_path, cut_at, monkeypatch, at):
    cut_at()
    path = film(tmp_path / "a.mp4", scene(0, 48))
    shown = Film.shown

    def short_of_memory(self):
        yield from itertools.islice(shown(self), at)
        raise MemoryError

    assert not any(item.again for item in found(path)[2])
    monkeypatch.setattr(Film, "shown", short_of_memory)
    _, clips, rejected = found(path)
    assert bool(clips) == bool(at)
    assert [item.reason for item in rejected if item.again] == ["damaged" if at else "unreadable"]


def test_what_cannot_be_read_is_one_rejection(tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("this is no film\n" * 50)
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nhttp://localhost:1/a.ts\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "nowhere.mp4")
    np.save(tmp_path / "float.npy", np.zeros((4, 8, 8, 3)))
    for name in ("empty.mp4", "text.mp4", "list.mp4", "folder", "dangling.mp4", "float.npy", "missing.mp4"):
        shots_, clips, rejections = found(tmp_path / name)
        assert not shots_ and not clips and len(rejections) == 1
        assert rejections[0].reason == "unreadable" and rejections[0].start is None
        assert rejections[0].detail and str(tmp_path) not in rejections[0].detail


def test_odd_sizes_and_a_single_frame(tmp_path, cut_at):
    film(tmp_path / "one.mp4", scene(0, 1))
    shots_, clips, rejections = found(tmp_path / "one.mp4")
    assert len(shots_) == 1 and not clips and rejections[0].detail == "1 of 8 frames in a shot"
    for size in ((1, 1), (2, 800), (800, 2)):
        np.save(
            tmp_path / "a.npy", np.random.default_rng(0).integers(0, 256, (16, *size, 3)).astype(np.uint8)
        )
        shots_, clips, rejections = found(tmp_path / "a.npy")
        assert len(shots_) == 1 and len(clips) + len(rejections) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_length(tmp_path, monkeypatch):
    """Of 600 frames only those are held of which nothing is known yet; all of them would be 115 MB."""

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096 / 2**20

    monkeypatch.setattr(shots, "_look", lambda window: [(0.0, 0.0)] * 50)
    rng = np.random.default_rng(0)
    loop = [scene(int(seed), 1, (256, 256))[0] for seed in rng.integers(0, 99, 8)]
    film(tmp_path / "a.mp4", (loop[t // 10 % 8] for t in range(600)), preset="ultrafast")
    taken = process(Source("a", tmp_path / "a.mp4"), Settings(size=256, fps=24.0, frames=16, audio=False))
    sizes = [resident() for _ in taken]
    assert len(sizes) > 30
    assert max(sizes[16:]) - sizes[10] < 30
