"""Whether clips show what ShapeShow's do: one whole thing, that stays itself and moves as things there move.

All is read off the frames by the oracle (`models.pretrained.oracle`), a network with an error of its own: the
same figures of real clips are the scale to read these by (experiments/shapeshow_oracle).
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from vgm_jax.data.sources.shapeshow import COLOURS, MARGIN, MOTIONS, SHAPES
from vgm_jax.data.transforms import to_float
from vgm_jax.evaluation.clips import ClipSet
from vgm_jax.evaluation.inception_score import inception_score
from vgm_jax.models.pretrained import oracle

NAMES = {"shape": tuple(SHAPES), "colour": tuple(COLOURS), "motion": tuple(MOTIONS)}
CLIPS, FRAMES = 16, 16  # judged at once, so that memory does not grow
SECONDS = 1.0  # of a clip that the motion is judged by: what the oracle learned from
SURE = 0.5  # probability from which a clip's class counts
AGREE = 0.95  # share of frames that must show the clip's class for it to have kept it
SIZE = (
    0.12  # relative deviation of the radius from steady, or from steady growth, that is still the same size
)
STEADY = 0.02  # deviation from a steady straight path, in frame sides, that is still steady
WALL = 0.08  # how near a wall a turning point must be, in frame sides
JUMP = 0.1  # frame sides that a step may be longer than one and a half times its neighbours
AXES = {"left": (0, -1), "right": (0, 1), "up": (1, -1), "down": (1, 1)}  # axis and sign


@dataclasses.dataclass(frozen=True)
class Observation:
    """What the oracle saw in N clips of T frames; the last class of each is none.

    shape [N T 8], colour [N T 9] and motion [N 13] are probabilities; track [N T 3] is x, y and radius in
    frame sides, times [T] seconds.
    """

    shape: np.ndarray
    colour: np.ndarray
    motion: np.ndarray
    track: np.ndarray
    times: np.ndarray

    def of_clips(self) -> dict[str, np.ndarray]:
        """Probabilities [N C] of whole clips: the mean over frames where those were judged."""
        return {"shape": self.shape.mean(1), "colour": self.colour.mean(1), "motion": self.motion}


@functools.cache
def _compiled():
    @jax.jit
    def run(params, video, times):
        with jax.default_matmul_precision("float32"):
            found = oracle.judgement(params, to_float(video), times)
        return [jax.nn.softmax(x) for x in found.logits], found.track

    return run


def observe(video: np.ndarray, times: np.ndarray) -> Observation:
    """Clips uint8 [N T H W 3] at times [T] seconds, ascending, as the oracle sees them; any N, T, H and W.

    Raises ValueError for other shapes or types.
    """
    times = np.asarray(times, np.float32)
    if video.dtype != np.uint8 or video.ndim != 5 or video.shape[-1] != 3 or times.shape != video.shape[1:2]:
        raise ValueError(
            "expected clips uint8 [N T H W 3] and times [T], "
            f"got {video.dtype} {video.shape} and {times.shape}"
        )
    run, params = _compiled(), oracle.weights()[0]
    length, start = len(times), times[0]
    # Frames for the motion, spread over the first second, or over a shorter clip.
    wanted = np.linspace(0.0, min(SECONDS * 15 / 16, times[-1] - start), oracle.MODULE.moments)
    moments = np.abs(times[None] - start - wanted[:, None]).argmin(1)
    parts: list[list[np.ndarray]] = [[], [], [], []]
    for i in range(0, len(video), CLIPS):
        clips = np.take(video, np.arange(i, i + CLIPS), 0, mode="clip")
        n = min(CLIPS, len(video) - i)
        seen = []
        for j in range(0, length, FRAMES):
            frames = np.minimum(np.arange(j, j + FRAMES), length - 1)
            (shape, colour, _), track = run(params, clips[:, frames], np.tile(times[frames], (CLIPS, 1)))
            keep = min(FRAMES, length - j)
            seen.append([np.asarray(x)[:n, :keep] for x in (shape, colour, track)])
        (_, _, motion), _ = run(params, clips[:, moments], np.tile(times[moments], (CLIPS, 1)))
        for part, found in zip(parts, [*zip(*seen, strict=True), None], strict=True):
            part.append(np.asarray(motion)[:n] if found is None else np.concatenate(found, 1))
    shape, colour, track, motion = (np.concatenate(part) for part in parts)
    return Observation(shape, colour, motion, track, times)


def together(parts: Sequence[Observation]) -> Observation:
    """What was seen of several batches of clips, at the same times, as of one."""
    names = ("shape", "colour", "motion", "track")
    return Observation(*(np.concatenate([getattr(x, name) for x in parts]) for name in names), parts[0].times)


def observe_set(clips: ClipSet) -> Observation:
    """`observe` of a set, a batch at a time."""
    batches = enumerate(clips.batches(CLIPS))
    return together([observe(video[: len(clips) - i * CLIPS], clips.times) for i, video in batches])


def classes(seen: Observation) -> dict[str, np.ndarray]:
    """Class [N] of each clip's shape, colour and motion; -1 where it is none, or the oracle is not sure."""
    found = {}
    for name, p in seen.of_clips().items():
        best = p.argmax(1)
        found[name] = np.where((best < len(NAMES[name])) & (p.max(1) >= SURE), best, -1)
    return found


