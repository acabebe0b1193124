"""Diagnostics against closed forms, the NumPy loops of reference/ with finite differences, and published numbers."""

from __future__ import annotations

import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from support import CORE, assert_close, double, loop, problem, tolerance, variant, weighed

import jaxrnn
from jaxrnn import diagnostics

EPS = float(np.finfo(np.float64).eps)
# A central difference over h = eps^(1/3) is off by h² f'''/6, and by the rounding of f, over h: some eps^(2/3) each.
DIFFERENCE = 50 * EPS ** (2 / 3)


def differences(f, at):
    """The Jacobian of f (vector to vector) at a vector, by central differences: [out, in]."""
    h = EPS ** (1 / 3)
    columns = [(f(at + h * e) - f(at - h * e)) / (2 * h) for e in np.eye(len(at))]
    return np.stack(columns, -1)


def linear_cell(U, bias, kernel=None):
    """An Elman cell without its nonlinearity, float64: h' = x kernel + h U + bias; kernel None: one input, ignored."""
    H = len(U)
    kernel = np.zeros((1, H)) if kernel is None else kernel
    params = {"kernel": kernel, "recurrent_kernel": U, "bias": bias}
    cell = jaxrnn.elman(H, activation=lambda z: z, param_dtype="float64")
    return cell, jax.tree.map(jnp.asarray, params)


# Gradients


def chain(steps, params, xs, e):
    """Layers over time, one row, with e[layer][t] added to that layer's carry at t, as one vector: ys, end carries."""
    carry = dict.fromkeys(steps)
    ys = []
    for t, y in enumerate(xs):
        for name, (step, start) in steps.items():
            new, _ = step(params[name], start if carry[name] is None else carry[name], y)
            sizes = np.cumsum([len(a) for a in new])[:-1]
            carry[name] = tuple(np.split(np.concatenate(new) + e[name][t], sizes))
            y = carry[name][0]
        ys.append(y)
    return np.stack(ys), carry


def check_gradients(norms, fields, steps, params, xs, weight, lengths):
    """The norms [T, B] of each layer and field, and those of finite differences of a weighted sum of ys²."""
    T, B = xs.shape[:2]
    sizes = {name: sum(len(a) for a in start) for name, (_, start) in steps.items()}
    for b in range(B):
        n = lengths[b]

        def loss(flat, b=b, n=n):
            parts = np.split(flat, np.cumsum([n * size for size in sizes.values()])[:-1])
            e = {name: a.reshape(n, -1) for (name, a) in zip(sizes, parts, strict=True)}
            ys, _ = chain(steps, params, xs[:n, b], e)
            return np.array([(weight[:n, b] * ys**2).sum()])

        gradient = differences(loss, np.zeros(n * sum(sizes.values())))[0]
        parts = np.split(gradient, np.cumsum([n * size for size in sizes.values()])[:-1])
        for name, part in zip(sizes, parts, strict=True):
            of_steps = np.zeros((T, sizes[name]))
            of_steps[:n] = part.reshape(n, -1)
            ours = norms[name] if len(steps) > 1 else norms
            assert set(ours) == {*fields[name], "carry"}
            cuts = np.split(of_steps, len(fields[name]), -1)
            expected = {k: np.linalg.norm(a, axis=-1) for k, a in zip(fields[name], cuts, strict=True)}
            expected["carry"] = np.linalg.norm(of_steps, axis=-1)
            assert_close({k: v[:, b] for k, v in ours.items()}, expected, DIFFERENCE)


FIELDS = {"elman": "h", "gru": "h", "lstm": "hc"}


@pytest.mark.parametrize("name", ["elman", "gru", "lstm"])
@pytest.mark.parametrize("form", ["parts", "plain"])
def test_gradient_norms_are_finite_differences(name, form, key):
    """Of a loss of all outputs, with ragged rows: by field and as a whole."""
    cell = variant(name, param_dtype="float64")
    params, _, xs = problem(cell, key, T=5, batch=(2,), dtype="float64")
    if form == "plain":
        cell = jaxrnn.Cell(cell.init, cell.start, cell.input, plain_step=cell.step)
    weight, lengths = np.asarray(jax.random.normal(key, (5, 2, 5))), np.array([5, 3])

    @jax.jit
    def norms(params, xs):
        return diagnostics.gradient_norms(
            cell, params, None, xs, lambda carry, ys: (weight * ys**2).sum(), lengths=jnp.asarray(lengths)
        )

    steps = {"": (loop(name), tuple(np.zeros(5) for _ in FIELDS[name]))}
    check_gradients(norms(params, xs), {"": FIELDS[name]}, steps, {"": double(params)}, double(xs), weight, lengths)


