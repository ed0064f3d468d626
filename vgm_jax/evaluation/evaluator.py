"""Two sets of clips -> distances, with the anchors, checks and warnings that they are read by."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vgm_jax.evaluation import physics
from vgm_jax.evaluation.clips import ClipSet
from vgm_jax.evaluation.compare import compare
from vgm_jax.evaluation.dynamics import NAMES
from vgm_jax.evaluation.features import network
from vgm_jax.evaluation.look import PIXELS, Look, look
from vgm_jax.evaluation.precision_recall import nearest
from vgm_jax.evaluation.protocol import of_networks
from vgm_jax.version import __version__

NEAR = 0.01  # quantile of how near real clips lie to one another, under which a sample counts as a copy
SAME = 0.01  # grey levels between the thumbnails of one clip and itself, beside rounding
FEWEST = 4  # clips, of which there are halves to compare
FEW = 256  # clips: with fewer no figure here is steady
OF_COPIES = ("copies", "nearest/real", "nearest/fake")  # checks that ask for training clips
PAIRS = 10_000  # of clips, whose mean distance is the diversity

Figures = dict[str, float]


def networks_of(seen: Look) -> list[str]:
    """The feature networks among what was seen."""
    return [name for name in seen if name not in PIXELS]


def own_name(name: str) -> str:
    """Without the path to a user's weights."""
    return name.partition(":")[0]


def halves(seen: Look) -> tuple[Look, Look]:
    """What was seen of clips 0, 2, 4, ..., and of as many between them."""
    even = len(seen["motion"]) // 2 * 2
    first, second = ({name: rows[start:even:2] for name, rows in seen.items()} for start in (0, 1))
    return first, second


def distances(real: Look, fake: Look) -> Figures:
    """Every figure of `compare` in every network, as figure/network."""
    return {
        f"{figure}/{own_name(name)}": value
        for name in networks_of(real)
        for figure, value in compare(real[name], fake[name]).items()
    }


def checks(real: Look, fake: Look, known: Look, other: Look) -> Figures:
    """Is it copied, is it varied, does it move?

    Clips are compared as thumbnails (4 frames of 16 x 16), by the root mean square difference in grey levels.
    - nearest/fake, nearest/real: median distance of a sample, and of a clip of `other`, to the nearest of
      `known`; `other` are real clips that are not among `known`.
    - copies: the share of samples that are nearer than all but 1 % of `other` are; about 0.01 where nothing
      is copied. Clips of `other` that are among `known` themselves do not count; if all are, only samples
      that are among it too are copies.
    - diversity/...: mean distance between two clips of a set.
    - motion/...: mean change of a pixel from a frame to the next, in grey levels.
    - flicker/..., return/..., sticking/...: how it moves, see `dynamics`; means over clips.
    """
    scale = real["thumbnail"].shape[1] ** 0.5
    near_real, near_fake = (nearest(x["thumbnail"], known["thumbnail"]) / scale for x in (other, fake))
    apart = near_real[near_real > SAME]
    figures = {
        "nearest/real": float(np.median(near_real)),
        "nearest/fake": float(np.median(near_fake)),
        "copies": float(np.mean(near_fake <= (np.quantile(apart, NEAR) if len(apart) else SAME))),
    }
    for name, seen in {"real": real, "fake": fake}.items():
        figures[f"diversity/{name}"] = _diversity(seen["thumbnail"]) / scale
        figures[f"motion/{name}"] = float(np.mean(seen["motion"], dtype=np.float64))
        means = np.mean(seen["dynamics"], 0, dtype=np.float64)
        figures |= {f"{kind}/{name}": float(x) for kind, x in zip(NAMES, means, strict=True)}
    return figures


