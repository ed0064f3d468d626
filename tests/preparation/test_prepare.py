import errno
import fcntl
import functools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from vgm_jax import cli
from vgm_jax.preparation import prepare as module
from vgm_jax.preparation.journal import Journal
from vgm_jax.preparation.prepare import prepare
from vgm_jax.preparation.records import REASONS, Clip, Settings, Shot

HERE = Path(__file__).parent


def visible(folder):
    """Name -> bytes of all that a user sees."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def rejected(folder):
    return [json.loads(line) for line in (folder / "rejected.jsonl").read_text().splitlines()]


def processed(log):
    return log.read_text().split() if log.exists() else []


@pytest.fixture
def log(tmp_path, monkeypatch):
    """A file with the name of every source that is processed."""
    monkeypatch.setenv("CHEAP_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


@pytest.fixture
def src(tmp_path, save):
    for i in range(5):
        save(tmp_path / "src" / f"v{i}.npy")
    return tmp_path / "src"


# What comes of a folder


def test_groups_are_in_one_split_each(tmp_path, cheap, settings, save):
    for patient in range(12):
        for film in range(2):
            save(tmp_path / "src" / f"patient{patient}" / f"{film}.npy", seed=2 * patient + film)
    prepare(tmp_path / "src", tmp_path / "out", settings, groups=True, workers=0, process=cheap.process)
    builder = tfds.builder_from_directory(str(tmp_path / "out"))
    found = {
        split: {clip["source"].decode().split("/")[0] for clip in builder.as_data_source(split)}
        for split in ("train", "validation", "test")
    }
    assert all(found.values()) and sum(map(len, found.values())) == len(set.union(*found.values())) == 12
    assert "label" not in builder.info.features, "a patient is no class"
    with pytest.raises(ValueError, match="patient3 is the only one|0.npy is in no group's folder"):
        prepare(tmp_path / "src" / "patient3", tmp_path / "o", settings, groups=True, process=cheap.process)


def test_bad_files_are_listed_and_the_good_ones_are_all_there(src, tmp_path, cheap, settings, save):
    for name in ("segfault", "full", "late", "short"):
        save(src / f"{name}.npy", frames=3 if name == "short" else 8)
    dark = np.full((12, 8, 8, 3), 200, np.uint8)
    dark[4:8] = 0
    np.save(src / "dark.npy", dark)
    (src / "empty.mp4").touch()
    (src / "voice.mp3").write_bytes(b"ID3")
    (src / "film").write_bytes(b"\0\0\0\x18ftypmp42")
    (src / "photo.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (src / "gone").symlink_to(src / "nowhere")
    (src / "loop.mp4").symlink_to(src / "loop.mp4")
    for beside in ("notes.txt", "v1.srt", "list.csv", ".hidden.mp4", "v1.jpg", "README", "collected.jsonl"):
        (src / beside).write_bytes(b"{}")
    summary = prepare(src, tmp_path / "out", settings, workers=2, process=cheap.process)
    listed = {(line["source"], line["reason"]): line["detail"] for line in rejected(tmp_path / "out")}
    assert set(listed) == {
        ("dark.npy", "black"),
        ("empty.mp4", "unreadable"),
        ("film", "unreadable"),
        ("full.npy", "damaged"),
        ("gone", "unreadable"),
        ("late.npy", "unreadable"),
        ("loop.mp4", "damaged"),
        ("segfault.npy", "damaged"),
        ("short.npy", "too short"),
        ("voice.mp3", "unreadable"),
    }
    assert "SIGSEGV" in listed["segfault.npy", "damaged"]
    assert "its name does not tell" in listed["film", "unreadable"]
    dark_line = next(line for line in rejected(tmp_path / "out") if line["source"] == "dark.npy")
    assert list(dark_line) == ["source", "start", "end", "reason", "detail"]
    assert (dark_line["start"], dark_line["end"]) == (0.5, 1.0)
    assert all(reason in REASONS for _, reason in listed)
    assert summary["rejected"] == {"unreadable": 5, "damaged": 3, "too short": 1, "black": 1}
    assert summary["used"] == 7 and summary["clips"] == 5 * 5 + 2 + 2, "the good part of late and dark, too"
    assert summary["videos"] == 12 and sum(summary["splits"].values()) == summary["clips"]


def test_copies_of_other_videos_are_left_out(src, tmp_path, cheap, settings):
    (src / "z").mkdir()
    (src / "z" / "again.npy").write_bytes((src / "v1.npy").read_bytes())
    summary = prepare(src, tmp_path / "out", settings, workers=0, process=cheap.process)
    lines = rejected(tmp_path / "out")
    assert summary["rejected"] == {"duplicate": 5} and summary["clips"] == 25
    assert {line["source"] for line in lines} == {"z/again.npy"}, "the first in order wins"
    assert [line["detail"] for line in lines] == [f"of v1.npy at {i / 2:.2f} s" for i in range(5)]


def test_one_video_is_enough(src, tmp_path, cheap, settings):
    summary = prepare(src / "v0.npy", tmp_path / "out", settings, workers=0, process=cheap.process)
    assert summary["splits"] == {"train": 3, "validation": 1, "test": 1}
    assert "one video" in summary["warnings"][0]


def test_the_page_shows_both_and_needs_no_network(src, tmp_path, cheap, settings):
    dark = np.zeros((8, 8, 8, 3), np.uint8)
    np.save(src / "dark<b>.npy", dark)
    prepare(src, tmp_path / "out", settings, workers=0, licence="CC0", process=cheap.process)
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/webp") == 25 and page.count("data:image/png") == 2
    assert "dark&lt;b&gt;.npy" in page and "dark<b>" not in page
    assert "brightness" in page and "CC0" in page and "http" not in page.split("<body>")[1]


def test_the_page_does_not_grow_with_the_set(tmp_path, cheap, settings, save):
    for i in range(70):
        save(tmp_path / "src" / f"v{i}.npy", frames=8)
        (tmp_path / "src" / f"w{i}.npy").write_bytes((tmp_path / "src" / f"v{i}.npy").read_bytes())
    for i in range(300):
        (tmp_path / "src" / f"sound{i}.mp3").touch()
    prepare(tmp_path / "src", tmp_path / "out", settings, workers=0, process=cheap.process)
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/webp") == 30 and page.count("data:image/png") == 6
    assert "and 240 more" in page and len(page) < 200_000


# Killed and started again

KILLED = """
import os, signal, sys, warnings
from pathlib import Path
sys.path.insert(0, {here!r})
import cheap
import tensorflow_datasets.core.features, tensorflow_datasets.core.example_serializer
import vgm_jax.preparation.page
from vgm_jax.preparation.prepare import prepare
from vgm_jax.preparation.records import Settings

