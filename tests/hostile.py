"""A folder of what people's folders hold: damaged, mislabelled, malicious and merely unusual files.

`build(root)` writes it and says what is to become of each. Everything is made here, by PyAV,
NumPy and Pillow.
"""

import os
import pickle
import socket
import struct
import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

FPS, FRAMES, SIZE = 12, 24, (48, 64)  # of what is good: two seconds


@dataclass(frozen=True)
class Expected:
    """reason: why it is refused, a pattern; None: it is good, and shows `video` uint8 [T H W 3] at `FPS`.

    late: it is only found out when it is decoded, and what comes before the damage is good. usual: it looks
    like footage, so that no cleaning removes it.
    """

    reason: str | None = None
    video: np.ndarray | None = None
    late: bool = False
    usual: bool = True


def build(root: Path) -> dict[str, Expected]:
    """Writes the corpus; names relative to `root`, as `Folder` names videos, to what is expected of each."""
    root.mkdir(parents=True, exist_ok=True)
    parts = (_forms, _oddities, _names, _damaged, _not_regular, _mislabelled, _bombs, _sidecars)
    return {name: expected for write in parts for name, expected in write(root).items()}


# ---------------------------------------------------------------------------------------------------------- #
# Pictures and files
# ---------------------------------------------------------------------------------------------------------- #


def scene(name: str, frames: int = FRAMES, size: tuple[int, int] = SIZE) -> np.ndarray:
    """uint8 [T H W 3]: blots of one hue that drift by three pixels a frame, of every name others."""
    rng = np.random.default_rng(zlib.crc32(os.fsencode(name)))
    rows, columns = size[0] // 8 + 2, (size[1] + 3 * frames) // 8 + 2
    wide = np.kron(rng.integers(30, 200, (rows, columns, 1)), np.ones((8, 8, 1))) + rng.integers(0, 40, 3)
    wide = wide.astype(np.uint8)
    return np.stack([wide[: size[0], 3 * t : 3 * t + size[1]] for t in range(frames)])


def film(path, video, codec="libx264", form="yuv420p", container=None, pts=None, rotation=0, **options):
    """`video` uint8 [T H W C] as a film; `pts` in ticks of 1 / 1200 s."""
    if codec == "libx264":
        options = {"crf": "14", "preset": "veryfast", "threads": "1"} | options
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=FPS, options={k: str(v) for k, v in options.items()})
        stream.height, stream.width = video.shape[1:3]
        stream.pix_fmt, stream.codec_context.time_base = form, Fraction(1, 100 * FPS)
        if form.startswith("gray"):
            stream.codec_context.color_range = 2  # full, as swscale's grey is
        if rotation:
            stream.set_display_rotation(rotation)
        for t, frame in enumerate(video):
            kind = {3: "rgb24", 4: "rgba"}[frame.shape[-1]]
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=kind)
            picture = picture.reformat(format=form, threads=1)
            picture.time_base = Fraction(1, 100 * FPS)
            picture.pts = 100 * t if pts is None else pts[t]
            out.mux(stream.encode(picture))
        out.mux(stream.encode())
    return path


def _lossless(path, video, **settings):
    return film(path, video, codec="ffv1", form="bgr0", container="matroska", **settings)


def _stills(folder: Path, video: np.ndarray) -> None:
    folder.mkdir(parents=True)
    for t, frame in enumerate(video):
        Image.fromarray(frame).save(folder / f"{t}.png")


def _animated(path: Path, video: np.ndarray, milliseconds: list[int]) -> None:
    first, *rest = [Image.fromarray(frame) for frame in video]
    first.save(path, save_all=True, append_images=rest, duration=milliseconds, loop=0, lossless=True)


