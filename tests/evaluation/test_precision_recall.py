import numpy as np
import pytest

from vgm_jax.evaluation import precision_recall as module
from vgm_jax.evaluation.precision_recall import precision_recall


def rows(n, seed, shift=0.0, scale=1.0):
    return scale * np.random.default_rng(seed).normal(size=(n, 3)) + shift


def by_hand(real, fake, k):
    def distance(x, y):
        return float(np.sqrt(((x - y) ** 2).sum()))

    def radius(points, i):
        return sorted(distance(points[i], p) for j, p in enumerate(points) if j != i)[k - 1]

    real_radii = [radius(real, i) for i in range(len(real))]
    fake_radii = [radius(fake, i) for i in range(len(fake))]
    inside = np.array(
        [[distance(f, r) <= radius for r, radius in zip(real, real_radii, strict=True)] for f in fake]
    )
    recalled = [any(distance(f, r) <= rf for f, rf in zip(fake, fake_radii, strict=True)) for r in real]
    return {
        "precision": inside.any(1).mean(),
        "recall": np.mean(recalled),
        "density": inside.sum() / (k * len(fake)),
        "coverage": inside.any(0).mean(),
    }


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("chunk", [7, 2048])
def test_balls_of_every_pair(monkeypatch, k, chunk):
    monkeypatch.setattr(module, "CHUNK", chunk)
    real, fake = rows(30, 0), rows(22, 1, 1.5, 0.8)
    found = precision_recall(real, fake, k)
    assert found == pytest.approx(by_hand(real, fake, k))
    assert all(0.0 < value < 1.0 for value in found.values()), f"a case that tells nothing: {found}"
    assert precision_recall(real + 1e4, fake + 1e4, k) == pytest.approx(found)


def test_what_each_figure_sees():
    real = rows(400, 0)
    same = precision_recall(real, rows(400, 1))
    assert min(same.values()) > 0.85 and same["density"] == pytest.approx(1.0, abs=0.15)
    narrow = precision_recall(real, rows(400, 1, scale=0.3))  # good samples, all alike
    assert narrow["precision"] > 0.95 and narrow["recall"] < 0.5 and narrow["coverage"] < 0.7
    wide = precision_recall(real, rows(400, 1, scale=4.0))
    assert wide["precision"] < 0.5 and wide["density"] < 0.3
    assert set(precision_recall(real, rows(400, 1, 100.0)).values()) == {0.0}
    copies = precision_recall(real, real)
    assert copies["precision"] == copies["recall"] == copies["coverage"] == 1.0


@pytest.mark.parametrize(
    "real, fake",
    [(rows(5, 0), rows(9, 0)), (rows(9, 0), rows(9, 0)[:, :2]), (np.full((9, 3), np.inf), rows(9, 0))],
)
def test_bad_features_are_refused(real, fake):
    with pytest.raises(ValueError, match="expected"):
        precision_recall(real, fake)
