"""The recipes for domains: each trains on drawn films that look like its domain, and reads them rightly."""

import json
import zlib

import av
import numpy as np
import pytest

from vgm_jax.data.media import write_video
from vgm_jax.data.sources import make_source
from vgm_jax.tasks import build
from vgm_jax.training.loop import Run

STEPS, SIDE, FRAMES = 20, 16, 4
ROWS, COLUMNS = np.mgrid[:24, :40]


def rng_of(name):
    return np.random.default_rng(zlib.crc32(name.encode()))


def scene(rng):
    """A picture of a random colour, with blots."""
    return np.kron(rng.integers(0, 60, (3, 5, 1)), np.ones((8, 8, 1))) + rng.integers(0, 190, 3)


def entertainment(name, fps):
    """Six shots of a second, each of two colours and panned; writing below."""
    for shot in range(6):
        picture = scene(rng_of(f"{name}{shot}"))
        for t in range(int(fps)):
            frame = np.roll(picture, t, axis=1)
            frame[20:22, 4:36:2] = 255
            yield frame


def lecture(name, fps):
    """Three slides of writing, eight seconds each; a speaker sways in a corner."""
    rng = rng_of(name)
    for _ in range(3):
        slide = np.full((24, 40, 3), 240.0)
        slide[4:20:3, 3 : rng.integers(15, 30)] = 20
        for t in range(int(8 * fps)):
            frame = slide.copy()
            frame[14:, 31 + t % 3 : 36 + t % 3] = (150, 90, 70)
            yield frame


def drive(name, fps):
    """A road whose marks come nearer, between fields."""
    near = np.maximum(ROWS - 9, 0.5)
    road = np.abs(COLUMNS - 20) < near
    for t in range(int(4 * fps)):
        marks = (np.abs(COLUMNS - 20) < 0.15 * near) & (np.floor(60 / near + 0.5 * t) % 2 == 0)
        frame = np.where(road[..., None], 90.0, (60, 120, 40))
        frame[:9] = (120, 160, 220)
        frame[marks] = 250
        yield frame


def ultrasound(name, fps):
    """A grey fan with speckle, in which a ring beats."""
    rng = rng_of(name)
    speckle, centre = rng.uniform(0.5, 1, (24, 40)), rng.uniform(16, 24)
    for t in range(int(4 * fps)):
        radius = 6 + 2 * np.sin(2 * np.pi * t / fps)
        ring = np.exp(-((np.hypot(ROWS - 12, COLUMNS - centre) - radius) ** 2) / 4)
        fan = np.abs(COLUMNS - 20) < ROWS + 4
        yield np.repeat((40 + 180 * ring * speckle * fan)[..., None], 3, -1)


def camera(name, fps):
    """A yard, by day and by night; somebody crosses it once a minute."""
    rng = rng_of(name.split("/")[0])  # all recordings of a camera are of one yard
    yard = scene(rng)
    for t in range(int(60 * fps)):
        frame = yard if t < 30 * fps else np.repeat(0.3 * yard[..., :1], 3, -1)
        frame = frame + rng.normal(0, 2, (24, 40, 1))
        at = int(t / fps) - 10
        if 0 <= at < 40:
            frame[10:16, at : at + 3] = 230
        yield frame


def names(groups):
    return (
        [f"{group}/{film}.mp4" for group in range(5) for film in range(2)]
        if groups
        else [f"{film}.mp4" for film in range(8)]
    )


DOMAINS = {
    "entertainment": (entertainment, 12, names(False)),
    "lectures": (lecture, 4, names(False)),
    "driving": (drive, 24, names(False)),
    "medical": (ultrasound, 24, names(True)),
    "security": (camera, 1, names(True)),
}


ORDER = ("lectures", "entertainment", "driving", "medical", "security")  # the first differs most from base


