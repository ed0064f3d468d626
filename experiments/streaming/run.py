"""An endless stream at 64 x 64 that is asked for by words: its speed, its memory, and whether it drifts.

python experiments/streaming/run.py --clips DIR     # the emoji of experiments/datasets; nothing else may run
"""

import argparse
import itertools
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import vgm_jax
from vgm_jax.data.sources import make_source
from vgm_jax.data.text import split_words
from vgm_jax.evaluation.compare import compare
from vgm_jax.evaluation.features import embed
from vgm_jax.inference.generator import BLEND, CHUNK, GeneratorModel
from vgm_jax.inference.zoo import find_run
from vgm_jax.training import runtime
from vgm_jax.training.memory import use_huge_pages
from vgm_jax.training.workdir import read_config

HERE = Path(__file__).parent
MODEL = "emoji"
FRAMES = 10_000  # of the stream
PART = 1000  # frames at its beginning and at its end that are compared
FIRST = 64  # frames that are not timed: programs are compiled for them
FADES = 20  # changes of what is asked for that are timed
STREAMS = 256  # whose frames are compared
NETWORK = "efficientnet"


def resident() -> float:
    """MiB of this process in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), platform.processor())


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds that a call takes, and what it gives."""
    begun = time.perf_counter()
    found = call()
    return 1e3 * (time.perf_counter() - begun), found


def figures(taken: np.ndarray) -> dict[str, float]:
    """Of milliseconds [N] that each frame took, one after another."""
    return {
        "frames": len(taken),
        "frames_per_second": 1e3 * len(taken) / float(taken.sum()),
        "ms_median": float(np.median(taken)),
        "ms_p95": float(np.percentile(taken, 95)),
        "ms_p99": float(np.percentile(taken, 99)),
        "ms_most": float(taken.max()),
    }


def same(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """How alike frames uint8 [N H W 3] are that were computed in two ways."""
    apart = np.abs(a.astype(int) - b)
    return {"bytes_equal": float(np.mean(apart == 0)), "most_apart": int(apart.max())}


def played(model: GeneratorModel, text: str, at_once: int) -> dict[str, Any]:
    """One stream, frame by frame, as a caller gets it: how long each `next` takes, and memory along it.

    The frames of its end are held against those of a stream that begins there.
    """
    stream = model.stream(0, text=text, at_once=at_once)
    for _ in range(FIRST):
        frame = next(stream)
    taken, memory = np.zeros(FRAMES), {}
    last = np.ones((PART, *frame.shape), np.uint8)  # in memory before that is looked at
    for i in range(FRAMES):
        taken[i], frame = timed(lambda: next(stream))
        if i >= FRAMES - PART:
            last[i - FRAMES + PART] = frame
        if i + 1 in (PART, FRAMES):
            memory[f"mib_after_{i + 1}_frames"] = resident()
    state = model.stream(0, text=text).state._replace(done=FIRST + FRAMES - PART)
    jumped = []
    while len(jumped) < PART:
        state, frames = model.advance(state, model.fps)
        jumped += list(frames)
    return figures(taken) | memory | {"played_and_jumped_to": same(last, np.stack(jumped[:PART]))}


def fading(model: GeneratorModel, texts: list[str]) -> dict[str, float]:
    """Frames of a stream while something else fades in, and the one after; and what asking for it takes."""
    stream, taken, asking = model.stream(0, text=texts[0]), [], []
    for i, text in enumerate(itertools.islice(itertools.cycle(texts[1:]), FADES + 1)):
        next(stream)
        asked, _ = timed(lambda text=text: stream.ask(text=text))
        frames = [timed(lambda: next(stream))[0] for _ in range(round(BLEND * model.fps) + 1)]
        if i:  # the first compiles
            asking, taken = [*asking, asked], [*taken, *frames]
    return figures(np.array(taken)) | {"asking_ms_median": float(np.median(asking))}


def batched(model: GeneratorModel, rows: int = 16) -> dict[str, float]:
    """Streams of so many samples against the same ones, made all at once by one program; asked by nothing."""
    key, task = jax.random.key(0), model._task
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(np.arange(rows))
    times = np.tile(np.arange(model.frames, dtype=np.float32) / np.float32(model.fps), (rows, 1))
    offline = np.asarray(task.generate(model._params, keys, times))
    streams = [list(model.stream(0, i, model.frames)) for i in range(rows)]
    return same(np.array(streams), offline)


def frames_of(model: GeneratorModel, texts: list[str], first: int) -> np.ndarray:
    """Two frames of a stream of each text, from its `PART` frames after `first` on: uint8 [N 2 H W 3].

    Any moment of a stream is computed by itself: `played` says whether those before it change anything.
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
    parts = {
        "one at a time": lambda: played(model, texts[0], 1),
        f"{CHUNK} at once": lambda: played(model, texts[0], CHUNK),
        "while another text fades in": lambda: fading(model, texts),
        "streamed and made in a batch": lambda: batched(model),
    }
    result: dict[str, Any] = {}
    for name, part in parts.items():
        result[name] = part()
        print(name, json.dumps(result[name], indent=1), flush=True)
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
        "processor": processor(),
        "cores": os.cpu_count(),
        "jax": jax.__version__,
        "version": vgm_jax.__version__,
    }
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "streaming.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    use_huge_pages()
    main()
