"""`own_videos` for footage from a moving car, train or drone: 24 frames a second, everything moves.

python -m vgm_jax.main --config configs/driving.py --config.data.path=DIR

Watch for: direction. Clips are neither mirrored, which would put the car on the other side of the road and
turn signs around, nor reversed, which would drive it backwards; do not add "flip" or "reverse" to
`data.augment`. The largest square is cut out of the middle of a wide frame, so that the sides of the road are
lost. The generator bends one picture by up to half its side: what comes into view beyond that is left to what
it paints anew for each frame. Frames that follow one another differ by much near the edges,
hence the high rate. Split by drive, not by file, where recorders cut a drive into files of a minute: one
folder a drive, and `--config.data.folder.groups=true`, or first `vgm prepare --fps 24 --groups`. Plates and
faces are personal data: blur them first.

Untested on real driving. Of all these recipes it asks most of what the generator cannot do.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """A high rate, quick motion codes, and a picture that bends far."""
    path = Path(__file__).with_name("own_videos.py")
    config = runpy.run_path(str(path))["get_config"]()
    config.data.fps = 24.0  # 16 frames: two thirds of a second
    config.model.generator.bend = 1.0
    return config.lock()
