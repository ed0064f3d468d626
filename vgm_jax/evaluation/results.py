"""What there is to compare: result files of `vgm evaluate` and workdirs of runs, as one kind of thing."""

import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vgm_jax.evaluation.protocol import require_same

# Keys of `data` that are about how clips are loaded for training; its test figures depend on the others.
LOADING = ("batch_size", "workers", "prefetch", "augment")

ANCHORS = ("real_vs_real", "shuffled")  # first words of a run's figures that are of no samples

Figures = dict[str, float | None]  # None: not measured, or no number


@dataclasses.dataclass(frozen=True)
class Result:
    """One column of a comparison.

    `media` holds, by what it shows ("real", "fake", "samples"), the files that could show it, best first.
    `curves` are (step, value) by figure, of runs only. `protocol` is None where it is not known.
    """

    name: str
    path: Path
    is_run: bool
    figures: Figures
    protocol: Mapping[str, Any] | None
    real: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fake: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    anchors: Mapping[str, Figures] = dataclasses.field(default_factory=dict)
    checks: Figures = dataclasses.field(default_factory=dict)
    warnings: Sequence[str] = ()
    media: Mapping[str, Sequence[Path]] = dataclasses.field(default_factory=dict)
    curves: Mapping[str, list[tuple[float, float | None]]] = dataclasses.field(default_factory=dict)


def read_all(paths: Sequence[str | os.PathLike]) -> list[Result]:
    """Every input, each under a name of its own. Raises ValueError, naming it, for what is neither kind."""
    found = [read_run(path) if path.is_dir() else read_result(path) for path in map(Path, paths)]
    for tell in (lambda r: f"{r.name} ({r.path.name})", lambda r: str(r.path)):
        names = [r.name for r in found]
        found = [dataclasses.replace(r, name=tell(r)) if names.count(r.name) > 1 else r for r in found]
    if len({r.name for r in found}) < len(found):
        raise ValueError(f"given twice: {', '.join(sorted({n for n in names if names.count(n) > 1}))}")
    return found


def read_result(path: Path) -> Result:
    """A result file. Raises ValueError, naming it, where it cannot be read or is something else."""
    content = _json(path)
    for key in ("distances", "protocol"):
        if not isinstance(content, dict) or not isinstance(content.get(key), dict):
            raise ValueError(f'{path}: expected "{key}", an object, as in the result files of `vgm evaluate`')
    parts = {key: _object(content, key, path) for key in ("real", "fake", "anchors", "checks", "media")}
    warnings = content.get("warnings") or []
    if not isinstance(warnings, list):
        raise ValueError(f'{path}: expected "warnings", a list, as in the result files of `vgm evaluate`')
    real, fake = parts["real"], parts["fake"]
    # Of another real set the figures are others, whether the protocol says so or not.
    identity = {"real": real["hash"]} if "hash" in real else {}
    media = {}
    for kind, name in parts["media"].items():
        if isinstance(name, str):
            first = path.parent / name
            media[kind] = [first, *(first.with_suffix(s) for s in (".gif", ".png") if s != first.suffix)]
    return Result(
        name=str(fake.get("name") or path.stem),
        path=path,
        is_run=False,
        figures=_figures(content["distances"]),
        protocol=identity | content["protocol"],
        real=real,
        fake=fake,
        anchors={k: _figures(v) for k, v in parts["anchors"].items() if isinstance(v, dict)},
        checks=_figures(parts["checks"]),
        warnings=[str(text) for text in warnings],
        media=media,
    )


