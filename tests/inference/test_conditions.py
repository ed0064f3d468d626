"""A generator that can be asked for things and has learnt nothing: what is asked, and what comes of it."""

import io
import itertools
import shutil

import av
import jax
import numpy as np
import pytest
from PIL import Image

import vgm_jax
from vgm_jax import cli
from vgm_jax.data._pixels import Look
from vgm_jax.data.audio import read_audio
from vgm_jax.data.media import grid, write_video
from vgm_jax.data.pipeline import EvaluationBatches
from vgm_jax.data.sources import make_source
from vgm_jax.data.sources.shapeshow import ShapeShow
from vgm_jax.inference.conditions import LONGEST, read_picture
from vgm_jax.inference.files import grid_frames, sample_file, send
from vgm_jax.inference.zoo import export
from vgm_jax.tasks import build
from vgm_jax.training import runtime
from vgm_jax.training.loop import Run
from vgm_jax.training.workdir import WorkdirError

RATE = 16_000
TONE = (0.3 * np.sin(np.arange(2 * RATE) / 5)).astype(np.float32)  # two seconds, two windows
PICTURE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


@pytest.fixture(scope="module")
def asking(tiny):
    """`asking(model settings)`: the config of a generator that can be asked for everything."""

    def make(**settings):
        config = tiny("continuous")
        with config.unlocked():
            config.data.shapeshow.update(sound="synced", audio=True, text=True)
            asked = ("text", "label", "audio", "image")
            config.model.generator.update(conditions=asked, classes=12, words=92)
            config.model.update(settings)
            if settings.get("frozen"):
                config.objective.settled_from = 9  # as in the recipe, which has no say there
            config.objective.penalty = "none"
            config.train.update(steps=2)
            config.evaluate.every = 0
        return config

    return make


@pytest.fixture(scope="module")
def train(asking, unlearnt, tmp_path_factory):
    """`train(model settings) -> workdir` of a run of two updates, which teach nothing but in a frozen one."""

    def run(**settings):
        config, folder = asking(**settings), tmp_path_factory.mktemp("asked")
        task = build(config) if settings.get("frozen") else unlearnt(build(config), looks=True)
        opened = Run(task, config, folder, report=lambda _: None)
        opened.train()
        opened.close()
        return folder

    return run


@pytest.fixture(scope="module")
def workdir(train):
    return train()


@pytest.fixture(scope="module")
def model(workdir):
    return vgm_jax.load(workdir)


def near(a, b):
    """Within one grey level."""
    assert a.shape == b.shape
    return np.abs(a.astype(int) - b.astype(int)).max() <= 1


def wav(path, sound):
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=RATE)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(
            (sound * 32767).astype(np.int16)[None], format="s16", layout="mono"
        )
        frame.sample_rate = RATE
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


CONDITIONS = [
    {"text": "a red circle moves left"},
    {"audio": TONE},
    {"image": PICTURE, "last_image": PICTURE[::-1].copy()},
    {"text": "a green star spins", "label": 3, "image": PICTURE, "audio": TONE},
    {"video": np.stack([PICTURE, PICTURE[::-1], PICTURE])},
]


@pytest.mark.parametrize("asked", CONDITIONS, ids=lambda x: "-".join(x))
def test_a_pixel_depends_on_what_is_asked_for_and_on_nothing_else(model, asked):
    # Where an end is known, the length says when that is.
    length = 6
    clip = model.sample(3, frames=length, **asked)[0]
    assert not near(clip, model.sample(3, frames=length)[0])
    assert near(model.sample(3, n=2, frames=length, **asked)[0], clip)
    assert near(np.stack(list(model.stream(3, frames=length, **asked))), clip)
    if "last_image" not in asked:
        assert near(model.sample(3, frames=40, **asked)[0, :length], clip)
        assert near(model.sample(3, frames=2 * length, fps=8.0, **asked)[0, ::2], clip)


def test_each_clip_has_its_own_text_and_label(model):
    texts = ["a red circle moves left", "a blue star spins"]
    both = model.sample(1, n=2, text=texts)
    assert near(both[0], model.sample(1, text=texts[0])[0])
    assert near(both[1], model.sample(1, n=2, text=texts[1])[1])
    assert not near(both[1], model.sample(1, n=2, text=texts[0])[1])
    assert near(model.sample(1, n=2, label=["left", 3])[0], model.sample(1, label="left")[0])
    with pytest.raises(ValueError, match="2 texts were given for 3 clips"):
        model.sample(1, n=3, text=texts)
    (frame,) = grid_frames(model, 1, 2, 1, None, text=texts)
    assert near(frame, grid(model.sample(1, n=2, frames=1, text=texts)[:, :1])[0])
    with pytest.raises(ValueError, match="2 texts were given for 3 clips"):
        next(grid_frames(model, 1, 3, 1, None, text=texts))


