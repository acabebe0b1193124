"""The linear baseline that experiments share."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax


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
