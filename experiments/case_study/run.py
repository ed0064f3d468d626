"""Does a GAN of feature vectors help a classifier of few videos? See README.md.

python experiments/case_study/run.py features shapeshow
python experiments/case_study/run.py features procgen --path DIR  # DIR of experiments/datasets/run.py procgen
python experiments/case_study/run.py choose shapeshow  # all that is free, on validation; then it stays
python experiments/case_study/run.py run shapeshow     # every regime, arm and seed, on test; resumes
python experiments/case_study/run.py table             # results/*.json, the README's tables, their figure
"""

import argparse
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import arms
import extraction
import gans
import numpy as np
import report
from regimes import REGIMES, TUNING, Draw, Pool, draw

from vgm_jax.data.files import cache_folder, in_one_piece
from vgm_jax.evaluation.probe import fit_softmax, judge_classes
from vgm_jax.training import runtime

DATASETS = ("shapeshow", "procgen")
DECAYS = {"decay": (1e-5, 1e-4, 1e-3, 1e-2)}  # of every classifier
FILLS = {"fill": (1.25, 2.0)}  # of classes, in vectors of the most numerous one
# What is chosen for each arm on validation, of every combination; names with a dot are keys of the recipe.
GRID: dict[str, dict[str, Sequence[float]]] = {
    "none": DECAYS,
    "class weighting": DECAYS,
    "attributes": DECAYS,
    "mixup": DECAYS | {"alpha": (0.2, 1.0)},
    "SMOTE": DECAYS | FILLS,
    "Gaussian": DECAYS | FILLS,
    "video GAN": DECAYS | FILLS,
    "textbook GAN": DECAYS | FILLS | {"optimizer.generator_rate": (2e-4, 1e-3)},
    "f-CLSWGAN": DECAYS | FILLS | {"objective.class_weight": (0.1, 1.0)},
}
CHOOSING_SEEDS = (TUNING, TUNING + 1)
SEEDS = 5

Settings = dict[str, float]


def settings_of(arm: str) -> Iterator[Settings]:
    """Every combination of an arm's grid."""
    for values in itertools.product(*GRID[arm].values()):
        yield dict(zip(GRID[arm], values, strict=True))