def test_what_is_known_does_not_depend_on_how_long_a_clip_goes_on(model):
    """Nor on its frame rate: some windows later the pictures of its beginning are where they were."""
    for asked in ({"image": PICTURE}, {"image": PICTURE, "audio": np.tile(TONE, 5)}):
        slow, fast = model.sample(3, frames=40, **asked)[0], model.sample(3, frames=80, fps=8.0, **asked)[0]
        assert near(fast[::2], slow)


def test_pictures_may_be_seen_at_any_times(model):
    """The first and the last are two of them; another one between these bends what moves."""
    ends = {"image": PICTURE, "last_image": PICTURE[::-1].copy()}
    clip = model.sample(3, frames=6, **ends)[0]
    same = model.sample(3, frames=6, pictures={1.25: PICTURE[::-1].copy(), 0.0: PICTURE})[0]
    assert near(same, clip)
    bent = model.sample(3, frames=6, pictures={0.6: PICTURE[:, ::-1].copy()}, **ends)[0]
    assert not near(bent, clip)
    for pictures in ({0.0: PICTURE}, {-1.0: PICTURE}, {np.nan: PICTURE}):
        with pytest.raises(ValueError, match="give one for each time"):
            model.sample(3, image=PICTURE, pictures=pictures)


def test_guidance_goes_beyond_what_is_asked_for(model):
    """Codes on a line through those of the same noise that nothing is asked for."""
    texts = ["a red circle moves left", "a blue star spins"]
    plain, free, far = (model.sample(1, n=2, text=texts, guidance=g) for g in (1.0, 0.0, 3.0))
    assert near(plain, model.sample(1, n=2, text=texts))
    assert near(free, model.sample(1, n=2, text=texts[::-1], guidance=0.0)), "neither is asked for"
    apart = lambda a, b: np.abs(a.astype(float) - b).mean()  # noqa: E731
    assert apart(far[0], free[0]) > apart(plain[0], free[0]) > 0
    assert near(np.stack(list(model.stream(1, 0, 4, text=texts[0], guidance=3.0))), far[0])
    for given, message in (
        ({}, "give one"),
        ({"text": texts[0], "guidance": -1.0}, "must be in 0..1000"),
        ({"text": texts[0], "guidance": np.nan}, "must be in 0..1000"),
    ):
        with pytest.raises(ValueError, match=message):
            model.sample(1, **({"guidance": 2.0} | given))


def test_every_class_in_turn(model):
    many = model.sample(1, n=14, frames=2, label="all")
    assert near(many, model.sample(1, n=14, frames=2, label=[*range(12), 0, 1]))


def test_sound_says_how_long_a_clip_is_and_is_heard_where_it_is(model):
    assert len(list(model.stream(0, audio=TONE))) == 8
    quiet = np.concatenate([TONE[:RATE], 0 * TONE[RATE:]])
    first, second = (model.sample(0, audio=x)[0] for x in (TONE, quiet))
    assert near(first[:4], second[:4]) and not near(first[4:], second[4:])


def test_no_moment_depends_on_how_much_of_a_sound_is_listened_to(model, tmp_path):
    """Windows of motion, of a second, are heard whole."""
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 2 * RATE).astype(np.float32)
    file = wav(tmp_path / "noise.wav", noise)
    for audio in (noise, file):
        whole = model.sample(0, frames=8, audio=audio)[0]
        assert near(model.sample(0, frames=5, audio=audio)[0], whole[:5])
    path = sample_file(model, tmp_path / "out.mkv", frames=5, audio=noise)
    assert abs(len(read_audio(path)) - 1.25 * RATE) < 0.1 * RATE, "the file's sound is as long as its picture"


