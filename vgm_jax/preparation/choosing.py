"""What of all that sources gave is in the data set: no clip twice, and every video in one split."""

import functools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vgm_jax.data.sources.prepared import BY_GROUP, BY_VIDEO
from vgm_jax.preparation import cleaning
from vgm_jax.preparation.dataset import Place
from vgm_jax.preparation.duplicates import find_duplicates
from vgm_jax.preparation.finding import Found, readable
from vgm_jax.preparation.records import Rejection, Source
from vgm_jax.preparation.results import Result, rejection
from vgm_jax.preparation.splitting import split

REMEMBERED = 4096  # clips whose movement is kept while near-duplicates are looked for, 16 KiB each
Rejected = list[dict[str, Any]]


@dataclass(frozen=True)
class Chosen:
    """Which clips the data set has, by split, all that was left out, and how it was split, in words."""

    splits: dict[str, list[Place]]
    rejected: Rejected
    warnings: list[str]
    division: str = BY_VIDEO


def choose(
    found: Found,
    jobs: Sequence[tuple[Source, str]],
    results: Mapping[str, Result],
    look: Callable[[Place], np.ndarray],
    seed: int,
    held_out: float,
) -> Chosen:
    """Near-duplicates out, the rest into splits; the same whatever the order in which sources ended.

    `look` reads a clip's video, uint8 [T S S 3].
    """
    lines = {name: [_line(name, rejection(item))] for name, item in found.rejected}
    places = []
    for source, key in jobs:
        result = results[key]
        lines[source.name] = [_line(source.name, item) for item in result["rejections"]]
        places += [Place(source, key, result, number) for number in range(len(result["clips"]))]
    places = _without_copies(places, [place.source.name for place in places], lines, look)
    if not places:
        return Chosen({}, _flat(lines), [])
    grouped = not found.named and bool(places[0].source.group)
    units = [place.source.group if grouped else place.source.name for place in places]
    shots = [place.known["shot"] for place in places]
    parts, note = split(list(zip(units, shots, strict=True)), found.named, seed, held_out)
    if grouped and len(set(units)) == 1:
        note = f"all clips are of {readable(units[0])}: validation and test are of the training's group"
    if len({place.source.name for place in places}) == 1:
        # Its parts are as videos to one another, unless it shows the same throughout.
        more = {name: list(items) for name, items in lines.items()}
        kept = _without_copies(places, parts, more, look)
        part_of = dict(zip(map(id, places), parts, strict=True))
        if {part_of[id(place)] for place in kept} == set(parts):
            places, parts, lines = kept, [part_of[id(place)] for place in kept], more
    splits: dict[str, list[Place]] = {}
    for name in ("train", "validation", "test"):
        members = [place for place, own in zip(places, parts, strict=True) if name in own]
        if members:
            splits[name] = members
    division = _division(places, parts)
    warnings = [note] if note else []
    if found.named and division == BY_VIDEO and any(source.group for source, _ in jobs):
        warnings.append("with groups, but the folders of the splits do not keep groups apart")
    return Chosen(splits, _flat(lines), warnings, division)


def _division(places: Sequence[Place], parts: Sequence[tuple[str, ...]]) -> str:
    """By group only where there are several that gave clips, and none of them is in two splits."""
    found: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for place, own in zip(places, parts, strict=True):
        found[place.source.group].add(own)
    if "" in found or len(found) < 2 or any(len(own) > 1 for own in found.values()):
        return BY_VIDEO
    return BY_GROUP


def _without_copies(
    places: list[Place],
    groups: Sequence[Any],
    lines: dict[str, Rejected],
    look: Callable[[Place], np.ndarray],
) -> list[Place]:
    marks = [int(place.known["fingerprint"], 16) for place in places]

    @functools.lru_cache(REMEMBERED)
    def moving(i: int) -> np.ndarray:
        return cleaning.glimpse(look(places[i]))

    def agree(first: int, other: int) -> bool:
        return cleaning.alike(moving(first), moving(other))

    copies = find_duplicates(marks, groups, [place.known["shot"] for place in places], agree=agree)
    for i, first in copies.items():
        place, other = places[i], places[first]
        start = place.known["start"]
        item = Rejection(
            "duplicate",
            f"of {other.source.name} at {other.known['start']:.2f} s",
            start,
            start + place.known["seconds"],
        )
        lines[place.source.name].append(_line(place.source.name, rejection(item), place))
    return [place for i, place in enumerate(places) if i not in copies]


def _line(name: str, item: Mapping[str, Any], place: Place | None = None) -> dict[str, Any]:
    return {"source": name, **item, "place": place}


def _flat(lines: Mapping[str, Rejected]) -> Rejected:
    """By source in its order, then in time."""
    return [
        item
        for items in lines.values()
        for item in sorted(items, key=lambda x: (x["start"] or 0.0, x["end"] or 0.0, x["reason"]))
    ]
