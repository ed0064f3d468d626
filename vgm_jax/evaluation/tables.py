"""The tables of a report."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from vgm_jax.evaluation.charts import number
from vgm_jax.evaluation.markup import Markup, join, tag
from vgm_jax.evaluation.results import Figures, Result

TITLES = {
    "frechet": "Fréchet distance",
    "kernel": "Kernel distance",
    "real_vs_real": "real vs real",
    "shuffled": "frames shuffled",
    "copies": "Share of near copies",
    "nearest": "Distance to the nearest real clip",
}
LOWER, HIGHER = ("frechet", "kernel"), ("precision", "recall", "density", "coverage", "accuracy")


def figures_table(results: Sequence[Result], differing: bool) -> Markup:
    """Rows of figures under their network, columns of results and, beside them, of anchors."""
    anchors = _anchor_columns(results)
    columns: list[tuple[str, Figures]] = [(r.name, r.figures) for r in results]
    names = list(dict.fromkeys(key for _, figures in columns for key in figures))
    head = [tag("th", "", scope="col")]
    head += [tag("th", name, scope="col") for name, _ in columns]
    head += [tag("th", name, scope="col", class_="anchor") for name, _ in anchors]
    bodies = []
    for network in dict.fromkeys(key.partition("/")[2] for key in names):
        title = tag("th", network, scope="rowgroup", colspan=len(head))
        rows = [tag("tr", title, class_="group")] if network else []
        keys = [key for key in names if key.partition("/")[2] == network and not _is_spread(key, names)]
        for key in sorted(keys, key=_rank):
            metric = key.partition("/")[0]
            best = set() if differing else _best(metric, [figures.get(key) for _, figures in columns])
            cells = [_cell(key, figures, i in best) for i, (_, figures) in enumerate(columns)]
            cells += [_cell(key, figures, anchor=True) for _, figures in anchors]
            rows.append(tag("tr", tag("th", _title(metric), _arrow(metric), scope="row"), *cells))
        bodies.append(tag("tbody", *rows))
    caption = Markup("")
    if differing:
        caption = tag("caption", "DIFFERENT PROTOCOLS: these columns do not compare", class_="alarm")
    else:
        said = ["the best of each row in bold"] * (len(results) > 1)
        said += ["± is the deviation over subsets"] * any(_is_spread(key, names) for key in names)
        caption = tag("caption", "; ".join(said).capitalize()) if said else caption
    return _table(caption, tag("thead", tag("tr", *head)), *bodies)


def _anchor_columns(results: Sequence[Result]) -> list[tuple[str, Figures]]:
    """One column for each anchor that all results agree on, else one a result."""
    columns = []
    for label in dict.fromkeys(label for r in results for label in r.anchors):
        owners = [(r.name, r.anchors[label]) for r in results if label in r.anchors]
        merged: Figures = {}
        for _, figures in owners:
            merged = figures | merged
        # Other devices round otherwise; the fourth digit shown is not worth a column.
        agree = all(_near(value, merged[key]) for _, figures in owners for key, value in figures.items())
        columns += [(_title(label), merged)] if agree else [(f"{_title(label)} ({n})", f) for n, f in owners]
    return columns


def _near(a: float | None, b: float | None) -> bool:
    return a == b or (a is not None and b is not None and math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-6))


def _best(metric: str, values: Sequence[float | None]) -> set[int]:
    """Indices of what is better than others. An unbiased distance below zero is as good as zero."""
    known = {i: v for i, v in enumerate(values) if v is not None and math.isfinite(v)}
    if len(known) < 2 or metric not in LOWER + HIGHER:
        return set()
    scores = {i: -max(v, 0.0) if metric in LOWER else v for i, v in known.items()}
    best = {i for i, score in scores.items() if score == max(scores.values())}
    return best if len(best) < len(scores) else set()


def _cell(key: str, figures: Figures, best: bool = False, anchor: bool = False) -> Markup:
    value = number(figures.get(key))
    metric = key.partition("/")[0]
    spread = figures.get(key.replace(metric, f"{metric}_spread", 1))
    beside = Markup("") if spread is None else tag("small", f" ± {number(spread, 2)}")
    classes = "best" if best else "anchor" if anchor else None
    return tag("td", tag("strong", value) if best else value, beside, class_=classes)


def _is_spread(key: str, names: Sequence[str]) -> bool:
    return "_spread" in key and key.replace("_spread", "") in names


def _rank(key: str) -> int:
    order, metric = LOWER + HIGHER, key.partition("/")[0]
    return order.index(metric) if metric in order else len(order)


def _arrow(metric: str) -> Markup:
    for metrics, arrow, meaning in ((LOWER, "↓", "lower is better"), (HIGHER, "↑", "higher is better")):
        if metric in metrics:
            seen = tag("span", arrow, class_="arrow", title=meaning, aria_hidden="true")
            return join("\N{NO-BREAK SPACE}", seen, tag("span", f" ({meaning})", class_="unseen"))
    return Markup("")


def checks_table(results: Sequence[Result]) -> Markup:
    """What is known of the judged sets, with the real set's value beside, where there is one."""
    names = list(dict.fromkeys(key for r in results for key in r.checks))
    if not names:
        return Markup("")
    head = [tag("th", "", scope="col"), *(tag("th", r.name, scope="col") for r in results)]
    head.append(tag("th", "real", scope="col", class_="anchor"))
    rows = []
    for key in names:
        check, _, of = key.rpartition("/")
        if of == "real" and f"{check}/fake" in names:
            continue
        paired = of == "fake" and f"{check}/real" in names
        cells = [tag("td", number(r.checks.get(key))) for r in results]
        real = [r.checks[f"{check}/real"] for r in results if f"{check}/real" in r.checks] if paired else []
        distinct = [v for i, v in enumerate(real) if not any(_near(v, other) for other in real[:i])]
        cells.append(tag("td", ", ".join(map(number, distinct)), class_="anchor"))
        rows.append(tag("tr", tag("th", _title(check if paired else key), scope="row"), *cells))
    return _table(tag("thead", tag("tr", *head)), tag("tbody", *rows))


