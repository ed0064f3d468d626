"""A page that compares results: one HTML file with tables, curves and videos, which needs no network."""

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from vgm_jax.data.files import in_one_piece
from vgm_jax.evaluation import tables
from vgm_jax.evaluation.charts import line_chart
from vgm_jax.evaluation.markup import Markup, join, tag
from vgm_jax.evaluation.results import Result, read_all, require_comparable

MIB = 2**20
VIDEO_LIMIT, PAGE_LIMIT = 8 * MIB, 64 * MIB  # bytes of a video, and of all of them
KINDS = {".mp4": "video/mp4", ".webm": "video/webm", ".gif": "image/gif", ".png": "image/png"}


def report(paths: Sequence[str | os.PathLike], out: str | os.PathLike, force: bool = False) -> Path:
    """Writes the page that compares result files of `vgm evaluate` and workdirs of runs, in any mix.

    Args:
      out: a file ending in .html.
      force: results of different protocols become one page all the same, which says so.

    Raises ValueError where a file is broken or neither kind, naming it; where protocols differ, naming their
    keys; for another suffix. OSError where the page cannot be written.
    """
    out = Path(out)
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"{out}: expected a suffix among .html, .htm")
    results, differing = read_all(paths), {}
    for is_run in (False, True):
        try:
            require_comparable([r for r in results if r.is_run == is_run])
        except ValueError as error:
            if not force:
                raise ValueError(f"{error}\n--force puts them on one page, marked") from error
            differing[is_run] = str(error)
    out.parent.mkdir(parents=True, exist_ok=True)
    # A file name may hold bytes that are no text.
    with in_one_piece(out) as part:
        part.write_text(page(results, differing), encoding="utf-8", errors="replace")
    return out


def page(results: Sequence[Result], differing: Mapping[bool, str]) -> str:
    """The page; `differing` says, by `is_run`, in what protocols differ, where they do; it is shown first."""
    measured, runs = ([r for r in results if r.is_run == is_run] for is_run in (False, True))
    tested = [r for r in runs if r.figures]
    body = [
        tag("h1", "Comparison of video generators"),
        tag("p", " · ".join(r.name for r in results), class_="lead"),
        *map(_alarm, differing.values()),
        _warnings(results),
        _section("What is compared", tables.compared_table(results)),
    ]
    if measured:
        note = "Of the judged set from the real one; beside it, what real clips and spoilt ones measure."
        body.append(_section("Distances", tag("p", note), tables.figures_table(measured, False in differing)))
        note = "Near copies are looked for among other clips for each: see the protocol's training."
        about = [tag("p", note)] if tables.held_apart(measured) else []
        body.append(_section("Checks", *about, tables.checks_table(measured)))
    if tested:
        note = "Of each run's chosen checkpoint, on its held-out test split."
        body.append(
            _section("Test figures of runs", tag("p", note), tables.figures_table(tested, True in differing))
        )
        if any(run.checks for run in tested):
            body.append(_section("Checks of runs", tables.checks_table(tested)))
    body.append(_section("Curves", _curves(runs)))
    body.append(_section("Videos", _videos(results)))
    for is_run, title, members in ((False, "Protocol", measured), (True, "Protocol of runs", runs)):
        members = [r for r in members if r.protocol]
        body.append(_section(title, tables.protocol_table(members, is_run in differing)))
    versions = sorted({str(r.protocol["version"]) for r in measured if "version" in r.protocol})
    measured_by = f" · measured by vgm_jax {', '.join(versions)}" if versions else ""
    body.append(tag("footer", "vgm report", measured_by))

    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", "vgm report: " + ", ".join(r.name for r in results)),
        tag("style", Markup(STYLE)),
    ]
    body = [tag("main", *body), tag("script", Markup(SCRIPT))]
    return "<!DOCTYPE html>\n" + tag("html", tag("head", *head), tag("body", *body), lang="en") + "\n"


def _alarm(differing: str) -> Markup:
    title = tag("strong", "Different protocols: figures on this page do not compare")
    return tag("div", title, tag("pre", differing), class_="notice alarm", role="alert")


def _warnings(results: Sequence[Result]) -> Markup:
    owners: dict[str, list[str]] = {}
    for r in results:
        for text in r.warnings:
            owners.setdefault(text, []).append(r.name)
    items = [tag("li", tag("b", ", ".join(names)), f": {text}") for text, names in owners.items()]
    if not items:
        return Markup("")
    return tag("div", tag("strong", "Warnings"), tag("ul", *items), class_="notice", role="note")


