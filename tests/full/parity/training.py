"""Ten steps of training on both sides: by optax on the peer's own weights, or by PyTorch's optimizers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sides import T
from support import adam, assert_close, tolerance

import jaxrnn

STEPS, RATE = 10, 0.01


def trained(optimizer: str, loss: Callable, start: Any, keep: Callable = lambda updates: updates) -> Any:
    """The weights after so many steps of optax.sgd or optax.adam; keep: takes the updates that are frozen to 0."""
    tx = getattr(optax, optimizer)(RATE)

    def step(state, _):
        weights, memory = state
        updates, memory = tx.update(jax.grad(loss)(weights), memory)
        return (optax.apply_updates(weights, keep(updates)), memory), None

    return jax.jit(lambda w: jax.lax.scan(step, (w, tx.init(w)), None, STEPS)[0][0])(start)


def slack(optimizer: str, loss: Callable, start: Any) -> float:
    """How far the weights of two right sides may be apart after `trained`.

    An error of a gradient, relative to the largest entry, goes into the weights times the rate; in Adam relative to the
    entry itself, the smallest at worst. The rate is low, so that errors do not grow by what they do to later steps.
    """
    slopes = jax.tree.leaves(jax.grad(loss)(start))
    largest, smallest = max(np.abs(g).max() for g in slopes), min(np.abs(g).min() for g in slopes)
    times = RATE * STEPS * (largest / smallest if optimizer == "adam" else largest)
    return max(1, times) * tolerance("float64", 2 * T)


def least_moved(after: Any, before: Any) -> float:
    """Of all arrays the one that moved the least, by how much at most."""
    return min(jax.tree.leaves(jax.tree.map(lambda a, b: np.abs(a - b).max(), after, before)))


def in_torch_and_here(made: Any, read: Callable, optimizer: str, xs: np.ndarray, weights: np.ndarray) -> None:
    """A module of PyTorch, whose frozen parameters want no gradient, and what `read` makes of it, end alike."""
    import torch

    theirs = torch.optim.SGD if optimizer == "sgd" else torch.optim.Adam
    theirs = theirs(
        [p for p in made.parameters() if p.requires_grad],
        **({"lr": 0.05, "momentum": 0.9} if optimizer == "sgd" else {"lr": 0.01}),
    )
    ours = optax.sgd(0.05, momentum=0.9) if optimizer == "sgd" else adam(0.01)
    cell, params = read(made)
    before, state = params, ours.init(params)

    @jax.jit
    def step(params, state):
        def loss(params):
            return jnp.mean(weights * jaxrnn.unroll(cell, params, None, jnp.asarray(xs))[1])

        value, gradients = jax.value_and_grad(loss)(params)
        updates, state = ours.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, value

    tol = tolerance("float64", STEPS * 4 * T)
    for _ in range(STEPS):
        params, state, value = step(params, state)
        theirs.zero_grad()
        expected = torch.mean(torch.from_numpy(weights) * made(torch.from_numpy(xs))[0])
        expected.backward()
        theirs.step()
        assert_close(value, expected.item(), tol)
    assert_close(params, read(made)[1], tol)
    assert least_moved(params, before) > 1e-4, "a parameter did not move"
