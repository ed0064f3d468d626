"""Line charts as inline SVG, readable in light and dark by the colours of the page (--c0 ... --c7)."""

import itertools
import math
from collections.abc import Mapping, Sequence

from vgm_jax.evaluation.markup import Markup, join, tag

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 10, 38  # margins
COLORS = 8
DASHES = (None, "7 3", "2 3")  # of the first eight lines, the next eight, and so on
BUCKETS = 150  # of steps, in longer lines; each keeps its least and its greatest value
LARGEST = 1e307  # beyond, an axis with room for it overflows
MARKED = 30  # points, up to which each is marked

Points = Sequence[tuple[float, float | None]]


def number(value: float | None, digits: int = 4) -> str:
    """So many significant digits; a dash for what was not measured."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(value)
    if value and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.{digits - 1}e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:#.{digits}g}"


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Round numbers, three to eight of them, within low..high (low < high)."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * 0.8)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten from 10^low to 10^high, every n-th where there are many."""
    first, last = max(math.ceil(low - 1e-9), -307), min(math.floor(high + 1e-9), 307)
    return [10.0**i for i in range(first, last + 1, max((last - first) // 5, 1))]


def is_log(values: Sequence[float]) -> bool:
    """Whether values, all above zero, span more than two decades."""
    return min(values) > 0 and max(values) / min(values) > 100


def thin(points: Points) -> Points:
    """A long line by the least and greatest point of each bucket, in order, so that no peak is lost."""
    if len(points) <= 2 * BUCKETS:
        return points
    kept: list[tuple[float, float | None]] = []
    for i in range(BUCKETS):
        bucket = points[i * len(points) // BUCKETS : (i + 1) * len(points) // BUCKETS]
        known = [p for p in bucket if p[1] is not None]
        chosen = {min(known, key=lambda p: p[1]), max(known, key=lambda p: p[1])} if known else {bucket[0]}
        kept += sorted(chosen)
    return kept


def swatch(index: int) -> Markup:
    """A piece of line `index`, for legends."""
    line = tag("line", x1=0, y1=5, x2=22, y2=5, style=_color("stroke", index), stroke_dasharray=_dash(index))
    return tag("svg", line, class_="swatch", width=22, height=10, aria_hidden="true")


def line_chart(title: str, lines: Mapping[str, Points], order: Sequence[str] | None = None) -> Markup:
    """A figure: lines of (x, y) by name over the step, with a legend that gives the last value of each.

    y None, or not finite, is a gap. The y axis is logarithmic where the values span more than two decades.
    `order` names all lines of the page, so that a run has one colour in all charts. Empty where there is no
    value at all.
    """
    order = list(order or lines)
    lines = {
        name: [(x, y if y is not None and abs(y) < LARGEST else None) for x, y in points]
        for name, points in lines.items()
    }
    xs = [x for points in lines.values() for x, y in points if y is not None]
    ys = [y for points in lines.values() for _, y in points if y is not None]
    if not ys:
        return Markup("")
    log = is_log(ys)
    place_x, x_marks = _axis(min(xs), max(xs), False, LEFT, WIDTH - RIGHT, pad=0.0)
    place_y, y_marks = _axis(min(ys), max(ys), log, HEIGHT - BOTTOM, TOP, pad=0.05)

    parts = []
    for value in y_marks:
        y = _coordinate(place_y(value))
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
        parts.append(tag("text", _short(value), x=LEFT - 7, y=y, dy="0.35em", text_anchor="end"))
    for value in x_marks:
        x = _coordinate(place_x(value))
        parts.append(tag("line", x1=x, x2=x, y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM + 4, class_="axis"))
        parts.append(tag("text", _short(value), x=x, y=HEIGHT - BOTTOM + 17, text_anchor="middle"))
    parts.append(tag("path", d=f"M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}", class_="axis"))
    middle = (LEFT + WIDTH - RIGHT) // 2
    parts.append(tag("text", "step", x=middle, y=HEIGHT - 4, text_anchor="middle"))
    for name, points in lines.items():
        parts.append(_line(name, thin(points), order.index(name), place_x, place_y))

    legend = []
    for name, points in lines.items():
        last = next((y for _, y in reversed(points) if y is not None), None)
        last = tag("span", number(last), class_="last")
        legend.append(tag("li", swatch(order.index(name)), f" {name} ", last))
    label = f"{title} against step: " + "; ".join(lines)
    return tag(
        "figure",
        tag("figcaption", tag("h3", title, tag("small", " log scale") if log else "")),
        tag("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=label),
        tag("ul", *legend, class_="legend"),
        class_="chart",
    )


def _axis(low: float, high: float, log: bool, start: float, end: float, pad: float):
    """(value -> coordinate, tick values) of an axis that holds low..high and some room, `pad` of its span."""
    move = math.log10 if log else float
    a, b = move(low), move(high)
    if b - a <= 1e-9 * max(abs(a), abs(b)):  # one value: in the middle
        room = abs(a) / 2 or 1.0
        a, b = a - room, b + room
    a, b = a - pad * (b - a), b + pad * (b - a)
    marks = log_ticks(a, b) if log else ticks(a, b)

    def place(value: float) -> float:
        return start + (move(value) - a) / (b - a) * (end - start)

    return place, marks


def _line(name: str, points: Points, index: int, place_x, place_y) -> Markup:
    path, marks = "", []
    for known, group in itertools.groupby(points, key=lambda p: p[1] is not None):
        group = list(group)
        if known:
            placed = [(_coordinate(place_x(x)), _coordinate(place_y(y))) for x, y in group]
            path += "M" + "L".join(f"{x} {y}" for x, y in placed)
            if len(points) <= MARKED or len(group) == 1:
                for (x, y), (step, value) in zip(placed, group, strict=True):
                    hint = tag("title", f"{name}, step {step:g}: {number(value)}")
                    marks.append(tag("circle", hint, cx=x, cy=y, r=2.6, style=_color("fill", index)))
    line = tag("path", d=path, class_="line", style=_color("stroke", index), stroke_dasharray=_dash(index))
    return join(line, *marks)


def _color(what: str, index: int) -> str:
    return f"{what}: var(--c{index % COLORS})"


def _dash(index: int) -> str | None:
    return DASHES[index // COLORS % len(DASHES)]


def _coordinate(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _short(value: float) -> str:
    """A tick: 20k rather than 20000, no more digits than it needs."""
    value = 0.0 if abs(value) < 1e-12 else value
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}".replace("e-0", "e-")
