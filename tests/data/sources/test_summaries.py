import json
import pickle
import sys

import h5py
import numpy as np
import pytest

from vgm_jax.data.sources import make_source
from vgm_jax.data.sources.summaries import Summaries

ENDS = [[0, 29], [30, 59], [60, 99]]  # inclusive, as in the original


def write(path, count=12, **changes):
    """Videos of 100 frames, of which every 15th has features; `changes` to the arrays of video_1."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for i in range(1, count + 1):
            picks = np.arange(0, 100, 15)
            arrays = {
                "features": rng.random((len(picks), 8), np.float32),
                "gtscore": rng.random(len(picks)),
                "user_summary": np.repeat([[1.0, 0, 0], [0, 1, 0]], [30, 30, 40], axis=1).astype(np.float32),
                "change_points": np.array(ENDS),
                "n_frame_per_seg": np.array([30, 30, 40]),
                "n_frames": np.array(100),
                "picks": picks,
                "n_steps": np.array(len(picks)),
            }
            for name, value in (arrays | (changes if i == 1 else {})).items():
                if value is not None:
                    file[f"video_{i}/{name}"] = value
    return path


@pytest.fixture
def tvsum(tmp_path):
    return write(tmp_path / "eccv16_dataset_tvsum_google_pool5.h5")


def test_a_video(tvsum):
    source = Summaries(tvsum, "test")
    item = source[0]
    assert {name: (value.dtype.name, value.shape) for name, value in item.items()} == {
        "features": ("float32", (7, 8)),
        "picks": ("int32", (7,)),
        "importance": ("float32", (7,)),
        "shots": ("int32", (3, 2)),
        "shot": ("int32", (7,)),
        "user_summary": ("uint8", (2, 100)),
        "n_frames": ("int32", ()),
    }
    assert item["shots"].tolist() == [[0, 30], [30, 60], [60, 100]], "ends are no longer inclusive"
    assert item["shot"].tolist() == [0, 0, 1, 1, 2, 2, 2]
    for (first, stop), kept in zip(item["shots"], ([1, 0], [0, 1], [0, 0]), strict=True):
        assert (item["user_summary"][:, first:stop].T == kept).all()
    with h5py.File(tvsum) as file:
        np.testing.assert_array_equal(item["features"], file[source.keys[0]]["features"])
    with pytest.raises(IndexError, match=r"0\.\."):
        source[len(source)]


def test_folds_are_disjoint_and_validation_is_of_training(tvsum):
    tests = []
    for number in range(5):
        parts = [Summaries(tvsum, split, number=number).keys for split in ("train", "validation", "test")]
        assert sorted(sum(parts, [])) == sorted(f"video_{i}" for i in range(1, 13))
        assert len(parts[1]) == 1 and len(parts[2]) in (2, 3)
        tests += parts[2]
    assert len(set(tests)) == len(tests) == 12
    assert Summaries(tvsum, "test", seed=1).keys != Summaries(tvsum, "test").keys
    with pytest.raises(ValueError, match=r"expected number in 0\.\.4 and at least 5 videos"):
        Summaries(tvsum, number=5)


def test_splits_of_a_file(tvsum):
    content = [
        {"train_keys": ["video_1", "video_2"], "test_keys": ["video_3"]},
        {"train_keys": ["a/tvsum.h5/video_4", "a/tvsum.h5/video_10"], "test_keys": ["a/tvsum.h5/video_5"]},
    ]
    (tvsum.parent / "splits.json").write_text(json.dumps(content))
    source = Summaries(tvsum, "test", splits="splits.json", number=1)
    assert source.keys == ["video_5"] and source.name(0) == "video_5"
    parts = [Summaries(tvsum, part, splits="splits.json").keys for part in ("train", "validation")]
    assert sorted(parts[0] + parts[1]) == ["video_1", "video_2"] and len(parts[0]) == 1
    assert source.description["sha256"] != Summaries(tvsum, "test").description["sha256"]


@pytest.mark.parametrize(
    "text, error",
    [
        ("[", r"splits\.json: expected \[\{train_keys, test_keys\}\] with an entry 0"),
        ("[]", r"splits\.json: expected .* with an entry 0 \(IndexError"),
        ('[{"train": []}]', r"splits\.json: expected .*KeyError"),
        ('[{"train_keys": ["video_99"], "test_keys": []}]', r"splits\.json: video_99 is not in .*\.h5"),
        ('[{"train_keys": ["video_1"], "test_keys": ["video_1"]}]', "video_1 is in train and in test"),
        ('[{"train_keys": ["video_1"], "test_keys": ["video_3"]}]', r"splits\.json: .* at least two"),
        ('[{"train_keys": ["video_1", "video_2"], "test_keys": []}]', r"splits\.json: no video for test"),
    ],
)
def test_wrong_splits_are_named(tvsum, text, error):
    (tvsum.parent / "splits.json").write_text(text)
    with pytest.raises(ValueError, match=error):
        Summaries(tvsum, "test" if "video_2" in text else "train", splits="splits.json")


def test_the_protocol_is_of_the_data_set(tvsum, tmp_path):
    protocol = Summaries(tvsum, "test").protocol
    assert protocol["reduce"] == "mean" and protocol["budget"] == 0.15 and protocol["annotators"] == [2]
    assert Summaries(write(tmp_path / "eccv16_dataset_SumMe.h5"), "test").protocol["reduce"] == "max"
    other = write(tmp_path / "mine.h5")
    with pytest.raises(
        ValueError, match=r"mine\.h5: data\.summaries\.dataset must be tvsum or summe; got ''"
    ):
        Summaries(other)
    assert Summaries(other, dataset="summe").protocol["dataset"] == "summe"


@pytest.mark.parametrize(
    "changes, error",
    [
        ({"gtscore": None, "picks": None}, "no gtscore, picks; expected features, gtscore"),
        ({"change_points": np.array([[0, 30], [30, 60], [60, 100]])}, "ends must be inclusive"),
        (
            {"change_points": np.array([[0, 29], [30, 59], [70, 99]]), "n_frame_per_seg": [30, 30, 30]},
            "not shots one after another",
        ),
        (
            {"change_points": np.array([[0, 29], [30, 59], [60, 109]]), "n_frame_per_seg": [30, 30, 50]},
            "shots",
        ),
        ({"gtscore": np.zeros(6)}, r"gtscore is \[6\]; there are 7 picks"),
        ({"user_summary": np.zeros((2, 90))}, r"user_summary is \[2, 90\]; .* 100 frames"),
        ({"user_summary": np.full((2, 100), 3.0)}, "user_summary is not of 0 and 1"),
        ({"picks": np.arange(7) * 20}, "picks are no frames"),
        ({"gtscore": np.full(7, np.nan)}, "gtscore has numbers that are not finite"),
        ({"user_scores": np.full((2, 100), np.inf)}, "user_scores has numbers that are not finite"),
        ({"user_scores": np.zeros((2, 7))}, r"user_scores is \[2, 7\], user_summary \[2, 100\]"),
    ],
)
def test_a_wrong_video_is_named(tmp_path, changes, error):
    path = write(tmp_path / "tvsum.h5", count=3, **changes)
    (tmp_path / "s.json").write_text('[{"train_keys": ["video_2", "video_3"], "test_keys": ["video_1"]}]')
    with pytest.raises(ValueError, match=error) as raised:
        Summaries(path, "test", splits="s.json")
    assert "tvsum.h5: video_1: " in str(raised.value)
    assert len(Summaries(path, splits="s.json")) == 1


def test_names_and_scores_where_the_file_has_them(tmp_path):
    path = write(tmp_path / "summe.h5", count=3, video_name=b"Air_Force_One", user_scores=np.ones((2, 100)))
    (tmp_path / "s.json").write_text('[{"train_keys": ["video_2", "video_3"], "test_keys": ["video_1"]}]')
    source = Summaries(path, "test", splits="s.json")
    assert source.name(0) == "Air_Force_One" and source[0]["user_scores"].shape == (2, 100)
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again[0]["features"], source[0]["features"])


def test_errors_say_what_to_do(tvsum, tmp_path, monkeypatch):
    (tmp_path / "tvsum.h5").write_text("nothing")
    with pytest.raises(ValueError, match=r"tvsum\.h5: not an h5 file"):
        Summaries(tmp_path / "tvsum.h5")
    with pytest.raises(FileNotFoundError, match=r"summe\.h5: there is no such file"):
        Summaries(tmp_path / "summe.h5")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json: .*data\.summaries\.splits"):
        Summaries(tvsum, splits="nowhere.json")
    with pytest.raises(ValueError, match=r"--config\.data\.path=FILE"):
        Summaries("")
    with pytest.raises(ValueError, match="train, validation, test; got 'dev'"):
        Summaries(tvsum, "dev")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"pip install 'vgm_jax\[h5\]'"):
        Summaries(tvsum)


def test_by_a_config(tvsum, recipe):
    data = recipe("base").unlock().data
    data.update({"source": "summaries", "path": str(tvsum)})
    source = make_source(data, "train")
    assert source[0]["features"].shape == (7, 8)
    text = json.dumps(source.description)
    assert json.dumps(make_source(data, "train").description) == text and str(tvsum.parent) not in text
