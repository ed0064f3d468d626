import collections
import json
import pickle
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vgm_jax.data.sources.shapeshow import ANSWERS, KINDS, SOUNDS, VOCABULARY
from vgm_jax.data.sources.shapeshow_films import ANNOTATORS, BUDGET, EVENTS, SPLITS, ShapeShowFilms
from vgm_jax.evaluation.summaries import human, judge, kendall

NUMBERS = ("zero", "one", "two")
SMALL = {"size": 8, "frames": 240, "fps": 4.0}
# Of film 5 of the test split of seed 3: its caption, its first shot's, when shots end, part of a frame's
# column, three annotators' scores. For version 1.
GOLDEN = (
    "a flash as a green square spins",
    "a red square shrinks",
    [2.2508, 5.7643, 6.7958, 10.2371],
    [[82, 80, 69], [73, 70, 65], [61, 56, 61], [82, 80, 69]],
    [0.0017, 0.0, 0.0],
)


def objects_of(caption):
    """(colour, shape, phrase) of a shot's objects, from its caption."""
    return [tuple(phrase.split(" ", 3)[1:]) for phrase in caption.split(" and ")]


@pytest.fixture(scope="module")
def films():
    source = ShapeShowFilms(size=16)
    return [source.film(i) for i in range(8)]


# ---- identity ----


def test_a_film_is_a_function_of_its_index_alone():
    one = ShapeShowFilms(**SMALL, audio=True, text=True, question=True)
    other, forwards = pickle.loads(pickle.dumps(one)), [one[i] for i in range(3)]
    for i in (2, 0, 1, 1):
        for key, value in other[i].items():
            np.testing.assert_array_equal(value, forwards[i][key])
    rest = [ShapeShowFilms(split, seed=seed, **SMALL)[0] for split in SPLITS for seed in (0, 1)]
    assert len({item["video"].tobytes() for item in rest}) == len(rest)


def test_version_1_never_changes():
    film = ShapeShowFilms("test", seed=3).film(5)
    assert film.caption == GOLDEN[0] and film.captions[0] == GOLDEN[1]
    np.testing.assert_allclose(film.ends[:4], GOLDEN[2], atol=1e-4)
    np.testing.assert_allclose(film.video[100, 3::9, 7].astype(int), GOLDEN[3], atol=1)
    np.testing.assert_allclose(film.user_scores[:3, 200], GOLDEN[4], atol=1e-3)


def test_items_and_films_agree_and_are_typed():
    source = ShapeShowFilms(**SMALL, audio=True, text=True)
    item, film = source[4], source.film(4)
    assert set(item) == {"video", "times", "importance", "shot", "audio", "text"}
    assert item["video"].shape == (240, 8, 8, 3) and item["video"].dtype == np.uint8
    assert item["shot"].dtype == np.int32 and item["importance"].dtype == np.float32
    assert item["audio"].shape == (960_000,) and item["audio"].dtype == np.float32
    for key in ("video", "times", "importance", "shot", "audio"):
        np.testing.assert_array_equal(item[key], getattr(film, key))
        np.testing.assert_array_equal(item[key], film[key])
    assert VOCABULARY.decode(item["text"]) == " ".join(film.caption.split()[:64])
    assert source.caption(4) == film.caption and source.vocabulary is VOCABULARY
    assert set(ShapeShowFilms(**SMALL)[0]) == {"video", "times", "importance", "shot"}


def test_what_a_film_shows_depends_on_neither_rate_nor_size():
    slow, fast = (ShapeShowFilms(size=16, frames=n, fps=n / 60).film(2) for n in (240, 480))
    large = ShapeShowFilms(size=32, frames=240, fps=4.0).film(2)
    for key in ("video", "times", "shot", "importance", "user_scores"):
        fast_values = fast[key][:, ::2] if key == "user_scores" else fast[key][::2]
        np.testing.assert_array_equal(slow[key], fast_values)
    for other in (fast, large):
        assert (other.captions, other.caption, other.events) == (slow.captions, slow.caption, slow.events)
        np.testing.assert_array_equal(other.ends, slow.ends)
        np.testing.assert_array_equal(other.audio, slow.audio)
    small = large.video.astype(np.float32).reshape(240, 16, 2, 16, 2, 3).mean((2, 4))
    assert np.abs(small - slow.video).mean() < 2


# ---- shots ----


