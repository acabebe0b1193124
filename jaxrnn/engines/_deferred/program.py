"""A traced function as a flat list of equations, so that an engine can see what depends on what and run a part of it.

It is a jaxpr with two differences: calls are inlined, so that there is one list, and a variable is an int, so that
sets, dicts and pytrees of variables are plain Python.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core.jax_internals import Literal, primitives

CALLS = {"jit", "pjit", "closed_call", "core_call"}  # equations that only call another jaxpr


class Equation(NamedTuple):
    """outputs = primitive(*inputs, **params); a variable is an int, an input may also be a Literal."""

    primitive: Any
    params: dict[str, Any]
    inputs: tuple[Any, ...]
    outputs: tuple[int, ...]
    scope: str = ""  # of `jax.named_scope`, for profiles


class Program(NamedTuple):
    """The equations of a function, in order. The leaves of its arguments and of its result are variables."""

    equations: list[Equation]
    inputs: tuple[Any, ...]  # the arguments, with variables for leaves
    outputs: Any  # the result, with variables or Literals for leaves
    shapes: dict[int, Any]  # the aval of every variable, under 0, 1, ...: the next new one is len(shapes)
    constants: dict[int, Any]  # arrays that the function closes over


def trace(f: Callable, *args: Any) -> Program:
    """The program of f for arguments of these shapes. Calls within it are inlined.

    Loops, branches, `jax.checkpoint` and custom rules that are not differentiated stay one equation each. What a jaxpr
    has beside its equations is lost: effects (an equation without outputs is kept, but no output needs it; see
    `handover`) and source lines.
    """
    closed, result = jax.make_jaxpr(f, return_shape=True)(*args)
    equations, shapes, constants = [], {}, {}

    def new(aval):
        shapes[len(shapes)] = aval
        return len(shapes) - 1

    def walk(jaxpr, names, values):
        for var, value in zip(jaxpr.constvars, values, strict=True):
            names[var] = new(var.aval)
            constants[names[var]] = value

        def named(atoms):
            return tuple(a if isinstance(a, Literal) else names[a] for a in atoms)

        for e in jaxpr.eqns:
            if e.primitive.name in CALLS:
                inner = e.params.get("jaxpr", e.params.get("call_jaxpr"))
                inside = dict(zip(inner.jaxpr.invars, named(e.invars), strict=True))
                names.update(zip(e.outvars, walk(inner.jaxpr, inside, inner.consts), strict=True))
            else:
                outputs = tuple(new(var.aval) for var in e.outvars)
                scope = str(e.source_info.name_stack)
                equations.append(Equation(e.primitive, e.params, named(e.invars), outputs, scope))
                names.update(zip(e.outvars, outputs, strict=True))
        return named(jaxpr.outvars)

    names = {var: new(var.aval) for var in closed.jaxpr.invars}
    inputs = jax.tree.unflatten(jax.tree.structure(args), list(names.values()))
    outputs = jax.tree.unflatten(jax.tree.structure(result), walk(closed.jaxpr, names, closed.consts))
    return Program(equations, inputs, outputs, shapes, constants)


def evaluate(equations: Iterable[Equation], values: dict[int, Any]) -> dict[int, Any]:
    """`values` with those of the equations' outputs added; traced if the given values are."""
    values = dict(values)
    for e in equations:
        with jax.named_scope(e.scope) if e.scope else contextlib.nullcontext():
            out = e.primitive.bind(*read(values, e.inputs), **e.primitive.get_bind_params(e.params))
        values.update(zip(e.outputs, out if e.primitive.multiple_results else [out], strict=True))
    return values


def assigned(names: Any, tree: Any) -> dict[int, Any]:
    """The variables of `names` with the leaves of `tree` as their values."""
    return dict(zip(jax.tree.leaves(names), jax.tree.leaves(tree), strict=True))


def read(values: dict[int, Any], atoms: Any) -> Any:
    """A pytree of variables and Literals, with their values in their place."""
    return jax.tree.map(lambda a: a.val if isinstance(a, Literal) else values[a], atoms)


def variables(atoms: Any) -> set[int]:
    """The variables among the leaves of a pytree. To JAX a set is a leaf: pass a list instead."""
    return {a for a in jax.tree.leaves(atoms) if isinstance(a, int)}


def reached(equations: Iterable[Equation], sources: Iterable[int]) -> set[int]:
    """The sources and all variables that depend on one of them, found forward through the equations."""
    found = set(sources)
    for e in equations:
        if found & variables(e.inputs):
            found.update(e.outputs)
    return found


def leading_to(equations: list[Equation], wanted: Any, known: Iterable[int] = ()) -> list[Equation]:
    """The equations that compute `wanted` from the variables in `known`, in order, found backward through them.

    wanted: a pytree of variables. Equations it does not need, such as a product that was replaced, are left out.
    """
    known = set(known)
    wanted, needed = variables(wanted) - known, []
    for e in reversed(equations):
        if wanted & set(e.outputs):
            needed.append(e)
            wanted |= variables(e.inputs) - known
    return needed[::-1]


