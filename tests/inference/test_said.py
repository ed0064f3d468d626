"""What is said in films, as vectors: captions and subtitles through a classifier's trunk."""

import shutil

import numpy as np
import pytest

import vgm_jax
from vgm_jax.data.media import write_video
from vgm_jax.inference.features import features_file


@pytest.fixture(scope="module")
def model(of_trunk):
    seen = {"modalities": ("video", "text"), "heads": (("motion", 12),), "modality_drop": 0.3}
    return vgm_jax.load(of_trunk({"words": 92}, shapeshow={"text": True}, model=seen))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A film of 2.5 s, in which something is said in the first and in the last second; the same, silent."""
    path, rng = tmp_path_factory.mktemp("films"), np.random.default_rng(0)
    write_video(path / "silent.mp4", rng.integers(0, 255, (20, 16, 16, 3)).astype(np.uint8), 8.0)
    shutil.copy(path / "silent.mp4", path / "told.mp4")
    cues = "00:00:00.100 --> 00:00:00.900\na red star\n\n00:00:02.100 --> 00:00:02.400\nzebras bounce\n"
    (path / "told.vtt").write_text("WEBVTT\n\n" + cues)
    return path


def test_words_have_vectors_and_change_the_others(model, folder):
    told, silent = (model.features(folder / f"{name}.mp4") for name in ("told", "silent"))
    assert "text" not in silent and "audio" not in told
    assert told["text"].shape == (5, 8) and told["text_times"].tolist() == [1.0] * 3 + [2.5] * 2
    assert np.ptp(told["text"], 0).max() > 1e-3
    np.testing.assert_array_equal(told["video_times"], silent["video_times"])
    assert np.abs(told["pooled"] - silent["pooled"]).max() > 1e-4
    np.testing.assert_allclose(told["video"][4:8], silent["video"][4:8], atol=1e-5)  # nothing is said then


def test_they_are_in_the_file_of_a_folders_features(model, folder, tmp_path):
    assert features_file(model, folder, tmp_path / "features.npz") == (2, [])
    saved = np.load(tmp_path / "features.npz")
    assert saved["files"].tolist() == ["silent.mp4", "told.mp4"]
    assert np.diff(saved["text_offsets"]).tolist() == [0, 5] and saved["text"].shape == (5, 8)
    np.testing.assert_array_equal(saved["text"], model.features(folder / "told.mp4")["text"])


def test_answers_are_of_what_is_seen(model, folder):
    assert model.classify(folder / "told.mp4") == model.classify(folder / "silent.mp4")