class Study:
    """A data set's cells, each a JSON file in `work` that is written once.

    Args:
      arms: names of `GRID`; "video GAN" is left out where the data set has no generated clips.
      changes: keys of both GANs' recipes with other values: for trying it out.
    """

    def __init__(
        self,
        dataset: str,
        work: Path,
        regimes: Sequence[str] = REGIMES,
        arms: Sequence[str] = tuple(GRID),
        changes: dict[str, Any] | None = None,
    ):
        path = work / f"{dataset}.npz"
        if not path.exists():
            raise SystemExit(f"{path} is not there yet: run.py features {dataset}")
        self.dataset, self.work, self.regimes = dataset, work, tuple(regimes)
        self.pool, self.changes = Pool.read(path), changes or {}
        self.vectors = hashlib.sha256(path.read_bytes()).hexdigest()
        with np.load(path, allow_pickle=False) as saved:
            self.generated = saved["generated"] if "generated" in saved.files else None
        self.arms = tuple(arm for arm in arms if arm != "video GAN" or self.generated is not None)

    # ------------------------------------------------------------------ one cell
    def maker(
        self, arm: str, drawn: Draw, seed: int, own: Settings
    ) -> Callable[[np.ndarray, Any], arms.Made]:
        """What makes vectors, as those of `arms`; GANs are trained here, by their `own` settings."""
        if arm == "SMOTE":
            return lambda wanted, rng: arms.smote(drawn, wanted, rng)
        if arm == "Gaussian":
            return lambda wanted, rng: arms.gaussian(drawn, wanted, rng)
        if arm == "video GAN":
            columns = drawn.parts["picture"]
            pictures = (self.generated - drawn.mean[columns]) / drawn.deviation[columns]
            # The first attributes are motions, one for each kind of generated clip, the others are sounds.
            motions = len(pictures)
            kinds = np.stack([x.argmax(1) for x in np.split(drawn.attributes, [motions], axis=1)], 1)
            return lambda wanted, rng: arms.video(drawn, wanted, rng, pictures, kinds)
        make = gans.train(arm, drawn, seed, self.changes | own)

        def maker(wanted: np.ndarray, rng: Any) -> arms.Made:
            labels = np.repeat(np.arange(len(wanted)), wanted)
            return make(labels), labels

        return maker

    def learn(self, arm: str, drawn: Draw, seed: int, settings: Settings, make: Any) -> dict[str, Any]:
        """Figures of a classifier of the draw and what was made of it."""
        vectors, labels, weights = drawn.vectors, drawn.labels, None
        rng, classes = np.random.default_rng([seed, 1]), len(drawn.seen)
        # Else a class can be answered that has a vector, or was made one.
        more = {"allowed": drawn.told, "attributes": drawn.attributes} if arm == "attributes" else {}
        if arm == "class weighting":
            weights = arms.class_weights(labels, classes)
        elif arm == "mixup":
            mixed, shares = arms.mixup(vectors, labels, classes, settings["alpha"], rng)
            vectors, labels = (
                np.concatenate([vectors, mixed]),
                np.concatenate([np.eye(classes)[labels], shares]),
            )
        elif make is not None:
            made = make(arms.missing(drawn.counts, drawn.told, settings["fill"]), rng)
            vectors, labels = np.concatenate([vectors, made[0]]), np.concatenate([labels, made[1]])
        probe = fit_softmax(vectors, labels, classes, weights=weights, decay=settings["decay"], **more)
        guesses = probe.logits(drawn.held).argmax(1)
        return judge_classes(drawn.held_labels, guesses, drawn.seen) | {"rows": len(vectors)}

    def cells(self, regime: str, arm: str, seed: int, choices: Sequence[Settings]) -> list[dict[str, Any]]:
        """Figures by each of `choices`; a GAN is trained once for those that differ in nothing of its own."""
        drawn, rows = draw(self.pool, regime, seed), []
        own = [{k: v for k, v in choice.items() if "." in k} for choice in choices]
        for shared in [dict(x) for x in dict.fromkeys(tuple(x.items()) for x in own)]:
            began = time.perf_counter()
            made = "fill" in GRID[arm]
            make = self.maker(arm, drawn, seed, shared) if made else None
            for choice, mine in zip(choices, own, strict=True):
                if mine == shared:
                    figures = self.learn(arm, drawn, seed, choice, make)
                    seconds = round(time.perf_counter() - began, 1)
                    rows.append({"settings": choice, "figures": figures, "seconds": seconds})
        return rows

    # ------------------------------------------------------------------ all of them
    def each(self, kind: str, seeds: Sequence[int]) -> Iterator[tuple[Path, str, str, int]]:
        """Files of cells, with their regime, arm and seed."""
        for regime, seed, arm in itertools.product(self.regimes, seeds, self.arms):
            yield self.file(kind, regime, arm, seed), regime, arm, seed

    def made(self, arm: str) -> str:
        """What tells vectors and an arm's settings from others."""
        recipe = [gans.RECIPES[arm], gans.CONFIG.read_text()] if arm in gans.RECIPES else []
        what = [self.vectors, dict(GRID[arm]), recipe, self.changes]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]

    def file(self, kind: str, regime: str, arm: str, seed: int) -> Path:
        name = f"{self.dataset}_{regime}_{arm}_{seed}.json".replace(" ", "-")
        return self.work / kind / name

    def compute(
        self, kind: str, seeds: Sequence[int], choices: Callable[[str, str], Sequence[Settings]]
    ) -> None:
        """Cells that are not there yet. Raises SystemExit for one of other vectors, grids or recipes."""
        for path, regime, arm, seed in self.each(kind, seeds):
            if path.exists():
                if json.loads(path.read_text()).get("made") != self.made(arm):
                    raise SystemExit(f"{path} was made of other vectors or settings: choose another --work")
                continue
            rows = self.cells(regime, arm, seed, choices(regime, arm))
            about = {"dataset": self.dataset, "regime": regime, "arm": arm, "seed": seed}
            write(path, about | {"changes": self.changes, "made": self.made(arm), "rows": rows})
            best = max(rows, key=lambda row: report.figure(row, regime))
            print(f"{kind} {path.stem}: {report.figure(best, regime):.4f}", flush=True)

    @property
    def choices_file(self) -> Path:
        return self.work / f"{self.dataset}_choices.json"

    def choose(self, seeds: Sequence[int] = CHOOSING_SEEDS) -> dict[str, dict[str, Any]]:
        """regime -> arm -> the settings that are best on validation, in the mean over seeds; written once.

        Raises SystemExit where the test set has been looked at with others.
        """
        self.compute("validation", seeds, lambda regime, arm: list(settings_of(arm)))
        known = json.loads(self.choices_file.read_text()) if self.choices_file.exists() else {}
        for regime, arm in itertools.product(self.regimes, self.arms):
            if arm in known.get(regime, {}):
                continue
            if any(self.file("test", regime, arm, seed).exists() for seed in range(100)):
                raise SystemExit(f"{regime}, {arm}: judged on the test set before anything was chosen")
            rows = [
                json.loads(self.file("validation", regime, arm, seed).read_text())["rows"] for seed in seeds
            ]
            values = np.array([[report.figure(row, regime) for row in of_seed] for of_seed in rows]).mean(0)
            best = int(values.argmax())
            chosen = {"settings": rows[0][best]["settings"], "validation": float(values[best])}
            known.setdefault(regime, {})[arm] = chosen
        write(self.choices_file, known)
        return known

    def run(self, seeds: Sequence[int]) -> None:
        """Every regime, arm and seed with what was chosen, on the test set."""
        chosen = json.loads(self.choices_file.read_text()) if self.choices_file.exists() else {}
        for regime, arm in itertools.product(self.regimes, self.arms):
            if arm not in chosen.get(regime, {}):
                raise SystemExit(f"{regime}, {arm}: nothing is chosen yet: run.py choose {self.dataset}")
        if max(seeds) >= TUNING:
            raise SystemExit(f"seeds from {TUNING} on are for choosing")
        self.compute("test", seeds, lambda regime, arm: [chosen[regime][arm]["settings"]])


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with in_one_piece(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n")


def value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("features", "choose", "run", "table"))
    parser.add_argument("dataset", choices=DATASETS, nargs="?")
    parser.add_argument("--path", type=Path, help="of procgen, as experiments/datasets made it")
    parser.add_argument("--work", type=Path, default=cache_folder("case_study"), help="(%(default)s)")
    parser.add_argument("--out", type=Path, default=report.HERE, help="of `table` (this folder)")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--choosing-seeds", type=int, default=len(CHOOSING_SEEDS))
    parser.add_argument("--regimes", nargs="+", default=REGIMES, choices=REGIMES)
    parser.add_argument("--arms", nargs="+", default=tuple(GRID), choices=tuple(GRID))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the GANs' recipe")
    args = parser.parse_args(arguments)
    runtime.start()
    if args.what == "table":
        report.table(args.work, args.out, DATASETS, tuple(GRID))
        return
    if args.dataset is None:
        parser.error(f"{args.what} needs a data set: {' or '.join(DATASETS)}")
    if args.what == "features":
        out = args.work / f"{args.dataset}.npz"
        if out.exists():
            raise SystemExit(f"{out} is there already")
        if args.dataset == "procgen" and args.path is None:
            parser.error("procgen needs --path, a folder that experiments/datasets/run.py procgen made")
        if args.dataset == "procgen":
            extraction.procgen(out, args.path)
        else:
            extraction.shapeshow(out)
        return
    changes = {key: value(text) for key, _, text in (pair.partition("=") for pair in args.set)}
    study = Study(args.dataset, args.work, args.regimes, args.arms, changes)
    if args.what == "choose":
        print(json.dumps(study.choose([TUNING + i for i in range(args.choosing_seeds)]), indent=1))
    else:
        study.run(range(args.seeds))


if __name__ == "__main__":
    main()
