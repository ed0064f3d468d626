"""The study's tables and figure, from its cells: means over seeds, and differences to no augmentation."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from regimes import REGIMES
from scipy import stats

HERE = Path(__file__).parent
START, END = "<!-- tables -->", "<!-- end -->"
PLAIN = "none"
LEVEL = 0.95
ROW, NAME, PANEL, TOP = 22, 120, 250, 46  # pixels: height of an arm, width of its name and of a regime

Cells = Mapping[str, Mapping[str, Mapping[int, float]]]  # regime -> arm -> seed -> figure


def figure(row: Mapping[str, Any], regime: str) -> float:
    """What a regime is judged by: classes' mean accuracy; or the harmonic mean of seen and unseen ones'."""
    figures = row["figures"]
    return figures["harmonic"] if regime == "unseen" else figures["balanced"]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and half the width of its confidence interval by Student's t; infinite of a single value."""
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return float(values.mean()), float("inf")
    half = stats.t.ppf(0.5 + LEVEL / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(half)


def differences(arm: Mapping[int, float], plain: Mapping[int, float]) -> list[float]:
    """Of the seeds that both have: a seed is the same training vectors."""
    return [arm[seed] - plain[seed] for seed in sorted(arm.keys() & plain.keys())]


def read(work: Path, dataset: str) -> tuple[list[dict[str, Any]], Cells]:
    """All test cells of a data set, and their figures. Raises ValueError where they were not run alike."""
    rows, cells = [], {}
    for path in sorted((work / "test").glob(f"{dataset}_*.json")):
        found = json.loads(path.read_text())
        row = found.pop("rows")[0]
        rows.append(found | row)
        of_regime = cells.setdefault(found["regime"], {})
        of_regime.setdefault(found["arm"], {})[found["seed"]] = figure(row, found["regime"])
    if len({json.dumps(row["changes"], sort_keys=True) for row in rows}) > 1:
        raise ValueError(f"{work}: cells of {dataset} were computed with different --set")
    return rows, {regime: cells[regime] for regime in REGIMES if regime in cells}


def markdown(cells: Cells, arms: Sequence[str]) -> str:
    """A row an arm: mean ± half an interval, and the difference to none; bold, where that is sure."""
    regimes = list(cells)
    lines = ["| | " + " | ".join(regimes) + " |", "|" + "---|" * (len(regimes) + 1)]
    for arm in arms:
        if not any(arm in cells[regime] for regime in regimes):
            continue
        texts = []
        for regime in regimes:
            there, plain = cells[regime].get(arm), cells[regime].get(PLAIN, {})
            if there is None:
                texts.append("–")
                continue
            text = plus_minus(*interval(list(there.values())), sign="")
            apart = differences(there, plain)
            if arm != PLAIN and apart:
                mean, half = interval(apart)
                shown = plus_minus(mean, half, sign="+")
                text += f" ({'**' + shown + '**' if abs(mean) > half else shown})"
            texts.append(text)
        lines.append(f"| {arm} | " + " | ".join(texts) + " |")
    counts = {len(seeds) for of_regime in cells.values() for seeds in of_regime.values()}
    seeds = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else f"{counts.pop()}"
    note = (
        f"Seeds: {seeds}. In brackets the paired difference to *{PLAIN}*, bold where its interval has no 0."
    )
    return "\n".join(lines) + f"\n\n{note}\n"


def plus_minus(mean: float, half: float, sign: str) -> str:
    return f"{100 * mean:{sign}.1f}" + ("" if np.isinf(half) else f" ± {100 * half:.1f}")


def draw_figure(datasets: Mapping[str, Cells], arms: Sequence[str], file: Path) -> None:
    """Differences to none in points with their intervals: a row of panels a data set, a panel a regime."""
    strips = [_strip(name, cells, [a for a in arms if a != PLAIN]) for name, cells in datasets.items()]
    picture = Image.new("RGB", (max(s.width for s in strips), sum(s.height for s in strips)), "white")
    top = 0
    for strip in strips:
        picture.paste(strip, (0, top))
        top += strip.height
    picture.save(file)


def _strip(name: str, cells: Cells, arms: Sequence[str]) -> Image.Image:
    size = NAME + PANEL * len(cells) + 10, TOP + ROW * len(arms) + 30
    picture = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    draw.text((8, 6), name, "black", font)
    for i, arm in enumerate(arms):
        draw.text((8, TOP + ROW * i + 3), arm, "black", font)
    for column, (regime, of_regime) in enumerate(cells.items()):
        left, plain = NAME + PANEL * column, of_regime.get(PLAIN, {})
        found = {}
        for arm in arms:
            apart = differences(of_regime.get(arm, {}), plain)
            if apart:
                mean, half = interval(apart)
                found[arm] = 100 * mean, 0.0 if np.isinf(half) else 100 * half
        reach = max([abs(mean) + half for mean, half in found.values()] + [0.5])

        def at(points: float, left: int = left, reach: float = reach) -> float:
            return left + PANEL / 2 + 0.38 * PANEL * points / reach

        draw.text((left + PANEL / 2, 26), regime, "black", font, anchor="mm")
        bottom = TOP + ROW * len(arms)
        for points in (-reach, 0.0, reach):
            draw.line([(at(points), TOP), (at(points), bottom)], (150,) * 3 if not points else (225,) * 3)
            label = f"{points:+.1f}" if points else "0"
            draw.text((at(points), bottom + 10), label, (90, 90, 90), font, anchor="mm")
        for i, arm in enumerate(arms):
            if arm not in found:
                continue
            mean, half = found[arm]
            y, sure = TOP + ROW * i + ROW / 2, abs(mean) > half > 0
            colour = ((40, 120, 60) if mean > 0 else (190, 50, 40)) if sure else (110, 110, 110)
            draw.line([(at(mean - half), y), (at(mean + half), y)], colour, 2)
            draw.ellipse([at(mean) - 4, y - 4, at(mean) + 4, y + 4], colour)
    return picture


def table(work: Path, out: Path, datasets: Sequence[str], arms: Sequence[str]) -> None:
    """Writes results/*.json, the README's part between its marks, and figure.png, into `out`.

    Raises ValueError where there is no cell at all.
    """
    texts, drawn = [], {}
    for dataset in datasets:
        rows, cells = read(work, dataset)
        if not rows:
            texts.append(f"### {dataset}\n\nNot run yet.\n")
            continue
        drawn[dataset] = cells
        texts.append(f"### {dataset}\n\n{markdown(cells, arms)}")
        choices = json.loads((work / f"{dataset}_choices.json").read_text())
        (out / "results").mkdir(parents=True, exist_ok=True)
        result = json.dumps({"choices": choices, "cells": rows}, indent=1)
        (out / "results" / f"{dataset}.json").write_text(result + "\n")
    if not drawn:
        raise ValueError(f"{work / 'test'}: there are no cells yet; see run.py run")
    draw_figure(drawn, arms, out / "figure.png")
    texts.append("![differences to no augmentation, in points](figure.png)\n")
    readme = out / "README.md"
    before, _, rest = readme.read_text().partition(START)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{START}\n" + "\n".join(texts) + f"{END}{after}")
