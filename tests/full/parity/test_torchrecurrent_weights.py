"""Weights of torchrecurrent, run by itself, for the cells that both libraries have, and for LEM, which differs."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies
from sides import B, D, H, T, assert_same, both_dtypes, draw
from support import assert_close, tolerance
from training import in_torch_and_here

import jaxrnn
from jaxrnn.interop import from_torchrecurrent

torch = pytest.importorskip("torch", reason="torch is not installed")
peer = pytest.importorskip("torchrecurrent", reason="torchrecurrent is not installed")

OPTIONS = {  # of their modules, none the default but sigmoid, the one gate that PyTorch has to the last bit
    "IndRNN": {"nonlinearity": "leaky_relu"},
    "JANET": {"beta": 0.5},  # float32, whatever the module's type is
    "LiGRU": {"nonlinearity": "elu", "gate_nonlinearity": "sigmoid"},
    "MGU": {"nonlinearity": "silu", "gate_nonlinearity": "sigmoid"},
    "MUT2": {},
    "MultiplicativeLSTM": {"recurrent_bias": False},
    "PeepholeLSTM": {"nonlinearity": "relu", "gate_nonlinearity": "sigmoid"},
    "UGRNN": {},
    "coRNN": {"dt": 0.3, "gamma": 1.7, "epsilon": 0.6},
}
DEFAULTS = {kind: {"recurrent_bias": False} if kind == "MultiplicativeLSTM" else {} for kind in OPTIONS}
FIXED = {"JANET": "beta", "MultiplicativeLSTM": "bias_hh"}  # what is not differentiated here, but an option or 0
PAIRS = {"PeepholeLSTM", "MultiplicativeLSTM", "coRNN"}  # carry two states; JANET's are one
every_kind = pytest.mark.parametrize("kind", OPTIONS)


def module(kind, rng, dtype="float64", cell=False, sizes=(D, H), **options):
    made = getattr(peer, kind + "Cell" * cell)(*sizes, dtype=getattr(torch, dtype), **options)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "beta" not in name:
                parameter.copy_(torch.from_numpy(0.5 * rng.standard_normal(tuple(parameter.shape))))
    return made


def told(kind, options):
    """Of the options, those that from_torchrecurrent asks for beside a state dict."""
    return {name: value for name, value in options.items() if name not in ("beta", "recurrent_bias")}


def carries(kind, layers, sizes=(D, H)):
    row = jax.ShapeDtypeStruct((layers, B, sizes[1]), float)
    return [row] * (2 if kind in PAIRS else 1)


def as_ours(cell, params, carry):
    """[layers, B, H] of each state, as our carries."""
    like = cell.initial_carry(params, (B,))
    rows = [*zip(*carry, strict=True)]
    if not isinstance(like, dict):
        return type(like)(*rows[0])
    return {name: type(row)(*rows[n]) for n, (name, row) in enumerate(like.items())}


def as_theirs(carry):
    rows = carry.values() if isinstance(carry, dict) else [carry]
    return [jnp.stack(leaves) for leaves in zip(*rows, strict=True)]


def run(made, kind, weights, carry, xs):
    """By torchrecurrent, in tensors; for JANET h is c."""
    state = carry[0] if kind in ("IndRNN", "LiGRU", "MGU", "MUT2", "UGRNN") else tuple(carry) * (1 + (kind == "JANET"))
    ys, last = torch.func.functional_call(made, weights, (xs, state))
    return list(last[:1] if kind == "JANET" else last) if isinstance(last, tuple) else [last], ys


def check(kind, made, options, rng, dtype, layers=2):
    fixed = {
        name: t.detach().numpy() for name, t in made.state_dict().items() if name.endswith(FIXED.get(kind, "none"))
    }

    def ours(weights, carry, xs):
        cell, params = from_torchrecurrent({**weights, **fixed}, kind=kind, **options)
        last, ys = jaxrnn.unroll(cell, params, as_ours(cell, params, carry), xs)
        return as_theirs(last), ys

    def theirs(weights, carry, xs, cotangents):
        tensors = jax.tree.map(lambda a: torch.tensor(a, requires_grad=True), (weights, carry, xs))
        out = run(made, kind, tensors[0], *tensors[1:])
        torch.autograd.backward(jax.tree.leaves(out), [torch.tensor(a) for a in jax.tree.leaves(cotangents)])
        return jax.tree.map(lambda a: a.detach().numpy(), out), jax.tree.map(lambda a: a.grad.numpy(), tensors)

    weights = {name: p for name, p in made.named_parameters() if name not in fixed}
    assert_same(rng, ours, theirs, weights, carries(kind, layers), dtype, layers)


@both_dtypes
@every_kind
def test_values_and_gradients(kind, dtype, rng):
    """Two layers, no option at its default. The gradients are to their weights, through the conversion."""
    made = module(kind, rng, dtype, num_layers=2, **OPTIONS[kind])
    check(kind, made, told(kind, OPTIONS[kind]), rng, dtype)


@pytest.mark.parametrize("kind", ["LiGRU", "MGU", "PeepholeLSTM"])
def test_hard_gates(kind, rng):
    """In float32: PyTorch's hard sigmoid has a sixth in float32, whatever it computes in."""
    options = {"nonlinearity": "identity", "gate_nonlinearity": "hard_sigmoid"}
    check(kind, module(kind, rng, "float32", num_layers=2, **options), options, rng, "float32")