def test_gradient_norms_of_a_stack_are_by_layer(key):
    cell = jaxrnn.stack(variant("lstm", param_dtype="float64"), variant("elman", param_dtype="float64"))
    params, _, xs = problem(cell, key, T=4, batch=(1,), dtype="float64")
    weight = np.asarray(jax.random.normal(key, (4, 1, 5)))

    @jax.jit
    def norms(params, xs):
        return diagnostics.gradient_norms(cell, params, None, xs, lambda carry, ys: (weight * ys**2).sum())

    zero = np.zeros(5)
    steps = {"layer_0": (loop("lstm"), (zero, zero)), "layer_1": (loop("elman"), (zero,))}
    fields = {"layer_0": "hc", "layer_1": "h"}
    check_gradients(norms(params, xs), fields, steps, double(params), double(xs), weight, [4])


def test_gradient_norms_of_both_directions_stand_at_their_inputs():
    """Linear cells of one unit and a loss of y_2 of 6: forward's reach back, backward's forth, each by its U."""
    cell, params = linear_cell(np.array([[0.5]]), np.array([0.1]))
    _, others = linear_cell(np.array([[0.25]]), np.array([0.3]))
    both = jaxrnn.stack(jaxrnn.bidirectional(cell, cell))
    params = {"layer_0": {"forward": params, "backward": others}}
    norms = diagnostics.gradient_norms(both, params, None, jnp.ones((6, 1)), lambda carry, ys: ys[2].sum())
    expected = {
        "layer_0.forward": np.array([0.25, 0.5, 1, 0, 0, 0]),
        "layer_0.backward": np.array([0, 0, 1, 0.25, 0.25**2, 0.25**3]),
    }
    assert_close(norms, {k: {"h": v, "carry": v} for k, v in expected.items()}, tolerance("float64", 6))


def test_gradient_norms_reach_the_carry_that_is_handed_on():
    """A loss of the last carry alone; numbers whose squares float32 does not hold are not lost."""
    cell = jaxrnn.elman(1, activation=lambda z: z)
    params = {"kernel": jnp.ones((1, 1)), "recurrent_kernel": jnp.full((1, 1), 1e-3), "bias": jnp.ones(1)}
    params = jax.tree.map(lambda a: a.astype("float32"), params)
    xs = jnp.ones((11, 1), "float32")
    norms = diagnostics.gradient_norms(cell, params, None, xs, lambda carry, ys: 3 * carry.h.sum())
    expected = 3 * np.float64(np.float32(1e-3)) ** np.arange(10, -1, -1)
    np.testing.assert_allclose(norms["h"], expected, rtol=tolerance("float32", 11))


def test_gradient_norms_take_one_backward_pass(key):
    """The program for 40 steps is as long as that for 4."""
    cell = variant("gru")
    params, _, xs = problem(cell, key, T=40)

    def equations(xs):
        norms = jax.make_jaxpr(lambda xs: diagnostics.gradient_norms(cell, params, None, xs, lambda c, ys: ys.sum()))
        return str(norms(xs)).count(" = ")

    assert equations(xs) == equations(xs[:4])


# Jacobians


def flat(carry):
    return np.concatenate([np.ravel(a) for a in jax.tree.leaves(carry)])


def unflat(v, like):
    leaves, tree = jax.tree.flatten(like)
    cuts = np.cumsum([a.size for a in leaves])[:-1]
    return jax.tree.unflatten(tree, np.split(v, cuts))


def test_jacobians_of_elman_are_the_formula(key):
    """d h'_i / d h_j = (1 - h'_i²) U_ji."""
    cell = variant("elman", param_dtype="float64")
    params, carry, xs = problem(cell, key, T=5, batch=(2, 1), dtype="float64")
    found = diagnostics.jacobians(cell, params, carry, xs)
    U = np.asarray(params["recurrent_kernel"])
    _, hs = reference.run(loop("elman"), double(params), (np.zeros(5),), tuple(double(carry)), double(xs))
    assert_close(found, (1 - hs**2)[..., None] * U.T, tolerance("float64", 5))


