import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from hypothesis import given, settings
from hypothesis import strategies as st

from vgm_jax.data.sources import make_source
from vgm_jax.data.sources.folder import Folder
from vgm_jax.data.sources.prepared import open_prepared
from vgm_jax.data.sources.tfds import Tfds
from vgm_jax.inference.measuring import evaluate_files
from vgm_jax.preparation import dataset
from vgm_jax.preparation.dataset import Place, plan_shards
from vgm_jax.preparation.finding import find
from vgm_jax.preparation.prepare import prepare
from vgm_jax.preparation.records import Settings, Source
from vgm_jax.preparation.splitting import split

# The data set


@pytest.fixture
def made(tmp_path, cheap, settings, save):
    """Videos in two class folders, some with sound and a licence, and the data set of them."""
    for i in range(6):
        save(tmp_path / "src" / "walk" / f"sound{i}.npy")
        save(tmp_path / "src" / "run" / f"v{i}.npy")
    line = {"file": "v3.npy", "licence": "CC-BY-4.0", "url": "https://example.org/v3.npy", "row": 1}
    (tmp_path / "src" / "run" / "collected.jsonl").write_text(json.dumps(line) + "\nbroken\n")
    summary = prepare(
        tmp_path / "src", tmp_path / "out", settings, workers=0, licence="CC0", process=cheap.process
    )
    return tmp_path / "out", summary


def examples(path, part="all"):
    return list(tfds.builder_from_directory(path).as_data_source(part))


