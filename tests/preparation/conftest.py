import importlib
from pathlib import Path

import numpy as np
import pytest

from vgm_jax.preparation.records import Settings

HERE = Path(__file__).parent


@pytest.fixture(autouse=True, scope="module")
def _quick(quick_transnet):
    pass


@pytest.fixture
def cheap(monkeypatch):
    """The module `cheap`, under a name that worker processes find it by."""
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module("cheap")


@pytest.fixture
def settings():
    """Of clips that `cheap` makes: half a second."""
    return Settings(size=8, fps=8.0, frames=4)


@pytest.fixture
def save():
    """`save(path, frames=20, seed=None)`: noise as .npy, every name its own."""

    def write(path, frames=20, seed=None):
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(list(path.name.encode()) if seed is None else seed)
        np.save(path, rng.integers(8, 256, (frames, 8, 8, 3), np.uint8))

    return write
