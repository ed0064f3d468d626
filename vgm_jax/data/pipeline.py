"""From a random-access source to batches, by Grain. The position in the data follows from the global step."""

from collections.abc import Iterator
from typing import Any

import grain
import numpy as np


def _stack(examples: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.stack([example[name] for example in examples]) for name in examples[0]}


def train_batches(
    source: Any,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    workers: int = 0,
    prefetch: int = 4,
) -> Iterator[dict[str, np.ndarray]]:
    """Endless shuffled batches of a process, from the batch that update `start_step` consumes.

    Every epoch has its own order. Global batch s holds the same examples in the same order whatever the
    number of processes; process p gets its p-th contiguous part. `workers` processes (0: threads of this one)
    render `prefetch` batches ahead.

    Raises ValueError where `batch_size` is not divisible by the processes or the source is empty.
    """
    if batch_size < 1 or batch_size % process_count:
        raise ValueError(
            f"data.batch_size={batch_size} must be a positive multiple of the {process_count} process(es)"
        )
    if len(source) == 0:
        raise ValueError("the data source is empty")
    local = batch_size // process_count
    shuffled = grain.MapDataset.source(source).seed(seed).shuffle().repeat()

    def example(i: int):
        step, place = divmod(i, local)
        return shuffled[step * batch_size + process_index * local + place]

    # Python's own integers: Grain indices beyond 2^31 must not wrap.
    stop = np.iinfo(np.int64).max // (2 * batch_size) * local
    dataset = grain.MapDataset.range(start_step * local, stop).map(example).batch(local, batch_fn=_stack)
    if workers:
        dataset = dataset.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=2))
        dataset = dataset.mp_prefetch(grain.MultiprocessingOptions(workers, per_worker_buffer_size=prefetch))
    else:
        dataset = dataset.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=prefetch))
    return iter(dataset)


class EvaluationBatches:
    """`count` examples of a source, in batches of one size; iterate as often as needed.

    Always the same ones, drawn at random where the source has more and in its order: what is sorted by class
    or film is seen all over.

    The last batch is filled up by repetition; `mask` float32 [B] is 0 on what must not count.
    """

    def __init__(self, source: Any, *, batch_size: int, count: int):
        if count < 1 or len(source) == 0:
            raise ValueError(f"an evaluation needs at least one clip; asked for {count} of {len(source)}")
        self.source, self.batch_size, self.count = source, batch_size, min(count, len(source))
        self.indices = np.sort(np.random.default_rng(0).permutation(len(source))[: self.count])

    @property
    def description(self) -> dict[str, Any]:
        """What determines the batches, fit for JSON; the source's description holds its version or hash."""
        return {"source": self.source.description, "count": self.count}

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        for start in range(0, self.count, self.batch_size):
            indices = np.arange(start, start + self.batch_size)
            batch = _stack([self.source[int(i)] for i in self.indices[indices % self.count]])
            yield batch | {"mask": (indices < self.count).astype(np.float32)}
