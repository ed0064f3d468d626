import functools

import jax
import pytest

from vgm_jax.evaluation import features, physics


@pytest.fixture(scope="module")
def optimised():
    """The oracle's programs as users run them: it has more to compute here than there is to compile."""
    options = {"xla_backend_optimization_level": 2, "xla_llvm_disable_expensive_passes": False}
    observe, embed = physics._compiled, features._compiled

    def compiled(run):
        return jax.jit(run.__wrapped__, compiler_options=options)

    def of_network(name):
        network, run = embed(name)
        return network, compiled(run)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(physics, "_compiled", functools.cache(lambda: compiled(observe())))
        patch.setattr(features, "_compiled", functools.cache(of_network))
        yield