@settings(max_examples=12, deadline=None)
@given(index=st.integers(0, 511), seconds=st.floats(24, 90), fps=st.floats(1, 12))
def test_shots_follow_one_another_and_last_one_to_four_seconds(index, seconds, fps):
    frames = int(np.ceil(seconds * fps))
    source = ShapeShowFilms(size=8, frames=frames, fps=fps)
    film = source.film(index)
    lengths = np.diff(film.ends, prepend=0)
    assert film.ends[-1] == pytest.approx(frames / fps) and (np.abs(lengths - 2.5) <= 1.5 + 1e-4).all()
    assert (film.shots[1:, 0] == film.shots[:-1, 1]).all() and film.shots[0, 0] == 0
    assert film.shots[-1, 1] == frames and (film.shots[:, 1] > film.shots[:, 0]).all()
    np.testing.assert_array_equal(film.shot, np.repeat(np.arange(len(film.shots)), np.diff(film.shots)[:, 0]))
    assert len(film.captions) == len(film.sounds) == len(lengths) == len(film.dissolves) + 1
    assert len(film.audio) == round(16_000 * frames / fps) and np.abs(film.audio).max() <= 1
    assert 0 <= film.importance.min() and film.importance.max() <= 1


def test_films_have_about_24_shots_a_minute_and_some_dissolves(films):
    counts = [len(film.captions) for film in films]
    assert 20 <= min(counts) and max(counts) <= 30 and 22 < np.mean(counts) < 26
    assert 0.05 < np.concatenate([film.dissolves for film in films]).mean() < 0.3
    several = np.mean([" and " in caption for film in films for caption in film.captions])
    assert 0.2 < several < 0.5


def test_the_background_changes_where_a_cut_is_said_to_be_and_slowly_in_dissolves(films):
    for film in films:
        corner = film.video[:, 0, 0].astype(int)
        step = np.abs(np.diff(corner, axis=0)).max(-1)  # from a frame to the next
        flashing = np.zeros(480, bool)
        for event in film.events:
            flashing |= (
                (event.kind == "flash") & (film.times >= event.start) & (film.times <= event.end + 0.13)
            )
        soft = [end for end, is_soft in zip(film.ends[:-1], film.dissolves, strict=True) if is_soft]
        dissolving = np.zeros(480, bool)
        for end in soft:
            dissolving |= np.abs(film.times - end) <= 0.25 + 0.13
        quiet = ~(flashing | dissolving)[1:]
        cuts = np.zeros(479, bool)
        cuts[film.shots[1:, 0] - 1] = True
        assert not step[quiet & ~cuts].any()
        assert (step[quiet & cuts] > 0).mean() > 0.8
        for end in soft:
            near = np.flatnonzero(np.abs(film.times - end) < 0.25)
            if flashing[near].any() or len(near) < 4:
                continue
            before, after = corner[near[0] - 1], corner[near[-1] + 1]
            part = ((film.times[near] - end + 0.25) / 0.5)[:, None]
            np.testing.assert_allclose(corner[near], before + part * (after - before), atol=1.01)


# ---- events ----


def test_events_are_rare_and_each_has_a_shot_of_its_own(films):
    source = ShapeShowFilms(**SMALL)
    counts = collections.Counter()
    for i in range(60):
        film = source.film(i) if i < 10 else None
        said = source.caption(i)
        for kind in EVENTS:
            counts[kind, len(re.findall(rf"\b{kind} as", said))] += 1
        if film is None:
            continue
        assert len({event.shot for event in film.events}) == len(film.events) <= 6
        assert [event.start for event in film.events] == sorted(event.start for event in film.events)
        for event in film.events:
            first = film.ends[event.shot - 1] if event.shot else 0.0
            assert first - 1e-5 <= event.start and event.end <= film.ends[event.shot] + 1e-5
            assert f"{event.kind} as {film.captions[event.shot]}" in said
    assert set(counts) == {(kind, n) for kind in EVENTS for n in range(3)} and min(counts.values()) >= 8


def peaks(film, event):
    """Frames in which an event is at its heights, and those before and after it, in its shot."""
    since = film.times - event.start
    at = (np.abs(np.abs(since - 0.5) - 0.25) < 0.07) & (film.shot == event.shot)
    out = ((since < 0) | (since > 1)) & (film.shot == event.shot)
    for end, soft in zip(film.ends, [*film.dissolves, False], strict=True):
        out &= ~(soft & (np.abs(film.times - end) < 0.4))
    return at, out


