"""What is minimised, and what a discriminator is shown: of arrays alone, knowing neither models nor data."""

from vgm_jax.objectives import adversarial, penalties
from vgm_jax.objectives.adversarial import Objective, margin
from vgm_jax.objectives.augmentation import Shown, Strength
from vgm_jax.objectives.classification import class_loss, layout_loss
from vgm_jax.objectives.contrastive import info_nce
from vgm_jax.objectives.penalties import ZeroCentered, lazy

__all__ = [
    "OBJECTIVES",
    "PENALTIES",
    "Objective",
    "Shown",
    "Strength",
    "ZeroCentered",
    "class_loss",
    "info_nce",
    "layout_loss",
    "lazy",
    "make_objective",
    "make_penalty",
    "margin",
]

OBJECTIVES = {
    "nonsaturating": adversarial.nonsaturating,
    "minimax": adversarial.minimax,
    "hinge": adversarial.hinge,
    "wasserstein": adversarial.wasserstein,
    "relativistic": adversarial.relativistic,
}

# penalty(logits_fn, real, fake, key, indices=None) -> float32 scalar; those in _fd also take sigma=0.01.
PENALTIES = {
    "none": penalties.none,
    "r1": penalties.r1,
    "r2": penalties.r2,
    "r1r2": penalties.r1r2,
    "wgan_gp": penalties.gradient_penalty,
    "r1_fd": penalties.r1_fd,
    "r2_fd": penalties.r2_fd,
    "r1r2_fd": penalties.r1r2_fd,
    "wgan_gp_fd": penalties.gradient_penalty_fd,
}


def make_objective(name: str) -> Objective:
    """The objective of that name. Raises ValueError, listing the names, for any other."""
    return _lookup("objective", OBJECTIVES, name)


def make_penalty(name: str):
    """The penalty of that name. Raises ValueError, listing the names, for any other."""
    return _lookup("penalty", PENALTIES, name)


def _lookup(kind: str, table: dict, name: str):
    if name not in table:
        raise ValueError(f"no {kind} is called {name!r}; choose one of {', '.join(table)}")
    return table[name]
