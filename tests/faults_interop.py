"""The seeded faults of mutants.py in weights of PyTorch, Keras, Haiku, cuDNN and torchrecurrent, and in ONNX."""

from __future__ import annotations

TORCH, KERAS, HAIKU = "tests/test_interop_torch.py", "tests/test_interop_keras.py", "tests/test_interop_haiku.py"
CUDNN, RECURRENT = "tests/test_interop_cudnn.py", "tests/test_interop_torchrecurrent.py"
LAYERS, CASES = "tests/test_interop_layers.py", "tests/test_onnx_cases.py"
INT8 = "tests/full/parity/test_int8_onnx.py"

# file: {what: (old, new, tests)}
FAULTS = {
    "interop/_torch.py": {
        "biases of a GRU swapped": (
            'params["bias"], params["recurrent_bias"] = biases',
            'params["recurrent_bias"], params["bias"] = biases',
            TORCH,
        ),
        "the second bias dropped": ("biases[0] + biases[1]", "biases[0]", TORCH),
        "the bias twice on the way out": ("else jnp.zeros(bias.shape, bias.dtype)", "else bias", TORCH),
        "what is left over is ignored": ("    given.end()\n", "", TORCH),
    },
    "interop/_weights.py": {
        "not finite is taken": ("if not finite.all():", "if False:", TORCH),
        "memory is shared": ("np.array(a, copy=True)", "np.asarray(a)", TORCH),
    },
    "interop/_layers.py": {
        "directions swapped": ('for way in ("forward", "backward")]', 'for way in ("backward", "forward")]', TORCH),
        "dropout lost": ("dropout=dropout)\n    return cell", "dropout=0.0)\n    return cell", LAYERS),
    },
    "interop/_keras.py": {
        "z and r not swapped": (
            ".concatenate([second, first, third], axis=-1)",
            ".concatenate([first, second, third], axis=-1)",
            KERAS,
        ),
    },
    "interop/_haiku.py": {
        "z keeps": ("[r, -z, n]", "[r, z, n]", HAIKU),
        "g and f swapped": ("[first, third, second, fourth]", "[first, second, third, fourth]", HAIKU),
        "the forget bias stays": ("bias[H : 2 * H] - 1", "bias[H : 2 * H]", HAIKU),
    },
    "interop/_torchrecurrent.py": {
        "a gate not negated": ("-blocks[~n] if n < 0", "blocks[~n] if n < 0", RECURRENT),
        "a bias dropped": ('bias + w["bias_mh"]', "bias", RECURRENT),
    },
    "interop/_cudnn.py": {
        "biases before kernels": ("for names in PARTS for a", "for names in PARTS[::-1] for a", CUDNN),
    },
    "interop/_onnx/gates.py": {
        "gates of an LSTM in our order": ('"LSTM": "iofc"', '"LSTM": "ifco"', CASES),
        "recurrent bias dropped": ("Wb + Rb if Rb.any() else Wb", "Wb", CASES),
        "coupled without its sign": ("[-i[name], a[..., 2", "[i[name], a[..., 2", CASES),
        "int8: scales keep a sign": ("np.abs(scales.weights[w][:, 0])", "scales.weights[w][:, 0]", INT8),
    },
    "interop/_onnx/native.py": {
        "an empty row ends in 0": ("if lengths is not None:", "if False:", "tests/full/parity/test_onnx_live.py"),
        "int8: columns of W as they are": (".int8[name][0].T for w", ".int8[name][0] for w", INT8),
    },
    "interop/_onnx/convert.py": {
        "int8 made floats": ("and not _keeps_int8(name, inputs)", "", INT8),
    },
}
