"""Near-duplicates among fingerprints of 64 bits, without comparing each with each."""

import itertools
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np

from vgm_jax.preparation.cleaning import NEAR

BANDS, WIDTH = 4, 16  # a fingerprint is so many numbers of so many bits
MANY = 256  # members of buckets from which on comparing with all at once is faster
LATEST = 16  # kept clips of one shot and fingerprint that a further one is looked at beside


def find_duplicates(
    fingerprints: Sequence[int],
    groups: Sequence[Hashable],
    shots: Sequence[Hashable],
    bits: int = NEAR,
    bits_within: int = 2,
    agree: Callable[[int, int], bool] = lambda first, other: True,
) -> dict[int, int]:
    """Which clips repeat an earlier one that is kept: index -> index of that one, the earliest.

    Between groups (videos), clips are the same where at most `bits` of 64 differ. Within one group they are
    only where at most `bits_within` differ and their shots are others: an introduction that is shown twice.
    The windows of one still shot look alike and are no copies.

    Of two fingerprints that differ in at most b bits, one of the four bands differs in at most b // 4 of its
    sixteen (Norouzi et al., Fast Exact Search in Hamming Space with Multi-Index Hashing, arXiv 1307.2982,
    section 3.1): only what falls into those buckets is compared. A fixed camera's fingerprints, half of which
    are of its picture, fall into the same ones: they are compared with all, which NumPy does at once.

    Args:
      fingerprints: ints in 0..2^64 - 1, in the order in which the first of several copies is kept.
      groups, shots: of each clip; a shot counts within its group.
      agree: a closer look at two clips that would be the same; asked of few.
    """
    most = max(bits, bits_within)
    masks = _masks(most // BANDS)
    kept, marks = np.zeros((2, len(fingerprints)), np.uint64)  # indices of what is in the buckets
    count = 0
    buckets: tuple[dict[int, list[int]], ...] = tuple(defaultdict(list) for _ in range(BANDS))
    found: dict[int, int] = {}
    known: dict[tuple, deque[int]] = defaultdict(lambda: deque(maxlen=LATEST))
    for i, fingerprint in enumerate(fingerprints):
        bands = [fingerprint >> WIDTH * band & (1 << WIDTH) - 1 for band in range(BANDS)]
        alike = [
            table[value ^ mask]
            for table, value in zip(buckets, bands, strict=True)
            for mask in masks
            if value ^ mask in table
        ]
        if sum(map(len, alike)) > MANY:
            near = np.bitwise_count(marks[:count] ^ np.uint64(fingerprint)) <= most
            seen = kept[:count][near].tolist()
        else:
            seen = sorted(set(itertools.chain.from_iterable(alike)))
        same = (
            j
            for j in seen
            if (fingerprints[j] ^ fingerprint).bit_count() <= bits
            and (
                groups[j] != groups[i]
                or (shots[j] != shots[i] and (fingerprints[j] ^ fingerprint).bit_count() <= bits_within)
            )
            and agree(j, i)
        )
        first = next(same, None)
        if first is not None:
            found[i] = first
            continue
        like = known[fingerprint, groups[i], shots[i]]
        if any(agree(j, i) for j in like):
            continue  # what it could be the first of, the clip before it is
        like.append(i)
        kept[count], marks[count] = i, fingerprint
        count += 1
        for table, value in zip(buckets, bands, strict=True):
            table[value].append(i)
    return found


def _masks(radius: int) -> list[int]:
    """All numbers of a band with at most `radius` bits set."""
    return [sum(1 << bit for bit in bits) for bits in _chosen(min(radius, WIDTH))]


def _chosen(radius: int) -> Iterator[tuple[int, ...]]:
    for count in range(radius + 1):
        yield from itertools.combinations(range(WIDTH), count)
