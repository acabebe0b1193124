"""The contract: what a cell is, the parts it is made of, and the types it computes in.

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

A stage may have no `recur`; its `update` is then given v=None (that is how a reset comes before the product).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn import checks
from jaxrnn.record import Record, wide

FEW_ROWS = 16  # below, XLA on a CPU has only a slow loop for a product of half types

Params = Any  # a pytree of arrays
Carry = Any  # a NamedTuple of arrays, each [..., features]
Inputs = Any  # an array [..., D], or the pytree that a cell asks for


class Stage(NamedTuple):
    """One turn of the loop: a product that is affine in the state, then a pointwise update."""

    recur: Callable[[Params, Any], Any] | None
    update: Callable[[Params, Any, Any, Any], Any]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Cell(Record):
    """A recurrent cell: a frozen record of pure functions. See the module's text for the three parts.

    Give either `drive` and `stages` (and `output`, if it is not `carry.h`), or one `plain_step`.

        init(key, input_size) -> params
        start(params) -> carry                        the carry a row begins with, no batch axis
        input(params) -> jax.ShapeDtypeStruct         one input, no batch axis; None: an array [D], not checked
        plain_step(params, carry, x) -> (carry, y)    for a cell that has no parts
        sequence(run, params, carry, xs) -> (carry, ys)   for a composition that prefers to run its members over all
                                                      of T one by one; `run(cell, params, carry, xs)` is unroll
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
    gates: str = ""

    def __post_init__(self):
        if (self.plain_step is None) == (self.drive is None or not self.stages):
            raise ValueError("Cell: expected either drive and stages, or plain_step")

    @property
    def has_parts(self) -> bool:
        """Whether the cell is written in three parts, as most engines want it."""
        return self.plain_step is None

    def initial_carry(self, params: Params, batch_shape: tuple[int, ...] = ()) -> Carry:
        """The carry that every row begins with: `start(params)` for each row, leaves [*batch_shape, H]."""
        batch_shape = checks.batch_shape(batch_shape)
        checks.params(self, params)
        return jax.tree.map(lambda a: jnp.broadcast_to(a, (*batch_shape, *jnp.shape(a))), self.start(params))

    def step(self, params: Params, carry: Carry, x: Inputs) -> tuple[Carry, Any]:
        """One step: carry [..., H], x [..., D] -> (carry, y [..., H]).

        `functools.partial(cell.step, params)` is a body for `lax.scan`. The carry keeps its types.
        Raises ValueError or TypeError, when traced, for a carry, an input or params that do not fit.
        """
        checks.step(self, params, carry, x)
        if self.plain_step is not None:
            return self.plain_step(params, carry, x)
        assert self.drive is not None
        carry = advance(self.stages, params, carry, self.drive(params, x))
        return carry, self.output(params, carry)

    def outputs(self, params: Params) -> Any:
        """Shape and type of one y, no batch axis, as a jax.ShapeDtypeStruct."""
        if self.input is None:
            raise ValueError(f"{self!r}: the shape of its outputs follows from its `input`, which it does not give")
        return jax.eval_shape(lambda p, x: self.step(p, self.initial_carry(p), x)[1], params, self.input(params))


def advance(stages: tuple[Stage, ...], params: Params, carry: Carry, u: Any) -> Carry:
    """The carry after all stages of one step."""
    state = carry
    for stage in stages:
        v = None if stage.recur is None else stage.recur(params, state)
        state = stage.update(params, state, u, v)
    return state


def compute_dtype(dtype: Any, params: Params) -> jnp.dtype:
    """The type a cell computes in: `dtype` where given, else that of its kernel."""
    return jnp.dtype(params["kernel"].dtype if dtype is None else dtype)


def product(a: jax.Array, kernel: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """a [..., N] @ kernel [N, M] with operands in `dtype` -> [..., M].

    Half-width types are summed, and returned, in float32: the gates are then computed there, and only what is
    stored (the drive, the carry) is rounded. On a CPU a few rows of them are also multiplied in float32, which gives
    the same products (those of two halves are exact there) and is up to 50 times as fast.
    """
    a, kernel = a.astype(dtype), kernel.astype(dtype)
    if math.prod(a.shape[:-1]) < FEW_ROWS and jax.default_backend() == "cpu":
        a, kernel = a.astype(wide(dtype)), kernel.astype(wide(dtype))
    axes = (((a.ndim - 1,), (0,)), ((), ()))
    return lax.dot_general(a, kernel, axes, preferred_element_type=wide(dtype))


def affine_drive(dtype: Any) -> Callable[[Params, jax.Array], jax.Array]:
    """The drive most cells have: x [..., D] -> x @ kernel + bias [..., G·H], rounded to the compute type."""

    def drive(params, x):
        compute = compute_dtype(dtype, params)
        u = product(x, params["kernel"], compute)
        return (u + params["bias"].astype(u.dtype)).astype(compute)

    return drive


def features(params: Params) -> jax.ShapeDtypeStruct:
    """One input of a cell whose kernel is [D, G·H]: [D]."""
    kernel = params["kernel"]
    return jax.ShapeDtypeStruct(kernel.shape[:1], kernel.dtype)


def like(new: Carry, old: Carry) -> Carry:
    """`new` in the types of `old`: how an update keeps its carry's types closed."""
    return jax.tree.map(lambda n, o: n.astype(o.dtype), new, old)
