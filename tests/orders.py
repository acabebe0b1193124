"""Orders of transformations: each computes values and gradients of one function of a sequence, over a batch of them.

`f(params, row) -> outcome` is what a user writes for one sequence; an order is a way to put `vmap` over the rows and
`grad`, `jit`, `remat`, `scan` about it. Each gives (outcome of all rows, d params, d rows), the gradients of a sum of
all entries of the outcome, each with its own random weight: a plain sum, or one of squares, is the same of a transposed
outcome.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def inner(weights: Any, outcome: Any) -> Any:
    """The sum of all entries, each with its own weight; refuses what broadcasting would let pass."""
    shapes = [jax.tree.map(jnp.shape, tree) for tree in (weights, outcome)]
    assert jax.tree.leaves(shapes[0]) == jax.tree.leaves(shapes[1]), shapes
    pairs = zip(jax.tree.leaves(weights), jax.tree.leaves(outcome), strict=True)
    return sum(jnp.vdot(w, a.astype(w.dtype)) for w, a in pairs)


def row_after_row(f: Callable, params: Any, rows: Any, weights: Any) -> Any:
    """What is right: one row after another, put together by NumPy, without `vmap`."""
    one = jax.jit(lambda *args: by_vjp(f, *args))
    size = jax.tree.leaves(rows)[0].shape[0]
    each = [jax.device_get(one(params, *jax.tree.map(lambda a: a[i], (rows, weights)))) for i in range(size)]  # noqa: B023
    outcome, d_params, d_rows = zip(*each, strict=True)
    outcome, d_rows = (jax.tree.map(lambda *a: np.stack(a), *of) for of in (outcome, d_rows))
    return outcome, jax.tree.map(lambda *a: sum(a), *d_params), d_rows


def by_vjp(over: Callable, params: Any, rows: Any, weights: Any) -> Any:
    """Of a function of all rows, with the weights for a cotangent."""
    outcome, back = jax.vjp(over, params, rows)
    inner(weights, outcome)
    return outcome, *back(jax.tree.unflatten(jax.tree.structure(outcome), jax.tree.leaves(weights)))


def by_grad(over: Callable, params: Any, rows: Any, weights: Any) -> Any:
    def loss(params, rows):
        outcome = over(params, rows)
        return inner(weights, outcome), outcome

    (_, outcome), grads = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(params, rows)
    return outcome, *grads


def vmapped(f: Callable) -> Callable:
    return jax.vmap(f, in_axes=(None, 0))


def vmap_of_vmap(f: Callable) -> Callable:
    """The rows as [B, 1], the two axes of the outcome behind all others, the inner one last."""
    twice = jax.vmap(jax.vmap(f, (None, 0), -1), (None, 0), -2)
    alone = lambda rows: jax.tree.map(lambda a: a[:, None], rows)  # noqa: E731
    return lambda params, rows: jax.tree.map(lambda a: jnp.moveaxis(a[..., 0], -1, 0), twice(params, alone(rows)))


def scan_of_vmap(f: Callable) -> Callable:
    """A scan of one turn around it."""

    def over(params, rows):
        turn = lambda total, rows: (total, vmapped(f)(params, rows))  # noqa: E731
        outcome = lax.scan(turn, 0.0, jax.tree.map(lambda a: a[None], rows))[1]
        return jax.tree.map(lambda a: a[0], outcome)

    return over


def vmap_of_grad(f: Callable, params: Any, rows: Any, weights: Any) -> Any:
    outcome, d_params, d_rows = jax.vmap(lambda p, *row: by_grad(f, p, *row), (None, 0, 0))(params, rows, weights)
    return outcome, jax.tree.map(lambda a: a.sum(0), d_params), d_rows


def scan_of_grad(f: Callable, params: Any, rows: Any, weights: Any) -> Any:
    """Row after row in a scan, d params summed on the way."""

    def turn(total, row):
        outcome, d_params, d_row = by_grad(f, params, *row)
        return jax.tree.map(jnp.add, total, d_params), (outcome, d_row)

    total, (outcome, d_rows) = lax.scan(turn, jax.tree.map(jnp.zeros_like, params), (rows, weights))
    return outcome, total, d_rows


def mapped_params(f: Callable, params: Any, rows: Any, weights: Any) -> Any:
    """Params of each row's own, all equal, with their axis where nothing else has it."""
    size = jax.tree.leaves(rows)[0].shape[0]
    many = jax.tree.map(lambda a: jnp.stack([a] * size, -1), params)
    outcome, d_params, d_rows = by_vjp(jax.vmap(f, in_axes=(-1, 0)), many, rows, weights)
    return outcome, jax.tree.map(lambda a: a.sum(-1), d_params), d_rows


def by_jacobian(f: Callable, params: Any, rows: Any, weights: Any) -> Any:
    """d rows from the whole Jacobian of all outcomes, by `jacrev`; d params by a vjp."""
    outcome, d_params, _ = by_vjp(vmapped(f), params, rows, weights)
    jacobians = jax.tree.leaves(
        jax.jacrev(lambda rows: jax.tree.leaves(vmapped(f)(params, rows)))(rows),
        is_leaf=lambda tree: jax.tree.structure(tree) == jax.tree.structure(rows),
    )
    pulled = [
        jax.tree.map(lambda j: jnp.tensordot(w, j, w.ndim), jacobian)  # noqa: B023
        for w, jacobian in zip(jax.tree.leaves(weights), jacobians, strict=True)
    ]
    return outcome, d_params, jax.tree.map(lambda *a: sum(a), *pulled)


def hessian_along(gradient: Callable, params: Any, direction: Any, *, forward: bool = False) -> Any:
    """The derivative of `gradient(params)` along a direction: by reverse over reverse, or by forward over reverse."""
    if forward:
        return jax.jvp(gradient, (params,), (direction,))[1]
    return jax.grad(lambda p: inner(direction, gradient(p)))(params)


ORDERS: dict[str, Callable] = {
    "vjp of vmap": lambda f, *args: by_vjp(vmapped(f), *args),
    "grad of vmap of jit": lambda f, *args: by_grad(vmapped(jax.jit(f)), *args),
    "grad of jit of vmap": lambda f, *args: by_grad(jax.jit(vmapped(f)), *args),
    "jit of grad of vmap": lambda f, *args: jax.jit(lambda *a: by_grad(vmapped(f), *a))(*args),
    "grad of vmap of remat": lambda f, *args: by_grad(vmapped(jax.checkpoint(f)), *args),
    "grad of remat of vmap": lambda f, *args: by_grad(jax.checkpoint(vmapped(f)), *args),
    "vjp of vmap of vmap": lambda f, *args: by_vjp(vmap_of_vmap(f), *args),
    "grad of scan of vmap": lambda f, *args: by_grad(scan_of_vmap(f), *args),
    "vmap of grad": vmap_of_grad,
    "jit of vmap of grad": jax.jit(vmap_of_grad, static_argnums=0),
    "scan of grad": scan_of_grad,
    "vjp of vmap over params": mapped_params,
    "jacrev of vmap": by_jacobian,
}
