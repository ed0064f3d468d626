"""What every contestant is measured by: the library's distances and checks, in one protocol for all."""

import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
from data import DATASETS, open_clips

from vgm_jax import __version__
from vgm_jax.data.files import in_one_piece
from vgm_jax.data.media import strip, write_image
from vgm_jax.evaluation import physics
from vgm_jax.evaluation.clips import ClipSet, choose
from vgm_jax.evaluation.damages import DAMAGES
from vgm_jax.evaluation.evaluator import checks, distances
from vgm_jax.evaluation.look import look
from vgm_jax.evaluation.protocol import of_networks

VALIDATION, TEST = 512, 2048  # clips on each side, of a snapshot and of the last one
KNOWN = 8192  # training clips, at most, that samples are held against as copies
SHOWN = (12, 8)  # clips and frames of a contact sheet
OTHER = {"validation": "test", "test": "validation"}  # real clips that samples are not measured against


class Samples:
    """Clips in memory as a source: uint8 [N T H W 3] at `fps`."""

    def __init__(self, clips: np.ndarray, fps: float):
        self.clips, self.times = clips, np.arange(clips.shape[1], dtype=np.float32) / np.float32(fps)
        self.description = {"source": "samples", "clips": len(clips)}

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {"video": np.asarray(self.clips[index]), "times": self.times}


class Judge:
    """Measures sets of clips against `count` real clips of a split, or as many as there are.

    What it sees of real clips is kept in the user's cache. `count` becomes what both held-out splits have.
    """

    def __init__(self, data: Path, dataset: str, split: str, count: int):
        self.data, self.dataset, self.split = data, dataset, split
        self.networks, self.fps = DATASETS[dataset].networks, DATASETS[dataset].fps
        sources = {name: open_clips(data, dataset, name) for name in ("train", split, OTHER[split])}
        self.count = min(count, *(len(sources[name]) for name in (split, OTHER[split])))
        chosen = {name: choose(name, source, self.count) for name, source in sources.items()}
        self.clips = {"real": chosen[split], "other": chosen[OTHER[split]], "copies": chosen["train"]}
        self._real = look(self.clips["real"], self.networks, cache=True)
        self._other = look(self.clips["other"], (), cache=True)
        self._training = choose("train", sources["train"], KNOWN)
        self._known = look(self._training, (), cache=True)
        self._observed = physics.observe_set(self.clips["real"]) if "oracle" in self.networks else None

    @property
    def protocol(self) -> dict[str, Any]:
        return {
            "split": self.split,
            "clips": self.count,
            "real": self.clips["real"].hash,
            "networks": of_networks(self.networks),
            "version": __version__,
        }

    def __call__(self, clips: ClipSet) -> dict[str, dict[str, float]]:
        """{"distances", "checks"} of the first `count` clips. Raises ValueError where there are fewer."""
        if len(clips) < self.count:
            raise ValueError(f"{clips.name} has {len(clips)} clips; {self.count} are measured")
        clips = clips.part(0, self.count)
        if clips[0].shape != self.clips["real"][0].shape:
            raise ValueError(f"{clips.name}: clips of {clips[0].shape}, not {self.clips['real'][0].shape}")
        seen = look(clips, self.networks)
        found = checks(self._real, seen, self._known, self._other)
        if self._observed is not None:
            found |= physics.checks(self._observed, physics.observe_set(clips))
        return {"distances": distances(self._real, seen), "checks": found}

    def samples(self, name: str, clips: np.ndarray) -> ClipSet:
        source = Samples(clips, self.fps)
        return ClipSet(name, source, np.arange(len(clips)), source.description)

    def nearest(self, clips: np.ndarray) -> np.ndarray:
        """Of each clip the training clip, among `KNOWN`, whose thumbnail is nearest, as `checks` has it."""
        known = self._known["thumbnail"].astype(np.float32)
        rows = look(self.samples("shown", clips), ())["thumbnail"].astype(np.float32)
        return np.stack([self._training[int(np.square(known - row).sum(1).argmin())] for row in rows])

    def anchors(self) -> dict[str, ClipSet]:
        """Sets whose figures are known beforehand: real, copied from training, frozen and shuffled clips."""
        other, every = self.clips["other"], np.arange(self.count)
        video = np.stack([other[i] for i in range(self.count)])
        spoilt = {name: DAMAGES[name](video, 0, every) for name in ("frozen", "shuffled")}
        made = {name: self.samples(name, clips) for name, clips in spoilt.items()}
        return {"real": other, "copies": self.clips["copies"]} | made


