"""What experiments share: the linear baseline, and training from a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxrnn import train


def learner(
    init: Callable, loss: Callable, *, steps: int, batch: int, rate: float, norm: float = 1.0, decay: float = 0.0
) -> Callable[[jax.Array, Any], tuple[Any, jax.Array]]:
    """`learn(key, data) -> (params, losses)`: `train.learn` from `init(key)`, and the mean losses of 20 stretches.

    data: a pytree of arrays [N, ...]; loss(params, the same of some rows [batch, ...], key) -> [].
    """

    def learn(key, data):
        k1, k2 = jax.random.split(key)
        how: Any = {"steps": steps, "batch": batch, "rate": rate, "clip": norm, "decay": decay}
        learnt = train.learn(loss, init(k1), data, key=k2, **how, progress=False)
        return learnt.params, jnp.asarray(learnt.history["loss"])

    return learn


def linear(train: Any, test: Any, classes: int, *, penalty: float = 1e-3, steps: int = 400) -> float:
    """Accuracy on `test` of multinomial logistic regression learnt on all of `train`, by Adam from 0: without a seed.

    train, test: (features [N, F], labels [N]). Features are scaled by their largest in `train`; penalty: times half
    the squared weights.
    """
    (xs, labels), (unseen, expected) = ((jnp.asarray(a, jnp.float32), jnp.asarray(b)) for a, b in (train, test))
    optimizer = optax.adam(optax.cosine_decay_schedule(0.1, steps))

    @jax.jit
    def solve(xs, labels, unseen):
        scale = jnp.maximum(jnp.abs(xs).max(0), 1e-6)

        def loss(params):
            nats = optax.softmax_cross_entropy_with_integer_labels(
                xs / scale @ params["kernel"] + params["bias"], labels
            )
            return nats.mean() + penalty / 2 * (params["kernel"] ** 2).sum()

        def step(state, _):
            params, moments = state
            changes, moments = optimizer.update(jax.grad(loss)(params), moments)
            return (optax.apply_updates(params, changes), moments), None

        params: Any = {"kernel": jnp.zeros((xs.shape[1], classes)), "bias": jnp.zeros(classes)}
        (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), length=steps)
        return (unseen / scale @ params["kernel"] + params["bias"]).argmax(-1)

    return float((solve(xs, labels, unseen) == expected).mean())
