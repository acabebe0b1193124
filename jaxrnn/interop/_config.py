"""Records as plain JSON and back, so that what was saved can be rebuilt."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxrnn import cells, decode, initializers, models, wrappers
from jaxrnn._core.record import Record, arguments


def to_config(value: Any) -> Any:
    """A record as plain JSON: {"call": name, "options": {...}}, with records among the options too.

    Raises TypeError for a record made by hand, and for an option that is a function without a name in jax.nn or
    jax.numpy, because neither can be rebuilt from a file.
    """
    if isinstance(value, Record):
        if value.origin is None:
            raise TypeError(f"{value!r}: only what a factory made can be saved; decorate yours with jaxrnn.factory")
        return {"call": value.name, "options": {k: to_config(v) for k, v in value.options.items()}}
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, tuple):
        return [to_config(v) for v in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{value!r}: cannot be saved as an option; name a function of jax.nn, or save it in your own code")


def from_config(config: Any, factories: Mapping[str, Callable] | None = None) -> Any:
    """The record that `to_config` was given. `factories`: your own, by name, beside those of jaxrnn.

    Raises KeyError for a name that is in neither, TypeError for an option that its factory does not have.
    """
    if isinstance(config, dict):
        known = {**_factories(), **(factories or {})}
        if config["call"] not in known:
            raise KeyError(
                f"{config['call']!r} is not a factory of jaxrnn; give it in factories=, known: {sorted(known)}"
            )
        options = {k: from_config(v, factories) for k, v in config["options"].items()}
        unknown = set(options) - set(inspect.signature(known[config["call"]]).parameters)
        if unknown:
            raise TypeError(f"{config['call']} has no options {sorted(unknown)}; was this saved by a newer jaxrnn?")
        args, kwargs = arguments(known[config["call"]], options)
        return known[config["call"]](*args, **kwargs)
    if isinstance(config, list):
        return tuple(from_config(v, factories) for v in config)
    return config


def _factories() -> dict[str, Callable]:
    """Every factory of jaxrnn by its name."""
    modules = (cells, decode, initializers, models, wrappers)
    return {name: f for module in modules for name, f in vars(module).items() if hasattr(f, "is_factory")}
