import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from vgm_jax import cli
from vgm_jax.data.media import write_image, write_video
from vgm_jax.data.sources.folder import Folder
from vgm_jax.data.sources.shapeshow import ShapeShow
from vgm_jax.inference import measuring
from vgm_jax.inference.measuring import evaluate_files, parse
from vgm_jax.inference.zoo import HERE
from vgm_jax.training.workdir import WorkdirError

ROOT = Path(__file__).parents[2]
QUICK = dict(networks=("random",), count=8)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write_clips(folder, first, count=8, size=32, frames=8):
    source = ShapeShow("train", size=size, frames=frames, fps=8.0)
    for i in range(first, first + count):
        write_video(folder / f"{i}.mp4", source[i]["video"], 8.0)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    return write_clips(root / "a", 0), write_clips(root / "b", 8)


def test_two_folders(folders, tmp_path):
    a, b = folders
    out = tmp_path / "deep" / "r.json"
    result = evaluate_files(str(a), str(b), out, frames=8, **QUICK)
    stored = json.loads(out.read_text())
    assert stored["distances"] == result["distances"] and "kernel/random" in stored["distances"]
    protocol = stored["protocol"]
    expected = {"frames": 8, "size": [32, 32], "count": 8, "resize": "none"}
    assert {k: protocol[k] for k in expected} == expected
    assert protocol["fps"] == {"real": pytest.approx(8.0), "judged": pytest.approx(8.0)}
    for file in stored["media"].values():
        assert (out.parent / file).stat().st_size > 1000
    same = evaluate_files(str(a), str(a), tmp_path / "same.json", frames=8, **QUICK)
    assert same["distances"]["frechet/random"] == pytest.approx(0.0, abs=1e-6)
    assert same["real"]["hash"] == result["real"]["hash"] != result["fake"]["hash"]


def test_files_are_brought_to_a_size_and_a_rate(folders, tmp_path):
    small = write_clips(tmp_path / "small", 8, size=16)
    with pytest.raises(ValueError, match="only equal ones compare"):
        evaluate_files(str(folders[0]), str(small), tmp_path / "r.json", frames=8, **QUICK)
    result = evaluate_files(
        str(folders[0]), str(small), tmp_path / "r.json", frames=4, size=24, fps=4.0, **QUICK
    )
    protocol = result["protocol"]
    assert (protocol["frames"], protocol["size"]) == (4, [24, 24])
    assert protocol["fps"] == {"real": pytest.approx(4.0), "judged": pytest.approx(4.0)}
    assert "bicubic" in protocol["resize"] and "centre" in protocol["crop"]


def test_a_data_set_takes_the_size_of_the_files(folders, tmp_path):
    result = evaluate_files("shapeshow", str(folders[0]), tmp_path / "r.json", frames=8, **QUICK)
    assert result["protocol"]["size"] == [32, 32] and result["real"]["split"] == "test"
    train = evaluate_files("shapeshow:train", str(folders[0]), tmp_path / "r.json", frames=8, **QUICK)
    assert train["real"]["split"] == "train" and "halves" not in " ".join(train["warnings"])
    assert train["protocol"]["fps"]["real"] == pytest.approx(8.0), "and their rate"


def test_a_split_of_a_folder(folders, tmp_path):
    for i in range(8):
        for split in ("train", "test"):
            write_clips(tmp_path / "own" / split, i, count=1)
    own = str(tmp_path / "own")
    result = evaluate_files(f"{own}:test", str(folders[1]), tmp_path / "r.json", frames=8, **QUICK)
    assert result["real"]["split"] == "test" and result["real"]["clips"] == 8
    with pytest.raises(ValueError, match="unknown split 'exam'"):
        evaluate_files(f"{own}:exam", str(folders[1]), tmp_path / "r.json", frames=8, **QUICK)


