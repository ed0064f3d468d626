"""Shots of a film, found while it is read: TransNet V2 looks at small frames in windows that overlap.

Soucek and Lokoc, arXiv 2008.04838. As its authors do, a window of 100 frames tells of the 50 in its middle,
the film's ends are continued by its first and last frame, and a frame belongs to a transition where its
probability is over a half. Unlike theirs, windows begin where something changes: where nothing does, there
is no cut.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator

import jax
import numpy as np

from vgm_jax.models.pretrained.network import shipped_weights
from vgm_jax.models.pretrained.transnet import SIZE, TransNet
from vgm_jax.types import Array

__all__ = ["SIZE", "number_shots", "transition_probabilities"]

WINDOW = 100  # frames that the network sees at once
CONTEXT = 25  # frames at either end of a window of which it tells nothing
KEPT = WINDOW - 2 * CONTEXT
THRESHOLD = 0.5
# Where frames differ from those BACK before by less than CHANGE of 255, on average, there is no transition.
# Those that the network finds in Big Buck Bunny make a difference of 30 and more; dark scenes and slow
# dissolves have less to change.
BACK = 16
CHANGE = 4.0

Probabilities = tuple[float, float]


def transition_probabilities(frames: Iterable[np.ndarray]) -> Iterator[Probabilities]:
    """For each frame, that it is the middle of a transition, and that it is any frame of one; a cut is both.

    Frames are uint8 [27 48 3]. At most WINDOW of them are held: what is said of a frame comes before the 75th
    after it is taken. The network is compiled once a process.
    """
    window: list[np.ndarray] = []  # CONTEXT frames of which all is said, then those of which nothing is
    changed: list[bool] = []  # of the latter, whether they differ from earlier ones
    for frame in frames:
        window = window or [frame] * CONTEXT
        changed.append(_differ(window[-BACK], frame))
        window.append(frame)
        if len(changed) > BACK and not any(changed[: BACK + 1]):
            yield 0.0, 0.0
            window, changed = window[1:], changed[1:]
        elif len(window) == WINDOW:
            yield from _look(window)
            window, changed = window[KEPT:], changed[KEPT:]
    while changed:
        said = [(0.0, 0.0)]
        if any(changed[: BACK + 1]):
            said = _look(window + [window[-1]] * (WINDOW - len(window)))[: len(changed)]
        yield from said
        window, changed = window[len(said) :], changed[len(said) :]


def number_shots(probabilities: Iterable[Probabilities]) -> Iterator[int | None]:
    """For each frame the number of its shot, counted from 0, or None for frames of a transition.

    A transition is a run of frames either of whose probabilities is over a half, at least one of which is its
    middle. The last frame before a cut is such a run.
    """
    number, begun = 0, False
    for flagged, run in itertools.groupby(probabilities, lambda pair: max(pair) > THRESHOLD):
        # In pieces, since a run that never ends must not be held.
        while piece := list(itertools.islice(run, WINDOW if flagged else 1)):
            transition = flagged and any(middle > THRESHOLD for middle, _ in piece)
            number += int(transition and begun)
            begun = not transition
            yield from [None if transition else number] * len(piece)


def _differ(before: np.ndarray, frame: np.ndarray) -> bool:
    return bool(np.abs(np.subtract(before, frame, dtype=np.int16)).mean() > CHANGE)


def _look(window: list[np.ndarray]) -> list[Probabilities]:
    """What the network says of the KEPT frames in the middle."""
    found = np.asarray(_network()(np.stack(window)), np.float64)
    return [(float(middle), float(any_)) for middle, any_ in found[CONTEXT : CONTEXT + KEPT]]


@functools.cache
def _network() -> Callable[[np.ndarray], Array]:
    """uint8 [WINDOW 27 48 3] -> [WINDOW 2]."""
    params, _ = shipped_weights("transnet.safetensors")

    def probabilities(params, frames):
        logits = TransNet().apply({"params": params}, frames[None].astype(np.float32))
        return jax.nn.sigmoid(jax.numpy.concatenate(logits).T)

    return functools.partial(jax.jit(probabilities), params)
