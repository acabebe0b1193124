"""A whole sequence, forward and with its gradient, beside flax.linen and PyTorch: is jaxrnn slower than they are?

Each peer is written as its own users would write it: `flax.linen.RNN` over the optimized cell, under `jax.jit`;
`torch.nn.LSTM` and `nn.GRU`. The gradient is that of a scalar with respect to parameters and inputs. float32.
"""

from __future__ import annotations

import flax
import flax.linen
import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn
from benchmarks.protocol import interleaved

SHAPES = [(32, 128, 128, 256), (20, 35, 200, 200), (1, 1000, 64, 128), (128, 64, 64, 64), (8, 512, 32, 32)]
LINEN = {"elman": "SimpleCell", "lstm": "OptimizedLSTMCell", "gru": "GRUCell"}
TORCH = {"elman": "RNN", "lstm": "LSTM", "gru": "GRU"}


def waits(f, *args):
    """A call of a compiled function that returns when its result is there."""
    compiled = jax.jit(f).lower(*args).compile()
    return lambda: jax.block_until_ready(compiled(*args))


def ours(cell, B, T, D, H):
    """(forward, gradient) of jaxrnn."""
    record = jaxrnn.CELLS[cell](H)
    params = record.init(jax.random.key(0), D)
    xs = jnp.asarray(np.random.default_rng(0).standard_normal((T, B, D), np.float32))

    def loss(params, xs):
        return (jaxrnn.unroll(record, params, None, xs)[1] ** 2).sum()

    forward = waits(lambda params, xs: jaxrnn.unroll(record, params, None, xs)[1], params, xs)
    return forward, waits(jax.value_and_grad(loss, argnums=(0, 1)), params, xs)


def linen(cell, B, T, D, H):
    """(forward, gradient) of flax.linen, batch first as it wants it."""
    rnn = flax.linen.RNN(getattr(flax.linen, LINEN[cell])(H))
    xs = jnp.asarray(np.random.default_rng(0).standard_normal((B, T, D), np.float32))
    params = rnn.init(jax.random.key(0), xs)

    def loss(params, xs):
        return (rnn.apply(params, xs) ** 2).sum()

    return waits(rnn.apply, params, xs), waits(jax.value_and_grad(loss, argnums=(0, 1)), params, xs)


def torch_nn(cell, B, T, D, H):
    """(forward, gradient) of torch.nn, time first as is its default."""
    import torch

    rnn = getattr(torch.nn, TORCH[cell])(D, H)
    xs = torch.from_numpy(np.random.default_rng(0).standard_normal((T, B, D), np.float32)).requires_grad_()

    def forward():
        with torch.no_grad():
            return rnn(xs)[0]

    def gradient():
        rnn.zero_grad()
        xs.grad = None
        (rnn(xs)[0] ** 2).sum().backward()

    return forward, gradient


def table(seconds: float = 4.0) -> str:
    """Markdown: milliseconds of each (minimum), and the peers' over ours: above 1, jaxrnn is the faster."""
    try:
        import torch

        peers, versions = {"linen": linen, "torch": torch_nn}, f"torch {torch.__version__}"
    except ImportError:
        peers, versions = {"linen": linen}, "no torch"
    lines = [
        f"jax {jax.__version__}, flax {flax.__version__}, {versions}; {jax.devices()[0].device_kind}; float32",
        "",
        "| cell | B, T, D, H | what | jaxrnn ms | " + " | ".join(f"{p} ms | {p} / jaxrnn" for p in peers) + " |",
        "|---|---|---|---|" + "---|---|" * len(peers),
    ]
    for cell in LINEN:
        for shape in SHAPES:
            both = {"jaxrnn": ours(cell, *shape), **{name: make(cell, *shape) for name, make in peers.items()}}
            for i, what in enumerate(("forward", "gradient")):
                times = interleaved({name: calls[i] for name, calls in both.items()}, seconds=seconds)
                best = times["jaxrnn"][0]
                row = [cell, ", ".join(map(str, shape)), what, f"{best:.2f}"]
                for name in peers:
                    ratio, median = times[name][0] / best, times[name][1] / times["jaxrnn"][1]
                    row += [f"{times[name][0]:.2f}", f"{ratio:.2f} (median {median:.2f})"]
                lines.append("| " + " | ".join(row) + " |")
                print(lines[-1], flush=True)
    return "\n".join(lines) + "\n"
