"""What the tests of unroll share: cells beside their reference loops, and rows of every kind."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import reference
from support import CORE, as_row, carry_sizes, loop, variant

import jaxrnn

T, BATCH, D, H = 7, (2, 3), 3, 5


class Case(NamedTuple):
    """A cell, the reference's step, and the carry that a row begins with, also written apart from the cell."""

    cell: Any
    step: Callable  # (params, carry, x [D]) -> (carry, y), NumPy
    initial: Callable  # params -> carry, NumPy


def row(name: str) -> Case:
    """A row of VARIANTS."""
    return Case(variant(name), loop(name), lambda params: tuple(np.zeros(size) for size in carry_sizes(name, H)))


def learned(case: Case) -> Case:
    return Case(
        jaxrnn.learned_carry(case.cell),
        lambda params, carry, x: case.step(params["cell"], carry, x),
        lambda params: params["initial_carry"],
    )


def stacked(*cases: Case) -> Case:
    return Case(
        jaxrnn.stack(*(case.cell for case in cases)),
        reference.stack(*(case.step for case in cases)),
        lambda params: {f"layer_{i}": case.initial(params[f"layer_{i}"]) for i, case in enumerate(cases)},
    )


def plain() -> Case:
    """A cell as someone else writes one: a plain step, a tuple for a carry, nothing of jaxrnn but the record."""

    def init(key, input_size):
        shapes = {"kernel": (input_size, H), "recurrent_kernel": (H, H), "bias": (H,)}
        keys = dict(zip(shapes, jax.random.split(key, len(shapes)), strict=True))
        return {name: 0.4 * jax.random.normal(keys[name], shape, "float32") for name, shape in shapes.items()}

    def step(params, carry, x):
        z = x @ params["kernel"] + carry[0] @ params["recurrent_kernel"]
        h = jnp.tanh(z + as_row(params["bias"], z))
        return (h,), h

    cell = jaxrnn.Cell(
        init,
        lambda params: (jnp.zeros(H, params["bias"].dtype),),
        lambda params: jax.ShapeDtypeStruct(params["kernel"].shape[:1], params["kernel"].dtype),
        plain_step=step,
    )
    return Case(cell, reference.elman, lambda params: (np.zeros(H),))


CASES = {
    **{name: row(name) for name in CORE},
    "indrnn": row("indrnn_tanh"),  # some tests want every entry of a gradient not to be 0, which relu does not give
    "lstm_projection_peepholes": row("lstm_projection_peepholes"),
    "stack": stacked(row("lstm_peepholes"), row("gru_reset_before"), row("gated")),
    "learned_carry": learned(row("lstm")),
    "stack_learned_carry": stacked(row("gru"), learned(row("elman"))),
    "plain": plain(),
}


class Rows(NamedTuple):
    """How the rows of a batch are run; with the defaults left out, nothing is None and one compilation serves all."""

    lengths: np.ndarray  # [...]
    mask: np.ndarray  # [T, ...]
    reset: np.ndarray  # [T, ...]

    @property
    def valid(self) -> np.ndarray:
        """[T, ...]: the steps that are taken."""
        steps = np.arange(len(self.mask)).reshape(-1, *[1] * self.lengths.ndim)
        return self.mask & (steps < self.lengths)


def rows(rng: np.random.Generator, *kinds: str, time: int = T, batch: tuple[int, ...] = BATCH) -> Rows:
    """Rows of these kinds, of "lengths", "mask" and "reset"; the others as if they were not given."""
    lengths = rng.permutation(np.resize([time - 1, 0, time, 1, 4, 3], np.prod(batch, dtype=int))).reshape(batch)
    mask, reset = rng.random((2, time, *batch)) < np.reshape([0.6, 0.35], (2, *[1] * (1 + len(batch))))
    longest = lengths == lengths.max()
    mask[1] &= ~longest  # these restart at a step that they skip,
    reset[1] |= longest
    reset[-1] |= lengths < time  # and these after their end
    return Rows(
        lengths if "lengths" in kinds else np.full(batch, time),
        mask if "mask" in kinds else np.ones((time, *batch), bool),
        reset if "reset" in kinds else np.zeros((time, *batch), bool),
    )


def compiled(f):
    """f under jit, with NumPy in and out: what a test does to arrays in between need not be compiled then."""
    jitted = jax.jit(f, static_argnames=("cell", "reverse"))
    return functools.wraps(f)(lambda *args, **kwargs: jax.device_get(jitted(*args, **kwargs)))


@compiled
def run(cell, params, carry, xs, rows, reverse, **options):
    """unroll under jit: lengths are traced, so they are not looked at."""
    rows = {} if rows is None else rows._asdict()
    return jaxrnn.unroll(cell, params, carry, xs, **rows, reverse=reverse, **options)


@compiled
def run_and_grads(cell, params, carry, xs, weights, rows, reverse):
    """What unroll gives, and the gradients of a weighted sum of all of it for params, carry and xs."""

    def loss(params, carry, xs):
        outcome = jaxrnn.unroll(cell, params, carry, xs, **rows._asdict(), reverse=reverse)
        return weighted(weights, outcome), outcome

    grads, outcome = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(params, carry, xs)
    return outcome, grads


def weighted(weights, outcome):
    """The sum of all entries, each with its own weight."""
    pairs = zip(jax.tree.leaves(weights), jax.tree.leaves(outcome), strict=True)
    return sum((w.astype(float) * a.astype(float)).sum() for w, a in pairs)  # leaves may be of several types


def by_reference(case, params, carry, xs, rows, reverse):
    """The same by the reference: leaves [carry..., ys]."""
    params, carry, xs = double((params, carry, xs))
    rows = {} if rows is None else rows._asdict()
    return jax.tree.leaves(reference.run(case.step, params, case.initial(params), carry, xs, **rows, reverse=reverse))


def double(tree):
    """A pytree for the reference: NumPy, float64."""
    return jax.tree.map(lambda a: np.asarray(a, np.float64), tree)


def normal_like(rng, tree):
    """Standard normal numbers in the shapes of a pytree, float64."""
    return jax.tree.map(lambda a: rng.standard_normal(a.shape), tree)


def weights_for(rng, cell, params, carry, xs):
    """A weight for each entry of what unroll gives."""
    return normal_like(rng, jax.eval_shape(functools.partial(jaxrnn.unroll, cell), params, carry, xs))