@pytest.mark.parametrize("name", ["lstm", "gru", "cornn"])
def test_jacobians_are_finite_differences(name, key):
    cell = variant(name, param_dtype="float64")
    params, carry, xs = problem(cell, key, T=3, batch=(2,), dtype="float64")
    check_jacobians(diagnostics.jacobians(cell, params, carry, xs), loop(name), params, carry, xs)


def test_jacobians_of_a_stack_are_of_all_of_its_carry(key):
    """Layer after layer, and the lower one's carry moves the upper one's within the step."""
    cell = jaxrnn.stack(variant("lstm", param_dtype="float64"), variant("elman", param_dtype="float64"))
    params, carry, xs = problem(cell, key, T=3, batch=(1,), dtype="float64")
    found = diagnostics.jacobians(cell, params, carry, xs)
    assert found.shape == (3, 1, 15, 15)
    check_jacobians(found, reference.stack(loop("lstm"), loop("elman")), params, carry, xs)


def test_jacobians_where_rows_end_pause_and_restart(key, rng):
    """The carry is held where there is no step, whatever x is there; it restarts before one, also before one not taken.

    By steps of NumPy that are told so one by one, and central differences.
    """
    T, B = 7, 3
    cell = variant("gru", param_dtype="float64")
    params, carry, xs = problem(cell, key, T=T, batch=(B,), dtype="float64")
    lengths, mask, reset = np.array([T, 4, 0]), rng.random((T, B)) < 0.7, rng.random((T, B)) < 0.3
    mask &= np.arange(T)[:, None] < lengths
    broken = jnp.where(mask[..., None], xs, np.nan)

    def ours(**rows):
        return jax.jit(lambda xs: diagnostics.jacobians(cell, params, carry, xs, **rows))

    found = ours(lengths=lengths, mask=mask, reset=reset)(broken)
    p, step = double(params), loop("gru")
    kinds = set()
    for b in range(B):
        h = np.asarray(carry.h[b])
        for t in range(T):
            restart = reset[t, b] and t < lengths[b]
            kinds.add((bool(restart), bool(mask[t, b])))

            def one(h, t=t, b=b, restart=restart):
                h = np.zeros(5) if restart else h
                return step(p, (h,), np.asarray(xs[t, b]))[0][0] if mask[t, b] else h

            assert_close(found[t, b], differences(one, h), DIFFERENCE)
            h = one(h)
    assert kinds == {(a, b) for a in (False, True) for b in (False, True)}, "not every kind of step came"
    slope = jax.grad(lambda p: weighed(diagnostics.jacobians(cell, p, carry, broken, lengths=lengths, mask=mask)))(
        params
    )
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(slope)), "what stands past an end is in a gradient"
    there = np.arange(T)[:, None] < lengths
    assert_close(ours(lengths=lengths)(xs), ours(mask=there)(xs), tolerance("float64", T))
    full = np.ones((T, B), bool)
    assert_close(ours(reset=reset)(xs), ours(reset=reset, mask=full)(xs), tolerance("float64", T))


def check_jacobians(found, step, params, carry, xs):
    params, xs, carry = double(params), double(xs), double(carry)
    for b in range(xs.shape[1]):
        row = jax.tree.map(lambda a, b=b: a[b], carry)
        row = {k: tuple(v) for k, v in row.items()} if isinstance(row, dict) else tuple(row)
        for t, x in enumerate(xs[:, b]):
            expected = differences(lambda v, x=x, row=row: flat(step(params, unflat(v, row), x)[0]), flat(row))
            assert_close(found[t, b], expected, DIFFERENCE)
            row = step(params, row, x)[0]


def test_spectrum_is_that_of_known_matrices():
    """A triangular 2x2 by its formulas, a rotation times 3."""
    a, b, d, turn = 0.5, 2.0, -0.8, np.pi / 5
    rotation = 3 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    found = diagnostics.spectrum(np.stack([np.array([[a, b], [0, d]]), rotation]))
    trace, det = a**2 + b**2 + d**2, (a * d) ** 2  # of AᵀA
    largest = np.sqrt((trace + np.sqrt(trace**2 - 4 * det)) / 2)
    smallest = abs(a * d) / largest
    assert_close(found.singular_values, np.array([[largest, smallest], [3, 3]]), tolerance("float64", 2))
    assert_close(found.norms, np.array([largest, 3]), tolerance("float64", 2))
    np.testing.assert_allclose(found.eigenvalues[0], [d, a], atol=tolerance("float64", 2))
    pair = sorted(found.eigenvalues[1], key=lambda z: z.imag)
    np.testing.assert_allclose(pair, 3 * np.exp([-1j * turn, 1j * turn]), atol=tolerance("float64", 4))


