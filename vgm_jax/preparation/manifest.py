"""Manifests of videos to collect: their rows, the files these call for, and safe names for those."""

import collections
import csv
import hashlib
import json
import os
import re
import string
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from vgm_jax.data.decode import SUFFIXES

KNOWN = ("url", "path", "licence", "caption", "sha256", "name")
WRITTEN = ("row", "status", "file", "bytes", "reason")  # further columns of collected.jsonl
SCHEMES = ("http", "https")
LONGEST_NAME = 100  # bytes, without suffix; file systems allow 255


class Refused(Exception):
    """Why a row cannot be collected, now or later."""


def read_manifest(path: Path) -> list[dict[str, Any]]:
    """The rows in order; cells that the collector knows are None where empty, others as they are.

    Raises ValueError, naming the file and what is wrong with it.
    """
    try:
        # Only newlines end a line: other separators that Unicode knows may stand in a caption.
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = _json_rows(file) if path.suffix.lower() in (".jsonl", ".ndjson") else _csv_rows(file)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path}: {error}") from None
    rows = [{_column(k): v for k, v in row.items()} for row in rows]
    rows = [{k: None if k in KNOWN and v == "" else v for k, v in row.items()} for row in rows]
    columns = {key for row in rows for key in row}
    if clash := sorted(columns & set(WRITTEN)):
        raise ValueError(f"{path}: collected.jsonl has columns of these names, rename: {', '.join(clash)}")
    if not columns & {"url", "path"}:
        found = ", ".join(sorted(columns)) or "none"
        raise ValueError(f"{path}: expected rows with a column url or path, found {found}")
    return rows


def _csv_rows(file) -> list[dict[str, Any]]:
    reader = csv.DictReader(file, strict=True)
    if twice := [k for k, n in collections.Counter(map(_column, reader.fieldnames or ())).items() if n > 1]:
        raise ValueError(f"two columns are called {twice[0]!r}")
    rows = []
    for row in reader:
        if None in row:
            raise ValueError(f"line {reader.line_num} has more cells than the header: quote commas")
        rows.append(row)
    return rows


def _json_rows(file) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except (ValueError, RecursionError):
                rows.append(None)
            if not isinstance(rows[-1], dict):
                raise ValueError(f"line {number} is no JSON object")
    return rows


def _column(name: str) -> str:
    known = name.strip().lower().replace("license", "licence")
    return known if known in KNOWN else name


def locate(row: Mapping[str, Any], folder: Path) -> str:
    """An http(s) URL or an absolute path. Raises Refused."""
    text = row.get("url") or row.get("path")
    if not isinstance(text, str) or not text.strip():
        raise Refused("neither url nor path is given")
    text = text.strip()
    # A file's name may begin as a URL does.
    there = not row.get("url") and "://" not in text and os.path.exists(folder / text)
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+:", text) and not there:
        return clean_url(text)
    return os.path.abspath(folder / text)


def clean_url(text: str) -> str:
    """A URL in the form that is sent, without fragment. Raises Refused."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        if parts.scheme not in SCHEMES:
            raise Refused(f"only http, https and paths are collected, not {parts.scheme}: URLs")
        if not host or "@" in parts.netloc:
            raise Refused("expected https://host/..., without user and password")
        host = f"[{host}]" if ":" in host else host.encode("idna").decode("ascii")
        rest = [quote(part, safe=string.punctuation) for part in (parts.path, parts.query)]
    except ValueError as error:
        raise Refused(f"not a URL: {error}") from None
    return urlunsplit((parts.scheme, f"{host}:{port}" if port else host, *rest, ""))


def checksum(row: Mapping[str, Any]) -> str | None:
    """The sha256 that a row expects, in lower case. Raises Refused."""
    text = row.get("sha256")
    if text is None:
        return None
    if not isinstance(text, str) or not re.fullmatch("[0-9a-f]{64}", text.strip().lower()):
        raise Refused("sha256 must be 64 hexadecimal digits")
    return text.strip().lower()


def safe_name(text: str) -> tuple[str, str]:
    """Stem and suffix of a file name that is safe everywhere; "" for a suffix that no video has.

    Folders, control and direction marks, leading dots and excess length are dropped; letters stay.
    """
    text = unicodedata.normalize("NFKC", text).replace("\\", "/").rpartition("/")[2]
    stem, suffix = os.path.splitext(text)
    if suffix.lower() not in SUFFIXES:
        stem, suffix = text, ""
    stem = re.sub(r"[^\w.-]+", "_", stem).strip("._-").encode()[:LONGEST_NAME].decode(errors="ignore")
    return stem.rstrip("."), suffix.lower()


@dataclass
class Job:
    """One file: where it can be had, first choice first, what it must be, and how it went."""

    sha256: str | None
    sources: list[str] = field(default_factory=list)
    name: str = ""
    reasons: list[str] = field(default_factory=list)  # why sources failed, in their order
    entry: dict[str, Any] | None = None  # the journal's, once it is finished

    @property
    def open(self) -> bool:
        return self.entry is None and len(self.reasons) < len(self.sources)


def plan_files(
    rows: Sequence[Mapping[str, Any]], folder: Path
) -> tuple[list[tuple[Job, str] | str], list[Job]]:
    """For each row its job and source, or why it has none; and the jobs, in the order of their first rows."""
    found, known = [], {}
    for row in rows:
        try:
            source, sha256 = locate(row, folder), checksum(row)
        except Refused as error:
            found.append(str(error))
            continue
        found.append((source, sha256))
        known[source] = known.get(source) or sha256  # what one row says of a source holds for all of its rows
    plan, jobs = [], {}
    for item in found:
        if isinstance(item, tuple):
            source, sha256 = item
            if sha256 in (None, known[source]):
                job = jobs.setdefault(known[source] or source, Job(known[source]))
                if source not in job.sources:
                    job.sources.append(source)
                item = job, source
            else:
                item = "an earlier row gives another sha256 for the same source"
        plan.append(item)
    return plan, list(jobs.values())


def name_files(
    rows: Sequence[Mapping[str, Any]], plan: Sequence, out: Path, finished: Mapping[str, Any]
) -> None:
    """Names the files as their first rows ask for or as their sources are called, but safe and all different.

    No two names differ in case or suffix alone: `clip.txt` beside `clip.mp4` must speak of one clip. What the
    journal has `finished` keeps its name.
    """
    files = [Path(entry["file"]) for entry in finished.values()]
    taken = {path.stem.casefold() for path in [*out.iterdir(), *files]} | {"collected"}
    for row, item in zip(rows, plan, strict=True):
        if isinstance(item, str) or item[0].name:
            continue
        job, source = item
        if source in finished:
            job.name = finished[source]["file"]
            continue
        stem, suffix = safe_name(unquote(urlsplit(source).path) if is_remote(source) else source)
        if isinstance(row.get("name"), str):
            wanted, own = safe_name(row["name"])
            stem, suffix = wanted or stem, own or suffix
        stem = stem or "video"
        if stem.casefold() in taken:
            stem += f"-{digest(source)[:12]}"
        taken.add(stem.casefold())
        job.name = stem + (suffix or ".mp4")  # decoders look inside


def is_remote(source: str) -> bool:
    """Whether a source is a URL; else it is a path."""
    return source.startswith(("http://", "https://"))


def digest(source: str) -> str:
    """A source's own hexadecimal number."""
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
