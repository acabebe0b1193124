"""Comparisons that raise `Wrong`, in words."""

from __future__ import annotations

import jax
import numpy as np

from jaxrnn._core import checks
from jaxrnn._core.composition import shown
from jaxrnn.testing._problem import inexact, main
from jaxrnn.testing._report import Wrong


def dot(weights, tree):
    """The sum of all entries, each with a weight of its own; None where there is no slope."""
    weights = jax.tree.leaves(weights, is_leaf=lambda w: w is None)
    parts = [(w * a).real.sum() for w, a in zip(weights, jax.tree.leaves(tree), strict=True) if w is not None]
    return sum(part.astype(main()) for part in parts)


def close(came, expected, tol):
    """Raise unless two pytrees agree, each leaf relative to its largest number."""
    if jax.tree.structure(came) != jax.tree.structure(expected):
        raise Wrong(f"it is {checks.describe(came)}, expected {checks.describe(expected)}")
    for (path, a), e in zip(jax.tree_util.tree_leaves_with_path(came), jax.tree.leaves(expected), strict=True):
        if a.dtype == jax.dtypes.float0:
            continue
        name = shown(path) or "it"
        if a.shape != e.shape or a.dtype != e.dtype:
            raise Wrong(f"{name} is {a.dtype}{a.shape}, expected {e.dtype}{e.shape}")
        a, e = (np.asarray(b, np.complex128 if np.iscomplexobj(b) else np.float64) for b in (a, e))
        if not np.isfinite(e).all():
            raise Wrong(f"{name} is expected not to be finite")
        if not np.isfinite(a).all():
            raise Wrong(f"{name} is not finite: NaN of the padding, or of a step not taken, reaches it")
        off = np.abs(a - e)
        if off.max(initial=0.0) > tol * max(1.0, np.abs(e).max(initial=0.0)):
            at = tuple(int(i) for i in np.unravel_index(np.argmax(off), off.shape))
            raise Wrong(f"{name} is off by {off.max():.3g} at {list(at)}")


def finite(grads):
    """Raise unless all of the gradients are finite."""
    for path, g in jax.tree_util.tree_leaves_with_path(grads):
        if g.dtype != jax.dtypes.float0 and not np.isfinite(g).all():
            raise Wrong(f"that of {shown(path)} is not; a masked or padded step reads x = 0, where its slope must be")


def alive(grads, dead):
    """Raise unless every entry of the params has a gradient."""
    found = []
    for path, g in jax.tree_util.tree_leaves_with_path({"params": grads}):
        if g.dtype != jax.dtypes.float0 and shown(path) not in dead and (part := float((g == 0).mean())):
            found.append(f"{shown(path)} ({part:.0%} of its entries)")
    if found:
        raise Wrong(f"no output and no carry depends on {', '.join(found)}; name in dead= what is meant so")


def sloped(loss, args, i, grad, eps):
    """Raise unless a gradient along a random direction is a central difference of `loss`."""
    rng = np.random.default_rng(i)
    leaves, tree = jax.tree.flatten(args[i])
    # Rounding eps/h and truncation h² meet where h is eps^(1/3).
    way = [np.where(inexact(a), rng.standard_normal(a.shape), 0) for a in leaves]
    norm = np.sqrt(sum(np.square(d).sum() for d in way)) or 1.0
    h = eps ** (1 / 3)

    def at(by):
        moved = [(a + by / norm * d).astype(a.dtype) for a, d in zip(leaves, way, strict=True)]
        return float(loss(*args[:i], jax.tree.unflatten(tree, moved), *args[i + 1 :]))

    up, down = at(h), at(-h)
    pairs = zip(jax.tree.leaves(grad), way, strict=True)
    slope = sum(float(np.real(np.sum(np.asarray(g) * d))) for g, d in pairs if d.any()) / norm
    if not abs((up - down) / (2 * h) - slope) <= 100 * eps ** (2 / 3) * max(1, abs(up), abs(slope)):
        raise Wrong(f"a slope of {slope:.6g}, where finite differences give {(up - down) / (2 * h):.6g}")
