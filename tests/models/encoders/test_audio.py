import jax
import numpy as np
import pytest
from scipy.signal import get_window

from vgm_jax.models.encoders.audio import filters, log_mel


def reference(audio):
    """Window by window, band by band, in double precision."""
    hann, hertz = get_window("hann", 400), np.arange(257) * 16_000 / 512
    low, high = (1127 * np.log(1 + f / 700) for f in (125, 7500))
    edges = 700 * (np.exp(np.linspace(low, high, 66) / 1127) - 1)
    rows = []
    for start in range(0, len(audio) - 399, 160):
        magnitude = np.abs(np.fft.rfft(hann * audio[start : start + 400], 512))
        bands = []
        for left, centre, right in zip(edges, edges[1:], edges[2:], strict=False):
            at = 1127 * np.log(1 + np.array([left, centre, right]) / 700)
            weight = np.interp(1127 * np.log(1 + hertz / 700), at, [0, 1, 0])
            bands.append(weight @ magnitude)
        rows.append(np.log(np.array(bands) + 0.01))
    return np.array(rows)


@pytest.mark.parametrize("samples", [400, 559, 560, 16_000])
def test_it_is_the_formula(samples):
    rng = np.random.default_rng(0)
    audio = rng.uniform(-1, 1, (2, samples)) * np.array([[1.0], [0.01]])
    found = jax.jit(log_mel)(audio.astype(np.float32))
    expected = np.stack([reference(row) for row in audio])
    assert found.shape == expected.shape == (2, 1 + (samples - 400) // 160, 64)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_a_tone_is_in_its_band_and_silence_at_the_offset():
    tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000).astype(np.float32)
    found = np.asarray(jax.jit(log_mel)(np.stack([tone, np.zeros_like(tone)])))
    edges = 700 * (np.exp(np.linspace(*(1127 * np.log(1 + f / 700) for f in (125, 7500)), 66) / 1127) - 1)
    band = int(found[0, 10].argmax())
    assert edges[band] < 1000 < edges[band + 2]
    np.testing.assert_allclose(found[1], np.log(0.01), atol=1e-5)
    assert filters().max() <= 1 and (filters() >= 0).all()


def test_too_short_a_sound_is_refused():
    with pytest.raises(ValueError, match="at least 400 samples; this one has 399"):
        log_mel(np.zeros((1, 399), np.float32))
