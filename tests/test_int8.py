"""Kernels in eight bits: rounded as NumPy rounds them, taken by every cell and engine, saved as they are."""

from __future__ import annotations

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import CORE, assert_close, problem, table, tolerance, variant, weighed

import jaxrnn
from jaxrnn import engines, models
from jaxrnn._core.quantized import is_int8
from jaxrnn.interop import Int8, _container, dequantize, export, quantize
from jaxrnn.interop._names import named

T, B, D = 6, 3, 5
ENGINES = {name: getattr(engines, name) for name in ("scan", "deferred", "checkpointed")}
COMPOSED = {
    "bottleneck": lambda: jaxrnn.bottleneck(variant("lstm"), 2),
    "bidirectional": lambda: jaxrnn.bidirectional(variant("gru"), variant("lstm_projection")),
    "highway": lambda: jaxrnn.highway(variant("lstm")),
    "layer_norm": lambda: jaxrnn.layer_norm(variant("gru")),
    "learned_carry": lambda: jaxrnn.learned_carry(variant("lstm")),
    "precision": lambda: jaxrnn.precision(variant("lstm"), compute_dtype="float64", param_dtype="float64"),
    "stack": lambda: jaxrnn.stack(variant("lstm"), variant("gru_reset_before")),
    "transition": lambda: jaxrnn.deep_transition(variant("lstm"), variant("lstm")),
    "weight_norm": lambda: jaxrnn.weight_norm(variant("lstm")),
}


def cell_of(name):
    return COMPOSED[name]() if name in COMPOSED else variant(name)


def in_numpy(kernel):
    """(values, scales) by columns, in float64."""
    kernel = np.asarray(kernel, np.float64)
    scales = np.abs(kernel).max(-2) / 127
    return np.rint(kernel / scales[..., None, :]), scales


QUICK = ["lstm_projection_peepholes"]


@pytest.mark.parametrize("name", table([*CORE, "lstm_projection_peepholes", *COMPOSED], QUICK))
def test_it_runs_as_the_numbers_that_it_stands_for(name, key):
    """All engines, in values and in gradients by inputs and carry; and its kernels are within half a scale."""
    cell = cell_of(name)
    params, carry, xs = problem(cell, key, T, (B,), D, dtype="float64")
    small = quantize(params)
    plain = dequantize(small)
    assert jax.tree.structure(plain) == jax.tree.structure(params)
    for name_, kernel in named(small, is_int8).items():
        whole, stands = named(params)[name_], named(plain)[name_]
        if isinstance(kernel, Int8):
            values, scales = in_numpy(whole)
            np.testing.assert_array_equal(kernel.values, values)
            np.testing.assert_allclose(kernel.scales, scales, rtol=1e-15)
            np.testing.assert_allclose(stands, values * scales[..., None, :], rtol=1e-15)
            assert kernel.values.dtype == np.int8 and kernel.dtype == whole.dtype and kernel.shape == whole.shape
        else:
            np.testing.assert_array_equal(stands, whole)

    def loss(params, carry, xs, engine):
        return weighed(jaxrnn.unroll(cell, params, carry, xs, engine=engine))

    grad = jax.value_and_grad(loss, (1, 2))
    expected = grad(plain, carry, xs, engines.scan)
    for engine in (None, *ENGINES.values()):
        assert_close(grad(small, carry, xs, engine), expected, tolerance("float64", T * 10))


def rounded_rows(a):
    """Rows of a as a dynamic product reads them."""
    scales = np.abs(a).max(-1, keepdims=True) / 127
    return np.rint(a / np.where(scales == 0, 1, scales)) * scales


@pytest.mark.parametrize("name", ENGINES)
def test_dynamic_is_the_loop_in_numpy(name, key):
    """An LSTM whose x and h are rounded to int8, row by row, before each product; a row of zeros stays zeros."""
    cell = jaxrnn.lstm(4)
    params, carry, xs = problem(cell, key, T, (B,), D, dtype="float64")
    xs = xs.at[2, 1].set(0)
    small = quantize(params, dynamic=True)
    found = jaxrnn.unroll(cell, small, carry, xs, engine=ENGINES[name])
    (w, w_scale), (u, u_scale) = in_numpy(params["kernel"]), in_numpy(params["recurrent_kernel"])
    h, c, ys = np.asarray(carry.h), np.asarray(carry.c), []
    for x in np.asarray(xs):
        z = rounded_rows(x) @ (w * w_scale) + rounded_rows(h) @ (u * u_scale) + np.asarray(params["bias"])
        i, f, g, o = np.split(z, 4, -1)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        ys.append(h)
    assert_close(found, (type(carry)(h, c), np.stack(ys)), tolerance("float64", T))


def test_dynamic_sums_are_of_integers(key):
    """In the program there is a product of int8 by int8, into int32."""
    params, carry, xs = problem(jaxrnn.lstm(4), key, T, (B,), D)
    small = quantize(params, dynamic=True)
    text = str(jax.make_jaxpr(functools.partial(jaxrnn.lstm(4).step, small))(carry, xs[0]))
    assert len(re.findall(r"i32\[3,16\] = dot_general", text)) == 2
    assert not re.search(r"f32\[3,16\] = dot_general", text)


