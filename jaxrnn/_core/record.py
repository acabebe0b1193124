"""Records: frozen bundles of pure functions that remember, print and compare by the call that made them."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import textwrap
import typing
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core.numerics import known_name, nonlinearity

FLOATS = ("float|None", "None|float")  # annotations that say so, where the default does not


class Origin(NamedTuple):
    """The call that made a record: the factory and every option, defaults filled in."""

    factory: Callable
    options: tuple[tuple[str, Any], ...]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Record:
    """A frozen bundle of pure functions.

    Made by a `factory`, it is equal to (and hashes like) any other made by the same call, so it can be a
    static argument of `jit`; it prints as that call; `name` and `options` return the call; it can be pickled.
    Made by hand, it is equal only to itself.
    """

    # Not an argument, so that `dataclasses.replace` drops it: an altered record is no longer what the call made.
    origin: Origin | None = dataclasses.field(init=False, default=None)

    def __init_subclass__(cls):
        # A pytree without leaves: a record can be an argument of `jit` or `vmap`, or part of a state, as it is.
        jax.tree_util.register_static(cls)

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
        # Types are compared too: 1 == 1.0 == True, and yet they make different programs.
        return other.origin is not None and _typed(self.origin) == _typed(other.origin)

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
    become NumPy dtypes, nonlinearities of `jax.nn` and `jax.numpy` their names, lists become tuples, NumPy's numbers
    Python's, and an int is a float where the default or the annotation is one. Names that end in `_init` must be
    callable, and what is annotated as a `Cell` must be one. A function is handed to `make` as it was given, and where
    the default is a function, so is one that was given by its name.
    Raises TypeError, with the factory's name, for arguments that do not fit.
    """
    signature, text = _with_options(make)

    @functools.wraps(make)
    def call(*args, **kwargs):
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{make.__name__}: {error}; it takes {', '.join(signature.parameters)}") from None
        bound.apply_defaults()
        compared = {}
        for name, value in bound.arguments.items():
            parameter = signature.parameters[name]
            kind = getattr(parameter.annotation, "__name__", parameter.annotation)  # a string where those are not read
            if kind == "Cell" and parameter.kind is not parameter.VAR_POSITIONAL:
                _cell(name, value)
            compared[name] = _normal(name, value, parameter.default, kind)
            bound.arguments[name] = _handed(name, value, compared[name], parameter.default)
        record = dataclasses.replace(make(*bound.args, **bound.kwargs))  # a new one: its maker may hold it too
        options = tuple(compared.items())
        try:
            hash(options)
        except TypeError as error:
            raise TypeError(
                f"{make.__name__}: every option must be hashable, so that the record can be compared ({error}). "
                "Arrays belong in params."
            ) from None
        object.__setattr__(record, "origin", Origin(call, options))
        return record

    call.is_factory = True  # type: ignore[attr-defined]
    call.__signature__, call.__doc__ = signature, text  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


def _with_options(make: Callable) -> tuple[inspect.Signature, str | None]:
    """The signature and docstring of `make`, with `**options: Unpack[SomeTypedDict]` expanded into its keys.

    Each key is annotated `Annotated[type, default, meaning]`.
    """
    signature, text = inspect.signature(make), make.__doc__
    named = list(signature.parameters.values())
    if not named or named[-1].kind is not inspect.Parameter.VAR_KEYWORD:
        return signature, text
    unpacked = typing.get_type_hints(make, include_extras=True).get(named.pop().name)
    if typing.get_origin(unpacked) is not typing.Unpack:
        return signature, text
    lines = [(text or "").rstrip() + "\n"]
    for name, hint in typing.get_type_hints(typing.get_args(unpacked)[0], include_extras=True).items():
        kind, default, meaning = typing.get_args(hint)
        named.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind))
        lines += textwrap.wrap(f"{name}: {meaning}.", 112, subsequent_indent="    ")
    lines.append("Raises ValueError or TypeError for wrong options.\n")
    return signature.replace(parameters=named), "\n    ".join(lines)


def _cell(name: str, value: Any) -> None:
    """Raise TypeError unless `value` looks like a Cell, a class that this module cannot import."""
    if not hasattr(value, "initial_carry"):
        cure = f"; write {value.__name__}(...)" if hasattr(value, "is_factory") else ""
        raise TypeError(f"{name}: expected a cell such as jaxrnn.lstm(256), got {_show(value)}{cure}")


def _handed(name: str, value: Any, normal: Any, default: Any) -> Any:
    """What `make` is given: the normal form, but of functions the function."""
    if callable(value) and not isinstance(value, Record | type):
        return value
    if isinstance(value, str) and callable(default) and default is not inspect.Parameter.empty:
        return nonlinearity(value, name)
    return normal


def _normal(name: str, value: Any, default: Any = None, kind: Any = None) -> Any:
    if name.endswith("dtype") and value is not None:
        try:
            dtype = jnp.dtype(value)
            # Not "O" or "M8", which a file may say.
            if jnp.issubdtype(dtype, np.number) or jnp.issubdtype(dtype, np.bool_):
                return dtype
        except TypeError:
            pass
        raise TypeError(f"{name}: expected a type such as 'float32' or 'bfloat16', got {value!r}")
    if name.endswith("_init") and (not callable(value) or hasattr(value, "is_factory")):
        cure = f"write {value.__name__}()" if callable(value) else "such as jaxrnn.initializers.orthogonal()"
        raise TypeError(f"{name}: expected an initializer, a function (key, shape, dtype), got {value!r}; {cure}")
    if isinstance(value, np.generic):
        value = value.item()
    is_float = isinstance(default, float) or (default is None and str(kind).replace(" ", "") in FLOATS)
    if is_float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return tuple(_normal(name, v) for v in value)
    if callable(value) and not isinstance(value, Record | type):
        return known_name(value) or value
    return value


def _typed(value: Any) -> Any:
    """`value` paired with its type, recursively in tuples: equal only if the types are equal too."""
    return tuple(map(_typed, value)) if isinstance(value, tuple) else (type(value), value)


def arguments(make: Callable, options: Any, *, skip_defaults: bool = False) -> tuple[list, dict]:
    """The positional and keyword arguments that repeat a call of `make`, from its options by name."""
    args, kwargs, options = [], {}, dict(options)
    by_name = False  # arguments after a skipped default must be passed by name
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
