"""A generator that is asked by sentences, of a run with a stand-in for MiniLM that has learnt nothing."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest

import vgm_jax
from vgm_jax.inference.zoo import export
from vgm_jax.models.pretrained.minilm import SentenceEncoder
from vgm_jax.tasks import build
from vgm_jax.tasks.sentences import Sentences
from vgm_jax.training.loop import Run
from vgm_jax.types import SENTENCE


class Hashed:
    """A vector of length one for any text, and which texts it was given."""

    def __init__(self):
        self.seen = []

    def of(self, texts, whole=False):
        self.seen += texts
        seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) for text in texts]
        vectors = np.stack([np.random.default_rng(seed).normal(size=SENTENCE) for seed in seeds])
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def trained(tiny, unlearnt, tmp_path_factory):
    """The workdir, and what was read."""
    hashed = Hashed()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(Sentences, "encoder", hashed)
        config = tiny("continuous")
        with config.unlocked():
            config.data.text.encoder = "minilm:/nowhere"
            config.model.generator.update(conditions=("sentence", "image"))
            config.objective.penalty = "none"
            config.train.update(steps=2)
            config.evaluate.every = 0
        workdir = tmp_path_factory.mktemp("sentences")
        run = Run(unlearnt(build(config)), config, workdir, report=lambda _: None)
        run.train()
        sentences = run.source[0]["sentence"], hashed.of([run.source.caption(0)])[0]
        np.testing.assert_array_equal(*sentences)
        assert run.example["sentence"].shape == (8, SENTENCE)
        batch = next(iter(run.held_out("validation")))
        assert batch["sentence"].shape == (8, SENTENCE) and batch["sentence"].any(1).all()
        run.close()
        yield workdir, hashed


@pytest.fixture(scope="module")
def model(trained):
    return vgm_jax.load(trained[0])


def near(a, b):
    return np.abs(a.astype(int) - b.astype(int)).max() <= 1


def test_any_text_can_be_asked_for(model, trained):
    assert model.conditions == ("text", "image")
    asked = "Une zebra flobs, quite unlike anything in the data!"
    clip = model.sample(0, text=asked)
    assert trained[1].seen[-1] == asked
    assert near(model.sample(0, text=asked), clip)
    assert not near(model.sample(0, text="a red circle moves left"), clip)
    assert not near(model.sample(0), clip)
    both = model.sample(0, n=2, text=["a red circle moves left", asked])
    assert near(both[1], model.sample(0, n=2, text=asked)[1])
    picture = np.zeros((16, 16, 3), np.uint8)
    assert not near(model.sample(0, text=asked, image=picture), model.sample(0, image=picture))


def test_what_cannot_be_asked_for(model):
    with pytest.raises(ValueError, match="the text is empty"):
        model.sample(0, text=" \n")
    with pytest.raises(ValueError, match="not trained with 'label': it generates from text, image"):
        model.sample(0, label=1)
    with pytest.raises(ValueError, match="not trained with 'sentence'"):
        model.stream(0, sentence=np.zeros(SENTENCE))


def test_a_text_of_more_than_is_read_is_refused(model, monkeypatch):
    words = SimpleNamespace(encode_batch=lambda texts: [SimpleNamespace(ids=x.split()) for x in texts])
    monkeypatch.setattr(Sentences, "encoder", SentenceEncoder({}, words))
    for ask in (model.sample, model.stream, model.stream(0).ask):
        with pytest.raises(ValueError, match="the text is 300 tokens long .* reads at most 256: shorten it"):
            ask(text="word " * 300)


def test_a_stream_is_asked_for_something_else(model):
    stream = model.stream(0, text="snow falls")
    first = next(stream)
    stream.ask(blend=0.0, text="a dog runs")
    assert near(first, model.sample(0, text="snow falls")[0, 0])


def test_it_can_be_given_away(model, trained, tmp_path):
    folder = export(trained[0], tmp_path / "given", {})
    assert not (folder / "vocabulary.json").exists()
    assert vgm_jax.load(folder).sample(0, text="a blue star").shape == (1, 4, 16, 16, 3)