def measure(data: Path, folder: Path, results: Path) -> Path:
    """Measures a contestant's samples, and writes the result file, which it returns.

    `folder` holds seconds.json, {"contestant", "dataset", "seed", "minutes", "settings", "machine", "log",
    "snapshots": [{"samples": file, "seconds", "step"}]}, and the files, uint8 .npy [N 16 H W 3]. The last has
    2,048 clips and is measured on the test split too. A measurement that was cut short goes on. Raises
    ValueError, naming the file, for anything else.
    """
    record = read(folder / "seconds.json")
    name, dataset, seed = (record[key] for key in ("contestant", "dataset", "seed"))
    out = results / f"{dataset}_{name}_{seed}.json"
    result = {key: value for key, value in record.items() if key != "snapshots"} | {"curve": []}
    if out.exists():
        earlier = read(out)
        if any(earlier[key] != result[key] for key in ("settings", "machine", "log")):
            raise ValueError(f"{out} is of another run of {name}; move it away")
        result = earlier
    snapshots = record["snapshots"]
    done = {point["seconds"] for point in result["curve"]}
    todo = [s for s in reversed(snapshots) if s["seconds"] not in done]  # what counts most comes first
    judge = Judge(data, dataset, "validation", VALIDATION) if todo else None
    for snapshot in todo:
        clips = np.load(folder / snapshot["samples"], allow_pickle=False, mmap_mode="r")
        figures = judge(judge.samples(snapshot["samples"], clips))
        result["curve"].append({"seconds": snapshot["seconds"], "step": snapshot["step"], **figures})
        result["curve"].sort(key=lambda point: point["seconds"])
        result["validation"] = judge.protocol
        write(out, result)
        print(f"{out.stem} at {snapshot['seconds']:.0f} s: {brief(figures)}", flush=True)
    if "test" not in result:
        judge = Judge(data, dataset, "test", TEST)
        clips = np.load(folder / snapshots[-1]["samples"], allow_pickle=False, mmap_mode="r")
        figures = judge(judge.samples(snapshots[-1]["samples"], clips))
        result["test"] = figures | {"protocol": judge.protocol}
        write(out, result)
        sheet(clips, results / "sheets" / f"{out.stem}.png")
        first = np.asarray(clips[: SHOWN[0]])
        sheet(first, results / "sheets" / f"{out.stem}_nearest.png", judge.nearest(first))
        print(f"{out.stem}, test: {brief(figures)}", flush=True)
    return out


def anchors(data: Path, dataset: str, results: Path) -> Path:
    """Measures the anchors of a data set on both splits, and writes their file, which it returns."""
    out = results / f"{dataset}_anchors.json"
    result = {"dataset": dataset, "machine": machine()}
    for split, count in (("validation", VALIDATION), ("test", TEST)):
        judge = Judge(data, dataset, split, count)
        result[split] = {"protocol": judge.protocol, "sets": {}}
        for name, clips in judge.anchors().items():
            result[split]["sets"][name] = judge(clips)
            print(f"{dataset}, {split}, {name}: {brief(result[split]['sets'][name])}", flush=True)
        write(out, result)
    real = judge.clips["real"]
    sheet(np.stack([real[i] for i in range(SHOWN[0])]), results / "sheets" / f"{dataset}_real.png")
    return out


def brief(figures: dict[str, dict[str, float]]) -> str:
    shown = ("frechet/transnet", "kernel/efficientnet", "whole/all/fake", "identity/all/fake", "copies")
    both = figures["distances"] | figures["checks"]
    return "  ".join(f"{name} {both[name]:.4g}" for name in shown if name in both)


def sheet(clips: np.ndarray, file: Path, beside: np.ndarray | None = None) -> None:
    """The first clips, unpicked: a row a clip, and to the right of it the one that is `beside` it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    sides = [strip(np.asarray(x[: SHOWN[0]]), frames=SHOWN[1]) for x in (clips, beside) if x is not None]
    gap = np.full((len(sides[0]), 16, 3), 255, np.uint8)
    write_image(file, sides[0] if beside is None else np.concatenate([sides[0], gap, sides[1]], 1))


def machine() -> dict[str, Any]:
    """Of the machine, what a figure in seconds depends on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "niceness": os.nice(0),
    }


def read(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from error


def write(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with in_one_piece(file) as part:
        part.write_text(json.dumps(content, indent=1) + "\n")
