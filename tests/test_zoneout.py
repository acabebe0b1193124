"""Zoneout against loops over the reference's bare steps, with the masks that were drawn, or with none."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from observed import observed, run
from support import assert_close, double, leaves_close, problem, tolerance, variant

import jaxrnn

T, B = 6, 8
TOL = tolerance("float64", T)


def zoned_loop(name, params, carry, xs, mix):
    """Leaves [carry..., ys]: each field after a step of the bare cell is mix(t, field, old, new).

    The cells have one field, h, or h first and one more.
    """
    s, params, ys = tuple(double(carry)), double(params), []
    for t, x in enumerate(double(xs)):
        rows = [reference.STEPS[name](params, tuple(a[b] for a in s), x[b])[0] for b in range(B)]
        new = [np.stack(fields) for fields in zip(*rows, strict=True)]
        s = tuple(mix(t, k, old, fresh) for k, (old, fresh) in enumerate(zip(s, new, strict=True)))
        ys.append(s[0])
    return [*s, np.stack(ys)]


ZONED = [
    ("lstm", {"h": 0.3}),
    ("lstm", {"c": 0.4}),
    ("lstm", {"h": 0.2, "c": 0.5}),
    ("lem", {"h": 0.3, "c": 0.2}),
    ("gru", {"h": 0.4}),
    ("gru_reset_before", {"h": 0.3}),
]


@pytest.mark.parametrize(("name", "rates"), ZONED)
def test_zoneout_in_training(name, rates, key):
    """Krueger et al. 2017: h and c apart, all made of the whole old state; h' is of the c' not zoned out."""
    cell = jaxrnn.zoneout(variant(name), **rates)
    params, carry, xs = problem(cell, key, T, (B,), dtype="float64")
    actual, (call,) = observed(cell, params, carry, xs, key)
    assert_close(call.inputs, xs, 0.0)
    keeps = dict(zip(["hc".index(field) for field in rates], call.masks, strict=True))

    def mix(t, k, old, new):
        return keeps[k][t] * old + ~keeps[k][t] * new if k in keeps else new

    leaves_close(actual, zoned_loop(name, params, carry, xs, mix), TOL)


@pytest.mark.parametrize(("name", "rates"), ZONED)
def test_zoneout_at_evaluation(name, rates, key):
    """The expected value, p h_{t-1} + (1 - p) h'_t, as haste; over time and by step."""
    cell = jaxrnn.zoneout(variant(name), **rates)
    params, carry, xs = problem(cell, key, T, (B,), dtype="float64")

    def mix(t, k, old, new):
        p = rates.get("hc"[k], 0)
        return p * old + (1 - p) * new

    leaves_close(run(cell, params, carry, xs), zoned_loop(name, params, carry, xs, mix), TOL)
    leaves_close(cell.step(params, carry, xs[0])[0], zoned_loop(name, params, carry, xs[:1], mix)[:-1], TOL)


def test_zoneout_around_a_stack(key):
    """It is around each layer, with masks of its own, and the next layer sees the state zoned out."""
    cell = jaxrnn.zoneout(jaxrnn.stack(variant("gru"), variant("gru")), h=0.4)
    params, carry, xs = problem(cell, key, T, (B,), dtype="float64")
    (after, ys), calls = observed(cell, params, carry, xs, key)
    masks = [call.masks[0] for call in calls]
    assert len(masks) == 2 and (masks[0] != masks[1]).any()
    for layer, keep in zip(("layer_0", "layer_1"), masks, strict=True):

        def mix(t, k, old, new, keep=keep):
            return np.where(keep[t], old, new)

        *state, xs = zoned_loop("gru", params[layer], carry[layer], xs, mix)
        leaves_close(after[layer], state, 2 * TOL)
    assert_close(ys, xs, 2 * TOL)
