"""`vgm ...`: what a user does with trained models."""

import argparse
import sys
from collections.abc import Sequence

import vgm_jax


def sample(args: argparse.Namespace) -> None:
    """Videos from a trained generator."""
    from vgm_jax.inference import load
    from vgm_jax.inference.files import sample_file
    from vgm_jax.training import runtime

    runtime.start()
    model = load(args.model)
    print(sample_file(model, args.out, args.seed, args.n, args.frames, args.fps, args.scale))


def evaluate(args: argparse.Namespace) -> None:
    """How far one set of videos is from another: distances, anchors, checks."""
    from vgm_jax.inference.measuring import evaluate_files
    from vgm_jax.training import runtime
    from vgm_jax.training.writers import Progress, result_table

    runtime.start()
    with Progress(1, unit="clips", description="evaluate") as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done)

        result = evaluate_files(
            args.real,
            args.fake,
            args.out,
            networks=tuple(name.strip() for name in args.networks.split(",")),
            count=args.count,
            frames=args.frames,
            size=args.size,
            fps=args.fps,
            training=args.training,
            seed=args.seed,
            progress=progress,
        )
    result_table(result)
    print(args.out)


def report(args: argparse.Namespace) -> None:
    """One page that compares results and runs: tables, curves and videos."""
    from vgm_jax.evaluation.report import report

    print(report(args.results, args.out, args.force))


def positive(text: str) -> int:
    """A number of the command line that must be above zero."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} must be positive")
    return value


def parser() -> argparse.ArgumentParser:
    """The command line; each command is a function of this module."""
    top = argparse.ArgumentParser(prog="vgm", description=vgm_jax.__doc__)
    top.add_argument("--version", action="version", version=vgm_jax.__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = commands.add_parser("sample", help=sample.__doc__, description=sample.__doc__)
    command.set_defaults(run=sample)
    command.add_argument("--model", required=True, help="a workdir")
    command.add_argument("-o", "--out", default="sample.mp4", help="the file: .mp4, .gif, .webm, .mkv, .mov")
    command.add_argument("--n", type=int, default=1, help="videos; several make a grid")
    command.add_argument("--frames", type=int, help="frames a video; by default as in training, at least 16")
    command.add_argument("--fps", type=float, help="frames a second; by default as in training")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--scale", type=int, help="enlarge by a whole number; by default for the eye")

    command = commands.add_parser("evaluate", help=evaluate.__doc__, description=evaluate.__doc__)
    command.set_defaults(run=evaluate)
    sets = "a folder[:SPLIT] or file of videos, a workdir (its samples), or a data set: shapeshow[:SPLIT]"
    command.add_argument("--real", required=True, help=sets)
    command.add_argument("--fake", required=True, help="what is judged: likewise")
    copied = (
        "what the fake might be copied from: likewise; by default a workdir's training data, else the real"
    )
    command.add_argument("--training", help=copied)
    command.add_argument(
        "-o", "--out", default="result.json", help="the result; videos are written beside it"
    )
    command.add_argument("--networks", default="transnet,efficientnet", help="feature networks, by commas")
    command.add_argument("--count", type=positive, default=2048, help="clips of each set, at most")
    command.add_argument("--frames", type=positive, help="of a clip; by default the model's, else 16")
    command.add_argument("--size", type=positive, help="crop to a square and resize to it")
    command.add_argument(
        "--fps", type=float, help="resample in time; by default the model's, else as in the files"
    )
    command.add_argument("--seed", type=int, default=0)

    command = commands.add_parser("report", help=report.__doc__, description=report.__doc__)
    command.set_defaults(run=report)
    command.add_argument("results", nargs="+", help="results of `vgm evaluate`, and workdirs of runs")
    command.add_argument("-o", "--out", default="report.html", help="the page: .html")
    command.add_argument(
        "--force", action="store_true", help="even if their protocols differ; the page says so"
    )
    return top


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command; an error a user can cause ends in one line and exit status 1."""
    args = parser().parse_args(argv)
    try:
        args.run(args)
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"vgm {args.command}: error: {error}")


if __name__ == "__main__":
    main()
