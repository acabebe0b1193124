"""What the papers claim of structured cells, and what of them the table of values cannot show."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import assert_close, double, noisy_params, normal_like, tolerance

import jaxrnn
from jaxrnn import train

H, D = 6, 3


@pytest.mark.full
@pytest.mark.parametrize("name", ["orthogonal_rnn", "scaled_cayley", "unitary_rnn"])
def test_a_rotation_keeps_the_length_over_10_000_steps(name, key):
    """Without an input and a bias, modReLU is the identity, and a step is the rotation alone."""
    T = 10_000
    cell = jaxrnn.CELLS[name](H)
    params = noisy_params(cell, key, D, "float64") | {"bias": jnp.zeros(H, float)}
    start = normal_like(key, cell.initial_carry(params, (2,)))
    (h,), ys = jaxrnn.unroll(cell, params, start, jnp.zeros((T, 2, D)))
    lengths = np.linalg.norm(start.h, axis=-1)
    assert_close(np.linalg.norm(h, axis=-1), lengths, tolerance("float64", T))
    assert_close(np.linalg.norm(ys, axis=-1), np.broadcast_to(lengths, (T, 2)), tolerance("float64", T))


def test_what_a_unit_sends_has_one_sign(key):
    """Of the paper's rectified weights too, wherever an optimizer has moved them; and nothing comes back to itself."""
    cell = jaxrnn.dale_rnn(H, excitatory=0.5, dt=1.0, tau=1.0, activation="identity")
    params = noisy_params(cell, key, D, "float64", scale=3.0)
    params |= {"bias": jnp.zeros(H, float)}

    def sent(h):
        return cell.step(params, jaxrnn.HiddenCarry(h), jnp.zeros(D))[0].h

    J = np.asarray(jax.jacobian(sent)(jnp.zeros(H))).T  # from, to
    drawn = np.asarray(params["recurrent_kernel"]).reshape(-1)
    off = ~np.eye(H, dtype=bool)
    sign = np.repeat([1, -1], H // 2).reshape(H, 1)
    expected = np.zeros((H, H))
    expected[off] = np.maximum(drawn, 0)
    assert (drawn < 0).any()
    assert_close(J, sign * expected, tolerance("float64", 1))


@pytest.mark.parametrize(
    ("name", "slope"),
    [
        ("lif", lambda v: 1 / (1 + 25 * abs(v - 1)) ** 2),
        ("alif", lambda v: 0.3 * np.maximum(0, 1 - abs(v - 1))),
    ],
)
def test_a_spike_has_the_slope_of_its_surrogate(name, slope, key):
    """From a row at rest, whose thresholds are 1: the gradient by a bias is the slope times how v' follows it."""
    cell = jaxrnn.CELLS[name](H)
    params = noisy_params(cell, key, D, "float64")
    x = normal_like(key, jax.ShapeDtypeStruct((D,), float), 4.0)
    weights = np.random.default_rng(0).standard_normal(H)

    def loss(params):
        carry, y = cell.step(params, cell.initial_carry(params), x)
        return jnp.sum(weights * y), carry

    (_, carry), grads = jax.value_and_grad(loss, has_aux=True)(params)
    follows = 1 if name == "lif" else 1 - np.exp(-1 / 20)
    by_hand = weights * slope(np.asarray(carry.v)) * follows
    assert_close(grads["bias"], by_hand, tolerance("float64", 1))
    assert_close(grads["kernel"], np.outer(x, by_hand), tolerance("float64", 1))


@pytest.mark.full
def test_the_gradient_of_a_reset_is_that_of_a_constant(key):
    """Two steps of `lif`: v'' follows v' by beta, and no more, although a spike is taken away."""
    cell = jaxrnn.lif(H, beta=0.7)
    params = noisy_params(cell, key, D, "float64")
    params |= {"recurrent_kernel": jnp.zeros((H, H))}
    x = normal_like(key, jax.ShapeDtypeStruct((D,), float), 4.0)

    def potential(v):
        carry, y = cell.step(params, jaxrnn.LIFCarry(jnp.zeros(H), v), x)
        return cell.step(params, carry, x)[0].v, y

    slopes, y = jax.jacobian(potential, has_aux=True)(jnp.linspace(-2, 2, H))
    assert {0.0, 1.0} == set(np.asarray(y))
    assert_close(slopes, 0.49 * np.eye(H), tolerance("float64", 2))


def test_a_reservoir_forgets_its_start():
    """The echo state property: with a spectral radius below 1 two starts come together, at about its pace."""
    cell = jaxrnn.echo_state(60, spectral_radius=0.5, connectivity=0.2, dtype="float64")
    xs = jax.random.normal(jax.random.key(1), (60, 2, D), float)
    xs = jnp.concatenate([xs[:, :1]] * 2, 1)
    start = normal_like(jax.random.key(2), cell.initial_carry({}, (2,)))
    (h,), _ = jaxrnn.unroll(cell, {}, start, xs)
    assert np.abs(h[0] - h[1]).max() < 1e-12
    assert np.abs(h).max() > 0.1


@pytest.mark.parametrize("penalty", [0.0, 0.7])
@pytest.mark.parametrize("shape", [(7, 2), (3, 2)], ids=["many rows", "few rows"])
def test_ridge(penalty, shape, rng):
    """Beside NumPy's lstsq on rows for the penalty; few rows, and features that repeat one another, leave a choice."""
    features, targets = rng.standard_normal((*shape, H)), rng.standard_normal((*shape, 2))
    features[..., 1] = 2 * features[..., 0] + 3
    X, Y = (a.reshape(-1, a.shape[-1]) for a in (features, targets))
    rows = np.concatenate([X - X.mean(0), np.sqrt(penalty) * np.eye(H)])
    expected = np.linalg.lstsq(rows, np.concatenate([Y - Y.mean(0), np.zeros((H, 2))]), rcond=1e-12)[0]
    found = jax.jit(train.ridge)(jnp.asarray(features), jnp.asarray(targets), penalty)
    assert_close(found, {"kernel": expected, "bias": Y.mean(0) - X.mean(0) @ expected}, 100 * tolerance("float64", 1))


def test_ridge_in_float32_is_as_exact_as_its_features(rng):
    """A condition of 1e4: the normal equations, whose condition is its square, would have no digit left."""
    U, _, V = np.linalg.svd(rng.standard_normal((200, H)), full_matrices=False)
    features = U * np.geomspace(1, 1e-4, H) @ V
    features -= features.mean(0)
    truth = rng.standard_normal((H, 2))
    found = train.ridge(*(jnp.asarray(a, "float32") for a in (features, features @ truth)))
    assert_close(found["kernel"], truth, 1e4 * tolerance("float32", 1))


def test_ridge_names_what_does_not_fit(rng):
    with pytest.raises(ValueError, match=r"features, targets: expected \[..., H\] and \[..., O\]"):
        train.ridge(jnp.zeros((4, 3)), jnp.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"penalty: expected a number of at least 0, got -1"):
        train.ridge(jnp.zeros((4, 3)), jnp.zeros((4, 2)), -1)


@pytest.mark.full
def test_reading_out_a_reservoir_learns_a_sine(rng):
    """From x_t to x_{t+1} of a sine: a reservoir remembers its phase, so a readout that was solved for predicts it."""
    series = np.sin(0.3 * np.arange(400.0))[:, None]
    cell = jaxrnn.echo_state(30, leak=0.7, bias_scale=0.3, dtype="float64")
    _, states = jaxrnn.unroll(cell, {}, None, jnp.asarray(series[:-1]))
    readout = train.ridge(states[50:300], series[51:301], 1e-10)
    predicted = states[300:] @ readout["kernel"] + readout["bias"][None]
    assert_close(double(predicted), series[301:], 1e-4)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("conv_lstm", {"shape": (2, 2, 2, 2)}, "shape: expected a size for each of 1, 2 or 3 axes"),
        ("conv_gru", {"shape": (4, 4), "kernel_size": (3,)}, "kernel_size: expected a size for each of"),
        ("low_rank_rnn", {"dt": 2.0, "tau": 1.0}, "dt, tau: expected 0 < dt <= tau, got 2.0, 1.0"),
        ("dale_rnn", {"excitatory": 1.5}, "excitatory: expected a fraction from 0 to 1, got 1.5"),
        ("jordan", {"decay": 1.0}, "decay: expected a number of at least 0 and below 1, got 1.0"),
        ("scaled_cayley", {"negative": 7}, "negative: expected a number from 0 to H=6, got 7"),
        ("lif", {"reset": "soft"}, "reset: expected 'subtract' or 'zero', got 'soft'"),
        ("alif", {"tau": 0.0}, "tau, tau_adaptation, threshold: expected numbers above 0"),
        ("echo_state", {"connectivity": 0.0}, "spectral_radius, connectivity, leak: expected at least 0"),
        ("mogrifier_lstm", {"rounds": 0}, "rounds: expected an int of at least 1, got 0"),
        ("lipschitz_rnn", {"beta": 0.2}, "dt, beta, gamma: expected above 0, 0.5 to 1, at least 0"),
        (
            "statistical_recurrent_unit",
            {"scales": (0.5, 1.0)},
            "scales: expected one or more numbers from 0 to below 1",
        ),
    ],
)
def test_options_that_do_not_fit_are_named(name, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        jaxrnn.CELLS[name](H, **options)


@pytest.mark.parametrize("name", ["orthogonal_rnn", "rev_gru"])
def test_sizes_that_a_cell_cannot_have(name):
    with pytest.raises(ValueError, match="hidden_size: expected"):
        jaxrnn.CELLS[name](1)
