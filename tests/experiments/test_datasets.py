"""The pure parts of experiments/datasets: no network, nothing downloaded."""

import importlib
import io
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vgm_jax.data.sources.tfds import Tfds

FOLDER = Path(__file__).parents[2] / "experiments" / "datasets"
NAMES = ("writing", "fluent_emoji", "moving_mnist", "play", "procgen")


def load():
    sys.path.insert(0, str(FOLDER))
    try:
        return [importlib.import_module(name) for name in NAMES]
    finally:
        sys.path.remove(str(FOLDER))


writing, fluent_emoji, moving_mnist, play, procgen = load()


# ---------------------------------------------------------------------------------------------------------- #
# Emoji
# ---------------------------------------------------------------------------------------------------------- #

VARIANTS = {
    "farmers": ("1f9d1-200d-1f33e", "1f468-200d-1f33e", "1f469-1f3fd-200d-1f33e", "1f9d1-1f3ff-200d-1f33e"),
    "waving hands": ("1f44b", "1f44b-1f3fb", "1f44b-1f3ff"),
    "runners": ("1f3c3", "1f3c3-200d-2642-fe0f", "1f3c3-1f3fe-200d-2640-fe0f"),
    "those who run to the right": ("1f3c3", "1f3c3-200d-27a1-fe0f", "1f3c3-200d-2640-fe0f-200d-27a1-fe0f"),
    "adults": ("1f9d1", "1f468", "1f469", "1f468-1f3fc"),
    "children": ("1f9d2", "1f466", "1f467-1f3fb"),
    "the old": ("1f9d3", "1f474", "1f475-1f3fb"),
    "royalty": ("1fac5", "1f934-1f3ff", "1f478"),
    "Santas": ("1f385", "1f936-1f3fd", "1f9d1-200d-1f384"),
    "couples hand in hand": ("1f46b", "1f46c", "1f46d-1f3fb", "1f9d1-1f3fb-200d-1f91d-200d-1f9d1-1f3ff"),
    "kisses": ("1f48f-1f3fb", "1f468-200d-2764-fe0f-200d-1f48b-200d-1f468"),
    "handshakes": ("1f91d", "1f91d-1f3fb", "1faf1-1f3fb-200d-1faf2-1f3ff"),
    "detectives": ("1f575-fe0f", "1f575", "1f575-1f3fb-200d-2640-fe0f"),
}


@pytest.mark.parametrize("names", VARIANTS.values(), ids=VARIANTS)
def test_variants_of_an_emoji_have_one_base_and_one_split(names):
    assert len({fluent_emoji.base_of(name) for name in names}) == 1
    assert len({writing.split_of(fluent_emoji.base_of(name)) for name in names}) == 1


def test_different_emoji_have_different_bases():
    different = ["1f44b", "1f91a", "1f9d1", "1f9d2", "1f9d3", "1f9d1-200d-1f33e", "1f9d1-200d-1f692", "1f3c3"]
    different += ["1f6b6", "1f9d1-200d-1f9b0", "1f9d1-200d-1f9b1", "27a1-fe0f", "2640-fe0f", "2642-fe0f"]
    different += [
        "1f3fb",
        "1f3ff",
        "1f385",
        "1f91d",
        "1f46b",
        "1f468-200d-1f469-200d-1f467",
        "0023-fe0f-20e3",
    ]
    bases = [fluent_emoji.base_of(name) for name in different]
    assert [base for base, count in Counter(bases).items() if count > 1] == []
    assert all(bases)


@settings(deadline=None)
@given(st.sampled_from(["1f44b", "1f9d1-200d-1f33e", "1f3c3"]), st.sampled_from("bcdef"))
def test_a_skin_tone_changes_no_base(name, tone):
    first, *rest = name.split("-")
    assert fluent_emoji.base_of("-".join([first, f"1f3f{tone}", *rest])) == fluent_emoji.base_of(name)


def animation(levels, milliseconds):
    """An animated webp with alpha: a square of one grey a frame on nothing."""
    frames = []
    for level in levels:
        frame = np.zeros((32, 32, 4), np.uint8)
        frame[8:24, 8:24] = (level, level, level, 255)
        frames.append(Image.fromarray(frame))
    buffer = io.BytesIO()
    more = {"save_all": True, "append_images": frames[1:], "duration": milliseconds, "lossless": True}
    frames[0].save(buffer, "webp", **more)
    return buffer.getvalue()


def test_clips_of_an_emoji_lie_on_white_and_go_by_time():
    levels = np.arange(0, 240, 5)  # 48 frames in 3 s: 36 at 12 a second, two clips
    clips = fluent_emoji._clips(("x", animation(levels, 62)))
    assert clips.shape == (2, 16, 64, 64, 3) and clips.dtype == np.uint8
    assert (clips[:, :, :8, :8] == 255).all()
    shown = levels[(np.arange(32) / 12 / 0.062).astype(int)]
    assert (clips.reshape(32, 64, 64, 3)[:, 32, 32, 0] == shown).all()


