"""Clips -> vectors by the library's frozen networks, once: a file a data set, outside the repository."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from regimes import hidden

from vgm_jax.data.embedded import Embedded
from vgm_jax.data.files import in_one_piece
from vgm_jax.data.sources.shapeshow import COLOURS, MOTIONS, SHAPES, SOUNDS, ShapeShow
from vgm_jax.data.sources.tfds import Tfds
from vgm_jax.data.text import split_words
from vgm_jax.inference import load
from vgm_jax.tasks import build
from vgm_jax.tasks.vectors import Vectors

CLIPS = {
    "train": 10_000,
    "validation": 1_200,
    "test": 2_400,
}  # the pool that draws are from; what is judged on
FRAMES = 16
COMPONENTS = 128  # principal ones that are kept of a modality's vectors
PICTURE = "arrow-shapeshow"  # of ShapeShow; it has seen no label
WORDS = tuple(sorted({word for name in (*SHAPES, *COLOURS, *MOTIONS.values()) for word in split_words(name)}))
KEPT = 0.25  # chance of a word of a caption: all of them would tell the class
GENERATED = 200  # clips of each motion by the video generator
REAL = "efficientnet"  # of Procgen
# What Procgen's games are like (arXiv 1912.01588, app. A), as one sees them.
LIKE = (
    "side view,gravity,platforms,camera follows,forced scroll,maze,grid,whole level shown,shoots,"
    "enemies move,collects,goal,space,water,vehicles,spikes,turns,eats"
).split(",")
GAMES = {
    "bigfish": "side view,whole level shown,enemies move,water,eats",
    "bossfight": "whole level shown,shoots,enemies move,space",
    "caveflyer": "camera follows,shoots,enemies move,goal,space,turns",
    "chaser": "maze,grid,whole level shown,enemies move,collects,eats",
    "climber": "side view,gravity,platforms,camera follows,enemies move,collects",
    "coinrun": "side view,gravity,platforms,camera follows,enemies move,goal,spikes",
    "dodgeball": "maze,whole level shown,shoots,enemies move,goal",
    "fruitbot": "forced scroll,collects,goal,shoots",
    "heist": "maze,grid,whole level shown,collects,goal",
    "jumper": "side view,gravity,platforms,camera follows,goal,spikes",
    "leaper": "grid,whole level shown,enemies move,goal,water,vehicles",
    "maze": "maze,grid,whole level shown,goal",
    "miner": "grid,gravity,whole level shown,collects,goal",
    "ninja": "side view,gravity,platforms,camera follows,shoots,goal",
    "plunder": "whole level shown,shoots,enemies move,water,vehicles",
    "starpilot": "side view,forced scroll,shoots,enemies move,space",
}


def shapeshow(out: Path, report: Callable[[str], None] = print) -> None:
    """48 classes, motion and sound; picture, sound, and what is left of the caption's words, in one vector.

    And vectors of generated clips, of each motion.
    """
    vectors = Vectors(f"{PICTURE},sound", FRAMES, build)
    picture = Vectors(PICTURE, FRAMES, build)
    arrays = {}
    for split, count in CLIPS.items():
        source = ShapeShow(split, frames=FRAMES, audio=True, label="both")
        found = Embedded(source, vectors, count, report)
        words = np.stack([heard_words(source.caption(int(i)), split, int(i)) for i in found.indices])
        arrays[f"{split}_vectors"] = np.concatenate([found.features, words], 1)
        arrays[f"{split}_labels"] = found.labels
    motion, sound = np.divmod(np.arange(len(MOTIONS) * len(SOUNDS)), len(SOUNDS))
    attributes = np.concatenate([np.eye(len(MOTIONS))[motion], np.eye(len(SOUNDS))[sound]], 1)
    names = source.class_names()
    arrays["generated"] = generated(picture, report)
    widths = (picture.size, vectors.size - picture.size, len(WORDS))
    save(out, arrays, attributes, names, {"picture": widths[0], "sound": widths[1], "words": widths[2]})


def heard_words(caption: str, split: str, index: int) -> np.ndarray:
    """float32 [WORDS]: 1 for each word of the caption that is left; which are depends on the clip alone."""
    rng = np.random.default_rng([index, *split.encode()])
    there = np.isin(WORDS, split_words(caption))
    return (there & (rng.random(len(WORDS)) < KEPT)).astype(np.float32)


def generated(picture: Vectors, report: Callable[[str], None]) -> np.ndarray:
    """float32 [motions GENERATED D]: vectors of clips of the zoo's generator, asked for by motion."""
    model, rows = load("shapeshow"), []
    for label, name in enumerate(MOTIONS):
        clips = model.sample(key=label, n=GENERATED, frames=FRAMES, fps=16.0, label=name)
        rows.append(picture.of_windows({"video": clips}, 16.0))
        report(f"generated {label + 1} of {len(MOTIONS)} motions")
    return np.stack(rows).astype(np.float32)


def procgen(out: Path, path: Path, report: Callable[[str], None] = print) -> None:
    """16 classes, the games; picture alone, for there is nothing else."""
    vectors, arrays = Vectors(REAL, FRAMES, build), {}
    for split, count in CLIPS.items():
        source = Tfds(path=path, split=split, size=64, frames=FRAMES, fps=15.0)
        found = Embedded(source, vectors, count, report)
        arrays[f"{split}_vectors"], arrays[f"{split}_labels"] = found.features, found.labels
    names = source.class_names()
    attributes = np.array([[like in GAMES[name].split(",") for like in LIKE] for name in names], np.float32)
    save(out, arrays, attributes, names, {"picture": vectors.size})


def save(
    out: Path, arrays: dict, attributes: np.ndarray, names: tuple[str, ...], widths: dict[str, int]
) -> None:
    """A file that `regimes.Pool` reads, whole or not at all; of long vectors their principal components."""
    arrays, widths = reduced(arrays, attributes, widths)
    out.parent.mkdir(parents=True, exist_ok=True)
    about = {"attributes": attributes.astype(np.float32), "classes": np.array(names)}
    about |= {"parts": np.array(list(widths)), "edges": np.cumsum([0, *widths.values()])}
    with in_one_piece(out) as part, part.open("wb") as file:
        np.savez(file, **arrays, **about)


def reduced(
    arrays: dict, attributes: np.ndarray, widths: dict[str, int]
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Arrays and widths with no modality wider than `COMPONENTS`.

    Components are of the pool's training vectors, without labels, and without those of classes that any study
    of unseen classes hides.
    """
    known = ~(hidden(attributes, 0) | hidden(attributes, 1))[arrays["train_labels"]]
    edges, splits = np.cumsum([0, *widths.values()]), [f"{split}_vectors" for split in CLIPS]
    found, after = {name: [] for name in splits}, {}
    rest = {name: value for name, value in arrays.items() if name not in splits}
    for name, first, last in zip(widths, edges, edges[1:], strict=False):
        own = {split: arrays[split][:, first:last] for split in splits}
        after[name] = min(COMPONENTS, int(last - first))
        mean, basis = np.zeros(last - first), np.eye(last - first)
        if last - first > COMPONENTS:
            learnt = own["train_vectors"][known].astype(np.float64)
            mean = learnt.mean(0)
            basis = np.linalg.eigh(np.cov(learnt.T))[1][:, : -COMPONENTS - 1 : -1]
        for split, value in own.items():
            found[split].append(((value - mean) @ basis).astype(np.float32))
        if name == "picture" and "generated" in rest:
            rest["generated"] = ((rest["generated"] - mean) @ basis).astype(np.float32)
    return rest | {split: np.concatenate(parts, 1) for split, parts in found.items()}, after
