"""Layer normalisation inside a cell."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell, Stage
from jaxrnn._core.composition import in_parts, one_input, within
from jaxrnn._core.custom_rules import own_reverse
from jaxrnn._core.numerics import row, widest
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tapped


@factory
def layer_norm(cell: Cell, *, per_gate: bool = True, epsilon: float = 1e-5) -> Cell:
    """The same cell with layer normalisation of its products, and of an LSTM's c on its way to h'.

        LN(a; gain) = gain (a - mean(a)) / sqrt(var(a) + epsilon)
        x W  becomes  LN(x W; input_gain),    h U  becomes  LN(h U; recurrent_gain),    both before their biases
        h' = o tanh(LN(c'; cell_gain) + cell_bias)        in an LSTM; c' itself is carried as it is

    with mean and variance over the H units of each gate (per_gate=True), or over all G·H outputs of a product, as in
    haste and Ba et al. Params {"cell": ..., "input_gain" [G·H], "recurrent_gain": one [G·H] for each recurrent
    product of a step, and, for cells with a c, "cell_gain" [H], "cell_bias" [H]}; gains start at 1, cell_bias at 0.
    The cell's own biases are added to the normalised values. An LSTM's projection is not normalised.

    Keeps the three parts: `recur` returns the bare product, and `update` normalises it, which mixes units.
    Raises TypeError for a composition or a plain step, and ValueError, in `init`, unless the drive and each recurrent
    stage have exactly one product made by `jaxrnn.product`. Ba, Kiros and Hinton 2016, arXiv 1607.06450.
    """
    if not cell.has_parts and cell.sequence is not None:
        raise TypeError(f"layer_norm: expected one cell, got {cell!r}; it goes inside, around each cell")
    in_parts(cell, "layer_norm")
    drive, within_cell = cell.drive, cell.sequence
    assert drive is not None

    def normed(params, a, gain):
        H = params["input_gain"].shape[-1] // max(1, len(cell.gates))
        blocks = a.shape[-1] // H if per_gate and a.shape[-1] % H == 0 else 1
        return _normal(blocks, epsilon, a) * row(gain, a)

    def init(key, input_size):
        params = cell.init(key, input_size)
        sizes = jax.eval_shape(_sizes, params, one_input(cell, params, input_size))
        if len(sizes["input"]) != 1 or len(sizes["recurrent"]) != len(places):
            raise ValueError(
                "layer_norm: expected a cell whose drive, and whose every recurrent stage, has one product made by "
                f"jaxrnn.product, got {cell!r}; of several cells in one, wrap each"
            )
        if any(jnp.issubdtype(a.dtype, jnp.complexfloating) for a in jax.tree.leaves(sizes)):
            raise TypeError(
                f"layer_norm: expected real sums, got complex ones of {cell!r}, which have no order of mean and "
                "variance that this could be; normalise its output, in a layer after it"
            )
        stored = widest(params)
        made = {
            "cell": params,
            "input_gain": jnp.ones(sizes["input"][0].shape, stored),
            "recurrent_gain": [jnp.ones(a.shape, stored) for a in sizes["recurrent"]],
        }
        if sizes["cell"]:
            made["cell_gain"] = jnp.ones(sizes["cell"][0].shape, stored)
            made["cell_bias"] = jnp.zeros(sizes["cell"][0].shape, stored)
        return made

    def _sizes(params, x):
        """The values to normalise, collected by taps."""
        found: dict[str, list[Any]] = {"input": [], "recurrent": [], "cell": []}

        def into(name):
            return lambda a: found[name].append(a) or a

        with tapped({"product": into("input")}):
            u = drive(params, x)
        state = cell.start(params)
        for stage in cell.stages:
            with tapped({"product": into("recurrent")} if stage.recurrent else {}):
                v = None if stage.recur is None else stage.recur(params, state)
            with tapped({"cell": into("cell")}):
                state = stage.update(params, state, u, v)
        return found

    def normed_drive(params, x):
        with tapped({"product": lambda a: normed(params, a, params["input_gain"])}):
            return drive(params["cell"], x)

    def normed_cell(params):
        def f(c):
            return normed(params, c, params["cell_gain"]) + row(params["cell_bias"], c)

        return {"cell": f} if "cell_gain" in params else {}

    def normed_stage(stage, place):
        """The stage with its product normalised by recurrent gain number `place`; None: its product is left alone."""

        def recur(params, s):
            found: list[Any] = []
            with tapped({"product": lambda a: found.append(a) or a}):
                stage.recur(params["cell"], s)
            return found[0]

        def update(params, s, u, v):
            if place is not None:  # by `recur` again, which may add a bias to the product
                gain = params["recurrent_gain"][place]
                with tapped({"product": lambda _: normed(params, v, gain)}, alone=True):
                    v = stage.recur(params["cell"], s)
            with tapped(normed_cell(params)):
                return stage.update(params["cell"], s, u, v)

        if stage.recur is None or place is None:
            recur = within(stage.recur)
        return Stage(recur, update, stage.recurrent)

    # The stages with a recurrent product, in the order of their gains.
    places = [k for k, stage in enumerate(cell.stages) if stage.recur is not None and stage.recurrent]
    stages = tuple(normed_stage(s, places.index(k) if k in places else None) for k, s in enumerate(cell.stages))

    def sequence(run, params, carry, xs, key):
        """For a cell with noise: normalise the noisy cell that it runs in its own place."""
        assert within_cell is not None

        def member(inner, params_, *args, **direction):
            made = layer_norm(inner, per_gate=per_gate, epsilon=epsilon)
            return run(made, {**params, "cell": params_}, *args, **direction)

        return within_cell(member, params["cell"], carry, xs, key)

    return Cell(
        init,
        within(cell.start),
        within(cell.input),
        normed_drive,
        stages,
        lambda params, carry: cell.output(params["cell"], carry),
        sequence=None if cell.sequence is None else sequence,
        gates=cell.gates,
    )


def _normal(blocks: int, epsilon: float, a: jax.Array) -> jax.Array:
    """`a` with mean 0 and variance 1 over each of so many equal blocks of its last axis.

    Its reverse has two means where JAX's own has four.
    """

    def split(a):
        # No axis of 1: XLA's sums on a CPU are ten times as slow beside one.
        return a if blocks == 1 else a.reshape(*a.shape[:-1], blocks, a.shape[-1] // blocks)

    def mean(a):
        return a.mean(-1, keepdims=True)

    def forward(a):
        centred = split(a) - mean(split(a))
        scale = jax.lax.rsqrt(mean(jnp.square(centred)) + epsilon)
        return (centred * scale).reshape(a.shape), (centred * scale, scale)

    def backward(args, saved, ct):
        (normal, scale), ct = saved, split(ct)
        return ((scale * (ct - mean(ct) - normal * mean(ct * normal))).reshape(args[0].shape),)

    return own_reverse(lambda a: forward(a)[0], forward, backward, axes=0)(a)