def test_jacobian_norms_are_those_of_the_products(rng):
    matrices = rng.standard_normal((5, 2, 3, 3))
    found = diagnostics.jacobian_norms(jnp.asarray(matrices))
    expected = np.zeros((5, 5, 2))
    for s, t, b in itertools.product(range(5), range(5), range(2)):
        if s <= t:
            factors = [np.eye(3), *matrices[s + 1 : t + 1, b][::-1]]
            expected[s, t, b] = np.linalg.norm(np.linalg.multi_dot([*factors, np.eye(3)]), 2)
    assert_close(found, expected, tolerance("float64", 5))


# Lyapunov exponents


def test_lyapunov_exponents_of_a_linear_map_are_the_logarithms_of_its_eigenvalues(rng):
    """Of one that is not normal; each row of a batch has them."""
    values = np.array([0.95, -0.7, 0.5, 0.3])
    basis = rng.standard_normal((4, 4)) + 2 * np.eye(4)
    cell, params = linear_cell(basis @ np.diag(values) @ np.linalg.inv(basis), rng.standard_normal(4))
    found = diagnostics.lyapunov_exponents(cell, params, None, jnp.zeros((300, 2, 1)), warm_up=200)
    expected = np.log(np.abs(values))  # after 200 steps Q is off by (0.7 / 0.95)^200, below eps
    tol = tolerance("float64", 4) * np.linalg.cond(basis)
    assert_close(found.exponents, np.stack([expected] * 2), tol)
    assert_close(found.course, np.broadcast_to(expected, (100, 2, 4)), tol)


def henon():
    """The Hénon map as a cell: h = (p, q) -> (1 - 1.4 p² + q, 0.3 p); x is ignored."""

    def step(params, h, x):
        p, q = h[..., 0], h[..., 1]
        h = jnp.stack([1 - 1.4 * p**2 + q, 0.3 * p], -1)
        return h, h

    return jaxrnn.Cell(lambda key, size: (), lambda params: jnp.zeros(2, "float64"), plain_step=step)


def test_lyapunov_exponents_of_the_henon_map():
    """0.4192 and -1.6232 (Sprott 2003, "Chaos and time-series analysis"); their sum is log 0.3, for det J = -0.3.

    Their mean wanders by about sqrt(2 sigma / T), a thousandth or two here: five of it allowed.
    """
    found = diagnostics.lyapunov_exponents(henon(), (), jnp.full(2, 0.1), jnp.zeros((50_000, 1)), warm_up=100)
    np.testing.assert_allclose(found.exponents.sum(), np.log(0.3), rtol=tolerance("float64", 2) * np.sqrt(50_000))
    np.testing.assert_allclose(found.exponents, [0.4192, -1.6232], atol=0.01)


def test_what_cannot_be_stepped_is_refused(key):
    cell = jaxrnn.bidirectional(variant("gru"), variant("gru"))
    params, _, xs = problem(cell, key, T=3)
    with pytest.raises(TypeError, match="needs the whole sequence"):
        diagnostics.jacobians(cell, params, None, xs)
    with pytest.raises(ValueError, match="warm_up: expected 0 or more and fewer than T=3, got 3"):
        diagnostics.lyapunov_exponents(cell, params, None, xs, warm_up=3)


# Fixed points