def test_dynamic_products_of_some_columns_are_of_integers(key):
    """Of the gates of a cell that multiplies one after another: the drive, r and z, n."""
    cell = jaxrnn.gru_reset_before(4)
    params, carry, xs = problem(cell, key, T, (B,), D)
    text = str(jax.make_jaxpr(functools.partial(cell.step, quantize(params, dynamic=True)))(carry, xs[0]))
    assert sorted(re.findall(r"(\w\d+\[\d+,\d+\]) = dot_general", text)) == ["i32[3,12]", "i32[3,4]", "i32[3,8]"]


@pytest.mark.full
def test_derivatives_of_a_dynamic_product(key, rng):
    """By reverse, forward and twice: those of the product without the rounding of its rows, at the same kernel."""
    kernel = quantize({"kernel": jnp.asarray(rng.standard_normal((D, 4)))}, dynamic=True)["kernel"]
    a, t = (jnp.asarray(rng.standard_normal((B, D))) for _ in range(2))

    def by(kernel):
        return lambda a: weighed(jnp.tanh(jaxrnn.product(a, kernel, jnp.dtype("float64"))))

    def linear(kernel):
        return lambda a: jaxrnn.product(a, kernel, jnp.dtype("float64"))

    plain = kernel.astype("float64")
    for of in jax.jacrev, jax.jacfwd:
        assert_close(of(linear(kernel))(a), of(linear(plain))(a), tolerance("float64", 1))
    forward, reverse = jax.jvp(by(kernel), (a,), (t,))[1], jax.grad(by(kernel))(a)
    assert_close(forward, jnp.sum(reverse * t), tolerance("float64", 10))
    assert np.isfinite(jax.grad(lambda a: weighed(jax.grad(by(kernel))(a)))(a)).all()


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("name", table(["lstm", "gru", "recurrent_highway"], ["gru"]))
def test_transformations(name, dynamic, key):
    """jit, vmap over rows, an ensemble in which kernels differ, and steps."""
    cell = variant(name)
    params, carry, xs = problem(cell, key, T, (B,), D, dtype="float64")
    small = quantize(params, dynamic=dynamic)
    expected = jaxrnn.unroll(cell, small, carry, xs, engine=engines.scan)
    tol = tolerance("float64", T)
    assert_close(jax.jit(functools.partial(jaxrnn.unroll, cell))(small, carry, xs), expected, tol)
    by_rows = jax.vmap(functools.partial(jaxrnn.unroll, cell, small), (0, 1), (0, 1))
    assert_close(by_rows(carry, xs), expected, tol)
    twice = jax.tree.map(lambda a: jnp.stack([a, a]), small)
    members = jax.vmap(lambda p: jaxrnn.unroll(cell, p, carry, xs))(twice)
    assert_close(jax.tree.map(lambda a: a[1], members), expected, tol)
    traced = jax.jit(lambda p: quantize(p, dynamic=dynamic))(params)
    assert_close(named(traced), named(small), 0)


@pytest.mark.parametrize("dtype", table(["float32", "float16", "bfloat16"], ["bfloat16"]))
def test_types(dtype, key):
    """Scales have the type of the kernel; the cell computes in it, and in another that it is told."""
    for compute in (None, "float32"):
        cell = jaxrnn.lstm(4, dtype=compute, param_dtype=dtype)
        params, carry, xs = problem(cell, key, T, (B,), D)
        small = quantize(params)
        assert small["kernel"].dtype == dtype and small["kernel"].scales.dtype == dtype
        wide = functools.partial(jax.tree.map, lambda a: a.astype("float64"))
        worst = jnp.abs(wide(dequantize(small))["kernel"] - wide(params)["kernel"])
        scales = small["kernel"].scales.astype("float64")[None]
        assert (worst <= scales * (0.5 + 127 * float(jnp.finfo(dtype).eps))).all()
        found = jaxrnn.unroll(cell, small, carry, xs)
        assert_close(found, jaxrnn.unroll(cell, dequantize(small), carry, xs), 4 * tolerance(dtype, T))


def test_columns_of_zeros(key):
    params = jaxrnn.gru(4).init(key, D)
    params["kernel"] = params["kernel"].at[:, 3].set(0)
    kernel = quantize(params)["kernel"]
    assert not kernel.values[:, 3].any() and kernel.scales[3] == 0
    assert not dequantize(kernel)[:, 3].any()


def test_models_and_what_is_left_alone(key):
    model = models.language_model(jaxrnn.lstm(4), 7, 3)
    params = model.init(key)
    small = quantize(params)
    eights = {name for name, leaf in named(small, is_int8).items() if isinstance(leaf, Int8)}
    assert eights == {"cell/kernel", "cell/recurrent_kernel", "readout"}
    tokens = jnp.asarray([[1, 2], [3, 4], [5, 6]], "int32")
    expected = model.apply(dequantize(small), None, tokens)
    assert_close(model.apply(small, None, tokens), expected, tolerance("float32", 3))
    only = quantize(params, names=("readout",))
    assert isinstance(only["readout"], Int8) and not isinstance(only["cell"]["kernel"], Int8)
    classifier = models.classifier(jaxrnn.gru(4), 3)
    small = quantize(classifier.init(key, D))
    xs = jnp.ones((T, B, D), "float32")
    found, wanted = (classifier.apply(p, None, xs)[1] for p in (small, dequantize(small)))
    assert_close(found, wanted, tolerance("float32", T))


