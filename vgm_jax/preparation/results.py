"""What each source gave, kept in a folder from when it is finished until the data set is written, and after.

Two files a source, under a key of all that its clips depend on: `KEY.array_record`, a clip a record, and
`KEY.json`, which is written last and says everything else. A rerun finds them and does nothing again.
"""

import base64
import hashlib
import io
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vgm_jax.data.decode import DecodeError
from vgm_jax.data.files import in_one_piece
from vgm_jax.preparation.finding import stamp
from vgm_jax.preparation.records import Clip, Rejection, Settings, Shot, Source, is_passing

FORMAT = 2  # to be raised whenever other clips or figures come of the same footage
PICTURES = 3  # of rejections, for each reason and source
SHOWN = 6  # of them for each reason, on the page
BEAT = 1.0  # seconds

Process = Callable[[Source, Settings], Iterator[Shot | Clip | Rejection]]
# Name, shots, clips, rejections, as JSON has them; "again" where another run may fare better.
Result = dict[str, Any]


def key_of(source: Source, settings: Settings) -> str:
    """Hexadecimal; another one wherever another result might come of it."""
    known = [FORMAT, source.name, asdict(settings), stamp(source)]
    text = json.dumps(known, sort_keys=True, default=asdict)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


@dataclass(frozen=True)
class Results:
    """The folder with the results of sources."""

    folder: Path

    def get(self, key: str) -> Result | None:
        """What a finished source gave."""
        try:
            return json.loads((self.folder / f"{key}.json").read_text())
        except (OSError, ValueError):
            return None  # not finished, or torn by a power failure: it is made again

    def is_due(self, key: str) -> bool:
        """Whether a source is to be processed: it is not finished, or may fare better another time."""
        result = self.get(key)
        return result is None or result.get("again", False)

    def put(self, key: str, result: Result) -> None:
        with in_one_piece(self.folder / f"{key}.json") as temporary:
            temporary.write_text(json.dumps(result, sort_keys=True))

    def records(self, key: str) -> Path:
        return self.folder / f"{key}.array_record"

    def clips(
        self, key: str, numbers: list[int], result: Result | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Video, times and sound (int16 [S], empty where there is none) of some clips of a source.

        `result`: what `get` gives, where it is at hand.
        """
        from array_record.python.array_record_module import ArrayRecordReader

        described = (result or self.get(key))["clips"]
        reader = ArrayRecordReader(str(self.records(key)))
        try:
            for number in numbers:
                yield unpack(reader.read([number])[0], described[number]["shape"])
        finally:
            reader.close()

    def sweep(self, keys: set[str]) -> None:
        """Removes what a kill left half-written, and old results of the sources that `keys` are of."""
        for file in self.folder.iterdir():
            if file.name.startswith("."):
                file.unlink(missing_ok=True)
        names = {self.get(key)["name"] for key in keys}
        for file in self.folder.glob("*.json"):
            if file.stem not in keys and (old := self.get(file.stem)) and old["name"] in names:
                file.unlink(missing_ok=True)
                self.records(file.stem).unlink(missing_ok=True)


def make(
    source: Source,
    key: str,
    settings: Settings,
    results: Results,
    process: Process,
    beat: Callable[[], None] = lambda: None,
) -> None:
    """Processes a source and keeps what it gives; clips go to disk one by one.

    What `process` raises is a rejection of the rest of the source. Raises OSError where the disk is full.
    """
    from array_record.python.array_record_module import ArrayRecordWriter

    found = guarded(process, source, settings)
    shots, clips, rejections, pictures, writer, last = [], [], [], Counter(), None, 0.0
    again = False
    with in_one_piece(results.records(key)) as temporary:
        for item in found:
            if time.monotonic() - last > BEAT:
                beat()
                last = time.monotonic()
            if isinstance(item, Shot):
                shots.append([float(item.start), float(item.end)])
            elif isinstance(item, Rejection):
                pictures[item.reason] += item.picture is not None
                again |= item.again
                rejections.append(rejection(item, pictures[item.reason] <= PICTURES))
            else:
                writer = writer or ArrayRecordWriter(str(temporary), "group_size:1")
                writer.write(pack(item))
                clips.append(description(item))
        if writer is not None:
            writer.close()
        else:
            temporary.touch()
    if not shots and not clips and not rejections:
        rejections.append(rejection(Rejection("unreadable", "nothing was found in it")))
    result = {"name": source.name, "shots": shots, "clips": clips, "rejections": rejections}
    results.put(key, result | ({"again": True} if again else {}))


def guarded(process: Process, source: Source, settings: Settings) -> Iterator[Shot | Clip | Rejection]:
    """What `process` finds, and what it raises as a last rejection."""
    try:
        yield from process(source, settings)
    except DecodeError as error:
        yield Rejection("unreadable", error.why, again=is_passing(error))
    except Exception as error:  # whatever one file does, the others are to be prepared
        yield Rejection("damaged", f"{type(error).__name__}: {error}", again=is_passing(error))


def rejected(name: str, item: Rejection) -> Result:
    """The result of a source of which nothing is kept."""
    return {"name": name, "shots": [], "clips": [], "rejections": [rejection(item)]}


def rejection(item: Rejection, with_picture: bool = False) -> dict[str, Any]:
    """As JSON has it; the picture as PNG, base64."""
    line = {name: getattr(item, name) for name in ("reason", "detail", "start", "end")}
    line |= {name: None if line[name] is None else float(line[name]) for name in ("start", "end")}
    return line | {"picture": png(item.picture) if with_picture and item.picture is not None else None}


def png(image: np.ndarray) -> str:
    """uint8 [H W 3] as PNG, base64."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()


# ---------------------------------------------------------------------------------------------------------- #
# A clip as bytes
# ---------------------------------------------------------------------------------------------------------- #


def description(clip: Clip) -> dict[str, Any]:
    """All of a clip but its arrays."""
    last, frames = float(clip.times[-1]), len(clip.times)
    return {
        "start": float(clip.start),
        "seconds": last * frames / max(frames - 1, 1),
        "shot": int(clip.shot),
        "shape": list(clip.video.shape),
        "audio": None if clip.audio is None else len(clip.audio),
        "caption": clip.caption,
        "fingerprint": f"{int(clip.fingerprint) & (1 << 64) - 1:016x}",
        "figures": {name: float(value) for name, value in clip.figures.items()},
    }


def pack(clip: Clip) -> bytes:
    """The arrays of a clip, one after the other."""
    sound = np.zeros(0, np.int16) if clip.audio is None else clip.audio
    arrays = ((clip.video, np.uint8), (clip.times, "<f4"), (sound, "<i2"))
    return b"".join(np.ascontiguousarray(array, kind).tobytes() for array, kind in arrays)


def unpack(record: bytes, shape: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Video, times and sound, of `pack`."""
    pixels, times = int(np.prod(shape)), 4 * shape[0]
    video = np.frombuffer(record, np.uint8, pixels).reshape(shape)
    return (
        video,
        np.frombuffer(record, "<f4", shape[0], pixels),
        np.frombuffer(record[pixels + times :], "<i2"),
    )
