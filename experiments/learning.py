"""What the experiments on classification share: one compiled loop of training, and the linear baseline."""

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
    """`learn(key, data) -> (params, losses [steps])`: AdamW on random batches, one compiled loop for every key.

    init(key) -> params. data: a pytree of arrays [N, ...]; loss(params, the same of some rows [batch, ...], key) -> [].
    Rows are shared among devices. The learning rate falls from `rate` to 0 along a cosine; norm: the largest of a
    gradient.
    """
    schedule = optax.cosine_decay_schedule(rate, steps)
    optimizer = optax.chain(optax.clip_by_global_norm(norm), optax.adamw(schedule, weight_decay=decay))

    @jax.jit
    def learnt(key, data):
        k1, k2 = jax.random.split(key)
        rows = len(jax.tree.leaves(data)[0])

        def step(state, key):
            params, moments = state
            k1, k2 = jax.random.split(key)
            drawn = jax.random.randint(k1, (batch,), 0, rows)
            value, grads = jax.value_and_grad(loss)(params, train.spread(jax.tree.map(lambda a: a[drawn], data)), k2)
            changes, moments = optimizer.update(grads, moments, params)
            return (optax.apply_updates(params, changes), moments), value

        params = init(k1)
        (params, _), losses = jax.lax.scan(step, (params, optimizer.init(params)), jax.random.split(k2, steps))
        return params, losses

    def learn(key, data):
        return jax.tree.map(jnp.asarray, jax.device_get(learnt(key, data)))  # on one device again

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
