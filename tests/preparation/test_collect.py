import csv
import hashlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from vgm_jax import cli
from vgm_jax.data.media import VideoWriter
from vgm_jax.preparation import collect as module
from vgm_jax.preparation.collect import Limits, collect
from vgm_jax.preparation.fetching import Fetcher, validator_of
from vgm_jax.preparation.manifest import plan_files, read_manifest, safe_name

FAST = Limits(timeout=0.3, deadline=5.0, retries=2, backoff=0.01)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """The bytes of three small videos."""
    found = []
    for seed in range(3):
        path = tmp_path_factory.mktemp("videos") / "clip.mp4"
        with VideoWriter(path, fps=8) as writer:
            for frame in np.random.default_rng(seed).integers(0, 256, (4, 32, 32, 3), np.uint8):
                writer.write(frame)
        found.append(path.read_bytes())
    # All of one length, since length must not be what tells them apart: each with a box that holds nothing.
    length = max(map(len, found)) + 8
    return [v + (length - len(v)).to_bytes(4, "big") + b"free" + bytes(length - len(v) - 8) for v in found]


class Site(http.server.ThreadingHTTPServer):
    """Answers with `pages[path](request, number of earlier requests to that path)`."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Request)
        self.pages, self.asked, self.over = {}, [], threading.Event()
        self.lock, self.busy, self.busiest = threading.Lock(), 0, 0
        self.url = f"http://127.0.0.1:{self.server_port}"

    def count(self, path):
        return Counter(asked for asked, _ in self.asked)[path]

    def ranges(self, path):
        return [headers["Range"] for asked, headers in self.asked if asked == path]

    def handle_error(self, *_):
        pass  # clients that go away are what is tested


class Request(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        site = self.server
        path = self.path.partition("?")[0]
        with site.lock:
            number = site.count(path)
            site.asked.append((path, self.headers))
            site.busy += 1
            site.busiest = max(site.busiest, site.busy)
        try:
            site.pages.get(path, status(404))(self, number)
        finally:
            with site.lock:
                site.busy -= 1
        self.close_connection = True

    def start(self, code, length=None, **headers):
        self.send_response(code)
        if length is not None:
            headers["Content-Length"] = length
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def stall(self):
        self.wfile.flush()
        self.server.over.wait(20)

    def log_message(self, *_):
        pass


def status(code, then=None, times=1 << 30, **headers):
    """An error, the first so many times; then another page."""

    def page(request, number):
        if number < times:
            request.start(code, 0, **headers)
        else:
            then(request, number - times)

    return page


def whole(content, etag='"1"', **headers):
    """A good server: it knows Range and If-Range."""

    def page(request, number):
        wanted = request.headers["Range"]
        if wanted and request.headers["If-Range"] == etag:
            begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
            place = f"bytes {begin}-{len(content) - 1}/{len(content)}"
            request.start(206, len(content) - begin, Content_Range=place, ETag=etag)
            request.wfile.write(content[begin:])
        else:
            request.start(200, len(content), **({"ETag": etag} if etag else {}), **headers)
            request.wfile.write(content)

    return page


def cut(content, size, then=None, stalls=False, **headers):
    """Breaks off, or stalls, after `size` bytes: always, or only the first time."""

    def page(request, number):
        if number and then:
            return then(request, number - 1)
        request.start(200, len(content), **headers)
        request.wfile.write(content[:size])
        if stalls:
            request.stall()

    return page


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def write(tmp_path):
    def write(*rows, name="manifest.csv"):
        """A manifest; rows are dicts or URLs."""
        rows = [row if isinstance(row, dict) else {"url": row} for row in rows]
        path = tmp_path / name
        with path.open("w", newline="") as file:
            if path.suffix == ".jsonl":
                file.writelines(json.dumps(row) + "\n" for row in rows)
            else:
                writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
                writer.writeheader()
                writer.writerows(rows)
        return path

    return write


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def files(out):
    return {
        path.name: path.read_bytes() for path in out.iterdir() if path.is_file() and path.suffix == ".mp4"
    }


def told(out):
    return [json.loads(line) for line in (out / "collected.jsonl").read_text().splitlines()]


# ---------------------------------------------------------------------------------------------------------- #
# What comes and what is written
# ---------------------------------------------------------------------------------------------------------- #


@pytest.mark.parametrize("name", ["manifest.csv", "manifest.jsonl"])
def test_rows_in_order_with_everything_they_said(site, write, videos, tmp_path, name):
    site.pages["/a.mp4"], site.pages["/b"] = whole(videos[0]), whole(videos[1], etag=None)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/c.mp4").write_bytes(videos[2])
    rows = [
        {"url": f"{site.url}/a.mp4?x=1#t=3", "license": "CC0", "caption": "a, b\nc", "split": "train"},
        {"url": f"{site.url}/none.mp4", "license": "", "caption": "", "split": "test"},
        {"url": f"{site.url}/b", "name": "../../my clip.MP4", "sha256": sha256(videos[1]).upper()},
        {"path": "sub/c.mp4", "split": ""},
    ]
    out = tmp_path / "out"
    lines = collect(write(*rows, name=name), out, FAST)
    assert lines == told(out) and [line["row"] for line in lines] == [1, 2, 3, 4]
    assert [line["status"] for line in lines] == ["collected", "failed", "collected", "collected"]
    assert [line["file"] for line in lines] == ["a.mp4", None, "my_clip.mp4", "c.mp4"]
    assert files(out) == dict(zip(["a.mp4", "my_clip.mp4", "c.mp4"], videos, strict=True))
    first, failed, named, _ = lines
    assert (first["bytes"], first["sha256"]) == (len(videos[0]), sha256(videos[0]))
    assert (first["licence"], first["caption"], first["split"]) == ("CC0", "a, b\nc", "train")
    assert first["reason"] is None and first["url"].endswith("#t=3")
    assert failed["reason"] == "HTTP status 404 Not Found" and failed["licence"] is None
    assert named["name"] == "../../my clip.MP4" and named["sha256"] == sha256(videos[1])
    assert site.count("/none.mp4") == 1, "what is not there is not asked for again"
    assert [path.name for path in (out / ".collect").iterdir()] == ["journal.jsonl"]


def test_a_second_run_fetches_only_what_is_missing(site, write, videos, tmp_path):
    site.pages |= {"/a.mp4": whole(videos[0]), "/b.mp4": status(404), "/c.mp4": whole(videos[2])}
    manifest, out = write(*(f"{site.url}/{name}.mp4" for name in "abc")), tmp_path / "out"
    collect(manifest, out, FAST)
    (out / "c.mp4").unlink()
    site.pages["/b.mp4"] = whole(videos[1])
    collect(manifest, out, FAST)
    assert [site.count(f"/{name}.mp4") for name in "abc"] == [1, 2, 2]
    assert files(out) == dict(zip(["a.mp4", "b.mp4", "c.mp4"], videos, strict=True))
    # Another manifest, to the same folder: names stay, and no file is overwritten.
    site.pages["/x/a.mp4"] = whole(videos[1][::-1])
    lines = collect(write(f"{site.url}/x/a.mp4", f"{site.url}/a.mp4"), out, FAST, check_videos=False)
    assert lines[1]["file"] == "a.mp4" and site.count("/a.mp4") == 1
    assert lines[0]["file"].startswith("a-") and files(out)["a.mp4"] == videos[0]


def test_what_another_manifest_said_stays_said(site, write, videos, tmp_path):
    for i, video in enumerate(videos):
        site.pages[f"/{i}.mp4"] = whole(video)
    rows = [{"url": f"{site.url}/{i}.mp4", "licence": f"licence {i}"} for i in range(3)]
    first = write(*rows[:2], name="first.csv")
    collect(first, tmp_path / "out", FAST)
    lines = collect(write(*rows[1:], name="second.csv"), tmp_path / "out", FAST)
    assert [line["licence"] for line in lines] == ["licence 1", "licence 2"]

    def said():
        text = (tmp_path / "out" / "collected.jsonl").read_text()
        return {line["file"]: line["licence"] for line in map(json.loads, text.splitlines())}

    assert said() == {f"{i}.mp4": f"licence {i}" for i in range(3)}
    (tmp_path / "out" / "0.mp4").write_bytes(b"another film")
    collect(tmp_path / "second.csv", tmp_path / "out", FAST)
    assert said() == {f"{i}.mp4": f"licence {i}" for i in (1, 2)}, (
        "of what is another file now nothing is known"
    )


def test_what_a_user_put_in_the_place_of_a_file_stays(site, write, videos, tmp_path):
    site.pages |= {"/a.mp4": whole(videos[0]), "/copy.mp4": whole(videos[0])}
    manifest, out = write(f"{site.url}/a.mp4", f"{site.url}/copy.mp4"), tmp_path / "out"
    collect(manifest, out, FAST)
    assert files(out) == {"a.mp4": videos[0]}
    (out / "copy.mp4").write_bytes(b"mine")
    collect(manifest, out, FAST)
    assert files(out) == {"a.mp4": videos[0], "copy.mp4": b"mine"}, "what was a copy once is another file now"
    (out / "a.mp4").write_bytes(videos[0][:1000])
    for count in (3, 3):
        lines = collect(manifest, out, FAST)
        trimmed, other = files(out)["a.mp4"], lines[0]["file"]
        assert trimmed == videos[0][:1000] and other.startswith("a-") and files(out)[other] == videos[0]
        assert lines[1]["file"] == other and len(files(out)) == count
    (out / other).write_bytes(b"trimmed, too")
    newest = collect(manifest, out, FAST)[0]["file"]
    assert files(out)[newest] == videos[0]
    assert files(out)[other] == b"trimmed, too" and len(files(out)) == 4


def test_no_file_comes_twice(site, write, videos, tmp_path):
    same, other = videos[:2]
    site.pages |= {f"/{name}.mp4": whole(same) for name in ("a", "copy", "mirror", "unknown")}
    site.pages |= {"/b.mp4": whole(other), "/dead.mp4": status(404)}
    url, x, y = site.url, sha256(same), sha256(other)
    rows = [
        {"url": f"{url}/a.mp4", "sha256": ""},
        {"url": f"{url}/a.mp4#twice", "sha256": x},
        {"url": f"{url}/copy.mp4", "sha256": x},
        {"url": f"{url}/unknown.mp4", "sha256": ""},
        {"url": f"{url}/a.mp4", "sha256": y},
        {"url": f"{url}/dead.mp4", "sha256": y},
        {"url": f"{url}/b.mp4", "sha256": y},
    ]
    lines = collect(write(*rows), tmp_path / "out", FAST)
    expected = ["collected", *["duplicate"] * 3, "failed", "collected", "duplicate"]
    assert [line["status"] for line in lines] == expected
    assert [line["file"] for line in lines] == ["a.mp4"] * 4 + [None] + ["dead.mp4"] * 2
    assert "another sha256" in lines[4]["reason"]
    assert site.count("/a.mp4") == 1 and site.count("/copy.mp4") == 0
    assert files(tmp_path / "out") == {"a.mp4": same, "dead.mp4": other}
    assert collect(tmp_path / "manifest.csv", tmp_path / "out", FAST) == lines
    assert len(site.asked) == 4, "also what turned out to be a copy is not fetched again"


def test_names_are_safe_and_differ():
    for text, expected in {
        "a/b/clip.MP4": ("clip", ".mp4"),
        "..\\..\\x.webm": ("x", ".webm"),
        "／etc／passwd": ("passwd", ""),
        "..": ("", ""),
        ".hidden.mp4": ("hidden", ".mp4"),
        "a b\u202egpj.mp4": ("a_b_gpj", ".mp4"),
        "電車 №1.mov": ("電車_No1", ".mov"),
        "nul\0\n\ud800.gif": ("nul", ".gif"),
        "page.php": ("page.php", ""),
        "é" * 200 + ".mp4": ("é" * 50, ".mp4"),
    }.items():
        assert safe_name(text) == expected


def test_equal_names_of_different_files(site, write, videos, tmp_path):
    paths = ["/x/Clip.mp4", "/y/clip.mp4", "/z/%2e%2e%2fclip.mov", "/", "/collected"]
    for i, path in enumerate(paths):
        site.pages[path] = whole(b"%d" % i)
    out = tmp_path / "out"
    out.mkdir()
    (out / "video.mp4").write_bytes(b"somebody's")
    found = [line["file"] for line in collect(write(*(site.url + p for p in paths)), out, FAST, False)]
    stems = [Path(file).stem for file in found]
    assert found[0] == "Clip.mp4" and found[2].endswith(".mov")
    assert [stem.rpartition("-")[0] for stem in stems[1:]] == ["clip", "clip", "video", "collected"]
    assert len({stem.casefold() for stem in stems}) == 5
    assert (out / "video.mp4").read_bytes() == b"somebody's"


def test_a_name_may_begin_as_a_url_does(videos, tmp_path):
    (tmp_path / "zoom-10:30.mp4").write_bytes(b"film")
    plan, jobs = plan_files([{"path": "zoom-10:30.mp4"}, {"path": "gone:30.mp4"}], tmp_path)
    assert len(jobs) == 1 and "only http, https and paths" in plan[1]


def test_paths_that_are_no_files(write, videos, tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "empty.mp4").touch()
    rows = [{"path": name} for name in ("pipe.mp4", "loop.mp4", "empty.mp4", ".", "x" * 5000, " ")]
    lines = collect(write(*rows), tmp_path / "out", FAST)
    assert {line["status"] for line in lines} == {"failed"}
    none = "there is no such file"
    reasons = ["not a file", none, "the file is empty", "not a file", none, "neither url nor path is given"]
    assert [line["reason"] for line in lines] == reasons


@pytest.mark.parametrize(
    "url, reason",
    [
        ("file:///etc/passwd", "only http, https and paths"),
        ("FTP://127.0.0.1/a.mp4", "only http, https and paths"),
        ("data:video/mp4;base64,AAAA", "only http, https and paths"),
        ("http:///a.mp4", "expected https://host/"),
        ("http://me:secret@127.0.0.1/a.mp4", "without user"),
        ("http://[::1/a.mp4", "not a URL"),
        ("http://127.0.0.1:99999/a.mp4", "not a URL"),
        ("http://a..b/a.mp4", "not a URL"),
        ("http://127.0.0.1/\ud800.mp4", "not a URL"),
    ],
)
def test_urls_that_are_refused(url, reason, tmp_path):
    plan, jobs = plan_files([{"url": url}], tmp_path)
    assert not jobs and reason in plan[0]


def test_urls_are_sent_as_servers_want_them(site, write, tmp_path):
    site.pages["/%C3%A9%20%25/a.mp4"] = whole(b"x")
    lines = collect(write(f"{site.url}/é %25/a.mp4"), tmp_path / "out", FAST, False)
    assert lines[0]["status"] == "collected"


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("m.csv", b"", "found none"),
        ("m.csv", b"link,caption\nx,y\n", "found caption, link"),
        ("m.csv", b"url,URL\na,b\n", "two columns are called 'url'"),
        ("m.csv", b"url,caption\na,one, two\n", "line 2 has more cells"),
        ("m.csv", b"url,file\na,b\n", "rename: file"),
        ("m.csv", b'url\n"a', "unexpected end"),
        ("m.csv", b"url\n\xff\n", "utf-8"),
        ("m.jsonl", b'{"url": "a"}\n{"url', "line 2 is no JSON object"),
        ("m.jsonl", b"[1]\n", "line 1 is no JSON object"),
        ("m.jsonl", b"[" * 100_000, "line 1 is no JSON object"),
    ],
)
def test_bad_manifests(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}: .*{reason}"):
        collect(tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_manifests_of_other_programs(tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes(b"\xef\xbb\xbf URL ,License,n\r\na.mp4,MIT,\r\n\r\n")
    assert read_manifest(path) == [{"url": "a.mp4", "licence": "MIT", "n": ""}]


# ---------------------------------------------------------------------------------------------------------- #
# Servers
# ---------------------------------------------------------------------------------------------------------- #


def fetch_one(site, write, tmp_path, page, limits=FAST, check_videos=True, **row):
    site.pages["/a.mp4"] = page
    (line,) = collect(write({"url": f"{site.url}/a.mp4"} | row), tmp_path / "out", limits, check_videos)
    return line


def test_truncated_and_continued(site, write, videos, tmp_path):
    page = cut(videos[0], 1000, whole(videos[0]), ETag='"1"')
    assert fetch_one(site, write, tmp_path, page)["sha256"] == sha256(videos[0])
    assert site.ranges("/a.mp4") == [None, "bytes=1000-"] and site.asked[1][1]["If-Range"] == '"1"'


def test_stalled_and_continued(site, write, videos, tmp_path):
    page = cut(videos[0], 1000, whole(videos[0]), stalls=True, ETag='"1"')
    assert fetch_one(site, write, tmp_path, page)["sha256"] == sha256(videos[0])
    assert site.ranges("/a.mp4") == [None, "bytes=1000-"]


def test_a_server_that_ignores_range_is_asked_afresh(site, write, videos, tmp_path):
    page = cut(videos[0], 1000, whole(videos[0], etag='"never asked for"'), ETag='"1"')
    assert fetch_one(site, write, tmp_path, page)["sha256"] == sha256(videos[0])


@pytest.mark.parametrize("tag", [None, 'W/"1"'])
def test_without_a_validator_nothing_is_continued(site, write, videos, tmp_path, tag):
    page = cut(videos[0], 1000, whole(videos[0]), **({"ETag": tag} if tag else {}))
    assert fetch_one(site, write, tmp_path, page)["sha256"] == sha256(videos[0])
    assert site.ranges("/a.mp4") == [None, None]


def liar(content, etag, **changes):
    """Answers Range whatever If-Range says."""

    def page(request, number):
        if not request.headers["Range"]:
            return whole(content, etag)(request, number)
        begin = int(request.headers["Range"][6:-1])
        place = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        request.start(206, len(content) - begin, **{"Content_Range": place, "ETag": etag} | changes)
        request.wfile.write(content[begin:])

    return page


@pytest.mark.parametrize("mistake", ["tag", "place", "total", "nothing", "status"])
def test_the_file_changes_between_requests(site, write, videos, tmp_path, mistake):
    old, new = videos[0], videos[1]
    second = {
        "tag": liar(new, '"2"'),
        "place": liar(new, '"1"', Content_Range=f"bytes 0-{len(new) - 1}/{len(new)}"),
        "total": liar(new, '"1"', Content_Range=f"bytes 1000-{len(new) - 1}/{len(new) + 7}"),
        "nothing": liar(new, '"1"'),  # only the checksum tells
        "status": status(416, whole(new), 1),
    }[mistake]
    page = cut(old, 1000, second, ETag='"1"')
    expected = {"sha256": sha256(new)} if mistake == "nothing" else {}
    line = fetch_one(site, write, tmp_path, page, check_videos=False, **expected)
    assert line["status"] == "collected" and files(tmp_path / "out") == {"a.mp4": new}


def test_slices_and_chunks(site, write, videos, tmp_path):
    content = videos[0]

    def slices(request, number):
        begin = int((request.headers["Range"] or "bytes=0-")[6:-1])
        if not number:
            return cut(content, 500, ETag='"1"')(request, number)
        part = content[begin : begin + 1000]
        place = f"bytes {begin}-{begin + len(part) - 1}/{len(content)}"
        request.start(206, len(part), Content_Range=place, ETag='"1"')
        request.wfile.write(part)

    assert fetch_one(site, write, tmp_path, slices)["sha256"] == sha256(content)
    assert site.count("/a.mp4") > FAST.retries + 2, "attempts that get further do not count"

    def chunks(request, number):
        request.start(200, Transfer_Encoding="chunked")
        for block in (videos[1][:99], videos[1][99:]):
            request.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))
            if not number:
                return
        request.wfile.write(b"0\r\n\r\n")

    site.pages["/b.mp4"] = chunks
    assert collect(write(f"{site.url}/b.mp4"), tmp_path / "b", FAST)[0]["sha256"] == sha256(videos[1])
    assert site.count("/b.mp4") == 2


@pytest.mark.parametrize("code", [500, 503, 429, 408])
def test_errors_that_pass(site, write, videos, tmp_path, code):
    assert fetch_one(site, write, tmp_path, status(code, whole(videos[0]), 2))["status"] == "collected"
    assert site.count("/a.mp4") == 3


@pytest.mark.parametrize("code, count", [(500, 3), (404, 1), (403, 1), (204, 1), (304, 1)])
def test_errors_that_do_not(site, write, tmp_path, code, count):
    line = fetch_one(site, write, tmp_path, status(code))
    assert line["status"] == "failed" and line["reason"].startswith(f"HTTP status {code}")
    assert site.count("/a.mp4") == count and line["file"] is line["bytes"] is line["sha256"] is None


def test_the_server_says_when_to_come_again(site, write, videos, tmp_path):
    start = time.monotonic()
    page = status(503, whole(videos[0]), 1, Retry_After="1")
    assert fetch_one(site, write, tmp_path, page)["status"] == "collected"
    assert time.monotonic() - start >= 1
    line = fetch_one(site, write, tmp_path / "late", status(503, Retry_After="100"), sha256=sha256(b""))
    assert line["reason"].startswith("HTTP status 503"), "later than the deadline: not waited for"


def test_always_stalled_or_truncated(site, write, videos, tmp_path):
    line = fetch_one(site, write, tmp_path, cut(videos[0], 1000))
    assert line["reason"] == f"truncated: 1000 of {len(videos[0])} bytes came"
    assert site.count("/a.mp4") == FAST.retries + 2
    site.pages["/b.mp4"] = cut(videos[0], 1000, stalls=True)
    site.pages["/c.mp4"] = lambda request, number: request.stall()
    quick = Limits(timeout=0.05, retries=1, backoff=0.01)
    lines = collect(write(*(f"{site.url}/{n}.mp4" for n in "bc")), tmp_path / "out", quick)
    assert [line["reason"] for line in lines] == ["no byte came for 0.05 s"] * 2
    assert not files(tmp_path / "out")


def drip(block):
    def page(request, number):
        request.wfile.write(b"HTTP/1.1 200 OK\r\n")
        request.wfile.write(b"\r\n" if block == b"x" else b"")
        while not request.server.over.wait(0.02):
            request.wfile.write(block)

    return page


@pytest.mark.parametrize("block", [b"x", b"X-A: b\r\n", b"X"])
def test_the_deadline_holds_for_servers_that_drip(site, write, tmp_path, block):
    limits = Limits(timeout=0.3, deadline=0.4, backoff=0.01)
    start = time.monotonic()
    line = fetch_one(site, write, tmp_path, drip(block), limits)
    assert time.monotonic() - start < 2
    assert line["reason"] == "not finished within 0.4 s" or "headers" in line["reason"]


def test_size_limit(site, write, videos, tmp_path):
    limits = Limits(max_bytes=2000, timeout=0.3, retries=0)
    promised = cut(bytes(3000), 0, stalls=True)
    assert fetch_one(site, write, tmp_path, promised, limits)["reason"] == "larger than 0.002 MB"

    def endless(request, number):
        request.start(200)
        for _ in range(100):
            request.wfile.write(bytes(1000))
        request.stall()

    assert fetch_one(site, write, tmp_path, endless, limits)["reason"] == "larger than 0.002 MB"
    (tmp_path / "large.mp4").write_bytes(bytes(2001))
    assert collect(write({"path": "large.mp4"}), tmp_path / "out", limits)[0]["status"] == "failed"
    assert len(list((tmp_path / "out" / ".collect").iterdir())) == 1


def test_lies_about_length(site, write, videos, tmp_path):
    short = videos[0]

    def less(request, number):
        request.start(200, len(short) - 300)
        request.wfile.write(short)

    line = fetch_one(site, write, tmp_path, less)
    assert line["status"] == "failed" and "truncated" in line["reason"], "by its index"
    line = fetch_one(site, write, tmp_path, less, check_videos=False, sha256=sha256(short))
    assert line["reason"].startswith("its sha256 is")

    def nonsense(request, number):
        request.start(200, "many")
        request.wfile.write(short)

    assert fetch_one(site, write, tmp_path, nonsense)["sha256"] == sha256(short)


def test_what_is_no_video_is_not_kept(site, write, tmp_path):
    page = whole(b"<!DOCTYPE html><html>Please log in</html>", Content_Type="video/mp4")
    line = fetch_one(site, write, tmp_path, page)
    assert line["status"] == "failed" and "not a video" in line["reason"]
    assert site.count("/a.mp4") == 1 and not files(tmp_path / "out")
    assert fetch_one(site, write, tmp_path, page, check_videos=False)["status"] == "collected"
    line = fetch_one(site, write, tmp_path, page)
    assert line["status"] == "failed" and not files(tmp_path / "out") and site.count("/a.mp4") == 2
    packed = whole(b"...", Content_Encoding="gzip")
    assert "gzip" in fetch_one(site, write, tmp_path, packed, check_videos=False)["reason"]


def redirect(place, code=302):
    return status(code, Location=place)


def test_redirects(site, write, videos, tmp_path):
    site.pages["/film"] = redirect("/é/a.mp4?x=1".encode().decode("latin-1"), 308)
    site.pages["/%C3%A9/a.mp4"] = whole(videos[0])
    assert fetch_one(site, write, tmp_path, redirect("film"))["sha256"] == sha256(videos[0])
    for place, reason in {
        "/a.mp4": "more than 10 redirects",
        "file:///etc/passwd": "only http, https",
        "ftp://127.0.0.1/a.mp4": "only http, https",
        "//me:secret@127.0.0.1/": "without user",
        "http://127.0.0.1:0x1/": "not a URL",
    }.items():
        before = site.count("/a.mp4")
        line = fetch_one(site, write, tmp_path / "x", redirect(place), sha256=sha256(place.encode()))
        assert reason in line["reason"], place
        assert site.count("/a.mp4") - before == (11 if place == "/a.mp4" else 1)


def test_a_redirect_from_https_stays_there(monkeypatch):
    class Response:
        status, headers = 302, {"Location": "http://127.0.0.1/a.mp4", "Content-Encoding": None}

        def close(self):
            pass

    fetcher = Fetcher()
    monkeypatch.setattr(fetcher._opener, "open", lambda *_, **__: Response())
    with pytest.raises(module.Refused, match="https to http"):
        fetcher.open("https://127.0.0.1/a.mp4", {}, 1, time.monotonic() + 1)


def test_nobody_listens_and_dates_serve_as_validators(write, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Site() as closed:
        pass
    line = collect(write(f"{closed.url}/a.mp4"), tmp_path / "out", FAST)[0]
    assert line["reason"] == "Connection refused"
    for headers, expected in (({"ETag": 'W/"1"', "Last-Modified": "d"}, "d"), ({"ETag": '"1"'}, '"1"')):
        response = type("Response", (), {"headers": {"ETag": None, "Last-Modified": None} | headers})
        assert validator_of(response) == expected


def test_hosts_are_not_crowded(site, write, tmp_path):
    def slow(request, number):
        request.server.over.wait(0.05)
        whole(request.path.encode())(request, number)

    site.pages = {f"/{i}.mp4": slow for i in range(8)}
    (tmp_path / "local.mp4").write_bytes(b"x")
    rows = [{"url": f"{site.url}/{i}.mp4"} for i in range(8)] + [{"path": "local.mp4"}]
    steps = []
    limits = Limits(timeout=1, workers=8, per_host=2)
    lines = collect(write(*rows), tmp_path / "out", limits, False, lambda *step: steps.append(step))
    assert {line["status"] for line in lines} == {"collected"} and site.busiest == 2
    assert steps == [(i, 9) for i in range(1, 10)]


# ---------------------------------------------------------------------------------------------------------- #
# Kills
# ---------------------------------------------------------------------------------------------------------- #


class Killed(BaseException):
    pass


def test_killed_at_any_step_it_ends_the_same(site, write, tmp_path, monkeypatch):
    """Dies before and after each block, line of the journal and renaming, as if the process had ended."""
    contents = {name: bytes([i]) * 1500 for i, name in enumerate(["/x/a.mp4", "/y/a.mp4", "/z.mp4"])}
    contents["/copy.mp4"] = contents["/y/a.mp4"]
    site.pages = {path: whole(content) for path, content in contents.items()}
    (tmp_path / "local.mp4").write_bytes(contents["/z.mp4"])
    rows = [{"url": site.url + path} for path in [*contents, "/x/a.mp4", "/none.mp4"]]
    rows.insert(2, {"path": "local.mp4"})
    rows.insert(0, {"url": f"{site.url}/named.mp4", "sha256": sha256(contents["/copy.mp4"])})
    manifest = write(*rows)
    limits = Limits(timeout=1, retries=0, workers=1)
    left = 1 << 30

    def dying(function):
        def call(*args, **settings):
            nonlocal left
            for step in (lambda: None, lambda: function(*args, **settings)):
                value = step()
                left -= 1
                if left == 0:
                    raise Killed
            return value

        return call

    class File:
        def __init__(self, file):
            self.write, self.flush = dying(file.write), file.flush

    pour = module._Collector._pour
    monkeypatch.setattr(module, "BLOCK", 1000)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(os, "replace", dying(os.replace))
    monkeypatch.setattr(module.Journal, "add", dying(module.Journal.add))
    monkeypatch.setattr(
        module._Collector, "_pour", lambda self, read, file, *rest: pour(self, read, File(file), *rest)
    )

    def outcome(out):
        return (out / "collected.jsonl").read_bytes(), files(out)

    collect(manifest, tmp_path / "whole", limits, False)
    steps, expected = (1 << 30) - left, outcome(tmp_path / "whole")
    assert steps > 50 and len(expected[1]) == 3
    for step in range(1, steps + 1):
        out = tmp_path / str(step)
        left = step
        with pytest.raises(Killed):
            collect(manifest, out, limits, False)
        journal = out / ".collect" / "journal.jsonl"
        entries = [json.loads(line) for line in journal.read_text().splitlines()]
        with journal.open("a") as file:
            file.write('{"job": "cut sho')
        site.asked.clear()
        left = 1 << 30
        collect(manifest, out, limits, False)
        assert outcome(out) == expected, step
        finished = {entry["job"].removeprefix(site.url) for entry in entries if "file" in entry}
        assert not finished & {path for path, _ in site.asked}, f"{step}: fetched again"


def run_cli(*args):
    command = [sys.executable, "-m", "vgm_jax.cli", "collect", *map(str, args)]
    env = os.environ | {"no_proxy": "127.0.0.1", "PYTHONWARNINGS": "error"}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def test_kill_minus_nine_in_the_middle_of_a_download(site, write, videos, tmp_path):
    site.pages = {"/a.mp4": whole(videos[0]), "/c.mp4": whole(videos[2])}
    site.pages["/b.mp4"] = cut(videos[1], 1000, whole(videos[1]), stalls=True, ETag='"1"')
    manifest = write(*({"url": f"{site.url}/{name}.mp4", "caption": name} for name in "abc"))
    out = tmp_path / "out"
    with run_cli(manifest, "--out", out) as process:
        try:
            wait_for(lambda: any(p.stat().st_size == 1000 for p in (out / ".collect").glob("*.part.mp4")))
            wait_for(lambda: {"a.mp4", "c.mp4"} <= {path.name for path in out.iterdir()})
            with pytest.raises(RuntimeError, match="another process is collecting"):
                collect(manifest, out, FAST)
        finally:
            process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL and not (out / "collected.jsonl").exists()
    with run_cli(manifest, "--out", out) as process:
        printed, _ = process.communicate(timeout=30)
    assert process.returncode == 0 and "collect 3/3" in printed and str(out) in printed, printed
    assert [site.ranges(f"/{name}.mp4") for name in "abc"] == [[None], [None, "bytes=1000-"], [None]]
    assert files(out) == dict(zip(["a.mp4", "b.mp4", "c.mp4"], videos, strict=True))
    collect(manifest, tmp_path / "uninterrupted", FAST)
    assert (out / "collected.jsonl").read_bytes() == (tmp_path / "uninterrupted/collected.jsonl").read_bytes()


def test_the_command(site, write, videos, tmp_path, capsys):
    site.pages["/a.mp4"] = whole(videos[0])
    out = str(tmp_path / "out")
    cli.main(["collect", str(write(f"{site.url}/a.mp4", f"{site.url}/none.mp4")), "--out", out])
    printed = capsys.readouterr().out
    assert "collect 2/2" in printed and f"row 2: '{site.url}/none.mp4': HTTP status 404" in printed
    assert printed.splitlines()[-1] == f"{out}/collected.jsonl"
    with pytest.raises(SystemExit, match="nothing could be collected"):
        cli.main(["collect", str(write(f"{site.url}/none.mp4")), "--out", out])
    with pytest.raises(SystemExit, match="none.csv: cannot be read"):
        cli.main(["collect", str(tmp_path / "none.csv"), "--out", out])
    with pytest.raises(SystemExit, match="timeout must be positive"):
        cli.main(["collect", str(tmp_path / "manifest.csv"), "--out", out, "--timeout", "0"])
