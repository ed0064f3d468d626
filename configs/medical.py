"""`own_videos` for medical video, such as ultrasound: a folder a patient, in one split as a whole.

python -m vgm_jax.main --config configs/medical.py --config.data.path=DIR        # DIR/patient/film.mp4

Watch for: privacy first. Nothing leaves the machine: no step downloads or sends anything, and the networks
that measure come with the package. But the workdir shows frames of real clips beside samples (`media/`), and
so does report.html of `vgm prepare`: keep both where the footage may be. Names and dates that a device writes
into the picture are learnt: cut them off first. A GAN may repeat clips it was trained on, so compare samples
with their nearest training clips before any is given away (`vgm evaluate --training`). `vgm prepare` needs
`--fps 24`, and `--groups` to split by patient: what it made without is refused. Clips are not mirrored, for
where the heart is matters, and not reversed, for so does which way it beats. Grey stays grey in three equal
channels; colour in samples of grey footage is a fault that you can see. EfficientNet has seen photographs
only: trust its distance less than "random", and both less than somebody who knows the field.

Untested on real medical footage. Samples are no evidence of anything about patients.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Patients are the unit of splits; no augmentation."""
    path = Path(__file__).with_name("own_videos.py")
    config = runpy.run_path(str(path))["get_config"]()
    config.data.fps = 24.0  # 16 frames: two thirds of a second, most of a heartbeat
    config.data.augment = ()
    config.data.folder.groups = True
    return config.lock()
