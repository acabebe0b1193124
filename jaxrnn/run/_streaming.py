"""Serving: many independent streams in one batch, one or a few steps per call, compiled before the first input."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from jaxrnn._core import arrays, checks
from jaxrnn._core.cell import Carry, Cell, Inputs, Params
from jaxrnn._core.devices import AXIS
from jaxrnn._core.jax_internals import is_traced
from jaxrnn._core.loops import loop
from jaxrnn._core.rows import select
from jaxrnn.engines import scan
from jaxrnn.run._packing import after, packing
from jaxrnn.run._places import at, guarded, place_of, streams_over
from jaxrnn.run._unroll import unroll

# Params of up to this many bytes are compiled in as constants: each array argument costs 0.4 us per call. Larger ones
# stay arguments, because as constants they would be held twice.
CONSTANTS = 4 << 20

# With at most this many numbers in each field of the carry, steps with one product are scanned as written: XLA makes
# that one native loop. LSTM, GRU and Elman, 16 and 32 units: 1.1 to 2.3 times as fast as with the drive outside.
SMALL = 32


class State(NamedTuple):
    """The carries of all streams, and which streams are active: a pytree of arrays, saved and moved like any other.

    The fields of a carry are concatenated into one array per dtype, because each array that a call returns costs a
    microsecond. `Streaming.carry` returns them by name.
    """

    rows: tuple[Any, ...]  # [B, N], or [N] without a stream axis; one array for each dtype in the carry
    active: Any  # [B] bool; None without a stream axis


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Streaming:
    """A cell or a model compiled for serving; see `streaming`, which makes it."""

    cell: Any
    streams: int | None
    steps: int | None
    x: Inputs  # shapes and dtypes of the input of a call
    row: Carry  # shapes and dtypes of the carry of one stream
    state: State  # shapes and dtypes of a state
    _fresh: tuple[jax.Array, ...]  # the initial carry of one stream, packed
    _pack: Callable
    _unpack: Callable
    _step: Callable
    _add: Any  # None without a stream axis
    _take: Any

    def __repr__(self) -> str:
        return f"streaming({self.cell!r}, params, streams={self.streams}, steps={self.steps})"

    def start(self, carry: Carry | None = None, *, active: Any = True) -> State:
        """A state: all streams at the initial carry, or at `carry` [B, ...]. active: which run, bool or [B] bool."""
        batch = () if self.streams is None else (self.streams,)
        if np.asarray(active).dtype != bool or np.shape(active) not in ((), batch) or not (batch or active):
            wanted = f"True, False or [B] of bool with B={self.streams}" if batch else "True, as streams=None is one"
            raise ValueError(f"active: expected {wanted}, got {active!r}")
        if carry is None:
            rows = tuple(jnp.array(jnp.broadcast_to(a, (*batch, *a.shape)), copy=True) for a in self._fresh)
        else:
            carry = arrays.ours(carry, "carry")
            makes = "cell.initial_carry(params, batch_shape) makes one"
            _fits(carry, after(batch, self.row), "carry", makes)
            rows = self._pack(carry)
        return self._there(State(rows, jnp.array(np.broadcast_to(active, batch)) if batch else None))

    def step(self, state: State, x: Inputs) -> tuple[State, Any]:
        """x [B, D] -> (state, y [B, H]); with steps=k, xs [k, B, D] -> (state, ys [k, B, H]). NumPy arrays work too.

        A dropped stream holds its carry and has y = 0, whatever its x.
        Raises TypeError or ValueError, before anything is computed, for arguments that do not fit the compiled program.
        """
        try:
            rows, y = self._step(state.rows, state.active, x)
        except (AttributeError, RuntimeError, TypeError, ValueError) as error:  # checking first would slow every call
            read = arrays.ours(x, "x")
            if any(a is not b for a, b in zip(jax.tree.leaves(read), jax.tree.leaves(x), strict=True)):
                return self.step(state, read)  # an array of others, such as PyTorch's
            raise self._fault(state, x) or error from None
        return State(rows, state.active), y

    def add(self, state: State, slot: int, carry: Carry | None = None) -> State:
        """Start a stream in `slot`, at the initial carry or at a `carry` without a stream axis."""
        slot = self._slot(state, slot)
        if carry is not None:
            carry = arrays.ours(carry, "carry")
            _fits(carry, self.row, "carry", "carry(state, slot) or cell.initial_carry(params) makes one")
        return State(*self._add(*state, slot, self._fresh if carry is None else self._pack(carry)))

    def drop(self, state: State, slot: int) -> State:
        """End the stream in `slot`: from now on its carry is held and its y is 0."""
        slot, active = self._slot(state, slot), np.array(state.active)
        active[slot] = False
        return self._there(State(state.rows, jnp.asarray(active)))

    def carry(self, state: State, slot: int | None = None) -> Carry:
        """A copy of the carry in `slot` (None: of all streams), dropped or not; the state can still be used."""
        if slot is not None:
            return self._take(state.rows, self._slot(state, slot))
        _usable(state, self.state)
        return self._unpack(state.rows)

    def _there(self, state: State) -> State:
        """The state, its rows on the devices that share them."""
        return jax.tree.map(
            lambda a, like: a if like.sharding is None else jax.device_put(a, like.sharding), state, self.state
        )

    def _slot(self, state: State, slot: Any) -> Any:
        if self.streams is None:
            raise ValueError(f"slot: expected none, for streams=None is one stream without an axis, got {slot!r}")
        if isinstance(slot, bool) or not isinstance(slot, int | np.integer) or not 0 <= slot < self.streams:
            raise ValueError(f"slot: expected an int from 0 to {self.streams - 1}, got {slot!r}")
        _usable(state, self.state)
        return np.int32(slot)

    def _fault(self, state: Any, x: Any) -> Exception | None:
        """The error in the arguments of a step; None if they are right."""
        try:
            if any(is_traced(a) for a in jax.tree.leaves((state, x))):
                raise TypeError("step: expected arrays, got traced ones; it is compiled, so inside jit write cell.step")
            _usable(state, self.state)
            axes = ["k"] * (self.steps not in (None, 1)) + ["B"] * (self.streams is not None) + ["..."]
            _fits(x, self.x, "x", f"{self!r} is compiled for these", f"[{', '.join(axes)}], ")
        except (TypeError, ValueError) as error:
            return error
        return None


def streaming(
    cell: Any,
    params: Params,
    x: Inputs | None = None,
    *,
    streams: int | None = None,
    steps: int | None = None,
    devices: int | None = None,
) -> Streaming:
    """Compile `cell` for serving step by step from Python, with a state passed in and returned.

        stream = streaming(cell, params, streams=B)     compiles
        state = stream.start()                          every stream at its initial carry
        state, y = stream.step(state, x)                x [B, D] -> y [B, H]
        state = stream.drop(state, slot)                ends a stream: its carry is held, its y is 0
        state = stream.add(state, slot, carry=None)     starts another in its slot
        carry = stream.carry(state, slot)               a copy of its carry, to add it elsewhere

    cell: a cell, or a model with `step(params, carry, x)` and `initial_carry(params, batch_shape)`. Several steps per
        call use the model's `apply(params, carry, xs)`, if it has one that returns a y for each step.
    x: one input of one stream, an array or its jax.ShapeDtypeStruct; None: as the cell's `input` says.
    streams: B, the number of streams in each call; None: one stream, without a stream axis.
    steps: k, the number of steps in each call, run in one compiled loop: xs [k, B, D] -> ys [k, B, H]; None or 1: one
        step, without a time axis.
    devices: how many of this process's devices share the streams; as many take part as divide B. None: all, for calls
        of several steps that compute enough to be worth it. On a CPU `jaxrnn.cores_as_devices()`, before all else,
        makes them of its cores.

    Everything is compiled here, for these params. A state can be used once: a call reuses its memory for the next
    state, and passing it again raises an error; a call that raises leaves it as it was. Streams are independent.
    Values are those of one `unroll` over all steps, up to rounding: XLA may contract f c + i g differently outside a
    loop (measured: up to 0.4 eps per step, none in bfloat16).
    Raises TypeError or ValueError for arguments that do not fit one another.
    """
    if not (hasattr(cell, "step") and hasattr(cell, "initial_carry")):
        raise TypeError(
            "cell: expected a cell such as jaxrnn.lstm(64), or a model with step(params, carry, x) and "
            f"initial_carry(params, batch_shape), got {checks.describe(cell)}"
        )
    if isinstance(cell, Cell):
        checks.params(cell, params)
    batch = () if streams is None else (checks.positive(streams, "streams"),)
    time = () if steps is None or checks.positive(steps, "steps") == 1 else (steps,)
    if x is None:
        asks = getattr(cell, "input", None)
        if asks is None:
            raise ValueError(
                "x: expected one input of one stream, such as jax.ShapeDtypeStruct((3,), 'float32'), got None, and "
                f"{cell!r} does not say what it takes"
            )
        x = asks(params)
    x, first = after((*time, *batch), x), cell.initial_carry(params)
    row = after((), first)
    carry = after(batch, row)
    pack, unpack = packing(row)

    def ahead(f, *like, out, donate=()):
        """f compiled for arguments `like`: shapes stand for arrays where they say, arrays stay where they are."""
        return jax.jit(f, donate_argnums=donate, out_shardings=out).lower(*like).compile()

    def over(params, carry, x):
        if not time:
            return cell.step(params, carry, x)
        if isinstance(cell, Cell):
            products = sum(stage.recur is not None for stage in cell.stages)
            if products == 1 and max(a.size for a in jax.tree.leaves(carry)) <= SMALL:
                return scan(cell, params, carry, x)
            return unroll(cell, params, carry, x)
        y = after(time, jax.eval_shape(cell.step, params, carry, jax.tree.map(lambda a: a[0], x))[1])
        shapes = functools.partial(jax.tree.map, jnp.shape)
        # Not if `apply` returns one y for all steps, as a classifier's does.
        if hasattr(cell, "apply") and shapes(jax.eval_shape(cell.apply, params, carry, x)[1]) == shapes(y):
            return cell.apply(params, carry, x)
        return loop(functools.partial(cell.step, params), carry, x)

    @jax.jit  # a jit of its own, so that the cell sees tracers even where its params are constants
    def run(params, rows, active, x):
        old = unpack(rows)
        # The barrier makes XLA compile the step as in a loop; where XLA respects it, results are bit-identical.
        new, y = lax.optimization_barrier(over(params, old, x))
        if active is not None:
            new = select(active, new, old)
            y = select(jnp.broadcast_to(active, (*time, *batch)), y, jax.tree.map(jnp.zeros_like, y))
        return pack(new), y

    def add(rows, active, slot, row):
        return jax.tree.map(lambda a, b: a.at[slot].set(b), rows, row), active.at[slot].set(True)

    def take(rows, slot):
        return unpack(jax.tree.map(lambda a: a[slot], rows))

    _fits(jax.eval_shape(over, params, carry, x)[0], carry, "carry", f"a step of {cell!r} must return it as it came")
    whole = rows = of_x = place_of(params)
    at_home = whole is None
    if at_home and (mesh := streams_over(batch, steps or 1, params, devices)) is not None:
        whole, rows, of_x = (
            NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), (AXIS,), (*[None] * len(time), AXIS))
        )
        params = jax.device_put(params, whole)
    state = State(
        at(rows, jax.eval_shape(pack, carry)), at(rows, jax.ShapeDtypeStruct(batch, "bool")) if batch else None
    )
    x_there, out = at(of_x, x), (rows, of_x)
    if at_home and sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(after((), params))) <= CONSTANTS:
        step = ahead(functools.partial(run, params), *state, x_there, out=out, donate=(0,))
    else:
        step = functools.partial(ahead(run, params, *state, x_there, out=out, donate=(1,)), params)
    if rows is not whole:
        step = guarded(step)
    packed = jax.jit(pack, out_shardings=whole)
    slot, one = at(whole, (jax.ShapeDtypeStruct((), "int32"), jax.eval_shape(pack, row)))
    return Streaming(
        cell=cell,
        streams=streams,
        steps=steps,
        x=x,
        row=row,
        state=state,
        _fresh=packed(first),
        _pack=packed,
        _unpack=jax.jit(unpack),
        _step=step,
        _add=ahead(add, *state, slot, one, out=rows, donate=(0, 1)) if batch else None,
        _take=ahead(take, state.rows, slot, out=whole) if batch else None,
    )


def _usable(state: Any, like: State) -> None:
    _fits(state, like, "state", "start() makes one")
    if any(isinstance(a, jax.Array) and a.is_deleted() for a in jax.tree.leaves(state)):
        raise ValueError(
            "state: expected the one that the last call returned, got one from before it, whose memory that call took; "
            "write state, y = stream.step(state, x)"
        )


def _fits(tree: Any, like: Any, name: str, cure: str, axes: str = "") -> None:
    """Raise TypeError or ValueError unless `tree` has the structure, shapes and dtypes of `like`."""
    same = jax.tree.structure(tree) == jax.tree.structure(like)
    pairs = list(zip(jax.tree.leaves(tree), jax.tree.leaves(like), strict=True)) if same else []
    if not same or any(jnp.result_type(a) != b.dtype for a, b in pairs):
        error: type[Exception] = TypeError
    elif any(checks.shape(a) != b.shape for a, b in pairs):
        error = ValueError
    else:
        return
    raise error(f"{name}: expected {axes}{checks.describe(like)}, got {checks.describe(tree)}; {cure}")
