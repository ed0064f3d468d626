"""Sound, of files that the tests write: pulses at known times and tones of known pitch are found there."""

import os
import tracemalloc
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from vgm_jax.data.audio import SAMPLE_RATE, open_audio, read_audio
from vgm_jax.data.decode import DecodeError


def pulses(seconds, rate, at, tone=440.0):
    """float32 [n]: a quiet tone, and band-limited pulses at some seconds."""
    t = np.arange(round(seconds * rate)) / rate
    sound = 0.1 * np.sin(2 * np.pi * tone * t) if tone else np.zeros(len(t))
    for when in at:
        sound = sound + 0.7 * np.exp(-0.5 * ((t - when) / 2e-4) ** 2)
    return sound.astype(np.float32)


def write(
    path, sound, rate, codec, layout="mono", pictures="libx264", starts=(0.0, 0.0), pause=(), **options
):
    """A film at 10 frames a second with a sound [n] or [channels n], or, with no `pictures`, only the sound.

    `starts`: of picture and sound, seconds. `pause`: (from, seconds) by which what is after comes later.
    """
    sound = np.atleast_2d(np.asarray(sound, np.float32))
    packets = []
    with av.open(str(path), "w") as container:
        if pictures:
            video = container.add_stream(pictures, rate=10)
            video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
            video.codec_context.time_base, video.codec_context.gop_size = Fraction(1, 1000), 10
        audio = container.add_stream(codec, rate=rate, layout=layout, options=options)
        for t in range(round(sound.shape[1] / rate * 10) if pictures else 0):
            picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), t % 250, np.uint8))
            picture = picture.reformat(format="yuv420p", threads=1)
            picture.pts, picture.time_base = round(1000 * (starts[0] + t / 10)), Fraction(1, 1000)
            packets += video.encode(picture)
        packets += video.encode() if pictures else []
        step = audio.codec_context.frame_size or 1000
        for i in range(0, sound.shape[1], step):
            block = np.ascontiguousarray(sound[:, i : i + step])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate = rate
            later = pause[1] if pause and i >= pause[0] * rate else 0.0
            form = av.AudioResampler(format=audio.codec_context.format.name, layout=layout, rate=rate)
            for piece in form.resample(frame):
                piece.pts, piece.time_base = i + round((starts[1] + later) * rate), Fraction(1, rate)
                packets += audio.encode(piece)
        packets += audio.encode()
        for packet in sorted(packets, key=lambda p: float((p.pts if p.dts is None else p.dts) * p.time_base)):
            container.mux(packet)
    return path


def loudest(sound, around):
    """The sample of the peak within half a second of a time."""
    first = round((around - 0.5) * SAMPLE_RATE)
    return first + int(np.argmax(sound[first : first + SAMPLE_RATE]))


FILMS = {
    "mp4/aac 44.1 kHz": ("a.mp4", "aac", 44100, {}),
    "mp4/aac 48 kHz": ("a.mp4", "aac", 48000, {}),
    "mkv/opus": ("a.mkv", "libopus", 48000, {}),
    "mkv/vorbis": ("a.mkv", "vorbis", 44100, {"layout": "stereo", "strict": "-2"}),
    "mkv/aac": ("a.mkv", "aac", 44100, {}),
    "webm/opus": ("a.webm", "libopus", 48000, {"pictures": "libvpx"}),
    "mov/pcm": ("a.mov", "pcm_s16le", 44100, {}),
    "mov/8 bit, 22.05 kHz": ("a.mov", "pcm_u8", 22050, {}),
    "mkv/float, 16 kHz": ("a.mkv", "pcm_f32le", 16000, {}),
    "ts/aac": ("a.ts", "aac", 48000, {}),
    "avi/mp3": ("a.avi", "libmp3lame", 44100, {"pictures": "mpeg4"}),
    "wav, 24 bit": ("a.wav", "pcm_s24le", 44100, {"pictures": ""}),
    "mp3": ("a.mp3", "libmp3lame", 44100, {"pictures": ""}),
    "flac": ("a.flac", "flac", 44100, {"pictures": ""}),
    "ogg/opus": ("a.ogg", "libopus", 48000, {"pictures": ""}),
}
# A film of avi does not tell of the samples that the encoder puts before an MP3, as documented.
LATE = {"avi/mp3": 1105 * SAMPLE_RATE / 44100}