def test_a_video_is_gone_on_from(model, tmp_path):
    """Its own frames come first, nearer to it than what is read off it alone; then a training clip more."""
    source = ShapeShow("test", size=16, frames=6, fps=4.0)
    video = source[0]["video"]
    clip = model.sample(0, video=video)[0]
    assert len(clip) == 6 + 4
    other = model.sample(1, video=video)[0]
    assert near(other[:6], clip[:6]) and not near(other[6:], clip[6:])

    def apart(a):
        return np.abs(a.astype(float) - video).mean()

    times = np.arange(6, dtype=np.float32)[None] / 4
    read, found = (
        model._task.paint(model._params, model._task.invert(model._params, video[None], times, steps))[0]
        for steps in (0, 100)
    )
    assert near(np.asarray(found), clip[:6])
    assert apart(clip[:6]) < 0.95 * apart(np.asarray(read)), "though it has learnt nothing"
    path = tmp_path / "film.mp4"
    write_video(path, video, 4.0)
    assert model.sample(0, video=path, frames=7).shape == (1, 7, 16, 16, 3)
    stream = model.stream(0)
    stream.ask(blend=0.0, video=path)
    assert near(next(stream), model.sample(0, video=path)[0, 0])
    with pytest.raises(ValueError, match="either --image or --video"):
        model.sample(0, video=video, image=PICTURE)


