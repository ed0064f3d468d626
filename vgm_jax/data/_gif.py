"""Gifs of one palette for the whole clip."""

import math
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image


class GifEncoder:
    """First pass: frames to disk, their colours to a histogram. Second pass: palette, dither, encode."""

    BITS = 6  # a channel in the histogram
    SAMPLE = 16384  # pixels of a frame that enter it, at most

    def __init__(self, path: Path, fps: Fraction, scale: int):
        self.path, self.scale = path, scale
        self.delay = max(Fraction(100) / fps, Fraction(2))  # centiseconds
        self.spool = tempfile.TemporaryFile(dir=path.parent)
        self.count = 0
        self.counts = np.zeros(8**self.BITS, np.int64)
        self.sums = np.zeros((3, 8**self.BITS), np.int64)

    def write(self, frame: np.ndarray) -> None:
        self.shape = frame.shape
        self.spool.write(frame.tobytes())
        pixels = frame.reshape(-1, 3)
        stride = -(-len(pixels) // self.SAMPLE)
        channels = pixels[self.count % stride :: stride].T.astype(np.int64)
        r, g, b = channels >> (8 - self.BITS)
        index = (r << 2 * self.BITS) | (g << self.BITS) | b
        np.add.at(self.counts, index, 1)
        for total, channel in zip(self.sums, channels, strict=True):
            np.add.at(total, index, channel)
        self.count += 1

    def palette(self) -> Image.Image:
        """256 colours that cover the mean colours of the histogram's bins, or those means if they suffice."""
        used = np.flatnonzero(self.counts)
        colours = (self.sums[:, used] / self.counts[used]).round().astype(np.uint8).T
        if len(colours) > 256:
            return Image.fromarray(colours[None]).quantize(256, method=Image.Quantize.MAXCOVERAGE)
        picture = Image.new("P", (1, 1))
        picture.putpalette(np.resize(colours, (256, 3)).tobytes())
        return picture

    def finish(self) -> None:
        palette = self.palette()
        table = np.full((256, 4), 255, np.uint8)
        colours = np.asarray(palette.getpalette("RGB"), np.uint8).reshape(-1, 3)
        table[:, 1:] = np.resize(colours, (256, 3))
        starts = [round(i * self.delay) for i in (self.count - 1, self.count)]
        options = {"loop": "0", "final_delay": str(starts[1] - starts[0])}
        with av.open(str(self.path), "w", container_options=options) as container:
            stream = container.add_stream("gif", rate=100)
            stream.height, stream.width = self.shape[0] * self.scale, self.shape[1] * self.scale
            stream.pix_fmt, stream.codec_context.time_base = "pal8", Fraction(1, 100)
            self.spool.seek(0)
            for i in range(self.count):
                frame = np.frombuffer(self.spool.read(math.prod(self.shape)), np.uint8).reshape(self.shape)
                picture = Image.fromarray(enlarge(frame, self.scale))
                indices = np.asarray(picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG))
                picture = av.VideoFrame.from_ndarray((indices, table), format="pal8")
                picture.pts, picture.time_base = round(i * self.delay), Fraction(1, 100)
                container.mux(stream.encode(picture))
            container.mux(stream.encode())

    def close(self) -> None:
        self.spool.close()


def enlarge(image: np.ndarray, scale: int) -> np.ndarray:
    return image.repeat(scale, axis=0).repeat(scale, axis=1)