def _curves(runs: Sequence[Result]) -> Markup:
    """A chart a figure, those of validation first."""
    names = {name for r in runs for name in r.curves if name.rpartition("/")[2] != "clips"}
    order = [r.name for r in runs]
    groups: dict[str, list[Markup]] = {"On held-out clips": [], "While training": []}
    for name in sorted(names):
        lines = {r.name: r.curves[name] for r in runs if name in r.curves}
        title = name.removeprefix("validation/")
        groups["While training" if title == name else "On held-out clips"].append(
            line_chart(title, lines, order)
        )
    parts = []
    for title, charts in groups.items():
        charts = list(filter(None, charts))
        if charts:
            parts += [tag("h3", title), tag("div", *charts, class_="charts")]
    return join(*parts)


def _videos(results: Sequence[Result]) -> Markup:
    """Real clips first; those that several results share are shown once."""
    left, shown, figures = PAGE_LIMIT, set(), []
    wanted = [(kind, r) for r in results for kind in r.media]
    for kind, r in sorted(wanted, key=lambda item: item[0] != "real"):
        data, path, problems = _load(r.media[kind], min(VIDEO_LIMIT, left))
        if kind == "real" and data in shown:
            continue
        if kind == "real" and data:
            shown.add(data)
        name = str(r.real.get("name", f"real, of {r.name}")) if kind == "real" else r.name
        content = tag("p", "not shown", class_="missing")
        if data:
            left -= len(data)
            content = _embed(data, KINDS[path.suffix.lower()], f"{kind} clips: {name}")
        notes = [tag("small", text, class_="problem") for text in problems]
        caption = tag("figcaption", tag("b", name), tag("small", kind), *notes)
        figures.append(tag("figure", content, caption))
    if not figures:
        return Markup("")
    button = tag("button", "Restart together", type="button", id="restart", hidden=True)
    pause = tag("button", "Pause", type="button", id="pause", hidden=True)
    return join(tag("p", button, " ", pause), tag("div", *figures, class_="videos"))


def _load(paths: Sequence[Path], limit: int) -> tuple[bytes | None, Path | None, list[str]]:
    """The first file that is there and small enough, and why those before it are not shown."""
    problems = []
    for path in paths:
        try:
            if path.suffix.lower() not in KINDS:
                problems.append(f"{path.name} is none of {', '.join(KINDS)}")
            elif path.stat().st_size > limit:
                size = path.stat().st_size / MIB
                problems.append(f"{path.name} has {size:.1f} MiB, over the limit of {limit / MIB:.1f}")
            else:
                return path.read_bytes(), path, problems
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            if path == paths[0]:  # the others are only tried
                problems.append(f"{path.name} cannot be read ({getattr(error, 'strerror', None) or error})")
    return None, None, problems


def _embed(data: bytes, kind: str, label: str) -> Markup:
    source = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    if kind.startswith("image/"):
        return tag("img", src=source, alt=label)
    return tag("video", src=source, autoplay=True, loop=True, muted=True, playsinline=True, aria_label=label)


def _section(title: str, *children: str) -> Markup:
    return tag("section", tag("h2", title), *children) if all(children) else Markup("")


