"""Sequences of geometric lengths, one gradient over all of them: padded, in buckets, packed into rows with resets.

Every contender computes the same loss, a sum over the steps of all sequences, and the gradient for the parameters. What
is padded is run in two ways: with `lengths`, and without, where only the loss passes over the padding (enough for ys,
as nothing follows it); what is packed likewise. Batches, in the order they come or of similar lengths (bucketed), are
as many programs as they have shapes, called in turn.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn
from benchmarks.protocol import Contender, Report, ahead, compiled, geometric_mean, interleaved, setting
from jaxrnn import ragged

PADDED, PLAIN, BATCHES, BUCKETS = "padded", "padded, loss masked", "padded in batches", "bucketed"
PACKED, PACKED_PLAIN = "packed", "packed, loss masked"


def gradient(cell, params, xs, mask, rows):
    """The gradient for params of the sum of ys² where mask; rows: what unroll is told of lengths and resets."""

    def loss(params):
        ys = jaxrnn.unroll(cell, params, None, xs, **rows)[1]
        return jnp.where(mask[..., None], ys**2, 0).sum()

    return jax.value_and_grad(loss)(params)


def side_by_side(cell, params, batches) -> tuple[Contender, int]:
    """Each of the padded batches in turn, their gradients summed, and the steps computed."""
    run = jax.jit(functools.partial(gradient, cell))
    calls, costs, computed = [], [], 0
    for xs, lengths in batches:
        mask = np.arange(len(xs))[:, None] < lengths
        arguments = jax.device_put((params, xs, mask, dict(lengths=lengths)))
        program, cost = ahead(run, *arguments)
        calls.append(functools.partial(program, *arguments))
        costs.append(cost)
        computed += mask.size
    add = jax.jit(lambda *trees: jax.tree.map(lambda *leaves: sum(leaves), *trees))
    seconds = sum(cost["compile_s"] for cost in costs)
    most = max(cost["temporary_mb"] for cost in costs)
    return Contender(lambda: jax.block_until_ready(add(*(call() for call in calls))), seconds, most), computed


def contenders(cell, params, sequences, batch_size, multiple) -> dict[str, tuple[Contender, int]]:
    """name -> (contender, steps that it computes)."""
    run = functools.partial(gradient, cell)
    xs, lengths = ragged.pad(sequences)
    mask = np.arange(len(xs))[:, None] < lengths
    p = ragged.pack(sequences)
    given = {
        PADDED: (xs, mask, dict(lengths=lengths)),
        PLAIN: (xs, mask, {}),
        PACKED: (p.xs, p.mask, dict(reset=p.reset, lengths=p.lengths)),
        PACKED_PLAIN: (p.xs, p.mask, dict(reset=p.reset)),
    }
    made = {name: (compiled(run, *jax.device_put((params, *each))), each[1].size) for name, each in given.items()}
    as_they_come = np.split(np.arange(len(lengths)), range(batch_size, len(lengths), batch_size))
    buckets = ragged.buckets(lengths, batch_size, multiple=multiple)
    for n, batches in {
        BATCHES: [ragged.pad([sequences[i] for i in each], multiple=multiple) for each in as_they_come],
        BUCKETS: [ragged.pad([sequences[i] for i in b.indices], b.length) for b in buckets],
    }.items():
        made[n] = side_by_side(cell, params, batches)
    values = {name: float(jax.tree.leaves(each.call())[0]) for name, (each, _) in made.items()}
    assert np.allclose(list(values.values()), values[PADDED], rtol=1e-3), values  # all of them compute one loss
    return made


def table(
    seconds: float = 10.0,
    cells: tuple[str, ...] = ("gru", "lstm"),
    means: tuple[int, ...] = (20, 50),
    sequences: int = 256,
    hidden: int = 128,
    batch: int = 32,
    multiple: int = 16,
) -> Report:
    """Thousands of steps of sequences in a second, of a gradient over all of them; D = H, float32.

    seconds: how long each problem is timed. means: of the geometric distributions. batch, multiple: of the batches.
    """
    facts = setting() | {"N": str(sequences), "D = H": str(hidden), "type": "float32"}
    facts["batches"] = f"{batch} sequences, lengths multiples of {multiple}"
    columns = ["cell", "mean T", "contender", "steps computed", "wasted", "ms", "median ms", "thousand steps/s"]
    report = Report(facts, [*columns, f"of {PADDED}", f"of {BATCHES}", "temporary MB", "compile s"])
    for name in cells:
        cell = jaxrnn.CELLS[name](hidden)
        params = cell.init(jax.random.key(0), hidden)
        for mean in means:
            rng = np.random.default_rng(mean)
            lengths = rng.geometric(1 / mean, sequences)
            given = [rng.standard_normal((n, hidden), np.float32) for n in lengths]
            made = contenders(cell, params, given, batch, multiple)
            took = interleaved({n: each.call for n, (each, _) in made.items()}, seconds=seconds)
            for n, (each, computed) in made.items():
                row = {"cell": name, "mean T": mean, "contender": n, "steps computed": computed}
                row |= {"ms": took[n].minimum, "median ms": took[n].median, "wasted": 1 - lengths.sum() / computed}
                row |= {"thousand steps/s": float(lengths.sum() / took[n].minimum)}
                row |= {f"of {other}": took[other].minimum / took[n].minimum for other in made}
                row |= {f"of {other}, median": took[other].median / took[n].median for other in made}
                report.add(row | {"temporary MB": each.temporary_mb, "compile s": each.compile_s})
    for ours, others in {PACKED: (PADDED, PLAIN, BATCHES, BUCKETS), PACKED_PLAIN: (PLAIN,)}.items():
        for other in others:
            rows = [row for row in report.rows if row["contender"] == ours]
            least, middle = (geometric_mean(row[f"of {other}{of}"] for row in rows) for of in ("", ", median"))
            report.note(
                f"{ours} against {other}: {least:.2f} times the steps per second by minima, {middle:.2f} by medians, "
                "geometric means."
            )
    return report
