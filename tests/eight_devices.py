"""Rows, params or members of an ensemble on eight devices, beside the same on one: `python tests/eight_devices.py`.

With names of engines, those alone.

A line for each engine and way to place things: whether values and gradients are equal, and how many
collectives the compiled gradient has, inside its loops and in all. Exits with 1 where they are not equal, or where
`deferred` with its rows sharded, or anything in `shard_map`, has a collective inside a loop.
"""

from __future__ import annotations

import contextlib
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jaxrnn
from jaxrnn import engines

T, B, D = 40, 16, 3
TOL = 1e-4  # of float32, relative: the values are sums of thousands of terms of either sign
CELL = jaxrnn.stack(jaxrnn.lstm(8, peepholes=True), jaxrnn.bidirectional(jaxrnn.lstm(8), jaxrnn.gru(8)))
ENGINES = {
    "deferred": lambda *args: engines.deferred(*args, chunk=8),  # several chunks: a loop over them
    "checkpointed": lambda *args: engines.checkpointed(*args, segment=10),
    "scan": engines.scan,
}
COLLECTIVE = re.compile(r"(all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute)(-start)?\(")


def collectives(compiled) -> tuple[int, int]:
    """Of a compiled program: inside loops, and in all."""
    computations = {}
    for text in re.split(r"\n(?=%|ENTRY )", compiled.as_text()):
        name = re.match(r"(?:ENTRY )?%?([\w.\-]+)", text)
        computations[name[1] if name else ""] = text

    def reached(name, seen):
        if name not in seen and name in computations:
            seen.add(name)
            for other in re.findall(r"(?:body|condition|to_apply|calls)=%?([\w.\-]+)", computations[name]):
                reached(other, seen)
        return seen

    inside = set()
    for text in computations.values():
        for body in re.findall(r"body=%?([\w.\-]+)", text):
            inside |= reached(body, set())
    counts = {name: len(COLLECTIVE.findall(text)) for name, text in computations.items()}
    return sum(counts[name] for name in inside), sum(counts.values())


def ways(engine):
    """For each way its name, a gradient with its arguments as they are placed, and the same for one device."""
    cell, rng = CELL, np.random.default_rng(0)
    params = cell.init(jax.random.key(0), D)
    params = jax.tree.map(lambda a: a + 0.1 * rng.standard_normal(a.shape).astype(a.dtype), params)
    xs = jnp.asarray(rng.standard_normal((T, B, D)), "float32")
    begin = jax.tree.map(lambda a: jnp.asarray(rng.standard_normal(a.shape), a.dtype), cell.initial_carry(params, (B,)))
    weights = jnp.asarray(rng.standard_normal((T, B, cell.outputs(params).shape[-1])), "float32")
    lengths = rng.integers(0, T + 1, B)
    mask = (rng.random((T, B)) < 0.8) & (np.arange(T)[:, None] < lengths)
    rows = jnp.asarray(lengths), jnp.asarray(mask), jnp.asarray(rng.random((T, B)) < 0.2)

    def loss(params, carry, xs, weights, rows=(None, None, None)):
        lengths, mask, reset = rows
        how = {"lengths": lengths, "mask": mask, "reset": reset, "engine": engine}
        return (weights * jaxrnn.unroll(cell, params, carry, xs, **how)[1]).sum()

    gradient = jax.value_and_grad(loss, (0, 2))
    of_rows, of_steps = P("rows"), P(None, "rows")
    specs = {"carry": (P(), of_rows, of_steps, of_steps), "none": (P(), P(), of_steps, of_steps)}
    told = (of_rows, of_steps, of_steps)
    given = {"carry": (params, begin, xs, weights), "none": (params, None, xs, weights)}

    def placed(mesh, specs, args):
        return jax.tree.map(
            lambda spec, tree: jax.tree.map(lambda a: jax.device_put(a, NamedSharding(mesh, spec)), tree),
            specs,
            args,
            is_leaf=lambda leaf: isinstance(leaf, P),
        )

    auto = jax.make_mesh((8,), ("rows",), axis_types=(AxisType.Auto,))
    explicit = jax.make_mesh((8,), ("rows",), axis_types=(AxisType.Explicit,))
    for name, args in given.items():
        alone = gradient, (*args, rows)
        for mesh, of in (auto, "jit"), (explicit, "explicit"):
            yield f"rows, {of}, {name}", gradient, placed(mesh, (*specs[name], told), (*args, rows)), *alone

        def summed(*args):
            value, grads = gradient(*args)
            return jax.lax.psum(value, "rows"), grads

        each = jax.shard_map(summed, mesh=auto, in_specs=(*specs[name], told), out_specs=(P(), (P(), of_steps)))
        yield f"rows, shard_map, {name}", each, (*args, rows), *alone

    split = jax.vmap(gradient, (None, None, 2, 2))  # vmap inside shard_map, over rows by pairs

    def by_pairs(params, carry, xs, weights):
        pairs = (a.reshape(T, -1, a.shape[1] // 2, a.shape[2]) for a in (xs, weights))
        values, (d_params, d_xs) = split(params, carry, *pairs)
        return values.sum(), (jax.tree.map(lambda a: a.sum(0), d_params), jnp.moveaxis(d_xs, 0, 2).reshape(xs.shape))

    def by_pairs_summed(*args):
        value, grads = by_pairs(*args)
        return jax.lax.psum(value, "rows"), grads

    each = jax.shard_map(by_pairs_summed, mesh=auto, in_specs=specs["none"], out_specs=(P(), (P(), of_steps)))
    yield "vmap in shard_map", each, given["none"], gradient, given["none"]

    members = jax.tree.map(lambda a: jnp.stack([a * (1 + 0.1 * i) for i in range(8)]), params)
    of_members = jax.vmap(jax.value_and_grad(loss), (0, None, None, None))
    each = jax.shard_map(of_members, mesh=auto, in_specs=(of_rows, P(), P(), P()), out_specs=of_rows)
    yield "ensemble, shard_map", each, (members, None, xs, weights), of_members, (members, None, xs, weights)

    units = jax.make_mesh((8,), ("units",), axis_types=(AxisType.Auto,))  # tensor parallel: columns of kernels
    of_units = jax.tree.map(lambda a: P(*[None] * (a.ndim - 1), "units"), params)
    args = placed(units, of_units, params), None, xs, weights
    yield "kernels by units, jit", gradient, args, gradient, given["none"]


def main() -> int:
    """The exit status."""
    wrong = 0
    expected = {way: jax.jit(f)(*args) for way, _, _, f, args in ways(engines.scan)}
    for engine_name in sys.argv[1:] or ENGINES:
        engine = ENGINES[engine_name]
        for way, f, args, *_ in ways(engine):
            mesh = jax.tree.leaves(args)[0].sharding.mesh if "explicit" in way else None
            with contextlib.nullcontext() if mesh is None else jax.set_mesh(mesh):
                compiled = jax.jit(f).lower(*args).compile()
                found = compiled(*args)
            pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected[way]), strict=True)
            error = max(float(np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(b).max()) for a, b in pairs)
            inside, total = collectives(compiled)
            bad = error > TOL or (inside > 0 and ("shard_map" in way or (engine_name == "deferred" and "rows" in way)))
            wrong += bad
            said = "equal" if error <= TOL else f"off by {error:.1e}"
            said += f", collectives {inside} in loops of {total}"
            print(f"{'WRONG' if bad else 'ok':5} {engine_name:13} {way:24} {said}")
    return int(wrong > 0)


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", 8)
    sys.exit(main())
