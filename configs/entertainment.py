"""`own_videos` for edited footage: films, trailers, clips from the web; many cuts, writing in the picture.

vgm prepare DIR --out data/clips --frames 8
python -m vgm_jax.main --config configs/entertainment.py --config.data.path=data/clips

Watch for: cuts. A shot of edited footage lasts two or three seconds, so of windows taken from whole films
many cross a cut, and a generator that bends one picture and paints over it can only smear the two scenes into
each other: prepare first, which never lets a clip cross a cut, and keep clips short. Credits, captions and
channel logos are learnt like anything else; clips are not mirrored, since writing would be. Trailers quote
their films: if both are there, prepare puts out the copy, but different cuts of a film stay together in one
split only where you put them into folders named train, validation and test. Respect what you may use:
`licence` in collected.jsonl goes into the data set.

Untested on real edited footage but Big Buck Bunny's shots; the networks' settings are not tuned for it.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Short clips."""
    path = Path(__file__).with_name("own_videos.py")
    config = runpy.run_path(str(path))["get_config"]()
    config.data.frames = 8  # two thirds of a second
    return config.lock()
