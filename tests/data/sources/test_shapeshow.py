import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vgm_jax.data.sources.shapeshow import COLOURS, MOTIONS, SHAPES, SOUNDS, SPLITS, ShapeShow

MOTION = {name: number for number, name in enumerate(MOTIONS)}
# Areas in squared radii, from the shapes' definitions.
AREAS = {
    "circle": 2.32,
    "square": 2.56,
    "triangle": 1.87,
    "star": 1.71,
    "cross": 2.2,
    "heart": 2.34,
    "ring": 1.96,
}


def find(motion: str, count: int, **options):
    """The first clips of a motion."""
    source, tiny = (
        ShapeShow(**options),
        ShapeShow(**options | {"size": 8, "sound": "classes", "audio": False}),
    )
    label = MOTION[motion]
    indices = (i for i in range(1000) if tiny[i]["label"] == label)
    return [source.clip(next(indices)) for _ in range(count)]


def mask(clip, item, tolerance: int = 30) -> np.ndarray:
    """Pixels [T, H, W] of an object's very colour."""
    return (np.abs(clip.video - 255 * np.array(item.rgb)) < tolerance).all(-1)


def chi_square(counts: np.ndarray) -> float:
    expected = counts.sum() / counts.size
    return float(((counts - expected) ** 2).sum() / expected)


def assert_uniform(counts: np.ndarray) -> None:
    freedom = counts.size - 1
    assert chi_square(counts) < freedom + 5 * math.sqrt(2 * freedom), counts


# ---- identity of clips ----


def test_a_clip_is_a_function_of_its_index_alone():
    one, other = ShapeShow(audio=True), pickle.loads(pickle.dumps(ShapeShow(audio=True)))
    forwards = [one[i] for i in range(6)]
    for i in (4, 0, 5, 2, 2, 1, 3):
        for key, value in other[i].items():
            np.testing.assert_array_equal(value, forwards[i][key])


def test_items_and_clips_agree_and_are_typed():
    source = ShapeShow(size=24, frames=10, fps=8, audio=True, label="both")
    item, clip = source[np.int64(11)], source.clip(11)
    assert item["video"].shape == (10, 24, 24, 3) and item["video"].dtype == np.uint8
    assert item["times"].dtype == np.float32 and item["label"].dtype == np.int32
    assert item["audio"].shape == (20_000,) and item["audio"].dtype == np.float32
    for key in ("video", "times", "audio"):
        np.testing.assert_array_equal(item[key], getattr(clip, key))
    assert item["label"] == clip.motion_and_sound == 4 * clip.motion + clip.sound
    assert source.class_names()[item["label"]] == f"{list(MOTIONS)[clip.motion]}, {SOUNDS[clip.sound]}"
    assert clip.caption == source.caption(11)
    thing = clip.objects[0]
    for value in (thing.x, thing.y, thing.radius, thing.angle):
        assert value.shape == (10,) and value.dtype == np.float32
    assert set(ShapeShow()[0]) == {"video", "times", "label"}


def test_splits_and_seeds_share_nothing():
    sources = [ShapeShow(split, seed=seed) for split in SPLITS for seed in (0, 1, 2**63)]
    videos = {source[i]["video"].tobytes() for source in sources for i in range(10)}
    assert len(videos) == 10 * len(sources)


def test_the_picture_does_not_depend_on_what_else_is_asked_for():
    plain = ShapeShow()
    for i in range(4):
        one = plain.clip(i)
        for options in ({"audio": True, "label": "both"}, {"sound": "synced"}, {"length": 50}):
            np.testing.assert_array_equal(ShapeShow(**options)[i]["video"], one.video)
        large = ShapeShow(size=64).clip(i)
        assert (large.caption, large.sound) == (one.caption, one.sound)
        np.testing.assert_array_equal(large.audio, one.audio)
        small = large.video.astype(np.float32).reshape(16, 32, 2, 32, 2, 3).mean((2, 4))
        assert np.abs(small - one.video).mean() < 2


