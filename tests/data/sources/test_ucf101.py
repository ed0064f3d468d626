import json
import pickle

import numpy as np
import pytest

from vgm_jax.data.media import write_video
from vgm_jax.data.sources import make_source
from vgm_jax.data.sources.ucf101 import Ucf101

CLASSES = ("Archery", "HandstandPushups")
# Class folders and file names differ in case in the original, too.
FILES = {"Archery": "v_Archery", "HandstandPushups": "v_HandStandPushups"}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Groups 1 to 3 are for test, 4 to 8 for training; two clips of each but one."""
    root = tmp_path_factory.mktemp("ucf")
    lists = root / "ucfTrainTestlist"
    lists.mkdir()
    lines = {"train": [], "test": []}
    for label, name in enumerate(CLASSES):
        for group in range(1, 9):
            for clip in (1, 2):
                file = f"{name}/{FILES[name]}_g{group:02d}_c{clip:02d}.avi"
                kind = "test" if group < 4 else "train"
                lines[kind].append(file + (f" {label + 1}" if kind == "train" else ""))
                path = root / "UCF-101" / file
                path.parent.mkdir(parents=True, exist_ok=True)
                video = np.full((8, 16, 16, 3), 20 * group + 10 * clip, np.uint8)
                write_video(path.with_suffix(".mp4"), video, fps=8)
                path.with_suffix(".mp4").rename(path)
    (lists / "classInd.txt").write_text("".join(f"{i + 1} {name}\r\n" for i, name in enumerate(CLASSES)))
    for kind, rows in lines.items():
        (lists / f"{kind}list01.txt").write_text("\r\n".join(rows) + "\r\n")
        (lists / f"{kind}list02.txt").write_text("\n".join(rows[:10]) + "\n")
    return root


@pytest.fixture
def ucf(original, tmp_path):
    """Lists that a test may change, and the videos."""
    for path in (original / "ucfTrainTestlist").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "UCF-101").symlink_to(original / "UCF-101")
    return tmp_path


def make(path, split="train", **settings):
    return Ucf101(path, split, **({"size": 16, "frames": 4, "fps": 8} | settings))


def groups(source):
    return {source.group(i) for i in range(len(source))}


def test_splits_are_the_official_lists_and_validation_is_whole_groups_of_train(original):
    parts = {split: make(original, split) for split in ("train", "validation", "test")}
    assert groups(parts["test"]) == {"01", "02", "03"}
    assert groups(parts["train"]) | groups(parts["validation"]) == {"04", "05", "06", "07", "08"}
    assert not groups(parts["train"]) & groups(parts["validation"])
    assert len(groups(parts["validation"])) == 1
    assert [len(parts[split]) for split in parts] == [2 * 2 * 2 * n for n in (4, 1, 3)]
    seeds = {frozenset(groups(make(original, "validation", seed=seed))) for seed in range(6)}
    assert len(seeds) > 1


def test_items_have_the_class_of_their_folder(original):
    source = make(original, "test")
    assert source.class_names() == CLASSES and source.num_classes == 2
    for i in range(len(source)):
        name, start = source.origin(i)
        item = source[i]
        assert set(item) == {"video", "times", "label"} and item["label"].dtype == np.int32
        assert item["video"].shape == (4, 16, 16, 3) and item["video"].dtype == np.uint8
        assert CLASSES[item["label"]] in name and start in (0, 0.5)
        np.testing.assert_allclose(item["times"], np.arange(4) / 8, atol=1e-6)
        group, clip = (int(part[1:]) for part in name.removesuffix(".avi").split("_")[-2:])
        assert abs(int(item["video"].mean()) - 20 * group - 10 * clip) < 4


def test_the_lists_are_of_the_number(original):
    assert len(make(original, "test", number=2)) < len(make(original, "test"))
    with pytest.raises(FileNotFoundError, match=r"testlist03\.txt"):
        make(original, "test", number=3)
    with pytest.raises(ValueError, match="1, 2 or 3; got 4"):
        make(original, number=4)


def test_a_missing_video_is_listed(ucf):
    with (ucf / "testlist01.txt").open("a") as file:
        file.write("Archery/v_Archery_g01_c09.avi\n")
    with pytest.warns(UserWarning, match="v_Archery_g01_c09: listed, but there is no such file"):
        source = make(ucf, "test")
    assert source.rejected == [("v_Archery_g01_c09", "listed, but there is no such file")]
    (ucf / "UCF-101").unlink()
    with pytest.raises(FileNotFoundError, match=r"none of the 13 .* testlist01.txt is there, such as v_Arch"):
        make(ucf, "test")


@pytest.mark.parametrize(
    "name, text, error",
    [
        ("classInd.txt", "1 Archery\n3 Diving\n", r"classInd\.txt:2: expected 2 and a class, got '3 Diving'"),
        ("testlist01.txt", "Diving/v_Diving_g01_c01.avi\n", r"testlist01\.txt:1: class 'Diving'"),
        ("testlist01.txt", "Archery/v_Archery_g01_c01.avi 2\n", r"testlist01\.txt:1: Archery is 1 .* not 2"),
        ("testlist01.txt", "", r"testlist01\.txt list\(s\) no video for test"),
        ("trainlist01.txt", "Archery/v_1.avi 1\n", r"trainlist01\.txt: expected names as .* got v_1"),
        ("trainlist01.txt", "Archery/v_Archery_g04_c01.avi 1\n", r"trainlist01\.txt: .*at least two"),
    ],
)
def test_errors_name_the_file(ucf, name, text, error):
    (ucf / name).write_text(text)
    with pytest.raises(ValueError, match=error):
        make(ucf, "train" if name.startswith("train") else "test")


def test_missing_lists_and_folders_are_named(ucf, tmp_path):
    (ucf / "classInd.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"no classInd\.txt in .* or ucfTrainTestlist/"):
        make(ucf)
    with pytest.raises(FileNotFoundError, match="nowhere: there is no such folder"):
        make(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"folder of ucf101, --config\.data\.path=DIR"):
        make("")
    with pytest.raises(ValueError, match="train, validation, test; got 'dev'"):
        make(ucf, "dev")


def test_description_is_by_content_of_lists_and_videos(ucf):
    source = make(ucf, "test")
    text = json.dumps(source.description)
    assert json.dumps(make(ucf, "test").description) == text and str(ucf) not in text
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again[3]["video"], source[3]["video"])
    (ucf / "testlist01.txt").write_text((ucf / "testlist01.txt").read_text().replace("\r", ""))
    changed = make(ucf, "test").description
    assert changed["lists"] != source.description["lists"]
    assert changed["sha256"] == source.description["sha256"]


def test_by_a_config(original, recipe):
    data = recipe("base").unlock().data
    data.update({"source": "ucf101", "path": str(original), "size": 16, "frames": 8, "fps": 8.0})
    assert make_source(data, "train")[0]["video"].shape == (8, 16, 16, 3)