def test_flashes_light_up_the_picture_and_pulses_swell_the_object():
    source, seen = ShapeShowFilms(size=24, frames=960, fps=16.0), collections.Counter()
    for i in range(12):
        film = source.film(i)
        for event in film.events:
            at, out = peaks(film, event)
            (colour, shape, phrase), *others = objects_of(film.captions[event.shot])
            if event.kind == "flash" and out.any():
                light = film.video.mean((1, 2, 3))
                assert light[at].min() > light[out].max() + 50
            elif (
                event.kind == "pulse" and out.any() and not others and phrase.startswith(("moves", "speeds"))
            ):
                corner = film.video[:, :1, :1].astype(int)
                area = (np.abs(film.video - corner).max(-1) > 90).sum((1, 2))
                assert area[at].mean() > 1.4 * area[out].mean()
            else:
                continue
            seen[event.kind] += 1
    assert seen["flash"] >= 5 and seen["pulse"] >= 2


def test_chimes_ring_out_of_the_sound_and_nothing_else_does(films):
    def ring(audio):
        power = np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) ** 2
        hertz = np.fft.rfftfreq(len(audio), 1 / 16_000)
        near = np.abs(hertz - 1568) < 10
        return power[near].sum() / power[np.abs(hertz - 1568) < 300].sum()

    heard = 0
    for film in films:
        for event in film.events:
            first = round(event.start * 16_000)
            part = ring(film.audio[first : first + 4_000])
            if event.kind == "chime" and SOUNDS[film.sounds[event.shot]] != "hiss":
                assert part > 0.5
                heard += 1
    assert heard >= 3


def test_importance_rises_at_events_and_with_objects(films):
    for film in films:
        for event in film.events:
            inside = (film.times >= event.start) & (film.times <= event.end)
            others = [e for e in film.events if e.kind == event.kind]
            assert np.ptp(film.importance[inside]) < 1e-6 and film.importance[inside].min() > 0.4
            assert len(others) <= 2
        plain = ~np.isin(film.shot, [event.shot for event in film.events])
        objects = np.array([len(objects_of(caption)) for caption in film.captions])[film.shot]
        np.testing.assert_allclose(film.importance[plain], 0.08 * objects[plain] - 0.06, atol=1e-6)


# ---- annotators ----


def test_annotators_score_with_noise_and_summarize_whole_shots_within_the_budget(films):
    for film in films:
        assert film.user_scores.shape == film.user_summary.shape == (ANNOTATORS, 480)
        assert 0 <= film.user_scores.min() and film.user_scores.max() <= 1
        assert np.corrcoef(film.user_scores.mean(0), film.importance)[0, 1] > 0.9
        assert len({row.tobytes() for row in film.user_summary}) > 1
        for scores, summary in zip(film.user_scores, film.user_summary, strict=True):
            assert 0.1 * 480 < summary.sum() <= BUDGET * 480
            whole = np.add.reduceat(summary, film.shots[:, 0]) / np.diff(film.shots)[:, 0]
            assert set(whole) <= {0.0, 1.0}
            means = np.add.reduceat(scores, film.shots[:, 0]) / np.diff(film.shots)[:, 0]
            # No shot that was left out fits in place of a worse one that was taken.
            sizes, room = np.diff(film.shots)[:, 0], 72 - summary.sum()
            for out in np.flatnonzero(whole == 0):
                for taken in np.flatnonzero(whole == 1):
                    if sizes[out] <= sizes[taken] + room:
                        assert means[out] <= means[taken] + 1e-6


def test_people_agree_more_than_chance_and_less_than_the_truth(films):
    rng, figures = np.random.default_rng(0), collections.defaultdict(list)
    for film in films:
        picks = np.arange(0, 480, 4)
        video = {name: film[name] for name in ("shots", "user_summary", "user_scores")}
        video |= {"picks": picks, "n_frames": 480}
        figures["chance"].append(judge(rng.random(120), video, BUDGET, "mean")["f"])
        figures["people"].append(human(video, "mean")["f"])
        figures["truth"].append(judge(film.importance[picks], video, BUDGET, "mean")["f"])
        figures["tau"].append(np.mean([kendall(film.importance[picks], s[picks]) for s in film.user_scores]))
    means = {name: np.mean(rows) for name, rows in figures.items()}
    assert means["chance"] + 0.25 < means["people"] < means["truth"] < 0.9
    assert 0.55 < means["people"] and means["tau"] > 0.5
    assert ShapeShowFilms().protocol["reduce"] == "mean" and ShapeShowFilms().protocol["budget"] == BUDGET


# ---- questions ----


