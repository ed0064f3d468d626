"""`vgm ...`: what a user does with trained models."""

import argparse
import contextlib
import io
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

from vgm_jax import arguments
from vgm_jax.arguments import LIMITS

WAITING = 64  # lines for a stream that it has not got to yet


def sample(args: argparse.Namespace) -> None:
    """Videos from a trained generator."""
    from vgm_jax.inference import load_sampler
    from vgm_jax.inference.files import sample_file
    from vgm_jax.training import runtime

    runtime.start()
    model = load_sampler(args.model)
    settings = args.seed, args.n, args.frames, args.fps, args.scale, args.truncation
    print(sample_file(model, args.out, *settings, **_conditions(args)))


def stream(args: argparse.Namespace) -> None:
    """Endless video from a trained generator, to another program or a file; what is asked for may change."""
    from vgm_jax.data.files import keep_apart
    from vgm_jax.data.media import VideoWriter
    from vgm_jax.inference import load_sampler
    from vgm_jax.inference.checks import check_guided
    from vgm_jax.inference.files import heard, read_by, send
    from vgm_jax.training import runtime

    if args.label == "all":
        raise ValueError("--class all is for several samples (vgm sample --n); a stream is one: name a class")
    given, sound = _conditions(args), None
    if args.frames is None and args.actions and not args.follow and args.out != "-":
        args.frames = 1 + len(args.actions)  # as `vgm sample` has them
    if args.frames is None and args.out != "-" and not {"audio", "video"} & set(given):
        raise ValueError("a file has an end: say how many --frames; or -o - for another program")
    if args.blend is not None and not (args.follow and args.blend >= 0):
        raise ValueError(f"--blend {args.blend:g}: with --follow alone, and not negative")
    blend = {} if args.blend is None else {"blend": args.blend}
    if args.out != "-" and (args.form or args.fast):
        raise ValueError("--form and --fast are of standard output: leave them out, or -o -")
    if not args.follow:
        check_guided(args.guidance, given)
    if args.out != "-":
        keep_apart(args.out, *read_by(given))
    runtime.start()
    model = load_sampler(args.model)
    if args.out != "-":
        given, sound = heard(model, given, args.frames, args.fps)
    frames = model.stream(args.seed, 0, args.frames, args.fps, args.truncation, **given)
    asked = _lines(sys.stdin) if args.follow else None

    def hear() -> None:
        """What was written meanwhile is asked for; what cannot be is said, and the stream goes on."""
        for _ in range(asked.qsize() if asked else 0):  # as many as there are by now: frames go on
            try:
                frames.told(asked.get().strip(), **blend)
            except (ValueError, OSError, ImportError) as error:
                print(f"vgm stream: {error}", file=sys.stderr, flush=True)

    if args.out == "-":
        pace = None if args.fast else args.fps or model.fps
        for _ in send(frames, sys.stdout.buffer, args.form or "mjpeg", args.scale, pace):
            hear()
        return
    with VideoWriter(args.out, args.fps or model.fps, scale=args.scale, sound=sound) as writer:
        for frame in frames:
            writer.write(frame)
            hear()
    print(args.out)


def _lines(file: IO[str]) -> queue.Queue[str]:
    """Lines of a file as they come, read beside everything else; when many wait, so does who writes them."""
    if isinstance(file, io.TextIOWrapper):
        file.reconfigure(errors="replace")
    lines: queue.Queue[str] = queue.Queue(WAITING)
    threading.Thread(target=lambda: [lines.put(line) for line in file], daemon=True).start()
    return lines


def _conditions(args: argparse.Namespace) -> dict[str, Any]:
    """What is asked for on the command line."""
    names = ("text", "label", "image", "last_image", "video", "audio", "guidance", "actions")
    given = {name: getattr(args, name) for name in names}
    if args.pictures:
        given["pictures"] = dict(args.pictures)
        if len(given["pictures"]) < len(args.pictures):
            raise ValueError("--picture: give one for each time")
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
            progress=bar,
        )
    for chapter in result["chapters"]:
        print(f"{chapter['start']:8.2f}  {chapter['importance']:.3f}  {chapter['title']}")
    print(
        f"{args.out}: {result['seconds']:.1f} of {result['film_seconds']:.1f} s, "
        f"{len(result['chapters'])} of {result['shots']} shots"
    )


def ask(args: argparse.Namespace) -> None:
    """A question about a film or a sound file: the likeliest answers; as a video, the moments that say so."""
    from vgm_jax.inference import load_answerer, load_sampler
    from vgm_jax.inference.asking import SECONDS, answer_file, imagine_answer
    from vgm_jax.training import runtime

    if args.generate and not args.out:
        raise ValueError("--generate makes a video: say its name with --out")
    if args.seconds is not None and not args.out:
        raise ValueError("--seconds is how long a video lasts: say its name with --out")
    seconds = SECONDS if args.seconds is None else args.seconds
    runtime.start()
    model = load_answerer(args.model)
    model.encode(args.question)  # before anything long
    if not args.out:
        for name, p in model.ask(args.film, args.question, args.top):
            print(f"{p:7.4f}  {name}")
        return
    if args.generate:
        made = load_sampler(args.generate), args.film, args.question, args.out
        for name, p in imagine_answer(model, *made, top=args.top, seconds=seconds)["answers"]:
            print(f"{p:7.4f}  {name}")
        print(args.out)
        return
    with _bar("s", "weigh") as bar:
        result = answer_file(
            model,
            args.film,
            args.question,
            args.out,
            top=args.top,
            seconds=seconds,
            progress=bar,
        )
    for name, p in result["answers"]:
        print(f"{p:7.4f}  {name}")
    for moment in result["moments"]:
        print(f"{moment['start']:9.3f} - {moment['end']:.3f} s  {moment['support']:+.3f}")
    print(args.out)


def features(args: argparse.Namespace) -> None:
    """Vectors of all films and sounds of a folder: pooled, and one a tubelet or patch of sound, as .npz."""
    from vgm_jax.inference import load_classifier
    from vgm_jax.inference.features import features_file
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
            rate=args.rate,
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
            classes=args.classes,
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
def _bar(unit: str, description: str) -> Iterator[Callable[[float, float], None]]:
    """A progress bar, to be told how many are done, of how many; 0: that is not known."""
    from vgm_jax.training.writers import Progress

    with Progress(1, unit=unit, description=description) as bar:

        def progress(done: float, total: float) -> None:
            bar.total = int(total) or int(done) + 1  # of what has no known length, never the end
            bar.update(int(done))

        yield progress


COMMANDS = (sample, stream, classify, summarize, ask, features, evaluate, report, collect, prepare)


def parser() -> argparse.ArgumentParser:
    """The command line; each command is a function of this module."""
    return arguments.parser({command.__name__: command for command in COMMANDS})


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command; an error a user can cause ends in one line and exit status 1."""
    args = parser().parse_args(argv)
    try:
        args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # nobody looks any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, OSError, OverflowError, ImportError, RuntimeError) as error:
        sys.exit(f"vgm {args.command}: error: {error}")
    except KeyboardInterrupt:
        sys.exit(f"vgm {args.command}: interrupted")


if __name__ == "__main__":
    main()
