"""Ways to make more of few labelled vectors, none of which trains a network.

Each takes a `regimes.Draw` and how many vectors of each class are wanted, int [C], and gives vectors
float32 [M D] and labels int [M]; M may be less, where it can make nothing of a class.
"""

import numpy as np
from regimes import Draw

NEIGHBOURS = 5
OWN = 50  # vectors of a class from which on its own covariance counts more than the classes' mean one
RIDGE = 1e-2  # of the regression of classes' means on attributes

Made = tuple[np.ndarray, np.ndarray]


def missing(counts: np.ndarray, told: np.ndarray, fill: float) -> np.ndarray:
    """int [C]: how many of each class, so that all that are told have `fill` times the largest one's."""
    wanted = np.maximum(0, np.round(fill * counts.max()).astype(int) - counts)
    return np.where(told, wanted, 0)


def class_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """[N], inverse to the class's number of vectors, with a mean of one."""
    counts = np.bincount(labels, minlength=classes)
    return len(labels) / (counts > 0).sum() / counts[labels]


def mixup(vectors: np.ndarray, labels: np.ndarray, classes: int, alpha: float, rng) -> Made:
    """As many mixed vectors as there are, and their labels float [N C] (arXiv 1710.09412, sec. 2)."""
    share = rng.beta(alpha, alpha, len(vectors))[:, None]
    other, targets = rng.permutation(len(vectors)), np.eye(classes)[labels]
    mixed = share * vectors + (1 - share) * vectors[other]
    return mixed.astype(np.float32), (share * targets + (1 - share) * targets[other]).astype(np.float32)


def smote(drawn: Draw, wanted: np.ndarray, rng) -> Made:
    """Between a vector and one of its nearest of the class (SMOTE, JAIR 2002, arXiv 1106.1813, sec. 4.2).

    Nothing of a class without vectors; of one with a single vector, that one again.
    """
    made, labels = [], []
    for label in np.flatnonzero((wanted > 0) & drawn.seen):
        own = drawn.vectors[drawn.labels == label]
        near = neighbours(own, NEIGHBOURS)
        first = rng.integers(0, len(own), wanted[label])
        second = near[first, rng.integers(0, near.shape[1], wanted[label])] if near.shape[1] else first
        part = rng.random((wanted[label], 1)).astype(np.float32)
        made.append(own[first] + part * (own[second] - own[first]))
        labels.append(np.full(wanted[label], label))
    return joined(drawn, made, labels)


def neighbours(vectors: np.ndarray, count: int) -> np.ndarray:
    """int [N K]: the K nearest others of each, by Euclidean distance; K is `count`, or all others."""
    squares = np.square(vectors).sum(1)
    apart = squares[:, None] + squares - 2 * vectors @ vectors.T
    np.fill_diagonal(apart, np.inf)
    return np.argsort(apart, 1, kind="stable")[:, : min(count, len(vectors) - 1)]


def gaussian(drawn: Draw, wanted: np.ndarray, rng) -> Made:
    """Normal, class by class: its own mean, and a covariance shrunk to the mean one of all classes.

    a S_c + (1 - a) S, a = n / (n + OWN), S_c and S with divisor n. The mean of a class that was never seen is
    a ridge regression's on its attributes, and a = 0.
    """
    means = predicted_means(drawn)
    for label in np.flatnonzero(drawn.seen):
        means[label] = drawn.vectors[drawn.labels == label].mean(0)
    spread = drawn.vectors - means[drawn.labels]
    made, labels = [], []
    for label in np.flatnonzero(wanted):
        own, count = spread[drawn.labels == label], wanted[label]
        part = len(own) / (len(own) + OWN)
        # Sums of deviations with normal weights are normal with just that covariance: nothing is decomposed.
        vectors = np.sqrt(1 - part) * normal(spread, count, rng)
        if len(own):
            vectors += np.sqrt(part) * normal(own, count, rng)
        made.append(means[label] + vectors)
        labels.append(np.full(count, label))
    return joined(drawn, made, labels)


def normal(deviations: np.ndarray, count: int, rng) -> np.ndarray:
    """[count D], normal of mean 0 and covariance deviations' [N D] transposed times themselves, over N."""
    weights = rng.standard_normal((count, len(deviations)), np.float32)
    return weights @ deviations / np.float32(np.sqrt(len(deviations)))


def predicted_means(drawn: Draw) -> np.ndarray:
    """float32 [C D]: ridge regression of the seen classes' means on attributes and a constant."""
    seen = np.flatnonzero(drawn.seen)
    means = np.stack([drawn.vectors[drawn.labels == label].mean(0) for label in seen])
    inputs = np.concatenate([drawn.attributes, np.ones((len(drawn.attributes), 1))], 1)
    known = inputs[seen]
    penalty = RIDGE * np.diag([1.0] * (inputs.shape[1] - 1) + [1e-6])
    return (inputs @ np.linalg.solve(known.T @ known + penalty, known.T @ means)).astype(np.float32)


def video(drawn: Draw, wanted: np.ndarray, rng, pictures: np.ndarray, kinds: np.ndarray) -> Made:
    """Pictures of a video generator's clips, beside the other modalities of a training vector.

    That is one of the same class, or, where there is none, for each modality one of a class that shares the
    part of the label that is heard, or read.

    Args:
      pictures: [kinds G D'], vectors of generated clips of each kind of motion, standardised as the draw's.
      kinds: int [C 2], motion and sound of each class.
    """
    made, labels = [], []
    for label in np.flatnonzero(wanted):
        count = wanted[label]
        rows = {}
        for name, part in (("sound", 1), ("words", 0)):
            own = np.flatnonzero(drawn.labels == label)
            alike = np.flatnonzero(kinds[drawn.labels, part] == kinds[label, part])
            rows[name] = own if len(own) else alike
        if not all(len(found) for found in rows.values()):
            continue
        vectors = np.empty((count, drawn.vectors.shape[1]), np.float32)
        shown = pictures[kinds[label, 0]]
        vectors[:, drawn.parts["picture"]] = shown[rng.integers(0, len(shown), count)]
        for name, found in rows.items():
            columns = drawn.parts[name]
            vectors[:, columns] = drawn.vectors[rng.choice(found, count)][:, columns]
        made.append(vectors)
        labels.append(np.full(count, label))
    return joined(drawn, made, labels)


def joined(drawn: Draw, made: list[np.ndarray], labels: list[np.ndarray]) -> Made:
    if not made:
        return np.zeros((0, drawn.vectors.shape[1]), np.float32), np.zeros(0, int)
    return np.concatenate(made).astype(np.float32), np.concatenate(labels)
