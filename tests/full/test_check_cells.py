"""`check_cell` on every cell of the catalogue."""

from __future__ import annotations

import os

import jax
import numpy as np
import pytest
import reference

import jaxrnn
from jaxrnn import testing

# Parameters that by design have no gradient in some entries at a few steps of six rows, and why.
DEAD: dict[str, tuple[str, ...]] = {
    # relu, or its like, which is 0 for some units:
    "indrnn": ("params.kernel", "params.bias", "params.recurrent_weight"),
    "gru_d": ("params.decay_kernel", "params.decay_bias"),
    "li_gru": ("params.kernel", "params.bias", "params.recurrent_kernel"),
}
SURROGATES = {name for name, entry in reference.CATALOGUE.items() if not entry.exact}


# Each third of them, for time; the options say that all are to be: JAXRNN_ALL_CELLS=1.
CELLS = list(jaxrnn.CELLS)[:: 1 if os.environ.get("JAXRNN_ALL_CELLS") else 3]


@pytest.mark.parametrize("name", CELLS)
def test_check_cell(name, rng):
    entry = reference.CATALOGUE.get(name)
    options = {"hidden_size": 5, **(entry.options if entry else {})}
    xs = rng.standard_normal((6, 2, 3, 3))
    if name == "gru_d":
        xs[rng.random(xs.shape) < 0.3] = np.nan  # missing values, without which it is no more than a GRU
    how = dict(exact=name not in SURROGATES, dead=DEAD.get(name, ()), xs=xs if name == "gru_d" else None)
    report = testing.check_cell(lambda: jaxrnn.CELLS[name](**options), **how)
    assert len(report.checked) >= 18, report


def test_in_float32(float32_only):
    """As a user finds JAX; what it has not is said."""
    report = testing.check_cell(jaxrnn.gru(4))
    assert any(line.startswith("float64") for line in report.unchecked)
    assert jax.numpy.zeros(()).dtype == "float32"
