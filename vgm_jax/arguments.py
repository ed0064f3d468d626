"""What `vgm ...` can be told: its commands' options."""

import argparse
from collections.abc import Callable, Mapping

import vgm_jax

LIMITS = {"black": "light", "frozen": "motion", "blurred": "sharpness"}  # of `vgm prepare`: reason, figure


def positive(text: str) -> int:
    """A number of the command line that must be above zero."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} must be positive")
    return value


def integers(text: str) -> list[int]:
    """Whole numbers of the command line, by commas."""
    try:
        return [int(number) for number in text.split(",")] if text else []
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be whole numbers, by commas") from None


def at_a_time(text: str) -> tuple[float, str]:
    """SECONDS=FILE of the command line."""
    seconds, mark, file = text.partition("=")
    try:
        at = float(seconds)
    except ValueError:
        at = -1.0
    if not (at >= 0 and mark and file):
        raise argparse.ArgumentTypeError(f"{text!r} must be SECONDS=FILE, such as 0.5=middle.png")
    return at, file


def asked_for(command: argparse.ArgumentParser) -> None:
    """Options that say what a sample is to show."""
    command.add_argument("--text", help='such as "a red star bounces"')
    command.add_argument("--class", dest="label", help="by name or number; all: each in turn, with --n")
    command.add_argument("--image", metavar="FILE", help="the first frame")
    command.add_argument("--last-image", metavar="FILE", help="the last frame: with --image, in-betweening")
    command.add_argument(
        "--picture",
        dest="pictures",
        type=at_a_time,
        action="append",
        metavar="SECONDS=FILE",
        help="what is to be seen then; any number of them",
    )
    command.add_argument("--video", metavar="FILE", help="what is gone on from; by default a clip longer")
    command.add_argument("--audio", metavar="FILE", help="a sound that motion follows, and the video has")
    command.add_argument(
        "--actions",
        type=integers,
        metavar="7,7,5",
        help="what is done before each frame after the first; the last goes on",
    )
    command.add_argument(
        "--guidance", type=float, help="above 1: shows what is asked for more plainly, and varies less"
    )
    command.add_argument(
        "--truncation", type=float, default=1.0, help="0 to 1: under 1, more alike and of less surprise"
    )


def parser(run: Mapping[str, Callable[[argparse.Namespace], None]]) -> argparse.ArgumentParser:
    """The command line; `run`: name -> what does the command, whose docstring is its help."""
    top = argparse.ArgumentParser(prog="vgm", description=vgm_jax.__doc__)
    top.add_argument("--version", action="version", version=vgm_jax.__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=run[name].__doc__, description=run[name].__doc__)
        command.set_defaults(run=run[name])
        return command

    command = add("sample")
    command.add_argument("--model", required=True, help="a workdir, or a model that comes with the package")
    command.add_argument("-o", "--out", default="sample.mp4", help="the file: .mp4, .gif, .webm, .mkv, .mov")
    command.add_argument("--n", type=int, default=1, help="videos; several make a grid")
    command.add_argument("--frames", type=int, help="frames a video; by default as in training, at least 16")
    command.add_argument("--fps", type=float, help="frames a second; by default as in training")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--scale", type=int, help="enlarge by a whole number; by default for the eye")
    asked_for(command)

    command = add("stream")
    command.epilog = 'For example: vgm stream --model shapeshow --text "a red star bounces" -o - | ffplay -'
    command.add_argument("--model", required=True, help="a workdir, or a model that comes with the package")
    command.add_argument("-o", "--out", default="-", help="-: standard output; or a file: .mp4, .gif, ...")
    command.add_argument("--form", help="of standard output: mjpeg (the default), or raw (RGB, 8 bits)")
    command.add_argument("--frames", type=positive, help="frames; by default without end")
    command.add_argument("--fps", type=float, help="frames a second; by default as in training")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--scale", type=positive, default=1, help="enlarge by a whole number")
    command.add_argument("--fast", action="store_true", help="as fast as they come, not --fps a second")
    command.add_argument(
        "--follow",
        action="store_true",
        help="each line of standard input is the next --text (empty: none), or more --actions",
    )
    command.add_argument("--blend", type=float, help="with --follow: seconds from a text to the next (0.5)")
    asked_for(command)

    command = add("classify")
    command.add_argument("film", metavar="FILE", help="with sound or without, or sound alone")
    command.add_argument("--model", required=True, help="a workdir of task classification")
    command.add_argument("--top", type=positive, default=5, help="classes that are listed")
    way = command.add_mutually_exclusive_group()
    way.add_argument(
        "--views", type=positive, default=10, help="clips, spread over the film, that are averaged"
    )
    way.add_argument(
        "--stream", action="store_true", help="a running answer; a line when it changes, or each second"
    )

    command = add("summarize")
    command.add_argument("film", metavar="FILE", help="a film in any form, with sound or without")
    command.add_argument("--model", required=True, help="a workdir of task summarization")
    command.add_argument("-o", "--out", default="summary.mp4", help="the file: .mp4, .mov, .mkv")
    length = command.add_mutually_exclusive_group()
    length.add_argument("--budget", type=float, default=0.15, help="part of the film, above 0, at most 1")
    length.add_argument("--seconds", type=float, help="how long it may be, instead")
    command.add_argument(
        "--shots",
        default="transnet",
        help="transnet: cuts and dissolves; kts: where what is seen changes, for films with few cuts",
    )

    command = add("ask")
    command.add_argument("film", metavar="FILE", help="with sound or without, or sound alone")
    command.add_argument("question", metavar="QUESTION", help='such as "what colour is the star?"')
    command.add_argument("--model", required=True, help="a workdir of task question_answering")
    command.add_argument("--top", type=positive, default=5, help="answers that are listed")
    command.add_argument(
        "-o", "--out", help="a video of what supports the answer, with it as title: .mp4, .mov, .mkv"
    )
    command.add_argument(
        "--generate", metavar="MODEL", help="a generator that makes it of the answer instead, asked by text"
    )
    command.add_argument("--seconds", type=float, help="that it lasts, at most, with -o; 10 by default")

    command = add("features")
    command.add_argument("src", metavar="DIR", help="a folder of films and sounds, or one of them")
    command.add_argument("--model", required=True, help="a workdir of task classification, with a trunk")
    command.add_argument("-o", "--out", default="features.npz", help="the file: .npz")

    command = add("evaluate")
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
    command.add_argument(
        "--rate", type=float, help="frames a second of folders of pictures and .npy; by default as --fps"
    )
    command.add_argument("--seed", type=int, default=0)

    command = add("report")
    command.add_argument("results", nargs="+", help="results of `vgm evaluate`, and workdirs of runs")
    command.add_argument("-o", "--out", default="report.html", help="the page: .html")
    command.add_argument(
        "--force", action="store_true", help="even if their protocols differ; the page says so"
    )

    command = add("collect")
    command.epilog = "Addresses of private networks are fetched, too: read a stranger's manifest first."
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

    command = add("prepare")
    command.epilog = (
        "What was left out, and why, is in DIR/rejected.jsonl; pictures of it in DIR/report.html."
    )
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
        help="folders right under SRC, such as patients or cameras, are in one split each, and no classes",
    )
    command.add_argument("--classes", action="store_true", help="with --groups: SRC/CLASS/GROUP/film.mp4")
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