def truth(text, film):
    """What a question's answer is, read off the film's ground truth by the question's words alone."""
    kinds = [event.kind for event in film.events]
    if match := re.fullmatch(r"how many (\w+?)e?s are there\?", text):
        return NUMBERS[kinds.count(match[1]) if match[1] in EVENTS else kinds.count(match[1] + "e")]
    if match := re.fullmatch(r"is there a (flash|pulse|chime)\?", text):
        return "yes" if match[1] in kinds else "no"
    shown = [[(c, s) for c, s, _ in objects_of(caption)] for caption in film.captions]
    if match := re.fullmatch(r"does the (.+) come before the (.+)\?", text):
        places = []
        for name in match.groups():
            if name in EVENTS:
                found = [event.shot for event in film.events if event.kind == name]
            else:
                found = [i for i, things in enumerate(shown) if tuple(name.split()) in things]
            assert len(found) == 1
            places += found
        return "yes" if places[0] < places[1] else "no"
    what, place = re.fullmatch(r"(.+) in the (.+)\?", text).groups()
    if place in ("first shot", "last shot"):
        shot = 0 if place == "first shot" else len(shown) - 1
    else:
        (shot,) = [event.shot for event in film.events if place == f"shot with the {event.kind}"]
    if what == "what sound is there":
        return SOUNDS[film.sounds[shot]]
    ((colour, shape, phrase),) = objects_of(film.captions[shot])
    if what == "which way does the object move":
        return re.fullmatch("moves (.+)", phrase)[1]
    if match := re.fullmatch(r"is there an? (\w+) object", what):
        return "yes" if match[1] == colour else "no"
    return {"what colour is the object": colour, "what shape is the object": shape}[what]


def test_answers_are_true_of_what_is_shown():
    source, kinds = ShapeShowFilms(**SMALL, audio=True, question=True), collections.Counter()
    for i in range(90):
        question, film, item = source.asked(i), source.film(i), source[i] if i < 10 else None
        assert truth(question.text, film) == question.answer, (i, question, film.captions)
        kinds[question.kind] += 1
        assert all(0 <= start < end <= 60 + 1e-6 for start, end in question.moments)
        assert question.moments or question.answer in ("no", "zero")
        if item:
            assert VOCABULARY.decode(item["question"]) + "?" == question.text
            assert (ANSWERS[item["answer"]], KINDS[item["kind"]]) == (question.answer, question.kind)
    assert set(kinds) == set(KINDS) and min(kinds.values()) >= 4


def test_the_question_alone_says_nothing(surprise, gain):
    source = ShapeShowFilms(**SMALL, audio=True, question=True, films=10_000)
    questions = [source.asked(i) for i in range(1000)]
    deviations, better = surprise(questions), gain(questions)
    assert set(deviations) == set(better) == set(KINDS)
    assert max(deviations.values()) < 4.5, deviations
    assert max(better.values()) < 4, better


def test_what_cannot_be_heard_is_not_asked():
    source = ShapeShowFilms(**SMALL, question=True)
    questions = [source.asked(i) for i in range(150)]
    assert {q.kind for q in questions} == set(KINDS) - {"sound"}
    assert not any("chime" in q.text for q in questions)
    with pytest.raises(ValueError, match="no questions are asked"):
        ShapeShowFilms(**SMALL).asked(0)


# ---- the object and its errors ----


def test_description_is_provenance_and_splits_have_their_lengths():
    source = ShapeShowFilms("test", **SMALL, films=100)
    settings = json.loads(json.dumps(source.description))
    assert settings.pop("source") == "shapeshow_films" and settings.pop("version") == 1
    np.testing.assert_array_equal(ShapeShowFilms(**settings)[12]["video"], source[12]["video"])
    assert [len(ShapeShowFilms(split, films=100)) for split in SPLITS] == [100, 13, 13]
    assert "films=100" in repr(source)
    for index in (-1, 13):
        for call in (source.__getitem__, source.film, source.caption):
            with pytest.raises(IndexError, match="0..12"):
                call(index)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "novel"}, "train, validation, test; got 'novel'"),
        (
            {"frames": 16, "fps": 16.0},
            "at least 24 seconds, such as data.frames=480, data.fps=8; got 16 frames",
        ),
        ({"frames": 100, "fps": 0.5}, "fps must be at least 1"),
        ({"fps": float("nan")}, "fps must be"),
        ({"size": 4}, "at least 8"),
        ({"seed": -1}, "seed"),
        ({"films": 0}, "films must be at least 1"),
    ],
)
def test_bad_settings_say_what_is_right(options, message):
    with pytest.raises(ValueError, match=message):
        ShapeShowFilms(**options)
