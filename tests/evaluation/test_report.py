"""`vgm report`, by the page that it writes."""

import copy
import json
from html.parser import HTMLParser

import numpy as np
import pytest

from vgm_jax import cli
from vgm_jax.data.media import write_media
from vgm_jax.evaluation import charts
from vgm_jax.evaluation import report as module
from vgm_jax.evaluation.report import report
from vgm_jax.types import Media

VOID = ("meta", "img")
CLIPS = Media(np.random.default_rng(0).integers(0, 256, (1, 4, 16, 16, 3), np.uint8), fps=8.0)
RESULT = {
    "vgm_jax": "0.1.0",
    "real": {"name": "holdout", "hash": "aa", "clips": 512},
    "fake": {"name": "first", "hash": "bb", "clips": 512},
    "distances": {
        "frechet/net": 0.25,
        "kernel/net": 0.0125,
        "kernel_spread/net": 0.00171,
        "precision/net": 0.75,
    },
    "anchors": {
        "real_vs_real": {"frechet/net": 0.03125, "precision/net": 0.96},
        "shuffled": {"frechet/net": 7.5},
    },
    "checks": {"motion/real": 3.5, "motion/fake": 2.25, "copies": 0.011},
    "protocol": {
        "frames": 16,
        "size": [32, 32],
        "version": "0.1.0",
        "networks": {"net": {"weights": "ee" * 32}},
    },
    "warnings": ["512 clips are few"],
}


class Page(HTMLParser):
    """Checks that elements nest; keeps them, their text, and tables as rows of cells (text, is bold)."""

    def __init__(self, path):
        super().__init__()
        self.open, self.elements, self.texts, self.tables, self.captions = [], [], [], [], []
        self.source = path.read_text()
        self.feed(self.source)
        self.close()
        assert not self.open
        self.text = " ".join(self.texts)

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)
        if name == "table":
            self.tables.append([])
        elif name == "tr":
            self.tables[-1].append([])
        elif name in ("td", "th"):
            self.tables[-1][-1].append(["", False])
        elif name == "strong" and "td" in self.open:
            self.tables[-1][-1][-1][1] = True

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        if self.open and self.open[-1] in ("style", "script"):
            return
        self.texts.append(data)
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1][0] += data

    def table(self, start):
        """The table one of whose rows starts so, as {first cell: other cells}."""
        for table in self.tables:
            rows = {row[0][0]: row[1:] for row in table}
            if any(name.startswith(start) for name in rows):
                return rows
        raise AssertionError(f"no table with {start}")

    def row(self, start):
        return next(row for name, row in self.table(start).items() if name.startswith(start))

    def all(self, name):
        return [attributes for found, attributes in self.elements if found == name]


@pytest.fixture
def write(tmp_path):
    def write(name="first", **changes):
        content = copy.deepcopy(RESULT) | changes
        content["fake"]["name"] = name
        path = tmp_path / f"{name.replace('/', '_')}.json"
        path.write_text(json.dumps(content))
        return path

    return write


@pytest.fixture
def workdir(tmp_path):
    def workdir(name="run", frechet=(9.0, 4.0), test=3.5, size=32, lines=()):
        path = tmp_path / name
        path.mkdir()
        config = {"task": "generation", "data": {"size": size, "batch_size": len(name)}, "evaluate": {}}
        (path / "config.json").write_text(json.dumps(config))
        written = [
            {"step": 10 * i, "validation/frechet/net": v, "d_loss": 1.0} for i, v in enumerate(frechet)
        ]
        (path / "metrics.jsonl").write_text("\n".join([*map(json.dumps, written), *lines]) + "\n")
        figures = {"test/frechet/net": test, "test/clips": 64.0, "step": 10}
        (path / "evaluation.json").write_text(json.dumps(figures))
        return path

    return workdir


def page(*paths, force=False):
    return Page(report(paths, paths[0].parent / "out" / "page.html", force))


