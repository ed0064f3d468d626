"""The tables and the figure of the study, from its results."""

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SEEN = 5.0  # standard deviations of real against real
TWICE = 2.0  # of the Frechet distance, against real against real
COLOURS = ((31, 119, 180), (214, 39, 40), (44, 160, 44), (148, 103, 189), (230, 130, 20), (90, 90, 90))
PANEL, MARGIN = (460, 330), (70, 40, 130, 50)  # pixels: width and height; left, top, right, bottom


def tables(results: list[dict]) -> str:
    """Markdown: of each data set, what every network's Frechet distance does, and which metrics see what."""
    return "\n".join(_tables(result) for result in results)


def _tables(result: dict) -> str:
    networks = result["networks"]
    damages = list(next(iter(networks.values()))["damages"])
    metrics = list(next(iter(networks.values()))["damages"]["none"])
    lines = [
        f"### {result['dataset']}\n",
        "Fréchet distance over that of real clips against real clips (z):\n",
    ]
    lines += _head(["damage", *networks])
    for damage in damages:
        found = [network["damages"][damage]["frechet"] for network in networks.values()]
        lines.append(_row([damage, *(f"{_number(f['ratio'])} ({_number(f['z'])})" for f in found)]))
    lines += ["", f"Greatest |z| of any network, and the network, by metric; bold: {SEEN:.0f} or more:\n"]
    lines += _head(["damage", *metrics, f"seen (\\|z\\| ≥ {SEEN:.0f}; Fréchet ≥ {TWICE:.0f}×)"])
    for damage in damages:
        cells = []
        for metric in metrics:
            name, z = max(
                ((name, network["damages"][damage][metric]["z"]) for name, network in networks.items()),
                key=lambda pair: abs(pair[1]),
            )
            cell = f"{_number(z)} {name}"
            cells.append(f"**{cell}**" if abs(z) >= SEEN else cell)
        all_figures = [network["damages"][damage] for network in networks.values()]
        seen = any(abs(f["z"]) >= SEEN for figures in all_figures for f in figures.values())
        twice = any(figures["frechet"]["ratio"] >= TWICE for figures in all_figures)
        cells.append("–" if damage == "none" else f"{'yes' if seen else 'NO'}; {'yes' if twice else 'NO'}")
        lines.append(_row([damage, *cells]))
    lines += ["", f"Blind (|z| < {SEEN:.0f}) to:\n"]
    lines += _head(["network", *metrics])
    for name, network in networks.items():
        blind = [
            ", ".join(d for d in damages if d != "none" and abs(network["damages"][d][m]["z"]) < SEEN)
            or "nothing"
            for m in metrics
        ]
        lines.append(_row([name, *blind]))
    return "\n".join(lines) + "\n"


def _head(cells: list[str]) -> list[str]:
    return [_row(cells), _row(["---"] * len(cells))]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(x: float) -> str:
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.1f}" if abs(x) >= 10 else f"{x:.2f}"


def figure(results: list[dict], path: Path) -> None:
    """How real against real depends on the number of clips: Frechet's mean and range, kernel's deviation."""
    width, height = PANEL
    picture = Image.new("RGB", (2 * width, len(results) * height), "white")
    for row, result in enumerate(results):
        frechet, kernel = {}, {}
        for name, network in result["networks"].items():
            if not network["by_count"]:
                continue
            counts = [int(count) for count in network["by_count"]]
            values = [np.array(v["frechet"]) for v in network["by_count"].values()]
            spreads = [np.std(v["kernel"], ddof=1) for v in network["by_count"].values()]
            frechet[name] = (counts, [(v.mean(), v.min(), v.max()) for v in values])
            kernel[name] = (counts, [(s, s, s) for s in spreads])
        panels = {"Frechet distance, mean and range": frechet, "kernel distance, standard deviation": kernel}
        for column, (title, lines) in enumerate(panels.items()):
            panel = _panel(f"{result['dataset']}: {title}", lines)
            picture.paste(panel, (column * width, row * height))
    picture.save(path)


def _panel(title: str, lines: dict) -> Image.Image:
    """Both axes logarithmic; lines: name -> counts, [(value, low, high)]."""
    width, height = PANEL
    left, top, right, bottom = MARGIN
    picture = Image.new("RGB", PANEL, "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    draw.text((left, 12), title, "black", font)
    if not lines:
        return picture
    counts = sorted({count for xs, _ in lines.values() for count in xs})
    everything = [v for _, ys in lines.values() for y in ys for v in y if v > 0]
    low, high = math.floor(math.log10(min(everything))), math.ceil(math.log10(max(everything)))
    high = max(high, low + 1)

    def at(count: float, value: float) -> tuple[float, float]:
        x = math.log2(count / counts[0]) / max(math.log2(counts[-1] / counts[0]), 1)
        y = (math.log10(max(value, 10**low)) - low) / (high - low)
        return left + 10 + x * (width - left - right - 20), height - bottom - y * (height - top - bottom)

    for power in range(low, high + 1):
        y = at(counts[0], 10**power)[1]
        draw.line([(left, y), (width - right, y)], (215, 215, 215))
        draw.text((left - 8, y), f"{10.0**power:g}", "black", font, anchor="rm")
    for count in counts:
        x = at(count, 1)[0]
        draw.line([(x, height - bottom), (x, height - bottom + 5)], "black")
        draw.text((x, height - bottom + 8), str(count), "black", font, anchor="mt")
    draw.line([(left, top), (left, height - bottom), (width - right, height - bottom)], "black")
    draw.text(((left + width - right) / 2, height - 8), "clips on each side", "black", font, anchor="mb")
    ends = []
    for (name, (xs, ys)), colour in zip(lines.items(), COLOURS, strict=False):
        points = [at(x, y[0]) for x, y in zip(xs, ys, strict=True)]
        draw.line(points, colour, 2)
        for point, x, y in zip(points, xs, ys, strict=True):
            draw.ellipse([point[0] - 3, point[1] - 3, point[0] + 3, point[1] + 3], colour)
            draw.line([at(x, y[1]), at(x, y[2])], colour)
        ends.append((points[-1][1], name, colour))
    floor = top
    for y, name, colour in sorted(ends):  # names beside the lines' ends, none on another
        y = max(y, floor)
        draw.text((width - right + 8, y), name, colour, font, anchor="lm")
        floor = y + 15
    return picture
