"""High dynamic range, as phones film, brought to the range of everything else: uint8 RGB in, uint8 RGB out.

Without this, pictures coded for 1,000 nits and more are pale and grey. The transfer functions are those of
ITU-R BT.2100-2 (tables 4 and 5), white of diffuse things is 203 nits (BT.2408, table 1), colours outside of
BT.709 (matrix: BT.2087, eq. 4) are cut off, and what is brighter than four fifths of that white comes ever
nearer to full white. Codes of 8 bits come in, so dark gradients have steps.
"""

import functools

import numpy as np

PQ, HLG = 16, 18  # AVColorTransferCharacteristic
WHITE = 203.0  # nits
PEAK = 1000.0  # nits, of the display that HLG is shown on
KNEE = 0.8  # of white, from where on brightness is compressed

_TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
_LUMA = np.array([0.2627, 0.6780, 0.0593])


def to_sdr(picture: np.ndarray, transfer: int, wide: bool = True) -> np.ndarray:
    """uint8 [H W 3] of another transfer function to sRGB's uint8 [H W 3]; others than PQ and HLG as they are.

    `wide`: its primaries are BT.2020's.
    """
    if transfer not in (PQ, HLG):
        return picture
    light = _linear(transfer)[picture]
    if transfer == HLG:  # the display's share: brighter parts are made brighter still
        light = light * (PEAK * np.maximum(light @ _LUMA, 1e-6)[..., None] ** 0.2)
    light = light / WHITE
    if wide:
        light = light @ _TO_BT709.T
    light = np.clip(light, 0.0, None)
    # All three by what the brightest needs, so that colours keep their hue.
    most = light.max(-1, keepdims=True)
    held = np.where(most > KNEE, 1 - (1 - KNEE) * np.exp((KNEE - most) / (1 - KNEE)), most)
    light = light * (held / np.maximum(most, 1e-6))
    code = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(255 * code).astype(np.uint8)


@functools.cache
def _linear(transfer: int) -> np.ndarray:
    """Of each code of 8 bits: nits of PQ, the scene's light of HLG in 0..1. float64 [256]."""
    code = np.arange(256) / 255
    if transfer == PQ:
        m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
        x = code ** (1 / m2)
        return 10_000 * (np.maximum(x - c1, 0) / (c2 - c3 * x)) ** (1 / m1)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
