"""The seeded faults of mutants.py in weights of flax and Equinox."""

from __future__ import annotations

FLAX, EQUINOX = "tests/test_interop_flax.py", "tests/test_interop_equinox.py"
LIVE = "tests/full/parity/test_flax_weights.py"

# file: {what: (old, new, tests)}
FAULTS = {
    "interop/_flax_cells.py": {
        "i and f swapped": ('LSTM = ("ii", "if",', 'LSTM = ("if", "ii",', FLAX),
        "r and z of h swapped": ('("hr", "hz", "hn"), "inputs"', '("hz", "hr", "hn"), "inputs"', FLAX),
        "biases of r and z dropped": ("[d, jnp.zeros_like(inner)]", "[0 * d, jnp.zeros_like(inner)]", FLAX),
        "f is g": ("[-a[..., :H], a[..., H:]]", "[a[..., :H], a[..., H:]]", FLAX),
        "the old state subtracted": ("U + by * jnp.eye", "U - by * jnp.eye", FLAX),
    },
    "interop/_flax.py": {
        "what is left over is ignored": ("    given.end()\n", "", FLAX),
        "residual ignored on the way out": ("if says.residual:", "if False:", f"{LIVE} -k residual"),
    },
    "interop/_flax_modules.py": {
        "directions swapped": ('("forward_rnn", "backward_rnn")', '("backward_rnn", "forward_rnn")', FLAX),
        "jnp.add is a mean": ('"sum" if function is jnp.add', '"mean" if function is jnp.add', f"{LIVE} -k filled"),
        "a module's activation ignored": ("normal(cell.activation_fn)", '"tanh"', f"{LIVE} -k say_the_rest"),
    },
    "interop/_equinox.py": {
        "not transposed": ('p["recurrent_kernel"].T}', 'p["recurrent_kernel"]}', EQUINOX),
        "bias of n on r": ("[jnp.zeros(2 * H, of_n.dtype), of_n]", "[of_n, jnp.zeros(2 * H, of_n.dtype)]", EQUINOX),
        "biases of r and z subtracted": ('arrays["bias"] += ', 'arrays["bias"] -= ', EQUINOX),
        "what is left over is ignored": ("    given.end()\n", "", EQUINOX),
    },
}
