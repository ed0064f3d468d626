"""`own_videos` for lectures: slides and speech, mostly still, at 128 x 128 and two frames a second.

python -m vgm_jax.main --config configs/lectures.py --config.data.path=DIR

Watch for: stillness. Between two slides nothing moves but the speaker, which `vgm prepare` may call frozen:
see report.html, and lower `--frozen` where it leaves too little; it needs `--size 128 --fps 2`. Eight seconds
are a clip, so that some show a change of slides. Writing cannot be read at 128 x 128, not in the data either:
what can be learnt is the layout. The largest square is cut out of the middle, and slides of 16:9 lose nearly
half their width: cut the slide out beforehand if it must be whole. Sound is loaded beside the pictures, for
tasks that listen; generation does not, and loads less with `--config.data.folder.audio=false`. Clips are not
mirrored, since writing would be. A speaker's face and voice are personal data.

Untested on real lectures. At four times the pixels of `own_videos`, and half the batch, an update takes
longer.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Long, sparse clips with sound, at 128 x 128."""
    path = Path(__file__).with_name("own_videos.py")
    config = runpy.run_path(str(path))["get_config"]()
    config.data.size = 128
    config.data.fps = 2.0  # 16 frames: eight seconds
    config.data.batch_size = 8
    config.data.folder.audio = True
    levels = {"frame_widths": (16, 32, 64, 96), "frame_depths": (0, 0, 0, 1)}  # one more than at 64 x 64
    config.model.discriminator.update(levels)
    config.model.encoder.widths = (16, 32, 48, 96, 160)
    return config.lock()
