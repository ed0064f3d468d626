"""Settings of a config -> a module, with what it has no such field for said by its key."""

import dataclasses
from numbers import Integral, Real
from typing import Any

# A default's type, which values it may have, and what to say of others.
KINDS = (
    (bool, bool, "True or False"),
    (int, Integral, "a whole number"),
    (float, Real, "a number"),
    (str, str, "a name"),
)


def make_module(kind: str, table: dict[str, Any], settings: Any, **shapes: Any) -> Any:
    """The module `settings.name`, the rest of `settings` as its fields, and those of `shapes` that it has.

    Raises ValueError that lists the valid names or fields, or names a field that is of another kind.
    """
    settings = dict(settings)
    name = settings.pop("name")
    if name not in table:
        raise ValueError(f"model.{kind}.name={name!r} is unknown; choose one of {', '.join(table)}")
    fields = {f.name: f for f in dataclasses.fields(table[name]) if f.name not in ("parent", "name")}
    unknown = sorted(set(settings) - set(fields))
    if unknown:
        raise ValueError(
            f"model.{kind} ({name}) has no {', '.join(unknown)}; its settings are {', '.join(fields)}"
        )
    settings = {k: _as_field(f"model.{kind}.{k}", fields[k].default, v) for k, v in settings.items()}
    return table[name](**{k: v for k, v in shapes.items() if k in fields} | settings)


def _as_field(key: str, default: Any, value: Any) -> Any:
    """A value of the kind that a field's default is of; one thing, where that is several, is the only one."""
    several = isinstance(value, list | tuple)
    if isinstance(default, tuple):
        value = tuple(value) if several else (value,)
        for one in value if default else ():
            _as_field(key, default[0], one)
        return value
    for kind, known, expected in KINDS:
        if isinstance(default, kind):
            if not isinstance(value, known) or isinstance(value, bool) != (kind is bool):
                raise ValueError(f"{key}={value!r} must be {expected}")
            return value
    return tuple(value) if several else value
