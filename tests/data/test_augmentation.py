import jax
import numpy as np
import pytest

from vgm_jax.data.augmentation import (
    AUGMENTATIONS,
    BRIGHTNESS,
    CUT,
    IN_LOOK,
    IN_PLACE,
    IN_TIME,
    SHIFT,
    SPEED,
    Augmentation,
    backwards,
    mirrored,
)
from vgm_jax.data.sources.shapeshow import MOTIONS, ShapeShow
from vgm_jax.data.views import MIRRORED, Viewed

NAMES = tuple(MOTIONS)


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def noise(count, frames=3, height=16, width=24, channels=3, seed=0):
    video = np.random.default_rng(seed).integers(0, 256, (count, frames, height, width, channels), np.uint8)
    return {"video": video, "times": np.tile(np.arange(frames, dtype=np.float32) ** 2 / 8, (count, 1))}


@pytest.fixture(scope="module")
def shapes():
    """A batch of ShapeShow with views, tracks and 4 frames."""
    source = Viewed(ShapeShow(size=16, frames=8, fps=8.0, track=True))
    items = [source[i] for i in range(60)]
    return {name: np.stack([item[name] for item in items]) for name in items[0]}


def run(names, batch, each):
    return jax.tree.map(np.asarray, jax.jit(Augmentation(names))(batch, each))


# What all have in common


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_is_of_a_clip_and_its_key_alone(name, shapes):
    """So that sharding changes nothing; uint8 stays uint8; something happens; what is not named stays."""
    each = keys(60)
    whole, part = run([name], shapes, each), run([name], {k: v[40:] for k, v in shapes.items()}, each[40:])
    assert set(whole) == set(shapes)
    for field in shapes:
        assert whole[field].dtype == shapes[field].dtype and whole[field].shape == shapes[field].shape
        np.testing.assert_allclose(part[field].astype(float), whole[field][40:].astype(float), atol=1.001)
    field = "times" if name == "speed" else "video"
    assert not np.array_equal(whole[field], shapes[field])
    untouched = {"speed": ("video", "label"), "flip": ("times",), "reverse": ()}.get(name, ("times", "label"))
    assert all(np.array_equal(whole[field], shapes[field]) for field in untouched)
    assert not np.array_equal(run([name], shapes, keys(60, 1))[field], whole[field])


@pytest.mark.parametrize("name", [*IN_PLACE, "colour", "cutout"])
def test_all_frames_of_a_clip_change_alike(name):
    one = noise(12, frames=1)
    still = {"video": np.repeat(one["video"], 3, 1), "times": np.zeros((12, 3), np.float32)}
    video = run([name], still, keys(12))["video"]
    assert np.array_equal(video, np.repeat(video[:, :1], 3, 1))


def test_kinds_make_up_the_whole_and_names_draw_apart(shapes):
    names, each = ("colour", "flip", "speed", "cutout", "flip"), keys(60)
    augment = Augmentation(names)
    by_kind = augment.in_look(augment.in_place(augment.in_time(shapes, each), each), each)
    whole = augment(shapes, each)
    for field in shapes:
        assert np.array_equal(by_kind[field], whole[field])
    assert {*IN_TIME, *IN_PLACE, *IN_LOOK} == set(AUGMENTATIONS)
    once, twice = run(["flip"], shapes, each), run(["flip", "flip"], shapes, each)
    assert not np.array_equal(once["video"], twice["video"]), "each draws for itself"
    assert not np.array_equal(twice["video"], shapes["video"])
    assert Augmentation()(shapes, each) is shapes


def test_unknown_names():
    with pytest.raises(ValueError, match="data.augment has 'flop', which is unknown; choose from flip, crop"):
        Augmentation(("flip", "flop"))


# Sides and direction of time


@pytest.mark.parametrize("change", [mirrored, backwards])
def test_twice_is_nothing(change, shapes):
    both = jax.vmap(lambda clip: change(change(clip)))(shapes)
    for field in shapes:
        np.testing.assert_allclose(both[field], shapes[field], atol=1e-6)


