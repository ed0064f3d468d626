import pytest

from vgm_jax.tasks import build


@pytest.fixture(scope="session")
def make(tiny):
    """`make("mlp" | "continuous", **{"objective.name": ...}) -> task` of the tiny recipe."""

    def task(networks="mlp", **changes):
        config = tiny(networks)
        with config.unlocked():
            config.update_from_flattened_dict(changes)
        return build(config)

    return task


@pytest.fixture(scope="module", autouse=True)
def _quick_draws(quick_draws):
    pass