def _png_header(width: int, height: int) -> bytes:
    """A picture that claims a size and holds one row of nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _replace(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    if old not in data or len(old) != len(new):
        raise AssertionError(f"{path} has no {old!r}, or {new!r} is of another length")
    path.write_bytes(data.replace(old, new))


# ---------------------------------------------------------------------------------------------------------- #
# What is good
# ---------------------------------------------------------------------------------------------------------- #


def _forms(root: Path) -> dict[str, Expected]:
    names = "plain.mp4 plain.mkv plain.mov plain.webm plain.avi raw_h264.mp4 raw_mjpeg.avi transport.ts "
    names += "ten_bit.mp4 interlaced.mkv plain.webp plain.npy stills lossless.mkv"
    shows = {name: scene(name) for name in names.split()}
    for name in ("plain.mp4", "plain.mkv", "plain.mov"):
        film(root / name, shows[name], g=12)
    film(root / "plain.webm", shows["plain.webm"], codec="libvpx-vp9", crf=20, b=0, deadline="realtime")
    film(root / "plain.avi", shows["plain.avi"], codec="mjpeg", form="yuvj420p", qmin=2, qmax=2)
    film(root / "raw_h264.mp4", shows["raw_h264.mp4"], container="h264", g=12)  # without any timestamp
    film(root / "raw_mjpeg.avi", shows["raw_mjpeg.avi"], "mjpeg", "yuvj420p", container="mjpeg", qmax=2)
    film(root / "transport.ts", shows["transport.ts"], g=12)
    film(root / "ten_bit.mp4", shows["ten_bit.mp4"], form="yuv420p10le")
    film(root / "interlaced.mkv", shows["interlaced.mkv"], **{"x264-params": "tff=1"})
    delays = np.diff([round(1000 * t / FPS) for t in range(FRAMES + 1)]).tolist()
    _animated(root / "plain.webp", shows["plain.webp"], delays)
    np.save(root / "plain.npy", shows["plain.npy"])
    _stills(root / "stills", shows["stills"])
    _lossless(root / "lossless.mkv", shows["lossless.mkv"])
    # Raw streams tell no frame rate: FFmpeg takes them for 25 a second.
    every = np.minimum(np.arange(12) * 25 // FPS, FRAMES - 1)
    for name in ("raw_h264.mp4", "raw_mjpeg.avi"):
        shows[name] = shows[name][every]
    return {name: Expected(video=video) for name, video in shows.items()}


def _oddities(root: Path) -> dict[str, Expected]:
    expected = {}

    def good(name, video=None, usual=True):
        shown = scene(name) if video is None else video
        expected[name] = Expected(video=shown, usual=usual)
        return root / name, shown

    for turn in (90, 180, 270):
        path, video = good(f"turned_{turn}.mp4")
        film(path, np.rot90(video, -turn // 90, axes=(1, 2)), rotation=turn)
    _lossless(*good("odd_size.mkv", scene("odd_size.mkv", size=(47, 63))))
    _lossless(*good("one_pixel.mkv", np.full((FRAMES, 1, 1, 3), 90, np.uint8), usual=False))
    _lossless(*good("ribbon.mkv", np.full((FRAMES, 2, 8000, 3), 90, np.uint8), usual=False))
    grey = scene("grey.mkv")[..., :1].repeat(3, -1)
    film(*good("grey.mkv", grey), codec="ffv1", form="gray")
    path, video = good("alpha.mov")
    opaque = np.zeros((*video.shape[:3], 1), np.uint8)
    opaque[:, :, 24:] = 255
    film(path, np.concatenate([video, opaque], -1), codec="qtrle", form="argb")
    expected["alpha.mov"] = Expected(video=np.where(opaque, video, 0).astype(np.uint8))
    # Frames 0, 2, 4, ... only, and twice as long: then each is seen twice.
    path, video = good("variable.mkv")
    kept = [*range(12), *range(12, FRAMES, 2)]
    _lossless(path, video[kept], pts=[100 * t for t in kept])
    expected["variable.mkv"] = Expected(video=video[[*range(12), *np.arange(12, FRAMES, 2).repeat(2)]])
    path, video = good("no_delays.gif")  # as browsers: a tenth of a second each
    _animated(path, video, [0] * FRAMES)
    expected["no_delays.gif"] = Expected(video=video[np.arange(29) * 10 // FPS])
    # A clock that was set back in the middle of a recording: its frames follow one another all the same.
    path, video = good("clock_set_back.ts")
    film(path, video[:12], g=1, bf=0, muxdelay=0)
    film(root / "later", video[12:], container="mpegts", g=1, bf=0)
    path.write_bytes(path.read_bytes() + (root / "later").read_bytes())
    (root / "later").unlink()
    path, _ = good("long_header.mkv")
    data = bytearray(_lossless(path, scene(path.name)).read_bytes())
    at = data.index(b"\x44\x89\x88") + 3  # EBML: Duration, a float64 in milliseconds
    data[at : at + 8] = struct.pack(">d", 1e15)
    path.write_bytes(data)
    path, video = good("cover.mp4")
    cover = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"crf": "14", "preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        picture = out.add_stream("png", rate=FPS)
        picture.height, picture.width, picture.pix_fmt = 16, 16, "rgb24"
        picture.disposition = av.stream.Disposition.attached_pic
        for frame in video:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode() + picture.encode(cover))
    return expected


def _names(root: Path) -> dict[str, Expected]:
    names = ("fil\udcffm.mp4", "\u202efdp.mp4", "two\nlines.mp4", "x" * 251 + ".mp4", "-i.mp4", "%05d.mp4")
    names += ("http:x.mp4", "e\u0301te\U0001f3ac.mp4", " .mp4", "CAPITALS.MP4", "film.mp4/inside.mp4")
    for folder in ("film.mp4", "empty.mp4"):
        (root / folder).mkdir()
    for name in names:
        film(root / "x.tmp", scene(name), container="mp4")  # FFmpeg is not asked to write such names
        (root / "x.tmp").rename(root / name)
    for hidden in (".hidden.mp4", "._plain.mp4", ".cache/thumbnail.mp4", "notes.txt", "plain.mp4.part"):
        (root / hidden).parent.mkdir(exist_ok=True)
        (root / hidden).write_bytes(b"no video, nor meant to be one")
    return {name: Expected(video=scene(name)) for name in names}


# ---------------------------------------------------------------------------------------------------------- #
# What is not
# ---------------------------------------------------------------------------------------------------------- #


def _damaged(root: Path) -> dict[str, Expected]:
    expected = {
        "zero.mp4": Expected("empty"),
        "half_header.mp4": Expected("no video|not a video"),
        "cut.mp4": Expected("cut off|truncated|not a video"),
        "cut.webp": Expected("not a picture"),
        "cut.npy": Expected("not an array"),
        "one_frame.mp4": Expected("too short: 1 of"),
        "one_frame.webp": Expected("too short: 1 of"),
        "sound.mp4": Expected("no video stream"),
        "unknown_codec.mp4": Expected("."),
        "overwritten.mov": Expected("damaged", late=True, video=scene("overwritten.mov")),
        "first_still_cut": Expected("not a picture"),
        "a_still_cut": Expected("not a picture", late=True, video=scene("a_still_cut")),
        "a_year_between.mkv": Expected("broken timestamps"),
        "noise.mkv": Expected("not a video"),
    }
    film(root / "whole.mp4", scene("cut.mp4"))
    data = (root / "whole.mp4").read_bytes()
    (root / "zero.mp4").touch()
    (root / "half_header.mp4").write_bytes(data[:200])
    (root / "cut.mp4").write_bytes(data[: 2 * len(data) // 3])
    (root / "whole.mp4").unlink()
    film(root / "unknown_codec.mp4", scene("unknown_codec.mp4"))
    _replace(root / "unknown_codec.mp4", b"avc1", b"zzzz")
    milliseconds = [83] * FRAMES
    _animated(root / "cut.webp", scene("cut.webp"), milliseconds)
    data = (root / "cut.webp").read_bytes()
    (root / "cut.webp").write_bytes(data[: 2 * len(data) // 3])
    np.save(root / "cut.npy", scene("cut.npy"))
    os.truncate(root / "cut.npy", 10_000)
    film(root / "one_frame.mp4", scene("one_frame.mp4", 1))
    _animated(root / "two.webp", scene("one_frame.webp", 2), [83, 83])
    _one_frame(root / "two.webp", root / "one_frame.webp")
    with av.open(str(root / "sound.mp4"), "w") as out:
        stream = out.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        out.mux(stream.encode(frame) + stream.encode())
    film(root / "overwritten.mov", scene("overwritten.mov"), codec="png", form="rgb24")
    data = bytearray((root / "overwritten.mov").read_bytes())
    data[2 * len(data) // 3 : 2 * len(data) // 3 + 2000] = bytes(2000)
    (root / "overwritten.mov").write_bytes(data)
    for name, at in (("first_still_cut", 0), ("a_still_cut", 20)):
        _stills(root / name, scene(name))
        os.truncate(root / name / f"{at}.png", 300)
    _lossless(root / "a_year_between.mkv", scene("a_year_between.mkv", 8), pts=[*range(7), 37_843_200_000])
    (root / "noise.mkv").write_bytes(np.random.default_rng(0).bytes(50_000))
    return expected


def _one_frame(animated: Path, path: Path) -> None:
    """An animated webp, less all but its first frame."""
    data = animated.read_bytes()
    second = data.index(b"ANMF", data.index(b"ANMF") + 4)
    path.write_bytes(data[:4] + struct.pack("<I", second - 8) + data[8:second])
    animated.unlink()


def _not_regular(root: Path) -> dict[str, Expected]:
    missing = {
        "dangling.mp4": "nowhere",
        "dangling.webp": "no",
        "loop.mp4": "loop.mp4",
        "loop.webp": "loop.webp",
    }
    (root / "round").mkdir()
    loops = {"up": "..", "itself": ".", "round/and_round": "../round"}
    for name, target in (missing | loops | {"endless.mp4": "/dev/zero"}).items():
        (root / name).symlink_to(target)
    pipes = ("pipe.mp4", "pipe.webp", "pipe.npy")
    for name in pipes:
        os.mkfifo(root / name)
    _stills(root / "still_pipe", scene("still_pipe", 4))
    (root / "still_pipe" / "0.png").unlink()
    os.mkfifo(root / "still_pipe" / "0.png")
    here = os.getcwd()
    os.chdir(root)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket.mp4")
    finally:
        os.chdir(here)
    irregular = (*pipes, "socket.mp4", "endless.mp4", "still_pipe")
    expected = {name: Expected("not a regular file") for name in irregular}
    expected |= {name: Expected("[Nn]o such file|symbolic links") for name in missing}
    film(root / "unreadable.mp4", scene("unreadable.mp4"))
    (root / "unreadable.mp4").chmod(0)
    readable = os.access(root / "unreadable.mp4", os.R_OK)  # root may
    unreadable = Expected(video=scene("unreadable.mp4")) if readable else Expected("[Pp]ermission denied")
    return expected | {"unreadable.mp4": unreadable}


@dataclass
class _Weapon:
    """What an .npy of objects might do when it is unpickled: it would make a folder."""

    path: str

    def __reduce__(self):
        return os.mkdir, (self.path,)


def _mislabelled(root: Path) -> dict[str, Expected]:
    texts = {
        "text.mp4": "this is no film\n" * 50,
        "text.npy": "no array",
        "text.webp": "no picture",
        "page.mp4": "<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "secret.mp4": "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "call_home.mp4": "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "neighbour.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\ntransport.ts\n#EXT-X-ENDLIST\n",
        "joined.mp4": "ffconcat version 1.0\nfile plain.mp4\nfile plain.mkv\n",
        "conference.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "manifest.mp4": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
        '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1">'
        "<BaseURL>plain.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>\n",
    }
    for name, text in texts.items():
        (root / name).write_text(text)
    header = b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': (".ljust(117) + b"\n"
    (root / "unclosed.npy").write_bytes(header + bytes(5000))
    (root / "program.mp4").write_bytes(b"\x7fELF" + bytes(5000))
    np.save(root / "floats.npy", np.linspace(0, 1, 2 * 4 * 4 * 3, dtype=np.float32).reshape(2, 4, 4, 3))
    np.save(root / "flat.npy", np.zeros((4, 4, 3), np.uint8))
    np.save(root / "no_frames.npy", np.zeros((0, 4, 4, 3), np.uint8))
    weapon = np.array([_Weapon(str(root / "UNPICKLED"))], object)
    with open(root / "objects.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (1,)})
        pickle.dump(weapon, file)
    expected = {name: Expected("not a video") for name in texts if name.endswith(".mp4")}
    expected |= {"program.mp4": Expected("not a video|no video"), "text.webp": Expected("not a webp")}
    expected |= {name: Expected("not an array") for name in ("text.npy", "objects.npy", "unclosed.npy")}
    return expected | {name: Expected("uint8") for name in ("floats.npy", "flat.npy", "no_frames.npy")}


def _bombs(root: Path) -> dict[str, Expected]:
    """Small files that claim to be large."""
    for name, side in (("bomb_png", 30_000), ("bomb_png_small", 12_000), ("bomb_png_large", 2**31 - 1)):
        (root / name).mkdir()
        (root / name / "0.png").write_bytes(_png_header(side, side))
    _animated(root / "bomb.gif", scene("bomb.gif", 2, (16, 16)), [83, 83])
    data = bytearray((root / "bomb.gif").read_bytes())
    data[6:10] = struct.pack("<HH", 16_000, 16_000)
    (root / "bomb.gif").write_bytes(data)
    _animated(root / "bomb.webp", scene("bomb.webp", 3, (16, 16)), [83] * 3)
    data = bytearray((root / "bomb.webp").read_bytes())
    at = data.index(b"VP8X") + 12  # canvas less one, 24 bits each
    data[at : at + 6] = struct.pack("<I", 16382)[:3] * 2
    (root / "bomb.webp").write_bytes(data)
    film(root / "bomb.avi", scene("bomb.avi", 4, (16, 16)), codec="mjpeg", form="yuvj420p")
    size = struct.pack(">BHH", 8, 16, 16)  # as the frames' own headers have it
    _replace(root / "bomb.avi", size, struct.pack(">BHH", 8, 16_000, 16_000))
    with open(root / "bomb.npy", "wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (10**9, 64, 64, 3)}
        np.lib.format.write_array_header_1_0(file, header)
    return {
        "bomb_png": Expected("pixels"),
        "bomb_png_small": Expected("pixels"),
        "bomb_png_large": Expected("pixels"),
        "bomb.gif": Expected("pixels|not a video|no frame"),
        "bomb.webp": Expected("pixels|not a webp|damaged"),
        "bomb.avi": Expected("pixels|not a video|no frame"),
        "bomb.npy": Expected("not an array"),
    }


def _sidecars(root: Path) -> dict[str, Expected]:
    """Captions that are broken beside films that are not."""
    said = "1\r\n00:00:00,000 --> 00:00:01,000\r\nCaf\u00e9\r\n"
    texts = {"utf_16.srt": said.encode("utf-16"), "latin.srt": said.encode("latin-1"), "no_text.txt": b""}
    texts["broken.srt"] = b"1\n99:99:99 -> x\n\x00\xff\xfe\n2\n00:00:01,000 --> 00:00:00,000\nback"
    texts["broken_json.json"] = b'{"caption": ["a", {'
    texts["binary.vtt"] = b"WEBVTT\n\n" + bytes(range(256))
    names = [Path(name).with_suffix(".mp4").name for name in texts]
    (root / "captions.csv").write_bytes(
        b'film;caption\nplain.mp4,"not closed\x00\xff\n,,,,\n' + b"," * 200_000
    )
    os.mkfifo(root / "metadata.jsonl")
    for (name, text), video in zip(texts.items(), names, strict=True):
        (root / name).write_bytes(text)
        film(root / video, scene(video))
    return {name: Expected(video=scene(name)) for name in names}
