"""What `unroll` would do: the engine for each layer and why, the FLOPs of its matrix products, and its memory."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from jaxrnn import engines
from jaxrnn._core import checks
from jaxrnn._core.cell import Carry, Cell, Engine, Inputs, Params, step_with
from jaxrnn._core.loops import one_step
from jaxrnn._core.rows import given
from jaxrnn.run._choice import choice
from jaxrnn.run._unroll import unroll


@dataclasses.dataclass(frozen=True)
class Layer:
    """One loop over time: a single cell, or a layer of a stack by its name."""

    name: str
    engine: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Explanation:
    """The result of `explain`; prints one line for each layer, one for FLOPs and one for memory.

    FLOPs count matrix products only, a multiply-add as two. Bytes are the peak temporary memory of the compiled
    program, without arguments and results. `gradient_` fields are for the values and the gradient with respect to
    params, carry and inputs together.
    """

    layers: tuple[Layer, ...]
    forward_flops: int
    gradient_flops: int
    forward_bytes: int
    gradient_bytes: int

    def __str__(self) -> str:
        lines = [f"{layer.name}: engines.{layer.engine} ({layer.reason})" for layer in self.layers]
        lines.append(f"products: {self.forward_flops:.4g} FLOPs, {self.gradient_flops:.4g} with the gradient")
        lines.append(f"memory: {self.forward_bytes:.4g} bytes, {self.gradient_bytes:.4g} with the gradient")
        return "\n".join(lines)


def explain(
    cell: Cell,
    params: Params,
    carry: Carry | None,
    xs: Inputs,
    *,
    lengths: Any = None,
    mask: Any = None,
    reset: Any = None,
    reverse: bool = False,
    engine: Engine | None = None,
    key: jax.Array | None = None,
) -> Explanation:
    """What `unroll` would do with these arguments, which may be arrays or jax.ShapeDtypeStructs; nothing is run.

    The forward pass and its gradient are compiled for the current device, to read off the memory that they need.
    Raises ValueError or TypeError for arguments that do not fit one another, as `unroll` does.
    """
    carry, xs, lengths, mask, reset = given(carry, xs, lengths, mask, reset)
    _, batch = checks.unroll(cell, params, carry, xs, lengths, mask, reset, reverse, engine, key)
    layers: list[Layer] = []
    described = repr(cell)

    def chosen(name, cell, *args):
        run, reason = choice(cell) if engine is None else (engine, "it was asked for")
        over, where = engine or engines.where_they_are(run, *args), ""
        if isinstance(over, engines.OverDevices):
            run, where = over.inner(cell), over.said(cell, *args) + "; "
        if cell.has_parts and getattr(run, "func", run) in (engines.deferred, engines.checkpointed):
            instead = engines.handover(cell, *args)
            run, reason = (run, reason) if instead is None else (engines.scan, f"{shown(run)} hands it on: {instead}")
        layers.append(Layer(name, shown(run), where + reason))

    def walk(name, cell, params, carry, x):
        """Visit each cell that `unroll` runs in a loop of its own, with one input in place of all T."""
        if cell.sequence is None:
            chosen(name or described, cell, params, carry, x)
            return step_with(walk, cell, params, carry, x, None)
        inside = itertools.count()

        def member(inner, params, its, x, key, backwards=False):
            own = _place(its, carry)
            own = f"member_{next(inside)}" if own is None else own
            return walk(".".join(filter(None, (name, own))), inner, params, its, x)

        return cell.sequence(member, params, carry, x, None)

    def run(params, carry, xs, lengths, mask, reset):
        options: dict[str, Any] = dict(lengths=lengths, mask=mask, reset=reset, reverse=reverse, engine=engine, key=key)
        return unroll(cell, params, carry, xs, **options)

    def gradient(args, rest):
        result, pull = jax.vjp(lambda args: run(*args, *rest), args)
        return result, pull(jax.tree.map(ones, result))

    args, rest = _like((params, carry, xs)), _like((lengths, mask, reset))
    forward = jax.jit(run).trace(*args, *rest)
    backward = jax.jit(gradient).trace(args, rest)
    jax.eval_shape(
        lambda params, carry, x: walk(
            "", cell, params, cell.initial_carry(params, batch) if carry is None else carry, x
        ),
        *args[:2],
        _placed(one_step(args[2]), args[2]),
    )
    return Explanation(
        tuple(layers), flops(forward.jaxpr.jaxpr), flops(backward.jaxpr.jaxpr), _bytes(forward), _bytes(backward)
    )


def _place(part, carry):
    """The path of `part` in `carry`, matching arrays by identity: "" for the whole carry, None if it is not there."""
    for inside, leaf in jax.tree_util.tree_leaves_with_path(part)[:1]:
        leaf = getattr(leaf, "carry", leaf)  # `learned_carry` passes pairs
        for path, other in jax.tree_util.tree_leaves_with_path(carry):
            if other is leaf:
                return jax.tree_util.keystr(path[: len(path) - len(inside)], simple=True, separator=".")
    return None


def _like(tree):
    """Shapes and types, with the devices of arrays that are on a mesh."""

    def one(a):
        mesh = getattr(a, "sharding", None)
        mesh = mesh if isinstance(mesh, NamedSharding) and mesh.num_devices > 1 else None
        return jax.ShapeDtypeStruct(jnp.shape(a), jnp.result_type(a), sharding=mesh)

    return jax.tree.map(one, tree)


def _placed(tree, beside):
    """The same shapes, on the meshes of those beside."""

    def one(a, b):
        return a if b.sharding is None else a.update(sharding=NamedSharding(b.sharding.mesh, PartitionSpec()))

    return jax.tree.map(one, tree, beside)


def ones(a):
    """A cotangent of ones, which the compiler cannot optimize away; float0 for integers."""
    if jnp.issubdtype(a.dtype, jnp.inexact):
        return jnp.ones_like(a)
    return jnp.zeros(a.shape, jax.dtypes.float0)


def shown(engine):
    """The name of an engine, with the options of a `functools.partial`."""
    if isinstance(engine, functools.partial):
        options = ", ".join([*map(repr, engine.args), *(f"{k}={v!r}" for k, v in engine.keywords.items())])
        return f"{shown(engine.func)}({options})"
    return getattr(engine, "__name__", repr(engine))


def flops(jaxpr: Any) -> int:
    """The FLOPs of the products and convolutions in a jaxpr: of a scan, body times length; of a `cond`, the costliest
    branch."""
    total = 0
    for e in jaxpr.eqns:
        if e.primitive.name == "dot_general":
            ((contracted, _), _), left = e.params["dimension_numbers"], e.invars[0].aval.shape
            total += 2 * e.outvars[0].aval.size * math.prod(left[i] for i in contracted)
        elif e.primitive.name == "conv_general_dilated":
            kernel, channels = e.invars[1].aval, e.params["dimension_numbers"].rhs_spec[0]
            total += 2 * e.outvars[0].aval.size * kernel.size // kernel.shape[channels]
        inside = [flops(inner) for inner in _inner(e)]
        if e.primitive.name == "cond":
            total += max(inside)
        else:
            times = {"scan": "length", "shard_map": "mesh"}.get(e.primitive.name)
            times = 1 if times is None else getattr(e.params[times], "size", e.params[times])
            total += times * sum(inside)
    return total


def _inner(equation: Any) -> Iterator[Any]:
    """The jaxprs in an equation; of a custom rule only the primal one, as a gradient has the rule applied already."""
    for value in equation.params.values():
        for one in value if isinstance(value, tuple | list) else (value,):
            one = getattr(one, "jaxpr", one)
            if hasattr(one, "eqns"):
                yield one


def _bytes(traced: Any) -> int:
    return traced.lower().compile().memory_analysis().temp_size_in_bytes
