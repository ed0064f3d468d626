"""An endless stream at 64 x 64 that is asked for by words: its speed, its memory, and whether it drifts.

python experiments/streaming/run.py --clips DIR     # the emoji of experiments/datasets; nothing else may run
"""

import argparse
import itertools
import json
import os
import time
from pathlib import Path

import jax
import numpy as np

import vgm_jax
from vgm_jax.data.sources import make_source
from vgm_jax.data.text import split_words
from vgm_jax.evaluation.compare import compare
from vgm_jax.evaluation.features import embed
from vgm_jax.inference.generator import CHUNK, GeneratorModel
from vgm_jax.inference.zoo import averaged, find_run
from vgm_jax.training import runtime
from vgm_jax.training.memory import use_huge_pages
from vgm_jax.training.workdir import read_config

HERE = Path(__file__).parent
MODEL = "emoji"
FRAMES = 10_000  # of the stream
PART = 1000  # frames at its beginning and at its end that are compared
STREAMS = 256  # whose frames are
NETWORK = "efficientnet"


def resident() -> float:
    """MiB of this process in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def speed(model: GeneratorModel, text: str) -> dict[str, float]:
    """Frames a second of one stream, memory along it, and how long one frame alone takes."""
    stream = model.stream(0, text=text)
    for _ in range(4 * CHUNK):
        next(stream)
    memory, start = {}, time.perf_counter()
    for count, _ in enumerate(itertools.islice(stream, FRAMES), 1):
        if count in (PART, FRAMES):
            memory[f"mib_after_{count}_frames"] = resident()
    rate = FRAMES / (time.perf_counter() - start)
    task, params, _ = averaged(find_run(MODEL))
    wish, key = model.wish(1.0, text=text), jax.random.key(0)[None]

    def one(i: int) -> None:
        """A frame by itself, as an answer to what was asked just now."""
        times = np.full((1, 1), i / model.fps, np.float32)
        codes = task.imagine(params, key, times, wish.asked(times, task.generator.window))
        np.asarray(task.paint(params, codes))

    taken = []
    for i in range(320):
        begun = time.perf_counter()
        one(i)
        taken.append(1e3 * (time.perf_counter() - begun))
    taken = taken[20:]  # the first ones compile
    return memory | {
        "frames_per_second": rate,
        "frame_ms_median": float(np.median(taken)),
        "frame_ms_p95": float(np.percentile(taken, 95)),
    }


def frames_of(model: GeneratorModel, texts: list[str], first: int) -> np.ndarray:
    """Two frames of a stream of each text, from its `PART` frames after `first` on: uint8 [N 2 H W 3].

    Any moment of a stream is computed by itself; that those before it change nothing is tested.
    """
    found, rng = [], np.random.default_rng(first)
    for i, text in enumerate(texts):
        state = model.stream(0, i, text=text).state
        at = first + int(rng.integers(0, PART - CHUNK))
        _, frames = model.advance(state._replace(done=at), model.fps)
        found.append(frames[[0, -1]])
    return np.stack(found)


def features(clips: np.ndarray) -> np.ndarray:
    return np.concatenate([embed(NETWORK, part) for part in np.array_split(clips, len(clips) // 16)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, required=True)
    args = parser.parse_args()
    runtime.start()
    model = vgm_jax.load(MODEL)
    config = read_config(find_run(MODEL))
    with config.unlocked():
        config.data.path = str(args.clips)
    source = make_source(config.data, "validation")
    texts = [source.caption(i) for i in range(len(source))]
    words = model.listener.vocabulary, model.listener.words
    known = [t for t in texts if not words[0].unknown(t) and 0 < len(split_words(t)) <= words[1]]
    if not known:
        raise ValueError(f"{args.clips}: the model knows the words of no validation caption")
    texts = [text for text, _ in zip(itertools.cycle(known), range(STREAMS), strict=False)]
    result = speed(model, texts[0])
    print(json.dumps(result, indent=1), flush=True)
    real = features(np.stack([source[i % len(source)]["video"][[0, -1]] for i in range(STREAMS)]))
    for name, first in (("beginning", 0), ("end", FRAMES - PART)):
        found = compare(real, features(frames_of(model, texts, first)))
        result[name] = {f"{k}/{NETWORK}": v for k, v in found.items()}
        print(name, json.dumps(result[name], indent=1), flush=True)
    result["end_over_beginning"] = (
        result["end"][f"kernel/{NETWORK}"] / result["beginning"][f"kernel/{NETWORK}"]
    )
    result |= {
        "model": MODEL,
        "texts": len(set(known)),
        "cores": os.cpu_count(),
        "jax": jax.__version__,
        "version": vgm_jax.__version__,
    }
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "streaming.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    use_huge_pages()
    main()
