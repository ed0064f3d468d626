import errno
import gc
import json
import os
import pickle
import threading
import warnings
from fractions import Fraction

import av
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from vgm_jax.data import decode
from vgm_jax.data.decode import DecodeError, read_frames
from vgm_jax.data.media import write_video
from vgm_jax.data.pipeline import train_batches
from vgm_jax.data.sources import make_source
from vgm_jax.data.sources.folder import Folder

SKIPPED = "ignore:.*skipped"


def clip(frames, level, size=(24, 32)):
    """uint8 [T H W 3]: frame t is of level + t, and so is every resized crop of it."""
    video = np.empty((frames, *size, 3), np.uint8)
    video[:] = (level + np.arange(frames))[:, None, None, None]
    return video


def save(path, frames, level, **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, clip(frames, level, **settings))


@pytest.fixture
def many(tmp_path):
    """30 arrays of 5 frames, levels 0, 5, 10, ..."""
    for i in range(30):
        save(tmp_path / f"v{i}.npy", 5, 5 * i)
    return tmp_path


def level(item):
    return int(item["video"][0, 0, 0, 0])


# Clips


@pytest.mark.filterwarnings(SKIPPED)
def test_every_form_gives_its_windows_in_natural_order(tmp_path):
    write_video(tmp_path / "v10.mp4", clip(20, 20), fps=10)
    write_video(tmp_path / "v9.webm", clip(25, 60), fps=10)
    write_video(tmp_path / "b" / "a.gif", clip(9, 80), fps=10)
    write_video(tmp_path / "short.mkv", clip(7, 0), fps=10)
    save(tmp_path / "one.npy", 17, 150)
    np.save(tmp_path / "many.npy", np.stack([clip(8, 200), clip(8, 220)]))
    (tmp_path / "frames").mkdir()
    for t, frame in enumerate(clip(8, 100)):
        Image.fromarray(frame).save(tmp_path / "frames" / f"{t}.png")
    (tmp_path / "broken.avi").write_bytes(b"nothing")
    for name in ("notes.txt", ".v1.mp4", "._v1.mp4", "v9.jpg", ".hidden/a.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no video")
    source = Folder(tmp_path, size=16, frames=8, fps=10)
    origins = [source.origin(i) for i in range(len(source))]
    assert origins == [
        ("b/a.gif", 0),
        ("frames", 0),
        ("many.npy#0", 0),
        ("many.npy#1", 0),
        ("one.npy", 0),
        ("one.npy", 0.8),
        ("v9.webm", 0),
        ("v9.webm", 0.8),
        ("v9.webm", 1.6),
        ("v10.mp4", 0),
        ("v10.mp4", 0.8),
    ]
    assert [name for name, _ in source.rejected] == ["broken.avi", "short.mkv"]
    assert "7 of 8 frames at 10" in dict(source.rejected)["short.mkv"]
    for i, first in enumerate([80, 100, 200, 220, 150, 158, 60, 68, 76, 20, 28]):
        item = source[i]
        assert set(item) == {"video", "times"}
        assert item["video"].dtype == np.uint8 and item["video"].shape == (8, 16, 16, 3)
        assert item["times"].dtype == np.float32
        np.testing.assert_allclose(item["times"], np.arange(8) / 10, atol=1e-6)
        assert np.abs(item["video"].mean((1, 2, 3)) - first - np.arange(8)).max() < 3
    for index in (-1, len(source)):
        with pytest.raises(IndexError):
            source[index]


