"""What all tests share: the base recipe, shrunk."""

import importlib.util
import runpy
from pathlib import Path

import pytest

TINY = Path(__file__).with_name("training") / "tiny.py"
CONFIGS = Path(__file__).parents[1] / "configs"


@pytest.fixture(scope="session")
def tiny():
    """`tiny("mlp" | "continuous")`: the real base config, shrunk."""
    spec = importlib.util.spec_from_file_location("tiny", TINY)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config


@pytest.fixture(scope="session")
def recipe():
    """`recipe("base")`: the config of that name in configs/, as it is."""

    def load(name: str):
        return runpy.run_path(str(CONFIGS / f"{name}.py"))["get_config"]()

    return load
