"""`vgm ...`: what a user does with trained models."""

import argparse
import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

import vgm_jax

LIMITS = {"black": "light", "frozen": "motion", "blurred": "sharpness"}  # of `vgm prepare`: reason, figure


def sample(args: argparse.Namespace) -> None:
    """Videos from a trained generator."""
    from vgm_jax.inference.files import sample_file
    from vgm_jax.inference.generator import load
    from vgm_jax.training import runtime

    runtime.start()
    model = load(args.model)
    settings = args.seed, args.n, args.frames, args.fps, args.scale, args.truncation
    print(sample_file(model, args.out, *settings, **_conditions(args)))


def stream(args: argparse.Namespace) -> None:
    """Endless video from a trained generator, to another program or a file; what is asked for may change."""
    from vgm_jax.data.media import VideoWriter
    from vgm_jax.inference.files import send
    from vgm_jax.inference.generator import load
    from vgm_jax.training import runtime

    runtime.start()
    model = load(args.model)
    frames = model.stream(args.seed, 0, args.frames, args.fps, args.truncation, **_conditions(args))
    asked = _lines(sys.stdin) if args.follow else None

    def hear() -> None:
        """What was written meanwhile is asked for; what cannot be is said, and the stream goes on."""
        while asked is not None and not asked.empty():
            text = asked.get().strip()
            try:
                frames.ask(args.blend, **({"text": text} if text else {}))
            except ValueError as error:
                print(f"vgm stream: {error}", file=sys.stderr, flush=True)

    if args.out == "-":
        pace = None if args.fast else args.fps or model.fps
        try:
            for _ in send(frames, sys.stdout.buffer, args.form, args.scale, pace):
                hear()
        except BrokenPipeError:  # nobody looks any more
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if args.frames is None and "audio" not in _conditions(args):
        raise ValueError("a file has an end: say how many --frames; or -o - for another program")
    with VideoWriter(args.out, args.fps or model.fps, scale=args.scale) as writer:
        for frame in frames:
            writer.write(frame)
            hear()
    print(args.out)


def _lines(file: IO[str]) -> queue.SimpleQueue[str]:
    """Lines of a file as they come, read beside everything else."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=lambda: [lines.put(line) for line in file], daemon=True).start()
    return lines


def _conditions(args: argparse.Namespace) -> dict[str, Any]:
    """What is asked for on the command line."""
    given = {name: getattr(args, name) for name in ("text", "label", "image", "last_image", "audio")}
    return {name: value for name, value in given.items() if value is not None}


def classify(args: argparse.Namespace) -> None:
    """What a film or a sound file shows: the likeliest classes, with probabilities."""
    from vgm_jax.inference import load_classifier
    from vgm_jax.training import runtime

    runtime.start()
    model = load_classifier(args.model)
    if not args.stream:
        for name, p in model.classify(args.film, args.top, args.views):
            print(f"{p:7.4f}  {name}")
        return
    last, told = None, -1.0
    for seconds, answer in model.stream(args.film, args.top):
        if answer[0][0] != last or seconds >= told + 1.0:
            last, told = answer[0][0], seconds
            print(f"{seconds:9.3f} s  " + "  ".join(f"{name} {p:.3f}" for name, p in answer), flush=True)


def summarize(args: argparse.Namespace) -> None:
    """A film's summary with its sound, chapters.json and contact_sheet.png beside it."""
    from vgm_jax.inference.summarizing import load_summarizer, summarize_file
    from vgm_jax.training import runtime

    runtime.start()
    model = load_summarizer(args.model)
    with _bar("s", "read") as bar:
        result = summarize_file(
            model,
            args.film,
            args.out,
            args.budget,
            seconds=args.seconds,
            shots=args.shots,
            progress=lambda seconds, of: bar(int(seconds), max(int(of), int(seconds), 1)),
        )
    for chapter in result["chapters"]:
        print(f"{chapter['start']:8.2f}  {chapter['importance']:.3f}  {chapter['title']}")
    print(
        f"{args.out}: {result['seconds']:.1f} of {result['film_seconds']:.1f} s, "
        f"{len(result['chapters'])} of {result['shots']} shots"
    )


