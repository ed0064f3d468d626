"""What a trained answerer gets right on test; and without the clip, its sound, its motion, its question.

python -m vgm_jax.main --config configs/answer.py
python experiments/question_answering/run.py runs/answer
python experiments/question_answering/run.py runs/answer --objects --count 1024
python experiments/question_answering/run.py shapeshow-trunk --name zoo  # what comes with the package
python experiments/question_answering/run.py shapeshow-trunk --still  # what it says of one frame all along
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np

from vgm_jax.data.pipeline import EvaluationBatches
from vgm_jax.data.sources import make_source
from vgm_jax.data.sources.shapeshow import COLOURS, Question, SceneObject
from vgm_jax.inference.zoo import averaged, find_run
from vgm_jax.training import runtime
from vgm_jax.training.workdir import read_config
from vgm_jax.types import Batch

HERE = Path(__file__).parent
SIDES = {"left": ("x", -1), "right": ("x", 1), "above": ("y", -1), "below": ("y", 1)}
ROWS = 64

# Of a batch and a random generator: what is asked about, and which modalities are not as they are.
Control = Callable[[Batch, np.random.Generator], tuple[Batch, dict[str, bool]]]


def single_frame(batch: Batch, _: np.random.Generator) -> tuple[Batch, dict[str, bool]]:
    """The clip's middle frame all along; with its sound."""
    video = np.asarray(batch["video"])
    middle = video.shape[1] // 2
    return batch | {"video": np.repeat(video[:, middle : middle + 1], video.shape[1], 1)}, {}


def shuffled_question(batch: Batch, rng: np.random.Generator) -> tuple[Batch, dict[str, bool]]:
    """Another clip's question; what counts as right stays."""
    return batch | {"question": batch["question"][_derangement(len(batch["question"]), rng)]}, {}


def other_clip(batch: Batch, rng: np.random.Generator) -> tuple[Batch, dict[str, bool]]:
    """The question to another clip."""
    order = _derangement(len(batch["question"]), rng)
    return batch | {name: batch[name][order] for name in ("video", "audio") if name in batch}, {}


CONTROLS: dict[str, Control] = {
    "all": lambda batch, _: (batch, {}),
    "question only": lambda batch, _: (batch, {"video": False, "audio": False}),
    "no sound": lambda batch, _: (batch, {"audio": False}),
    "no picture": lambda batch, _: (batch, {"video": False}),
    "single frame": single_frame,
    "shuffled question": shuffled_question,
    "another clip": other_clip,
}


def _derangement(n: int, rng: np.random.Generator) -> np.ndarray:
    """A random order in which nothing stays at its place: one cycle."""
    order = rng.permutation(n)
    result = np.empty(n, int)
    result[order] = np.roll(order, 1)
    return result


def judge(workdir: Path, count: int) -> dict:
    """Accuracies on `count` questions of the test split, of the averaged parameters, with what is chance."""
    config = read_config(workdir)
    task, params, step = averaged(workdir)
    source = task.view(make_source(config.data, "test"))
    batches = EvaluationBatches(source, batch_size=ROWS, count=count)
    kinds, rng = source.kind_names(), np.random.default_rng(0)
    kind, right, confidence = [], {name: [] for name in CONTROLS}, []
    for batch in batches:
        keep = batch.pop("mask") > 0
        kind.append(batch["kind"][keep])
        for name, control in CONTROLS.items():
            changed, given = control(batch, rng)
            present = {m: np.full(ROWS, given.get(m, True)) for m in task.modalities}
            p = np.asarray(task.examine(params, changed, present)[0])
            right[name].append((p.argmax(1) == batch["answer"])[keep])
            if name == "all":
                confidence.append(p.max(1)[keep])
    kind = np.concatenate(kind)
    chance = np.array([1 / len(source.asked(int(i)).choices) for i in batches.indices])
    result = {"step": step, "questions": len(kind), "parameters": _size(params)}
    result["rows"] = [{"given": "chance"} | _by_kind(chance, kind, kinds)]
    for name, found in right.items():
        result["rows"].append({"given": name} | _by_kind(np.concatenate(found).astype(float), kind, kinds))
        print(json.dumps(result["rows"][-1]), flush=True)
    result["deviation"] = float(np.concatenate(right["all"]).std() / np.sqrt(len(kind)))
    result["confidence"] = float(np.concatenate(confidence).mean())
    result["asked"] = {name: int((kind == i).sum()) for i, name in enumerate(kinds) if (kind == i).any()}
    return result | {"workdir_config": json.loads(config.to_json())}


