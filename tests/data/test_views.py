import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgm_jax.data.sources import make_source
from vgm_jax.data.sources.shapeshow import LABELS, MOTIONS, ShapeShow
from vgm_jax.data.views import MIRRORED, PLAIN, REVERSED, Viewed, label_views, mirror_labels, mirror_words


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a red circle moves left", "a red circle moves right"),
        ("Left hand, then RIGHT hand", "Right hand, then LEFT hand"),
        ("a heart circles clockwise", "a heart circles counterclockwise"),
        ("turns Anticlockwise", "turns Clockwise"),
        ("counter-clockwise on the leftmost side", "clockwise on the rightmost side"),
        ("a left-handed man walks rightwards", "a right-handed man walks leftwards"),
        ("TurnLeft", "TurnRight"),
        ("turn_left_fast", "turn_right_fast"),
        ("on the left the man waits", "on the right the man waits"),
        ("Pulling something from left to right", "Pulling something from right to left"),
        ("bright light, a cleft, rights and lefty", "bright light, a cleft, rights and lefty"),
        ("", ""),
    ],
)
def test_words_of_the_other_side(text, expected):
    assert mirror_words(text) == expected


@pytest.mark.parametrize(
    "text", ["she does it right now", "he has left", "who left the room", "all right", "leftovers on a plate"]
)
def test_words_that_may_be_no_side_are_not_touched(text):
    assert mirror_words(text) is None


PHRASES = st.lists(
    st.sampled_from("a the man moves left right Left RIGHT clockwise counterclockwise up and, 3".split()),
    max_size=9,
).map(" ".join)


@given(PHRASES)
def test_mirroring_words_twice_changes_nothing(text):
    once = mirror_words(text)  # None: "moves right the" is clear, "moves left the" is not
    assert once is None or mirror_words(once) in (text, None)


def test_classes_by_their_names():
    names = ("turn left", "jump", "Turn Right", "left alone", "right hook", "circles clockwise")
    assert mirror_labels(names).tolist() == [2, 1, 0, -1, -1, -1]
    assert mirror_labels(()).shape == (0,)


@given(st.data())
def test_views_are_a_group(data):
    """Seen in one way and then in another is seen in the exclusive or of both."""
    n = data.draw(st.integers(1, 6))

    def exchange():
        table = np.arange(n, dtype=np.int32)
        order = data.draw(st.permutations(range(n)))
        for a, b in zip(order[::2], order[1::2], strict=False):
            if data.draw(st.booleans()):
                table[[a, b]] = b, a
            elif data.draw(st.booleans()):
                table[[a, b]] = -1
        return table

    mirror = exchange()
    reverse = np.arange(n, dtype=np.int32) if data.draw(st.booleans()) else mirror.copy()
    views = label_views(mirror, reverse)
    assert views.shape == (n, 4) and np.array_equal(views[:, PLAIN], np.arange(n))
    for label in range(n):
        for way in range(4):
            for other in (MIRRORED, REVERSED):
                seen = views[label, way]
                if seen >= 0 and views[seen, other] >= 0 and views[label, way ^ other] >= 0:
                    assert views[seen, other] == views[label, way ^ other]
    assert np.array_equal(views[:, MIRRORED], mirror) and np.array_equal(views[:, REVERSED], reverse)


def test_tables_that_are_no_exchange_are_refused():
    with pytest.raises(ValueError, match="twice must be of its own class again"):
        label_views(np.array([1, 2, 0]), np.array([0, 1, 2]))


def same_motion(name, x, y, radius):
    """Whether a track (frame sides, 16 frames) is of the named motion, told by what defines that motion."""
    dx, dy, dr = x[-1] - x[0], y[-1] - y[0], radius[-1] - radius[0]
    across, down = x - x.mean(), y - y.mean()
    turn = np.sum(across[:-1] * down[1:] - across[1:] * down[:-1])  # positive clockwise, y being down
    still = np.ptp(x) < 1e-6 and np.ptp(y) < 1e-6
    round_ = np.ptp(np.hypot(across, down)) < 0.35 * np.hypot(across, down).max() and not still
    return {
        "left": dx < -0.2 and abs(dy) < 1e-5,
        "right": dx > 0.2 and abs(dy) < 1e-5,
        "up": dy < -0.2 and abs(dx) < 1e-5,
        "down": dy > 0.2 and abs(dx) < 1e-5,
        "clockwise": round_ and turn > 0,
        "counterclockwise": round_ and turn < 0,
        "grow": dr > 0.05,
        "shrink": dr < -0.05,
    }[name]


