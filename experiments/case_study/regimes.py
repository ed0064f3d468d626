"""What a classifier is given to learn from: draws of labelled vectors, some classes scarce or not there."""

import dataclasses
from pathlib import Path

import numpy as np

LABELLED = 5000  # vectors of a balanced draw
RATIO = 50  # of the most to the least numerous class of a long tail
SHOTS = 5
REGIMES = ("balanced", "long-tailed", "5-shot", "unseen")
TUNING = 1000  # seeds from here on are for choosing; under it, for the test set


@dataclasses.dataclass(frozen=True)
class Pool:
    """Vectors of a data set. `train` is drawn from; the others are judged on.

    Attributes:
      vectors, labels: name of split -> float32 [N D], int [N].
      attributes: float32 [C A], what each class is like.
      classes: their names.
      parts: name -> columns of a vector that are of this modality.
    """

    vectors: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    attributes: np.ndarray
    classes: tuple[str, ...]
    parts: dict[str, slice]

    @classmethod
    def read(cls, path: Path) -> "Pool":
        """Of a file that `extraction` wrote."""
        with np.load(path, allow_pickle=False) as saved:
            names = ("train", "validation", "test")
            edges = saved["edges"].tolist()
            parts = {
                n: slice(a, b) for n, a, b in zip(saved["parts"].tolist(), edges, edges[1:], strict=False)
            }
            return cls(
                {name: saved[f"{name}_vectors"] for name in names},
                {name: saved[f"{name}_labels"].astype(int) for name in names},
                saved["attributes"],
                tuple(saved["classes"].tolist()),
                parts,
            )


@dataclasses.dataclass(frozen=True)
class Draw:
    """Training vectors, of mean 0 and, each modality by one scale, mean square 1: [N D], int [N].

    held, held_labels: what is judged, likewise. mean, deviation: [D], by which that was done.
    seen: bool [C], classes that have a training vector. told: bool [C], classes that there are: of the others
    nothing is drawn or judged.
    """

    vectors: np.ndarray
    labels: np.ndarray
    held: np.ndarray
    held_labels: np.ndarray
    seen: np.ndarray
    told: np.ndarray
    attributes: np.ndarray
    parts: dict[str, slice]
    mean: np.ndarray
    deviation: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """int [C], training vectors of each class."""
        return np.bincount(self.labels, minlength=len(self.seen))


def hidden(attributes: np.ndarray, part: int, parts: int = 4) -> np.ndarray:
    """bool [C]: one of `parts` groups of classes, each of C / parts at most, drawn once and for all.

    A class is in one only where each of its attributes is to be seen in a class that is in none up to this.
    """
    have = np.asarray(attributes) > 0
    found, taken = np.zeros(len(have), bool), np.zeros(len(have), bool)
    order = np.random.default_rng(2018).permutation(len(have))
    for group in range(part + 1):
        found = np.zeros(len(have), bool)
        for label in order:
            without = ~(found | taken)
            without[label] = False
            covered = (have[without].sum(0) > 0) | ~have[label]
            if found.sum() < len(have) // parts and not taken[label] and covered.all():
                found[label] = True
        if group < part:
            taken |= found
    return found


def sizes(regime: str, classes: int, order: np.ndarray) -> np.ndarray:
    """int [C], vectors of each class; `order` [C], a permutation, says which are the numerous ones."""
    most = LABELLED // classes
    if regime == "5-shot":
        return np.full(classes, SHOTS)
    if regime == "long-tailed":  # exponential, as in arXiv 1901.05555, sec. 5.1
        found = np.empty(classes, int)
        found[order] = np.maximum(1, np.round(most * RATIO ** -np.linspace(0, 1, classes)))
        return found
    return np.full(classes, most)


def draw(pool: Pool, regime: str, seed: int) -> Draw:
    """The training vectors of a seed; judged on validation where the seed is for choosing, else on test.

    Of unseen classes there are two groups: one for choosing, when those of the other are left out altogether,
    and one for the test set, when those of the first are seen as all others.
    Raises ValueError where the pool has too few vectors of a class.
    """
    classes, rng = len(pool.classes), np.random.default_rng([seed, REGIMES.index(regime)])
    choosing = seed >= TUNING
    told, seen = np.ones(classes, bool), np.ones(classes, bool)
    if regime == "unseen":
        final = hidden(pool.attributes, 0)
        told = ~final if choosing else told
        seen = told & ~(hidden(pool.attributes, 1) if choosing else final)
    wanted, labels, rows = sizes(regime, classes, rng.permutation(classes)), pool.labels["train"], []
    for label in np.flatnonzero(seen):
        there = np.flatnonzero(labels == label)
        if len(there) < wanted[label]:
            raise ValueError(
                f"{pool.classes[label]}: {len(there)} vectors, {regime} needs {wanted[label]}; extract more"
            )
        rows.append(rng.permutation(there)[: wanted[label]])
    rows = np.concatenate(rows)
    split = "validation" if choosing else "test"
    judged = told[pool.labels[split]]
    vectors = pool.vectors["train"][rows]
    mean, deviation = vectors.mean(0), np.ones(vectors.shape[1])
    for columns in pool.parts.values():  # one scale a modality: which of its components are large says much
        deviation[columns] = max(float(np.sqrt(vectors[:, columns].var(0).mean())), 1e-6)
    return Draw(
        ((vectors - mean) / deviation).astype(np.float32),
        labels[rows],
        ((pool.vectors[split][judged] - mean) / deviation).astype(np.float32),
        pool.labels[split][judged],
        seen,
        told,
        pool.attributes,
        pool.parts,
        mean,
        deviation,
    )