def by_objects(workdir: Path, count: int) -> dict:
    """Accuracies on the further questions about `count` validation clips, by how many objects these have."""
    config = read_config(workdir)
    task, params, step = averaged(workdir)
    source, rows = task.view(make_source(config.data, "validation")), []
    for start in range(0, count, ROWS):
        indices = range(start, min(start + ROWS, count))
        items = [source[i] for i in indices]
        batch = {name: np.stack([item[name] for item in items]) for name in items[0]}
        for n in range(config.data.shapeshow.more_questions):
            asked = {name: batch[f"more_{name}"][:, n] for name in ("question", "answer", "kind")}
            p = np.asarray(task.examine(params, batch | asked)[0])
            for i, found in zip(indices, p.argmax(1), strict=True):
                kind, text = asked["kind"][i - start], asked["question"][i - start]
                if kind >= 0:
                    relative = source.vocabulary.decode(text).startswith("which way of")
                    name = source.kind_names()[kind] + (" from another" if relative else "")
                    objects = 1 + source.caption(i).count(" and ")
                    rows.append((name, objects, found == asked["answer"][i - start]))
    result: dict = {"step": step, "clips": count, "rows": []}
    for objects in (1, 2, 3):
        mine = {name: [r for k, n, r in rows if k == name and n == objects] for name, _, _ in rows}
        row = {name: {"accuracy": float(np.mean(v)), "questions": len(v)} for name, v in mine.items() if v}
        result["rows"].append({"objects": objects} | dict(sorted(row.items())))
    return result


def still(workdir: Path, count: int) -> dict:
    """What is said of the middle frame all along to questions of direction and order, and by what rule.

    "said": true answer -> what was said -> how often. "agrees": how often that is by a rule, and "rule": how
    often this is right. Of direction: from where the object is towards the picture's middle, as what moves
    does at first. Of order: by comparing where the two are in that frame.
    """
    config = read_config(workdir)
    task, params, step = averaged(workdir)
    source = task.view(make_source(config.data, "test"))
    batches, rng = EvaluationBatches(source, batch_size=ROWS, count=count), np.random.default_rng(0)
    said: list[int] = []
    for batch in batches:
        keep = batch.pop("mask") > 0
        p = np.asarray(task.examine(params, single_frame(batch, rng)[0])[0])
        said += p.argmax(1)[keep].tolist()
    result: dict = {"step": step, "questions": count}
    for kind, rule in (("direction", to_middle), ("order", compared)):
        rows, table = [], {}
        for i, answer in zip(batches.indices, said, strict=True):
            asked = source.asked(int(i))
            if asked.kind != kind:
                continue
            middle = source.render_times(int(i), [source.duration / 2], audio=False).objects
            name, by_rule = source.answer_names()[answer], rule(asked, middle)
            rows.append((name == asked.answer, name == by_rule, by_rule == asked.answer))
            row = table.setdefault(asked.answer, {})
            row[name] = row.get(name, 0) + 1
        right, agrees, ruled = np.mean(rows, 0).tolist()
        result[kind] = {"questions": len(rows), "right": right, "agrees": agrees, "rule": ruled}
        result[kind]["said"] = {true: dict(sorted(row.items())) for true, row in sorted(table.items())}
        print(kind, json.dumps(result[kind]), flush=True)
    return result


def to_middle(asked: Question, objects: Sequence[SceneObject]) -> str:
    """Which way the picture's middle is from the object that is asked about."""
    words = asked.text.rstrip("?").split()
    going = [o for o in objects if o.motion == asked.answer]
    one = next((o for o in going if o.shape in words or o.colour in words), going[0])
    x, y = 0.5 - one.x[0], 0.5 - one.y[0]
    return ("left", "right")[int(x > 0)] if abs(x) > abs(y) else ("up", "down")[int(y > 0)]


def compared(asked: Question, objects: Sequence[SceneObject]) -> str:
    """Whether one object is on that side of the other in the frame, as in "does the red object begin above
    the blue object?".
    """
    one, other = (next(o for o in objects if o.colour == w) for w in asked.text.split() if w in COLOURS)
    side = next(w for w in asked.text.split() if w in SIDES)
    axis, sign = SIDES[side]
    return "yes" if sign * (getattr(one, axis)[0] - getattr(other, axis)[0]) > 0 else "no"


def _by_kind(value: np.ndarray, kind: np.ndarray, names: tuple[str, ...]) -> dict[str, float]:
    rows = {name: value[kind == i] for i, name in enumerate(names)}
    return {"overall": float(value.mean())} | {name: float(v.mean()) for name, v in rows.items() if len(v)}


def _size(params) -> int:
    return sum(x.size for x in jax.tree.leaves(params))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("workdir", type=Path)
    parser.add_argument("--name", default="answer", help="of the result")
    parser.add_argument("--count", type=int, default=4096, help="questions of the test split")
    parser.add_argument("--objects", action="store_true", help="by number of objects, on validation")
    parser.add_argument("--still", action="store_true", help="what is said of a single frame, and why")
    args = parser.parse_args()
    runtime.start()
    ways = {"objects": by_objects, "still": still}
    way = next((name for name in ways if getattr(args, name)), "")
    result = ways.get(way, judge)(find_run(args.workdir, "question_answering"), args.count)
    (HERE / "results").mkdir(exist_ok=True)
    path = HERE / "results" / f"{args.name}{way and '_' + way}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(path)


if __name__ == "__main__":
    main()