warnings.simplefilter("ignore")
root, replace = Path({root!r}), os.replace

def attempt(deadly):
    calls = 0
    def counted(*args):
        nonlocal calls
        calls += 1
        if calls == deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*args)
    os.replace = counted
    prepare(root / "src", root / "out", Settings(size=8, fps=8.0, frames=4), workers=0, process=cheap.process)

died = 0
for deadly in range(1, 60):
    child = os.fork()
    if not child:
        attempt(deadly)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    died += os.WIFSIGNALED(status)
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0
        break
print(died)
"""


def test_killed_at_any_step_it_ends_with_the_bytes_of_an_uninterrupted_run(
    src, tmp_path, cheap, settings, log
):
    code = KILLED.format(here=str(HERE), root=str(tmp_path))
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) >= 8, "it was killed between any two files that it put in place"
    names = processed(log)
    assert set(names) == {f"v{i}.npy" for i in range(5)}
    prepare(src, tmp_path / "whole", settings, workers=0, process=cheap.process)
    assert visible(tmp_path / "out") == visible(tmp_path / "whole")
    assert not [file for file in (tmp_path / "out" / ".prepare").rglob(".*") if file.is_file()]


SLOW = """
import sys
sys.path.insert(0, {here!r})
import cheap
from vgm_jax.preparation.prepare import prepare
from vgm_jax.preparation.records import Settings

if __name__ == "__main__":
    settings = Settings(size=8, fps=8.0, frames=4)
    prepare({src!r}, {out!r}, settings, workers=2, process=cheap.process)
