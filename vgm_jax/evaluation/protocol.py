"""What a figure depends on beside the clips: part of every result, and equal where results are compared."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from vgm_jax.evaluation.features import network
from vgm_jax.models.pretrained import named

# What may differ between two results that one compares: the set that is judged.
# No distance depends on what the judged clips are held against as copies.
JUDGED = ("fake", "training")
RATES = 0.02  # part by which judged rates may differ: files round their frames' times


def of_networks(names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """The weights' hash and the settings of each network. Raises ValueError for an unknown name.

    By the networks' own names, in which no path to a user's weights is.
    """
    return {net.name: {"weights": net.weights, **net.settings} for net in map(network, names)}


def require_networks(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names. Raises ValueError for one that `of_networks` will not know, or whose file is not as it says.

    What is shipped is not loaded yet: a run that trains starts sooner.
    """
    for name in names:
        if named(name)[1]:
            network(name)
    return names


def differences(a: Mapping[str, Any], b: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """'key: value against value' for all that differs between two protocols.

    Of the networks only those that both have count: a figure is there only for its own.
    """
    for key in sorted(set(a) | set(b)):
        name = f"{prefix}{key}"
        if name in JUDGED:
            continue
        x, y = a.get(key, "absent"), b.get(key, "absent")
        if isinstance(x, Mapping) and isinstance(y, Mapping):
            if name == "networks":
                x, y = ({n: v for n, v in z.items() if n in x and n in y} for z in (x, y))
            yield from differences(x, y, f"{name}.")
        elif name == "fps.judged" and all(isinstance(z, int | float) for z in (x, y)):
            if abs(x - y) > RATES * max(x, y):
                yield f"{name}: {x} against {y}"
        elif x != y:
            yield f"{name}: {x} against {y}"


def require_same(protocols: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises ValueError, naming what differs, unless all results (name -> protocol) were measured alike."""
    for (first, expected), (name, found) in itertools.combinations(protocols.items(), 2):
        lines = list(differences(expected, found))
        if lines:
            raise ValueError(
                f"{first} and {name} were measured by different protocols, which do not compare:\n  "
                + "\n  ".join(lines)
            )