@every_kind
def test_the_defaults_of_a_module(kind, rng):
    """As constructed; a module and its state dict give the same, from one layer too."""
    made = module(kind, rng, **DEFAULTS[kind])
    cell, params = from_torchrecurrent(made)
    names = {"activation": "nonlinearity", "gate_activation": "gate_nonlinearity"}
    options = {names.get(name, name): value for name, value in cell.options.items()}
    wanted = {"IndRNN": ["nonlinearity"], "coRNN": ["dt", "gamma", "epsilon"]}
    wanted |= {kind: ["nonlinearity", "gate_nonlinearity"] for kind in ("LiGRU", "MGU", "PeepholeLSTM")}
    options = {name: options[name] for name in wanted.get(kind, [])}
    check(kind, made, options, rng, "float64", layers=1)
    other, read = from_torchrecurrent(made.state_dict(), kind=kind, **options)
    assert other == cell
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, read, params)))


@pytest.mark.parametrize("bias", [True, False], ids=["biases", "none"])
@every_kind
def test_cells(kind, bias, rng):
    """One step of a cell alone, also without biases, which are buffers of zeros there."""
    options = {**OPTIONS[kind], "bias": bias, "recurrent_bias": bias and kind != "MultiplicativeLSTM"}
    made = module(kind, rng, cell=True, **options)
    cell, params = from_torchrecurrent(made)
    assert from_torchrecurrent(made, kind=kind)[0] == cell
    carry, x = draw(rng, carries(kind, 1), "float64"), rng.standard_normal((B, D))
    state = [torch.from_numpy(a[0]) for a in carry]
    with torch.no_grad():
        out = made(torch.from_numpy(x), state[0] if kind not in PAIRS | {"JANET"} else (state * 2)[:2])
    expected = [t.numpy() for t in (out if isinstance(out, tuple) else [out])][: len(carry)]
    ours, _ = cell.step(params, type(cell.initial_carry(params, (B,)))(*[a[0] for a in carry]), x)
    assert_close(list(ours), expected, tolerance("float64", 1))


def test_a_part_of_a_model_and_its_dropout(rng):
    made = module("MGU", rng, num_layers=2, dropout=0.25)
    model = torch.nn.ModuleDict({"encoder": torch.nn.ModuleDict({"rnn": made}), "out": torch.nn.Linear(H, 2)})
    cell, params = from_torchrecurrent(made)
    assert cell == jaxrnn.stack(*[jaxrnn.mgu(H, param_dtype="float64")] * 2, dropout=0.25)
    for weights, options in (model, {}), (model.state_dict(), {"kind": "MGU", "nonlinearity": "tanh"}):
        more = {"gate_nonlinearity": "sigmoid"} if options else {}
        _, read = from_torchrecurrent(weights, prefix="encoder.rnn.", **options, **more)
        assert all(jax.tree.leaves(jax.tree.map(np.array_equal, read, params)))


def test_no_memory_is_shared(rng):
    made = module("coRNN", rng)
    _, params = from_torchrecurrent(made)
    before = jax.tree.map(np.array, params)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.fill_(7)
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, params, before)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_types(dtype, rng):
    cell, params = from_torchrecurrent(module("JANET", rng, dtype))
    assert cell == jaxrnn.janet(H, param_dtype=dtype)
    assert {a.dtype.name for a in params.values()} == {dtype}
    assert from_torchrecurrent(module("JANET", rng, dtype), dtype="float64")[0] == jaxrnn.janet(
        H, param_dtype="float64"
    )


def test_lem_is_another_cell(rng):
    """Why it is refused: their h' reads the old c. With c in its place ours is theirs in one step, from there not."""
    made = module("LEM", rng, cell=True, dt=0.4)
    w = {name: t.detach().numpy() for name, t in made.named_parameters()}
    e, d, z, h = np.split(w["weight_ih"].T, 4, axis=-1)
    b_e, b_d, b_z, b_h = np.split(w["bias_ih"] + np.concatenate([w["bias_hh"], w["bias_ch"]]), 4)
    u_e, u_d, u_z = np.split(w["weight_hh"].T, 3, axis=-1)
    x, h_0, c_0 = rng.standard_normal((B, D)), rng.standard_normal((B, H)), rng.standard_normal((B, H))
    with torch.no_grad():
        h_1, c_1 = (t.numpy() for t in made(*[torch.from_numpy(x), (torch.from_numpy(h_0), torch.from_numpy(c_0))]))
    params = {
        "kernel": np.concatenate([d, e, z, h], axis=-1),
        "recurrent_kernel": np.concatenate([u_d, u_e, u_z, w["weight_ch"].T], axis=-1),
        "bias": np.concatenate([b_d, b_e, b_z, b_h]),
    }
    carry, _ = jaxrnn.lem(H, dt=0.4).step(params, jaxrnn.LEMCarry(h_0, c_0), x)
    assert_close(carry.z, c_1, tolerance("float64", 1))
    assert np.abs(carry.h - h_1).max() > 0.01
    step = 0.4 / (1 + np.exp(-(x @ e + b_e + h_0 @ u_e)))
    assert_close((1 - step) * h_0 + step * np.tanh(x @ h + b_h + c_0 @ w["weight_ch"].T), h_1, tolerance("float64", 1))


