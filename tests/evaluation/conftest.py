import functools

import pytest

from vgm_jax.evaluation import features, physics


@pytest.fixture(scope="module")
def optimised(optimise):
    """The oracle's programs as users run them: it has more to compute here than there is to compile."""
    observe, embed = physics._compiled, features._compiled

    def of_network(name):
        network, run = embed(name)
        return network, optimise(run)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(physics, "_compiled", functools.cache(lambda: optimise(observe())))
        patch.setattr(features, "_compiled", functools.cache(of_network))
        yield
