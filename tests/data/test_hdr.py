"""High dynamic range against what BT.2100 codes, and in files."""

import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace

from vgm_jax.data._hdr import HLG, PQ, WHITE, to_sdr
from vgm_jax.data.decode import read_frames

GREYS = np.array([0.02, 0.05, 0.1, 0.18, 0.3, 0.5, 0.75])  # of diffuse white


def pq(nits):
    """BT.2100 table 4, from light to code in 0..1."""
    y = (np.asarray(nits) / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32)


def hlg(nits, peak=1000.0):
    """BT.2100 table 5, of grey: the display's gamma undone, and then from light to code."""
    scene = (np.asarray(nits) / peak) ** (1 / 1.2)
    a, b = 0.17883277, 1 - 4 * 0.17883277
    c = 0.5 - a * np.log(4 * a)
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)


def srgb(light):
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def primaries(red, green, blue, white=(0.3127, 0.3290)):
    """From RGB to XYZ, by chromaticities."""
    to_xyz = lambda x, y: np.array([x / y, 1.0, (1 - x - y) / y])  # noqa: E731
    columns = np.stack([to_xyz(*p) for p in (red, green, blue)], 1)
    return columns * np.linalg.solve(columns, to_xyz(*white))


def test_greys_are_what_they_would_be_in_standard_range():
    for transfer, code in ((PQ, pq), (HLG, hlg)):
        codes = np.rint(255 * code(WHITE * GREYS)).astype(np.uint8)
        found = to_sdr(np.repeat(codes[None, :, None], 3, 2), transfer)
        expected = srgb(GREYS)
        assert np.abs(found[0, :, 0] - expected).max() < 5, "a code of 8 bits is some grey levels"
        assert np.ptp(found, axis=-1).max() <= 1


def test_colours_keep_theirs():
    """Colours of BT.709 that are coded by BT.2020's primaries come back; brighter ones as bright ones."""
    wide = primaries((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
    narrow = primaries((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
    colours = np.array([[0.6, 0.1, 0.1], [0.1, 0.5, 0.2], [0.15, 0.2, 0.7], [0.4, 0.4, 0.1]])
    light = colours @ np.linalg.solve(wide, narrow).T
    codes = np.rint(255 * pq(WHITE * light)).astype(np.uint8)[None]
    assert np.abs(to_sdr(codes, PQ)[0] - srgb(colours)).max() < 8
    bright = to_sdr(np.rint(255 * pq(4 * WHITE * light)).astype(np.uint8)[None], PQ)[0]
    assert bright.max() > 250 and (bright.argmax(-1) == colours.argmax(-1))[:3].all()
    ramp = to_sdr(np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2), PQ)[0, :, 0].astype(int)
    assert np.diff(ramp).min() >= 0 and ramp[0] == 0 and ramp[-1] > 250


def test_standard_range_is_left_alone():
    picture = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    assert to_sdr(picture, 1) is picture and to_sdr(picture, 2) is picture


@pytest.mark.skipif(
    not hasattr(av.VideoFrame, "color_trc"), reason="PyAV does not tell the transfer function"
)
@pytest.mark.parametrize("transfer", [PQ, HLG, 1])
def test_in_a_file(tmp_path, transfer):
    codes = np.full((48, 64, 3), 120, np.uint8)
    codes[:, 32:] = (150, 110, 90)
    with av.open(str(tmp_path / "phone.mov"), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc = 9, 9, transfer
        picture = av.VideoFrame.from_ndarray(codes, format="rgb24")
        picture = picture.reformat(format="yuv420p10le", dst_colorspace=Colorspace.BT2020, threads=1)
        for _ in range(3):
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    frames, _ = read_frames(tmp_path / "phone.mov")
    expected = to_sdr(codes, transfer)
    away = np.abs(frames[:, 4:-4].astype(int) - expected[4:-4])
    assert away[:, :, :28].max() <= 4 and away[:, :, 36:].max() <= 4
    assert transfer == 1 or np.abs(expected.astype(int) - codes).max() > 20
