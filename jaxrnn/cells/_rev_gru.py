"""The reversible GRU."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Dense, Updating


class RevGRUCarry(NamedTuple):
    """The two halves of a reversible GRU's state."""

    first: jax.Array  # [..., H/2]
    second: jax.Array  # [..., H/2]


class _Between(NamedTuple):
    """The state between two products."""

    first: jax.Array  # [..., H/2]
    second: jax.Array  # [..., H/2]
    read: jax.Array  # [..., H/2] what the next product reads
    gate: jax.Array  # [..., H/2]


@factory
def rev_gru(hidden_size: int, **options: Unpack[Updating]) -> Cell:
    """Reversible GRU, whose halves update one another: x [..., D], a and b [..., H/2] -> (a', b'), y = [a', b'].

        r, z = sigmoid(x W_r + b U_r + c_r), sigmoid(x W_z + b U_z + c_z)
        a'   = z a + (1 - z) tanh(x W_n + (r b) U_n + c_n)
        s, u = sigmoid(x W_s + a' U_s + c_s), sigmoid(x W_u + a' U_u + c_u)
        b'   = u b + (1 - u) tanh(x W_m + (s a') U_m + c_m)

    As the gates of a half do not read it, (a, b) follows from (a', b') and x. Parameters, gates in the order r, z, n,
    s, u, m: kernel W [D, 3H], recurrent_kernel U [H/2, 3H], bias c [3H]. Four products in sequence (four stages).

    hidden_size: H, even. `update_bias` is added to c_z and c_u.
    Sources: the paper runs it backwards to save memory, with z kept away from 0 in fixed-point numbers; here it is the
        cell alone, and engines keep states as for any other.
    Good for: comparing with the reversible network, and exact inverses of a step.
    Paper: MacKay, Vicol, Ba and Grosse 2018, arXiv 1810.10999.
    """
    if checks.positive(hidden_size, "hidden_size") % 2:
        raise ValueError(f"hidden_size: expected an even number, for two halves, got {hidden_size}")
    d = Dense(hidden_size // 2, "rznsum", options)

    def init(key, input_size):
        return d.init(key, input_size, memory="+z+u")

    def gates(letters, of):
        def update(params, s, u, v):
            reset, keep = (d.gate(k, z) for k, z in zip(letters, d.sums(letters, u, v), strict=True))
            return _Between(s.first, s.second, reset * getattr(s, of), keep)

        return d.stage(d.recur(letters, of=of), update)

    def mixed(letter, old, s, u, v):
        [z] = d.sums(letter, u, v)
        return s.gate * old + (1 - s.gate) * d.candidate(letter, z)

    def first(params, s, u, v):
        return RevGRUCarry(mixed("n", s.first, s, u, v), s.second)

    def second(params, s, u, v):
        return RevGRUCarry(s.first, mixed("m", s.second, s, u, v))

    stages = (
        gates("rz", "second"), d.stage(d.recur("n", of="read"), first),
        gates("su", "first"), d.stage(d.recur("m", of="read"), second),
    )  # fmt: skip
    cell = d.cell(RevGRUCarry, *stages, init=init)
    return dataclasses.replace(cell, output=lambda params, carry: jnp.concatenate(carry, -1))
