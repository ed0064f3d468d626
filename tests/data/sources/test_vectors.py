import json
import pickle

import numpy as np
import pytest

from vgm_jax.data.sources import make_source
from vgm_jax.data.sources.vectors import SPLITS, VectorFile

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(60, 5)).astype(np.float32)
LABELS = np.repeat([0, 1, 2], [30, 20, 10])


@pytest.fixture
def write(tmp_path):
    def save(**arrays):
        path = tmp_path / "vectors.npz"
        np.savez(path, **{"features": FEATURES, "labels": LABELS} | arrays)
        return path

    return save


def opened(path, split="train", **settings):
    return VectorFile(split, **{"path": path, "size": 5} | settings)


def test_without_splits_each_class_is_split_in_tenths(write):
    path = write()
    sources = [opened(path, split) for split in ("train", "validation", "test")]
    assert [np.bincount(s.labels).tolist() for s in sources] == [[24, 16, 8], [3, 2, 1], [3, 2, 1]]
    rows = [row.tobytes() for source in sources for row in source.features]
    assert sorted(rows) == sorted(row.tobytes() for row in FEATURES)
    np.testing.assert_array_equal(opened(path).features, sources[0].features)
    known = {row.tobytes(): label for row, label in zip(FEATURES, LABELS, strict=True)}
    item = sources[0][7]
    assert item["features"].dtype == np.float32 and item["label"].dtype == np.int32
    assert known[item["features"].tobytes()] == item["label"]


def test_of_a_scarce_class_some_are_held_out(write):
    path = write(labels=np.repeat([0, 1, 2, 3], [50, 5, 3, 2]))
    counts = [np.bincount(opened(path, split).labels, minlength=4).tolist() for split in SPLITS]
    assert counts == [[40, 3, 2, 2], [5, 1, 1, 0], [5, 1, 0, 0]]


def test_given_splits_names_and_attributes_are_followed(write):
    split = np.resize(["train", "test"], 60)
    attributes = RNG.normal(size=(4, 3))
    path = write(split=split, attributes=attributes, classes=np.array(["a", "b", "c", "never"]))
    source = opened(path, "test", attributes=3)
    np.testing.assert_array_equal(source.features, FEATURES[1::2])
    np.testing.assert_allclose(source.attributes, attributes, rtol=1e-6)
    assert source.class_names() == ("a", "b", "c", "never")
    assert len(opened(path, "validation")) == 0
    assert opened(path).attributes is None
    path = write(attributes=attributes)  # a class without a row counts, named or not
    assert opened(path, attributes=3).class_names() == ("0", "1", "2", "3")


def test_a_file_of_vgm_features_has_its_classes_in_folders(tmp_path):
    path = tmp_path / "features.npz"
    files = np.array([f"{'dog' if label else 'cat'}/{i}.mp4" for i, label in enumerate(LABELS)])
    np.savez(path, pooled=FEATURES, files=files, video=np.zeros((9, 2)), rejected=np.array([], str))
    source = opened(path)
    assert source.class_names() == ("cat", "dog")
    assert np.bincount(source.labels).tolist() == [24, 24]
    np.savez(path, pooled=FEATURES, files=np.array([f"{i}.mp4" for i in range(60)]))
    with pytest.raises(ValueError, match="in no folder"):
        opened(path)


def test_words_are_labels_too(write):
    source = opened(write(labels=np.array(["b", "a", "c"])[LABELS]))
    assert source.class_names() == ("a", "b", "c") and np.bincount(source.labels).tolist() == [16, 24, 8]


class Trap:
    """Unpickling it would tell."""

    def __reduce__(self):
        return pytest.fail, ("it was unpickled",)


def test_what_is_wrong_is_named(write, tmp_path):
    nan = FEATURES.copy()
    nan[3, 2] = np.nan
    refused = {
        "set data.size=5": dict(size=4),
        "the splits are": dict(split="dev"),
        r"'features' to be finite numbers": dict(arrays={"features": nan}),
        r"'features' to be float \[N D\]; it is float64 \[60\]": dict(arrays={"features": np.zeros(60)}),
        r"'labels' to be int or str \[60\]": dict(arrays={"labels": LABELS[:9]}),
        r"'labels' to be in 0..1": dict(arrays={"classes": np.array(["a", "b"])}),
        "'x' is not among": dict(arrays={"labels": np.full(60, "x"), "classes": np.array(["a"])}),
        r"'split' to be \[60\] of train": dict(arrays={"split": np.full(60, "dev")}),
        r"'attributes' to be finite \[3 2\]": dict(attributes=2),
        "not an .npz of plain arrays": dict(arrays={"labels": np.array([Trap()] * 60)}),
    }
    for message, case in refused.items():
        path = write(**case.pop("arrays", {}))
        with pytest.raises(ValueError, match=message):
            opened(path, **case)
    with (tmp_path / "vectors.npz").open("wb") as file:
        np.save(file, FEATURES)
    with pytest.raises(ValueError, match="not an .npz of plain arrays"):
        opened(tmp_path / "vectors.npz")
    (tmp_path / "vectors.npz").write_bytes(b"PK torn")
    with pytest.raises(ValueError, match="not an .npz of plain arrays"):
        opened(tmp_path / "vectors.npz")
    with pytest.raises(FileNotFoundError, match="vgm features"):
        opened(tmp_path / "nowhere.npz")


def test_the_description_follows_the_content_and_a_config_opens_it(write, recipe):
    path = write()
    config = recipe("feature_gan").unlock()
    config.data.update(source="vectors", path=str(path), size=5)
    source = make_source(config.data, "train")
    assert json.loads(json.dumps(source.description)) == source.description
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(source))[3]["features"], source[3]["features"])
    before = source.description
    assert make_source(config.data, "test").description != before
    write(features=FEATURES + 1)
    assert make_source(config.data, "train").description != before
    with pytest.raises(IndexError):
        source[len(source)]
