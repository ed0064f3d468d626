"""What tests of inference share."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _quick_draws(quick_draws):
    pass
