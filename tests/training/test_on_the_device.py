"""What the loop puts on the devices."""

import numpy as np
import pytest

from vgm_jax.training.loop import Run
from vgm_jax.training.partition import Partition


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_video_goes_there_in_bytes(quadratic, recipe, tmp_path, monkeypatch, mode):
    """A quarter of what the floats would be that it becomes there."""
    put, batches, traced = Partition.put, [], []

    def watched(self, batch):
        there = put(self, batch)
        batches.append((batch["video"], there["video"]))
        return there

    class Watching(quadratic):
        def train_step(self, state, batch, *rest):
            traced.append(batch["video"])
            return super().train_step(state, batch, *rest)

    monkeypatch.setattr(Partition, "put", watched)
    run = Run(Watching(), recipe(**{"train.steps": 3, "partition.mode": mode}), tmp_path, lambda text: None)
    run.train()
    run.close()
    assert len(batches) == 3
    for host, device in batches:
        assert host.shape == (8, 4, 16, 16, 3) and host.any()
        assert host.dtype == device.dtype == np.uint8 and device.nbytes == host.nbytes == host.size
        np.testing.assert_array_equal(np.asarray(device).reshape(host.shape), host)
    assert [video.dtype for video in traced] == [np.uint8] and traced[0].shape == host.shape