def shrunk(config, path):
    """A recipe on films in `path`, small enough for an update to compile in seconds."""
    with config.unlocked():
        config.data.update(path=str(path), size=SIDE, frames=FRAMES, batch_size=8)
        dims = {"width": 16, "grid": 8, "content_dim": 64, "form_dim": 4, "motion_dim": 4, "free": 2}
        config.model.generator.update(dims, canvas=4, front_base=64, back_base=32, free_base=32)
        small = {"widths": (8, 8), "points": 2, "glimpse": 8, "form_width": 8, "hidden": 8}
        config.model.encoder.update(small)
        widths = {"frame_widths": (16,), "frame_depths": (0,), "widths": (16,), "depths": (1,), "hidden": 8}
        config.model.discriminator.update(widths)
        config.objective.update(judge_from=0, settled_from=STEPS + 1)
        config.objective.update(codes_stride=1, codes_rounds=2, codes_batch=8, codes_memory=16)
        config.objective.codes_early_stride = 1
        config.train.update(steps=STEPS, log_every=STEPS, show_every=0)
        config.evaluate.update(features="random", clips=8, batch_size=8, every=0)
    return config


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A folder of films for each domain."""
    root = tmp_path_factory.mktemp("films")
    for domain, (draw, fps, files) in DOMAINS.items():
        for name in files:
            (root / domain / name).parent.mkdir(parents=True, exist_ok=True)
            frames = (np.clip(f, 0, 255).astype(np.uint8) for f in draw(name, fps))
            write_video(root / domain / name, frames, fps=fps)
            if domain == "lectures":
                speak(root / domain / name, 24)
    return root


def speak(path, seconds):
    """Gives a film a sound: syllables of 200 Hz."""
    clock = np.arange(16000 * seconds) / 16000
    sound = 0.3 * np.sin(2 * np.pi * 200 * clock) * (np.sin(2 * np.pi * 2 * clock) > 0)
    silent = path.rename(path.with_name("silent.mp4"))
    with av.open(str(silent)) as film, av.open(str(path), "w") as out:
        picture = out.add_stream_from_template(film.streams.video[0])
        speech = out.add_stream("aac", rate=16000, layout="mono")
        for packet in film.demux(video=0):
            if packet.dts is not None:
                packet.stream = picture
                out.mux(packet)
        for start in range(0, len(sound), 1024):
            frame = av.AudioFrame.from_ndarray(np.float32(sound[None, start : start + 1024]), "fltp", "mono")
            frame.sample_rate, frame.pts = 16000, start
            out.mux(speech.encode(frame))
        out.mux(speech.encode())
    silent.unlink()


@pytest.mark.parametrize("name", [ORDER[0], *(pytest.param(n, marks=pytest.mark.slow) for n in ORDER[1:])])
def test_each_trains(films, recipe, name, tmp_path):
    config = shrunk(recipe(name), films / name)
    if name != ORDER[0]:
        config.objective.settled_from = STEPS // 2  # and then another program
    run = Run(build(config), config, tmp_path, lambda text: None)
    run.train()
    run.close()
    first = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    names = {key.removeprefix("shown_") for key in first}  # what is judged once codes have settled
    assert first["step"] == STEPS and {"d_loss", "g_loss"} <= names
    assert np.isfinite(list(first.values())).all()
    assert list((tmp_path / "media").glob("samples_*.mp4"))


@pytest.mark.parametrize("name", DOMAINS)
def test_its_clips_are_what_the_domain_needs(films, recipe, name):
    config = shrunk(recipe(name), films / name)
    sources = {split: make_source(config.data, split) for split in ("train", "validation", "test")}
    train = sources["train"]
    clip = train[0]
    assert not any(source.rejected for source in sources.values())
    seconds = {"lectures": 0.5, "security": 1.0, "entertainment": 1 / 12}.get(name, 1 / 24)
    np.testing.assert_allclose(clip["times"], seconds * np.arange(FRAMES), atol=1e-5)
    # None of them may be mirrored or run backwards: writing, the side of the road, of the heart.
    assert config.data.augment == ()
    split = {k: {v.name for v in source.videos} for k, source in sources.items()}
    if name in ("medical", "security"):
        split = {k: {name.split("/")[0] for name in names} for k, names in split.items()}
    assert all(split.values()) and not split["train"] & (split["validation"] | split["test"])
    if name == "lectures":
        assert clip["audio"].shape == (2 * 16000,) and np.abs(clip["audio"]).max() > 0.2
    else:
        assert "audio" not in clip
    if name == "medical":
        assert np.ptp(clip["video"].astype(int), axis=-1).max() < 4


def test_shapes_at_full_size(recipe):
    """What the films of the tests are too small to show: each recipe's own size and number of frames."""
    shapes = {name: (recipe(name).data.size, recipe(name).data.frames) for name in DOMAINS}
    others = dict.fromkeys(("driving", "medical", "security"), (64, 16))
    assert shapes == {"entertainment": (64, 8), "lectures": (128, 16)} | others