def compared_table(results: Sequence[Result]) -> Markup:
    """Each set or run: where it is from, how many clips, and what else is known of it."""
    rows, seen = [], []
    for r in results:
        for role, about in (("real", r.real), ("judged", r.fake)):
            if role == "real" and (not about or about in seen):
                continue
            seen.append(about)
            name = str(about.get("name", "real")) if role == "real" else r.name
            role = "training run" if r.is_run else f"{role} set"
            more = {k: v for k, v in about.items() if k not in ("name", "clips")}
            details = [join(f"{k} ", _value(v)) for k, v in more.items()]
            separated = [x for item in details for x in (", ", item)][1:]
            rows.append(
                tag(
                    "tr",
                    tag("th", name, scope="row"),
                    tag("td", role, class_="text"),
                    tag("td", str(about.get("clips", "–"))),
                    tag("td", *separated, class_="text"),
                    tag("td", tag("code", str(r.path)), class_="text"),
                )
            )
    head = [("", "text"), ("kind", "text"), ("clips", None), ("details", "text"), ("from", "text")]
    cells = [tag("th", name, scope="col", class_=kind) for name, kind in head]
    return _table(tag("thead", tag("tr", *cells)), tag("tbody", *rows))


def held_apart(results: Sequence[Result]) -> bool:
    """Whether copies were looked for among other clips for some than for others."""
    return len({str((r.protocol or {}).get("training", "")) for r in results}) > 1


def protocol_table(results: Sequence[Result], differing: bool) -> Markup:
    """Key and value; where protocols differ a column for each, and the rows that differ marked."""
    if not results:
        return Markup("")
    flat = {r.name: dict(_flatten(r.protocol)) for r in results}
    if not differing and not held_apart(results):  # then they hold the same, but for networks that some lack
        flat = {"value": {key: value for protocol in flat.values() for key, value in protocol.items()}}
    rows = []
    for key in dict.fromkeys(key for protocol in flat.values() for key in protocol):
        values = [protocol.get(key, "–") for protocol in flat.values()]
        differs = any(value != values[0] for value in values)
        cells = [tag("td", _value(value), class_="text") for value in values]
        rows.append(tag("tr", tag("th", key, scope="row"), *cells, class_="differs" if differs else None))
    head = [tag("th", "", scope="col"), *(tag("th", name, scope="col", class_="text") for name in flat)]
    return _table(tag("thead", tag("tr", *head)), tag("tbody", *rows))


def _flatten(tree: Mapping[str, Any], prefix: str = ""):
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _value(value: Any) -> Markup:
    """A setting; of a hash its beginning, and the whole on hovering."""
    text = value if isinstance(value, str) else repr(value)
    if len(text) >= 32 and all(c in "0123456789abcdef" for c in text):
        return tag("code", f"{text[:12]}…", title=text)
    return join(text)


def _table(*children: str) -> Markup:
    return tag("div", tag("table", *children), class_="scroll", tabindex=0, role="group", aria_label="table")


def _title(name: str) -> str:
    return TITLES.get(name) or name[:1].upper() + name[1:].replace("_", " ")
