"""PyTorch's contenders, for a process that has no JAX in it: see `turns.Apart`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.turns import Contender


def waited(call: Callable[[], Any], device: str) -> Contender:
    """A call that returns when its work is done, on a GPU too."""

    def wait():
        result = call()
        if device == "cuda":
            import torch

            torch.cuda.synchronize()
        return result

    return Contender(wait)


def layer(cell: str, shape: tuple[int, ...], what: str, dtype: str, device: str) -> Contender:
    """torch.nn's, "forward" or "gradient". In bfloat16 its parameters are bfloat16 too: its fastest way."""
    import torch

    B, T, D, H = shape
    make = {"elman": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell]
    return run(make(D, H), (B, T, D), what, dtype, device)


def recurrent(kind: str, shape: tuple[int, ...], what: str) -> Contender:
    """torchrecurrent's layer of that name."""
    import torchrecurrent

    B, T, D, H = shape
    return run(getattr(torchrecurrent, kind)(D, H), (B, T, D), what, "float32", "cpu")


def run(rnn, shape: tuple[int, ...], what: str, dtype: str, device: str) -> Contender:
    """A module over [T, B, D]: its outputs, or the gradient of their squares."""
    import torch

    B, T, D = shape
    rnn = rnn.to(device, getattr(torch, dtype))
    xs = torch.from_numpy(np.random.default_rng(0).standard_normal((T, B, D), np.float32))
    xs = xs.to(device, getattr(torch, dtype)).requires_grad_()

    def forward():
        with torch.no_grad():
            return rnn(xs)[0]

    def gradient():
        rnn.zero_grad()
        xs.grad = None
        loss = rnn(xs)[0].float().square().sum()
        loss.backward()
        return loss, ([p.grad for p in rnn.parameters()], xs.grad)

    return waited({"forward": forward, "gradient": gradient}[what], device)


def language_model(
    H: int, L: int, tokens: np.ndarray, params: dict, rate: float, clip: float, device: str
) -> Contender:
    """A train step of the model in `language_model.py`, from the same params; it gives the loss before the step."""
    import torch

    V, B, layers = len(params["embedding"]), tokens.shape[1], list(params["cell"].values())

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(V, H)
            self.rnn = torch.nn.LSTM(H, H, num_layers=L)
            self.readout = torch.nn.Linear(H, V)

        def forward(self, tokens, carry):
            y, carry = self.rnn(self.embedding(tokens), carry)
            return self.readout(y), carry

    model = Model().to(device)
    theirs = {"embedding.weight": params["embedding"], "readout.weight": params["readout"].T}
    theirs["readout.bias"] = params["bias"]
    for k, layer in enumerate(layers):
        theirs |= {f"rnn.weight_ih_l{k}": layer["kernel"].T, f"rnn.weight_hh_l{k}": layer["recurrent_kernel"].T}
        theirs |= {f"rnn.bias_ih_l{k}": layer["bias"], f"rnn.bias_hh_l{k}": np.zeros_like(layer["bias"])}
    model.load_state_dict({name: torch.from_numpy(np.array(a)) for name, a in theirs.items()})
    # Of its two biases in each cell one is for cuDNN's sake: the model is the same without.
    count = sum(p.numel() for name, p in model.named_parameters() if "bias_hh" not in name)
    given = [a for name, a in params.items() if name != "cell"] + [a for layer in layers for a in layer.values()]
    assert count == sum(a.size for a in given), f"numbers of parameters differ: {count} in PyTorch"
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    inputs, targets = (torch.from_numpy(t).long().to(device) for t in (tokens[:-1], tokens[1:]))
    carry = tuple(torch.zeros(L, B, H, device=device) for _ in range(2))

    def step():
        nonlocal carry
        optimizer.zero_grad()
        logits, after = model(inputs, carry)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        carry = tuple(a.detach() for a in after)
        return loss.detach()

    return waited(step, device)
