"""Run by test_partition.py where JAX sees eight devices: python eight_devices.py [FOLDER]. Prints JSON.

FOLDER holds `one`, a checkpoint of the tiny recipe at step 0 from one device; `eight` is added, from eight.
Without a folder: what takes longer.
"""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from tiny import get_config  # noqa: E402

from vgm_jax.data.pipeline import train_batches  # noqa: E402
from vgm_jax.data.sources import make_source  # noqa: E402
from vgm_jax.tasks import build  # noqa: E402
from vgm_jax.training.checkpoint import Checkpoints  # noqa: E402
from vgm_jax.training.history import reported  # noqa: E402
from vgm_jax.training.partition import Partition  # noqa: E402

# Whole pixels and times: what is rounded to grey levels may round otherwise where sums are split otherwise.
CHANGED = {"data.augment": ("reverse", "speed", "flip", "translation", "cutout"), "model.frames_seen": 2}
CHANGED |= {"objective.augment": "colour,translation,cutout", "objective.augment_p": 0.7}
LAYOUTS = {"jit": ("jit", 1), "pmap": ("pmap", 1), "split": ("jit", 2)}
INIT, STEP = jax.random.split(jax.random.key(5))


def gradient_step(task):
    """An update whose new parameters are the gradients."""

    def step(state, batch, key, axis_name):
        g, d, metrics, _ = task.gradients(state, batch, key, axis_name)
        report = jnp.stack([metrics[name][0] / metrics[name][1] for name in sorted(metrics)])
        return state.replace(generator=g, discriminator=d), report

    return step


def apply(partition, step, state, batch):
    """-> (canonical new state, report on the host)"""
    state, report = partition.compile(step, state)(partition.enter(state), partition.put(batch), STEP)
    return partition.leave(state), np.asarray(report)


def distance(a, b):
    """The largest |a - b| in units of 1e-5 |b| + 1e-6 max |b|: at most 1 where they agree."""
    a, b = (np.concatenate([np.asarray(x, np.float64).ravel() for x in jax.tree.leaves(t)]) for t in (a, b))
    return float(np.max(np.abs(a - b) / (1e-5 * np.abs(b) + 1e-6 * np.max(np.abs(b)))))


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def setting(networks, **changes):
    config = get_config(networks)
    with config.unlocked():
        config.update_from_flattened_dict(changes)
    batch = next(train_batches(make_source(config.data, "train"), batch_size=8, seed=0))
    return build(config), batch


def agreement(networks, layouts, **changes):
    """Distance of each layout's gradients and figures from those of one device."""
    task, batch = setting(networks, **changes)
    alone = jax.device_get(jax.jit(task.init)(INIT, batch))
    expected, figures = jax.jit(gradient_step(task), static_argnums=3)(alone, batch, STEP, None)
    found = {}
    for name in layouts:
        partition = Partition(*LAYOUTS[name])
        state = jax.device_put(alone, partition.shardings(alone))
        got, report = apply(partition, gradient_step(task), state, batch)
        assert not same(expected.generator, alone.generator)
        found[name] = {
            "generator": distance(got.generator, expected.generator),
            "discriminator": distance(got.discriminator, expected.discriminator),
            "figures": distance(report, figures),
        }
    return found


def settling(layouts):
    """Of three updates, of which the first learns to paint: how often each did, and what is remembered."""
    task, batch = setting("continuous", **{"objective.settled_from": 1})
    alone, found = jax.device_get(jax.jit(task.init)(INIT, batch)), {}
    for name in layouts:
        partition = Partition(*LAYOUTS[name])
        state = jax.device_put(alone, partition.shardings(alone))
        update, state = partition.compile(reported(task), state), partition.enter(state)
        counts = []
        for _ in range(3):
            state, report = update(state, partition.put(batch), STEP)
            counts.append(dict(zip(report.names, np.asarray(report.values)[1].tolist(), strict=True)))
        state = jax.device_get(partition.leave(state))
        found[name] = {
            "reconstruction": [c["reconstruction"] > 0 for c in counts],
            "shown_g_loss": [c["shown_g_loss"] > 0 for c in counts],
            "settled": same(state.generator["encoder"], state.generator_ema["encoder"]),
            "times": np.asarray(state.codes.times).sum(1).tolist(),
        }
    return found


def checkpoints(folder):
    """Each layout reads what one device saved, trains, saves; all layouts read the same bits from that."""
    task, batch = setting("mlp")
    template = {name: Partition(*layout).template(task.init, INIT, batch) for name, layout in LAYOUTS.items()}
    one = Checkpoints(folder / "one", keep=1, best="")
    found, compiled = {}, []

    def note(event, seconds, **about):
        if event.endswith("backend_compile_duration"):
            compiled.append(about.get("fun_name"))

    jax.monitoring.register_event_duration_secs_listener(note)
    for name, layout in LAYOUTS.items():
        partition = Partition(*layout)
        state, _ = one.restore(template[name])
        found[f"one -> {name}"] = {
            "values": [float(np.abs(x).sum()) for x in jax.tree.leaves(state.generator)]
        }
        update = partition.compile(reported(task), state)
        state = partition.enter(state)
        state, _ = update(state, partition.put(batch), STEP)
        before = len(compiled)
        for _ in range(2):
            state, _ = update(state, partition.put(batch), STEP)
        jax.block_until_ready(state)
        found[f"compiled late by {name}"] = compiled[before:]
        state = partition.leave(state)
        kernel = state.generator["params"]["Dense_1"]["kernel"]
        found[f"shard of {name}"] = [list(kernel.shape), list(kernel.addressable_shards[0].data.shape)]
        written = Checkpoints(folder / f"eight_{name}", keep=1, best="")
        written.save(3, state, {})
        written.wait()
        for other in LAYOUTS:
            found[f"{name} -> {other}"] = same(written.restore(template[other])[0], state)
        written.close()
    np.savez(folder / "split.npz", *[np.asarray(x) for x in jax.tree.leaves(state)])
    return found


def message(function, *arguments):
    try:
        function(*arguments)
    except ValueError as error:
        return str(error)


def errors():
    return {
        "mode": message(Partition, "xmap"),
        "model": message(Partition, "jit", 3),
        "model of pmap": message(Partition, "pmap", 2),
        "batch": message(Partition("jit", 2).check_batch, 6),
        "no batch": message(Partition("jit").check_batch, 0),
        "batch that fits": message(Partition("jit", 2).check_batch, 4),
        "strides": message(Partition("pmap").check_batch, 16, 4),
        "strides that fit": message(Partition("pmap").check_batch, 32, 4),
    }


def main():
    jax.config.update("jax_default_matmul_precision", "highest")
    if len(sys.argv) > 1:
        found = {"errors": errors(), "checkpoints": checkpoints(Path(sys.argv[1]))}
        found["mlp"] = agreement("mlp", LAYOUTS)
    else:
        found = {"changed": agreement("mlp", ["jit", "pmap"], **CHANGED)}
        found["continuous"] = agreement("continuous", ["jit", "pmap"], **{"objective.codes_noise_far": 0.4})
        found["settling"] = settling(["jit", "pmap"])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
