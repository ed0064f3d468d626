import itertools

import numpy as np
import pytest

from vgm_jax.data.pipeline import EvaluationBatches, train_batches
from vgm_jax.data.sources.shapeshow import ShapeShow


class Counting:
    """Example i holds i; `asked` lists what was read."""

    def __init__(self, length):
        self.length, self.asked = length, []

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.asked.append(index)
        return {"place": np.int64(index), "video": np.full((2, 3), index % 256, np.uint8)}


def take(count, length=10, **settings):
    """[count B] indices of the examples in the first batches."""
    settings = {"batch_size": 4, "seed": 0} | settings
    batches = itertools.islice(train_batches(Counting(length), **settings), count)
    return np.stack([batch["place"] for batch in batches])


def test_batches_are_stacked_examples():
    batch = next(train_batches(Counting(10), batch_size=4, seed=0))
    assert batch["video"].shape == (4, 2, 3) and batch["video"].dtype == np.uint8
    assert np.array_equal(batch["video"][:, 0, 0], batch["place"])


def test_the_seed_decides():
    assert np.array_equal(take(9), take(9))
    assert not np.array_equal(take(9), take(9, seed=1))
    assert np.array_equal(take(9), take(9, prefetch=1))


def test_every_epoch_is_another_order_of_everything():
    epochs = take(15).reshape(6, 10)  # batches of 4 straddle the epochs of 10
    assert np.array_equal(np.sort(epochs, 1), np.tile(np.arange(10), (6, 1)))
    assert len({tuple(epoch) for epoch in epochs}) == 6
    assert not np.array_equal(epochs[0], np.arange(10))


@pytest.mark.parametrize("step", [1, 2, 3, 7])
def test_the_position_follows_from_the_step(step):
    assert np.array_equal(take(3, start_step=step), take(10)[step : step + 3])


def test_positions_beyond_32_bits():
    step = 5 * (2**28 + 1)  # batches of 4: a whole number of epochs of 10, but not modulo 2^31 or 2^32
    late = take(6, start_step=step)
    assert np.array_equal(np.sort(late.ravel()[:20].reshape(2, 10), 1), np.tile(np.arange(10), (2, 1)))
    assert np.array_equal(take(5, start_step=step + 1), late[1:])


@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_one_global_batch_in_order(count):
    parts = [take(6, process_index=i, process_count=count) for i in range(count)]
    assert np.array_equal(np.concatenate(parts, 1), take(6))
    resumed = [take(2, process_index=i, process_count=count, start_step=4) for i in range(count)]
    assert np.array_equal(np.concatenate(resumed, 1), take(6)[4:])


def test_a_process_reads_only_its_part():
    source = Counting(1000)
    batches = train_batches(source, batch_size=8, seed=0, process_index=1, process_count=4, prefetch=1)
    batch = next(batches)
    assert len(batch["place"]) == 2 and set(batch["place"]) <= set(source.asked)
    assert len(source.asked) < 20, "nothing but its two examples a step, and a little ahead"


@pytest.mark.slow
def test_worker_processes_change_nothing():
    source = ShapeShow("train", size=16, frames=2, fps=2.0)
    settings = dict(batch_size=2, seed=3, start_step=1)
    alone = itertools.islice(train_batches(source, **settings), 3)
    with_workers = itertools.islice(train_batches(source, workers=1, **settings), 3)
    for expected, batch in zip(alone, with_workers, strict=True):
        assert expected.keys() == batch.keys()
        assert all(np.array_equal(expected[name], batch[name]) for name in expected)


@pytest.mark.parametrize("batch_size, processes", [(6, 4), (0, 1), (-4, 2)])
def test_a_batch_must_divide_over_the_processes(batch_size, processes):
    message = rf"data.batch_size={batch_size} must be a positive multiple of the {processes} process"
    with pytest.raises(ValueError, match=message):
        train_batches(Counting(10), batch_size=batch_size, seed=0, process_count=processes)


def test_an_empty_source():
    with pytest.raises(ValueError, match="source is empty"):
        train_batches(Counting(0), batch_size=2, seed=0)


# Evaluation


def test_evaluation_covers_the_same_examples_once_in_order():
    batches = EvaluationBatches(Counting(100), batch_size=4, count=10)
    first, second = list(batches), list(batches)
    assert [batch["place"].tolist() for batch in first] == [batch["place"].tolist() for batch in second]
    assert [batch["place"].shape for batch in first] == [(4,)] * 3, "one program serves all batches"
    counted = np.concatenate([batch["place"][batch["mask"] == 1] for batch in first])
    assert len(set(counted)) == 10 and np.array_equal(counted, np.sort(counted))
    assert counted.min() < 30 and counted.max() > 70, "of all over the source, which may be sorted by class"
    assert first[-1]["mask"].tolist() == [1, 1, 0, 0] and first[-1]["mask"].dtype == np.float32
    assert set(first[-1]["place"][2:]) <= set(counted)


@pytest.mark.parametrize("count, length, counted", [(3, 100, 3), (50, 6, 6), (8, 100, 8)])
def test_evaluation_of_fewer_than_a_batch_or_than_there_are(count, length, counted):
    batches = list(EvaluationBatches(Counting(length), batch_size=4, count=count))
    assert sum(batch["mask"].sum() for batch in batches) == counted
    assert len(batches) == -(-counted // 4)


@pytest.mark.parametrize("count, length", [(0, 5), (5, 0)])
def test_evaluation_needs_a_clip(count, length):
    with pytest.raises(ValueError, match=f"at least one clip; asked for {count} of {length}"):
        EvaluationBatches(Counting(length), batch_size=4, count=count)