GOLDEN = {  # index -> caption, motion, sound; column 16 of frame 11 at rows 0, 9, 18, 27; for VERSION 1
    0: ("a red heart speeds off", 11, 2, [[67, 67, 60], [227, 33, 39], [70, 70, 62], [72, 72, 63]]),
    7: ("an orange ring moves down", 3, 2, [[66, 70, 65], [71, 72, 63], [149, 101, 39], [81, 76, 60]]),
    123456: ("an orange heart spins", 9, 2, [[68, 59, 58], [42, 41, 39], [252, 135, 16], [252, 135, 16]]),
}


@pytest.mark.parametrize("index", GOLDEN)
def test_version_1_never_changes(index):
    clip = ShapeShow().clip(index)
    caption, motion, sound, pixels = GOLDEN[index]
    assert (clip.caption, clip.motion, clip.sound) == (caption, motion, sound)
    np.testing.assert_allclose(clip.video[11, ::9, 16].astype(int), pixels, atol=1)


def test_version_1_multi_never_changes():
    clip = ShapeShow("validation", seed=3, variant="multi", sound="synced").clip(5)
    assert clip.caption == "a pink circle speeds off and a green square falls"
    np.testing.assert_allclose(clip.events, [0.36961156, 0.78081006], atol=1e-6)
    sums = [[109, 171, 612, 97, 97], [111, 175, 612, 97, 97], [97, 274, 274, 97, 97]]
    np.testing.assert_allclose(clip.video[11, 3:20:7, 3::7].sum(-1, dtype=int), sums, atol=3)


# ---- distribution ----


def test_motion_and_sound_are_uniform_and_independent():
    source = ShapeShow(size=8, frames=1, label="both")
    labels = [int(source[i]["label"]) for i in range(2400)]
    assert_uniform(np.bincount(labels, minlength=source.num_classes))


@pytest.mark.parametrize("variant", ["single", "multi"])
def test_shapes_and_colours_are_uniform_and_only_the_spin_rule_ties_them_to_motion(variant):
    source = ShapeShow(size=8, frames=1, variant=variant)
    words = [source.caption(i).split(" and ")[0].split(" ", 3)[1:] for i in range(4000)]
    still = [(colour, shape) for colour, shape, phrase in words if phrase != "spins"]
    spinning = [shape for _, shape, phrase in words if phrase == "spins"]
    pairs = [list(COLOURS).index(colour) * len(SHAPES) + SHAPES.index(shape) for colour, shape in still]
    assert_uniform(np.bincount(pairs, minlength=len(COLOURS) * len(SHAPES)))
    assert set(spinning) == set(SHAPES) - {"circle", "ring"}
    assert_uniform(np.array([spinning.count(shape) for shape in set(spinning)]))


# ---- motion ----


@settings(max_examples=40, deadline=None)
@given(
    index=st.integers(0, 2**20 - 1),
    frames=st.integers(1, 40),
    fps=st.floats(0.5, 60),
    size=st.integers(8, 48),
    variant=st.sampled_from(["single", "multi"]),
)
def test_any_setting_makes_a_valid_clip(index, frames, fps, size, variant):
    clip = ShapeShow(frames=frames, fps=fps, size=size, variant=variant, sound="synced").clip(index)
    assert clip.video.shape == (frames, size, size, 3)
    assert len(clip.audio) == round(frames / fps * 16_000) and np.abs(clip.audio).max() <= 1
    assert ((clip.events >= 0) & (clip.events <= frames / fps)).all() and (np.diff(clip.events) >= 0).all()
    for thing in clip.objects:
        assert (thing.radius >= 0.09).all() and (thing.radius <= 0.285).all()
        for centre in (thing.x, thing.y):
            assert (centre - 0.5 * thing.radius >= 0.05).all() and (centre + 0.5 * thing.radius <= 0.95).all()
        if thing.motion == "bounce":
            assert len(clip.events) > 0


