"""The seeded faults of mutants.py in the engines."""

from __future__ import annotations

ENGINE = "tests/test_engines.py -k 'engines and (lstm_projection_peepholes or gru_reset_before) or constant'"
HALF = "tests/test_engines.py -k half"
SUMS = "tests/test_engines_program.py -k narrow"
PROGRAM = "tests/test_engines_program.py -k 'not other_devices'"
RESIDUALS = "tests/test_engines_residuals.py"
FORWARD = "tests/test_unroll_transforms.py -k forward"
NAN = "tests/test_unroll_transforms.py -k nan"
DEVICES = "tests/test_devices.py"
OVER = "tests/test_over_devices.py"

HANDOVER = "tests/test_handover.py"
ORDERS = "tests/test_orders.py -m 'not full' -k"

# In groups.py, from the shape of rows in groups to that of rows put together again.
CUT = """n, a.shape[axis] // n, *a.shape[axis + 1 :]), tree)

    def joined(tree, axis):
        return jax.tree.map(lambda a: a.reshape(*a.shape[:axis], n * a.shape[axis + 1],"""
CUT_ACROSS = CUT.replace("n, a.shape[axis] // n", "a.shape[axis] // n, n").replace("n * a", "a.shape[axis] * a")

FAULTS = {
    "_core/jax_internals.py": {
        "a leaf stays the same on all devices": ("missing = axes - _varying(a)", "missing = ()", DEVICES),
    },
    "_core/custom_rules.py": {
        "the leaves' part of the second derivative alone": (
            "| dict(enumerate(out, n))",
            "| dict(enumerate(map(jnp.zeros_like, out), n))",
            "tests/test_networks.py",
        ),
        "axes of the rule's outcome left as they fall": (
            "return placed(out, args), saved",
            "return out, saved",
            f"{ORDERS} test_sizes",
        ),
        "an axis of the rule's outcome moved": (
            "return placed(out, args), saved",
            "return jax.tree.map(lambda a: _place(a, jax.tree.leaves(args), 0), out), saved",
            f"{ORDERS} test_orders",
        ),
        "batching says another axis": (
            "return _placed.bind(a, *args[1:], axis=axis), axis",
            "return _placed.bind(a, *args[1:], axis=axis), 0",
            f"{ORDERS} test_orders",
        ),
        "batched only where its own operand is": (
            "a = jnp.broadcast_to(jnp.expand_dims(a, axis), (*a.shape[:axis], size, *a.shape[axis:]))",
            "return _placed.bind(*args, axis=axis), None",
            f"{ORDERS} places_the_axes",
        ),
        "one row's cotangent for all rows'": ("ct.sum(0) if i is None", "ct[0] if i is None", f"{ORDERS} test_orders"),
        "tangents of what was kept dropped": ("    if still:", "    if False:", FORWARD),
        "tangents of the others dropped": ("    if moved:", "    if moved and not still:", FORWARD),
        "the tangent of what is placed dropped": (
            "(_placed.bind(*primals, axis=axis), tangents[0])",
            "(_placed.bind(*primals, axis=axis), ad.Zero.from_primal_value(primals[0]))",
            f"{ORDERS} second_derivatives",
        ),
    },
    "engines/_over_devices.py": {
        "the rows that are added come first": (
            "jnp.concatenate([a, jax.lax.slice_in_dim(a, 0, more, axis=axis)], axis)",
            "jnp.concatenate([jax.lax.slice_in_dim(a, 0, more, axis=axis), a], axis)",
            OVER,
        ),
        "masks of rows whole on each device": ("by_row(params, PerRow(P(AXIS)), P())", "P()", OVER),
        "taps are not looked for": ("if taps.active():", "if False:", OVER),
        "a mesh of the user's is not looked for": ("if in_context():", "if False:", OVER),
        "what is committed is not looked for": ("a.devices() != here", "False", OVER),
    },
    "engines/_deferred/handover.py": {
        "effects are lost": ("if closed.effects:", "if False:", HANDOVER),
        "closed over arrays have no gradient": ("if any(map(is_traced, closed.consts)):", "if False:", HANDOVER),
    },
    "engines/_deferred/engine.py": {
        "no sum over devices after the loop": ("    n = groups(cell, params, carry, xs)", "    n = 1", DEVICES),
        "NaN before a reset in what was saved": (
            "        saved = saved if asked is None else select(asked, saved, usual)\n",
            "",
            NAN,
        ),
        "NaN before a reset in the products after": (
            "xs, saved = (select(asked, tree, jax.tree.map(jnp.zeros_like, tree)) for tree in (xs, saved))",
            "pass",
            NAN,
        ),
        "a tapped program stays in the cache": (
            "_deferred if taps.active() else _compiled",
            "_compiled",
            HANDOVER,
        ),
        "gradient of the shown carries dropped": ("d + next(more) if reads else d", "d", ENGINE),
        "gradient of the drive's params dropped": ("total = add(total, more)", "pass", ENGINE),
        "gradient of a product's kernel dropped": (
            "total = add(total, with_fast_products(functools.partial(_of_product, stage.recur))(params, state, d_v))",
            "pass",
            ENGINE,
        ),
        "gradient of what update reads dropped": ("total[i] += d\n", "pass\n", ENGINE),
        "and added to another leaf": ("total[i] += d\n", "total[i - 1] += d.sum()\n", ENGINE),
        "kernels read the states of the wrong order": (
            "zip(cell.stages, states, d_vs",
            "zip(cell.stages, states[::-1], d_vs",
            ENGINE,
        ),
        "the loop backward goes forward": (
            "(saved, d_stacked), reverse=True)",
            "(saved, d_stacked), reverse=False)",
            ENGINE,
        ),
        "chunks backward go forward": ("(xs, saved, d_stacked), reverse=True)", "(xs, saved, d_stacked))", ENGINE),
        "states a step late": (
            "                return stacked[a]",
            "                return jnp.roll(stacked[a], 1, 0)",
            ENGINE,
        ),
        "gradient of the end dropped": ("start = (real(d_end),", "start = ([0 * d for d in real(d_end)],", ENGINE),
        "sums in narrow types": ("jnp.zeros(a.shape, wide(a.dtype))", "jnp.zeros(a.shape, a.dtype)", SUMS),
    },
    "engines/_groups.py": {
        "groups of other rows": (CUT, CUT_ACROSS, DEVICES),
        "groups within shard_map too": ("if context.manual_axes:", "if False:", DEVICES),
    },
    "engines/_deferred/plan.py": {
        "the product's share of the carry's cotangent dropped": (
            "ct = _sum(ct, pull(",
            "ct = _sum(None, pull(",
            ENGINE,
        ),
        "the drive's gradient of one stage only": ("_sum(d_u, more_u)", "more_u", ENGINE),
        "params that update reads, of one stage only": ("_sum(d_params, more_params)", "more_params", ENGINE),
        "touched params dropped": ("if variables(a) & after}", "if i < 0}", ENGINE),
        "the dearest values are kept": (
            "dtype.itemsize)\n",
            "dtype.itemsize) * -1 + 10**9\n",
            PROGRAM,
        ),
        "a cotangent of another gate for the product's": (
            "rounded.get((d, multiplied(a)), d)",
            "next(iter(rounded.values()), d)",
            HALF,
        ),
    },
    "engines/_deferred/program.py": {
        "transposed products not the other way round": (
            "inputs=product.inputs[::-1]",
            "inputs=product.inputs",
            ENGINE,
        ),
        "a product with the kernel, not its transpose": (
            "optimization_barrier(kernel.T)",
            "optimization_barrier(kernel.reshape(kernel.shape[::-1]))",
            ENGINE,
        ),
        "constants lost": ("constants[names[var]] = value", "constants[names[var]] = 0 * value", ENGINE),
        "what is not wanted is kept": ("if wanted & set(e.outputs):", "if True:", PROGRAM),
    },
    "engines/_deferred/minimum_cut.py": {
        "every value costs the same": ('(v, "out"), cost(v))', '(v, "out"), 1)', RESIDUALS),
        "the cut nearest to the sources": (
            'if (v, "out") in beyond and (v, "in") not in beyond',
            'if (v, "in") in came and (v, "out") not in came',
            RESIDUALS,
        ),
        "no way back": ("capacity[b][a] += flow", "pass", RESIDUALS),
    },
    "_core/loops.py": {
        "the rest lost": ("carry, after = rest(carry)\n    return", "after = rest(carry)[1]\n    return", ENGINE),
        "the rest first": ("jnp.concatenate([a, b])", "jnp.concatenate([b, a])", ENGINE),
        "going back, the rest last": (
            "carry, after = rest(carry)\n        carry, before = most(carry)\n    else",
            "carry, before = most(carry)\n        carry, after = rest(carry)\n    else",
            ENGINE,
        ),
    },
    "engines/_checkpointed.py": {
        "nothing is run again": (
            "piece = jax.checkpoint(lambda",
            "piece = (lambda *a, prevent_cse: a[0])(lambda",
            PROGRAM,
        ),
        "memory of the segments alone": ("-(-time // segment) * start + segment * step", "segment * step", PROGRAM),
        "a divisor, whatever it needs": (
            "max((s for s in fitting if",
            "max((s for s in range(1, time + 1) if",
            PROGRAM,
        ),
    },
    "run/_choice.py": {
        "scan for all": ("return deferred,", "return scan,", "tests/test_explain.py"),
    },
}
