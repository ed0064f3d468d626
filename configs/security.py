"""`own_videos` for fixed cameras: mostly still, one frame a second; a folder a camera, in one split as a
whole.

python -m vgm_jax.main --config configs/security.py --config.data.path=DIR       # DIR/camera/recording.mp4

Watch for: nothing happening. In most hours nothing does, and a generator learns just that: pick recordings
with events, or let `vgm prepare` put out what is frozen. Its limit looks at any 1/256 of the picture, so that
one person far away is kept, and at night the camera's noise alone may pass for motion: see the histogram of
motion in report.html, and set `--frozen` by it. Recorders that only write on motion leave long gaps; a frame
then stays, by its time, and a gap of more than ten minutes counts as broken timestamps: such files must be
cut there. Day, and night in infrared, are two looks that no clip connects: the generator draws categories
too, which may part them. What it assumes, a picture that stays but for what changes, is true here as
nowhere else. With few cameras it learns these few grounds by heart, and says nothing about another camera:
hence splits by camera (`vgm prepare --fps 1 --groups`). Whoever is filmed has rights; ask before you film.

Untested on real surveillance footage.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """One frame a second, slow motion codes; cameras are the unit of splits."""
    path = Path(__file__).with_name("own_videos.py")
    config = runpy.run_path(str(path))["get_config"]()
    config.data.fps = 1.0  # 16 frames: sixteen seconds
    config.data.folder.groups = True
    return config.lock()