def test_a_short_emoji_goes_on_in_its_loop_and_a_still_one_gives_none():
    clips = fluent_emoji._clips(("x", animation([0, 50, 100, 150], 250)))  # a second: 12 frames
    assert clips.shape == (1, 16, 64, 64, 3)
    assert clips[0, :, 32, 32, 0].tolist() == [0] * 3 + [50] * 3 + [100] * 3 + [150] * 3 + [0] * 3 + [50]
    assert fluent_emoji._clips(("x", animation([0], 100))) is None


# ---------------------------------------------------------------------------------------------------------- #
# Moving MNIST
# ---------------------------------------------------------------------------------------------------------- #


@pytest.fixture(scope="module")
def digits():
    """Three images a digit, each of one grey level, none like another."""
    return [
        np.stack([np.full((28, 28), 20 + 7 * (3 * k + i), np.uint8) for i in range(3)]) for k in range(10)
    ]


@settings(deadline=None)
@given(
    start=st.floats(0, 36), speed=st.floats(-40, 40).filter(lambda v: abs(v) > 1e-3), count=st.integers(2, 40)
)
def test_what_bounces_stays_inside_and_keeps_its_pace(start, speed, count):
    path = moving_mnist.bounce(np.float64(start), np.float64(speed), count, 36.0)
    at, velocity, expected = start, speed, []
    for _ in range(count):  # the slow way: walk, and turn round at the walls
        expected.append(at)
        rest = velocity
        while rest:
            wall = 36.0 if rest > 0 else 0.0
            if abs(rest) <= abs(wall - at):
                at, rest = at + rest, 0.0
            else:
                rest, at, velocity = -(rest - (wall - at)), wall, -velocity
    assert (path >= 0).all() and (path <= 36).all()
    np.testing.assert_allclose(path, expected, atol=1e-6)


@settings(deadline=None)
@given(st.floats(0, 36), st.floats(0, 36))
def test_a_painted_digit_is_where_it_should_be_and_loses_nothing(x, y):
    digit = np.random.default_rng(0).uniform(0, 255, (28, 28)).astype(np.float32)
    picture = moving_mnist.paint(digit, np.array([x, y]), 64)
    ys, xs = np.mgrid[:64, :64]
    rows, columns = np.mgrid[:28, :28]
    assert picture.sum() == pytest.approx(digit.sum(), rel=1e-4)
    assert (picture * xs).sum() / picture.sum() == pytest.approx(
        (digit * columns).sum() / digit.sum() + x, abs=1e-3
    )
    assert (picture * ys).sum() / picture.sum() == pytest.approx(
        (digit * rows).sum() / digit.sum() + y, abs=1e-3
    )


def test_a_clip_depends_on_seed_split_and_index_alone(digits):
    again = [moving_mnist.clip_of(digits, 0, "train", 5) for _ in range(2)]
    assert all((again[0][name] == again[1][name]).all() for name in ("video", "path"))
    others = [(1, "train", 5), (0, "validation", 5), (0, "train", 6)]
    for other in others:
        assert (moving_mnist.clip_of(digits, *other)["path"] != again[0]["path"]).any(), other


def test_a_clips_label_and_path_are_those_of_its_digits(digits):
    seen, alone = set(), 0
    for i in range(30):
        clip = moving_mnist.clip_of(digits, 0, "train", i)
        assert clip["video"].shape == (20, 64, 64, 1) and clip["path"].shape == (20, 2, 2)
        pair = moving_mnist.PAIRS[clip["label"]]
        seen |= set(pair)
        for t, places in enumerate(clip["path"]):
            apart = np.abs(places[0] - places[1]).max() > 16  # no part of one is at the other's centre
            for kind, (x, y) in zip(pair, places, strict=True):
                level = int(clip["video"][t, int(y), int(x), 0])
                own = [int(image[0, 0]) for image in digits[kind]]
                assert level in own if apart else level >= min(own)
                alone += apart
    assert alone > 100
    assert len(seen) == 10


def test_no_digit_image_is_in_two_splits(digits):
    rng = np.random.default_rng(0)
    many = [rng.integers(0, 255, (200, 28, 28), np.uint8) for _ in range(10)]
    many[3][7] = many[3][8]  # a copy
    parts = moving_mnist.divide(many)
    found = {name: {image.tobytes() for kind in kinds for image in kind} for name, kinds in parts.items()}
    assert sum(len(images) for kinds in parts.values() for images in kinds) == 2000
    assert sum(map(len, found.values())) == len(set().union(*found.values())) == 1999
    assert 1500 < sum(map(len, parts["train"])) < 1700


# ---------------------------------------------------------------------------------------------------------- #
# Procgen
# ---------------------------------------------------------------------------------------------------------- #


