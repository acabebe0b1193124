"""The shapes and transformations of fourteen real programs, beside flax.linen.RNN, on one device and on all cores.

Both sides compute the same from the same parameters: the networks are flax's, ours are read from them by `from_flax`.
"On cores" is a process with a JAX device for each core. Networks, where there are several, go over the devices by
`jax.shard_map`, rows of the batch as their arrays are sharded; what has neither is left on one device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, PartitionSpec

import jaxrnn
from benchmarks.contenders import over_devices
from benchmarks.derivatives import inner
from benchmarks.protocol import Report, compiled, geometric_mean, setting
from benchmarks.turns import Apart, Contender, cores, interleaved
from jaxrnn import interop

LINEN = {"elman": nn.SimpleCell, "gru": nn.GRUCell, "lstm": nn.OptimizedLSTMCell}
ONE, BEST = "linen / jaxrnn", "best of linen / best of jaxrnn"


# What a program does with loss(params, xs) and apply(params, xs) of its network: a function of (params, xs).
def forward(loss: Callable, apply: Callable) -> Callable:
    return apply


def train(loss: Callable, apply: Callable) -> Callable:
    return jax.grad(loss)


def per_row(loss: Callable, apply: Callable) -> Callable:
    """A gradient for each row, as differential privacy wants them."""
    return jax.vmap(lambda params, row: jax.grad(loss)(params, row[:, None]), (None, 1))


def adapted(loss: Callable, apply: Callable) -> Callable:
    """The gradient through three steps of gradient descent."""

    def after(params, xs):
        for _ in range(3):
            params = jax.tree.map(lambda a, d: a - 0.1 * d, params, jax.grad(loss)(params, xs))
        return loss(params, xs)

    return jax.grad(after)


def curvature(loss: Callable, apply: Callable) -> Callable:
    """The Hessian times a vector, reverse over reverse as it is often written."""
    return lambda params, xs: jax.grad(lambda p: inner(jax.grad(loss)(p, xs), params))(params)


class Use(NamedTuple):
    """A program."""

    does: Callable
    cell: str
    H: int
    D: int
    B: int
    T: int
    networks: int = 1


USES = {
    "evolution, 256 small": Use(lambda loss, apply: loss, "gru", 16, 8, 4, 100, networks=256),
    "evolution, 64": Use(lambda loss, apply: loss, "lstm", 64, 16, 1, 200, networks=64),
    "ensemble of 8": Use(train, "lstm", 64, 32, 32, 50, networks=8),
    "gradients per row (DP-SGD)": Use(per_row, "lstm", 64, 16, 64, 50),
    "MAML, 3 steps": Use(adapted, "gru", 32, 8, 16, 20),
    "Hessian-vector product": Use(curvature, "lstm", 64, 16, 32, 50),
    "learned optimizer": Use(train, "lstm", 20, 2, 50_000, 20),
    "R2D2": Use(train, "lstm", 512, 256, 64, 120),
    "PPO": Use(train, "gru", 256, 128, 128, 16),
    "keyword spotting": Use(forward, "gru", 64, 40, 1, 100),
    "sensor": Use(train, "elman", 8, 3, 1, 10_000),
    "AWD-LSTM": Use(train, "lstm", 1150, 400, 40, 70),
    "neuroscience": Use(train, "elman", 256, 3, 64, 300),
    "DeepAR": Use(train, "lstm", 40, 40, 128, 192),
}


def network(name: str, side: str) -> tuple[Callable, Any, jax.Array]:
    """apply(params, xs [T, B, D]) -> ys [T, B, H], and both arguments; of several networks params [networks, ...]."""
    use = USES[name]
    rng = np.random.default_rng(0)
    xs = jnp.asarray(rng.standard_normal((use.T, use.B, use.D), np.float32))
    rnn = nn.RNN(LINEN[use.cell](use.H), time_major=True)
    cell, apply, params = None, rnn.apply, jax.jit(rnn.init)(jax.random.key(0), xs[:2])
    if side == "jaxrnn":
        cell, params = interop.from_flax(params, activation="tanh" if use.cell == "elman" else None)
        apply = lambda params, xs: jaxrnn.unroll(cell, params, None, xs)[1]  # noqa: E731
    if use.networks > 1:  # differ in size, by the same factor on both sides
        factors = jnp.asarray(rng.uniform(0.8, 1.2, use.networks), "float32")
        params = jax.tree.map(lambda a: a * factors.reshape(-1, *[1] * a.ndim), params)
    return apply, params, xs


def contender(name: str, side: str) -> Contender:
    """The program, compiled for one device or for all."""
    use = USES[name]
    apply, params, xs = network(name, side)

    def loss(params, xs):
        return (apply(params, xs) ** 2).mean()

    f = use.does(loss, apply)
    if use.networks == 1:
        return compiled(f, *over_devices(params, xs, axis=1))
    f = jax.vmap(f, (0, None))
    if jax.device_count() > 1:
        mesh = Mesh(np.array(jax.devices()), ("networks",), axis_types=(AxisType.Auto,))
        each, same = PartitionSpec("networks"), PartitionSpec()
        f = jax.jit(jax.shard_map(f, mesh=mesh, in_specs=(each, same), out_specs=each, check_vma=False))
        params, xs = (jax.device_put(a, jax.NamedSharding(mesh, s)) for a, s in ((params, each), (xs, same)))
    return compiled(f, params, xs)


def total(result: Any) -> float:
    """A number by which both sides are compared: the sum of squares of what has the same shape in each library."""
    return float(sum(np.square(np.asarray(a, np.float64)).sum() for a in jax.tree.leaves(result)))


def of_best(least: dict[str, float], side: str) -> float:
    """On one device or on cores, whichever is faster: a small program loses by being shared out."""
    return min(ms for name, ms in least.items() if name.startswith(side))


def table(seconds: float = 2.0, uses: tuple[str, ...] = tuple(USES)) -> Report:
    """Milliseconds (minimum), and ratios: above 1, jaxrnn is the faster; on one device each, and each in its best form.

    seconds: how long each row is timed. uses: some of the names, or words of them.
    """
    many = Apart(cores()) if jax.default_backend() == "cpu" and cores() > 1 else None
    names = ["jaxrnn", "linen", *(["jaxrnn on cores", "linen on cores"] if many else [])]
    ratios = [ONE, *([BEST] if many else [])]
    columns = ["program", "cell", "networks", "B, T, D, H", *(f"{name} ms" for name in names), *ratios]
    report = Report(setting("flax") | {"type": "float32"}, [*columns, "compile s", "linen compile s"])
    for name, use in USES.items():
        if not any(word in name for word in uses):
            continue
        made = {side: contender(name, side) for side in ("jaxrnn", "linen")}
        if many and (use.networks if use.networks > 1 else use.B) % cores() == 0:
            made |= {f"{side} on cores": many.make(contender, side, name, side) for side in ("jaxrnn", "linen")}
        times = interleaved({n: each.call for n, each in made.items()}, seconds=seconds)
        least = {n: each.minimum for n, each in times.items()}
        row = {"program": name, "cell": use.cell, "networks": use.networks}
        row |= {"B, T, D, H": f"{use.B}, {use.T}, {use.D}, {use.H}"} | {f"{n} ms": ms for n, ms in least.items()}
        row |= {f"{n} median ms": each.median for n, each in times.items()}
        row |= {ONE: least["linen"] / least["jaxrnn"], "compile s": made["jaxrnn"].compile_s}
        row["linen compile s"] = made["linen"].compile_s
        row[BEST] = of_best(least, "linen") / of_best(least, "jaxrnn")
        report.add(row)
    for ratio in ratios:
        found = [row[ratio] for row in report.rows if row["program"] != "sensor"]
        report.note(f"{ratio}: {geometric_mean(found):.2f} in geometric mean of the programs but the sensor.")
    return report
