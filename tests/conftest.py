"""Strictness, switched on in one place, and the random key of a test.

float64 exists in every test, so types must be said: `param_dtype` of a cell is float32 unless asked otherwise, and a
bare `jnp.zeros(3)` is float64. A test that must run as a user does, with float32 only, asks for `float32_only`.

Nothing is promoted behind anybody's back, in the library and in the tests: a float32 beside a float64, an int beside a
float, a vector beside a matrix raise, as they do for users who tell JAX so. What meets is cast (`.astype`), or given
its axes (`support.as_row`), where it meets. Not so in tests/full, and where `support.lenient` says so.
"""

from __future__ import annotations

import os
import zlib

from xla_flags import FAST

# Before jax is imported. A GPU's products are rounded otherwise, and would need tolerances of their own.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("KERAS_BACKEND", "jax")  # before Keras is imported, by whichever test comes first
os.environ.setdefault("XLA_FLAGS", FAST)

import jax
import numpy as np
import pytest

jax.config.update("jax_num_cpu_devices", 2)  # rows go over both where a test, or `fit`, says so
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


def pytest_collection_modifyitems(items):
    """What stands in tests/full is of `make test-all` alone."""
    for item in items:
        if "full" in item.path.relative_to(item.config.rootpath).parts:
            item.add_marker(pytest.mark.full)


def _seed(request):
    """Of the test's name; it keeps its numbers when it moves from one half to the other."""
    return zlib.crc32(request.node.nodeid.replace("tests/full/", "tests/").encode())


@pytest.fixture
def key(request):
    """A random key of the test's own: another in every test, the same in every run."""
    return jax.random.key(_seed(request))


@pytest.fixture
def rng(request):
    """A NumPy generator of the test's own, for references that do not know JAX."""
    return np.random.default_rng(_seed(request))


@pytest.fixture
def float32_only():
    """JAX as a user finds it: no float64, no int64."""
    with jax.enable_x64(False):
        yield
