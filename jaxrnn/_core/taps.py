"""Named values inside a cell that wrappers and diagnostics can read or replace, without changing the cell.

A cell marks a value with `tap(name, value)`, which returns it; under `tapped` it returns the result of the function
for that name instead. The names in this library:

    operand    what `jaxrnn.product` multiplies with a kernel
    product    the result of that product
    candidate  what a gate lets into the state: an LSTM's g, a GRU's n
    cell       an LSTM's c' on its way to h'
    a letter   of `cell.gates`: the value of that gate, after its activation

The functions are local to the thread and act only during tracing: a part that sets its own `tapped` stays a pure
function. A part of a cell inside a `jax.jit` of its own hides its taps, because JAX does not trace it again.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

_active: contextvars.ContextVar[tuple[dict[str, Callable], ...]] = contextvars.ContextVar("taps", default=())


def tap(name: str, value: Any) -> Any:
    """`value` passed through all functions tapped for this name, the innermost first."""
    for functions in reversed(_active.get()):
        if name in functions:
            value = functions[name](value)
    return value


def active() -> bool:
    """Whether any taps are set."""
    return bool(_active.get())


@contextlib.contextmanager
def tapped(functions: dict[str, Callable[[Any], Any]], *, alone: bool = False) -> Iterator[None]:
    """Within this context, replace tapped values by the functions for their names; alone: ignore outer taps."""
    token = _active.set((*(() if alone else _active.get()), functions))
    try:
        yield
    finally:
        _active.reset(token)
