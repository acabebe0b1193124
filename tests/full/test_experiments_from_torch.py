"""experiments.from_torch: the same figure on both sides of each border, by programs that share no code."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
safetensors = pytest.importorskip("safetensors.numpy", reason='the extra "files" is not installed')
pytest.importorskip("tyro", reason='the extra "train" is not installed')
sys.path.insert(0, str(Path(__file__).parents[2]))

from experiments import from_torch  # noqa: E402
from jaxrnn import data  # noqa: E402


def test_the_figure_is_the_same_at_each_border(tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text(Path(__file__).read_text(encoding="utf-8") * 8, encoding="utf-8")
    options = from_torch.Options(text=text, fast=True, out=tmp_path / "run")
    line = from_torch.main(options)
    there, came, on, back, shipped, read = (line[name] for name in list(line)[:6])
    assert json.loads(capsys.readouterr().out)["ONNX Runtime"] == shipped
    assert abs(there - came) < 1e-5 and on < came - 0.1
    assert all(abs(figure - on) < 1e-5 for figure in (back, shipped, read))
    assert (tmp_path / "run" / "from_torch.png").read_bytes().startswith(b"\x89PNG")

    # The two files hold one model: PyTorch on the arrays of one says what ONNX Runtime does with the other.
    w = {name: torch.tensor(a) for name, a in safetensors.load_file(tmp_path / "run" / "model.safetensors").items()}
    module = torch.nn.LSTM(*w["cell/kernel"].shape[:1], w["cell/recurrent_kernel"].shape[0])
    kernels = [w["cell/kernel"].T, w["cell/recurrent_kernel"].T, w["cell/bias"], 0 * w["cell/bias"]]
    tokens = np.arange(12, dtype=np.int32).reshape(4, 3)
    ys = torch.func.functional_call(module, dict(zip(dict(module.named_parameters()), kernels, strict=True)),
                                    w["embedding"][torch.from_numpy(tokens)])[0]  # fmt: skip
    session = onnxruntime.InferenceSession(tmp_path / "run" / "model.onnx")
    zeros = np.zeros((3, module.hidden_size), np.float32)
    [logits] = session.run(["logits"], {"tokens": tokens, "carry.h": zeros, "carry.c": zeros})
    np.testing.assert_allclose(logits, (ys @ w["readout"] + w["bias"]).detach(), atol=1e-5)


def test_bits_are_those_of_a_uniform_guess_and_of_a_sure_one():
    streams = data.Streams(np.array([0, 1, 2, 3, 0, 1, 2, 3, 0]), 2, 3)

    def sure(carry, tokens):
        return carry, 50.0 * np.eye(4)[(tokens + 1) % 4]

    assert from_torch.bits(lambda carry, tokens: (carry, np.zeros((*tokens.shape, 4))), streams) == pytest.approx(2)
    assert from_torch.bits(sure, streams) < 1e-9
