"""The data sets here are written by TFDS itself, without TensorFlow: frames as Pillow pictures do that."""

import json
import pickle
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from vgm_jax.data.pipeline import train_batches
from vgm_jax.data.sources import make_source
from vgm_jax.data.sources.tfds import Tfds

PICTURES = tfds.features.Sequence(tfds.features.Image(shape=(16, 16, 3), encoding_format="png"))
# What the feature Video is in features.json; TFDS needs TensorFlow to write it, but it is stored as PICTURES.
VIDEO = {
    "pythonClassName": "tensorflow_datasets.core.features.video_feature.Video",
    "video": {"shape": {"dimensions": ["-1", "16", "16", "3"]}, "dtype": "uint8", "encodingFormat": "png"},
}


def frames(first, count):
    return [Image.fromarray(np.full((16, 16, 3), first + t, np.uint8)) for t in range(count)]


def example(i, count):
    return {"video": frames(40 * i, count), "label": i % 2, "caption": f"clip {i} é"}


class Toy(tfds.core.GeneratorBasedBuilder):
    """Set FEATURES and EXAMPLES (split -> examples) before use."""

    VERSION = tfds.core.Version("1.0.0")
    code_path = (
        None  # of a class in a package, TFDS would look for it with importlib_resources, not installed
    )
    FEATURES, EXAMPLES = {}, {}

    def _info(self):
        features = tfds.features.FeaturesDict(self.FEATURES)
        return tfds.core.DatasetInfo(builder=self, description="toy", features=features)

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in self.EXAMPLES}

    def _generate_examples(self, split):
        yield from enumerate(self.EXAMPLES[split])


