"""The tables, curves and contact sheets of the contest, from its results."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
from data import DATASETS, FRECHET, KERNEL
from judge import read
from PIL import Image, ImageDraw, ImageFont

from vgm_jax.data.media import write_image

COLOURS = ((31, 119, 180), (214, 39, 40), (44, 160, 44), (148, 103, 189), (230, 130, 20), (90, 90, 90))
PANEL, MARGIN = (520, 340), (70, 40, 150, 50)  # pixels: width and height; left, top, right, bottom
GAP, LABEL = 16, 20  # pixels of a contact sheet, between contestants and above them
COLUMNS = {  # heading -> figure of the test split
    "Fréchet, TransNetV2": FRECHET,
    "kernel, EfficientNet": KERNEL,
    "recall, TransNetV2": "recall/transnet",
    "whole": "whole/all/fake",
    "identity": "identity/all/fake",
    "TV shape": "total_variation/shape",
    "TV colour": "total_variation/colour",
    "TV motion": "total_variation/motion",
    "copies": "copies",
    "diversity": "diversity/fake",
    "motion": "motion/fake",
    "flicker": "flicker/fake",
    "return": "return/fake",
    "sticking": "sticking/fake",
}

Runs = Sequence[Mapping[str, Any]]


def load(results: Path, dataset: str) -> tuple[dict[str, Runs], dict[str, Any] | None]:
    """Results of a data set by contestant, seeds ascending, and its anchors where they were measured."""
    files = [f for f in sorted(results.glob(f"{dataset}_*.json")) if f.stem != f"{dataset}_anchors"]
    runs = [run for run in map(read, files) if run["dataset"] == dataset and "test" in run]
    names = sorted({run["contestant"] for run in runs})
    by_name = {n: sorted((r for r in runs if r["contestant"] == n), key=lambda r: r["seed"]) for n in names}
    anchors = results / f"{dataset}_anchors.json"
    return by_name, read(anchors) if anchors.exists() else None


def figure(found: Mapping[str, Mapping[str, float]], name: str) -> float | None:
    return (found["distances"] | found["checks"]).get(name)


def markdown(dataset: str, runs: Mapping[str, Runs], anchors: Mapping[str, Any] | None) -> str:
    """A row a contestant, mean and range over its seeds, on the test split; then anchors; then the floor."""
    lines = [f"### {dataset}\n", "| | seeds | minutes | updates | " + " | ".join(COLUMNS) + " |"]
    lines.append("|" + "---|" * (len(COLUMNS) + 4))
    for name, seeds in runs.items():
        cells = [
            str(len(seeds)),
            f"{seeds[0]['minutes']:g}",
            _number(_mean([r["curve"][-1]["step"] for r in seeds])),
        ]
        for column in COLUMNS.values():
            cells.append(_spread([figure(run["test"], column) for run in seeds]))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for name, found in anchors["test"]["sets"].items() if anchors else ():
        cells = ["–", "–", "–"] + [_spread([figure(found, column)]) for column in COLUMNS.values()]
        lines.append(f"| *{name}* | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n\n" + floor(runs)


def floor(runs: Mapping[str, Runs], ours: str = "ours") -> str:
    """Against the best peer: our final distance as a share of its, and when we pass its final value."""
    peers = {name: seeds for name, seeds in runs.items() if "repository" in seeds[0]["settings"]}
    if ours not in runs or not peers:
        return ""
    lines = []
    for metric in (FRECHET, KERNEL):
        final = {n: _mean([figure(r["test"], metric) for r in seeds]) for n, seeds in peers.items()}
        best = min(final, key=final.get)
        mine = _mean([figure(run["test"], metric) for run in runs[ours]])
        # On validation, where both have curves: the peer's own end is the bar.
        bar = _mean([figure(run["curve"][-1], metric) for run in peers[best]])
        time = _mean([run["curve"][-1]["seconds"] for run in peers[best]])
        passed = [passes(run["curve"], metric, bar) for run in runs[ours]]
        when = (
            "never"
            if None in passed
            else f"after {_number(max(passed))} s, {max(passed) / time:.2f} of its time"
        )
        lines.append(
            f"- {metric}: {_number(mine)} against {_number(final[best])} of {best}, the best peer: "
            f"{mine / final[best]:.2f} of it; its final value is passed {when} (slowest seed)."
        )
    return "\n".join(lines) + "\n"


def passes(curve: Sequence[Mapping[str, Any]], metric: str, bar: float) -> float | None:
    """Seconds of the first snapshot from which on a curve stays at or under a bar; None: its end is above."""
    when = None
    for point in curve:
        below = figure(point, metric) <= bar
        when = (point["seconds"] if when is None else when) if below else None
    return when


def curves(dataset: str, runs: Mapping[str, Runs], anchors: Mapping[str, Any] | None, file: Path) -> None:
    """Both distances on validation against seconds, a line a seed; dashes: real clips against real ones."""
    panels = []
    for metric in (FRECHET, KERNEL):
        lines = {
            name: [[(p["seconds"], figure(p, metric)) for p in run["curve"]] for run in seeds]
            for name, seeds in runs.items()
        }
        real = figure(anchors["validation"]["sets"]["real"], metric) if anchors else None
        panels.append(_panel(f"{dataset}: {metric} on validation", lines, real))
    picture = Image.new("RGB", (sum(p.width for p in panels), panels[0].height), "white")
    for i, panel in enumerate(panels):
        picture.paste(panel, (i * panel.width, 0))
    picture.save(file)


def _panel(title: str, lines: Mapping[str, Sequence[Sequence[tuple[float, float]]]], real: float | None):
    """Seconds on a linear axis, the distance on a logarithmic one."""
    width, height = PANEL
    left, top, right, bottom = MARGIN
    picture = Image.new("RGB", PANEL, "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    draw.text((left, 12), title, "black", font)
    points = [point for seeds in lines.values() for line in seeds for point in line]
    positive = [y for _, y in points if y > 0] + ([real] if real and real > 0 else [])
    end = max(x for x, _ in points)
    low, high = (math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive))))
    high = max(high, low + 1)

    def at(seconds: float, value: float) -> tuple[float, float]:
        y = (math.log10(max(value, 10.0**low)) - low) / (high - low)
        x = left + seconds / end * (width - left - right)
        return x, height - bottom - y * (height - top - bottom)

    for power in range(low, high + 1):
        y = at(0, 10.0**power)[1]
        draw.line([(left, y), (width - right, y)], (215, 215, 215))
        draw.text((left - 8, y), f"{10.0**power:g}", "black", font, anchor="rm")
    for minute in range(0, int(end // 60) + 1, 5):
        x = at(60 * minute, 1)[0]
        draw.line([(x, height - bottom), (x, height - bottom + 5)], "black")
        draw.text((x, height - bottom + 8), str(minute), "black", font, anchor="mt")
    draw.line([(left, top), (left, height - bottom), (width - right, height - bottom)], "black")
    draw.text(((left + width - right) / 2, height - 8), "minutes", "black", font, anchor="mb")
    ends = []
    if real and real > 0:
        y = at(0, real)[1]
        for x in range(left, width - right, 10):
            draw.line([(x, y), (x + 5, y)], (90, 90, 90))
        ends.append((y, "real", (90, 90, 90)))
    for (name, seeds), colour in zip(lines.items(), COLOURS * len(lines), strict=False):
        for line in seeds:
            placed = [at(x, y) for x, y in line]
            draw.line(placed, colour, 2)
            for x, y in placed:
                draw.ellipse([x - 2, y - 2, x + 2, y + 2], colour)
        ends.append((at(*seeds[0][-1])[1], name, colour))
    lowest = top
    for y, name, colour in sorted(ends):  # names beside the lines' ends, none on another
        lowest = max(y, lowest)
        draw.text((width - right + 8, lowest), name, colour, font, anchor="lm")
        lowest += 15
    return picture


def sheets(dataset: str, runs: Mapping[str, Runs], results: Path, file: Path) -> None:
    """The first six clips of each contestant's first seed, unpicked, beside real ones; 8 of 16 frames."""
    names = {"real": results / "sheets" / f"{dataset}_real.png"}
    names |= {n: results / "sheets" / f"{dataset}_{n}_{seeds[0]['seed']}.png" for n, seeds in runs.items()}
    pictures = {name: imageio.imread(path)[..., :3] for name, path in names.items() if path.exists()}
    if not pictures:
        return
    scale = 64 // DATASETS[dataset].size
    columns, font = [], ImageFont.load_default(14)
    for name, picture in pictures.items():
        picture = picture.repeat(scale, 0).repeat(scale, 1)[: 6 * 64]
        head = Image.new("RGB", (picture.shape[1], LABEL), "white")
        ImageDraw.Draw(head).text((0, 2), name, "black", font)
        gap = np.full((len(picture) + LABEL, GAP, 3), 255, np.uint8)
        columns += [np.concatenate([np.asarray(head), picture]), gap]
    write_image(file, np.concatenate(columns[:-1], 1))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _spread(values: Sequence[float | None]) -> str:
    """Mean, and the range where there are several."""
    if any(value is None for value in values):
        return "–"
    text = _number(_mean(values))
    return text if len(values) == 1 else f"{text} ({_number(min(values))} to {_number(max(values))})"


def _number(x: float) -> str:
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.1f}" if abs(x) >= 10 else f"{x:.3f}"
