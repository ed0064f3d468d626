"""What tests of networks share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture(scope="session")
def drawn():
    """`drawn(shapes, seed=0)`: parameters of these shapes, drawn by NumPy: nothing to compile."""

    def draw(shapes, seed=0):
        rng = np.random.default_rng(seed)

        def leaf(path, x):
            scale = {"kernel": np.prod(x.shape[:-1]) ** -0.5, "bias": 0.1}.get(path[-1].key, 1.0)
            return jnp.asarray(scale * rng.normal(size=x.shape), jnp.float32)

        return jax.tree_util.tree_map_with_path(leaf, shapes)

    return draw
