"""What generators of real footage show, by words or by a class, and how near that is to real clips.

python experiments/real_footage/run.py runs/emoji_text --data DIR
python experiments/real_footage/run.py runs/procgen --data DIR
python experiments/real_footage/run.py emoji --name emoji_text --data DIR --sheet     # the picture alone

DIR is what experiments/datasets made; a workdir may also be a name of the zoo.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import vgm_jax
from vgm_jax.data.lettering import captioned
from vgm_jax.data.media import strip, write_image
from vgm_jax.data.sources.tfds import Tfds
from vgm_jax.evaluation.damages import DAMAGES
from vgm_jax.evaluation.evaluator import assess
from vgm_jax.evaluation.look import PIXELS, Look, Looker, together
from vgm_jax.inference.generator import GeneratorModel
from vgm_jax.training import runtime

HERE = Path(__file__).parent
NETWORKS = ("transnet", "efficientnet")
ROWS = 16  # clips that are made, or looked at, at once
SHOWN = 20  # clips in the picture, which stays below a megabyte
KNOWN = 3000  # training clips that samples might be copies of


class Footage:
    """A data set, opened at a model's size, length and rate."""

    def __init__(self, data: Path, model: GeneratorModel, size: int):
        self.sources = {
            split: Tfds(data, split, size=size, frames=model.frames, fps=model.fps)
            for split in ("train", "validation", "test")
        }

    def spread(self, split: str, count: int) -> np.ndarray:
        """Indices of `count` clips of a split, or of all, evenly spaced."""
        length = len(self.sources[split])
        return np.unique(np.linspace(0, length - 1, min(count, length)).astype(int))

    def clips(self, split: str, indices: np.ndarray) -> np.ndarray:
        return np.stack([self.sources[split][int(i)]["video"] for i in indices])


def seen(looker: Looker, clips: np.ndarray) -> Look:
    return together([looker(clips[i : i + ROWS]) for i in range(0, len(clips), ROWS)])


def made(model: GeneratorModel, count: int, key: int = 1000, **asked: list) -> np.ndarray:
    """So many clips, one for each thing asked for where something is, each of another key."""
    found = []
    for first in range(0, count, ROWS):
        part = {name: values[first : first + ROWS] for name, values in asked.items()}
        n = min(ROWS, count - first)
        found.append(model.sample(key=key + first, n=n, frames=model.frames, fps=model.fps, **part))
    return np.concatenate(found)