def _diversity(rows: np.ndarray, seed: int = 0) -> float:
    rng = np.random.default_rng(seed)
    first = rng.integers(len(rows), size=PAIRS)
    second = (first + rng.integers(1, max(len(rows), 2), size=PAIRS)) % len(rows)
    total = 0.0
    for pairs in np.array_split(np.stack([first, second]), 50, axis=1):
        apart = rows[pairs[0]].astype(np.float64) - rows[pairs[1]]
        total += np.sqrt(np.square(apart).sum(1)).sum()
    return total / PAIRS


def warnings(real: Look, fake: Look) -> list[str]:
    """What to beware of when one reads the distances."""
    found = []
    for name, seen in {"real": real, "fake": fake}.items():
        clips = len(seen["motion"])
        if clips < FEW:
            found.append(f"{clips} {name} clips are few: all figures vary much from draw to draw")
        for net in networks_of(seen):
            n, rows, length = seen[net].shape
            if n * rows < 2 * length:
                found.append(
                    f"{clips} {name} clips are too few for a stable frechet/{own_name(net)} "
                    f"({n * rows} rows of {length} features): read kernel/{own_name(net)} instead"
                )
    return found


def assess(
    real: Look, fake: Look, other: Look | None, shuffled: Look | None, training: Look | None = None
) -> dict[str, Any]:
    """{"distances", "anchors", "checks", "warnings"} of as many clips of each.

    Args:
      real, fake: the two sets.
      other: real clips that are not among `real`. None: the halves of `real` are measured against one
        another for the anchors, and a warning says so.
      shuffled: `other`, or where that is None `real`, with the frames of each clip shuffled. None: that
        anchor is left out; clips of one frame have no order.
      training: clips that the fake ones might be copied from; by default `real`, of which, where there is no
        other, one half tells how near the other comes by chance.

    Raises ValueError where a set has fewer than `FEWEST` clips.
    """
    count = len(real["motion"])
    if min(count, len(fake["motion"])) < FEWEST:
        raise ValueError(f"an evaluation needs {FEWEST} clips or more on each side, got {count}")
    found = warnings(real, fake)
    first = real
    if other is None:
        (first, other), shuffled = halves(real), shuffled and halves(shuffled)[1]
        found.append(
            f"the real set has no second {count} clips: the anchors are of halves, {count // 2} clips each, "
            "and greater for it"
        )
    anchors = {"real_vs_real": other} | ({"shuffled": shuffled} if shuffled else {})
    return {
        "distances": distances(real, fake),
        "anchors": {name: distances(first, seen) for name, seen in anchors.items()},
        "checks": checks(real, fake, training or first, other),
        "warnings": found,
    }