@pytest.mark.parametrize("motion", MOTIONS)
def test_the_object_stays_whole_inside_the_frame(motion):
    for clip in find(motion, 4):
        # An object over the border would change it from frame to frame, or show its colour there.
        rim = np.concatenate(
            [clip.video[:, 0], clip.video[:, -1], clip.video[:, :, 0], clip.video[:, :, -1]], 1
        )
        assert (rim == rim[:1]).all()
        assert not mask(clip, clip.objects[0])[:, [0, -1]].any()
        assert not mask(clip, clip.objects[0])[:, :, [0, -1]].any()


@pytest.mark.parametrize("motion", MOTIONS)
def test_motion_is_a_function_of_time(motion):
    index = next(i for i in range(1000) if ShapeShow(size=8)[i]["label"] == MOTION[motion])
    slow, fast = ShapeShow().clip(index), ShapeShow(frames=32, fps=32).clip(index)
    np.testing.assert_array_equal(slow.times, fast.times[::2])
    np.testing.assert_array_equal(slow.video, fast.video[::2])
    np.testing.assert_array_equal(slow.events, fast.events)
    np.testing.assert_array_equal(slow.audio, fast.audio)
    picked = ShapeShow().render_times(index, np.array([0.75, 0.25]))
    np.testing.assert_array_equal(picked.video, slow.video[[12, 4]])
    np.testing.assert_array_equal(picked.objects[0].x, slow.objects[0].x[[12, 4]])


@pytest.mark.parametrize("options", [{}, {"frames": 8, "fps": 2.0}, {"frames": 8, "fps": 32.0}])
@pytest.mark.parametrize("motion", ["left", "right", "up", "down", "grow", "shrink", "launch"])
def test_transits_span_the_clip_whatever_its_duration(motion, options):
    for clip in find(motion, 3, **options):
        thing, end = clip.objects[0], ShapeShow(**options).duration
        x, y, radius = (float(v[-1] - v[0]) * end / clip.times[-1] for v in (thing.x, thing.y, thing.radius))
        if motion in ("left", "right"):
            assert (x if motion == "right" else -x) >= 0.39 and y == 0
        elif motion in ("up", "down"):
            assert (y if motion == "down" else -y) >= 0.39 and x == 0
        elif motion == "launch":
            assert abs(x) >= 0.39 * clip.times[-1] / end and y == 0
        else:
            assert (radius if motion == "grow" else -radius) >= 0.13 and x == y == 0


def test_circling_has_the_sense_it_is_named_for():
    for motion, sign in (("clockwise", 1), ("counterclockwise", -1)):
        for clip in find(motion, 4):
            dx, dy = np.diff(clip.objects[0].x), np.diff(clip.objects[0].y)
            turn = dx[:-1] * dy[1:] - dx[1:] * dy[:-1]  # x right, y down: positive is clockwise to the eye
            assert (sign * turn > 0).all()
            assert np.hypot(dx, dy).sum() > 0.5


def test_only_spinning_turns_and_it_shows():
    senses = set()
    for clip in find("spin", 8):
        angle = clip.objects[0].angle
        senses.add(float(np.sign(angle[-1])))
        assert 0.5 <= abs(angle[-1]) / (2 * math.pi * clip.times[-1]) <= 1
        assert min(np.abs(np.diff(clip.video.astype(int), axis=0)).max((1, 2, 3))) > 25
    assert senses == {-1.0, 1.0}
    for motion in set(MOTIONS) - {"spin"}:
        assert not find(motion, 1)[0].objects[0].angle.any()


def test_a_bounce_keeps_its_speed_and_reflects_at_its_events():
    for clip in find("bounce", 6, frames=200, fps=100.0):
        thing = clip.objects[0]
        velocity = np.stack([np.diff(thing.x), np.diff(thing.y)])
        middle = 0.5 * (clip.times[1:] + clip.times[:-1])
        free = np.abs(middle[:, None] - clip.events).min(1) > 0.01
        speed = np.hypot(*velocity[:, free])
        assert speed.std() < 1e-3 * speed.mean()
        assert (np.abs(velocity[:, free]) > 0.3 * speed).all(), "diagonal"
        flips = np.sign(velocity[:, free])
        assert (np.abs(np.diff(flips)) > 0).sum() == len(clip.events)


