"""Weights to and from PyTorch itself: values, gradients, training, and what a module says beyond its state dict."""

import io

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies
from sides import LENGTHS, B, D, H, T, assert_same, both_dtypes, draw
from support import assert_close, noisy_params, tolerance
from training import in_torch_and_here

import jaxrnn
from jaxrnn import ElmanCarry, GRUCarry, LSTMCarry
from jaxrnn.interop import from_torch, to_torch

torch = pytest.importorskip("torch", reason="torch is not installed")

P = 3  # projected units
KINDS = {
    "tanh": ("RNN", {"nonlinearity": "tanh"}),
    "relu": ("RNN", {"nonlinearity": "relu"}),
    "lstm": ("LSTM", {}),
    "lstm_projection": ("LSTM", {"proj_size": P}),
    "gru": ("GRU", {}),
}
CARRIES = {"RNN": ElmanCarry, "LSTM": LSTMCarry, "GRU": GRUCarry}
every_kind = pytest.mark.parametrize("name", KINDS)
both_ways = pytest.mark.parametrize("both", [False, True], ids=["one_way", "both_ways"])


def module(name, rng, dtype="float64", sizes=(D, H), **options):
    """A module of that kind, with normal noise for every parameter."""
    kind, more = KINDS[name]
    made = getattr(torch.nn, kind)(*sizes, dtype=getattr(torch, dtype), **more, **options)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.from_numpy(0.5 * rng.standard_normal(tuple(parameter.shape))))
    return made


def asked(name):
    """What the state dict does not say."""
    return KINDS[name][1].get("nonlinearity")


def arrays(state):
    return {name: tensor.detach().numpy() for name, tensor in state.items()}


def carries(made, shape=(B,)):
    """Shapes of PyTorch's states, as a carry for each layer and direction, in its order."""
    kind = type(made).__name__
    fields = ((*shape, made.proj_size or made.hidden_size), (*shape, made.hidden_size))
    carry = CARRIES[kind](*(jax.ShapeDtypeStruct(n, float) for n in fields[: len(CARRIES[kind]._fields)]))
    return [carry] * made.num_layers * (1 + made.bidirectional)


def by_layer(made, listed):
    """PyTorch's list of carries as ours."""
    rows = listed
    if made.bidirectional:
        rows = [dict(zip(("forward", "backward"), listed[n : n + 2], strict=True)) for n in range(0, len(listed), 2)]
    return rows[0] if made.num_layers == 1 else {f"layer_{n}": row for n, row in enumerate(rows)}


def listed(made, carry):
    """The inverse of by_layer."""
    rows = [carry] if made.num_layers == 1 else [carry[f"layer_{n}"] for n in range(made.num_layers)]
    return [one for row in rows for one in (row["forward"], row["backward"])] if made.bidirectional else rows


def unrolled(made, nonlinearity, lengths=None):
    """(weights, carry, xs) -> (carry, ys) of ours, the weights by PyTorch's names."""

    def ours(weights, carry, xs):
        cell, params = from_torch(weights, nonlinearity=nonlinearity)
        last, ys = jaxrnn.unroll(cell, params, by_layer(made, carry), xs, lengths=lengths)
        return listed(made, last), ys

    return ours


def run(made, weights, carry, xs, lengths=None):
    """The same by PyTorch, in tensors."""
    initial = tuple(torch.stack(leaves) for leaves in zip(*carry, strict=True))  # h, and c for an LSTM: [layers, B, H]
    if lengths is not None:
        xs = torch.nn.utils.rnn.pack_padded_sequence(xs, lengths, enforce_sorted=False)
    state = initial if len(initial) > 1 else initial[0]
    ys, last = torch.func.functional_call(made, weights, (xs, state))
    if lengths is not None:
        ys, _ = torch.nn.utils.rnn.pad_packed_sequence(ys, total_length=T)
    last = last if len(initial) > 1 else (last,)
    return [type(carry[0])(*leaves) for leaves in zip(*last, strict=True)], ys


def differentiated(made, lengths=None):
    def with_gradients(weights, carry, xs, cotangents):
        tensors = jax.tree.map(lambda a: torch.tensor(a, requires_grad=True), (weights, carry, xs))
        out = run(made, *tensors, lengths)
        torch.autograd.backward(jax.tree.leaves(out), [torch.tensor(a) for a in jax.tree.leaves(cotangents)])
        return jax.tree.map(lambda a: a.detach().numpy(), out), jax.tree.map(lambda a: a.grad.numpy(), tensors)

    return with_gradients


def check(name, made, rng, dtype="float64", lengths=None):
    ours, theirs = unrolled(made, asked(name), lengths), differentiated(made, lengths)
    assert_same(rng, ours, theirs, dict(made.named_parameters()), carries(made), dtype, made.num_layers)


