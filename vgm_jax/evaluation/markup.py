"""HTML and SVG as text, escaped by construction."""

import html


class Markup(str):
    """Text that is markup already."""


def tag(name: str, /, *children: str, **attributes: str | float | bool | None) -> Markup:
    """An element. Children and attributes are escaped, unless a child is `Markup`.

    An attribute that is None or False is left out, True stands without a value; `class_` is class, and any
    other underscore a dash.
    """
    written = ""
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            written += f" {key}"
        elif value is not None and value is not False:
            written += f' {key}="{html.escape(str(value))}"'
    if name in ("meta", "img"):
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: str) -> Markup:
    """Children one after the other, escaped unless they are `Markup`."""
    return Markup("".join(x if isinstance(x, Markup) else html.escape(str(x)) for x in children))