@pytest.mark.parametrize("options", [{}, {"frames": 4}, {"frames": 30, "fps": 10.0}])
def test_a_bounce_hits_a_wall_while_one_looks(options):
    for clip in find("bounce", 8, **options):
        assert clip.events[0] <= 0.7 * min(ShapeShow(**options).duration, 1)


def test_a_fall_speeds_up_and_bounces_ever_lower():
    for clip in find("fall", 6, frames=200, fps=200.0):
        y = clip.objects[0].y
        hits = [int(round(event * 200)) for event in clip.events]
        assert len(hits) >= 2 and (clip.objects[0].x == clip.objects[0].x[0]).all()
        first = np.diff(y[: hits[0]])
        assert first[0] < 0.1 * first[-1] and (np.diff(first) > -1e-6).all()
        floor = y.max()
        tops = [floor - y[0]] + [
            floor - y[a:b].min() for a, b in zip(hits, hits[1:] + [200], strict=True) if b > a + 20
        ]
        assert tops[0] > 0.35
        for higher, lower in zip(tops, tops[1:], strict=False):
            assert lower < 0.4 * higher
        for hit in hits:
            assert floor - y[min(hit, 199)] < 0.03


def test_fall_and_launch_have_an_arrow_of_time():
    for clip in find("launch", 6):
        step = np.abs(np.diff(clip.objects[0].x))
        assert (np.diff(step) > 0).all() and step[-1] > 10 * step[0]
    for clip in find("fall", 6):
        drift = clip.objects[0].y
        assert (
            drift[8:].mean() > drift[:8].mean() + 0.1
        )  # it ends on the floor; reversed, it would end at the top
    assert {np.sign(c.objects[0].x[-1] - c.objects[0].x[0]) for c in find("launch", 8)} == {-1.0, 1.0}


# ---- picture ----


def test_shapes_have_their_true_area_and_colour():
    source, seen = ShapeShow(size=96, frames=4, fps=4.0), set()
    for i in range(40):
        clip = source.render_times(i, np.array([0.0, 0.4]), audio=False)
        thing = clip.objects[0]
        seen.add(thing.shape)
        area = mask(clip, thing, 60).mean((1, 2)) / thing.radius**2
        np.testing.assert_allclose(area, AREAS[thing.shape], rtol=0.12)
        assert np.abs(np.array(thing.rgb) - COLOURS[thing.colour]).max() <= 0.03 + 1e-9
        if thing.shape != "ring":
            for t in range(2):
                pixel = clip.video[t, int(thing.y[t] * 96), int(thing.x[t] * 96)]
                np.testing.assert_allclose(pixel, 255 * np.array(thing.rgb), atol=1)
    assert seen == set(SHAPES)


def test_the_mask_is_centred_on_the_truth():
    for i in range(30):
        clip = ShapeShow(size=96).render_times(i, np.array([0.5]), audio=False)
        thing = clip.objects[0]
        rows, columns = np.nonzero(mask(clip, thing, 60)[0])
        assert abs((columns.mean() + 0.5) / 96 - thing.x[0]) < 0.008
        assert abs((rows.mean() + 0.5) / 96 - thing.y[0]) < 0.008


def test_backgrounds_are_still_muted_and_far_from_every_object():
    for i in range(60):
        clip = ShapeShow().clip(i)
        edge = np.concatenate([clip.video[:, 0], clip.video[:, -1]], 1).astype(int)
        assert (edge == edge[0]).all()
        assert 10 <= edge.min() and edge.max() <= 110
        assert np.abs(edge - 255 * np.array(clip.objects[0].rgb)).max(-1).min() > 60


