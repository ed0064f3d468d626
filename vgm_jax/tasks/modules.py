"""Settings of a config -> a module, with what it has no such field for said by its key."""

import dataclasses
from typing import Any


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
    if isinstance(value, list | tuple):
        return tuple(value)
    if isinstance(default, tuple):
        return (value,)
    for kinds, expected in ((bool, "True or False"), (int, "a whole number"), (float, "a number")):
        if isinstance(default, kinds):
            fits = isinstance(value, bool) == (kinds is bool) and isinstance(value, kinds | int)
            if not fits:
                raise ValueError(f"{key}={value!r} must be {expected}")
            break
    return value
