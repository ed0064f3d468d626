"""experiments/case_study: draws, ways to make vectors against closed forms, and all of it in small."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "experiments" / "case_study"
NAMES = ("regimes", "arms", "extraction", "gans", "report", "run")


def load():
    sys.path.insert(0, str(FOLDER))
    try:
        return [importlib.import_module(name) for name in NAMES]
    finally:
        sys.path.remove(str(FOLDER))
        for name in NAMES:  # names that other studies may have too
            sys.modules.pop(name, None)


regimes, arms, extraction, gans, report, run = load()
TABLE = np.array([[*np.eye(3)[i // 4], *np.eye(4)[i % 4]] for i in range(12)])  # 12 classes of two attributes


def pool(each=80, size=10, seed=0):
    """Vectors whose mean is the sum of two attributes' own."""
    rng = np.random.default_rng(seed)
    means, vectors, labels = 2 * TABLE @ rng.normal(size=(7, size)), {}, {}
    for split, count in {"train": each, "validation": 10, "test": 10}.items():
        labels[split] = rng.permutation(np.repeat(np.arange(12), count))
        noise = rng.normal(size=(len(labels[split]), size))
        vectors[split] = (means[labels[split]] + noise).astype(np.float32)
    return regimes.Pool(vectors, labels, TABLE, tuple("abcdefghijkl"), {"picture": slice(0, size)})


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(regimes, "LABELLED", 12 * 40)


# ---------------------------------------------------------------------- draws
def test_classes_have_as_many_vectors_as_the_regime_says(small):
    full = pool()
    assert set(regimes.draw(full, "balanced", 0).counts) == {40}
    assert set(regimes.draw(full, "5-shot", 0).counts) == {5}
    tail = np.sort(regimes.draw(full, "long-tailed", 0).counts)[::-1]
    assert tail[0] == 40 and tail[-1] == 1
    ratios = (
        tail[:6] / tail[1:7]
    )  # each a fixed part of the one before, where there is no rounding to speak of
    np.testing.assert_allclose(ratios, 50 ** (1 / 11), rtol=0.15)
    with pytest.raises(ValueError, match="balanced needs 40; extract more"):
        regimes.draw(pool(each=30), "balanced", 0)


