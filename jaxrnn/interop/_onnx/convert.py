"""Functions of JAX as ONNX nodes: traced, calls inlined, what is known folded, the rest by the table of primitives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxrnn._core.jax_internals import Literal, is_symbolic_dim
from jaxrnn.interop._onnx.graph import Graph, Tensor
from jaxrnn.interop._onnx.primitives import PRIMITIVES

INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")  # where an equation that is a call keeps what it calls
CALLS = {
    "jit",
    "pjit",
    "closed_call",
    "core_call",
    "custom_jvp_call",
    "custom_vjp_call",
    "remat",
    "checkpoint",
    "remat2",
}


def call(graph: Graph, f: Callable, *args: Any) -> Any:
    """f(*args) as nodes of the graph: pytrees of Tensors and NumPy arrays in, and out.

    What depends on arrays alone is computed now, and is an array. A call of `jax.jit` whose name is in `graph.members`
    is not inlined: the function there, (graph, inputs) -> outputs, writes it.
    Raises TypeError for a primitive that has no node.
    """
    leaves, tree = jax.tree.flatten(args)
    shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in leaves]
    closed, out = jax.make_jaxpr(lambda *a: f(*jax.tree.unflatten(tree, a)), return_shape=True)(*shapes)
    return jax.tree.unflatten(jax.tree.structure(out), _walk(graph, closed.jaxpr, closed.consts, leaves))


def _walk(graph: Graph, jaxpr: Any, consts: Any, args: Any) -> list[Any]:
    env = dict(zip(jaxpr.constvars, map(np.asarray, consts), strict=True))
    env |= dict(zip(jaxpr.invars, args, strict=True))

    def read(atom: Any) -> Any:
        if not isinstance(atom, Literal):
            return env[atom]
        like: Any = atom.aval
        return np.asarray(atom.val, like.dtype)

    for e in jaxpr.eqns:
        inputs = [read(atom) for atom in e.invars]
        env.update(zip(e.outvars, _outputs(graph, e, inputs), strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _outputs(graph: Graph, e: Any, inputs: list[Any]) -> list[Any]:
    name = e.primitive.name
    if e.params.get("name") in graph.root.members:
        return graph.root.members[e.params["name"]](graph, inputs)
    inner = next((e.params[key] for key in INNER if key in e.params), None) if name in CALLS else None
    if inner is not None:
        open_ = getattr(inner, "jaxpr", inner)
        return _walk(graph, open_, getattr(inner, "consts", ()), inputs)
    sizes = [n for var in e.outvars for n in var.aval.shape]
    if (
        all(isinstance(a, np.ndarray) for a in inputs)
        and not any(map(is_symbolic_dim, sizes))
        and name != "dim_as_value"
        and not _keeps_int8(name, inputs)
    ):
        out = e.primitive.bind(*inputs, **e.primitive.get_bind_params(e.params))
        return [np.asarray(a) for a in (out if e.primitive.multiple_results else [out])]
    if name not in PRIMITIVES:
        raise _unknown(name, "")
    try:
        out = PRIMITIVES[name](graph, e, *inputs)
    except NotImplementedError as error:
        raise _unknown(name, f" {error}") from None
    return [
        a if isinstance(a, Tensor) else Tensor(a, var.aval.shape, var.aval.dtype)
        for a, var in zip([out] if isinstance(out, str | Tensor) else out, e.outvars, strict=True)
    ]


def _keeps_int8(name: str, inputs: list[Any]) -> bool:
    """Whether a kernel in int8 would be made floats: it is to stay small in the file."""
    return name == "convert_element_type" and inputs[0].dtype == np.int8 and inputs[0].ndim > 1


def _unknown(name: str, form: str) -> TypeError:
    return TypeError(
        f"cell: to_onnx has no ONNX node for JAX's primitive {name!r}{form}, which it uses; write the step with "
        "elementwise functions, matrix products, reductions, slices and concatenations, or use jax.export, which takes "
        "any step"
    )