def test_half_are_flipped_whole_and_labelled_as_they_then_are(shapes):
    found = run(["flip"], shapes, keys(60))
    same = np.all(found["video"] == shapes["video"], axis=(1, 2, 3, 4))
    other = np.all(found["video"] == shapes["video"][:, :, :, ::-1], axis=(1, 2, 3, 4))
    assert np.all(same ^ other) and 18 < other.sum() < 42
    swap = {
        "left": "right",
        "right": "left",
        "clockwise": "counterclockwise",
        "counterclockwise": "clockwise",
    }
    for before, after, flipped in zip(shapes["label"], found["label"], other, strict=True):
        name = NAMES[before]
        assert NAMES[after] == (swap.get(name, name) if flipped else name)
    assert {NAMES[label] for label in shapes["label"][other]} >= {"left", "right"}
    np.testing.assert_allclose(found["track"][other][:, :, 0], 1 - shapes["track"][other][:, :, 0], rtol=1e-6)
    assert np.array_equal(found["track"][same], shapes["track"][same])


def test_only_what_has_a_way_back_is_reversed(shapes):
    found = run(["reverse"], shapes, keys(60))
    back = np.all(found["video"] == shapes["video"][:, ::-1], axis=(1, 2, 3, 4))
    same = np.all(found["video"] == shapes["video"], axis=(1, 2, 3, 4))
    swap = {"left": "right", "up": "down", "clockwise": "counterclockwise", "grow": "shrink"}
    swap |= {b: a for a, b in swap.items()}
    seen = set()
    for i in range(60):
        name = NAMES[shapes["label"][i]]
        seen.add((name, bool(back[i])))
        assert back[i] ^ same[i]
        assert NAMES[found["label"][i]] == (swap.get(name, name) if back[i] else name)
        track = shapes["track"][i]
        assert np.array_equal(found["track"][i], track[::-1] if back[i] else track)
    assert {("left", True), ("fall", False), ("launch", False)} <= seen
    assert 10 < back.sum() < 40
    assert not {("fall", True), ("launch", True)} & seen


def test_both_changes_add_up(shapes):
    found = run(["reverse", "flip"], shapes, keys(60))
    views = shapes["label_views"]
    ways = set()
    for i in range(60):
        clip = {k: v[i] for k, v in shapes.items()}
        for way in range(4):
            other = backwards(clip) if way & 2 else clip
            other = mirrored(other) if way & MIRRORED else other
            if np.array_equal(other["video"], found["video"][i]):
                assert found["label"][i] == views[i, way] >= 0
                assert np.array_equal(found["label_views"][i], views[i][np.arange(4) ^ way])
                ways.add(way)
                break
        else:
            raise AssertionError("a clip is none of its four views")
    assert ways == {0, 1, 2, 3}


def test_texts_follow_as_labels_do():
    """Text that has no words for a view (-1) keeps its clip from being seen so."""
    batch = noise(40)
    text = np.arange(40, dtype=np.int32)[:, None] + np.array([100, 200], np.int32)
    views = np.stack([text, text + 1000, np.full_like(text, -1), np.full_like(text, -1)], 1)
    views[::4, 1] = -1
    found = run(["reverse", "flip"], batch | {"text": text, "text_views": views}, keys(40))
    flipped = found["text"][:, 0] >= 1000
    assert flipped.any() and not flipped[::4].any() and np.array_equal(found["text"] % 1000, text)
    expected = np.where(flipped[:, None, None, None, None], batch["video"][:, :, :, ::-1], batch["video"])
    assert np.array_equal(found["video"], expected), "and nothing was reversed"


def test_labels_without_views_are_not_guessed():
    batch = noise(2) | {"label": np.zeros(2, np.int32)}
    for name in ("flip", "reverse"):
        with pytest.raises(ValueError, match="clips have 'label' but no 'label_views'"):
            Augmentation([name])(batch, keys(2))
    assert run(["colour"], batch, keys(2))["label"].tolist() == [0, 0]


