"""Clips a few at a time are clips all at once."""

import jax
import numpy as np
import pytest

from vgm_jax.models.pretrained.chunks import in_chunks


def sums(x):
    return x.sum(-1)[:, None]


@pytest.mark.parametrize("clips", [1, 2, 3, 4, 5])
def test_chunks_change_nothing(clips):
    x = np.arange(clips * 6, dtype=np.float32).reshape(clips, 2, 3)
    np.testing.assert_array_equal(jax.jit(lambda x: in_chunks(sums, x, 2))(x), sums(x))


def test_no_chunk_is_larger_on_cpu_and_none_is_cut_elsewhere(monkeypatch):
    sizes = []

    def embed(x):
        sizes.append(len(x))
        return sums(x)

    in_chunks(embed, np.zeros((5, 2, 3)), 2)
    assert set(sizes) == {1, 2}
    sizes.clear()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    in_chunks(embed, np.zeros((5, 2, 3)), 2)
    assert sizes == [5]
