"""`report.html` of a prepared data set: one page of bounded size, which needs no network."""

import base64
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vgm_jax.evaluation.charts import number
from vgm_jax.evaluation.markup import Markup, join, tag
from vgm_jax.evaluation.report import STYLE
from vgm_jax.preparation.dataset import Place
from vgm_jax.preparation.records import Settings
from vgm_jax.preparation.results import SHOWN, Results, png

KEPT, LISTED = 30, 200  # clips shown; lines of the list
LARGEST = 128  # pixels a side of a picture
BARS = 24
WIDTH, HEIGHT, FOOT = 360, 120, 18

MORE_STYLE = """
.clips { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(128px, 1fr)); }
.clips img { display: block; width: 100%; image-rendering: pixelated; background: var(--tint); }
.clips small { display: block; color: var(--soft); overflow-wrap: anywhere; }
.bar { fill: var(--c0); }
.wide td, .wide th { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 4rem; }
"""


def write_page(
    path: Path,
    summary: Mapping[str, Any],
    settings: Settings,
    splits: Mapping[str, Sequence[Place]],
    rejected: Sequence[Mapping[str, Any]],
    results: Results,
) -> None:
    """Writes the page; `rejected`: lines of the list, with "picture" (PNG, base64) and "place", or None."""
    body = [
        tag("h1", "Prepared videos"),
        tag("p", f"{summary['clips']} clips of {summary['used']} videos", class_="lead"),
        _warnings(summary["warnings"]),
        _section("Counts", _pairs(_counts(summary))),
        _section("Left out", _pairs(summary["rejected"])),
        _section("Kept clips", _kept(splits, results)),
        _section("Pictures of what was left out", _left_out(rejected, results)),
        _section("Figures", _histograms(splits)),
        _section("Licences", _pairs({name or "not known": n for name, n in summary["licences"].items()})),
        _section("Settings", _pairs(vars(settings))),
        _section("List of what was left out", _list_of(rejected)),
        tag("footer", "vgm prepare"),
    ]
    head = [
        tag("meta", charset="utf-8"),
        tag(
            "meta",
            http_equiv="Content-Security-Policy",
            content="default-src 'none'; img-src data:; style-src 'unsafe-inline'",
        ),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", "vgm prepare: report"),
        tag("style", Markup(STYLE + MORE_STYLE)),
    ]
    page = "<!DOCTYPE html>\n" + tag("html", tag("head", *head), tag("body", tag("main", *body)), lang="en")
    # A file name may hold bytes that are no text.
    path.write_text(page + "\n", encoding="utf-8", errors="replace")


def _section(title: str, *children: Markup) -> Markup:
    return tag("section", tag("h2", title), *children) if any(children) else Markup("")


def _warnings(texts: Sequence[str]) -> Markup:
    items = [tag("li", text) for text in texts]
    return tag("div", tag("strong", "Warnings"), tag("ul", *items), class_="notice") if items else Markup("")


def _counts(summary: Mapping[str, Any]) -> dict[str, Any]:
    minutes = f"{summary['seconds'] / 60:.1f}"
    counts = {name: summary[name] for name in ("videos", "used", "shots", "clips")} | {"minutes": minutes}
    return counts | {f"clips in {name}": count for name, count in summary["splits"].items()}


def _pairs(values: Mapping[str, Any]) -> Markup:
    rows = [tag("tr", tag("th", name, scope="row"), tag("td", str(value))) for name, value in values.items()]
    return tag("div", tag("table", tag("tbody", *rows)), class_="scroll") if rows else Markup("")


def _list_of(rejected: Sequence[Mapping[str, Any]]) -> Markup:
    if not rejected:
        return Markup("")
    head = tag("tr", *(tag("th", name, scope="col") for name in ("source", "seconds", "reason", "detail")))
    rows = []
    # Whole files first: what is left of shots must not hide them.
    for item in sorted(rejected, key=lambda item: item["start"] is not None)[:LISTED]:
        times = "all" if item["start"] is None else f"{item['start']:.2f} to {item['end'] or 0:.2f}"
        cells = (item["source"], times, item["reason"], item["detail"])
        rows.append(tag("tr", *(tag("td", str(cell)) for cell in cells)))
    more = len(rejected) - len(rows)
    note = tag("p", f"and {more} more: rejected.jsonl has them all") if more else Markup("")
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="wide")
    return join(tag("div", table, class_="scroll"), note)


# ---------------------------------------------------------------------------------------------------------- #
# Pictures
# ---------------------------------------------------------------------------------------------------------- #