OTHERS = sorted({name.removesuffix("Cell") for name in peer.__all__} - set(OPTIONS))


@pytest.mark.parametrize("kind", OTHERS)
def test_other_modules_are_refused(kind):
    options = {"num_layers": 1} if kind != "tauGRU" else {}
    made = getattr(peer, kind)(H, H, **options)
    with pytest.raises(
        TypeError, match=rf"kind: expected one of IndRNN, .*, got '{kind}': (its|it has|jaxrnn has no such)"
    ):
        from_torchrecurrent(made)


def test_modules_that_are_none_and_options_beside_a_module(rng):
    for made in torch.nn.LSTM(D, H), torch.nn.ModuleDict({"a": module("MGU", rng)}):
        with pytest.raises(TypeError, match="weights: expected a module of torchrecurrent, got"):
            from_torchrecurrent(made)
    with pytest.raises(TypeError, match="weights: expected a module of torchrecurrent, got None"):
        from_torchrecurrent(module("MGU", rng), prefix="a.")
    for more in {"kind": "UGRNN"}, {"nonlinearity": "tanh"}:
        with pytest.raises(TypeError, match="kind and options: expected none beside MGU"):
            from_torchrecurrent(module("MGU", rng), **more)
    for act in "gelu", "softplus", torch.nn.LeakyReLU(0.2):
        with pytest.raises(
            ValueError, match=r"nonlinearity: expected one of ELU\(alpha=1.0\), .* got (GELU|Soft|Leaky)"
        ):
            from_torchrecurrent(module("MGU", rng, nonlinearity=act))
    with pytest.raises(ValueError, match="gate_nonlinearity: expected 'sigmoid' or 'hard_sigmoid', got 'tanh'"):
        from_torchrecurrent(module("LiGRU", rng, gate_nonlinearity="tanh"))
    with pytest.raises(ValueError, match=r"weights\['bias_hh'\]: expected zeros, as of recurrent_bias=False"):
        from_torchrecurrent(module("MultiplicativeLSTM", rng))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@every_kind
def test_ten_steps_of_training(kind, optimizer, rng):
    """All biases but the first are frozen, as one stands for all here; and JANET's beta."""
    made = module(kind, rng, num_layers=2, **(OPTIONS if kind == "coRNN" else DEFAULTS)[kind])
    once = {"bias_hh", "bias_ch", "bias_mh"} | {"beta"}
    for name, parameter in made.named_parameters():
        parameter.requires_grad_(name.split(".")[-1] not in once)
    xs, weights = rng.standard_normal((T, B, D)), rng.standard_normal((T, B, H))
    in_torch_and_here(made, from_torchrecurrent, optimizer, xs, weights)


@hypothesis.settings(max_examples=12, derandomize=True, deadline=None, database=None)
@hypothesis.given(
    kind=strategies.sampled_from(sorted(OPTIONS)),
    default=strategies.booleans(),
    sizes=strategies.tuples(strategies.integers(1, 6), strategies.integers(1, 6)),
    layers=strategies.integers(1, 3),
    biases=strategies.tuples(strategies.booleans(), strategies.booleans()),
    seed=strategies.integers(0, 2**32 - 1),
)
def test_any_module(kind, default, sizes, layers, biases, seed):
    rng = np.random.default_rng(seed)
    options = {"bias": biases[0], "recurrent_bias": biases[1], **(DEFAULTS if default else OPTIONS)[kind]}
    made = module(kind, rng, sizes=sizes, num_layers=layers, **options)
    cell, params = from_torchrecurrent(made)
    carry, xs = draw(rng, carries(kind, layers, sizes), "float64"), rng.standard_normal((T, B, sizes[0]))
    with torch.no_grad():
        expected = run(made, kind, dict(made.named_parameters()), *jax.tree.map(torch.from_numpy, (carry, xs)))
    last, ys = jaxrnn.unroll(cell, params, as_ours(cell, params, carry), xs)
    expected = jax.tree.map(lambda t: t.numpy(), expected)
    assert_close((as_theirs(last), ys), expected, tolerance("float64", layers * T))