"""


def test_killed_with_its_workers_it_repeats_no_finished_video(tmp_path, cheap, settings, save, log):
    for i in range(40):
        save(tmp_path / "src" / f"slow{i}.npy", frames=8)
    script = tmp_path / "slow.py"
    script.write_text(SLOW.format(here=str(HERE), src=str(tmp_path / "src"), out=str(tmp_path / "out")))
    run = subprocess.Popen([sys.executable, "-W", "ignore", str(script)])
    kept = tmp_path / "out" / ".prepare" / "sources"
    while run.poll() is None and len(list(kept.glob("*.json"))) < 5:
        time.sleep(0.01)
    os.kill(run.pid, signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    time.sleep(1.5)  # its workers notice, and end
    finished = len(list(kept.glob("*.json")))
    before = processed(log)
    assert 5 <= finished < 40
    prepare(tmp_path / "src", tmp_path / "out", settings, workers=0, process=cheap.process)
    assert len(processed(log)) - len(before) == 40 - finished
    prepare(tmp_path / "src", tmp_path / "whole", settings, workers=0, process=cheap.process)
    assert visible(tmp_path / "out") == visible(tmp_path / "whole")


def test_a_rerun_does_nothing_and_a_new_video_is_all_that_is_processed(
    src, tmp_path, cheap, settings, save, log
):
    first = prepare(src, tmp_path / "out", settings, workers=0, process=cheap.process)
    state = {f: f.stat().st_mtime_ns for f in (tmp_path / "out").iterdir() if f.is_file()}
    assert prepare(src, tmp_path / "out", settings, workers=0, process=cheap.process) == first
    assert {f: f.stat().st_mtime_ns for f in (tmp_path / "out").iterdir() if f.is_file()} == state
    assert len(processed(log)) == 5
    save(src / "a.npy")
    second = prepare(src, tmp_path / "out", settings, workers=0, process=cheap.process)
    assert processed(log)[5:] == ["a.npy"] and second["clips"] == first["clips"] + 5
    prepare(src, tmp_path / "whole", settings, workers=0, process=cheap.process)
    assert visible(tmp_path / "out") == visible(tmp_path / "whole")


def test_a_changed_video_or_caption_is_processed_anew(src, tmp_path, cheap, settings, save, log):
    prepare(src, tmp_path / "out", settings, workers=0, process=cheap.process)
    save(src / "v2.npy", frames=12)
    (src / "v3.txt").write_text("a dog barks")
    (src / "captions.csv").write_text("file,caption\nv4.npy,a cat\n")
    prepare(src, tmp_path / "out", settings, workers=0, process=cheap.process)
    assert sorted(processed(log)[5:]) == ["v2.npy", "v3.npy", "v4.npy"]
    kept = list((tmp_path / "out" / ".prepare" / "sources").glob("*.json"))
    assert len(kept) == 5, "old results of these are gone"
    (src / "v0.npy").unlink()
    assert prepare(src, tmp_path / "out", settings, workers=0, process=cheap.process)["videos"] == 4


def test_what_was_damaged_in_the_set_is_made_again(src, tmp_path, cheap, settings, log):
    prepare(src, tmp_path / "out", settings, workers=0, process=cheap.process)
    whole = visible(tmp_path / "out")
    (tmp_path / "out" / "rejected.jsonl").unlink()
    shard = next((tmp_path / "out").glob("*train*"))
    shard.write_bytes(b"")
    prepare(src, tmp_path / "out", settings, workers=0, process=cheap.process)
    assert visible(tmp_path / "out") == whole and len(processed(log)) == 5


# Workers


def test_the_number_of_workers_changes_nothing(src, tmp_path, cheap, settings):
    for workers in (0, 1, 3):
        prepare(src, tmp_path / str(workers), settings, workers=workers, process=cheap.process)
    assert visible(tmp_path / "0") == visible(tmp_path / "1") == visible(tmp_path / "3")


def test_a_video_that_hangs_is_given_up(src, tmp_path, cheap, settings, save, monkeypatch):
    save(src / "hang.npy")
    monkeypatch.setattr(module, "PATIENCE", 4.0)
    start = time.monotonic()
    summary = prepare(src, tmp_path / "out", settings, workers=1, process=cheap.process)
    assert time.monotonic() - start < 60 and summary["used"] == 5
    (line,) = rejected(tmp_path / "out")
    assert line["reason"] == "damaged" and "nothing came of it for 4 s" in line["detail"]


def test_a_process_that_was_killed_once_tries_again(src, tmp_path, cheap, settings, save):
    save(src / "flaky.npy")
    summary = prepare(src, tmp_path / "out", settings, workers=1, process=cheap.process)
    assert summary["used"] == 6 and not summary["rejected"]


def test_a_full_disk_is_no_fault_of_a_video(src, tmp_path, cheap, settings, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vgm_jax.preparation.results.Results.put", full)
    with pytest.raises(OSError, match="No space left"):
        prepare(src, tmp_path / "out", settings, workers=0, process=cheap.process)


# Refused


def test_a_folder_keeps_to_its_settings_and_videos(src, tmp_path, cheap, settings, save):
    prepare(src, tmp_path / "out", settings, workers=0, process=cheap.process)
    before = visible(tmp_path / "out")
    other = Settings(size=4, fps=8.0, frames=4)
    with pytest.raises(ValueError, match="was begun with size=8, now it is 4: give another folder"):
        prepare(src, tmp_path / "out", other, workers=0, process=cheap.process)
    save(tmp_path / "elsewhere" / "w.npy")
    with pytest.raises(ValueError, match="was begun with src="):
        prepare(tmp_path / "elsewhere", tmp_path / "out", settings, workers=0, process=cheap.process)
    assert visible(tmp_path / "out") == before


def test_only_one_at_a_time(src, tmp_path, cheap, settings):
    (tmp_path / "out" / ".prepare").mkdir(parents=True)
    with module.only_one(tmp_path / "out" / ".prepare" / "lock", "held"):
        with pytest.raises(RuntimeError, match="another process is preparing into"):
            prepare(src, tmp_path / "out", settings, workers=0, process=cheap.process)


def test_without_locks_it_warns_and_goes_on(tmp_path, monkeypatch):
    """As some network file systems are mounted."""

    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.warns(UserWarning, match="no locks .No locks available.*no other process works there"):
        with module.only_one(tmp_path / "lock", "held"):
            pass
    with pytest.warns(UserWarning, match="no other process collects there"), Journal(tmp_path / "journal"):
        pass


def test_the_data_set_inside_the_folder_is_no_footage(src, cheap, settings, save):
    save(src / "out" / "mine.npy")
    first = prepare(src, src / "out", settings, workers=0, process=cheap.process)
    assert first["videos"] == 5
    assert prepare(src, src / "out", settings, workers=0, process=cheap.process) == first
    with pytest.raises(ValueError, match="holds the videos themselves"):
        prepare(src, src, settings, workers=0, process=cheap.process)


def test_errors_say_what_to_do(tmp_path, cheap, settings):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        prepare(tmp_path / "nowhere", tmp_path / "out", settings, process=cheap.process)
    (tmp_path / "src").mkdir()
    with pytest.raises(ValueError, match="no video; expected .mp4"):
        prepare(tmp_path / "src", tmp_path / "out", settings, process=cheap.process)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="held_out=0.5"):
        prepare(tmp_path / "src", tmp_path / "out", settings, held_out=0.5, process=cheap.process)
    with pytest.raises(ValueError, match="no number below 0"):
        wrong = replace(settings, rate=float("nan"))
        prepare(tmp_path / "src", tmp_path / "out", wrong, process=cheap.process)


@pytest.mark.parametrize("name", ["dataset_info.json", "LICENSE", "report.html"])
def test_files_of_others_are_not_overwritten(src, tmp_path, cheap, settings, name):
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / name).write_text("mine")
    with pytest.raises(ValueError, match=f"{name} is not of a data set that goes on here; give another"):
        prepare(src, tmp_path / "foreign", settings, workers=0, process=cheap.process)
    assert visible(tmp_path / "foreign") == {name: b"mine"}


def test_nothing_usable_is_one_line_and_all_is_listed(tmp_path, cheap, settings, monkeypatch):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.mp4").touch()
    (tmp_path / "src" / "b.mp3").touch()
    monkeypatch.setattr(module, "prepare", functools.partial(prepare, process=cheap.process))
    with pytest.raises(SystemExit) as error:
        cli.main(["prepare", str(tmp_path / "src"), "--out", str(tmp_path / "out"), "--workers", "1"])
    assert "nothing in it can be used (2 unreadable): see" in str(error.value.code)
    assert [line["source"] for line in rejected(tmp_path / "out")] == ["b.mp3", "a.mp4"]
    assert "a.mp4" in (tmp_path / "out" / "report.html").read_text()
    assert not (tmp_path / "out" / "dataset_info.json").exists()


def test_clips_of_a_fixed_camera_are_copies_only_where_they_move_alike(tmp_path, settings):
    """All have one fingerprint, as by chance hours of one place have."""
    rng = np.random.default_rng(0)
    for name, seed in (("a", 1), ("b", 2), ("copy", 1), ("still1", 0), ("still2", 0)):
        video = np.full((4, 8, 8, 3), 90, np.uint8)
        if seed:
            video = np.random.default_rng(seed).integers(60, 200, video.shape, np.uint8)
        np.save(
            tmp_path / f"{name}.npy",
            np.clip(video + rng.integers(0, 2, video.shape), 0, 255).astype(np.uint8),
        )
    prepare(tmp_path, tmp_path / "out", settings, workers=0, process=one_fingerprint)
    found = {line["source"]: line["detail"] for line in rejected(tmp_path / "out")}
    assert found == {"copy.npy": "of a.npy at 0.00 s", "still2.npy": "of still1.npy at 0.00 s"}


def one_fingerprint(source, settings):
    times = np.arange(4, dtype=np.float32) / 8
    yield Clip(0.0, 0, np.load(source.path), times, None, "", 7, {})
    yield Shot(0.0, 0.5)
