"""Ours and other video GANs at the same data and the same wall clock.

python experiments/contest/run.py data --data DATA --dataset shapeshow            # and others: --prepared DIR
python experiments/contest/run.py anchors --data DATA --dataset shapeshow
python experiments/contest/run.py ours --data DATA --dataset shapeshow --seed 0 --minutes 30 --out RUNS/ours_0
python experiments/contest/run.py measure --data DATA --samples FOLDER            # of a foreign contestant
python experiments/contest/run.py table

`ours` passes what else it is given, such as --config.optimizer.ema_decay=0.99, to the program it runs.
"""

import argparse
import json
import re
import subprocess
from pathlib import Path

from data import DATASETS, make

HERE = Path(__file__).parent
RESULTS = HERE / "results"


def write_tables(results: Path) -> None:
    """All tables, printed; of the project's own results into README.md too; pictures beside the results."""
    import tables

    text = ""
    for dataset in DATASETS:
        runs, anchors = tables.load(results, dataset)
        if not runs:
            continue
        text += tables.markdown(dataset, runs, anchors) + "\n"
        tables.curves(dataset, runs, anchors, results / f"{dataset}_curves.png")
        tables.sheets(dataset, runs, results, results / f"{dataset}.png")
        text += f"![curves](results/{dataset}_curves.png)\n\n![samples](results/{dataset}.png)\n\n"
    print(text or f"{results} has no results yet")
    if text and results == RESULTS:
        readme = HERE / "README.md"
        pattern = r"(<!-- tables -->\n).*(<!-- end -->)"
        readme.write_text(re.sub(pattern, lambda m: m[1] + text + m[2], readme.read_text(), flags=re.S))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    add = {name: commands.add_parser(name) for name in ("data", "anchors", "ours", "measure", "table")}
    for name, command in add.items():
        if name != "table":
            command.add_argument("--data", type=Path, required=True, help="folder of all data sets' arrays")
        if name in ("data", "anchors", "ours"):
            command.add_argument("--dataset", choices=DATASETS, required=True)
        if name != "data":
            command.add_argument("--results", type=Path, default=RESULTS)
    add["data"].add_argument("--prepared", type=Path, help="folder of what experiments/datasets made")
    add["measure"].add_argument("--samples", type=Path, required=True, help="folder with seconds.json")
    ours = add["ours"]
    ours.add_argument("--config", help="the recipe; default: the data set's")
    ours.add_argument("--name", default="ours", help="in the results")
    ours.add_argument("--seed", type=int, default=0)
    ours.add_argument("--minutes", type=float, default=30.0)
    ours.add_argument("--out", type=Path, required=True, help="a folder outside the repository")
    flags, rest = parser.parse_known_args()
    wrong = [x for x in rest if flags.command != "ours" or not x.startswith("--config.")]
    if wrong:
        parser.error(f"unexpected arguments: {' '.join(wrong)}")
    try:
        if flags.command == "data":
            print(json.dumps(make(flags.dataset, flags.data, flags.prepared), indent=1))
        elif flags.command == "table":
            write_tables(flags.results)
        else:
            import judge  # its networks take a while to load

            if flags.command == "anchors":
                print(judge.anchors(flags.data, flags.dataset, flags.results))
            elif flags.command == "ours":
                from ours import train

                config = flags.config or DATASETS[flags.dataset].config
                out = flags.results / f"{flags.dataset}_{flags.name}_{flags.seed}.json"
                if out.exists() and not flags.out.exists():
                    raise ValueError(f"{out} is of another run; move it away, or choose another --results")
                about = (flags.name, config, rest, flags.seed, flags.minutes, flags.out)
                train(flags.data, flags.dataset, *about)
                print(judge.measure(flags.data, flags.out, flags.results))
            else:
                print(judge.measure(flags.data, flags.samples, flags.results))
    except (ValueError, OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