def test_figures_stand_beside_anchors_and_the_best_are_bold(write):
    better = {"frechet/net": 0.125, "kernel/net": 0.02, "precision/net": 0.5}
    found = page(write(), write("second", distances=better))
    assert [cell[0] for cell in found.table("Fréchet")[""]] == [
        "first",
        "second",
        "real vs real",
        "frames shuffled",
    ]
    assert found.row("Fréchet") == [["0.2500", False], ["0.1250", True], ["0.03125", False], ["7.500", False]]
    assert found.row("Precision")[:2] == [["0.7500", True], ["0.5000", False]]
    assert found.row("Kernel") == [["0.01250 ± 0.0017", True], ["0.02000", False], ["–", False], ["–", False]]
    names = "".join(found.table("Fréchet"))
    assert names.count("lower is better") == 2 and names.count("higher is better") == 1


def test_one_result_has_no_best_and_distances_below_zero_are_as_good_as_zero(write):
    assert not any(bold for _, bold in page(write()).row("Fréchet"))
    paths = [write(str(i), distances={"kernel/net": v}) for i, v in enumerate([-0.001, -0.002, 0.001, None])]
    row = page(*paths).row("Kernel")
    assert [bold for _, bold in row[:4]] == [True, True, False, False]
    assert not any(bold for _, bold in page(*paths[:2]).row("Kernel")), "nor among equals"


def test_anchors_that_differ_have_a_column_each(write):
    other = {"real_vs_real": {"frechet/net": 0.5}}
    head = [cell[0] for cell in page(write(), write("second", anchors=other)).table("Fréchet")[""]]
    assert head[2:] == ["real vs real (first)", "real vs real (second)", "frames shuffled"]


def test_checks_protocol_and_warnings(write):
    found = page(write())
    assert found.row("Motion") == [["2.250", False], ["3.500", False]]
    assert found.row("Share of near copies")[0][0] == "0.01100"
    assert found.row("frames") == [["16", False]]
    assert found.row("networks.net.weights") == [["eeeeeeeeeeee…", False]]
    assert "512 clips are few" in found.text
    assert found.row("holdout")[1][0] == "512"


def test_different_protocols_are_refused(write):
    paths = [write(), write("second", protocol=RESULT["protocol"] | {"frames": 8})]
    with pytest.raises(ValueError, match="(?s)first.*second.*frames: 16 against 8"):
        page(*paths)
    assert not (paths[0].parent / "out").exists()
    found = page(*paths, force=True)
    assert "DIFFERENT PROTOCOLS" in found.text and "frames: 16 against 8" in found.text
    assert found.row("frames") == [["16", False], ["8", False]]
    assert not any(bold for _, bold in found.row("Fréchet")), "there is no best among what does not compare"


def test_copies_of_different_clips_are_marked(write):
    protocols = [RESULT["protocol"] | {"training": hash_} for hash_ in ("12", "34")]
    found = page(write(protocol=protocols[0]), write("second", protocol=protocols[1]))
    assert found.row("training") == [["12", False], ["34", False]]
    assert "Near copies are looked for among other clips for each" in found.text
    found = page(write(protocol=protocols[0]), write("second", protocol=protocols[0]))
    assert found.row("training") == [["12", False]] and "other clips for each" not in found.text


def test_another_real_set_is_another_protocol(write):
    other = write("second", real={"name": "holdout", "hash": "cc"})
    with pytest.raises(ValueError, match="real: aa against cc"):
        page(write(), other)


def test_networks_that_only_some_have_are_compared_among_those(write):
    def only(weights):
        return {"networks": {"net": {"weights": weights}}}

    paths = [
        write("a", protocol={"networks": {}}),
        write("b", protocol=only("x")),
        write("c", protocol=only("y")),
    ]
    with pytest.raises(ValueError, match="b.json and .*c.json .*(?s:.)*networks.net.weights: x against y"):
        page(*paths)