def test_multi_draws_one_to_three_objects_and_the_last_hides_the_others():
    source, counts, overlaps = ShapeShow(variant="multi", size=48), [], 0
    for i in range(60):
        clip = source.clip(i)
        counts.append(len(clip.objects))
        front = clip.objects[-1]
        assert clip.caption.startswith(
            (f"a {front.colour} {front.shape}", f"an {front.colour} {front.shape}")
        )
        assert clip.caption.count(" and ") == len(clip.objects) - 1
        assert clip.motion == MOTION[front.motion]
        assert len({thing.colour for thing in clip.objects}) == len(clip.objects)
        if front.shape == "ring":
            continue
        row, column = (front.y * 48).astype(int), (front.x * 48).astype(int)
        centre = clip.video[np.arange(16), row, column]
        np.testing.assert_allclose(centre, np.tile(255 * np.array(front.rgb), (16, 1)), atol=1)
        for back in clip.objects[:-1]:
            overlaps += (np.hypot(back.x - front.x, back.y - front.y) < 0.05).sum()
    assert set(counts) == {1, 2, 3}
    assert overlaps > 0


# ---- sound ----


def strongest(audio: np.ndarray) -> float:
    """Frequency of the strongest component, Hz."""
    return float(np.argmax(np.abs(np.fft.rfft(audio * np.hanning(len(audio))))) * 16_000 / len(audio))


def recognise(audio: np.ndarray) -> str:
    power = np.abs(np.fft.rfft(audio)) ** 2 + 1e-9
    if np.abs(audio).max() > 8 * np.sqrt(np.mean(audio**2)):
        return "ticks"
    if np.exp(np.log(power).mean()) / power.mean() > 0.2:
        return "hiss"
    return "chirp" if strongest(audio[12_000:]) > 1.2 * strongest(audio[:4_000]) else "beep"


def test_the_four_sounds_are_told_apart_by_ear():
    source = ShapeShow(size=8, frames=1, fps=1.0, audio=True, label="sound")
    assert source.class_names() == SOUNDS
    for i in range(100):
        item = source[i]
        assert np.abs(item["audio"]).max() <= 1 and np.sqrt(np.mean(item["audio"] ** 2)) > 0.01
        assert recognise(item["audio"]) == SOUNDS[item["label"]]


def test_synced_clicks_start_at_the_events_and_nowhere_else():
    for motion in ("bounce", "fall", "left"):
        for clip in find(motion, 4, sound="synced"):
            loud = np.flatnonzero(np.abs(np.diff(clip.audio, prepend=0)) > 0.3) / 16_000
            onsets = loud[np.diff(loud, prepend=-1) > 0.006]
            events = clip.events[np.diff(clip.events, prepend=-1) > 0.012]
            assert len(onsets) >= len(events) and bool(len(loud)) == bool(len(clip.events))
            for event in events:
                assert np.abs(onsets - event).min() <= 0.001
            for onset in onsets:
                assert np.abs(clip.events - onset).min() <= 0.006


@pytest.mark.parametrize("motion", ["up", "down", "clockwise"])
def test_synced_pitch_follows_height(motion):
    for clip in find(motion, 3, sound="synced", frames=32, fps=16.0):
        y = clip.objects[0].y
        for frame in (3, 15, 28):
            start = int(clip.times[frame] * 16_000)
            heard = strongest(clip.audio[start - 600 : start + 600])
            assert abs(math.log2(heard / (220 * 4 ** (1 - y[frame])))) < 0.12
        assert clip.sound == clip.motion_and_sound == -1


# ---- the object and its errors ----


def test_description_is_provenance():
    source = ShapeShow("test", size=16, seed=3, variant="multi", label="both")
    settings = json.loads(json.dumps(source.description))
    assert settings["version"] == 1 and settings["split"] == "test" and settings["length"] == 8192
    settings = {key: value for key, value in settings.items() if key not in ("source", "version")}
    np.testing.assert_array_equal(ShapeShow(**settings)[5]["video"], source[5]["video"])
    assert source.num_classes == 48 and ShapeShow().num_classes == 12
    assert [len(ShapeShow(split)) for split in SPLITS] == [2**20, 8192, 8192]