@pytest.mark.parametrize("kind", FILMS)
def test_pulse_and_tone_are_where_they_are_and_pieces_equal_the_whole(tmp_path, kind):
    name, codec, rate, more = FILMS[kind]
    sound = pulses(6, rate, at=(1.0, 4.5))
    path = write(tmp_path / name, [sound] * (2 if "layout" in more else 1), rate, codec, **more)
    whole = read_audio(path)
    assert whole.dtype == np.float32 and whole.ndim == 1
    assert 6 * SAMPLE_RATE <= len(whole) + 1 and len(whole) < 6.1 * SAMPLE_RATE
    for time in (1.0, 4.5):
        assert abs(loudest(whole, time) - time * SAMPLE_RATE - LATE.get(kind, 0)) <= 1
    tone = np.abs(np.fft.rfft(whole[2 * SAMPLE_RATE : 4 * SAMPLE_RATE]))
    assert np.argmax(tone) / 2 == 440
    assert 0.09 < 2 * tone.max() / (2 * SAMPLE_RATE) < 0.11
    with open_audio(path) as opened:
        for start in (4.4, 3.9, 2.6, 2.8, 0.5, 4.6, 3.123, 0.0):  # jumps, and going on
            piece = opened.read(start, 1.3)
            first = round(SAMPLE_RATE * start)
            assert len(piece) == round(SAMPLE_RATE * 1.3)
            expected = whole[first : first + len(piece)]
            np.testing.assert_allclose(piece[: len(expected)], expected, atol=1e-4 if codec == "aac" else 0)
    np.testing.assert_array_equal(
        read_audio(path, 3.0, 2.5), whole[3 * SAMPLE_RATE :][: 5 * SAMPLE_RATE // 2]
    )


@pytest.mark.parametrize(
    "name, codec, exact", [("a.mov", "pcm_s16le", 1), ("a.mp4", "aac", 16), ("a.mkv", "flac", 16)]
)
@pytest.mark.parametrize("starts", [(0.0, 0.5), (0.5, 0.0), (0.3, 0.3)])
def test_time_is_that_of_the_first_picture(tmp_path, name, codec, exact, starts):
    # Containers round the offset to a millisecond, that is 16 samples.
    path = write(tmp_path / name, pulses(4, 44100, at=(2.0,)), 44100, codec, starts=starts)
    late = starts[1] - starts[0]
    sound = read_audio(path, 0.0, 5.0)
    assert len(sound) == 5 * SAMPLE_RATE
    assert abs(loudest(sound, 2 + late) - (2 + late) * SAMPLE_RATE) <= exact
    begins, ends = round(max(late, 0) * SAMPLE_RATE), round((4 + late) * SAMPLE_RATE)
    # An encoder's priming, 1024 samples, is part of what mp4 shows where the sound begins late.
    assert not sound[: max(begins - 400, 0)].any(), "silence before it begins"
    assert np.abs(sound[begins + 200 : begins + 2000]).max() > 0.05
    assert not sound[ends + 2500 :].any(), "silence after it ends"
    assert not read_audio(path, 60.0, 0.5).any()


def test_a_film_that_was_cut_off_keeps_its_time(tmp_path):
    whole = write(tmp_path / "a.mp4", pulses(6, 16000, [2.5]), 16000, "aac", starts=(1.0, 0.0))
    early = tmp_path / "early.mp4"  # its index comes first, so that its beginning can be read
    with av.open(str(whole)) as source, av.open(str(early), "w", options={"movflags": "faststart"}) as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                out.mux(packet)
    data = early.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) * 5 // 6])
    np.testing.assert_allclose(read_audio(cut, 0.0, 2.0), read_audio(early, 0.0, 2.0), atol=1e-3)
    assert abs(loudest(read_audio(cut, 0.0, 2.0), 1.5) - 1.5 * SAMPLE_RATE) < 200, "from its first picture"