@both_dtypes
@every_kind
def test_values_and_gradients(name, rng, dtype):
    """The gradients are to PyTorch's weights, so they pass through the conversion."""
    check(name, module(name, rng, dtype), rng, dtype)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
@pytest.mark.parametrize(("layers", "both"), [(1, True), (2, False), (2, True)], ids=["1_both", "2", "2_both"])
@every_kind
def test_layers_and_directions(name, layers, both, lengths, rng):
    check(name, module(name, rng, num_layers=layers, bidirectional=both), rng, lengths=lengths)


@both_ways
@every_kind
def test_without_biases(name, both, rng):
    check(name, module(name, rng, num_layers=2, bidirectional=both, bias=False), rng)


def same_function(rng, first, second):
    """Two modules of one form, to rounding."""
    xs = torch.from_numpy(rng.standard_normal((T, B, first.input_size)))
    with torch.no_grad():
        a, b = ([tensor.numpy() for tensor in jax.tree.leaves(one(xs))] for one in (first, second))
    assert_close(a, b, tolerance("float64", T * first.num_layers))


@pytest.mark.parametrize("bias", [True, False], ids=["biases", "none"])
@both_ways
@every_kind
def test_theirs_to_ours_and_back(name, both, bias, rng):
    """To the bit, but for the biases of RNN and LSTM, whose sum stays, wholly in bias_ih."""
    made = module(name, rng, num_layers=2, bidirectional=both, bias=bias)
    cell, params = from_torch(made)
    into = to_torch(cell, params, into=module(name, rng, num_layers=2, bidirectional=both, bias=bias))
    same_function(rng, made, into)
    before, after = arrays(made.state_dict()), arrays(into.state_dict())
    plain = to_torch(cell, params, bias=bias)
    assert list(before) == list(after) == list(plain)
    for key, a in before.items():
        assert np.array_equal(plain[key], after[key])
        if "bias" not in key or name == "gru":
            assert np.array_equal(a, after[key])
        elif "bias_hh" in key:
            assert not after[key].any()
            assert np.array_equal(a + before[key.replace("_hh", "_ih")], after[key.replace("_hh", "_ih")])
    again, back = from_torch(into)
    assert again == cell
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, back, params)))


def test_the_state_dict_is_read_as_the_module_is(rng):
    """Also on disk, within a larger model, without its class; and the parameters, which require gradients."""
    for name in KINDS:
        made = module(name, rng, num_layers=2)
        cell, params = from_torch(made)
        model = torch.nn.ModuleDict({"encoder": torch.nn.ModuleDict({"rnn": made}), "out": torch.nn.Linear(H, 2)})
        file = io.BytesIO()
        torch.save(model.state_dict(), file)
        file.seek(0)
        state = torch.load(file, weights_only=True)
        for weights, prefix in [
            (made.state_dict(), ""),
            (dict(made.named_parameters()), ""),
            (arrays(made.state_dict()), ""),
            (state, "encoder.rnn."),
        ]:
            other, read = from_torch(weights, prefix=prefix, nonlinearity=asked(name))
            assert other == cell
            assert all(jax.tree.leaves(jax.tree.map(np.array_equal, read, params)))
        other, read = from_torch(model, prefix="encoder.rnn.")
        assert other == cell
        assert all(jax.tree.leaves(jax.tree.map(np.array_equal, read, params)))
        fresh = torch.nn.ModuleDict({"rnn": module(name, rng, num_layers=2)})
        assert to_torch(cell, params, prefix="rnn.", into=fresh) is fresh
        same_function(rng, made, fresh["rnn"])


@pytest.mark.parametrize("bias", [True, False], ids=["biases", "none"])
@pytest.mark.parametrize("name", ["tanh", "relu", "lstm", "gru"])
def test_cells(name, bias, rng):
    kind, options = KINDS[name]
    make = getattr(torch.nn, f"{kind}Cell")
    made = make(D, H, bias=bias, dtype=torch.float64, **options)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.from_numpy(rng.standard_normal(tuple(parameter.shape))))
    cell, params = from_torch(made)
    from_state, _ = from_torch(made.state_dict(), nonlinearity=asked(name))
    assert from_state == cell
    x = rng.standard_normal((B, D))
    carry = draw(rng, jax.eval_shape(lambda: cell.initial_carry(params, (B,))), "float64")
    into = to_torch(cell, params, into=make(D, H, bias=bias, dtype=torch.float64, **options))
    for one in made, into:
        tensors = [torch.from_numpy(a) for a in carry]
        with torch.no_grad():
            expected = one(torch.from_numpy(x), tuple(tensors) if len(tensors) > 1 else tensors[0])
        ours, _ = cell.step(params, carry, x)
        assert_close(list(ours), [a.numpy() for a in jax.tree.leaves(expected)], tolerance("float64", 1))