@pytest.mark.parametrize("index", [-1, 10, 10**30])
def test_an_index_out_of_range_is_an_index_error(index):
    source = ShapeShow(length=10)
    for call in (source.__getitem__, source.clip, source.caption):
        with pytest.raises(IndexError, match="0..9"):
            call(index)
    assert len(list(source)) == len(source) == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "valid"}, "train, validation, test"),
        ({"variant": "double"}, "single, multi"),
        ({"sound": "none"}, "classes, synced"),
        ({"label": "shape"}, "motion, sound, both, look"),
        ({"sound": "synced", "label": "sound"}, "label must be motion"),
        ({"sound": "synced", "label": "both"}, "label must be motion"),
        ({"size": 7}, "at least 8"),
        ({"frames": 0}, "at least 1"),
        ({"fps": 0}, "positive"),
        ({"fps": float("nan")}, "positive"),
        ({"seed": -1}, "at least 0"),
        ({"length": -1}, "at least 0"),
    ],
)
def test_bad_settings_say_what_is_right(options, message):
    with pytest.raises(ValueError, match=message):
        ShapeShow(**options)


@pytest.mark.parametrize("times", [[], [-0.1], [1.1], [float("nan")], [[0.0]]])
def test_times_outside_the_clip_are_an_error(times):
    with pytest.raises(ValueError, match="times"):
        ShapeShow().render_times(0, times)


def test_look_and_track_are_the_front_most_objects():
    plain, source = (
        ShapeShow(variant="multi", size=16, frames=4, **o) for o in ({}, {"label": "look", "track": True})
    )
    for i in range(40):
        item, front = source[i], source.clip(i).objects[-1]
        assert source.class_names()[item["label"]] == f"{front.colour} {front.shape}, {front.motion}"
        track = np.stack([front.x, front.y, front.radius], -1)
        assert item["track"].dtype == np.float32 and np.array_equal(item["track"], track)
        assert np.array_equal(item["video"], plain[i]["video"]) and "track" not in plain[i]
    assert source.num_classes == len(SHAPES) * len(COLOURS) * len(MOTIONS)
    assert ShapeShow(sound="synced", label="look")[0]["label"] >= 0, "needs no class of sound"


def test_a_layout_says_what_is_in_each_cell():
    """Of clips of several objects: each that is seen, in its own colour, and nothing else."""
    source = ShapeShow(variant="multi", size=64, layout=4)
    plain = ShapeShow(variant="multi", size=64)
    told = 0
    for index in range(40):
        item, clip = source[index], plain.clip(index)
        np.testing.assert_array_equal(item["video"], clip.video)
        layout = item["layout"]
        assert layout.shape == (16, 4, 4, 4) and layout.dtype == np.float32
        there = {(thing.shape, thing.colour): thing for thing in clip.objects}
        for step, row, column in np.argwhere(layout[..., 0] > 0):
            shape, colour, x, y = layout[step, row, column]
            thing = there[tuple(SHAPES)[int(shape) - 1], tuple(COLOURS)[int(colour) - 1]]
            at = (column + (x + 1) / 2) / 4, (row + (y + 1) / 2) / 4
            np.testing.assert_allclose(at, (thing.x[step], thing.y[step]), atol=1e-5)
            told += 1
        front, alone = clip.objects[-1], (layout[..., 0] > 0).sum((1, 2))
        colours = layout[..., 1] == list(COLOURS).index(front.colour) + 1
        assert (colours.sum((1, 2)) == 1).all()  # nothing is in front of it
        assert (alone <= len(clip.objects)).all() and (len(clip.objects) > 1 or (alone == 1).all())
        assert (layout[layout[..., 0] == 0] == 0).all()
    assert told > 40 * 16 * 1.5  # few are hidden
    assert ShapeShow(layout=4).description["layout"] == 4 and "layout" not in plain.description
    with pytest.raises(ValueError, match="layout must be at least 0"):
        ShapeShow(layout=-1)
