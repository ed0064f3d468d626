"""Which split a clip is in: by its video, never by itself."""

from collections.abc import Sequence

from vgm_jax.data.sources._folder_videos import SPLITS, by_hash, part_of

Clip = tuple[str, int]  # name of its video, index of its shot


def split(
    clips: Sequence[Clip], named: bool, seed: int = 0, held_out: float = 0.1
) -> tuple[list[tuple[str, ...]], str]:
    """The splits of each clip, mostly one, and what there is to warn of, or "".

    - `named`: the first folder of a video's name says it, in any case (train, validation, test, ...). Where
      validation or test is absent, it is the other.
    - Otherwise a hash of seed and name: `held_out` of the videos for validation, and again for test. Adding a
      video moves no other one, but where a split would be empty: it then gets a video of the largest. Of two
      videos the second is both validation and test.
    - One video alone is cut in time between shots, or within its only shot between clips; of fewer than
      three clips all splits are the same. Such a validation says little about other videos.
    """
    names = sorted({name for name, _ in clips})
    if named:
        return _by_folder(clips)
    if len(names) > 1:
        part = by_hash(names, seed, held_out)
        parts = [part[name] for name, _ in clips]
        if len(names) == 2:
            return parts, "two videos: one of them is both validation and test"
        return parts, ""
    return _in_time(clips, held_out)


def _by_folder(clips: Sequence[Clip]) -> tuple[list[tuple[str, ...]], str]:
    parts = [part_of(name) for name, _ in clips]
    of, note = {part: (part,) for part in SPLITS}, ""
    for part, other in (("validation", "test"), ("test", "validation")):
        if part not in parts and other in parts:
            of[other], note = ("validation", "test"), f"no clip for {part}: {other} stands for both"
    missing = {"train", "test"} - set(parts) - ({"test"} if "validation" in parts else set())
    if missing:
        note = f"no clip for {'train' if 'train' in missing else 'validation and test'}"
    return [of[part] for part in parts], note


def _in_time(clips: Sequence[Clip], held_out: float) -> tuple[list[tuple[str, ...]], str]:
    if len(clips) < 3:
        return [SPLITS] * len(clips), "too few clips to split: validation and test are the training"
    # Where it may be cut: between its shots, or else its clips.
    places = [i for i in range(1, len(clips)) if clips[i][1] != clips[i - 1][1]]
    if len(places) < 2:
        places = list(range(1, len(clips)))
    wanted = len(clips) * (1 - 2 * held_out), len(clips) * (1 - held_out)
    first = min(places[:-1], key=lambda place: abs(place - wanted[0]))
    second = min((p for p in places if p > first), key=lambda place: abs(place - wanted[1]))
    note = "one video: validation and test are its last clips, and say little about other videos"
    return [(SPLITS[(i >= first) + (i >= second)],) for i in range(len(clips))], note