def keeps_identity(seen: Observation) -> dict[str, np.ndarray]:
    """Whether each clip's shape, colour and size stay what they are, bool [N] each."""
    found, kinds = {}, classes(seen)
    for name, p in (("shape", seen.shape), ("colour", seen.colour)):
        agree = (p.argmax(-1) == kinds[name][:, None]).mean(1)
        found[name] = (kinds[name] >= 0) & (agree >= AGREE)
    radius = seen.track[:, :, 2].astype(np.float64)
    grows = np.isin(kinds["motion"], [NAMES["motion"].index(name) for name in ("grow", "shrink")])
    off = np.where(grows, _off_line(radius, seen.times)[0], radius.std(1))
    found["size"] = off <= SIZE * radius.mean(1)
    return found


def _off_line(values: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Root mean square deviation [N] of values [N T] from their best line in time, and its slope [N]."""
    t = times.astype(np.float64) - times.mean(dtype=np.float64)
    centred = values - values.mean(1, keepdims=True)
    slope = centred @ t / max(np.sum(t * t), 1e-12)
    return np.sqrt(np.mean((centred - slope[:, None] * t) ** 2, 1)), slope


def is_steady(seen: Observation) -> np.ndarray:
    """For clips that move left, right, up or down: whether straight, that way and at one speed; bool [M]."""
    motion, steady = classes(seen)["motion"], []
    for name, (axis, sign) in AXES.items():
        track = seen.track[motion == NAMES["motion"].index(name)]
        off, speed = _off_line(track[:, :, axis], seen.times)
        steady.append((off <= STEADY) & (track[:, :, 1 - axis].std(1) <= STEADY) & (sign * speed > 0))
    return np.concatenate(steady)


def turns_at_walls(seen: Observation) -> np.ndarray:
    """For each turning point of the clips that bounce: whether it is at a wall; bool [turning points]."""
    track = seen.track[classes(seen)["motion"] == NAMES["motion"].index("bounce")]
    near = []
    for axis in (0, 1):
        place = track[:, :, axis]
        step = np.diff(place, axis=1)
        # A reach of one radius stands for all shapes: they differ by a quarter of that.
        room = np.minimum(place, 1 - place) - track[:, :, 2] - MARGIN
        # Turning between two frames shows as one short step; compare those around it too.
        for gap in (1, 2):
            before, after = step[:, :-gap], step[:, gap:]
            turned = (before * after < 0) & (np.minimum(abs(before), abs(after)) > 0.02)
            if gap == 2:
                turned &= abs(step[:, 1:-1]) <= 0.02
            nearest = np.min([room[:, k : k + turned.shape[1]] for k in range(1, gap + 1)], 0)
            near.append(nearest[turned] <= WALL)
    return np.concatenate(near)


def jumps(seen: Observation) -> np.ndarray:
    """Whether each clip's object is suddenly elsewhere, bool [N]: a step much longer than those beside it.

    Meant for 12 frames a second or more; frames in which there is neither a shape nor a colour do not count.
    """
    there = (seen.shape.argmax(-1) < len(SHAPES)) | (seen.colour.argmax(-1) < len(COLOURS))
    step = np.linalg.norm(np.diff(seen.track[:, :, :2], axis=1), axis=-1)
    step = np.where(there[:, 1:] & there[:, :-1], step, 0.0)
    padded = np.pad(step, ((0, 0), (1, 1)))
    beside = np.maximum(padded[:, :-2], padded[:, 2:])
    return (step > JUMP + 1.5 * beside).any(1)


def figures(seen: Observation) -> dict[str, float]:
    """Figures of what was seen. One of clips of which there are none is left out.

    - whole/shape, /colour, /motion, /all: share of clips that show one class, not none, surely.
    - identity/shape, /colour, /size, /all: share of clips that stay what they are in all frames (at least
      `AGREE` of them); only what grows or shrinks may change its size, and steadily.
    - steady: share of the clips moving left, right, up or down that go straight, at one speed.
    - bounces_at_walls: share of the turning points, in clips that bounce, that are at a wall.
    - jumps: share of clips in which the object is suddenly elsewhere.
    - inception/shape, /colour, /motion: `inception_score` of the clips' classes, none being one of them.
    """
    kinds, kept, result = classes(seen), keeps_identity(seen), {}
    for group, parts in (("whole", {k: v >= 0 for k, v in kinds.items()}), ("identity", kept)):
        result |= {f"{group}/{name}": float(ok.mean()) for name, ok in parts.items()}
        result[f"{group}/all"] = float(np.all(list(parts.values()), 0).mean())
    for name, each in (("steady", is_steady(seen)), ("bounces_at_walls", turns_at_walls(seen))):
        if len(each):
            result[name] = float(each.mean())
    result["jumps"] = float(jumps(seen).mean())
    result |= {f"inception/{name}": inception_score(p) for name, p in seen.of_clips().items()}
    return result


def judge(video: np.ndarray, times: np.ndarray) -> dict[str, float]:
    """`figures` of clips uint8 [N T H W 3] at times [T] seconds. Raises as `observe`."""
    return figures(observe(video, times))


def distributions(seen: Observation) -> dict[str, dict[str, float]]:
    """How often each shape, colour and motion is, "none" among them."""
    return {
        name: dict(zip((*NAMES[name], "none"), _share(kind, len(NAMES[name])).tolist(), strict=True))
        for name, kind in classes(seen).items()
    }


def _share(kind: np.ndarray, size: int) -> np.ndarray:
    return np.bincount(np.where(kind < 0, size, kind), minlength=size + 1) / max(len(kind), 1)


def total_variation(first: Mapping[str, float], second: Mapping[str, float]) -> float:
    """Half the summed differences of two distributions over the same names: 0 alike, 1 apart."""
    return 0.5 * sum(abs(first[name] - second[name]) for name in first)


def checks(real: Observation, fake: Observation) -> dict[str, float]:
    """`figures` of both sets, as name/real and name/fake, and `total_variations` between them."""
    found = {
        f"{name}/{role}": x
        for role, seen in {"real": real, "fake": fake}.items()
        for name, x in figures(seen).items()
    }
    return found | total_variations(real, fake)


def agreement(real: Observation, fake: Observation) -> dict[str, float]:
    """Part of clips that show the same shape, colour, motion, and all three, as the real ones of their rows.

    Of those whose real clip the oracle is sure of.
    """
    first, second = classes(real), classes(fake)
    same = {name: first[name] == second[name] for name in first}
    sure = {name: kind >= 0 for name, kind in first.items()}
    for each in (same, sure):
        each["all"] = np.all(list(each.values()), 0)
    return {f"agrees/{name}": float(same[name][sure[name]].mean()) for name in same if sure[name].any()}


def total_variations(first: Observation, second: Observation) -> dict[str, float]:
    """Total variation between two sets' distributions of shapes, colours and motions."""
    a, b = distributions(first), distributions(second)
    return {f"total_variation/{name}": total_variation(a[name], b[name]) for name in a}