def test_what_cannot_be_measured(folders, tmp_path):
    a, b = map(str, folders)
    empty = tmp_path / "empty"
    empty.mkdir()
    out = tmp_path / "r.json"
    for real, fake, settings, message in [
        (a, str(empty), {}, "empty"),
        (a, "nowhere", {}, "nowhere is no file"),
        ("shapeshow:exam", b, {}, "unknown split 'exam'"),
        (a, b, {"frames": 900}, "900"),
        (a, b, {"count": 2}, "4 clips"),
        (a, b, {"seed": -1}, "seed=-1 must not be negative"),
        (a, b, {"networks": ("fid",)}, "'fid' .*is unknown"),
    ]:
        with pytest.raises(ValueError, match=message):
            evaluate_files(real, fake, out, **(QUICK | {"frames": 8} | settings))
    np.save(tmp_path / "floats.npy", np.random.default_rng(0).random((8, 8, 32, 32, 3)))
    with pytest.raises(ValueError, match=r"floats.npy.*(uint8|0..255)"):
        evaluate_files(a, str(tmp_path / "floats.npy"), out, frames=8, **QUICK)
    assert not out.exists()
    with pytest.raises(OSError, match="is a folder"):
        evaluate_files(a, b, tmp_path, frames=8, **QUICK)


def test_models_of_the_package_are_named_as_elsewhere():
    """Where a data set has a model's name, the model is asked for by what it is."""
    assert parse("shapeshow") == ("dataset", "shapeshow", None)
    kind, place, _ = parse("model:shapeshow")
    assert (kind, place) == ("workdir", str(HERE / "shapeshow")) == (parse(place)[0], parse(place)[1])
    assert parse("emoji")[:2] == ("workdir", str(HERE / "emoji"))
    with pytest.raises(ValueError, match="no model and no data set.*model:emoji"):
        parse("emojis")
    with pytest.raises(WorkdirError, match="none is not the workdir"):
        parse("model:none")


def test_bad_files_are_left_out_and_listed(folders, tmp_path):
    mixed = write_clips(tmp_path / "mixed", 8)
    (mixed / "notes.mp4").write_text("not a video")
    write_clips(mixed / "short", 50, count=1, frames=3)
    with pytest.warns(UserWarning):
        result = evaluate_files(str(folders[0]), str(mixed), tmp_path / "r.json", frames=8, **QUICK)
    warning = next(w for w in result["warnings"] if "left out" in w)
    assert "2 files" in warning and "notes.mp4" in warning and "50.mp4" in warning


def test_a_video_that_proves_damaged_is_told_at_every_run(folders, tmp_path):
    frames = tmp_path / "frames"
    for clip in range(8):
        (frames / str(clip)).mkdir(parents=True)
        for i in range(8):
            write_image(
                frames / str(clip) / f"{i}.png", ShapeShow("train", frames=8, fps=8.0)[clip]["video"][i]
            )
    damaged = frames / "3" / "5.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    for _ in range(2):
        with pytest.warns(UserWarning):
            result = evaluate_files(str(frames), str(folders[0]), tmp_path / "r.json", frames=8, **QUICK)
        assert any("left out: 3: " in w for w in result["warnings"]), result["warnings"]


def test_nothing_is_written_over_what_is_measured(folders, tmp_path):
    film = write_clips(tmp_path / "films", 0, count=1) / "0.mp4"
    for name in ("cats_real.mp4", "cats_fake.mp4"):
        (tmp_path / name).write_bytes(film.read_bytes())
    with pytest.raises(ValueError, match=r"cats_real.mp4 would be written into .*choose another"):
        evaluate_files(str(tmp_path / "cats_real.mp4"), str(folders[0]), tmp_path / "cats.json", **QUICK)
    with pytest.raises(ValueError, match=r"r.json would be written into .*films"):
        evaluate_files(str(folders[0]), str(tmp_path / "films"), tmp_path / "films/r.json", **QUICK)
    assert (tmp_path / "cats_real.mp4").read_bytes() == film.read_bytes()
    assert [p.name for p in (tmp_path / "films").iterdir()] == ["0.mp4"]


class Made:
    """A model of a run that learnt from a folder, and makes noise."""

    frames, fps, weights_hash, step = 8, 8.0, "0", 1

    def stream(self, seed, index, frames, fps):
        yield from np.random.default_rng(index).integers(0, 256, (frames, 32, 32, 3), np.uint8)


