"""Whether a generator shows what it is asked for: by words, class, picture and sound, each beside controls.

python -m vgm_jax.main --config configs/conditional.py --config.data.shapeshow.held_out=0.1
python experiments/conditioning/run.py runs/conditional
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vgm_jax.data.media import strip, write_image
from vgm_jax.data.pipeline import EvaluationBatches
from vgm_jax.data.sources.shapeshow import COLOURS, MOTIONS, NOVEL, SHAPES, ShapeShow
from vgm_jax.evaluation import features, physics
from vgm_jax.evaluation.dynamics import NAMES
from vgm_jax.evaluation.evaluator import assess
from vgm_jax.evaluation.look import PIXELS, Look, Looker, together
from vgm_jax.inference.conditions import DESCENT
from vgm_jax.inference.generator import hash_of
from vgm_jax.inference.zoo import averaged, find_run
from vgm_jax.models.scene import Known
from vgm_jax.tasks.generation import Generation
from vgm_jax.training import runtime
from vgm_jax.training.workdir import plain, read_config
from vgm_jax.types import Batch, Params

HERE = Path(__file__).parent
ROWS = 32
CHANCE = {"shape": 1 / len(SHAPES), "colour": 1 / len(COLOURS), "motion": 1 / len(MOTIONS)}
TURN = 0.02  # frame sides in a frame: steps shorter than that are no movement


class Asker:
    """A generator, and what it makes of batches' conditions."""

    def __init__(self, task: Generation, params: Params, guidance: float = 1.0):
        self.task, self.params, self.guidance = task, params, guidance

    def keys(self, first: int, rows: int) -> jax.Array:
        root = jax.random.key(7)
        return jax.vmap(lambda i: jax.random.fold_in(root, i))(first + jnp.arange(rows))

    def by(self, batch: Batch, names: tuple[str, ...], first: int) -> np.ndarray:
        """Clips uint8 [B T H W C] for these conditions of a batch; for none of them: unasked."""
        times = jnp.asarray(batch["times"])
        keys = self.keys(first, len(times))
        if not names:
            return np.asarray(self.task.generate(self.params, keys, times))
        if self.task.sentences and "text" in names:
            names += ("sentence",)
        given = {name: x for name, x in self.task.given(batch).items() if name in names}
        asked = self.task.ask(self.params, given, {}).at(times, self.task.generator.window)
        wanted = self.params, keys, times, asked, None, None, 1.0
        unguided = self.guidance == 1.0
        codes = self.task.imagine(*wanted) if unguided else self.task.guided(*wanted, self.guidance)
        return np.asarray(self.task.paint(self.params, codes))

    def from_frames(
        self, batch: Batch, places: tuple[int, ...], first: int, descent: int, length: int = 0
    ) -> np.ndarray:
        """Clips that go through these frames of a batch's, `length` frames long, or as long as those are."""
        times = jnp.asarray(batch["times"])
        at = times[:, jnp.asarray(places)]
        shown = self.task.invert(self.params, np.asarray(batch["video"])[:, list(places)], at, descent)
        known = Known(shown.motion, at, jnp.ones(at.shape, bool))
        if length:
            times = jnp.arange(length) * (times[:, 1:2] - times[:, :1])
        codes = self.task.imagine(self.params, self.keys(first, len(times)), times, None, shown, known)
        return np.asarray(self.task.paint(self.params, codes))


def batches(source: ShapeShow, count: int) -> Iterator[tuple[int, Batch]]:
    """Of `count` clips: where each batch begins among them, and the batch, with "index" [B], not padded."""
    drawn, first = EvaluationBatches(source, batch_size=ROWS, count=count), 0
    for batch in drawn:
        n = int(np.sum(batch["mask"]))
        batch["index"] = drawn.indices[first : first + n]
        yield first, {name: np.asarray(x)[:n] for name, x in batch.items()}
        first += n