def test_what_a_module_says(rng):
    dropout, first = module("gru", rng, num_layers=2, dropout=0.25), module("gru", rng, batch_first=True)
    assert from_torch(dropout)[0] == jaxrnn.stack(*[jaxrnn.gru(H, param_dtype="float64")] * 2, dropout=0.25)
    assert from_torch(first)[0] == jaxrnn.gru(H, param_dtype="float64")
    relu = module("relu", rng)
    assert from_torch(relu)[0] == from_torch(relu, nonlinearity="relu")[0]
    for one, other, says in (relu, "tanh", "'relu'"), (first, "tanh", "None"):
        with pytest.raises(ValueError, match=rf"nonlinearity: expected None or {says}, as .* says, got 'tanh'"):
            from_torch(one, nonlinearity=other)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_types(dtype, rng):
    """Through bits that NumPy does not know, too. What comes back is what went in."""
    made = module("gru", rng, dtype)
    cell, params = from_torch(made)
    assert {a.dtype.name for a in params.values()} == {dtype}
    into = to_torch(cell, params, into=module("gru", rng, dtype))
    for key, tensor in made.state_dict().items():
        assert torch.equal(into.state_dict()[key], tensor)
    assert np.array_equal(params["kernel"].astype("float32"), made.weight_ih_l0.detach().float().numpy().T)
    assert from_torch(made, dtype="float32")[0] == jaxrnn.gru(H)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_no_memory_is_shared(dtype, rng):
    made = module("gru", rng, dtype)
    cell, params = from_torch(made)
    before = jax.tree.map(np.array, params)
    into = to_torch(cell, params, into=module("gru", rng, dtype))
    with torch.no_grad():
        for parameter in (*made.parameters(), *into.parameters()):
            parameter.fill_(7)
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, params, before)))


class Alike(torch.nn.Module):
    """Another cell, whose names and shapes are those of an LSTMCell."""

    def __init__(self):
        super().__init__()
        for name, tensor in torch.nn.LSTMCell(D, H).state_dict().items():
            self.register_parameter(name, torch.nn.Parameter(tensor))


class Own(torch.nn.LSTM):
    """A subclass that only has another name."""


def test_modules_that_are_none(rng):
    expected = "weights: expected nn.RNN, nn.LSTM, nn.GRU or one of their cells"
    with pytest.raises(TypeError, match=f"{expected}, got Alike"):
        from_torch(Alike())
    with pytest.raises(TypeError, match=f"{expected}, got Linear"):
        from_torch(torch.nn.Linear(2, 3))
    model = torch.nn.ModuleDict({"a": module("gru", rng), "b": torch.nn.LSTMCell(D, H)})
    with pytest.raises(TypeError, match=rf"{expected}, got ModuleDict(.|\n)*; pass prefix='a.' or 'b.'"):
        from_torch(model)
    with pytest.raises(TypeError, match=rf"{expected} at c., got None; pass prefix='a.' or 'b.'"):
        from_torch(model, prefix="c.")
    assert from_torch(Own(D, H))[0] == jaxrnn.lstm(H)


GRU2 = jaxrnn.stack(jaxrnn.gru(H), jaxrnn.gru(H))
INTO = {
    "layers": (GRU2, ("GRU", {}), r"nn.GRU\(input_size=5, hidden_size=4, num_layers=2\), got GRU\(5, 4\)"),
    "a_cell_for_layers": (GRU2, ("GRUCell", {}), r"num_layers=2\), got GRUCell\(5, 4\)"),
    "directions": (jaxrnn.gru(H), ("GRU", {"bidirectional": True}), r"hidden_size=4\), got GRU\(.*bidirectional"),
    "direction": (jaxrnn.bidirectional(jaxrnn.gru(H), jaxrnn.gru(H)), ("GRU", {}), "bidirectional=True"),
    "kind": (jaxrnn.gru(H), ("LSTM", {}), r"nn.GRU\(.*, got LSTM"),
    "nonlinearity": (jaxrnn.elman(H), ("RNN", {"nonlinearity": "relu"}), "nonlinearity='tanh'"),
    "nonlinearity_of_a_cell": (jaxrnn.elman(H), ("RNNCell", {"nonlinearity": "relu"}), "nonlinearity='tanh'"),
    "projection": (jaxrnn.lstm(H), ("LSTM", {"proj_size": 2}), r"nn.LSTM\(input_size=5, hidden_size=4\), got LSTM"),
    "no_projection": (jaxrnn.lstm(H, projection=2), ("LSTM", {}), "proj_size=2"),
    "a_cell_for_a_projection": (jaxrnn.lstm(H, projection=2), ("LSTMCell", {}), "proj_size=2"),
    "hidden_size": (jaxrnn.lstm(H + 1), ("LSTM", {}), r"hidden_size=5\), got LSTM\(5, 4\)"),
}