def likeness(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances [N M] of clips' mean features [N R F] and [M R F]."""
    a, b = a.mean(1, dtype=np.float64), b.mean(1, dtype=np.float64)
    return np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T


def by_words(
    model: GeneratorModel, footage: Footage, split: str, count: int, looker: Looker
) -> dict[str, Any]:
    """How many of the clips made by captions are nearer to their caption's real clip than to another's.

    Words that training never had are left out of a caption; of which none is left, is not asked for.
    """
    source, vocabulary = footage.sources[split], model.listener.vocabulary
    wanted, asked, whole = [], [], 0
    for i in footage.spread(split, count):
        words = source.caption(int(i)).split()
        known = [word for word in words if not vocabulary.unknown(word)]
        if known:
            wanted, asked = [*wanted, i], [*asked, " ".join(known)]
            whole += len(known) == len(words)
    real = seen(looker, footage.clips(split, np.array(wanted)))["efficientnet"]
    fake = seen(looker, made(model, len(asked), text=asked))["efficientnet"]
    apart = likeness(fake, real)
    captions = np.array([source.caption(int(i)) for i in wanted])
    rng = np.random.default_rng(0)
    other = np.array([rng.choice(np.flatnonzero(captions != c)) for c in captions])
    rows = np.arange(len(wanted))
    nearer = apart[rows, rows] < apart[rows, other]
    mixed = rng.permutation(len(rows))  # as if each had been made by another's caption
    control = apart[mixed, rows] < apart[mixed, other]
    alike = captions[:, None] == captions
    best = np.where(alike, apart, np.inf).min(1) <= apart.min(1)
    return {
        "captions": len(rows),
        "of which all words are known": int(whole),
        "nearer to its own than to a random other's": round(float(nearer.mean()), 4),
        "the same, captions shuffled": round(float(control.mean()), 4),
        "nearest of all to its own": round(float(best.mean()), 4),
    }


def by_class(model: GeneratorModel, footage: Footage, count: int, looker: Looker) -> dict[str, Any]:
    """How many of the clips made by a class are of it, by the nearest class mean of training clips."""
    names = footage.sources["train"].class_names()

    def labelled(split: str) -> tuple[np.ndarray, np.ndarray]:
        indices = footage.spread(split, count)
        labels = np.array([footage.sources[split][int(i)]["label"] for i in indices])
        return seen(looker, footage.clips(split, indices))["efficientnet"], labels

    rows, labels = labelled("train")
    means = np.stack([rows[labels == c].mean((0, 1)) for c in range(len(names))])[:, None]
    test, truth = labelled("test")
    wanted = np.arange(count // 2) % len(names)
    fake = seen(looker, made(model, len(wanted), label=[int(c) for c in wanted]))["efficientnet"]
    found = likeness(fake, means).argmin(1)
    return {
        "clips": len(wanted),
        "of its class": round(float(np.mean(found == wanted)), 4),
        "real test clips": round(float(np.mean(likeness(test, means).argmin(1) == truth)), 4),
        "chance": round(1 / len(names), 4),
        "by class": {n: round(float(np.mean(found[wanted == c] == c)), 3) for c, n in enumerate(names)},
    }


def fidelity(model: GeneratorModel, footage: Footage, count: int) -> dict[str, Any]:
    """Distances of samples to held-out clips, beside those of other real clips, and the checks."""
    held = [(s, footage.spread(s, count)) for s in ("validation", "test")]
    real = np.concatenate([footage.clips(s, indices) for s, indices in held])
    order = np.random.default_rng(0).permutation(len(real))
    real = real[order][:count]
    looker = Looker((*NETWORKS, *PIXELS))
    shuffled = np.concatenate(
        [DAMAGES["shuffled"](real[i : i + 1], 0, np.array([i])) for i in range(len(real))]
    )
    known = seen(Looker(PIXELS), footage.clips("train", footage.spread("train", KNOWN)))
    fake = seen(looker, made(model, len(real), key=0))
    result = assess(seen(looker, real), fake, None, seen(looker, shuffled), known)
    rounded = {k: {n: round(float(v), 4) for n, v in result[k].items()} for k in ("distances", "checks")}
    anchors = {a: {n: round(float(v), 4) for n, v in x.items()} for a, x in result["anchors"].items()}
    return {"clips": len(real)} | rounded | {"anchors": anchors, "warnings": result["warnings"]}


def sheet(path: Path, footage: Footage, model: GeneratorModel, told: str) -> None:
    """Real clips evenly chosen, each beside one that the caption or class below gave; unpicked."""
    source, indices = footage.sources["train"], footage.spread("train", SHOWN)
    real = footage.clips("train", indices)
    if told == "text":
        asked = [source.caption(int(i)) for i in indices]
        names = asked
    else:
        asked = [int(source[int(i)]["label"]) for i in indices]
        names = [source.class_names()[c] for c in asked]
    fake = made(model, len(asked), **{told: asked})
    rows = []
    for i, name in enumerate(names):
        row = np.concatenate([strip(clips[i : i + 1], 5) for clips in (real, fake)], 1)
        rows.append(captioned(row[None], [(name, (0, 0, 0))], rows=1)[0])
    half = len(rows) // 2
    write_image(path, np.concatenate([np.concatenate(rows[i : i + half]) for i in (0, half)], 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a workdir, or a name of the zoo")
    parser.add_argument("--data", type=Path, required=True, help="what experiments/datasets made")
    parser.add_argument("--name", default="", help="of the result; default: the model's")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--count", type=int, default=512, help="clips of a figure")
    parser.add_argument("--sheet", action="store_true", help="make the picture alone")
    args = parser.parse_args()
    runtime.start()
    model = vgm_jax.load(args.model)
    footage = Footage(args.data, model, args.size)
    name = args.name or Path(args.model).name
    told = model.conditions[0]
    (HERE / "results").mkdir(exist_ok=True)
    looker = Looker(("efficientnet",))
    result: dict[str, Any] = {"step": model.step}
    sheet(HERE / "results" / f"{name}.png", footage, model, told)
    if args.sheet:
        return
    if told == "text":
        for split in ("train", "test"):
            result[f"by words of {split}"] = by_words(model, footage, split, args.count, looker)
    else:
        result["by class"] = by_class(model, footage, args.count, looker)
    result["unasked"] = fidelity(model, footage, args.count)
    (HERE / "results" / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