@pytest.mark.parametrize("largest", [0.9, 1.5, -1.5])
def test_fixed_point_of_a_linear_map_is_the_solution(largest, rng):
    """h = b + x W + h U: h (I - U) = b + x W, stable by U's eigenvalues alone; every start goes there."""
    basis, values = rng.standard_normal((3, 3)) + 2 * np.eye(3), np.array([largest, -0.6, 0.2])
    U, W, b = basis @ np.diag(values) @ np.linalg.inv(basis), rng.standard_normal((2, 3)), rng.standard_normal(3)
    cell, params = linear_cell(U, b, W)
    x, starts = rng.standard_normal(2), jaxrnn.ElmanCarry(jnp.asarray(rng.standard_normal((8, 3))))
    found = diagnostics.fixed_points(cell, params, starts, jnp.asarray(x))
    tol = tolerance("float64", 3) * np.linalg.cond(np.eye(3) - U) * np.linalg.cond(basis)
    assert_close(found.points, np.linalg.solve((np.eye(3) - U).T, b + x @ W)[None], tol)
    assert_close(found.carry.h, found.points, 0.0)
    np.testing.assert_allclose(found.eigenvalues, [values], atol=tol)
    assert (found.unstable, found.stable, found.reached) == ([abs(largest) > 1], [abs(largest) < 1], [8])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fixed_points_of_two_units_apart_are_all_found(dtype, rng):
    """h = tanh(w h) has 0 and ±r: nine points, four stable, four saddles, one that repels both ways."""
    w = np.array([2.0, 3.0])
    cell = jaxrnn.elman(2, param_dtype=dtype)
    params = {"kernel": np.zeros((1, 2)), "recurrent_kernel": np.diag(w), "bias": np.zeros(2)}
    params = jax.tree.map(lambda a: jnp.asarray(a, dtype), params)
    starts = jaxrnn.ElmanCarry(jnp.asarray(rng.uniform(-1.2, 1.2, (200, 2)), dtype))
    found = diagnostics.fixed_points(cell, params, starts)

    r = np.ones(2)
    for _ in range(200):
        r = np.tanh(w * r)
    expected = np.array([(s * r[0], u * r[1]) for s in (-1, 0, 1) for u in (-1, 0, 1)])
    order = np.lexsort(np.round(found.points, 3).T[::-1])
    assert_close(found.points[order], expected, tolerance(dtype, 10))
    slopes = np.sort(w * (1 - expected**2), -1)[:, ::-1]
    assert_close(np.real(found.eigenvalues[order]), slopes, tolerance(dtype, 40))
    assert found.unstable[order].tolist() == (slopes > 1).sum(-1).tolist()
    assert sorted(found.unstable.tolist()) == [0, 0, 0, 0, 1, 1, 1, 1, 2]
    assert found.reached.sum() == 200


def test_fixed_points_of_a_gru_stand_still_in_the_reference(key):
    """Under an input that is not 0: the reference's step does not move them, and its differences are their Jacobian."""
    cell = variant("gru", param_dtype="float64")
    params, starts, xs = problem(cell, key, T=1, batch=(20,), dtype="float64")
    found = diagnostics.fixed_points(cell, params, starts, xs[0, 0])
    assert len(found.points) >= 1
    for point, values in zip(found.points, found.eigenvalues, strict=True):

        def step(h):
            return loop("gru")(double(params), (h,), double(xs[0, 0]))[1]

        assert_close(step(point), point, 1e-5)
        modulus = np.abs(np.linalg.eigvals(differences(step, point)))
        np.testing.assert_allclose(np.abs(values), np.sort(modulus)[::-1], atol=1e3 * DIFFERENCE)


def test_where_nothing_stands_still_nothing_is_found_unless_asked():
    """h' = h + 0.1 moves everywhere, by 0.1 in each of two units."""
    cell, params = linear_cell(np.eye(2), np.full(2, 0.1))
    starts = jaxrnn.ElmanCarry(jnp.asarray([[0.0, 1.0], [2.0, 3.0]]))
    assert diagnostics.fixed_points(cell, params, starts).points.shape == (0, 2)
    slow = diagnostics.fixed_points(cell, params, starts, speed=0.2)
    np.testing.assert_allclose(slow.speeds, [np.sqrt(0.02)] * 2, rtol=tolerance("float64", 2))
    with pytest.raises(ValueError, match="x: expected an input"):
        diagnostics.fixed_points(henon(), (), jnp.zeros((3, 2)))


# Memory


def test_memory_of_a_delay_line_is_its_length(rng):
    """Ten units that hand one another what the first has read: x_t to x_{t-9}, all of it, and no more."""
    N, T = 10, 4000
    turn = np.linalg.qr(rng.standard_normal((N, N)))[0]  # in other coordinates, so that no unit holds one input alone
    U, W = turn.T @ np.eye(N, k=1) @ turn, np.eye(1, N) @ turn
    cell, params = linear_cell(U, rng.standard_normal(N), W)
    xs = jnp.asarray(rng.uniform(-1, 1, (T, 1, 1)))
    found = diagnostics.memory_curve(cell, params, None, xs, delays=20)
    np.testing.assert_allclose(found.scores[:N, 0], 1, atol=1e-8)  # the ridge of 1e-9 takes as much, at most
    assert (found.scores[N:] < 25 / (T / 2)).all()  # the square of a correlation by chance: five standard errors
    np.testing.assert_allclose(found.capacity, N, atol=11 * 25 / (T / 2))


