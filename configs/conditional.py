"""Videos of ShapeShow asked for by words, a class, a first picture or a sound, by any of them, or by none.

python -m vgm_jax.main --config configs/base.py
python -m vgm_jax.main --config configs/conditional.py

`--config.model.start=WORKDIR` names another run whose painters and encoder it takes, or `shapeshow`, which
comes with the package;
`--config.data.shapeshow.held_out=0.1` keeps a tenth of the combinations of shape, colour and motion from it;
`--config.model.generator.conditions="('text',)"` leaves the other conditions out.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """`base`, which has learnt to paint; what it imagines is learnt anew, from words and sound."""
    config = runpy.run_path(str(Path(__file__).with_name("base.py")))["get_config"]()
    config.model.generator.unlock()  # to name fields that no recipe before does
    config.data.batch_size = 32
    config.data.shapeshow.sound = "synced"
    config.data.shapeshow.audio = True
    config.data.shapeshow.text = True
    config.model.start = "runs/base"
    config.model.frozen = True
    config.model.generator.conditions = ("text", "label", "audio", "image")
    config.model.generator.classes = 12
    config.model.generator.words = 92
    # What was asked for leaves less room to be alike by chance: of a gentler game, more rounds.
    config.objective.codes_rounds = 5
    config.objective.codes_stride = 2
    config.objective.codes_memory = 2048
    config.objective.codes_penalty_weight = 1.0
    config.objective.motion_explained = 1.0  # else circles of a class all begin at one side
    config.optimizer.generator_rate = 4e-4
    config.optimizer.decay_steps = 1500
    config.optimizer.ema_decay = 0.998
    config.train.steps = 1500
    return config.lock()