STYLE = """
:root { color-scheme: light dark;
  --back: #fff; --ink: #1d2229; --soft: #5d6673; --rule: #d9dde3; --tint: #f4f6f8;
  --warn: #8a5a00; --warn-back: #fff6e0; --alarm: #b00020; --alarm-back: #fdebee;
  --c0: #0060a8; --c1: #c94a00; --c2: #007a5a; --c3: #a8317e; --c4: #7a6a00; --c5: #2b8fc4; --c6: #6b4fc0;
  --c7: #555; }
@media (prefers-color-scheme: dark) { :root {
  --back: #14171b; --ink: #e6e9ed; --soft: #9aa4b1; --rule: #343b44; --tint: #1c2127;
  --warn: #f0c060; --warn-back: #2e2612; --alarm: #ff8a9a; --alarm-back: #38171d;
  --c0: #5ab0f5; --c1: #ff9352; --c2: #3fcb9f; --c3: #f08cc8; --c4: #dcc94a; --c5: #8fd6ff; --c6: #b5a0ff;
  --c7: #bbb; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto,
  "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 2.5rem 1.25rem 3rem; }
h1 { margin: 0; font-size: 1.7rem; line-height: 1.2; letter-spacing: -0.01em; }
h2 { margin: 2.4rem 0 0.6rem; font-size: 1.15rem; }
h3 { margin: 0.9rem 0 0.4rem; font-size: 0.92rem; font-weight: 600; }
p { margin: 0 0 0.7rem; color: var(--soft); max-width: 70ch; }
.lead { margin-top: 0.35rem; font-size: 1.02rem; max-width: none; overflow-wrap: anywhere; }
.notice { margin: 1.2rem 0; padding: 0.8rem 1rem; border-left: 4px solid var(--warn);
  background: var(--warn-back); }
.notice > strong { color: var(--warn); }
.notice ul { margin: 0.3rem 0 0; padding-left: 1.2rem; }
.notice li, figcaption, pre { overflow-wrap: anywhere; }
.notice.alarm { border-color: var(--alarm); background: var(--alarm-back); }
.notice.alarm > strong, caption.alarm { color: var(--alarm); font-weight: 700; }
pre { margin: 0.4rem 0 0; white-space: pre-wrap; font-size: 0.85rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; border-top: 2px solid var(--ink); border-bottom: 2px solid var(--ink);
  font-variant-numeric: tabular-nums; }
caption { caption-side: bottom; padding-top: 0.45rem; text-align: left; font-size: 0.85rem;
  color: var(--soft); }
caption.alarm { caption-side: top; padding: 0 0 0.45rem; font-size: 1rem; }
th, td { padding: 0.32rem 1.1rem; text-align: right; vertical-align: baseline; min-width: 5.5rem;
  max-width: 26rem; overflow-wrap: break-word; }
td { white-space: nowrap; }
th:first-child { padding-left: 0.4rem; text-align: left; }
tbody th { font-weight: 400; min-width: 9rem; }
thead th { border-bottom: 1px solid var(--ink); font-weight: 600; vertical-align: bottom; }
th.text, td.text { text-align: left; white-space: normal; }
.group th { padding-top: 0.8rem; font-weight: 600; }
tbody tr:not(.group):hover { background: var(--tint); }
.anchor, td small { color: var(--soft); }
thead .anchor { font-weight: 400; font-style: italic; }
td small { display: block; white-space: nowrap; font-size: 0.8em; line-height: 1.1; }
.arrow { color: var(--soft); }
.differs th, .differs td { background: var(--alarm-back); }
code { font: 0.85em/1.4 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
figure { margin: 0; min-width: 0; }
.charts { display: grid; gap: 1.2rem 2rem;
  grid-template-columns: repeat(auto-fill, minmax(min(340px, 100%), 1fr)); }
.chart > svg { display: block; width: 100%; height: auto; }
.chart text { font-size: 13px; fill: var(--soft); }
.chart h3 small { color: var(--soft); font-weight: 400; }
.grid { stroke: var(--rule); }
.axis { fill: none; stroke: var(--soft); }
.line, .swatch line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.legend { display: flex; flex-wrap: wrap; gap: 0.1rem 1.1rem; margin: 0.2rem 0 0; padding: 0;
  list-style: none; font-size: 0.85rem; overflow-wrap: anywhere; }
.last { color: var(--soft); font-variant-numeric: tabular-nums; }
.videos { display: grid; gap: 1.2rem;
  grid-template-columns: repeat(auto-fill, minmax(min(260px, 100%), 1fr)); }
.videos video, .videos img { display: block; width: 100%; height: auto; background: var(--tint); }
.videos small { display: block; color: var(--soft); }
.videos .problem { color: var(--warn); }
.missing { margin: 0; padding: 3rem 1rem; text-align: center; background: var(--tint); }
button { padding: 0.3rem 0.8rem; border: 1px solid var(--rule); border-radius: 4px; background: var(--tint);
  color: inherit; font: inherit; cursor: pointer; }
footer { margin-top: 2.5rem; color: var(--soft); font-size: 0.85rem; }
"""

# Without it the videos play, each at its own time.
SCRIPT = """
const videos = [...document.querySelectorAll("video")];
const restart = document.getElementById("restart"), pause = document.getElementById("pause");
if (videos.length) {
  const set = (play) => {
    pause.textContent = play ? "Pause" : "Play";
    videos.forEach((video) => (play ? video.play() : video.pause()));
  };
  restart.hidden = pause.hidden = false;
  restart.onclick = () => { videos.forEach((video) => { video.currentTime = 0; }); set(true); };
  pause.onclick = () => set(videos[0].paused);
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) set(false);
}
"""