def truth(label: np.ndarray) -> dict[str, np.ndarray]:
    """Shape, colour and motion of "look" labels [N]."""
    look, motion = label // len(MOTIONS), label % len(MOTIONS)
    return {"shape": look // len(COLOURS), "colour": look % len(COLOURS), "motion": motion}


def right(seen: physics.Observation, wanted: dict[str, np.ndarray]) -> dict[str, float]:
    """Part of clips in which the oracle sees what was wanted; in "all", all three."""
    found = physics.classes(seen)
    same = {name: found[name] == wanted[name] for name in wanted}
    same["all"] = np.all(list(same.values()), 0)
    return {name: round(float(x.mean()), 4) for name, x in same.items()}


def described(asker: Asker, source: ShapeShow, names: tuple[str, ...], count: int) -> dict[str, Any]:
    """How much of what captions (or classes) say is seen; and of what another clip's say."""
    seen, labels, times = [], [], None
    for first, batch in batches(source, count):
        times = batch["times"][0]
        wanted = batch | {"label": batch["label"] % len(MOTIONS)}
        seen.append(physics.observe(asker.by(wanted, names, first), times))
        labels.append(batch["label"])
    seen, label = physics.together(seen), np.concatenate(labels)
    shuffled = {name: np.roll(x, 1) for name, x in truth(label).items()}
    return {"clips": len(label), "right": right(seen, truth(label)), "shuffled": right(seen, shuffled)}


def real(source: ShapeShow, count: int) -> dict[str, float]:
    """The oracle's own accuracy: on the real clips."""
    seen = [physics.observe(b["video"], b["times"][0]) for _, b in batches(source, count)]
    label = np.concatenate([b["label"] for _, b in batches(source, count)])
    return right(physics.together(seen), truth(label))


def psnr(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Decibels [N] between pictures uint8 [N H W C]."""
    error = np.square(a.astype(np.float64) - b).mean((1, 2, 3))
    return 10 * np.log10(255**2 / np.maximum(error, 1e-9))


def pictured(asker: Asker, source: ShapeShow, count: int) -> dict[str, Any]:
    """From the first frame, beside copies of it; from the first and the last, beside fading and holding."""
    start, ends, kept, middles = [], [], [], {"ours": [], "fade": [], "hold": []}
    moves, look = {"ours": [], "hold": []}, Looker(("transnet", *PIXELS))
    looks = {"real": [], "ours": [], "hold": []}
    for first, batch in batches(source, count):
        video, times = batch["video"], batch["times"][0]
        clips = asker.from_frames(batch, (0,), first, DESCENT)
        start.append(psnr(clips[:, 0], video[:, 0]))
        seen, wanted = physics.observe(clips, times), truth(batch["label"])
        # The shape and the colour throughout: in every frame as the real clip's.
        frames = {
            "shape": seen.shape.argmax(-1) == wanted["shape"][:, None],
            "colour": seen.colour.argmax(-1) == wanted["colour"][:, None],
        }
        kept.append(np.all([x.mean(1) >= physics.AGREE for x in frames.values()], 0))
        held = np.repeat(video[:, :1], video.shape[1], 1)
        for name, x in (("ours", clips), ("hold", held)):
            moves[name].append(physics.classes(physics.observe(x, times))["motion"] >= 0)
        for name, x in (("real", video), ("ours", clips), ("hold", held)):
            looks[name].append(look(x))
        last = video.shape[1] - 1
        between = asker.from_frames(batch, (0, last), first, DESCENT)
        ends.append([psnr(between[:, i], video[:, i]) for i in (0, last)])
        middle = last // 2
        part = middle / last
        fade = np.rint((1 - part) * video[:, 0].astype(float) + part * video[:, -1]).astype(np.uint8)
        target = embedded(video[:, middle])
        for name, x in (("ours", between[:, middle]), ("fade", fade), ("hold", video[:, 0])):
            middles[name].append(np.linalg.norm(embedded(x) - target, axis=1))
    ends = np.concatenate(ends, 1)
    return {
        "first_frame_psnr": spread(np.concatenate(start)),
        "kept_16_frames": round(float(np.concatenate(kept).mean()), 4),
        "shows_a_motion": {k: round(float(np.concatenate(v).mean()), 4) for k, v in moves.items()},
        "moves": movement({name: together(x) for name, x in looks.items()}),
        "between_psnr": {"first": spread(ends[0]), "last": spread(ends[1])},
        "middle_distance": {k: round(float(np.concatenate(v).mean()), 3) for k, v in middles.items()},
    }


def movement(looks: dict[str, Look]) -> dict[str, dict[str, float]]:
    """How the clips of each set move (evaluation/dynamics.py), and how far each set is from the real one.

    Of the real clips themselves: how far their halves are from one another, which is more for their number.
    """
    found: dict[str, dict[str, float]] = {}
    for name in ("ours", "hold"):
        result = assess(looks["real"], looks[name], None, None)
        for of, side in (("real", "real"), (name, "fake")):
            kinds = ("motion", *NAMES)
            found[of] = {kind: round(result["checks"][f"{kind}/{side}"], 4) for kind in kinds}
        distances = {"real": result["anchors"]["real_vs_real"], name: result["distances"]}
        for of, values in distances.items():
            wanted = ("frechet/transnet", "kernel/transnet")
            found[of] |= {figure: round(values[figure], 4) for figure in wanted}
    return found


def continued(asker: Asker, source: ShapeShow, count: int) -> dict[str, Any]:
    """Whole clips, repainted from their codes as read and as bettered; and gone on from, as long again."""
    found, kept = {0: [], DESCENT: []}, []
    for first, batch in batches(source, count):
        video, times = batch["video"], batch["times"][0]
        frames, places = video.shape[1], tuple(range(video.shape[1]))
        for descent in found:
            clips = asker.from_frames(batch, places, first, descent, 2 * frames)
            same = [psnr(clips[:, i], video[:, i]) for i in places]
            found[descent].append(np.mean(same, 0))
        seen = physics.observe(clips[:, frames:], times)
        wanted = truth(batch["label"])
        same = [
            (probabilities.argmax(-1) == wanted[name][:, None]).mean(1) >= physics.AGREE
            for name, probabilities in (("shape", seen.shape), ("colour", seen.colour))
        ]
        kept.append(np.all(same, 0))
    return {
        "psnr_of_its_frames": {"read": spread(np.concatenate(found[0]))}
        | {f"{DESCENT} steps": spread(np.concatenate(found[DESCENT]))},
        "kept_in_as_many_frames_more": round(float(np.concatenate(kept).mean()), 4),
    }


def embedded(pictures: np.ndarray) -> np.ndarray:
    """EfficientNet's features of pictures uint8 [N H W 3]."""
    found = features.embed("efficientnet", pictures[:, None])
    return found.reshape(len(pictures), -1)


def spread(values: np.ndarray) -> dict[str, float]:
    """Mean, and the tenth percentile."""
    return {"mean": round(float(values.mean()), 2), "p10": round(float(np.percentile(values, 10)), 2)}


def turning_points(track: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Seconds at which an object's path [T 2] turns back in x or in y, to less than a frame."""
    found = []
    for place in track.T:
        step = np.diff(place)
        for i in range(len(step) - 1):
            if step[i] * step[i + 1] < 0 and max(abs(step[i]), abs(step[i + 1])) > TURN:
                # Of two steps of a straight course there and back, the turn is where they would meet.
                part = abs(step[i]) - abs(step[i + 1])
                at = times[i + 1] + 0.5 * (times[1] - times[0]) * part / max(abs(step[i]), abs(step[i + 1]))
                found.append(at)
    return np.sort(np.array(found))


def met(times: np.ndarray, others: np.ndarray, frame: float) -> list[bool]:
    """Of each of `times`, seconds, whether there is one of `others` within a frame of it."""
    return [bool(len(others)) and bool(np.abs(others - at).min() <= frame + 1e-6) for at in times]


def heard(asker: Asker, source: ShapeShow, count: int) -> dict[str, Any]:
    """Whether clicks of the sound are turning points of the picture; with another clip's sound, too.

    Of clips whose sound has a click. A click agrees where a turning point is within a frame of it, and a
    turning point where a click is; by chance as often as another clip's do, in real clips. What circles or is
    thrown turns without a click, in real clips, too. And how the tone's height and the object's go together.
    """
    agree, turned = ({"own": [], "other": [], "real": [], "chance": []} for _ in range(2))
    heights = {"own": [], "other": []}
    for first, batch in batches(source, count):
        times = batch["times"][0]
        frame = times[1] - times[0]
        seen = physics.observe(asker.by(batch, ("audio",), first), times)
        true = physics.observe(batch["video"], times)
        events = [source.clip(int(i)).events for i in batch["index"]]
        for i in range(len(events)):
            for kind, at in (("own", i), ("other", i - 1)):
                heights[kind].append(np.corrcoef(seen.track[i, :, 1], true.track[at, :, 1])[0, 1])
            for kind, at, track in (
                ("own", i, seen.track[i]),
                ("other", i - 1, seen.track[i]),
                ("real", i, true.track[i]),
                ("chance", i - 1, true.track[i]),
            ):
                turns, clicks = turning_points(track[:, :2], times), np.asarray(events[at])
                # Neither the first frames nor the last ones can show a turn.
                agree[kind] += met(clicks[(times[1] <= clicks) & (clicks <= times[-2])], turns, frame)
                if len(clicks):
                    turned[kind] += met(turns[(times[1] <= turns) & (turns <= times[-2])], clicks, frame)
    return {
        "clicks": len(agree["own"]),
        "agree": {name: round(float(np.mean(x)), 4) for name, x in agree.items()},
        "turns": {name: len(x) for name, x in turned.items()},
        "turns_with_a_click": {name: round(float(np.mean(x)), 4) for name, x in turned.items()},
        "height_correlation": {k: round(float(np.nanmean(v)), 4) for k, v in heights.items()},
    }


def fidelity(asker: Asker, source: ShapeShow, names: tuple[str, ...], count: int) -> dict[str, float]:
    """Distances of clips that were asked for, all real clips' conditions once, from the real clips."""
    look = Looker(("random", "oracle", *PIXELS))
    seen: tuple[list, list] = [], []
    for first, batch in batches(source, count):
        seen[0].append(look(batch["video"]))
        wanted = batch | {"label": batch["label"] % len(MOTIONS)}
        seen[1].append(look(asker.by(wanted, names, first)))
    found = assess(*(together(x) for x in seen), None, None)["distances"]
    return {name: round(x, 4) for name, x in found.items() if name.startswith(("frechet/", "kernel/"))}


def exchanged(asker: Asker, source: ShapeShow, count: int) -> dict[str, Any]:
    """Which part of what is imagined by classes is far from real clips: each, with the rest read off these.

    Distances as of `fidelity`. And where circles begin: of clips that circle, how many are seen first in each
    eighth of a turn about their middle, from the left on upwards.
    """
    look, task, params = Looker(("random", "oracle", *PIXELS)), asker.task, asker.params
    seen: dict[str, list] = {}
    begins = {"real": np.zeros(8, int), "imagined": np.zeros(8, int)}
    for first, batch in batches(source, count):
        times, label = jnp.asarray(batch["times"]), batch["label"] % len(MOTIONS)
        read = task.read(params, jnp.asarray(batch["video"]), times)
        asked = task.ask(params, {"label": jnp.asarray(label)}, {}).at(times, task.generator.window)
        made = task.imagine(params, asker.keys(first, len(times)), times, asked)
        arms = {
            "read": read,
            "imagined": made,
            "motion imagined": read._replace(motion=made.motion),
            "places imagined": read._replace(motion=read.motion.at[..., :2].set(made.motion[..., :2])),
            "looks imagined": made._replace(motion=read.motion),
        }
        seen.setdefault("real", []).append(look(batch["video"]))
        for name, codes in arms.items():
            seen.setdefault(name, []).append(look(np.asarray(task.paint(params, codes))))
        circles = np.isin(label, [list(MOTIONS).index(x) for x in ("clockwise", "counterclockwise")])
        for name, codes in (("real", read), ("imagined", made)):
            x = np.asarray(codes.motion[..., :2])[circles]  # places
            x = x[:, 0] - x.mean(1)
            begins[name] += np.histogram(np.arctan2(x[:, 1], x[:, 0]), 8, (-np.pi, np.pi))[0]
    looks = {name: together(x) for name, x in seen.items()}
    result: dict[str, Any] = {"circles begin": {name: x.tolist() for name, x in begins.items()}}
    for arm in arms:
        found = assess(looks["real"], looks[arm], None, None)["distances"]
        result[arm] = {n: round(found[n], 4) for n in ("frechet/oracle", "kernel/oracle", "frechet/random")}
    return result


def sheet(asker: Asker, source: ShapeShow, path: Path) -> None:
    """Eight captions: the real clip, and one asked for by its caption, one under the other; unpicked."""
    _, batch = next(batches(source, 8))
    wanted = batch | {"label": batch["label"] % len(MOTIONS)}
    rows = np.stack([batch["video"], asker.by(wanted, ("text",), 0)], 1)
    write_image(path, strip(rows.reshape(-1, *rows.shape[2:]), 8, 2))
    path.with_suffix(".txt").write_text("".join(f"{source.caption(int(i))}\n" for i in batch["index"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workdir")
    parser.add_argument("--name", default="conditional")
    parser.add_argument("--count", type=int, default=1024, help="clips of a figure")
    parser.add_argument("--only", default="text,novel,label,image,video,audio,fidelity", help="by commas")
    parser.add_argument("--guidance", type=float, default=1.0, help="of words, classes and sounds")
    args = parser.parse_args()
    runtime.start()
    workdir = find_run(args.workdir)
    config = read_config(workdir)
    task, params, step = averaged(workdir)
    asker = Asker(task, params, args.guidance)
    data = config.data
    settings = dict(
        size=data.size,
        frames=data.frames,
        fps=data.fps,
        seed=data.seed,
        sound="synced",
        audio=True,
        label="look",
        text=True,
        held_out=data.shapeshow.held_out,
    )
    source = task.view(ShapeShow("test", **settings))
    parts = args.only.split(",")
    (HERE / "results").mkdir(exist_ok=True)
    path = HERE / "results" / f"{args.name}.json"
    about = {"step": step, "weights": hash_of(params), "config": plain(config)}
    about |= {"guidance": args.guidance, "count": args.count, "chance": CHANCE}
    result = json.loads(path.read_text()) if path.exists() else about
    if differing := [name for name, value in about.items() if result.get(name) != value]:
        parser.error(
            f"{path} has another {', another '.join(differing)}: move it away, or give another --name"
        )
    todo = {
        "real": lambda: real(source, args.count),
        "text": lambda: described(asker, source, ("text",), args.count),
        "label": lambda: described(asker, source, ("label",), args.count),
        "image": lambda: pictured(asker, source, args.count // 2),
        "video": lambda: continued(asker, source, args.count // 4),
        "audio": lambda: heard(asker, source, args.count),
        "fidelity": lambda: {
            "unasked": fidelity(asker, source, (), args.count),
            "text": fidelity(asker, source, ("text",), args.count),
            "label": fidelity(asker, source, ("label",), args.count),
        },
    }
    todo["exchanged"] = lambda: exchanged(asker, source, args.count)
    if data.shapeshow.held_out:
        novel = task.view(ShapeShow(NOVEL, **settings))
        todo["novel"] = lambda: described(asker, novel, ("text",), args.count)
    for name, part in todo.items():
        if name in parts or (name == "real" and "text" in parts):
            result[name] = part()
            print(name, json.dumps(result[name]), flush=True)
            path.write_text(json.dumps(result, indent=1) + "\n")
    if "text" in parts:
        sheet(asker, source, HERE / f"{args.name}_text.png")


if __name__ == "__main__":
    main()