def test_a_seed_is_a_draw_and_one_for_choosing_is_judged_on_validation(small):
    full = pool()
    a, b, again = (regimes.draw(full, "long-tailed", seed) for seed in (0, 1, 0))
    np.testing.assert_array_equal(a.vectors, again.vectors)
    assert not np.array_equal(a.counts, b.counts)
    np.testing.assert_array_equal(a.held_labels, full.labels["test"])
    choosing = regimes.draw(full, "long-tailed", regimes.TUNING)
    np.testing.assert_array_equal(choosing.held_labels, full.labels["validation"])
    for drawn in (a, choosing):  # standardised by what is learnt from alone
        np.testing.assert_allclose(drawn.vectors.mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(np.square(drawn.vectors).mean(), 1, atol=1e-4)
        assert len(set(drawn.deviation)) == 1  # one modality, one scale
    np.testing.assert_allclose(a.held * a.deviation + a.mean, full.vectors["test"], atol=1e-4)


def test_unseen_classes_are_others_while_choosing_and_all_attributes_are_seen(small):
    full = pool()
    final, choosing = (regimes.draw(full, "unseen", seed) for seed in (3, regimes.TUNING))
    hidden = {name: np.flatnonzero(~d.seen & d.told) for name, d in (("f", final), ("c", choosing))}
    assert len(hidden["f"]) == 3 == len(hidden["c"]) and not set(hidden["f"]) & set(hidden["c"])
    assert final.told.all() and set(np.flatnonzero(~choosing.told)) == set(hidden["f"])
    assert not set(choosing.held_labels) & set(hidden["f"]) and set(final.held_labels) == set(range(12))
    for drawn in (final, choosing):
        assert not set(drawn.labels) & set(np.flatnonzero(~drawn.seen))
        assert TABLE[drawn.seen].sum(0).min() > 0


def test_games_are_told_apart_by_what_they_are_like():
    table = [tuple(like in text.split(",") for like in extraction.LIKE) for text in extraction.GAMES.values()]
    assert len(set(table)) == 16 and np.sum(table, 0).min() > 0
    assert all(set(text.split(",")) <= set(extraction.LIKE) for text in extraction.GAMES.values())
    assert (
        sum(regimes.hidden(np.array(table, float), 0)) == 4 == sum(regimes.hidden(np.array(table, float), 1))
    )


def test_of_a_caption_a_quarter_is_left_by_the_clips_number():
    caption = "a red circle moves left"
    rows = np.stack([extraction.heard_words(caption, "train", i) for i in range(400)])
    there = np.isin(extraction.WORDS, caption.split())
    assert there.sum() == 4 and (rows[:, ~there] == 0).all()  # "a" is no word of theirs
    np.testing.assert_allclose(rows[:, there].mean(0), 0.25, atol=0.08)
    np.testing.assert_array_equal(extraction.heard_words(caption, "train", 7), rows[7])
    assert any((extraction.heard_words(caption, "test", i) != rows[i]).any() for i in range(9))


def test_long_vectors_become_components_of_known_classes_training_vectors(monkeypatch):
    monkeypatch.setattr(extraction, "COMPONENTS", 3)
    full, rng = pool(), np.random.default_rng(1)
    flat = rng.normal(size=(3, 8))  # a picture has three directions, two more numbers beside it
    arrays = {f"{s}_labels": x for s, x in full.labels.items()}
    for split, vectors in full.vectors.items():
        arrays[f"{split}_vectors"] = np.concatenate([vectors[:, :3] @ flat, vectors[:, 3:5]], 1)
    arrays["generated"] = arrays["test_vectors"][:4, :8].reshape(2, 2, 8)
    found, widths = extraction.reduced(arrays, TABLE, {"picture": 8, "sound": 2})
    assert widths == {"picture": 3, "sound": 2}
    for split in full.vectors:  # three components of three directions: nothing is lost, none is stretched
        a, b = arrays[f"{split}_vectors"], found[f"{split}_vectors"]
        np.testing.assert_array_equal(b[:, 3:], a[:, 8:].astype(np.float32))
        apart = [np.linalg.norm(x[:, None, :n] - x[:9, :n], axis=-1) for x, n in ((a, 8), (b, 3))]
        np.testing.assert_allclose(*apart, atol=1e-3)
    np.testing.assert_allclose(found["generated"].reshape(4, 3), found["test_vectors"][:4, :3], atol=1e-4)
    spread = found["train_vectors"][_known(full)][:, :3]
    np.testing.assert_allclose(np.corrcoef(spread.T), np.eye(3), atol=1e-3)
    assert (np.diff(spread.std(0)) < 0).all()
    # Vectors of hidden classes change nothing for the others.
    arrays["train_vectors"][~_known(full), :8] *= 100
    again, _ = extraction.reduced(arrays, TABLE, {"picture": 8, "sound": 2})
    np.testing.assert_allclose(again["test_vectors"], found["test_vectors"], atol=1e-4)


def _known(full):
    return ~(regimes.hidden(TABLE, 0) | regimes.hidden(TABLE, 1))[full.labels["train"]]


# ----------------------------------------------------------------------- arms
@pytest.fixture
def drawn(small):
    return regimes.draw(pool(), "long-tailed", 0)


def test_what_is_missing_fills_every_class_up():
    counts, told = np.array([10, 4, 0]), np.array([True, True, False])
    assert arms.missing(counts, told, 1.0).tolist() == [0, 6, 0]
    assert arms.missing(counts, told, 2.0).tolist() == [10, 16, 0]


def test_weighted_classes_count_alike():
    labels = np.repeat([0, 2, 3], [6, 3, 1])
    weights = arms.class_weights(labels, 4)
    np.testing.assert_allclose(np.bincount(labels, weights)[[0, 2, 3]], 10 / 3)
    assert weights.mean() == pytest.approx(1.0)


def test_mixed_vectors_are_on_the_line_of_their_labels():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 2000)
    vectors = np.eye(3)[labels]  # a vector is its label: then both are mixed alike
    mixed, targets = arms.mixup(vectors, labels, 3, 0.4, rng)
    np.testing.assert_allclose(mixed, targets, atol=1e-6)
    np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-6)
    # Of two different classes the larger share is max(b, 1 - b), b ~ Beta(a, a): Var b = 1 / (4 (2a + 1)).
    share = targets[(targets > 0).sum(1) == 2].max(1)
    assert np.mean((share - 0.5) ** 2) == pytest.approx(1 / (4 * 1.8), rel=0.05)


def test_neighbours_are_the_nearest():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 4))
    for i, near in enumerate(arms.neighbours(x, 5)):
        far = [sum((a - b) ** 2 for a, b in zip(x[i], other, strict=True)) for other in x]
        far[i] = float("inf")
        assert near.tolist() == sorted(range(30), key=far.__getitem__)[:5]
    assert arms.neighbours(x[:3], 5).shape == (3, 2) and arms.neighbours(x[:1], 5).shape == (1, 0)