def test_memory_of_one_leaky_unit_is_the_formula(rng):
    """h' = a h + x: R²_k = (1 - a²) a^2k, which sum to 1. Two channels into two units: each by its own a."""
    a, T, rows = np.array([0.9, 0.5]), 5000, 4
    cell, params = linear_cell(np.diag(a), np.array([0.3, -0.2]), np.eye(2))
    xs = jnp.asarray(rng.uniform(-1, 1, (T, rows, 2)))
    found = diagnostics.memory_curve(cell, params, None, xs, delays=40)
    expected = (1 - a**2) * a ** (2 * np.arange(41)[:, None])
    # A correlation from n samples is off by 1 / sqrt(n); the states' own, by their time of 1 / (1 - a²) steps, more.
    tol = 5 * 2 / np.sqrt(rows * T / 2 * (1 - a.max() ** 2))
    np.testing.assert_allclose(found.scores, expected, atol=tol)
    with pytest.raises(ValueError, match="xs: expected T of at least"):
        diagnostics.memory_curve(cell, params, None, xs[:50], delays=60)


# Gates


def gates_of(name, params, carry, x):
    """The gates of a step, from the formulas of the papers, in NumPy: {letter: [H]}."""
    h = carry[0]
    tanh, sigmoid = np.tanh, reference.sigmoid
    if name == "elman":
        return {"h": tanh(x @ params["kernel"] + h @ params["recurrent_kernel"] + params["bias"])}
    if name == "indrnn":
        return {"h": np.maximum(x @ params["kernel"] + h * params["recurrent_weight"] + params["bias"], 0)}
    if name == "cornn":
        force = np.concatenate(carry) @ params["recurrent_kernel"] + x @ params["kernel"] + params["bias"]
        return {"z": tanh(force)}
    if name == "recurrent_highway":
        found, s = {}, h
        for k, (R, b) in enumerate(zip(params["recurrent_kernel"], params["bias"], strict=True)):
            z = s @ R + b + (x @ params["kernel"] if k == 0 else 0)
            t, n = np.split(z, 2)
            found |= {f"t_{k}": sigmoid(t), f"n_{k}": tanh(n)}
            s = sigmoid(t) * tanh(n) + (1 - sigmoid(t)) * s
        return found
    names = GATES[name]
    W, U, b = (reference.columns(params[k], names) for k in ("kernel", "recurrent_kernel", "bias"))
    drive = {k: x @ W[k] + b[k] for k in names}
    if name == "multiplicative_lstm":
        m = drive["m"] * (h @ U["m"])
        found = {k: (tanh if k == "g" else sigmoid)(drive[k] + m @ U[k]) for k in "ifgo"}
        return {"m": m} | found
    if name == "gru":
        d = reference.columns(params["recurrent_bias"], names)
        r, z = (sigmoid(drive[k] + h @ U[k] + d[k]) for k in "rz")
        return {"r": r, "z": z, "n": tanh(drive["n"] + r * (h @ U["n"] + d["n"]))}
    if name == "mgu_reset_after":
        f = sigmoid(drive["f"] + h @ U["f"])
        return {"f": f, "n": tanh(drive["n"] + f * (h @ U["n"] + params["recurrent_bias"]))}
    found = {k: sigmoid(drive[k] + h @ U[k]) for k in names}  # those of candidates are replaced below
    if name == "lstm":
        return found | {"g": tanh(drive["g"] + h @ U["g"])}
    if name == "lem":
        z = tanh(drive["z"] + h @ U["z"])
        new = (1 - found["d"]) * carry[1] + found["d"] * z
        return {"d": found["d"], "e": found["e"], "z": z, "h": tanh(drive["h"] + new @ U["h"])}
    reset = {"gru_reset_before": found.get("r"), "mgu": found.get("f"), "gated": 1.0}[name]
    return found | {"n": tanh(drive["n"] + (reset * h) @ U["n"])}


