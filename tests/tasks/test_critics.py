"""Critics of codes that clips are asked for by: what of a batch teaches them to tell right from wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.models.discriminators.codes import CodeDiscriminator, describe
from vgm_jax.models.encoders.condition import ConditionEncoder
from vgm_jax.models.scene import Codes
from vgm_jax.objectives import OBJECTIVES, make_objective
from vgm_jax.tasks import critics
from vgm_jax.tasks.critics import Critics

B, K = 4, 3
TIMES = jnp.tile(jnp.arange(K, dtype=jnp.float32) / K, (B, 1))
PRESENT = {"label": jnp.array([True, False, True, False])}
GIVEN = {"label": jnp.arange(B)}


def codes(seed):
    rng = np.random.default_rng(seed)
    shapes = (B, 2), (B, 1, 3), (B, K, 4)
    return Codes(*(jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes))


def judges(name):
    return Critics(
        CodeDiscriminator(widths=(8,)),
        make_objective(name),
        condition=ConditionEncoder(("label",), B, width=8),
        penalty_weight=0.0,
        motion_penalty_weight=0.0,
    )


@pytest.fixture(scope="module")
def params():
    return jax.jit(judges("hinge").init)(jax.random.key(0), codes(0), TIMES, GIVEN)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_where_nothing_is_asked_no_other_clip_is_told_apart(name, params, monkeypatch):
    """A real clip with what the one before it was asked for counts as imagined, if that was anything."""
    real, fake = describe(codes(1), TIMES), describe(codes(2), TIMES)

    @jax.jit
    def slope(real, mismatch):
        monkeypatch.setattr(critics, "MISMATCH", mismatch)
        return jax.grad(lambda x: judges(name).judged(params, GIVEN, PRESENT, TIMES, x, fake)[0])(real)

    taught = jax.tree.map(lambda a, b: np.abs(a - b).max(-1) > 1e-7, slope(real, 0.5), slope(real, 0.0))
    assert set(taught) == {"form", "shown", "moved"}
    for part, rows in taught.items():
        assert rows.tolist() == [False, True, False, True], (name, part)