@pytest.mark.parametrize("dynamic", table([False, True], [True]))
def test_saved_as_it_is(dynamic, key, tmp_path):
    files = pytest.importorskip("safetensors.numpy", reason='the extra "files" is not installed')
    cell = jaxrnn.stack(jaxrnn.lstm(64), jaxrnn.recurrent_highway(64))
    params = cell.init(key, D)
    small = quantize(params, dynamic=dynamic)
    jaxrnn.save(tmp_path / "whole", cell, params)
    jaxrnn.save(tmp_path / "small", cell, small)
    loaded = jaxrnn.load(tmp_path / "small")
    assert loaded.record == cell and jax.tree.structure(loaded.params) == jax.tree.structure(small)
    assert_close(named(loaded.params), named(small), 0)
    assert {a.dtype for a in jax.tree.leaves(loaded.params)} == {np.dtype("int8"), np.dtype("float32")}
    assert 3 * (tmp_path / "small").stat().st_size < (tmp_path / "whole").stat().st_size
    assert files.load_file(tmp_path / "small")["layer_0/kernel/values"].dtype == np.int8
    half = jaxrnn.load(tmp_path / "small", dtype="bfloat16").params["layer_0"]["kernel"]
    assert half.dtype == "bfloat16" and half.values.dtype == "int8"


def test_exported(key):
    pytest.importorskip("flatbuffers", reason='the extra "files" is not installed')
    cell = jaxrnn.lstm(4)
    params, carry, xs = problem(cell, key, T, (B,), D)
    for dynamic in False, True:
        small = quantize(params, dynamic=dynamic)
        expected = jaxrnn.unroll(cell, small, carry, xs)
        program = jax.export.deserialize(bytearray(export(cell, small, platforms=["cpu"], constants=False)))
        found = program.call(named(small), named(carry), xs)
        assert_close(found, (named(expected[0]), expected[1]), tolerance("float32", T))


def test_what_is_refused(key):
    params = jaxrnn.gru(4).init(key, D)
    small = quantize(params)
    with pytest.raises(TypeError, match="got kernel in int8 already; dequantize"):
        quantize(small)
    with pytest.raises(TypeError, match=r"names: expected a tuple of names, got 'kernel'; write \('kernel',\)"):
        quantize(params, names="kernel")
    with pytest.raises(ValueError, match=r"names: expected names of kernels in params, got \('weight',\), and dict\("):
        quantize(params, names=("weight",))
    with pytest.raises(ValueError, match="params: expected finite numbers in recurrent_kernel"):
        quantize({**params, "recurrent_kernel": params["recurrent_kernel"].at[1, 2].set(jnp.nan)})
    with pytest.raises(TypeError, match="params: expected floating-point numbers in kernel, got int32"):
        quantize({"kernel": np.ones((2, 3), "int32")})
    with pytest.raises(TypeError, match="got int8"):
        jax.grad(lambda p: weighed(jaxrnn.unroll(jaxrnn.gru(4), p, None, jnp.ones((2, D), "float32"))))(small)
    with pytest.raises(TypeError, match=r"expected \[:, columns\] or a number of one of several kernels"):
        small["kernel"][0]
    with pytest.raises(ValueError, match=r"params: expected those of gru\(5\)"):
        jaxrnn.unroll(jaxrnn.gru(5), small, None, jnp.ones((2, D), "float32"))


def test_a_forged_file(key, tmp_path):
    """Values of another type, or of a parameter that the cell has not."""
    pytest.importorskip("safetensors", reason='the extra "files" is not installed')
    cell, path = jaxrnn.elman(4), tmp_path / "cell"
    jaxrnn.save(path, cell, quantize(cell.init(key, D)))
    content, held = _container.read(path)
    kept = {name: content[name] for name in content if name not in ("sha256", "arrays")}
    path.write_bytes(_container.written({**held, "kernel/values": held["kernel/values"].astype("float32")}, kept))
    with pytest.raises(ValueError, match="expected the array 'kernel/values' in int8, and there is none"):
        jaxrnn.load(path)
    path.write_bytes(_container.written({**held, "kernel/scales": held["kernel/scales"][1:]}, kept))
    with pytest.raises(ValueError, match=r"expected the array 'kernel/scales' \[4\], got \[3\]"):
        jaxrnn.load(path)
    path.write_bytes(_container.written(held, {**kept, "int8": {"recurrent_kernel": False}}))
    with pytest.raises(ValueError, match=r"expected the array 'kernel' \[5, 4\], got none of that name"):
        jaxrnn.load(path)
