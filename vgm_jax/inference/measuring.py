"""`vgm evaluate`: any two sets of clips, by name, folder or trained model, into one result file."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from vgm_jax.data.decode import RESIZE
from vgm_jax.data.files import in_one_piece, make_room
from vgm_jax.data.media import grid, write_video
from vgm_jax.data.sources import make_source
from vgm_jax.data.sources.folder import Folder
from vgm_jax.data.sources.prepared import is_prepared, open_prepared
from vgm_jax.data.sources.shapeshow import SPLITS, ShapeShow
from vgm_jax.data.sources.tfds import Tfds
from vgm_jax.evaluation.clips import ClipSet, choose
from vgm_jax.evaluation.evaluator import FEWEST, measure
from vgm_jax.evaluation.protocol import require_networks
from vgm_jax.inference.generator import GeneratorModel, load
from vgm_jax.inference.zoo import WEIGHTS, find_run
from vgm_jax.inference.zoo import names as zoo_names
from vgm_jax.training.workdir import read_config

DATASETS = {"shapeshow": ShapeShow}  # sources that need no files
MODEL = "model:"  # before the name of a model that comes with the package and is called as a data set is
FRAMES, FPS = 16, 16.0  # of a clip, where nothing says otherwise
SHOWN = 9  # clips of each set in the videos beside a result
TRAINING = 8192  # clips, at most, that samples are held against as copies


class Samples:
    """The samples of a generator as a source of clips: sample i is clip i.

    Args:
      frames, fps: of a clip; by default as in the model's training.
      seed: of the noise.
    """

    def __init__(self, model: GeneratorModel, count: int, frames: int | None, fps: float | None, seed: int):
        self.model, self.count, self.seed = model, count, seed
        self.frames, self.fps = frames or model.frames, fps or model.fps

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        video = np.stack(list(self.model.stream(self.seed, index, self.frames, self.fps)))
        return {"video": video, "times": np.arange(self.frames, dtype=np.float32) / np.float32(self.fps)}

    @property
    def description(self) -> dict[str, Any]:
        """What determines the clips, fit for JSON."""
        settings = {"source": "samples", "weights": self.model.weights_hash, "step": self.model.step}
        return settings | {"frames": self.frames, "fps": self.fps, "seed": self.seed}


def parse(name: str) -> tuple[str, str, str | None]:
    """A set's kind ("workdir", "files" or "dataset"), what is to be opened, and its split or None.

    Raises ValueError where a name is none of these, or the split is unknown; WorkdirError where there is no
    such model.
    """
    path = Path(name).expanduser()
    learnt = (path / "checkpoints").is_dir() or (path / WEIGHTS).is_file()
    if (path / "config.json").is_file() and learnt:
        return "workdir", str(path), None
    if path.exists():
        return "files", str(path), None
    if name.startswith(MODEL) or (name in zoo_names() and name not in DATASETS):
        return "workdir", str(find_run(name.removeprefix(MODEL))), None
    stem, colon, split = name.rpartition(":")
    stem, split = (stem, split) if colon else (name, None)
    path = Path(stem).expanduser()
    if stem not in DATASETS and not (colon and path.exists()):
        known = ", ".join(DATASETS)
        raise ValueError(
            f"{name} is no file, no folder, no workdir, no model and no data set; data sets: {known}; "
            f"models: {', '.join(f'{MODEL}{model}' for model in zoo_names())}"
        )
    if split is not None and split not in SPLITS:
        raise ValueError(f"{name}: unknown split {split!r}; choose one of {', '.join(SPLITS)}")
    return ("dataset", stem, split) if stem in DATASETS else ("files", str(path), split)


def open_sets(
    names: Mapping[str, str],
    *,
    count: int,
    frames: int | None,
    size: int | None,
    fps: float | None,
    seed: int,
    rate: float | None = None,
) -> tuple[dict[str, Any], int | None]:
    """Sources of clips of one shape, by the roles of `names`, and the size that files are brought to.

    What is not given is a model's own where one is measured; else files are taken as they are. A data set
    takes the size and rate of what it is compared with. Raises ValueError, naming the set, for what cannot be
    opened.
    """
    parsed = {role: parse(name) for role, name in names.items()}
    sources, native, found, own_data = {}, None, None, []
    for role in sorted(parsed, key=lambda role: ["workdir", "files", "dataset"].index(parsed[role][0])):
        kind, place, split = parsed[role]
        if kind == "workdir":
            source = Samples(load(place), count, frames, fps, seed)
            own_data.append(read_config(Path(place)).data)
            own = source[0]["video"].shape[1]
            if size not in (None, own):
                raise ValueError(f"{names[role]} makes frames of {own} x {own}; {size} was asked for")
            frames, fps, size = source.frames, source.fps, own
        elif kind == "files":
            settings = dict(size=size, frames=frames or FRAMES, fps=fps)
            if is_prepared(place):
                source = open_prepared(place, split, **settings)
            else:
                source = Folder(place, split, **settings, **_as_learnt(place, own_data, fps, rate))
            first = choose(names[role], source, 1)
            native, found = native or first[0].shape[1], found or first.rate
        else:
            settings = dict(size=size or native or 32, frames=frames or FRAMES, fps=fps or found or FPS)
            source = DATASETS[place](split or "test", **settings)
        sources[role] = source
    return sources, size


def _as_learnt(
    place: str, runs: Sequence[ConfigDict], fps: float | None, rate: float | None
) -> dict[str, Any]:
    """How a folder is split and timed: as by the run that learnt from it, where that is measured, too.

    Else by video; and pictures and arrays, which do not say their rate, are at the one that is asked for.
    """
    for data in runs:
        if data.source == "folder" and os.path.realpath(os.path.expanduser(data.path)) == os.path.realpath(
            place
        ):
            own = {"seed": data.folder.seed, "groups": data.folder.groups}
            own |= {"labels": data.folder.labels} if data.folder.groups else {}  # class/group/film
            return own | {"rate": rate or data.folder.rate or data.fps}
    return {"rate": rate or fps or FPS}


def training_clips(workdir: str, frames: int, fps: float) -> ClipSet:
    """What the run in a workdir was trained on, or some of it, in clips of so many frames, at that rate.

    Where the data give no such clips, as long ones as the run had. Raises ValueError or OSError without it.
    """
    data = read_config(Path(workdir)).unlock().data
    for kind in {"folder", "tfds"} & set(data):  # what does not say its rate is at the run's
        data[kind].rate = data[kind].rate or data.fps
    name, own = f"the training split of {workdir}", (data.frames, data.fps)
    with contextlib.suppress(ValueError):
        data.update(frames=frames, fps=fps)
        clips = choose(name, make_source(data, "train"), TRAINING)
        clips[0]  # is looked at before anything else is
        return clips
    data.update(frames=own[0], fps=own[1])
    return choose(name, make_source(data, "train"), TRAINING)


def evaluate_files(
    real: str,
    fake: str,
    out: str | os.PathLike,
    *,
    networks: Sequence[str] = ("transnet", "efficientnet"),
    count: int = 2048,
    frames: int | None = None,
    size: int | None = None,
    fps: float | None = None,
    rate: float | None = None,
    training: str | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Measures `fake` against `real`; writes the result, and a video of either beside it.

    Args:
      real, fake, training: a folder or file of videos, or DIR:SPLIT of a folder; a workdir (its samples);
        or a data set such as `shapeshow` or `shapeshow:train` (default: the test split). `training` holds
        what `fake` might be copied from: by default what a workdir was trained on, else `real`.
      out: the result, JSON.
      networks: names of feature networks.
      count: clips of each set, at most; as many of both are taken.
      frames, size, fps: of a clip; what is not given is the model's where one is measured, else 16 frames of
        the files' own. With a size, files are cropped to a square and resized; with fps, resampled in time.
      rate: frames a second of folders of pictures and .npy, which do not say it: by default `fps`.
      seed: of which clips are chosen, of samples, and of the shuffled anchor.
      progress: told how many clips were seen, of how many.

    Returns the result: `evaluator.measure`'s, with resize and crop in its protocol. Raises ValueError,
    naming the file or set, for what cannot be measured; OSError where `out` cannot be written.
    """
    if count < FEWEST:
        raise ValueError(f"count={count}: an evaluation needs {FEWEST} clips or more on each side")
    out = Path(out)
    if out.is_dir():
        raise IsADirectoryError(f"{out} is a folder; the result is a file, such as {out / 'result.json'}")
    if seed < 0:
        raise ValueError(f"seed={seed} must not be negative")
    require_networks(tuple(networks))  # an unknown one is an error before anything is read
    names = {"real": real, "fake": fake} | ({"training": training} if training else {})
    _keep_apart(names, [out, *(_shown_in(out, role) for role in ("real", "fake"))])
    make_room(out)
    sources, size = open_sets(names, count=count, frames=frames, size=size, fps=fps, seed=seed, rate=rate)
    n = min(count, len(sources["real"]), len(sources["fake"]))
    chosen = choose(real, sources["real"], 2 * n, seed)
    missed = []
    known = choose(training, sources["training"], TRAINING, seed) if training else None
    if known is None and isinstance(sources["fake"], Samples):
        try:
            made = sources["fake"]
            known = training_clips(parse(fake)[1], made.frames, made.fps)
            if (length := len(known[0])) != made.frames:
                missed.append(f"copies were looked for among training clips of {length} frames")
        except (ValueError, OSError) as error:
            missed.append(f"not held against the clips that {fake} was trained on: {error}")
    shown = {"real": chosen.part(0, n), "fake": choose(fake, sources["fake"], n, seed)}
    result = measure(
        **shown,
        networks=networks,
        spare=chosen.part(n, 2 * n) if len(chosen) == 2 * n else None,
        training=known,
        seed=seed,
        cache=True,
        progress=progress,
    )
    resized = (
        {"resize": RESIZE, "crop": "centre, to a square"} if size else {"resize": "none", "crop": "none"}
    )
    result["protocol"] |= resized
    result["warnings"] = [*missed, *_left_out(names, sources), *result["warnings"]]
    write_result(out, result)  # first of all: what was measured is not lost with a video
    result["media"] = _write_media(out, shown)
    write_result(out, result)
    return result


