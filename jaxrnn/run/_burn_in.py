"""Burn-in: the first steps update a stored carry without a gradient, before the loss starts."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.cell import Carry, Cell, Engine, Inputs, Params
from jaxrnn._core.rows import clipped, given
from jaxrnn.run._unroll import unroll


def burn_in(
    cell: Cell,
    params: Params,
    carry: Carry | None,
    xs: Inputs,
    steps: int,
    *,
    lengths: Any = None,
    mask: Any = None,
    reset: Any = None,
    engine: Engine | None = None,
    key: jax.Array | None = None,
) -> tuple[Carry, Any]:
    """`unroll` with no gradient through the first `steps` of T steps: (carry, ys [T, ..., H]).

    For a carry stored with old parameters, as in recurrent replay: `steps` steps bring it to where the current
    parameters would have left it. ys are those of `unroll`; leave the first `steps` of them out of the loss, as they
    have no gradient. The other arguments are those of `unroll`, without `reverse`, because a stored carry continues
    forwards. The two parts draw their noise separately, so a mask drawn once per sequence changes between them.
    Raises ValueError for steps outside 0 < steps < T, TypeError for a cell that also runs backwards. Kapturowski et
    al. 2019, "Recurrent experience replay in distributed reinforcement learning" (R2D2).
    """
    carry, xs, lengths, mask, reset = given(carry, xs, lengths, mask, reset)
    time, batch = checks.unroll(cell, params, carry, xs, lengths, mask, reset, False, engine, key)
    if checks.positive(steps, "steps") >= time:
        raise ValueError(f"steps: expected fewer than T={time}, got {steps}")
    # A cell that needs the whole sequence cannot be split: its step raises.
    jax.eval_shape(cell.step, params, cell.initial_carry(params, batch), jax.tree.map(lambda a: a[0], xs))
    keys = (None, None) if key is None else jax.random.split(key)

    def part(first, end, carry, lengths, key):
        cut = jax.tree.map(lambda a: a[first:end], (xs, mask, reset))
        return unroll(cell, params, carry, cut[0], lengths=lengths, mask=cut[1], reset=cut[2], engine=engine, key=key)

    before = after = None
    if lengths is not None:
        lengths = clipped(lengths, 0, time)
        before, after = jnp.minimum(lengths, steps), jnp.maximum(lengths - steps, 0)
    carry, first = jax.lax.stop_gradient(part(0, steps, carry, before, keys[0]))
    carry, rest = part(steps, time, carry, after, keys[1])
    return carry, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, rest)