@pytest.mark.parametrize("way", [MIRRORED, REVERSED])
def test_shapeshows_labels_are_those_of_what_the_clip_then_shows(way):
    """By trajectories: a mirrored or reversed track is of the motion that the view names."""
    source = ShapeShow(track=True)
    views, names, seen = Viewed(source).views, tuple(MOTIONS), set()
    plain = ("left", "right", "up", "down", "clockwise", "counterclockwise", "grow", "shrink")
    for i in range(150):
        item = source[i]
        motion, becomes = names[item["label"]], views[item["label"], way]
        if motion not in plain:
            continue
        x, y, radius = item["track"].T
        assert same_motion(motion, x, y, radius)
        x, y, radius = (1 - x, y, radius) if way == MIRRORED else (x[::-1], y[::-1], radius[::-1])
        assert same_motion(names[becomes], x, y, radius), (motion, names[becomes])
        seen.add(motion)
    assert seen == set(plain)


def test_what_falls_does_not_come_back():
    views, names = Viewed(ShapeShow()).views, list(MOTIONS)
    for motion in ("fall", "launch"):
        label = names.index(motion)
        assert views[label].tolist() == [label, label, -1, -1]
    for motion in ("bounce", "spin"):
        label = names.index(motion)
        assert views[label].tolist() == [label] * 4
    sounds = Viewed(ShapeShow(label="sound")).views
    assert sounds.tolist() == [[0, 0, 0, 0], [1, 1, -1, -1], [2, 2, -1, -1], [3, 3, 3, 3]]


@pytest.mark.parametrize("label", LABELS)
def test_every_label_of_shapeshow_has_views_of_its_parts(label):
    source = ShapeShow(label=label)
    views, names = Viewed(source).views, source.class_names()
    swap = {
        "left": "right",
        "right": "left",
        "clockwise": "counterclockwise",
        "counterclockwise": "clockwise",
    }
    for name, row in zip(names, views, strict=True):
        mirrored = ", ".join(swap.get(part, part) for part in name.split(", "))
        assert names[row[MIRRORED]] == mirrored
        never = {"fall", "launch", "chirp", "ticks"} & set(name.split(", "))
        assert (row[REVERSED] < 0) == bool(never)


def test_captions_are_mirrored_with_the_scene():
    source = ShapeShow(variant="multi")
    for i in range(30):
        clip = source.clip(i)
        names = [o.motion for o in reversed(clip.objects)]
        swap = {
            "left": "right",
            "right": "left",
            "clockwise": "counterclockwise",
            "counterclockwise": "clockwise",
        }
        expected = " and ".join(
            phrase.rsplit(" ", 1)[0] + " " + swap[m] if m in swap else phrase
            for phrase, m in zip(clip.caption.split(" and "), names, strict=True)
        )
        assert mirror_words(clip.caption) == expected


class Named:
    description = {"source": "named"}

    def __init__(self, *names, **tables):
        self.names = names
        vars(self).update(tables)

    def class_names(self):
        return self.names

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        return {"video": np.zeros((2, 4, 4, 3), np.uint8), "label": np.int32(index)}


def test_a_source_says_what_it_knows():
    declared = Viewed(Named("a", "b", mirror_labels=np.array([1, 0]), reverse_labels=np.array([0, 1])))
    assert declared[0]["label_views"].tolist() == [0, 1, 0, 1] and declared[1]["label"] == 1
    silent = Viewed(Named("open left door", "open right door", "sit"))
    assert [silent[i]["label_views"].tolist() for i in range(3)] == [
        [0, 1, -1, -1],
        [1, 0, -1, -1],
        [2, 2, -1, -1],
    ]
    assert silent.description == {"source": "named"} and len(silent) == 3
    assert silent.check(("flip",)) is silent
    with pytest.raises(ValueError, match="data.augment has 'reverse', but none of the 3 classes allows it"):
        silent.check(("flip", "reverse"))


def test_labels_that_no_class_is_named_for():
    """Such as numbers without names, or -1 for a class that is kept secret."""
    with pytest.raises(ValueError, match="clip 0 has label 0, but 0 classes are named: .*; take 'flip'"):
        Viewed(Named(mirror_labels=None))[0]

    class Secret(Named):
        def __getitem__(self, index):
            return super().__getitem__(index) | {"label": np.int32(-1)}

    with pytest.raises(ValueError, match="clip 1 has label -1, but 2 classes are named"):
        Viewed(Secret("sit", "stand"))[1]


def test_only_training_that_needs_them_has_views(tiny):
    data = tiny().data
    assert "label_views" not in make_source(data, "train")[0]
    data.augment = ("colour", "flip")
    assert make_source(data, "train")[0]["label_views"].shape == (4,)
    assert "label_views" not in make_source(data, "validation")[0]


def test_further_questions_are_not_mirrored():
    asked = Viewed(ShapeShow("train", question=True, more_questions=2))
    with pytest.raises(ValueError, match="'flip', but clips come with more questions, .*more_questions=0"):
        asked.check(("flip",))
    assert asked.check(("colour",)) is asked