def test_time_runs_backwards_in_all_that_has_a_time():
    batch = noise(30)
    sound = np.random.default_rng(1).normal(size=(30, 12)).astype(np.float32)
    shot = np.tile(np.array([0, 0, 1], np.int32), (30, 1))
    found = run(["reverse"], batch | {"audio": sound, "shot": shot, "importance": batch["times"]}, keys(30))
    back = np.all(found["video"] == batch["video"][:, ::-1], axis=(1, 2, 3, 4))
    assert 5 < back.sum() < 25
    assert np.array_equal(found["audio"][back], sound[back][:, ::-1])
    np.testing.assert_allclose(found["times"][back], [[0, 3 / 8, 1 / 2]] * back.sum())
    np.testing.assert_allclose(found["times"][~back], batch["times"][~back])
    np.testing.assert_allclose(found["importance"][back], batch["times"][back][:, ::-1])
    assert np.array_equal(found["shot"][back], [[0, 1, 1]] * back.sum())


def test_speed_tells_the_time():
    batch = noise(200)
    batch["times"] += 2.0
    found = run(["speed"], batch, keys(200))["times"]
    factor = (batch["times"] - 2)[:, 2] / (found - 2)[:, 2]
    assert 1 / SPEED <= factor.min() < 0.85 and 1.2 < factor.max() <= SPEED
    np.testing.assert_allclose(found, 2 + (batch["times"] - 2) / factor[:, None], rtol=1e-5)
    assert abs(np.log(factor).mean()) < 0.03
    with pytest.raises(ValueError, match="'speed', but the clips have sound"):
        Augmentation(["speed"])(batch | {"audio": np.zeros((200, 9), np.float32)}, keys(200))


# Places


def centred(video):
    """Where a bright spot is, in frame sides: [B T 2], x and y."""
    weight = video[..., 0].astype(float)
    h, w = weight.shape[2:]
    x = (weight * (np.arange(w) + 0.5)).sum((2, 3)) / weight.sum((2, 3)) / w
    y = (weight * (np.arange(h) + 0.5)[:, None]).sum((2, 3)) / weight.sum((2, 3)) / h
    return np.stack([x, y], -1)


@pytest.mark.parametrize("name", ["flip", "crop", "translation"])
def test_tracks_move_with_what_they_follow(name):
    """A soft spot, away from the edges, is where its track says, before and after."""
    h, w, count = 32, 48, 40
    place = np.random.default_rng(0).uniform(0.45, 0.55, (count, 2, 2))
    x, y = (np.arange(n) + 0.5 for n in (w, h))
    apart = (x[None, :] - w * place[..., 0, None, None]) ** 2 + (
        y[:, None] - h * place[..., 1, None, None]
    ) ** 2
    video = np.repeat((255 * np.exp(-apart / 8))[..., None], 3, -1).round().astype(np.uint8)
    track = np.concatenate([place, np.full((count, 2, 1), 0.1)], -1).astype(np.float32)
    np.testing.assert_allclose(centred(video), place, atol=0.003)
    found = run(
        [name], {"video": video, "times": np.zeros((count, 2), np.float32), "track": track}, keys(count)
    )
    np.testing.assert_allclose(centred(found["video"]), found["track"][..., :2], atol=0.006)
    assert np.abs(found["track"] - track)[..., :2].max() > 0.05
    if name == "crop":
        grown = found["track"][:, 0, 2] / 0.1
        assert 1.0 <= grown.min() and grown.max() <= 0.6**-0.5 + 1e-4 and np.ptp(grown) > 0.1
        area = np.sqrt((found["video"][..., 0] / 255.0).sum((2, 3)) / (video[..., 0] / 255.0).sum((2, 3)))[
            :, 0
        ]
        np.testing.assert_allclose(area, grown, rtol=0.02)


