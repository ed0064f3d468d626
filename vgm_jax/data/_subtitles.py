"""Reading of subtitles: SubRip, WebVTT, and those in films; text without markup, whatever its encoding."""

import codecs
import contextlib
import html
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.stream import Discard, Disposition

from vgm_jax.data._readers import DecodeError, open_container, reason
from vgm_jax.data.audio import first_frame

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before that of UTF-16, which it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_TIME = r"(?:\d+:)?\d{1,3}:\d{1,2}(?:[.,]\d+)?"
_TIMING = re.compile(rf"\s*({_TIME})\s*-+>\s*({_TIME})(?:\s.*)?")
_DRAWING = re.compile(r"\{[^{}]*\\p[1-9][^{}]*\}.*?(?:\{[^{}]*\\p0[^{}]*\}|\Z)", re.S)
_OVERRIDE = re.compile(r"\{\\[^{}]*\}")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<[\d:.]+>")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u2060\ufeff]")
_TEXTS = ("subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text")
# Codes of three letters that do not begin with the code of two.
_LONG = {"de": ("ger",), "es": ("spa",), "zh": ("chi",), "ja": ("jpn",), "nl": ("dut",), "cs": ("cze", "ces")}
_LONG |= {
    "el": ("gre", "ell"),
    "pt": ("por",),
    "pl": ("pol",),
    "tr": ("tur",),
    "sv": ("swe",),
    "id": ("ind",),
}
_LONGEST = 5.0  # seconds of a cue that does not say when it ends


@dataclass(frozen=True)
class Cue:
    """What is said from `start` to `end`, in seconds; `text` is one or more lines."""

    start: float
    end: float
    text: str


def decode_text(data: bytes) -> tuple[str, str]:
    """Text, lines ending in "\\n", and the name of its encoding. Raises ValueError for what is no text."""
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)
    if encoding is None and data[:200].count(0) * 4 > len(data[:200]):
        encoding = "utf-16-le" if data[1:200:2].count(0) > data[0:200:2].count(0) else "utf-16-be"
    for name in (encoding,) if encoding else ("utf-8", "cp1252", "latin-1"):
        with contextlib.suppress(UnicodeDecodeError):
            text = data.decode(name)
            break
    else:
        raise ValueError(f"not text in {encoding}")
    if "\0" in text:
        raise ValueError("not text")
    return text.replace("\r\n", "\n").replace("\r", "\n"), name


def clean(text: str) -> str:
    """Without the markup of HTML, WebVTT and ASS, entities resolved; lines neither empty nor padded."""
    text = _OVERRIDE.sub("", _DRAWING.sub("", text))
    text = html.unescape(_TAG.sub("", text))
    lines = (" ".join(_CONTROL.sub(" ", line).split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def seconds_of(value: Any) -> float | None:
    """Seconds, of a number or "[[hours:]minutes:]seconds"; None for anything else, or under 0."""
    with contextlib.suppress(TypeError, ValueError):
        parts = [float(part) for part in str(value).strip().replace(",", ".").split(":")]
        total = sum(part * 60**i for i, part in enumerate(reversed(parts)))
        if len(parts) <= 3 and math.isfinite(total) and all(part >= 0 for part in parts):
            return total
    return None


def is_in(tongue: str, language: str) -> bool:
    """Whether a tag as files have it ("en", "eng", "en-GB") is of a language, given as two letters."""
    code, wanted = re.split("[-_]", tongue.lower())[0], language.lower()
    return code == wanted or (len(code) == 3 and (code.startswith(wanted) or code in _LONG.get(wanted, ())))


def parse_subtitles(content: str) -> tuple[list[Cue], int]:
    """Cues of a text in SubRip or WebVTT, in its order, and how many were left out: no later end.

    Cues without text are passed over.
    """
    web = content.startswith("WEBVTT")
    lines = content.split("\n")
    timings = [(i, match) for i, line in enumerate(lines) if (match := _TIMING.fullmatch(line))]
    numbered = bool(timings) and timings[0][0] > 0 and lines[timings[0][0] - 1].strip().isdecimal()
    cues, bad = [], 0
    stops = [*(i for i, _ in timings), len(lines)][1:]
    for (i, match), stop in zip(timings, stops, strict=True):
        body = lines[i + 1 : stop]
        if web:
            # What follows a blank line is a note, a style or the next one's name.
            body = body[: next((k for k, line in enumerate(body) if not line.strip()), len(body))]
        elif stop < len(lines) and numbered and body and body[-1].strip().isdecimal():
            body.pop()
        start, end = seconds_of(match[1]), seconds_of(match[2])
        if not start < end:
            bad += 1
        elif text := clean("\n".join(body)):
            cues.append(Cue(start, end, text))
    return cues, bad


def embedded_cues(path: Path, language: str) -> tuple[list[Cue], str]:
    """Cues of a film's text subtitles, in seconds from its first frame, and what is wrong with them, or "".

    Of several, those in `language` (two letters) come first, and those that do not say; of these, the first
    that is not for foreign parts only.
    """
    cues: list[Cue] = []
    try:
        with open_container(path) as container:
            streams = [s for s in container.streams.subtitles if s.codec_context and s.name in _TEXTS]
            if not streams:
                return [], ""
            stream = min(streams, key=lambda s: _rank(s, language))
            for other in container.streams:
                if other is not stream:
                    other.discard = Discard.all
            origin = first_frame(path) or 0.0
            for packet in container.demux(stream):
                if packet.size and packet.pts is not None:
                    start = float(packet.pts * packet.time_base) - origin
                    cues += _shown(stream, packet, start)
    except DecodeError as error:
        return [], error.why
    except (av.error.FFmpegError, OSError) as error:
        return _ended(cues), f"its subtitles cannot be read ({reason(error)})"
    return _ended(cues), ""


def _rank(stream: Any, language: str) -> tuple:
    tongue = stream.language or "und"
    foreign = tongue != "und" and not is_in(tongue, language)
    return foreign, bool(stream.disposition & Disposition.forced), stream.index


def _shown(stream: Any, packet: av.Packet, start: float) -> list[Cue]:
    found = stream.codec_context.decode2(packet)
    texts = [rect.dialogue.decode("utf-8", "replace") for rect in found or () if hasattr(rect, "dialogue")]
    texts = [text.replace(r"\N", "\n").replace(r"\n", "\n").replace(r"\h", " ") for text in texts]
    end = start + float((packet.duration or 0) * packet.time_base)
    return [Cue(start, end, text) for text in map(clean, texts) if text]


def _ended(cues: list[Cue]) -> list[Cue]:
    """Cues that end: one that does not say when does where the next one starts, but soon."""
    cues = sorted(cues, key=lambda cue: cue.start)
    after = [cue.start for cue in cues[1:]] + [math.inf]
    ended = []
    for cue, following in zip(cues, after, strict=True):
        limit = min(following, cue.start + _LONGEST) if following > cue.start else cue.start + _LONGEST
        ended.append(cue if cue.end > cue.start else Cue(cue.start, limit, cue.text))
    return ended