def spliced(f: Callable, inputs: tuple[int, ...], shapes: dict[int, Any]) -> tuple[list[Equation], Any]:
    """The equations of f applied to variables, and its result; the new variables are added to `shapes`.

    Puts a computation written with jax.numpy into a program. f may not close over arrays.
    """
    program = trace(f, *(jax.ShapeDtypeStruct(shapes[v].shape, shapes[v].dtype) for v in inputs))
    names = {v: v + len(shapes) for v in program.shapes}
    shapes.update({names[v]: shape for v, shape in program.shapes.items()})
    names.update(zip(jax.tree.leaves(program.inputs), inputs, strict=True))

    def renamed(atoms):
        return jax.tree.map(lambda a: names[a] if isinstance(a, int) else a, atoms)

    equations = [e._replace(inputs=renamed(e.inputs), outputs=renamed(e.outputs)) for e in program.equations]
    return equations, renamed(program.outputs)


def with_fast_products(f: Callable) -> Callable:
    """The same function with faster products: see `swap_transposed` and `narrow_products`."""

    def g(*args):
        program = trace(f, *args)
        equations = narrow_products(swap_transposed(program.equations, program.shapes), program.shapes)
        equations = leading_to(equations, program.outputs)
        return read(evaluate(equations, {**program.constants, **assigned(program.inputs, args)}), program.outputs)

    return g


def narrow_products(equations: list[Equation], shapes: dict[int, Any]) -> list[Equation]:
    """The same equations, with products of two float types in the narrower: a gradient is rounded to its kernel's type.

    Sums keep their type. A product of float32 and bfloat16 would otherwise run in float32, at half the speed.
    """
    made = {e.outputs[0]: e for e in equations if e.primitive is primitives.convert_element_type_p}
    result = []
    for e in equations:
        if e.primitive is primitives.dot_general_p and len(variables(e.inputs)) == 2:
            types = [shapes[v].dtype for v in e.inputs]
            floating = all(jnp.issubdtype(t, jnp.floating) for t in types)
            wider = int(types[1].itemsize > types[0].itemsize)
            if floating and types[0].itemsize != types[1].itemsize and e.params["preferred_element_type"] is not None:
                narrow, widened = types[1 - wider], made.get(e.inputs[wider])
                if widened is not None and shapes[widened.inputs[0]].dtype == narrow:  # it was narrow before
                    more, turned = [], widened.inputs[0]
                else:
                    more, turned = spliced(lambda a, t=narrow: a.astype(t), (e.inputs[wider],), shapes)
                inputs = (turned, e.inputs[1]) if wider == 0 else (e.inputs[0], turned)
                result += more
                e = e._replace(inputs=inputs)
        result.append(e)
    return result


def swap_transposed(equations: list[Equation], shapes: dict[int, Any]) -> list[Equation]:
    """The same equations, with each transposed product replaced by the product of its operands in reverse order.

    A vjp writes the gradient of x @ kernel as transpose(dy @ x), which runs at half the speed of x @ dy on a CPU.
    """
    made = {e.outputs[0]: e for e in equations if e.primitive is primitives.dot_general_p}
    result = []
    for e in equations:
        product = made.get(e.inputs[0]) if e.primitive is primitives.transpose_p else None
        if product is not None and _swaps(product, e.params["permutation"], shapes):
            (a, b), (batch_a, batch_b) = product.params["dimension_numbers"]
            params = {**product.params, "dimension_numbers": ((b, a), (batch_b, batch_a))}
            e = product._replace(params=params, inputs=product.inputs[::-1], outputs=e.outputs)
        result.append(e)
    return result


def pretranspose_kernels(
    equations: list[Equation], known: set[int], shapes: dict[int, Any]
) -> tuple[list[Equation], list[Equation]]:
    """(equations that transpose kernels, the same equations with the products that transposed those kernels replaced).

    Transposing once, before the loop, saves 20 to 40% of a product on a CPU, from a few rows on. A single row is faster
    without.
    """
    before_loop, result = [], []
    for e in equations:
        if e.primitive is primitives.dot_general_p and len(variables(e.inputs)) == 2 and e.inputs[1] in known:
            left, right = (shapes[v] for v in e.inputs)
            (a, b), batch = e.params["dimension_numbers"]
            if right.ndim == 2 and tuple(b) == (1,) and not any(batch) and left.size >= 4 * right.shape[1]:
                more, turned = spliced(lambda kernel: jax.lax.optimization_barrier(kernel.T), (e.inputs[1],), shapes)
                before_loop += more
                params = {**e.params, "dimension_numbers": ((a, (0,)), batch)}
                e = e._replace(params=params, inputs=(e.inputs[0], turned))
        result.append(e)
    return before_loop, result


def _swaps(product, permutation, shapes):
    """Whether a permutation only swaps the remaining axes of the two operands of a product without batch axes."""
    (contracted, _), (batch, _) = product.params["dimension_numbers"]
    left = np.ndim(product.inputs[0].val) if isinstance(product.inputs[0], Literal) else shapes[product.inputs[0]].ndim
    first, n = left - len(contracted), len(permutation)
    return not batch and tuple(permutation) == (*range(first, n), *range(first))