@pytest.mark.parametrize("name", INTO)
def test_into_another_module(name):
    cell, (kind, options), message = INTO[name]
    made = getattr(torch.nn, kind)(D, H, **options)
    before = {key: tensor.clone() for key, tensor in made.state_dict().items()}
    with pytest.raises(ValueError, match=f"into: expected .*{message}"):
        to_torch(cell, cell.init(jax.random.key(0), D), into=made)
    assert all(torch.equal(tensor, before[key]) for key, tensor in made.state_dict().items())


def test_into_others():
    cell = jaxrnn.gru(H)
    params = cell.init(jax.random.key(0), D)
    with pytest.raises(ValueError, match=r"into: expected nn.GRU\(input_size=5, hidden_size=4\), got GRU\(6, 4\)"):
        to_torch(cell, params, into=torch.nn.GRU(D + 1, H))
    with pytest.raises(
        TypeError, match=r"into: expected weight_ih_l0 of float32, got float64; module.to\(torch.float32\)"
    ):
        to_torch(cell, params, into=torch.nn.GRU(D, H, dtype=torch.float64))
    with pytest.raises(TypeError, match=r"into: expected nn.RNN, .* or one of their cells, got Alike"):
        to_torch(jaxrnn.lstm(H), jaxrnn.lstm(H).init(jax.random.key(0), D), into=Alike())
    noisy = noisy_params(cell, jax.random.key(1), D)
    with pytest.raises(ValueError, match="bias: expected zeros for bias_ih_l0"):
        to_torch(cell, noisy, into=torch.nn.GRU(D, H, bias=False))
    to_torch(cell, params, into=torch.nn.GRU(D, H, bias=False))
    with pytest.raises(TypeError, match="into: expected params with values, got some that JAX traces"):
        jax.eval_shape(lambda p: to_torch(cell, p, into=torch.nn.GRU(D, H)), params)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@every_kind
def test_ten_steps_of_training(name, optimizer, rng):
    """Two layers in both directions end at the same weights. bias_hh is frozen where it is a second bias for one."""
    made = module(name, rng, num_layers=2, bidirectional=True)
    for key, parameter in made.named_parameters():
        if name != "gru" and "bias_hh" in key:
            parameter.requires_grad_(False)
    weights = rng.standard_normal((T, B, 2 * (P if name == "lstm_projection" else H)))
    in_torch_and_here(made, from_torch, optimizer, rng.standard_normal((T, B, D)), weights)


def test_two_biases_for_one_move_twice_as_far(rng):
    """What the documentation warns of: under SGD, without the freezing."""
    made = module("lstm", rng)
    _, before = from_torch(made)
    made(torch.from_numpy(rng.standard_normal((T, B, D))))[0].sum().backward()
    gradient = made.bias_ih_l0.grad.numpy().copy()
    torch.optim.SGD(made.parameters(), lr=0.5).step()
    assert_close(from_torch(made)[1]["bias"], before["bias"] - gradient, tolerance("float64", T))


@hypothesis.settings(max_examples=12, derandomize=True, deadline=None, database=None)
@hypothesis.given(
    name=strategies.sampled_from(sorted(KINDS)),
    sizes=strategies.tuples(strategies.integers(1, 6), strategies.integers(2, 6)),
    layers=strategies.integers(1, 3),
    both=strategies.booleans(),
    bias=strategies.booleans(),
    ragged=strategies.booleans(),
    seed=strategies.integers(0, 2**32 - 1),
)
def test_any_module(name, sizes, layers, both, bias, ragged, seed):
    rng = np.random.default_rng(seed)
    options = {"num_layers": layers, "bidirectional": both, "bias": bias}
    kind, more = KINDS[name]
    if "proj_size" in more:
        more = {"proj_size": int(rng.integers(1, sizes[1]))}
    made = getattr(torch.nn, kind)(*sizes, dtype=torch.float64, **more, **options)
    weights = draw(rng, dict(made.named_parameters()), "float64")
    made.load_state_dict({key: torch.from_numpy(a) for key, a in weights.items()})
    carry, xs = draw(rng, carries(made), "float64"), rng.standard_normal((T, B, sizes[0]))
    lengths = LENGTHS if ragged else None
    with torch.no_grad():
        expected = run(made, *jax.tree.map(torch.from_numpy, (weights, carry, xs)), lengths)
    cell, params = from_torch(made)
    last, ys = jaxrnn.unroll(cell, params, by_layer(made, carry), xs, lengths=lengths)
    assert_close(
        (listed(made, last), ys), jax.tree.map(lambda a: a.numpy(), expected), tolerance("float64", layers * T)
    )
    into = to_torch(cell, params, into=getattr(torch.nn, kind)(*sizes, dtype=torch.float64, **more, **options))
    again, back = from_torch(into.state_dict(), nonlinearity=asked(name))
    assert again == cell
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, back, params)))
