"""Text under clips, for people to read."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

_LEAST, _PART = 12, 24  # pixels of a letter's height, and what part of the picture's it is
_MARGIN = 4


def captioned(
    video: np.ndarray, texts: Sequence[tuple[str, Colour]], side: int = 0, rows: int = 0
) -> np.ndarray:
    """Frames with texts under them, black or coloured on white, broken into lines that fit.

    Args:
      video: uint8 [T H W 3].
      texts: (text, colour), each on lines of its own.
      side: pixels; smaller frames are enlarged by a whole number until their shorter side has them.
      rows: lines there are: fewer are filled up, of more the last words are not shown. 0: as many as needed.

    Returns:
      uint8 [T H' W' 3], all of one size.
    """
    scale = max(1, -(-side // min(video.shape[1:3])))
    video = video.repeat(scale, 1).repeat(scale, 2)
    t, h, w, _ = video.shape
    size = max(_LEAST, h // _PART)
    font = ImageFont.load_default(size)
    lines = [(line, colour) for text, colour in texts for line in _wrapped(text, w - 2 * _MARGIN, font)]
    lines = lines[:rows] if rows else lines
    band = Image.new("RGB", (w, max(rows, len(lines)) * (size + _MARGIN) + _MARGIN), "white")
    draw = ImageDraw.Draw(band)
    for i, (line, colour) in enumerate(lines):
        draw.text((_MARGIN, i * (size + _MARGIN) + 1), line, colour, font)
    return np.concatenate([video, np.broadcast_to(np.asarray(band), (t, *np.asarray(band).shape))], 1)


def _wrapped(text: str, width: int, font: ImageFont.FreeTypeFont) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