def test_native_frames_and_times(tmp_path):
    write_video(tmp_path / "a.mp4", clip(9, 40), fps=20)
    for fps in (None, 0, 0.0):
        source = Folder(tmp_path, frames=4, fps=fps)
        assert len(source) == 2
        np.testing.assert_array_equal(source[1]["video"], read_frames(tmp_path / "a.mp4")[0][4:8])
        np.testing.assert_allclose(source[1]["times"], np.arange(4) / 20, atol=1e-6)
    assert len(Folder(tmp_path, frames=4, fps=10)) == 1
    save(tmp_path / "b.npy", 8, 0)
    assert [len(Folder(tmp_path / "b.npy", frames=2, fps=fps, rate=8)) for fps in (None, 4, 8)] == [4, 2, 4]
    assert Folder(tmp_path / "b.npy", frames=2, rate=8)[0]["times"].tolist() == [0, 0.125]
    assert Folder(tmp_path / "b.npy", frames=2)[0]["times"].tolist() == [0, 1]


def test_one_video_or_one_folder_of_frames_is_enough(tmp_path):
    write_video(tmp_path / "v" / "a.mp4", clip(20, 40), fps=10)
    (tmp_path / "f").mkdir()
    for t, frame in enumerate(clip(4, 100)):
        Image.fromarray(frame).save(tmp_path / "f" / f"{t}.png")
    assert Folder(tmp_path / "v" / "a.mp4", frames=4, fps=10).origin(4) == ("a.mp4", pytest.approx(1.6))
    assert Folder(tmp_path / "f", frames=4).origin(0) == ("f", 0)
    assert len(Folder(tmp_path / "f", frames=2)) == 2


@pytest.mark.parametrize("memory", [0, 1024])
def test_order_and_memory_change_nothing(tmp_path, memory):
    rng = np.random.default_rng(0)
    for i in range(2):
        video = rng.integers(0, 256, (150, 4, 4, 3), np.uint8).repeat(8, 1).repeat(8, 2)
        write_video(tmp_path / f"{i}.mp4", video, fps=10)
    expected = [read_frames(tmp_path / f"{i}.mp4", fps=5, size=16)[0] for i in range(2)]
    source = Folder(tmp_path, size=16, frames=8, fps=5, memory=memory)
    assert len(source) == 18
    for i in [*range(18), *rng.permutation(18)]:
        video, k = divmod(int(i), 9)
        item = source[i]["video"]
        np.testing.assert_array_equal(item, expected[video][8 * k : 8 * k + 8])
        item[:] = 0  # the caller's own


def count_openings(monkeypatch):
    opened = []
    iterate = decode.iterate_frames

    def counted(path, *args, **settings):
        opened.append(path.name)
        return iterate(path, *args, **settings)

    monkeypatch.setattr(decode, "iterate_frames", counted)
    return opened


def test_in_order_each_film_is_gone_through_once(tmp_path, monkeypatch):
    for i in range(3):
        write_video(tmp_path / f"{i}.mp4", clip(160, 0), fps=4)
    opened = count_openings(monkeypatch)
    source = Folder(tmp_path, size=16, frames=8, fps=4, memory=0)
    assert [round(level(source[i]) / 8) for i in range(len(source))] == 3 * list(range(20))
    assert opened == ["0.mp4", "1.mp4", "2.mp4"]


def test_what_fits_is_decoded_once(tmp_path, monkeypatch):
    write_video(tmp_path / "a.mp4", clip(160, 0), fps=8)  # 20 s: decoded in two parts
    opened = count_openings(monkeypatch)
    source = Folder(tmp_path, size=16, frames=8, fps=8)
    for i in np.random.default_rng(0).permutation(np.repeat(np.arange(20), 2)):
        assert abs(level(source[i]) - 8 * i) < 3
    assert len(opened) <= 3


@pytest.mark.parametrize("fps", [10, None])
def test_a_clip_of_one_frame_lasts_as_long_as_the_frame(tmp_path, monkeypatch, fps):
    write_video(tmp_path / "a.mp4", clip(200, 0), fps=10)
    seen = []
    iterate = decode.iterate_frames

    def counted(*args, **settings):
        for frame in iterate(*args, **settings):
            seen.append(frame)
            yield frame

    monkeypatch.setattr(decode, "iterate_frames", counted)
    source = Folder(tmp_path, size=8, frames=1, fps=fps)
    assert len(source) == 200 and source[0]["video"].shape == (1, 8, 8, 3)
    assert len(seen) <= 101, "ten seconds at once"


