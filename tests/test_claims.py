"""What papers say of their cells, beyond the equation of a step."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import assert_close, double, noisy_params, tolerance

import jaxrnn


def layer(name, key, rng, T=12, D=3, dtype="float64", scale=0.3, **options):
    """A cell, noisy params, and xs [T, D]."""
    cell = jaxrnn.CELLS[name](**{"hidden_size": 4, "param_dtype": dtype, **options})
    return cell, noisy_params(cell, key, D, scale=scale), jnp.asarray(rng.standard_normal((T, D)), dtype)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


LONG = {
    "min_gru": {"log_space": True},
    "min_lstm": {"log_space": True},
    "lru": {},
    "s5": {},
    "s4d": {},
    "rtu": {},
    "hgrn": {},
    "retention": {},
    "slstm": {},
    "mlstm": {},
    "rwkv": {},
}


@pytest.mark.full
@pytest.mark.parametrize("name", LONG)
def test_float32_for_ten_thousand_steps(name, key, rng):
    """Complex states, and those that are held in logarithms, drift from float64 by no more than rounding a step."""
    T = 10_000
    cell, params, xs = layer(name, key, rng, T, dtype="float32", scale=0.1, **LONG[name])
    exact, params64, xs64 = (
        jaxrnn.CELLS[name](**cell.options | {"param_dtype": "float64"}),
        *jax.tree.map(lambda a: a.astype("float64"), (params, xs)),
    )
    ys, expected = jaxrnn.unroll(cell, params, None, xs)[1], jaxrnn.unroll(exact, params64, None, xs64)[1]
    assert ys.dtype == jnp.float32
    assert_close(ys, expected, tolerance("float32", T))


@pytest.mark.parametrize("name", ["lru", "s5", "s4d", "rtu"])
@pytest.mark.full
def test_no_parameters_leave_the_unit_circle(name, key, rng):
    cell, params, xs = layer(name, key, rng, scale=3.0)
    a, _ = cell.element(params, cell.drive(params, 10 * xs))
    assert float(jnp.abs(a.h).max()) < 1


@pytest.mark.full
def test_a_ring_of_eigenvalues(key):
    """LRU: uniform in area, so a quarter are within half of the radius; gamma makes the state as large as its input."""
    cell = jaxrnn.lru(4, state_size=20_000, param_dtype="float64")
    params = cell.init(key, 1)
    radius = np.exp(-np.exp(np.asarray(params["nu_log"])))
    for share in (0.25, 0.5, 0.75):
        assert abs((radius**2 < share).mean() - share) < 4 * np.sqrt(0.25 / 20_000)
    np.testing.assert_allclose(np.exp(params["gamma_log"]), np.sqrt(1 - radius**2), rtol=1e-9)


@pytest.mark.full
def test_s5_starts_as_hippo(key):
    """The eigenvalues of the whole HiPPO-LegS matrix plus its rank one part, in pairs."""
    N = 6
    frequencies = np.asarray(jaxrnn.s5(5, state_size=N, param_dtype="float64").init(key, 3)["frequency"])
    n = np.arange(2 * N)
    legs = -np.tril(np.sqrt(np.outer(2 * n + 1, 2 * n + 1)), -1) - np.diag(n + 1.0)
    found = np.linalg.eigvals(legs + np.outer(*[np.sqrt(n + 0.5)] * 2))
    np.testing.assert_allclose(found.real, -0.5, atol=1e-10)
    np.testing.assert_allclose(np.sort(found.imag[found.imag > 0]), np.sort(frequencies), rtol=1e-9)


@pytest.mark.parametrize(("window", "pooling"), [(2, "fo"), (4, "ifo")])
@pytest.mark.full
def test_qrnn_is_a_convolution_and_a_pooling(window, pooling, key, rng):
    cell, params, xs = layer("qrnn", key, rng, window=window, pooling=pooling)
    p, x = double((params, xs))
    padded = np.concatenate([np.zeros((window - 1, 3)), x])
    W = np.split(p["kernel"], window, axis=1)
    z = sum(padded[window - 1 - lag : len(padded) - lag] @ W[lag] for lag in range(window)) + p["bias"]
    z = dict(zip({"fo": "nfo", "ifo": "nifo"}[pooling], np.split(z, len(pooling) + 1, axis=1), strict=True))
    c, ys = np.zeros(4), []
    for t in range(len(x)):
        f = sigmoid(z["f"][t])
        c = f * c + (sigmoid(z["i"][t]) if pooling == "ifo" else 1 - f) * np.tanh(z["n"][t])
        ys.append(sigmoid(z["o"][t]) * c)
    assert_close(jaxrnn.unroll(cell, params, None, xs)[1], np.array(ys), tolerance("float64", len(x)))


def test_retention_is_its_parallel_form(key, rng):
    """(Q Kᵀ times decay) V with queries and keys turned by their positions."""
    cell, params, xs = layer("retention", key, rng, hidden_size=8, heads=2)
    q, k, v = np.split(double(xs) @ double(params)["kernel"], 3, axis=1)
    t, ys = np.arange(len(xs)), []
    for head in range(2):
        at = slice(4 * head, 4 * head + 4)
        turn = np.exp(1j * t[:, None] * 10000.0 ** (-np.arange(2) / 2))
        turned = [(a[:, at][:, :2] + 1j * a[:, at][:, 2:]) * turn for a in (q, k)]
        decay = np.where(t[:, None] >= t, (1 - 2.0 ** (-5 - head)) ** (t[:, None] - t), 0)
        ys.append((decay * (turned[0] @ turned[1].conj().T).real) @ v[:, at])
    assert_close(jaxrnn.unroll(cell, params, None, xs)[1], np.concatenate(ys, 1), tolerance("float64", len(xs)))


def test_rwkv_is_a_mean_with_exponential_weights(key, rng):
    """Equation 16, all steps before at once; each input is mixed with the one before."""
    cell, params, xs = layer("rwkv", key, rng)
    p, x = double((params, xs))
    before = np.concatenate([np.zeros((1, 3)), x[:-1]])
    r, k, v = ((m * x + (1 - m) * before) @ W for m, W in zip(p["mix"], np.split(p["kernel"], 3, axis=1), strict=True))
    ys = []
    for t in range(len(x)):
        age = t - 1 - np.arange(t)[:, None]
        weights = np.exp(np.concatenate([-age * np.exp(p["decay"]) + k[:t], [p["bonus"] + k[t]]]))
        ys.append(sigmoid(r[t]) * (weights * v[: t + 1]).sum(0) / weights.sum(0))
    assert_close(jaxrnn.unroll(cell, params, None, xs)[1], np.array(ys), tolerance("float64", len(x)))


@pytest.mark.parametrize("name", ["slstm", "mlstm", "rwkv"])
@pytest.mark.full
def test_exponential_gates_do_not_overflow(name, key, rng):
    """Exponents of some thousands, in float32, where e^89 is too large: outputs and gradients are finite."""
    cell, params, xs = layer(name, key, rng, T=50, dtype="float32")

    def loss(params, xs):
        return jnp.sum(jaxrnn.unroll(cell, params, None, xs)[1])

    for size in (2000.0, -2000.0):
        value, grads = jax.value_and_grad(loss, argnums=(0, 1))(params, size * jnp.abs(xs))
        assert all(np.isfinite(a).all() for a in jax.tree.leaves((value, grads)))


def test_delta_rule_replaces_what_a_key_recalls(key, rng):
    """What a memory answers to its last key: what it held, moved by β towards the last value."""
    cell, params, xs = layer("delta_net", key, rng)
    H = 4
    kernel = params["kernel"].at[:, :H].set(params["kernel"][:, H : 2 * H])  # queries are keys
    bare = {"kernel": kernel.at[:, 3 * H :].set(0)}
    step = jax.jit(cell.step)
    carry, _ = step(bare, cell.initial_carry(bare), xs[0])
    before = step(bare, carry, xs[1])[1]
    q = jax.nn.silu(xs[1] @ kernel[:, :H])
    held = (q / jnp.linalg.norm(q)) @ carry.S[0]
    assert_close(before, 0.5 * (held + xs[1] @ kernel[:, 2 * H : 3 * H]), tolerance("float64", 2))  # β = 1/2


@pytest.mark.full
def test_bounds_of_an_hgrn_stack(key, rng):
    """gamma of each layer by the paper's cumulative softmax, given to cells one by one."""
    cell = jaxrnn.hgrn_stack(3, 4, param_dtype="float64")
    params, xs = noisy_params(cell, key, 3), jnp.asarray(rng.standard_normal((6, 2, 3)))
    P = np.exp(params["bounds"]) / np.exp(params["bounds"]).sum(0)
    y = xs
    for i, bound in enumerate(np.array([np.zeros(2), P[1], P[1] + P[2]])):
        one = jaxrnn.hgrn(4, lower_bound=None, param_dtype="float64")
        own = {**params["layers"][f"layer_{i}"], "lower_bound": jnp.asarray(bound)}
        y = jaxrnn.unroll(one, own, None, y)[1]
    ys, slope = jax.jit(jax.value_and_grad(lambda p: jnp.sum(jaxrnn.unroll(cell, p, None, xs)[1] ** 2)))(params)
    assert_close(ys, jnp.sum(y**2), tolerance("float64", 6))
    assert (np.asarray(slope["bounds"]) != 0).all()
