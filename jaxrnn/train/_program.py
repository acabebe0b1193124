"""The compiled programs of `learn`: a call that makes several updates, and one that evaluates a batch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrnn._core.described import describe
from jaxrnn._core.rows import select
from jaxrnn.train._devices import Over
from jaxrnn.train._loop import TrainState, applied

RESERVED = "step", "loss", "gradient_norm", "healthy", "seconds"


class Parts(NamedTuple):
    """What a program is made of; as a value, so that equal parts are compiled once."""

    loss: Callable
    optimizer: optax.GradientTransformation
    start: Callable | None  # params -> the carry of an epoch, where it is given so
    carried: bool
    make: Callable  # (held, asked, key) -> batch
    over: Over
    noisy: bool
    several: bool


class Averaged(NamedTuple):
    """The state of an optimizer beside an average of the params, and how many updates are in it."""

    inner: Any
    count: jax.Array
    params: Any


def averaged(optimizer: optax.GradientTransformation, decay: float) -> optax.GradientTransformation:
    """The optimizer, keeping an exponential average of the params: in update t it forgets no more than 9 / (10 + t)."""

    def init(params):
        return Averaged(optimizer.init(params), jnp.int32(0), jax.tree.map(jnp.copy, params))

    def update(updates, state, params: Any = None):
        changes, inner = optimizer.update(updates, state.inner, params)
        new: Any = optax.apply_updates(params, changes)
        t = state.count.astype(jnp.float32)
        keep = jnp.minimum(jnp.float32(decay), (1 + t) / (10 + t))
        mean = jax.tree.map(lambda m, n: m + (1 - keep).astype(m.dtype) * (n - m), state.params, new)
        return changes, Averaged(inner, state.count + 1, mean)

    return optax.GradientTransformation(init, update)


def adamw(rate: float | Callable, steps: int, clip: float | None, decay: float) -> optax.GradientTransformation:
    """AdamW on clipped gradients; a rate that is a number falls to 0 along a cosine."""
    return _adamw(rate, 0 if callable(rate) else steps, clip, decay)


@functools.lru_cache(maxsize=32)  # so that programs with equal optimizers are equal
def _adamw(rate, steps, clip, decay):
    schedule: Any = rate if callable(rate) else optax.cosine_decay_schedule(rate, steps)
    clipping = [] if clip is None else [optax.clip_by_global_norm(clip)]
    made = optax.chain(*clipping, optax.adamw(schedule, weight_decay=decay))

    def update(updates, state, params=None):
        with jax.numpy_dtype_promotion("standard"):  # optax's own code is not strict
            return made.update(updates, state, params)

    return optax.GradientTransformation(made.init, update)


@functools.lru_cache(maxsize=32)
def wrapped(optimizer: Any, accumulate: int, average: float | None) -> optax.GradientTransformation:
    """The optimizer, changing the params after every `accumulate` batches, and averaging them."""
    if accumulate > 1:
        steps = optax.MultiSteps(optimizer, accumulate)
        optimizer = optax.GradientTransformation(steps.init, steps.update)  # pyright: ignore[reportArgumentType]
    return optimizer if average is None else averaged(optimizer, average)


def program(parts: Parts) -> Callable:
    """`(state, held, first, asked, fresh, key, n) -> (state, seen)`, jitted, with its state donated.

    first: the carry that an epoch begins with. Of several steps, leaves of asked and fresh are [M, ...] of which n
    count, and those of seen are [M]; the number is not compiled in, so that every call is the same program.
    """
    return _kept(_program, parts)


def evaluation(loss: Callable, carried: bool) -> Callable:
    """`(params, carry, batch) -> (loss, numbers beside it, carry)`, without noise, jitted."""
    return _kept(_evaluation, loss, carried)


def _kept(make, *args):
    try:
        hash(args)
    except TypeError:  # compiled for this call alone
        return make.__wrapped__(*args)
    return make(*args)


@functools.lru_cache(maxsize=8)
def _program(parts):
    loss, optimizer, start, carried, make, over, noisy, several = parts

    def step(state: TrainState, held, first, asked, fresh, key):
        drawn, noise = jax.random.split(jax.random.fold_in(key, state.step))
        batch = over.split(make(held, asked, drawn))

        def total(params):
            if not carried:
                value, aux = taken_apart(loss(params, batch, noise if noisy else None))
                return value, ((), aux)
            begin = first if start is None else start(params)
            before = select(fresh, begin, state.carry)
            out = loss(params, before, batch, noise if noisy else None)
            if not isinstance(out, tuple) or len(out) != 2:
                raise TypeError(f"loss: expected (loss [], carry) where a carry is given, got {describe(out)}")
            return taken_apart(out[0])[0], (out[1], {})

        (value, (carry, more)), grads = jax.value_and_grad(total, has_aux=True)(state.params)
        state, seen = applied(optimizer, state, value, grads, carry)
        return over.state(state), seen | more

    def some(state, held, first, asked, fresh, key, n):
        def nth(i):
            return jax.tree.map(lambda a: a[i], (asked, fresh))

        def one(i, loop):
            (asked, fresh), (state, seen) = nth(i), loop
            state, now = step(state, held, first, asked, fresh, key)
            return state, jax.tree.map(lambda all, a: all.at[i].set(a), seen, now)

        like = jax.eval_shape(lambda state: step(state, held, first, *nth(0), key)[1], state)  # pyright: ignore[reportCallIssue]
        seen = jax.tree.map(lambda a: jnp.zeros((len(fresh), *a.shape), a.dtype), like)
        return jax.lax.fori_loop(0, n, one, (state, seen))

    def single(state, held, first, asked, fresh, key, n):
        return step(state, held, first, asked, fresh, key)

    return jax.jit(some if several else single, donate_argnums=0)


@functools.lru_cache(maxsize=8)
def _evaluation(loss, carried):
    def evaluate(params, carry, batch):
        if not carried:
            return *taken_apart(loss(params, batch, None)), carry
        value, carry = loss(params, carry, batch, None)
        return taken_apart(value)[0], {}, carry

    return jax.jit(evaluate)


def taken_apart(out: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
    """(the loss, the numbers beside it) of what a loss function returned."""
    value: Any
    value, aux = out if isinstance(out, tuple) and len(out) == 2 else (out, None)
    value = jnp.asarray(value) if jnp.ndim(value) == 0 else value
    if not hasattr(value, "dtype") or value.ndim or not jnp.issubdtype(value.dtype, jnp.floating):
        raise TypeError(f"loss: expected a number [] of floating point, got {describe(value)}; take its mean")
    aux = aux if isinstance(aux, dict) else {}
    found = {name: jnp.asarray(a) for name, a in aux.items() if _is_number(a)}
    if wrong := set(found) & set(RESERVED):
        raise ValueError(f"loss: expected other names than those of the history beside it, got {min(wrong)!r}")
    return value, found


def _is_number(a: Any) -> bool:
    if not hasattr(a, "dtype"):
        return isinstance(a, bool | int | float)
    kinds = jnp.floating, jnp.integer, jnp.bool_
    return jnp.ndim(a) == 0 and any(jnp.issubdtype(a.dtype, kind) for kind in kinds)
