import json

import numpy as np
import pytest

from vgm_jax.data.media import write_video
from vgm_jax.data.sources import make_source
from vgm_jax.data.sources.kinetics import Kinetics

HEADER = "label,youtube_id,time_start,time_end,split"
ROWS = {
    "train": ['"riding a bike, fast",-abcdefghi0,10,20', "abseiling,_abcdefghi1,0,10"],
    "validate": ["abseiling,abcdefghij2,5,15"],
    "test": ['"riding a bike, fast",abcdefghij3,100,110'],
}
CLIPS = {"-abcdefghi0_000010_000020": 40, "_abcdefghi1_000000_000010": 80}
CLIPS |= {"abcdefghij2_000005_000015": 120, "abcdefghij3_000100_000110": 160}


@pytest.fixture
def kinetics(tmp_path):
    for split, rows in ROWS.items():
        lines = [HEADER, *(f"{row},{split}" for row in rows)]
        (tmp_path / f"{split}.csv").write_text("\n".join(lines) + "\n")
    for (name, level), folder in zip(CLIPS.items(), ("train/riding_a_bike", "flat", ".", "x"), strict=True):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        write_video(tmp_path / folder / f"{name}.mp4", np.full((8, 16, 16, 3), level, np.uint8), fps=8)
    return tmp_path


def make(path, split="train", **settings):
    return Kinetics(path, split, **({"size": 16, "frames": 8, "fps": 8} | settings))


def levels(source):
    return [round(float(source[i]["video"].mean()) / 40) for i in range(len(source))]


def test_clips_are_found_in_class_folders_or_flat(kinetics):
    source = make(kinetics)
    assert source.class_names() == ("abseiling", "riding a bike, fast")
    assert levels(source) == [1, 2] and [int(source[i]["label"]) for i in range(2)] == [1, 0]
    assert source.origin(0)[0] == "train/riding_a_bike/-abcdefghi0_000010_000020.mp4"
    assert levels(make(kinetics, "validation")) == [3] and levels(make(kinetics, "test")) == [4]
    assert int(make(kinetics, "test")[0]["label"]) == 1


def test_rows_of_another_split_are_left_out(kinetics):
    everything = [HEADER, *(f"{row},{split}" for split, rows in ROWS.items() for row in rows)]
    for name in ("train.csv", "validate.csv", "test.csv"):
        (kinetics / name).write_text("\n".join(everything))
    assert [levels(make(kinetics, split)) for split in ("train", "validation", "test")] == [[1, 2], [3], [4]]


def test_lists_may_be_in_annotations_and_without_a_split(kinetics):
    (kinetics / "annotations").mkdir()
    text = (kinetics / "validate.csv").read_text().replace(",validate", "").replace(",split", "")
    (kinetics / "annotations" / "val.csv").write_text(text)
    (kinetics / "validate.csv").unlink()
    assert levels(make(kinetics, "validation")) == [3]


@pytest.mark.parametrize("text", [None, "youtube_id,time_start,time_end,split\nabcdefghij3,100,110,test\n"])
def test_a_test_list_without_labels_is_replaced_by_validation(kinetics, text):
    (kinetics / "test.csv").unlink() if text is None else (kinetics / "test.csv").write_text(text)
    with pytest.warns(UserWarning, match="no test.csv with labels: test is validation"):
        source = make(kinetics, "test")
    assert levels(source) == [3] and "validate.csv" in source.description["lists"]


def test_missing_videos_are_listed(kinetics):
    with (kinetics / "train.csv").open("a") as file:
        file.write("abseiling,gonegonego4,1,11,train\n")
    (kinetics / "flat" / "_abcdefghi1_000000_000010.mp4").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"2 video\(s\) skipped"):
        source = make(kinetics)
    assert source.rejected == [
        ("gonegonego4_000001_000011", "listed, but there is no such file"),
        ("flat/_abcdefghi1_000000_000010.mp4", "the file is empty"),
    ]
    assert levels(source) == [1]
    (kinetics / "abcdefghij2_000005_000015.mp4").unlink()
    with pytest.raises(FileNotFoundError, match=r"none of the 1 .* in train.csv, validate.csv is there"):
        make(kinetics, "validation")


@pytest.mark.parametrize(
    "name, text, error",
    [
        ("train.csv", "a,b\n1,2\n", r"train\.csv: expected columns label, youtube_id, .*; got a, b"),
        ("train.csv", "", r"train\.csv: expected columns .*; got none"),
        ("train.csv", f"{HEADER}\nabseiling,x,soon,10,train\n", r"train\.csv:2: expected seconds"),
        ("train.csv", f"{HEADER}\nabseiling,x\n", r"train\.csv:2: expected seconds"),
        ("train.csv", f"{HEADER}\n,x,0,10,train\n", r"train\.csv:2: expected a label"),
        (
            "validate.csv",
            f"{HEADER}\njuggling,x,0,10,val\n",
            r"class 'juggling' of x_.* is not in train\.csv",
        ),
    ],
)
def test_errors_name_the_file(kinetics, name, text, error):
    (kinetics / name).write_text(text)
    with pytest.raises(ValueError, match=error):
        make(kinetics, "train" if name == "train.csv" else "validation")


def test_a_missing_list_is_named(kinetics):
    (kinetics / "validate.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"no val\.csv or validate\.csv or validation\.csv in"):
        make(kinetics, "validation")
    (kinetics / "train.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"train\.csv: not a text in UTF-8"):
        make(kinetics)


def test_by_a_config(kinetics, recipe):
    data = recipe("base").unlock().data
    data.update({"source": "kinetics", "path": str(kinetics), "size": 16, "frames": 8, "fps": 8.0})
    source = make_source(data, "train")
    assert source[0]["video"].shape == (8, 16, 16, 3)
    assert json.loads(json.dumps(source.description))["source"] == "kinetics"