def _kept(splits: Mapping[str, Sequence[Place]], results: Results) -> Markup:
    """Clips evenly from the whole set, moving."""
    places = [(split, place) for split, members in splits.items() for place in members]
    chosen = [places[i * len(places) // KEPT] for i in range(KEPT)] if len(places) > KEPT else places
    return tag("div", *(_moving(split, place, results) for split, place in chosen), class_="clips")


def _moving(split: str, place: Place, results: Results) -> Markup:
    video, times, _ = next(results.clips(place.key, [place.number]))
    video = _small(video)
    pause = max(20, round(1000 * float(times[-1]) / max(len(times) - 1, 1)))  # milliseconds a frame
    first, *rest = [Image.fromarray(frame) for frame in video]
    buffer = io.BytesIO()
    first.save(buffer, "webp", save_all=True, append_images=rest, duration=pause, loop=0, quality=75)
    data = base64.b64encode(buffer.getvalue()).decode()
    return _picture(
        f"data:image/webp;base64,{data}", f"{_where(place)}, {split}", place.known["caption"][:80]
    )


def _left_out(rejected: Sequence[Mapping[str, Any]], results: Results) -> Markup:
    parts = []
    for reason in dict.fromkeys(item["reason"] for item in rejected):
        shown = [item for item in rejected if item["reason"] == reason and (item["picture"] or item["place"])]
        figures = []
        for item in shown[:SHOWN]:
            if item["place"]:
                video, _, _ = next(results.clips(item["place"].key, [item["place"].number]))
                data = png(_small(video[len(video) // 2 :][:1])[0])
            else:
                data = item["picture"]
            start = "" if item["start"] is None else f" at {item['start']:.2f} s"
            source = f"{item['source']}{start}"
            figures.append(_picture(f"data:image/png;base64,{data}", source, item["detail"]))
        if figures:
            parts += [tag("h3", reason), tag("div", *figures, class_="clips")]
    return join(*parts)


def _picture(data: str, name: str, note: str) -> Markup:
    image = tag("img", src=data, alt=name, loading="lazy")
    return tag("figure", image, tag("figcaption", tag("small", name), tag("small", note)))


def _where(place: Place) -> str:
    return f"{place.source.name} at {place.known['start']:.2f} s"


def _small(video: np.ndarray) -> np.ndarray:
    """uint8 [T H W 3], every n-th pixel, so that no side is over `LARGEST`."""
    step = math.ceil(max(video.shape[1:3]) / LARGEST)
    return np.ascontiguousarray(video[:, ::step, ::step])


# ---------------------------------------------------------------------------------------------------------- #
# Histograms
# ---------------------------------------------------------------------------------------------------------- #


def _histograms(splits: Mapping[str, Sequence[Place]]) -> Markup:
    places = list({id(p): p for members in splits.values() for p in members}.values())
    values: dict[str, list[float]] = {}
    for place in places:
        for name, value in place.known["figures"].items():
            values.setdefault(name, []).append(value)
    sources = {place.source.name: place for place in places}
    lengths = [end - start for place in sources.values() for start, end in place.result["shots"]]
    counts = {name: 0 for name in sources}
    for place in places:
        counts[place.source.name] += 1
    values |= {"seconds a shot": lengths, "clips a video": list(map(float, counts.values()))}
    charts = [histogram(name, numbers) for name, numbers in values.items()]
    return tag("div", *charts, class_="charts") if places else Markup("")


def histogram(title: str, values: Sequence[float]) -> Markup:
    """A figure: how many values lie in each of up to `BARS` equal parts of their range."""
    known = np.array([value for value in values if math.isfinite(value)])
    if not len(known):
        return Markup("")
    low, high = float(known.min()), float(known.max())
    counts, edges = np.histogram(known, BARS if high > low else 1)
    bars = list(_bars(counts, edges))
    ends = [
        tag("text", number(low, 3), x=0, y=HEIGHT, text_anchor="start"),
        tag("text", number(high, 3), x=WIDTH, y=HEIGHT, text_anchor="end"),
    ]
    middle = f"median {number(float(np.median(known)), 3)}, {len(known)} values"
    label = f"{title}: from {number(low, 3)} to {number(high, 3)}, {middle}"
    svg = tag("svg", *bars, *ends, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=label)
    heading = tag("h3", title, " ", tag("small", middle))
    return tag("figure", tag("figcaption", heading), svg, class_="chart")


def _bars(counts: np.ndarray, edges: np.ndarray) -> Iterator[Markup]:
    width, tallest = WIDTH / len(counts), int(counts.max())
    for i, count in enumerate(counts.tolist()):
        if count:
            height = max(1.0, (HEIGHT - FOOT) * count / tallest)
            hint = tag("title", f"{number(float(edges[i]), 3)} to {number(float(edges[i + 1]), 3)}: {count}")
            box = {"x": f"{i * width:.1f}", "y": f"{HEIGHT - FOOT - height:.1f}"}
            yield tag(
                "rect", hint, **box, width=f"{max(width - 1, 1):.1f}", height=f"{height:.1f}", class_="bar"
            )
