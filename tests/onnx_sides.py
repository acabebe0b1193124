"""What `to_onnx` wrote, checked by onnx and run by ONNX Runtime, beside what jaxrnn computes itself."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import assert_close, noisy_params, tolerance

import jaxrnn
from jaxrnn.interop import to_onnx

D = 5
SIZES = [(6, 3), (4, 7)]  # (T, B): one model for both


def named(tree, stem):
    """{name of an input or output: leaf} of a pytree."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        ".".join([stem, *filter(None, [jax.tree_util.keystr(p, simple=True, separator=".")])]): a for p, a in leaves
    }


def runner(proto):
    """A function from feeds to all outputs by name, after the checks of onnx."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    onnx.checker.check_model(proto, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    return lambda feeds: dict(zip(outputs, session.run(outputs, feeds), strict=True))


def drawn_lengths(rng, T, B):
    """Lengths [B] from 0 to T, with both ends among them, in any order."""
    return rng.permutation([0, T, *rng.integers(0, T + 1, B - 2)]).astype(np.int32)


def drawn_carry(rng, start):
    """A carry of noise, like `start`."""
    return jax.tree.map(lambda a: jnp.asarray(0.5 * rng.standard_normal(a.shape), a.dtype), start)


def assert_cell(cell, key, rng, *, dtype="float32", layers=1, **options):
    """The exported cell and `unroll` agree, in outputs and final carry, at sizes of batch and time of any kind.

    Returns the model.
    """
    params = noisy_params(cell, key, D, dtype)
    proto = to_onnx(cell, params, input_size=None if cell.input else D, **options)
    run, ragged, reverse = runner(proto), options.get("lengths", True), options.get("reverse", False)
    for T, B in SIZES:
        xs = rng.standard_normal((T, B, D)).astype(dtype)
        carry = drawn_carry(rng, cell.initial_carry(params, (B,)))
        lengths = drawn_lengths(rng, T, B) if ragged else None
        padded = xs if lengths is None else np.where((np.arange(T)[:, None] < lengths)[..., None], xs, np.nan)
        feeds = {"xs": padded.astype(dtype)} | {k: np.asarray(a) for k, a in named(carry, "carry").items()}
        actual = run(feeds | ({"sequence_lens": lengths} if ragged else {}))
        final, ys = jaxrnn.unroll(cell, params, carry, xs, lengths=lengths, reverse=reverse)
        assert_close(actual, {"ys": ys, **named(final, "new_carry")}, tolerance(dtype, layers * T))
    return proto


def kinds(proto):
    """The operators of a model's nodes."""
    return [node.op_type for node in proto.graph.node]
