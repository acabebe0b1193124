"""The seeded faults of mutants.py: what stands in a file of the package, what is put in its place, who must see it."""

from __future__ import annotations

# Which tests are asked: arguments of pytest, few, to be quick. Each passes on the package as it is; that is run first.
ELMAN, GATED, GRU, LSTM = (f"tests/test_cells.py -k {name}" for name in ("elman", "gated", "gru", "lstm"))
MGU, HIGHWAY, INDRNN, CORNN = (f"tests/test_cells.py -k {name}" for name in ("mgu", "highway", "indrnn", "cornn"))
LEM, MULTIPLICATIVE = "tests/test_cells.py -k 'lem and not initial'", "tests/test_cells.py -k multiplicative"
ROWS = "tests/test_unroll.py -k 'gru and not reset_before and not chunks and not narrow'"
LEARNED = "tests/test_unroll.py -k 'learned_carry and not stack and not narrow'"
PLAIN = "tests/test_unroll.py -k 'rows and plain'"
HALF = "tests/test_unroll.py -k halves"
ENGINES = "tests/test_unroll_transforms.py -k engines"
STARTS = "tests/test_unroll_transforms.py -k 'apart or learns'"
HELD = "tests/test_unroll_transforms.py -k held"
WRAPPERS = "tests/test_wrappers.py -k plain"
STARTED = "tests/test_initializers_papers.py"
MEMORY = "tests/test_initializers.py -k 'memory or chrono'"
PRESETS = "tests/test_initializers.py -k preset"
DRAWS = "tests/test_initializers.py -k 'not preset'"
STREAMS = "tests/test_streaming.py -k 'come_and_go and (lstm_projection or gru)'"
SERVED = "tests/test_streaming.py -k 'one_unroll and float32 or language_model'"
STATE = "tests/test_streaming_state.py"
TAPS = "tests/test_regularised_cells.py -k candidate"

# In unroll.py, the wrapping of a cell in a mask and then in a reset.
SKIP = """        if valid is not None:
            cell, xs = with_mask(cell), (xs, valid)
"""
RESTART = """        if reset is not None:  # outside the mask: a row restarts also at a step it skips
            restart = _seen_from_behind(reset, reverse, lengths) if turned else reset
            cell, xs = with_reset(cell), (xs, restart)
"""

