"""Values inside a cell that a wrapper, or someone who looks in, may see and replace, without a cell written for it.

A cell marks a value with `tap(name, value)`, which gives it back; under `tapped` what comes back is what the function
for that name makes of it. The names in this library:

    operand    what `jaxrnn.product` multiplies with a kernel
    product    what it gives
    candidate  what a gate lets into the state: an LSTM's g, a GRU's n
    cell       an LSTM's c' on its way to h'
    a letter   of `cell.gates`: what its block of the kernels comes to, after its activation; what the gate is

The functions are known to the thread alone, only while traced: a part that sets its own `tapped` stays a pure function.
A part of a cell that is wrapped in a `jax.jit` of its own hides its taps: what was traced before is not traced again.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

_active: contextvars.ContextVar[tuple[dict[str, Callable], ...]] = contextvars.ContextVar("taps", default=())


def tap(name: str, value: Any) -> Any:
    """`value`, or what those who tapped this name make of it, the innermost first."""
    for functions in reversed(_active.get()):
        if name in functions:
            value = functions[name](value)
    return value


def active() -> bool:
    """Whether anyone has tapped anything."""
    return bool(_active.get())


@contextlib.contextmanager
def tapped(functions: dict[str, Callable[[Any], Any]], *, alone: bool = False) -> Iterator[None]:
    """Within, each value of these names is replaced by the function of it; alone: nobody outside sees any."""
    token = _active.set((*(() if alone else _active.get()), functions))
    try:
        yield
    finally:
        _active.reset(token)
