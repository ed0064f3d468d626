"""The rules of the house that a machine can check."""

import ast
import re
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from vgm_jax.tasks import build

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "vgm_jax").rglob("*.py"))
RECIPES = sorted((ROOT / "configs").glob("*.py"))

# Imports only go down: room -> the rooms that it may import from, beside itself.
ROOMS = {
    "version": set(),
    "types": set(),
    "data": {"types"},
    "objectives": set(),
    "models": {"types"},
    "evaluation": {"data", "models", "types", "version"},
    "training": {"data", "types", "version"},  # it sees a task only through its protocol
    "tasks": {"data", "evaluation", "models", "objectives", "training", "types"},
    "preparation": {"data", "evaluation", "models", "types", "version"},
    "inference": {"data", "evaluation", "models", "preparation", "tasks", "training", "types"},
}
ROOMS |= {top: set(ROOMS) | {"__init__", "arguments"} for top in ("arguments", "cli", "main", "__init__")}


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def room_of(path):
    return path.relative_to(ROOT / "vgm_jax").parts[0].removesuffix(".py")


def imports_of(path, source):
    """Rooms of vgm_jax that a file imports, wherever in it."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    modules = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            module = ".".join(base + ([node.module] if node.module else []))
            modules += [f"{module}.{alias.name}" for alias in node.names]
    parts = [module.split(".") for module in modules]
    found = {p[1] if len(p) > 1 else "__init__" for p in parts if p[0] == "vgm_jax"}
    return {room if room in ROOMS else "__init__" for room in found}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_only_go_down(path):
    room = room_of(path)
    assert room in ROOMS, "a new room: say here what it may import"
    wrong = imports_of(path, path.read_text()) - ROOMS[room] - {room}
    assert not wrong, f"{name_of(path)} imports {', '.join(sorted(wrong))}"


def test_the_import_rule_sees_every_kind_of_import():
    path = ROOT / "vgm_jax" / "data" / "sources" / "new.py"
    for source, room in {
        "import vgm_jax.models.layers": "models",
        "from vgm_jax.models import layers": "models",
        "from vgm_jax import models": "models",
        "import vgm_jax": "__init__",
        "from vgm_jax import load": "__init__",
        "from . import shapeshow": "data",
        "from ...models import layers": "models",
        "def f():\n    from vgm_jax.tasks import build": "tasks",
    }.items():
        assert imports_of(path, source) == {room}, source
    assert imports_of(path, "import numpy\nfrom vgm_jaxer import models") == set()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_are_short(path):
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", [*FILES, *RECIPES], ids=name_of)
def test_a_config_has_no_hidden_defaults(path):
    assert not re.search(r"\bconfig(\.\w+)*\.get\(", path.read_text()), "a default hides a typo: config.a.b"


def keys(config, prefix=""):
    """All keys but the settings of networks, which are the networks' own fields."""
    networks = ("model.generator", "model.discriminator", "model.encoder", "model.classifier")
    networks += ("model.trunk", "model.summarizer")
    for key, value in config.items():
        if isinstance(value, ConfigDict) and prefix + key not in networks:
            yield from keys(value, f"{prefix}{key}.")
        else:
            yield prefix + key


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_every_recipe_loads_locked_and_builds(path, recipe):
    config = recipe(path.stem)
    assert config.is_locked and config.data.is_locked
    with pytest.raises((AttributeError, KeyError)):
        config.data.sise = 3
    assert sorted(keys(config)) == sorted(keys(recipe("base"))), "base documents every key"
    build(config)


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_every_recipe_holds_its_command(path):
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert f"python -m vgm_jax.main --config configs/{path.name}" in docstring


def test_every_package_of_the_library_says_what_it_is():
    for path in FILES:
        assert ast.get_docstring(ast.parse(path.read_text())), f"{name_of(path)} has no docstring"