def test_smote_stays_between_a_vector_and_a_near_one_of_the_class(drawn):
    wanted = np.full(12, 30)
    wanted[drawn.counts.argmax()] = 0
    made, labels = arms.smote(drawn, wanted, np.random.default_rng(0))
    np.testing.assert_array_equal(np.bincount(labels, minlength=12), wanted)
    for label in np.unique(labels):
        own, new = drawn.vectors[drawn.labels == label], made[labels == label]
        if len(own) == 1:
            np.testing.assert_array_equal(new, np.repeat(own, 30, 0))
            continue
        near = arms.neighbours(own, 5)
        pairs = [(i, j) for i in range(len(own)) for j in near[i]]
        a, b = own[[i for i, _ in pairs]], own[[j for _, j in pairs]]
        for x in new:  # on one of the lines: the way by it is no detour
            detour = (
                np.linalg.norm(x - a, axis=1) + np.linalg.norm(x - b, axis=1) - np.linalg.norm(a - b, axis=1)
            )
            assert detour.min() < 1e-3


def test_gaussians_have_the_shrunk_moments_in_closed_form(drawn):
    label = int(np.argsort(drawn.counts)[-3])
    wanted = np.zeros(12, int)
    wanted[label] = 40_000
    made, labels = arms.gaussian(drawn, wanted, np.random.default_rng(0))
    assert (labels == label).all()
    own = drawn.vectors[drawn.labels == label]
    centred = np.concatenate(
        [x - x.mean(0) for x in (drawn.vectors[drawn.labels == i] for i in range(12)) if len(x)]
    )
    part = len(own) / (len(own) + arms.OWN)
    expected = part * np.cov(own.T, bias=True) + (1 - part) * centred.T @ centred / len(centred)
    np.testing.assert_allclose(made.mean(0), own.mean(0), atol=0.02)
    np.testing.assert_allclose(np.cov(made.T), expected, atol=0.03)


def test_means_of_unseen_classes_come_from_their_attributes(small):
    # Without noise the sum of two attributes' vectors is known exactly, but for the ridge.
    exact = pool()
    for split in exact.vectors:
        means = np.stack([exact.vectors["train"][exact.labels["train"] == i].mean(0) for i in range(12)])
        two = np.linalg.lstsq(TABLE, means, rcond=None)[0]
        exact.vectors[split] = (TABLE @ two)[exact.labels[split]].astype(np.float32)
    drawn = regimes.draw(exact, "unseen", 0)
    found = arms.predicted_means(drawn)
    for label in np.flatnonzero(~drawn.seen):
        expected = drawn.held[drawn.held_labels == label][0]
        np.testing.assert_allclose(found[label], expected, atol=0.05)
    made, labels = arms.gaussian(drawn, np.where(drawn.seen, 0, 5), np.random.default_rng(0))
    assert set(labels) == set(np.flatnonzero(~drawn.seen)) and made.shape == (15, 10)