@pytest.mark.parametrize(
    "asked, message",
    [
        ({"video": "none.mp4"}, "none.mp4: there is no such file"),
        ({"video": __file__}, "test_conditions.py"),
        ({"video": PICTURE}, r"a video must be uint8 \[T H W 3\]"),
        ({"video": np.zeros((257, 4, 4, 3), np.uint8)}, r"longer than the 64 s \(256 frames\)"),
        ({"text": "a red cirkle flobs"}, "'cirkle' .rather 'circle'.*'flobs'"),
        ({"text": " ,. "}, "has no word"),
        ({"text": "red " * 10_000}, "has 10000 words; this model reads at most 20"),
        ({"label": "jumps"}, "no class 'jumps'; choose one of left, right"),
        ({"label": 12}, "class 12 is not in 0..11"),
        ({"label": -1}, "class -1 is not in 0..11"),
        ({"audio": np.zeros(RATE, np.float32)}, "silent"),
        ({"audio": np.full(RATE, np.nan, np.float32)}, "finite"),
        ({"audio": (3e4 * TONE).astype(np.int16)}, "must be float32 .* got int16"),
        ({"audio": 3e4 * TONE}, r"in \[-1, 1\]"),
        ({"audio": np.float32(0.5)}, r"must be float32 \[S\]"),
        ({"text": 5}, "text=5 must be a string"),
        ({"text": "blork " + " ".join(f"b{i}" for i in range(15))}, "'blork', .*'b8', and 6 more"),
        ({"key": 2.5}, "key=2.5 must be a JAX key or a whole number"),
        ({"key": 2**32}, "key=4294967296 must be in -2147483648..4294967295"),
        ({"n": 1.5}, "n=1.5 must be a whole number"),
        ({"label": 2.7}, "class 2.7 is not in 0..11"),
        ({"pictures": {1e39: PICTURE}}, "seen at 1e.39 s"),
        ({"audio": "nothing.wav"}, "nothing.wav: there is no such file"),
        ({"image": "nothing.png"}, "nothing.png: there is no such file"),
        ({"image": np.zeros((4, 4))}, r"uint8 \[H W 3\]; got float64"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_for(model, asked, message):
    with pytest.raises(ValueError, match=message):
        model.sample(**({"key": 0} | asked))


def test_files_that_cannot_be_asked_for(model, tmp_path, monkeypatch):
    torn = tmp_path / "torn.png"
    Image.fromarray(PICTURE).save(torn)
    torn.write_bytes(torn.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"torn.png: not a picture that can be read"):
        model.sample(0, image=torn)
    monkeypatch.setattr("vgm_jax.data._readers.MOST_PIXELS", 100)
    Image.fromarray(PICTURE).save(tmp_path / "huge.png")
    with pytest.raises(ValueError, match=r"huge.png: 16 x 16 pixels: at most"):
        model.sample(0, image=tmp_path / "huge.png")
    with pytest.raises(ValueError, match="huge.png"):
        model.sample(0, audio=tmp_path / "huge.png")
    long = wav(tmp_path / "long.wav", np.tile(TONE, 4))
    monkeypatch.setattr("vgm_jax.inference.conditions.LONGEST", 3.0)
    monkeypatch.setattr("vgm_jax.inference.conditions.PIECE", 1.0)
    with pytest.raises(ValueError, match="longer than the 3 s that are listened to"):
        model.stream(0, audio=long)
    assert len(list(model.stream(0, frames=6, audio=long))) == 6
    assert LONGEST == 600


def test_a_picture_of_any_size_is_its_middle_square(model, tmp_path):
    wide = np.zeros((48, 96, 3), np.uint8)
    wide[:, 24:72] = PICTURE.repeat(3, 0).repeat(3, 1)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    assert near(model.sample(0, image=tmp_path / "wide.png"), model.sample(0, image=wide))
    found = model.listener.picture(wide)
    assert found.shape == (16, 16, 3) and np.abs(found.astype(int) - PICTURE).mean() < 30


def test_truncated_noise_is_smaller(model):
    """As with noise that is made smaller by hand."""
    task, times = model._task, np.arange(4, dtype=np.float32)[None] / 4
    noise = task.generator.noise(jax.random.fold_in(jax.random.key(5), 0)[None], times)
    noise = noise._replace(content=0.3 * noise.content, motion=0.3 * noise.motion)
    asked = task.drawn(model._params, jax.random.fold_in(jax.random.key(5), 0)[None], 4)
    expected = task.paint(model._params, task.codes.imagine(model._params, noise, times, asked))
    assert near(model.sample(5, truncation=0.3), np.asarray(expected))
    assert not near(model.sample(5), np.asarray(expected))
    with pytest.raises(ValueError, match="truncation=1.5 must be in 0..1"):
        model.sample(0, truncation=1.5)


# Streams whose condition changes


def test_what_is_asked_for_changes_as_a_stream_runs(model):
    first, second = "a red circle moves left", "a blue star spins"
    before, after = (model.sample(2, frames=64, text=text)[0] for text in (first, second))
    stream = model.stream(2, text=first)
    shown = list(itertools.islice(stream, 16))
    stream.ask(blend=4.0, text=second)  # 16 frames at 4 a second
    shown += list(itertools.islice(stream, 48))
    shown = np.stack(shown)
    assert near(shown[:17], before[:17]), "at first it is what it was"
    assert near(shown[32:], after[32:])
    apart = np.abs(shown[17:32].astype(int) - before[17:32]).mean((1, 2, 3))
    assert apart[-1] > apart[0], "little by little"
    stream.ask(blend=0.0)
    rest = np.stack(list(itertools.islice(stream, 16)))
    assert near(rest, model.sample(2, frames=80)[0, 64:])
    with pytest.raises(ValueError, match="'blork'"):
        stream.ask(text="blork")
    assert next(stream).shape == (16, 16, 3), "what cannot be asked for changes nothing"


def test_guidance_stays_what_it_was(model):
    asked = {"blend": 0.0, "text": "a blue star spins"}
    streams = [model.stream(2, text="a red circle moves left") for _ in range(2)]
    streams[0].ask(guidance=3.0, **asked)
    streams[0].ask(**asked)
    streams[1].ask(guidance=3.0, **asked)
    assert near(*(np.stack(list(itertools.islice(stream, 4))) for stream in streams))
    plain = np.stack(list(itertools.islice(model.stream(2, text="a blue star spins"), 4)))
    assert not near(np.stack(list(itertools.islice(streams[0], 4))), plain)


def test_a_last_picture_is_at_the_clips_end_at_any_frame_rate(model):
    """Of a stream without end: of a training clip's, in seconds."""
    for given in ({}, {"fps": 4 * model.fps}, {"frames": 5, "fps": 8 * model.fps}):
        wish = model.stream(0, last_image=PICTURE, **given).state.asked[0].wish
        count, fps = (given.get(name, getattr(model, name)) for name in ("frames", "fps"))
        end = (count - 1) / (fps if "frames" in given else model.fps)
        np.testing.assert_allclose(wish.known.times, [[end]], rtol=1e-6)


def test_a_run_without_its_vocabulary_is_refused(workdir, tmp_path):
    copy = shutil.copytree(workdir, tmp_path / "copy")
    (copy / "vocabulary.json").unlink()
    with pytest.raises(WorkdirError, match="vocabulary.json: its words are lost"):
        vgm_jax.load(copy)


def test_an_index_is_a_whole_number(model):
    for index in (-1, 1.5):
        with pytest.raises(ValueError, match="index=.* must be a whole number from 0 on"):
            model.stream(0, index)


def test_of_what_is_asked_at_once_the_last_counts(model):
    first, second = "a red circle moves left", "a blue star spins"
    streams = [model.stream(2) for _ in range(2)]
    for stream in streams:
        list(itertools.islice(stream, 16))
    streams[0].ask(blend=4.0, text=first)
    for stream in streams:
        stream.ask(blend=4.0, text=second)
    assert near(*(np.stack(list(itertools.islice(stream, 16))) for stream in streams))


def test_what_fades_in_may_itself_fade_out(model):
    """No frame jumps where something else is asked for meanwhile."""
    streams = [model.stream(2, text="a red circle moves left") for _ in range(2)]
    for stream in streams:
        list(itertools.islice(stream, 16))
        stream.ask(blend=9.0, text="a blue star spins")  # 36 frames
        list(itertools.islice(stream, 16))
    streams[1].ask(blend=2.0, text="a green square grows")
    on, other = (np.stack(list(itertools.islice(stream, 32))) for stream in streams)
    assert near(other[:1], on[:1]) and not near(other[4:8], on[4:8])
    alone = model.sample(2, frames=64, text="a green square grows")[0]
    assert near(other[16:], alone[48:])


def test_a_sound_asked_for_later_is_heard_from_then_on(model, tmp_path):
    wish = model.wish(1.0, 4.5, audio=TONE)
    later = np.concatenate([np.zeros(RATE // 2, np.float32), TONE])  # windows begin at whole seconds
    expected = model.wish(1.0, audio=later)
    np.testing.assert_array_equal(wish.vectors, expected.vectors)
    times = np.float32([[4.5, 5.2, 6.9, 9.0]])
    asked, same = wish.asked(times, 1.0), expected.asked(times - 4, 1.0)
    np.testing.assert_array_equal(asked.motion[..., 1, :], same.motion[..., 1, :])
    np.testing.assert_allclose(asked.heard, same.heard, atol=1e-5)
    assert not asked.heard[0, 0, 0].any(), "before it begins nothing is heard"
    assert not asked.heard[0, 3, 1:].any() and asked.heard[0, :3, 2].any(-1).all(), "and after its end"
    stream = model.stream(2)
    stream.ask(audio=wav(tmp_path / "tone.wav", TONE))
    assert next(stream).shape == (16, 16, 3)
    stream.ask(pictures={0.5: PICTURE})
    assert stream.state.asked[-1].wish.known.times.tolist() == [[0.75]]


def test_nothing_is_asked_for_by_none(model):
    none = dict(image=None, audio=None, label=None, video=None)
    asked = dict(text="a red circle moves left")
    found = np.stack(list(model.stream(0, 0, 4, **asked, **none)))
    assert near(found, model.sample(0, **asked, **none)[0])


def test_advancing_is_a_pure_function(model):
    state = model.stream(2, text="a red circle moves left").state
    once, again = (model.advance(state, 4.0) for _ in range(2))
    assert np.array_equal(once[1], again[1]) and once[0].done == again[0].done == 16
    assert state.done == 0


@pytest.mark.parametrize("form", ["raw", "mjpeg"])
def test_frames_for_another_program(model, form):
    out = io.BytesIO()
    counts = list(send(model.stream(0, frames=5), out, form, scale=2))
    assert counts == [1, 2, 3, 4, 5]
    expected = np.stack(list(model.stream(0, frames=5))).repeat(2, 1).repeat(2, 2)
    if form == "raw":
        assert out.getvalue() == expected.tobytes()
        return
    with av.open(io.BytesIO(out.getvalue()), format="mjpeg") as file:
        found = np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])
    assert found.shape == expected.shape and np.abs(found.astype(int) - expected).mean() < 12
    with pytest.raises(ValueError, match="form='gif' is unknown; choose one of mjpeg, raw"):
        next(send(model.stream(0), out, "gif"))


# Files and the command line


def test_the_sound_that_motion_follows_is_in_the_file(model, tmp_path):
    path = sample_file(model, tmp_path / "out.mp4", audio=wav(tmp_path / "tone.wav", TONE))
    with av.open(str(path)) as file:
        assert sum(1 for _ in file.decode(video=0)) == 8
    heard = read_audio(path)
    n = min(len(heard), len(TONE))
    assert n > 1.9 * RATE and np.corrcoef(heard[:n], TONE[:n])[0, 1] > 0.9
    for suffix in (".webm", ".gif"):
        sample_file(model, tmp_path / f"out{suffix}", audio=tmp_path / "tone.wav", frames=4)
    assert read_audio(tmp_path / "out.webm") is not None and read_audio(tmp_path / "out.gif") is None


def test_what_cannot_be_written(model, tmp_path):
    """Numbers are looked at before a sound is, and guidance needs something that it is towards."""
    tone = wav(tmp_path / "tone.wav", TONE)
    for given, message in (
        ({"audio": tone, "frames": 0}, "frames=0, fps=None: both must be positive"),
        ({"audio": tone, "frames": 4, "fps": np.nan}, "fps=nan"),
        ({"guidance": 3.0}, "guidance is towards"),
        ({"guidance": -1.0, "text": "a red star"}, "must be in 0..1000"),
        ({"guidance": 1e39, "text": "a red star"}, "must be in 0..1000"),
    ):
        with pytest.raises(ValueError, match=message):
            sample_file(model, tmp_path / "out.mp4", **given)
    assert not (tmp_path / "out.mp4").exists()
    with pytest.raises(ValueError, match="must be in 0..1000"):
        model.stream(0, guidance=-5.0)


@pytest.fixture
def vgm(monkeypatch, workdir, model):
    """The command line, which gets the model that has compiled already."""
    monkeypatch.setattr(runtime, "start", lambda: None)
    monkeypatch.setattr("vgm_jax.inference.load_sampler", {str(workdir): model}.get)
    return lambda *arguments: cli.main([str(a) for a in arguments])


def test_the_command_line(vgm, workdir, model, tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "first.png")
    asked = "--text", "a red circle moves left", "--class", "left", "--image", tmp_path / "first.png"
    vgm("sample", "--model", workdir, "-o", tmp_path / "a.mp4", *asked, "--truncation", 0.8, "--frames", 5)
    assert (tmp_path / "a.mp4").stat().st_size
    middle = "--picture", f"0.5={tmp_path / 'first.png'}", "--class", "all", "--guidance", 2, "--n", 2
    vgm("sample", "--model", workdir, "-o", tmp_path / "grid.mkv", *middle, "--frames", 5)
    assert (tmp_path / "grid.mkv").stat().st_size
    with pytest.raises(SystemExit):
        vgm("sample", "--model", workdir, "--picture", tmp_path / "first.png")
    for arguments, message in (
        (("--text", "blork"), "'blork'"),
        (("--class", "blork"), "no class 'blork'"),
        (("--image", tmp_path / "none.png"), "none.png"),
    ):
        with pytest.raises(SystemExit, match=f"vgm sample: error: .*{message}"):
            vgm("sample", "--model", workdir, "-o", tmp_path / "b.mp4", *arguments)
    assert not (tmp_path / "b.mp4").exists()


def test_pictures_are_seen_as_they_are_meant(tmp_path):
    """Upright, and on white where they are transparent, as those one trains on."""
    turned = Image.Exif()
    turned[0x0112] = 6  # a phone held upright: to be turned by a quarter, clockwise
    Image.fromarray(PICTURE).save(tmp_path / "phone.png", exif=turned)
    np.testing.assert_array_equal(read_picture(tmp_path / "phone.png", 16), np.rot90(PICTURE, -1))
    alpha = np.dstack([PICTURE, np.where(np.arange(16) < 8, 0, 255)[None].repeat(16, 0).astype(np.uint8)])
    Image.fromarray(alpha).save(tmp_path / "emoji.png")
    seen = read_picture(tmp_path / "emoji.png", 16)
    assert (seen[:, :8] == Look(None).background).all()
    np.testing.assert_array_equal(seen[:, 8:], PICTURE[:, 8:])
    Image.fromarray(PICTURE[..., 0].astype(np.uint16) << 8).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "deep.png", 16), PICTURE[..., :1].repeat(3, 2))


def test_a_stream_on_the_command_line(vgm, workdir, model, tmp_path, monkeypatch, capsysbinary):
    text = "a red circle moves left"
    arguments = ("stream", "--model", workdir, "--text", text, "--frames", 6, "--fps", 50)
    vgm(*arguments, "-o", "-", "--form", "raw")
    shown = np.frombuffer(capsysbinary.readouterr().out, np.uint8).reshape(6, 16, 16, 3)
    assert near(shown, np.stack(list(model.stream(0, frames=6, fps=50.0, text=text))))
    vgm(*arguments, "-o", tmp_path / "s.mp4")
    assert (tmp_path / "s.mp4").stat().st_size and capsysbinary.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO("a blue star spins\nblork\n"))
    follow = "--frames", 40, "--fps", 400, "--follow", "--blend", 0, "--form", "raw"
    vgm("stream", "--model", workdir, *follow)
    captured = capsysbinary.readouterr()
    assert b"'blork'" in captured.err
    shown = np.frombuffer(captured.out, np.uint8).reshape(40, 16, 16, 3)
    asked = np.stack(list(model.stream(0, frames=40, fps=400.0, text="a blue star spins")))
    assert near(shown[32:], asked[32:]), "the last text that could be asked for"
    wav(tmp_path / "tone.wav", TONE)
    vgm("stream", "--model", workdir, "--audio", tmp_path / "tone.wav", "-o", tmp_path / "heard.mp4")
    assert abs(len(read_audio(tmp_path / "heard.mp4")) - len(TONE)) < 0.1 * RATE
    with pytest.raises(SystemExit, match="fps=inf must be positive and finite"):
        vgm(*arguments[:-1], "inf", "-o", tmp_path / "endless.mp4")
    for options in (("--blend", "-1", "--follow"), ("--blend", "1")):
        with pytest.raises(SystemExit, match="--blend -?1: with --follow alone, and not negative"):
            vgm("stream", "--model", workdir, "-o", "-", *options)
    for options in (("--form", "raw"), ("--fast",)):
        with pytest.raises(SystemExit, match="--form and --fast are of standard output"):
            vgm(*arguments, "-o", tmp_path / "s.mp4", *options)
    with pytest.raises(SystemExit, match="a file has an end"):
        vgm("stream", "--model", workdir, "-o", tmp_path / "endless.mp4")


@pytest.mark.slow
def test_what_paints_may_be_another_runs(train, workdir, model):
    """And stays as it is: only what is imagined is learnt."""
    later = vgm_jax.load(train(start=str(workdir), frozen=True))
    first, second = (m._params for m in (model, later))
    same = lambda a, b: all(map(np.array_equal, jax.tree.leaves(a), jax.tree.leaves(b)))  # noqa: E731
    assert same(first["encoder"], second["encoder"])
    assert same(first["params"]["painting"], second["params"]["painting"])
    assert not same(first["params"]["imagination"], second["params"]["imagination"])
    with pytest.raises(ValueError, match="model.frozen needs model.start"):
        train(frozen=True)


# Models that come with the package


def test_an_exported_model_is_the_run_in_half_precision(asking, workdir, model, tmp_path, monkeypatch):
    folder = export(workdir, tmp_path / "zoo" / "small", {"data": "ShapeShow"})
    assert {path.name for path in folder.iterdir()} >= {
        "weights.safetensors.gz",
        "about.json",
        "vocabulary.json",
    }
    monkeypatch.setattr("vgm_jax.inference.zoo.HERE", tmp_path / "zoo")
    loaded = vgm_jax.load("small")
    assert loaded.step == 2 and loaded.conditions == model.conditions
    asked = dict(text="a red circle moves left", label="left")
    apart = np.abs(loaded.sample(0, **asked).astype(int) - model.sample(0, **asked))
    assert apart.max() <= 4
    small = export(workdir, tmp_path / "zoo" / "smaller", {}, eight_bits=True)
    sizes = [(path / "weights.safetensors.gz").stat().st_size for path in (small, folder)]
    assert sizes[0] < 0.9 * sizes[1]
    apart = np.abs(vgm_jax.load("smaller").sample(0, **asked).astype(int) - model.sample(0, **asked))
    assert apart.mean() < 3
    monkeypatch.setattr("vgm_jax.tasks.restoring.PACKAGED", tmp_path / "zoo")
    config = asking(start="small", frozen=True)  # what paints may be that, too
    batch = next(iter(EvaluationBatches(make_source(config.data, "train"), batch_size=2, count=2)))
    later = jax.jit(build(config).init)(jax.random.key(0), batch).generator
    parts = (loaded._params["encoder"], loaded._params["params"]["painting"])
    for a, b in zip(parts, (later["encoder"], later["params"]["painting"]), strict=True):
        assert all(map(np.array_equal, jax.tree.leaves(a), jax.tree.leaves(b)))
    (folder / "about.json").write_text("{")
    with pytest.raises(RuntimeError, match="small is damaged"):
        vgm_jax.load("small")
    with pytest.raises(
        RuntimeError, match="smalll is not the workdir of a run, nor a model .*: small, smaller"
    ):
        vgm_jax.load("smalll")
