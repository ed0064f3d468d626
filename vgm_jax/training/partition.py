"""How one pure step runs on all devices: `jit` over a mesh with named shardings, or `pmap`."""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from vgm_jax.training.programs import Programs
from vgm_jax.types import Batch, Key, State

MODES = ("jit", "pmap")
SPLIT_FROM = 2**14  # elements; smaller parameters are cheaper to copy than to split


class Partition:
    """The devices of a run, `Mesh((data, model))`: batches split over `data`, large parameters over `model`.

    Outside `compile`'s step, a state is always in its canonical form, global arrays on the mesh, whatever the
    mode: what is saved by one mode or device count can be restored by another. `programs` keeps what is
    traced.

    Raises ValueError for an unknown mode, or where a process's devices do not divide into `model`.
    """

    def __init__(self, mode: str = "jit", model: int = 1, programs: Programs | None = None):
        if mode not in MODES:
            raise ValueError(f"partition.mode={mode!r} is unknown; choose one of {', '.join(MODES)}")
        devices = jax.device_count()
        if model < 1 or devices % model:
            raise ValueError(f"partition.model={model} must divide the {devices} device(s)")
        local = jax.local_device_count()
        if model > 1 and local % model:
            raise ValueError(
                f"partition.model={model} must divide the {local} device(s) of each process: devices that "
                "share parameters must see the same clips"
            )
        if mode == "pmap" and model > 1:
            raise ValueError(
                f"partition.model={model} needs partition.mode='jit': pmap copies all parameters"
            )
        self.mode, self.programs = mode, programs or Programs()
        shape = (devices // model, model)
        self.mesh = jax.make_mesh(shape, ("data", "model"), axis_types=(AxisType.Auto,) * 2)
        self.replicated = NamedSharding(self.mesh, P())

    def check_batch(self, batch_size: int, rows: int = 1) -> None:
        """Raises ValueError unless a global batch divides over the devices it is split on.

        rows: what the clips of a device must be a multiple of under pmap, where it sees no others.
        """
        parts = self.mesh.shape["data"]
        if batch_size < 1 or batch_size % parts:
            raise ValueError(
                f"data.batch_size={batch_size} must be a positive multiple of the {parts} device(s) "
                "that share a batch"
            )
        if self.mode == "pmap" and batch_size // parts % rows:
            raise ValueError(
                f"data.batch_size={batch_size} gives each of {parts} device(s) {batch_size // parts} clips, "
                f"and the strides of `objective` need a multiple of {rows} under pmap: a batch of "
                f"{parts * rows}, or partition.mode='jit'"
            )

    def shardings(self, state: Any) -> Any:
        """For each leaf: its largest axis that divides is split over `model`; small leaves are copied."""
        parts = self.mesh.shape["model"]

        def choose(leaf):
            axes = [i for i, n in enumerate(leaf.shape) if n % parts == 0]
            if parts == 1 or not axes or np.prod(leaf.shape) < SPLIT_FROM:
                return self.replicated
            axis = max(axes, key=lambda i: leaf.shape[i])
            return NamedSharding(self.mesh, P(*[None] * axis, "model"))

        return jax.tree.map(choose, state)

    def init(
        self, init: Callable[[Key, Batch], State], key: Key, batch: Batch, template: State | None = None
    ) -> State:
        """The initial state, made where it will live; its `template`, where that is known already."""
        template = self.template(init, key, batch) if template is None else template
        # It runs once: LLVM would take longer over its many draws of random numbers than they take.
        leaves, tree = jax.tree.flatten(template)
        begin = self.programs.kept("init", lambda key, batch: jax.tree.leaves(init(key, batch)))
        shardings = [leaf.sharding for leaf in leaves]
        made = jax.jit(begin, out_shardings=shardings, compiler_options=llvm_effort(0))(key, batch)
        return jax.tree.unflatten(tree, made)

    def template(self, init: Callable[[Key, Batch], State], key: Key, batch: Batch) -> State:
        """Shapes, dtypes and shardings of the state, with nothing computed: what a restore needs."""
        abstract = jax.eval_shape(init, key, batch)
        return jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            abstract,
            self.shardings(abstract),
        )

    def compile(self, step: Callable, state: State, name: str = "update") -> Callable:
        """`step(state, batch, key, axis_name) -> (state, report)`, compiled for `(state, put batch, key)`.

        The state is donated; it goes in and comes out as `enter` makes it. The report is the same on all
        devices. `state` gives shapes. Two steps of one run that differ have two names.
        """
        if self.mode == "pmap":
            return jax.pmap(
                lambda state, batch, key: step(state, batch, key, "data"),
                axis_name="data",
                in_axes=(0, 0, None),
                out_axes=(0, None),
                donate_argnums=0,
            )
        shardings = self.shardings(state)
        batches = NamedSharding(self.mesh, P("data"))
        tree = jax.tree.structure(state)

        def flat(leaves, batch, key):  # of states, whose classes a kept program does not know
            new, report = step(jax.tree.unflatten(tree, leaves), batch, key, None)
            if (found := jax.tree.structure(new)) != tree:
                raise ValueError(f"an update made another state of {tree}: {found}")
            return jax.tree.leaves(new), report

        kept = self.programs.kept(name, flat)

        def update(state, batch, key):
            new, report = kept(jax.tree.leaves(state), batch, key)
            return jax.tree.unflatten(tree, new), report

        return jax.jit(
            update,
            in_shardings=(shardings, batches, self.replicated),
            out_shardings=(shardings, self.replicated),
            donate_argnums=0,
            # An eighth less to compile, and as fast: its time is in products of matrices, a library's.
            compiler_options=llvm_effort(1),
        )

    def like(self, batch: dict[str, np.ndarray]) -> Batch | None:
        """Shapes and shardings of what `put` makes of a batch; None where only `put` can say."""
        if self.mode == "pmap" or jax.process_count() > 1:
            return None
        sharding = NamedSharding(self.mesh, P("data"))
        return {
            name: jax.ShapeDtypeStruct(x.shape, jax.dtypes.canonicalize_dtype(x.dtype), sharding=sharding)
            for name, x in batch.items()
        }

    def put(self, batch: dict[str, np.ndarray]) -> Batch:
        """This process's part of a batch, on its devices; returns before the copy is done."""
        if self.mode == "pmap":
            n = jax.local_device_count()
            return jax.tree.map(lambda x: x.reshape(n, len(x) // n, *x.shape[1:]), batch)
        sharding = NamedSharding(self.mesh, P("data"))
        if jax.process_count() == 1:
            return jax.device_put(batch, sharding)
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), batch)

    def enter(self, state: State) -> State:
        """Canonical -> what the compiled step takes."""
        if self.mode == "jit":
            return state
        n = jax.local_device_count()
        # As pmap itself gives it back: of any other placement it would compile a program of its own.
        mesh = Mesh(np.array(jax.local_devices()), ("data",), axis_types=(AxisType.Auto,))
        copies = jax.tree.map(lambda x: np.broadcast_to(np.asarray(x), (n, *x.shape)), state)
        return jax.device_put(copies, NamedSharding(mesh, P("data")))

    def leave(self, state: State) -> State:
        """What the compiled step gives -> canonical. JAX donates no buffer that a save still reads."""
        if self.mode == "pmap":
            first = jax.tree.map(lambda x: np.asarray(x.addressable_shards[0].data)[0], state)
            return jax.tree.map(
                lambda x: jax.make_array_from_process_local_data(self.replicated, x, x.shape), first
            )
        return state


@contextlib.contextmanager
def compiling(step: Callable, state: State, batch: Batch | None, key: Key) -> Iterator[None]:
    """Compiles what `Partition.compile` gave for arrays like these beside what is done within the context.

    At its end that is done, and a call need not compile any more. Without a batch nothing is.
    """

    def work() -> None:
        with contextlib.suppress(Exception):  # the call will raise it where a person reads it
            step.lower(state, batch, key).compile()

    if batch is None:
        yield
        return
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def seldom(fn: Callable) -> Callable:
    """`jax.jit` of what runs so seldom that LLVM would take longer over it than it takes."""

    @functools.cache
    def compiled() -> Callable:
        return jax.jit(fn, compiler_options=llvm_effort(0))

    return functools.wraps(fn)(lambda *args: compiled()(*args))


def llvm_effort(level: int) -> dict[str, int] | None:
    """Compiler options, 0 to 3, on CPU, where all that is not a library's is LLVM's to compile.

    None where JAX_DISABLE_MOST_OPTIMIZATIONS asks for least effort anyway.
    """
    if jax.default_backend() != "cpu" or jax.config.read("jax_disable_most_optimizations"):
        return None
    return {"xla_backend_optimization_level": level}