def test_threads_and_processes(many, tmp_path):
    write_video(tmp_path / "film.mp4", clip(100, 0), fps=10)
    source = Folder(tmp_path, size=16, frames=5, fps=10, memory=0.01)
    expected = [source[i]["video"] for i in range(len(source))]
    wrong = []

    def work(seed):
        for i in np.random.default_rng(seed).permutation(len(source)):
            if not np.array_equal(source[i]["video"], expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not wrong
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again[3]["video"], expected[3])
    batch = next(train_batches(source, batch_size=4, seed=0))
    assert batch["video"].shape == (4, 5, 16, 16, 3) and batch["times"].shape == (4, 5)


def test_links_are_followed_once(tmp_path):
    save(tmp_path / "elsewhere" / "v.npy", 5, 0)
    save(tmp_path / "data" / "w.npy", 5, 0)
    (tmp_path / "data" / "a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "x.npy").symlink_to(tmp_path / "nowhere.npy")
    with pytest.warns(UserWarning, match="x.npy: No such file"):
        source = Folder(tmp_path / "data", size=8, frames=5)
    assert [video.name for video in source.videos] == ["a/v.npy", "w.npy"]


def test_broken_timestamps_do_not_fill_the_memory(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 24, 32, "bgr0"
        for t in (0, 1, 2, 40_000_000):
            picture = av.VideoFrame.from_ndarray(clip(1, 0)[0], format="rgb24").reformat(format="bgr0")
            picture.pts, picture.time_base = t, Fraction(1, 10)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    with pytest.raises(ValueError, match=r"a\.mkv: broken timestamps"):
        Folder(tmp_path, size=8, frames=4, fps=1000)


# Sizes


def test_without_a_size_all_must_be_alike(tmp_path):
    save(tmp_path / "a.npy", 4, 0)
    save(tmp_path / "b.npy", 4, 0)
    assert Folder(tmp_path, frames=4)[0]["video"].shape == (4, 24, 32, 3)
    save(tmp_path / "c.npy", 4, 0, size=(24, 30))
    with pytest.raises(ValueError, match=r"c\.npy: frames of 24 x 30 .* a\.npy have 24 x 32: give a size"):
        Folder(tmp_path, frames=4)
    assert Folder(tmp_path, size=8, frames=4)[2]["video"].shape == (4, 8, 8, 3)


# Splits and classes


def videos(path, split, **settings):
    return {video.name for video in Folder(path, split, size=8, frames=5, **settings).videos}


def test_splits_are_by_video_and_stay(many):
    parts = [videos(many, split) for split in ("train", "validation", "test")]
    assert set.union(*parts) == videos(many, None) == videos(many, "all")
    assert sum(map(len, parts)) == 30 and min(map(len, parts)) >= 1
    assert len(parts[0]) >= 18
    assert videos(many, "train", seed=1) != parts[0]
    for i in range(30, 60):
        save(many / f"v{i}.npy", 5, 0)
    for before, split in zip(parts, ("train", "validation", "test"), strict=True):
        assert before <= videos(many, split)


@pytest.mark.parametrize("count", range(3, 11))
def test_small_folders_have_all_three_splits(tmp_path, count):
    for i in range(count):
        save(tmp_path / f"{i}.npy", 10, 0)
    for seed in range(5):
        parts = [videos(tmp_path, split, seed=seed) for split in ("train", "validation", "test")]
        assert sum(map(len, parts)) == count == len(set.union(*parts)) and min(map(len, parts)) >= 1


def test_two_videos_and_one(tmp_path):
    save(tmp_path / "a.npy", 50, 0)
    parts = {}
    for split in ("train", "validation", "test"):
        with pytest.warns(UserWarning, match="one video"):
            source = Folder(tmp_path, split, size=8, frames=5)
        parts[split] = [level(source[i]) for i in range(len(source))]
    assert parts == {"train": [*range(0, 40, 5)], "validation": [40], "test": [45]}
    with pytest.warns(UserWarning, match="too few clips"):
        assert len(Folder(tmp_path, "test", size=8, frames=25)) == 2
    save(tmp_path / "b.npy", 10, 0)
    train, validation = (videos(tmp_path, split) for split in ("train", "validation"))
    with pytest.warns(UserWarning, match="two videos: one is both validation and test"):
        test = videos(tmp_path, "test")
    assert validation == test and train | test == {"a.npy", "b.npy"} and not train & test


@pytest.mark.parametrize("labels", [False, True])
def test_groups_are_split_as_one(tmp_path, labels):
    """The same patients may be in two classes, and must not be in two splits."""
    for patient in range(12):
        for film in range(3):
            kind = ("healthy", "ill")[film % 2] if labels else "."
            save(tmp_path / kind / f"patient{patient}" / f"{film}.npy", 5, 5 * patient)
    settings = {"labels": labels, "groups": True}
    found = {split: videos(tmp_path, split, **settings) for split in ("train", "validation", "test")}
    patients = [{name.split("/")[int(labels)] for name in names} for names in found.values()]
    assert all(patients) and sum(map(len, patients)) == len(set.union(*patients)) == 12
    assert sum(map(len, found.values())) == 36
    save(tmp_path / "healthy" / "nobody.npy", 5, 0)
    with pytest.raises(ValueError, match="groups=True, but healthy/nobody.npy is in no group's folder"):
        videos(tmp_path, "train", labels=True, groups=True)
    for path in (tmp_path / "alone", tmp_path / "alone" / "patient"):
        save(tmp_path / "alone" / "patient" / "0.npy", 5, 0)
        with pytest.raises(ValueError, match="only group: give two|in no group's folder"):
            videos(path, "train", groups=True)


@pytest.mark.filterwarnings(SKIPPED)
def test_named_splits_and_classes(tmp_path):
    for i, (part, name) in enumerate(
        [("train", "walk"), ("train", "run"), ("val", "walk"), ("train", "walk")]
    ):
        save(tmp_path / part / name / f"v{i}.npy", 5, 10 * i)
    assert videos(tmp_path, "train") == {"train/walk/v0.npy", "train/run/v1.npy", "train/walk/v3.npy"}
    assert videos(tmp_path, "validation") == videos(tmp_path, "test") == {"val/walk/v2.npy"}
    source = Folder(tmp_path, "validation", size=8, frames=5, labels=True)
    assert source.class_names() == ("run", "walk") and source.num_classes == 2
    assert source[0]["label"] == 1 and source[0]["label"].dtype == np.int32
    save(tmp_path / "other" / "v.npy", 5, 0)
    assert len(Folder(tmp_path, size=8, frames=5)) == 5
    assert Folder(tmp_path, "train", size=8, frames=5).rejected[0][0] == "other/v.npy"


def test_splits_are_known_in_any_case(tmp_path):
    """Else what is meant for the test would be trained on."""
    for i, part in enumerate(["Train", "Train", "TESTING"]):
        save(tmp_path / part / f"v{i}.npy", 5, 10 * i)
    assert videos(tmp_path, "train") == {"Train/v0.npy", "Train/v1.npy"}
    assert videos(tmp_path, "test") == {"TESTING/v2.npy"}


def test_class_folders(tmp_path):
    for i, name in enumerate(["c10/x", "c9", "c9"]):
        save(tmp_path / name / f"v{i}.npy", 5, 10 * i)
    source = Folder(tmp_path, size=8, frames=5, labels=True)
    assert source.class_names() == ("c9", "c10")
    assert [int(source[i]["label"]) for i in range(3)] == [0, 0, 1]
    save(tmp_path / "v.npy", 5, 0)
    with pytest.raises(ValueError, match=r"v\.npy is in no class"):
        Folder(tmp_path, size=8, frames=5, labels=True)


# Errors


def test_errors_say_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="data.path is empty"):
        Folder("", size=8)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Folder(tmp_path / "nowhere", size=8)
    with pytest.raises(ValueError, match="no video; expected .mp4"):
        Folder(tmp_path, size=8)
    (tmp_path / "a.mp4").touch()
    save(tmp_path / "b.npy", 5, 0)
    save(tmp_path / "c.npy", 6, 0)
    with pytest.raises(
        ValueError, match="3 .* 2 too short, 1 unreadable; the first, a.mp4: the file is empty"
    ):
        Folder(tmp_path, size=8, frames=16)
    for settings in ({"frames": 0}, {"fps": -1}, {"size": -8}, {"rate": -1}, {"fps": float("inf")}):
        with pytest.raises(ValueError, match="expected size and frames >= 1"):
            Folder(tmp_path, **settings)
    with pytest.raises(ValueError, match="train, validation, test and all; got 'dev'"):
        Folder(tmp_path, "dev")


@pytest.fixture
def forbid(monkeypatch):
    """`forbid(path)`: a folder that cannot be listed, even by root, who may list all."""

    def put(forbidden):
        def scandir(path="."):
            if os.fspath(path) == os.fspath(forbidden):
                raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
            return scan(path)

        scan = os.scandir
        monkeypatch.setattr(os, "scandir", scandir)

    return put


def test_folders_that_cannot_be_read_are_told(tmp_path, forbid):
    save(tmp_path / "a" / "v.npy", 5, 0)
    save(tmp_path / "b" / "v.npy", 5, 0)
    forbid(tmp_path / "b")
    with pytest.warns(UserWarning, match=r"1 video\(s\) skipped, such as b: the folder cannot be read"):
        source = Folder(tmp_path, size=8, frames=5)
    assert source.rejected == [("b", "the folder cannot be read (Permission denied)")] and len(source) == 1
    (tmp_path / "a" / "v.npy").unlink()
    with pytest.raises(ValueError, match="no video; expected .*; b: the folder cannot be read"):
        Folder(tmp_path, size=8, frames=5)
    forbid(tmp_path)
    with pytest.raises(PermissionError, match=str(tmp_path)):
        Folder(tmp_path, size=8, frames=5)


def test_floats_are_refused_by_name(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((8, 4, 4, 3), np.float32))
    with pytest.raises(ValueError, match=r"a\.npy: expected uint8 .* float32 .*multiply by 255"):
        Folder(tmp_path, frames=8)
    save(tmp_path / "b.npy", 8, 0, size=(4, 4))
    with pytest.warns(UserWarning, match=r"1 video\(s\) skipped, such as a\.npy"):
        assert len(Folder(tmp_path, frames=8)) == 1


def test_damage_found_late_is_listed_and_the_next_video_stands_in(tmp_path):
    for i in range(3):
        write_video(tmp_path / f"{i}.mp4", clip(64, 60 * i), fps=8)
    noisy = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), np.uint8)
    write_video(tmp_path / "1.mp4", noisy, fps=8)
    data = bytearray((tmp_path / "1.mp4").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = np.random.default_rng(1).bytes(4000)
    (tmp_path / "1.mp4").write_bytes(data)
    source = Folder(tmp_path, size=8, frames=8, fps=8)
    assert not source.rejected and len(source) == 24
    with pytest.warns(UserWarning, match="1.mp4 skipped: damaged"):
        items = [source[i] for i in range(24)]
    assert [name for name, _ in source.rejected] == ["1.mp4"]
    np.testing.assert_array_equal(items[15]["video"], items[23]["video"], "the same clip of 2 instead")
    assert level(items[7]) != level(items[15])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once
        np.testing.assert_array_equal(source[15]["video"], items[15]["video"])
    for i in range(3):
        (tmp_path / f"{i}.mp4").unlink()
    source = pickle.loads(pickle.dumps(source))
    with pytest.raises(DecodeError, match="no clip decodes"), pytest.warns(UserWarning, match="no such file"):
        source[0]


def damaged(path, at=0.5):
    """64 frames of noise, which no longer decode from somewhere in the middle on."""
    noisy = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), np.uint8)
    write_video(path, noisy, fps=8)
    data = bytearray(path.read_bytes())
    middle = int(at * len(data))
    data[middle : middle + 4000] = np.random.default_rng(1).bytes(4000)
    path.write_bytes(data)


