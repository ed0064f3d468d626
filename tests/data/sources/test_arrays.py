import json
import pickle

import numpy as np
import pytest

from vgm_jax.data.pipeline import train_batches
from vgm_jax.data.sources import make_source
from vgm_jax.data.sources.arrays import Arrays


@pytest.fixture
def clips(tmp_path):
    """Twelve clips [12 4 8 8 3] in train.npy, others in test.npy."""
    rng = np.random.default_rng(0)
    for split, count in {"train": 12, "test": 3}.items():
        np.save(tmp_path / f"{split}.npy", rng.integers(0, 256, (count, 4, 8, 8, 3), np.uint8))
    return np.load(tmp_path / "train.npy")


def source(path, split="train", **settings):
    return Arrays(split, **{"path": path, "size": 8, "frames": 4, "fps": 8.0} | settings)


def test_items_are_the_files_clips(clips, tmp_path):
    arrays = source(tmp_path)
    assert len(arrays) == 12 and len(source(tmp_path, "test")) == 3
    for i in (0, 5, 11):
        item = arrays[i]
        np.testing.assert_array_equal(item["video"], clips[i])
        np.testing.assert_array_equal(item["times"], np.float32([0, 0.125, 0.25, 0.375]))
        assert type(item["video"]) is np.ndarray and item["video"].flags.writeable
    for index in (-1, 12):
        with pytest.raises(IndexError, match="0..11"):
            arrays[index]


def test_the_home_folder_may_be_a_tilde(clips, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    np.testing.assert_array_equal(source(f"~/{tmp_path.name}")[0]["video"], clips[0])


def test_clips_may_have_classes(clips, tmp_path):
    labels = np.arange(12) % 3
    np.save(tmp_path / "train_labels.npy", labels.astype(np.uint8))
    arrays = source(tmp_path)
    assert [int(arrays[i]["label"]) for i in range(12)] == labels.tolist()
    assert arrays[0]["label"].dtype == np.int32
    assert arrays.class_names() == ("0", "1", "2") and arrays.num_classes == 3
    assert "label" not in source(tmp_path, "test")[0]
    (tmp_path / "classes.txt").write_text("cat\ndog\nbird\nnever seen\n")
    named = source(tmp_path)
    assert named.class_names() == ("cat", "dog", "bird", "never seen")
    assert json.loads(json.dumps(named.description)) == named.description != arrays.description


@pytest.mark.parametrize(
    "labels, said",
    [
        (np.zeros(11, int), r"expected integers from 0 of shape \(12,\), as the clips, got int64 \(11,\)"),
        (np.zeros(12), "got float64"),
        (np.full(12, -1), "from 0"),
        (np.full(12, 2), "lists 2 classes; train has class 2"),
        (np.array([None] * 12), "not a plain NumPy array"),
    ],
)
def test_labels_that_are_none(clips, tmp_path, labels, said):
    np.save(tmp_path / "train_labels.npy", labels)
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(ValueError, match=said):
        source(tmp_path)


def test_a_config_gives_batches(clips, tmp_path, recipe):
    config = recipe("base").unlock()
    config.data.update({"source": "arrays", "path": str(tmp_path), "size": 8, "frames": 4, "fps": 8.0})
    batch = next(train_batches(make_source(config.data, "train"), batch_size=12, seed=0))
    assert batch["video"].dtype == np.uint8 and batch["times"].shape == (12, 4)
    assert {v.tobytes() for v in batch["video"]} == {v.tobytes() for v in clips}


def test_a_worker_is_sent_a_name_and_not_the_clips(clips, tmp_path):
    arrays = source(tmp_path)
    sent = pickle.dumps(arrays)
    assert len(sent) < clips[0].size
    np.testing.assert_array_equal(pickle.loads(sent)[3]["video"], clips[3])


def test_the_description_follows_the_content_and_not_the_place(clips, tmp_path):
    before = source(tmp_path).description
    assert json.loads(json.dumps(before)) == before and before["length"] == 12
    (tmp_path / "elsewhere").mkdir()
    np.save(tmp_path / "elsewhere" / "train.npy", clips)
    assert source(tmp_path / "elsewhere").description == before
    np.save(tmp_path / "train.npy", 255 - clips)
    assert source(tmp_path).description != before


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 4, 8, 8, 3), np.float32), r"float32.*\[0, 1\].*0\.\.255"),
        (np.zeros((2, 4, 8, 8, 3), np.int64), "expected uint8 pixels"),
        (np.zeros((4, 8, 8, 3), np.uint8), r"\[N T H W 3\]"),
        (np.zeros((2, 4, 3, 8, 8), np.uint8), "channels last"),
        (np.zeros((2, 16, 8, 8, 3), np.uint8), "set data.frames=16"),
        (np.zeros((2, 4, 64, 64, 3), np.uint8), "set data.size=64"),
        (np.zeros((2, 4, 8, 9, 3), np.uint8), "square"),
        (np.array([{}], object), "not a plain NumPy array"),
    ],
)
def test_another_array_is_an_error_that_names_the_file(tmp_path, array, message):
    np.save(tmp_path / "train.npy", array)
    with pytest.raises(ValueError, match=message) as error:
        source(tmp_path)
    assert "train.npy" in str(error.value)


def test_files_that_are_none_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no validation.npy"):
        source(tmp_path, "validation")
    with pytest.raises(FileNotFoundError, match="data.path=''"):
        source("")
    (tmp_path / "train.npy").write_text("hello")
    with pytest.raises(ValueError, match="train.npy: not a plain NumPy array"):
        source(tmp_path)
    (tmp_path / "train.npy").write_bytes(b"")
    with pytest.raises(ValueError, match="train.npy: not a plain NumPy array"):
        source(tmp_path)
    with (tmp_path / "train.npy").open("wb") as file:
        np.savez(file, clips=np.zeros(3))
    with pytest.raises(ValueError, match="train.npy: not a plain NumPy array .several"):
        source(tmp_path)
    with pytest.raises(ValueError, match="train, validation, test"):
        source(tmp_path, "valid")
    with pytest.raises(ValueError, match="fps must be positive"):
        source(tmp_path, fps=0)


def test_a_header_that_python_fails_to_parse_is_parsed_again(clips, tmp_path, monkeypatch):
    """Seen in CPython 3.11.7 where threads load while garbage is collected."""
    load, left = np.load, [2]

    def flaky(*args, **kwargs):
        if left[0]:
            left[0] -= 1
            raise SystemError("AST constructor recursion depth mismatch")
        return load(*args, **kwargs)

    arrays = source(tmp_path)
    monkeypatch.setattr(np, "load", flaky)
    assert np.array_equal(arrays[0]["video"], clips[0]) and left == [0]


def test_items_have_the_actions_that_lie_beside_the_clips(clips, tmp_path):
    assert source(tmp_path).actions == 0 and "action" not in source(tmp_path)[0]
    actions = np.random.default_rng(1).integers(0, 9, (12, 4), np.uint8)
    before = source(tmp_path).description
    np.save(tmp_path / "train_actions.npy", actions)
    arrays = source(tmp_path)
    assert arrays.actions == actions.max() + 1 and arrays[7]["action"].dtype == np.int32
    np.testing.assert_array_equal(arrays[7]["action"], actions[7])
    assert "action" not in source(tmp_path, "test")[0] and arrays.description != before
    for wrong in (actions[:, :3], actions.astype(np.float32), actions.astype(np.int64) - 9):
        np.save(tmp_path / "train_actions.npy", wrong)
        with pytest.raises(ValueError, match=r"train_actions.npy: expected integers from 0 of shape"):
            source(tmp_path)
