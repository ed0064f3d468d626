"""A contact sheet: a picture of each part of a film, when it comes, and how much it matters."""

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from vgm_jax.data import decode
from vgm_jax.data.media import write_image

WIDE = 200  # pixels of a picture
LINE = 16  # pixels of what is written under it
COLUMNS, MOST = 5, 60
MARGIN = 4
BAR = (200, 40, 60)


def contact_sheet(
    path: str | os.PathLike,
    parts: Sequence[tuple[float, float, float]],
    out: str | os.PathLike,
    rate: float = 1.0,
) -> None:
    """Writes a png of a film's parts, the MOST important of them, in their order.

    Args:
      path: of the film.
      parts: (start, end, importance in 0..1) of each, seconds; its picture is the one in the middle.
      out: the png.
      rate: frames a second of a folder of pictures or an .npy, which do not say it.

    Raises DecodeError, OSError; ValueError for no parts or another suffix.
    """
    if not parts:
        raise ValueError(f"{out}: there is no part to show")
    best = sorted(range(len(parts)), key=lambda i: -parts[i][2])[:MOST]
    shown = [parts[i] for i in sorted(best)]
    info = decode.probe(path, rate=rate)
    high = max(8, round(WIDE * info.height / (info.width * info.pixel_aspect)))
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    cell = WIDE + MARGIN, high + LINE + MARGIN
    page = Image.new("RGB", (columns * cell[0] + MARGIN, rows * cell[1] + MARGIN), "white")
    draw = ImageDraw.Draw(page)
    middles = [(start + end) / 2 for start, end, _ in shown]
    order = sorted(range(len(middles)), key=middles.__getitem__)
    look = dict(size=(high, WIDE), crop="none", rate=rate)
    frames = decode.iterate_frames(path, [middles[i] for i in order], **look)
    pictures = dict(zip(order, (frame for frame, _ in frames), strict=True))
    for i, (start, end, importance) in enumerate(shown):
        x, y = MARGIN + i % columns * cell[0], MARGIN + i // columns * cell[1]
        page.paste(Image.fromarray(pictures[i]), (x, y))
        draw.text((x, y + high + 2), f"{clock(start)}  {end - start:.1f} s", "black")
        full = WIDE // 3
        draw.rectangle((x + WIDE - full, y + high + 6, x + WIDE - 1, y + high + 10), outline=(200, 200, 200))
        length = round((full - 1) * min(max(importance, 0.0), 1.0))
        draw.rectangle((x + WIDE - full, y + high + 6, x + WIDE - full + length, y + high + 10), BAR)
    write_image(out, np.asarray(page))


def clock(seconds: float) -> str:
    """0:01:23."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