# file: {what: (old, new, tests)}
FAULTS = {
    "cells/_elman.py": {
        "activation ignored": ("d.act(u + v)", "jax.numpy.tanh(u + v)", ELMAN),
    },
    "cells/_gated.py": {
        "gate inverted": ("(1 - g) * s.h + g * n", "g * s.h + (1 - g) * n", GATED),
        "gates swapped": ("z_g, z_n =", "z_n, z_g =", GATED),
        "memory bias of the wrong sign": ('memory="-g"', 'memory="+g"', MEMORY),
    },
    "cells/_lstm.py": {
        "i and f swapped": ("*z_i, z_f, z_g, z_o =", "z_f, *z_i, z_g, z_o =", LSTM),
        "g and o swapped": ("*z_i, z_f, z_g, z_o =", "*z_i, z_f, z_o, z_g =", LSTM),
        "coupled gate inverted": ("i = 1 - f if coupled", "i = f if coupled", LSTM),
        "peephole of o on the old c": ("z_o + c * peep_o", "z_o + s.c * peep_o", LSTM),
        "peephole of i dropped": ("[z + s.c * peep for z, peep in", "[z for z, _ in", LSTM),
        "peepholes of i and f swapped": ("*peep_i, peep_f, peep_o =", "peep_f, *peep_i, peep_o =", LSTM),
        "clip dropped": ("jnp.clip(c, -cell_clip, cell_clip)", "c", LSTM),
        "clip above only": ("jnp.clip(c, -cell_clip, cell_clip)", "jnp.minimum(c, cell_clip)", LSTM),
        "clip seen by h, not kept": (
            'out(tap("cell", c)), c)',
            'out(tap("cell", c)), f * s.c + i * d.act(z_g))',
            LSTM,
        ),
        "output activation ignored": ('o * out(tap("cell", c))', 'o * d.act(tap("cell", c))', LSTM),
        "type of c ignored": ("compute if cell_dtype is None else cell_dtype", "compute", LSTM),
        "forget bias on another gate": ('not coupled else "+f"', 'not coupled else "+g"', MEMORY),
        "chrono leaves i open": ('"+f-i" if', '"+f+i" if', MEMORY),
    },
    "cells/_gru.py": {
        "r and z swapped": ("r, z = d.gate", "z, r = d.gate", GRU),
        "z inverted": ("(1 - z) * n + z * s.h", "z * n + (1 - z) * s.h", GRU),
        "recurrent bias dropped": ('v + row(params["recurrent_bias"], v)', "v", GRU),
        "recurrent bias outside the reset": (
            "r * v_n)",
            'r * (v_n - params["recurrent_bias"][2 * d.H :]) + params["recurrent_bias"][2 * d.H :])',
            GRU,
        ),
        "reset of the drive too": ("u_n + r * v_n", "r * (u_n + v_n)", GRU),
        "memory bias on r": ('memory="+z"', 'memory="+r"', MEMORY),
    },
    "cells/_gru_reset_before.py": {
        "no reset": ('of="read"', 'of="h"', GRU),
        "r and z swapped": ("z_r, z_z =", "z_z, z_r =", GRU),
        "z keeps what was reset": ("s.gate * s.h", "s.gate * s.read", GRU),
    },
    "cells/_mgu.py": {
        "f inverted": ("(1 - s.gate) * s.h + s.gate *", "s.gate * s.h + (1 - s.gate) *", MGU),
        "no reset": ('of="read"', 'of="h"', MGU),
        "memory bias of the wrong sign": ('memory="-f"', 'memory="+f"', MEMORY),
    },
    "cells/_mgu_reset_after.py": {
        "f inverted": ("(1 - f) * n + f * s.h", "f * n + (1 - f) * s.h", MGU),
        "recurrent bias outside the reset": (
            '(v_n + row(params["recurrent_bias"], v_n))',
            'v_n + row(params["recurrent_bias"], v_n)',
            MGU,
        ),
        "memory bias of the wrong sign": ('memory="+f"', 'memory="-f"', MEMORY),
    },
    "cells/_multiplicative_lstm.py": {
        "m is a sum": ('d.columns("m")] * v)', 'd.columns("m")] + v)', MULTIPLICATIVE),
        "i and f swapped": ("z_i, z_f, z_g, z_o =", "z_f, z_i, z_g, z_o =", MULTIPLICATIVE),
        "forget bias on i": ('else "+f"', 'else "+i"', MEMORY),
    },
    "cells/_recurrent_highway.py": {
        "t inverted": ("(1 - t) * s.h + t * n", "t * s.h + (1 - t) * n", HIGHWAY),
        "x at every depth": ("d.split(v if k else u + v)", "d.split(u + v)", HIGHWAY),
        "inner biases dropped": ('v + row(params["bias"][k], v) if k else v', "v", HIGHWAY),
        "no transform bias by default": ("Callable = 2.0", "Callable = 0.0", STARTED),
    },
    "cells/_lem.py": {
        "time steps swapped": ("z_d, z_e, z_z =", "z_e, z_d, z_z =", LEM),
        "h sees the old z": ("return _Between(s.h, (1 - step)", "return _Between(s.h, s.z + 0 * (1 - step)", LEM),
        "dt of z alone": ('d.gate("e", z_e, times=dt)', 'd.gate("e", z_e)', LEM),
    },
    "cells/_indrnn.py": {
        "recurrence of the wrong sign": ("u + row", "u - row", INDRNN),
        "activation ignored": ("d.act(u + ", "jax.nn.relu(u + ", INDRNN),
        "weights on both sides of 0": ("low: float = 0.0,", "low: float = -1.0,", STARTED),
    },
    "cells/_cornn.py": {
        "h moved by the old z": ("s.h + dt * z, z)", "s.h + dt * s.z, z)", CORNN),
        "anti-damped": ("- epsilon * s.z)", "+ epsilon * s.z)", CORNN),
        "h and z swapped in the product": ("concatenate([s.h, s.z]", "concatenate([s.z, s.h]", CORNN),
    },
    "cells/_dense.py": {
        "drive: bias dropped": ('(u + row(params["bias"], u))', "u", ELMAN),
        "another block of the recurrent kernel": (
            "kernel[:, self.columns(gates)]",
            "kernel[:, : len(gates) * self.H]",
            MGU,
        ),
        "u of another block": ("u[..., self.columns(gates)]", "u[..., : len(gates) * self.H]", MGU),
        "the carry stays wide": (".astype(getattr(s, f).dtype)", "", HALF),
        "the candidate hides from taps": ('tap(name, tap("candidate", self.act(z)))', "tap(name, self.act(z))", TAPS),
        "one draw for all gates": (
            "return initializers.gates(draw, key, count, shape, self.param_dtype)",
            "return jnp.concatenate([draw(key, shape, self.param_dtype)] * count, -1)",
            DRAWS,
        ),
    },
    "_core/cell.py": {
        "step: later stages see the old carry": (
            "stage.update(params, state, u, v)",
            "stage.update(params, carry, u, v)",
            LSTM,
        ),
        "initial carry: always zeros": ("jnp.broadcast_to(a, (*", "jnp.broadcast_to(jnp.zeros_like(a), (*", LEARNED),
    },
    "wrappers/_control.py": {
        "with_reset: after the step": (
            "(select(reset, cell.start(params), s), ()),\n        lambda params, s, kept, reset: s,",
            "(s, ()),\n        lambda params, s, kept, reset: select(reset, cell.start(params), s),",
            ROWS,
        ),
        "with_reset: to zeros": (
            "select(reset, cell.start(params), s)",
            "select(reset, jax.tree.map(jnp.zeros_like, s), s)",
            LEARNED,
        ),
        "with_reset, plain step: to zeros": (
            "select(reset, cell.start(params), carry)",
            "select(reset, jax.tree.map(jnp.zeros_like, carry), carry)",
            WRAPPERS,
        ),
        "with_mask: ignored": ("select(flag[0], new, waited(old, flag[1]))", "new", ROWS),
        "with_mask: inverted": ("select(flag[0], new, waited", "select(~flag[0], new, waited", ROWS),
        "with_mask, plain step: ignored": (
            "return select(mask, new, waited(carry, clock(x))), y",
            "return new, y",
            PLAIN,
        ),
        "with_mask: a held carry goes through the step": (
            "(select(flag[0], s, cell.start(params)), s)",
            "(s, s)",
            HELD,
        ),
        "with_mask, plain step: a held carry goes through it": (
            "inner(params, select(mask, carry, cell.start(params)), stopped(x, mask))",
            "inner(params, carry, stopped(x, mask))",
            HELD,
        ),
    },
    "wrappers/_learned_carry.py": {
        "ignored": ("like(next(given), a) if _learned(a) else a", "a", LEARNED),
        "not learned": ("like(next(given), a)", "like(jax.lax.stop_gradient(next(given)), a)", STARTS),
    },
    "wrappers/_stack.py": {
        "layers start alike": (
            "zip(layers.items(), jax.random.split(key, len(cells)), strict=True)",
            "zip(layers.items(), [key] * len(cells), strict=True)",
            STARTS,
        ),
    },
    "run/_unroll.py": {
        "padding reaches the cell": ("blank = select(valid, xs, jax.tree.map(jnp.zeros_like, xs))", "blank = xs", ROWS),
        "y of skipped steps": (
            "return ys if valid is None else select(valid, ys, jax.tree.map(jnp.zeros_like, ys))",
            "return ys",
            ROWS,
        ),
        "no reset at skipped steps": (SKIP + RESTART, RESTART + SKIP, ROWS),
        "reset one step late": ("if turned else reset\n", "if turned else jnp.roll(reset, 1, 0)\n", ROWS),
        "reset one step early": ("if turned else reset\n", "if turned else jnp.roll(reset, -1, 0)\n", ROWS),
        "reverse ignored": ("_flip(clock.backwards(xs, lengths)) if flip else xs", "xs", ROWS),
        "reversed outputs left turned": ("ys = _flip(ys) if flip else ys", "pass", ROWS),
        "engine ignored": ("engine or where_they_are(", "where_they_are(", ENGINES),
    },
    "run/_streaming.py": {
        "a dropped stream goes on": ("new = select(active, new, old)", "pass", STREAMS),
        "y of a dropped stream": (
            "y = select(jnp.broadcast_to(active, (*time, *batch)), y, jax.tree.map(jnp.zeros_like, y))",
            "pass",
            STREAMS,
        ),
        "drop: who is there stays": ("active[slot] = False", "active[slot] |= False", STREAMS),
        "drop: another": ("active[slot] = False", "active[slot - 1] = False", STREAMS),
        "add: not yet there": ("active.at[slot].set(True)", "active", STREAMS),
        "add: where the last one stopped": ("a.at[slot].set(b)", "a", STREAMS),
        "add: always at the initial carry": (
            "self._fresh if carry is None else self._pack(carry)",
            "self._fresh",
            STREAMS,
        ),
        "start: always at the initial carry": ("rows = self._pack(carry)", "rows = self.start().rows", SERVED),
        "carry: of another": ("lambda a: a[slot], rows", "lambda a: a[slot - 1], rows", STREAMS),
        "several steps from the initial carry": (
            "unroll(cell, params, carry, x)",
            "unroll(cell, params, None, x)",
            SERVED,
        ),
        "several steps of a small cell from zeros": (
            "scan(cell, params, carry, x)",
            "scan(cell, params, jax.tree.map(jnp.zeros_like, carry), x)",
            SERVED,
        ),
        "several steps of a model from its initial carry": (
            "cell.apply(params, carry, x)",
            "cell.apply(params, None, x)",
            SERVED,
        ),
        "one y of a model for several steps": (
            "shapes(jax.eval_shape(cell.apply, params, carry, x)[1]) == shapes(y)",
            "True",
            "tests/test_streaming.py -k classifier",
        ),
        "not in place": ("out=out, donate=(0,))", "out=out)", STATE),
        "add: not in place": ("out=rows, donate=(0, 1))", "out=rows)", STATE),
        "start: what it begins with is taken": (
            "jnp.array(jnp.broadcast_to(a, (*batch, *a.shape)), copy=True)",
            "jnp.broadcast_to(a, (*batch, *a.shape))",
            STATE,
        ),
        "a state is used again, unsaid": ("a.is_deleted() for a", "False for a", "tests/test_errors_streaming.py"),
        "always constants": (
            "jax.tree.leaves(after((), params))) <= CONSTANTS",
            "jax.tree.leaves(())) <= CONSTANTS",
            STATE,
        ),
    },
    "run/_packing.py": {
        "fields of one type on one another": (
            "end[like.dtype], end[like.dtype] + like.size",
            "end[like.dtype] - like.size // 5, end[like.dtype] + like.size",
            STREAMS,
        ),
    },
    "run/_places.py": {
        "constants away from their device": ("    return away[0] if away else None", "    return None", STATE),
        "spread params, and a state on one device": (
            "NamedSharding(away[0].mesh, PartitionSpec())",
            "None",
            STATE,
        ),
    },
    "initializers.py": {
        "gates start alike": ("for k in jax.random.split(key, count)", "for k in [key] * count", DRAWS),
        "drawn in half precision": ("self.draw(key, shape, wide(dtype))", "self.draw(key, shape, dtype)", DRAWS),
        "chrono up to longest": ("1.0, longest - 1.0", "1.0, longest", MEMORY),
        "joint ignored": ('getattr(initializer, "is_joint", False)', "False", DRAWS),
        "one of PyTorch's two biases": ("draws=1 if both else 2", "draws=1", PRESETS),
        "PyTorch's bound of the input size": ("1 / math.sqrt(shape[axis])", "1 / math.sqrt(shape[0])", DRAWS),
        "Keras without its forget bias": ('{"forget_bias": 1.0}', '{"forget_bias": 0.0}', PRESETS),
    },
    "_core/numerics.py": {
        "product: summed in half precision": (
            "preferred_element_type=wide(dtype)",
            "preferred_element_type=dtype",
            HALF,
        ),
        "step: the carry in other types": (
            "n.astype(o.dtype)",
            "n.astype(jnp.float32)",
            "tests/test_wrappers.py -k stored_as",
        ),
    },
    "_core/rows.py": {
        "mask ignored beside lengths": ("there if mask is None else there & mask", "there", ROWS),
        "mask or lengths": ("there & mask", "there | mask", ROWS),
        "reset past the end": ("None if reset is None else reset & there", "reset", ROWS),
        "select by products": ("jnp.where(where, a, b)", "(where * a + ~where * b).astype(b.dtype)", ROWS),
        "rows one step longer": ("< lengths", "<= lengths", ROWS),
    },
}
