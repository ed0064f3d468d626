"""What tests of questions share: how far answers follow from questions alone."""

import collections
import math

import numpy as np
import pytest


def _surprise(questions) -> dict[str, float]:
    """Of each kind, how many deviations answers are from being uniform given the text.

    Of n answers among k, chi square has the mean k - 1 and the variance 2 (k - 1) (n - 1) / n exactly, where
    all k are as likely; sums over many texts are about normal.
    """
    counts = collections.defaultdict(collections.Counter)
    choices = {}
    for q in questions:
        assert choices.setdefault((q.kind, q.text), q.choices) == q.choices and q.answer in q.choices
        counts[q.kind, q.text][q.answer] += 1
    excess, variance = collections.Counter(), collections.Counter()
    for key, found in counts.items():
        k, n = len(choices[key]), sum(found.values())
        excess[key[0]] += sum((found[a] - n / k) ** 2 for a in choices[key]) / (n / k) - (k - 1)
        variance[key[0]] += 2 * (k - 1) * (n - 1) / n
    return {kind: excess[kind] / math.sqrt(variance[kind]) for kind in excess if variance[kind]}


def _gain(questions) -> dict[str, float]:
    """Of each kind, by how many deviations the best answer by the text, learnt on one half, beats chance."""
    learnt = collections.defaultdict(collections.Counter)
    half = len(questions) // 2
    for q in questions[:half]:
        learnt[q.text][q.answer] += 1
    rows = collections.defaultdict(list)
    for q in questions[half:]:
        guess = learnt[q.text].most_common(1)[0][0] if q.text in learnt else q.choices[0]
        chance = 1 / len(q.choices)
        rows[q.kind].append((guess == q.answer, chance, chance * (1 - chance)))
    sums = {kind: np.sum(np.array(row, float), 0) for kind, row in rows.items()}
    return {kind: (right - chance) / math.sqrt(var) for kind, (right, chance, var) in sums.items()}


@pytest.fixture(scope="session")
def surprise():
    """`surprise(questions)`: of each kind, deviations by which answers are not uniform given the text."""
    return _surprise


@pytest.fixture(scope="session")
def gain():
    """`gain(questions)`: of each kind, deviations by which guessing from the text is better than chance."""
    return _gain