def _left_out(names: Mapping[str, str], sources: Mapping[str, Any]) -> Iterator[str]:
    """What was skipped: a warning a set, with the first few files."""
    for role, source in sources.items():
        rejected = source.rejected if isinstance(source, Folder | Tfds) else []
        if rejected:
            some = "; ".join(f"{path}: {reason}" for path, reason in rejected[:5])
            more = f"; and {len(rejected) - 5} more" if len(rejected) > 5 else ""
            yield f"{len(rejected)} files of {names[role]} were left out: {some}{more}"


def write_result(out: str | os.PathLike, result: Mapping[str, Any]) -> None:
    """Writes JSON in one piece. Raises OSError."""
    with in_one_piece(out) as part:
        part.write_text(json.dumps(result, indent=2, default=str) + "\n")


def _shown_in(out: Path, role: str) -> Path:
    return out.with_name(f"{out.stem}_{role}.mp4")


def _keep_apart(names: Mapping[str, str], written: Sequence[Path]) -> None:
    """Raises ValueError where something is to be written over what is measured, or among it."""
    for name in names.values():
        kind, place, _ = parse(name)
        if kind != "files" or is_prepared(place):
            continue
        for file in written:
            if Path(place).resolve() in (file.resolve(), *file.resolve().parents):
                raise ValueError(f"{file} would be written into {place}, which is measured; choose another")


def _write_media(out: Path, sets: Mapping[str, ClipSet]) -> dict[str, str]:
    """A grid of the first clips of each set, beside the result: role -> file name."""
    media = {}
    for role, clips in sets.items():
        file = _shown_in(out, role)
        frames = grid(np.stack([clips[i] for i in range(min(SHOWN, len(clips)))]))
        scale = max(1, 256 // min(frames.shape[1:3]))
        write_video(file, frames, clips.rate or FPS, scale)
        media[role] = file.name
    return media