def test_of_one_damaged_video_what_is_before_the_damage_stands_in(tmp_path):
    damaged(tmp_path / "a.mp4")
    with pytest.warns(UserWarning, match="one video"):
        source = Folder(tmp_path, "train", size=8, frames=4, fps=8)
    with pytest.warns(UserWarning, match="a.mp4 skipped: damaged"):
        items = [source[i]["video"] for i in range(len(source))]
    whole = [i for i in range(len(items)) if source.origin(i) and not source._stand_ins.get(i)]
    assert 0 < len(whole) < len(items) and whole == list(range(len(whole)))
    for item in items[len(whole) :]:
        assert any(np.array_equal(item, items[i]) for i in whole)


def test_damage_that_is_met_again_and_again_takes_no_memory(tmp_path):
    damaged(tmp_path / "a.mp4")
    write_video(tmp_path / "b.mp4", clip(64, 60), fps=8)
    source = Folder(tmp_path, size=8, frames=8, fps=8)
    with pytest.warns(UserWarning, match="a.mp4 skipped"):
        source[7]
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(50):
        source[7]
    gc.collect()
    assert len(gc.get_objects()) < before + 40


@pytest.mark.filterwarnings(SKIPPED)
def test_named_splits_are_so_whatever_can_be_read(tmp_path):
    for name in ("run", "walk"):
        save(tmp_path / "train" / name / "v.npy", 5, 0)
        (tmp_path / "test" / name).mkdir(parents=True)
        (tmp_path / "test" / name / "v.mp4").write_bytes(b"no film")
    assert videos(tmp_path, "train", labels=True) == {"train/run/v.npy", "train/walk/v.npy"}
    for split in ("validation", "test"):
        with pytest.raises(
            ValueError, match="no video of test gives a clip of 5 frames; the first, test/run/v.mp4"
        ):
            videos(tmp_path, split, labels=True)
    save(tmp_path / "other" / "jump" / "v.npy", 5, 0)
    save(tmp_path / "x.npy", 5, 0)
    source = Folder(tmp_path, "train", size=8, frames=5, labels=True)
    assert source.class_names() == ("run", "walk") and len(source) == 2
    assert {"other/jump/v.npy", "x.npy"} < {name for name, _ in source.rejected}


# What it says of itself


def test_description_is_by_content(many):
    source = Folder(many, "train", size=8, frames=5)
    text = json.dumps(source.description)
    assert json.loads(text)["clips"] == len(source) and decode.RESIZE in text
    assert json.dumps(Folder(many, "train", size=8, frames=5).description) == text
    digest = source.description["sha256"]
    assert Folder(many, "test", size=8, frames=5).description["sha256"] != digest
    changed = many / source.videos[0].name
    np.save(changed, np.load(changed)[::-1])
    assert Folder(many, "train", size=8, frames=5).description["sha256"] != digest
    assert str(many) not in text and "Folder(" in repr(source)


def test_make_source(many, recipe):
    data = ConfigDict(recipe("own_videos").data).unlock()
    data.path, data.size, data.frames = str(many), 8, 5
    assert data.source == "folder"
    assert make_source(data, "train")[0]["video"].shape == (5, 8, 8, 3)
    data.path = ""
    with pytest.raises(ValueError, match="--config.data.path=DIR"):
        make_source(data, "train")