def test_video_vectors_have_a_generated_picture_and_the_rest_of_their_class(small):
    full = pool()
    parts = {"picture": slice(0, 6), "sound": slice(6, 8), "words": slice(8, 10)}
    full = regimes.Pool(full.vectors, full.labels, TABLE, full.classes, parts)
    drawn = regimes.draw(full, "unseen", 0)
    pictures = np.arange(3)[:, None, None] + np.zeros((3, 4, 6))
    kinds = np.stack([np.arange(12) // 4, np.arange(12) % 4], 1)
    made, labels = arms.video(drawn, np.full(12, 20), np.random.default_rng(0), pictures, kinds)
    assert np.bincount(labels).tolist() == [20] * 12
    for label in range(12):
        new = made[labels == label]
        assert (new[:, :6] == kinds[label, 0]).all()
        for columns, part in (((6, 7), 1), ((8, 9), 0)):
            own = drawn.labels == label
            own = own if own.any() else kinds[drawn.labels, part] == kinds[label, part]
            known = {row.tobytes() for row in drawn.vectors[own][:, columns]}
            assert all(row.tobytes() in known for row in new[:, columns])


# --------------------------------------------------------------------- tables
def test_intervals_by_hand():
    mean, half = report.interval([1.0, 2.0, 4.0])
    assert mean == pytest.approx(7 / 3)
    assert half == pytest.approx(4.302653 * np.sqrt(((4 / 3) ** 2 + (1 / 3) ** 2 + (5 / 3) ** 2) / 2 / 3))
    assert report.interval([3.0]) == (3.0, float("inf"))
    assert report.differences({0: 0.5, 2: 0.75, 3: 0.0}, {0: 0.25, 2: 0.5}) == [0.25, 0.25]


def test_a_table_is_bold_where_it_is_sure():
    plain = {seed: 0.5 + 0.1 * seed for seed in range(5)}
    cells = {
        "balanced": {
            "none": plain,
            "SMOTE": {s: v + 0.02 + 0.001 * (s % 2) for s, v in plain.items()},
            "Gaussian": {s: v + 0.05 * (-1) ** s for s, v in plain.items()},
        },
        "unseen": {"none": dict.fromkeys(range(5), 0.0)},
    }
    lines = report.markdown(cells, ["none", "SMOTE", "mixup", "Gaussian"]).splitlines()
    assert lines[0] == "| | balanced | unseen |" and lines[2].startswith("| none | 70.0 ± 19.6 | 0.0 ± 0.0")
    assert lines[3].startswith("| SMOTE | 72.0 ± 19.6 (**+2.0 ± 0.1**) | –")
    assert "(+1.0 ±" in lines[4] and len(lines) == 7


# ------------------------------------------------------------------- all of it
@pytest.fixture
def study(small, tmp_path, monkeypatch):
    """Of made-up vectors in a file; one regime, four arms, GANs of a moment, few choices."""
    full, names = pool(), ("none", "attributes", "Gaussian", "f-CLSWGAN")
    arrays = {f"{s}_vectors": full.vectors[s] for s in full.vectors}
    arrays |= {f"{s}_labels": full.labels[s] for s in full.labels}
    extraction.save(tmp_path / "procgen.npz", arrays, TABLE, full.classes, {"picture": 10})
    for arm in names:
        monkeypatch.setitem(
            run.GRID, arm, {k: v[:1] for k, v in run.GRID[arm].items()} | {"decay": (1e-2, 1e2)}
        )
    changes = {"model.generator.widths": (16,), "model.discriminator.widths": (16,), "train.steps": 4}
    changes |= {"objective.class_from": 2, "data.batch_size": 40}
    return lambda **more: run.Study("procgen", tmp_path, ("unseen",), names, changes | more)


def test_from_vectors_to_tables_and_nothing_twice(study, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="nothing is chosen yet"):
        study().run(range(1))
    chosen = study().choose([regimes.TUNING])
    assert chosen["unseen"]["Gaussian"]["settings"]["decay"] == 1e-2  # 1e2 leaves nothing of a classifier
    study().run(range(2))
    cells = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "test").iterdir()}
    assert len(cells) == 4 * 2
    with monkeypatch.context() as patch:
        patch.setattr(gans, "train", pytest.fail)
        patch.setattr(run, "fit_softmax", pytest.fail)
        study().run(range(2))
        assert study().choose([regimes.TUNING]) == chosen
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "test").iterdir()} == cells
    with pytest.raises(SystemExit, match="other vectors or settings: choose another --work"):
        study(**{"train.steps": 5}).run(range(2))

    out = tmp_path / "out"
    out.mkdir()
    marked = f"# Study\n{report.START}\nstale\n{report.END}\nafter\n"
    (out / "README.md").write_text(marked)
    for _ in range(2):  # a second time changes nothing
        report.table(tmp_path, out, run.DATASETS, tuple(run.GRID))
    text = (out / "README.md").read_text()
    assert text.count("### procgen") == 1 and "stale" not in text and text.endswith(f"{report.END}\nafter\n")
    assert "### shapeshow\n\nNot run yet." in text and "| f-CLSWGAN |" in text and "figure.png" in text
    result = json.loads((out / "results" / "procgen.json").read_text())
    assert len(result["cells"]) == 8 and result["choices"] == chosen
    by_arm = {(c["arm"], c["seed"]): c["figures"] for c in result["cells"]}
    assert by_arm["none", 0]["harmonic"] == 0.0 < by_arm["Gaussian", 0]["harmonic"]
    assert by_arm["attributes", 0]["harmonic"] > 0
    assert (out / "figure.png").stat().st_size > 1000


def test_the_test_set_is_not_looked_at_before_choosing(study, tmp_path):
    path = study().file("test", "unseen", "none", 3)
    run.write(path, {})
    with pytest.raises(SystemExit, match="before anything was chosen"):
        study().choose([regimes.TUNING])
    with pytest.raises(SystemExit, match="run.py features shapeshow"):
        run.Study("shapeshow", tmp_path)
