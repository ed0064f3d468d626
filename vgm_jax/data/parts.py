"""Parts of clips that a classifier averages over: windows in time, squares in space, with their sound."""

import jax.numpy as jnp
import numpy as np

from vgm_jax.types import Batch

IN_TIME, IN_SPACE = 3 / 4, 7 / 8  # of a clip's frames, of a frame's side, where there are several


def parts(batch: Batch, moments: int, squares: int) -> list[Batch]:
    """`moments` times `squares` parts of each clip, each a batch of one shape; of 1 and 1, the batch itself.

    Windows are spread evenly from the first frame to the last, squares from corner to corner; sound is cut as
    the picture is. What is said of whole clips stays; what is said of frames is left out.
    """
    if moments < 1 or squares < 1:
        raise ValueError(f"evaluate.views=({moments}, {squares}): both must be at least 1")
    if moments == squares == 1:
        return [batch]
    t, h, w = batch["video"].shape[1:4]
    length = t if moments == 1 else max(1, round(IN_TIME * t))
    high, wide = (n if squares == 1 else max(1, round(IN_SPACE * n)) for n in (h, w))
    whole = {name: value for name, value in batch.items() if name not in ("track", "importance", "shot")}
    found = []
    for first in np.linspace(0, t - length, moments).round().astype(int).tolist():
        part = whole | {"times": _since_first(batch["times"][:, first : first + length])}
        if "audio" in batch:
            samples = batch["audio"].shape[1]
            start, size = round(first / t * samples), round(length / t * samples)
            part["audio"] = batch["audio"][:, start : start + size]
        for i in range(squares):
            place = i / (squares - 1) if squares > 1 else 0.0
            top, left = round(place * (h - high)), round(place * (w - wide))
            video = batch["video"][:, first : first + length, top : top + high, left : left + wide]
            found.append(part | {"video": video})
    return found


def _since_first(times):
    return jnp.asarray(times) - jnp.asarray(times)[:, :1]
