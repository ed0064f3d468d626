"""How fast footage is prepared and how long training waits for data; see README.md.

python experiments/input_pipeline/run.py [--film FILM] [--parts rate,workers,memory,training]
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RATE, SIDE, FRAMES = 12.0, 64, 16  # of the clips


# ---------------------------------------------------------------------------------------------------------- #
# Films
# ---------------------------------------------------------------------------------------------------------- #


def draw(path: Path, minutes: float) -> Path:
    """A film of FFmpeg's test picture, 640 x 360, 24 frames a second, of another colour every two seconds."""
    count = int(minutes * 60 * 24)
    with av.open("testsrc2=size=640x360:rate=24", format="lavfi") as source, av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=24, options={"preset": "veryfast", "crf": "23"})
        stream.height, stream.width, stream.pix_fmt = 360, 640, "yuv420p"
        for i, frame in zip(range(count), source.decode(video=0), strict=False):
            planes = frame.reformat(format="yuv420p").to_ndarray()
            planes[360:] += np.uint8(37 * (i // 48))
            picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            picture.pts, picture.time_base = i, Fraction(1, 24)
            out.mux(stream.encode(picture))
        out.mux(stream.encode())
    return path


def cut(film: Path, path: Path, start: float, seconds: float) -> Path:
    """A part of a film, its packets as they are, from the key frame before `start` on."""
    with av.open(str(film)) as source, av.open(str(path), "w") as out:
        streams = [source.streams.video[0], *source.streams.audio[:1]]
        copies = {s.index: out.add_stream_from_template(s) for s in streams}
        source.seek(int(start * 1_000_000))
        for packet in source.demux(streams):
            if packet.dts is None:
                continue
            if float(packet.dts * packet.time_base) >= start + seconds:
                break
            packet.stream = copies[packet.stream.index]
            out.mux(packet)
    return path


# ---------------------------------------------------------------------------------------------------------- #
# Rate
# ---------------------------------------------------------------------------------------------------------- #


def decode_alone(film: Path) -> int:
    """Frames of a film that PyAV decodes, on one thread, and that are then let go."""
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return sum(1 for _ in container.decode(stream))


def prepare_source(film: Path, cuts: bool = True) -> int:
    """Goes through all that `vgm prepare` does with one source; without `cuts` no shots are looked for."""
    from vgm_jax.preparation import source as module
    from vgm_jax.preparation.records import Settings, Source

    with shots_found(cuts):
        settings = Settings(size=SIDE, fps=RATE, frames=FRAMES)
        return sum(1 for _ in module.process(Source(film.name, film), settings))


@contextlib.contextmanager
def shots_found(cuts: bool):
    """Without `cuts`, frames are resized for the network, which is not asked."""
    from vgm_jax.preparation import source as module

    found = module.transition_probabilities
    if not cuts:
        module.transition_probabilities = lambda frames: ((0.0, 0.0) for _ in frames)
    try:
        yield
    finally:
        module.transition_probabilities = found


def decode_and_resize(film: Path) -> int:
    """Of what `vgm prepare` does with a source, the frames of its clips: no cuts, no clips, no sound."""
    from vgm_jax.data.decode import open_reader
    from vgm_jax.preparation import source as module
    from vgm_jax.preparation.records import Settings

    reader = open_reader(film, RATE, None, partial=True)
    with contextlib.closing(reader):
        footage = module._Footage(reader, Settings(size=SIDE, fps=RATE, frames=FRAMES), None)
        footage.step = 2**62  # no frame but the first is looked at small
        return sum(1 for _ in footage.small_frames())


def rate(film: Path, folder: Path, rounds: int) -> dict:
    """Frames per second of processor time, in turn, so that what else the machine does hits all alike."""
    part = cut(film, folder / "part.mkv", 60.0, 20.0)
    frames = decode_alone(part)
    ways = {
        "PyAV alone": lambda: decode_alone(part),
        "decoded and resized": lambda: decode_and_resize(part),
        "all but the network": lambda: prepare_source(part, cuts=False),
        "all": lambda: prepare_source(part),
    }
    for way in ways.values():
        way()  # compiles
    seconds = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.process_time()
            way()
            seconds[name].append(time.process_time() - began)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    pairs = {name: zip(seconds["PyAV alone"], values, strict=True) for name, values in seconds.items()}
    return {
        "frames": frames,
        "processor_seconds": seconds,
        "frames_per_processor_second": {name: frames / value for name, value in median.items()},
        "of_decoding_alone": {
            name: statistics.median(a / b for a, b in pair) for name, pair in pairs.items()
        },
    }


# ---------------------------------------------------------------------------------------------------------- #
# Workers, memory
# ---------------------------------------------------------------------------------------------------------- #


def run_prepare(source: Path, out: Path, workers: int, cuts: bool = True) -> dict:
    """`vgm prepare` in a process of its own: seconds, counts, and the MiB that it held at most."""
    code = "import run, sys; run.child(sys.argv[1:])"
    environment = os.environ | {"PYTHONPATH": str(HERE)}
    command = [sys.executable, "-c", code, str(source), str(out), str(workers), str(int(cuts))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def child(arguments: list[str]) -> None:
    from vgm_jax.preparation.prepare import prepare
    from vgm_jax.preparation.records import Settings

    source, out, workers = Path(arguments[0]), Path(arguments[1]), int(arguments[2])
    began = time.perf_counter()
    with shots_found(bool(int(arguments[3]))):  # in this process alone: with `workers` they always are
        summary = prepare(source, out, Settings(size=SIDE, fps=RATE, frames=FRAMES), workers=workers)
    seconds = time.perf_counter() - began
    # Not ru_maxrss, which a process inherits from the one that started it.
    status = Path("/proc/self/status").read_text()
    held = int(status.split("VmHWM:")[1].split()[0])
    counts = {name: summary[name] for name in ("videos", "shots", "clips")}
    print(json.dumps(counts | {"seconds": seconds, "mebibytes": held / 1024}))


def workers(film: Path, folder: Path, rounds: int) -> dict:
    """Four half minutes by one worker and by two, in turn."""
    parts = folder / "parts"
    parts.mkdir()
    for i in range(4):
        cut(film, parts / f"{i}.mkv", 60.0 + 30 * i, 30.0)
    seconds = {1: [], 2: []}
    for turn in range(rounds):
        for count in seconds:
            found = run_prepare(parts, folder / f"by{count}_{turn}", count)
            seconds[count].append(found["seconds"])
    ratios = [one / two for one, two in zip(seconds[1], seconds[2], strict=True)]
    return {
        "seconds": seconds,
        "ratio": statistics.median(ratios),
        "ratio_of_the_quickest": min(seconds[1]) / min(seconds[2]),
    }


def memory(film: Path, folder: Path) -> dict:
    """The most that is held for parts of a film; for all of it without the network, which takes long."""
    minute = cut(film, folder / "minute.mkv", 0.0, 60.0)
    two = cut(film, folder / "two.mkv", 0.0, 120.0)
    found = {
        "one minute, no network": run_prepare(minute, folder / "a", 0, cuts=False),
        "all, no network": run_prepare(film, folder / "b", 0, cuts=False),
        "one minute": run_prepare(minute, folder / "c", 0),
        "two minutes": run_prepare(two, folder / "d", 0),
    }
    return found


# ---------------------------------------------------------------------------------------------------------- #
# Training
# ---------------------------------------------------------------------------------------------------------- #


def train(path: Path, workdir: Path, steps: int) -> dict:
    """Trains `configs/own_videos.py` and notes how long each update waited for its batch."""
    code = "import run, sys; run.training_child(sys.argv[1:])"
    environment = os.environ | {"PYTHONPATH": str(HERE)}
    command = [sys.executable, "-c", code, str(path), str(workdir), str(steps)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def training_child(arguments: list[str]) -> None:
    import runpy

    from vgm_jax.tasks import build
    from vgm_jax.training import loop, runtime
    from vgm_jax.training.memory import use_huge_pages

    use_huge_pages()
    runtime.start()
    config = runpy.run_path(str(ROOT / "configs" / "own_videos.py"))["get_config"]()
    with config.unlocked():
        config.data.path = arguments[0]
        config.train.update(steps=int(arguments[2]), show_every=0)
        config.evaluate.update(every=0, clips=16, features="random")
        config.checkpoint.every = 10**9
    made, waits, starts = loop.train_batches, [], []

    def timed(*given, **settings):
        batches = made(*given, **settings)
        while True:
            began = time.perf_counter()
            batch = next(batches)
            starts.append(began)
            waits.append(time.perf_counter() - began)
            yield batch

    loop.train_batches = timed
    began = time.perf_counter()
    run = loop.Run(build(config), config, Path(arguments[1]), lambda text: print(text, file=sys.stderr))
    opened = time.perf_counter() - began
    clips, batch = len(run.source), config.data.batch_size
    run.train()
    run.close()
    epoch = min(-(-clips // batch), len(waits) // 2)

    def share(first: int) -> float:
        return sum(waits[first:]) / (starts[-1] - starts[first])

    report = {"clips": clips, "updates": len(waits), "updates_an_epoch": clips / batch}
    report |= {"seconds_to_open": opened, "first_batch_seconds": waits[0]}
    report |= {"seconds_an_update": (starts[-1] - starts[epoch]) / (len(waits) - 1 - epoch)}
    report |= {
        "waited": share(1),
        "waited_after_first_epoch": share(epoch),
        "waits": np.round(waits, 4).tolist(),
    }
    print(json.dumps(report))


def training(film: Path, folder: Path, steps: int) -> dict:
    """From a folder with three minutes of a film, and from what `vgm prepare` makes of it."""
    films = folder / "films"
    films.mkdir()
    for i in range(6):  # half minutes
        cut(film, films / f"{i}.mkv", 30.0 * i, 30.0)
    found = {"folder": train(films, folder / "run_folder", steps)}
    run_prepare(films, folder / "prepared", 2)
    return found | {"prepared": train(folder / "prepared", folder / "run_prepared", steps)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--film", type=Path, help="of five minutes or more; by default one is drawn")
    parser.add_argument("--parts", default="rate,workers,memory,training")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    name = chosen.film.stem if chosen.film else "drawn"
    out = chosen.out or HERE / "results" / f"{name}.json"
    results = json.loads(out.read_text()) if out.exists() else {}
    for part in chosen.parts.split(","):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            film = chosen.film or draw(folder / "drawn.mkv", 10.0)
            given = {"rate": (chosen.rounds,), "workers": (chosen.rounds,), "training": (chosen.steps,)}
            results[part] = globals()[part](film, folder, *given.get(part, ()))
        results["machine"] = {"cores": os.cpu_count(), "pyav": av.__version__, "load": os.getloadavg()}
        out.parent.mkdir(exist_ok=True)
        out.write_text(json.dumps(results, indent=1) + "\n")
        print(part, json.dumps({k: v for k, v in results[part].items() if k != "waits"})[:1500], flush=True)


if __name__ == "__main__":
    main()
