"""The contract: what a cell is, and the parts it is made of.

The axis letters, used in every docstring, comment and message:

    T  time            B  batch, any number of leading axes, often written ...
    D  input features  H  hidden units
    G  gates           P  projected units
    V  vocabulary      L  layers

A cell has three parts, a drive, one or more stages and an output:

    u_t = drive(params, x_t)               sees no carry: one product over all of T·B, outside the loop
    s = carry_{t-1}
    for each stage:
        v = recur(params, s)               affine in s: the only matrix product in the loop
        s = update(params, s, u_t, v)      no matrix product
    carry_t = s
    y_t = output(params, carry_t)          sees no other step: outside the loop again

A stage may have no `recur`; its `update` then gets v=None (this is how a reset comes before the product).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn._core import arrays, checks, clock
from jaxrnn._core.record import Record

Params = Any  # a pytree of arrays
Carry = Any  # a NamedTuple of arrays, each [..., features]
Inputs = Any  # an array [..., D], or the pytree that the cell takes


class Stage(NamedTuple):
    """One stage of a step: a product that is affine in the state, then a pointwise update."""

    recur: Callable[[Params, Any], Any] | None
    update: Callable[[Params, Any, Any, Any], Any]
    recurrent: bool = True  # whether the product connects one step to the next; that of an LSTM's projection does not


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Cell(Record):
    """A recurrent cell: a frozen record of pure functions. See the module docstring for the three parts.

    Give either `drive` and `stages` (and `output`, if it is not `carry.h`), or one `plain_step`, or, for a composition
    of other cells, a `sequence`. A cell with noise has both: its parts, for evaluation, and a `sequence`.

        init(key, input_size) -> params
        start(params) -> carry                        the initial carry of a row, without batch axes
        input(params) -> jax.ShapeDtypeStruct         one input, without batch axes; None: an array [D], not checked;
                                                      `timed_features` for a cell that knows time
        plain_step(params, carry, x) -> (carry, y)    for a cell without parts
        sequence(run, params, carry, xs, key) -> (carry, ys)
                                                      how `unroll` runs it: with `run(cell, params, carry, xs, key,
                                                      backwards=False)`, which runs a member over all of T. It passes
                                                      carries on without reading them. key: for noise, or None. `step`
                                                      calls it too, with x for xs, so it must not touch the time axis
                                                      if key is None
        element(params, u) -> (a, b)                  of a cell whose carry is affine in the one before: new = a * old +
                                                      b, leaf by leaf, from u = drive(params, x)
        gates                                         one letter for each block of H columns in the kernels
    """

    init: Callable[[Any, Any], Params]
    start: Callable[[Params], Carry]
    input: Callable[[Params], Any] | None = None
    drive: Callable[[Params, Inputs], Any] | None = None
    stages: tuple[Stage, ...] = ()
    output: Callable[[Params, Carry], Any] = lambda params, carry: carry.h
    plain_step: Callable[[Params, Carry, Inputs], tuple[Carry, Any]] | None = None
    sequence: Callable[..., tuple[Carry, Any]] | None = None
    element: Callable[[Params, Any], tuple[Carry, Carry]] | None = None
    gates: str = ""

    def __post_init__(self):
        forms = (self.drive is not None) + (self.plain_step is not None)
        if (self.drive is None) == bool(self.stages) or forms > 1 or (forms == 0 and self.sequence is None):
            raise ValueError("Cell: expected either drive and stages, or plain_step, or sequence")

    @property
    def has_parts(self) -> bool:
        """Whether the cell is written in three parts, as engines.deferred requires."""
        return self.drive is not None

    def initial_carry(self, params: Params, batch_shape: tuple[int, ...] = ()) -> Carry:
        """The initial carry: `start(params)` for every row, leaves [*batch_shape, H]."""
        batch_shape = checks.batch_shape(batch_shape)
        checks.params(self, params)
        return jax.tree.map(lambda a: jnp.broadcast_to(a, (*batch_shape, *jnp.shape(a))), self.start(params))

    def step(self, params: Params, carry: Carry, x: Inputs) -> tuple[Carry, Any]:
        """One step: carry [..., H], x [..., D] -> (carry, y [..., H]).

        `functools.partial(cell.step, params)` can be the body of `lax.scan`. The carry keeps its types. No noise.
        Raises ValueError or TypeError, when traced, for a carry, an input or params that do not fit, and for a
        composition that needs the whole sequence.
        """
        carry, x = arrays.ours(carry, "carry"), arrays.ours(x, "x")
        checks.step(self, params, carry, x)
        x = clock.read(self, params, x)

        def run(cell, params, carry, x, key, backwards=False):
            if backwards:
                of = "" if cell is self else f", as a part of {self!r}"
                raise TypeError(
                    f"step: {cell!r} runs backwards{of}: that needs the whole sequence; use jaxrnn.unroll, or a "
                    "composition that only looks back"
                )
            return step_with(run, cell, params, carry, x, key)

        return step_with(run, self, params, carry, x, None)

    def outputs(self, params: Params, x: Any = None) -> Any:
        """The shape and type of y for an input like x (None: one without batch axes), as a jax.ShapeDtypeStruct."""
        if x is None:
            if self.input is None:
                raise ValueError(f"{self!r}: the shape of its outputs follows from its `input`, which it does not give")
            x = self.input(params)

        def run(cell, params, carry, x, key, backwards=False):
            return step_with(run, cell, params, carry, x, key)

        def one(params, x):
            return step_with(run, self, params, self.start(params), x, None)[1]

        return jax.eval_shape(one, params, x)


Engine = Callable[[Cell, Params, Carry, Inputs], tuple[Carry, Any]]  # a way to run a cell over time


def step_with(run: Callable, cell: Cell, params: Params, carry: Carry, x: Inputs, key: Any) -> tuple[Carry, Any]:
    """One step of a cell; `run` runs the members of a composition."""
    if cell.drive is not None:
        carry = advance(cell.stages, params, carry, cell.drive(params, x))
        return carry, cell.output(params, carry)
    if cell.plain_step is not None:
        return cell.plain_step(params, carry, x)
    assert cell.sequence is not None
    return cell.sequence(run, params, carry, x, key)


def advance(stages: tuple[Stage, ...], params: Params, carry: Carry, u: Any) -> Carry:
    """The carry after all stages of one step."""
    state = carry
    for stage in stages:
        v = None if stage.recur is None else stage.recur(params, state)
        state = stage.update(params, state, u, v)
    return state


def features(params: Params) -> jax.ShapeDtypeStruct:
    """The `input` of a cell whose kernel is [D, G·H]: an array [D]."""
    kernel = params["kernel"]
    return jax.ShapeDtypeStruct(kernel.shape[:1], kernel.dtype)
