"""Records: frozen bundles of pure functions that know, print and compare by the call that made them."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np


class Origin(NamedTuple):
    """The call that made a record: the factory and every option, defaults filled in."""

    factory: Callable
    options: tuple[tuple[str, Any], ...]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Record:
    """A frozen bundle of pure functions.

    Made by a `factory`, it is equal to (and hashes like) any other made by the same call, so it may be a
    static argument of `jit`; it prints as that call; `name` and `options` read the call back; it can be pickled.
    Made by hand, it is equal only to itself.
    """

    _: dataclasses.KW_ONLY
    origin: Origin | None = None

    @property
    def name(self) -> str:
        """The name of the factory, or of the class for a record made by hand."""
        return self.origin.factory.__name__ if self.origin else type(self).__name__

    @property
    def options(self) -> dict[str, Any]:
        """Every option of the call that made this record, defaults included."""
        return dict(self.origin.options) if self.origin else {}

    def __eq__(self, other: object) -> bool:
        if self.origin is None or not isinstance(other, Record):
            return self is other
        return self.origin == other.origin

    def __hash__(self) -> int:
        return object.__hash__(self) if self.origin is None else hash(self.origin)

    def __repr__(self) -> str:
        if self.origin is None:
            return f"<{self.name} made by hand>"
        args, kwargs = arguments(*self.origin, skip_defaults=True)
        shown = [_show(a) for a in args] + [f"{k}={_show(v)}" for k, v in kwargs.items()]
        return f"{self.name}({', '.join(shown)})"

    def __reduce__(self):
        if self.origin is None:
            return super().__reduce__()
        args, kwargs = arguments(*self.origin)
        return functools.partial(self.origin.factory, **kwargs), tuple(args)


Made = TypeVar("Made", bound=Callable[..., Record])


def factory(make: Made) -> Made:
    """Decorate a function that returns a record, so that the record remembers the call.

    Options are put in one form first, so that two spellings of a thing are one value: names that end in `dtype`
    become NumPy dtypes, functions of `jax.nn` and `jax.numpy` become their names, lists become tuples.
    """
    signature = inspect.signature(make)

    @functools.wraps(make)
    def call(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        for name, value in bound.arguments.items():
            bound.arguments[name] = _normal(name, value)
        record = make(*bound.args, **bound.kwargs)
        options = tuple(bound.arguments.items())
        try:
            hash(options)
        except TypeError as error:
            raise TypeError(
                f"{make.__name__}: every option must be hashable, so that the record can be compared ({error}). "
                "Arrays belong in params."
            ) from None
        return dataclasses.replace(record, origin=Origin(call, options))

    return call  # type: ignore[return-value]


def _normal(name: str, value: Any) -> Any:
    if name.endswith("dtype") and value is not None:
        return jnp.dtype(value)
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return tuple(_normal(name, v) for v in value)
    if callable(value) and not isinstance(value, Record | type):
        known = getattr(value, "__name__", "")
        if any(getattr(module, known, None) is value for module in (jax.nn, jnp)):
            return known
    return value


def arguments(make: Callable, options: Any, *, skip_defaults: bool = False) -> tuple[list, dict]:
    """Positional and keyword arguments with which `make` repeats a call, from its options by name."""
    args, kwargs, options = [], {}, dict(options)
    by_name = False  # what follows a skipped default must be named
    for name, parameter in inspect.signature(make).parameters.items():
        if name not in options or (skip_defaults and options[name] == _normal(name, parameter.default)):
            by_name = True
        elif parameter.kind is parameter.VAR_POSITIONAL:
            args.extend(options[name])
        elif by_name or parameter.kind is parameter.KEYWORD_ONLY:
            kwargs[name] = options[name]
        else:
            args.append(options[name])
    return args, kwargs


def _show(value: Any) -> str:
    if isinstance(value, np.dtype):
        return repr(value.name)
    if callable(value) and not isinstance(value, Record):
        return getattr(value, "__name__", repr(value))
    return repr(value)


def wide(dtype: Any) -> np.dtype:
    """The type to sum and to draw in: float32 for half-width types, else the type itself."""
    return max(jnp.dtype(dtype), jnp.dtype(jnp.float32), key=lambda d: d.itemsize)


def nonlinearity(value: str | Callable, argument: str) -> Callable:
    """The pointwise function a name of `jax.nn` or `jax.numpy` stands for; a function stands for itself."""
    if callable(value):
        return value
    for module in (jax.nn, jnp):
        if isinstance(value, str) and callable(getattr(module, value, None)):
            return getattr(module, value)
    raise ValueError(
        f"{argument}: expected a function or its name in jax.nn, such as 'tanh', 'relu' or 'sigmoid', got {value!r}"
    )
