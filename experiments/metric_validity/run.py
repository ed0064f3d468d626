"""Which figure, in which network, sees which known damage; and how figures vary with the number of clips.

python experiments/metric_validity/run.py --cache CACHE [--dataset shapeshow] [--networks random transnet]
python experiments/metric_validity/run.py --cache CACHE --dataset coinrun --path COINRUN

About 40 minutes a data set on two cores, most of it in the features of transnet. CACHE keeps them: a run that
was killed continues where it was. COINRUN is made by experiments/datasets. Networks that are in the
results already are not studied again.
"""

import argparse
import json
import re
import time
from pathlib import Path

import numpy as np

from vgm_jax.data.sources import SOURCES
from vgm_jax.evaluation.clips import ClipSet, choose
from vgm_jax.evaluation.compare import compare
from vgm_jax.evaluation.damages import DAMAGES, half_modes
from vgm_jax.evaluation.features import network
from vgm_jax.evaluation.look import look

from draw import figure, tables  # isort: skip

HERE = Path(__file__).parent
NETWORKS = {
    "shapeshow": ("transnet", "efficientnet", "oracle", "arrow-shapeshow", "random"),
    "coinrun": ("transnet", "efficientnet", "arrow-coinrun", "random"),
}
METRICS = ("frechet", "kernel", "precision", "recall", "density", "coverage")
COUNTS = (256, 512, 1024, 2048, 4096)  # clips on each side
CHUNK = 512  # clips that are embedded before they are kept
SEED = 0


def clean_clips(dataset: str, path: str, count: int) -> ClipSet:
    """Held-out clips, in a random order that is always the same."""
    if dataset == "shapeshow":
        source = SOURCES["shapeshow"]("test", size=32, frames=16, fps=16.0)
    else:
        source = SOURCES["arrays"]("test", path=path, size=64, frames=16, fps=15.0)
    clips = choose(dataset, source, count, seed=SEED)
    if len(clips) < count:
        raise SystemExit(f"{dataset} has {len(clips)} test clips, {count} were asked for (--pool)")
    return clips


def features(clips: ClipSet, name: str, cache: Path, damage: str = "") -> np.ndarray:
    """[N R F], from the cache where they are there."""
    parts = []
    for i in range(0, len(clips), CHUNK):
        start = time.time()
        part = clips.part(i, min(i + CHUNK, len(clips)))
        parts.append(look(part, (name,), damage=damage, seed=SEED + i, cache=cache)[name])
        print(f"  {damage or 'clean'} {i + len(part)}/{len(clips)}: {time.time() - start:.1f} s", flush=True)
    return np.concatenate(parts)


def figures(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    found = compare(real, fake)
    return {name: found[name] for name in METRICS}


def spread(clean: np.ndarray, clips: int, pairs: int) -> dict[str, list[float]]:
    """Figures of `pairs` random pairs of disjoint sets of clean clips."""
    rng, values = np.random.default_rng(SEED), []
    for _ in range(pairs):
        order = rng.permutation(len(clean))
        values.append(figures(clean[order[:clips]], clean[order[clips : 2 * clips]]))
    return {name: [value[name] for value in values] for name in METRICS}


def judge(value: float, real: list[float]) -> dict[str, float]:
    """How far a figure is from those of clean clips: in their standard deviations, and as a multiple."""
    mean, deviation = float(np.mean(real)), float(np.std(real, ddof=1))
    return {
        "value": value,
        "z": (value - mean) / max(deviation, 1e-12),
        "ratio": value / mean if mean else 0.0,
    }


def study(name: str, clips: ClipSet, labels: np.ndarray | None, flags: argparse.Namespace) -> dict:
    """All figures of one network on one data set."""
    net, n = network(name), flags.clips
    clean = features(clips, name, flags.cache)
    a, b = clean[:n], clips.part(n, 2 * n)
    real = spread(clean, n, flags.pairs)
    damaged = {damage: features(b, name, flags.cache, damage) for damage in DAMAGES}
    if labels is not None:
        damaged["half_modes"] = clean[n:][half_modes(labels[n:], n, SEED)]
    found = {damage: figures(a, rows) for damage, rows in {"none": clean[n : 2 * n], **damaged}.items()}
    by_count = {}
    for count in COUNTS:
        if 2 * count <= len(clean):
            values = spread(clean, count, flags.seeds)
            by_count[str(count)] = {metric: values[metric] for metric in ("frechet", "kernel")}
    return {
        "weights": net.weights,
        "settings": dict(net.settings),
        "rows_per_clip": clean.shape[1],
        "features": clean.shape[2],
        "clips": n,
        "pool": len(clean),
        "real_vs_real": real,
        "damages": {d: {m: judge(v[m], real[m]) for m in METRICS} for d, v in found.items()},
        "by_count": by_count,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--cache", type=Path, required=True, help="folder for features, outside the repository"
    )
    parser.add_argument("--dataset", choices=NETWORKS, default="shapeshow")
    parser.add_argument("--path", default="", help="folder of coinrun's test.npy")
    parser.add_argument("--networks", nargs="+", default=(), help="only these; default: all of the data set")
    parser.add_argument("--again", action="store_true", help="also networks that the results have already")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--clips", type=int, default=1024, help="on each side")
    parser.add_argument("--pool", type=int, default=4096, help="clean clips that pairs are drawn from")
    parser.add_argument("--pairs", type=int, default=12, help="real against real, for the spread")
    parser.add_argument("--seeds", type=int, default=8, help="real against real, at every number of clips")
    flags = parser.parse_args()
    if flags.pool < 2 * flags.clips:
        parser.error(f"--pool {flags.pool} must be at least twice --clips {flags.clips}")

    clips = clean_clips(flags.dataset, flags.path, flags.pool)
    labels = None
    if flags.dataset == "shapeshow":
        labels = np.array([clips.source[int(i)]["label"] for i in clips.indices])
    flags.results.mkdir(parents=True, exist_ok=True)
    file = flags.results / f"{flags.dataset}.json"
    result = json.loads(file.read_text()) if file.exists() else {"networks": {}}
    result |= {"dataset": flags.dataset, "clips": dict(clips.description)}
    for name in flags.networks or NETWORKS[flags.dataset]:
        if name in result["networks"] and not flags.again:
            continue
        print(f"{flags.dataset}, {name}", flush=True)
        start = time.time()
        result["networks"][name] = study(name, clips, labels, flags)
        result["networks"][name]["seconds"] = round(time.time() - start, 1)
        file.write_text(json.dumps(result, indent=1) + "\n")

    results = [json.loads(f.read_text()) for f in sorted(flags.results.glob("*.json"), reverse=True)]
    figure(results, flags.results / "by_count.png")
    text = tables(results)
    print(text)
    if flags.results == HERE / "results":
        readme = HERE / "README.md"
        kept = re.sub(
            r"(<!-- tables -->\n).*(<!-- end -->)",
            lambda m: m[1] + text + m[2],
            readme.read_text(),
            flags=re.S,
        )
        readme.write_text(kept)


if __name__ == "__main__":
    main()
