"""Videos of ShapeShow asked for by words, a class, a first picture or a sound, by any of them, or by none.

python -m vgm_jax.main --config configs/conditional.py

`--config.data.shapeshow.held_out=0.1` keeps a tenth of the combinations of shape, colour and motion from it;
`--config.model.generator.conditions="('text',)"` leaves the others out.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """`base` with words and sound in its batches, and a smaller encoder."""
    config = runpy.run_path(str(Path(__file__).with_name("base.py")))["get_config"]().unlock()
    config.data.shapeshow.sound = "synced"
    config.data.shapeshow.audio = True
    config.data.shapeshow.text = True
    config.model.generator.conditions = ("text", "label", "audio", "image")
    config.model.generator.classes = 12
    config.model.generator.words = 92
    config.model.encoder.hidden = 192
    config.objective.codes_penalty_weight = 2.0  # what was asked for leaves less room to be alike by chance
    return config.lock()