def ask(args: argparse.Namespace) -> None:
    """A question about a film or a sound file: the likeliest answers; as a video, the moments that say so."""
    from vgm_jax.inference import load_answerer
    from vgm_jax.inference.asking import answer_file
    from vgm_jax.training import runtime

    runtime.start()
    model = load_answerer(args.model)
    model.encode(args.question)  # before anything long
    if not args.out:
        for name, p in model.ask(args.film, args.question, args.top):
            print(f"{p:7.4f}  {name}")
        return
    with _bar("s", "weigh") as bar:
        result = answer_file(
            model,
            args.film,
            args.question,
            args.out,
            top=args.top,
            seconds=args.seconds,
            progress=lambda seconds, of: bar(int(seconds), max(int(of), int(seconds), 1)),
        )
    for name, p in result["answers"]:
        print(f"{p:7.4f}  {name}")
    for moment in result["moments"]:
        print(f"{moment['start']:9.3f} - {moment['end']:.3f} s  {moment['support']:+.3f}")
    print(args.out)


def features(args: argparse.Namespace) -> None:
    """Vectors of all films and sounds of a folder: pooled and per frame, of each modality, as .npz."""
    from vgm_jax.inference import load_classifier
    from vgm_jax.inference.understanding import features_file
    from vgm_jax.training import runtime

    runtime.start()
    model = load_classifier(args.model)
    with _bar("files", "features") as progress:
        count, rejected = features_file(model, args.src, args.out, progress)
    for name, why in rejected:
        print(f"left out: {name}: {why}")
    print(f"{args.out}: {count} files" + (f", {len(rejected)} left out" if rejected else ""))


def evaluate(args: argparse.Namespace) -> None:
    """How far one set of videos is from another: distances, anchors, checks."""
    from vgm_jax.inference.measuring import evaluate_files
    from vgm_jax.training import runtime
    from vgm_jax.training.writers import result_table

    runtime.start()
    with _bar("clips", "evaluate") as progress:
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


def collect(args: argparse.Namespace) -> None:
    """Videos from a manifest of URLs and paths into a folder: resumable, verified, none twice."""
    from collections import Counter

    from vgm_jax.preparation.collect import Limits, collect
    from vgm_jax.training.writers import summary_table

    limits = Limits(
        max_bytes=args.max_mb * 10**6,
        timeout=args.timeout,
        deadline=args.deadline,
        retries=args.retries,
        workers=args.workers,
        per_host=args.per_host,
    )
    with _bar("files", "collect") as progress:
        lines = collect(args.manifest, args.out, limits, not args.no_probe, progress)
    count = Counter(line["status"] for line in lines)
    size = sum(line["bytes"] for line in lines if line["status"] == "collected")
    rows = {status: str(count[status]) for status in ("collected", "duplicate", "failed")}
    summary_table("rows of the manifest", rows | {"megabytes": f"{size / 1e6:.1f}"})
    failed = [line for line in lines if line["status"] == "failed"]
    for line in failed[:20]:
        print(f"row {line['row']}: {line.get('url') or line.get('path')!r}: {line['reason']}")
    listed = f"{args.out}/collected.jsonl"
    if len(failed) > 20:
        print(f"... and {len(failed) - 20} more")
    if len(failed) == len(lines):
        raise RuntimeError(f"nothing could be collected; reasons are in {listed}")
    print(listed)


def prepare(args: argparse.Namespace) -> None:
    """A folder of anything to a clean data set: shots, clips, cleaning, splits; resumable."""
    from vgm_jax.preparation.prepare import prepare
    from vgm_jax.preparation.records import Settings
    from vgm_jax.training.writers import summary_table

    limits = {name: getattr(args, name) for name in LIMITS if getattr(args, name) is not None}
    with _bar("videos", "prepare") as progress:
        summary = prepare(
            args.src,
            args.out,
            Settings(args.size, args.fps, args.frames, not args.no_audio, args.rate, **limits),
            workers=args.workers,
            seed=args.seed,
            held_out=args.held_out,
            groups=args.groups,
            licence=args.licence,
            runner=args.runner,
            runner_options=args.runner_option,
            progress=progress,
        )
    rows = {name: str(summary[name]) for name in ("videos", "used", "shots", "clips")}
    rows |= {"minutes": f"{summary['seconds'] / 60:.1f}"}
    rows |= {f"clips in {split}": str(count) for split, count in summary["splits"].items()}
    rows |= {f"left out: {reason}": str(count) for reason, count in summary["rejected"].items()}
    summary_table("prepared", rows)
    for warning in summary["warnings"]:
        print(f"warning: {warning}")
    print(summary["report"])


