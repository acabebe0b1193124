"""Records as plain JSON and back, so that what was saved can be rebuilt."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from jaxrnn import cells, decode, initializers, models, wrappers
from jaxrnn._core.record import Record, arguments
from jaxrnn.interop._onnx import activations

# What is larger was not written by anybody for use, and would hang or exhaust the program that reads it.
MOST, DEEPEST, LARGEST = 1000, 100, 2**31 - 1


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

    A file is not trusted: it can call factories and name functions that are listed, nothing else, and have up to 1,000
    records, 100 deep, of numbers below 2^31.
    Raises KeyError for a name that is in neither, TypeError for an option that its factory does not have, ValueError
    for what `to_config` does not write.
    """
    return _built(config, {**known_factories(), **(factories or {})}, itertools.count(1), 1)


def _built(config: Any, known: Mapping[str, Callable], records: Iterator[int], depth: int) -> Any:
    """The value of a part of a configuration that is `depth` deep; `records` counts them."""
    if depth > DEEPEST and isinstance(config, dict | list):
        raise ValueError(f"config: expected at most {DEEPEST} records and lists one in another, got more")
    if isinstance(config, list):
        return tuple(_built(v, known, records, depth + 1) for v in config)
    if not isinstance(config, dict):
        if isinstance(config, int | float) and abs(config) > LARGEST and config not in (math.inf, -math.inf):
            raise ValueError(f"config: expected numbers up to {LARGEST:,}, got {config}")
        return config
    if set(config) != {"call", "options"} or not isinstance(config["options"], dict):
        raise ValueError(f'config: expected {{"call": name, "options": {{...}}}}, got the keys {sorted(config)}')
    if next(records) > MOST:
        raise ValueError(f"config: expected at most {MOST:,} records (cells, wrappers, initializers), got more")
    name = config["call"]
    if not isinstance(name, str) or name not in known:
        raise KeyError(f"{name!r} is not a factory of jaxrnn; give it in factories=, known: {sorted(known)}")
    options = {k: _built(v, known, records, depth + 1) for k, v in config["options"].items()}
    unknown = set(options) - set(inspect.signature(known[name]).parameters)
    if unknown:
        raise TypeError(f"{name} has no options {sorted(unknown)}; was this saved by a newer jaxrnn?")
    args, kwargs = arguments(known[name], options)
    return known[name](*args, **kwargs)


def known_factories() -> dict[str, Callable]:
    """Every factory of jaxrnn by its name."""
    modules = (cells, decode, initializers, models, wrappers, activations)
    return {name: f for module in modules for name, f in vars(module).items() if hasattr(f, "is_factory")}
