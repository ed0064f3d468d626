"""What long films take, of memory and of time: the commands that read one, each a process of its own.

taskset -c 1 python experiments/summarization/long.py --minutes 10 180      # results/long.json

Films are ShapeShow's, 64 x 64 at 8 frames a second with sound, ten of a minute in turns.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from vgm_jax.data.media import VideoWriter
from vgm_jax.data.sources.shapeshow_films import ShapeShowFilms

HERE = Path(__file__).parent
MODEL = "shapeshow-trunk"
FPS, MINUTE = 8, 480  # frames
COMMANDS = {
    "classify": ["classify", "FILM"],
    "classify --stream": ["classify", "FILM", "--stream"],
    "summarize": ["summarize", "FILM", "-o", "OUT/summary.mp4"],
    "summarize --shots kts": ["summarize", "FILM", "--shots", "kts", "-o", "OUT/kts.mp4"],
    "ask": ["ask", "FILM", "what colour is the star?"],
    "features": ["features", "FILM", "-o", "OUT/features.npz"],
}
# Not ru_maxrss, which a process inherits from the one that started it.
CODE = """
import sys
from vgm_jax import cli
cli.main(sys.argv[1:])
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0], file=sys.stderr)
"""


class Sound:
    """Sounds one after another, again and again, float32: as long as anybody reads it."""

    def __init__(self, sounds: list[np.ndarray]):
        self.samples = np.concatenate(sounds)

    def __getitem__(self, part: slice) -> np.ndarray:
        return self.samples.take(np.arange(part.start, part.stop), mode="wrap")


def write_film(path: Path, frames: int, films: list[dict[str, np.ndarray]]) -> None:
    """Films' pictures and sound in turns, `frames` in all, a frame at a time."""
    with VideoWriter(path, FPS, sound=Sound([film["audio"] for film in films])) as writer:
        for i in range(frames):
            turn, at = divmod(i, MINUTE)
            writer.write(films[turn % len(films)]["video"][at])


def measure(arguments: list[str]) -> dict[str, float]:
    """Seconds of a command, of them those that it computed, and the peak of its memory in MiB."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", CODE, *arguments, "--model", MODEL]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr[-2000:]}")
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    computed = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    peak = int(done.stderr.split()[-1]) / 1024
    return {"seconds": seconds, "processor_seconds": computed, "peak_mib": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=int, nargs="+", default=[10, 180])
    parser.add_argument("--only", nargs="+", default=list(COMMANDS), choices=COMMANDS, metavar="COMMAND")
    parser.add_argument("--name", default="long", help="of the result")
    args = parser.parse_args()
    source = ShapeShowFilms("test", size=64, frames=MINUTE, fps=FPS, audio=True)
    films = [source[i] for i in range(min(10, max(args.minutes)))]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for minutes in args.minutes:
            path = Path(folder) / f"{minutes}.mp4"
            write_film(path, minutes * MINUTE, films)
            for name in args.only:
                out = Path(folder) / f"{minutes}_{name.replace(' ', '_')}"
                given = [part.replace("FILM", str(path)).replace("OUT", str(out)) for part in COMMANDS[name]]
                rows.append({"command": name, "minutes": minutes} | measure(given))
                print(json.dumps(rows[-1]), flush=True)
                result = {"film_megabytes": path.stat().st_size / 1e6, "rows": rows}
                (HERE / "results" / f"{args.name}.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