def test_runs_have_curves_and_test_figures(workdir):
    paths = [
        workdir("one", (900.0, 5.0, None, 2.0), 3.5),
        workdir("two", (8.0, 4.0), 2.5, lines=['{"step": 3']),
    ]
    found = page(*paths)
    assert found.row("Fréchet") == [["3.500", False], ["2.500", True]]
    charts = [x["aria-label"] for x in found.all("svg") if "aria-label" in x]
    assert charts == ["frechet/net against step: one; two", "d_loss against step: one; two"]
    assert found.text.count("log scale") == 1, "validation spans more than two decades, the loss does not"
    assert "1 lines of metrics.jsonl could not be read" in found.text
    assert found.row("two")[1][0] == "64", "the size of a batch is no part of the protocol"
    with pytest.raises(ValueError, match="data.size: 32 against 64"):
        page(paths[0], workdir("large", size=64))


def test_results_and_runs_mix_but_share_no_table(write, workdir):
    found = page(write(), workdir())
    with_figures = [t for t in found.tables if any(row[0][0].startswith("Fréchet") for row in t)]
    assert [[cell[0] for cell in table[0][1:2]] for table in with_figures] == [["first"], ["run"]]


def test_runs_that_differ_do_not_mark_results_that_do_not(write, workdir):
    paths = [write(), write("second", distances={"frechet/net": 1.0}), workdir(), workdir("large", size=64)]
    found = page(*paths, force=True)
    assert found.row("Fréchet")[0][1], "results have their best"
    assert found.text.count("DIFFERENT PROTOCOLS") == 1 and "data.size: 32 against 64" in found.text


def test_a_run_that_has_not_been_tested(workdir):
    path = workdir()
    (path / "config.json").unlink()
    assert "without config.json" in page(path).text
    (path / "evaluation.json").unlink()
    found = page(path)
    assert "frechet/net" in found.text and "Test figures" not in found.text


def test_videos_are_embedded_once_each_the_real_ones_first(write, workdir):
    media = {"fake": "m_fake.mp4", "real": "m_real.mp4"}
    first = write(media=media)
    for name in ("m_fake", "m_real"):
        write_media(first.parent, name, CLIPS)
    run = workdir()
    write_media(run / "media", "samples_00000010", CLIPS)
    found = page(first, write("second", media=media), run)
    labels = [video["aria-label"] for video in found.all("video")]
    assert labels == ["real clips: holdout", "fake clips: first", "fake clips: second", "samples clips: run"]
    assert all({"autoplay", "loop", "muted", "playsinline"} <= set(video) for video in found.all("video"))


def test_media_that_are_missing_or_too_large_are_told(write, monkeypatch):
    path = write(media={"fake": "m.mp4", "real": "none.mp4", "odd": "m.txt", "number": 3})
    mp4, _, png = write_media(path.parent, "m", CLIPS)
    (path.parent / "m.gif").unlink()
    monkeypatch.setattr(module, "VIDEO_LIMIT", png.stat().st_size)
    mp4.write_bytes(bytes(png.stat().st_size + 1))
    found = page(path)
    assert "none.mp4 cannot be read" in found.text and "m.txt is none of" in found.text
    assert "m.mp4 has" in found.text and "over the limit" in found.text
    assert any(x["alt"] == "fake clips: first" for x in found.all("img")), "the picture is shown instead"
    monkeypatch.setattr(module, "PAGE_LIMIT", 10)
    assert not page(path).all("img")


def test_the_page_needs_nothing_else(write, workdir):
    path = write(media={"real": "m.mp4", "fake": "m.png"})
    write_media(path.parent, "m", CLIPS)
    found = page(path, workdir())
    for name, attributes in found.elements:
        assert name not in ("link", "iframe", "object", "base", "a")
        assert attributes.get("src", "data:").startswith("data:")
        assert not {"href", "srcset", "poster", "onclick", "onload"} & set(attributes)
    lowered = found.source.lower()
    assert "http:" not in lowered and "https:" not in lowered and "url(" not in lowered
    assert any("default-src 'none'" in x.get("content", "") for x in found.all("meta"))