def test_a_crop_is_a_window_stretched_linearly():
    """Of a picture that is linear in place, the crop is linear: exactly so but for rounding and edges."""
    x, y = np.meshgrid(np.arange(24) * 8.0, np.arange(16) * 3.0)
    video = np.broadcast_to((x + y)[None, None, :, :, None], (20, 2, 16, 24, 1)).round().astype(np.uint8)
    found = run(["crop"], {"video": video, "times": np.zeros((20, 2), np.float32)}, keys(20))["video"].astype(
        float
    )
    inner = found[:, 0, 2:-2, 2:-2, 0]
    slope_x, slope_y = np.diff(inner, axis=2).mean((1, 2)), np.diff(inner, axis=1).mean((1, 2))
    width, height = slope_x / 8, slope_y / 3
    assert np.all(width <= 1.01) and np.all(width * height > 0.55) and width.min() < 0.85
    assert np.abs(np.diff(inner, 2, axis=2)).max() <= 2, "straight"
    assert found.min() >= video.min() and found.max() <= video.max()


def test_translations_are_by_whole_pixels():
    batch = noise(60, frames=2)
    found = run(["translation"], batch, keys(60))["video"]
    shifts = set()
    for before, after in zip(batch["video"], found, strict=True):
        h, w = before.shape[1:3]
        most_y, most_x = round(SHIFT * h), round(SHIFT * w)
        rows, columns = np.arange(h), np.arange(w)
        fits = [
            (dy, dx)
            for dy in range(-most_y, most_y + 1)
            for dx in range(-most_x, most_x + 1)
            if np.array_equal(
                before[:, np.clip(rows - dy, 0, h - 1)][:, :, np.clip(columns - dx, 0, w - 1)], after
            )
        ]
        assert len(fits) == 1
        shifts.add(fits[0])
    assert {dy for dy, _ in shifts} == set(range(-2, 3)) and {dx for _, dx in shifts} == set(range(-3, 4))


# Looks


def test_colours_change_a_little_and_greys_stay_grey():
    batch = noise(40)
    batch["video"] = (90 + batch["video"] * 0.3).astype(np.uint8)  # nothing is clipped
    found = run(["colour"], batch, keys(40))["video"].astype(float)
    before = batch["video"].astype(float)
    level = found.mean((1, 2, 3, 4)) - before.mean((1, 2, 3, 4))
    assert np.abs(level).max() < BRIGHTNESS + 5 and np.ptp(level) > BRIGHTNESS
    for a, b in zip(before, found, strict=True):  # one linear map for all pixels of a clip
        design = np.concatenate([a.reshape(-1, 3), np.ones((a.size // 3, 1))], 1)
        fit, *_ = np.linalg.lstsq(design, b.reshape(-1, 3), rcond=None)
        assert np.abs(design @ fit - b.reshape(-1, 3)).max() < 0.6
        assert np.ptp(fit[:3].sum(0)) < 0.02, "grey in, grey out"
    grey = {k: v[..., :1] if k == "video" else v for k, v in batch.items()}
    assert run(["colour"], grey, keys(40))["video"].shape == (40, 3, 16, 24, 1)


def test_a_square_is_cut_out():
    batch = noise(80, frames=2, height=32, width=32)
    batch["video"] = np.where(batch["video"] == 128, 127, batch["video"]).astype(np.uint8)
    found = run(["cutout"], batch, keys(80))["video"]
    cut = np.all(found == 128, axis=-1)
    assert np.array_equal(found[~cut], batch["video"][~cut]) and np.array_equal(cut[:, 0], cut[:, 1])
    rows, columns = cut[:, 0].any(2).sum(1), cut[:, 0].any(1).sum(1)
    assert np.array_equal(cut[:, 0].sum((1, 2)), rows * columns)
    assert max(rows.max(), columns.max()) in (round(CUT[1] * 32), round(CUT[1] * 32) - 1)
    assert 0 < rows.min() < 8, "partly outside"


def test_mild_damage_is_mild_and_sizes_that_eight_does_not_divide_go():
    source = ShapeShow(frames=4)
    video = np.stack([source[i]["video"] for i in range(6)])
    damaged = run(["degrade"], {"video": video}, keys(6))["video"]
    apart = np.abs(damaged.astype(np.float32) - video).mean((1, 2, 3, 4))
    assert (apart > 0.5).all() and (apart < 15).all(), "in grey levels"
    assert run(["degrade"], {"video": video[:, :, :30, :30]}, keys(6))["video"].shape == (6, 4, 30, 30, 3)
    assert damaged.dtype == np.uint8
