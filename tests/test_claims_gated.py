"""What papers say of gated cells and oscillators, beyond the equation of a step."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import noisy_params

import jaxrnn

H = 4


def silent(cell, key, T, scale=0.3, **params):
    """The cell's params, noisy but for those given, and xs of T zeros."""
    return noisy_params(cell, key, 3, scale=scale) | params, jnp.zeros((T, 3), "float64")


@pytest.mark.full
def test_the_matrix_of_an_antisymmetric_rnn_neither_grows_nor_fades(key):
    """All its eigenvalues have the real part -gamma, whatever the weights are."""
    for factory in jaxrnn.antisymmetric_rnn, jaxrnn.gated_antisymmetric_rnn:
        cell = factory(H, gamma=0.2, param_dtype="float64")
        params = noisy_params(cell, key, 3, scale=2.0)
        recur = functools.partial(cell.stages[0].recur, params)
        matrix = jax.jacobian(lambda h, recur=recur: recur(jaxrnn.HiddenCarry(h)))(jnp.ones(H, "float64"))
        values = np.linalg.eigvals(np.asarray(matrix))
        np.testing.assert_allclose(values.real, -0.2, atol=1e-12)
        assert np.abs(values.imag).max() > 0.1


@pytest.mark.full
def test_a_bistable_cell_keeps_a_bit_for_ten_thousand_steps(key):
    """Units with a above 1 stay on the side of 0 where they were; those with a below 1 forget it."""
    for name, kernel in ("brc", "recurrent_weight"), ("nbrc", "recurrent_kernel"):
        cell = jaxrnn.CELLS[name](H, param_dtype="float64")
        params, xs = silent(cell, key, 10_000)
        start = jnp.asarray([0.1, -0.1, 0.1, -0.1])
        for b_a, held in (0.5, True), (-0.5, False):
            own = {kernel: 0 * params[kernel], "bias": jnp.concatenate([jnp.full(H, b_a), jnp.zeros(2 * H)])}
            end, _ = jaxrnn.unroll(cell, params | own, jaxrnn.HiddenCarry(start), xs)
            assert (end.h * np.sign(start) > 0.5).all() if held else (np.abs(end.h) < 1e-9).all()


@pytest.mark.full
def test_a_chaos_free_network_fades_without_input(key):
    """Whatever its weights, each unit goes to 0, and never away from it."""
    cell = jaxrnn.cfn(H, param_dtype="float64")
    params, xs = silent(cell, key, 2_000, scale=5.0)
    params = params | {"bias": params["bias"].at[2 * H :].set(0)}
    start = jaxrnn.HiddenCarry(jnp.asarray([2.0, -1.0, 0.5, -3.0]))
    _, ys = jaxrnn.unroll(cell, params, start, xs)
    sizes = np.abs(np.concatenate([start.h[None], ys]))
    assert (np.diff(sizes, axis=0) <= 0).all()
    assert sizes[-1].max() < 0.05


@pytest.mark.full
def test_the_error_of_the_first_lstm_is_constant(key, rng):
    """Where no gate sees h, the gradient of c after 1,000 steps by c before them is 1."""
    cell = jaxrnn.original_lstm(H, param_dtype="float64")
    params, _ = silent(cell, key, 1)
    params = params | {"recurrent_kernel": 0 * params["recurrent_kernel"]}
    xs = jnp.asarray(rng.standard_normal((1_000, 3)))

    def end(c):
        return jaxrnn.unroll(cell, params, jaxrnn.LSTMCarry(jnp.zeros(H), c), xs)[0].c

    np.testing.assert_array_equal(jax.jacobian(end)(jnp.ones(H)), np.eye(H))


@pytest.mark.full
def test_oscillators_keep_their_energy_for_ten_thousand_steps(key):
    """Without input the step is symplectic: an oscillator's energy stays within a tenth, of the order of dt."""
    cell = jaxrnn.unicornn(H, dt=0.1, alpha=0.5, param_dtype="float64")
    params, xs = silent(cell, key, 10_000)
    w, b = np.asarray(params["recurrent_weight"]), np.asarray(params["bias"])

    def energy(h, z):
        return 0.25 * h**2 + 0.5 * z**2 + np.log(np.cosh(w * h + b)) / w

    def step(carry, x):
        carry, _ = cell.step(params, carry, x)
        return carry, carry

    start = jaxrnn.UnICORNNCarry(jnp.asarray([1.0, -2.0, 0.5, 3.0]), jnp.asarray([0.5, 1.0, -1.0, 2.0]))
    _, (h, z) = jax.jit(functools.partial(jax.lax.scan, step))(start, xs)
    before, after = (energy(*map(np.asarray, state)) for state in (start, (h, z)))
    assert np.abs(after / before - 1).max() < 0.1
    assert np.ptp(np.asarray(h), axis=0).min() > 0.5