# Of the cells whose formulas are written out in `gates_of`.
GATES = {"elman": "h", "gated": "gn", "lstm": "ifgo", "gru": "rzn", "gru_reset_before": "rzn", "mgu": "fn",
         "mgu_reset_after": "fn",
         "multiplicative_lstm": "mifgo", "recurrent_highway": "tn", "lem": "dezh", "cornn": "z",
         "indrnn": "h"}  # fmt: skip


@pytest.mark.parametrize("name", CORE)
def test_gate_trace_has_every_gate(name, key):
    cell = jaxrnn.CELLS[name](4, param_dtype="float64")
    params, carry, xs = problem(cell, key, T=2, batch=(2,), dtype="float64")
    found = diagnostics.gate_trace(cell, params, carry, xs)
    assert {k.split("_")[0] for k in found} == set(cell.gates)
    assert all(a.shape == (2, 2, 4) and (np.asarray(a) != 0).any() for a in jax.tree.leaves(found))


@pytest.mark.parametrize("name", GATES)
def test_gate_trace_is_the_formulas(name, key):
    """Every letter of its gates, every step of two rows."""
    cell = jaxrnn.CELLS[name](4, param_dtype="float64")
    params, carry, xs = problem(cell, key, T=4, batch=(2,), dtype="float64")
    found = diagnostics.gate_trace(cell, params, carry, xs)
    assert cell.gates == GATES[name]
    expected = {}
    for b in range(2):
        row = tuple(np.asarray(a[b]) for a in carry)
        for t in range(4):
            for k, v in gates_of(name, double(params), row, double(xs[t, b])).items():
                expected.setdefault(k, np.zeros((4, 2, 4)))[t, b] = v
            row, _ = reference.STEPS[name](double(params), row, double(xs[t, b]))
    assert_close(found, expected, tolerance("float64", 4))


def test_gate_trace_of_a_stack_is_by_layer_and_of_ragged_rows_0(key):
    """The upper layer's gates are those of a cell that reads what the lower one gave."""
    lower, upper = variant("gru", param_dtype="float64"), variant("lstm_coupled", param_dtype="float64")
    cell = jaxrnn.stack(lower, upper, names=("below", "above"))
    params, _, xs = problem(cell, key, T=5, dtype="float64")
    found = diagnostics.gate_trace(cell, params, None, xs, lengths=jnp.array([5, 2]))
    assert {k: set(v) for k, v in found.items()} == {"below": set("rzn"), "above": set("fgo")}
    hs = reference.run(
        loop("gru"), double(params["below"]), (np.zeros(5),), None, double(xs), lengths=np.array([5, 2])
    )[1]
    zero, row = np.zeros(5), (np.zeros(5), np.zeros(5))
    W, U, b = (reference.columns(double(params["above"])[k], "fgo") for k in ("kernel", "recurrent_kernel", "bias"))
    for t in range(5):
        f = reference.sigmoid(hs[t, 0] @ W["f"] + row[0] @ U["f"] + b["f"])
        assert_close(found["above"]["f"][t, 0], f, tolerance("float64", 10))
        row, _ = loop("lstm_coupled")(double(params["above"]), row, hs[t, 0])
    for values in jax.tree.leaves(found):
        assert_close(values[2:, 1], np.stack([zero] * 3), 0.0)
        assert (np.asarray(values[:2, 1]) != 0).all()


@pytest.mark.parametrize("name", CORE)
def test_a_run_that_nobody_looks_at_has_no_trace_of_it(name, key, monkeypatch):
    """The program is, to the letter, that of a cell without taps."""
    cell = variant(name)
    params, carry, xs = problem(cell, key)

    def program(cell):
        return str(jax.make_jaxpr(lambda *args: jaxrnn.engines.scan.__wrapped__(cell, *args))(params, carry, xs))

    tapped = program(cell)
    for module in [module for name, module in sys.modules.items() if name.startswith("jaxrnn.")]:
        if hasattr(module, "tap"):
            monkeypatch.setattr(module, "tap", lambda name, value: value)
    assert program(variant(name)) == tapped


def test_a_cell_that_marks_nothing_says_how_to():
    with pytest.raises(ValueError, match=r"marks no gate; write jaxrnn.taps.tap\('f', value\)"):
        diagnostics.gate_trace(henon(), (), jnp.zeros(2), jnp.zeros((3, 1)))
