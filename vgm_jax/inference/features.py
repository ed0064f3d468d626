"""`vgm features`: vectors of all films and sounds of a folder, in one file."""

import hashlib
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from vgm_jax.data.decode import DecodeError
from vgm_jax.data.featured import saved_arrays
from vgm_jax.data.files import in_one_piece, make_room
from vgm_jax.inference.films import find
from vgm_jax.inference.generator import hash_of
from vgm_jax.inference.understanding import ClassifierModel

SEVERAL = ("video", "audio", "text")  # modalities of which a film has several vectors


def features_file(
    model: ClassifierModel,
    folder: str | os.PathLike,
    out: str | os.PathLike,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[int, list[tuple[str, str]]]:
    """Features of all films and sounds under a folder into an .npz, without pickles.

    "files" names [F], "pooled" [F D]; of each modality all files' vectors one after another, "video" [N D]
    with "video_times" [N], those of file i from "video_offsets"[i] to [i + 1]; the same of "audio" and
    "text", words of captions and subtitles. "rejected" and "reasons" name what could not be read.

    Until all is done each film's vectors are in a hidden folder beside `out`: stopped and started again it
    goes on there, and no more than one film's are held.

    Returns:
      How many files were read, and (name, reason) of the others.

    Raises:
      ValueError: for another suffix, or where nothing could be read.
      OSError: where nothing can be written there.
    """
    out = Path(out)
    if out.suffix != ".npz":
        raise ValueError(f"{out}: expected the suffix .npz")
    make_room(out)
    kept = out.with_name(f".{out.name}.parts")
    kept.mkdir(exist_ok=True)
    weights = hash_of(model._params)
    found, rejected, parts, pooled = find(folder), [], {}, []
    counts: dict[str, list[int]] = {name: [] for name in SEVERAL}
    for done, (name, path) in enumerate(found, 1):
        try:
            stat = path.stat()
            about = f"{name}|{stat.st_size}|{stat.st_mtime_ns}|{weights}"
            part = kept / f"{hashlib.sha256(about.encode(errors='surrogateescape')).hexdigest()[:32]}.npz"
            known = saved_arrays(part)
            vectors = model.features(path) if known is None else known
        except (DecodeError, OSError) as error:
            rejected.append((name, getattr(error, "why", None) or str(error)))
            progress(done, len(found))
            continue
        if known is None:
            with in_one_piece(part) as new, new.open("wb") as file:
                np.savez(file, **vectors)
        parts[name] = part
        pooled.append(vectors["pooled"])
        for several, count in counts.items():
            count.append(len(vectors.get(several, ())))
        progress(done, len(found))
    if not parts:
        shutil.rmtree(kept, ignore_errors=True)
        first = ": ".join(rejected[0])
        raise ValueError(f"{folder}: none of {len(found)} files could be read; the first: {first}")
    rows = {"rejected": [name for name, _ in rejected], "reasons": [why for _, why in rejected]}
    with in_one_piece(out) as new, zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as file:
        for name, values in ({"files": list(parts)} | rows).items():
            _write(file, name, [np.array(values, str)])
        _write(file, "pooled", [np.stack(pooled)])
        for name, count in counts.items():
            has = [part for part, n in zip(parts.values(), count, strict=True) if n]
            if has:
                _write(file, f"{name}_offsets", [np.cumsum([0, *count])])
                for array in (name, f"{name}_times"):
                    _write(file, array, (_read(part, array) for part in has), sum(count))
    shutil.rmtree(kept, ignore_errors=True)
    return len(parts), rejected


def _read(part: Path, array: str) -> np.ndarray:
    with np.load(part) as saved:
        return saved[array]


def _write(
    file: zipfile.ZipFile, name: str, blocks: Sequence[np.ndarray] | Iterator[np.ndarray], rows: int = 0
) -> None:
    """An array of the .npz from blocks of its rows, so many in all; by default as many as the blocks have."""
    rows, blocks = rows or sum(map(len, blocks)), iter(blocks)
    first = next(blocks)
    header = {"descr": np.lib.format.dtype_to_descr(first.dtype), "fortran_order": False}
    with file.open(f"{name}.npy", "w", force_zip64=True) as array:
        np.lib.format.write_array_header_1_0(array, header | {"shape": (rows, *first.shape[1:])})
        array.write(np.ascontiguousarray(first).tobytes())
        for block in blocks:
            array.write(np.ascontiguousarray(block, first.dtype).tobytes())