def beside_held_out(real: Look, fake: Look, shuffled: Look | None = None) -> dict[str, float]:
    """A run's own figures, in one flat mapping: as many samples beside held-out clips.

    "clips", distances and checks as `assess` gives them, and the Fréchet and kernel distances of anchors as
    "real_vs_real/frechet/...". Anchors are of halves, "real_vs_real/clips" each, and greater for it. Copies
    of training clips are not looked for: none are at hand. Of fewer than `FEWEST` clips only their number is
    told.
    """
    clips = len(real["motion"])
    figures = {"clips": float(clips)}
    if clips < FEWEST:
        return figures
    result = assess(real, fake, None, shuffled)
    figures |= result["distances"] | {k: v for k, v in result["checks"].items() if k not in OF_COPIES}
    figures["real_vs_real/clips"] = float(clips // 2)
    for anchor, values in result["anchors"].items():
        told = {k: v for k, v in values.items() if k.startswith(("frechet/", "kernel/"))}
        figures |= {f"{anchor}/{name}": value for name, value in told.items()}
    return figures


def check(real: ClipSet, fake: ClipSet, networks: Sequence[str]) -> None:
    """Raises ValueError, naming the set, for what cannot be measured against one another."""
    needed = {network(name).name: network(name).min_frames for name in networks}
    if real[0].shape != fake[0].shape:
        described = ", ".join(f"{x.name} has clips of {x[0].shape[:3]}" for x in (real, fake))
        raise ValueError(
            f"{described} (frames, height, width): only equal ones compare; give a size and frames"
        )
    if len(real) != len(fake):
        raise ValueError(f"{real.name} has {len(real)} clips, {fake.name} {len(fake)}: expected as many")
    for name, frames in needed.items():
        if len(real[0]) < frames:
            raise ValueError(
                f"{real.name}, {fake.name}: {name} needs clips of {frames} frames or more, got {len(real[0])}"
            )
    for clips in (real, fake):
        if brightest(clips) == 1:
            raise ValueError(
                f"{clips.name}: no value is above 1; expected 0..255. Are these [0, 1] floats, converted?"
            )


def brightest(clips: ClipSet) -> int:
    """The greatest value of the first few clips."""
    return max(int(clips[i].max()) for i in range(min(len(clips), FEWEST)))


def cautions(real: ClipSet, fake: ClipSet) -> list[str]:
    """What to beware of, seen from the sets themselves."""
    found = []
    if real.hash == fake.hash:
        found.append("both sets are the same clips: read real_vs_real for the least there can be, not these")
    if real.rate and fake.rate and abs(real.rate / fake.rate - 1) > 0.02:
        found.append(
            f"{real.name} runs at {real.rate:.4g} frames a second, {fake.name} at {fake.rate:.4g}: their "
            "motions do not compare; give an fps"
        )
    found += [f"the first clips of {x.name} are black throughout" for x in (real, fake) if brightest(x) == 0]
    return found


def about(clips: ClipSet) -> dict[str, Any]:
    """What a set is, fit for JSON."""
    return {**clips.description, "name": clips.name, "hash": clips.hash, "clips": len(clips)}


def measure(
    real: ClipSet,
    fake: ClipSet,
    networks: Sequence[str],
    *,
    spare: ClipSet | None = None,
    training: ClipSet | None = None,
    seed: int = 0,
    cache: bool | Path = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """`assess` of two sets of clips of one shape and number, as a result that can be written as JSON.

    Args:
      spare: as many real clips that are not among `real`, where there are any.
      training: clips that the fake ones might be copied from.
      seed: of the shuffled anchor.
      cache: where features of real clips are kept, as in `look`.
      networks: names; with "oracle", what `physics` reads off ShapeShow's clips is among the checks.
      progress: told how many clips were seen, of how many.

    Raises ValueError for unknown networks, sets of different shapes, and clips that a network cannot take.
    """
    check(real, fake, networks)
    ordered = spare or real
    parts = [real, fake, *([spare] if spare else []), *([training] if training else [])]
    total = sum(map(len, parts)) + len(ordered) * (len(ordered[0]) > 1)
    done = 0

    def advance(clips: int) -> None:
        nonlocal done
        done += clips
        progress(done, total)

    seen = look(real, networks, cache=cache, progress=advance)
    other = look(spare, networks, cache=cache, progress=advance) if spare else None
    shuffled = None
    if len(ordered[0]) > 1:
        shuffled = look(ordered, networks, damage="shuffled", seed=seed, cache=cache, progress=advance)
    generated = look(fake, networks, progress=advance)
    known = look(training, (), cache=cache, progress=advance) if training else None
    figures = assess(seen, generated, other, shuffled, known)
    figures["warnings"] = [*cautions(real, fake), *figures["warnings"]]
    if "oracle" in networks:
        figures["checks"] |= physics.checks(physics.observe_set(real), physics.observe_set(fake))
    t, h, w, _ = real[0].shape
    return {
        "vgm_jax": __version__,
        "real": about(real),
        "fake": about(fake),
        **figures,
        "protocol": {
            "frames": t,
            "size": [h, w],
            "fps": {"real": real.rate, "judged": fake.rate},
            "count": len(real),
            "seed": seed,
            "real": real.hash,
            "spare": spare.hash if spare else "the halves of the real set",
            "training": training.hash if training else "the real set" if spare else "half of the real set",
            "networks": of_networks(tuple(networks)),
            "version": __version__,
        },
    }