def write(root, features, examples):
    Toy.FEATURES, Toy.EXAMPLES = features, examples
    builder = Toy(data_dir=root, file_format="array_record")
    builder.download_and_prepare()
    return Path(builder.data_dir)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Three clips of 8 frames for training, one for test, as a data set of feature Video."""
    names = tfds.features.ClassLabel(names=["walk", "run"])
    features = {"video": PICTURES, "label": names, "caption": tfds.features.Text()}
    parts = {"train": [example(i, 8) for i in range(3)], "test": [example(5, 8)]}
    path = write(tmp_path_factory.mktemp("tfds"), features, parts)
    content = json.loads((path / "features.json").read_text())
    content["featuresDict"]["features"]["video"] = VIDEO
    (path / "features.json").write_text(json.dumps(content))
    return path


def make(path, split="train", **settings):
    return Tfds(path, split, **({"size": 16, "frames": 4, "fps": 4, "rate": 8} | settings))


def levels(source):
    return sorted(int(source[i]["video"][0, 0, 0, 0]) for i in range(len(source)))


def test_a_data_set_of_videos_is_read_without_tensorflow(toy):
    source = make(toy)
    assert "tensorflow" not in sys.modules
    assert levels(source) == [0, 40, 80] and levels(make(toy, "test")) == [200]
    assert source.class_names() == ("walk", "run") and source.num_classes == 2
    for i in range(3):
        item = source[i]
        first = int(item["video"][0, 0, 0, 0])
        assert set(item) == {"video", "times", "label"}
        assert item["video"].dtype == np.uint8 and item["video"].shape == (4, 16, 16, 3)
        assert (item["video"].mean((1, 2, 3)) == first + np.arange(0, 8, 2)).all(), "8 to 4 frames a second"
        assert item["label"] == first // 40 % 2 and item["label"].dtype == np.int32
        assert item["times"].dtype == np.float32 and item["times"].tolist() == [0, 0.25, 0.5, 0.75]
        assert source.caption(i) == f"clip {first // 40} é"
    with pytest.raises(IndexError, match=r"0\.\.2"):
        source[3]


def test_rates_and_sizes(toy):
    first = make(toy)[0]["video"][0, 0, 0, 0]
    assert (make(toy, fps=16, frames=8)[0]["video"][:, 0, 0, 0] == first + np.arange(8) // 2).all()
    assert make(toy, fps=0, frames=8)[0]["times"].tolist() == [t / 8 for t in range(8)]
    assert make(toy, rate=0)[0]["video"][3, 0, 0, 0] == first + 3, "they are at fps"
    assert make(toy, size=8)[0]["video"].shape == (4, 8, 8, 3)


def test_by_name_and_with_parts_of_splits(toy):
    source = make(toy.parents[1], name="toy", train="train[:1]", validation="train[1:]")
    other = make(toy.parents[1], "validation", name="toy:1.0.0", train="train[:1]", validation="train[1:]")
    assert len(source) == 1 and len(other) == 2
    assert sorted(levels(source) + levels(other)) == [0, 40, 80]


def test_times_tensors_and_no_labels(tmp_path):
    features = {
        "clip": tfds.features.Tensor(shape=(None, 16, 16, 1), dtype=np.uint8),
        "times": tfds.features.Tensor(shape=(None,), dtype=np.float32),
    }
    clip = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 16, 16, 1), np.uint8)
    times = np.float32([10, 10.1, 10.2, 11])
    path = write(tmp_path, features, {"train": [{"clip": clip, "times": times}]})
    source = make(path, video="clip", fps=8, frames=8)
    assert source[0]["video"][:, 0, 0, 2].tolist() == [0, 1, 2, 2, 2, 2, 2, 2], "what is shown at that time"
    assert set(source[0]) == {"video", "times"} and source.caption(0) == "" and source.class_names() == ()
    np.testing.assert_allclose(make(path, video="clip", fps=0)[0]["times"], times - 10, atol=1e-6)


def test_the_next_example_stands_in_for_what_gives_no_clip(tmp_path):
    parts = {"train": [example(0, 8), example(1, 3)], "test": [example(2, 2)]}
    features = {"video": PICTURES, "caption": tfds.features.Text()}
    parts = {k: [{n: e[n] for n in features} for e in v] for k, v in parts.items()}
    path = write(tmp_path, features, parts)
    source = make(path)
    with pytest.warns(UserWarning, match="skipped: too short: 3 frames, 0.375 s"):
        assert levels(source) == [0, 0]
    assert len(source.rejected) == 1
    assert {source.caption(i) for i in range(2)} == {"clip 0 é"}
    with pytest.raises(ValueError, match="no example gives a clip"), pytest.warns(UserWarning, match="short"):
        make(path, "test")[0]


def test_threads_processes_and_description(toy):
    source = make(toy)
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again[1]["video"], source[1]["video"])
    assert next(train_batches(source, batch_size=3, seed=0))["video"].shape == (3, 4, 16, 16, 3)
    text = json.dumps(source.description)
    assert json.dumps(again.description) == text and str(toy) not in text
    assert make(toy, "test").description["sha256"] != source.description["sha256"]
    assert source.description["full_name"] == "toy/1.0.0" and "toy/1.0.0" in repr(source)


def test_errors_say_what_to_do(toy, tmp_path):
    with pytest.raises(ValueError, match=r"--config\.data\.path=DIR, or a name"):
        make("")
    with pytest.raises(FileNotFoundError, match=r"nowhere: no data set of TFDS"):
        make(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"data\.tfds\.name='toyy' in .*: Dataset toyy not found"):
        make(tmp_path, name="toyy")
    with pytest.raises(
        ValueError, match=r"no split 'validation'; there are train, test: set data\.tfds\.val"
    ):
        make(toy, "validation")
    with pytest.raises(ValueError, match=r"no feature 'film'; .*: set data\.tfds\.video"):
        make(toy, video="film")
    with pytest.raises(ValueError, match=r"no feature 'klass'; .* data\.tfds\.label"):
        make(toy, label="klass")
    with pytest.raises(ValueError, match=r"feature label to be uint8 \[T H W C\], it is int64 \(\)"):
        make(toy, video="label")
    with pytest.raises(ValueError, match="expected size and frames >= 1"):
        make(toy, frames=0)
    with pytest.raises(ValueError, match="train, validation, test; got 'dev'"):
        make(toy, "dev")


def test_features_of_another_form_are_refused_by_their_key(tmp_path):
    text = tfds.features.Text()
    features = {"video": PICTURES, "said": tfds.features.Sequence(text), "name": text, "shot": np.int64}
    row = {"video": frames(0, 8), "said": ["a", "b"], "name": "walk", "shot": 3}
    path = write(tmp_path, features, {"train": [row]})
    with pytest.raises(ValueError, match=r"said to be a text, it is object \(None,\): set data.tfds.caption"):
        make(path, caption="said")
    with pytest.raises(
        ValueError, match=r"name to be a whole number, it is object \(\): set data.tfds.label"
    ):
        make(path, label="name")
    with pytest.raises(ValueError, match=r"shot to be float \[T\], it is int64 \(\): set data.tfds.times"):
        make(path, times="shot")
    source = make(path, caption="name", label="shot")
    assert source[0]["label"] == 3 and source.caption(0) == "walk"


def test_a_set_without_a_clip_is_given_up_soon(tmp_path):
    rows = [{"video": frames(0, 3)} for _ in range(80)]
    path = write(tmp_path, {"video": PICTURES}, {"train": rows})
    source = make(path)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(ValueError, match="none of 64 examples gives a clip; the first: .*too short"):
            source[3]
    assert len(source.rejected) == 64 and len(told) == 5 and "of further ones" in str(told[-1].message)


def test_a_damaged_example_does_not_speak_for_the_others(tmp_path):
    times = tfds.features.Tensor(shape=(8,), dtype=np.float32)
    rows = [{"video": frames(0, 8), "times": np.arange(8, dtype=np.float32) / 8} for _ in range(2)]
    path = write(tmp_path, {"video": PICTURES, "times": times}, {"train": rows})
    source = make(path)
    damaged = {**source._data[0], "times": np.zeros(8, np.float32)}
    source._data = [damaged, source._data[1]]
    source.check()
    source.frames = 32
    with pytest.raises(ValueError, match="no clip of 32 frames at 4 a second: example 1 is too short"):
        source.check()


def test_a_damaged_picture_costs_its_own_example(tmp_path):
    """Pillow has errors of many kinds for it."""
    path = write(tmp_path, {"video": PICTURES}, {"train": [{"video": frames(i, 8)} for i in range(2)]})
    source = make(path)
    first, second = source._data[0], source._data[1]
    stored = [bytes(x) for x in first["video"]]
    for broken in (b"", b"no picture", stored[0][:40], stored[0][:30] + b"\xff" * 20 + stored[0][50:]):
        source = make(path)
        source._data = [{**first, "video": [broken, *stored[1:]]}, second]
        with pytest.warns(UserWarning, match="example train 0 skipped: a frame is no picture"):
            np.testing.assert_array_equal(source[0]["video"], source[1]["video"])


def test_other_formats_than_array_record_are_refused(toy, tmp_path):
    for path in toy.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    info = json.loads((toy / "dataset_info.json").read_text())
    (tmp_path / "dataset_info.json").write_text(json.dumps(info | {"fileFormat": "tfrecord"}))
    with pytest.raises(ValueError, match="not stored as array_record.*--file_format=array_record"):
        make(tmp_path)


def test_by_a_config(toy, recipe):
    data = recipe("base").unlock().data
    data.update({"source": "tfds", "path": str(toy), "size": 16, "frames": 8, "fps": 8.0})
    assert make_source(data, "train")[0]["video"].shape == (8, 16, 16, 3)


def test_sound(tmp_path):
    tone = np.round(20000 * np.sin(np.arange(16000) / 10)).astype(np.int16)
    sounds = [tone, tone[:5000], tone[:0]]
    features = {
        "video": PICTURES,
        "audio": tfds.features.Tensor(shape=(None,), dtype=np.int16, encoding="bytes"),
    }
    features["float"] = tfds.features.Tensor(shape=(None, 1), dtype=np.float32)
    features["wrong"] = tfds.features.Tensor(shape=(None,), dtype=np.int64)
    rows = [
        {"video": frames(10 * i, 8), "audio": x, "float": x[:, None] / np.float32(2**14), "wrong": [1]}
        for i, x in enumerate(sounds)
    ]
    path = write(tmp_path, features, {"train": rows})
    assert set(make(path)[0]) == {"video", "times"}, "unless asked for"
    source = make(path, fps=8, audio="audio")
    for i in range(3):
        item = source[i]
        which = int(item["video"][0, 0, 0, 0]) // 10
        assert item["audio"].dtype == np.float32 and item["audio"].shape == (8000,), "as long as the clip"
        expected = np.zeros(8000, np.float32)
        expected[: len(sounds[which])] = sounds[which][:8000] / np.float32(2**15)
        np.testing.assert_array_equal(item["audio"], expected)
        loud = make(path, fps=8, audio="float")[i]["audio"]
        np.testing.assert_allclose(loud, np.clip(2 * expected, -1, 1), atol=1e-6)
    assert source.description["features"]["audio"] == "audio"
    batch = next(train_batches(source, batch_size=3, seed=0))
    assert batch["audio"].shape == (3, 8000)
    with pytest.raises(ValueError, match=r"expected feature wrong to be int16 or float \[S\], it is int64"):
        make(path, audio="wrong")
    with pytest.raises(ValueError, match=r"no feature 'sound'; .*: set data\.tfds\.audio"):
        make(path, audio="sound")
    with pytest.raises(ValueError, match="with audio.*give fps"):
        make(path, audio="audio", fps=0)


@pytest.mark.parametrize("rate", [16000, 44100])
def test_sound_as_the_feature_audio(tmp_path, rate):
    features = {"video": PICTURES, "audio": tfds.features.Tensor(shape=(None,), dtype=np.int16)}
    rows = [{"video": frames(0, 8), "audio": np.full(16000, 2**14, np.int16)}]
    path = write(tmp_path, features, {"train": rows})
    content = json.loads((path / "features.json").read_text())
    content["featuresDict"]["features"]["audio"] = {
        "pythonClassName": "tensorflow_datasets.core.features.audio_feature.Audio",
        "audio": {
            "shape": {"dimensions": ["-1"]},
            "dtype": "int16",
            "encoding": "none",
            "sampleRate": str(rate),
        },
    }
    (path / "features.json").write_text(json.dumps(content))
    if rate == 16000:
        assert (make(path, fps=8, audio="audio")[0]["audio"] == 0.5).all()
        assert "tensorflow" not in sys.modules
    else:
        with pytest.raises(ValueError, match="feature audio has 44100 samples a second, not 16000"):
            make(path, fps=8, audio="audio")