def read_run(workdir: Path) -> Result:
    """The workdir of a run, finished or not. Raises ValueError where it is none, or a file is broken."""
    metrics, evaluation = workdir / "metrics.jsonl", workdir / "evaluation.json"
    if not metrics.exists() and not evaluation.exists():
        raise ValueError(f"{workdir}: expected the workdir of a run, with metrics.jsonl or evaluation.json")
    curves, skipped = _curves(metrics) if metrics.exists() else ({}, 0)
    figures, protocol, about = {}, None, {}
    if evaluation.exists():
        content = _json(evaluation)
        if not isinstance(content, dict):
            raise ValueError(f"{evaluation}: expected an object of figures")
        figures = {name.removeprefix("test/"): value for name, value in _figures(content).items()}
        about = {key: _whole(figures.pop(key)) for key in ("clips", "step") if key in figures}
        protocol = content.get("protocol")
    config_file = workdir / "config.json"
    if protocol is None and config_file.exists():
        config = _json(config_file)
        if not isinstance(config, dict):
            raise ValueError(f"{config_file}: expected an object of settings")
        data, evaluate = (_object(config, key, config_file) for key in ("data", "evaluate"))
        protocol = {
            "task": config["task"] if "task" in config else None,
            "data": {key: value for key, value in data.items() if key not in LOADING},
            "evaluate": {k: v for k, v in evaluate.items() if k not in ("batch_size", "clips", "every")},
            "clips": about["clips"] if "clips" in about else evaluate.get("clips"),
        }
    media = {}
    for kind in ("real", "samples"):
        shown = sorted((workdir / "media").glob(f"{kind}_*"))
        if shown:
            media[kind] = [shown[-1].with_suffix(suffix) for suffix in (".mp4", ".gif", ".png")]
    warnings = [f"{skipped} lines of metrics.jsonl could not be read and were left out"] if skipped else []
    if figures and protocol is None:
        warnings.append("without config.json it is not known whether its figures compare with others")
    halves = figures.pop("real_vs_real/clips", None)
    if halves is not None and about.get("clips"):
        warnings.append(
            f"anchors of {halves:g} clips, samples of {about['clips']}: anchors are greater for it"
        )
    anchors = {name: {} for name in ANCHORS}
    checks = {}
    for name in list(figures):
        first, _, rest = name.partition("/")
        if first in ANCHORS:
            anchors[first][rest] = figures.pop(name)
        elif name.endswith(("/real", "/fake")) or first in ("copies", "total_variation"):
            checks[name] = figures.pop(name)
    return Result(
        name=workdir.resolve().name,
        path=workdir,
        is_run=True,
        figures=figures,
        anchors={name: values for name, values in anchors.items() if values},
        checks=checks,
        protocol=protocol,
        fake=about,
        warnings=warnings,
        media=media,
        curves=curves,
    )


def require_comparable(results: Sequence[Result]) -> None:
    """Raises ValueError, naming the keys that differ, unless those that know their protocol share it."""
    require_same({str(r.path): r.protocol for r in results if r.protocol is not None})


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON ({error})") from error


def _object(content: dict, key: str, path: Path) -> dict[str, Any]:
    value = content.get(key) or {}
    if not isinstance(value, dict):
        raise ValueError(f'{path}: expected "{key}", an object, got {type(value).__name__}')
    return value


def _figures(content: Mapping[str, Any]) -> Figures:
    """The numbers and nulls among the values."""
    return {
        name: None if value is None else float(value)
        for name, value in content.items()
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    }


def _whole(value: float | None) -> float | None:
    return int(value) if value is not None and math.isfinite(value) and value == int(value) else value


def _curves(path: Path) -> tuple[dict[str, list[tuple[float, float | None]]], int]:
    """(step, value) by figure, and how many lines were none; a kill may have cut the last one short."""
    curves: dict[str, list[tuple[float, float | None]]] = {}
    skipped = 0
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    for line in filter(None, map(bytes.strip, lines)):
        try:
            values = _figures(json.loads(line))
            step = values.pop("step")
            if step is None or not math.isfinite(step):
                raise ValueError("no step")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            skipped += 1
            continue
        for name, value in values.items():
            curves.setdefault(name, []).append((step, value))
    return {name: sorted(points, key=lambda p: p[0]) for name, points in curves.items()}, skipped