def test_tfds_opens_the_folder_and_every_field_is_there(made):
    path, summary = made
    builder = tfds.builder_from_directory(path)
    counts = {name: info.num_examples for name, info in builder.info.splits.items()}
    assert counts == summary["splits"] and sum(counts.values()) == summary["clips"] == 12 * 5
    assert builder.info.features["label"].names == ["run", "walk"]
    assert "CC-BY-4.0 (5 clips); CC0 (55 clips)" in builder.info.redistribution_info.license
    assert builder.info.homepage == "https://example.org/v3.npy", "the only origin there is"
    for example in examples(path):
        source = example["source"].decode()
        own = np.load(path.parent / "src" / source)
        first = round(float(example["start"]) * 8)
        np.testing.assert_array_equal(example["video"], own[first : first + 4])
        assert example["video"].dtype == np.uint8 and example["video"].shape == (4, 8, 8, 3)
        np.testing.assert_allclose(example["times"], np.arange(4) / 8)
        stem = source.split("/")[1].removesuffix(".npy")
        assert example["caption"].decode() == f"part {first // 4} of {stem}.npy"
        assert example["shot"] == first // 16 and example["fps"] == 8
        assert example["label"] == source.startswith("walk")
        sound = [100 + first // 4] * 8000 if "sound" in source else []
        assert example["audio"].dtype == np.int16 and example["audio"].tolist() == sound
        assert example["licence"] == (b"CC-BY-4.0" if stem == "v3" else b"CC0")
        assert example["origin"] == (b"https://example.org/v3.npy" if stem == "v3" else b"")


def test_the_source_for_training_reads_it(made):
    path, summary = made
    source = Tfds(path, "train", size=8, frames=4, fps=8, audio="audio")
    assert len(source) == summary["splits"]["train"] and source.class_names() == ("run", "walk")
    for i, example in enumerate(examples(path, "train")):
        item = source[i]
        np.testing.assert_array_equal(item["video"], example["video"])
        assert item["label"] == example["label"] and source.caption(i) == example["caption"].decode()
        heard = example["audio"][0] / 2**15 if len(example["audio"]) else 0.0
        assert item["audio"].shape == (8000,) and np.unique(item["audio"]).tolist() == [np.float32(heard)]


def test_no_tensorflow_is_imported(made):
    path, _ = made
    assert "tensorflow" not in sys.modules  # which wrote it
    code = (
        "import sys, tensorflow_datasets as tfds;"
        f"s = tfds.builder_from_directory({str(path)!r}).as_data_source('train'); print(s[0]['video'].shape);"
        "print('tensorflow' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert run.stdout.split("\n")[:2] == ["(4, 8, 8, 3)", "False"], run.stderr


def test_no_time_and_no_path_of_this_machine_is_written(made):
    path, _ = made
    for file in path.iterdir():
        if file.is_file():
            content = file.read_bytes()
            assert str(path.parent).encode() not in content and b"imestamp" not in content, file.name


def test_without_sound_and_classes_these_are_no_features(tmp_path, cheap, settings, save):
    for i in range(3):
        save(tmp_path / "src" / f"v{i}.npy")
    prepare(tmp_path / "src", tmp_path / "out", settings, workers=0, process=cheap.process)
    assert not {"audio", "label"} & set(tfds.builder_from_directory(tmp_path / "out").info.features)


def test_large_sets_are_in_several_files(tmp_path, cheap, settings, save, monkeypatch):
    for i in range(4):
        save(tmp_path / "src" / f"v{i}.npy")
    monkeypatch.setattr(dataset.plan_shards, "__defaults__", (3 * 4 * 8 * 8 * 3,))
    summary = prepare(tmp_path / "src", tmp_path / "out", settings, workers=0, process=cheap.process)
    info = tfds.builder_from_directory(tmp_path / "out").info
    assert info.splits["train"].shard_lengths == [3, 3, 3, 1][: -(-summary["splits"]["train"] // 3)]
    starts = [(e["source"], float(e["start"])) for e in examples(tmp_path / "out")]
    assert len(set(starts)) == summary["clips"]
    train = [(e["source"], float(e["start"])) for e in examples(tmp_path / "out", "train")]
    assert train == sorted(train), "in order"


@given(st.lists(st.integers(1, 9), max_size=20), st.integers(1, 20))
def test_files_hold_all_clips_in_order_and_are_not_too_large(sizes, limit):
    clips = [{"shape": [size, 1, 1, 1], "audio": None} for size in sizes]
    result = {"clips": clips}
    places = [Place(Source("a", None), "key", result, i) for i in range(len(sizes))]
    shards = plan_shards({"train": places}, limit)
    assert [place.number for shard in shards for place in shard.places] == list(range(len(sizes)))
    for shard in shards:
        assert len(shard.places) == 1 or sum(place.size for place in shard.places) <= limit


# Splits

NAMES = st.lists(st.text("abcdef", min_size=1, max_size=4), min_size=3, max_size=30, unique=True)


def parts_of(names, **settings):
    clips = [(name, shot) for name in sorted(names) for shot in range(2)]
    parts, _ = split(clips, False, **settings)
    return [(name, part) for (name, _), part in zip(clips, parts, strict=True)]


@given(NAMES, st.integers(0, 9))
def test_no_video_is_in_two_splits_and_no_split_is_empty(names, seed):
    pairs = parts_of(names, seed=seed)
    assert len(set(pairs)) == len(names), "all clips of a video are in one"
    assert {part for _, part in pairs} == {("train",), ("validation",), ("test",)}


@settings(max_examples=50)
@given(st.integers(0, 9), st.integers(0, 10**6))
def test_adding_a_video_moves_no_other_one(seed, number):
    names = [f"video{i}.mp4" for i in range(60)]
    before, after = (dict(parts_of(given, seed=seed)) for given in (names, [*names, f"new{number}.mp4"]))
    assert {name: after[name] for name in names} == before


def test_parts_are_as_large_as_asked_for():
    parts = dict(parts_of([f"video{i}.mp4" for i in range(1000)], held_out=0.2))
    counts = [list(parts.values()).count((name,)) for name in ("train", "validation", "test")]
    assert sum(counts) == 1000 and all(
        abs(count - want) < 60 for count, want in zip(counts, (600, 200, 200), strict=True)
    )


@given(st.lists(st.integers(1, 5), min_size=3, max_size=12))
def test_one_video_is_cut_between_shots(lengths):
    clips = [("a", shot) for shot, length in enumerate(lengths) for _ in range(length)]
    parts, note = split(clips, False)
    assert "one video" in note
    order = [("train", "validation", "test").index(part) for (part,) in parts]
    assert order == sorted(order) and set(order) == {0, 1, 2}
    assert len(set(zip(clips, parts, strict=True))) == len(lengths), "no shot is in two"


def test_few_clips_and_few_videos():
    assert split([("a", 0)] * 2, False) == (
        [("train", "validation", "test")] * 2,
        "too few clips to split: validation and test are the training",
    )
    parts, note = split([("a", 0), ("b", 0), ("b", 1)], False)
    assert sorted(set(parts)) == [("train",), ("validation", "test")] and "two videos" in note
    parts, _ = split([("a", 0)] * 10, False)
    assert parts == [("train",)] * 8 + [("validation",)] + [("test",)], "one shot is cut between clips"


def test_folders_of_splits():
    clips = [("test/a", 0), ("train/b", 0), ("val/c", 0)]
    assert split(clips, True) == ([("test",), ("train",), ("validation",)], "")
    parts, note = split(clips[1:], True)
    assert parts == [("train",), ("validation", "test")] and "stands for both" in note


# What is found


def test_folders_of_splits_without_a_clip_are_warned_of():
    assert split([("train/a", 0)], True) == ([("train",)], "no clip for validation and test")
    assert split([("val/a", 0)], True) == ([("validation", "test")], "no clip for train")


def test_folders_of_splits_and_classes_are_seen(tmp_path, save):
    for name in ("train/walk/a", "train/run/b", "val/run/c", "beside/d", "e"):
        save(tmp_path / f"{name}.npy")
    found = find(tmp_path, tmp_path / "out")
    labels = {source.name: source.label for source in found.sources}
    assert labels == {"train/run/b.npy": "run", "train/walk/a.npy": "walk", "val/run/c.npy": "run"}
    assert found.named
    assert [(name, item.reason) for name, item in found.rejected] == [
        ("beside/d.npy", "in no split"),
        ("e.npy", "in no split"),
    ]


def test_groups_are_below_classes(tmp_path, save):
    def placed():
        found = find(tmp_path, tmp_path / "out", groups=True, classes=True)
        return {source.name: (source.label, source.group) for source in found.sources}

    for name in ("ill/anna/a", "well/anna/b", "well/ben/day/c"):
        save(tmp_path / f"{name}.npy")
    assert placed() == {
        "ill/anna/a.npy": ("ill", "anna"),
        "well/anna/b.npy": ("well", "anna"),
        "well/ben/day/c.npy": ("well", "ben"),
    }
    for part in ("train", "val"):
        save(tmp_path / part / "ill" / "anna" / "d.npy")
    assert placed() == {f"{part}/ill/anna/d.npy": ("ill", "anna") for part in ("train", "val")}


def test_without_classes_groups_are_the_first_folders(tmp_path, save):
    """However deep films lie: sessions, in folders of patients, are no groups."""
    for name in ("anna/day/a", "ben/b"):
        save(tmp_path / f"{name}.npy")
    found = find(tmp_path, tmp_path / "out", groups=True)
    assert [(source.label, source.group) for source in found.sources] == [("", "anna"), ("", "ben")]


def test_an_array_of_many_clips_is_many_sources(tmp_path):
    np.save(tmp_path / "many.npy", np.zeros((3, 4, 8, 8, 3), np.uint8))
    found = find(tmp_path, tmp_path / "out")
    assert [(s.name, s.item) for s in found.sources] == [(f"many.npy#{i}", i) for i in range(3)]


# Training and measuring


@pytest.fixture
def plain(tmp_path, cheap, save):
    """A data set of 12 clips, 16 frames of 8 x 8 at 12 a second, in no class."""
    for i in range(12):
        save(tmp_path / "src" / f"v{i}.npy", frames=16)
    prepare(tmp_path / "src", tmp_path / "out", Settings(size=8), workers=0, process=cheap.process)
    return tmp_path / "out"


def own_videos(recipe, path, **data):
    config = recipe("own_videos").unlock()
    config.data.path = str(path)
    for name, value in data.items():
        config.data[name] = value
    return config.data


def test_own_videos_opens_a_prepared_folder(plain, recipe):
    source = make_source(own_videos(recipe, plain, size=8), "train")
    assert isinstance(source, Tfds) and len(source) == len(examples(plain, "train"))
    np.testing.assert_array_equal(source[0]["video"], examples(plain, "train")[0]["video"])
    assert set(source[0]) == {"video", "times"}
    assert make_source(own_videos(recipe, plain), "test")[0]["video"].shape == (16, 64, 64, 3), "enlarged"
    assert make_source(own_videos(recipe, plain, frames=8, fps=6.0), "train")[0]["video"].shape[0] == 8


def test_own_videos_says_what_does_not_fit(plain, recipe):
    with pytest.raises(
        ValueError, match=r"no clip of 32 frames at 12 a second: .* too short: 16 frames.*1\.3"
    ):
        make_source(own_videos(recipe, plain, frames=32), "train")
    data = own_videos(recipe, plain)
    data.folder.labels = True
    with pytest.raises(ValueError, match="not all of its videos were in class folders, or all were in one"):
        make_source(data, "train")
    data = own_videos(recipe, plain)
    data.folder.audio = True
    with pytest.raises(ValueError, match="no feature 'audio'"):
        make_source(data, "train")


def test_splits_by_video_do_not_stand_for_splits_by_group(tmp_path, cheap, save, recipe):
    """No patient is in two splits for want of --groups; with it, the data set need not be made anew."""
    for i in range(12):
        save(tmp_path / "src" / f"p{i % 4}" / f"v{i}.npy", frames=16)
    for groups in (False, True):
        given = dict(workers=0, process=cheap.process, groups=groups)
        prepare(tmp_path / "src", tmp_path / "out", Settings(size=8), **given)
        data = own_videos(recipe, tmp_path / "out", size=8)
        data.folder.groups = True
        if not groups:
            with pytest.raises(ValueError, match="not split by group: run vgm prepare again, with --groups"):
                make_source(data, "train")
    assert len(make_source(data, "train")) == len(examples(tmp_path / "out", "train"))


def patients(root, save):
    """Two classes of six patients each; some are in both."""
    for label, numbers in (("ill", range(6)), ("well", range(3, 9))):
        for number in numbers:
            save(root / label / f"p{number}" / "v.npy", seed=number + 100 * (label == "ill"))


def test_groups_are_the_same_folders_prepared_or_not(tmp_path, cheap, settings, save, recipe):
    patients(tmp_path / "src", save)
    given = dict(workers=0, process=cheap.process, groups=True, classes=True)
    prepare(tmp_path / "src", tmp_path / "out", settings, **given)
    data = own_videos(recipe, tmp_path / "out", size=8, frames=4, fps=8.0)
    data.folder.labels = data.folder.groups = True
    for part in ("train", "validation", "test"):
        clips = examples(tmp_path / "out", part)
        data.path = str(tmp_path / "out")
        source = make_source(data, part)
        assert source.class_names() == ("ill", "well") and len(source) == len(clips)
        data.path = str(tmp_path / "src")
        folder = make_source(data, part)
        assert {video.name for video in folder.videos} == {clip["source"].decode() for clip in clips}


def test_groups_without_classes_have_no_labels(tmp_path, cheap, settings, save, recipe):
    patients(tmp_path / "src", save)
    prepare(tmp_path / "src", tmp_path / "out", settings, workers=0, process=cheap.process, groups=True)
    data = own_videos(recipe, tmp_path / "out", size=8, frames=4, fps=8.0)
    data.folder.labels = data.folder.groups = True
    with pytest.raises(ValueError, match="by vgm prepare --groups --classes, CLASS/GROUP/film"):
        make_source(data, "train")


def test_one_video_outside_of_the_classes_is_told(tmp_path, cheap, settings, save):
    for name in ("run/a", "walk/b", "c"):
        save(tmp_path / "src" / f"{name}.npy")
    summary = prepare(tmp_path / "src", tmp_path / "out", settings, workers=0, process=cheap.process)
    assert summary["warnings"] == ["no classes: c.npy is in no class folder, others are"]
    with pytest.raises(ValueError, match="not all of its videos were in class folders"):
        open_prepared(tmp_path / "out", size=8, frames=4, fps=8.0, labels=True)


def test_classes_have_the_numbers_that_they_have_of_a_folder(tmp_path, cheap, settings, save):
    for name in ("c10", "c9", "c09"):
        save(tmp_path / "src" / name / "v.npy", seed=len(name) + int(name[1:]))
    prepare(tmp_path / "src", tmp_path / "out", settings, workers=0, process=cheap.process)
    given = dict(size=8, frames=4, fps=8.0, labels=True)
    names = open_prepared(tmp_path / "out", **given).class_names()
    assert names == Folder(tmp_path / "src", **given).class_names() == ("c09", "c9", "c10")


def test_classes_and_sound_of_a_prepared_folder_are_those_of_a_folder(made, recipe):
    data = own_videos(recipe, made[0], size=8, frames=4, fps=8.0)
    data.folder.labels = data.folder.audio = True
    source = make_source(data, "train")
    assert source.class_names() == ("run", "walk")
    assert {k: v.shape for k, v in source[0].items()} == {
        "video": (4, 8, 8, 3),
        "times": (4,),
        "label": (),
        "audio": (8000,),
    }


def test_of_two_videos_each_clip_is_there_once(tmp_path, cheap, settings, save):
    """One of them is both validation and test."""
    for i in range(2):
        save(tmp_path / "src" / f"v{i}.npy")
    prepare(tmp_path / "src", tmp_path / "out", settings, workers=0, process=cheap.process)
    assert len(examples(tmp_path / "out")) == 15
    source = open_prepared(tmp_path / "out", size=8, frames=4, fps=8.0)
    clips = {source[i]["video"].tobytes() for i in range(len(source))}
    assert len(source) == len(clips) == 10
    assert json.loads(json.dumps(source.description))["clips"] == 10


def test_a_prepared_folder_is_measured(plain, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    result = evaluate_files(str(plain), str(plain), tmp_path / "r.json", networks=("random",), count=12)
    assert result["protocol"]["count"] == 12 and result["protocol"]["frames"] == 16
    assert result["distances"]["frechet/random"] == pytest.approx(0.0, abs=1e-6)
    part = evaluate_files(f"{plain}:train", str(plain), tmp_path / "r.json", networks=("random",), count=12)
    assert part["protocol"]["count"] == len(examples(plain, "train")) < 12
