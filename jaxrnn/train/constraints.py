"""Constraints on recurrent kernels, as the last link of an optax chain.

    optimizer = optax.chain(optax.adam(1e-3), constraints.orthogonal())

After `optax.apply_updates` the kernels satisfy the constraint: an update u of a kernel W becomes
u - (W + u) + P(W + u), where P projects on the constraint set, to the nearest point in Frobenius norm. optax's own
projections (optax.projections) treat a matrix as a vector; these act on the singular values of each gate's block.

They apply to the parameters whose own name, the last key of their path, is `name`, at any depth of the pytree (a stack,
`learned_carry`, a model). All others pass unchanged. The blocks are those that `initializers` draws, so that a kernel
that starts orthogonal is left alone:

    [..., H, G·H]                      G blocks [H, H]; any leading axes, as in recurrent_highway [depth, H, 2H]
    [P, G·H] beside projection [H, P]  G blocks [P, H], as in lstm(projection=P)
    [N, H] with N > H                  one block, as in cornn [2H, H]

A block that is not square gets orthonormal rows or columns, whichever are fewer. Other kernels raise ValueError, unless
`gates` says how many blocks they have side by side.

Each update costs an SVD of every block, in float32 for half-precision types; `every=k` projects at each k-th update
only, and in between the kernels drift off the set. Updates keep their type: in half precision, the kernel and the
update that brings it to the set are each rounded once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxrnn._core import checks
from jaxrnn._core.lapack import one_by_one
from jaxrnn._core.numerics import wide


def orthogonal(
    scale: float = 1.0, *, name: str = "recurrent_kernel", gates: int | None = None, every: int = 1
) -> optax.GradientTransformation:
    """Keep each gate's block orthogonal, times `scale`: its SVD U S Vᵀ becomes U Vᵀ (the polar factor) times `scale`.

    At scale 1 the product neither shrinks nor stretches h. name, gates, every: see the module. Raises ValueError for
    wrong options, and, in `init` and `update`, if no parameter has that name or one does not have such blocks.
    Hard orthogonality as in Vorontsov, Trabelsi, Kadoury and Pal 2017, arXiv 1702.00071, at margin 0; the projection is
    Higham 1986, "Computing the polar decomposition".
    """
    _positive(scale, "scale")
    return _projection("orthogonal", lambda s: s - float(scale), name, gates, every)


def spectral(
    max_norm: float = 1.0, *, name: str = "recurrent_kernel", gates: int | None = None, every: int = 1
) -> optax.GradientTransformation:
    """Keep the spectral norm of each gate's block at most `max_norm`: larger singular values are clipped to it.

    Clipped, not rescaled: the others stay as they are, and a block within the bound stays the same bit for bit.
    (Spectral normalization, Miyato et al. 2018, divides the whole matrix by its norm instead.) The bound is for the
    block of one gate; the norm of G blocks side by side is up to sqrt(G) times as large.
    name, gates, every and errors: as in `orthogonal`. Lefkimmiatis, Ward and Unser 2013, arXiv 1209.3318.
    """
    _positive(max_norm, "max_norm")
    return _projection("spectral", lambda s: jnp.maximum(s - float(max_norm), 0), name, gates, every)


_svd = one_by_one(functools.partial(jnp.linalg.svd, full_matrices=False))


def _positive(value: Any, argument: str) -> None:
    if not value > 0:
        raise ValueError(f"{argument}: expected a number above 0, got {value!r}")


def _projection(
    title: str, excess: Callable[[jax.Array], jax.Array], name: str, gates: int | None, every: int
) -> optax.GradientTransformation:
    """Subtract U excess(S) Vᵀ from each block; a block on the set has no excess, and is not changed."""
    every = checks.positive(every, "every")
    if gates is not None:
        checks.positive(gates, "gates")

    def init(params):
        _counts(title, name, gates, params)
        return optax.EmptyState()

    def update(updates, state, params=None):
        if params is None:
            raise ValueError(f"params: {title} needs them; write optimizer.update(grads, state, params)")
        kernels, weights = _counts(title, name, gates, params), jax.tree.leaves(params)
        paths, form = jax.tree_util.tree_flatten_with_path(updates)

        def one(path, u, weight):
            if path not in kernels:
                return u
            sums = wide(u.dtype)
            W = _blocks(weight.astype(sums) + u.astype(sums), kernels[path])
            U, S, Vt = _svd(W)
            off = _side_by_side((U * excess(S)[..., None, :]) @ Vt, u.shape)
            return (u.astype(sums) - off).astype(u.dtype)

        return form.unflatten([one(path, u, w) for (path, u), w in zip(paths, weights, strict=True)]), state

    projection = optax.GradientTransformation(init, update)
    if every > 1:
        projection = optax.conditionally_transform(projection, lambda step, **_: jnp.mod(step, every) == every - 1)
    return projection


def _blocks(kernel: jax.Array, count: int) -> jax.Array:
    """[..., N, count·H] -> [..., count, N, H]."""
    return jnp.moveaxis(kernel.reshape(*kernel.shape[:-1], count, -1), -2, -3)


def _side_by_side(blocks: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jnp.moveaxis(blocks, -3, -2).reshape(shape)


def _counts(title: str, name: str, gates: int | None, params: Any) -> dict[Any, int]:
    """How many blocks stand side by side in each kernel, by its path."""
    shapes = {path: checks.shape(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    own = {path: jax.tree_util.keystr(path[-1:], simple=True) for path in shapes}
    found = [path for path in shapes if own[path] == name]
    if shapes and not found:  # optax also calls `init` without any parameters, to see what the state is made of
        there = ", ".join(sorted(set(own.values())))
        raise ValueError(f"name: expected that of a parameter for {title}, got {name!r}; there are {there}")
    beside = {path[:-1]: shapes[path] for path in shapes if own[path] == "projection"}
    return {path: _count(path, shapes[path], beside.get(path[:-1]), gates) for path in found}


def _count(path: Any, shape: tuple[int, ...], projection: tuple[int, ...] | None, gates: int | None) -> int:
    where = jax.tree_util.keystr(path, simple=True, separator=".")
    if len(shape) < 2:
        raise ValueError(f"{where}: expected a matrix [..., H, G·H], got {shape}: a vector has no singular values")
    rows, width = shape[-2:]
    if gates is not None and width % gates:
        raise ValueError(f"gates: expected a number of equal blocks for {where} {shape}, got {gates}")
    hidden = min(rows, width) if projection is None else projection[-2]
    if gates is None and width % hidden:
        raise ValueError(
            f"{where}: expected [..., H, G·H], with H={hidden} a divisor of its width, got {shape}; "
            "`gates` says how many blocks stand side by side"
        )
    return gates or width // hidden