def test_a_runs_own_folder_is_split_and_timed_as_the_run_did(tmp_path, monkeypatch):
    """Films of six patients, as .npy of 16 frames a second: what the run held out is what is measured."""
    root, source = tmp_path / "films", ShapeShow("train", size=32, frames=16, fps=8.0)
    for i in range(18):
        (root / f"patient{i % 6}").mkdir(parents=True, exist_ok=True)
        np.save(root / f"patient{i % 6}" / f"{i}.npy", source[i]["video"])
    config = runpy.run_path(str(ROOT / "configs" / "base.py"))["get_config"]()
    config.data.update(source="folder", path=str(root), frames=8, fps=8.0)
    config.data.folder.update(groups=True, seed=3, rate=16.0)
    monkeypatch.setattr(measuring, "load", lambda place: Made())
    monkeypatch.setattr(measuring, "read_config", lambda place: config)
    parse_ = measuring.parse
    monkeypatch.setattr(measuring, "parse", lambda n: ("workdir", "run", None) if n == "run" else parse_(n))

    def names(**given):
        asked = {"frames": None, "size": None, "fps": None} | given
        sources, _ = measuring.open_sets({"real": f"{root}:test", "fake": "run"}, count=4, seed=0, **asked)
        return {video.name for video in sources["real"].videos}, sources["real"].rate

    held = Folder(root, "test", size=32, frames=8, fps=8.0, groups=True, seed=3, rate=16.0)
    assert names() == ({video.name for video in held.videos}, 16.0)
    assert len({name.split("/")[0] for name in names()[0]}) * 3 == len(names()[0]), "whole patients"
    assert names(rate=10.0)[1] == 10.0 and names(fps=4.0, frames=4)[1] == 16.0
    config.data.path = str(tmp_path)  # another folder: by video, and at the rate that is asked for
    assert names()[1] == 8.0 and names()[0] != {video.name for video in held.videos}


def test_samples_are_held_against_training_clips_as_long_as_they(folders, monkeypatch):
    config = runpy.run_path(str(ROOT / "configs" / "base.py"))["get_config"]().lock()
    monkeypatch.setattr(measuring, "read_config", lambda place: config)
    monkeypatch.setattr(measuring, "TRAINING", 2)
    clips = measuring.training_clips("run", 24, 8.0)
    assert len(clips) == 2 and clips[0].shape[0] == 24 and clips.rate == pytest.approx(8.0)


def test_training_clips_are_as_long_as_they_can_be(tmp_path, monkeypatch):
    """Of what is stored frame by frame: at the run's rate, whatever is asked for."""
    source = ShapeShow("train", size=32, frames=16, fps=8.0)
    for split in ("train", "validation", "test"):
        (tmp_path / split).mkdir()
        for i in range(2):
            np.save(tmp_path / split / f"{i}.npy", source[i]["video"])
    config = runpy.run_path(str(ROOT / "configs" / "base.py"))["get_config"]()
    config.data.update(source="folder", path=str(tmp_path), frames=8, fps=8.0)
    monkeypatch.setattr(measuring, "read_config", lambda place: config.copy_and_resolve_references().lock())
    half = measuring.training_clips("run", 4, 4.0)
    assert half[0].tobytes() in {source[i]["video"][j : j + 8 : 2].tobytes() for i in (0, 1) for j in (0, 8)}
    assert measuring.training_clips("run", 16, 8.0)[0].shape[0] == 16
    long = measuring.training_clips("run", 99, 8.0)
    assert long[0].shape[0] == 8 and len(long) == 4


def test_the_command(folders, tmp_path, capsys):
    out = tmp_path / "r.json"
    a, b = map(str, folders)
    cli.main(["evaluate", "--real", a, "--fake", b, "-o", str(out), "--networks", "random", "--frames", "8"])
    printed = capsys.readouterr().out
    assert "frechet/random" in printed and "real_vs_real" in printed and "shuffled" in printed
    assert "warning" in printed and str(out) in printed.replace("\n", "")
    assert json.loads(out.read_text())["vgm_jax"]
    with pytest.raises(SystemExit, match="vgm evaluate: error: .*nowhere"):
        cli.main(["evaluate", "--real", a, "--fake", "nowhere", "-o", str(out)])