@contextlib.contextmanager
def _bar(unit: str, description: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar, to be told how many are done, of how many."""
    from vgm_jax.training.writers import Progress

    with Progress(1, unit=unit, description=description) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done)

        yield progress


def positive(text: str) -> int:
    """A number of the command line that must be above zero."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} must be positive")
    return value


def asked_for(command: argparse.ArgumentParser) -> None:
    """Options that say what a sample is to show."""
    command.add_argument("--text", help='such as "a red star bounces"')
    command.add_argument("--class", dest="label", help="by name or number")
    command.add_argument("--image", metavar="FILE", help="the first frame")
    command.add_argument("--last-image", metavar="FILE", help="the last frame: with --image, in-betweening")
    command.add_argument("--audio", metavar="FILE", help="a sound that motion follows, and the video has")
    command.add_argument(
        "--truncation", type=float, default=1.0, help="0 to 1: under 1, more alike and of less surprise"
    )


def parser() -> argparse.ArgumentParser:
    """The command line; each command is a function of this module."""
    top = argparse.ArgumentParser(prog="vgm", description=vgm_jax.__doc__)
    top.add_argument("--version", action="version", version=vgm_jax.__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = commands.add_parser("sample", help=sample.__doc__, description=sample.__doc__)
    command.set_defaults(run=sample)
    command.add_argument("--model", required=True, help="a workdir, or a model that comes with the package")
    command.add_argument("-o", "--out", default="sample.mp4", help="the file: .mp4, .gif, .webm, .mkv, .mov")
    command.add_argument("--n", type=int, default=1, help="videos; several make a grid")
    command.add_argument("--frames", type=int, help="frames a video; by default as in training, at least 16")
    command.add_argument("--fps", type=float, help="frames a second; by default as in training")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--scale", type=int, help="enlarge by a whole number; by default for the eye")
    asked_for(command)

    command = commands.add_parser("stream", help=stream.__doc__, description=stream.__doc__)
    command.epilog = 'For example: vgm stream --model shapeshow --text "a red star bounces" -o - | ffplay -'
    command.set_defaults(run=stream)
    command.add_argument("--model", required=True, help="a workdir, or a model that comes with the package")
    command.add_argument("-o", "--out", default="-", help="-: standard output; or a file: .mp4, .gif, ...")
    command.add_argument("--form", default="mjpeg", help="of standard output: mjpeg, or raw (RGB, 8 bits)")
    command.add_argument("--frames", type=positive, help="frames; by default without end")
    command.add_argument("--fps", type=float, help="frames a second; by default as in training")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--scale", type=positive, default=1, help="enlarge by a whole number")
    command.add_argument("--fast", action="store_true", help="as fast as they come, not --fps a second")
    command.add_argument(
        "--follow", action="store_true", help="each line of standard input is the next --text; empty: none"
    )
    command.add_argument("--blend", type=float, default=0.5, help="seconds from one text to the next")
    asked_for(command)

    command = commands.add_parser("classify", help=classify.__doc__, description=classify.__doc__)
    command.set_defaults(run=classify)
    command.add_argument("film", metavar="FILE", help="with sound or without, or sound alone")
    command.add_argument("--model", required=True, help="a workdir of task classification")
    command.add_argument("--top", type=positive, default=5, help="classes that are listed")
    command.add_argument(
        "--views", type=positive, default=10, help="clips, spread over the film, that are averaged"
    )
    command.add_argument(
        "--stream", action="store_true", help="a running answer; a line when it changes, or each second"
    )

    command = commands.add_parser("summarize", help=summarize.__doc__, description=summarize.__doc__)
    command.set_defaults(run=summarize)
    command.add_argument("film", metavar="FILE", help="a film in any form, with sound or without")
    command.add_argument("--model", required=True, help="a workdir of task summarization")
    command.add_argument("-o", "--out", default="summary.mp4", help="the file: .mp4, .mov, .mkv")
    command.add_argument("--budget", type=float, default=0.15, help="part of the film, above 0, at most 1")
    command.add_argument("--seconds", type=float, help="how long it may be, instead")
    command.add_argument(
        "--shots",
        default="transnet",
        help="transnet: cuts and dissolves; kts: where what is seen changes, for films with few cuts",
    )

    command = commands.add_parser("ask", help=ask.__doc__, description=ask.__doc__)
    command.set_defaults(run=ask)
    command.add_argument("film", metavar="FILE", help="with sound or without, or sound alone")
    command.add_argument("question", metavar="QUESTION", help='such as "what colour is the star?"')
    command.add_argument("--model", required=True, help="a workdir of task question_answering")
    command.add_argument("--top", type=positive, default=5, help="answers that are listed")
    command.add_argument(
        "-o", "--out", help="a video of what supports the answer, with it as title: .mp4, .mov, .mkv"
    )
    command.add_argument("--seconds", type=float, default=10.0, help="that it lasts, at most")

    command = commands.add_parser("features", help=features.__doc__, description=features.__doc__)
    command.set_defaults(run=features)
    command.add_argument("src", metavar="DIR", help="a folder of films and sounds, or one of them")
    command.add_argument("--model", required=True, help="a workdir of task classification, with a trunk")
    command.add_argument("-o", "--out", default="features.npz", help="the file: .npz")

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

    command = commands.add_parser("collect", help=collect.__doc__, description=collect.__doc__)
    command.epilog = "Addresses of private networks are fetched, too: read a stranger's manifest first."
    command.set_defaults(run=collect)
    columns = "CSV or .jsonl with url or path, and licence, caption, sha256, name and others as you like"
    command.add_argument("manifest", help=f"{columns}; paths are relative to it")
    command.add_argument(
        "-o", "--out", required=True, help="the folder; what is in it already is not fetched again"
    )
    command.add_argument("--max-mb", type=positive, default=4000, help="megabytes a file, at most")
    command.add_argument("--timeout", type=float, default=30, help="seconds without a byte, at most")
    command.add_argument("--deadline", type=float, default=3600, help="seconds a file, at most")
    command.add_argument("--retries", type=int, default=4, help="attempts after the first")
    command.add_argument("--workers", type=positive, default=8, help="files at once")
    command.add_argument("--per-host", type=positive, default=4, help="files at once from one host")
    command.add_argument("--no-probe", action="store_true", help="keep what does not open as a video, too")

    command = commands.add_parser("prepare", help=prepare.__doc__, description=prepare.__doc__)
    command.epilog = (
        "What was left out, and why, is in DIR/rejected.jsonl; pictures of it in DIR/report.html."
    )
    command.set_defaults(run=prepare)
    command.add_argument("src", metavar="SRC", help="a folder of videos, in any mix of forms; or one video")
    command.add_argument(
        "-o", "--out", metavar="DIR", required=True, help="the data set's folder; run again, it goes on"
    )
    command.add_argument("--size", type=positive, default=64, help="height and width of a clip, pixels")
    command.add_argument("--fps", type=float, default=12.0, help="frames a second; 0: as they are")
    command.add_argument("--frames", type=positive, default=16, help="frames a clip")
    command.add_argument("--no-audio", action="store_true", help="without sound")
    command.add_argument(
        "--rate", type=float, default=0.0, help="frames a second of folders of pictures and .npy; 0: as --fps"
    )
    command.add_argument("--licence", default="", help="of videos of which no collected.jsonl tells one")
    command.add_argument("--seed", type=int, default=0, help="of which videos are for validation and test")
    command.add_argument(
        "--held-out", type=float, default=0.1, help="part of the videos for validation, and again for test"
    )
    command.add_argument(
        "--groups",
        action="store_true",
        help="the folders right under SRC, such as patients or cameras, are in one split each",
    )
    for name, figure in LIMITS.items():
        text = f"{figure} under which a clip is {name} and left out, as report.html shows it; 0: none is"
        command.add_argument(f"--{name}", type=float, help=text)
    command.add_argument("--workers", type=positive, help="processes; by default one a core")
    command.add_argument(
        "--runner",
        default="",
        help="run on Apache Beam instead: DirectRunner, FlinkRunner, ... (extra: beam)",
    )
    command.add_argument(
        "--runner-option",
        action="append",
        default=[],
        metavar="OPTION",
        help="such as --streaming; repeatable",
    )
    return top


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command; an error a user can cause ends in one line and exit status 1."""
    args = parser().parse_args(argv)
    try:
        args.run(args)
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"vgm {args.command}: error: {error}")
    except KeyboardInterrupt:
        sys.exit(f"vgm {args.command}: interrupted")


if __name__ == "__main__":
    main()
