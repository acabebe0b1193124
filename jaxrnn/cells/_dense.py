"""What dense cells share: kernels with a block of H columns for each gate, biases, types, and their options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypedDict

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core import checks
from jaxrnn._core.cell import Cell, Stage, features
from jaxrnn._core.numerics import compute_dtype, nonlinearity, product, row, wide
from jaxrnn._core.taps import tap


# Each option with its type, its default, and what it means: `factory` puts them in the signatures and docstrings.
class _KernelInit(TypedDict, total=False):
    kernel_init: Annotated[
        Callable, initializers.glorot_uniform(), "a function (key, shape, dtype) that draws kernel, gate by gate"
    ]


class Types(TypedDict, total=False):
    """The options of a cell whose parameters have starts of their own."""

    dtype: Annotated[Any, None, 'the type to compute in, such as "bfloat16"; None: that of the params']
    param_dtype: Annotated[Any, "float32", "the type of the params that `init` makes"]


class _Rest(Types, total=False):
    bias_init: Annotated[Callable, initializers.zeros(), "the same for bias"]


class Unbiased(_KernelInit, Types, total=False):
    """The options of a cell with one kernel and no bias."""


class Pointwise(_KernelInit, _Rest, total=False):
    """The options of a cell without a recurrent kernel and with an activation of its own."""


class _Activation(TypedDict, total=False):
    activation: Annotated[str | Callable, "tanh", "a function, or its name in `jax.nn`"]


class _Gates(_Activation, total=False):
    gate_activation: Annotated[str | Callable, "sigmoid", "the same for the gates"]


class _Recurrent(TypedDict, total=False):
    recurrent_init: Annotated[Callable, initializers.orthogonal(), "the same for recurrent_kernel"]


class _Update(TypedDict, total=False):
    update_bias: Annotated[
        float | Callable,
        0.0,
        "put on the bias of the gate between the old state and the new, with the sign that keeps the old: a number, or "
        "`initializers.chrono(T)` for memories of up to T steps",
    ]


class Ungated(_Activation, _KernelInit, _Recurrent, _Rest, total=False):
    """The options of a cell without gates."""


class Gated(_Gates, _KernelInit, _Recurrent, _Rest, total=False):
    """The options of a cell with gates."""


class Updating(_Update, Gated, total=False):
    """The options of a cell with one gate between the old state and the new."""


class HiddenCarry(NamedTuple):
    """The state of a cell that carries nothing but its output."""

    h: jax.Array  # [..., H]


class Between(NamedTuple):
    """The state between two products, if the second reads h through a gate."""

    h: jax.Array  # [..., H]
    read: jax.Array  # [..., H] what the second product reads
    gate: jax.Array  # [..., H] what h is updated by


class Reading(NamedTuple):
    """The state between two products, if the second does not read h."""

    h: jax.Array  # [..., H]
    read: jax.Array  # [..., H] what the second product reads


class Dense:
    """The parts of a cell whose kernels have a block for each letter of `gates`, in that order.

    Parameters: kernel [D, G·H], recurrent_kernel [H, G·H], bias [G·H]. Raises ValueError or TypeError for options that
    do not fit.
    """

    def __init__(self, hidden_size: int, gates: str, options: Any):
        self.H, self.gates, self.options = checks.positive(hidden_size, "hidden_size"), gates, options
        for name, value in options.items():
            if name.endswith("dtype"):
                checks.floating(value, name)
            elif name.endswith("activation"):
                nonlinearity(value, name)
        self.dtype, self.param_dtype = options["dtype"], options["param_dtype"]

    def init(
        self,
        key: Any,
        input_size: Any,
        *,
        rows: int | None = None,
        kernel: str | None = None,
        recurrent: str | None = None,
        memory: str = "",
        by: Any = None,
    ) -> Any:
        """New params. rows: the rows of the recurrent kernel, if not H.

        kernel, recurrent: the gates that have a block in it, if not all; no recurrent kernel for "".
        memory: the gates to whose biases `by` is added or subtracted, such as "+f-i". by: a number or an initializer;
        None: update_bias.
        """
        checks.init(key, input_size)
        k1, k2, k3, k4 = jax.random.split(key, 4)
        bias = self.blocks("bias_init", k3, (self.H,))
        if memory:
            by = self.options["update_bias"] if by is None else by
            start = initializers.remember(by, k4, (self.H,), self.param_dtype)
            for sign, gate in zip(memory[::2], memory[1::2], strict=True):
                bias = bias.at[self.columns(gate)].add(start if sign == "+" else -start)
        params = {"kernel": self.blocks("kernel_init", k1, (input_size, self.H), kernel)}
        if recurrent != "":
            params["recurrent_kernel"] = self.blocks("recurrent_init", k2, (rows or self.H, self.H), recurrent)
        return {**params, "bias": bias}

    def blocks(
        self, initializer: str | Callable, key: Any, shape: tuple[int, ...], gates: str | None = None
    ) -> jax.Array:
        """A draw of `shape` [..., H] for each gate, side by side, from an initializer or the option of that name.

        gates: None for all.
        """
        draw = self.options[initializer] if isinstance(initializer, str) else initializer
        count = len(self.gates if gates is None else gates)
        if count == 1:
            return draw(key, shape, self.param_dtype)
        return initializers.gates(draw, key, count, shape, self.param_dtype)

    def columns(self, gates: str) -> slice:
        """The columns of gates whose blocks are side by side."""
        first = self.gates.index(gates)
        return slice(first * self.H, (first + len(gates)) * self.H)

    def compute(self, params: Any) -> jnp.dtype:
        """The type of operands and of the carry."""
        return compute_dtype(self.dtype, params)

    def drive(self, params: Any, x: jax.Array) -> jax.Array:
        """x [..., D] -> x @ kernel + bias [..., G·H], rounded to the type to compute in."""
        u = product(x, params["kernel"], self.compute(params))
        return (u + row(params["bias"], u)).astype(self.compute(params))

    def recur(self, gates: str = "", of: str = "h") -> Callable[[Any, Any], jax.Array]:
        """The `recur` of a stage: a field of the state times the recurrent kernel, or times some gates' columns."""

        def recur(params, s):
            kernel = params["recurrent_kernel"]
            return product(getattr(s, of), kernel[:, self.columns(gates)] if gates else kernel, self.compute(params))

        return recur

    def stage(self, recur: Callable | None, update: Callable, *, recurrent: bool = True) -> Stage:
        """A stage whose update computes in the type of sums: s and u are cast to it, and fields of s are cast back.

        Other fields of the new state stay wide: a product rounds what it reads.
        """

        def widened(params, s, u, v):
            sums = wide(self.compute(params))
            s_, u = jax.tree.map(lambda a: a.astype(sums), (s, u))
            new = update(params, s_, u, v)
            kept = {f: getattr(new, f).astype(getattr(s, f).dtype) for f in new._fields if hasattr(s, f)}
            return new._replace(**kept)

        return Stage(recur, widened, recurrent)

    def sums(self, gates: str, u: jax.Array, v: jax.Array) -> list[jax.Array]:
        """u + v for each of these gates, where v has only their columns."""
        u = u if gates == self.gates else u[..., self.columns(gates)]
        return self.split(u + v)

    def split(self, z: jax.Array) -> list[jax.Array]:
        """[..., G·H], of all gates or of some -> [..., H] for each."""
        return jnp.split(z, z.shape[-1] // self.H, axis=-1)

    def act(self, z: jax.Array) -> jax.Array:
        """The activation of z, the sum of a state or a candidate."""
        return nonlinearity(self.options["activation"], "activation")(z)

    def squash(self, z: jax.Array) -> jax.Array:
        """The gate activation of z."""
        return nonlinearity(self.options["gate_activation"], "gate_activation")(z)

    def gate(self, name: str, z: jax.Array, *, times: float = 1) -> jax.Array:
        """The gate of that name from its sum, between 0 and `times`."""
        gate = self.squash(z)
        return tap(name, gate if times == 1 else times * gate)

    def candidate(self, name: str, z: jax.Array) -> jax.Array:
        """The candidate that a gate lets into the state, from its sum."""
        return tap(name, tap("candidate", self.act(z)))

    def cell(
        self,
        carry: type,
        *stages: Stage,
        init: Callable | None = None,
        start: Any = None,
        drive: Any = None,
        input: Any = features,
        **parts: Any,
    ) -> Cell:
        """The cell with these stages. init: None for `self.init`; start: None for zeros [H] in each field.

        parts: others of the `Cell`, such as its output.
        """

        def zeros(params):
            return carry(*(jnp.zeros(self.H, self.compute(params)) for _ in carry._fields))

        return Cell(init or self.init, start or zeros, input, drive or self.drive, stages, gates=self.gates, **parts)
