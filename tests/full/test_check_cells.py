"""`check_cell` on every cell of the catalogue."""

from __future__ import annotations

import jax
import pytest
import reference

import jaxrnn
from jaxrnn import testing

# Parameters that by design have no gradient in some entries at a few steps, and why; gradients that are surrogates.
DEAD: dict[str, tuple[str, ...]] = {"indrnn": ("params.kernel", "params.bias", "params.recurrent_weight")}  # relu
SURROGATES = {name for name, entry in reference.CATALOGUE.items() if not entry.exact}


@pytest.mark.parametrize("name", jaxrnn.CELLS)
def test_check_cell(name):
    entry = reference.CATALOGUE.get(name)
    options = {"hidden_size": 5, **(entry.options if entry else {})}
    report = testing.check_cell(
        lambda: jaxrnn.CELLS[name](**options), exact=name not in SURROGATES, dead=DEAD.get(name, ())
    )
    assert len(report.checked) >= 18, report


def test_in_float32(float32_only):
    """As a user finds JAX; what it has not is said."""
    report = testing.check_cell(jaxrnn.gru(4))
    assert any(line.startswith("float64") for line in report.unchecked)
    assert jax.numpy.zeros(()).dtype == "float32"
