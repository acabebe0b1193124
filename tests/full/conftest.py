"""Experiments, notebooks and other libraries run as users run them: without the strictness of the other tests."""

from __future__ import annotations

import jax
import pytest

LENIENT = {"jax_numpy_dtype_promotion": "standard", "jax_numpy_rank_promotion": "allow"}


@pytest.fixture(autouse=True, scope="module")
def _lenient():
    """For all threads, and the fixtures of a module too. Elsewhere `support.lenient` is for single calls."""
    before = {name: getattr(jax.config, name) for name in LENIENT}
    for name, value in LENIENT.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)