class Game:
    """As envpool's: every pixel is level % 50 + 2 * step, and a level ends after `length` steps."""

    def __init__(self, levels, length):
        self.levels, self.length, self.config = iter(levels), length, {"num_envs": 2}
        self.state, self.taken = [None] * 2, []

    def look(self, numbers):
        pictures = np.stack(
            [np.full((3, 64, 64), self.state[n][0] % 50 + 2 * self.state[n][1]) for n in numbers]
        )
        info = {"env_id": np.array(numbers), "level_seed": np.array([self.state[n][0] for n in numbers])}
        return pictures.astype(np.uint8), info | {
            "elapsed_step": np.array([self.state[n][1] for n in numbers])
        }

    def reset(self, numbers=(0, 1)):
        for number in numbers:
            self.state[number] = [next(self.levels), 0]
        return self.look(list(numbers))

    def step(self, actions):
        self.taken.append([(*state, int(action)) for state, action in zip(self.state, actions, strict=True)])
        for state in self.state:
            state[1] += 1
        pictures, info = self.look([0, 1])
        over = np.array([state[1] >= self.length for state in self.state])
        return pictures, None, over, np.zeros(2, bool), info


def test_clips_of_a_game_are_of_new_levels_whole_and_with_what_was_pressed():
    game = Game([7, 7, 8, 9, *range(100, 400)], length=100)
    clips, actions = np.zeros((6, 16, 64, 64, 3), np.uint8), np.zeros((6, 16), np.uint8)
    levels, dropped = play.play("maze", clips, actions, game, 0, {8, 9})
    assert len(set(levels)) == 6 and not {8, 9} & set(levels) and dropped == 0
    pressed = {(level, step): action for pair in game.taken for level, step, action in pair if level != 7}
    for level, clip, row in zip(levels, clips, actions, strict=True):
        grey = clip[:, 0, 0, 0].astype(int)
        assert (np.diff(grey) == 2).all(), "no gap, no other level"
        first = (grey[0] - level % 50) // 2
        for t in range(1, 16):
            assert level == 7 or row[t] == pressed[level, first + t - 1]
        assert first > 0 or row[0] == play.NOTHING


def test_clips_in_which_nothing_moves_are_dropped():
    moving, still = np.zeros((16, 8, 8, 3), np.uint8), np.zeros((16, 8, 8, 3), np.uint8)
    moving[::2] = 5
    still[8:] = 5
    assert play.moves(moving, 10, 1.0) and not play.moves(still, 10, 1.0) and play.moves(still, 1, 1.0)
    assert not play.moves(moving, 10, 6.0)


def test_every_game_has_weights_of_actions():
    assert sorted(play.GAMES) == sorted(procgen.GAMES) == sorted(play.MOVING)
    for weights in play.GAMES.values():
        assert sum(weights.values()) == pytest.approx(1) and set(weights) <= set(range(15))


# ---------------------------------------------------------------------------------------------------------- #
# What they share
# ---------------------------------------------------------------------------------------------------------- #


def test_a_written_data_set_is_read_by_training(tmp_path):
    from tensorflow_datasets import features

    rng = np.random.default_rng(0)
    clips = rng.integers(0, 255, (5, 4, 16, 16, 1), np.uint8)
    times = np.arange(4, dtype=np.float32) / np.float32(8)

    def examples(split):
        for i in range(3) if split == "train" else range(3, 5):
            yield {"video": clips[i], "times": times, "label": i % 2, "caption": f"number {i}"}

    more = {"label": features.ClassLabel(names=["a", "b"]), "caption": features.Text()}
    for out in ("one", "two"):
        counts = writing.write(
            tmp_path / out,
            "toy",
            writing.clip_features(4, 16, 1) | more,
            {"train": examples("train"), "test": examples("test")},
            description="toy",
            licence="none",
        )
    assert counts == {"train": 3, "test": 2}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]
    source = Tfds(tmp_path / "one", "train", size=16, frames=4, fps=8)
    for i in range(3):
        assert (source[i]["video"] == clips[i]).all() and source[i]["label"] == i % 2
        assert source.caption(i) == f"number {i}"
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes(), file.name


def test_a_contact_sheet_shows_every_clip(tmp_path):
    clips = np.stack([np.full((9, 8, 8, 3), 40 * i, np.uint8) for i in range(1, 4)])
    writing.contact_sheet(tmp_path / "sheet.png", clips, ["a", "b", "c"], frames=3, columns=2)
    with Image.open(tmp_path / "sheet.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape == (2 * (8 + 15), 2 * (3 * 9 + 8) - 8, 3)
    for i, (x, y) in enumerate([(0, 15), (35, 15), (0, 38)], 1):
        assert (pixels[y : y + 8, x : x + 8] == 40 * i).all()


def test_splits_are_about_as_large_as_they_should_be():
    counts = Counter(writing.split_of(str(i)) for i in range(5000))
    assert set(counts) == set(writing.SPLITS)
    assert 0.08 < counts["validation"] / 5000 < 0.12 and 0.08 < counts["test"] / 5000 < 0.12
