"""Strictness, switched on in one place, and the random key of a test.

float64 exists in every test, so types must be said: `param_dtype` of a cell is float32 unless asked otherwise, and a
bare `jnp.zeros(3)` is float64. A test that must run as a user does, with float32 only, asks for `float32_only`.

Nothing is promoted behind anybody's back, in the library and in the tests: a float32 beside a float64, an int beside a
float, a vector beside a matrix raise, as they do for users who tell JAX so. What meets is cast (`.astype`), or given
its axes (`support.as_row`), where it meets. Not so in tests/full, and where `support.lenient` says so.
"""

from __future__ import annotations

import collections
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


# Tables of which the quick half has each third row, and `make test-all` the others: what they find, they find in most.
THIRDS = {
    "test_classifier": "test_logits_are_those_of_loops test_pooling_alone_looks_at_valid_steps_only",
    "test_compositions": "test_engines_keys_and_padding test_it_says_what_it_is_like test_values",
    "test_compositions_rows": "test_explain test_half_types_value",
    "test_cores": "test_a_program",
    "test_doors": "test_where_nothing_counts_the_loss_and_its_gradient_are_0",
    "test_encoder_decoder": "test_against_loops test_any_batch_axes test_half_types test_translate_is_greedy",
    "test_engines": "test_one_wrapper_alone test_own_cells test_vmap",
    "test_engines_program": "test_equal_calls_compile_once_without_jit test_memory_budget",
    "test_errors": "test_refused_while_traced",
    "test_forecaster": "test_every_parameter_has_a_gradient test_steps_say_the_same_as_apply",
    "test_forecaster_units": "test_norms_in_any_unit",
    "test_handover": "test_an_array_that_a_cell_closes_over_has_its_gradient",
    "test_heads": "test_a_loss_knows_no_unit test_losses_have_finite_gradients_far_out",
    "test_initializers": "test_a_preset_fits_every_cell test_chrono",
    "test_int8": "test_dynamic_is_the_loop_in_numpy",
    "test_interop_torch": "test_steps_are_those_of_the_documentation",
    "test_language_model": "test_loss_is_the_mean_negative_log_likelihood",
    "test_noise": "test_the_mean_over_keys_of_one_step_is_the_evaluation",
    "test_normalised_cells": "test_layer_norm",
    "test_onnx_cases": "test_case test_case_by_from_onnx",
    "test_orders": "test_axes test_orders test_sizes",
    "test_property": "test_drawn",
    "test_ragged": "test_there_and_back",
    "test_sizes": "test_devices test_diagnostics test_wrappers",
    "test_streaming": "test_one_stream_as_one_unroll",
    "test_strict": "test_compositions",
    "test_unroll": "test_arguments_left_out test_no_steps_and_no_rows test_rows",
    "test_unroll_transforms": "test_nan_before_a_reset test_the_default_in_forward_mode",
    "test_wrappers": "test_a_held_carry_shows_its_own_y",
}


# A table of LONG rows in the full half gives each third, one of LONGEST each sixth, for time; JAXRNN_ALL_CELLS=1 asks
# for all.
# Not of one marked `every_row`, whose rows are things of their own: notebooks, pages.
LONG, LONGEST = 4, 12


def pytest_collection_modifyitems(config, items):
    """What stands in tests/full is of `make test-all` alone, and so are two thirds of some tables."""
    rows = collections.Counter()
    for item in items:
        if "full" in item.path.relative_to(item.config.rootpath).parts:
            item.add_marker(pytest.mark.full)
        elif item.originalname in THIRDS.get(item.path.stem, "").split() and not item.get_closest_marker("full"):
            if rows[item.path, item.originalname] % 3:
                item.add_marker(pytest.mark.full)
            rows[item.path, item.originalname] += 1
    if os.environ.get("JAXRNN_ALL_CELLS"):
        return
    full = [item for item in items if item.get_closest_marker("full")]
    count, seen, left = collections.Counter((i.path, i.originalname) for i in full), collections.Counter(), []
    for item in full:
        table = item.path, item.originalname
        seen[table] += 1
        every = 6 if count[table] >= LONGEST else 3 if count[table] >= LONG else 1
        if (seen[table] - 1) % every and not item.get_closest_marker("every_row"):
            left.append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        gone = set(map(id, left))
        items[:] = [item for item in items if id(item) not in gone]


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