def test_a_pause_is_silence_and_what_follows_is_on_time(tmp_path):
    sound = pulses(4, 48000, at=(1.0, 3.0))
    path = write(tmp_path / "a.mkv", sound, 48000, "pcm_s16le", pause=(2.0, 1.5))
    heard = read_audio(path, 0.0, 6.0)
    assert loudest(heard, 1.0) == SAMPLE_RATE and abs(loudest(heard, 4.5) - 4.5 * SAMPLE_RATE) <= 16
    assert not heard[round(2.05 * SAMPLE_RATE) : round(3.45 * SAMPLE_RATE)].any()
    assert np.abs(heard[round(1.9 * SAMPLE_RATE) : 2 * SAMPLE_RATE]).max() > 0.05
    absurd = write(tmp_path / "b.mkv", sound, 48000, "pcm_s16le", pause=(2.0, 1e5))
    with pytest.raises(DecodeError, match=r"b\.mkv: broken timestamps: its sound pauses for 100000 s"):
        read_audio(absurd)


def test_seeking_in_a_long_film_is_exact_and_does_not_read_all(tmp_path):
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 30 * 48000)
    paths = [
        write(tmp_path / f"a.{name}", sound, 48000, codec) for name, codec in (("mp4", "aac"), ("mkv", "aac"))
    ]
    for path in paths:
        whole = read_audio(path)
        for start in (29.0, 17.234, 5.0):
            first = round(start * SAMPLE_RATE)
            np.testing.assert_array_equal(read_audio(path, start, 0.7), whole[first : first + 11200])
    # What is destroyed in the middle, nobody notices who jumps over it.
    data = bytearray(paths[1].read_bytes())
    data[len(data) // 2 : len(data) // 2 + 20000] = bytes(20000)
    paths[1].write_bytes(data)
    with pytest.raises(DecodeError):
        read_audio(paths[1])
    np.testing.assert_array_equal(read_audio(paths[1], 25.0, 1.0), whole[25 * SAMPLE_RATE : 26 * SAMPLE_RATE])


def test_memory_stays_flat_over_consecutive_pieces(tmp_path):
    path = write(tmp_path / "a.flac", pulses(60, 16000, at=(33.0,)), 16000, "flac", pictures="")
    with open_audio(path) as sound:
        sound.read(0.0, 1.0)
        tracemalloc.start()
        for i in range(1, 60):
            assert (sound.read(i, 1.0).max() > 0.5) == (i in (32, 33))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 12 * 4 * SAMPLE_RATE, "a few seconds, not sixty"


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000])
def test_resampling_agrees_with_scipy(tmp_path, rate):
    rng = np.random.default_rng(rate)
    t = np.arange(rate) / rate
    sound = sum(
        0.1 * np.sin(2 * np.pi * (f * t + p))
        for f, p in zip(rng.uniform(50, 3000, 6), rng.random(6), strict=True)
    )
    path = write(tmp_path / "a.wav", sound, rate, "pcm_f32le", pictures="")
    ours, scale = read_audio(path, 0.0, 1.0), np.gcd(rate, SAMPLE_RATE)
    theirs = resample_poly(sound, SAMPLE_RATE // scale, rate // scale, window=("kaiser", 12.0))
    inner = slice(800, 15200)
    np.testing.assert_allclose(ours[inner], theirs[inner], atol=3e-3)
    assert np.corrcoef(ours[inner], theirs[inner])[0, 1] > 0.9999


@pytest.mark.parametrize(
    "layout, weights",
    [
        ("mono", [1]),
        ("stereo", [1, 1]),
        ("5.1", [1, 1, 2**0.5, 0, 0.5**0.5, 0.5**0.5]),  # FL FR FC LFE BL BR
        ("quad", [1, 1, 0.5**0.5, 0.5**0.5]),
    ],
)
def test_channels_become_one_by_their_weights(tmp_path, layout, weights):
    levels = np.linspace(0.1, 0.6, len(weights))
    sound = np.repeat(levels[:, None], 16000, 1)
    path = write(tmp_path / "a.wav", sound, 16000, "pcm_f32le", layout=layout, pictures="")
    expected = levels @ weights / sum(weights)
    np.testing.assert_allclose(read_audio(path), expected, atol=1e-6)
    full = write(
        tmp_path / "b.wav", np.ones((len(weights), 1600)), 16000, "pcm_f32le", layout=layout, pictures=""
    )
    np.testing.assert_allclose(read_audio(full), 1.0, atol=1e-6)


@pytest.mark.parametrize(
    "codec, step",
    [
        ("pcm_u8", 2**-7),
        ("pcm_s16le", 2**-15),
        ("pcm_s24le", 2**-23),
        ("pcm_s32le", 2**-31),
        ("pcm_f64le", 0),
    ],
)
def test_sample_formats_have_one_scale(tmp_path, codec, step):
    sound = np.linspace(-0.99, 0.99, 8000)
    path = write(tmp_path / "a.wav", sound, 16000, codec, pictures="")
    np.testing.assert_allclose(read_audio(path), sound, atol=step + 2e-7)


@settings(max_examples=25, deadline=None)
@given(start=st.floats(0, 7), seconds=st.floats(0, 3))
def test_any_piece_has_the_length_asked_for_and_the_samples_of_the_whole(shared, start, seconds):
    path, opened, whole = shared
    piece = opened.read(start, seconds)
    assert piece.shape == (round(SAMPLE_RATE * seconds),)
    first = round(SAMPLE_RATE * start)
    np.testing.assert_array_equal(piece, np.pad(whole, (0, 11 * SAMPLE_RATE))[first : first + len(piece)])


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "a.mkv"
    write(path, pulses(5, 44100, at=(1.0, 2.0, 4.0)), 44100, "aac")
    with open_audio(path) as sound:
        yield path, sound, read_audio(path)


# Other files


def test_what_has_no_sound_is_none(tmp_path):
    write(tmp_path / "a.mp4", pulses(1, 16000, at=()), 16000, "aac")
    with av.open(str(tmp_path / "silent.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode())
    np.save(tmp_path / "a.npy", np.zeros((4, 8, 8, 3), np.uint8))
    (tmp_path / "frames").mkdir()
    for name in ("silent.mp4", "a.npy", "frames"):
        assert read_audio(tmp_path / name) is None and open_audio(tmp_path / name) is None
    assert read_audio(tmp_path / "a.mp4") is not None


def test_damage_names_the_file(tmp_path):
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 5 * 16000)
    path = write(tmp_path / "a.m4a", sound, 16000, "aac", pictures="")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4000] = b"\xff" * 4000
    path.write_bytes(data)
    with pytest.raises(DecodeError, match=r"a\.m4a: its sound is damaged"):
        read_audio(path)
    assert np.abs(read_audio(path, 0.5, 0.5)).max() > 0.1, "what comes before is whole"
    with open_audio(path) as opened:
        for _ in range(2):
            with pytest.raises(DecodeError):
                opened.read(0.0, 4.5)
    (tmp_path / "b.mp4").write_bytes(b"this is no film" * 100)
    (tmp_path / "c.mp3").write_bytes(b"")
    for name in ("b.mp4", "c.mp3", "missing.mp4"):
        with pytest.raises(DecodeError, match=name):
            read_audio(tmp_path / name)
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(DecodeError, match=r"pipe\.wav: not a regular file"):
        read_audio(tmp_path / "pipe.wav")


def test_what_is_no_number_is_silence_and_nothing_exceeds_one(tmp_path):
    sound = np.full(16000, 0.5, np.float32)
    sound[100], sound[200], sound[300] = np.nan, np.inf, 7.0
    path = write(tmp_path / "a.wav", sound, 16000, "pcm_f32le", pictures="")
    heard = read_audio(path)
    assert heard[[100, 200, 300]].tolist() == [0.0, 0.0, 1.0] and heard[400] == 0.5


@pytest.mark.parametrize("arguments", [(-1.0, 1.0), (float("nan"), 1.0), (0.0, -1.0), (0.0, float("inf"))])
def test_arguments_out_of_range(tmp_path, arguments):
    path = write(tmp_path / "a.wav", np.zeros(100), 16000, "pcm_f32le", pictures="")
    with pytest.raises(ValueError, match="must be"):
        read_audio(path, *arguments)