def test_nothing_that_a_file_says_becomes_markup(write, workdir):
    evil = "\"'><script>alert(1)</script><img src=x onerror=y>&amp;"
    first = write(
        evil,
        real={"name": evil, evil: evil},
        distances={f"{evil}/{evil}": 1.0, f"frechet/{evil}": 2.0},
        anchors={evil: {f"frechet/{evil}": 1.0}},
        checks={evil: 1.0},
        protocol={evil: evil, "nested": {evil: [evil]}},
        warnings=[evil],
        media={evil: evil, "fake": "<b>.png"},
    )
    write_media(first.parent, "<b>", CLIPS)
    line = json.dumps({"step": 3, evil.replace("/", ""): 1.0})
    second = workdir("<img src=x onerror=y>", lines=[line])
    found = page(first, second)
    assert len(found.all("script")) == 1
    assert all(set(x) == {"src", "alt"} and x["src"].startswith("data:") for x in found.all("img"))
    assert found.text.count(evil) >= 10, "it is told as it is"


def test_broken_inputs_are_named(write, workdir, tmp_path):
    good = write()
    for content, reason in {
        "{": "not valid JSON",
        "[]": '"distances"',
        '{"distances": {}}': '"protocol"',
        '{"distances": 3, "protocol": {}}': '"distances"',
        '{"distances": {}, "protocol": {}, "anchors": 3}': '"anchors"',
        '{"distances": {}, "protocol": {}, "warnings": "few"}': '"warnings"',
    }.items():
        bad = tmp_path / "bad.json"
        bad.write_text(content)
        with pytest.raises(ValueError, match=f"bad.json.*{reason}"):
            page(good, bad)
    bad.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="bad.json"):
        page(bad)
    with pytest.raises(ValueError, match="none.json.*cannot be read"):
        page(tmp_path / "none.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty.*workdir of a run"):
        page(tmp_path / "empty")
    run = workdir()
    (run / "evaluation.json").write_text("[1")
    with pytest.raises(ValueError, match="evaluation.json.*not valid JSON"):
        page(run)


def test_equal_names_are_told_apart_and_a_result_is_never_written_over(write, tmp_path):
    first = write()
    second = tmp_path / "again.json"
    second.write_text(first.read_text())
    head = [cell[0] for cell in page(first, second).table("Fréchet")[""]]
    assert head[:2] == ["first (first.json)", "first (again.json)"]
    with pytest.raises(ValueError, match="given twice"):
        page(first, first)
    with pytest.raises(ValueError, match="suffix"):
        report([first], second)
    assert second.read_text() == first.read_text()


def test_the_command(write, tmp_path, capsys):
    out = tmp_path / "page.html"
    cli.main(["report", str(write()), "-o", str(out)])
    assert capsys.readouterr().out.strip() == str(out) and Page(out).row("Fréchet")
    with pytest.raises(SystemExit, match="(?s)vgm report: error: .*frames.*--force"):
        cli.main(["report", str(write()), str(write("b", protocol={"frames": 8})), "-o", str(out)])


@pytest.mark.parametrize(
    "values",
    [[1.0], [0.0, 0.0], [-3.0, 2e38], [1e-300, 1e300], [-9e306, 9e306], [float("nan"), 1.0, None, 2.0]],
)
def test_charts_hold_every_point(values):
    svg = charts.line_chart("figure", {"run": list(enumerate(values))})
    parts = [part.split('"')[0] for part in svg.split('cy="')[1:]]
    assert len(parts) == sum(v is not None and v == v for v in values)
    assert all(charts.TOP <= float(y) <= charts.HEIGHT - charts.BOTTOM for y in parts)
    assert charts.line_chart("figure", {"run": [(0, None)]}) == ""


def test_long_lines_keep_their_peaks():
    points = [(i, float(i == 5000)) for i in range(100_000)]
    thinned = charts.thin(points)
    assert len(thinned) <= 2 * charts.BUCKETS and (5000, 1.0) in thinned and thinned == sorted(thinned)


def test_ticks_are_round_and_enough():
    rng = np.random.default_rng(0)
    for low, span in zip(rng.normal(size=200) * 100, 10 ** rng.uniform(-6, 6, 200), strict=True):
        marks = charts.ticks(low, low + span)
        assert 3 <= len(marks) <= 8 and low - 1e-6 * span <= marks[0] and marks[-1] <= low + span * (1 + 1e-6)
    assert charts.log_ticks(-3.2, 2.1) == [1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0]
